"""Small pictures by which subjects are told apart: a square around each, where it is seen best."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from segs_detailer.crop_path import CropPath, region_at
from segs_detailer.subjects.from_segs import tracks_from_segs
from segs_detailer.subjects.moments import sharpness, spread_moments

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from segs_detailer.segs import SEG, SEGS

__all__ = ["AROUND", "BACKGROUND", "Portrait", "segs_portraits", "square_around"]

AROUND = 1.4
"""Size of what is shown, in sizes of the subject's box."""

BACKGROUND = (24, 24, 27)
"""Red, green and blue of what is outside the frame, and around pictures."""

_CANDIDATES = 3
"""Frames of a segment that are looked at, of which the sharpest is taken."""


class Portrait(NamedTuple):
    """One subject.

    Parameters
    ----------
    number : int
        Its number among the segments, from 1.
    label : str
        What it is.
    frame : int
        The frame that is shown, from 0.
    pixels : ndarray
        `(side, side, 3)` float32 in [0, 1].
    """

    number: int
    label: str
    frame: int
    pixels: NDArray[np.float32]


def square_around(frame: NDArray[np.float32], box: NDArray[np.float64]) -> NDArray[np.float32]:
    """Cut a square around a box; what lies outside the frame is dark.

    Parameters
    ----------
    frame : ndarray
        `(H, W, 3)` float32 in [0, 1].
    box : ndarray
        `(x1, y1, x2, y2)` in pixels; it may pass the edges.

    Returns
    -------
    ndarray
        `(side, side, 3)`; it may share memory with `frame`.
    """
    x1, y1, x2, y2 = box.tolist()
    side = max(round(AROUND * max(x2 - x1, y2 - y1)), 2)
    left, top = round((x1 + x2 - side) / 2), round((y1 + y2 - side) / 2)
    height, width = frame.shape[:2]
    inside = frame[max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)]
    if inside.shape[0] == side == inside.shape[1]:
        return inside
    # A box far outside would otherwise ask for memory without end.
    side = min(side, 2 * max(height, width))
    square = np.full((side, side, 3), np.array(BACKGROUND, np.float32) / 255, np.float32)
    y, x = min(max(-top, 0), side), min(max(-left, 0), side)
    part = inside[: side - y, : side - x]
    square[y : y + part.shape[0], x : x + part.shape[1]] = part
    return square


def segs_portraits(segs: SEGS, frame_count: int, frame_at: Callable[[int], NDArray[np.float32]]) -> list[Portrait]:
    """Cut a square around each segment's subject.

    Of a segment with a mask for each frame it is the sharpest of those frames in which the subject is seen best, of any
    other the one in the middle of those in which it is shown.

    Parameters
    ----------
    segs : SEGS
        Checked segments in the frames' size.
    frame_count : int
        Frames of the clip, at least 1.
    frame_at : callable
        Gives a frame by its number, `(H, W, 3)` float32 in [0, 1].

    Returns
    -------
    list of Portrait
        One for each segment, in their order.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        Segments that cannot be used.
    """
    size, items = segs
    found = []
    for number, seg in enumerate(items, start=1):
        best: tuple[float, int, NDArray[np.float32]] | None = None
        for frame, box in _candidates(seg, size, frame_count):
            pixels = square_around(frame_at(frame), box)
            sharp = sharpness(pixels)
            if best is None or sharp > best[0]:
                # A copy: the square would hold the whole frame.
                best = sharp, frame, pixels.copy()
        assert best is not None  # there is always a candidate
        found.append(Portrait(number, str(seg.label), best[1], best[2]))
    return found


def _candidates(seg: SEG, size: tuple[int, int], count: int) -> list[tuple[int, NDArray[np.float64]]]:
    """Return frames in which a subject is seen well, with the box around it."""
    region, masks = seg.crop_region, seg.cropped_mask
    shown = region.alpha > 0 if isinstance(region, CropPath) else np.ones(count, bool)
    if masks is not None and masks.ndim == 3 and len(masks) == count > 1:
        track = tracks_from_segs((size, [seg._replace(label=str(seg.label))]), frame_count=count).tracks[0]
        [moments] = spread_moments(track, size, 1, candidates=count) or [[]]
        places = [place for place in moments if shown[track.frames[place]]][:_CANDIDATES]
        if places:
            return [(int(track.frames[place]), track.boxes[place]) for place in places]
    frames = np.flatnonzero(shown) if shown.any() else np.arange(count)
    frame = int(frames[len(frames) // 2])
    here = region_at(region, frame)
    x1, y1, x2, y2 = seg.bbox if seg.bbox[0] < seg.bbox[2] and seg.bbox[1] < seg.bbox[3] else tuple(region)
    across, down = here[0] - region[0], here[1] - region[1]
    return [(frame, np.array([x1 + across, y1 + down, x2 + across, y2 + down], np.float64))]
