"""Geometry of what is turned: points and boxes, by angles in degrees clockwise as seen in the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["cos_sin", "stretched_angles", "turned", "turned_halves"]


def cos_sin(angles: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return cosines and sines of angles in degrees, exact for quarter turns."""
    angles = np.asarray(angles, np.float64)
    quarters = np.round(angles / 90)
    rest = np.radians(angles - 90 * quarters)
    cos, sin = np.cos(rest), np.sin(rest)
    turns = (quarters % 4).astype(np.int64)
    return np.choose(turns, [cos, -sin, -cos, sin]), np.choose(turns, [sin, cos, -sin, -cos])


def stretched_angles(angles: NDArray[np.float64], across: float, down: float) -> NDArray[np.float64]:
    """Turn with a picture that is stretched, each within its half turn: what is upright or on its side stays so.

    Parameters
    ----------
    angles : ndarray
        Degrees of what is upright at 0.
    across, down : float
        By how much the picture becomes wider and higher.
    """
    if across == down:
        return angles
    cos, sin = cos_sin(angles)
    stretched = np.degrees(np.arctan2(across * sin, down * cos))
    return stretched + 360 * np.round((angles - stretched) / 360)


def turned(points: NDArray[np.float64], angles: Any) -> NDArray[np.float64]:
    """Turn points about the origin.

    Parameters
    ----------
    points : ndarray
        `(..., 2)` as x, to the right, and y, down.
    angles : array_like
        Degrees clockwise, one number or `(...)`.
    """
    cos, sin = cos_sin(angles)
    x, y = points[..., 0], points[..., 1]
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)


def turned_halves(halves: NDArray[np.float64], angles: Any) -> NDArray[np.float64]:
    """Return half the sides of the upright boxes around turned boxes.

    Parameters
    ----------
    halves : ndarray
        `(..., 2)`: half the width and height of each box.
    angles : array_like
        Degrees, one number or `(...)`.
    """
    cos, sin = (np.abs(part) for part in cos_sin(angles))
    x, y = halves[..., 0], halves[..., 1]
    return np.stack([cos * x + sin * y, sin * x + cos * y], axis=-1)
