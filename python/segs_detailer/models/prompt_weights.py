"""Prompt syntax: weights in parentheses, for every text encoder that weights tokens."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

from segs_detailer.errors import InvalidTypeError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["EMPHASIS", "unweighted", "weighted_parts"]

EMPHASIS = 1.1
"""Factor of a pair of parentheses without a number."""

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


def unweighted(prompt: object, family: str) -> str:
    """Read a prompt for a text encoder that has no weights: its text, without their syntax.

    Parameters
    ----------
    prompt : str
        The prompt.
    family : str
        Name of the family, for the warning.

    Raises
    ------
    InvalidTypeError
        The prompt is no string.

    Warns
    -----
    UserWarning
        It has weights.
    """
    if not isinstance(prompt, str):
        raise InvalidTypeError("prompt", "a str", type(prompt).__name__)
    parts = weighted_parts(prompt)
    if any(weight != 1.0 for _, weight in parts):
        warnings.warn(f"{family} has no prompt weights: all words count alike", stacklevel=3)
    return "".join(part for part, _ in parts)


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
