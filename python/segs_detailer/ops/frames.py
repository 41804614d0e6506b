"""Crops out of frames, and frames in another size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer._interop import FRAME_DTYPES, ArrayT, check_dtype, common_kind
from segs_detailer.checks import unit_number
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.ops._backend import Call, packed, rows_are_contiguous
from segs_detailer.ops._checks import Places, Region, Regions, frames_shape, image_size, output, region_places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["crop_frames", "crop_window", "moved_place", "resize_frames"]

_FILTER_REACH = (2, 3)  # pixels before and after a region that a crop between pixels reads


def crop_frames(frames: ArrayT, region: Regions, *, fill: float | None = None, out: ArrayT | None = None) -> ArrayT:
    """Copy a region out of every frame.

    Where a place lies between pixels the crop is interpolated along that axis, by a Lanczos filter of three lobes whose
    weights sum to 1, and limited to the range of a sample. A NaN spreads as far as the filter reaches from it. Whole
    places give the samples themselves, whichever type they are given in. A region that is turned is interpolated along
    both axes of the frame: what is turned as it is stands upright in its crop.

    Parameters
    ----------
    frames : ndarray or Tensor
        `(B, H, W, C)`, C from 1 to 4; float32 or float16 in [0, 1], or uint8. Where the rows have gaps, as in permuted
        tensors, the box around the regions is copied once more.
    region : sequence of numbers, or (B, 4) or (B, 5) numbers
        `(x1, y1, x2, y2)` in pixels, `x2` and `y2` exclusive; or one per frame, all of one size in whole pixels. It may
        pass the edges. A place less than a millionth of a pixel away from a whole one is whole. A fifth number turns
        the region about its middle, in degrees clockwise; 0 is as if it were not there.
    fill : float, optional
        Value in [0, 1] of what lies outside the frame (for uint8 it means 0 to 255). None repeats the nearest pixel.
        Between pixels, what is interpolated is the frame continued so.
    out : ndarray or Tensor, optional
        Memory for the result: its shape, dtype and device, C-contiguous, apart from `frames`.

    Returns
    -------
    ndarray or Tensor
        `(B, h, w, C)`, of the kind and dtype of `frames`; `out` where that was given.

    Raises
    ------
    InvalidArgumentError
        A shape, region, fill or layout that cannot be used.
    InvalidTypeError
        Another dtype, no array, or NumPy arrays and tensors together.

    Examples
    --------
    >>> import numpy as np
    >>> from segs_detailer import crop_frames
    >>> frames = np.zeros((8, 90, 160, 3), np.uint8)
    >>> crop_frames(frames, (100, 20, 170, 60)).shape  # over the right edge
    (8, 40, 70, 3)
    """
    kind = common_kind(frames=frames, out=out)
    dtype = check_dtype("frames", frames, FRAME_DTYPES)
    count, frame_height, frame_width, channels = frames_shape("frames", frames)
    places: Places = region_places("region", region, count)
    value = None if fill is None else unit_number("fill", fill)
    shape = (count, *places.size, channels)
    if out is not None:
        output("out", out, shape, dtype, frames=frames)
    if value is None and frame_height * frame_width == 0 and 0 not in shape:
        raise InvalidArgumentError("frames", "at least one pixel to fill with, or a fill value", "empty frames")
    call = Call(kind)
    written = call.output("region", out, shape, dtype, frames)
    source, seen = _readable(call, frames, places)
    call.kernels.crop_frames(source, seen.regions, written, value, seen.shifts)
    result: ArrayT = call.result(written, out)
    return result


def crop_window(region: Region) -> tuple[int, int, int, int]:
    """Tell which whole pixels of a frame a crop is made of.

    Parameters
    ----------
    region : sequence of numbers
        `(x1, y1, x2, y2)` in pixels, perhaps with an angle, as for `crop_frames`.

    Returns
    -------
    (int, int, int, int)
        `(x1, y1, x2, y2)`: the region itself where it is whole, else with what its filter reads around it. It may pass
        the frame's edges.

    Examples
    --------
    >>> from segs_detailer.ops.frames import crop_window
    >>> crop_window((10, 20, 50, 60)), crop_window((10.5, 20, 50.5, 60))
    ((10, 20, 50, 60), (8, 18, 53, 63))
    """
    x1, y1, x2, y2 = region_places("region", region, 1).reach(*_FILTER_REACH).tolist()
    return x1, y1, x2, y2


def moved_place(place: NDArray[Any], x: int, y: int) -> NDArray[Any]:
    """Return regions `(B, 4)` or `(B, 5)` as seen from another corner than the frame's.

    Parameters
    ----------
    place : ndarray
        The regions.
    x, y : int
        The corner.
    """
    moved = place.copy()
    moved[:, :4] -= (x, y, x, y)
    return moved


def _readable(call: Call, frames: Any, places: Places) -> tuple[Any, Places]:
    """Return frames that the kernel can read, where that takes a copy only the box around the regions."""
    if call.on_device:
        return frames, places
    view = call.view(frames)
    if rows_are_contiguous(view):
        return view, places
    height, width = view.shape[1:3]
    box = places.reach(*_FILTER_REACH)
    # At least one row and column stays, so that a region outside the frame finds its nearest pixels.
    x1, y1 = np.clip(box[:2], 0, (width - 1, height - 1)).tolist()
    x2, y2 = np.clip(box[2:], (x1 + 1, y1 + 1), (width, height)).tolist()
    return packed(view[:, y1:y2, x1:x2]), places.moved(x1, y1)


def resize_frames(frames: ArrayT, size: Sequence[int], *, out: ArrayT | None = None) -> ArrayT:
    """Resize frames with a Lanczos filter of three lobes, as Pillow defines it, without a detour through 8 bits.

    Shrinking widens the filter, so that nothing aliases. Float results are clamped to [0, 1]; uint8 results are rounded
    once, at the end. A NaN spreads as far as the filter reaches from it; on other devices than the CPU it may spoil its
    whole frame.

    Parameters
    ----------
    frames : ndarray or Tensor
        `(B, H, W, C)`, C from 1 to 4; float32 or float16 in [0, 1], or uint8. Copied once more where rows have gaps.
    size : (int, int)
        Height and width of the result, in pixels.
    out : ndarray or Tensor, optional
        Memory for the result: its shape, dtype and device, C-contiguous, apart from `frames`.

    Returns
    -------
    ndarray or Tensor
        `(B, height, width, C)`, of the kind and dtype of `frames`; `out` where that was given.

    Raises
    ------
    InvalidArgumentError
        A shape, size or layout that cannot be used.
    InvalidTypeError
        Another dtype, no array, or NumPy arrays and tensors together.

    Examples
    --------
    >>> import numpy as np
    >>> from segs_detailer import resize_frames
    >>> resize_frames(np.zeros((8, 90, 160, 3), np.float32), (180, 320)).shape
    (8, 180, 320, 3)
    """
    kind = common_kind(frames=frames, out=out)
    dtype = check_dtype("frames", frames, FRAME_DTYPES)
    count, frame_height, frame_width, channels = frames_shape("frames", frames)
    height, width = image_size("size", size)
    shape = (count, height, width, channels)
    if out is not None:
        output("out", out, shape, dtype, frames=frames)
    if count > 0 and frame_height * frame_width == 0:
        raise InvalidArgumentError("frames", "at least one pixel", f"shape {tuple(frames.shape)}")
    call = Call(kind)
    written = call.output("size", out, shape, dtype, frames)
    call.kernels.resize_frames(call.input(frames), written)
    result: ArrayT = call.result(written, out)
    return result
