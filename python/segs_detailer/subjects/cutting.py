"""Tracks from elsewhere, ended by the cuts that a clip has."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from segs_detailer.crop_path import CropPath

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from segs_detailer.subjects.track import Track

__all__ = ["split_at_cuts"]


def split_at_cuts(tracks: Iterable[Track], shots: Sequence[int], frame_count: int) -> list[Track]:
    """End tracks at cuts: of one that goes on across a cut, each shot gets a track of its own.

    Files and trackers know objects, not shots; a crop that moved smoothly from where a subject was before a cut to
    where it is after it would be right in neither shot.

    Parameters
    ----------
    tracks : iterable of Track
        Subjects; their ids are unique. One that was made from a SEG keeps its crop region in all its parts, but for one
        that moves, which is not split.
    shots : sequence of int
        First frame of each shot, ascending; `ShotDetector` finds them.
    frame_count : int
        Frames of the clip.

    Returns
    -------
    list of Track
        Each with its `shot`. The first part of a track keeps its id, others have ids that no track had. Parts of one
        track follow each other.
    """
    tracks = list(tracks)
    bounds = sorted({0, frame_count, *(shot for shot in shots if 0 < shot < frame_count)})
    free = max((track.id for track in tracks), default=0) + 1
    found = []
    for track in tracks:
        if track.shot is not None or len(track.frames) == 0 or isinstance(track.crop_region, CropPath):
            found.append(track)
            continue
        number = track.id
        for start, stop in pairwise(bounds):
            low, high = np.searchsorted(track.frames, (start, stop)).tolist()
            if low == high:
                continue
            part = replace(
                track,
                id=number,
                frames=track.frames[low:high],
                boxes=track.boxes[low:high],
                confidence=track.confidence[low:high],
                masks=track.masks[low:high],
                shot=(start, stop),
            )
            found.append(part)
            if number == free:
                free += 1
            number = free
    return found
