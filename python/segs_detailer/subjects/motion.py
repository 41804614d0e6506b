"""Where a track is in every frame: its boxes without outliers, gaps bridged, ends extended to near cuts, smoothed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from segs_detailer.subjects.smoothing import regress, stand_in_for_outliers, window_radius

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segs_detailer.subjects.settings import CropSettings
    from segs_detailer.subjects.track import Track

__all__ = ["BRIDGED_WEIGHT", "Motion", "motion_of", "seen_frames"]

BRIDGED_WEIGHT = 0.05
"""How much a box that was put into a gap counts against one that was detected."""

_SPEED_FRAMES = 8
"""Detections at either end of a track that tell how fast it moves there."""

# A box that is so many of its sizes from where its motion around would take it, or so many times as large as before,
# was not moved there.
_LEAP = 2.0
_LEAP_SIZE = 2.0
_LEAP_FRAMES = 3

_OUTSIDE = 0.1
"""A track is not extended to where this share of its size more than before would be outside the frame."""


_GRID = 1024
"""Places are rounded to this share of a pixel."""


@dataclass(frozen=True, slots=True)
class Motion:
    """Boxes of a track with those that stand in for detections, and the runs of frames in which it is there.

    Parameters
    ----------
    frames : ndarray
        `(k,)` int64, ascending: frames with a box, detected or put at an end.
    boxes : ndarray
        `(k, 4)` their boxes as center x, center y, width and height.
    detected : ndarray
        `(k,)` bool.
    runs : list of (int, int)
        First frame and frame after the last of each run; between them the track is lost for long, or leaps.
    """

    frames: NDArray[np.int64]
    boxes: NDArray[np.float64]
    detected: NDArray[np.bool_]
    runs: list[tuple[int, int]]

    def present(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Whether it is there in each frame from `start` up to `stop`."""
        shown = np.zeros(stop - start, bool)
        for first, end in self.runs:
            shown[max(first - start, 0) : max(end - start, 0)] = True
        return shown

    def is_sure(self, start: int, stop: int, most: int) -> NDArray[np.bool_]:
        """Whether each frame from `start` up to `stop` is in no gap of more than `most` frames without a detection."""
        sure = np.ones(stop - start, bool)
        seen = self.frames[self.detected]
        for first, end in self.runs:
            own = slice(*np.searchsorted(seen, (first, end)).tolist())
            edges = np.concatenate([[first - 1], seen[own], [end]])
            for place in np.flatnonzero(np.diff(edges) > most + 1).tolist():
                low, high = edges[place] + 1 - start, edges[place + 1] - start
                sure[max(low, 0) : max(high, 0)] = False
        return sure

    def between(
        self, start: int, stop: int, width: float, size_width: float
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Frames from `start` up to `stop` in which it is there, `(n,)`, and their smoothed boxes, `(n, 4)`.

        `width` is that of the window for the middles, `size_width` that for the sizes, which change more slowly.
        """
        frames, boxes = [np.empty(0, np.int64)], [np.empty((0, 4))]
        for first, end in self.runs:
            low, high = max(first, start), min(end, stop)
            if low < high:
                frames.append(np.arange(low, high))
                boxes.append(self._smooth((first, end), low, high, (width, size_width)))
        return np.concatenate(frames), np.concatenate(boxes)

    def _smooth(self, run: tuple[int, int], low: int, high: int, widths: tuple[float, float]) -> NDArray[np.float64]:
        """Boxes of a part of a run; only what can touch it is looked at."""
        reach = window_radius(max(widths)) + 1
        start, stop = max(run[0], low - reach), min(run[1], high + reach)
        # Of the run's boxes beyond, interpolation needs one more.
        own_first, own_last = np.searchsorted(self.frames, run).tolist()
        first = max(int(np.searchsorted(self.frames, start, side="right")) - 1, own_first)
        last = min(int(np.searchsorted(self.frames, stop, side="left")) + 1, own_last)
        frames, known = self.frames[first:last], self.boxes[first:last]
        numbers = np.arange(start, stop)
        dense = np.stack([np.interp(numbers, frames, column) for column in known.T], axis=1)
        weights = np.full(len(numbers), BRIDGED_WEIGHT)
        weights[np.isin(numbers, frames[self.detected[first:last]])] = 1.0
        parts = [regress(dense[:, :2], weights, widths[0]), regress(dense[:, 2:], weights, widths[1])]
        own = slice(low - start, high - start)
        smooth = np.concatenate(parts, axis=1)[own]
        smooth[:, 2:] = np.maximum(smooth[:, 2:], 0.5 * dense[own, 2:])
        # Whatever part is asked for gives the same: sums over more frames differ in their last digits.
        return np.round(smooth * _GRID) / _GRID


def seen_frames(track: Track, frame_size: tuple[int, int], frame_count: int) -> NDArray[np.int64]:
    """Find those of a track's frames in which any of it is in the picture; returns their places in `track.frames`."""
    height, width = frame_size
    x1, y1, x2, y2 = track.boxes.T
    inside = (track.frames < frame_count) & (x2 > 0) & (y2 > 0) & (x1 < width) & (y1 < height) & (x1 < x2) & (y1 < y2)
    for index, mask in enumerate(track.masks):
        if mask is not None:
            inside[index] = not mask.empty and track.frames[index] < frame_count
    return np.flatnonzero(inside)


@lru_cache(maxsize=32)
def motion_of(track: Track, frame_size: tuple[int, int], frame_count: int, settings: CropSettings) -> Motion:
    """Put together where a track is; `runs` is empty where it is nowhere in the frame.

    The last ones are kept, as masks are asked for a few frames at a time.
    """
    seen = seen_frames(track, frame_size, frame_count)
    frames = track.frames[seen]
    boxes = _centerd(track, seen)
    detected = np.ones(len(frames), bool)
    if len(frames) == 0:
        return Motion(frames, boxes, detected, [])
    if settings.smoothing > 0 and not track.has_masks:
        boxes = stand_in_for_outliers(frames, boxes, boxes[:, [2, 3, 2, 3]])
    runs = _runs(frames, boxes, settings.max_gap)
    first, last = _extension(track, seen, settings.max_gap, frame_count)
    # Motion goes on from detections of the same run: across a jump or a long gap there is none.
    begin = np.flatnonzero(frames < runs[0][1])[:_SPEED_FRAMES]
    end = np.flatnonzero(frames >= runs[-1][0])[-_SPEED_FRAMES:][::-1]
    at_start = None if first is None else _extrapolated(frames[begin], boxes[begin], first, frame_size)
    at_end = None if last is None else _extrapolated(frames[end], boxes[end], last, frame_size)
    if first is not None and at_start is not None:
        frames, boxes, detected = _with(frames, boxes, detected, first, at_start, 0)
        runs[0] = (first, runs[0][1])
    if last is not None and at_end is not None:
        frames, boxes, detected = _with(frames, boxes, detected, last, at_end, len(frames))
        runs[-1] = (runs[-1][0], last + 1)
    return Motion(frames, boxes, detected, runs)


def _centerd(track: Track, seen: NDArray[np.int64]) -> NDArray[np.float64]:
    """Boxes as center and size; a mask whose box has no size gives its extent."""
    corners = track.boxes[seen].copy()
    for row, index in enumerate(seen.tolist()):
        mask = track.masks[index]
        if mask is not None and (corners[row, 2:] <= corners[row, :2]).any():
            corners[row] = mask.place
    return np.concatenate([0.5 * (corners[:, :2] + corners[:, 2:]), corners[:, 2:] - corners[:, :2]], axis=1)


def _runs(frames: NDArray[np.int64], boxes: NDArray[np.float64], max_gap: int) -> list[tuple[int, int]]:
    """Part the frames at long gaps, and at jumps that no motion makes: a cut that nobody named."""
    breaks = np.flatnonzero((np.diff(frames) > max_gap + 1) | _jumps(frames, boxes))
    gaps = np.diff(frames)[breaks] > max_gap + 1
    starts = [int(frames[0]), *frames[breaks + 1].tolist()]
    # What is missed at a jump is put to the part before, so that nothing comes and goes there.
    ends = [*np.where(gaps, frames[breaks] + 1, frames[breaks + 1]).tolist(), int(frames[-1]) + 1]
    return list(zip(starts, ends, strict=True))


def _jumps(frames: NDArray[np.int64], boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether the box leaps between each two detections, `(k - 1,)`: far beyond its motion around, or in size."""
    steps = np.diff(boxes[:, :2], axis=0)
    times = np.diff(frames)[:, None]
    if len(steps) == 0:
        return np.zeros(0, bool)
    speeds = np.pad(steps / times, ((_LEAP_FRAMES, _LEAP_FRAMES), (0, 0)), constant_values=np.nan)
    usual = np.nanmedian(np.lib.stride_tricks.sliding_window_view(speeds, 2 * _LEAP_FRAMES + 1, axis=0), axis=-1)
    sides = np.maximum(boxes[:, 2:].max(axis=1), 1.0)
    larger = np.maximum(sides[1:], sides[:-1])
    leaps: NDArray[np.bool_] = np.abs(steps - usual * times).max(axis=1) > _LEAP * larger
    leaps |= larger > _LEAP_SIZE * np.minimum(sides[1:], sides[:-1])
    return leaps


def _extension(track: Track, seen: NDArray[np.int64], max_gap: int, frame_count: int) -> tuple[int | None, int | None]:
    """First and last frame of the shot, each if the track begins or ends so near to it that it was there all along.

    Detectors start late. What has masks begins and ends where they say.
    """
    if track.shot is None:
        return None, None
    first, last = track.shot[0], min(track.shot[1], frame_count) - 1
    begins, ends = int(track.frames[seen[0]]), int(track.frames[seen[-1]])
    extends_start = 0 < begins - first <= max_gap and track.masks[seen[0]] is None
    extends_end = 0 < last - ends <= max_gap and track.masks[seen[-1]] is None
    return (first if extends_start else None), (last if extends_end else None)


def _extrapolated(
    frames: NDArray[np.int64], boxes: NDArray[np.float64], at: int, frame_size: tuple[int, int]
) -> NDArray[np.float64] | None:
    """Box in another frame if the motion of the nearest ones goes on.

    None where that leaves the frame: the subject came in, or went out.
    """
    times = frames - frames.mean()
    # One more frame squared: two or three detections say little about speed.
    speed = (times[:, None] * (boxes[:, :2] - boxes[:, :2].mean(axis=0))).sum(axis=0) / ((times**2).sum() + 1.0)
    nearest = boxes[0]
    moved = nearest.copy()
    moved[:2] += speed * (at - frames[0])
    more = _outside(moved, frame_size) - _outside(nearest, frame_size)
    return None if (more > _OUTSIDE * nearest[2:]).any() else moved


def _outside(box: NDArray[np.float64], frame_size: tuple[int, int]) -> NDArray[np.float64]:
    """How many pixels of a centered box are outside the frame across and down."""
    low = box[:2] - 0.5 * box[2:]
    high = box[:2] + 0.5 * box[2:]
    beyond: NDArray[np.float64] = np.maximum(-low, 0) + np.maximum(high - (frame_size[1], frame_size[0]), 0)
    return beyond


def _with(
    frames: NDArray[np.int64],
    boxes: NDArray[np.float64],
    detected: NDArray[np.bool_],
    frame: int,
    box: NDArray[np.float64],
    place: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    return np.insert(frames, place, frame), np.insert(boxes, place, box, axis=0), np.insert(detected, place, False)
