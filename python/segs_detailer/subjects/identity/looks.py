"""What the tracks of a clip look like: one vector for each, of a few frames in which it is seen best."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segs_detailer.errors import InvalidArgumentError, MediaError
from segs_detailer.subjects.identity.embedder import Sighting, unit_vector
from segs_detailer.subjects.moments import best_moments
from segs_detailer.subjects.selection import Similarity
from segs_detailer.video.reading import frames_at, open_clip

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from segs_detailer.subjects.identity.embedder import Embedder
    from segs_detailer.subjects.track import Track
    from segs_detailer.video.clip import Source

__all__ = ["Looks", "PictureLikeness", "look_at"]

_FRAMES = 5
"""Frames of a track that are embedded."""


@dataclass(frozen=True, slots=True)
class Looks:
    """What tracks look like to one embedder.

    Parameters
    ----------
    embedder : Embedder
        Who looked at them.
    vectors : mapping
        Of a track's number, `(d,)` float32 of length 1. Those in which there is nothing to tell by are not there.
    """

    embedder: Embedder
    vectors: Mapping[int, NDArray[np.float32]] = field(default_factory=dict)


def look_at(
    source: Source,
    tracks: Sequence[Track],
    embedder: Embedder,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Looks:
    """Make one vector of each track: the mean of those of a few frames in which it is seen best.

    Of each track up to five frames are looked at. The clip is read once, up to the last frame that is wanted, and one
    frame of it is held.

    Parameters
    ----------
    source : Source
        The clip.
    tracks : sequence of Track
        The tracks; their ids are their numbers.
    embedder : Embedder
        What makes vectors. Tracks of labels that it does not serve are left out.
    progress : callable or None
        Called with the number of frames that are done, and of all that are wanted. It may raise to cancel.

    Raises
    ------
    ModelError
        The embedder fails.
    MediaError
        The clip cannot be read.
    """
    wanted: dict[int, list[tuple[int, int]]] = {}
    for index, track in enumerate(tracks):
        if not embedder.serves(track.label):
            continue
        for place in best_moments(track, source.info.size, _FRAMES):
            wanted.setdefault(int(track.frames[place]), []).append((index, place))
    found: dict[int, list[NDArray[np.float32]]] = {}
    for done, (number, frame) in enumerate(frames_at(source, wanted), start=1):
        sightings = [_sighting(frame, tracks[index], place) for index, place in wanted[number]]
        for (index, _), vector in zip(wanted[number], embedder.embed(sightings), strict=True):
            if vector is not None:
                found.setdefault(tracks[index].id, []).append(vector)
        if progress is not None:
            progress(done, len(wanted))
    means = {track: unit_vector(np.mean(vectors, axis=0)) for track, vectors in sorted(found.items())}
    return Looks(embedder, {track: mean for track, mean in means.items() if mean is not None})


def _sighting(frame: NDArray[np.float32], track: Track, place: int) -> Sighting:
    x1, y1, x2, y2 = track.boxes[place].tolist()
    points = None if track.landmarks is None else track.landmarks[place]
    return Sighting(frame, (x1, y1, x2, y2), points)


class PictureLikeness:
    """Compares tracks with pictures: what `Tracks.select` takes as `likeness`.

    Parameters
    ----------
    looks : sequence of Looks
        What the tracks look like.
    threshold : float or None
        Cosine from which on they count as the same; None is that of each embedder.
    """

    def __init__(self, looks: Sequence[Looks], threshold: float | None = None) -> None:
        self._looks = looks
        self._threshold = threshold
        self._known: dict[str, dict[int, Similarity]] = {}

    def of(self, picture: str) -> Mapping[int, Similarity]:
        """Return how much each track looks like what a picture shows, by its number.

        Raises
        ------
        MediaError
            It cannot be read.
        InvalidArgumentError
            It shows nothing that the tracks could be compared with: no face, where all tracks are faces.
        """
        if picture not in self._known:
            self._known[picture] = self._compared(picture)
        return self._known[picture]

    def _compared(self, picture: str) -> dict[int, Similarity]:
        pixels = _read(picture)
        found: dict[int, Similarity] = {}
        is_seen = False
        for looks in self._looks:
            vector = looks.embedder.embed_picture(pixels)
            if vector is None:
                continue
            is_seen = True
            least = looks.embedder.threshold if self._threshold is None else self._threshold
            found |= {track: Similarity(float(vector @ own), least) for track, own in looks.vectors.items()}
        if not is_seen:
            raise InvalidArgumentError("like", "a picture in which a face is found", picture)
        return found


def _read(picture: str) -> NDArray[np.float32]:
    source = open_clip(Path(picture))
    if source.info.frames != 1:
        raise MediaError(f"{picture}: expected one picture, got a clip of {source.info.frames} frames")
    return next(frame for _, frame in frames_at(source, (0,)))
