"""Who is who among the tracks of a clip: what they look like, kept in the cache, and what follows from it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from segs_detailer._version import installed_version
from segs_detailer.errors import ModelError
from segs_detailer.jobs.cache import digest
from segs_detailer.jobs.keys import track_digest
from segs_detailer.subjects.identity.linking import link_tracks
from segs_detailer.subjects.identity.looks import Looks, PictureLikeness, look_at
from segs_detailer.subjects.identity.opening import open_embedders
from segs_detailer.video.partial import PartialFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from segs_detailer.jobs.cache import Cache
    from segs_detailer.jobs.job import ClipJob
    from segs_detailer.jobs.plan import ChosenTrack
    from segs_detailer.jobs.progress import Stages
    from segs_detailer.subjects.identity.embedder import Embedder
    from segs_detailer.subjects.track import Track
    from segs_detailer.video.clip import Source

__all__ = ["identified"]


def identified(
    found: Sequence[ChosenTrack], job: ClipJob, source: Source, clip: str, cache: Cache, stages: Stages
) -> tuple[list[ChosenTrack], PictureLikeness | None]:
    """Link tracks and look at them, as far as a job asks for it.

    Parameters
    ----------
    found : sequence of ChosenTrack
        What was found.
    job : ClipJob
        Says whether tracks are linked, and which pictures they are compared with.
    source : Source
        The clip.
    clip : str
        A digest of it.
    cache : Cache
        Where what the tracks look like is kept.
    stages : Stages
        Is told how far this is.

    Returns
    -------
    list of ChosenTrack
        The same, with identities where tracks are linked.
    PictureLikeness or None
        Compares them with pictures, where there are any.
    """
    pictures, find = job.select.pictures, job.find
    if not found or not (find.link_shots or pictures):
        return list(found), None
    tracks = [item.track for item in found]
    labels = dict.fromkeys(track.label for track in tracks)
    try:
        embedders = open_embedders(labels, find.identity_model, finder=find.detect, device=job.model.device)
    except ModelError as error:
        if find.identity_model is not None:
            raise
        raise ModelError(f"{error}: name another with `identity_model`") from error
    looks = []
    for embedder in dict.fromkeys(embedders.values()):
        own = [track for track in tracks if embedders[track.label] is embedder]
        looks.append(_looks(own, embedder, source, clip, cache, stages))
    if find.link_shots:
        for each in looks:
            least = each.embedder.link_threshold if find.identity_threshold is None else find.identity_threshold
            tracks = link_tracks(tracks, each.vectors, least)
        found = [replace(item, track=track) for item, track in zip(found, tracks, strict=True)]
    return list(found), PictureLikeness(looks, find.identity_threshold) if pictures else None


def _looks(
    tracks: Sequence[Track], embedder: Embedder, source: Source, clip: str, cache: Cache, stages: Stages
) -> Looks:
    """Look at tracks, or read what was seen before."""
    digests = [(track_digest(track), track.id, _landmarks(track)) for track in tracks]
    parts = [part for each in digests for part in each]
    path = cache.entry("looks", clip, digest(installed_version(), embedder.key, *parts), ".npz")
    if not path.exists():
        with stages.stage("identify") as advance:
            _write(path, look_at(source, tracks, embedder, progress=advance))
    cache.touch(path)
    with np.load(path, allow_pickle=False) as kept:
        return Looks(embedder, dict(zip(kept["numbers"].tolist(), kept["vectors"], strict=True)))


def _landmarks(track: Track) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.empty(0) if track.landmarks is None else track.landmarks


def _write(path: Path, looks: Looks) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    vectors = np.stack(list(looks.vectors.values())) if looks.vectors else np.empty((0, 0), np.float32)
    with PartialFile(path) as place, place.open("wb") as file:
        np.savez(file, numbers=np.array(list(looks.vectors), np.int64), vectors=vectors)
