"""The nodes around the detailers: masks to SEGS, and what is chosen of SEGS."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from segs_detailer.comfyui.inputs import MAX_COUNT, bool_input, crop_input, float_input, int_input, segs_input
from segs_detailer.errors import InvalidTypeError, unknown_name
from segs_detailer.mask_levels import warn_about_masks
from segs_detailer.nodes.declaration import COMBO, Input, Node, Output
from segs_detailer.segs import check_segs, scale_match
from segs_detailer.subjects.from_masks import tracks_from_masks
from segs_detailer.subjects.masks import mask_stack, masks_to_segs, survey_masks
from segs_detailer.subjects.segs_of_tracks import tracks_to_segs
from segs_detailer.subjects.settings import CropSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from segs_detailer.segs import SEG, SEGS, Box

__all__ = [
    "BOXES",
    "ORDERS",
    "SEGMENT_NODES",
    "filter_segs",
    "mask_to_segs",
    "match_scale",
    "order_segs",
]


_LABELS = "make a mask of each"

BOXES = ("bbox", "crop_region")
"""What of a segment is measured."""

_SIDES: dict[str, Callable[[Box], int]] = {
    "area": lambda box: (box[2] - box[0]) * (box[3] - box[1]),
    "width": lambda box: box[2] - box[0],
    "height": lambda box: box[3] - box[1],
    "x1": lambda box: box[0],
    "y1": lambda box: box[1],
    "x2": lambda box: box[2],
    "y2": lambda box: box[3],
}
_KEYS: dict[str, Callable[[SEG], Any]] = {
    "confidence": lambda seg: _confidence(seg),
    "label": lambda seg: str(seg.label),
}

ORDERS = (*_SIDES, *_KEYS)
"""What segments can be sorted by."""


def mask_to_segs(
    masks: Tensor,
    combined: bool,
    crop_factor: float,
    bbox_fill: bool,
    drop_size: int,
    contour_fill: bool,
    label: str = "A",
    crop: str = "fixed",
) -> tuple[SEGS]:
    """Make a SEG of each object in the masks.

    Parameters
    ----------
    masks, combined, crop_factor, bbox_fill, drop_size, contour_fill, label
        See `segs_detailer.masks_to_segs`.
    crop : str
        "fixed": an object's crop holds its whole way. "follow": it moves with the object, as far as there is a mask for
        each frame; objects that touch in one frame and not in another are told apart, and one that is gone for more
        than twelve frames comes back as another.

    Raises
    ------
    InvalidArgumentError
        Another `crop`.
    """
    settings = CropSettings(crop=crop, crop_factor=crop_factor, ramp=0, max_gap=0)  # type: ignore[arg-type]  # checked
    stack = mask_stack(masks)
    survey = survey_masks(stack)
    warn_about_masks(survey, "masks", _LABELS)
    objects: dict[str, Any] = {
        "combined": combined,
        "crop_factor": crop_factor,
        "bbox_fill": bbox_fill,
        "drop_size": drop_size,
        "contour_fill": contour_fill,
        "label": label,
        "levels": survey.levels,
    }
    if settings.crop == "fixed" or len(stack) < 2:
        return (masks_to_segs(stack, **objects),)
    # One after the other: floats of all masks that are clamped would be as large as the clip.
    clamped = (mask.clip(0, 1) if mask.dtype.kind == "f" else mask for mask in stack)
    tracks = tracks_from_masks(clamped, **objects)
    return (tracks_to_segs(tracks, (stack.shape[1], stack.shape[2]), len(stack), settings, dtype="lazy"),)


def match_scale(segs: SEGS, image_frames: Tensor) -> tuple[SEGS]:
    """Fit segments to frames of another size, see `segs_detailer.scale_match`."""
    return (scale_match(segs, image_frames.shape),)


def filter_segs(
    segs: SEGS, labels: str, min_area: int, max_area: int, min_confidence: float, box: str = BOXES[0]
) -> tuple[SEGS, SEGS]:
    """Divide segments into those that meet every condition and the others.

    Parameters
    ----------
    segs : SEGS
        The segments.
    labels : str
        Labels between commas or on lines of their own; empty for all.
    min_area, max_area : int
        Limits of the box's area in pixels, both included; a `max_area` of 0 is no limit.
    min_confidence : float
        Least confidence. Segments without one, such as those of masks, count as certain.
    box : str
        One of `BOXES`: whose area that is.

    Returns
    -------
    filtered, remained : SEGS
        Both in their old order.

    Raises
    ------
    InvalidArgumentError
        `box` is not known.
    """
    size, items = check_segs(segs)
    measured = _measured(box)
    wanted = {label.strip() for label in re.split(r"[,\n]", labels)} - {""}
    most = max_area or math.inf

    def is_met(seg: SEG) -> bool:
        named = not wanted or str(seg.label) in wanted
        return named and min_area <= _SIDES["area"](measured(seg)) <= most and _confidence(seg) >= min_confidence

    met = [is_met(seg) for seg in items]
    chosen = [seg for seg, is_in in zip(items, met, strict=True) if is_in]
    return (size, chosen), (size, [seg for seg, is_in in zip(items, met, strict=True) if not is_in])


def order_segs(
    segs: SEGS, by: str, descending: bool, take_start: int, take_count: int, box: str = BOXES[0]
) -> tuple[SEGS, SEGS]:
    """Sort segments and take some of them.

    Parameters
    ----------
    segs : SEGS
        The segments.
    by : str
        One of `ORDERS`.
    descending : bool
        The largest first. Equal ones keep their order either way.
    take_start, take_count : int
        Place of the first that is taken, from 0, and how many; a `take_count` of 0 takes all that follow.
    box : str
        One of `BOXES`: whose sides and edges they are sorted by.

    Returns
    -------
    ordered, remained : SEGS
        Both sorted.

    Raises
    ------
    InvalidArgumentError
        `by` or `box` is not known.
    """
    size, items = check_segs(segs)
    if by not in ORDERS:
        raise unknown_name("by", by, ORDERS)
    measured = _measured(box)
    key = _KEYS.get(by) or (lambda seg: _SIDES[by](measured(seg)))
    ordered = sorted(items, key=key, reverse=descending)
    end = take_start + take_count if take_count else len(ordered)
    return (size, ordered[take_start:end]), (size, ordered[:take_start] + ordered[end:])


def _confidence(seg: SEG) -> float:
    """Return a number also where a detector left an array of one, or nothing."""
    value = seg.confidence
    if value is None:
        return math.inf
    try:
        return float(value.max() if hasattr(value, "max") else value)
    except (TypeError, ValueError):
        raise InvalidTypeError("segs: confidence", "a number", type(value).__name__) from None


def _measured(box: str) -> Callable[[SEG], Box]:
    """Return what gives the box of a segment that is measured."""
    if box not in BOXES:
        raise unknown_name("box", box, BOXES)
    # Of a region that moves, this is the first frame's.
    return (lambda seg: seg.bbox) if box == BOXES[0] else (lambda seg: tuple(seg.crop_region)[:4])  # type: ignore[return-value]


def _box_input(what: str) -> Input:
    """Return the choice of the box that is measured; at the end, so that older workflows stay as they are."""
    return Input(
        name="box",
        type=COMBO,
        tooltip=f"Whose {what} count: the subject's bounding box, or its crop region.",
        optional=True,
        widget={"default": BOXES[0]},
        choices=lambda: BOXES,
    )


SEGMENT_NODES: tuple[Node, ...] = (
    Node(
        id="SegsDetailerMaskToSegs",
        display_name="MASK to SEGS for Video",
        description="Makes a segment of each object in the masks. With one mask per frame, a segment follows its "
        "object through the clip.",
        search_aliases=("MaskToSEGS", "mask sequence", "SAM masks"),
        inputs=(
            Input(name="masks", type="MASK", tooltip="One mask, or one per frame: white is repainted."),
            bool_input("combined", "Take everything in the masks as one subject.", False, "True", "False"),
            float_input("crop_factor", "Size of the crop, in sizes of the subject's box.", 3.0, 1.0, 100.0, 0.1),
            bool_input("bbox_fill", "Repaint the whole box around each object.", False, "enabled", "disabled"),
            int_input("drop_size", "Objects with a side that is not longer than this are left out.", 10, 1, 16384),
            bool_input("contour_fill", "Fill the outlines of the objects.", False, "enabled", "disabled"),
            Input(
                name="label",
                type="STRING",
                tooltip="Name of the segments, for filters and prompts.",
                optional=True,
                widget={"default": "A"},
            ),
            crop_input(),
        ),
        outputs=(Output(name="segs", type="SEGS", tooltip="One segment for each object, from top to bottom."),),
        function=mask_to_segs,
    ),
    Node(
        id="SegsDetailerFilter",
        display_name="SEGS Filter (label, area, confidence)",
        description="Divides segments into those that meet every condition, and the others.",
        search_aliases=("label filter", "range filter", "area filter", "confidence filter"),
        inputs=(
            segs_input(),
            Input(
                name="labels",
                type="STRING",
                tooltip="Labels between commas or on lines of their own. Empty: all.",
                widget={"default": "", "multiline": True},
            ),
            int_input("min_area", "Least area of the box in pixels.", 0, 0, MAX_COUNT),
            int_input("max_area", "Largest area of the box in pixels. 0: no limit.", 0, 0, MAX_COUNT),
            float_input("min_confidence", "Least confidence of the detector.", 0.0, 0.0, 1.0, 0.01),
            _box_input("area"),
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
        search_aliases=("sort SEGS", "ordered filter", "largest face", "take first"),
        inputs=(
            segs_input(),
            Input(
                name="by",
                type=COMBO,
                tooltip="What they are sorted by.",
                choices=lambda: ORDERS,
            ),
            bool_input("descending", "The largest first, or the smallest.", True, "descending", "ascending"),
            int_input("take_start", "How many of the first are left out.", 0, 0, MAX_COUNT),
            int_input("take_count", "How many are taken. 0: all.", 0, 0, MAX_COUNT),
            _box_input("sides and edges"),
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
        search_aliases=("resize SEGS", "rescale segments"),
        inputs=(segs_input(), Input(name="image_frames", type="IMAGE", tooltip="The frames to fit them to.")),
        outputs=(Output(name="segs", type="SEGS", tooltip="The segments in the frames' size."),),
        function=match_scale,
    ),
)
"""The nodes that make, choose and fit segments."""
