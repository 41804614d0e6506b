"""The node's progress bar with previews, as KSampler has them, and the user's cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import comfy.model_management
import comfy.utils
import latent_preview

if TYPE_CHECKING:
    from torch import Tensor

    from segs_detailer.detailer.progress import Progress

__all__ = ["NodeProgress", "PasteProgress"]

_PREVIEW_FORMAT = "JPEG"


class NodeProgress:
    """An observer of a run that moves one bar over all segments.

    Cancelling in ComfyUI ends the run at the next step or stage, also between pasted segments, with ComfyUI's own
    exception.

    Parameters
    ----------
    model : ModelPatcher or None
        Whose latents the previews show; None for no previews.
    """

    def __init__(self, model: Any) -> None:
        self._bar = comfy.utils.ProgressBar(1)
        self._previewer = (
            None if model is None else latent_preview.get_previewer(model.load_device, model.model.latent_format)
        )

    def __call__(self, progress: Progress) -> None:
        """Report, or raise ComfyUI's `InterruptProcessingException`."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        if progress.stage == "sample":
            # A segment's steps are its share of the bar; samplers may take more steps than were asked for.
            done = progress.segment * progress.steps + min(progress.step, progress.steps)
            self._bar.update_absolute(done, progress.segments * progress.steps, self._preview(progress.x0))

    def _preview(self, x0: Tensor | None) -> Any:
        if self._previewer is None or x0 is None:
            return None
        return self._previewer.decode_latent_to_preview_image(_PREVIEW_FORMAT, x0)


class PasteProgress:
    """Moves the bar of a node that pastes, over the frames of all segments; cancelling ends it at the next report."""

    def __init__(self) -> None:
        self._bar = comfy.utils.ProgressBar(1)

    def __call__(self, done: int, total: int) -> None:
        """Report, or raise ComfyUI's `InterruptProcessingException`."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        self._bar.update_absolute(done, max(total, 1))
