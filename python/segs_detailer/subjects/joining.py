"""Chains of one shot, looked at as a whole: those that went over to another subject are parted, parts of one joined.

What a single frame cannot tell is decided with what came before and what comes after.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from segs_detailer.subjects.assignment import assign_sparse
from segs_detailer.subjects.boxes import BoxIndex

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from segs_detailer.subjects.association import Box, Chain

__all__ = [
    "MOST_REACH",
    "SIZE_CHANGE",
    "UNLIKE",
    "Meetings",
    "distance",
    "join",
    "likeness_share",
    "longer_side",
    "part_mistaken",
    "reach_of",
]

UNLIKE = 0.45
"""Likeness below which something is another subject."""

SIZE_CHANGE = 1.6
"""How many times as large a subject may be as it was, where it does not overlap its place."""

MOST_REACH = 1.5
"""Farthest that a subject may be from where it is expected, in its sizes, for all that is unsteady."""

# In sizes: the least of that, more with each frame that it was missed, and with its unsteadiness (in deviations).
_REACH = 0.6
_REACH_PER_FRAME = 0.1
_DEVIATIONS = 2.0
# Two single detections in neighboring frames may be so far apart: nothing is known of their speed.
_FIRST_REACH = 1.75
# What looks the same may have gone farther in each frame.
_ALIKE = 0.8
_ALIKE_REACH_PER_FRAME = 0.25
_MOST_ALIKE_REACH = 3.0
# How likeness weighs: nothing at `UNLIKE`, all from here on; without any, as much as this.
_FULL_LIKENESS = 0.8
_LEAST_SHARE = 0.1
_UNKNOWN_SHARE = 0.7
_GAP_PRICE = 0.05
# Looks are means of so many detections before and after a meeting; meetings that are so near to each other are one.
_LOOKS = 10
_APART = 4
# Another subject's look must fit better by so much.
_BETTER = 0.1
_ROUNDS = 6


def longer_side(box: Box) -> float:
    """Return the length of a box's longer side."""
    return max(box[2] - box[0], box[3] - box[1])


def distance(a: Box, b: Box) -> float:
    """Return the distance between the middles of two boxes."""
    return 0.5 * math.hypot(a[0] + a[2] - b[0] - b[2], a[1] + a[3] - b[1] - b[3])


def reach_of(frames: int, unsteady: float) -> float:
    """Return how far a subject may be from where it is expected, in its sizes.

    Parameters
    ----------
    frames : int
        Frames since it was detected.
    unsteady : float
        Standard deviation of the place where it is expected, in its sizes.
    """
    return min(_REACH + _REACH_PER_FRAME * frames + _DEVIATIONS * unsteady, MOST_REACH)


def likeness_share(likeness: float) -> float:
    """Return how much a pair of places counts, from what looks unlike, little, to what looks alike, 1."""
    return min(max((likeness - UNLIKE) / (_FULL_LIKENESS - UNLIKE), _LEAST_SHARE), 1.0)


# Where subjects met


class Meetings:
    """Frames in which chains were so near to each other that one could go over to the other's subject."""

    def __init__(self) -> None:
        self._frames: dict[int, list[int]] = {}
        self._rivals: dict[tuple[int, int], dict[int, Chain]] = {}

    def note(self, frame: int, chains: Sequence[Chain]) -> None:
        """Keep in mind that some chains met."""
        for chain in chains:
            frames = self._frames.setdefault(id(chain), [])
            if not frames or frames[-1] != frame:
                frames.append(frame)
            self._rivals.setdefault((id(chain), frame), {}).update({id(each): each for each in chains})

    def of(self, chain: Chain) -> list[tuple[int, int, list[Chain]]]:
        """First and last frame of each meeting of a chain, and whom it met."""
        found: list[tuple[int, int, dict[int, Chain]]] = []
        for frame in self._frames.get(id(chain), []):
            rivals = self._rivals[id(chain), frame]
            if found and frame - found[-1][1] <= _APART:
                first, _, known = found[-1]
                found[-1] = (first, frame, {**known, **rivals})
            else:
                found.append((frame, frame, dict(rivals)))
        return [(first, last, [each for each in known.values() if each is not chain]) for first, last, known in found]


def part_mistaken(chains: Sequence[Chain], meetings: Meetings) -> list[Chain]:
    """Part chains that look otherwise after a meeting than before, and like one of those that they met.

    Parameters
    ----------
    chains : sequence of Chain
        Those of a shot.
    meetings : Meetings
        Where they met.
    """
    parts: list[Chain] = []
    for chain in chains:
        places = [place for meeting in meetings.of(chain) if (place := _mistaken(chain, *meeting))]
        bounds = [0, *sorted(set(places)), len(chain.frames)]
        if not places:
            parts.append(chain)
            continue
        parts += [chain.part(start, stop) for start, stop in pairwise(bounds)]
    return parts


def _mistaken(chain: Chain, first: int, last: int, rivals: Iterable[Chain]) -> int:
    """Place in a chain from which on it is another subject, because of a meeting; 0 where it is not."""
    before, after = _look_before(chain, first), _look_after(chain, last)
    if before is None or after is None:
        return 0
    own = _product(before, after)
    others = [
        *(_product(look, after) for rival in rivals if (look := _look_before(rival, first)) is not None),
        *(_product(before, look) for rival in rivals if (look := _look_after(rival, last)) is not None),
    ]
    if own >= UNLIKE and own + _BETTER >= max(others, default=-1.0):
        return 0
    gains = [
        (index, 0.0 if each.appearance is None else float(each.appearance @ (before - after)))
        for index, (frame, each) in enumerate(zip(chain.frames, chain.detections, strict=True))
        if first - _LOOKS <= frame <= last + _LOOKS
    ]
    # It is the first subject as long as the sum of what speaks for it grows.
    sums = np.cumsum([gain for _, gain in gains])
    place = gains[int(sums.argmax())][0] + 1
    return place if place < len(chain.frames) else 0


def _look_before(chain: Chain, frame: int) -> NDArray[np.float32] | None:
    end = int(np.searchsorted(chain.frames, frame))
    return _look(chain, max(end - _LOOKS, 0), end)


def _look_after(chain: Chain, frame: int) -> NDArray[np.float32] | None:
    start = int(np.searchsorted(chain.frames, frame, side="right"))
    return _look(chain, start, start + _LOOKS)


def _look(chain: Chain, start: int, stop: int) -> NDArray[np.float32] | None:
    """Mean look of a part of a chain, of length 1; None where it is not known."""
    looks = [each.appearance for each in chain.detections[start:stop] if each.appearance is not None]
    if not looks:
        return None
    mean = np.mean(looks, axis=0)
    unit: NDArray[np.float32] = mean / max(float(np.linalg.norm(mean)), 1e-6)
    return unit


def _product(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(a @ b)


# What goes on after a while


def join(chains: Sequence[Chain], max_gap: int) -> list[Chain]:
    """Join chains of a shot that are parts of one subject's.

    The end of each is compared with the beginnings that follow, by where its motion goes on, where theirs came from,
    and by what they look like; of all ways to join them the best in total is taken. Then again, as longer ones know
    more.

    Parameters
    ----------
    chains : sequence of Chain
        Chains of one shot.
    max_gap : int
        Most frames between the end of one and the beginning of the next.

    Returns
    -------
    list of Chain
        In the order of their first frames.
    """
    joined = sorted(chains, key=lambda chain: chain.frames[0])
    for _ in range(_ROUNDS):
        scores = _join_scores(joined, max_gap)
        pairs = dict(assign_sparse(scores)) if any(scores) else {}
        if not pairs:
            break
        joined = _merged(joined, pairs)
    return joined


def _merged(chains: Sequence[Chain], pairs: dict[int, int]) -> list[Chain]:
    """Append to each chain what follows it, and what follows that."""
    merged = []
    followers = set(pairs.values())
    for index, chain in enumerate(chains):
        if index in followers:
            continue
        end = index
        while end in pairs:
            end = pairs[end]
            chain.extend(chains[end])
        merged.append(chain)
    return merged


def _join_scores(chains: Sequence[Chain], max_gap: int) -> list[dict[int, float]]:
    """Of each chain, those that may go on with it, and how well."""
    beginning: dict[int, list[int]] = {}
    for index, chain in enumerate(chains):
        beginning.setdefault(chain.frames[0], []).append(index)
    near = {
        frame: (indices, BoxIndex([chains[index].detections[0].box for index in indices]))
        for frame, indices in beginning.items()
    }
    scores: list[dict[int, float]] = []
    for chain in chains:
        row: dict[int, float] = {}
        end, last = chain.frames[-1], chain.detections[-1].box
        for frame in range(end + 1, end + max_gap + 2):
            if frame not in near:
                continue
            indices, boxes = near[frame]
            places = {
                place
                for box in (last, chain.expected(frame))
                for place in boxes.touching(_grown(box, _MOST_ALIKE_REACH * longer_side(last)))
            }
            for place in sorted(places):
                score = _continuation(chain, chains[indices[place]])
                if score > 0:
                    row[indices[place]] = score
        scores.append(row)
    return scores


def _grown(box: Box, by: float) -> Box:
    return box[0] - by, box[1] - by, box[2] + by, box[3] + by


def _continuation(chain: Chain, other: Chain) -> float:
    """How well a chain goes on as another that begins later, 0 to 1; 0 where it does not."""
    last, first = chain.detections[-1].box, other.detections[0].box
    size, new_size = longer_side(last), longer_side(first)
    if chain.label != other.label or max(size, new_size) > SIZE_CHANGE * min(size, new_size):
        return 0.0
    end, start = chain.frames[-1], other.frames[0]
    likeness = _likeness(chain, other)
    if likeness is not None and likeness < UNLIKE:
        return 0.0
    expected, came_from = chain.expected(start), other.expected_before(end)
    away = min(distance(expected, first), distance(came_from, last)) / max(size, 1e-9)
    reach = _join_reach(chain, other, likeness)
    if away > reach:
        return 0.0
    share = _UNKNOWN_SHARE if likeness is None else likeness_share(likeness)
    return share * (1 - 0.9 * away / reach) / (1 + _GAP_PRICE * (start - end - 1))


def _likeness(chain: Chain, other: Chain) -> float | None:
    """How much the beginning of a chain looks like the end of another, up to 1; None where that is not known."""
    end, beginning = _look(chain, max(len(chain.frames) - _LOOKS, 0), len(chain.frames)), _look(other, 0, _LOOKS)
    if end is None or beginning is None:
        return None
    at_once = chain.likeness(other.detections[0])
    return max(_product(end, beginning), at_once or -1.0)


def _join_reach(chain: Chain, other: Chain, likeness: float | None) -> float:
    """How far the other may begin from where it is expected, in sizes."""
    frames = other.frames[0] - chain.frames[-1]
    if len(chain.frames) == len(other.frames) == frames == 1:
        return _FIRST_REACH
    unsteady = chain.uncertainty(other.frames[0]) / max(longer_side(chain.detections[-1].box), 1e-9)
    reach = reach_of(frames, unsteady)
    if likeness is not None and likeness >= _ALIKE:
        reach = max(reach, min(_REACH + _ALIKE_REACH_PER_FRAME * frames, _MOST_ALIKE_REACH))
    return reach
