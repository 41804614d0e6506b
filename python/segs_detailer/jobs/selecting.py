"""Which of the tracks that were found are detailed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from segs_detailer.subjects.selection import NothingLeftError, selected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segs_detailer.jobs.job import ClipJob
    from segs_detailer.jobs.plan import ChosenTrack
    from segs_detailer.subjects.selection import Likeness, Step
    from segs_detailer.subjects.track import Track
    from segs_detailer.video.clip import ClipInfo

__all__ = ["Selection", "select_tracks"]


@dataclass(frozen=True, slots=True)
class Selection:
    """What was found, and what of it is meant.

    Parameters
    ----------
    found : tuple of ChosenTrack
        All that was found.
    kept : tuple of ChosenTrack
        What is detailed.
    steps : tuple of Step
        What each criterion left.
    nothing_left : str
        Why nothing is, where the job lets that pass.
    """

    found: tuple[ChosenTrack, ...]
    kept: tuple[ChosenTrack, ...]
    steps: tuple[Step, ...] = ()
    nothing_left: str = ""

    @property
    def left_out(self) -> tuple[Track, ...]:
        """What was found and is not meant."""
        kept = {item.track.id for item in self.kept}
        return tuple(item.track for item in self.found if item.track.id not in kept)


def select_tracks(
    found: Sequence[ChosenTrack], job: ClipJob, info: ClipInfo, likeness: Likeness | None = None
) -> Selection:
    """Select tracks as a job says.

    Parameters
    ----------
    found : sequence of ChosenTrack
        All that was found.
    job : ClipJob
        Says which are meant, and whether a clip without any may pass.
    info : ClipInfo
        The clip.
    likeness : Likeness or None
        Compares tracks with pictures.

    Raises
    ------
    InvalidArgumentError
        There is none such; the message says what there was to choose from.
    """
    found = tuple(found)
    if not found or not job.select.is_given:
        return Selection(found, found)
    tracks = [item.track for item in found]
    try:
        steps = selected(tracks, job.select, times=info.starts, frame_count=info.frames, likeness=likeness)
    except NothingLeftError as error:
        if job.when_empty != "skip":
            raise
        return Selection(found, (), nothing_left=str(error))
    return Selection(found, tuple(item for item in found if item.track.id in steps[-1].leaves), tuple(steps))
