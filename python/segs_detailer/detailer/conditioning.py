"""Conditioning masks, cut to a segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from segs_detailer.errors import InvalidArgumentError
from segs_detailer.ops import crop_frames, resize_masks

if TYPE_CHECKING:
    from segs_detailer.sampling.protocol import Conditioning

__all__ = ["crop_conditioning"]


def crop_conditioning(conditioning: Conditioning, region: Sequence[int], frame_size: tuple[int, int]) -> Conditioning:
    """Cut the masks of a conditioning to a region of the frames.

    Parameters
    ----------
    conditioning : Conditioning
        Entries `[embedding, {...}]`. An entry's `"mask"`, `(h, w)` or `(N, h, w)` over the whole frame, is cut; where
        its size is not the frames', it is first resized to them (bilinear). Entries of another form, and conditionings
        that are not lists (a host's placeholder), are handed through.
    region : sequence of int
        `(x1, y1, x2, y2)` in pixels of the frames. Parts outside them repeat the mask's edge.
    frame_size : tuple of int
        `(height, width)` of the frames.

    Returns
    -------
    Conditioning
        A new list; entries with a mask are new as well, the given ones are not changed.

    Raises
    ------
    InvalidArgumentError
        A mask has another rank, or no pixels.
    """
    if not isinstance(conditioning, (list, tuple)):
        return conditioning
    return [_crop_entry(entry, region, frame_size) for entry in conditioning]


def _crop_entry(entry: Any, region: Sequence[int], frame_size: tuple[int, int]) -> Any:
    if not (isinstance(entry, (list, tuple)) and len(entry) == 2 and isinstance(entry[1], Mapping)):
        return entry
    embedding, details = entry
    if details.get("mask") is None:
        return entry
    return [embedding, {**details, "mask": _crop_mask(details["mask"], region, frame_size)}]


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
    cropped: torch.Tensor = crop_frames(masks[..., None], region)
    return cropped[..., 0]
