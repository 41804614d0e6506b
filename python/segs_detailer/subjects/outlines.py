"""Polygons: masks from them and them from masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from segs_detailer.subjects.mask import Mask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["fill", "trace"]

_AT_ONCE = 1 << 21
"""Pixels, or crossings of edges with rows, that are counted at once."""


def fill(polygons: Sequence[NDArray[np.float64]], size: tuple[int, int]) -> Mask:
    """Return the mask of what lies in any of some polygons.

    A pixel counts if its center lies inside, by the even-odd rule: a polygon along the edges of pixels gives these.

    Parameters
    ----------
    polygons : sequence of ndarray
        Each `(n, 2)`: x and y of its corners, finite; the edge of the first pixel is 0.
    size : (int, int)
        Height and width of the frame; what passes it is cut off.
    """
    height, width = size
    shapes = [polygon for polygon in polygons if len(polygon) >= 3]
    if not shapes:
        return Mask.from_pixels(np.zeros((0, 0), bool))
    low = np.min([shape.min(axis=0) for shape in shapes], axis=0)
    high = np.max([shape.max(axis=0) for shape in shapes], axis=0)
    left, top = np.clip(np.floor(low), 0, (width, height)).astype(int).tolist()
    right, bottom = np.clip(np.ceil(high), 0, (width, height)).astype(int).tolist()
    inside = np.zeros((max(bottom - top, 0), max(right - left, 0)), np.uint8)
    if inside.size:
        for shape in shapes:
            inside |= _parity(shape, (left, top), inside.shape)
    return Mask.from_pixels(inside.view(bool), (left, top))


def _parity(corners: NDArray[np.float64], origin: tuple[int, int], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Write 1 where a ray from the pixel's center to the left crosses the outline an odd number of times."""
    height, width = shape
    parity = np.empty(shape, np.uint8)
    # Some rows at a time: what is counted takes many times the memory of the pixels, and of the corners.
    rows = max(_AT_ONCE // max(width + 1, len(corners)), 1)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        parity[top:bottom] = _parity_of_rows(corners - origin, (top, bottom), width)
    return parity


def _parity_of_rows(corners: NDArray[np.float64], rows: tuple[int, int], width: int) -> NDArray[np.uint8]:
    height = rows[1] - rows[0]
    x1, y1 = corners.T
    x2, y2 = np.roll(x1, -1), np.roll(y1, -1)
    first = np.clip(np.ceil(np.minimum(y1, y2) - 0.5), *rows).astype(np.int64)
    end = np.clip(np.ceil(np.maximum(y1, y2) - 0.5), *rows).astype(np.int64)
    counts = end - first
    edge = np.repeat(np.arange(len(counts)), counts)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    slope = (x2 - x1)[edge] / (y2 - y1)[edge]
    crossing = x1[edge] + (row + 0.5 - y1[edge]) * slope
    # Pixels whose center lies at or right of the crossing; the last column takes what lies beyond.
    column = np.clip(np.ceil(crossing - 0.5), 0, width).astype(np.int64)
    place = (row - rows[0]) * (width + 1) + column
    toggles = np.bincount(place, minlength=height * (width + 1)).reshape(height, width + 1)
    parity: NDArray[np.uint8] = (np.cumsum(toggles[:, :-1], axis=1) & 1).astype(np.uint8)
    return parity


def trace(mask: Mask) -> list[NDArray[np.int64]] | None:
    """Return the outlines of a mask along the edges of its pixels, or None where it has holes.

    Polygons of one object are added up, so that they cannot say what is a hole. Pixels that touch by a corner alone are
    outlined apart. `fill` gives the same mask again.

    Returns
    -------
    list of ndarray or None
        Each `(n, 2)`: x and y of its corners in the frame.
    """
    bits = mask.bits()
    if bits.size == 0:
        return []
    x, y, opens, horizontal, vertical = _corners(bits)
    sideways = _partners(np.lexsort((horizontal, x, y)))
    upright = _partners(np.lexsort((vertical, y, x)))
    origin = np.array(mask.place[:2])
    points = np.stack([x, y], axis=1) + origin
    outlines = []
    done = np.zeros(len(x), bool)
    # The first corner of an outline, from the top and then from the left, tells whether it surrounds pixels or a hole.
    for start in np.lexsort((horizontal, x, y)).tolist():
        if done[start]:
            continue
        if not opens[start]:
            return None
        path = []
        corner = start
        while not done[corner]:
            other = sideways[corner]
            path += [corner, other]
            done[corner] = done[other] = True
            corner = upright[other]
        outlines.append(points[path])
    return outlines


def _corners(bits: NDArray[np.bool_]) -> tuple[NDArray[np.int64], ...]:
    """Return x, y, whether the pixel right below is set, and how the corner pairs along rows and columns.

    A point where two pixels touch by a corner counts twice: once for each of them.
    """
    padded = np.pad(bits, 1).astype(np.int8)
    a, b, c, d = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    total = a + b + c + d
    y, x = np.nonzero(total % 2 == 1)
    zero = np.zeros(len(x), np.int64)
    # 0: pairs with the corner on the left (above), 1: with that on the right (below).
    falling_y, falling_x = np.nonzero((total == 2) & (a == d))
    is_falling = a[falling_y, falling_x] == 1
    two_x, two_y = np.repeat(falling_x, 2), np.repeat(falling_y, 2)
    side = np.tile([0, 1], len(falling_x))
    height = np.where(np.repeat(is_falling, 2), side, 1 - side)
    xs, ys = np.r_[x, two_x], np.r_[y, two_y]
    opens = d[ys, xs] == 1
    return xs, ys, opens, np.r_[zero, side], np.r_[zero, height]


def _partners(order: NDArray[np.int64]) -> list[int]:
    """Corners along a line belong together two by two."""
    partner = np.empty(len(order), np.int64)
    partner[order[0::2]], partner[order[1::2]] = order[1::2], order[0::2]
    return partner.tolist()
