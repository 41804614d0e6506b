"""SEGS, the named tuples that the detailer and ComfyUI's nodes take, to tracks."""

from __future__ import annotations

import math
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.checks import shown, whole_number
from segs_detailer.crop_path import CropPath, mask_on_frame
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.lazy_masks import is_lazy
from segs_detailer.mask_levels import unit_masks
from segs_detailer.segs import SEG, SEGS, Box, check_segs, combined_masks, warn_about_counts
from segs_detailer.subjects.mask import Mask, mask_pixels
from segs_detailer.subjects.track import Track, Tracks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["tracks_from_segs"]


def tracks_from_segs(segs: SEGS, *, frame_count: int | None = None) -> Tracks:
    """Make one track of each SEG.

    Parameters
    ----------
    segs : SEGS
        From this package or from Impact Pack. Images and control nets are not carried.
    frame_count : int or None
        Number of frames. None takes the number of masks in the stacks, and 1 where no SEG has a stack.

    Returns
    -------
    Tracks
        Ids count from 1. A mask for all frames is in each of them, with the SEG's bbox as its box; in a stack each box
        is the extent of the frame's own mask, and frames with an empty mask are gaps: a SEG whose masks are all empty
        is in no frame, and has no confidence.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        SEGS that cannot be used; stacks of several lengths without `frame_count`.
    """
    size, items = check_segs(segs)
    lengths = {len(item.cropped_mask) for item in items if getattr(item.cropped_mask, "ndim", 2) == 3} - {1}
    lengths |= {item.crop_region.frames for item in items if isinstance(item.crop_region, CropPath)}
    if frame_count is None:
        if len(lengths) > 1:
            raise InvalidArgumentError("segs", "stacks of masks of one length", f"{sorted(lengths)}: give frame_count")
        count = lengths.pop() if lengths else 1
    else:
        count = whole_number("frame_count", frame_count, minimum=1)
    warn_about_counts((size, items), count)
    tracks = [_track(item, index, size, count) for index, item in enumerate(items)]
    return Tracks(size, count, tuple(tracks))


def _track(seg: SEG, index: int, size: tuple[int, int], count: int) -> Track:
    name = f"segs[1][{index}]"
    if not isinstance(seg.label, str):
        raise InvalidTypeError(f"{name}.label", "text", shown(seg.label))
    confidence = _confidence(seg.confidence, f"{name}.confidence")
    argument = f"{name}.cropped_mask"
    stack, number = _masks_of(seg, count, argument)
    region = seg.crop_region
    if isinstance(region, CropPath):
        if region.frames != count:
            raise InvalidArgumentError(f"{name}.crop_region", f"a path of {count} frames", f"one of {region.frames}")
        stack = stack if number == count else repeat(next(iter(stack)), count)
        masks = [
            _placed_between(*place, size, argument)
            for place in zip(stack, region.regions, region.angles.tolist(), strict=True)
        ]
    else:
        masks = [_placed(pixels, region, size, argument) for pixels in stack]
    if len(masks) == 1:
        frames, boxes, masks = range(count), [seg.bbox] * count, masks * count
    else:
        seen = [frame for frame, mask in enumerate(masks) if not mask.empty]
        frames, masks = seen, [masks[frame] for frame in seen]  # type: ignore[assignment]
        boxes = [mask.place for mask in masks]
    return Track(index + 1, seg.label, list(frames), boxes, confidence, masks, seg.crop_region, seg.bbox)


def _masks_of(seg: SEG, count: int, name: str) -> tuple[Iterable[NDArray[Any]], int]:
    """Return the masks of a SEG one after the other, and how many there are: 1 or `count`."""
    lazy = seg.cropped_mask
    if is_lazy(lazy) and len(lazy) == count:
        return (mask_pixels(lazy[frame]) for frame in range(count)), count
    stack = _mask_stack(seg, count, name)
    return stack, len(stack)


def _mask_stack(seg: SEG, count: int, name: str) -> NDArray[Any]:
    """Return the masks of a SEG, `(1 or count, h, w)`, as floats, bool or bytes of which 255 is white."""
    if seg.cropped_mask is None:
        x1, y1, x2, y2 = seg.crop_region
        return np.ones((1, y2 - y1, x2 - x1), bool)
    mask = mask_pixels(seg.cropped_mask)
    stack = mask[None] if mask.ndim == 2 else mask
    if len(stack) not in (1, count):
        combined: NDArray[Any] = combined_masks(unit_masks(stack, name), count)
        return combined
    # What needs no floats takes a quarter of the memory.
    is_plain = stack.dtype == np.bool_ or (stack.dtype == np.uint8 and stack.max(initial=0) > 1)
    plain: NDArray[Any] = stack if is_plain else unit_masks(stack, name)
    return plain


def _placed(pixels: NDArray[Any], region: Box, size: tuple[int, int], name: str) -> Mask:
    """Make a mask of what lies in the frame. Floats are clamped, as the detailer clamps them."""
    height, width = size
    x1, y1, x2, y2 = region
    left, top, right, bottom = max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)
    inside = pixels[top - y1 : max(bottom, top) - y1, left - x1 : max(right, left) - x1]
    if inside.dtype.kind == "f":
        inside = np.clip(inside, 0.0, 1.0)
    return Mask.from_pixels(inside, (left, top), argument=name)


def _placed_between(
    pixels: NDArray[Any], place: NDArray[np.float64], angle: float, size: tuple[int, int], name: str
) -> Mask:
    """Make a mask of what lies in the frame at a place that may be between pixels, or turned: interpolated linearly."""
    if angle:
        full = np.float32(255 if pixels.dtype == np.uint8 else 1)
        left, top, levels = mask_on_frame(pixels.astype(np.float32) / full, (*place.tolist(), angle), size)
        return Mask.from_pixels(levels, (left, top), argument=name)
    corner = np.floor(place[:2])
    x, y = (place[:2] - corner).astype(np.float32)
    left, top = corner.astype(int).tolist()
    height, width = pixels.shape
    if x or y:
        scale = np.float32(1 / 255 if pixels.dtype == np.uint8 else 1)
        wide = np.pad(pixels.astype(np.float32) * scale, 1)
        rows = y * wide[:-1] + (1 - y) * wide[1:]
        pixels = x * rows[:, :-1] + (1 - x) * rows[:, 1:]
        height, width = height + 1, width + 1
    return _placed(pixels, (left, top, left + width, top + height), size, name)


def _confidence(value: Any, name: str) -> float:
    """Return the number that detectors write as a float, a NumPy scalar or an array of one."""
    if value is None:
        return 1.0
    try:
        number = float(value.item() if hasattr(value, "item") else value)
    except (TypeError, ValueError, RuntimeError):
        raise InvalidTypeError(name, "a number", shown(value)) from None
    if not math.isfinite(number):
        raise InvalidArgumentError(name, "a finite number", shown(number))
    return number
