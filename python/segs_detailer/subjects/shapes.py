"""What is shown of a track in a frame: its mask, one carried over from near frames, a box or an ellipse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.crop_path import place_of
from segs_detailer.ops.blend import paste_
from segs_detailer.ops.masks import resize_masks
from segs_detailer.ops.turns import cos_sin, turned, turned_halves
from segs_detailer.subjects.motion import motion_of
from segs_detailer.subjects.settings import CropSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segs_detailer.crop_path import CropPath
    from segs_detailer.segs import Box
    from segs_detailer.subjects.mask import Mask
    from segs_detailer.subjects.track import Track

__all__ = ["ELLIPSE_SIZE", "own_boxes", "own_extents", "shape_extents", "track_masks"]

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

    In a crop that turns with its subject, the ellipse of a head stands upright. Masks and boxes are what they are in
    the frame, seen from the turned crop: brought to its pixels linearly.

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
    view = _TurnedView(track, path) if path.is_turned else None
    for frame, box in zip(frames.tolist(), boxes, strict=True):
        if not sure[frame - start]:
            continue
        if view is not None:
            view.draw(masks[frame - start], frame, box)
        else:
            _draw(masks[frame - start], track, frame, box, path.regions[frame, :2])
    return masks


def _draw(
    out: NDArray[np.uint8],
    track: Track,
    frame: int,
    box: NDArray[np.float64],
    corner: NDArray[np.float64],
) -> None:
    """Draw what is shown in a frame to its crop, whose corner lies at `corner` of the frame."""
    own, near = _shown(track, frame)
    if own is not None:
        _paint(out, track.masks[own], corner)
        return
    if not near:
        center, half = box[:2] - corner, 0.5 * box[2:]
        (_draw_ellipse if track.shape == "ellipse" else _draw_box)(out, center, half)
        return
    _fade(out, track, near, frame, [_carried(track, index, box, corner, out.shape) for index in near])


def _shown(track: Track, frame: int) -> tuple[int | None, list[int]]:
    """Return which mask a frame has, or those around it that are carried there; neither, where it shows the shape."""
    after = int(np.searchsorted(track.frames, frame))
    is_seen = frame in track.frames[after : after + 1]
    if is_seen and track.masks[after] is not None:
        return after, []
    near = [index for index in (after - 1, after) if 0 <= index < len(track.frames) and track.masks[index] is not None]
    return None, [] if is_seen else near


def _fade(
    out: NDArray[np.uint8], track: Track, near: list[int], frame: int, carried: list[NDArray[np.float32]]
) -> None:
    """Draw the masks around a frame as they are carried there, one fading into the other."""
    if len(carried) == 2:
        first, last = track.frames[near].tolist()
        share = np.float32((frame - first) / (last - first))
        carried[0] += share * (carried[1] - carried[0])
    np.copyto(out, np.floor(carried[0] + 0.5).astype(np.uint8))


class _TurnedView:
    """What is shown of a track, as seen from a crop that turns."""

    def __init__(self, track: Track, path: CropPath) -> None:
        self._track = track
        self._path = path
        self._places: NDArray[np.float64] = place_of(path)

    def draw(self, out: NDArray[np.uint8], frame: int, box: NDArray[np.float64]) -> None:
        """Draw a frame to its crop."""
        own, near = _shown(self._track, frame)
        mask = None if own is None else self._track.masks[own]
        if near:
            _fade(out, self._track, near, frame, [self._carried(index, frame, box) for index in near])
        elif mask is not None:
            if not mask.empty:
                np.copyto(out, _rounded(self._seen(frame, mask.pixels(), mask.place)))
        elif self._track.shape == "ellipse":
            turns = self._path.angles[frame]
            center = self._in_crop(frame, box[:2])
            _draw_ellipse(out, center, 0.5 * _own_sides(box[None, 2:], turns)[0])
        else:
            self._draw_box(out, frame, box)

    def _draw_box(self, out: NDArray[np.uint8], frame: int, box: NDArray[np.float64]) -> None:
        half = 0.5 * box[2:]
        # No more of it than the crop can show: boxes may be as large as one likes.
        around = self._path.boxes[frame]
        low = np.floor(np.maximum(box[:2] - half, around[:2] - 2)).astype(int)
        high = np.ceil(np.minimum(box[:2] + half, around[2:] + 2)).astype(int)
        if (low < high).all():
            pixels = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
            _draw_box(pixels, box[:2] - low, half)
            np.copyto(out, _rounded(self._seen(frame, pixels, (*low.tolist(), *high.tolist()))))

    def _carried(self, index: int, frame: int, box: NDArray[np.float64]) -> NDArray[np.float32]:
        """Levels of a mask of another frame, moved, scaled and turned with its subject."""
        mask = self._track.masks[index]
        if mask is None or mask.empty:
            return np.zeros(self._path.size, np.float32)
        place = _carried_place(mask.place, self._track.boxes[index], box, np.zeros(2))
        pixels = mask.pixels().astype(np.float32)
        size = (place[3] - place[1], place[2] - place[0])
        resized = pixels if size == pixels.shape else resize_masks(pixels, size)
        before = int(self._track.frames[index])
        return self._seen(frame, resized, place, float(self._path.angles[min(before, self._path.frames - 1)]))

    def _in_crop(self, frame: int, point: NDArray[np.float64]) -> NDArray[np.float64]:
        height, width = self._path.size
        away = turned(point - self._path.middles[frame], -self._path.angles[frame])
        return np.add(away, (0.5 * width, 0.5 * height))

    def _seen(
        self, frame: int, pixels: NDArray[np.generic], place: Box, angle: float | None = None
    ) -> NDArray[np.float32]:
        """Levels `(h, w)` of the crop that show pixels of the frame.

        They are a patch that is turned the other way within the crop: by the frame's angle, or the one that is given.
        """
        corners = np.array(place, np.float64)
        half = 0.5 * (corners[2:] - corners[:2])
        middle = self._in_crop(frame, corners[:2] + half)
        turn = self._path.angles[frame] if angle is None else angle
        levels = np.zeros((1, *self._path.size, 1), np.float32)
        mask = pixels.astype(np.float32) / np.float32(255)
        white = np.ones((1, *mask.shape, 1), np.float32)
        paste_(levels, white, mask, (*(middle - half).tolist(), *(middle + half).tolist(), float(-turn)))
        seen: NDArray[np.float32] = 255 * levels[0, ..., 0]
        return seen


def _rounded(levels: NDArray[np.float32]) -> NDArray[np.uint8]:
    rounded: NDArray[np.uint8] = np.floor(np.clip(levels, 0, 255) + 0.5).astype(np.uint8)
    return rounded


def _own_sides(sides: NDArray[np.float64], turns: Any) -> NDArray[np.float64]:
    """Guess the sides `(n, 2)` along its own axes of what is turned, from those of the upright box around it.

    Exact for quarter turns, and of what is as wide as high.
    """
    cos, sin = cos_sin(turns)
    across, down = (np.asarray(part**2)[..., None] for part in (cos, sin))
    guessed: NDArray[np.float64] = across * sides + down * sides[:, ::-1]
    return guessed


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


def own_extents(
    track: Track,
    frames: NDArray[np.int64],
    boxes: NDArray[np.float64],
    turns: NDArray[np.float64],
    frame_size: tuple[int, int],
) -> NDArray[np.float64]:
    """Bounds `(n, 4)`, along its own axes, of all that is shown of a turned track within the frame.

    Places along these axes are those of the frame, turned back about its corner.

    Parameters
    ----------
    track : Track
        The subject.
    frames, boxes : ndarray
        As for `shape_extents`.
    turns : ndarray
        `(n,)` degrees by which it is turned clockwise.
    frame_size : (int, int)
        Height and width of the frames.
    """
    half = 0.5 * boxes[:, 2:]
    around = np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)
    bounds = _bounds_of(around, turns)
    if track.shape == "ellipse":
        reach = 0.5 * _own_sides(boxes[:, 2:], turns) * ELLIPSE_SIZE + 0.5  # with its soft edge
        middles = turned(boxes[:, :2], -turns)
        bounds = _union(bounds, np.concatenate([middles - reach, middles + reach], axis=1))
        upright = turned_halves(reach, turns)
        around = _union(around, np.concatenate([boxes[:, :2] - upright, boxes[:, :2] + upright], axis=1))
    if track.has_masks:
        own = np.stack([_mask_bounds(mask, turn) for mask, turn in _masks_at(track, frames, turns)])
        bounds = np.where(np.isnan(own), bounds, own)
        _hold_carried(around, track, frames, boxes)
        unseen = ~np.isin(frames, track.frames)
        bounds = np.where(unseen[:, None], _bounds_of(around, turns), bounds)
        extents = np.array([_NO_PLACE if mask is None else mask.place for mask, _ in _masks_at(track, frames, turns)])
        around = np.where(np.isnan(extents), around, extents)
    height, width = frame_size
    inside = np.clip(around, 0, (width, height, width, height))
    seen = _bounds_of(inside, turns)
    low, high = np.maximum(bounds[:, :2], seen[:, :2]), np.minimum(bounds[:, 2:], seen[:, 2:])
    return np.concatenate([np.minimum(low, high), np.maximum(low, high)], axis=1)


_NO_PLACE = (np.nan,) * 4


def _masks_at(track: Track, frames: NDArray[np.int64], turns: NDArray[np.float64]) -> list[tuple[Mask | None, float]]:
    """Return the mask that each of some frames has itself, not an empty one, and how far it is turned."""
    own = {
        frame: mask
        for frame, mask in zip(track.frames.tolist(), track.masks, strict=True)
        if mask is not None and not mask.empty
    }
    return [(own.get(frame), turn) for frame, turn in zip(frames.tolist(), turns.tolist(), strict=True)]


def _mask_bounds(mask: Mask | None, turn: float) -> NDArray[np.float64]:
    """Bounds `(4,)` along turned axes of what a mask shows; NaN for none."""
    if mask is None:
        return np.full(4, np.nan)
    shown = mask.pixels() > 0
    rows = np.flatnonzero(shown.any(axis=1))
    first = shown[rows].argmax(axis=1)
    last = shown.shape[1] - shown[rows, ::-1].argmax(axis=1)
    x = np.concatenate([first, last, first, last])
    y = np.concatenate([rows, rows, rows + 1, rows + 1])
    points = turned(np.stack([x, y], axis=1) + np.array(mask.place[:2], np.float64), -turn)
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def _bounds_of(boxes: NDArray[np.float64], turns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bounds `(n, 4)` along turned axes of upright boxes `(n, 4)`."""
    middles = turned(0.5 * (boxes[:, :2] + boxes[:, 2:]), -turns)
    reach = turned_halves(0.5 * (boxes[:, 2:] - boxes[:, :2]), turns)
    return np.concatenate([middles - reach, middles + reach], axis=1)


def _union(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([np.minimum(one[:, :2], other[:, :2]), np.maximum(one[:, 2:], other[:, 2:])], axis=1)


def own_boxes(
    track: Track, frames: NDArray[np.int64], boxes: NDArray[np.float64], turns: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Boxes `(n, 4)` of a turned track along its own axes, as middle, width and height; see `own_extents`.

    Of a mask the box around what it shows; else the sides that a subject of the box may have.
    """
    guessed = np.concatenate([turned(boxes[:, :2], -turns), _own_sides(boxes[:, 2:], turns)], axis=1)
    if not track.has_masks:
        return guessed
    bounds = np.stack([_mask_bounds(mask, turn) for mask, turn in _masks_at(track, frames, turns)])
    of_masks = np.concatenate([0.5 * (bounds[:, :2] + bounds[:, 2:]), bounds[:, 2:] - bounds[:, :2]], axis=1)
    return np.where(np.isnan(of_masks), guessed, of_masks)


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
