"""Tracks of masks: the one place where the masks of a clip become subjects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer._interop import is_tensor
from segs_detailer.checks import shown, whole_number
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.mask_levels import MaskLevels, warn_about_masks
from segs_detailer.ops.masks import resize_masks
from segs_detailer.ops.morphology import fill_holes
from segs_detailer.segs import scale_match
from segs_detailer.subjects.fitting import rescaled_box, rescaled_track
from segs_detailer.subjects.from_segs import tracks_from_segs
from segs_detailer.subjects.mask import Mask
from segs_detailer.subjects.mask_tracker import MaskTracker
from segs_detailer.subjects.masks import MaskObject, mask_stack, masks_to_segs, outlined_objects, survey_masks
from segs_detailer.subjects.track import Track

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from segs_detailer._interop import Array

__all__ = ["MaskSettings", "MaskStream", "tracks_from_masks"]


@dataclass(frozen=True, slots=True)
class MaskSettings:
    """What in masks is a subject.

    Parameters
    ----------
    combined : bool
        All that a frame's mask shows is one subject; `drop_size` does not apply then, as in Impact Pack.
    label : str
        What the subjects are.
    drop_size : int
        Subjects with a side of at most this many pixels, where they are largest, are dropped.
    max_gap : int
        A subject that is followed goes on after at most this many frames in which it is not seen; a combined one
        always.
    labels : bool
        The masks' values are numbers of subjects, 0 for none: what has one number is one subject of each shot, however
        it moves, and `max_gap` does not count. Its track has the number as its id where there is one shot.
    follow : bool
        Follow connected regions from frame to frame. False: a subject is what lies within one closed outline of all
        frames together.
    bbox_fill : bool
        The mask is all of the subject's box in its frame; without `follow`, all of its box in every frame.
    contour_fill : bool
        The mask is all that lies within the outline of the frame's own subject.
    crop_factor : float
        Size of the crop region of a single mask that serves for all frames, in sizes of the subject's box; the crops
        of other tracks are laid later.
    """

    combined: bool = False
    label: str = "mask"
    drop_size: int = 10
    max_gap: int = 12
    labels: bool = False
    follow: bool = True
    bbox_fill: bool = False
    contour_fill: bool = False
    crop_factor: float = 3.0

    @property
    def least_size(self) -> int:
        """The `drop_size` that applies."""
        least = whole_number("drop_size", self.drop_size, minimum=0)
        return 0 if self.combined else least


@dataclass(frozen=True, slots=True)
class MaskStream:
    """Masks that can be read several times, one after the other, and need never be held together.

    Parameters
    ----------
    read : callable
        Gives the masks `(h, w)` from the first.
    count : int
        Their number.
    size : (int, int)
        Their height and width.
    levels : MaskLevels or None
        What their values mean; None for numbers of subjects.
    """

    read: Callable[[], Iterator[NDArray[Any]]]
    count: int
    size: tuple[int, int]
    levels: MaskLevels | None


def tracks_from_masks(
    masks: MaskStream | Array | Iterable[NDArray[Any]],
    settings: MaskSettings | None = None,
    *,
    shots: Sequence[int] | None = (0,),
    levels: MaskLevels | None = None,
    frame_size: tuple[int, int] | None = None,
    frame_count: int | None = None,
    **changes: Any,
) -> list[Track]:
    """Make tracks of the masks of a clip.

    Parameters
    ----------
    masks : MaskStream, ndarray, Tensor or iterable of ndarray
        `(H, W)` of each frame, as for `MaskTracker`. A stack or a list is looked at before, so that black of 16 and
        white of 235, which is limited range, are taken as such; other iterables are looked at once, in order. A
        `MaskStream` is read twice without `follow`, else once.
    settings : MaskSettings or None
        What is a subject.
    shots : sequence of int or None
        First frame of each shot; tracks that are followed end there. None: the cuts are not known, and tracks have no
        `shot`.
    levels : MaskLevels or None
        What the values mean, where that is known.
    frame_size : (int, int) or None
        Height and width of the clip's frames, to which tracks are scaled; None is that of the masks.
    frame_count : int or None
        Frames of the clip. A single mask then serves for all of them: its tracks have the crop region that
        `masks_to_segs` gives. None is as many as there are masks.
    **changes
        Fields of `MaskSettings` by their names.

    Returns
    -------
    list of Track
        In the order of their first frames (without `follow`, of their first pixels); ids count from 1, or are the
        numbers of `labels`.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        A mask or a value that cannot be used; another number of masks than of frames.

    Warns
    -----
    UserWarning
        Once, where the masks are strange: see `masks_to_segs`.

    Examples
    --------
    >>> import numpy as np
    >>> from segs_detailer.subjects import tracks_from_masks
    >>> masks = np.zeros((8, 60, 100), bool)
    >>> for frame, mask in enumerate(masks):
    ...     mask[20:40, 10 + 5 * frame : 30 + 5 * frame] = True
    >>> [track] = tracks_from_masks(masks, label="hand")
    >>> track.label, track.span, track.boxes[0].tolist()
    ('hand', (0, 8), [10.0, 20.0, 30.0, 40.0])
    """
    settings = replace(settings or MaskSettings(), **changes)
    # Refused where it is said, also of masks that nothing is dropped of.
    least = settings.least_size
    if isinstance(masks, MaskStream):
        stream = masks
    elif is_tensor(masks) or isinstance(masks, (np.ndarray, Sequence)):
        stream = _held(masks, settings, levels)
    elif settings.follow and frame_count is None:
        return _followed(iter(masks), levels, settings, shots, frame_size)
    else:
        raise InvalidTypeError("masks", "a stack or a list, which can be read again", type(masks).__name__)
    if frame_count is not None and stream.count not in (1, frame_count):
        raise InvalidArgumentError("masks", f"one mask, or one for each of {frame_count} frames", f"{stream.count}")
    if frame_count is not None and stream.count == 1:
        return _of_one(stream, settings, frame_size or stream.size, frame_count)
    if settings.follow or settings.labels:
        return _followed(stream.read(), stream.levels, settings, shots, frame_size)
    if shots is not None and tuple(shots) != (0,):
        raise InvalidArgumentError("shots", "none, as outlines of all frames together know no cuts", shown(shots))
    return _outlined(stream, settings, least, frame_size or stream.size)


def _held(masks: Any, settings: MaskSettings, levels: MaskLevels | None) -> MaskStream:
    """Look at masks that are in memory, and tell what their values mean."""
    stack = mask_stack(masks) if is_tensor(masks) else masks
    if settings.labels:
        levels = None
    elif levels is None:
        survey = survey_masks(stack)
        levels = survey.levels
        warn_about_masks(survey, "masks")
    size = stack[0].shape if len(stack) else (0, 0)
    return MaskStream(lambda: iter(stack), len(stack), size[:2], levels)


def _of_one(stream: MaskStream, settings: MaskSettings, frame_size: tuple[int, int], frame_count: int) -> list[Track]:
    """Let the objects of a single mask stand in all frames."""
    segs = masks_to_segs(
        next(stream.read()),
        combined=settings.combined,
        crop_factor=settings.crop_factor,
        bbox_fill=settings.bbox_fill,
        drop_size=settings.drop_size,
        contour_fill=settings.contour_fill,
        label=settings.label,
        labels=settings.labels,
        levels=stream.levels,
    )
    matched = scale_match(segs, (frame_count, *frame_size, 3))
    return list(tracks_from_segs(matched, frame_count=frame_count).tracks)


def _followed(
    masks: Iterator[NDArray[Any]],
    levels: MaskLevels | None,
    settings: MaskSettings,
    shots: Sequence[int] | None,
    frame_size: tuple[int, int] | None,
) -> list[Track]:
    """Follow subjects from frame to frame."""
    tracker = MaskTracker(
        combined=settings.combined,
        label=settings.label,
        drop_size=settings.least_size,
        max_gap=settings.max_gap,
        labels=settings.labels,
        levels=levels,
    )
    begins = set(shots or ()) - {0}
    for frame, mask in enumerate(masks):
        tracker.add(mask, begins_shot=frame in begins)
    tracks = [_filled(track, settings) for track in tracker.finish()]
    if frame_size is not None and tracker.size is not None:
        tracks = [rescaled_track(track, tracker.size, frame_size) for track in tracks]
    return tracks if shots is not None else [replace(track, shot=None) for track in tracks]


def _filled(track: Track, settings: MaskSettings) -> Track:
    if not (settings.bbox_fill or settings.contour_fill):
        return track
    masks = (None if mask is None else _filled_mask(mask, whole_box=settings.bbox_fill) for mask in track.masks)
    return replace(track, masks=tuple(masks))


def _filled_mask(mask: Mask, *, whole_box: bool) -> Mask:
    if whole_box or mask.empty:
        return Mask.filled(mask.place)
    return Mask.from_pixels(fill_holes((mask.pixels() > 0).astype(np.uint8)) > 0, mask.place[:2])


def _outlined(stream: MaskStream, settings: MaskSettings, least: int, frame_size: tuple[int, int]) -> list[Track]:
    """Make a track of what lies within each outline of all frames together."""
    levels = stream.levels or MaskLevels()
    union = np.zeros(stream.size, np.uint8)
    for mask in stream.read():
        union |= levels.levels(mask) > 0
    objects = outlined_objects(union, combined=settings.combined, minimum=least)
    found = [_Outlined(item, stream.size, frame_size) for item in objects]
    for frame, mask in enumerate(stream.read()):
        shown_levels = levels.levels(mask)
        for item in found:
            item.add(frame, shown_levels, settings)
    return [item.track(number, settings.label) for number, item in enumerate(found, start=1)]


class _Outlined:
    """What lies within one outline, and its mask in each frame so far."""

    def __init__(self, found: MaskObject, size: tuple[int, int], frame_size: tuple[int, int]) -> None:
        self._box = found.bbox
        self._inside = np.asarray(found.inside)
        self._place = rescaled_box(found.bbox, size, frame_size)
        self._frames: list[int] = []
        self._masks: list[Mask] = []

    def add(self, frame: int, levels: NDArray[np.uint8] | NDArray[np.bool_], settings: MaskSettings) -> None:
        """Take the object's own part of a frame's mask."""
        x1, y1, x2, y2 = self._box
        part = levels[y1:y2, x1:x2]
        whole = part.view(np.uint8) * np.uint8(255) if part.dtype == np.bool_ else part.view(np.uint8)
        own = np.where(self._inside, whole, np.uint8(0))
        if settings.bbox_fill:
            own = np.full_like(own, 255)
        elif settings.contour_fill:
            own = fill_holes((own > 0).astype(np.uint8)) * np.uint8(255)
        left, top, right, bottom = self._place
        pixels: NDArray[np.uint8] | NDArray[np.float32] = own
        if (bottom - top, right - left) != own.shape:
            pixels = resize_masks(own.astype(np.float32) / np.float32(255), (bottom - top, right - left))
        mask = Mask.from_pixels(pixels, (left, top))
        if not mask.empty:
            self._frames.append(frame)
            self._masks.append(mask)

    def track(self, number: int, label: str) -> Track:
        """Return the object with all its masks."""
        boxes = [mask.place for mask in self._masks]
        return Track(number, label, self._frames, boxes, 1.0, self._masks)
