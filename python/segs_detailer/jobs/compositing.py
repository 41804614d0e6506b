"""Sampled crops go back into the frames, one frame at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.detailer.paste_masks import paste_mask
from segs_detailer.jobs.store import to_floats
from segs_detailer.ops.blend import paste_
from segs_detailer.segs import SEG

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from segs_detailer.jobs.pieces import Piece
    from segs_detailer.jobs.plan import ClipPlan, TrackPlan
    from segs_detailer.jobs.store import PixelFile

__all__ = ["Compositor"]


class Compositor:
    """Pastes what was sampled into the frames of a clip.

    Parameters
    ----------
    plan : ClipPlan
        The plan.
    results : callable
        Gives the file with the result of a piece, of four channels: colors, and the mask that they were sampled with.
    feather, grow : int
        Of the paste's mask, as in `detail_frames`.
    """

    def __init__(self, plan: ClipPlan, results: Callable[[Piece], PixelFile], *, feather: int, grow: int) -> None:
        self._plan = plan
        self._results = results
        self._feather = feather
        self._grow = grow

    def pieces_at(self, frame: int) -> list[Piece]:
        """Pieces that have a share in a frame."""
        return [piece for plan in self._shown(frame) for piece in plan.pieces_at(frame)]

    def paint(self, frame: int, pixels: NDArray[np.float32]) -> None:
        """Paste what belongs into a frame.

        Where tracks overlap, each pixel has one owner: see `segs_detailer.subjects.ownership`.

        Parameters
        ----------
        frame : int
            Its number.
        pixels : ndarray
            `(H, W, 3)` float32 in [0, 1], of one block of memory: changed in place.
        """
        shown = {plan.index: plan for plan in self._shown(frame)}
        # Owners last: what they cover of the others is as if it had never been pasted.
        for index in reversed(self._plan.owners):
            layer = self._layer(shown[index], frame) if index in shown else None
            if layer is not None:
                layer.paste(pixels)

    def _shown(self, frame: int) -> list[TrackPlan]:
        return [plan for plan in self._plan.tracks if plan.alpha(frame) > 0]

    def _layer(self, plan: TrackPlan, frame: int) -> _Layer | None:
        shares = [(piece.weight(frame), piece) for piece in plan.pieces_at(frame)]
        if not shares:
            return None
        values = sum(np.float32(weight) * self._read(piece, frame) for weight, piece in shares)
        stack = np.asarray(values, np.float32)
        mask = _paste_mask(np.ascontiguousarray(stack[..., 3]), self._feather, self._grow) * plan.alpha(frame)
        return _Layer(np.ascontiguousarray(stack[..., :3]), mask, plan.place(frame))

    def _read(self, piece: Piece, frame: int) -> NDArray[np.float32]:
        place = frame - piece.low
        return to_floats(self._results(piece).read(place, place + 1)[0])


@dataclass(frozen=True, slots=True)
class _Layer:
    """What is pasted of one track into one frame: `(h, w, 3)` colors, `(h, w)` mask, and where."""

    pixels: NDArray[np.float32]
    mask: NDArray[np.float32]
    place: NDArray[Any]

    def paste(self, frame: NDArray[np.float32]) -> None:
        paste_(frame[None], self.pixels[None], self.mask[None], self.place)


def _paste_mask(mask: NDArray[np.float32], feather: int, grow: int) -> NDArray[np.float32]:
    height, width = mask.shape
    seg = SEG(None, mask[None], 1.0, (0, 0, width, height), (0, 0, width, height), "")
    masks: NDArray[np.float32] = paste_mask(seg, np.empty((1, 1, 1, 3), np.float32), feather, grow)
    pixels: NDArray[np.float32] = masks[0]
    return pixels
