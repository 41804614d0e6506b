"""The detailing nodes: the node classes' own steps, with ComfyUI's progress and cancellation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from segs_detailer.comfyui import backend
from segs_detailer.comfyui.audio import AUDIO, audio_of
from segs_detailer.comfyui.control import with_other_packs
from segs_detailer.comfyui.names import sampler_names, scheduler_names
from segs_detailer.comfyui.seams import SEAMS, seam_settings
from segs_detailer.nodes import detailers
from segs_detailer.nodes.declaration import Input, Node
from segs_detailer.nodes.detailers import DETAILER_FOR_EACH, SEGS_DETAILER, SEGS_PASTE

if TYPE_CHECKING:
    from torch import Tensor

    from segs_detailer.comfyui.seams import Seams
    from segs_detailer.segs import SEGS

__all__ = ["DETAILING_NODES", "detail_frames", "detail_segments", "paste_segments"]


def detail_segments(image_frames: Tensor, segs: SEGS, **inputs: Any) -> tuple[SEGS, list[Tensor]]:
    """Repaint each segment on the frames as they came.

    Parameters
    ----------
    image_frames : Tensor
        `(B, H, W, 3 or 4)` float32 in [0, 1].
    segs : SEGS
        The segments.
    **inputs : object
        Those of `nodes.SEGSDetailerForAnimateDiff.doit`, and `seams_opt` and `audio_opt`.

    Returns
    -------
    segs : SEGS
        The repainted segments.
    cnet_images : list of Tensor
        At least one image.
    """
    if detailers.without_segments(image_frames, segs) is None:
        segs, inputs = with_other_packs(segs), _inputs(inputs)
    detailed, cnet_images = detailers.detail_segments(image_frames, segs, **inputs)
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
        Those of `nodes.DetailerForEachPipeForAnimateDiff.doit`, `seams_opt` and `audio_opt`.

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
    if detailers.without_segments(image_frames, segs) is None:
        segs, inputs = with_other_packs(segs), _inputs(inputs)
    *results, cnet_images = detailers.detail_and_paste_segments(image_frames, segs, **inputs)
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
    """Register this program's backend, and put the settings of the seams and the sound beside the others."""
    backend.register()
    seams, sound = seam_settings(inputs.pop("seams_opt", None)), audio_of(inputs.pop("audio_opt", None))
    if sound is not None:
        backend.check_sound(inputs["basic_pipe"])
        inputs = {**inputs, "sound": sound, "frame_rate": sound.frame_rate}
    return {**inputs, **seams.values, "observer": backend.node_progress(inputs["basic_pipe"])}


_CHOICES = {"sampler_name": sampler_names, "scheduler": scheduler_names}


def _seams_input(what: str) -> Input:
    return Input(name="seams_opt", type=SEAMS, tooltip=f"From Seams and Noise for Video: {what}.", optional=True)


def _audio_input() -> Input:
    return Input(
        name="audio_opt",
        type=AUDIO,
        tooltip="From Audio for Detailer: the clip's sound, for mouths that fit it.",
        optional=True,
    )


def _detailer_inputs(node: Node, seams: str) -> tuple[Input, ...]:
    """Return the inputs of a node of Impact Pack's name, with ComfyUI's own lists, and the seams after them."""
    own = (replace(item, choices=_CHOICES[item.name]) if item.name in _CHOICES else item for item in node.inputs)
    return (*own, _seams_input(seams))


DETAILING_NODES: tuple[Node, ...] = (
    replace(
        SEGS_DETAILER,
        id="SegsDetailerSegsForVideo",
        display_name="SEGSDetailer For Video (SEGS/pipe)",
        description="Repaints the segments of a clip with its model and gives back the segments, not yet pasted. "
        "Paste them with SEGS Paste.",
        search_aliases=(
            "face detailer for video",
            "adetailer",
            "SEGSDetailerForAnimateDiff",
            "repaint segments",
            "inpaint crops",
        ),
        inputs=(*_detailer_inputs(SEGS_DETAILER, "colors, the VAE's own changes, noise"), _audio_input()),
        function=detail_segments,
        category="segs-detailer",
    ),
    replace(
        DETAILER_FOR_EACH,
        id="SegsDetailerForVideo",
        display_name="Detailer For Video (SEGS/pipe)",
        description="Repaints the segments of a clip with its model and pastes them, one after the other.",
        search_aliases=(
            "face detailer for video",
            "adetailer",
            "DetailerForEachPipeForAnimateDiff",
            "detailer for AnimateDiff",
            "restore faces",
            "inpaint crop and stitch",
        ),
        inputs=(
            *_detailer_inputs(DETAILER_FOR_EACH, "edges of the masks, colors, the VAE's own changes, noise"),
            _audio_input(),
        ),
        function=detail_frames,
        category="segs-detailer",
    ),
    replace(
        SEGS_PASTE,
        id="SegsDetailerPaste",
        display_name="SEGS Paste",
        search_aliases=("SEGSPaste", "stitch crops", "paste crops", "uncrop"),
        inputs=_detailer_inputs(SEGS_PASTE, "how far the masks grow"),
        function=paste_segments,
        category="segs-detailer",
    ),
)
"""The detailing nodes, and what pastes."""
