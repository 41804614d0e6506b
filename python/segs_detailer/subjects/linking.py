"""Detections are put together to chains while frames pass by; at the end of a shot, what belongs together is joined."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segs_detailer.subjects.assignment import assign_sparse
from segs_detailer.subjects.association import Chain
from segs_detailer.subjects.boxes import BoxIndex, overlap
from segs_detailer.subjects.joining import (
    MOST_REACH,
    SIZE_CHANGE,
    UNLIKE,
    Meetings,
    distance,
    join,
    likeness_share,
    longer_side,
    part_mistaken,
    reach_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from segs_detailer.subjects.association import Box, Detection

__all__ = ["Associator", "associate"]

# Of so many detections a speed is known well enough to look for the subject where it does not overlap.
_KNOWN_SPEED = 4
# An overlap with the place where it was last counts half, if there is none with where it should be; nearness hardly.
_LAST_PLACE = 0.5
_NEARNESS = 0.05
# Of those that a detection could continue, one that was seen for long counts more than one that was seen once.
_NEWCOMER = 0.3
# What looks unlike is taken for the same only where it is in the very same place soon after: a lamp goes on.
_SAME_PLACE = 0.5
_SOON = 3
_UNLIKE_SHARE = 0.05
# What reaches so far into a box, in its sizes, may hide it in part: how it looks counts less then.
_HIDDEN = 0.15
_HIDDEN_SHARE = 0.3


def _affinity(
    chain: Chain, expected: Box, detection: Detection, frame: int, min_overlap: float, *, hidden: bool = False
) -> float:
    """How well a detection continues a chain, 0 to 1; 0 where it does not. What is partly hidden may look otherwise."""
    if chain.label != detection.label:
        return 0.0
    moved = _nearness(chain, expected, detection, frame, min_overlap)
    likeness = chain.likeness(detection) if moved > 0 else None
    if likeness is None:
        return moved
    share = likeness_share(likeness)
    if hidden:
        return moved * max(share, _HIDDEN_SHARE)
    if likeness < UNLIKE:
        return _UNLIKE_SHARE * moved if moved >= _SAME_PLACE and frame <= chain.frames[-1] + _SOON else 0.0
    return moved * share


def _nearness(chain: Chain, expected: Box, detection: Detection, frame: int, min_overlap: float) -> float:
    """How well its place fits, 0 to 1."""
    shared = overlap(expected, detection.box)
    if shared >= min_overlap:
        return shared
    last = chain.detections[-1].box
    shared = overlap(last, detection.box)
    if shared >= min_overlap:
        return _LAST_PLACE * shared
    size, new_size = longer_side(last), longer_side(detection.box)
    # After longer, the whole shot tells more.
    is_known = len(chain.frames) >= _KNOWN_SPEED and frame <= chain.frames[-1] + _SOON
    if not is_known or max(size, new_size) > SIZE_CHANGE * min(size, new_size):
        return 0.0
    reach = reach_of(frame - chain.frames[-1], chain.uncertainty(frame) / max(size, 1e-9))
    away = min(distance(expected, detection.box), distance(last, detection.box)) / max(size, 1e-9)
    return _NEARNESS * (1 - 0.9 * away / reach) if away <= reach else 0.0


def _partly_hidden(detections: Sequence[Detection], index: BoxIndex, boxes: Sequence[Box]) -> set[int]:
    """Places of detections with a known look that another may hide in part: a detection, or one that is expected."""
    hidden: set[int] = set()
    if all(detection.appearance is None for detection in detections):
        return hidden
    expected = BoxIndex(boxes)
    for place, detection in enumerate(detections):
        size = longer_side(detection.box)
        inner = _grown(detection.box, -_HIDDEN * size)
        if len(index.touching(inner)) > 1 or len(expected.touching(inner)) > 1:
            hidden.add(place)
    return hidden


def _grown(box: Box, by: float) -> Box:
    return box[0] - by, box[1] - by, box[2] + by, box[3] + by


def _reached(box: Box, size: float) -> Box:
    """Box that a detection touches wherever it may continue a chain whose box is expected, or was last, here."""
    reach = MOST_REACH * size + 1e-6
    x, y = 0.5 * (box[0] + box[2]), 0.5 * (box[1] + box[3])
    return min(box[0], x - reach), min(box[1], y - reach), max(box[2], x + reach), max(box[3], y + reach)


class Associator:
    """Puts detections together to chains while frames pass by.

    In each frame by overlap with where each subject should be if its motion goes on, else with where it was, else, of
    subjects whose speed is known, by nearness; and by what they look like, where detections say it. Of all ways to pair
    a frame's detections with the chains it takes the best in total. At the end of a shot, chains that went over to
    another subject where the two met are parted, and what goes on after a while, or was too fast to overlap, is joined
    (see `segs_detailer.subjects.joining`). Cuts end chains.

    Parameters
    ----------
    max_gap : int
        A chain goes on after at most this many frames without a detection.
    min_overlap : float
        Least intersection over union that counts as such.
    """

    def __init__(self, max_gap: int, min_overlap: float = 0.15) -> None:
        self._max_gap = max_gap
        self._min_overlap = min_overlap
        self._frame = 0
        self._shot_start = 0
        self._of_shot: list[Chain] = []
        self._active: list[Chain] = []
        self._chains: list[Chain] = []
        self._meetings = Meetings()

    @property
    def active(self) -> list[Chain]:
        """Chains that may go on in the next frame."""
        return [chain for chain in self._active if self._frame - chain.frames[-1] <= self._max_gap + 1]

    @property
    def frame(self) -> int:
        """Number of the next frame."""
        return self._frame

    def skip(self, frames: int) -> None:
        """Pass over so many frames in which nothing was detected."""
        self._frame += frames

    def add(self, detections: Sequence[Detection], *, begins_shot: bool = False) -> None:
        """Take what was detected in the next frame."""
        if begins_shot:
            self._end_shot()
        self._active = self.active
        scores = self._scores(detections)
        pairs = {column: row for row, column in assign_sparse(scores)}
        self._note_meetings(scores, detections)
        for place, detection in enumerate(detections):
            if place in pairs:
                chain = self._active[pairs[place]]
            else:
                chain = Chain(detection.label, (self._shot_start, self._frame + 1))
                self._active.append(chain)
                self._of_shot.append(chain)
            chain.add(self._frame, detection)
        self._frame += 1

    def _scores(self, detections: Sequence[Detection]) -> list[dict[int, float]]:
        """Of each active chain, the detections that may continue it, and how well: only those near it are looked at."""
        index = BoxIndex([detection.box for detection in detections])
        lasting = [chain for chain in self._active if len(chain.frames) >= _KNOWN_SPEED]
        hidden = _partly_hidden(detections, index, [chain.expected(self._frame) for chain in lasting])
        scores = []
        for chain in self._active:
            last, expected = chain.detections[-1].box, chain.expected(self._frame)
            size = longer_side(last)
            near = {*index.touching(_reached(expected, size)), *index.touching(_reached(last, size))}
            scores.append(
                {
                    place: _affinity(
                        chain, expected, detections[place], self._frame, self._min_overlap, hidden=place in hidden
                    )
                    * (1 - _NEWCOMER / len(chain.frames))
                    for place in sorted(near)
                }
            )
        return scores

    def _note_meetings(self, scores: Sequence[Mapping[int, float]], detections: Sequence[Detection]) -> None:
        """Keep in mind where one detection could continue several chains, for those whose look can tell."""
        rivals: dict[int, list[Chain]] = {}
        for chain, row in zip(self._active, scores, strict=True):
            for place in row:
                if detections[place].appearance is not None and detections[place].label == chain.label:
                    rivals.setdefault(place, []).append(chain)
        for chains in rivals.values():
            if len(chains) > 1:
                self._meetings.note(self._frame, chains)

    def finish(self) -> list[Chain]:
        """Return the chains in the order of their first frames."""
        self._end_shot()
        return self._chains

    def _end_shot(self) -> None:
        parts = part_mistaken(self._of_shot, self._meetings)
        chains = join(parts, self._max_gap)
        for chain in chains:
            chain.shot = (self._shot_start, self._frame)
        self._chains += chains
        self._of_shot, self._active, self._shot_start = [], [], self._frame
        self._meetings = Meetings()


def associate(
    detections: Sequence[Sequence[Detection]],
    shots: Sequence[int],
    *,
    max_gap: int,
    min_overlap: float = 0.15,
) -> list[Chain]:
    """Put the detections of all frames together to chains, see `Associator`; never across a cut.

    Parameters
    ----------
    detections : sequence
        Detections of each frame.
    shots : sequence of int
        First frame of each shot, ascending, beginning with 0.
    max_gap : int
        A chain goes on after at most this many frames without a detection.
    min_overlap : float
        Least intersection over union of a detection and the box that is expected, or the last one, that counts as
        overlap. Without it, a box of like size close by is enough.

    Returns
    -------
    list of Chain
        In the order of their first frames.
    """
    associator = Associator(max_gap, min_overlap)
    begins = set(shots) - {0}
    for frame, found in enumerate(detections):
        associator.add(found, begins_shot=frame in begins)
    return associator.finish()
