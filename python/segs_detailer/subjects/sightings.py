"""What a file says of one track in one frame, and how such sightings become tracks."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from segs_detailer.errors import InvalidArgumentError
from segs_detailer.subjects.association import Detection
from segs_detailer.subjects.linking import Associator
from segs_detailer.subjects.track import MAX_FRAMES, Track

if TYPE_CHECKING:
    from collections.abc import Iterable

    from segs_detailer.subjects.mask import Mask

__all__ = ["Sighting", "frames_needed", "gather"]

_MAX_GAP = 12
"""Frames without a detection that a track without id may be lost for: as for faces."""


class Sighting(NamedTuple):
    """One track in one frame.

    Parameters
    ----------
    frame : int
        Number of the frame, from 0.
    box : tuple of float or None
        `(x1, y1, x2, y2)` in pixels; None takes the extent of the mask.
    label : str
        What it is.
    id : int or None
        Which one it is; None leaves that to be found out.
    confidence : float
        How sure that is.
    mask : Mask or None
        Its shape.
    place : str
        Where that stands in the file, for messages.
    angle : float or None
        By how many degrees it is turned clockwise, 0 is upright.
    """

    frame: int
    box: tuple[float, float, float, float] | None
    label: str = "object"
    id: int | None = None
    confidence: float = 1.0
    mask: Mask | None = None
    place: str = ""
    angle: float | None = None


def gather(sightings: Iterable[Sighting]) -> tuple[Track, ...]:
    """Make tracks of sightings.

    Those with an id belong together by it, whatever their labels: the track's is the most frequent. Those without
    are put together by overlap and distance from frame to frame, label by label. What has neither a box nor anything in
    its mask is left out.

    Returns
    -------
    tuple of Track
        By id; tracks that had none follow, in the order of their first frames.

    Raises
    ------
    InvalidArgumentError
        One id twice in a frame; a frame number out of range.
    """
    known: dict[int, list[Sighting]] = {}
    loose: list[Sighting] = []
    for sighting in sightings:
        if not 0 <= sighting.frame < MAX_FRAMES:
            expected = f"a frame from 0 to {MAX_FRAMES - 1}"
            raise InvalidArgumentError(sighting.place, expected, f"{sighting.frame}")
        if sighting.box is None and (sighting.mask is None or sighting.mask.empty):
            continue
        if sighting.id is None:
            loose.append(sighting)
        else:
            known.setdefault(sighting.id, []).append(sighting)
    tracks = [_track(number, known[number]) for number in sorted(known)]
    first = max(known, default=0) + 1
    tracks += [_track(first + index, group) for index, group in enumerate(_linked(loose))]
    return tuple(tracks)


def frames_needed(tracks: Iterable[Track]) -> int:
    """Return the number of frames of the shortest clip that could hold some tracks: at least 1."""
    return max((track.span[1] for track in tracks), default=1) or 1


def _box(sighting: Sighting) -> tuple[float, float, float, float]:
    if sighting.box is not None:
        return sighting.box
    x1, y1, x2, y2 = sighting.mask.place if sighting.mask is not None else (0, 0, 0, 0)
    return float(x1), float(y1), float(x2), float(y2)


def _track(number: int, sightings: list[Sighting]) -> Track:
    ordered = sorted(sightings, key=lambda sighting: sighting.frame)
    for before, after in pairwise(ordered):
        if before.frame == after.frame:
            raise InvalidArgumentError(after.place, "each id once in a frame", f"{number} twice in frame {after.frame}")
    label = Counter(sighting.label for sighting in ordered).most_common(1)[0][0]
    return Track(
        number,
        label,
        [sighting.frame for sighting in ordered],
        [_box(sighting) for sighting in ordered],
        [sighting.confidence for sighting in ordered],
        [sighting.mask for sighting in ordered],
        angles=_angles(ordered),
    )


def _angles(sightings: list[Sighting]) -> list[float] | None:
    angles = [math.nan if sighting.angle is None else sighting.angle for sighting in sightings]
    return None if all(map(math.isnan, angles)) else angles


def _linked(sightings: list[Sighting]) -> list[list[Sighting]]:
    """Put sightings without ids together to tracks."""
    if not sightings:
        return []
    frames: dict[int, list[Detection]] = {}
    of_detection = {}
    for sighting in sightings:
        detection = Detection(_box(sighting), sighting.confidence, sighting.label)
        of_detection[id(detection)] = sighting
        frames.setdefault(sighting.frame, []).append(detection)
    associator = Associator(_MAX_GAP)
    for frame in sorted(frames):
        associator.skip(frame - associator.frame)
        associator.add(frames[frame])
    return [[of_detection[id(detection)] for detection in chain.detections] for chain in associator.finish()]
