"""Transparency of video frames, in formats such as ProRes 4444, FFV1 and QuickTime Animation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from av.video.format import VideoFormat
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray

__all__ = ["alpha_of", "has_alpha", "set_alpha"]

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


def alpha_of(frame: VideoFrame) -> NDArray[np.uint8] | None:
    """Alpha `(H, W)` uint8 of a frame, deeper ones rounded; None where there is none, or it is opaque all over."""
    if not has_alpha(frame.format):
        return None
    samples, most = _samples(frame)
    alpha: NDArray[np.uint8] = ((samples.astype(np.uint32) * _OPAQUE + most // 2) // most).astype(np.uint8)
    return None if int(alpha.min()) == _OPAQUE else alpha


def set_alpha(frame: VideoFrame, alpha: NDArray[np.uint8]) -> None:
    """Write alpha `(H, W)` uint8 to a frame whose format has transparency."""
    samples, most = _samples(frame)
    samples[...] = (alpha.astype(np.uint32) * most + _OPAQUE // 2) // _OPAQUE
