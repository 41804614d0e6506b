"""Blending crops back into frames."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from segs_detailer._interop import (
    FRAME_DTYPES,
    Array,
    ArrayT,
    check_apart,
    check_dtype,
    check_writable,
    common_kind,
    dtype_name,
    kind_of,
)
from segs_detailer.checks import unit_number
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.ops._backend import Call, copy_pixels, packed, rows_are_contiguous
from segs_detailer.ops._checks import Places, Regions, frames_shape, masks_shape, output, region_places

__all__ = ["paste", "paste_"]


def paste(
    frames: ArrayT,
    crops: ArrayT,
    mask: ArrayT | None,
    region: Regions,
    *,
    alpha: float = 1.0,
    out: ArrayT | None = None,
) -> ArrayT:
    """Copy the frames and blend crops into the copy.

    With `m = mask * alpha`, a pixel becomes `(1 - m) * frame + m * crop`. Where `m` is 0 the frame keeps its bits,
    whatever the crop holds there. What lies outside the frame is clipped. On the CPU
    this is one pass over the frames.

    A crop whose place lies between pixels is first brought onto them: the crop by a Lanczos filter of three lobes, its
    edge repeated, and the mask linearly, with 0 around it. It then covers up to a column and a row more. A crop that is
    turned comes back onto the pixels in the same way, along its own axes.

    Parameters
    ----------
    frames : ndarray or Tensor
        `(B, H, W, C)`, C from 1 to 4; float32 or float16 in [0, 1], or uint8.
    crops : ndarray or Tensor
        `(B, h, w, C)`, or `(1, h, w, C)` for all frames; the dtype of `frames`. RGB and RGBA go together: the alpha of
        RGBA crops multiplies the mask, and onto RGBA frames they are laid by the `over` operator; RGB crops leave the
        alpha of RGBA frames as it is.
    mask : ndarray or Tensor or None
        `(h, w)`, `(1, h, w)` or `(B, h, w)`, float32, clamped to [0, 1]; NaN counts as 0. None shows the whole crop.
    region : sequence of numbers, or (B, 4) or (B, 5) numbers
        Where the crops lie, `(x1, y1, x2, y2)` in pixels of the frame, of the crops' size; or one region per frame. A
        place less than a millionth of a pixel away from a whole one is whole. A fifth number says by how many degrees
        the crop is turned clockwise about its middle, as for `crop_frames`.
    alpha : float
        Multiplies the mask, in [0, 1].
    out : ndarray or Tensor, optional
        Memory for the result: shape, dtype and device of `frames`, C-contiguous, apart from the inputs.

    Returns
    -------
    ndarray or Tensor
        Of the kind, shape and dtype of `frames`; `out` where that was given.

    Raises
    ------
    InvalidArgumentError
        Sizes, counts, channels or values that do not fit each other, or a layout that cannot be used.
    InvalidTypeError
        Other dtypes, no arrays, or NumPy arrays and tensors together.

    Examples
    --------
    >>> import numpy as np
    >>> from segs_detailer import paste
    >>> frames, crops = np.zeros((8, 90, 160, 3), np.uint8), np.full((8, 40, 40, 3), 200, np.uint8)
    >>> pasted = paste(frames, crops, np.ones((40, 40), np.float32), (10, 20, 50, 60), alpha=0.5)
    >>> pasted[0, 30, 30].tolist(), frames[0, 30, 30].tolist()
    ([100, 100, 100], [0, 0, 0])
    """
    kind = common_kind(frames=frames, crops=crops, mask=mask, out=out)
    patch = _checked_patch(frames, crops, mask, region, alpha)
    shape, dtype = frames_shape("frames", frames), dtype_name(frames)
    if out is not None:
        output("out", out, shape, dtype, frames=frames, crops=crops, mask=mask)
    call = Call(kind)
    written = call.output("frames", out, shape, dtype, frames)
    source = call.view(frames)
    crop_pixels, masks = _patch_inputs(call, patch)
    if call.on_device or rows_are_contiguous(source):
        call.kernels.copy_paste(
            source, crop_pixels, masks, patch.places.regions, patch.alpha, written, patch.places.shifts
        )
    else:
        # The copy into the result is the one that such rows need.
        copy_pixels(source, written)
        call.kernels.paste(written, crop_pixels, masks, patch.places.regions, patch.alpha, patch.places.shifts)
    result: ArrayT = call.result(written, out)
    return result


def paste_(frames: ArrayT, crops: ArrayT, mask: ArrayT | None, region: Regions, *, alpha: float = 1.0) -> ArrayT:
    """Blend crops into the frames themselves; see `paste`.

    Nothing outside the part of the region that lies in the frame is read or written. Frames that are not C-contiguous
    (a slice, a permuted tensor) take a copy of the box around the regions there and back.

    Parameters
    ----------
    frames : ndarray or Tensor
        As for `paste`; writable, and apart from the memory of `crops` and `mask`.
    crops, mask, region, alpha
        As for `paste`.

    Returns
    -------
    ndarray or Tensor
        `frames` itself.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        As for `paste`; also frames that are read-only or expanded.

    Examples
    --------
    >>> import numpy as np
    >>> from segs_detailer import paste_
    >>> frames, crops = np.zeros((8, 90, 160, 3), np.uint8), np.full((8, 40, 40, 3), 200, np.uint8)
    >>> paste_(frames, crops, None, (10, 20, 50, 60)) is frames
    True
    >>> frames[0, 30, 30].tolist()
    [200, 200, 200]
    """
    kind = common_kind(frames=frames, crops=crops, mask=mask)
    patch = _checked_patch(frames, crops, mask, region, alpha)
    check_writable("frames", frames, contiguous=False)
    check_apart("frames", frames, crops=crops, mask=mask)
    call = Call(kind)
    target = call.view(frames)
    crop_pixels, masks = _patch_inputs(call, patch)
    if call.on_device or (target.flags.c_contiguous and target.flags.aligned):
        call.kernels.paste(target, crop_pixels, masks, patch.places.regions, patch.alpha, patch.places.shifts)
    else:
        x1, y1, x2, y2 = _box_inside(patch.places, target.shape[1], target.shape[2])
        part = target[:, y1:y2, x1:x2]
        pixels = packed(part)
        regions, shifts = patch.places.moved(x1, y1)
        call.kernels.paste(pixels, crop_pixels, masks, regions, patch.alpha, shifts)
        copy_pixels(pixels, part)
    return frames


class _Patch(NamedTuple):
    """Checked arguments: what is pasted, and where."""

    crops: Array
    mask: Array | None
    places: Places
    alpha: float


def _checked_patch(frames: Array, crops: Array, mask: Array | None, region: Regions, alpha: float) -> _Patch:
    dtype = check_dtype("frames", frames, FRAME_DTYPES)
    count, _, _, channels = frames_shape("frames", frames)
    kind_of("crops", crops)  # only the mask may be None
    crop_count, height, width, crop_channels = frames_shape("crops", crops)
    if dtype_name(crops) != dtype:
        raise InvalidTypeError("crops", f"{dtype}, as frames is", dtype_name(crops))
    if crop_channels != channels and {channels, crop_channels} != {3, 4}:
        expected = "3 or 4 channels" if channels >= 3 else f"{channels} channels, as frames has"
        raise InvalidArgumentError("crops", expected, f"{crop_channels}")
    if crop_count not in (1, count):
        raise InvalidArgumentError("crops", f"1 or {count} crops", f"{crop_count}")
    places = region_places("region", region, count)
    if places.size != (height, width):
        region_height, region_width = places.size
        expected = f"{width}x{height} pixels, as crops is"
        raise InvalidArgumentError("region", expected, f"{region_width}x{region_height}")
    if mask is not None:
        mask_count, *mask_size = masks_shape("mask", mask)
        if mask_count not in (1, count) or mask_size != [height, width]:
            expected = f"shape ({height}, {width}), (1, {height}, {width}) or ({count}, {height}, {width})"
            raise InvalidArgumentError("mask", expected, f"shape {tuple(mask.shape)}")
    return _Patch(crops, mask, places, unit_number("alpha", alpha))


def _patch_inputs(call: Call, patch: _Patch) -> tuple[Any, Any]:
    """Return crops and masks as the kernels take them."""
    crops = call.input(patch.crops)
    if patch.mask is not None:
        return crops, call.input(patch.mask, masks=True)
    height, width = crops.shape[1:3]
    # One row of ones serves all rows: neither side minds that they lie at the same place.
    if call.on_device:
        return crops, crops.new_ones((1, 1, width), dtype=call.kernels.MASK_DTYPE).expand(1, height, width)
    return crops, np.broadcast_to(np.ones((1, 1, width), np.float32), (1, height, width))


def _box_inside(places: Places, height: int, width: int) -> tuple[int, int, int, int]:
    """Return the box around all that is pasted, clipped to the frame; it may be empty."""
    box = places.reach(0, 1)
    x1, y1 = np.clip(box[:2], 0, (width, height)).tolist()
    x2, y2 = np.clip(box[2:], (x1, y1), (width, height)).tolist()
    return x1, y1, x2, y2
