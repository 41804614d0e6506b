"""Boxes are followed from one frame to the next by how the picture in them moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from segs_detailer.subjects.finders.opencv import import_cv2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from segs_detailer.subjects.association import Box
    from segs_detailer.subjects.finders.pictures import View

__all__ = ["follow_boxes"]

# Points of a grid in the inner part of a box, at the edges of which there is ground.
_GRID = 6
_INNER = 0.7
# Windows and levels of the pyramid: motion of about 40 pixels of the gray picture is found.
_WINDOW = (11, 11)
_LEVELS = 3
# Steps at most, and the smallest one, in pixels.
_ACCURACY = (12, 0.02)
# A point counts that comes back to where it was, within so many pixels, and a box whose points do.
_BACK = 1.0
_LEAST_POINTS = 10
_LEAST_SHARE = 0.35
# What OpenCV's code for another processor may add in a last digit is rounded off, in shares of a pixel.
_ROUNDED = 256
_MOST_GROWTH = 1.15


def follow_boxes(before: View, after: View, boxes: Sequence[Box]) -> list[Box | None]:
    """Follow boxes from one frame to the next.

    Parameters
    ----------
    before, after : View
        The frame in which they are known, and the next one.
    boxes : sequence of (float, float, float, float)
        `(x1, y1, x2, y2)` in pixels of the frames.

    Returns
    -------
    list of (float, float, float, float) or None
        Each moved and resized as most of the points in it are; None where too few of them can be followed there and
        back.

    Notes
    -----
    The median flow of Kalal, Mikolajczyk and Matas (2010): of points that are followed by Lucas and Kanade's method,
    the median of their steps and that of the ratios of their distances from each other.
    """
    if not boxes:
        return []
    cv2 = import_cv2()
    old, new = before.gray(), after.gray()
    scale = np.array([old.shape[1] / before.size[1], old.shape[0] / before.size[0]])
    points = np.stack([_grid(box) for box in boxes]) * scale
    flat = np.ascontiguousarray(points.reshape(-1, 1, 2).astype(np.float32))
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, *_ACCURACY)
    options = {"winSize": _WINDOW, "maxLevel": _LEVELS, "criteria": criteria}
    there, found, _ = cv2.calcOpticalFlowPyrLK(old, new, flat, None, **options)
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(new, old, there, None, **options)
    error = np.linalg.norm((back - flat).reshape(-1, 2), axis=1)
    height, width = new.shape
    x, y = flat[:, 0, 0], flat[:, 0, 1]
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    good = (found.ravel() > 0) & (found_back.ravel() > 0) & (error < _BACK) & inside
    shape = (len(boxes), -1)
    moved = there.reshape(*shape, 2).astype(np.float64)
    rows = zip(boxes, points, moved, good.reshape(shape), inside.reshape(shape), strict=True)
    return [_moved(box, old_points, new_points, ok, known, scale) for box, old_points, new_points, ok, known in rows]


def _grid(box: Box) -> NDArray[np.float64]:
    """Points in a box, `(n, 2)`."""
    x1, y1, x2, y2 = box
    steps = ((np.arange(_GRID) + 0.5) / _GRID - 0.5) * _INNER
    x, y = np.meshgrid((x1 + x2) / 2 + steps * (x2 - x1), (y1 + y2) / 2 + steps * (y2 - y1))
    return np.stack([x.ravel(), y.ravel()], axis=1)


def _moved(
    box: Box,
    old: NDArray[np.float64],
    new: NDArray[np.float64],
    good: NDArray[np.bool_],
    known: NDArray[np.bool_],
    scale: NDArray[np.float64],
) -> Box | None:
    count = int(good.sum())
    if count < _LEAST_POINTS or count < _LEAST_SHARE * int(known.sum()):
        return None
    old, new = old[good], new[good]
    step = np.median(new - old, axis=0)
    # Of pairs that are far from each other: each with the one half of them later.
    partner = np.roll(np.arange(count), count // 2)
    lengths = np.linalg.norm(old - old[partner], axis=1)
    far = lengths > 0.25 * lengths.max()
    growth = float(np.median(np.linalg.norm(new - new[partner], axis=1)[far] / lengths[far]))
    if not 1 / _MOST_GROWTH <= growth <= _MOST_GROWTH:
        return None
    step, growth = np.round(step * _ROUNDED) / _ROUNDED / scale, round(growth * 4096) / 4096
    # The points' own middle moves by the median, and the box grows about it.
    middle = old.mean(axis=0) / scale
    x1, y1, x2, y2 = (growth * (np.array(box).reshape(2, 2) - middle) + middle + step).ravel().tolist()
    return x1, y1, x2, y2
