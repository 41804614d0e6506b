"""Sampled crops go back into the frames, one frame at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.detailer.paste_masks import paste_mask
from segs_detailer.jobs.store import to_floats
from segs_detailer.ops.blend import paste_
from segs_detailer.ops.frames import crop_window, moved_place
from segs_detailer.segs import SEG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from segs_detailer.jobs.pieces import Piece
    from segs_detailer.jobs.plan import ClipPlan, TrackPlan
    from segs_detailer.jobs.store import PixelFile
    from segs_detailer.video.planes import CodedFrame, Window

__all__ = ["Compositor"]

# Pixels around a mask that bringing it between pixels may need.
_FILTER = 4
# Two layers this near may share samples of chroma.
_CHROMA_REACH = 8
# Numbers of a place that is not turned.
_UPRIGHT = 4


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
        for layer in self._layers(frame):
            layer.paste(pixels)

    def paint_coded(self, frame: int, coded: CodedFrame) -> None:
        """Paste what belongs into a frame as it is coded; samples outside all masks keep their bits.

        Parameters
        ----------
        frame : int
            Its number.
        coded : CodedFrame
            The frame, which has regions.
        """
        for overlay in _overlays(self._layers(frame)):
            coded.paste(overlay.pixels, overlay.window)

    def _layers(self, frame: int) -> list[_Layer]:
        """Return what is pasted into a frame, in this order."""
        shown = {plan.index: plan for plan in self._shown(frame)}
        # Owners last: what they cover of the others is as if it had never been pasted.
        layers = (self._layer(shown[index], frame) for index in reversed(self._plan.owners) if index in shown)
        return [layer for layer in layers if layer is not None]

    def _shown(self, frame: int) -> list[TrackPlan]:
        return [plan for plan in self._plan.tracks if plan.alpha(frame) > 0]

    def _layer(self, plan: TrackPlan, frame: int) -> _Layer | None:
        shares = [(piece.weight(frame), self._read(piece, frame)) for piece in plan.pieces_at(frame)]
        part = _part_with_mask([samples for _, samples in shares], self._feather, self._grow)
        if part is None:
            return None
        place = plan.place(frame)
        if place.shape[1] > _UPRIGHT:
            # Turned crops turn about their middle, of which a part has another.
            part = (slice(None), slice(None))
        colors = _mixed([(weight, samples[part][..., :3]) for weight, samples in shares])
        mask = _mixed([(weight, samples[part][..., 3]) for weight, samples in shares])
        mask = _paste_mask(mask, self._feather, self._grow) * plan.alpha(frame)
        return _Layer(colors, mask, _place_of_part(place, part, mask.shape))

    def _read(self, piece: Piece, frame: int) -> NDArray[Any]:
        place = frame - piece.low
        pixels: NDArray[Any] = self._results(piece).read(place, place + 1)[0]
        return pixels


@dataclass(frozen=True, slots=True)
class _Layer:
    """What is pasted of one track into one frame: `(h, w, 3)` colors, `(h, w)` mask, and where."""

    pixels: NDArray[np.float32]
    mask: NDArray[np.float32]
    place: NDArray[Any]

    @property
    def window(self) -> Window:
        """Whole pixels that it may change."""
        return crop_window(self.place[0].tolist())

    def paste(self, pixels: NDArray[np.float32], corner: tuple[int, int] = (0, 0)) -> None:
        """Paste into a frame, or into what begins at a corner of it."""
        paste_(pixels[None], self.pixels[None], self.mask[None], moved_place(self.place, *corner))

    def cover(self, alpha: NDArray[np.float32], corner: tuple[int, int]) -> None:
        """Add to how much of a frame, from a corner of it on, is covered: `(h, w, 1)`."""
        ones = np.ones((1, *self.mask.shape, 1), np.float32)
        paste_(alpha[None], ones, self.mask[None], moved_place(self.place, *corner))


@dataclass(frozen=True, slots=True)
class _Overlay:
    """Layers in one: `(h, w, 4)` colors times alpha, and alpha, and where."""

    pixels: NDArray[np.float32]
    window: Window


def _overlays(layers: Sequence[_Layer]) -> Iterator[_Overlay]:
    """Put layers that touch each other into one, in their order."""
    clusters: list[tuple[Window, list[int]]] = []
    for index, layer in enumerate(layers):
        window, together = layer.window, [index]
        for cluster in [each for each in clusters if _touch(each[0], window)]:
            clusters.remove(cluster)
            window, together = _union(window, cluster[0]), [*cluster[1], *together]
        clusters.append((window, together))
    for window, together in clusters:
        x1, y1, x2, y2 = window
        colors = np.zeros((y2 - y1, x2 - x1, 3), np.float32)
        alpha = np.zeros((y2 - y1, x2 - x1, 1), np.float32)
        # A later layer lies over all before it, whichever of them it touches.
        for index in sorted(together):
            layers[index].paste(colors, window[:2])
            layers[index].cover(alpha, window[:2])
        yield _Overlay(np.concatenate([colors, alpha], axis=2), window)


def _touch(one: Window, other: Window) -> bool:
    """Whether two windows may have chroma samples in common."""
    apart = _CHROMA_REACH
    return (
        one[0] - apart < other[2]
        and other[0] - apart < one[2]
        and one[1] - apart < other[3]
        and other[1] - apart < one[3]
    )


def _union(one: Window, other: Window) -> Window:
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])


def _mixed(shares: Sequence[tuple[float, NDArray[Any]]]) -> NDArray[np.float32]:
    """Cross-fade samples, and give floats in one block of memory."""
    (weight, samples), *others = shares
    mixed = to_floats(samples)
    if others:
        mixed *= np.float32(weight)
    for weight, samples in others:
        mixed += np.float32(weight) * to_floats(samples)
    return mixed


def _part_with_mask(results: Sequence[NDArray[Any]], feather: int, grow: int) -> tuple[slice, slice] | None:
    """Find the part of a crop that its mask, grown and softened, lies in; None where there is no mask.

    Results are `(h, w, 4)`, the mask last.
    """
    margin = max(grow, 0) + feather + _FILTER
    parts = []
    masks = [_has_mask(result) for result in results]
    for axis in (0, 1):
        filled = np.flatnonzero(np.any([mask.any(axis=1 - axis) for mask in masks], axis=0))
        if not len(filled):
            return None
        side = masks[0].shape[axis]
        start, stop = max(int(filled[0]) - margin, 0), min(int(filled[-1]) + 1 + margin, side)
        # Masks that are not longer than the kernel that softens them get a shorter one.
        least = min(2 * margin, side)
        start = min(start, max(stop - least, 0))
        parts.append(slice(start, max(stop, min(start + least, side))))
    return parts[0], parts[1]


def _has_mask(result: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell of each pixel whether its mask is above 0."""
    # Four samples as one number, whose highest bits are the mask's: several times as fast as every fourth sample.
    sample = result.dtype.itemsize
    pixels = result.astype(f"<u{sample}", copy=False).view(f"<u{4 * sample}")[..., 0]
    filled: NDArray[np.bool_] = pixels >= 1 << (3 * 8 * sample)
    return filled


def _place_of_part(place: NDArray[Any], part: tuple[slice, slice], shape: Sequence[int]) -> NDArray[Any]:
    """Return where a part of a crop lies."""
    if part[0].start is None:
        return place
    moved = place.copy()
    moved[:, :2] += (part[1].start, part[0].start)
    moved[:, 2:4] = moved[:, :2] + (shape[1], shape[0])
    return moved


def _paste_mask(mask: NDArray[np.float32], feather: int, grow: int) -> NDArray[np.float32]:
    height, width = mask.shape
    seg = SEG(None, mask[None], 1.0, (0, 0, width, height), (0, 0, width, height), "")
    masks: NDArray[np.float32] = paste_mask(seg, np.empty((1, 1, 1, 3), np.float32), feather, grow)
    pixels: NDArray[np.float32] = masks[0]
    return pixels
