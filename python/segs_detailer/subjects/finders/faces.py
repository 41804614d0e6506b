"""Faces through a clip: one track for each subject of each shot, and as SEGS."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from segs_detailer.errors import InvalidArgumentError
from segs_detailer.subjects.association import Chain, Detection, suppress
from segs_detailer.subjects.finders.cascade import FaceCascade
from segs_detailer.subjects.finders.gathering import gather_tracks
from segs_detailer.subjects.finders.shots import ShotDetector
from segs_detailer.subjects.segs_of_tracks import tracks_to_segs
from segs_detailer.subjects.settings import CropSettings
from segs_detailer.subjects.track import SHAPES, Shape, Track

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np
    from numpy.typing import NDArray

    from segs_detailer.segs import SEGS

__all__ = ["FaceSettings", "detect_faces", "find_face_tracks"]

# Between full searches, faces are only looked for near where they were.
_SEARCH_EVERY = 5
# The first search of a shot looks for profiles to both sides, later ones to one side in turn, to save time.
_PROFILES = ("left", "right")
# Faces of a shorter life in a long shot are mistakes of the detector.
_LEAST_DETECTIONS = 6
# Mean weight of a track's detections: real faces have 4 to 10, patterns that look like one up to 2.8.
_LEAST_SCORE = 3.0


@dataclass(frozen=True, slots=True)
class FaceSettings:
    """How faces are found.

    Parameters
    ----------
    min_size : float or None
        Smallest face in pixels; None is a sixteenth of the frame's shorter side. Smaller takes longer.
    min_share : float
        A face counts where it is detected in at least this share of the frames from its first to its last.
    max_gap : int
        Frames without a detection that are bridged.
    crop_factor : float
        Size of the crop region, in sizes of the face (of its whole way through the shot, where the crop is fixed).
    drop_size : int
        Faces with a side of at most this many pixels are dropped.
    shape : {"ellipse", "box"}
        Shape of the masks.

    Raises
    ------
    InvalidArgumentError
        A value is out of range.
    """

    min_size: float | None = None
    min_share: float = 0.3
    max_gap: int = 12
    crop_factor: float = 3.0
    drop_size: int = 10
    shape: Shape = "ellipse"

    def __post_init__(self) -> None:
        if self.min_size is not None and not self.min_size >= 8:
            raise InvalidArgumentError("min_size", "at least 8 pixels", repr(self.min_size))
        if not 0 <= self.min_share <= 1:
            raise InvalidArgumentError("min_share", "0 to 1", repr(self.min_share))
        if self.max_gap < 0:
            raise InvalidArgumentError("max_gap", "0 or more frames", repr(self.max_gap))
        if not self.crop_factor >= 1:
            raise InvalidArgumentError("crop_factor", "1 or more", repr(self.crop_factor))
        if self.shape not in SHAPES:
            raise InvalidArgumentError("shape", "'ellipse' or 'box'", repr(self.shape))


def find_face_tracks(
    frames: Iterable[NDArray[np.float32]],
    frame_size: tuple[int, int],
    settings: FaceSettings | None = None,
    *,
    progress: Callable[[int], None] | None = None,
) -> list[Track]:
    """Find faces frame by frame and put them together to tracks, which end at cuts.

    Parameters
    ----------
    frames : iterable of ndarray
        `(H, W, 3)` float32 in [0, 1]; looked at once, in order.
    frame_size : tuple of int
        `(H, W)`.
    settings : FaceSettings or None
        How.
    progress : callable or None
        Called with the number of frames done. It may raise to cancel.

    Returns
    -------
    list of Track
        Those that last, in the order of their first frames; ids count from 1. Boxes are the detector's own.
    """
    settings = settings or FaceSettings()
    cascade = FaceCascade(frame_size, settings.min_size or min(frame_size) / 16)
    cuts = ShotDetector()
    shots: list[int] = []
    detections: list[list[Detection]] = []
    for index, frame in enumerate(frames):
        if cuts.begins_shot(frame):
            shots.append(index)
        picture = cascade.reduced(frame)
        turn, rest = divmod(index - shots[-1], _SEARCH_EVERY)
        if rest == 0:
            found = cascade.search(picture, _PROFILES[turn % 2 : turn % 2 + 1] if turn else _PROFILES)
        else:
            # What was missed for a moment is still looked for where it was.
            recent = detections[max(shots[-1], index - _SEARCH_EVERY) :]
            found = cascade.follow(picture, suppress([face for faces in reversed(recent) for face in faces]))
        detections.append(found)
        if progress is not None:
            progress(index + 1)
    return gather_tracks(
        detections,
        shots,
        partial(_lasts, settings=settings),
        max_gap=settings.max_gap,
        drop_size=settings.drop_size,
        shape=settings.shape,
    )


def _lasts(chain: Chain, settings: FaceSettings) -> bool:
    """Whether a chain is no mistake: full searches must confirm it, as following finds again what was wrong before."""
    start, stop = chain.shot
    first, end = chain.span
    searches = sum((frame - start) % _SEARCH_EVERY == 0 for frame in range(first, end))
    if not any(detection.source == "frontal" for detection in chain.detections):
        searches = (searches + 1) // 2
    strong = sum(detection.strong for detection in chain.detections)
    least = min(_LEAST_DETECTIONS, math.ceil((stop - start) / 2))
    is_confirmed = strong >= settings.min_share * searches
    return (
        len(chain.frames) >= least
        and chain.share >= settings.min_share
        and chain.score >= _LEAST_SCORE
        and is_confirmed
    )


def detect_faces(
    frames: NDArray[np.float32],
    settings: FaceSettings | None = None,
    *,
    crop: CropSettings | None = None,
    progress: Callable[[int], None] | None = None,
) -> SEGS:
    """Find the faces of a clip: one SEG for each subject of each shot.

    A subject is followed by overlap and motion from frame to frame, gaps are bridged, what is detected in too few
    frames is dropped, and a cut ends it. Its masks are empty in the frames where it is absent, so that nothing is
    pasted there, and the paste comes and goes in steps where it enters and leaves.

    Parameters
    ----------
    frames : ndarray
        `(B, H, W, 3)` float32 in [0, 1].
    settings : FaceSettings or None
        How.
    crop : CropSettings or None
        How crops are laid. None is a fixed one, with the `crop_factor` and `max_gap` of `settings`.
    progress : callable or None
        Called with the number of frames done. It may raise to cancel.

    Returns
    -------
    SEGS
        `((H, W), [SEG, ...])`, maybe without any SEG; see `segs_detailer.subjects.tracks_to_segs`.

    Raises
    ------
    InvalidArgumentError
        `frames` has another shape.
    MissingDependencyError
        OpenCV is not installed.
    """
    if frames.ndim != 4 or frames.shape[-1] < 3:
        raise InvalidArgumentError("frames", "an array of shape (B, H, W, 3)", str(frames.shape))
    size = (int(frames.shape[1]), int(frames.shape[2]))
    colors = (frame[..., :3] for frame in frames)
    settings = settings or FaceSettings()
    tracks = find_face_tracks(colors, size, settings, progress=progress)
    crop = crop or CropSettings(crop="fixed", crop_factor=settings.crop_factor, max_gap=settings.max_gap)
    return tracks_to_segs(tracks, size, len(frames), crop)
