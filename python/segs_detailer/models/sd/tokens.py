"""The rows of tokens that a CLIP text encoder takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SpecialTokens", "TokenRow", "token_rows"]

KEPT_WHOLE = 8
"""Stretches of fewer tokens are not divided between two rows; ComfyUI's value."""


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """Ids that a tokenizer puts around a text.

    Parameters
    ----------
    start, end, padding : int
        The first token of a row, the one after the text, and what fills the row.
    """

    start: int
    end: int
    padding: int


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One row for the text encoder.

    Parameters
    ----------
    ids : list of int
        Start, up to `width` tokens of text, end, padding: `width + 2` ids.
    weights : list of float
        One per id; 1 for all that is not text.
    """

    ids: list[int]
    weights: list[float]


def token_rows(stretches: Sequence[tuple[list[int], float]], width: int, special: SpecialTokens) -> list[TokenRow]:
    """Lay tokens out in rows.

    Parameters
    ----------
    stretches : sequence of (list of int, float)
        Tokens with their weight. A stretch of fewer than 8 goes to the next row where it does not fit into this one;
        a longer one is divided.
    width : int
        Tokens of text in a row: 75 for CLIP.
    special : SpecialTokens
        What is put around them.

    Returns
    -------
    list of TokenRow
        At least one.
    """
    rows: list[list[tuple[int, float]]] = [[]]
    for tokens, weight in stretches:
        left = [(token, weight) for token in tokens]
        whole = len(left) < KEPT_WHOLE
        while left:
            room = width - len(rows[-1])
            if len(left) > room and whole and rows[-1]:
                rows.append([])
                continue
            rows[-1].extend(left[:room])
            left = left[room:]
            if left:
                rows.append([])
    return [_row(row, width, special) for row in rows]


def _row(tokens: list[tuple[int, float]], width: int, special: SpecialTokens) -> TokenRow:
    padding = width - len(tokens)
    ids = [special.start, *(token for token, _ in tokens), special.end, *([special.padding] * padding)]
    return TokenRow(ids, [1.0, *(weight for _, weight in tokens), *([1.0] * (padding + 1))])
