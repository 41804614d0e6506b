"""Frames and segments on their way in: checks, crop stacks, and the number formats between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from segs_detailer._interop import FRAME_DTYPES, check_dtype, convert, kind_of
from segs_detailer.crop_path import CropPath, part_of_frames, place_of
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.lazy_masks import is_lazy
from segs_detailer.ops.frames import crop_frames
from segs_detailer.segs import check_segs, mask_frames, scale_match

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from segs_detailer.detailer.hooks import HookCalls
    from segs_detailer.segs import SEG, SEGS, Box

__all__ = [
    "brought_stack",
    "change_region",
    "check_frames",
    "check_paths",
    "crop_stack",
    "cut_stack",
    "is_inside",
    "prepare_segs",
    "to_dtype",
]


def check_frames(argument: str, frames: object) -> Tensor:
    """Refuse what the detailer cannot work on.

    Parameters
    ----------
    argument : str
        Name for error messages.
    frames : Tensor
        `(B, H, W, C)` with C 3 or 4 and any B; float32 or float16 in [0, 1], or uint8.

    Returns
    -------
    Tensor
        `frames`.

    Raises
    ------
    InvalidTypeError
        No tensor, or another dtype.
    InvalidArgumentError
        Another rank, frames without pixels, another number of channels, or a tensor that requires grad.
    """
    if not isinstance(frames, torch.Tensor):
        raise InvalidTypeError(argument, "a tensor of shape (B, H, W, C)", type(frames).__name__)
    kind_of(argument, frames)
    if frames.ndim != 4:
        expected = "shape (B, H, W, C); one frame is (1, H, W, C)"
        raise InvalidArgumentError(argument, expected, str(tuple(frames.shape)))
    if frames.shape[3] not in (3, 4):
        expected = "RGB or RGBA frames of shape (B, H, W, 3 or 4)"
        raise InvalidArgumentError(argument, expected, str(tuple(frames.shape)))
    if frames.shape[1] == 0 or frames.shape[2] == 0:
        raise InvalidArgumentError(argument, "frames with pixels", str(tuple(frames.shape)))
    check_dtype(argument, frames, FRAME_DTYPES)
    return frames


def check_paths(segs: SEGS, count: int) -> None:
    """Refuse crop regions that move through another number of frames.

    Parameters
    ----------
    segs : SEGS
        Checked segments.
    count : int
        Number of frames.

    Raises
    ------
    InvalidArgumentError
        A path of another length.
    """
    for index, seg in enumerate(segs[1]):
        region = seg.crop_region
        if isinstance(region, CropPath) and region.frames != count:
            argument = f"segs[1][{index}].crop_region"
            raise InvalidArgumentError(argument, f"a path through {count} frames", f"one through {region.frames}")


def prepare_segs(segs: object, frames: Tensor) -> SEGS:
    """Segments in the size of the frames, with usable crop stacks.

    Parameters
    ----------
    segs : SEGS
        Segments, ours or another program's.
    frames : Tensor
        The frames.

    Returns
    -------
    SEGS
        Checked and rescaled.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        A segment cannot be used, has NaN in its mask, brings a number of crops that is neither 1 nor B, or moves
        through another number of frames.
    """
    checked = check_segs(segs)
    count = frames.shape[0]
    check_paths(checked, count)
    for index, seg in enumerate(checked[1]):
        # NaN is what does not equal itself. Found here, before a model has worked on the segments before this one.
        mask = seg.cropped_mask
        if mask is not None and not is_lazy(mask) and bool((mask != mask).any()):
            raise InvalidArgumentError(f"segs[1][{index}].cropped_mask", "numbers", "NaN")
        image = seg.cropped_image
        if image is None:
            continue
        shape = tuple(image.shape)
        argument = f"segs[1][{index}].cropped_image"
        if shape[3] not in (3, 4):
            raise InvalidArgumentError(argument, "RGB or RGBA crops of shape (1 or B, h, w, 3 or 4)", str(shape))
        if shape[0] not in (1, count):
            raise InvalidArgumentError(argument, f"1 or {count} crops, for as many frames", f"{shape[0]}")
    return scale_match(checked, tuple(frames.shape))


def crop_stack(frames: Tensor, seg: SEG) -> Tensor:
    """Take the crops of a segment: those that it brings, else its region of every frame.

    Parameters
    ----------
    frames : Tensor
        `(B, H, W, 3 or 4)`.
    seg : SEG
        A prepared segment.

    Returns
    -------
    Tensor
        `(B, h, w, 3)` float32 in [0, 1]. Parts of the region outside the frames repeat their edge.
    """
    if seg.cropped_image is not None:
        return brought_stack(seg, frames)[..., :3].contiguous()
    # Cropped in the frames' own dtype: only the crops are ever held as float32.
    crops = crop_frames(frames, place_of(seg.crop_region))
    return to_dtype(crops[..., :3].contiguous(), torch.float32)


def cut_stack(frames: Tensor, region: Sequence[int]) -> Tensor:
    """Cut a region out of pictures of which one may stand for all frames.

    Parameters
    ----------
    frames : Tensor
        `(1 or B, H, W, C)`.
    region : (int, int, int, int) or CropPath
        A region of all frames, or a path through B.

    Returns
    -------
    Tensor
        `(1 or B, h, w, C)`; B for a path.
    """
    if isinstance(region, CropPath) and len(frames) == 1:
        frames = frames.expand(region.frames, -1, -1, -1)
    cut: Tensor = crop_frames(frames, place_of(region))
    return cut


def brought_stack(seg: SEG, frames: Tensor) -> Tensor:
    """Take the crops that a segment brings, one for every frame.

    Parameters
    ----------
    seg : SEG
        A prepared segment with a `cropped_image`.
    frames : Tensor
        The frames, for their number and device.

    Returns
    -------
    Tensor
        `(B, h, w, 3 or 4)` float32 in [0, 1]; one crop for all frames is repeated without a copy.
    """
    stack = to_dtype(convert(seg.cropped_image, frames), torch.float32)
    return stack.expand(frames.shape[0], -1, -1, -1)


def change_region(seg: SEG, hook: HookCalls, frames: Tensor) -> SEG:
    """Let a hook move or resize a segment's crop region.

    Parameters
    ----------
    seg : SEG
        A prepared segment.
    hook : HookCalls
        The hook.
    frames : Tensor
        The frames.

    Returns
    -------
    SEG
        The same segment, or one with mask and crops cut to the new region: outside the old one the mask is 0 and
        crops repeat their edge. A region that moves is shown to the hook as it is in one frame; how the hook moves its
        edges there counts for all frames.
    """
    region = (seg.crop_region[0], seg.crop_region[1], seg.crop_region[2], seg.crop_region[3])
    changed = hook.crop_region((frames.shape[1], frames.shape[2]), seg.bbox, region)
    if changed == region:
        return seg
    x1, y1, x2, y2 = region
    moved = (changed[0] - x1, changed[1] - y1, changed[2] - x1, changed[3] - y1)
    mask, image = seg.cropped_mask, seg.cropped_image
    masks: Tensor = mask_frames(mask, (y2 - y1, x2 - x1), frames.shape[0], like=frames)
    mask = crop_frames(masks[..., None], moved, fill=0.0)[..., 0].cpu().numpy()
    if image is not None:
        image = crop_frames(brought_stack(seg, frames).contiguous(), moved).cpu().numpy()
    return seg._replace(crop_region=_moved(seg.crop_region, moved), cropped_mask=mask, cropped_image=image)


def _moved(region: Box, inner: Box) -> Box:
    """Return the region, or path, that a region within it makes."""
    if isinstance(region, CropPath):
        return region.within(inner)
    x1, y1 = region[:2]
    return (x1 + inner[0], y1 + inner[1], x1 + inner[2], y1 + inner[3])


def is_inside(seg: SEG, frames: Tensor) -> bool:
    """Whether any pixel of a segment's region lies in the frames, and is shown in any of them.

    Parameters
    ----------
    seg : SEG
        A prepared segment.
    frames : Tensor
        The frames.

    Returns
    -------
    bool
        False as well for a region without pixels.
    """
    return bool(part_of_frames(seg.crop_region, (frames.shape[1], frames.shape[2])).any())


def to_dtype(crops: Any, dtype: torch.dtype) -> Tensor:
    """Convert between number formats of frames: floats in [0, 1] and integers in 0..255, rounded.

    Parameters
    ----------
    crops : Tensor
        Any shape; float32, float16 or uint8.
    dtype : torch.dtype
        One of the same.

    Returns
    -------
    Tensor
        `crops` itself where the dtype is the same.
    """
    tensor: Tensor = crops
    if tensor.dtype == dtype:
        return tensor
    if dtype == torch.uint8:
        return (tensor.float() * 255).round_().clamp_(0, 255).to(torch.uint8)
    if tensor.dtype == torch.uint8:
        return (tensor.float() / 255).to(dtype)
    return tensor.to(dtype)
