"""Gates: in which frames a subject is worth the work, without going in and out, and paths that are pasted there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from segs_detailer.checks import shown
from segs_detailer.crop_path import CropPath
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.subjects.motion import motion_of
from segs_detailer.subjects.settings import CropSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from segs_detailer.subjects.motion import Motion
    from segs_detailer.subjects.track import Track

__all__ = ["gated", "held", "shares", "size_gate", "smooth_sides"]


def held(within: NDArray[np.bool_], well_within: NDArray[np.bool_], *, begins: bool) -> NDArray[np.bool_]:
    """Tell when a gate is open that closes at its limits and opens only well within them.

    Parameters
    ----------
    within : ndarray
        `(n,)`: what goes through is within the limits.
    well_within : ndarray
        `(n,)`: it is so far within them that a closed gate opens.
    begins : bool
        Whether the gate is open before the first.

    Returns
    -------
    ndarray
        `(n,)` bool.
    """
    is_open = begins
    states = np.zeros(len(within), bool)
    for place, (stays, opens) in enumerate(zip(within.tolist(), well_within.tolist(), strict=True)):
        is_open = stays if is_open else opens
        states[place] = is_open
    return states


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
    for frames, sides in smooth_sides(motion, settings):
        begins = bool(sides[0] < least * (1 - 0.5 * hysteresis))
        wanted[frames] = held(sides < least, sides < least * (1 - hysteresis), begins=begins)
    return wanted


def smooth_sides(motion: Motion, settings: CropSettings) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Give the frames of each run, and the subject's shorter side in them, smoothed as its crop's way.

    Parameters
    ----------
    motion : Motion
        Where the subject is.
    settings : CropSettings
        `smoothing`.
    """
    for first, end in motion.runs:
        frames, boxes = motion.between(first, end, settings.smoothing, settings.smoothing)
        yield frames, boxes[:, 2:].min(axis=1)


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
    wanted = wanted | (path.alpha == 0)
    if wanted.all():
        return path
    share = shares(wanted, ramp)
    return CropPath(path.regions, np.minimum(path.alpha, share).astype(np.float32), path.angles)


def shares(wanted: NDArray[np.bool_], ramp: int) -> NDArray[np.float64]:
    """Tell how much is pasted in each frame: nothing in those that are not wanted, ramps beside them.

    Parameters
    ----------
    wanted : ndarray
        `(B,)` bool.
    ramp : int
        Frames of a ramp.

    Returns
    -------
    ndarray
        `(B,)` in [0, 1].
    """
    off = np.flatnonzero(~wanted)
    if len(off) == 0:
        return np.ones(len(wanted))
    frames = np.arange(len(wanted))
    after = np.searchsorted(off, frames)
    before = np.abs(frames - off[np.maximum(after - 1, 0)])
    distance = np.minimum(before, np.abs(off[np.minimum(after, len(off) - 1)] - frames))
    parts: NDArray[np.float64] = np.minimum(distance / (ramp + 1), 1.0)
    return parts
