"""A detector looks at some frames of a clip, and subjects are followed between them and where it misses them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from segs_detailer.subjects.assignment import assign
from segs_detailer.subjects.association import Detection
from segs_detailer.subjects.boxes import overlap
from segs_detailer.subjects.finders.appearance import describe
from segs_detailer.subjects.finders.flow import follow_boxes
from segs_detailer.subjects.finders.shots import ShotDetector
from segs_detailer.subjects.linking import Associator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from segs_detailer.subjects.association import Box, Chain
    from segs_detailer.subjects.finders.pictures import View

__all__ = ["Search", "TrackBuilder", "with_looks"]

# A subject that the detector misses is still there where the picture looks so much like it did.
_STILL_ALIKE = 0.6
# What was detected so often is followed where it is missed; where its picture is too blurred to be followed, its motion
# tells for so many frames where to look.
_LEAST_DETECTIONS = 2
_BY_MOTION = 2
# Between two detections a subject was followed well where it ended on the second, within this share of its size, and
# looked alike all the way.
_LEAST_OVERLAP = 0.6
_MOST_DRIFT = 0.15


def with_looks(view: View, detections: Sequence[Detection]) -> list[Detection]:
    """Return detections of a frame with what they look like."""
    looks = describe(view.picture, view.boxes(each.box for each in detections))
    return [replace(each, appearance=look) for each, look in zip(detections, looks, strict=True)]


class TrackBuilder:
    """Puts detections together while frames pass by, and looks where one that the detector misses is still to be seen.

    Parameters
    ----------
    max_gap : int
        Frames without a detection that are bridged.
    """

    def __init__(self, max_gap: int) -> None:
        self._associator = Associator(max_gap)
        self._before: View | None = None

    def add(self, view: View, detections: Sequence[Detection], *, begins_shot: bool) -> None:
        """Take the next frame, and what was detected in it."""
        frame = self._associator.frame
        self._associator.add(detections, begins_shot=begins_shot)
        if self._before is not None and not begins_shot:
            self._follow_missed(self._before, view, frame)
        self._before = view

    def _follow_missed(self, before: View, view: View, frame: int) -> None:
        missed: list[tuple[Chain, Detection]] = []
        for chain in self._associator.active:
            last = chain.seen_in(frame - 1) if chain.frames[-1] < frame else None
            if last is not None and len(chain.frames) >= _LEAST_DETECTIONS:
                missed.append((chain, last))
        places: list[tuple[Chain, Detection, Box]] = []
        followed = follow_boxes(before, view, [last.box for _, last in missed])
        for (chain, last), box in zip(missed, followed, strict=True):
            if box is None and frame - chain.frames[-1] <= _BY_MOTION:
                box = chain.expected(frame)
            if box is not None:
                places.append((chain, last, box))
        looks = describe(view.picture, view.boxes(box for _, _, box in places))
        for (chain, last, box), look in zip(places, looks, strict=True):
            seen = Detection(box, last.score, last.label, last.source, strong=False, appearance=look)
            if (chain.likeness(seen) or 0.0) >= _STILL_ALIKE:
                chain.follow(frame, seen)

    def finish(self) -> list[Chain]:
        """Return the chains in the order of their first frames."""
        return self._associator.finish()


@dataclass(frozen=True, slots=True)
class _Looked:
    """A frame that was looked at."""

    view: View
    detections: Sequence[Detection]


class Search:
    """Looks at a clip's frames, not at all of them: what is in those between two is followed, and held against both.

    Where that fails, as something comes or goes, is hidden or moves in a way that cannot be followed, the frame in the
    middle is looked at, and so on, where it must be frame by frame. The first and the last frame of each shot are
    always looked at. So what is there for `every` frames is found, from the first one in which the detector sees it.

    Parameters
    ----------
    look : callable
        Says of some frames what is in each: boxes in pixels of the frame.
    builder : TrackBuilder
        Is given every frame.
    every : int
        Of so many frames one is looked at; 1 is every frame.
    batch : int
        Frames to look at together, where every one is.
    progress : callable or None
        Called with the number of frames done.
    """

    def __init__(
        self,
        look: Callable[[Sequence[View]], list[list[Detection]]],
        builder: TrackBuilder,
        *,
        every: int,
        batch: int = 1,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self._look = look
        self._builder = builder
        self._every = every
        self._batch = batch
        self._progress = progress
        self._done = 0
        self._known: _Looked | None = None
        self._waiting: list[tuple[View, bool]] = []

    def run(self, views: Iterable[View]) -> None:
        """Look through all frames; no more of them are held than `every`, or than a batch."""
        cuts = ShotDetector()
        for view in views:
            begins = cuts.begins_shot(view.floats())
            if begins and self._every > 1:
                self._pass_on()
                self._known = None
            self._waiting.append((view, begins))
            # The first frame of a shot at once.
            most = self._batch if self._every == 1 else 1 if self._known is None else self._every
            if len(self._waiting) >= most:
                self._pass_on()
        self._pass_on()

    def _pass_on(self) -> None:
        """Give the frames that wait to the builder, with what is in them."""
        if not self._waiting:
            return
        views = [view for view, _ in self._waiting]
        if self._every == 1:
            found = self._looked_at(views)
        else:
            (last,) = self._looked_at(views[-1:])
            found = [*self._between(self._known, views, last), last] if self._known else [last]
            self._known = _Looked(views[-1], last)
        for (view, begins), detections in zip(self._waiting, found, strict=True):
            self._builder.add(view, detections, begins_shot=begins)
            self._done += 1
        self._waiting.clear()
        if self._progress is not None:
            self._progress(self._done)

    def _looked_at(self, views: Sequence[View]) -> list[list[Detection]]:
        found = self._look(views)
        return [with_looks(view, each) for view, each in zip(views, found, strict=True)]

    def _between(self, before: _Looked, views: Sequence[View], last: Sequence[Detection]) -> list[list[Detection]]:
        """Find what is in all of some frames but the last, in which it is known, as it is in the one before them."""
        if len(views) == 1:
            return []
        followed = _followed(before, views, last)
        if followed is not None:
            return followed
        middle = (len(views) - 1) // 2
        (found,) = self._looked_at([views[middle]])
        return [
            *self._between(before, views[: middle + 1], found),
            found,
            *self._between(_Looked(views[middle], found), views[middle + 1 :], last),
        ]


def _followed(before: _Looked, views: Sequence[View], last: Sequence[Detection]) -> list[list[Detection]] | None:
    """Follow what is in one frame to another; None where not all of it is followed to all that is there."""
    first = before.detections
    if not first and not last:
        return [[] for _ in views[:-1]]
    if len(first) != len(last) or any(each.mask is not None for each in (*first, *last)):
        return None
    ways: list[list[Box]] = []
    view, boxes = before.view, [each.box for each in first]
    for following in views:
        moved = follow_boxes(view, following, boxes)
        boxes = [box for box in moved if box is not None]
        if len(boxes) < len(first):
            return None
        ways.append(boxes)
        view = following
    shared = [
        [overlap(box, each.box) if one.label == each.label else 0.0 for each in last]
        for box, one in zip(boxes, first, strict=True)
    ]
    ends = dict(assign(np.array(shared)))
    pairs = [(first[row], last[column]) for row, column in sorted(ends.items())]
    if len(pairs) < len(first) or not all(_arrived(box, end) for box, (_, end) in zip(boxes, pairs, strict=True)):
        return None
    found = []
    for count, (following, way) in enumerate(zip(views[:-1], ways[:-1], strict=True), start=1):
        share = count / len(views)
        at = [_corrected(box, own, end, share) for box, own, (_, end) in zip(way, boxes, pairs, strict=True)]
        there = with_looks(following, [_mixed(*pair, box, share) for pair, box in zip(pairs, at, strict=True)])
        if not all(_looks_like(each, pair) for each, pair in zip(there, pairs, strict=True)):
            return None
        found.append(there)
    return found


def _arrived(box: Box, end: Detection) -> bool:
    """Whether a box that was followed has come to a detection."""
    size = max(end.box[2] - end.box[0], end.box[3] - end.box[1])
    drift = max(abs(a - b) for a, b in zip(box, end.box, strict=True))
    return overlap(box, end.box) >= _LEAST_OVERLAP and drift <= _MOST_DRIFT * size


def _corrected(box: Box, followed: Box, end: Detection, share: float) -> Box:
    """Take from a box its share of what was missed at the end."""
    x1, y1, x2, y2 = (a + share * (c - b) for a, b, c in zip(box, followed, end.box, strict=True))
    return x1, y1, x2, y2


def _looks_like(seen: Detection, pair: tuple[Detection, Detection]) -> bool:
    look = seen.appearance
    looks = [each.appearance for each in pair if each.appearance is not None]
    return look is not None and any(float(look @ other) >= _STILL_ALIKE for other in looks)


def _mixed(first: Detection, last: Detection, box: Box, share: float) -> Detection:
    """Return what lies between two detections of a subject."""
    angle = None
    if first.angle is not None and last.angle is not None:
        angle = first.angle + share * ((last.angle - first.angle + 180) % 360 - 180)
    landmarks = None
    if first.landmarks is not None and last.landmarks is not None:
        ends = zip(_within(first), _within(last), strict=True)
        middles = [(a + share * (c - a), b + share * (d - b)) for (a, b), (c, d) in ends]
        landmarks = tuple((box[0] + u * (box[2] - box[0]), box[1] + v * (box[3] - box[1])) for u, v in middles)
    score = first.score + share * (last.score - first.score)
    return Detection(box, score, first.label, first.source, strong=False, landmarks=landmarks, angle=angle)


def _within(detection: Detection) -> list[tuple[float, float]]:
    """Landmarks in shares of the box."""
    x1, y1, x2, y2 = detection.box
    return [((x - x1) / (x2 - x1), (y - y1) / (y2 - y1)) for x, y in detection.landmarks or ()]
