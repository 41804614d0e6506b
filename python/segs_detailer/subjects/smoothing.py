"""Smoothing of what was measured frame by frame, without lag."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["noise_left", "noise_of", "regress", "stand_in_for_outliers", "taut_string", "to_whole"]

_REACH = 3.0
"""Radius of the window in its standard deviations."""

# What the smoothing leaves of the detector's noise lies within this many standard deviations of that noise, times the
# root of the window's width in frames; the way stands still or straight within it.
_REST = 1.1

_OUTLIER_RADIUS = 3
_OUTLIER_LIMIT = 3.5
_NORMAL_MAD = 1.4826
"""Standard deviation of normal noise by its median absolute deviation."""

# In observations: it keeps windows of one or two frames solvable, and ends from swinging.
_SLOPE_RIDGE = 1e-6
_CURVE_RIDGE = 1.0
_END_RIDGE = 0.5


def window_radius(width: float) -> int:
    """Frames to each side that a window of standard deviation `width` looks at."""
    return math.ceil(_REACH * width)


def stand_in_for_outliers(
    frames: NDArray[np.int64], values: NDArray[np.float64], sizes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Put what the neighbors say where a value stands out from them (Hampel's filter, about a line of medians).

    Parameters
    ----------
    frames : ndarray
        `(n,)`, ascending.
    values : ndarray
        `(n, k)`, one row for each detection.
    sizes : ndarray
        `(n, k)`: changes below a tenth of them are never outliers.
    """
    if len(values) < 5:
        return values
    radius = _OUTLIER_RADIUS
    times = np.pad(frames.astype(np.float64), radius, constant_values=np.nan)
    times = np.lib.stride_tricks.sliding_window_view(times, 2 * radius + 1)[:, None] - frames[:, None, None]
    padded = np.pad(values, ((radius, radius), (0, 0)), constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * radius + 1, axis=0)
    slopes = np.nanmedian(np.diff(windows) / np.diff(times), axis=-1)
    level = windows - slopes[..., None] * times
    middle = np.nanmedian(level, axis=-1)
    spread = _NORMAL_MAD * np.nanmedian(np.abs(level - middle[..., None]), axis=-1)
    # By chance a few neighbors lie on a line: what is usual in the track counts as well.
    spread = np.maximum(spread, np.median(spread, axis=0))
    steps = np.diff(frames, prepend=frames[0] - frames[-1], append=2 * frames[-1] - frames[0])
    # Far from all others, less can be told.
    distance = np.minimum(steps[:-1], steps[1:])[:, None]
    wrong = np.abs(values - middle) > distance * np.maximum(_OUTLIER_LIMIT * spread, 0.1 * sizes)
    return np.where(wrong, middle, values)


def regress(values: NDArray[np.float64], weights: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Smooth columns by a parabola fitted around each frame, with a Gaussian window (local regression, Loess).

    It has no lag, keeps steady motion and steady acceleration as they are, up to both ends, and needs no values beyond
    them.

    Parameters
    ----------
    values : ndarray
        `(n, k)`, one row for each frame.
    weights : ndarray
        `(n,)`, above 0: how much each row counts.
    width : float
        Standard deviation of the window in frames; 0 returns the values.
    """
    if width <= 0 or len(values) < 3:
        return values
    radius = window_radius(width)
    offsets = np.arange(-radius, radius + 1) / width
    window = np.exp(-0.5 * offsets**2)
    powers = [window * offsets**power for power in range(5)]
    moments = [_correlate(weights, power) for power in powers]
    matrix = np.empty((len(values), 3, 3))
    for row in range(3):
        for column in range(3):
            matrix[:, row, column] = moments[row + column]
    matrix[:, 1, 1] += _SLOPE_RIDGE
    # One side of the window says less about curvature than both.
    matrix[:, 2, 2] += _CURVE_RIDGE + _END_RIDGE * np.abs(moments[1])
    center = values.mean(axis=0)
    smooth = np.empty_like(values)
    for place, column_values in enumerate((values - center).T):
        weighted = weights * column_values
        right = np.stack([_correlate(weighted, power) for power in powers[:3]], axis=1)
        smooth[:, place] = np.linalg.solve(matrix, right[..., None])[:, 0, 0]
    smooth += center
    return smooth


def _correlate(values: NDArray[np.float64], kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum over `kernel[j] * values[i + j]` with the kernel's middle at 0; nothing lies beyond the ends."""
    radius = len(kernel) // 2
    sums: NDArray[np.float64] = np.convolve(values, kernel[::-1])[radius : radius + len(values)]
    return sums


def noise_of(frames: NDArray[np.int64], values: NDArray[np.float64]) -> float:
    """Estimate the standard deviation of the noise of single measurements, robustly.

    From second differences of frames in a row, in which steady motion is nothing and noise has six times its variance.
    """
    in_a_row = (np.diff(frames)[1:] == 1) & (np.diff(frames)[:-1] == 1)
    changes = np.abs(np.diff(values, 2)[in_a_row])
    return _NORMAL_MAD * float(np.median(changes)) / math.sqrt(6) if len(changes) else 0.0


def noise_left(frames: NDArray[np.int64], values: NDArray[np.float64], width: float) -> float:
    """Say within what the noise of single measurements lies once they are smoothed over `width` frames."""
    return _REST * noise_of(frames, values) / math.sqrt(max(width, 1.0)) if width > 0 else 0.0


def taut_string(path: NDArray[np.float64], slack: float) -> NDArray[np.float64]:
    """Shortest way through a tube of radius `slack` around a path, from its first value to its last.

    What stays within the tube stands still, and slow drift becomes a steady motion; a sine keeps its turns. Of all ways
    through the tube it is the one of least total speed.

    Parameters
    ----------
    path : ndarray
        `(n,)`.
    slack : float
        In the units of the path.
    """
    count = len(path)
    if slack <= 0 or count < 3:
        return path
    low, high = path - slack, path + slack
    middle = 0.5 * (path.max() + path.min())
    if path.max() - path.min() <= 2 * slack:
        return np.full(count, middle)
    low[0] = high[0] = path[0]
    low[-1] = high[-1] = path[-1]
    string = np.empty(count)
    start, level = 0, float(path[0])
    while start < count - 1:
        end, value = _next_knot(low, high, start, level)
        string[start : end + 1] = np.linspace(level, value, end - start + 1)
        start, level = end, value
    return string


def _next_knot(low: NDArray[np.float64], high: NDArray[np.float64], start: int, level: float) -> tuple[int, float]:
    """Where the straight line from a knot has to bend next: the funnel of lines within the tube closes after it."""
    reach = 64
    while True:
        stop = min(start + 1 + reach, len(low))
        steps = np.arange(1, stop - start)
        lows = (low[start + 1 : stop] - level) / steps
        highs = (high[start + 1 : stop] - level) / steps
        most_low, least_high = np.maximum.accumulate(lows), np.minimum.accumulate(highs)
        closed = np.flatnonzero(most_low > least_high)
        if len(closed):
            break
        if stop == len(low):
            return stop - 1, float(low[-1])
        reach *= 2
    at = int(closed[0])
    # The line that hits the side which closed the funnel bends at the last touch of the other side.
    if lows[at] > least_high[at]:
        knot = int(np.flatnonzero(highs[: at + 1] == least_high[at])[-1])
        return start + 1 + knot, float(high[start + 1 + knot])
    knot = int(np.flatnonzero(lows[: at + 1] == most_low[at])[-1])
    return start + 1 + knot, float(low[start + 1 + knot])


def to_whole(path: NDArray[np.float64], hold: float = 0.65) -> NDArray[np.float64]:
    """Round to whole numbers that change only where the path is more than `hold` away: no jitter at one half."""
    rounded = np.floor(path + 0.5)
    current = rounded[0] if len(rounded) else 0.0
    for index, value in enumerate(path.tolist()):
        if abs(value - current) > hold:
            current = rounded[index]
        rounded[index] = current
    return rounded
