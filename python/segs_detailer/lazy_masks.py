"""Masks that are drawn whenever they are read, and not held: a torch tensor to whoever takes one."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.errors import InvalidTypeError
from segs_detailer.ops.masks import resize_masks

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["is_lazy", "lazy_masks", "lazy_resized", "lazy_without"]

_BYTES_AT_ONCE = 1 << 25
"""Levels that are drawn at once, before they become floats."""


def lazy_masks(draw: Callable[[int, int], NDArray[np.uint8]], shape: tuple[int, int, int]) -> Tensor:
    """Return masks that hold no pixels: all that is asked of them draws those that it needs.

    Parameters
    ----------
    draw : callable
        Gives the levels `(n, h, w)`, 0 to 255, of the masks from one place up to another.
    shape : (int, int, int)
        Number, height and width of the masks.

    Returns
    -------
    Tensor
        A tensor `(B, h, w)` of float32 in [0, 1] on the CPU. An index or slice along the first axis draws what it
        names; every other operation draws all, and gives a plain tensor. It cannot be written to.

    Examples
    --------
    >>> import numpy as np
    >>> from segs_detailer.lazy_masks import lazy_masks
    >>> masks = lazy_masks(lambda start, stop: np.full((stop - start, 4, 6), 255, np.uint8), (1000, 4, 6))
    >>> tuple(masks.shape), float(masks[10].mean())
    ((1000, 4, 6), 1.0)
    """
    tensor: Tensor = _tensor_class()(draw, shape)
    return tensor


def is_lazy(masks: object) -> bool:
    """Whether masks are drawn when they are read; their values are numbers in [0, 1]."""
    return hasattr(type(masks), "_is_lazy_masks")


def lazy_resized(masks: Any, size: tuple[int, int]) -> Tensor:
    """Return lazy masks of another size, which still hold no pixels.

    Parameters
    ----------
    masks : Tensor
        Lazy masks `(B, h, w)`.
    size : (int, int)
        Height and width, to which they are resized as `resize_masks` does it; levels are rounded to 8 bits.
    """
    draw = masks._draw

    def drawn(start: int, stop: int) -> NDArray[np.uint8]:
        resized = resize_masks(draw(start, stop).astype(np.float32), size)
        levels: NDArray[np.uint8] = np.floor(resized + np.float32(0.5)).astype(np.uint8)
        return levels

    return lazy_masks(drawn, (len(masks), *size))


def lazy_without(masks: Any, off: NDArray[np.bool_]) -> Tensor:
    """Return lazy masks that are 0 in some places, and still hold no pixels.

    Parameters
    ----------
    masks : Tensor
        Lazy masks `(B, h, w)`.
    off : ndarray
        `(B,)` bool: where they are 0.
    """
    draw = masks._draw

    def drawn(start: int, stop: int) -> NDArray[np.uint8]:
        levels: NDArray[np.uint8] = draw(start, stop) * ~off[start:stop, None, None]
        return levels

    return lazy_masks(drawn, tuple(masks.shape))


@functools.cache
def _tensor_class() -> Any:
    """Make the class, for which torch must be there."""
    import torch
    from torch.utils._pytree import tree_map

    base: Any = torch.Tensor
    # What is asked of the outside, for which nothing is drawn.
    names = ("shape", "dtype", "device", "ndim", "layout", "requires_grad", "is_nested", "is_sparse", "is_cuda", "grad")
    outside = {getattr(base, name).__get__ for name in names}
    asked = ("size", "stride", "dim", "ndimension", "numel", "nelement", "element_size", "is_contiguous", "get_device")
    told = ("is_neg", "is_conj", "is_complex", "is_floating_point", "__len__", "__hash__")
    outside |= {getattr(base, name) for name in (*asked, *told)}

    class LazyMasks(base):  # type: ignore[misc]
        """Masks that are drawn when they are read."""

        _is_lazy_masks = True

        @staticmethod
        def __new__(cls: Any, draw: Any, shape: Any) -> Any:
            return base._make_wrapper_subclass(cls, shape, dtype=torch.float32, device="cpu")

        def __init__(self, draw: Any, _: Any) -> None:
            self._draw = draw

        def drawn(self, start: int, stop: int) -> Any:
            """Draw some of the masks: a plain tensor."""
            with torch._C.DisableTorchFunctionSubclass():
                _, height, width = self.shape
            out = np.empty((stop - start, height, width), np.float32)
            step = max(_BYTES_AT_ONCE // max(height * width, 1), 1)
            for first in range(start, stop, step):
                last = min(first + step, stop)
                np.divide(self._draw(first, last), np.float32(255), out=out[first - start : last - start])
            return torch.from_numpy(out)

        def whole(self) -> Any:
            with torch._C.DisableTorchFunctionSubclass():
                count = self.shape[0]
            return self.drawn(0, count)

        def part(self, index: Any) -> Any:
            """Draw what an index along the first axis names, else all."""
            first, *rest = index if isinstance(index, tuple) else (index,)
            with torch._C.DisableTorchFunctionSubclass():
                count = self.shape[0]
            if isinstance(first, slice) and (first.step or 1) > 0:
                start, stop, step = first.indices(count)
                own: Any = slice(None, None, step)
            elif type(first) is int and -count <= first < count:
                start, stop, own = first % count, first % count + 1, 0
            else:
                return self.whole()[index]
            return self.drawn(start, max(start, stop))[(own, *rest)]

        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func in outside:
                with torch._C.DisableTorchFunctionSubclass():
                    return func(*args, **(kwargs or {}))
            kwargs = kwargs or {}
            if args and isinstance(args[0], cls):
                if func is base.__getitem__:
                    return args[0].part(args[1])
                _refuse_writing(func)
            if isinstance(kwargs.get("out"), cls):
                raise _written()
            return func(*_drawn(args), **_drawn(kwargs))

        @classmethod
        def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return func(*_drawn(args), **_drawn(kwargs or {}))

    def _drawn(values: Any) -> Any:
        """Put drawn masks in the place of those that are not, each once."""
        done: dict[int, Any] = {}

        def one(value: Any) -> Any:
            if not isinstance(value, LazyMasks):
                return value
            if id(value) not in done:
                done[id(value)] = value.whole()
            return done[id(value)]

        return tree_map(one, values)

    return LazyMasks


def _refuse_writing(function: Any) -> None:
    """Refuse a function that writes to its first argument: nobody would see what it wrote."""
    name = getattr(function, "__name__", "")
    if name == "__setitem__" or (name.endswith("_") and not name.endswith("__")):
        raise _written()


def _written() -> InvalidTypeError:
    return InvalidTypeError("masks", "a tensor to write to (call .clone())", "one that is drawn when it is read")
