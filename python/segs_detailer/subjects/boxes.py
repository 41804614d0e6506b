"""Boxes and sizes of frames: checked, compared, joined, and what of one lies in another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.checks import MAX_COORDINATE, shown, whole_number
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from segs_detailer.segs import Box

__all__ = [
    "MAX_PIXELS",
    "BoxIndex",
    "box_corners",
    "check_crop_factor",
    "check_frame_size",
    "make_crop_region",
    "overlap",
    "pixel_box",
    "shared_parts",
    "size_of_frame",
    "touched_pixels",
    "union_box",
]

MAX_PIXELS = 1 << 28
"""Largest frame, in pixels: 16384x16384. A damaged file that names more would ask for all the memory."""


# Sizes


def size_of_frame(argument: str, size: Any, *, minimum: int = 0) -> tuple[int, int]:
    """Return height and width as whole numbers.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        They are none, or below `minimum`.
    """
    try:
        height, width = size
    except (TypeError, ValueError):
        raise InvalidTypeError(argument, "(height, width)", shown(size)) from None
    return whole_number(argument, height, minimum=minimum), whole_number(argument, width, minimum=minimum)


def check_frame_size(argument: str, size: Any) -> tuple[int, int]:
    """Return height and width of a frame, at least one pixel each and not beyond `MAX_PIXELS`.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        They cannot be used.
    """
    rows, columns = size_of_frame(argument, size, minimum=1)
    if rows * columns > MAX_PIXELS:
        raise InvalidArgumentError(argument, f"frames of at most {MAX_PIXELS} pixels", f"{columns}x{rows}")
    return rows, columns


# Boxes


def overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """Intersection over union, 0 to 1."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def union_box(boxes: Sequence[Box]) -> Box | None:
    """Return the box around some boxes in whole pixels; None where there are none."""
    if not boxes:
        return None
    table = np.array(boxes, np.int64)
    x1, y1 = table[:, :2].min(axis=0).tolist()
    x2, y2 = table[:, 2:].max(axis=0).tolist()
    return x1, y1, x2, y2


def pixel_box(box: Iterable[float], size: tuple[int, int]) -> Box | None:
    """Return the whole pixels that a box touches in a frame of `(height, width)`; None where there are none."""
    height, width = size
    x1, y1, x2, y2 = (float(value) for value in box)
    left, top = max(math.floor(x1), 0), max(math.floor(y1), 0)
    right, bottom = min(math.ceil(x2), width), min(math.ceil(y2), height)
    return (left, top, right, bottom) if left < right and top < bottom else None


def shared_parts(own: Box, other: Box) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """Return what two boxes have in common, as rows and columns of each; None where that is nothing."""
    left, top = max(own[0], other[0]), max(own[1], other[1])
    right, bottom = min(own[2], other[2]), min(own[3], other[3])
    if left >= right or top >= bottom:
        return None
    return (
        (slice(top - own[1], bottom - own[1]), slice(left - own[0], right - own[0])),
        (slice(top - other[1], bottom - other[1]), slice(left - other[0], right - other[0])),
    )


class BoxIndex:
    """Boxes, sorted by their left edges.

    Parameters
    ----------
    boxes : sequence of (float, float, float, float)
        `(x1, y1, x2, y2)` each.
    """

    def __init__(self, boxes: Sequence[tuple[float, float, float, float]]) -> None:
        corners = np.array(boxes, np.float64).reshape(-1, 4)
        self._order = np.argsort(corners[:, 0], kind="stable")
        self._left, self._top, self._right, self._bottom = np.ascontiguousarray(corners[self._order].T)
        self._widest = float((self._right - self._left).max(initial=0.0))

    def touching(self, box: tuple[float, float, float, float]) -> list[int]:
        """Places in the sequence, ascending, of the boxes that share a point with another, be it of their edges."""
        x1, y1, x2, y2 = box
        first = int(np.searchsorted(self._left, x1 - self._widest))
        last = int(np.searchsorted(self._left, x2, side="right"))
        near = slice(first, last)
        touches = (self._right[near] >= x1) & (self._bottom[near] >= y1) & (self._top[near] <= y2)
        return sorted(self._order[near][touches].tolist())


# Regions around boxes


def make_crop_region(frame_size: Sequence[int], bbox: Sequence[float], crop_factor: float) -> Box:
    """Return the region around a box that is worked on.

    It has `crop_factor` times the width and height of the box and its center, and is moved into the frame where it
    passes an edge; a side longer than the frame's becomes that. Edges are truncated to whole pixels as Impact Pack
    truncates them: with a `crop_factor` just above 1 the last row or column of the box may be left out.

    Parameters
    ----------
    frame_size : (int, int)
        Height and width of the frames.
    bbox : (x1, y1, x2, y2)
        The box in pixels; it must touch the frame.
    crop_factor : float
        At least 1.

    Returns
    -------
    (int, int, int, int)
        `(x1, y1, x2, y2)`.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        Arguments that cannot be used.

    Examples
    --------
    >>> from segs_detailer import make_crop_region
    >>> make_crop_region((90, 160), (60, 30, 80, 50), 2.0)
    (50, 20, 90, 60)
    """
    height, width = size_of_frame("frame_size", frame_size)
    check_crop_factor(crop_factor)
    corners = box_corners("bbox", bbox)
    touched_pixels(corners, (height, width), "bbox")
    x1, x2 = _crop_span(corners[0], corners[2], crop_factor, width)
    y1, y2 = _crop_span(corners[1], corners[3], crop_factor, height)
    return x1, y1, x2, y2


def _crop_span(start: float, end: float, factor: float, limit: int) -> tuple[int, int]:
    """Return both edges along one axis: at least one pixel, also for a box that is smaller."""
    length = (end - start) * factor
    first = int(start + (end - start) / 2 - length / 2)
    if first < 0:
        return 0, int(min(limit, max(length, 1)))
    if first + length > limit:
        return int(max(0, limit - max(length, 1))), limit
    return first, max(int(first + length), first + 1)


def box_corners(name: str, box: Any) -> tuple[float, float, float, float]:
    """Return four finite numbers that span an area."""
    try:
        x1, y1, x2, y2 = (float(value) for value in box)
    except (TypeError, ValueError):
        raise InvalidTypeError(name, "(x1, y1, x2, y2)", shown(box)) from None
    except OverflowError:  # an int beyond all floats
        raise InvalidArgumentError(name, f"|coordinate| <= {MAX_COORDINATE}", shown(box)) from None
    if not (all(map(math.isfinite, (x1, y1, x2, y2))) and x1 < x2 and y1 < y2):
        raise InvalidArgumentError(
            name, "finite (x1, y1, x2, y2) with x1 < x2 and y1 < y2", f"({x1}, {y1}, {x2}, {y2})"
        )
    if max(map(abs, (x1, y1, x2, y2))) > MAX_COORDINATE:
        raise InvalidArgumentError(name, f"|coordinate| <= {MAX_COORDINATE}", f"({x1}, {y1}, {x2}, {y2})")
    return x1, y1, x2, y2


def touched_pixels(corners: tuple[float, float, float, float], size: tuple[int, int], name: str) -> Box:
    """Return the whole pixels that a box touches in a frame of `(height, width)`; see `pixel_box`.

    Raises
    ------
    InvalidArgumentError
        There are none.
    """
    height, width = size
    box = pixel_box(corners, size)
    if box is None:
        raise InvalidArgumentError(name, f"a box that touches the frame of {width}x{height} pixels", f"{corners}")
    return box


def check_crop_factor(crop_factor: float) -> None:
    """Refuse what is no number from 1 on."""
    if isinstance(crop_factor, bool) or not isinstance(crop_factor, (int, float, np.integer, np.floating)):
        raise InvalidTypeError("crop_factor", "a number", shown(crop_factor))
    # NaN fails every comparison; a factor beyond all coordinates says nothing, and its products pass all floats.
    if not 1.0 <= crop_factor <= MAX_COORDINATE:
        expected = f"a finite number of at least 1 and at most {MAX_COORDINATE}"
        raise InvalidArgumentError("crop_factor", expected, shown(crop_factor))
