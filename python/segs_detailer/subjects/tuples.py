"""Segments to SEGS, the named tuples that the detailer and ComfyUI's nodes take, and back."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from segs_detailer._interop import is_tensor
from segs_detailer.checks import shown, whole_number
from segs_detailer.crop_path import CropPath
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.mask_levels import unit_masks
from segs_detailer.segs import SEG, SEGS, Box, check_segs, combined_masks, warn_about_counts
from segs_detailer.subjects.mask import Mask
from segs_detailer.subjects.masks import make_crop_region
from segs_detailer.subjects.segments import Segments
from segs_detailer.subjects.settings import CropSettings
from segs_detailer.subjects.shapes import track_masks
from segs_detailer.subjects.track import Track

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["from_segs", "mask_pixels", "pixel_box", "to_segs"]


def to_segs(segments: Segments, *, crop_factor: float = 3.0, dtype: Literal["uint8", "float32"] = "uint8") -> SEGS:
    """Make one SEG of each track, with a mask for each frame.

    Where a track has a box and no mask, the mask shows the track's shape there, softened at its edges by what it
    covers of each pixel; where it is not seen, it is empty. A track that is nowhere in the frame is left out.

    Parameters
    ----------
    segments : Segments
        The tracks.
    crop_factor : float
        Size of the crop region, in sizes of the box around the track on its whole way. A track that was made from a
        SEG keeps that one's crop region, also one that moves. For crops that follow their tracks, and gaps that are
        bridged, see `segs_detailer.subjects.tracks_to_segs`.
    dtype : str
        Of the masks: `"uint8"`, 255 is all, a quarter of the memory; `"float32"` in [0, 1], as other nodes expect it.

    Returns
    -------
    SEGS
        Masks are NumPy `(B, h, w)`, `(h, w)` for one frame. The confidence is the mean over the frames.

    Raises
    ------
    InvalidArgumentError
        A `crop_factor` below 1, another `dtype`.
    """
    if dtype not in ("uint8", "float32"):
        raise InvalidArgumentError("dtype", "uint8 or float32", shown(dtype))
    segs = []
    for track in segments.tracks:
        regions = _regions(track, segments.frame_size, crop_factor)
        if regions is None:
            continue
        bbox, crop_region = regions
        stack = _stack(track, segments, crop_region)
        masks: NDArray[Any] = stack if dtype == "uint8" else stack.astype(np.float32) / np.float32(255)
        mask = masks[0] if segments.frame_count == 1 else masks
        segs.append(SEG(None, mask, _mean(track.confidence), crop_region, bbox, track.label))
    return segments.frame_size, segs


def _mean(confidence: NDArray[np.float64]) -> float:
    if len(confidence) == 0:
        return 1.0
    low, high = float(confidence.min()), float(confidence.max())
    # The mean of equal numbers may differ from them in the last digit.
    return low if low == high else float(confidence.mean())


def _regions(track: Track, size: tuple[int, int], crop_factor: float) -> tuple[Box, Box] | None:
    """Return bbox and crop region, or None for a track that is nowhere in the frame."""
    if track.bbox is not None and track.crop_region is not None:
        return track.bbox, track.crop_region
    places = [pixel_box(box, size) for box in track.boxes]
    boxes = _union([place for place in places if place is not None])
    masks = _union([mask.place for mask in track.masks if mask is not None and not mask.empty])
    area = _union([box for box in (boxes, masks) if box is not None])
    if area is None:
        return None
    return boxes or area, make_crop_region(size, area, crop_factor)


def _union(boxes: list[Box]) -> Box | None:
    if not boxes:
        return None
    table = np.array(boxes, np.int64)
    x1, y1 = table[:, :2].min(axis=0).tolist()
    x2, y2 = table[:, 2:].max(axis=0).tolist()
    return x1, y1, x2, y2


def pixel_box(box: Any, size: tuple[int, int]) -> Box | None:
    """Return the whole pixels that a box touches in a frame of `(height, width)`; None where there are none."""
    height, width = size
    x1, y1, x2, y2 = (float(value) for value in box)
    left, top = max(math.floor(x1), 0), max(math.floor(y1), 0)
    right, bottom = min(math.ceil(x2), width), min(math.ceil(y2), height)
    return (left, top, right, bottom) if left < right and top < bottom else None


def _stack(track: Track, segments: Segments, region: Box) -> NDArray[np.uint8]:
    count = segments.frame_count
    if count == 0:
        return np.zeros((0, region[3] - region[1], region[2] - region[0]), np.uint8)
    if isinstance(region, CropPath) and region.frames != count:
        expected = f"a path of {count} frames, as the segments have"
        raise InvalidArgumentError(f"track {track.id}: crop_region", expected, f"one of {region.frames}")
    path = region if isinstance(region, CropPath) else CropPath(np.tile(region, (count, 1)))
    exact = CropSettings(smoothing=0.0, max_gap=0)
    return track_masks(replace(track, shot=None), path, 0, count, segments.frame_size, exact)


def from_segs(segs: SEGS, *, frame_count: int | None = None) -> Segments:
    """Make one track of each SEG.

    Parameters
    ----------
    segs : SEGS
        From this package or from Impact Pack. Images and control nets are not carried.
    frame_count : int or None
        Number of frames. None takes the number of masks in the stacks, and 1 where no SEG has a stack.

    Returns
    -------
    Segments
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
    return Segments(size, count, tuple(tracks))


def _track(seg: SEG, index: int, size: tuple[int, int], count: int) -> Track:
    name = f"segs[1][{index}]"
    if not isinstance(seg.label, str):
        raise InvalidTypeError(f"{name}.label", "text", shown(seg.label))
    confidence = _confidence(seg.confidence, f"{name}.confidence")
    stack = _mask_stack(seg, count, f"{name}.cropped_mask")
    region = seg.crop_region
    if isinstance(region, CropPath):
        if region.frames != count:
            raise InvalidArgumentError(f"{name}.crop_region", f"a path of {count} frames", f"one of {region.frames}")
        stack = np.broadcast_to(stack, (count, *stack.shape[1:]))
        masks = [
            _placed_between(*place, size, f"{name}.cropped_mask") for place in zip(stack, region.regions, strict=True)
        ]
    else:
        masks = [_placed(pixels, region, size, f"{name}.cropped_mask") for pixels in stack]
    if len(masks) == 1:
        frames, boxes, masks = range(count), [seg.bbox] * count, masks * count
    else:
        seen = [frame for frame, mask in enumerate(masks) if not mask.empty]
        frames, masks = seen, [masks[frame] for frame in seen]  # type: ignore[assignment]
        boxes = [mask.place for mask in masks]
    return Track(index + 1, seg.label, list(frames), boxes, confidence, masks, seg.crop_region, seg.bbox)


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


def mask_pixels(mask: Any) -> NDArray[Any]:
    """Return NumPy or torch masks, from whatever device, as NumPy."""
    if not is_tensor(mask):
        return np.asarray(mask)
    tensor = mask.detach().cpu()
    # NumPy has no bfloat16.
    array: NDArray[Any] = (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    return array


def _placed(pixels: NDArray[Any], region: Box, size: tuple[int, int], name: str) -> Mask:
    """Make a mask of what lies in the frame. Floats are clamped, as the detailer clamps them."""
    height, width = size
    x1, y1, x2, y2 = region
    left, top, right, bottom = max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)
    inside = pixels[top - y1 : max(bottom, top) - y1, left - x1 : max(right, left) - x1]
    if inside.dtype.kind == "f":
        inside = np.clip(inside, 0.0, 1.0)
    return Mask.from_pixels(inside, (left, top), argument=name)


def _placed_between(pixels: NDArray[Any], place: NDArray[np.float64], size: tuple[int, int], name: str) -> Mask:
    """Make a mask of what lies in the frame at a place that may be between pixels: interpolated linearly there."""
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
