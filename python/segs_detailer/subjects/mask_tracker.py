"""Masks that come frame by frame: what is connected is a subject, and is followed through time."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.checks import shown, whole_number
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.mask_levels import MaskLevels, MaskSurvey, warn_about_masks
from segs_detailer.ops.morphology import connected_components
from segs_detailer.subjects.association import Chain, Detection
from segs_detailer.subjects.boxes import BoxIndex
from segs_detailer.subjects.linking import Associator
from segs_detailer.subjects.mask import Mask, label_regions
from segs_detailer.subjects.nearest import Place, nearest_places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from segs_detailer.segs import Box
    from segs_detailer.subjects.track import Track

__all__ = ["MaskTracker"]

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
    labels : bool
        The masks' values are numbers of subjects, 0 for none: what has one number is one subject of each shot, however
        it moves, and `max_gap` does not count. Its track has the number as its id where there is one shot.
    levels : MaskLevels or None
        What the values mean, where that is known. None finds it out: where no value of all masks is above 1 (floats:
        1/255), 1 is on; what is strange about them is a warning of `finish`.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        A value that cannot be used.
    """

    def __init__(
        self,
        *,
        combined: bool = False,
        label: str = "mask",
        drop_size: int = 10,
        max_gap: int = 12,
        labels: bool = False,
        levels: MaskLevels | None = None,
    ) -> None:
        if not isinstance(label, str):
            raise InvalidTypeError("label", "text", shown(label))
        self._drop_size = whole_number("drop_size", drop_size, minimum=0)
        if labels and combined:
            raise InvalidArgumentError("labels", "False, as combined makes one subject of all", "True")
        self._combined = combined
        self._by_number = labels
        self._levels = levels
        self._survey = MaskSurvey()
        self._frames_of_ones: set[int] = set()
        self._label = label
        self._associator = Associator(whole_number("max_gap", max_gap, minimum=0))
        self._size: tuple[int, int] | None = None
        # Frame, number of the subject, mask: of what is not told apart by where it is.
        self._numbered: list[tuple[int, int, Mask]] = []
        self._shots: list[int] = [0]

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the masks; None before the first."""
        return self._size

    def add(self, mask: NDArray[Any], *, begins_shot: bool = False) -> None:
        """Take the mask of the next frame.

        Parameters
        ----------
        mask : ndarray
            `(H, W)`: bool, uint8, uint16, int64 from 0 to 255, or floats in [0, 1]; what is not 0 counts. With `labels`
            uint8, uint16 or int64 with any numbers from 0.
        begins_shot : bool
            The frame is the first after a cut, which ends all tracks.

        Raises
        ------
        InvalidArgumentError, InvalidTypeError
            Another shape than the frame's before, or another dtype.
        """
        if mask.ndim != 2:
            raise InvalidArgumentError("mask", "shape (h, w)", f"shape {mask.shape}")
        frame = self._associator.frame
        whole = None if self._by_number else Mask.from_pixels(self._read(mask, frame))
        if self._size is not None and mask.shape != self._size:
            raise InvalidArgumentError("mask", f"shape {self._size}, as before", f"shape {mask.shape}")
        self._size = (mask.shape[0], mask.shape[1])
        if begins_shot and frame > 0:
            self._shots.append(frame)
        detections = []
        if whole is None:
            for number, (x1, y1, _, _), inside in label_regions(mask):
                self._numbered.append((frame, number, Mask.from_pixels(inside, (x1, y1))))
        elif self._combined and not whole.empty:
            self._numbered.append((frame, 0, whole))
        elif not whole.empty:
            chains = [] if begins_shot else self._associator.active
            detections = [self._detection(region) for region in self._regions(whole, chains)]
        self._associator.add(detections, begins_shot=begins_shot)

    def _read(self, mask: NDArray[Any], frame: int) -> NDArray[np.uint8] | NDArray[np.bool_]:
        """Return levels by what is known so far."""
        if self._levels is not None:
            return self._levels.levels(mask)
        levels = MaskLevels().levels(mask)  # checks it
        self._survey.look(mask)
        so_far = self._survey.levels
        if levels.dtype == np.bool_ or not so_far.on_off:
            return levels
        self._frames_of_ones.add(frame)
        return MaskLevels(on_off=True).levels(mask)

    def _detection(self, mask: Mask) -> Detection:
        x1, y1, x2, y2 = mask.place
        return Detection((float(x1), float(y1), float(x2), float(y2)), 1.0, self._label, mask=mask)

    def _regions(self, whole: Mask, chains: Sequence[Chain]) -> list[Mask]:
        """Masks of the connected regions, those of subjects that touch parted."""
        pixels = whole.pixels()
        left, top = whole.place[:2]
        found = connected_components(pixels)
        expected = _Expected(chains, self._associator.frame)
        regions = []
        for number, box in enumerate(found.boxes.tolist(), start=1):
            x1, y1, x2, y2 = box
            # Half of it: near the limit a subject would come and go.
            if min(x2 - x1, y2 - y1) <= self._drop_size // 2:
                continue
            part = np.where(found.labels[y1:y2, x1:x2] == number, pixels[y1:y2, x1:x2], np.uint8(0))
            regions += _parted(part, (left + x1, top + y1), expected)
        return regions

    def finish(self) -> list[Track]:
        """Return the tracks in the order of their first frames; ids count from 1, or are the numbers of `labels`."""
        chains = self._associator.finish()
        numbers: list[int] = []
        if self._combined or self._by_number:
            numbers, chains = self._numbered_chains()
        kept = [place for place, chain in enumerate(chains) if self._is_kept(chain)]
        is_known = self._by_number and len(set(numbers)) == len(numbers)
        ids = [numbers[place] if is_known else count for count, place in enumerate(kept, start=1)]
        tracks = [chains[place].track(number) for number, place in zip(ids, kept, strict=True)]
        if self._levels is None and not self._by_number:
            warn_about_masks(self._survey, "masks", stretched=False)
        # What was taken for on, before there was a higher value.
        return tracks if self._survey.levels.on_off else [self._dimmed(track) for track in tracks]

    def _dimmed(self, track: Track) -> Track:
        masks = [
            Mask.from_pixels((mask.pixels() > 0).view(np.uint8), mask.place[:2])
            if mask is not None and frame in self._frames_of_ones
            else mask
            for frame, mask in zip(track.frames.tolist(), track.masks, strict=True)
        ]
        return replace(track, masks=tuple(masks))

    def _is_kept(self, chain: Chain) -> bool:
        boxes = np.array([detection.box for detection in chain.detections])
        return float((boxes[:, 2:] - boxes[:, :2]).min(axis=1).max()) > self._drop_size

    def _numbered_chains(self) -> tuple[list[int], list[Chain]]:
        """Return one chain of each number and shot, and its number."""
        shots = list(pairwise([*self._shots, self._associator.frame]))
        chains: dict[tuple[int, int], Chain] = {}
        for frame, number, mask in self._numbered:
            shot = int(np.searchsorted(self._shots, frame, side="right")) - 1
            chain = chains.setdefault((shot, number), Chain(self._label, shots[shot]))
            chain.add(frame, self._detection(mask))
        return [number for _, number in chains], list(chains.values())


class _Expected:
    """Subjects that may be in the next frame, and where."""

    def __init__(self, chains: Sequence[Chain], frame: int) -> None:
        self._chains = [chain for chain in chains if len(chain.frames) >= _PARTED_FRAMES]
        self._boxes = [chain.expected(frame) for chain in self._chains]
        self._places = [_moved(*pair) for pair in zip(self._chains, self._boxes, strict=True)]
        self._index = BoxIndex(self._places)

    def inside(self, levels: NDArray[np.uint8], origin: tuple[int, int]) -> list[Place]:
        """Subjects of which most is expected in a region, and of these such as compare with the largest."""
        x1, y1 = origin
        near = self._index.touching((x1, y1, x1 + levels.shape[1], y1 + levels.shape[0]))
        if len(near) < 2:
            return []
        places = [self._place(index) for index in near if self._is_in(index, levels, origin)]
        largest = max((place.width * place.height for place in places), default=0.0)
        return [place for place in places if place.width * place.height >= _PARTED_SIZE * largest]

    def _place(self, index: int) -> Place:
        x1, y1, x2, y2 = self._boxes[index]
        return Place(0.5 * (x1 + x2), 0.5 * (y1 + y2), *_sides(self._chains[index]))

    def _is_in(self, index: int, levels: NDArray[np.uint8], origin: tuple[int, int]) -> bool:
        mask = self._chains[index].detections[-1].mask
        if mask is None:
            return False
        bits = mask.bits()
        x, y = self._places[index][0] - origin[0], self._places[index][1] - origin[1]
        height, width = bits.shape
        there = levels[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)] > 0
        own = bits[max(-y, 0) :, max(-x, 0) :][: there.shape[0], : there.shape[1]]
        count = int(np.count_nonzero(bits))
        return count > 0 and int(np.count_nonzero(there & own)) / count >= _PARTED_SHARE


def _moved(chain: Chain, expected: tuple[float, float, float, float]) -> Box:
    """Place of a subject's last mask where it is expected; nowhere without one."""
    last = chain.detections[-1]
    if last.mask is None:
        return (0, 0, 0, 0)
    x, y = round(expected[0] - last.box[0]), round(expected[1] - last.box[1])
    x1, y1, x2, y2 = last.mask.place
    return x1 + x, y1 + y, x2 + x, y2 + y


def _parted(levels: NDArray[np.uint8], origin: tuple[int, int], expected: _Expected) -> list[Mask]:
    """Part a region between the subjects that are expected in it."""
    inside = expected.inside(levels, origin)
    if len(inside) < 2:
        return [Mask.from_pixels(levels, origin)]
    owner = nearest_places(levels.shape, origin, inside)
    parts = []
    for _, (x1, y1, x2, y2), own in label_regions(np.where(levels > 0, owner + 1, 0)):
        part = np.where(own, levels[y1:y2, x1:x2], np.uint8(0))
        parts.append(Mask.from_pixels(part, (origin[0] + x1, origin[1] + y1)))
    return parts


def _sides(chain: Chain) -> tuple[float, float]:
    """Width and height of a subject: the largest of late, as a part of it may be hidden by another."""
    boxes = [detection.box for detection in chain.detections[-_RECENT:]]
    return max(x2 - x1 for x1, _, x2, _ in boxes), max(y2 - y1 for _, y1, _, y2 in boxes)
