"""Faces by the cascades that OpenCV brings along: in single frames, and through a clip."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from segs_detailer.errors import InvalidArgumentError
from segs_detailer.subjects.association import Chain, Detection, suppress
from segs_detailer.subjects.finders.cascade import FaceCascade
from segs_detailer.subjects.finders.filtering import check_labels
from segs_detailer.subjects.finders.finder import Detector, FollowSettings, check_frame, gather_tracks
from segs_detailer.subjects.finders.opencv import import_cv2
from segs_detailer.subjects.finders.pictures import View
from segs_detailer.subjects.finders.search import TrackBuilder, with_looks
from segs_detailer.subjects.finders.shots import ShotDetector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from segs_detailer.subjects.track import Track

__all__ = ["FaceDetector"]

_LABEL = "face"
_SMALLEST_SHARE = 16
# Between full searches, faces are only looked for near where they were; where `detect_every` does not say it:
_SEARCH_EVERY = 5
# The first search of a shot looks for profiles to both sides, later ones to one side in turn, to save time.
_PROFILES = ("left", "right")
# Faces of a shorter life in a long shot are mistakes of the detector.
_LEAST_DETECTIONS = 6
# In how many of the full searches eyes must be seen, as a share and as a number.
_EYES_SHARE = 0.5
_LEAST_EYES = 2
# Mean weight of a track's detections: real faces have 4 to 10, patterns that look like one up to 2.8.
_LEAST_SCORE = 3.0


class FaceDetector(Detector):
    """Faces, by the cascades that OpenCV brings along: needs no model.

    `detect` searches each frame as a whole. `find` looks mostly where faces were before, which is several times faster:
    between full searches, faces are only looked for near where they were.

    Parameters
    ----------
    labels : iterable of str or None
        Only `face`.
    min_size : float or None
        Smallest face in pixels; None is a sixteenth of the frame's shorter side. Smaller takes longer.

    Raises
    ------
    MissingDependencyError
        OpenCV is not installed.
    InvalidArgumentError
        A value is out of range.
    """

    def __init__(self, *, labels: Iterable[str] | None = None, min_size: float | None = None) -> None:
        import_cv2()
        check_labels(labels, self.names)
        if min_size is not None and not min_size >= 8:
            raise InvalidArgumentError("min_size", "at least 8 pixels", repr(min_size))
        self.min_size = min_size
        self._cascade: FaceCascade | None = None
        self._size: tuple[int, int] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Only `face`."""
        return (_LABEL,)

    @property
    def batch(self) -> int:
        """One frame is searched at a time."""
        return 1

    def detect(self, frames: Sequence[NDArray[np.float32]]) -> list[list[Detection]]:
        """Find faces; see `Detector.detect`. Scores are the cascades' weights, above 0.5 and not bounded by 1.

        Raises
        ------
        InvalidTypeError
            A frame has another shape or dtype.
        """
        found = []
        for frame in frames:
            cascade = self._cascade_for(check_frame(frame))
            faces = cascade.search(cascade.reduced(frame))
            found.append(sorted(faces, key=lambda detection: -detection.score))
        return found

    def _cascade_for(self, size: tuple[int, int]) -> FaceCascade:
        if self._cascade is None or size != self._size:
            self._cascade = FaceCascade(size, self.min_size or min(size) / _SMALLEST_SHARE)
            self._size = size
        return self._cascade

    def find(
        self,
        frames: Iterable[NDArray[np.float32]],
        settings: FollowSettings | None = None,
        *,
        progress: Callable[[int], None] | None = None,
    ) -> list[Track]:
        """Find the faces of a clip; see `find_tracks`. Masks are ellipses where `settings` names no shape."""
        settings = settings or FollowSettings()
        every = settings.detect_every or _SEARCH_EVERY
        cuts = ShotDetector()
        builder = TrackBuilder(settings.max_gap)
        recent: deque[list[Detection]] = deque(maxlen=every)
        start = 0
        for index, frame in enumerate(frames):
            begins = cuts.begins_shot(frame)
            if begins:
                start = index
                recent.clear()
            size = check_frame(frame)
            cascade = self._cascade_for(size)
            picture = cascade.reduced(frame)
            turn, rest = divmod(index - start, every)
            if rest == 0:
                found = cascade.search(picture, _PROFILES[turn % 2 : turn % 2 + 1] if turn else _PROFILES)
            else:
                # What was missed for a moment is still looked for where it was.
                found = cascade.follow(picture, suppress([face for faces in reversed(recent) for face in faces]))
            recent.append(found)
            view = View(frame, size)
            builder.add(view, with_looks(view, found), begins_shot=begins)
            if progress is not None:
                progress(index + 1)
        lasts = partial(_lasts, settings=settings, every=every)
        return gather_tracks(builder.finish(), lasts, settings, settings.shape or "ellipse")


def _lasts(chain: Chain, settings: FollowSettings, every: int) -> bool:
    """Whether a chain is no mistake: full searches must see eyes in it; following finds again what was wrong before."""
    start = chain.shot[0]
    first, end = chain.span
    searches = sum((frame - start) % every == 0 for frame in range(first, end))
    if not any(detection.source == "frontal" for detection in chain.detections):
        searches = (searches + 1) // 2
    strong = sum(detection.strong for detection in chain.detections)
    least = settings.least_frames(chain, _LEAST_DETECTIONS)
    of_shot = -(-(chain.shot[1] - start) // every)
    is_confirmed = strong >= max(max(settings.min_share, _EYES_SHARE) * searches, min(_LEAST_EYES, of_shot))
    return (
        len(chain.frames) >= least
        and chain.share >= settings.min_share
        and chain.score >= _LEAST_SCORE
        and is_confirmed
    )
