"""Detections that another program made, followed through the clip as those of a detector are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from segs_detailer.errors import InvalidArgumentError
from segs_detailer.subjects.finders.finder import Detector, FollowSettings, find_tracks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from segs_detailer.subjects.association import Detection
    from segs_detailer.subjects.track import Track

__all__ = ["follow_detections"]


def follow_detections(
    frames: Iterable[NDArray[np.float32]],
    detections: Sequence[Sequence[Detection]],
    settings: FollowSettings | None = None,
    *,
    progress: Callable[[int], None] | None = None,
    argument: str = "detections",
) -> list[Track]:
    """Put detections of single frames together to tracks: by overlap, motion and what they look like.

    Parameters
    ----------
    frames : iterable of ndarray
        `(H, W, 3)` float32 in [0, 1], all of one size, each an array of its own; looked at once, in order: for cuts,
        which end tracks, and for what is where nothing was detected.
    detections : sequence
        Those of each frame, with boxes inside the frame. Only those of one label become one track.
    settings : FollowSettings or None
        Which subjects count; `detect_every` does not, as every frame has its own detections.
    progress : callable or None
        Called with the number of frames done. It may raise to cancel.
    argument : str
        Name for messages.

    Returns
    -------
    list of Track
        As of `find_tracks`.

    Raises
    ------
    InvalidArgumentError
        Detections of another number of frames.
    InvalidTypeError
        A frame is of another shape or dtype.
    MissingDependencyError
        OpenCV, which finds the cuts, is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from segs_detailer.subjects import Detection
    >>> from segs_detailer.subjects.finders import follow_detections
    >>> frames = np.zeros((8, 60, 100, 3), np.float32)
    >>> detections = [[Detection((10 + 5 * t, 20, 30 + 5 * t, 40), 0.9, "hand")] for t in range(8)]
    >>> [track] = follow_detections(frames, detections)
    >>> track.label, track.span
    ('hand', (0, 8))
    """
    given = _Given(detections, argument)
    tracks = find_tracks(frames, given, replace(settings or FollowSettings(), detect_every=1), progress=progress)
    given.finish()
    return tracks


class _Given(Detector):
    """Says of each frame what was said before."""

    def __init__(self, detections: Sequence[Sequence[Detection]], argument: str) -> None:
        self._detections = detections
        self._argument = argument
        self._done = 0

    @property
    def names(self) -> tuple[str, ...]:
        """It does not say."""
        return ()

    @property
    def batch(self) -> int:
        """One frame at a time."""
        return 1

    def detect(self, frames: Sequence[NDArray[np.float32]]) -> list[list[Detection]]:
        """Return the detections of the next frames."""
        first, self._done = self._done, self._done + len(frames)
        if self._done > len(self._detections):
            raise self._miscounted(f"at least {self._done}")
        return [list(found) for found in self._detections[first : self._done]]

    def finish(self) -> None:
        """Refuse detections of frames that did not come."""
        if self._done < len(self._detections):
            raise self._miscounted(str(self._done))

    def _miscounted(self, frames: str) -> InvalidArgumentError:
        return InvalidArgumentError(self._argument, f"those of each of {frames} frames", f"of {len(self._detections)}")
