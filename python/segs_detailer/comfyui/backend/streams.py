"""Latents of pictures alone, or beside those of sound: what a graph calls nested."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from segs_detailer.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Size, Tensor

__all__ = ["from_pack", "is_nested", "nested", "of_pictures", "streams_of", "to_pack"]


def is_nested(value: Any) -> bool:
    """Whether latents, noise or masks are those of several streams."""
    # Tensors of torch have the same attribute, and mean another thing by it that no graph uses.
    return bool(getattr(value, "is_nested", False))


def streams_of(value: Any) -> list[Tensor]:
    """Return the streams: pictures first."""
    return list(value.unbind()) if is_nested(value) else [value]


def nested(streams: Sequence[Tensor]) -> Any:
    """Bind streams together.

    Raises
    ------
    ModelError
        This ComfyUI is from before there were such latents.
    """
    if len(streams) == 1:
        return streams[0]
    try:
        from comfy.nested_tensor import NestedTensor
    except ImportError as error:
        raise ModelError("this ComfyUI knows no latents of pictures and sound: update it") from error
    return NestedTensor(tuple(streams))


def from_pack(pack: Tensor, shapes: Sequence[Size]) -> list[Tensor]:
    """Take apart what samplers see of several streams.

    Parameters
    ----------
    pack : Tensor
        `(B, 1, n)`: the streams' numbers, one stream after the other; of one stream, the stream.
    shapes : sequence of Size
        Shapes of the streams.

    Returns
    -------
    list of Tensor
        Views of the streams.
    """
    if len(shapes) == 1:
        return [pack]
    sizes = [math.prod(shape[1:]) for shape in shapes]
    return [
        part.reshape(len(pack), *shape[1:])
        for part, shape in zip(torch.split(pack, sizes, dim=-1), shapes, strict=True)
    ]


def to_pack(streams: Sequence[Tensor]) -> Tensor:
    """Put streams together as samplers see them, see `from_pack`."""
    if len(streams) == 1:
        return streams[0]
    return torch.cat([stream.reshape(len(stream), 1, -1) for stream in streams], dim=-1)


def of_pictures(value: Any, shapes: Sequence[Size]) -> Tensor:
    """Return the pictures of what a callback gets: nested latents, or, of older programs, their pack."""
    return streams_of(value)[0] if is_nested(value) else from_pack(value, shapes)[0]
