"""The functions of the nodes around the detailers: pipes, masks to SEGS, and what is chosen of SEGS."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from segs_detailer.errors import InvalidTypeError, unknown_name
from segs_detailer.mask_levels import warn_about_masks
from segs_detailer.segs import check_segs, scale_match
from segs_detailer.subjects.from_masks import tracks_from_masks
from segs_detailer.subjects.masks import mask_stack, masks_to_segs, survey_masks
from segs_detailer.subjects.segs_of_tracks import tracks_to_segs
from segs_detailer.subjects.settings import CropSettings

if TYPE_CHECKING:
    from torch import Tensor

    from segs_detailer.segs import SEG, SEGS, Box

__all__ = [
    "ORDERS",
    "filter_segs",
    "from_basic_pipe",
    "mask_to_segs",
    "match_scale",
    "order_segs",
    "to_basic_pipe",
]


_LABELS = "make a mask of each"


def to_basic_pipe(model: Any, clip: Any, vae: Any, positive: Any, negative: Any) -> tuple[tuple[Any, ...]]:
    """Bind a model and its companions."""
    # A plain tuple: other packs compare and unpack it.
    return ((model, clip, vae, positive, negative),)


def from_basic_pipe(basic_pipe: Any) -> tuple[Any, ...]:
    """Give a pipe and its five parts.

    Raises
    ------
    InvalidTypeError
        `basic_pipe` is not a tuple of five.
    """
    if not (isinstance(basic_pipe, (tuple, list)) and len(basic_pipe) == 5):
        expected = "(model, clip, vae, positive, negative)"
        raise InvalidTypeError("basic_pipe", expected, f"{type(basic_pipe).__name__}")
    return (basic_pipe, *basic_pipe)


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
    return (tracks_to_segs(tracks, (stack.shape[1], stack.shape[2]), len(stack), settings),)


def match_scale(segs: SEGS, image_frames: Tensor) -> tuple[SEGS]:
    """Fit segments to frames of another size, see `segs_detailer.scale_match`."""
    return (scale_match(segs, image_frames.shape),)


def filter_segs(segs: SEGS, labels: str, min_area: int, max_area: int, min_confidence: float) -> tuple[SEGS, SEGS]:
    """Divide segments into those that meet every condition and the others.

    Parameters
    ----------
    segs : SEGS
        The segments.
    labels : str
        Labels between commas or on lines of their own; empty for all.
    min_area, max_area : int
        Limits of the bounding box's area in pixels, both included; a `max_area` of 0 is no limit.
    min_confidence : float
        Least confidence. Segments without one, such as those of masks, count as certain.

    Returns
    -------
    filtered, remained : SEGS
        Both in their old order.
    """
    size, items = check_segs(segs)
    wanted = {label.strip() for label in re.split(r"[,\n]", labels)} - {""}
    most = max_area or math.inf

    def is_met(seg: SEG) -> bool:
        named = not wanted or str(seg.label) in wanted
        return named and min_area <= _area(seg.bbox) <= most and _confidence(seg) >= min_confidence

    met = [is_met(seg) for seg in items]
    chosen = [seg for seg, is_in in zip(items, met, strict=True) if is_in]
    return (size, chosen), (size, [seg for seg, is_in in zip(items, met, strict=True) if not is_in])


def order_segs(segs: SEGS, by: str, descending: bool, take_start: int, take_count: int) -> tuple[SEGS, SEGS]:
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

    Returns
    -------
    ordered, remained : SEGS
        Both sorted.

    Raises
    ------
    InvalidArgumentError
        `by` is not known.
    """
    size, items = check_segs(segs)
    if by not in _KEYS:
        raise unknown_name("by", by, ORDERS)
    ordered = sorted(items, key=_KEYS[by], reverse=descending)
    end = take_start + take_count if take_count else len(ordered)
    return (size, ordered[take_start:end]), (size, ordered[:take_start] + ordered[end:])


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _confidence(seg: SEG) -> float:
    """Return a number also where a detector left an array of one, or nothing."""
    value = seg.confidence
    if value is None:
        return math.inf
    try:
        return float(value.max() if hasattr(value, "max") else value)
    except (TypeError, ValueError):
        raise InvalidTypeError("segs: confidence", "a number", type(value).__name__) from None


_KEYS = {
    "area": lambda seg: _area(seg.bbox),
    "width": lambda seg: seg.bbox[2] - seg.bbox[0],
    "height": lambda seg: seg.bbox[3] - seg.bbox[1],
    "x1": lambda seg: seg.bbox[0],
    "y1": lambda seg: seg.bbox[1],
    "x2": lambda seg: seg.bbox[2],
    "y2": lambda seg: seg.bbox[3],
    "confidence": _confidence,
    "label": lambda seg: str(seg.label),
}

ORDERS = tuple(_KEYS)
"""What segments can be sorted by: sides and edges are the bounding box's."""
