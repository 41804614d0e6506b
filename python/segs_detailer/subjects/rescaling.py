"""Tracks for frames of another size."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from segs_detailer import _native
from segs_detailer.crop_path import CropPath
from segs_detailer.ops import resize_masks
from segs_detailer.subjects.mask import Mask

if TYPE_CHECKING:
    from segs_detailer.segs import Box
    from segs_detailer.subjects.track import Track

__all__ = ["rescaled_track"]


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
    region = track.crop_region
    return replace(
        track,
        boxes=track.boxes * factors,
        masks=tuple(masks),
        crop_region=region.scaled(size, new_size)
        if isinstance(region, CropPath)
        else _rescaled_box(region, size, new_size),
        bbox=_rescaled_box(track.bbox, size, new_size),
    )


def _rescaled_box(box: Box | None, size: tuple[int, int], new_size: tuple[int, int]) -> Box | None:
    if box is None:
        return None
    whole = np.array([box], np.int64)
    out = np.empty_like(whole)
    _native.rescale_regions(whole, size, new_size, out)
    x1, y1, x2, y2 = out[0].tolist()
    return x1, y1, x2, y2


def _rescaled_mask(mask: Mask, size: tuple[int, int], new_size: tuple[int, int]) -> Mask:
    place = _rescaled_box(mask.place, size, new_size)
    if mask.empty or place is None:
        return mask
    x1, y1, x2, y2 = place
    pixels = mask.pixels().astype(np.float32) / np.float32(255)
    return Mask.from_pixels(resize_masks(pixels, (max(y2 - y1, 1), max(x2 - x1, 1))), (x1, y1))
