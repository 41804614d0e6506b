"""Which detections a detector reports."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from segs_detailer.subjects.association import Detection

__all__ = ["DetectionFilter", "check_labels"]


def check_labels(labels: Iterable[str] | None, names: Sequence[str]) -> frozenset[str] | None:
    """Labels that are asked for, or None for all.

    Parameters
    ----------
    labels : iterable of str or None
        What is asked for.
    names : sequence of str
        What the detector knows; empty where it does not say, and then anything may be asked for.

    Raises
    ------
    InvalidArgumentError
        The detector does not know one, or none is asked for.
    InvalidTypeError
        One text stands where several should.
    """
    if labels is None:
        return None
    if isinstance(labels, str):
        raise InvalidTypeError("labels", "a list of labels", repr(labels))
    wanted = list(labels)
    if not wanted:
        raise InvalidArgumentError("labels", "at least one label, or None for all", "none")
    for label in wanted:
        if names and label not in names:
            raise unknown_name("labels", label, names)
    return frozenset(wanted)


@dataclass(frozen=True, slots=True)
class DetectionFilter:
    """Which detections are reported.

    Parameters
    ----------
    confidence : float
        Least score.
    labels : frozenset of str or None
        Labels; None is all.
    min_size : float or None
        Least length of the longer side in pixels of the frame.

    Raises
    ------
    InvalidArgumentError
        A value is out of range.
    """

    confidence: float
    labels: frozenset[str] | None = None
    min_size: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.confidence <= 1:
            raise InvalidArgumentError("confidence", "above 0, up to 1", repr(self.confidence))
        if self.min_size is not None and not self.min_size > 0:
            raise InvalidArgumentError("min_size", "above 0 pixels", repr(self.min_size))

    def inside(self, detections: Iterable[Detection], frame_size: tuple[int, int]) -> list[Detection]:
        """Those that are in the frame `(H, W)` and large enough, cut at its edges, the surest first."""
        height, width = frame_size
        kept = []
        for detection in detections:
            x1, y1, x2, y2 = detection.box
            longer = max(x2 - x1, y2 - y1)
            box = (max(0.0, x1), max(0.0, y1), min(float(width), x2), min(float(height), y2))
            is_large = self.min_size is None or longer >= self.min_size
            if is_large and box[0] < box[2] and box[1] < box[3]:
                kept.append(replace(detection, box=box))
        return sorted(kept, key=lambda detection: -detection.score)

    def has(self, label: str) -> bool:
        """Whether a label is reported."""
        return self.labels is None or label in self.labels
