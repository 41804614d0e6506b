"""What takes the place of Impact Pack's image functions: the same results from this package's kernels.

Each function refuses what it would not answer alike, by `RefusedError` or by the errors of the kernels, and has changed
nothing by then: the function that it replaces is called instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from segs_detailer.ops import feather_mask, paste, paste_, resize_frames, resize_masks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

__all__ = ["RefusedError", "blur_mask", "match_scale", "paste_image", "paste_segs", "resize_image"]

# Standard deviation in pixels with which masks are feathered; others come from the nodes that blur masks and SEGS.
_SIGMA = 10.0
_COLORS = 3
_OPAQUE = 255
_BYTE = 255.0


class RefusedError(Exception):
    """The arguments are left to the function that was replaced."""


def paste_image(image1: Tensor, image2: Tensor, left_top: Any, mask: Tensor) -> None:
    """Blend pictures into others, in place.

    Parameters
    ----------
    image1 : Tensor
        `(B, H, W, 3)` float32 on the CPU; it is written to.
    image2 : Tensor
        `(1 or B, h, w, 3)` float32: what is pasted.
    left_top : (int, int)
        Its corner in pixels, inside `image1` or beyond its right and lower edges.
    mask : Tensor
        `(1 or B, h, w, 1)` float32 in [0, 1].

    Raises
    ------
    RefusedError, SegsDetailerError
        Anything else; nothing is changed.
    """
    _check_pictures(image1, image2)
    _check_floats(mask)
    if mask.ndim != 4 or mask.shape[1:] != (*image2.shape[1:3], 1):
        raise RefusedError
    masks = mask[..., 0]
    _check_masks(masks)
    paste_(image1, image2, masks, _place(left_top, image2))


def blur_mask(mask: Any, kernel_size: int, sigma: float = _SIGMA) -> Tensor:
    """Soften masks.

    Parameters
    ----------
    mask : ndarray or Tensor
        `(h, w)`, `(N, h, w)` or `(N, h, w, 1)` float32 on the CPU.
    kernel_size : int
        Reach in pixels, above 0.
    sigma : float
        10 pixels.

    Returns
    -------
    Tensor
        `(1 or N, h, w, 1)`.

    Raises
    ------
    RefusedError, SegsDetailerError
        Anything else.
    """
    # Without a blur theirs hands on the mask's own memory.
    if sigma != _SIGMA or kernel_size <= 0:
        raise RefusedError
    masks = _tensor(mask)
    _check_floats(masks)
    if masks.ndim == 4:
        if masks.shape[-1] != 1:
            raise RefusedError
        masks = masks[..., 0]
    softened: Tensor = feather_mask(masks if masks.ndim == 3 else masks[None], kernel_size)
    return softened[..., None]


def resize_image(image: Tensor, w: int, h: int) -> Tensor:
    """Resize frames with a Lanczos filter, through 8 bits as Pillow does.

    Parameters
    ----------
    image : Tensor
        `(B, H, W, 3)` float32 on the CPU.
    w, h : int
        Width and height of the result in pixels.

    Returns
    -------
    Tensor
        `(B, h, w, 3)` float32.

    Raises
    ------
    RefusedError, SegsDetailerError
        Anything else. Pictures with an alpha are among it: Pillow weighs their colors with it.
    """
    _check_pictures(image)
    if image.shape[0] == 0 or not (isinstance(w, int) and isinstance(h, int)) or w <= 0 or h <= 0:
        raise RefusedError
    resized = torch.empty((image.shape[0], h, w, _COLORS))
    levels = torch.empty((1, *image.shape[1:]))
    source = torch.empty(levels.shape, dtype=torch.uint8)
    # Pillow rounds to 8 bits after each axis: whole nodes stay within two levels of theirs only where both round alike.
    between = torch.empty((1, image.shape[1], w, _COLORS), dtype=torch.uint8)
    target = torch.empty((1, *resized.shape[1:]), dtype=torch.uint8)
    # Frame by frame, so that what lies between stays in the caches.
    for frame, result in zip(image, resized, strict=True):
        torch.mul(frame, _BYTE, out=levels[0])
        # Bits are cut off, not rounded: that is what darkens the pictures by half a level, here as there.
        source.copy_(levels.clamp_(0.0, _BYTE))
        resize_frames(source, (image.shape[1], w), out=between)
        resize_frames(between, (h, w), out=target)
        torch.div(target[0], _BYTE, out=result)
    return resized


def match_scale(segs: Any, target_shape: Sequence[int]) -> Any:
    """Fit segments to frames of another size.

    Parameters
    ----------
    segs : SEGS
        Masks and crops are float32 on the CPU.
    target_shape : sequence of int
        `(B, H, W, C)` of the frames.

    Returns
    -------
    SEGS
        `segs` itself where the size is the same.

    Raises
    ------
    RefusedError, SegsDetailerError
        Segments of another form, or a region that would vanish.
    """
    height, width = segs[0][0], segs[0][1]
    new_height, new_width = target_shape[1], target_shape[2]
    if (height, width) == (new_height, new_width) or 0 in (height, width):
        return segs
    ratios = (new_width / width, new_height / height)
    return (new_height, new_width), [_matched(seg, ratios) for seg in segs[1]]


def _matched(seg: Any, ratios: tuple[float, float]) -> Any:
    region, bbox = _scaled(seg.crop_region, ratios), _scaled(seg.bbox, ratios)
    width, height = region[2] - region[0], region[3] - region[1]
    if width <= 0 or height <= 0 or not hasattr(seg, "_replace"):
        raise RefusedError
    masks = _tensor(seg.cropped_mask)
    _check_floats(masks)
    resized: Any = resize_masks(masks, (height, width))
    mask = resized.numpy() if resized.ndim == 2 else resized
    image = seg.cropped_image
    if image is not None:
        image = resize_image(_tensor(image), width, height).numpy()
    return seg._replace(cropped_image=image, cropped_mask=mask, crop_region=region, bbox=bbox)


def _scaled(box: Iterable[int], ratios: tuple[float, float]) -> tuple[int, int, int, int]:
    """Scale a box by Impact Pack's rule: the corners have one ratio each, not the axes."""
    x1, y1, x2, y2 = box
    by_width, by_height = ratios
    return int(x1 * by_width), int(y1 * by_width), int(x2 * by_height), int(y2 * by_height)


class _Patch(NamedTuple):
    """What one segment pastes, and where."""

    crops: Tensor
    masks: Tensor
    region: tuple[int, int, int, int]


def paste_segs(
    image: Tensor,
    segs: Any,
    feather: int,
    alpha: int = _OPAQUE,
    ref_image_opt: Tensor | None = None,
) -> tuple[Tensor]:
    """Paste the crops of segments into a copy of the frames.

    Parameters
    ----------
    image : Tensor
        `(B, H, W, 3)` float32 on the CPU.
    segs : SEGS
        Crops of at least B frames; one mask, or one for each frame; all float32 on the CPU.
    feather : int
        Blur of the masks in pixels.
    alpha : int
        Opacity, 0 to 255.
    ref_image_opt : Tensor or None
        At least B frames, whose regions are pasted in place of the crops.

    Returns
    -------
    tuple of Tensor
        New frames.

    Raises
    ------
    RefusedError, SegsDetailerError
        Anything else.
    """
    _check_pictures(image)
    if not 0 <= alpha <= _OPAQUE or image.shape[0] == 0:
        raise RefusedError
    segs = match_scale(segs, image.shape)
    patches = [patch for seg in segs[1] if (patch := _patch(seg, image, ref_image_opt)) is not None]
    result = None
    for crops, masks, region in patches:
        softened = feather_mask(masks, feather) if feather > 0 else masks
        if result is None:
            result = paste(image, crops, softened, region, alpha=alpha / _OPAQUE)
        else:
            paste_(result, crops, softened, region, alpha=alpha / _OPAQUE)
    return (image.clone() if result is None else result,)


def _patch(seg: Any, image: Tensor, reference: Tensor | None) -> _Patch | None:
    """Return what a segment pastes, without copies; None where it has nothing."""
    count = image.shape[0]
    if reference is not None:
        x1, y1, x2, y2 = seg.crop_region
        if not (0 <= x1 < x2 <= reference.shape[2] and 0 <= y1 < y2 <= reference.shape[1]):
            raise RefusedError
        crops = reference[:count, y1:y2, x1:x2]
    elif seg.cropped_image is None:
        return None
    else:
        crops = _tensor(seg.cropped_image)[:count]
    _check_pictures(crops)
    masks = _tensor(seg.cropped_mask)
    _check_floats(masks)
    masks = masks[None] if masks.ndim == 2 else masks
    # Another number of masks is combined by theirs, another size stretched.
    if crops.shape[0] != count or masks.shape[0] not in (1, count) or masks.shape[1:] != crops.shape[1:3]:
        raise RefusedError
    _check_masks(masks)
    return _Patch(crops, masks, _place(seg.crop_region, crops))


def _place(corner: Sequence[int], crops: Tensor) -> tuple[int, int, int, int]:
    """Return the region of crops whose corner is given; theirs counts negative corners from the other side."""
    x, y = int(corner[0]), int(corner[1])
    if x < 0 or y < 0:
        raise RefusedError
    return x, y, x + crops.shape[2], y + crops.shape[1]


def _tensor(array: Any) -> Any:
    """Return an array as a tensor of the same memory; anything else as it is."""
    return torch.from_numpy(array) if isinstance(array, np.ndarray) else array


def _check_pictures(*pictures: Tensor) -> None:
    for picture in pictures:
        _check_floats(picture)
        if picture.ndim != 4 or picture.shape[-1] != _COLORS:
            raise RefusedError


def _check_masks(masks: Tensor) -> None:
    """Refuse masks outside [0, 1], which the kernels clamp, and NaN."""
    _check_floats(masks)
    if masks.numel() == 0:
        raise RefusedError
    low, high = masks.aminmax()
    if not (low >= 0.0 and high <= 1.0):
        raise RefusedError


def _check_floats(array: Tensor) -> None:
    if not isinstance(array, torch.Tensor) or array.dtype != torch.float32 or array.device.type != "cpu":
        raise RefusedError
    # Kernels leave no trace for derivatives.
    if array.requires_grad:
        raise RefusedError
