"""Tracks from elsewhere, fitted to a clip: to the size of its frames, to its length, to its cuts."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from segs_detailer import _native
from segs_detailer.crop_path import CropPath
from segs_detailer.ops.masks import resize_masks
from segs_detailer.ops.turns import stretched_angles
from segs_detailer.subjects.mask import Mask

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from segs_detailer.segs import Box
    from segs_detailer.subjects.track import Track

__all__ = ["rescaled_box", "rescaled_track", "split_at_cuts", "still_track"]


def rescaled_track(track: Track, size: tuple[int, int], new_size: tuple[int, int]) -> Track:
    """Fit a track to frames of another size.

    Parameters
    ----------
    track : Track
        The track.
    size, new_size : (int, int)
        Height and width of the frames that it is of, and of those that it is for.

    Returns
    -------
    Track
        Boxes are scaled as they are; regions and the places of masks are truncated to whole pixels, as `scale_match`
        does it, and masks are resized bilinearly to their new places. The track itself where the sizes are the same.
    """
    if size == new_size:
        return track
    factors = np.array([new_size[1] / size[1], new_size[0] / size[0]] * 2)
    masks = [None if mask is None else _rescaled_mask(mask, size, new_size) for mask in track.masks]
    return replace(
        track,
        boxes=track.boxes * factors,
        landmarks=None if track.landmarks is None else track.landmarks * factors[:2],
        angles=None if track.angles is None else stretched_angles(track.angles, factors[0], factors[1]),
        masks=tuple(masks),
        crop_region=_rescaled_region(track.crop_region, size, new_size),
        bbox=None if track.bbox is None else rescaled_box(track.bbox, size, new_size),
    )


def _rescaled_region(region: Box | None, size: tuple[int, int], new_size: tuple[int, int]) -> Box | None:
    if isinstance(region, CropPath):
        return region.scaled(size, new_size)
    return None if region is None else rescaled_box(region, size, new_size)


def rescaled_box(box: Box, size: tuple[int, int], new_size: tuple[int, int]) -> Box:
    """Scale whole pixels to frames of another size; they are truncated, as `scale_match` does it."""
    whole = np.array([box], np.int64)
    out = np.empty_like(whole)
    _native.rescale_regions(whole, size, new_size, out)
    x1, y1, x2, y2 = out[0].tolist()
    return x1, y1, x2, y2


def _rescaled_mask(mask: Mask, size: tuple[int, int], new_size: tuple[int, int]) -> Mask:
    if mask.empty:
        return mask
    x1, y1, x2, y2 = rescaled_box(mask.place, size, new_size)
    pixels = mask.pixels().astype(np.float32) / np.float32(255)
    return Mask.from_pixels(resize_masks(pixels, (max(y2 - y1, 1), max(x2 - x1, 1))), (x1, y1))


def still_track(track: Track, frame_count: int) -> Track:
    """Let what is in a single frame stand in all frames of a clip.

    Parameters
    ----------
    track : Track
        In at least one frame, of which the first counts.
    frame_count : int
        Frames of the clip.
    """
    return replace(
        track,
        frames=np.arange(frame_count),
        boxes=np.tile(track.boxes[0], (frame_count, 1)),
        confidence=np.full(frame_count, track.confidence[0]),
        masks=(track.masks[0],) * frame_count,
        landmarks=None if track.landmarks is None else np.tile(track.landmarks[0], (frame_count, 1, 1)),
        angles=None if track.angles is None else np.full(frame_count, track.angles[0]),
        shot=None,
    )


def split_at_cuts(tracks: Iterable[Track], shots: Sequence[int], frame_count: int) -> list[Track]:
    """End tracks at cuts: of one that goes on across a cut, each shot gets a track of its own.

    Files and trackers know objects, not shots; a crop that moved smoothly from where a subject was before a cut to
    where it is after it would be right in neither shot.

    Parameters
    ----------
    tracks : iterable of Track
        Subjects; their ids are unique. One that was made from a SEG keeps its crop region in all its parts, but for one
        that moves, which is not split.
    shots : sequence of int
        First frame of each shot, ascending; `ShotDetector` finds them.
    frame_count : int
        Frames of the clip.

    Returns
    -------
    list of Track
        Each with its `shot`. The first part of a track keeps its id, others have ids that no track had. Parts of one
        track follow each other.
    """
    tracks = list(tracks)
    bounds = sorted({0, frame_count, *(shot for shot in shots if 0 < shot < frame_count)})
    free = max((track.id for track in tracks), default=0) + 1
    found = []
    for track in tracks:
        if track.shot is not None or len(track.frames) == 0 or isinstance(track.crop_region, CropPath):
            found.append(track)
            continue
        number = track.id
        for start, stop in pairwise(bounds):
            part = track.part(start, stop, id=number, shot=(start, stop))
            if len(part.frames) == 0:
                continue
            found.append(part)
            if number == free:
                free += 1
            number = free
    return found
