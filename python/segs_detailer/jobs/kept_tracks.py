"""Tracks that are looked for once, and read from the cache from then on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from segs_detailer._version import installed_version
from segs_detailer.jobs.cache import digest
from segs_detailer.subjects.finders.pictures import clip_frames
from segs_detailer.subjects.track import Tracks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from segs_detailer.jobs.cache import Cache
    from segs_detailer.jobs.progress import Stages
    from segs_detailer.subjects.finders.pictures import ClipFrames
    from segs_detailer.subjects.track import Track
    from segs_detailer.video.clip import Source

__all__ = ["TrackKeeper"]


@dataclass(frozen=True, slots=True)
class TrackKeeper:
    """Keeps what was found in a clip.

    Parameters
    ----------
    source : Source
        The clip.
    clip : str
        A digest of it.
    cache : Cache
        Where tracks are kept.
    stages : Stages
        Is told how far the search is.
    """

    source: Source
    clip: str
    cache: Cache
    stages: Stages

    def tracks(
        self,
        stage: str,
        key: Sequence[Any],
        look: Callable[[ClipFrames, Callable[[int], None]], Sequence[Track]],
    ) -> Sequence[Track]:
        """Look for tracks, or read what was found before: always from the file, so that both are the same.

        Parameters
        ----------
        stage : str
            What the search is called.
        key : sequence
            All that the result depends on, beside the clip.
        look : callable
            Is given the frames, and what it calls with the number of frames done; returns the tracks.
        """
        from segs_detailer.subjects.formats.files import read_tracks, write_tracks

        info = self.source.info
        path = self.cache.entry("tracks", self.clip, digest(installed_version(), *key), ".npz")
        if not path.exists():
            with self.stages.stage(stage) as advance:
                tracks = look(clip_frames(self.source), lambda done: advance(done, max(done, info.frames)))
            last = max((track.span[1] for track in tracks), default=0)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_tracks(path, Tracks(info.size, max(last, info.frames), tuple(tracks)))
        self.cache.touch(path)
        return read_tracks(path).tracks
