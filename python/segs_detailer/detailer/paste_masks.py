"""Masks that crops are pasted with: grown and softened, in NumPy or torch as the frames are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segs_detailer.ops.masks import feather_mask
from segs_detailer.ops.morphology import dilate, erode
from segs_detailer.segs import mask_frames

if TYPE_CHECKING:
    from segs_detailer._interop import ArrayT
    from segs_detailer.segs import SEG

__all__ = ["grown_masks", "paste_mask"]


def paste_mask(seg: SEG, frames: ArrayT, feather: int, grow: int = 0) -> ArrayT:
    """Make the mask that a segment is pasted with.

    Parameters
    ----------
    seg : SEG
        The segment.
    frames : ndarray or Tensor
        The frames, for their kind, number and device.
    feather : int
        Blur in pixels.
    grow : int
        Pixels by which the mask's edges are moved outwards before, or inwards where it is negative.

    Returns
    -------
    ndarray or Tensor
        `(1 or B, h, w)` float32 in [0, 1].
    """
    x1, y1, x2, y2 = seg.crop_region
    masks: ArrayT = mask_frames(seg.cropped_mask, (y2 - y1, x2 - x1), frames.shape[0], like=frames)
    if seg.cropped_mask is not None:
        masks = grown_masks(masks, grow)
        masks = feather_mask(masks, feather) if feather else masks
    return masks


def grown_masks(masks: ArrayT, grow: int) -> ArrayT:
    """Move the edges of masks.

    Parameters
    ----------
    masks : ndarray or Tensor
        `(N, h, w)` float32.
    grow : int
        Pixels outwards, along rows and columns and so to the corners of squares; negative ones go inwards. The crop's
        own border stays.

    Returns
    -------
    ndarray or Tensor
        New masks; `masks` itself for 0.
    """
    if grow == 0:
        return masks
    moved: ArrayT = (dilate if grow > 0 else erode)(masks, 2 * abs(grow) + 1)
    return moved
