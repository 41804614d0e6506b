"""The nodes, each declared once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from segs_detailer.comfyui.control import apply_control_net
from segs_detailer.comfyui.detailing import detail_frames, detail_segments, paste_segments
from segs_detailer.comfyui.detecting import CROPS, SHAPES, find_boxes, find_faces, read_boxes
from segs_detailer.comfyui.hooks import cfg_hook, combine_hooks, denoise_hook, steps_hook
from segs_detailer.comfyui.names import sampler_names, scheduler_names
from segs_detailer.comfyui.preview import preview_segments
from segs_detailer.comfyui.seams import SEAMS, make_seams, seam_inputs
from segs_detailer.comfyui.segments import (
    ORDERS,
    filter_segs,
    from_basic_pipe,
    mask_to_segs,
    match_scale,
    order_segs,
    to_basic_pipe,
)
from segs_detailer.nodes.declaration import COMBO, Input, Node, Output
from segs_detailer.nodes.detailers import DETAILER_FOR_EACH, SEGS_DETAILER, SEGS_PASTE

__all__ = ["NODES"]

_CHOICES = {"sampler_name": sampler_names, "scheduler": scheduler_names}
_CATEGORY = "segs-detailer"
_SEGS = "The segments."
_MAX_COUNT = 2**31 - 1


def _int(name: str, tooltip: str, default: int, minimum: int, maximum: int, **more: Any) -> Input:
    widget = {"default": default, "min": minimum, "max": maximum, "step": 1}
    return Input(name=name, type="INT", tooltip=tooltip, widget=widget, **more)


def _float(name: str, tooltip: str, default: float, minimum: float, maximum: float, step: float) -> Input:
    widget = {"default": default, "min": minimum, "max": maximum, "step": step}
    return Input(name=name, type="FLOAT", tooltip=tooltip, widget=widget)


def _bool(name: str, tooltip: str, default: bool, on: str, off: str, **more: Any) -> Input:
    widget = {"default": default, "label_on": on, "label_off": off}
    return Input(name=name, type="BOOLEAN", tooltip=tooltip, widget=widget, **more)


def _crop_input() -> Input:
    """Stand at the end, and with a default: workflows from before it stay as they are."""
    return Input(
        name="crop",
        type=COMBO,
        tooltip="fixed: the crop holds the subject's whole way. follow: it moves with the subject, which gets more of "
        "its pixels; nodes of other packs take it for a fixed one.",
        optional=True,
        widget={"default": CROPS[0]},
        choices=lambda: CROPS,
    )


def _seams_input(what: str) -> Input:
    return Input(name="seams_opt", type=SEAMS, tooltip=f"From Seams and Noise for Video: {what}.", optional=True)


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


def _detailer_inputs(node: Node, seams: str) -> tuple[Input, ...]:
    """Return the inputs of a node of Impact Pack's name, with ComfyUI's own lists, and the seams after them."""
    own = (replace(item, choices=_CHOICES[item.name]) if item.name in _CHOICES else item for item in node.inputs)
    return (*own, _seams_input(seams))


_DETAILERS = (
    replace(
        SEGS_DETAILER,
        id="SegsDetailerSegsForVideo",
        display_name="SEGSDetailer For Video (SEGS/pipe)",
        description="Repaints the segments of a clip with its model and gives back the segments, not yet pasted. "
        "Paste them with SEGS Paste.",
        inputs=_detailer_inputs(SEGS_DETAILER, "colors, the VAE's own changes, noise"),
        function=detail_segments,
        category=_CATEGORY,
    ),
    replace(
        DETAILER_FOR_EACH,
        id="SegsDetailerForVideo",
        display_name="Detailer For Video (SEGS/pipe)",
        description="Repaints the segments of a clip with its model and pastes them, one after the other.",
        inputs=_detailer_inputs(DETAILER_FOR_EACH, "edges of the masks, colors, the VAE's own changes, noise"),
        function=detail_frames,
        category=_CATEGORY,
    ),
    replace(
        SEGS_PASTE,
        id="SegsDetailerPaste",
        display_name="SEGS Paste",
        inputs=_detailer_inputs(SEGS_PASTE, "how far the masks grow"),
        function=paste_segments,
        category=_CATEGORY,
    ),
)

_SEAMS = (
    Node(
        id="SegsDetailerSeams",
        display_name="Seams and Noise for Video",
        description="Settings against seams and flicker, and for memory, for the detailing nodes and SEGS Paste. As "
        "they come, they change nothing.",
        inputs=seam_inputs(),
        outputs=(Output(name="seams", type=SEAMS, tooltip="The settings, for seams_opt."),),
        function=make_seams,
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
            _crop_input(),
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


def _frames_input() -> Input:
    return Input(name="image_frames", type="IMAGE", tooltip="The clip.")


def _crop_factor(of: str) -> Input:
    return _float("crop_factor", f"Size of the crop, in sizes of {of}.", 3.0, 1.0, 100.0, 0.1)


_DETECTORS = (
    Node(
        id="SegsDetailerFaces",
        display_name="Face Detector for Video",
        description="Finds the faces of a clip with YuNet, a model of 230 kB that is fetched once, or with OpenCV's "
        "cascades where it cannot be fetched: one segment for each face of each shot, with a mask for each frame.",
        inputs=(
            _frames_input(),
            _int("min_size", "Smallest face in pixels, from 8. 0: a sixteenth of the shorter side.", 0, 0, 16384),
            _float("min_share", "Share of the frames in which a face must be found to count.", 0.3, 0.0, 1.0, 0.01),
            _int("max_gap", "Frames without the face that are bridged.", 12, 0, 10000),
            _crop_factor("the face, or of its whole way where the crop is fixed"),
            _int("drop_size", "Faces with a side that is not longer than this are left out.", 10, 1, 16384),
            Input(name="mask_shape", type=COMBO, tooltip="Shape of the masks.", choices=lambda: SHAPES),
            _crop_input(),
        ),
        outputs=(Output(name="segs", type="SEGS", tooltip="One segment for each face."),),
        function=find_faces,
    ),
    Node(
        id="SegsDetailerBboxDetector",
        display_name="BBOX Detector for Video",
        description="Lets a detector of Impact Pack look at each frame, and follows what it finds through the clip: "
        "one segment for each subject of each shot, with a mask for each frame.",
        inputs=(
            Input(name="bbox_detector", type="BBOX_DETECTOR", tooltip="The detector."),
            _frames_input(),
            _float("threshold", "Least confidence of a detection.", 0.5, 0.0, 1.0, 0.01),
            _int("dilation", "Pixels by which the sides of the boxes are moved outwards.", 10, 0, 512),
            _int("min_frames", "A subject counts where it is found in this many frames.", 1, 1, 10000),
            _int("max_gap", "Frames without the subject that are bridged.", 12, 0, 10000),
            _crop_factor("the subject, or of its whole way where the crop is fixed"),
            _int("drop_size", "Subjects with a side that is not longer than this are left out.", 10, 1, 16384),
            _crop_input(),
        ),
        outputs=(Output(name="segs", type="SEGS", tooltip="One segment for each subject."),),
        function=find_boxes,
    ),
    Node(
        id="SegsDetailerBoxes",
        display_name="Boxes to SEGS (JSON)",
        description="Makes a segment of each box that is written down.",
        inputs=(
            Input(name="image_frames", type="IMAGE", tooltip="The clip: gives the size of the frames."),
            Input(
                name="boxes",
                type="STRING",
                tooltip="Boxes in pixels as JSON: [[x1, y1, x2, y2], ...], or each as an object with box, and perhaps "
                "label and confidence.",
                widget={"default": "[[0, 0, 64, 64]]", "multiline": True},
            ),
            _crop_factor("the box"),
            Input(
                name="label",
                type="STRING",
                tooltip="Label of the boxes that bring none.",
                widget={"default": "A"},
            ),
        ),
        outputs=(Output(name="segs", type="SEGS", tooltip="One segment for each box."),),
        function=read_boxes,
    ),
)

_CONTROL = (
    Node(
        id="SegsDetailerControlNet",
        display_name="ControlNet Apply (SEGS, for Video)",
        description="Steers the repainting of each segment by a ControlNet, with the crops themselves as its pictures, "
        "with what a preprocessor makes of them, or with your own pictures.",
        inputs=(
            _segs_input(),
            Input(name="control_net", type="CONTROL_NET", tooltip="The network."),
            _float("strength", "Factor of its effect.", 1.0, 0.0, 10.0, 0.01),
            _float("start_percent", "Share of the sampling process from which on it acts.", 0.0, 0.0, 1.0, 0.001),
            _float("end_percent", "Share of the sampling process up to which it acts.", 1.0, 0.0, 1.0, 0.001),
            Input(
                name="segs_preprocessor",
                type="SEGS_PREPROCESSOR",
                tooltip="Makes the pictures from the crops. Not together with control_image.",
                optional=True,
            ),
            Input(
                name="control_image",
                type="IMAGE",
                tooltip="Pictures for the whole frame, one or one for each frame.",
                optional=True,
            ),
            Input(
                name="vae",
                type="VAE",
                tooltip="For networks that take latents, such as those of SD 3 and Flux.",
                optional=True,
            ),
        ),
        outputs=(Output(name="segs", type="SEGS", tooltip="The segments with the ControlNet."),),
        function=apply_control_net,
    ),
)

_OVER = "The first segment has the detailer's own value, the last one this."


def _hook_output() -> tuple[Output, ...]:
    return (Output(name="detailer_hook", type="DETAILER_HOOK", tooltip="The hook, for Detailer For Video."),)


_HOOKS = (
    Node(
        id="SegsDetailerDenoiseHook",
        display_name="Denoise Schedule Hook",
        description="Moves the denoising from segment to segment.",
        inputs=(_float("target_denoise", _OVER, 0.3, 0.0001, 1.0, 0.01),),
        outputs=_hook_output(),
        function=denoise_hook,
    ),
    Node(
        id="SegsDetailerCfgHook",
        display_name="CFG Schedule Hook",
        description="Moves the guidance from segment to segment.",
        inputs=(_float("target_cfg", _OVER, 3.0, 0.0, 100.0, 0.1),),
        outputs=_hook_output(),
        function=cfg_hook,
    ),
    Node(
        id="SegsDetailerStepsHook",
        display_name="Steps Schedule Hook",
        description="Moves the number of steps from segment to segment.",
        inputs=(_int("target_steps", _OVER, 20, 1, 10000),),
        outputs=_hook_output(),
        function=steps_hook,
    ),
    Node(
        id="SegsDetailerCombineHooks",
        display_name="Combine Detailer Hooks",
        description="Makes one hook of two.",
        inputs=(
            Input(name="hook1", type="DETAILER_HOOK", tooltip="Acts first."),
            Input(name="hook2", type="DETAILER_HOOK", tooltip="Gets what the first returned."),
        ),
        outputs=_hook_output(),
        function=combine_hooks,
    ),
)

NODES: tuple[Node, ...] = (*_DETAILERS, *_SEAMS, *_DETECTORS, *_SEGMENTS, *_CONTROL, *_HOOKS, *_PIPES)
"""All nodes."""
