"""Values of parsed files, checked where they are taken out."""

from __future__ import annotations

import math
from typing import Any

from segs_detailer.checks import shown
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.subjects.track import SHAPES, Shape

__all__ = ["box_of", "dict_of", "list_of", "number_of", "shape_of", "shot_of", "text_of", "whole_of"]


def dict_of(value: Any, place: str, expected: str = "an object") -> dict[str, Any]:
    """Return a JSON object."""
    if not isinstance(value, dict):
        raise InvalidTypeError(place, expected, shown(value))
    return value


def list_of(value: Any, place: str, expected: str = "a list") -> list[Any]:
    """Return a JSON list."""
    if not isinstance(value, list):
        raise InvalidTypeError(place, expected, shown(value))
    return value


def number_of(value: Any, place: str) -> float:
    """Return a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidTypeError(place, "a number", shown(value))
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InvalidArgumentError(place, "a finite number", shown(value))
    return number


def whole_of(value: Any, place: str, *, minimum: int = 0) -> int:
    """Return a whole number, also one that is written as 3.0."""
    number = number_of(value, place)
    if number != int(number) or number < minimum:
        raise InvalidArgumentError(place, f"a whole number of at least {minimum}", shown(value))
    return int(value)


def text_of(value: Any, place: str) -> str:
    """Return text; a number, as a label may be, is written out."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise InvalidTypeError(place, "text", shown(value))
    return value


def shot_of(value: Any, place: str) -> tuple[int, int] | None:
    """Return `(first frame, frame after the last)` of a shot; None where the file does not say."""
    if value is None:
        return None
    items = list_of(value, place, "[first frame, frame after the last]")
    if len(items) != 2:
        raise InvalidArgumentError(place, "[first frame, frame after the last]", f"{len(items)} values")
    return whole_of(items[0], place), whole_of(items[1], place)


def shape_of(value: Any, place: str) -> Shape:
    """Return what is shown of a subject without mask; its box where the file does not say."""
    for shape in SHAPES:
        if value == shape:
            return shape
    if value is None:
        return "box"
    raise InvalidArgumentError(place, " or ".join(map(repr, SHAPES)), shown(value))


def box_of(values: Any, place: str, *, with_size: bool = False) -> tuple[float, float, float, float]:
    """Return `(x1, y1, x2, y2)`.

    Parameters
    ----------
    values : list
        Four numbers.
    place : str
        Where they stand.
    with_size : bool
        They are x, y, width and height.
    """
    form = "[x, y, width, height]" if with_size else "[x1, y1, x2, y2]"
    items = list_of(values, place, form)
    if len(items) != 4:
        raise InvalidArgumentError(place, form, f"{len(items)} values")
    a, b, c, d = (number_of(value, place) for value in items)
    if with_size:
        c, d = a + c, b + d
    if c < a or d < b:
        limits = "a width and height of at least 0" if with_size else "x1 <= x2 and y1 <= y2"
        raise InvalidArgumentError(place, f"{form} with {limits}", shown(items))
    return a, b, c, d
