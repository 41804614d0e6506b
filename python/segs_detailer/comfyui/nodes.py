"""The nodes, each declared once."""

from __future__ import annotations

from typing import Any

from segs_detailer import nodes
from segs_detailer.comfyui.declaration import COMBO, Input, Node, Output, classic_inputs, classic_outputs
from segs_detailer.comfyui.detailing import detail_frames, detail_segments, paste_segments
from segs_detailer.comfyui.names import sampler_names, scheduler_names
from segs_detailer.comfyui.preview import preview_segments
from segs_detailer.comfyui.segments import (
    ORDERS,
    filter_segs,
    from_basic_pipe,
    mask_to_segs,
    match_scale,
    order_segs,
    to_basic_pipe,
)

__all__ = ["NODES"]

_CHOICES = {"sampler_name": sampler_names, "scheduler": scheduler_names}
_CNET_IMAGES = "The pictures that steered ControlNets; one small black picture where there are none."
_SEGS = "The segments."
_MAX_COUNT = 2**31 - 1


def _int(name: str, tooltip: str, default: int, minimum: int, maximum: int, **more: Any) -> Input:
    widget = {"default": default, "min": minimum, "max": maximum, "step": 1}
    return Input(name=name, type="INT", tooltip=tooltip, widget=widget, **more)


def _float(name: str, tooltip: str, default: float, minimum: float, maximum: float, step: float) -> Input:
    widget = {"default": default, "min": minimum, "max": maximum, "step": step}
    return Input(name=name, type="FLOAT", tooltip=tooltip, widget=widget)


def _bool(name: str, tooltip: str, default: bool, on: str, off: str) -> Input:
    return Input(
        name=name, type="BOOLEAN", tooltip=tooltip, widget={"default": default, "label_on": on, "label_off": off}
    )


def _segs_input() -> Input:
    return Input(name="segs", type="SEGS", tooltip=_SEGS)


def _pipe_parts() -> tuple[tuple[str, str, str], ...]:
    return (
        ("model", "MODEL", "The diffusion model, with whatever is applied to it: motion modules, LoRA, IP-Adapter."),
        ("clip", "CLIP", "Its text encoder."),
        ("vae", "VAE", "Its VAE."),
        ("positive", "CONDITIONING", "What the subjects show."),
        ("negative", "CONDITIONING", "What they must not show."),
    )


_DETAILERS = (
    Node(
        id="SegsDetailerSegsForVideo",
        display_name="SEGSDetailer For Video (SEGS/pipe)",
        description="Repaints the segments of a clip with its model and gives back the segments, not yet pasted. "
        "Paste them with SEGS Paste.",
        inputs=classic_inputs(nodes.SEGSDetailerForAnimateDiff, _CHOICES),
        outputs=classic_outputs(
            nodes.SEGSDetailerForAnimateDiff,
            {"segs": "The segments with their repainted crops.", "cnet_images": _CNET_IMAGES},
        ),
        function=detail_segments,
    ),
    Node(
        id="SegsDetailerForVideo",
        display_name="Detailer For Video (SEGS/pipe)",
        description="Repaints the segments of a clip with its model and pastes them, one after the other.",
        inputs=classic_inputs(nodes.DetailerForEachPipeForAnimateDiff, _CHOICES),
        outputs=classic_outputs(
            nodes.DetailerForEachPipeForAnimateDiff,
            {
                "image": "The detailed frames. Outside the masks they are the input's, bit for bit.",
                "segs": "The segments with their repainted crops.",
                "basic_pipe": "The pipe, as it came.",
                "cnet_images": _CNET_IMAGES,
            },
        ),
        function=detail_frames,
    ),
    Node(
        id="SegsDetailerPaste",
        display_name="SEGS Paste",
        description="Blends the crops of the segments, or the same regions of another clip, into the frames.",
        inputs=classic_inputs(nodes.SEGSPaste),
        outputs=classic_outputs(nodes.SEGSPaste, {"image": "The frames with the crops in them."}),
        function=paste_segments,
    ),
)

_PIPES = (
    Node(
        id="SegsDetailerToBasicPipe",
        display_name="ToBasicPipe (segs-detailer)",
        description="Binds a model, its companions and its conditioning into one BASIC_PIPE.",
        inputs=tuple(Input(name=name, type=kind, tooltip=tooltip) for name, kind, tooltip in _pipe_parts()),
        outputs=(Output(name="basic_pipe", type="BASIC_PIPE", tooltip="All five."),),
        function=to_basic_pipe,
    ),
    Node(
        id="SegsDetailerFromBasicPipe",
        display_name="FromBasicPipe (segs-detailer)",
        description="Gives the parts of a BASIC_PIPE.",
        inputs=(Input(name="basic_pipe", type="BASIC_PIPE", tooltip="The pipe to take apart."),),
        outputs=(
            Output(name="basic_pipe", type="BASIC_PIPE", tooltip="The pipe, as it came."),
            *(Output(name=name, type=kind, tooltip=tooltip) for name, kind, tooltip in _pipe_parts()),
        ),
        function=from_basic_pipe,
    ),
)

_SEGMENTS = (
    Node(
        id="SegsDetailerMaskToSegs",
        display_name="MASK to SEGS for Video",
        description="Makes a segment of each object in the masks. With one mask per frame, a segment follows its "
        "object through the clip.",
        inputs=(
            Input(name="masks", type="MASK", tooltip="One mask, or one per frame: white is repainted."),
            _bool("combined", "Take everything in the masks as one subject.", False, "True", "False"),
            _float("crop_factor", "Size of the crop, in sizes of the subject's box.", 3.0, 1.0, 100.0, 0.1),
            _bool("bbox_fill", "Repaint the whole box around each object.", False, "enabled", "disabled"),
            _int("drop_size", "Objects with a side that is not longer than this are left out.", 10, 1, 16384),
            _bool("contour_fill", "Fill the outlines of the objects.", False, "enabled", "disabled"),
            Input(
                name="label",
                type="STRING",
                tooltip="Name of the segments, for filters and prompts.",
                optional=True,
                widget={"default": "A"},
            ),
        ),
        outputs=(Output(name="segs", type="SEGS", tooltip="One segment for each object, from top to bottom."),),
        function=mask_to_segs,
    ),
    Node(
        id="SegsDetailerFilter",
        display_name="SEGS Filter (label, area, confidence)",
        description="Divides segments into those that meet every condition, and the others.",
        inputs=(
            _segs_input(),
            Input(
                name="labels",
                type="STRING",
                tooltip="Labels between commas or on lines of their own. Empty: all.",
                widget={"default": "", "multiline": True},
            ),
            _int("min_area", "Least area of the bounding box in pixels.", 0, 0, _MAX_COUNT),
            _int("max_area", "Largest area of the bounding box in pixels. 0: no limit.", 0, 0, _MAX_COUNT),
            _float("min_confidence", "Least confidence of the detector.", 0.0, 0.0, 1.0, 0.01),
        ),
        outputs=(
            Output(name="filtered", type="SEGS", tooltip="The segments that meet every condition."),
            Output(name="remained", type="SEGS", tooltip="The others."),
        ),
        function=filter_segs,
    ),
    Node(
        id="SegsDetailerOrder",
        display_name="SEGS Order",
        description="Sorts segments and takes some of them.",
        inputs=(
            _segs_input(),
            Input(
                name="by",
                type=COMBO,
                tooltip="What they are sorted by; sides and edges are the bounding box's.",
                choices=lambda: ORDERS,
            ),
            _bool("descending", "The largest first, or the smallest.", True, "descending", "ascending"),
            _int("take_start", "How many of the first are left out.", 0, 0, _MAX_COUNT),
            _int("take_count", "How many are taken. 0: all.", 0, 0, _MAX_COUNT),
        ),
        outputs=(
            Output(name="ordered", type="SEGS", tooltip="The segments that are taken, sorted."),
            Output(name="remained", type="SEGS", tooltip="The others, sorted."),
        ),
        function=order_segs,
    ),
    Node(
        id="SegsDetailerScaleMatch",
        display_name="SEGS Scale Match",
        description="Fits segments to frames of another size than those that they were made for.",
        inputs=(_segs_input(), Input(name="image_frames", type="IMAGE", tooltip="The frames to fit them to.")),
        outputs=(Output(name="segs", type="SEGS", tooltip="The segments in the frames' size."),),
        function=match_scale,
    ),
    Node(
        id="SegsDetailerPreview",
        display_name="SEGS Preview (boxes, regions, masks)",
        description="Shows frames with the segments drawn in: masks red, bounding boxes thick, crop regions thin.",
        inputs=(
            Input(name="image_frames", type="IMAGE", tooltip="The clip."),
            _segs_input(),
            _int("max_images", "How many frames are shown, spread over the clip.", 4, 1, 64),
        ),
        outputs=(Output(name="images", type="IMAGE", tooltip="The pictures."),),
        function=preview_segments,
        is_output=True,
    ),
)

NODES: tuple[Node, ...] = (*_DETAILERS, *_PIPES, *_SEGMENTS)
"""All nodes."""
