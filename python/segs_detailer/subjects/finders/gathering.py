"""From the detections of all frames to the tracks that count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segs_detailer.subjects.association import Chain, Detection, associate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from segs_detailer.subjects.track import Shape, Track

__all__ = ["gather_tracks"]


def gather_tracks(
    detections: Sequence[Sequence[Detection]],
    shots: Sequence[int],
    keep: Callable[[Chain], bool],
    *,
    max_gap: int,
    drop_size: float,
    shape: Shape,
) -> list[Track]:
    """Put detections together to tracks, and drop mistakes and what is too small.

    Parameters
    ----------
    detections : sequence
        Detections of each frame.
    shots : sequence of int
        First frame of each shot.
    keep : callable
        Says of a chain whether it is a subject.
    max_gap : int
        Frames without a detection that are bridged.
    drop_size : float
        Subjects whose shorter side never has more pixels are dropped.
    shape : {"box", "ellipse"}
        See `Track`.

    Returns
    -------
    list of Track
        In the order of their first frames; ids count from 1.
    """
    chains = [chain for chain in associate(detections, shots, max_gap=max_gap) if keep(chain)]
    large = [chain for chain in chains if _side(chain) > drop_size]
    return [chain.track(number, shape=shape) for number, chain in enumerate(large, start=1)]


def _side(chain: Chain) -> float:
    """Shorter side of a subject's largest box."""
    boxes = (detection.box for detection in chain.detections)
    return max(min(x2 - x1, y2 - y1) for x1, y1, x2, y2 in boxes)
