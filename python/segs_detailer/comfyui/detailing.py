"""The functions of the detailing nodes: the node classes' own steps, with ComfyUI's progress and cancellation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segs_detailer.comfyui import backend
from segs_detailer.comfyui.seams import seam_settings
from segs_detailer.nodes import detailers

if TYPE_CHECKING:
    from torch import Tensor

    from segs_detailer.comfyui.seams import Seams
    from segs_detailer.segs import SEGS

__all__ = ["detail_frames", "detail_segments", "paste_segments"]


def detail_segments(image_frames: Tensor, segs: SEGS, **inputs: Any) -> tuple[SEGS, list[Tensor]]:
    """Repaint each segment on the frames as they came.

    Parameters
    ----------
    image_frames : Tensor
        `(B, H, W, 3 or 4)` float32 in [0, 1].
    segs : SEGS
        The segments.
    **inputs : object
        Those of `nodes.SEGSDetailerForAnimateDiff.doit`, and `seams_opt`.

    Returns
    -------
    segs : SEGS
        The repainted segments.
    cnet_images : list of Tensor
        At least one image.
    """
    detailed, cnet_images = detailers.detail_segments(image_frames, segs, **_inputs(inputs))
    return detailed, cnet_images or detailers.no_images()


def detail_frames(image_frames: Tensor, segs: SEGS, **inputs: Any) -> tuple[Tensor, SEGS, Any, list[Tensor]]:
    """Repaint and paste each segment in turn.

    Parameters
    ----------
    image_frames : Tensor
        `(B, H, W, 3 or 4)` float32 in [0, 1]; not changed.
    segs : SEGS
        The segments.
    **inputs : object
        Those of `nodes.DetailerForEachPipeForAnimateDiff.doit`, and `seams_opt`.

    Returns
    -------
    image : Tensor
        The detailed frames.
    segs : SEGS
        The repainted segments.
    basic_pipe : tuple
        As it came.
    cnet_images : list of Tensor
        At least one image.
    """
    *results, cnet_images = detailers.detail_and_paste_segments(image_frames, segs, **_inputs(inputs))
    return (*results, cnet_images or detailers.no_images())


def paste_segments(
    image: Tensor,
    segs: SEGS,
    feather: int,
    alpha: int,
    ref_image_opt: Tensor | None = None,
    seams_opt: Seams | None = None,
) -> tuple[Tensor]:
    """Paste the crops of segments into frames.

    Parameters
    ----------
    image, segs, feather, alpha, ref_image_opt
        See `nodes.SEGSPaste.doit`.
    seams_opt : Seams or None
        Its `grow` counts.
    """
    grow, progress = seam_settings(seams_opt).settings.grow, backend.paste_progress()
    return (detailers.paste_into(image, segs, feather, alpha, ref_image_opt, grow=grow, progress=progress),)


def _inputs(inputs: dict[str, Any]) -> dict[str, Any]:
    """Register this program's backend, and put the settings of the seams beside the others."""
    backend.register()
    seams = seam_settings(inputs.pop("seams_opt", None))
    return {**inputs, **seams.values, "observer": backend.node_progress(inputs["basic_pipe"])}
