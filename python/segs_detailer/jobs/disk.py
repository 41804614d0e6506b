"""What a run takes on disk, beside its output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from segs_detailer.jobs.cropping import CROPS_AHEAD
from segs_detailer.jobs.plan import DiskPlan

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from segs_detailer.jobs.pieces import Piece
    from segs_detailer.jobs.plan import TrackPlan

__all__ = ["plan_disk"]

# Crops have three colors, results these and the mask.
_CROP_CHANNELS, _RESULT_CHANNELS = 3, 4


def plan_disk(pieces: Iterable[Piece], tracks: Sequence[TrackPlan], sample_bytes: int) -> DiskPlan:
    """Count what sampling some pieces takes at most.

    Parameters
    ----------
    pieces : iterable of Piece
        Those that are sampled; what is there already takes nothing more.
    tracks : sequence of TrackPlan
        All tracks, by their indices.
    sample_bytes : int
        Bytes of a sample.

    Returns
    -------
    DiskPlan
    """

    def frame_samples(piece: Piece) -> int:
        height, width = tracks[piece.track].path.size
        return height * width * sample_bytes

    rows = [(piece.low, piece.high, frame_samples(piece)) for piece in pieces]
    if not rows:
        return DiskPlan(0, 0)
    low, high, samples = np.array(rows, np.int64).T
    results = _RESULT_CHANNELS * int(((high - low) * samples).sum())
    return DiskPlan(_most_crops(low, high, _CROP_CHANNELS * samples), results)


def _most_crops(low: NDArray[np.int64], high: NDArray[np.int64], frame: NDArray[np.int64]) -> int:
    """Most bytes of crops at once: complete pieces that wait, as many as may, and those that are not complete yet.

    There are most where a piece ends, as its last crop is there.
    """
    ends = np.unique(high)

    def before(place: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Sum the values of the pieces whose place is before each end."""
        order = np.argsort(place)
        sums = np.concatenate(([0], np.cumsum(values[order])))
        return np.asarray(sums[np.searchsorted(place[order], ends)])

    waiting = np.minimum(before(high, (high - low) * frame), CROPS_AHEAD)
    # Of a piece that has begun, crops of the frames from its first one to this end.
    begun = ends * (before(low, frame) - before(high, frame)) - (before(low, low * frame) - before(high, low * frame))
    return int((waiting + begun).max())
