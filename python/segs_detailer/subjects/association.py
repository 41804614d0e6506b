"""Detections of single frames, and chains of them: subjects that last."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import combinations
from statistics import median
from typing import TYPE_CHECKING, TypeAlias

from segs_detailer.subjects.boxes import BoxIndex, overlap
from segs_detailer.subjects.track import Track

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from segs_detailer.subjects.mask import Mask
    from segs_detailer.subjects.track import Shape

__all__ = ["Box", "Chain", "Detection", "suppress"]

Box: TypeAlias = tuple[float, float, float, float]
"""`(x1, y1, x2, y2)` in pixels of the frame, not rounded."""

Motion: TypeAlias = tuple[tuple[float, float], float]
"""The middle of a box that is expected, and a standard deviation in pixels."""

# Detections from which a track's speed is told, and from how many on it is trusted.
_SPEED_DETECTIONS = 6
_SPEED_FRAMES = 12
# What a chain looks like is a mean that goes along with it: the share of each new detection.
_NEW_LOOK = 0.2

# What was followed has come to a detection of the next frame where they overlap so much.
_ARRIVED = 0.4

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
        Sure enough to count by itself: the face cascades see eyes in it, and did not only find it near a place where a
        face was known to be.
    mask : Mask or None
        Its shape, where that is known.
    landmarks : tuple of (float, float) or None
        Five points of a face, see `Track`.
    angle : float or None
        By how many degrees it is turned clockwise, 0 is upright.
    appearance : ndarray or None
        What it looks like, where that is known: `(n,)` float32 of length 1 or less; the scalar product of two is their
        likeness. `segs_detailer.subjects.finders.appearance.describe` makes such.
    """

    box: Box
    score: float
    label: str = "face"
    source: str = ""
    strong: bool = True
    mask: Mask | None = None
    landmarks: tuple[tuple[float, float], ...] | None = None
    angle: float | None = None
    appearance: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)


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
    bridged : dict
        Frames between them in which it was missed, and seen where it was followed to: see `follow`.
    """

    label: str
    shot: tuple[int, int]
    frames: list[int] = field(default_factory=list)
    detections: list[Detection] = field(default_factory=list)
    bridged: dict[int, Detection] = field(default_factory=dict)
    _ahead: list[tuple[int, Detection]] = field(default_factory=list, init=False, repr=False, compare=False)
    _looked_ahead: tuple[int, Motion] | None = field(default=None, init=False, repr=False, compare=False)
    _look: NDArray[np.float32] | None = field(default=None, init=False, repr=False, compare=False)

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
        """Append the detection of a later frame.

        Where it was followed all the way to there, it was there all the way.
        """
        followed, seen = self._ahead[-1] if self._ahead else (-1, detection)
        if followed == frame - 1 and overlap(seen.box, detection.box) >= _ARRIVED:
            self.bridged.update(self._ahead)
        self._ahead.clear()
        self.frames.append(frame)
        self.detections.append(detection)
        self._looked_ahead = None
        if detection.appearance is not None:
            before = self._look
            new = detection.appearance if before is None else before + _NEW_LOOK * (detection.appearance - before)
            self._look = new

    def part(self, start: int, stop: int) -> Chain:
        """Return a chain of its own with the detections from place `start` up to `stop`."""
        chain = Chain(self.label, self.shot)
        for frame, detection in zip(self.frames[start:stop], self.detections[start:stop], strict=True):
            chain.add(frame, detection)
        first, end = chain.span
        chain.bridged = {frame: detection for frame, detection in self.bridged.items() if first < frame < end}
        return chain

    def extend(self, other: Chain) -> None:
        """Append all of a chain that begins later."""
        for frame, detection in zip(other.frames, other.detections, strict=True):
            self.add(frame, detection)
        self.bridged.update(other.bridged)
        self._ahead.extend(other._ahead)

    def follow(self, frame: int, seen: Detection) -> None:
        """Note where it was seen in a frame in which it was not detected, as in all before, since it was.

        That counts once it is detected again where it was followed to.
        """
        self._ahead.append((frame, seen))

    def seen_in(self, frame: int) -> Detection | None:
        """Return the last detection, or where it was last followed to, if that was in this frame, else None."""
        last, seen = self._ahead[-1] if self._ahead else (self.frames[-1], self.detections[-1])
        return seen if last == frame else None

    def likeness(self, detection: Detection) -> float | None:
        """How much a detection looks like it did of late, up to 1; None where that is not known."""
        if self._look is None or detection.appearance is None:
            return None
        last = self.detections[-1].appearance
        mean = float(self._look @ detection.appearance)
        return mean if last is None else max(mean, float(last @ detection.appearance))

    def expected(self, frame: int) -> Box:
        """Box in a later frame, of the last one's size, if the last detections' motion goes on at steady speed."""
        return _at(self._motion(frame)[0], self.detections[-1].box)

    def uncertainty(self, frame: int) -> float:
        """Say how sure that is: a standard deviation in pixels, from how unsteadily the last detections moved."""
        return self._motion(frame)[1]

    def expected_before(self, frame: int) -> Box:
        """Box in an earlier frame, of the first one's size, if it moved there as in its first detections."""
        middle, _ = _line(frame, self.frames[:_SPEED_DETECTIONS][::-1], self.detections[:_SPEED_DETECTIONS][::-1])
        return _at(middle, self.detections[0].box)

    def _motion(self, frame: int) -> Motion:
        """Return the middle to expect in a frame and its uncertainty; kept, as many ask for the same frame."""
        if self._looked_ahead is None or self._looked_ahead[0] != frame:
            last = slice(-_SPEED_DETECTIONS, None)
            self._looked_ahead = (frame, _line(frame, self.frames[last], self.detections[last]))
        return self._looked_ahead[1]

    def track(self, number: int, *, shape: Shape = "box") -> Track:
        """Return the track with a number as its id, which holds the detections as they are, and what was followed.

        Where it has masks, only they say where it is.
        """
        seen = dict(zip(self.frames, self.detections, strict=True))
        if all(detection.mask is None for detection in self.detections):
            seen |= self.bridged
        frames = sorted(seen)
        detections = [seen[frame] for frame in frames]
        return Track(
            number,
            self.label,
            frames,
            [detection.box for detection in detections],
            [detection.score for detection in detections],
            [detection.mask for detection in detections],
            shot=self.shot,
            shape=shape,
            landmarks=[detection.landmarks or _NO_LANDMARKS for detection in detections],
            angles=[math.nan if detection.angle is None else detection.angle for detection in detections],
        )


def _at(middle: tuple[float, float], box: Box) -> Box:
    """Return a box of the size of another around a middle."""
    half_width, half_height = 0.5 * (box[2] - box[0]), 0.5 * (box[3] - box[1])
    x, y = middle
    return x - half_width, y - half_height, x + half_width, y + half_height


def _line(frame: int, frames: Sequence[int], detections: Sequence[Detection]) -> Motion:
    """Go along Theil and Sen's line through some detections, the last of which is nearest to the frame.

    A line of medians, as one wrong detection must not throw the next right one out.
    """
    times = [float(number - frame) for number in frames if abs(frames[-1] - number) <= _SPEED_FRAMES]
    boxes = [detection.box for detection in detections[-len(times) :]]
    (x, x_error) = _line_at_zero(times, [0.5 * (box[0] + box[2]) for box in boxes])
    (y, y_error) = _line_at_zero(times, [0.5 * (box[1] + box[3]) for box in boxes])
    return (x, y), math.hypot(x_error, y_error)


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
