"""Which of many places each pixel of a region is nearest to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Place", "nearest_places"]

_FEW = 4
"""Distances to so many places are computed in every pixel: telling them apart block by block would take longer."""

_BLOCK = 16
"""Side in pixels of the smallest block."""

_ROUNDING = 1 + 1e-9
"""Distances in the pixels of a block may pass those of its edges by their rounding."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is, and its size, in which distances to it are measured.

    Parameters
    ----------
    x, y : float
        Its middle in pixels of the frame.
    width, height : float
        Its sides, above 0.
    """

    x: float
    y: float
    width: float
    height: float


def nearest_places(shape: tuple[int, ...], origin: tuple[int, int], places: Sequence[Place]) -> NDArray[np.int64]:
    """Find the nearest of some places for each pixel; of several at the same distance, the first.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the region.
    origin : (int, int)
        Column and row of the frame where its first pixel lies.
    places : sequence of Place
        At least one.

    Returns
    -------
    ndarray
        `(h, w)` int64: indices of places.

    Notes
    -----
    A block of pixels is cut in four as long as several places may be nearest in it: those that are farther from all of
    it than another is from any of it are left out. So the work grows with the pixels, not with pixels times places.
    """
    nearest = _Nearest(shape, origin, places)
    nearest.fill(slice(0, shape[0]), slice(0, shape[1]), np.arange(len(places)))
    return nearest.owner


class _Nearest:
    def __init__(self, shape: tuple[int, ...], origin: tuple[int, int], places: Sequence[Place]) -> None:
        self.owner = np.zeros(shape, np.int64)
        self._x = np.arange(origin[0], origin[0] + shape[1]) + 0.5
        self._y = np.arange(origin[1], origin[1] + shape[0]) + 0.5
        self._middle_x = np.array([place.x for place in places])
        self._middle_y = np.array([place.y for place in places])
        self._width = np.array([place.width for place in places])
        self._height = np.array([place.height for place in places])

    def fill(self, rows: slice, columns: slice, candidates: NDArray[np.int64]) -> None:
        """Write the owners of a block, which only the candidates can be."""
        height, width = rows.stop - rows.start, columns.stop - columns.start
        if height == 0 or width == 0:
            return
        if len(candidates) > _FEW:
            candidates = self._possible(rows, columns, candidates)
        if len(candidates) <= _FEW or max(height, width) <= _BLOCK:
            distances = [self._distance(rows, columns, index) for index in candidates.tolist()]
            self.owner[rows, columns] = candidates[np.argmin(distances, axis=0)]
            return
        middle, center = rows.start + height // 2, columns.start + width // 2
        for part in (slice(rows.start, middle), slice(middle, rows.stop)):
            for piece in (slice(columns.start, center), slice(center, columns.stop)):
                self.fill(part, piece, candidates)

    def _distance(self, rows: slice, columns: slice, index: int) -> NDArray[np.float64]:
        across = (self._x[columns] - self._middle_x[index]) / self._width[index]
        down = (self._y[rows, None] - self._middle_y[index]) / self._height[index]
        squared: NDArray[np.float64] = across**2 + down**2
        return squared

    def _possible(self, rows: slice, columns: slice, candidates: NDArray[np.int64]) -> NDArray[np.int64]:
        least, most = np.zeros(len(candidates)), np.zeros(len(candidates))
        for pixels, part, middles, sides in (
            (self._x, columns, self._middle_x, self._width),
            (self._y, rows, self._middle_y, self._height),
        ):
            low, high = pixels[part.start], pixels[part.stop - 1]
            middle, side = middles[candidates], sides[candidates]
            least += (np.maximum(np.maximum(low - middle, middle - high), 0) / side) ** 2
            most += (np.maximum(np.abs(low - middle), np.abs(high - middle)) / side) ** 2
        possible: NDArray[np.int64] = candidates[least <= most.min() * _ROUNDING]
        return possible
