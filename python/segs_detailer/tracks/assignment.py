"""Pairs of rows and columns with the greatest total score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["assign"]


def assign(scores: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Pair rows with columns, each at most once, so that the sum of the scores is greatest.

    Parameters
    ----------
    scores : ndarray
        `(n, m)` finite numbers; what is 0 or less is never paired.

    Returns
    -------
    list of (int, int)
        Row and column of each pair, by rows.

    Notes
    -----
    The shortest augmenting path method with potentials of Jonker and Volgenant (1987), cubic in the shorter side.
    """
    gains = np.maximum(scores, 0.0)
    if gains.size == 0 or not gains.any():
        return []
    positive = gains > 0
    if positive.sum(axis=0).max() == 1 and positive.sum(axis=1).max() == 1:
        # Nothing to choose: as nearly always, where subjects are apart.
        return [(int(row), int(column)) for row, column in np.argwhere(positive)]
    flipped = gains.shape[0] > gains.shape[1]
    columns = _columns_of_rows(-(gains.T if flipped else gains))
    pairs = [(column, row) if flipped else (row, column) for row, column in enumerate(columns)]
    return sorted((row, column) for row, column in pairs if positive[row, column])


def _columns_of_rows(costs: NDArray[np.float64]) -> list[int]:
    """Column of each row at least total cost; there are at least as many columns as rows."""
    rows, columns = costs.shape
    row_price, column_price = np.zeros(rows), np.zeros(columns)
    owner = np.full(columns, -1)
    for start in range(rows):
        least = np.full(columns, np.inf)
        came_from = np.full(columns, -1)
        done = np.zeros(columns, bool)
        row, last = start, -1
        while True:
            reduced = costs[row] - row_price[row] - column_price
            better = ~done & (reduced < least)
            least[better] = reduced[better]
            came_from[better] = last
            column = int(np.argmin(np.where(done, np.inf, least)))
            step = least[column]
            row_price[start] += step
            row_price[owner[done]] += step
            column_price[done] -= step
            least[~done] -= step
            done[column] = True
            last = column
            if owner[column] < 0:
                break
            row = int(owner[column])
        while last >= 0:
            before = int(came_from[last])
            owner[last] = start if before < 0 else owner[before]
            last = before
    result = [-1] * rows
    for column, row in enumerate(owner.tolist()):
        if row >= 0:
            result[row] = column
    return result
