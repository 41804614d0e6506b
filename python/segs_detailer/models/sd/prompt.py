"""Prompt syntax: weights in parentheses, and the rows of tokens that a CLIP text encoder takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["SpecialTokens", "TokenRow", "token_rows", "weighted_parts"]

EMPHASIS = 1.1
"""Factor of a pair of parentheses without a number."""

KEPT_WHOLE = 8
"""Stretches of fewer tokens are not divided between two rows; ComfyUI's value."""

# Private-use characters stand for escaped parentheses while the others are read.
_ESCAPES = {"\\(": "\ue000", "\\)": "\ue001"}
_LITERALS = str.maketrans({"\ue000": "(", "\ue001": ")"})


def weighted_parts(prompt: str) -> list[tuple[str, float]]:
    r"""Read a prompt's weights, by ComfyUI's rules.

    `(word)` multiplies the weight around it by 1.1, also when nested; `(word:1.3)` sets it, whatever is around it;
    `\(` and `\)` are parentheses of the text. Parentheses without a partner belong to the text as well.

    Parameters
    ----------
    prompt : str
        The prompt.

    Returns
    -------
    list of (str, float)
        The text in order, without its syntax, each stretch with its weight.

    Examples
    --------
    >>> weighted_parts(r"a (red:1.3) hat \(old\)")
    [('a ', 1.0), ('red', 1.3), (' hat (old)', 1.0)]
    """
    for escaped, stand_in in _ESCAPES.items():
        prompt = prompt.replace(escaped, stand_in)
    return [(text.translate(_LITERALS), weight) for text, weight in _parts(prompt, 1.0)]


def _parts(text: str, weight: float) -> Iterator[tuple[str, float]]:
    for item in _outermost(text):
        if len(item) < 2 or item[0] != "(" or item[-1] != ")":
            yield item, weight
            continue
        inner, own = item[1:-1], weight * EMPHASIS
        words, colon, figure = inner.rpartition(":")
        if colon and words:
            number = _number(figure)
            if number is not None:
                inner, own = words, number
        yield from _parts(inner, own)


def _number(figure: str) -> float | None:
    try:
        number = float(figure)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _outermost(text: str) -> Iterator[str]:
    """Divide a text into what stands in outermost parentheses, with them, and what stands between."""
    start, depth = 0, 0
    for place, character in enumerate(text):
        if character == "(":
            if depth == 0 and place > start:
                yield text[start:place]
                start = place
            depth += 1
        elif character == ")":
            depth -= 1
            if depth == 0:
                yield text[start : place + 1]
                start = place + 1
    if start < len(text):
        yield text[start:]


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
