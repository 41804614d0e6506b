"""A track: one subject through time; and all tracks of a clip."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from segs_detailer.checks import MAX_COORDINATE, shown, whole_number
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.settings import with_changes
from segs_detailer.subjects.boxes import check_frame_size
from segs_detailer.subjects.criteria import SelectSettings
from segs_detailer.subjects.selection import selected

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from segs_detailer.segs import Box
    from segs_detailer.subjects.mask import Mask
    from segs_detailer.subjects.selection import Likeness

__all__ = ["MAX_FRAMES", "SHAPES", "TRACK_COLORS", "Shape", "Track", "Tracks"]

MAX_FRAMES = 1 << 22
"""Longest clip, in frames: two days at 24 per second."""

Shape: TypeAlias = Literal["box", "ellipse"]
"""What a subject looks like in a frame that has no mask: its box, or an ellipse about the box of a face."""

SHAPES: tuple[Shape, ...] = ("box", "ellipse")


TRACK_COLORS = ((255, 214, 10), (48, 209, 88), (100, 210, 255), (255, 159, 10), (191, 90, 242), (255, 105, 97))
"""Red, green and blue that tracks are drawn in, one after the other; the seventh has the first again."""


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One subject through time: where it is in each of its frames. Frames that are not named are gaps.

    Parameters
    ----------
    id : int
        Its number, at least 0: what files and trackers call track, object or instance id.
    label : str
        What it is.
    frames : array_like
        `(n,)` whole numbers, ascending: the frames in which it is seen, counted from 0.
    boxes : array_like
        `(n, 4)`: `(x1, y1, x2, y2)` in pixels of each of them. They may pass the frame's edges.
    confidence : array_like
        `(n,)`; one number for all of them.
    masks : sequence
        `n` times a `Mask` or None, which stands for `shape`. None for all of them.
    crop_region, bbox : (int, int, int, int) or None
        `(x1, y1, x2, y2)` of the SEG that it was made from; SEGS made of it have the same. The region may be a
        `CropPath`.
    shot : (int, int) or None
        First frame of its shot, and the frame after the last: whoever looked for the subject saw it begin or end
        there, and nothing is ever pasted beyond. None is not known.
    shape : {"box", "ellipse"}
        What is shown of it in frames without mask. The ellipse is that of a head whose face, from brows to lips, is in
        the box.
    landmarks : array_like or None
        `(n, 5, 2)`: `(x, y)` in pixels of a face's right eye, left eye, tip of the nose, right and left corner of the
        mouth; right and left are the person's. NaN in frames in which they are not known; None for all of them.
    angles : array_like or None
        `(n,)`: by how many degrees it is turned clockwise in the picture, 0 is upright. NaN in frames in which that is
        not known; None for all of them.
    identity : str
        Who or what it is: the same for the tracks of one person in several shots. Empty is not known.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        Arguments that cannot be used.
    """

    id: int
    label: str
    frames: NDArray[np.int64]
    boxes: NDArray[np.float64]
    confidence: NDArray[np.float64]
    masks: tuple[Mask | None, ...]
    crop_region: Box | None = None
    bbox: Box | None = None
    shot: tuple[int, int] | None = None
    shape: Shape = "box"
    landmarks: NDArray[np.float64] | None = None
    angles: NDArray[np.float64] | None = None
    identity: str = ""

    def __init__(
        self,
        id: int,  # noqa: A002 - the field's name
        label: str,
        frames: Any,
        boxes: Any,
        confidence: Any = 1.0,
        masks: Any = None,
        crop_region: Box | None = None,
        bbox: Box | None = None,
        shot: tuple[int, int] | None = None,
        shape: Shape = "box",
        landmarks: Any = None,
        angles: Any = None,
        identity: str = "",
    ) -> None:
        name = f"track {shown(id)}"
        whole_number("id", id, minimum=0)
        if not isinstance(label, str):
            raise InvalidTypeError(f"{name}: label", "text", shown(label))
        if not isinstance(identity, str):
            raise InvalidTypeError(f"{name}: identity", "text", shown(identity))
        places = _frame_numbers(frames, f"{name}: frames")
        count = len(places)
        scores = _numbers(confidence, f"{name}: confidence")
        if scores.ndim == 0:
            scores = np.full(count, scores)
        corners = _numbers(boxes, f"{name}: boxes").reshape(-1, 4) if count == 0 else _numbers(boxes, f"{name}: boxes")
        if corners.shape != (count, 4):
            raise InvalidArgumentError(f"{name}: boxes", f"shape ({count}, 4)", f"shape {corners.shape}")
        if scores.shape != (count,):
            raise InvalidArgumentError(f"{name}: confidence", f"shape ({count},)", f"shape {scores.shape}")
        _check_boxes(corners, places, name)
        shapes = (None,) * count if masks is None else tuple(masks)
        if len(shapes) != count:
            raise InvalidArgumentError(f"{name}: masks", f"one for each of {count} frames", f"{len(shapes)}")
        if shape not in SHAPES:
            raise InvalidArgumentError(f"{name}: shape", " or ".join(map(repr, SHAPES)), shown(shape))
        bounds = _checked_shot(shot, places, f"{name}: shot")
        points = _known_numbers(landmarks, (count, 5, 2), f"{name}: landmarks")
        turns = _known_numbers(angles, (count,), f"{name}: angles")
        for array in (places, corners, scores, points, turns):
            if array is not None:
                array.setflags(write=False)
        values = (
            *(int(id), label, places, corners, scores, shapes, crop_region, bbox, bounds, shape),
            *(points, turns, identity),
        )
        for field, value in zip(Track.__slots__, values, strict=True):
            object.__setattr__(self, field, value)

    @property
    def span(self) -> tuple[int, int]:
        """First frame, and the frame after the last; `(0, 0)` where it is in none."""
        return (int(self.frames[0]), int(self.frames[-1]) + 1) if len(self.frames) else (0, 0)

    @property
    def has_masks(self) -> bool:
        """Whether any frame has a mask."""
        return any(mask is not None for mask in self.masks)

    @property
    def gaps(self) -> int:
        """Number of frames in its span in which it is not seen."""
        first, end = self.span
        return end - first - len(self.frames)

    def part(self, start: int, stop: int, **changes: Any) -> Track:
        """Return what is seen of it in the frames from `start` up to `stop`.

        Parameters
        ----------
        start, stop : int
            Frames of the clip, not places in `frames`.
        **changes : object
            Other fields of the new track.
        """
        own = slice(*np.searchsorted(self.frames, (start, stop)).tolist())
        return replace(
            self,
            **{
                "frames": self.frames[own],
                "boxes": self.boxes[own],
                "confidence": self.confidence[own],
                "masks": self.masks[own],
                "landmarks": None if self.landmarks is None else self.landmarks[own],
                "angles": None if self.angles is None else self.angles[own],
                **changes,
            },
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Track):
            return NotImplemented
        return (
            (self.id, self.label, self.crop_region, self.bbox, self.shot, self.shape, self.identity)
            == (other.id, other.label, other.crop_region, other.bbox, other.shot, other.shape, other.identity)
            and np.array_equal(self.frames, other.frames)
            and np.array_equal(self.boxes, other.boxes)
            and np.array_equal(self.confidence, other.confidence)
            and self.masks == other.masks
            and _same_known(self.landmarks, other.landmarks)
            and _same_known(self.angles, other.angles)
        )

    def __hash__(self) -> int:
        return hash((self.id, self.label, self.frames.tobytes()))


def _checked_shot(shot: Any, frames: NDArray[np.int64], name: str) -> tuple[int, int] | None:
    if shot is None:
        return None
    try:
        start, stop = shot
    except (TypeError, ValueError):
        raise InvalidTypeError(name, "(first frame, frame after the last)", shown(shot)) from None
    start = whole_number(name, start, minimum=0)
    stop = whole_number(name, stop, minimum=start + 1)
    if len(frames) and not (start <= frames[0] and frames[-1] < stop):
        expected = f"one that holds the frames from {frames[0]} to {frames[-1]}"
        raise InvalidArgumentError(name, expected, f"({start}, {stop})")
    return start, stop


def _frame_numbers(frames: Any, name: str) -> NDArray[np.int64]:
    values = np.array(frames)
    if values.size == 0:
        return np.empty(0, np.int64)
    if values.dtype.kind not in "iu" or values.ndim != 1:
        raise InvalidTypeError(name, "a list of whole numbers", shown(frames))
    if int(values.min()) < 0 or int(values.max()) >= MAX_FRAMES:
        raise InvalidArgumentError(name, f"numbers from 0 to {MAX_FRAMES - 1}", f"{values.min()} to {values.max()}")
    numbers = values.astype(np.int64)
    later = np.flatnonzero(np.diff(numbers) <= 0)
    if len(later):
        got = f"{numbers[later[0] + 1]} after {numbers[later[0]]}"
        raise InvalidArgumentError(name, "ascending numbers, each once", got)
    return numbers


def _numbers(values: Any, name: str) -> NDArray[np.float64]:
    try:
        array = np.array(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InvalidTypeError(name, "numbers", shown(values)) from None
    if not np.isfinite(array).all():
        raise InvalidArgumentError(name, "finite numbers", shown(array[~np.isfinite(array)].tolist()))
    return array


def _known_numbers(values: Any, shape: tuple[int, ...], name: str) -> NDArray[np.float64] | None:
    """Return numbers of which some may be NaN, not known; None where none is known."""
    if values is None:
        return None
    try:
        array = np.array(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InvalidTypeError(name, "numbers", shown(values)) from None
    if array.shape != shape:
        raise InvalidArgumentError(name, f"shape {shape}", f"shape {array.shape}")
    wrong = np.abs(array) > MAX_COORDINATE
    if wrong.any():
        raise InvalidArgumentError(name, f"numbers of at most {MAX_COORDINATE}, or NaN", shown(array[wrong].tolist()))
    return None if np.isnan(array).all() else array


def _same_known(a: NDArray[np.float64] | None, b: NDArray[np.float64] | None) -> bool:
    if a is None or b is None:
        return a is b
    return np.array_equal(a, b, equal_nan=True)


def _check_boxes(boxes: NDArray[np.float64], frames: NDArray[np.int64], name: str) -> None:
    wrong = (boxes[:, 2:] < boxes[:, :2]).any(axis=1) | (np.abs(boxes) > MAX_COORDINATE).any(axis=1)
    if wrong.any():
        index = int(wrong.argmax())
        expected = f"(x1, y1, x2, y2) with x1 <= x2, y1 <= y2 and |coordinate| <= {MAX_COORDINATE}"
        got = f"{tuple(boxes[index].tolist())}"
        raise InvalidArgumentError(f"{name}: box of frame {frames[index]}", expected, got)


@dataclass(frozen=True, slots=True)
class Tracks:
    """All tracks of a clip: what files of subjects hold, and what detectors and trackers say.

    It can be gone through as its `tracks`, and has their number as its length.

    Parameters
    ----------
    frame_size : (int, int)
        Height and width of the frames in pixels.
    frame_count : int
        Number of frames. Tracks of one frame serve for all frames of a clip.
    tracks : sequence of Track
        The tracks; no two have the same id.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        Arguments that cannot be used: a mask outside the frame, a frame after the last.
    """

    frame_size: tuple[int, int]
    frame_count: int
    tracks: tuple[Track, ...] = ()

    def __post_init__(self) -> None:
        size = check_frame_size("frame_size", self.frame_size)
        count = whole_number("frame_count", self.frame_count, minimum=0)
        if count > MAX_FRAMES:
            raise InvalidArgumentError("frame_count", f"at most {MAX_FRAMES} frames", f"{count}")
        tracks = tuple(self.tracks)
        seen: set[int] = set()
        for track in tracks:
            if not isinstance(track, Track):
                raise InvalidTypeError("tracks", "a sequence of Track", shown(track))
            if track.id in seen:
                raise InvalidArgumentError("tracks", "ids of which no two are the same", f"{track.id} twice")
            seen.add(track.id)
            _check_fit(track, size, count)
        for field, value in (("frame_size", size), ("frame_count", count), ("tracks", tracks)):
            object.__setattr__(self, field, value)

    def __iter__(self) -> Iterator[Track]:
        return iter(self.tracks)

    def __len__(self) -> int:
        return len(self.tracks)

    @property
    def numbers(self) -> tuple[int, ...]:
        """What the tracks are called, from 1 on: their ids, or where those count from 0, their places."""
        ids = tuple(track.id for track in self.tracks)
        return tuple(range(1, len(ids) + 1)) if 0 in ids else ids

    def numbered(self) -> Tracks:
        """Return the same tracks with their numbers as ids; these themselves where they have them already."""
        if self.numbers == tuple(track.id for track in self.tracks):
            return self
        tracks = (replace(track, id=number) for number, track in zip(self.numbers, self.tracks, strict=True))
        return replace(self, tracks=tuple(tracks))

    def select(
        self,
        settings: SelectSettings | None = None,
        *,
        times: Sequence[float] | None = None,
        likeness: Likeness | None = None,
        **criteria: Any,
    ) -> Tracks:
        """Return the tracks that are meant, under the numbers that they have here.

        Parameters
        ----------
        settings : SelectSettings or None
            Which are meant; all that is given must hold. None leaves that to `criteria`.
        times : sequence of float or None
            When each frame begins, in seconds from the first: `ClipInfo.starts`. For places at a second.
        likeness : Likeness or None
            What compares tracks with pictures, for `like`: a `PictureLikeness`.
        **criteria : object
            Single settings by their names, which count before those of `settings`.

        Returns
        -------
        Tracks
            Their ids are their numbers here.

        Raises
        ------
        InvalidArgumentError, InvalidTypeError
            A number, label, frame or place that there is not, or a criterion that leaves no track; the message says
            what there was to choose from.

        Examples
        --------
        >>> from segs_detailer.subjects import Track, Tracks
        >>> boxes = {"face": (10, 10, 30, 30), "hand": (50, 40, 60, 50), "foot": (80, 40, 84, 50)}
        >>> found = [Track(n, label, range(8), [box] * 8) for n, (label, box) in enumerate(boxes.items(), start=1)]
        >>> tracks = Tracks((60, 100), 8, found)
        >>> tracks.select(largest=2, exclude="labels=face").numbers
        (2, 3)
        >>> tracks.select(at="3:55,44").numbers
        (2,)
        >>> tracks.select(tracks=4)
        Traceback (most recent call last):
        segs_detailer.errors.InvalidArgumentError: tracks: expected numbers among face: 1; hand: 2; foot: 3, got 4
        """
        chosen = with_changes(settings or SelectSettings(), criteria)
        whole = self.numbered()
        steps = selected(whole.tracks, chosen, times=times, frame_count=self.frame_count, likeness=likeness)
        if not steps:
            return whole
        return replace(whole, tracks=tuple(track for track in whole if track.id in steps[-1].leaves))

    def describe(self) -> str:
        """One line, such as `1920x1080, 300 frames, 3 tracks (2 with masks)`."""
        height, width = self.frame_size
        frames = "1 frame" if self.frame_count == 1 else f"{self.frame_count} frames"
        tracks = "1 track" if len(self.tracks) == 1 else f"{len(self.tracks)} tracks"
        masked = sum(track.has_masks for track in self.tracks)
        return f"{width}x{height}, {frames}, {tracks} ({masked or 'none'} with masks)"


def _check_fit(track: Track, size: tuple[int, int], count: int) -> None:
    name = f"track {track.id}"
    end = track.span[1]
    if end > count:
        raise InvalidArgumentError(f"{name}: frames", f"numbers below {count}, the number of frames", f"{end - 1}")
    height, width = size
    for frame, mask in zip(track.frames, track.masks, strict=True):
        if mask is None:
            continue
        x1, y1, x2, y2 = mask.place
        if x1 < 0 or y1 < 0 or x2 > width or y2 > height:
            expected = f"a place in the frame of {width}x{height} pixels"
            raise InvalidArgumentError(f"{name}: mask of frame {frame}", expected, f"{mask.place}")
