"""Pasting crops back: one copy of the frames for a whole run, then in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from segs_detailer._interop import convert
from segs_detailer.detailer.crops import brought_stack, check_frames, is_inside, prepare_segs, to_dtype
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.ops import crop_frames, feather_mask, paste, paste_
from segs_detailer.segs import mask_frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from segs_detailer.segs import SEG, SEGS

__all__ = ["Canvas", "paste_mask", "paste_segs"]


class Canvas:
    """Frames that are copied when the first crop is pasted, and changed in place from then on.

    Parameters
    ----------
    frames : Tensor
        `(B, H, W, C)`, C 3 or 4. Never changed, unless owned.
    owned : bool
        Whether `frames` may be written to.
    """

    def __init__(self, frames: Tensor, *, owned: bool = False) -> None:
        self._frames = frames
        self._owned = owned

    @property
    def frames(self) -> Tensor:
        """The frames as they are now. Later pastes may change them."""
        return self._frames

    def replace(self, frames: Tensor) -> None:
        """Go on with the frames that a hook returned; another tensor than ours is not written to.

        Parameters
        ----------
        frames : Tensor
            Of the same shape, dtype and device.
        """
        same = frames.data_ptr() == self._frames.data_ptr() and frames.stride() == self._frames.stride()
        self._owned = self._owned and same
        self._frames = frames

    def paste(self, crops: Tensor, mask: Tensor, region: Sequence[int], alpha: float = 1.0) -> None:
        """Blend crops into the frames; what lies outside them is clipped. Some pixel must lie inside.

        RGBA crops are laid *over* the frames by their alpha. RGB crops change the colours of RGBA frames and leave
        their alpha as it is.

        Parameters
        ----------
        crops : Tensor
            `(1 or B, h, w, 3 or 4)` float32 in [0, 1].
        mask : Tensor
            `(1 or B, h, w)` float32 in [0, 1].
        region : sequence of int
            `(x1, y1, x2, y2)`, of the crops' size.
        alpha : float
            Factor of the mask in [0, 1].
        """
        crops = to_dtype(crops, self._frames.dtype)
        if self._owned:
            paste_(self._frames, crops, mask, region, alpha=alpha)
        else:
            self._frames = paste(self._frames, crops, mask, region, alpha=alpha)
            self._owned = True


def paste_mask(seg: SEG, frames: Tensor, feather: int) -> Tensor:
    """Make the mask that a segment is pasted with.

    Parameters
    ----------
    seg : SEG
        The segment.
    frames : Tensor
        The frames, for their number and device.
    feather : int
        Blur in pixels.

    Returns
    -------
    Tensor
        `(1 or B, h, w)` float32 in [0, 1].
    """
    x1, y1, x2, y2 = seg.crop_region
    masks: Tensor = mask_frames(seg.cropped_mask, (y2 - y1, x2 - x1), frames.shape[0], like=frames)
    if feather and seg.cropped_mask is not None:
        masks = feather_mask(masks, feather)
    return masks


def paste_segs(frames: Tensor, segs: SEGS, *, feather: int, alpha: float = 1.0, reference: Any = None) -> Tensor:
    """Blend the crops of all segments into a copy of the frames.

    Parameters
    ----------
    frames : Tensor
        `(B, H, W, 3 or 4)`; not changed.
    segs : SEGS
        Segments with a `cropped_image` of B frames, or of one for all; those without are left out. Made for another
        frame size, they are rescaled.
    feather : int
        Blur of the masks in pixels of the frame, from 0.
    alpha : float
        Factor of the masks in [0, 1].
    reference : Tensor or None
        `(1 or B, H, W, 3 or 4)`: the crops are taken from its regions, and not from the segments.

    Returns
    -------
    Tensor
        New frames, or `frames` itself where nothing is pasted.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        Frames, segments or reference that cannot be used. Nothing is changed before all is checked.
    """
    check_frames("image", frames)
    segs = prepare_segs(segs, frames)
    reference = None if reference is None else _reference(reference, frames)
    canvas = Canvas(frames)
    for seg in segs[1]:
        if reference is not None:
            crops = to_dtype(crop_frames(reference, seg.crop_region), torch.float32)
        elif seg.cropped_image is not None:
            crops = brought_stack(seg, frames)
        else:
            continue
        if is_inside(seg, frames):
            canvas.paste(crops, paste_mask(seg, frames, feather), seg.crop_region, alpha)
    return canvas.frames


def _reference(reference: Any, frames: Tensor) -> Tensor:
    check_frames("ref_image_opt", reference)
    if reference.shape[1:3] != frames.shape[1:3] or reference.shape[0] not in (1, frames.shape[0]):
        count, height, width = frames.shape[:3]
        expected = f"1 or {count} frames of {width} x {height} pixels"
        got = f"{reference.shape[0]} of {reference.shape[2]} x {reference.shape[1]}"
        raise InvalidArgumentError("ref_image_opt", expected, got)
    moved: Tensor = convert(reference, frames)
    return moved
