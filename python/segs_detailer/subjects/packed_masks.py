"""Tracks of masks that are packed in bits: what ComfyUI's SAM 3 nodes hand from one to the other.

They are unpacked one frame at a time, and of each object no more than it covers; what is kept are its bits at the size
of the frames. A clip of many objects takes a small part of the memory that its packed masks take.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer._interop import is_tensor
from segs_detailer.checks import number, shown, typed, whole_number
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.subjects.boxes import check_frame_size
from segs_detailer.subjects.mask import Mask
from segs_detailer.subjects.track import Track, Tracks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeGuard

    from numpy.typing import NDArray

__all__ = ["check_packed", "is_packed", "tracks_from_packed", "why_left_out"]

_KEYS = ("packed_masks", "n_frames", "orig_size")
_BITS = 8
_EXPECTED = "the track_data of SAM 3.1: a dict with packed_masks, n_frames, orig_size and scores"


def is_packed(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether a value looks like SAM3_TRACK_DATA."""
    return isinstance(value, Mapping) and "packed_masks" in value


@dataclass(frozen=True, slots=True)
class _Packed:
    """SAM3_TRACK_DATA that was looked at: `(N, n, h, w / 8)` bits, or None, frames, size of the frames and scores."""

    masks: Any
    frame_count: int
    frame_size: tuple[int, int]
    scores: tuple[float, ...]

    @property
    def objects(self) -> int:
        return len(self.scores)


def check_packed(track_data: Any, argument: str = "track_data") -> tuple[int, int, tuple[int, int]]:
    """Look at SAM3_TRACK_DATA.

    Parameters
    ----------
    track_data : mapping
        See `tracks_from_packed`.
    argument : str
        Name for messages.

    Returns
    -------
    objects, frames : int
        Their numbers.
    frame_size : (int, int)
        Height and width of the frames that were looked at.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        It is something else.
    """
    packed = _checked(track_data, argument)
    return packed.objects, packed.frame_count, packed.frame_size


def _checked(track_data: Any, argument: str) -> _Packed:
    if is_tensor(track_data) or isinstance(track_data, np.ndarray):
        advice = "track with a SAM 3.1 checkpoint, or make masks of `logits > 0` and tracks of those"
        raise InvalidTypeError(argument, _EXPECTED, f"bare logits, as SAM 3.0 gives them: {advice}")
    if not isinstance(track_data, Mapping):
        raise InvalidTypeError(argument, _EXPECTED, typed(track_data))
    missing = [key for key in _KEYS if key not in track_data]
    if missing:
        raise InvalidArgumentError(argument, _EXPECTED, f"none of {', '.join(missing)}")
    size = check_frame_size(f"{argument}: orig_size", track_data["orig_size"])
    count = whole_number(f"{argument}: n_frames", track_data["n_frames"], minimum=0)
    masks = track_data["packed_masks"]
    if masks is None:
        return _Packed(None, count, size, ())
    name = f"{argument}: packed_masks"
    if not (is_tensor(masks) or isinstance(masks, np.ndarray)):
        raise InvalidTypeError(name, "a torch tensor or a NumPy array", typed(masks))
    shape = tuple(masks.shape)
    if str(masks.dtype).removeprefix("torch.") != "uint8" or len(shape) != 4 or 0 in shape[2:]:
        raise InvalidArgumentError(name, "uint8 of shape (frames, objects, h, w / 8)", f"{masks.dtype} {shape}")
    if shape[0] != count:
        raise InvalidArgumentError(name, f"masks of {count} frames, as n_frames says", f"{shape[0]}")
    scores = tuple(track_data.get("scores", (1.0,) * shape[1]))
    if len(scores) != shape[1]:
        raise InvalidArgumentError(f"{argument}: scores", f"one for each of {shape[1]} objects", f"{len(scores)}")
    return _Packed(masks, count, size, tuple(number(f"{argument}: scores", float(score)) for score in scores))


def tracks_from_packed(
    track_data: Mapping[str, Any],
    *,
    frame_size: tuple[int, int] | None = None,
    objects: Sequence[int] | None = None,
    label: str | Sequence[str] = "object",
    progress: Callable[[int], None] | None = None,
    argument: str = "track_data",
) -> Tracks:
    """Make a track of each object of SAM3_TRACK_DATA, which ComfyUI's node SAM3 Video Track gives.

    Parameters
    ----------
    track_data : mapping
        `packed_masks`: uint8 `(frames, objects, h, w / 8)`, NumPy's or torch's on any device, whose bits are columns
        from the lowest on; None where nothing was found. `n_frames`; `orig_size`, height and width of the frames;
        `scores`, one for each object, 1 where there are none. The masks show the whole frame, whatever its shape.
    frame_size : (int, int) or None
        Height and width of the frames to which the masks are resized; None is `orig_size`.
    objects : sequence of int or None
        Objects that are wanted, by their places from 0. None is all.
    label : str or sequence of str
        What all of them are; or what each is by its place: those beyond the last are called "object" and their place.
    progress : callable or None
        Called with the number of frames done. It may raise to cancel.
    argument : str
        Name for messages.

    Returns
    -------
    Tracks
        In the order of the objects, whose places are their ids; those that are never shown are left out. Of each frame
        the mask, and its extent as the box: what bilinear interpolation of the bits, between the middles of pixels,
        gives at least 0.5. `confidence` is the object's score in all frames.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        Something else came, such as the bare logits that SAM 3.0 gives; an object that is not there.

    Examples
    --------
    >>> import numpy as np
    >>> from segs_detailer.subjects import tracks_from_packed
    >>> masks = np.zeros((8, 1, 72, 128), bool)
    >>> masks[:, 0, 20:40, 30:50] = True
    >>> packed = np.packbits(masks, axis=-1, bitorder="little")
    >>> data = {"packed_masks": packed, "n_frames": 8, "orig_size": (720, 1280), "scores": [0.9]}
    >>> [track] = tracks_from_packed(data, label="hand")
    >>> track.id, track.label, track.boxes[0].tolist()
    (0, 'hand', [300.0, 200.0, 500.0, 400.0])
    """
    packed = _checked(track_data, argument)
    size = packed.frame_size if frame_size is None else check_frame_size("frame_size", frame_size)
    wanted = _wanted(objects, packed.objects)
    found = [_Found(place, packed.scores[place]) for place in wanted]
    if packed.masks is not None and wanted:
        places = _Places.of(size, (packed.masks.shape[2], packed.masks.shape[3] * _BITS))
        for frame in range(packed.frame_count):
            for row, mask in _unpacked(_bits_of(packed.masks, frame, wanted), places):
                found[row].add(frame, mask)
            if progress is not None:
                progress(frame + 1)
    tracks = [each.track(_label_of(each.place, label)) for each in found if each.frames]
    return Tracks(size, packed.frame_count, tuple(tracks))


def why_left_out(track: Track | None, frame_count: int, *, min_share: float, drop_size: int) -> str:
    """Say why a tracked object is none that was asked for.

    Parameters
    ----------
    track : Track or None
        The object; None is one that is never shown.
    frame_count : int
        Frames of the clip.
    min_share : float
        Least share of them in which it must be seen, 0 to 1.
    drop_size : int
        It must have sides of more pixels than this where it is largest.

    Returns
    -------
    str
        Empty where it is.
    """
    least = number("min_share", min_share, least=0, most=1)
    most = whole_number("drop_size", drop_size, minimum=0)
    if track is None:
        return "never shown"
    if len(track.frames) < least * frame_count:
        return f"in {len(track.frames)} of {frame_count} frames (min_share {least:g})"
    largest = int((track.boxes[:, 2:] - track.boxes[:, :2]).min(axis=1).max())
    return f"never more than {largest} pixels wide or high (drop_size {most})" if largest <= most else ""


def _wanted(objects: Sequence[int] | None, count: int) -> list[int]:
    if objects is None:
        return list(range(count))
    wanted = sorted({whole_number("objects", place, minimum=0) for place in objects})
    if wanted and wanted[-1] >= count:
        there = f"objects from 0 to {count - 1}" if count else "none, as there are no objects"
        raise InvalidArgumentError("objects", there, shown(wanted[-1]))
    return wanted


def _label_of(place: int, label: str | Sequence[str]) -> str:
    if isinstance(label, str):
        return label
    return label[place] if place < len(label) else f"object {place}"


def _bits_of(masks: Any, frame: int, wanted: Sequence[int]) -> NDArray[np.uint8]:
    """Return the packed masks `(n, h, w / 8)` of one frame, on the CPU."""
    own = masks[frame]
    own = own if len(wanted) == len(own) else own[list(wanted)]
    array: NDArray[np.uint8] = own.detach().cpu().numpy() if is_tensor(own) else own
    return array


def _unpacked(bits: NDArray[np.uint8], places: _Places) -> Iterator[tuple[int, Mask]]:
    """Give those masks of a frame that show anything, each with its row."""
    rows: NDArray[np.bool_] = np.any(bits, axis=2)
    for row in np.flatnonzero(rows.any(axis=1)).tolist():
        seen = np.flatnonzero(rows[row])
        top, bottom = int(seen[0]), int(seen[-1]) + 1
        own = bits[row, top:bottom]
        columns = np.flatnonzero(np.bitwise_or.reduce(own, axis=0))
        left, right = int(columns[0]), int(columns[-1]) + 1
        pixels = np.unpackbits(own[:, left:right], axis=1, bitorder="little")
        mask = places.resized(pixels, (left * _BITS, top))
        if not mask.empty:
            yield row, mask


@dataclass(frozen=True, slots=True)
class _Axis:
    """Where the pixels of one axis lie between those of a grid of another size.

    Parameters
    ----------
    low, high : ndarray
        `(n,)` int64: the pixels of the grid before and after each.
    share : ndarray
        `(n,)` float32: how much of the second.
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    share: NDArray[np.float32]

    @classmethod
    def of(cls, count: int, grid: int) -> _Axis:
        """Lay so many pixels over those of the grid, edge to edge."""
        middles = np.maximum((np.arange(count) + 0.5) * (grid / count) - 0.5, 0)
        low = middles.astype(np.int64)
        return cls(low, np.minimum(low + 1, grid - 1), (middles - low).astype(np.float32))

    def touching(self, first: int, end: int) -> slice:
        """Pixels that see any of a part of the grid."""
        return slice(int(np.searchsorted(self.high, first)), int(np.searchsorted(self.low, end)))

    def mixed(self, values: NDArray[Any], own: slice, first: int) -> NDArray[np.float32]:
        """Interpolate along the first axis: `values` begins one pixel of the grid before `first`."""
        low, high = (values[places[own] - (first - 1)].astype(np.float32) for places in (self.low, self.high))
        mixed: NDArray[np.float32] = low + self.share[own, None] * (high - low)
        return mixed


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the pixels of a frame lie in the grid of its masks."""

    rows: _Axis
    columns: _Axis
    is_same: bool

    @classmethod
    def of(cls, size: tuple[int, int], grid: tuple[int, int]) -> _Places:
        """Lay a frame over a grid."""
        return cls(_Axis.of(size[0], grid[0]), _Axis.of(size[1], grid[1]), size == grid)

    def resized(self, pixels: NDArray[np.uint8], origin: tuple[int, int]) -> Mask:
        """Resize a part of a mask, beyond which the mask is empty, and keep what is at least 0.5."""
        left, top = origin
        if self.is_same:
            return Mask.from_pixels(pixels.view(bool), origin)
        rows = self.rows.touching(top, top + pixels.shape[0])
        columns = self.columns.touching(left, left + pixels.shape[1])
        mixed = self.rows.mixed(np.pad(pixels, 1), rows, top)
        mixed = self.columns.mixed(np.ascontiguousarray(mixed.T), columns, left).T
        return Mask.from_pixels(mixed >= 0.5, (columns.start, rows.start))


@dataclass(slots=True)
class _Found:
    """One object, and where it was seen so far."""

    place: int
    score: float
    frames: list[int] = field(default_factory=list)
    masks: list[Mask] = field(default_factory=list)

    def add(self, frame: int, mask: Mask) -> None:
        """Take the mask of a frame."""
        self.frames.append(frame)
        self.masks.append(mask)

    def track(self, label: str) -> Track:
        """Return it as a track."""
        boxes = [mask.place for mask in self.masks]
        return Track(self.place, label, self.frames, boxes, self.score, self.masks)
