"""Subjects that are large enough in the picture are left alone, without going in and out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from segs_detailer.checks import shown
from segs_detailer.crop_path import CropPath
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.subjects.motion import motion_of
from segs_detailer.subjects.settings import CropSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segs_detailer.subjects.track import Track

__all__ = ["gated", "size_gate"]


def size_gate(
    track: Track,
    frame_size: tuple[int, int],
    frame_count: int,
    least: float,
    *,
    hysteresis: float = 0.15,
    settings: CropSettings | None = None,
) -> NDArray[np.bool_]:
    """Tell in which frames a subject is so small that it is to be detailed.

    It is until its shorter side, smoothed as its crop's way, reaches `least` pixels, and again when that is below
    `least` by the share `hysteresis`: a subject about as large as the limit does not go in and out with every breath of
    the detector. A run of frames begins with detailing where the subject is below the limit in the middle between both.

    Parameters
    ----------
    track : Track
        The subject.
    frame_size : (int, int)
        Height and width of the frames.
    frame_count : int
        Frames of the clip.
    least : float
        Pixels from which on it is large enough.
    hysteresis : float
        From 0 to below 1.
    settings : CropSettings or None
        `smoothing` and `max_gap`.

    Returns
    -------
    ndarray
        `(frame_count,)` bool; False also where the subject is not there.

    Raises
    ------
    InvalidArgumentError
        A number out of range.
    """
    if not least > 0:
        raise InvalidArgumentError("least", "a number of pixels above 0", shown(least))
    if not 0 <= hysteresis < 1:
        raise InvalidArgumentError("hysteresis", "a number from 0 to below 1", shown(hysteresis))
    settings = settings or CropSettings()
    motion = motion_of(track, frame_size, frame_count, settings)
    wanted = np.zeros(frame_count, bool)
    for first, end in motion.runs:
        frames, boxes = motion.between(first, end, settings.smoothing, settings.smoothing)
        sides = boxes[:, 2:].min(axis=1)
        is_small = bool(sides[0] < least * (1 - 0.5 * hysteresis))
        for frame, side in zip(frames.tolist(), sides.tolist(), strict=True):
            is_small = side < (least if is_small else least * (1 - hysteresis))
            wanted[frame] = is_small
    return wanted


def gated(path: CropPath, wanted: NDArray[np.bool_], ramp: int) -> CropPath:
    """Paste a path's crops in wanted frames alone, with ramps within them where that begins and ends.

    Parameters
    ----------
    path : CropPath
        The crop of a track.
    wanted : ndarray
        `(B,)` bool, as `size_gate` gives it.
    ramp : int
        Frames over which the paste comes and goes.
    """
    distance = np.full(path.frames, np.inf)
    off = np.flatnonzero(~wanted & (path.alpha > 0))
    if len(off) == 0:
        return path
    frames = np.arange(path.frames)
    after = np.searchsorted(off, frames)
    before = np.abs(frames - off[np.maximum(after - 1, 0)])
    distance = np.minimum(before, np.abs(off[np.minimum(after, len(off) - 1)] - frames))
    share = np.minimum(distance / (ramp + 1), 1.0)
    return CropPath(path.regions, np.minimum(path.alpha, share).astype(np.float32))
