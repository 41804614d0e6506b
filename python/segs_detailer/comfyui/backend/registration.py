"""The hook by which `sampler_for` learns of ComfyUI's models."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from segs_detailer.models import resolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from segs_detailer.detailer.progress import Observer
    from segs_detailer.models.protocol import Sampler

__all__ = ["node_progress", "paste_progress", "register"]


def register() -> None:
    """Let `sampler_for` take ComfyUI's models. Any number of calls does what one does."""
    resolve.register(_comfy_sampler)


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


def _comfy_sampler(model: Any, clip: Any, vae: Any) -> Sampler | None:
    del clip
    if not _is_comfy_model(model):
        return None
    from segs_detailer.comfyui.backend.sampler import ComfySampler

    return ComfySampler(model, vae)
