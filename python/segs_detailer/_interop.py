"""Torch tensors and NumPy arrays as one: what an argument is, what lies in it, and the crossing between the two.

Nothing here copies pixels unless its name says so, and nothing imports torch: a tensor can only come from a caller that
has imported it already.
"""

from __future__ import annotations

import math
import sys
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor
    from typing_extensions import TypeIs

__all__ = [
    "FRAME_DTYPES",
    "Array",
    "ArrayT",
    "Kind",
    "allocate",
    "as_numpy",
    "check_apart",
    "check_dtype",
    "check_writable",
    "common_kind",
    "convert",
    "dtype_name",
    "is_tensor",
    "kind_of",
    "wrap",
]

Array: TypeAlias = "NDArray[Any] | Tensor"
"""A NumPy array or a torch tensor."""

ArrayT = TypeVar("ArrayT", "NDArray[Any]", "Tensor")
"""The result of an op is of its first argument's kind."""

FRAME_DTYPES = ("float32", "float16", "uint8")
"""Sample types of frames: floats in [0, 1], integers in 0..255."""

# Beyond any machine's address space; NumPy and torch would report such sizes in words of their own.
_MAX_BYTES = 1 << 47


class Kind(Enum):
    """What an array is, and with that who computes."""

    NUMPY = "a NumPy array"
    CPU_TENSOR = "a torch tensor on the CPU"
    DEVICE_TENSOR = "a torch tensor on another device"


def is_tensor(value: object) -> TypeIs[Tensor]:
    """Tell whether `value` is a torch tensor, without importing torch."""
    torch = sys.modules.get("torch")
    # While torch itself is being imported, its module has no Tensor yet.
    return isinstance(value, getattr(torch, "Tensor", ()))


def kind_of(argument: str, value: object) -> Kind:
    """Return the kind of an array, after refusing what no op can read.

    Raises
    ------
    InvalidTypeError
        `value` is neither a NumPy array nor a torch tensor, or is a masked array.
    InvalidArgumentError
        A tensor that requires grad, has no data (meta), or is sparse, nested or lazily negated.
    """
    if is_tensor(value):
        _check_tensor(argument, value)
        return Kind.CPU_TENSOR if value.device.type == "cpu" else Kind.DEVICE_TENSOR
    # Its module takes a while to import: without it there are no masked arrays.
    if isinstance(value, getattr(sys.modules.get("numpy.ma"), "MaskedArray", ())):
        raise InvalidTypeError(argument, "a plain NumPy array", "a masked array")
    if isinstance(value, np.ndarray):
        return Kind.NUMPY
    raise InvalidTypeError(argument, "a NumPy array or a torch tensor", _type_name(value))


def _check_tensor(argument: str, tensor: Tensor) -> None:
    if tensor.requires_grad:
        raise InvalidArgumentError(argument, "a tensor that does not require grad (call .detach())", "one that does")
    if tensor.device.type == "meta":
        raise InvalidArgumentError(argument, "a tensor with data", "a meta tensor")
    if tensor.is_nested or str(tensor.layout) != "torch.strided":
        layout = "nested" if tensor.is_nested else str(tensor.layout).removeprefix("torch.")
        raise InvalidArgumentError(argument, "a dense tensor (call .to_dense())", f"a {layout} one")
    if tensor.is_neg():
        raise InvalidArgumentError(argument, "a tensor without a negative bit (call .resolve_neg())", "one with it")


def common_kind(**arrays: object) -> Kind:
    """Return the kind of the first array, after checking that all others (None is skipped) are of that kind and device.

    Raises
    ------
    InvalidTypeError
        NumPy arrays and tensors come together, or something is no array.
    InvalidArgumentError
        Tensors lie on different devices, or one cannot be read (see `kind_of`).
    """
    (first_name, first), *others = arrays.items()
    kind = kind_of(first_name, first)
    for name, value in others:
        if value is None:
            continue
        other = kind_of(name, value)
        if (other is Kind.NUMPY) != (kind is Kind.NUMPY):
            expected = "a NumPy array" if kind is Kind.NUMPY else "a torch tensor"
            raise InvalidTypeError(name, f"{expected}, as {first_name} is", other.value)
        if is_tensor(value) and is_tensor(first) and value.device != first.device:
            raise InvalidArgumentError(
                name, f"a tensor on {first.device}, as {first_name} is", f"one on {value.device}"
            )
    return kind


def dtype_name(array: Array) -> str:
    """Return the name of the dtype, the same for NumPy and torch; a foreign byte order shows (`>f4`)."""
    if isinstance(array, np.ndarray):
        return array.dtype.name if array.dtype.isnative else str(array.dtype)
    return str(array.dtype).removeprefix("torch.")


def check_dtype(argument: str, array: Array, accepted: Sequence[str]) -> str:
    """Return the name of the dtype, after checking that it is one of `accepted`."""
    name = dtype_name(array)
    if name in accepted:
        return name
    expected = accepted[0] if len(accepted) == 1 else f"{', '.join(accepted[:-1])} or {accepted[-1]}"
    raise InvalidTypeError(argument, expected, name)


def as_numpy(array: Array) -> NDArray[Any]:
    """Return the same memory as NumPy; `array` is NumPy or a checked tensor on the CPU, not of dtype bfloat16."""
    return array if isinstance(array, np.ndarray) else array.numpy()


def allocate(argument: str, shape: Sequence[int], dtype: str, device_tensor: Tensor | None = None) -> Any:
    """Make room for a result, uninitialized: NumPy's, or a tensor on the device of `device_tensor`.

    NumPy's allocator asks the system for huge pages, torch's does not: fresh pages cost more than the pixels that are
    written to them. A tensor on the CPU is therefore a view of NumPy's memory, see `wrap`.

    Raises
    ------
    InvalidArgumentError
        The size is beyond any machine's memory; named after `argument`, which asked for it.
    """
    # An axis of 0 counts as 1: NumPy and torch bound the other axes also then.
    if math.prod(max(count, 1) for count in shape) * np.dtype(dtype).itemsize > _MAX_BYTES:
        raise InvalidArgumentError(argument, "a size that fits memory", f"a result of shape {tuple(shape)}")
    if device_tensor is None:
        return np.empty(shape, dtype)
    torch = sys.modules["torch"]
    return torch.empty(tuple(shape), dtype=getattr(torch, dtype), device=device_tensor.device)


def wrap(kind: Kind, array: Any) -> Any:
    """Return NumPy memory as a caller of `kind` wants it: as a tensor where that is a tensor on the CPU."""
    return sys.modules["torch"].from_numpy(array) if kind is Kind.CPU_TENSOR else array


def convert(array: Array, like: Array) -> Any:
    """Bring `array` to the kind and device of `like`: the one function that may transfer. Shares memory if it can.

    bfloat16 has no NumPy form: convert it to another dtype before.
    """
    if isinstance(like, np.ndarray):
        return array.detach().cpu().numpy() if is_tensor(array) else array
    if isinstance(array, np.ndarray):
        # torch knows neither negative strides nor read-only memory.
        usable = array.flags.writeable and all(stride >= 0 for stride in array.strides)
        tensor = sys.modules["torch"].from_numpy(array if usable else array.copy())
        return tensor.to(like.device)
    return array.detach().to(like.device)


def check_writable(argument: str, array: Array, *, contiguous: bool = True) -> None:
    """Refuse an array that cannot be written pixel by pixel: read-only, or one memory cell under several indices."""
    if isinstance(array, np.ndarray):
        if not array.flags.writeable:
            raise InvalidArgumentError(argument, "a writable array", "a read-only one")
        strides, unit = array.strides, array.itemsize
        is_contiguous = bool(array.flags.c_contiguous and array.flags.aligned)
    else:
        strides, unit = array.stride(), 1
        is_contiguous = array.is_contiguous()
    if is_contiguous:
        return
    if _overlaps_itself(tuple(array.shape), strides, unit):
        raise InvalidArgumentError(
            argument, "an array whose elements do not overlap (call .clone() or .copy())", "one that is expanded"
        )
    if contiguous:
        expected = "a C-contiguous and aligned array"
        raise InvalidArgumentError(argument, expected, f"shape {tuple(array.shape)}, strides {strides}")


def _overlaps_itself(shape: tuple[int, ...], strides: Sequence[int], unit: int) -> bool:
    if 0 in shape:
        return False
    reach = unit - 1
    for stride, count in sorted((abs(stride), count) for stride, count in zip(strides, shape, strict=True)):
        if count > 1:
            if stride <= reach:
                return True
            reach += stride * (count - 1)
    return False


def check_apart(argument: str, written: Array, **inputs: Array | None) -> None:
    """Refuse to write to memory that an input is read from."""
    for name, array in inputs.items():
        if array is not None and _shares_memory(written, array):
            raise InvalidArgumentError(argument, f"memory apart from that of {name}", "memory that they share")


def _shares_memory(a: Array, b: Array) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and np.may_share_memory(a, b)
    (a_start, a_end), (b_start, b_end) = _extent(a), _extent(b)
    return a.device == b.device and a_start < b_end and b_start < a_end


def _extent(tensor: Tensor) -> tuple[int, int]:
    """Return the addresses of the first byte and of the one after the last."""
    start = tensor.data_ptr()
    if tensor.numel() == 0:
        return start, start
    last = sum((count - 1) * stride for count, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return start, start + (last + 1) * tensor.element_size()


def _type_name(value: object) -> str:
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return "None" if value is None else f"{name}"
