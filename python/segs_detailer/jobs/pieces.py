"""Pieces: parts of a track that are sampled at once."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Piece", "cut_run", "shown_runs"]

BRIDGE = 16
"""Frames without the subject that are sampled all the same: a motion model should see what lies between."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a track that is sampled at once.

    Parameters
    ----------
    track : int
        Index of the track in its plan, from 0.
    start, stop : int
        Frames of the clip that are this piece's own: of all pieces of a track, none has the same ones.
    low, high : int
        Frames that are sampled: its own, and those around them that it shares with its neighbors.
    fades : bool
        Where two pieces share frames, the earlier cross-fades into the later one. Else each counts in its own
        frames alone, and the others are only there to be looked at.
    """

    track: int
    start: int
    stop: int
    low: int
    high: int
    fades: bool = False

    @property
    def frames(self) -> int:
        """Number of frames that are sampled."""
        return self.high - self.low

    def weight(self, frame: int) -> float:
        """Share of this piece's result in a frame of the clip; over all pieces of a track the shares sum to 1."""
        if not self.fades:
            return float(self.start <= frame < self.stop)
        weight = 1.0
        if self.start > self.low:
            weight = min(weight, (frame - self.low + 0.5) / (2 * (self.start - self.low)))
        if self.high > self.stop:
            weight = min(weight, (self.high - frame - 0.5) / (2 * (self.high - self.stop)))
        return max(weight, 0.0)


def shown_runs(alpha: NDArray[np.float32], first: int = 0) -> list[tuple[int, int]]:
    """Find the runs of frames in which a subject is pasted; short breaks do not end one.

    Parameters
    ----------
    alpha : ndarray
        `(n,)`: how much is pasted.
    first : int
        Number of its first frame.

    Returns
    -------
    list of (int, int)
        First frame of each run, and the frame after its last.
    """
    shown = np.flatnonzero(alpha > 0)
    if not len(shown):
        return []
    ends = np.flatnonzero(np.diff(shown) > BRIDGE + 1)
    bounds = [0, *(ends + 1).tolist(), len(shown)]
    return [(first + int(shown[a]), first + int(shown[b - 1]) + 1) for a, b in pairwise(bounds)]


def cut_run(
    track: int, run: tuple[int, int], most: int, *, reach: int | None, overlap: int, step: int = 1, origin: int = 0
) -> list[Piece]:
    """Cut a run of frames into pieces of nearly one length.

    Parameters
    ----------
    track : int
        Index of the track.
    run : (int, int)
        First frame, and the frame after the last.
    most : int
        Frames that may be sampled at once: at least twice `overlap`.
    reach : int or None
        Frames on each side that influence a frame, where the sampler says so: they are sampled as well, and the
        result is that of the whole run. None: neighbors share `overlap` frames, and cross-fade in them.
    overlap : int
        Frames that two pieces share, in which they cross-fade; even.
    step, origin : int
        Pieces begin at multiples of `step` after the frame `origin`: models that pack frames need that.

    Returns
    -------
    list of Piece
    """
    first, end = run
    if end - first <= most:
        return [Piece(track, first, end, first, end)]
    margin = reach if reach is not None else overlap // 2
    room, length = most - (step - 1), end - first
    # The first and the last piece have one neighbor, the others two.
    count = max(-(-(length - 2 * margin) // max(room - 2 * margin, 1)), 2)
    sampled = -(-(length + (count - 1) * 2 * margin) // count)
    if reach is None:
        # What a piece shares with the one before must not touch what it shares with the one after.
        sampled = max(sampled, 2 * overlap + step - 1)
    cuts = [first, *(first + sampled - margin + index * (sampled - 2 * margin) for index in range(count - 1)), end]
    cuts[1:-1] = [cut - (cut - margin - origin) % step for cut in cuts[1:-1]]
    fades = reach is None and margin > 0
    return [
        Piece(track, start, stop, max(first, start - margin), min(end, stop + margin), fades)
        for start, stop in pairwise(cuts)
    ]
