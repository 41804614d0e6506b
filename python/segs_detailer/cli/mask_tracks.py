"""Tracks of a mask, or of a mask for each frame: read one after the other, and held as small as they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .. import _native
from ..errors import MediaError
from ..masks import masks_to_segs
from ..ops import fill_holes, resize_masks
from ..segments import from_segs
from ..segs import SEG, Box, scale_match
from ..tracks import Mask, MaskTracker, Track
from ..tracks.rescaling import rescaled_track

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ..video import ClipInfo, Source

__all__ = ["MaskOptions", "mask_tracks"]

_NOISE = 8
"""Compression leaves faint noise where a mask is black: levels below this are black too."""


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
    """

    crop_factor: float
    combined: bool
    bbox_fill: bool
    contour_fill: bool
    drop_size: int
    label: str
    follow: bool
    max_gap: int


def mask_tracks(source: Source, info: ClipInfo, options: MaskOptions) -> list[Track]:
    """Make a track of each object in the masks.

    Masks are read twice, and never all of them held.

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
        Another number of masks than of frames.
    """
    union = np.zeros(source.info.size, np.uint8)
    count = 0
    for levels in _levels(source):
        np.maximum(union, levels, out=union)
        count += 1
    if count not in (1, info.frames):
        raise MediaError(
            f"{source.info.path}: holds {count} masks for {info.frames} frames: give one mask, or one for each frame"
        )
    if count == 1:
        return _of_one(union, info, options)
    if options.follow:
        return _followed(source, info, options)
    # The outlines with what lies in them.
    outlines = masks_to_segs(
        union,
        combined=options.combined,
        crop_factor=1.0,
        contour_fill=True,
        drop_size=options.drop_size,
        label=options.label,
    )[1]
    found = [_Object(number, seg, source.info.size, info.size) for number, seg in enumerate(outlines, start=1)]
    for number, levels in enumerate(_levels(source)):
        for item in found:
            item.add(number, levels, options)
    return [item.track(options) for item in found]


def _levels(source: Source) -> Iterator[NDArray[np.uint8]]:
    """Masks `(h, w)`: the mean of the colours."""
    exact = source.info.kind != "video" or source.info.codec == "ffv1"
    pixels = np.empty((*source.info.size, 3), np.float32)
    for picture in source.pictures():
        picture.copy_to(pixels)
        levels = (pixels.mean(axis=2) * 255 + 0.5).astype(np.uint8)
        if not exact:
            levels[levels < _NOISE] = 0
        yield levels


def _of_one(mask: NDArray[np.uint8], info: ClipInfo, options: MaskOptions) -> list[Track]:
    segs = masks_to_segs(
        mask,
        combined=options.combined,
        crop_factor=options.crop_factor,
        bbox_fill=options.bbox_fill,
        contour_fill=options.contour_fill,
        drop_size=options.drop_size,
        label=options.label,
    )
    matched = scale_match(segs, (info.frames, *info.size, 3))
    return list(from_segs(matched, frame_count=info.frames).tracks)


def _followed(source: Source, info: ClipInfo, options: MaskOptions) -> list[Track]:
    tracker = MaskTracker(
        combined=options.combined,
        label=options.label,
        # What is one subject is not dropped, as in Impact Pack.
        drop_size=0 if options.combined else options.drop_size,
        max_gap=options.max_gap,
    )
    for levels in _levels(source):
        tracker.add(levels)
    tracks = [rescaled_track(_filled(track, options), source.info.size, info.size) for track in tracker.finish()]
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
