"""Tracks of a mask, or of a mask for each frame: read one after the other, and held as small as they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer import _native
from segs_detailer.errors import MediaError
from segs_detailer.mask_levels import MaskLevels
from segs_detailer.ops import fill_holes, resize_masks
from segs_detailer.segs import SEG, Box, scale_match
from segs_detailer.subjects.formats.mask_files import MaskFile
from segs_detailer.subjects.from_masks import MaskTracker
from segs_detailer.subjects.mask import Mask
from segs_detailer.subjects.masks import find_objects
from segs_detailer.subjects.rescaling import rescaled_track
from segs_detailer.subjects.track import Track
from segs_detailer.subjects.tuples import from_segs

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from segs_detailer.video import ClipInfo, Source

__all__ = ["MaskOptions", "check_count", "mask_tracks"]

_MOST_ID = 65535
_LEVELS = MaskLevels()
"""Of what `MaskFile` reads: levels already."""


_MOST_TIMES, _MOST_PIXELS = 16, 1 << 25
"""Masks that are no larger than a frame of 8K are read whatever the clip's size is."""


@dataclass(frozen=True, slots=True)
class MaskOptions:
    """How objects are found in masks.

    Parameters
    ----------
    crop_factor, combined, bbox_fill, contour_fill, drop_size, label
        As in `masks_to_segs`.
    follow : bool
        Follow objects from frame to frame; else an object is what lies within one outline of all frames together.
    max_gap : int
        Frames for which an object that is followed may be away.
    labels : bool
        Values are numbers of subjects: each is one, wherever it is.
    """

    crop_factor: float
    combined: bool
    bbox_fill: bool
    contour_fill: bool
    drop_size: int
    label: str
    follow: bool
    max_gap: int
    labels: bool = False


def mask_tracks(source: Source, info: ClipInfo, options: MaskOptions) -> list[Track]:
    """Make a track of each object in the masks.

    Masks are read twice, or three times for outlines of all frames together, and never all of them held.

    Parameters
    ----------
    source : Source
        One mask, or one for each frame; of another size than the frames they are scaled.
    info : ClipInfo
        The clip.
    options : MaskOptions
        What counts as an object.

    Returns
    -------
    list of Track
        Of a single mask, tracks in all frames, with the crop region that `masks_to_segs` gives.

    Raises
    ------
    MediaError
        Another number of masks than of frames; labels in a format that does not keep them.
    """
    _check_size(source, info)
    masks = MaskFile.of_source(source)
    check_count(source.info.path, masks.frames, info.frames)
    if options.labels:
        return _numbered(masks, info, options)
    masks.warn("give --mask-labels")
    if masks.frames == 1:
        return _of_one(_bytes(next(masks.levels())), _LEVELS, info, options)
    if options.follow:
        return _followed(masks, info, options)
    union = np.zeros(masks.size, np.uint8)
    for levels in masks.levels():
        np.maximum(union, _bytes(levels), out=union)
    # The outlines with what lies in them.
    outlines = find_objects(
        union[None],
        _LEVELS,
        combined=options.combined,
        crop_factor=1.0,
        bbox_fill=False,
        contour_fill=True,
        drop_size=options.drop_size,
        label=options.label,
    )[1]
    found = [_Object(number, seg, masks.size, info.size) for number, seg in enumerate(outlines, start=1)]
    for number, levels in enumerate(map(_bytes, masks.levels())):
        for item in found:
            item.add(number, levels, options)
    return [item.track(options) for item in found]


def check_count(path: Path | str, count: int, frames: int) -> None:
    """Refuse masks of another number than the frames.

    Raises
    ------
    MediaError
        There is neither one mask nor one for each frame.
    """
    if count not in (1, frames):
        raise MediaError(f"{path}: holds {count} masks for {frames} frames: give one mask, or one for each frame")


def _bytes(levels: NDArray[np.uint8] | NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return levels as bytes, of which 255 is all."""
    return levels.view(np.uint8) * np.uint8(255) if levels.dtype == np.bool_ else levels.view(np.uint8)


def _numbered(masks: MaskFile, info: ClipInfo, options: MaskOptions) -> list[Track]:
    """Make a track of each number of a subject."""
    if masks.frames == 1:
        return _of_one(next(masks.numbers()), None, info, options)
    tracker = MaskTracker(labels=True, label=options.label, drop_size=options.drop_size)
    tracks = sorted(_tracked(tracker, masks.numbers(), masks.size, info, options), key=lambda track: track.id)
    if tracks and tracks[-1].id > _MOST_ID:
        # Colors, which are no numbers that anyone would type.
        tracks = [replace(track, id=number) for number, track in enumerate(tracks, start=1)]
    return tracks


def _check_size(source: Source, info: ClipInfo) -> None:
    """Refuse masks that are out of all proportion to the frames, before they are unpacked."""
    (height, width), (rows, columns) = source.info.size, info.size
    if height * width > max(_MOST_PIXELS, _MOST_TIMES * rows * columns):
        raise MediaError(
            f"{source.info.path}: expected masks of at most {_MOST_TIMES} times the pixels of the frames, which are "
            f"{columns}x{rows}, got {width}x{height}"
        )


def _of_one(mask: NDArray[Any], levels: MaskLevels | None, info: ClipInfo, options: MaskOptions) -> list[Track]:
    segs = find_objects(
        mask[None],
        levels,
        combined=options.combined,
        crop_factor=options.crop_factor,
        bbox_fill=options.bbox_fill,
        contour_fill=options.contour_fill,
        drop_size=options.drop_size,
        label=options.label,
    )
    matched = scale_match(segs, (info.frames, *info.size, 3))
    return list(from_segs(matched, frame_count=info.frames).tracks)


def _followed(masks: MaskFile, info: ClipInfo, options: MaskOptions) -> list[Track]:
    tracker = MaskTracker(
        combined=options.combined,
        label=options.label,
        # What is one subject is not dropped, as in Impact Pack.
        drop_size=0 if options.combined else options.drop_size,
        max_gap=options.max_gap,
        levels=_LEVELS,
    )
    return _tracked(tracker, masks.levels(), masks.size, info, options)


def _tracked(
    tracker: MaskTracker, masks: Iterable[NDArray[Any]], size: tuple[int, int], info: ClipInfo, options: MaskOptions
) -> list[Track]:
    for mask in masks:
        tracker.add(mask)
    tracks = [rescaled_track(_filled(track, options), size, info.size) for track in tracker.finish()]
    # The clip's cuts are not known here: nothing says that a track was looked for beyond its masks.
    return [replace(track, shot=None) for track in tracks]


def _filled(track: Track, options: MaskOptions) -> Track:
    if not (options.bbox_fill or options.contour_fill):
        return track
    masks = (None if mask is None else _filled_mask(mask, whole_box=options.bbox_fill) for mask in track.masks)
    return replace(track, masks=tuple(masks))


def _filled_mask(mask: Mask, *, whole_box: bool) -> Mask:
    if whole_box or mask.empty:
        return Mask.filled(mask.place)
    return Mask.from_pixels(fill_holes((mask.pixels() > 0).astype(np.uint8)) > 0, mask.place[:2])


class _Object:
    """One object, and its mask in each frame so far."""

    def __init__(self, number: int, seg: SEG, size: tuple[int, int], new_size: tuple[int, int]) -> None:
        self._number = number
        self._box = seg.bbox
        self._inside = np.asarray(seg.cropped_mask) > 0
        self._place = _rescaled(seg.bbox, size, new_size)
        self._frames: list[int] = []
        self._masks: list[Mask] = []

    def add(self, frame: int, levels: NDArray[np.uint8], options: MaskOptions) -> None:
        """Take the object's own part of a frame's mask."""
        x1, y1, x2, y2 = self._box
        own = np.where(self._inside, levels[y1:y2, x1:x2], np.uint8(0))
        if options.bbox_fill:
            own = np.full_like(own, 255)
        elif options.contour_fill:
            own = fill_holes((own > 0).astype(np.uint8)) * np.uint8(255)
        left, top, right, bottom = self._place
        pixels: NDArray[np.uint8] | NDArray[np.float32] = own
        if (bottom - top, right - left) != own.shape:
            pixels = resize_masks(own.astype(np.float32) / np.float32(255), (bottom - top, right - left))
        mask = Mask.from_pixels(pixels, (left, top))
        if not mask.empty:
            self._frames.append(frame)
            self._masks.append(mask)

    def track(self, options: MaskOptions) -> Track:
        """Return the object with all its masks."""
        boxes = [mask.place for mask in self._masks]
        return Track(self._number, options.label, self._frames, boxes, 1.0, self._masks)


def _rescaled(box: Box, size: tuple[int, int], new_size: tuple[int, int]) -> Box:
    whole = np.array([box], np.int64)
    out = np.empty_like(whole)
    _native.rescale_regions(whole, size, new_size, out)
    x1, y1, x2, y2 = out[0].tolist()
    return x1, y1, x2, y2
