"""Which boxes of many touch another, without a look at each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["BoxIndex"]


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
