"""Denoise by the size of a subject: small ones need more, large ones less."""

from __future__ import annotations

import statistics
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from segs_detailer.checks import number
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["DenoiseCurve", "FrameDenoise", "checked_curve", "curve_text", "denoise_at"]

DenoiseCurve: TypeAlias = tuple[tuple[float, float], ...]
"""Pairs of a size in pixels and the denoise at that size, the sizes ascending."""

_DIGITS = 6
"""Decimals of denoise that count: what is left of a smoothed size must not make another schedule."""


class FrameDenoise(NamedTuple):
    """How far a clip is repainted.

    Parameters
    ----------
    denoise : float
        The frames that are repainted most.
    frames : tuple of float or None
        Each frame; None where all are the same.
    """

    denoise: float
    frames: tuple[float, ...] | None = None

    @classmethod
    def of(cls, values: Sequence[float], *, apart: bool = True) -> FrameDenoise:
        """Take what each frame is to have.

        Parameters
        ----------
        values : sequence of float
            One for each frame, at least one.
        apart : bool
            Whether frames can have different ones; else the median is for all.
        """
        if not apart or min(values) == max(values):
            return cls(statistics.median_low(values))
        return cls(max(values), tuple(values))


def checked_curve(name: str, value: Any) -> DenoiseCurve:
    """Check a curve: pairs, or a text such as "40:0.55,160:0.3".

    Raises
    ------
    InvalidTypeError, InvalidArgumentError
        It is none.

    Examples
    --------
    >>> checked_curve("denoise_by_size", "40:0.55,160:0.3")
    ((40.0, 0.55), (160.0, 0.3))
    """
    expected = "sizes in pixels with the denoise there, such as 40:0.55,160:0.3"
    pairs: Any = [part.split(":") for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(pairs, (tuple, list)) or not pairs:
        raise InvalidTypeError(name, expected, repr(value))
    if not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
        raise InvalidArgumentError(name, expected, repr(value))
    try:
        numbers = [(float(size), float(denoise)) for size, denoise in pairs] if isinstance(value, str) else pairs
    except ValueError:
        raise InvalidArgumentError(name, expected, repr(value)) from None
    curve = tuple(
        (number(f"{name} (size)", size, above=0), number(f"{name} (denoise)", denoise, above=0, most=1))
        for size, denoise in numbers
    )
    if any(size >= larger for (size, _), (larger, _) in pairwise(curve)):
        raise InvalidArgumentError(name, f"{expected}, the sizes ascending", repr(value))
    return curve


def curve_text(curve: DenoiseCurve) -> str:
    """Write a curve as it is read."""
    return ",".join(f"{size:g}:{denoise:g}" for size, denoise in curve)


def denoise_at(curve: DenoiseCurve, sizes: NDArray[np.float64]) -> tuple[float, ...]:
    """Denoise at some sizes: on straight lines between the curve's points, and beyond its ends what they have.

    Parameters
    ----------
    curve : tuple of (float, float)
        The curve.
    sizes : ndarray
        `(n,)` in pixels.

    Examples
    --------
    >>> denoise_at(((40, 0.55), (160, 0.3)), np.array([10.0, 100.0, 500.0]))
    (0.55, 0.425, 0.3)
    """
    points, values = zip(*curve, strict=True)
    return tuple(np.round(np.interp(sizes, points, values), _DIGITS).tolist())
