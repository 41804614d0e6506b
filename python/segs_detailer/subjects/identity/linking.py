"""The same person or thing in several tracks, by what they look like."""

from __future__ import annotations

from dataclasses import replace
from string import ascii_uppercase
from typing import TYPE_CHECKING

import numpy as np

from segs_detailer.checks import number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from segs_detailer.subjects.track import Track

__all__ = ["link_tracks"]

_MARGIN = 0.05
_NEVER = -2.0
"""Below every cosine."""


def link_tracks(
    tracks: Sequence[Track], vectors: Mapping[int, NDArray[np.float32]], threshold: float, *, margin: float = _MARGIN
) -> list[Track]:
    """Give the tracks of one person, or one thing, the same identity: "A", "B", ... by their first track's number.

    Groups grow from the most alike on, and every two tracks of a group are at least as alike as `threshold` (complete
    linkage). Two that are in the clip at the same time, or have different labels, are never the same. Where a track is
    almost as much like one of two that cannot be the same, it is linked with neither: a wrong link is worse than none.

    Parameters
    ----------
    tracks : sequence of Track
        The tracks. One that has an identity keeps it, and is not linked with others.
    vectors : mapping
        What a track looks like, by its id: `(d,)` of length 1. Tracks without one get no identity.
    threshold : float
        Cosine of the angle between two vectors from which on they may be the same, -1 to 1.
    margin : float
        How much more alike than with the next one a track must be, 0 to 2.

    Returns
    -------
    list of Track
        The same tracks with identities, in their order.

    Examples
    --------
    >>> import numpy as np
    >>> from segs_detailer.subjects import Track, link_tracks
    >>> box = (0, 0, 9, 9)
    >>> tracks = [Track(n, "face", [frame], [box]) for n, frame in ((1, 0), (2, 0), (3, 5))]
    >>> looks = {1: np.array([1, 0]), 2: np.array([0, 1]), 3: np.array([0.1, 0.995])}
    >>> [track.identity for track in link_tracks(tracks, looks, 0.4)]
    ['A', 'B', 'B']
    """
    number("threshold", threshold, least=-1, most=1)
    number("margin", margin, least=0, most=2)
    free = [track for track in tracks if track.id in vectors and not track.identity]
    if not free:
        return list(tracks)
    groups = _grouped(_likeness(free, vectors), threshold, margin)
    names = _names({track.identity for track in tracks})
    found: dict[int, str] = {}
    for group in sorted(groups, key=lambda group: min(free[place].id for place in group)):
        name = next(names)
        found |= {free[place].id: name for place in group}
    return [replace(track, identity=found[track.id]) if track.id in found else track for track in tracks]


def _likeness(tracks: Sequence[Track], vectors: Mapping[int, NDArray[np.float32]]) -> NDArray[np.float64]:
    """Cosines between tracks; `_NEVER` between those that cannot be the same."""
    stack = np.stack([vectors[track.id] for track in tracks]).astype(np.float64)
    likeness: NDArray[np.float64] = stack @ stack.T
    starts, stops = np.array([track.span for track in tracks]).T
    at_once = (starts[:, None] < stops[None]) & (starts[None] < stops[:, None])
    labels = np.array([track.label for track in tracks])
    likeness[at_once | (labels[:, None] != labels[None])] = _NEVER
    np.fill_diagonal(likeness, _NEVER)
    return likeness


def _grouped(likeness: NDArray[np.float64], threshold: float, margin: float) -> list[list[int]]:
    """Merge the two most alike groups, as long as there are any that may be merged."""
    groups: dict[int, list[int]] = {place: [place] for place in range(len(likeness))}
    # How alike two groups are: their least alike tracks. Pairs that may still be merged are in the other one as well.
    between = likeness.copy()
    pairs = np.where(between >= threshold, between, _NEVER)
    best = pairs.argmax(axis=1)
    alike = pairs.max(axis=1)

    def set_pairs(row: int, values: NDArray[np.float64]) -> None:
        pairs[row] = pairs[:, row] = values
        stale = np.flatnonzero((best == row) | (values > alike))
        for other in {row, *stale.tolist()}:
            best[other], alike[other] = pairs[other].argmax(), pairs[other].max()

    while alike.max() > _NEVER:
        a = int(alike.argmax())
        b = int(best[a])
        values = pairs[a].copy()
        if _is_ambiguous(between, a, b, threshold, margin):
            values[b] = _NEVER
            set_pairs(a, values)
            continue
        groups[a] += groups.pop(b)
        between[a] = between[:, a] = np.minimum(between[a], between[b])
        values = np.where((values > _NEVER) & (pairs[b] > _NEVER) & (between[a] >= threshold), between[a], _NEVER)
        values[[a, b]] = between[a, a] = _NEVER
        between[b] = between[:, b] = _NEVER
        set_pairs(b, np.full_like(values, _NEVER))
        set_pairs(a, values)
    return list(groups.values())


def _is_ambiguous(between: NDArray[np.float64], a: int, b: int, threshold: float, margin: float) -> bool:
    """Whether one of two groups is about as much like a third that cannot be the same as the other."""
    alike = between[a, b]
    for one, other in ((a, b), (b, a)):
        rivals = (between[one] >= max(threshold, alike - margin)) & (between[other] == _NEVER)
        rivals[[one, other]] = False
        if rivals.any():
            return True
    return False


def _names(taken: set[str]) -> Iterator[str]:
    """Give names: A to Z, then AA, AB, ... but for those that are taken."""
    count = 0
    while True:
        name, rest = "", count
        while rest >= 0:
            name = ascii_uppercase[rest % 26] + name
            rest = rest // 26 - 1
        count += 1
        if name not in taken:
            yield name
