"""Detections of single frames, put together to subjects that last."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import combinations
from statistics import median
from typing import TYPE_CHECKING, TypeAlias

from segs_detailer.subjects.assignment import assign_sparse
from segs_detailer.subjects.boxes import BoxIndex, overlap
from segs_detailer.subjects.track import Track

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segs_detailer.subjects.mask import Mask
    from segs_detailer.subjects.track import Shape

__all__ = ["Associator", "Box", "Chain", "Detection", "associate", "suppress"]

Box: TypeAlias = tuple[float, float, float, float]
"""`(x1, y1, x2, y2)` in pixels of the frame, not rounded."""

Motion: TypeAlias = tuple[tuple[float, float], float]
"""The middle of a box that is expected, and a standard deviation in pixels."""

# Detections from which a track's speed is told, and from how many on it is trusted.
_SPEED_DETECTIONS = 6
_SPEED_FRAMES = 12
_KNOWN_SPEED = 4
# Without overlap, a subject may be this far from where it is expected, in its sizes: at first, when nothing is known of
# its speed; later less, and more with each frame that it was missed and with its unsteadiness (in deviations).
_FIRST_REACH = 1.75
_REACH = 0.6
_REACH_PER_FRAME = 0.1
_DEVIATIONS = 2.0
_MOST_REACH = 1.5
_SIZE_CHANGE = 1.6
# An overlap with the place where it was last counts half, if there is none with where it should be; nearness hardly.
_LAST_PLACE = 0.5
_NEARNESS = 0.05

_NO_LANDMARKS = ((math.nan, math.nan),) * 5


@dataclass(frozen=True, slots=True)
class Detection:
    """One subject in one frame.

    Parameters
    ----------
    box : Box
        Where it is.
    score : float
        How sure the detector is, in its own units; higher is surer.
    label : str
        What it is.
    source : str
        Which part of the detector found it.
    strong : bool
        Found by a search of the whole frame, not by looking near a place where a subject was known to be.
    mask : Mask or None
        Its shape, where that is known.
    landmarks : tuple of (float, float) or None
        Five points of a face, see `Track`.
    angle : float or None
        By how many degrees it is turned clockwise, 0 is upright.
    """

    box: Box
    score: float
    label: str = "face"
    source: str = ""
    strong: bool = True
    mask: Mask | None = None
    landmarks: tuple[tuple[float, float], ...] | None = None
    angle: float | None = None


@dataclass(slots=True)
class Chain:
    """One subject through one shot.

    Parameters
    ----------
    label : str
        What it is.
    shot : tuple of int
        First frame of its shot, and the frame after the last.
    frames : list of int
        Frames in which it was detected, ascending.
    detections : list of Detection
        The detection of each of them.
    """

    label: str
    shot: tuple[int, int]
    frames: list[int] = field(default_factory=list)
    detections: list[Detection] = field(default_factory=list)
    _looked_ahead: tuple[int, Motion] | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def span(self) -> tuple[int, int]:
        """First detected frame, and the frame after the last."""
        return self.frames[0], self.frames[-1] + 1

    @property
    def share(self) -> float:
        """Share of the frames of its span in which it was detected."""
        first, end = self.span
        return len(self.frames) / (end - first)

    @property
    def score(self) -> float:
        """Mean score of its detections."""
        return sum(detection.score for detection in self.detections) / len(self.detections)

    def add(self, frame: int, detection: Detection) -> None:
        """Append the detection of a later frame."""
        self.frames.append(frame)
        self.detections.append(detection)
        self._looked_ahead = None

    def expected(self, frame: int) -> Box:
        """Box in a later frame, of the last one's size, if the last detections' motion goes on at steady speed."""
        x1, y1, x2, y2 = self.detections[-1].box
        (x, y), _ = self._motion(frame)
        half_width, half_height = 0.5 * (x2 - x1), 0.5 * (y2 - y1)
        return x - half_width, y - half_height, x + half_width, y + half_height

    def uncertainty(self, frame: int) -> float:
        """Say how sure that is: a standard deviation in pixels, from how unsteadily the last detections moved."""
        return self._motion(frame)[1]

    def _motion(self, frame: int) -> Motion:
        """Return the middle to expect in a frame and its uncertainty; kept, as many ask for the same frame."""
        if self._looked_ahead is None or self._looked_ahead[0] != frame:
            self._looked_ahead = (frame, self._line(frame))
        return self._looked_ahead[1]

    def _line(self, frame: int) -> Motion:
        """Go along Theil and Sen's line through the last detections.

        A line of medians, as one wrong detection must not throw the next right one out.
        """
        recent = self.detections[-_SPEED_DETECTIONS:]
        times = [
            float(number - frame)
            for number in self.frames[-_SPEED_DETECTIONS:]
            if self.frames[-1] - number <= _SPEED_FRAMES
        ]
        boxes = [detection.box for detection in recent[-len(times) :]]
        (x, x_error) = _line_at_zero(times, [0.5 * (box[0] + box[2]) for box in boxes])
        (y, y_error) = _line_at_zero(times, [0.5 * (box[1] + box[3]) for box in boxes])
        return (x, y), math.hypot(x_error, y_error)

    def track(self, number: int, *, shape: Shape = "box") -> Track:
        """Return the track with a number as its id, which holds the detections as they are."""
        return Track(
            number,
            self.label,
            self.frames,
            [detection.box for detection in self.detections],
            [detection.score for detection in self.detections],
            [detection.mask for detection in self.detections],
            shot=self.shot,
            shape=shape,
            landmarks=[detection.landmarks or _NO_LANDMARKS for detection in self.detections],
            angles=[math.nan if detection.angle is None else detection.angle for detection in self.detections],
        )


def _line_at_zero(times: list[float], values: list[float]) -> tuple[float, float]:
    """Value at time 0 of a line through some values before, and its standard deviation."""
    count = len(times)
    slopes = [(b - a) / (v - u) for (u, a), (v, b) in combinations(zip(times, values, strict=True), 2)]
    mean = sum(times) / count
    spread = sum((time - mean) ** 2 for time in times)
    # One more frame squared: two or three detections say little about speed.
    slope = median(slopes) * spread / (spread + 1.0) if slopes else 0.0
    now = [value - slope * time for time, value in zip(times, values, strict=True)]
    middle = median(now)
    if count < 3:
        return now[-1], 0.0
    deviation = sum(abs(value - middle) for value in now) / (count - 2)
    return middle, deviation * math.sqrt(1 / count + mean**2 / (spread + 1.0))


def suppress(detections: Sequence[Detection], *, most: float = 0.3) -> list[Detection]:
    """Drop detections that overlap an earlier one of the list, which is kept, by more than `most`, 0 to 1."""
    index = BoxIndex([detection.box for detection in detections])
    kept: dict[int, Detection] = {}
    for place, detection in enumerate(detections):
        near = (kept[other] for other in index.touching(detection.box) if other in kept)
        if all(overlap(detection.box, other.box) <= most for other in near):
            kept[place] = detection
    return list(kept.values())


def _affinity(chain: Chain, expected: Box, detection: Detection, frame: int, min_overlap: float) -> float:
    """How well a detection continues a chain, 0 to 1; 0 where it does not."""
    if chain.label != detection.label:
        return 0.0
    shared = overlap(expected, detection.box)
    if shared >= min_overlap:
        return shared
    last = chain.detections[-1].box
    shared = overlap(last, detection.box)
    if shared >= min_overlap:
        return _LAST_PLACE * shared
    size, new_size = _side(last), _side(detection.box)
    if max(size, new_size) > _SIZE_CHANGE * min(size, new_size):
        return 0.0
    reach = _FIRST_REACH
    if len(chain.frames) >= _KNOWN_SPEED:
        unsteady = _DEVIATIONS * chain.uncertainty(frame) / max(size, 1e-9)
        reach = min(_REACH + _REACH_PER_FRAME * (frame - chain.frames[-1]) + unsteady, _MOST_REACH)
    distance = min(_distance(expected, detection.box), _distance(last, detection.box)) / max(size, 1e-9)
    return _NEARNESS * (1 - 0.9 * distance / reach) if distance <= reach else 0.0


def _reached(box: Box, size: float) -> Box:
    """Box that a detection touches wherever it may continue a chain whose box is expected, or was last, here."""
    reach = _FIRST_REACH * size + 1e-6
    x, y = 0.5 * (box[0] + box[2]), 0.5 * (box[1] + box[3])
    return min(box[0], x - reach), min(box[1], y - reach), max(box[2], x + reach), max(box[3], y + reach)


def _side(box: Box) -> float:
    return max(box[2] - box[0], box[3] - box[1])


def _distance(a: Box, b: Box) -> float:
    return 0.5 * math.hypot(a[0] + a[2] - b[0] - b[2], a[1] + a[3] - b[1] - b[3])


class Associator:
    """Puts detections together to chains while frames pass by.

    By overlap with where each subject should be if its motion goes on, else with where it was, else by nearness; of all
    ways to pair a frame's detections with the chains it takes the best in total. Cuts end chains.

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
        pairs = {column: row for row, column in assign_sparse(self._scores(detections))}
        for place, detection in enumerate(detections):
            if place in pairs:
                chain = self._active[pairs[place]]
            else:
                chain = Chain(detection.label, (self._shot_start, self._frame + 1))
                self._active.append(chain)
                self._of_shot.append(chain)
                self._chains.append(chain)
            chain.add(self._frame, detection)
        self._frame += 1

    def _scores(self, detections: Sequence[Detection]) -> list[dict[int, float]]:
        """Of each active chain, the detections that may continue it, and how well: only those near it are looked at."""
        index = BoxIndex([detection.box for detection in detections])
        scores = []
        for chain in self._active:
            last, expected = chain.detections[-1].box, chain.expected(self._frame)
            size = _side(last)
            near = {*index.touching(_reached(expected, size)), *index.touching(_reached(last, size))}
            scores.append(
                {
                    place: _affinity(chain, expected, detections[place], self._frame, self._min_overlap)
                    for place in sorted(near)
                }
            )
        return scores

    def finish(self) -> list[Chain]:
        """Return the chains in the order of their first frames."""
        self._end_shot()
        return self._chains

    def _end_shot(self) -> None:
        for chain in self._of_shot:
            chain.shot = (self._shot_start, self._frame)
        self._of_shot, self._active, self._shot_start = [], [], self._frame


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
