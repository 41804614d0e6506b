"""Masks in another size, and with soft borders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segs_detailer._interop import ArrayT, common_kind
from segs_detailer.checks import whole_number
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.ops._backend import Call
from segs_detailer.ops._checks import image_size, masks_shape, output

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["feather_mask", "resize_masks"]


def resize_masks(masks: ArrayT, size: Sequence[int], *, out: ArrayT | None = None) -> ArrayT:
    """Resize masks bilinearly, with half-pixel centers and no antialiasing.

    That is `torch.nn.functional.interpolate(mode="bilinear", align_corners=False)`. NaN and infinities
    spread to their neighbors.

    Parameters
    ----------
    masks : ndarray or Tensor
        `(h, w)` or `(N, h, w)`, float32. Copied once more where rows have gaps.
    size : (int, int)
        Height and width of the result, in pixels.
    out : ndarray or Tensor, optional
        Memory for the result: its shape, float32, on the device of `masks`, C-contiguous, apart from `masks`.

    Returns
    -------
    ndarray or Tensor
        `(height, width)` or `(N, height, width)`, float32, of the kind of `masks`; `out` where that was given.

    Raises
    ------
    InvalidArgumentError
        A shape, size or layout that cannot be used.
    InvalidTypeError
        Another dtype, no array, or NumPy arrays and tensors together.

    Examples
    --------
    >>> import numpy as np
    >>> from segs_detailer import resize_masks
    >>> resize_masks(np.ones((8, 90, 160), np.float32), (45, 80)).shape
    (8, 45, 80)
    """
    kind = common_kind(masks=masks, out=out)
    count, mask_height, mask_width = masks_shape("masks", masks)
    shape = (*tuple(masks.shape)[:-2], *image_size("size", size))
    if out is not None:
        output("out", out, shape, "float32", masks=masks)
    if count > 0 and mask_height * mask_width == 0:
        raise InvalidArgumentError("masks", "at least one pixel", f"shape {tuple(masks.shape)}")
    call = Call(kind)
    written = call.output("size", out, shape, "float32", masks)
    call.kernels.resize_masks(call.input(masks, masks=True), batched(written))
    result: ArrayT = call.result(written, out)
    return result


def feather_mask(mask: ArrayT, feather: int, *, out: ArrayT | None = None) -> ArrayT:
    """Soften a mask with a Gaussian of `2 * feather + 1` taps and a standard deviation of 10 pixels.

    Borders reflect without repeating the edge pixel. Where the shorter side is not longer than the kernel, the kernel
    shrinks to half that side, made odd; below three taps the mask stays as it is. So does it with `feather` 0. NaN and
    infinities spread as far as the kernel reaches; on other devices than the CPU they may spoil their whole mask.

    Parameters
    ----------
    mask : ndarray or Tensor
        `(h, w)` or `(N, h, w)`, float32. Copied once more where rows have gaps.
    feather : int
        Reach of the softening in pixels, not negative.
    out : ndarray or Tensor, optional
        Memory for the result: the mask's shape, float32, on its device, C-contiguous, apart from `mask`.

    Returns
    -------
    ndarray or Tensor
        A new mask of the same kind and shape; `out` where that was given.

    Raises
    ------
    InvalidArgumentError
        A shape, feather or layout that cannot be used.
    InvalidTypeError
        Another dtype, no array, or NumPy arrays and tensors together.

    Examples
    --------
    >>> import numpy as np
    >>> from segs_detailer import feather_mask
    >>> mask = np.zeros((64, 64), np.float32)
    >>> mask[16:48, 16:48] = 1
    >>> soft = feather_mask(mask, 5)
    >>> bool(0 < soft[32, 15] < soft[32, 16] < 1)
    True
    """
    kind = common_kind(mask=mask, out=out)
    masks_shape("mask", mask)
    taps = whole_number("feather", feather, minimum=0)
    if out is not None:
        output("out", out, tuple(mask.shape), "float32", mask=mask)
    call = Call(kind)
    written = call.output("mask", out, tuple(mask.shape), "float32", mask)
    call.kernels.feather_mask(call.input(mask, masks=True), taps, batched(written))
    result: ArrayT = call.result(written, out)
    return result


def batched(masks: Any) -> Any:
    """Return `(h, w)` as `(1, h, w)`, the same memory."""
    return masks[None] if masks.ndim == 2 else masks
