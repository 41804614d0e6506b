"""Transparency of video frames, in formats such as ProRes 4444, FFV1 and QuickTime Animation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from av.video.format import VideoFormat
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray

__all__ = ["alpha_of", "has_alpha", "opaque_as_none", "set_alpha", "with_depth"]

_OPAQUE = 255
# Place of alpha among the samples of a pixel, where all lie in one plane; elsewhere it is the last of four.
_PACKED_PLACES = {"argb": 0, "abgr": 0, "ayuv": 0, "ayuv64le": 0, "ayuv64be": 0, "ya8": 1, "ya16le": 1, "ya16be": 1}
_LAST_PLACE = 3
_DEEPEST = 16


def has_alpha(pixel_format: VideoFormat) -> bool:
    """Whether a pixel format has transparency, in whole numbers."""
    return any(component.is_alpha and component.bits <= _DEEPEST for component in pixel_format.components)


def _samples(frame: VideoFrame) -> tuple[NDArray[Any], int]:
    """View `(H, W)` of a frame's alpha, and its value for opaque."""
    component = next(each for each in frame.format.components if each.is_alpha)
    count = sum(each.plane == component.plane for each in frame.format.components)
    plane = frame.planes[component.plane]
    dtype = np.dtype(np.uint8 if component.bits <= 8 else ">u2" if frame.format.is_big_endian else "<u2")
    rows = np.frombuffer(plane, dtype).reshape(-1, plane.line_size // dtype.itemsize)  # type: ignore[call-overload]
    place = 0 if count == 1 else _PACKED_PLACES.get(frame.format.name, _LAST_PLACE)
    return rows[: frame.height, place : frame.width * count : count], (1 << component.bits) - 1


def alpha_of(frame: VideoFrame) -> NDArray[Any] | None:
    """Alpha `(H, W)` of a frame: uint8, or uint16 from more than 8 bits; None where it is opaque all over."""
    if not has_alpha(frame.format):
        return None
    samples, most = _samples(frame)
    return opaque_as_none(_scaled(samples, most, np.dtype(np.uint16 if most > _OPAQUE else np.uint8)))


def set_alpha(frame: VideoFrame, alpha: NDArray[Any]) -> None:
    """Write alpha `(H, W)`, uint8 or uint16, to a frame whose format has transparency."""
    samples, most = _samples(frame)
    top = int(np.iinfo(alpha.dtype).max)
    samples[...] = (alpha.astype(np.uint32) * most + top // 2) // top


def with_depth(alpha: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """Return alpha of uint8 or uint16 as another of both, to the nearest value."""
    return _scaled(alpha, int(np.iinfo(alpha.dtype).max), np.dtype(dtype))


def opaque_as_none(alpha: NDArray[Any]) -> NDArray[Any] | None:
    """Return alpha, or None where it is opaque all over."""
    return None if int(alpha.min(initial=np.iinfo(alpha.dtype).max)) == np.iinfo(alpha.dtype).max else alpha


def _scaled(samples: NDArray[Any], most: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    top = int(np.iinfo(dtype).max)
    if most == top:
        return samples.astype(dtype)
    # At most 16 bits times 16 bits.
    products = samples.astype(np.uint32) * np.uint32(top) + np.uint32(most // 2)
    scaled: NDArray[Any] = (products // np.uint32(most)).astype(dtype)
    return scaled
