"""The shape of masks: threshold, growing and shrinking, holes, connected regions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from segs_detailer import _native
from segs_detailer._interop import Array, ArrayT, Kind, as_numpy, check_dtype, common_kind, convert, wrap
from segs_detailer.checks import float32_number, whole_number
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.ops._backend import Call, packed, rows_are_contiguous
from segs_detailer.ops._checks import masks_shape, output
from segs_detailer.ops.masks import batched

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Components", "connected_components", "dilate", "erode", "fill_holes", "threshold"]

_BINARY_DTYPES = ("uint8", "bool")


class Components(NamedTuple):
    """Connected regions of a mask, in the raster order of their first pixels.

    Parameters
    ----------
    labels : ndarray or Tensor
        `(h, w)` int32: 0 for the background, `i + 1` for region `i`.
    boxes : ndarray
        `(n, 4)` int64, `(x1, y1, x2, y2)` with `x2` and `y2` exclusive.
    areas : ndarray
        `(n,)` int64, in pixels.
    """

    labels: Any
    boxes: NDArray[np.int64]
    areas: NDArray[np.int64]


def threshold(masks: ArrayT, level: float, *, out: ArrayT | None = None) -> ArrayT:
    """Write 1 where a mask is above `level`, else 0.

    Parameters
    ----------
    masks : ndarray or Tensor
        `(h, w)` or `(N, h, w)`, float32. NaN is above nothing.
    level : float
        A finite number within float32, as which it is compared.
    out : ndarray or Tensor, optional
        Memory for the result: the masks' shape, uint8, on their device, C-contiguous.

    Returns
    -------
    ndarray or Tensor
        uint8, of the masks' kind and shape; `out` where that was given.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        Arguments that cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> from segs_detailer.ops import threshold
    >>> threshold(np.array([[0.2, 0.5, 0.7]], np.float32), 0.5).tolist()
    [[0, 0, 1]]
    """
    kind = common_kind(masks=masks, out=out)
    masks_shape("masks", masks)
    number = float32_number("level", level)
    if out is not None:
        output("out", out, tuple(masks.shape), "uint8", masks=masks)
    call = Call(kind)
    written = call.output("masks", out, tuple(masks.shape), "uint8", masks)
    call.kernels.threshold(call.input(masks, masks=True), number, batched(written))
    result: ArrayT = call.result(written, out)
    return result


def dilate(masks: ArrayT, size: int, *, out: ArrayT | None = None) -> ArrayT:
    """Grow bright areas: each pixel becomes the largest value in a window of `size` x `size` pixels around it.

    The window reaches `size // 2` pixels to the left and up, as with OpenCV's default anchor; what lies outside the
    mask counts for nothing. What a window that holds a NaN gives is not defined; no other window is touched by it.

    Parameters
    ----------
    masks : ndarray or Tensor
        `(h, w)` or `(N, h, w)`, float32. Copied once more where rows have gaps.
    size : int
        Side of the window in pixels; 0 and 1 copy.
    out : ndarray or Tensor, optional
        Memory for the result: the masks' shape, float32, on their device, C-contiguous, apart from `masks`.

    Returns
    -------
    ndarray or Tensor
        New masks of the same kind and shape; `out` where that was given.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        Arguments that cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> from segs_detailer.ops import dilate
    >>> dilate(np.array([[0, 0, 1, 0, 0]], np.float32), 3).tolist()
    [[0.0, 1.0, 1.0, 1.0, 0.0]]
    """
    return _window("dilate", masks, size, out)


def erode(masks: ArrayT, size: int, *, out: ArrayT | None = None) -> ArrayT:
    """Shrink bright areas: each pixel becomes the smallest value in the window that `dilate` uses.

    Parameters
    ----------
    masks, size, out
        As for `dilate`.

    Returns
    -------
    ndarray or Tensor
        As for `dilate`.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        Arguments that cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> from segs_detailer.ops import erode
    >>> erode(np.array([[0, 1, 1, 1, 0]], np.float32), 3).tolist()
    [[0.0, 0.0, 1.0, 0.0, 0.0]]
    """
    return _window("erode", masks, size, out)


def _window(kernel: str, masks: ArrayT, size: int, out: ArrayT | None) -> ArrayT:
    kind = common_kind(masks=masks, out=out)
    masks_shape("masks", masks)
    side = whole_number("size", size, minimum=0)
    if out is not None:
        output("out", out, tuple(masks.shape), "float32", masks=masks)
    call = Call(kind)
    written = call.output("masks", out, tuple(masks.shape), "float32", masks)
    getattr(call.kernels, kernel)(call.input(masks, masks=True), side, batched(written))
    result: ArrayT = call.result(written, out)
    return result


def fill_holes(mask: ArrayT) -> ArrayT:
    """Fill the holes of a mask: background that is not connected to the border by sides of pixels.

    A mask on a GPU is brought to the CPU, and the result taken back.

    Parameters
    ----------
    mask : ndarray or Tensor
        `(h, w)`, uint8 or bool; what is not 0 counts.

    Returns
    -------
    ndarray or Tensor
        `(h, w)` uint8, 1 and 0, of the mask's kind.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        Arguments that cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> from segs_detailer.ops import fill_holes
    >>> ring = np.ones((3, 3), np.uint8)
    >>> ring[1, 1] = 0
    >>> int(fill_holes(ring).min())
    1
    """
    kind = common_kind(mask=mask)
    binary = _binary("mask", mask)
    filled = np.empty(binary.shape, np.uint8)
    _native.fill_holes(binary, filled)
    result: ArrayT = _returned(kind, filled, mask)
    return result


def connected_components(mask: Array) -> Components:
    """Find the regions of pixels that touch by a side or a corner.

    A mask on a GPU is brought to the CPU, and the labels taken back; boxes and areas are always NumPy's.

    Parameters
    ----------
    mask : ndarray or Tensor
        `(h, w)`, uint8 or bool; what is not 0 counts.

    Returns
    -------
    Components
        Labels of the mask's kind, boxes and areas.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        Arguments that cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> from segs_detailer.ops import connected_components
    >>> found = connected_components(np.array([[1, 1, 0, 1]], np.uint8))
    >>> found.boxes.tolist()
    [[0, 0, 2, 1], [3, 0, 4, 1]]
    """
    kind = common_kind(mask=mask)
    binary = _binary("mask", mask)
    labels = np.empty(binary.shape, np.int32)
    table = _native.components(binary, labels)
    return Components(_returned(kind, labels, mask), table[:, :4], table[:, 4])


def _binary(argument: str, mask: Array) -> NDArray[np.uint8]:
    """Return a mask `(h, w)` on the CPU as the kernels read it; bool is uint8 under another name."""
    if mask.ndim != 2:
        raise InvalidArgumentError(argument, "shape (h, w)", f"shape {tuple(mask.shape)}")
    check_dtype(argument, mask, _BINARY_DTYPES)
    view = as_numpy(mask if isinstance(mask, np.ndarray) else mask.cpu())
    return (view if rows_are_contiguous(view[None]) else packed(view)).view(np.uint8)


def _returned(kind: Kind, array: NDArray[Any], mask: Array) -> Any:
    return convert(array, mask) if kind is Kind.DEVICE_TENSOR else wrap(kind, array)
