"""The hook by which `sampler_for` learns of ComfyUI's models."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, ClassVar

from segs_detailer.comfyui.backend.traits import HEARING, ModelTraits, check_hears
from segs_detailer.detailer.models import is_dummy
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.models import registry
from segs_detailer.models.family import Family

if TYPE_CHECKING:
    from collections.abc import Callable

    from segs_detailer.detailer.progress import Observer
    from segs_detailer.models.interface import Sampler

__all__ = ["check_sound", "node_progress", "paste_progress", "register"]


class _ComfyUI(Family):
    name: ClassVar[str] = "ComfyUI"
    takes: ClassVar[str] = "a ModelPatcher of ComfyUI"

    def owns(self, model: object) -> bool:
        return _is_comfy_model(model)

    def sampler(self, model: Any, clip: Any, vae: Any) -> Sampler:
        from segs_detailer.comfyui.backend.sampler import ComfySampler

        del clip
        return ComfySampler(model, vae)


_FAMILY = _ComfyUI()


def register() -> None:
    """Let `sampler_for` take ComfyUI's models. Any number of calls does what one does."""
    registry.register(_FAMILY)


def check_sound(basic_pipe: object) -> None:
    """Refuse sound for models that cannot hear it.

    Parameters
    ----------
    basic_pipe : object
        The run's pipe.

    Raises
    ------
    InvalidArgumentError
        Its model is none of a graph, or makes pictures alone. No model at all, for which crops are handed on, hears as
        much as it paints.
    """
    model = basic_pipe[0] if isinstance(basic_pipe, (tuple, list)) and basic_pipe else None
    if is_dummy(model):
        return
    if not _is_comfy_model(model):
        expected = f"a MODEL of pictures and sound in the basic_pipe ({HEARING})"
        raise InvalidArgumentError("audio_opt", expected, f"a {type(model).__name__}")
    check_hears(ModelTraits.of(model))


def node_progress(basic_pipe: object) -> Observer | None:
    """Give who reports a run to ComfyUI.

    Parameters
    ----------
    basic_pipe : object
        The run's pipe: its model decides what previews look like.

    Returns
    -------
    Observer or None
        Moves the node's bar, and stops the run where the user cancelled it. None where no ComfyUI runs.
    """
    if "comfy.model_management" not in sys.modules:
        return None
    from segs_detailer.comfyui.backend.progress import NodeProgress

    model = basic_pipe[0] if isinstance(basic_pipe, (tuple, list)) and basic_pipe else None
    return NodeProgress(model if _is_comfy_model(model) else None)


def paste_progress() -> Callable[[int, int], None] | None:
    """Give who reports a paste to ComfyUI.

    Returns
    -------
    callable or None
        Takes the frames that are done and their number; moves the node's bar, and stops where the user cancelled. None
        where no ComfyUI runs.
    """
    if "comfy.model_management" not in sys.modules:
        return None
    from segs_detailer.comfyui.backend.progress import PasteProgress

    return PasteProgress()


def _is_comfy_model(model: object) -> bool:
    # Where the module is not loaded there is no such model, and so no need to import it.
    patcher = sys.modules.get("comfy.model_patcher")
    return patcher is not None and isinstance(model, patcher.ModelPatcher)
