"""Subjects of a job that words name, and the masks of those that are found as boxes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from segs_detailer.errors import InvalidArgumentError
from segs_detailer.subjects.finders.finder import find_tracks
from segs_detailer.subjects.finders.word_opening import DEFAULT_WORD_MODEL, open_word_finder
from segs_detailer.subjects.segmenters.opening import DEFAULT_SEGMENTER, open_segmenter
from segs_detailer.subjects.segmenters.refining import RefineSettings, refine_tracks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segs_detailer.jobs.job import ClipJob
    from segs_detailer.jobs.kept_tracks import TrackKeeper
    from segs_detailer.subjects.finders.finder import Finder, FollowSettings
    from segs_detailer.subjects.segmenters.segmenter import VideoSegmenter
    from segs_detailer.subjects.track import Track

__all__ = ["MaskDrawer", "WordSearch"]

# A segmenter follows a subject from one look to the next.
_LOOKS_WITH_MASKS = 5


class WordSearch:
    """Finds what the words of a job name.

    Parameters
    ----------
    job : ClipJob
        The job, which has words.

    Raises
    ------
    SegsDetailerError
        A model is not there, or a setting cannot be used.
    """

    def __init__(self, job: ClipJob) -> None:
        find = job.find
        self._words = find.words
        self._finder: Finder = open_word_finder(
            find.words,
            find.find_model or DEFAULT_WORD_MODEL,
            every=find.find_every,
            usual_every=1 if find.refine_masks == "none" else _LOOKS_WITH_MASKS,
            confidence=find.find_confidence,
            min_size=find.min_face,
            device=job.model.device,
            dtype=job.model.dtype,
        )
        self._named = (find.find_confidence, find.min_face)

    @property
    def gives_masks(self) -> bool:
        """Whether its tracks have masks already."""
        return self._finder.gives_masks

    @property
    def every(self) -> int:
        """Frames from one look to the next."""
        return self._finder.every

    def tracks(self, keeper: TrackKeeper, following: FollowSettings, *, filled: bool) -> Sequence[Track]:
        """Find them.

        Parameters
        ----------
        keeper : TrackKeeper
            Reads the clip and keeps the result.
        following : FollowSettings
            Which subjects count.
        filled : bool
            Put boxes into the frames between looks too.
        """
        finder = self._finder
        follow = (following.min_share, following.max_gap, following.drop_size, following.shape)
        key = ("words", self._words, finder.identity, finder.every, *self._named, *follow)
        found = keeper.tracks("find", key, lambda frames, done: find_tracks(frames, finder, following, progress=done))
        finder.release()
        if not filled:
            return found
        from segs_detailer.subjects.finders.word_finder import filled_between

        return [filled_between(track, finder.every) for track in found]


class MaskDrawer:
    """Draws masks of tracks that were found as boxes, where a job asks for it.

    Parameters
    ----------
    job : ClipJob
        The job.
    words : WordSearch or None
        Where it finds what words name, whose tracks get masks unless the job says otherwise.

    Raises
    ------
    SegsDetailerError
        The model is not there; nothing of the job is found as boxes.
    """

    def __init__(self, job: ClipJob, words: WordSearch | None) -> None:
        find = job.find
        named = find.refine_masks
        has_boxes = bool(find.bbox) or find.segs is not None or find.detector is not None
        of_words = words is not None and not words.gives_masks
        if named not in (None, "none") and not (has_boxes or of_words):
            raise InvalidArgumentError("refine_masks", "subjects that are found as boxes", "none")
        self.draws_all = named not in (None, "none")
        """Whether all tracks without masks get some."""
        self.draws_words = named != "none" and of_words
        """Whether those that words name get some."""
        self._segmenter: VideoSegmenter | None = None
        if self.draws_all or self.draws_words:
            source = DEFAULT_SEGMENTER if named is None else named
            self._segmenter = open_segmenter(source, device=job.model.device, dtype=job.model.dtype)

    def drawn(self, tracks: Sequence[Track], keeper: TrackKeeper, *, lead: int = 0) -> Sequence[Track]:
        """Give masks to tracks; those that have some are left as they are.

        Parameters
        ----------
        tracks : sequence of Track
            Tracks of the clip.
        keeper : TrackKeeper
            Reads the clip and keeps the result.
        lead : int
            See `RefineSettings`.
        """
        segmenter = self._segmenter
        bare = [track for track in tracks if not track.has_masks and len(track.frames)]
        if segmenter is None or not bare:
            return tracks
        # Numbers within a file are of no account: each track keeps its own.
        given = [replace(track, id=number) for number, track in enumerate(bare, start=1)]
        settings = RefineSettings(lead=lead)
        key = ("segment", segmenter.identity, lead, *(part for track in given for part in _parts(track)))
        found = keeper.tracks(
            "segment", key, lambda frames, done: refine_tracks(frames, given, segmenter, settings, progress=done)
        )
        segmenter.release()
        masked = {id(track): replace(new, id=track.id) for track, new in zip(bare, found, strict=True)}
        return [masked.get(id(track), track) for track in tracks]


def _parts(track: Track) -> tuple[Any, ...]:
    """All of a track that its masks depend on, and that is kept with them."""
    known = (track.landmarks, track.angles)
    return (
        *(track.label, track.identity, track.shot, track.shape, track.frames, track.boxes, track.confidence),
        *(part for part in known if part is not None),
    )
