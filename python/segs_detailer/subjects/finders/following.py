"""Subjects through a clip, found by any detector: one track for each subject of each shot."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import chain as joined
from typing import TYPE_CHECKING

from segs_detailer.errors import InvalidArgumentError
from segs_detailer.subjects.finders.detector import check_frame
from segs_detailer.subjects.finders.face_detector import FaceDetector
from segs_detailer.subjects.finders.faces import FaceSettings, find_face_tracks
from segs_detailer.subjects.finders.gathering import gather_tracks
from segs_detailer.subjects.finders.shots import ShotDetector
from segs_detailer.subjects.track import SHAPES, Shape, Track

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np
    from numpy.typing import NDArray

    from segs_detailer.subjects.association import Chain, Detection
    from segs_detailer.subjects.finders.detector import Detector

__all__ = ["FollowSettings", "find_tracks"]

# What is seen in fewer frames of a shot of some length is a mistake of the detector.
_LEAST_DETECTIONS = 3


@dataclass(frozen=True, slots=True)
class FollowSettings:
    """Which subjects count.

    Parameters
    ----------
    min_share : float
        A subject counts where it is detected in at least this share of the frames from its first to its last.
    max_gap : int
        Frames without a detection that are bridged.
    drop_size : int
        Subjects whose shorter side never has more pixels are dropped.
    shape : {"ellipse", "box"} or None
        Shape of the masks of frames in which the detector gives none. None is an ellipse for the face cascades, whose
        boxes run from brows to lips, and the box for others.

    Raises
    ------
    InvalidArgumentError
        A value is out of range.
    """

    min_share: float = 0.3
    max_gap: int = 12
    drop_size: int = 10
    shape: Shape | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.min_share <= 1:
            raise InvalidArgumentError("min_share", "0 to 1", repr(self.min_share))
        if self.max_gap < 0:
            raise InvalidArgumentError("max_gap", "0 or more frames", repr(self.max_gap))
        if self.shape not in (None, *SHAPES):
            raise InvalidArgumentError("shape", "'ellipse', 'box' or None", repr(self.shape))

    def for_faces(self, min_size: float | None) -> FaceSettings:
        """Return the same for the face cascades."""
        return FaceSettings(
            min_size=min_size,
            min_share=self.min_share,
            max_gap=self.max_gap,
            drop_size=self.drop_size,
            shape=self.shape or "ellipse",
        )

    def counts(self, chain: Chain) -> bool:
        """Whether a chain of detections is a subject."""
        start, stop = chain.shot
        least = min(_LEAST_DETECTIONS, math.ceil((stop - start) / 2))
        return len(chain.frames) >= least and chain.share >= self.min_share


def find_tracks(
    frames: Iterable[NDArray[np.float32]],
    detector: Detector,
    settings: FollowSettings | None = None,
    *,
    progress: Callable[[int], None] | None = None,
) -> list[Track]:
    """Find subjects frame by frame and put them together to tracks, which end at cuts.

    Parameters
    ----------
    frames : iterable of ndarray
        `(H, W, 3)` float32 in [0, 1], all of one size, each an array of its own; looked at once, in order. No more than
        the detector's `batch` are held.
    detector : Detector
        What `open_detector` gave, or any object with the members of `Detector`.
    settings : FollowSettings or None
        Which subjects count.
    progress : callable or None
        Called with the number of frames done. It may raise to cancel.

    Returns
    -------
    list of Track
        In the order of their first frames; ids count from 1. Boxes are the detector's own.

    Raises
    ------
    InvalidTypeError
        A frame is of another shape or dtype.
    ModelError
        The detector fails.
    MissingDependencyError
        OpenCV, which finds the cuts, is not installed.
    """
    settings = settings or FollowSettings()
    rest = iter(frames)
    first = next(rest, None)
    if first is None:
        return []
    size = check_frame(first)
    if isinstance(detector, FaceDetector):
        return find_face_tracks(joined([first], rest), size, settings.for_faces(detector.min_size), progress=progress)
    cuts = ShotDetector()
    shots: list[int] = []
    detections: list[list[Detection]] = []
    waiting: list[NDArray[np.float32]] = []

    def look() -> None:
        detections.extend(detector.detect(waiting))
        waiting.clear()
        if progress is not None:
            progress(len(detections))

    for index, frame in enumerate(joined([first], rest)):
        if cuts.begins_shot(frame):
            shots.append(index)
        waiting.append(frame)
        if len(waiting) >= detector.batch:
            look()
    if waiting:
        look()
    return gather_tracks(
        detections,
        shots,
        settings.counts,
        max_gap=settings.max_gap,
        drop_size=settings.drop_size,
        shape=settings.shape or "box",
    )
