"""What is shown of a track in a frame: its mask, one carried over from near frames, a box or an ellipse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from segs_detailer.ops.masks import resize_masks
from segs_detailer.subjects.motion import motion_of
from segs_detailer.subjects.settings import CropSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segs_detailer.crop_path import CropPath
    from segs_detailer.segs import Box
    from segs_detailer.subjects.mask import Mask
    from segs_detailer.subjects.track import Track

__all__ = ["ELLIPSE_SIZE", "shape_extents", "track_masks"]

ELLIPSE_SIZE = (1.15, 1.35)
"""Width and height of an ellipse in those of its box: face detectors' boxes run from the brows to the lips, and the
whole face is meant."""

_SAME_SIZE = 0.02
"""A mask that is carried over to a box of another size is resized where the sizes differ by more than this share."""


def track_masks(
    track: Track,
    path: CropPath,
    start: int,
    stop: int,
    frame_size: tuple[int, int],
    settings: CropSettings | None = None,
) -> NDArray[np.uint8]:
    """Masks of a part of the clip, in the track's crops.

    In frames of a short gap in which it was not seen, the masks before and after are carried to where it is then, and
    one fades into the other. Frames without masks show the track's shape, softened at its edges by what it covers of
    each pixel. Where the track is not there, and in gaps of more than `paste_gap` frames, masks are empty.

    Parameters
    ----------
    track : Track
        The subject.
    path : CropPath
        Its crop through the whole clip, as `crop_path` gives it.
    start, stop : int
        First frame, and the frame after the last.
    frame_size : (int, int)
        Height and width of the frames.
    settings : CropSettings or None
        Those of the path.

    Returns
    -------
    ndarray
        `(stop - start, h, w)` uint8, 0 to 255, in the path's size.
    """
    settings = settings or CropSettings()
    motion = motion_of(track, frame_size, path.frames, settings)
    masks = np.zeros((max(stop - start, 0), *path.size), np.uint8)
    frames, boxes = motion.between(start, stop, settings.shape_smoothing, settings.smoothing)
    sure = motion.is_sure(start, stop, settings.paste_gap) if len(frames) else np.empty(0, bool)
    for frame, box in zip(frames.tolist(), boxes, strict=True):
        if not sure[frame - start]:
            continue
        corner = path.regions[frame, :2]
        _draw(masks[frame - start], track, frame, box, corner)
    return masks


def _draw(
    out: NDArray[np.uint8],
    track: Track,
    frame: int,
    box: NDArray[np.float64],
    corner: NDArray[np.float64],
) -> None:
    """Draw what is shown in a frame to its crop, whose corner lies at `corner` of the frame."""
    after = int(np.searchsorted(track.frames, frame))
    if after < len(track.frames) and track.frames[after] == frame and track.masks[after] is not None:
        _paint(out, track.masks[after], corner)
        return
    near = [index for index in (after - 1, after) if 0 <= index < len(track.frames) and track.masks[index] is not None]
    if not near or frame in track.frames[after : after + 1]:
        center, half = box[:2] - corner, 0.5 * box[2:]
        (_draw_ellipse if track.shape == "ellipse" else _draw_box)(out, center, half)
        return
    carried = [_carried(track, index, box, corner, out.shape) for index in near]
    if len(carried) == 2:
        first, last = track.frames[near].tolist()
        share = np.float32((frame - first) / (last - first))
        carried[0] += share * (carried[1] - carried[0])
    np.copyto(out, np.floor(carried[0] + 0.5).astype(np.uint8))


def _paint(out: NDArray[np.uint8], mask: Mask | None, corner: NDArray[np.float64]) -> None:
    if mask is None:
        return
    whole = np.floor(corner).astype(int)
    part = corner - whole
    if not part.any():
        mask.paint(out, (int(whole[0]), int(whole[1])))
        return
    # Between pixels: linear interpolation, as masks are pasted there.
    wide = np.zeros((out.shape[0] + 1, out.shape[1] + 1), np.uint8)
    mask.paint(wide, (int(whole[0]), int(whole[1])))
    np.copyto(out, np.floor(_between(wide.astype(np.float32), part) + 0.5).astype(np.uint8))


def _between(wide: NDArray[np.float32], part: NDArray[np.float64]) -> NDArray[np.float32]:
    x, y = part.astype(np.float32)
    rows: NDArray[np.float32] = wide[:-1] + y * (wide[1:] - wide[:-1])
    mixed: NDArray[np.float32] = rows[:, :-1] + x * (rows[:, 1:] - rows[:, :-1])
    return mixed


def _carried(
    track: Track, index: int, box: NDArray[np.float64], corner: NDArray[np.float64], size: tuple[int, ...]
) -> NDArray[np.float32]:
    """Levels of a mask of another frame, moved and scaled with its box."""
    mask = track.masks[index]
    out = np.zeros(size, np.float32)
    if mask is None or mask.empty:
        return out
    left, top, right, bottom = _carried_place(mask.place, track.boxes[index], box, corner)
    pixels: NDArray[np.float32] = mask.pixels().astype(np.float32)
    new_size = (bottom - top, right - left)
    resized = pixels if new_size == pixels.shape else resize_masks(pixels, new_size)
    _copy(resized, out, left, top)
    return out


def _carried_place(place: Box, own: NDArray[np.float64], box: NDArray[np.float64], corner: NDArray[np.float64]) -> Box:
    """Whole pixels, counted from `corner`, of a mask that moves and is scaled with its box."""
    extent = own[2:] - own[:2]
    scale = np.where(extent > 0, box[2:] / np.maximum(extent, 1e-9), 1.0)
    scale = np.where(np.abs(scale - 1) <= _SAME_SIZE, 1.0, scale)
    low = box[:2] + (np.array(place[:2], np.float64) - 0.5 * (own[:2] + own[2:])) * scale - corner
    left, top = int(np.floor(low[0] + 0.5)), int(np.floor(low[1] + 0.5))
    width, height = (max(round(float(length)), 1) for length in (np.array(place[2:]) - place[:2]) * scale)
    return left, top, left + width, top + height


def _copy(pixels: NDArray[np.float32], out: NDArray[np.float32], left: int, top: int) -> None:
    """Write pixels to their place, as far as that is in the picture."""
    x1, y1 = max(left, 0), max(top, 0)
    x2, y2 = min(left + pixels.shape[1], out.shape[1]), min(top + pixels.shape[0], out.shape[0])
    if x1 < x2 and y1 < y2:
        out[y1:y2, x1:x2] = pixels[y1 - top : y2 - top, x1 - left : x2 - left]


def _draw_box(out: NDArray[np.uint8], center: NDArray[np.float64], half: NDArray[np.float64]) -> None:
    """Draw what a box covers of each pixel."""
    covered = []
    for axis, count in ((1, out.shape[0]), (0, out.shape[1])):
        pixels = np.arange(count)
        low, high = center[axis] - half[axis], center[axis] + half[axis]
        covered.append(np.clip(np.minimum(pixels + 1, high) - np.maximum(pixels, low), 0, 1))
    np.copyto(out, np.floor(255 * np.outer(*covered) + 0.5).astype(np.uint8))


def _draw_ellipse(out: NDArray[np.uint8], center: NDArray[np.float64], half: NDArray[np.float64]) -> None:
    """Draw an ellipse, with the share of pixels at its edge from their distance to it."""
    axes = np.maximum(half * ELLIPSE_SIZE, 0.5)
    low = np.maximum(np.floor(center - axes - 1), 0).astype(int)
    high = np.minimum(np.ceil(center + axes + 1), (out.shape[1], out.shape[0])).astype(int)
    if (low >= high).any():
        return
    x = (np.arange(low[0], high[0]) + 0.5 - center[0])[None] / axes[0]
    y = (np.arange(low[1], high[1]) + 0.5 - center[1])[:, None] / axes[1]
    # Distance to the edge to first order: the value of x^2 + y^2 - 1 by the length of its gradient.
    gradient = 2 * np.sqrt((x / axes[0]) ** 2 + (y / axes[1]) ** 2)
    distance = (x**2 + y**2 - 1) / np.maximum(gradient, 1e-9)
    levels = np.floor(255 * np.clip(0.5 - distance, 0, 1) + 0.5).astype(np.uint8)
    out[low[1] : high[1], low[0] : high[0]] = levels


def shape_extents(track: Track, frames: NDArray[np.int64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corners `(n, 4)` in whole pixels of all that is shown of a track in some frames.

    From its boxes there as center and size, which are held as well where an ellipse or a mask shows less.
    """
    half = 0.5 * boxes[:, 2:]
    if track.shape == "ellipse":
        half = half * ELLIPSE_SIZE + 0.5  # with its soft edge
    extents = np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)
    if track.has_masks:
        rows = np.searchsorted(frames, track.frames)
        for row, frame, mask in zip(rows.tolist(), track.frames.tolist(), track.masks, strict=True):
            if row < len(frames) and frames[row] == frame and mask is not None and not mask.empty:
                _widen(extents[row], mask.place)
        _hold_carried(extents, track, frames, boxes)
    return np.concatenate([np.floor(extents[:, :2]), np.ceil(extents[:, 2:])], axis=1)


def _widen(extent: NDArray[np.float64], place: Box) -> None:
    """Let an extent hold a place as well."""
    np.minimum(extent[:2], place[:2], out=extent[:2])
    np.maximum(extent[2:], place[2:], out=extent[2:])


def _hold_carried(
    extents: NDArray[np.float64], track: Track, frames: NDArray[np.int64], boxes: NDArray[np.float64]
) -> None:
    """Hold the masks that are carried over a gap, too: they may be larger than the box there."""
    after = np.searchsorted(track.frames, frames)
    unseen = np.flatnonzero(~np.isin(frames, track.frames))
    for row in unseen.tolist():
        for index in (int(after[row]) - 1, int(after[row])):
            mask = track.masks[index] if 0 <= index < len(track.masks) else None
            if mask is not None and not mask.empty:
                _widen(extents[row], _carried_place(mask.place, track.boxes[index], boxes[row], np.zeros(2)))
