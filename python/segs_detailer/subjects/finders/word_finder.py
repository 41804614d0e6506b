"""What words name, through a clip: looked for in some frames, and followed between them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from segs_detailer.checks import whole_number
from segs_detailer.subjects.finders.finder import Finder, FollowSettings, check_frame, gather_tracks
from segs_detailer.subjects.finders.pictures import View
from segs_detailer.subjects.finders.search import with_looks
from segs_detailer.subjects.finders.shots import ShotDetector
from segs_detailer.subjects.linking import associate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from segs_detailer.subjects.association import Detection
    from segs_detailer.subjects.finders.words import WordDetector
    from segs_detailer.subjects.track import Track

__all__ = ["WordFinder", "filled_between"]


class WordFinder(Finder):
    """Looks for what phrases name in every few frames of each shot.

    Parameters
    ----------
    detector : WordDetector
        What looks at single frames.
    every : int
        Every so many frames it looks, beginning with the first of a shot. The tracks have these frames alone:
        `refine_tracks` draws masks for those between, `filled_between` fills them with boxes.

    Raises
    ------
    InvalidArgumentError
        `every` is below 1.
    """

    def __init__(self, detector: WordDetector, *, every: int = 1) -> None:
        self._detector = detector
        self.every = whole_number("every", every, minimum=1)

    @property
    def names(self) -> tuple[str, ...]:
        """The phrases."""
        return self._detector.names

    @property
    def identity(self) -> tuple[str, ...]:
        """Files, number format and kind of device of the detector."""
        return self._detector.identity

    def release(self) -> None:
        """Let go of the detector's weights."""
        self._detector.release()

    def find(
        self,
        frames: Iterable[NDArray[np.float32]],
        settings: FollowSettings | None = None,
        *,
        progress: Callable[[int], None] | None = None,
    ) -> list[Track]:
        """Find the subjects of a clip; see `find_tracks`. Counts and gaps of `settings` are of frames looked at."""
        settings = settings or FollowSettings()
        looks = _Looks(self._detector)
        cuts = ShotDetector()
        count, start = 0, 0
        for index, frame in enumerate(frames):
            if cuts.begins_shot(frame):
                start = index
                looks.begin_shot(index)
            if (index - start) % self.every == 0:
                looks.take(index, frame)
            count = index + 1
            if progress is not None:
                progress(count)
        looks.finish()
        gap = settings.max_gap if self.every == 1 else max(1, settings.max_gap // self.every)
        following = replace(settings, max_gap=gap)
        chains = associate(looks.detections, looks.shots, max_gap=gap)
        tracks = gather_tracks(chains, following.counts, following, settings.shape or "box")
        return [_placed(track, looks, count) for track in tracks]


class _Looks:
    """Frames that were looked at, and what was in them."""

    def __init__(self, detector: WordDetector) -> None:
        self._detector = detector
        self._waiting: list[NDArray[np.float32]] = []
        self.frames: list[int] = []
        self.detections: list[list[Detection]] = []
        self.shots: list[int] = []
        """First look of each shot."""
        self.starts: list[int] = []
        """First frame of each shot."""

    def begin_shot(self, index: int) -> None:
        self.shots.append(len(self.frames))
        self.starts.append(index)

    def take(self, index: int, frame: NDArray[np.float32]) -> None:
        self.frames.append(index)
        self._waiting.append(frame)
        if len(self._waiting) >= self._detector.batch:
            self.finish()

    def finish(self) -> None:
        """Look at what waits."""
        if self._waiting:
            found = self._detector.detect(self._waiting)
            views = (View(frame, check_frame(frame)) for frame in self._waiting)
            self.detections += [with_looks(view, each) for view, each in zip(views, found, strict=True)]
            self._waiting.clear()


def _placed(track: Track, looks: _Looks, count: int) -> Track:
    """Count a track's frames in those of the clip, where they were counted in looks."""
    frames = np.array(looks.frames)[track.frames]
    starts = [*sorted({0, *looks.starts}), count]
    shot = int(np.searchsorted(starts, frames[0], side="right")) - 1
    return replace(track, frames=frames, shot=(starts[shot], starts[shot + 1]))


def filled_between(track: Track, every: int) -> Track:
    """Put boxes on a straight way into the frames between looks.

    Parameters
    ----------
    track : Track
        A track of a `WordFinder`.
    every : int
        Its `every`: longer gaps are left, as the subject was looked for in them.

    Returns
    -------
    Track
        Landmarks and angles of new frames are not known.
    """
    own = track.frames
    if every == 1 or len(own) < 2:
        return track
    spans = [np.arange(start, stop) for start, stop in pairwise(own.tolist()) if stop - start <= every]
    frames = np.unique(np.concatenate([own, *spans]))
    rows = np.searchsorted(own, frames)
    known = own[np.minimum(rows, len(own) - 1)] == frames
    boxes = np.stack([np.interp(frames, own, track.boxes[:, side]) for side in range(4)], axis=1)
    masks = [track.masks[row] if is_known else None for row, is_known in zip(rows, known, strict=True)]
    return replace(
        track,
        frames=frames,
        boxes=boxes,
        confidence=np.interp(frames, own, track.confidence),
        masks=tuple(masks),
        landmarks=None if track.landmarks is None else np.where(known[:, None, None], track.landmarks[rows], np.nan),
        angles=None if track.angles is None else np.where(known, track.angles[rows], np.nan),
    )
