"""How a subject is turned, frame by frame: by detectors, files or the axis of its masks; smoothed without lag."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from segs_detailer.subjects.motion import BRIDGED_WEIGHT, motion_of, seen_frames
from segs_detailer.subjects.smoothing import noise_left, regress, stand_in_for_outliers, taut_string

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segs_detailer.subjects.mask import Mask
    from segs_detailer.subjects.motion import Motion
    from segs_detailer.subjects.settings import CropSettings
    from segs_detailer.subjects.track import Track

__all__ = ["face_angle", "mask_lean", "smooth_angles"]

_LEAST_ELONGATION = 1.25
"""How much longer than wide a mask must be for its axis to say anything."""

_SURE_ELONGATION = 2.0
"""From here on, the axis of a mask counts in full."""

_FULL_TURN = 360.0
_QUARTER_TURN = 90.0

_OUTLIER_DEGREES = 60.0
"""Of angles, changes below a tenth of this are never outliers."""

_MOST_SLACK = 1.5
"""Degrees by which a crop may be away from its subject's smoothed angle, at most."""


def face_angle(points: NDArray[np.float64]) -> float | None:
    """By how many degrees a face is turned clockwise in the picture, as its points say.

    The line through the eyes says it where a face is seen from the front, the one from the eyes to the mouth, turned by
    a right angle, where it is seen from the side and the eyes are close to each other: each counts by its length.

    Parameters
    ----------
    points : ndarray
        `(5, 2)`, see `Track`.
    """
    right_eye, left_eye, _, right_corner, left_corner = points
    across = left_eye - right_eye
    down = 0.5 * (right_corner + left_corner) - 0.5 * (right_eye + left_eye)
    x, y = across[0] + down[1], across[1] - down[0]
    return math.degrees(math.atan2(y, x)) if x or y else None


def mask_lean(mask: Mask) -> tuple[float, float]:
    """Find the long axis of a mask, by its second moments.

    Parameters
    ----------
    mask : Mask
        Levels count as they are.

    Returns
    -------
    angle : float
        Degrees clockwise from the vertical to the axis, from -90 to 90; NaN for a mask that shows nothing.
    elongation : float
        How much longer it is along that axis than across, at least 1: the root of the ratio of the moments.
    """
    if mask.empty:
        return math.nan, 1.0
    levels = mask.pixels().astype(np.float64)
    total = levels.sum()
    rows, columns = np.arange(levels.shape[0]), np.arange(levels.shape[1])
    down, across = levels.sum(axis=1), levels.sum(axis=0)
    y, x = rows - down @ rows / total, columns - across @ columns / total
    # A pixel is a square, which has a moment of its own: a line of pixels is no line.
    own = 1 / 12
    yy, xx, xy = down @ y**2 / total + own, across @ x**2 / total + own, y @ levels @ x / total
    # The long axis points along (x, y) with y up the picture; a lean to the right is clockwise.
    angle = 0.5 * math.degrees(math.atan2(-2 * xy, yy - xx))
    spread = math.hypot(yy - xx, 2 * xy)
    longer, shorter = 0.5 * (yy + xx + spread), 0.5 * (yy + xx - spread)
    return angle, math.sqrt(longer / max(shorter, own / 2))


def smooth_angles(
    track: Track, frame_size: tuple[int, int], frame_count: int, settings: CropSettings
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Say how a track is turned in all frames in which it is there.

    Where the track has angles these count, else the axes of its masks, as far as they are clearly longer than wide. Of
    the four directions that the two axes of a mask have, the upright one is that next to the one of the frame before;
    and on the whole that next to the vertical. Angles go on over full turns: of all that mean the same, the nearest to
    the one before is taken. Where none is known they are interpolated, and then smoothed over the same window as the
    crop's way, without lag; a subject that rests has a crop that rests.

    Parameters
    ----------
    track : Track
        The subject.
    frame_size : (int, int)
        Height and width of the frames.
    frame_count : int
        Frames of the clip.
    settings : CropSettings
        `smoothing` and `max_gap`.

    Returns
    -------
    frames : ndarray
        `(n,)` int64, ascending: none where nothing is known.
    angles : ndarray
        `(n,)` degrees clockwise, without jumps.
    """
    motion = motion_of(track, frame_size, frame_count, settings)
    angles, weights = _known(track, frame_size, frame_count)
    known = np.flatnonzero(np.isfinite(angles))
    if len(known) == 0 or not motion.runs:
        return np.empty(0, np.int64), np.empty(0)
    frames = track.frames[seen_frames(track, frame_size, frame_count)][known]
    unwrapped = _unwrapped(track, angles[known], weights[known])
    if settings.smoothing > 0:
        size = np.full((len(known), 1), _OUTLIER_DEGREES)
        unwrapped = stand_in_for_outliers(frames, unwrapped[:, None], size)[:, 0]
    return _smoothed(motion, frames, unwrapped, weights[known], settings)


def _known(
    track: Track, frame_size: tuple[int, int], frame_count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Angle and weight of each frame in which a track is seen; NaN where nothing is known."""
    seen = seen_frames(track, frame_size, frame_count)
    if track.angles is not None and _says_angles(track):
        return track.angles[seen], np.ones(len(seen))
    masks = [track.masks[index] for index in seen.tolist()]
    leans = [(math.nan, 1.0) if mask is None else mask_lean(mask) for mask in masks]
    angles, elongation = np.array(leans, np.float64).reshape(-1, 2).T
    clear = elongation >= _LEAST_ELONGATION
    surety = (elongation - _LEAST_ELONGATION) / (_SURE_ELONGATION - _LEAST_ELONGATION)
    return np.where(clear, angles, np.nan), np.clip(surety, BRIDGED_WEIGHT, 1.0)


def _says_angles(track: Track) -> bool:
    return track.angles is not None and bool(np.isfinite(track.angles).any())


def _unwrapped(track: Track, angles: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take away the jumps between angles that mean the same; the first, or all of masks together, are near 0."""
    says = _says_angles(track)
    period = _FULL_TURN if says else _QUARTER_TURN
    angles = np.unwrap(angles, period=period)
    if says:
        first: NDArray[np.float64] = angles - period * np.round(angles[0] / period)
        return first
    order = np.argsort(angles)
    middle = angles[order][np.searchsorted(np.cumsum(weights[order]), 0.5 * weights.sum())]
    unturned: NDArray[np.float64] = angles - period * np.round(middle / period)
    return unturned


def _smoothed(
    motion: Motion,
    frames: NDArray[np.int64],
    angles: NDArray[np.float64],
    weights: NDArray[np.float64],
    settings: CropSettings,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Interpolate and smooth each run of frames by itself."""
    own_frames, smooth = [], []
    slack = min(noise_left(frames, angles, settings.smoothing), _MOST_SLACK)
    for first, end in motion.runs:
        numbers = np.arange(first, end)
        dense = np.interp(numbers, frames, angles)
        counts = np.full(len(numbers), BRIDGED_WEIGHT)
        inside = (frames >= first) & (frames < end)
        counts[frames[inside] - first] = weights[inside]
        own = regress(dense[:, None], counts, settings.smoothing)[:, 0]
        own_frames.append(numbers)
        smooth.append(taut_string(own, slack))
    return np.concatenate(own_frames), np.concatenate(smooth)
