"""Who computes: the Rust kernels for memory of the CPU, vectorized torch for any other device.

Both sides have the functions of `_native.pyi`, with the same arguments; the kernels take NumPy arrays, the other side
tensors.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from segs_detailer import _native
from segs_detailer._interop import Array, Kind, allocate, as_numpy, is_tensor, wrap

__all__ = ["Call", "copy_pixels", "packed", "rows_are_contiguous"]

_COPIED_BYTES = 8 << 20  # copied at a time: some milliseconds, for the slowest layouts some tens


class Call:
    """One call of an op, for arrays that were checked to be of one `kind`.

    Parameters
    ----------
    kind : Kind
        Of all the arrays of this call.
    """

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.on_device = kind is Kind.DEVICE_TENSOR
        self.kernels: Any = importlib.import_module("segs_detailer.ops._torch") if self.on_device else _native

    def view(self, array: Array) -> Any:
        """Return the array's own memory in the kernels' kind."""
        return array if self.on_device else as_numpy(array)

    def input(self, array: Array, *, masks: bool = False) -> Any:
        """Return an input as the kernels take it: a copy where rows have gaps; masks as `(N, h, w)`."""
        view = self.view(array)
        if masks and view.ndim == 2:
            view = view[None]
        return view if self.on_device or rows_are_contiguous(view) else packed(view)

    def output(self, argument: str, out: Array | None, shape: tuple[int, ...], dtype: str, like: Array) -> Any:
        """Return memory for the result: that of `out`, or new; `argument` is what asked for the size."""
        if out is None:
            device_tensor = like if self.on_device and is_tensor(like) else None
            return allocate(argument, shape, dtype, device_tensor)
        return self.view(out)

    def result(self, written: Any, out: Array | None) -> Any:
        """Return what the caller gets: `out` where that was given, else the new memory in the caller's kind."""
        return wrap(self.kind, written) if out is None else out


def packed(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return an aligned copy in C order; NumPy's `ascontiguousarray` would leave a contiguous array unaligned."""
    copy = np.empty(array.shape, array.dtype)
    copy_pixels(array, copy)
    return copy


def copy_pixels(source: np.ndarray[Any, Any], target: np.ndarray[Any, Any]) -> None:
    """Copy an array to one of the same shape, in pieces: Ctrl-C is seen only between calls of NumPy."""
    if target.ndim == 2:
        source, target = source[None], target[None]
    for read, written in zip(source, target, strict=True):
        rows = max(1, _COPIED_BYTES * len(written) // max(1, written.nbytes))
        for start in range(0, len(written), rows):
            np.copyto(written[start : start + rows], read[start : start + rows])


def rows_are_contiguous(array: np.ndarray[Any, Any]) -> bool:
    """Tell whether the kernels can read `(B, H, W, C)` or `(N, h, w)` in place: only frames and rows may lie apart."""
    if array.size == 0:
        return True
    step = array.itemsize
    for count, stride in zip(reversed(array.shape[2:]), reversed(array.strides[2:]), strict=True):
        if count > 1 and stride != step:
            return False
        step *= count
    apart = [stride for count, stride in zip(array.shape[:2], array.strides[:2], strict=True) if count > 1]
    return bool(array.flags.aligned) and all(stride >= 0 and stride % array.itemsize == 0 for stride in apart)
