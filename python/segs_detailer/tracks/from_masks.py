"""Tracks of masks that come frame by frame: what hangs together is a subject, and followed through time."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InvalidArgumentError, InvalidTypeError
from ..ops import connected_components
from ..ops._checks import shown, whole_number
from .association import Associator, Chain, Detection
from .mask import Mask

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from .track import Track

__all__ = ["MaskTracker", "tracks_from_masks"]

# Subjects that touch are parted where each was seen in so many frames, the smaller is no less than this share of the
# larger, and so much of where each is expected lies in what they have become.
_PARTED_FRAMES = 4
_PARTED_SIZE = 0.2
_PARTED_SHARE = 0.5
_RECENT = 16


class MaskTracker:
    """Makes tracks of masks, one frame after the other; of each it keeps what it shows, not the frame.

    A connected region is a subject. It is followed by overlap and motion, as detections are. Subjects that come to
    touch each other stay apart: each pixel belongs to the one that it is nearest to.

    Parameters
    ----------
    combined : bool
        All that a frame's mask shows is one subject.
    label : str
        What the subjects are.
    drop_size : int
        Subjects with a side of at most this many pixels, where they are largest, are dropped.
    max_gap : int
        A subject goes on after at most this many frames in which it is not seen; a combined one always.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        A value that cannot be used.
    """

    def __init__(self, *, combined: bool = False, label: str = "mask", drop_size: int = 10, max_gap: int = 12) -> None:
        if not isinstance(label, str):
            raise InvalidTypeError("label", "text", shown(label))
        self._drop_size = whole_number("drop_size", drop_size, minimum=0)
        self._combined = combined
        self._label = label
        self._associator = Associator(whole_number("max_gap", max_gap, minimum=0))
        self._size: tuple[int, ...] | None = None
        self._combined_masks: list[tuple[int, Mask]] = []
        self._shots: list[int] = [0]

    def add(self, mask: NDArray[Any], *, begins_shot: bool = False) -> None:
        """Take the mask of the next frame.

        Parameters
        ----------
        mask : ndarray
            `(H, W)`: bool, uint8, uint16 or floats in [0, 1]; what is not 0 counts.
        begins_shot : bool
            The frame is the first after a cut, which ends all tracks.

        Raises
        ------
        InvalidArgumentError, InvalidTypeError
            Another shape than the frame's before, or another dtype.
        """
        whole = Mask.from_pixels(mask)
        if self._size is not None and mask.shape != self._size:
            raise InvalidArgumentError("mask", f"shape {self._size}, as before", f"shape {mask.shape}")
        self._size = mask.shape
        frame = self._associator.frame
        if begins_shot and frame > 0:
            self._shots.append(frame)
        detections = []
        if self._combined:
            if not whole.empty:
                self._combined_masks.append((frame, whole))
        elif not whole.empty:
            chains = [] if begins_shot else self._associator.active
            detections = [self._detection(region) for region in self._regions(whole, chains)]
        self._associator.add(detections, begins_shot=begins_shot)

    def _detection(self, mask: Mask) -> Detection:
        x1, y1, x2, y2 = mask.place
        return Detection((float(x1), float(y1), float(x2), float(y2)), 1.0, self._label, mask=mask)

    def _regions(self, whole: Mask, chains: Sequence[Chain]) -> list[Mask]:
        """Masks of the connected regions, those of subjects that touch parted."""
        pixels = whole.pixels()
        left, top = whole.place[:2]
        found = connected_components(pixels)
        regions = []
        for number, box in enumerate(found.boxes.tolist(), start=1):
            x1, y1, x2, y2 = box
            # Half of it: near the limit a subject would come and go.
            if min(x2 - x1, y2 - y1) <= self._drop_size // 2:
                continue
            part = np.where(found.labels[y1:y2, x1:x2] == number, pixels[y1:y2, x1:x2], np.uint8(0))
            region = Mask.from_pixels(part, (left + x1, top + y1))
            regions += _parted(region, chains, self._associator.frame)
        return regions

    def finish(self) -> list[Track]:
        """Return the tracks in the order of their first frames; ids count from 1."""
        chains = self._associator.finish()
        if self._combined:
            chains = self._combined_chains()
        kept = [chain for chain in chains if self._is_kept(chain)]
        return [chain.track(number) for number, chain in enumerate(kept, start=1)]

    def _is_kept(self, chain: Chain) -> bool:
        boxes = np.array([detection.box for detection in chain.detections])
        return float((boxes[:, 2:] - boxes[:, :2]).min(axis=1).max()) > self._drop_size

    def _combined_chains(self) -> list[Chain]:
        bounds = [*self._shots, self._associator.frame]
        chains = [Chain(self._label, (start, stop)) for start, stop in pairwise(bounds)]
        for frame, mask in self._combined_masks:
            chains[int(np.searchsorted(self._shots, frame, side="right")) - 1].add(frame, self._detection(mask))
        return [chain for chain in chains if chain.frames]


def _parted(region: Mask, chains: Sequence[Chain], frame: int) -> list[Mask]:
    """Part a region between the subjects that are expected in it."""
    inside = [chain for chain in chains if len(chain.frames) >= _PARTED_FRAMES and _share(chain, region, frame)]
    largest = max((_area(chain) for chain in inside), default=0.0)
    inside = [chain for chain in inside if _area(chain) >= _PARTED_SIZE * largest]
    if len(inside) < 2:
        return [region]
    left, top, right, bottom = region.place
    x, y = np.arange(left, right) + 0.5, (np.arange(top, bottom) + 0.5)[:, None]
    distances = []
    for chain in inside:
        x1, y1, x2, y2 = chain.expected(frame)
        width, height = _sides(chain)
        across, down = (x - 0.5 * (x1 + x2)) / width, (y - 0.5 * (y1 + y2)) / height
        distances.append(across**2 + down**2)
    owner = np.argmin(distances, axis=0)
    pixels = region.pixels()
    parts = [Mask.from_pixels(np.where(owner == i, pixels, np.uint8(0)), (left, top)) for i in range(len(inside))]
    return [part for part in parts if not part.empty]


def _sides(chain: Chain) -> tuple[float, float]:
    """Width and height of a subject: the largest of late, as a part of it may be hidden by another."""
    boxes = [detection.box for detection in chain.detections[-_RECENT:]]
    return max(x2 - x1 for x1, _, x2, _ in boxes), max(y2 - y1 for _, y1, _, y2 in boxes)


def _area(chain: Chain) -> float:
    width, height = _sides(chain)
    return width * height


def _share(chain: Chain, region: Mask, frame: int) -> bool:
    """Whether most of where a subject is expected is in a region."""
    last = chain.detections[-1]
    if last.mask is None:
        return False
    expected = chain.expected(frame)
    moved_x, moved_y = round(expected[0] - last.box[0]), round(expected[1] - last.box[1])
    bits = last.mask.bits()
    out = np.zeros(bits.shape, np.uint8)
    region.paint(out, (last.mask.place[0] + moved_x, last.mask.place[1] + moved_y))
    return bool((out[bits] > 0).mean() >= _PARTED_SHARE) if bits.any() else False


def tracks_from_masks(
    masks: Iterable[NDArray[Any]],
    *,
    shots: Sequence[int] = (0,),
    combined: bool = False,
    label: str = "mask",
    drop_size: int = 10,
    max_gap: int = 12,
) -> list[Track]:
    """Make tracks of the masks of a clip, see `MaskTracker`.

    Parameters
    ----------
    masks : iterable of ndarray
        `(H, W)` of each frame: bool, uint8, uint16 or floats in [0, 1]; looked at once, in order.
    shots : sequence of int
        First frame of each shot; tracks end there.
    combined, label, drop_size, max_gap
        As for `MaskTracker`.

    Returns
    -------
    list of Track
        In the order of their first frames; ids count from 1.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        A mask or a value that cannot be used.
    """
    tracker = MaskTracker(combined=combined, label=label, drop_size=drop_size, max_gap=max_gap)
    begins = set(shots) - {0}
    for frame, mask in enumerate(masks):
        tracker.add(mask, begins_shot=frame in begins)
    return tracker.finish()
