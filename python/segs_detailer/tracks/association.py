"""Detections of single frames, put together to subjects that last."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Box", "Chain", "Detection", "associate", "overlap", "suppress"]

Box: TypeAlias = tuple[float, float, float, float]
"""`(x1, y1, x2, y2)` in pixels of the frame, not rounded."""

# A subject that was missed for some frames may have moved: by this share of its size, at most.
_REACH = 0.5
_SIZE_CHANGE = 1.6


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
    """

    box: Box
    score: float
    label: str = "face"
    source: str = ""
    strong: bool = True


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

    def extended_span(self, reach: int) -> tuple[int, int]:
        """Span, stretched to the shot's ends where those are within `reach` frames: detectors start late."""
        first, end = self.span
        start, stop = self.shot
        return (start if first - start <= reach else first), (stop if stop - end <= reach else end)

    def boxes(self, span: tuple[int, int], *, smoothing: float = 2.0) -> NDArray[np.float64]:
        """Box of every frame of a span, `(n, 4)`.

        Gaps are bridged linearly, the ends are held, and jitter is smoothed with a Gaussian of `smoothing` frames,
        which has no lag.
        """
        first, end = self.span
        frames = np.arange(first, end)
        known = np.array([detection.box for detection in self.detections])
        boxes = np.stack([np.interp(frames, self.frames, column) for column in known.T], axis=1)
        if smoothing > 0 and len(boxes) > 2:
            boxes = _smoothed(boxes, smoothing)
        places = np.clip(np.arange(*span), first, end - 1) - first
        return boxes[places]


def _smoothed(boxes: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Gaussian over time. Beyond the ends motion goes on as it was there, so that a steady motion stays what it is."""
    radius = int(np.ceil(3 * width))
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / width) ** 2)
    padded = np.pad(boxes, ((radius, radius), (0, 0)), mode="reflect", reflect_type="odd")
    smooth = [np.convolve(column, weights / weights.sum(), mode="valid") for column in padded.T]
    return np.stack(smooth, axis=1)


def overlap(a: Box, b: Box) -> float:
    """Intersection over union, 0 to 1."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def suppress(detections: Sequence[Detection], *, most: float = 0.3) -> list[Detection]:
    """Drop detections that overlap an earlier one of the list by more than `most`."""
    kept: list[Detection] = []
    for detection in detections:
        if all(overlap(detection.box, other.box) <= most for other in kept):
            kept.append(detection)
    return kept


def _affinity(track: Chain, detection: Detection) -> float:
    """How well a detection continues a track: their overlap, or a little where it is near and of like size."""
    last = track.detections[-1].box
    shared = overlap(last, detection.box)
    if shared > 0:
        return shared
    size = max(last[2] - last[0], last[3] - last[1])
    new_size = max(detection.box[2] - detection.box[0], detection.box[3] - detection.box[1])
    centre = [(a + b) / 2 for a, b in zip(last[:2], last[2:], strict=True)]
    new_centre = [(a + b) / 2 for a, b in zip(detection.box[:2], detection.box[2:], strict=True)]
    distance = float(np.hypot(centre[0] - new_centre[0], centre[1] - new_centre[1]))
    alike = max(size, new_size) <= _SIZE_CHANGE * min(size, new_size)
    return 0.01 if alike and distance <= (1 + _REACH) * size else 0.0


def associate(
    detections: Sequence[Sequence[Detection]],
    shots: Sequence[int],
    *,
    max_gap: int,
    min_overlap: float = 0.15,
) -> list[Chain]:
    """Put the detections of all frames together to tracks: the best overlapping pairs first, never across a cut.

    Parameters
    ----------
    detections : sequence
        Detections of each frame.
    shots : sequence of int
        First frame of each shot, ascending, beginning with 0.
    max_gap : int
        A track goes on after at most this many frames without a detection.
    min_overlap : float
        Least intersection over union of a detection and the track's last box, if that is of the frame before. After a
        gap, a box close by is enough.

    Returns
    -------
    list of Chain
        In the order of their first frames.
    """
    count = len(detections)
    bounds = [*shots, count] if shots else [0, count]
    done: list[Chain] = []
    for start, stop in pairwise(bounds):
        active: list[Chain] = []
        for frame in range(start, stop):
            active = [track for track in active if frame - track.frames[-1] <= max_gap + 1]
            pairs = sorted(
                (
                    (-_affinity(track, detection), t, d)
                    for t, track in enumerate(active)
                    for d, detection in enumerate(detections[frame])
                    if track.label == detection.label
                )
            )
            used_tracks: set[int] = set()
            used: set[int] = set()
            for negative, t, d in pairs:
                is_next = frame - active[t].frames[-1] == 1
                if t in used_tracks or d in used or -negative < (min_overlap if is_next else 0.005):
                    continue
                active[t].add(frame, detections[frame][d])
                used_tracks.add(t)
                used.add(d)
            for d, detection in enumerate(detections[frame]):
                if d not in used:
                    track = Chain(label=detection.label, shot=(start, stop))
                    track.add(frame, detection)
                    active.append(track)
                    done.append(track)
    return done
