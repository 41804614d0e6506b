"""Pairs of rows and columns with the greatest total score."""

from __future__ import annotations

from collections import defaultdict
from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray

__all__ = ["assign", "assign_sparse"]

_INFINITE = float("inf")


def assign(scores: NDArray[Any]) -> list[tuple[int, int]]:
    """Pair rows with columns, each at most once, so that the sum of the scores is greatest.

    Parameters
    ----------
    scores : ndarray
        `(n, m)` finite numbers; what is 0 or less is never paired.

    Returns
    -------
    list of (int, int)
        Row and column of each pair, by rows.
    """
    return assign_sparse([dict(enumerate(row)) for row in scores.tolist()])


def assign_sparse(rows: Sequence[Mapping[int, float]]) -> list[tuple[int, int]]:
    """Do the same where few of the pairs are possible: the work grows with these, not with rows times columns.

    Parameters
    ----------
    rows : sequence of mapping
        Of each row, the columns that it may have with their scores, finite numbers; what is 0 or less is never paired.

    Returns
    -------
    list of (int, int)
        Row and column of each pair, by rows.

    Notes
    -----
    The shortest augmenting path method with potentials of Jonker and Volgenant (1987), on lists of neighbors: a search
    looks at nothing beyond the rows that compete with each other.
    """
    matching = _Matching([{column: score for column, score in row.items() if score > 0} for row in rows])
    for row in range(len(rows)):
        matching.add(row)
    return sorted((row, column) for column, row in matching.owner.items())


class _Matching:
    """The best pairs of the rows so far. A row may also stay alone, at no cost; a pair costs its score's negative."""

    def __init__(self, rows: Sequence[Mapping[int, float]]) -> None:
        self._rows = rows
        self._row_price = [0.0] * len(rows)
        self._column_price: defaultdict[int, float] = defaultdict(float)
        self._column_of: dict[int, int] = {}
        self.owner: dict[int, int] = {}

    def add(self, start: int) -> None:
        """Find the cheapest way to place one more row, where those that have columns may change them."""
        least: dict[int, float] = {}
        came_from: dict[int, int] = {}
        done: dict[int, float] = {}
        heap: list[tuple[float, int]] = []
        row, so_far = start, 0.0
        alone, alone_cost = start, _INFINITE
        end: int | None = None
        while True:
            cost = so_far - self._row_price[row]
            if cost < alone_cost:
                alone, alone_cost = row, cost
            for column, score in self._rows[row].items():
                reduced = cost - score - self._column_price[column]
                if column not in done and reduced < least.get(column, _INFINITE):
                    least[column] = reduced
                    came_from[column] = row
                    heappush(heap, (reduced, column))
            while heap and heap[0][1] in done:
                heappop(heap)
            if not heap or heap[0][0] > alone_cost:
                total = alone_cost
                break
            so_far, end = heappop(heap)
            done[end] = so_far
            if end not in self.owner:
                total = so_far
                break
            row, end = self.owner[end], None
        for column, reached in done.items():
            if reached < total:
                self._column_price[column] += reached - total
                self._row_price[self.owner[column]] += total - reached
        self._row_price[start] += total
        self._change(start, alone, end, came_from)

    def _change(self, start: int, alone: int, end: int | None, came_from: Mapping[int, int]) -> None:
        """Give the rows along the way their new columns: up to a column that was free, or to a row that stays alone."""
        if end is None:
            if alone == start:
                return
            end = self._column_of.pop(alone)
        while True:
            row = came_from[end]
            before = self._column_of.get(row)
            self._column_of[row] = end
            self.owner[end] = row
            if row == start or before is None:
                return
            end = before
