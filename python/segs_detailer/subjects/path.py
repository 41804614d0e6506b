"""The crop of a track through the clip: one size, holding the subject in every frame, without jitter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from segs_detailer.checks import whole_number
from segs_detailer.crop_path import CropPath
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.ops.turns import turned, turned_halves
from segs_detailer.subjects.angles import smooth_angles
from segs_detailer.subjects.boxes import make_crop_region
from segs_detailer.subjects.gating import gated, shares, size_gate, smooth_sides
from segs_detailer.subjects.motion import motion_of, seen_frames
from segs_detailer.subjects.settings import CropSettings
from segs_detailer.subjects.shapes import own_boxes, own_extents, shape_extents
from segs_detailer.subjects.smoothing import noise_left, regress, taut_string, to_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segs_detailer.subjects.motion import Motion
    from segs_detailer.subjects.track import Track

__all__ = ["crop_path", "is_in_frame", "path_of_clip", "presence", "subject_sizes"]

_MOST_SLACK = 0.015
"""Share of the crop by which its middle may be away from the smoothed way, at most."""

_MOST_GROWTH = 1.25
"""How much larger a crop may be made to hold a subject that its smooth way would lose, before the way bends."""

_BENDS = 3


def is_in_frame(track: Track, frame_size: tuple[int, int], frame_count: int) -> bool:
    """Whether any of a track is in the frame in any of the clip's frames: without that it has no crop."""
    return len(seen_frames(track, frame_size, frame_count)) > 0


def presence(
    track: Track, frame_size: tuple[int, int], frame_count: int, settings: CropSettings | None = None
) -> NDArray[np.float32]:
    """How much of a track's crop is pasted in each frame: 1 where the subject is there, 0 where it is not.

    Where it comes into view or goes out of it, and on both sides of a gap that is too long to be bridged or to be
    pasted, it rises and falls in `ramp` steps, in frames in which the subject is there. Where a shot or the clip begins
    or ends with it, nothing rises or falls: it comes and goes with the picture.

    Parameters
    ----------
    track : Track
        The subject.
    frame_size : (int, int)
        Height and width of the frames.
    frame_count : int
        Frames of the clip.
    settings : CropSettings or None
        `ramp`, `max_gap` and `paste_gap`.

    Returns
    -------
    ndarray
        `(frame_count,)` float32.
    """
    settings = settings or CropSettings()
    return _alpha(motion_of(track, frame_size, frame_count, settings), track, frame_count, settings)


def _alpha(motion: Motion, track: Track, frame_count: int, settings: CropSettings) -> NDArray[np.float32]:
    alpha = np.zeros(frame_count, np.float32)
    ramp = settings.ramp
    start, stop = track.shot or (0, frame_count)
    # Where one run follows another at once, there is a cut.
    begins = {start, *(end for _, end in motion.runs)}
    ends = {min(stop, frame_count), *(first for first, _ in motion.runs)}
    for first, end in motion.runs:
        frames = np.arange(first, end)
        rise = np.ones(len(frames)) if first in begins else (frames - first + 1) / (ramp + 1)
        fall = np.ones(len(frames)) if end in ends else (end - frames) / (ramp + 1)
        sure = shares(motion.is_sure(first, end, settings.paste_gap), ramp)
        alpha[first:end] = np.minimum(np.minimum(rise, fall), sure)
    return alpha


def crop_path(
    track: Track, frame_size: tuple[int, int], frame_count: int, settings: CropSettings | None = None
) -> CropPath:
    """Lay the crop of a track through the clip.

    The crop has one size in all frames, `crop_factor` times the subject where it is largest, and holds it in every
    frame. Its way is the subject's, smoothed on both sides of each frame, so that it neither lags nor jitters with the
    detector: where the subject rests, the crop does. At the edges of the frame the crop is moved into it, not cut; one
    that is larger than the frame is the frame. Where the subject is not there, the crop waits or goes to where it comes
    back, and nothing is pasted.

    With `upright` the crop turns with its subject. It holds the subject as that is turned; its corners may pass the
    frame's edges. A fixed crop is turned once, by the subject's middle angle. A track whose angle is not known, or
    which was made from a SEG, has the path that it has without.

    Parameters
    ----------
    track : Track
        The subject. One that was made from a SEG with a `CropPath` keeps it, but for the size gate; one from a SEG with
        a fixed region keeps that where `crop` is fixed.
    frame_size : (int, int)
        Height and width of the frames.
    frame_count : int
        Frames of the clip, at least 1.
    settings : CropSettings or None
        How.

    Returns
    -------
    CropPath
        Regions within the frame, in whole pixels unless `subpixel`, or turned ones.

    Raises
    ------
    InvalidArgumentError
        The track is nowhere in the frame: see `is_in_frame`.
    """
    settings = settings or CropSettings()
    whole_number("frame_count", frame_count, minimum=1)
    if isinstance(track.crop_region, CropPath) and track.crop_region.frames == frame_count:
        return _gated(track.crop_region, track, frame_size, settings)
    motion = motion_of(track, frame_size, frame_count, settings)
    if not motion.runs:
        expected = f"a box or mask in the frame of {frame_size[1]}x{frame_size[0]} pixels"
        raise InvalidArgumentError(f"track {track.id}", expected, "none")
    alpha = _alpha(motion, track, frame_count, settings)
    angles = _angles(track, frame_size, frame_count, settings)
    if angles is not None:
        lay = _fixed_upright if settings.crop == "fixed" else _upright
        regions = lay(track, motion, frame_size, angles, settings)
    elif settings.crop == "fixed":
        regions = np.tile(np.array(_fixed_region(track, motion, frame_size, settings), np.float64), (frame_count, 1))
    else:
        regions = _followed(track, motion, frame_size, frame_count, settings)
    return _gated(CropPath(regions, alpha, angles), track, frame_size, settings)


def path_of_clip(path: CropPath, first: int, frame_count: int) -> CropPath:
    """Lay a path through the whole clip that knows a span of it: before and after, it stays where that begins and ends.

    Masks that are cleaned over time are drawn along it.

    Parameters
    ----------
    path : CropPath
        Through the span.
    first : int
        The span's first frame.
    frame_count : int
        Frames of the clip.
    """
    beside = (first, frame_count - first - path.frames)
    regions = np.pad(path.regions, (beside, (0, 0)), mode="edge")
    return CropPath(regions, np.pad(path.alpha, beside), np.pad(path.angles, beside, mode="edge"))


def _gated(path: CropPath, track: Track, frame_size: tuple[int, int], settings: CropSettings) -> CropPath:
    """Leave the subject alone where it is as large as the gate says; where its size is not known, the path decides."""
    if settings.size_gate is None:
        return path
    wanted = size_gate(track, frame_size, path.frames, settings.size_gate, settings=settings)
    known = motion_of(track, frame_size, path.frames, settings).present(0, path.frames)
    return gated(path, wanted | ~known, settings.ramp)


def _fixed_region(
    track: Track, motion: Motion, frame_size: tuple[int, int], settings: CropSettings
) -> tuple[int, int, int, int]:
    if track.crop_region is not None:
        return track.crop_region
    frames, boxes = _all(motion, settings.shape_smoothing, settings)
    corners = np.concatenate([boxes[:, :2] - 0.5 * boxes[:, 2:], boxes[:, :2] + 0.5 * boxes[:, 2:]], axis=1)
    if track.has_masks:
        corners = np.concatenate([corners, shape_extents(track, frames, boxes)])
    height, width = frame_size
    low = np.maximum(np.floor(corners[:, :2].min(axis=0)), 0)
    high = np.minimum(np.ceil(corners[:, 2:].max(axis=0)), (width, height))
    low, high = np.minimum(low, (width - 1, height - 1)), np.maximum(high, 1)
    high = np.maximum(high, low + 1)
    if settings.aspect is None:
        return make_crop_region(frame_size, (*low.tolist(), *high.tolist()), settings.crop_factor)
    size = _crop_size((high - low) * settings.crop_factor, high - low, frame_size, settings.aspect)
    corner = np.clip(np.floor(0.5 * (low + high) - 0.5 * size), 0, (width, height) - size).astype(int).tolist()
    return corner[0], corner[1], corner[0] + int(size[0]), corner[1] + int(size[1])


def _all(motion: Motion, width: float, settings: CropSettings) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    return motion.between(motion.runs[0][0], motion.runs[-1][1], width, settings.smoothing)


def _followed(
    track: Track, motion: Motion, frame_size: tuple[int, int], frame_count: int, settings: CropSettings
) -> NDArray[np.float64]:
    frames, boxes = _all(motion, settings.smoothing, settings)
    subject = boxes[:, 2:].max(axis=0)
    wanted = settings.crop_factor * subject
    middles = _rested(motion, frames, boxes[:, :2], wanted, settings)
    frame = np.array(frame_size[::-1], np.float64)
    shown_frames, shown = _all(motion, settings.shape_smoothing, settings)
    held = np.clip(shape_extents(track, shown_frames, shown), 0, np.tile(frame, 2))
    needed = 2 * np.maximum(middles - held[:, :2], held[:, 2:] - middles).max(axis=0)
    extents = (held[:, 2:] - held[:, :2]).max(axis=0)
    wanted = np.maximum(np.maximum(wanted, np.minimum(needed, _MOST_GROWTH * wanted)), extents)
    size = _crop_size(wanted, extents, frame_size, settings.aspect)
    least, most = held[:, 2:] - size, held[:, :2]
    corners = middles - 0.5 * size
    for axis in (0, 1):
        corners[:, axis] = _holding(corners[:, axis], least[:, axis], most[:, axis], settings)
    corners = np.clip(corners, 0, frame - size)
    if not settings.subpixel:
        corners = np.stack([to_whole(column) for column in corners.T], axis=1)
        corners = np.clip(np.clip(corners, least, np.maximum(most, least)), 0, frame - size)
    numbers = np.arange(frame_count)
    path = np.stack([np.interp(numbers, frames, column) for column in corners.T], axis=1)
    if not settings.subpixel:
        path = np.floor(path + 0.5)
    return np.concatenate([path, path + size], axis=1)


def _angles(
    track: Track, frame_size: tuple[int, int], frame_count: int, settings: CropSettings
) -> NDArray[np.float64] | None:
    """Degrees by which the crop is turned in each frame of the clip; None for a crop that is not."""
    is_fixed = settings.crop == "fixed"
    if not settings.upright or (is_fixed and track.crop_region is not None):
        return None
    frames, angles = smooth_angles(track, frame_size, frame_count, settings)
    if not angles.any():
        return None
    return np.full(frame_count, np.median(angles)) if is_fixed else np.interp(np.arange(frame_count), frames, angles)


def _upright(
    track: Track,
    motion: Motion,
    frame_size: tuple[int, int],
    angles: NDArray[np.float64],
    settings: CropSettings,
) -> NDArray[np.float64]:
    """Lay a crop that follows and turns; what it must hold is seen along its own axes."""
    frames, boxes = _all(motion, settings.smoothing, settings)
    turns = angles[frames]
    shown_frames, shown = _all(motion, settings.shape_smoothing, settings)
    held = own_extents(track, shown_frames, shown, turns, frame_size)
    extents = (held[:, 2:] - held[:, :2]).max(axis=0)
    wanted = settings.crop_factor * own_boxes(track, frames, boxes, turns)[:, 2:].max(axis=0)
    middles = _rested(motion, frames, boxes[:, :2], wanted, settings)
    own = turned(middles, -turns)
    needed = 2 * np.maximum(own - held[:, :2], held[:, 2:] - own).max(axis=0)
    wanted = np.maximum(np.maximum(wanted, np.minimum(needed, _MOST_GROWTH * wanted)), extents)
    size = _upright_size(wanted, extents, frame_size, turns, settings.aspect)
    corners = turned(_in_frame(middles, size, turns, frame_size), -turns) - 0.5 * size
    for axis in (0, 1):
        corners[:, axis] = _holding(corners[:, axis], held[:, 2 + axis] - size[axis], held[:, axis], settings)
    middles = turned(corners + 0.5 * size, turns)
    path = np.stack([np.interp(np.arange(len(angles)), frames, column) for column in middles.T], axis=1)
    return np.concatenate([path - 0.5 * size, path + 0.5 * size], axis=1)


def _fixed_upright(
    track: Track,
    motion: Motion,
    frame_size: tuple[int, int],
    angles: NDArray[np.float64],
    settings: CropSettings,
) -> NDArray[np.float64]:
    """Lay a crop that stands still and is turned by one angle around all of the subject's way."""
    frames, boxes = _all(motion, settings.shape_smoothing, settings)
    turns = angles[frames]
    held = own_extents(track, frames, boxes, turns, frame_size)
    low, high = held[:, :2].min(axis=0), held[:, 2:].max(axis=0)
    size = _upright_size(settings.crop_factor * (high - low), high - low, frame_size, turns, settings.aspect)
    middle = turned(_in_frame(turned(0.5 * (low + high), turns[:1]), size, turns[:1], frame_size), -turns[:1])
    middle = turned(np.clip(middle, high - 0.5 * size, low + 0.5 * size), turns[:1])
    return np.tile(np.concatenate([middle - 0.5 * size, middle + 0.5 * size], axis=1), (len(angles), 1))


def _upright_size(
    wanted: NDArray[np.float64],
    needed: NDArray[np.float64],
    frame_size: tuple[int, int],
    turns: NDArray[np.float64],
    aspect: float | None,
) -> NDArray[np.float64]:
    """Size of a crop that turns: as large as the frame is along its axes, but for what it must hold."""
    room = 2 * turned_halves(0.5 * np.array(frame_size[::-1], np.float64)[None], turns).min(axis=0)
    room = np.maximum(np.floor(room), np.ceil(needed))
    return _crop_size(wanted, needed, (room[1], room[0]), aspect)


def _in_frame(
    middles: NDArray[np.float64], size: NDArray[np.float64], turns: NDArray[np.float64], frame_size: tuple[int, int]
) -> NDArray[np.float64]:
    """Move turned crops into the frame; where one is larger along an axis, so that it shows all of that."""
    frame = np.array(frame_size[::-1], np.float64)
    reach = turned_halves(0.5 * size[None], turns)
    return np.clip(middles, np.minimum(reach, frame - reach), np.maximum(reach, frame - reach))


def _rested(
    motion: Motion,
    frames: NDArray[np.int64],
    middles: NDArray[np.float64],
    size: NDArray[np.float64],
    settings: CropSettings,
) -> NDArray[np.float64]:
    """Take out of each run what is left of the detector's noise: rest where the subject rests."""
    rested = middles.copy()
    for axis in (0, 1):
        left = noise_left(motion.frames, motion.boxes[:, axis], settings.smoothing)
        slack = min(left, _MOST_SLACK * float(size[axis]))
        for first, end in motion.runs:
            own = slice(*np.searchsorted(frames, (first, end)).tolist())
            rested[own, axis] = taut_string(middles[own, axis], slack)
    return rested


def _holding(
    corners: NDArray[np.float64], least: NDArray[np.float64], most: NDArray[np.float64], settings: CropSettings
) -> NDArray[np.float64]:
    """Bend a way where it would lose the subject: `least` and `most` bound its corner in each frame."""
    least = np.minimum(least, most)
    weights = np.ones(len(corners))
    for _ in range(_BENDS):
        bent = np.clip(corners, least, most)
        if np.array_equal(bent, corners):
            return corners
        change = regress((bent - corners)[:, None], weights, settings.shape_smoothing)[:, 0]
        corners = corners + change
    return np.clip(corners, least, most)


def _crop_size(
    wanted: NDArray[np.float64], needed: NDArray[np.float64], frame_size: tuple[float, float], aspect: float | None
) -> NDArray[np.float64]:
    """Width and height of a crop in whole pixels: of the aspect as far as the frame has room for it."""
    frame = np.array(frame_size[::-1], np.float64)
    size = wanted.copy()
    if aspect is not None:
        size = np.array([max(size[0], size[1] * aspect), max(size[1], size[0] / aspect)])
        size = np.maximum(size * min(1.0, *(frame / size)), needed)
    return np.minimum(np.ceil(np.maximum(size, 1.0) - 1e-6), frame)


def subject_sizes(
    track: Track, frame_size: tuple[int, int], frame_count: int, settings: CropSettings | None = None
) -> NDArray[np.float64]:
    """Shorter side of a subject's box in each frame, smoothed as its crop's way.

    Parameters
    ----------
    track : Track
        The subject.
    frame_size : (int, int)
        Height and width of the frames.
    frame_count : int
        Frames of the clip.
    settings : CropSettings or None
        `smoothing` and `max_gap`.

    Returns
    -------
    ndarray
        `(frame_count,)` in pixels; where the subject is not there, between those before and after, or as the nearest.
        All 0 for one that is nowhere in the frame.
    """
    settings = settings or CropSettings()
    found = list(smooth_sides(motion_of(track, frame_size, frame_count, settings), settings))
    if not found:
        return np.zeros(frame_count)
    frames, sides = (np.concatenate(parts) for parts in zip(*found, strict=True))
    # Smoothing leaves the last digits of what never changes to chance.
    sizes: NDArray[np.float64] = np.round(np.interp(np.arange(frame_count), frames, sides), 3)
    return sizes
