"""Frames as segmenting models see them, and their masks back in pixels of the frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from segs_detailer.subjects.mask import Mask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["mask_of_logits", "normalized", "reduced"]


def reduced(frame: NDArray[np.float32], side: int) -> torch.Tensor:
    """Scale a frame to a square, as bytes.

    Parameters
    ----------
    frame : ndarray
        `(H, W, 3)` float32 in [0, 1].
    side : int
        Side of the square in pixels; proportions are not kept.

    Returns
    -------
    Tensor
        `(3, side, side)` uint8, bilinear with antialiasing.
    """
    levels = np.rint(frame.clip(0, 1) * 255).astype(np.uint8)
    pixels = torch.from_numpy(levels).permute(2, 0, 1)[None].contiguous()
    # In bytes, as the library's processors do it.
    return functional.interpolate(pixels, (side, side), mode="bilinear", antialias=True, align_corners=False)[0]


def normalized(
    picture: torch.Tensor, mean: Sequence[float], std: Sequence[float], device: torch.device, dtype: torch.dtype
) -> torch.Tensor:
    """Give bytes `(3, S, S)` the range that a model was trained with, per channel."""
    levels = picture.to(device).float() / 255
    middle, spread = (levels.new_tensor(values)[:, None, None] for values in (mean, std))
    return ((levels - middle) / spread).to(dtype)


def mask_of_logits(logits: torch.Tensor, size: tuple[int, int]) -> Mask:
    """Scale logits `(h, w)` bilinearly to a frame `(H, W)`: what is above 0 is the mask."""
    if not bool((logits > 0).any()):
        return Mask.from_pixels(np.zeros((0, 0), bool))
    large = functional.interpolate(logits.float()[None, None], size, mode="bilinear", align_corners=False)
    return Mask.from_pixels((large[0, 0] > 0).cpu().numpy())
