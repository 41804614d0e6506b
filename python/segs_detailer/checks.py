"""Checks of single arguments, and how messages show a value."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "MAX_COORDINATE",
    "flag",
    "float32_number",
    "integer",
    "number",
    "number_ranges",
    "shown",
    "typed",
    "unit_number",
    "whole_number",
]

MAX_COORDINATE = 1 << 30
"""Largest size and coordinate of the kernels: sums and products of two such numbers fit an int64."""

_INFINITE = float("inf")
_MAX_SHOWN = 80  # characters of a value in a message
_MAX_FLOAT32 = float(np.finfo(np.float32).max)
# What is no number, though Python's conversions take it for one.
_NO_NUMBERS = (bool, str, bytes)


def whole_number(argument: str, value: Any, *, minimum: int) -> int:
    """Return a Python or NumPy integer that is not below `minimum` and fits the kernels."""
    try:
        number = operator.index(value)
    except (TypeError, RuntimeError):  # RuntimeError: torch's, for a tensor without data
        number = None
    if number is None or isinstance(value, _NO_NUMBERS):
        raise InvalidTypeError(argument, "a whole number", typed(value))
    if not minimum <= number <= MAX_COORDINATE:
        raise InvalidArgumentError(argument, f"a whole number from {minimum} to {MAX_COORDINATE}", shown(number))
    return number


def unit_number(argument: str, value: Any) -> float:
    """Return a number in [0, 1]."""
    return _number(argument, value, 0.0, 1.0, "a number in [0, 1]")


def float32_number(argument: str, value: Any) -> float:
    """Return a number that float32, the type of masks, can hold; it may be rounded there."""
    return _number(argument, value, -_MAX_FLOAT32, _MAX_FLOAT32, "a finite number within float32")


def _number(argument: str, value: Any, least: float, most: float, expected: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError):  # RuntimeError: torch's, for a tensor that is not one number
        number = None
    except OverflowError:  # an int beyond all floats
        raise InvalidArgumentError(argument, expected, shown(value)) from None
    if number is None or isinstance(value, _NO_NUMBERS):
        raise InvalidTypeError(argument, expected, typed(value))
    # NaN fails every comparison.
    if not least <= number <= most:
        raise InvalidArgumentError(argument, expected, shown(value))
    return number


def integer(argument: str, value: object, *, least: float = -_INFINITE, most: float = _INFINITE) -> int:
    """`value` as an int in `[least, most]`; NumPy's integers are taken, booleans and floats are not.

    Parameters
    ----------
    argument : str
        Name for the error message.
    value : object
        The value.
    least, most : float
        Limits, both included.

    Returns
    -------
    int
        The value.

    Raises
    ------
    InvalidTypeError
        The value is not an integer.
    InvalidArgumentError
        The value is out of range.
    """
    if isinstance(value, bool):
        raise InvalidTypeError(argument, "an int", typed(value))
    try:
        whole = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise InvalidTypeError(argument, "an int", typed(value)) from None
    if not least <= whole <= most:
        expected = f"an int of at least {least}" if most == _INFINITE else f"an int from {least} to {most}"
        raise InvalidArgumentError(argument, expected, shown(whole))
    return whole


def number(
    argument: str, value: object, *, least: float = -_INFINITE, above: float = -_INFINITE, most: float = _INFINITE
) -> float:
    """`value` as a finite float, at least `least`, above `above` and at most `most`.

    Parameters
    ----------
    argument : str
        Name for the error message.
    value : object
        The value.
    least, above, most : float
        Limits; `above` is not included.

    Returns
    -------
    float
        The value.

    Raises
    ------
    InvalidTypeError
        The value is not a number.
    InvalidArgumentError
        The value is out of range, infinite or NaN.
    """
    if isinstance(value, (bool, str, bytes)):
        raise InvalidTypeError(argument, "a number", typed(value))
    try:
        real = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise InvalidTypeError(argument, "a number", typed(value)) from None
    except OverflowError:
        real = _INFINITE
    if not (math.isfinite(real) and least <= real <= most and real > above):
        if least > -_INFINITE and most < _INFINITE:
            raise InvalidArgumentError(argument, f"a number from {least:g} to {most:g}", f"{real:g}")
        limits = [f"above {above:g}"] if above > -_INFINITE else []
        limits += [f"of at least {least:g}"] if least > -_INFINITE else []
        limits += [f"at most {most:g}"] if most < _INFINITE else []
        expected = f"a number {' and '.join(limits)}" if limits else "a finite number"
        raise InvalidArgumentError(argument, expected, f"{real:g}")
    return real


def flag(argument: str, value: object) -> bool:
    """`value` as a bool; NumPy's are taken, numbers are not.

    Parameters
    ----------
    argument : str
        Name for the error message.
    value : object
        The value.

    Returns
    -------
    bool
        The value.

    Raises
    ------
    InvalidTypeError
        The value is not a bool.
    """
    if value is True or value is False:
        return value
    if type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    raise InvalidTypeError(argument, "a bool", typed(value))


def number_ranges(numbers: Iterable[int]) -> str:
    """Return whole numbers as messages list them: 1 to 4, 7, 9; "none" where there are none."""
    ranges: list[list[int]] = []
    for each in sorted(set(numbers)):
        if ranges and ranges[-1][1] == each - 1:
            ranges[-1][1] = each
        else:
            ranges.append([each, each])
    texts = [f"{low}" if low == high else f"{low} to {high}" for low, high in ranges]
    return ", ".join(texts) or "none"


def typed(value: object) -> str:
    """Return a value of a wrong type as messages show it: what it is, and then itself."""
    return f"{type(value).__name__} {shown(value)}"


def shown(value: object) -> str:
    """Return a value as messages show it: on a line, whatever it is."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # Python prints no int of thousands of digits
        return f"{type(value).__name__} of too many digits to be shown"
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."
