"""Whether this ComfyUI repaints the masked latents of MiniMax H3 as it should: not all of its releases do."""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any, Literal

import torch

from segs_detailer.comfyui.backend.telling import tell_once
from segs_detailer.errors import ModelError

if TYPE_CHECKING:
    from segs_detailer.comfyui.backend.traits import ModelTraits

__all__ = ["check_masks", "h3_masks"]

_LOG = logging.getLogger(__name__)

_FIXED_IN = (0, 35)
_PER_TOKEN = "_denoise_mask_conds"
"""Method of models whose tokens are told how far the mask repaints them."""

_HALF = 0.5


def check_masks(patcher: Any, traits: ModelTraits) -> None:
    """Refuse masks that this ComfyUI would answer with a pattern or mush.

    Parameters
    ----------
    patcher : ModelPatcher
        The model.
    traits : ModelTraits
        What it is.

    Raises
    ------
    ModelError
        It is MiniMax H3 in a ComfyUI that gets its masks wrong.
    """
    if traits.hears != "h3":
        return
    masks = h3_masks(patcher.model)
    if masks == "wrong":
        raise ModelError(
            f"ComfyUI {_version_text()} repaints MiniMax H3 under a mask as a grid or as mush: update ComfyUI to "
            f"{'.'.join(map(str, _FIXED_IN))} or later"
        )
    if masks == "mixed":
        tell_once(
            f"ComfyUI {_version_text()} mixes masked latents of MiniMax H3 with noise, and its sound that is held too: "
            f"lips follow it less than in ComfyUI {'.'.join(map(str, _FIXED_IN))}"
        )


def h3_masks(model: Any) -> Literal["right", "mixed", "wrong"]:
    """Find out what becomes of masks in MiniMax H3.

    Parameters
    ----------
    model : BaseModel
        The model.

    Returns
    -------
    str
        "right": each token is as noisy as its mask says, and its velocity is scaled alike. "mixed": outside the mask
        the model sees noisy latents, as others do. "wrong": velocities are not scaled to the tokens' noise.

    Notes
    -----
    The network's own `forward` is asked, around an answer of ones: other packs bring the scaling to releases that lack
    it. Where it cannot be asked, the version says it.
    """
    if not hasattr(type(model), _PER_TOKEN):
        return "mixed"
    scales = _scales_velocity(model.diffusion_model)
    if scales is None:
        scales = _version() >= _FIXED_IN
    return "right" if scales else "wrong"


class _Answering:
    """A network whose inner step answers with ones, and that is itself in all else."""

    def __init__(self, network: Any) -> None:
        self._network = network

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def _forward(self, x: Any, *arguments: Any, **options: Any) -> list[Any]:
        del arguments, options
        return [torch.ones_like(stream) for stream in x]


def _scales_velocity(network: Any) -> bool | None:
    """Whether the network's velocity is scaled by the mask; None where it does not answer."""
    pictures, sound = torch.zeros(1, 24, 2, 2, 2), torch.zeros(1, 32, 2, 2)
    half = {
        "denoise_mask": torch.full((1, 1, 2, 2, 2), _HALF),
        "audio_denoise_mask": torch.full((1, 1, 2, 2), _HALF),
    }
    # Another pack's forward may want anything, and fail in any way.
    try:
        answer = type(network).forward(
            _Answering(network),
            [pictures, sound],
            torch.full((1,), 500.0),
            torch.zeros(1, 1, 1),
            transformer_options={},
            minimax_payload=None,
            **half,
        )
        return bool((answer[0] == _HALF).all())
    except Exception as error:
        _LOG.debug("MiniMax H3 does not tell how it takes masks: %s", error)
        return None


def _version_text() -> str:
    try:
        return str(importlib.import_module("comfyui_version").__version__)
    except (ImportError, AttributeError):
        return "of an unknown version"


def _version() -> tuple[int, ...]:
    parts = _version_text().split(".")[:2]
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else (0,)
