"""Conditioning masks, cut to a segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from segs_detailer.crop_path import CropPath
from segs_detailer.detailer.crops import cut_stack
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.ops.masks import resize_masks

if TYPE_CHECKING:
    from segs_detailer.models.interface import Conditioning

__all__ = ["crop_conditioning"]


def crop_conditioning(
    conditioning: Conditioning,
    region: Sequence[int],
    frame_size: tuple[int, int],
    order: Sequence[int] | None = None,
) -> Conditioning:
    """Cut the masks of a conditioning to a region of the frames.

    Parameters
    ----------
    conditioning : Conditioning
        Entries `[embedding, {...}]`. An entry's `"mask"`, `(h, w)` or `(N, h, w)` over the whole frame, is cut; where
        its size is not the frames', it is first resized to them (bilinear). Entries of another form, and conditionings
        that are not lists (a host's placeholder), are handed through.
    region : sequence of int, or CropPath
        `(x1, y1, x2, y2)` in pixels of the frames, or a path: then one mask of all frames becomes one for each. Parts
        outside the frames repeat the mask's edge.
    frame_size : tuple of int
        `(height, width)` of the frames.
    order : sequence of int or None
        Frames that the model gets, by their number, where some were added to suit it; masks for each frame are given
        in this order.

    Returns
    -------
    Conditioning
        A new list; entries with a mask are new as well, the given ones are not changed.

    Raises
    ------
    InvalidArgumentError
        A mask has another rank, or no pixels; masks whose number does not fit a path.
    """
    if not isinstance(conditioning, (list, tuple)):
        return conditioning
    return [_crop_entry(entry, region, frame_size, order) for entry in conditioning]


def _crop_entry(entry: Any, region: Sequence[int], frame_size: tuple[int, int], order: Sequence[int] | None) -> Any:
    if not (isinstance(entry, (list, tuple)) and len(entry) == 2 and isinstance(entry[1], Mapping)):
        return entry
    embedding, details = entry
    if details.get("mask") is None:
        return entry
    masks = _crop_mask(details["mask"], region, frame_size)
    if order is not None and len(masks) > 1 and len(masks) == max(order) + 1 < len(order):
        masks = masks[list(order)]
    return [embedding, {**details, "mask": masks}]


def _crop_mask(mask: Any, region: Sequence[int], frame_size: tuple[int, int]) -> torch.Tensor:
    masks = torch.as_tensor(mask).detach().to(torch.float32)
    if masks.ndim == 2:
        masks = masks[None]
    if masks.ndim != 3 or masks.numel() == 0:
        expected = "a mask of shape (h, w) or (N, h, w)"
        raise InvalidArgumentError("conditioning['mask']", expected, str(tuple(masks.shape)))
    masks = masks.contiguous()
    if tuple(masks.shape[1:]) != frame_size:
        masks = resize_masks(masks, frame_size)
    if isinstance(region, CropPath) and len(masks) not in (1, region.frames):
        expected = f"1 or {region.frames} masks, for a crop region that moves"
        raise InvalidArgumentError("conditioning['mask']", expected, f"{len(masks)}")
    return cut_stack(masks[..., None], region)[..., 0]
