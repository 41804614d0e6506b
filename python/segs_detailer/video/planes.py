"""Decoded frames as they are: regions of their planes are converted to RGB or pasted over, and the rest is left.

What a decoder gives is never written to before it was copied: decoders hold frames that later ones refer to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from segs_detailer.ops.planes import PlaneFormat, blend_planes, planes_to_rgb
from segs_detailer.video.color import ColorTags, matrix_weights
from segs_detailer.video.orientation import Orientation

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray


__all__ = ["CodedFrame", "FrameLayout", "Window", "coded_bytes", "layout_of"]

Window: TypeAlias = tuple[int, int, int, int]
"""`(x1, y1, x2, y2)` in whole pixels, half open; it may pass the edges."""

# Luma pixels per chroma sample, across and down.
_STEPS = {"444": (1, 1), "440": (1, 2), "422": (2, 1), "420": (2, 2), "411": (4, 1), "410": (4, 4)}
_PLANAR = re.compile(r"yuv(a?)j?(4\d\d)p(?:(\d+)le)?")
_SEMI_PLANAR = re.compile(r"(?:nv(12|21|16|24|42)|p([024])(1\d)le)")
_PLANAR_RGB = re.compile(r"gbr(a?)p(?:(\d+)le)?")
_PACKED_RGB = re.compile(r"([rgba0x]{3,4})(24|48le|64le)?")
_PACKED_YUV = {"yuyv422": (0, 1, 3), "uyvy422": (1, 0, 2), "yvyu422": (0, 3, 1)}
# Codecs whose chroma lies in the middle of its pixels; elsewhere it lies below the left ones (ITU-T H.264, figure 6-1).
_CENTERED = ("mjpeg", "mpeg1video")
# Chroma rows of the two fields of interlaced 4:2:0, in lines of a field (ITU-T H.264, figure 6-2).
_FIELD_CHROMA = (0.25, 0.75)
_FIELD_ROWS = 4
_DEEPEST = 16
_MOST_SAMPLES = 4


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the samples of a component lie: in which plane, and the first one and the step along a row, in samples."""

    plane: int
    first: int = 0
    step: int = 1


@dataclass(frozen=True, slots=True)
class FrameLayout:
    """Where the samples of a pixel format lie, and what they mean.

    Parameters
    ----------
    planes : PlaneFormat
        What they mean, as the frame is coded.
    dtype : dtype
        uint8 or uint16.
    places : tuple
        Of luma and both chromas, or red, green and blue; then of alpha, if there is any.
    """

    planes: PlaneFormat
    dtype: np.dtype[Any]
    places: tuple[_Place, ...]

    def views(self, frame: VideoFrame) -> list[NDArray[Any]]:
        """View each component of a frame: `(h, w)`, in the frame's own memory."""
        return [self._view(frame, index) for index in range(len(self.places))]

    def _view(self, frame: VideoFrame, index: int) -> NDArray[Any]:
        place, size = self.places[index], self.dtype.itemsize
        plane = frame.planes[place.plane]
        rows = np.frombuffer(plane, self.dtype).reshape(-1, plane.line_size // size)  # type: ignore[call-overload]
        across, down = (self.planes.step_x, self.planes.step_y) if index in (1, 2) else (1, 1)
        height, width = -(-frame.height // down), -(-frame.width // across)
        view: NDArray[Any] = rows[:height, place.first :: place.step][:, :width]
        return view

    def can_turn(self, orientation: Orientation, size: tuple[int, int]) -> bool:
        """Whether frames of `(height, width)` as coded can be turned so without resampling their chroma."""
        if orientation.is_upright:
            return True
        across, down = self.planes.step_x, self.planes.step_y
        is_whole = size[0] % down == 0 and size[1] % across == 0
        return is_whole and (across == down or not orientation.transposed)


@lru_cache(maxsize=64)
def layout_of(pix_fmt: str, tags: ColorTags, height: int, codec: str | None = None) -> FrameLayout | None:
    """Tell where the samples of a pixel format lie.

    Parameters
    ----------
    pix_fmt : str
        Its name as libav knows it.
    tags : ColorTags
        Range and matrix of YUV samples.
    height : int
        Of the frames as coded: it decides the matrix where that is not said.
    codec : str or None
        Of the stream: it tells where chroma lies.

    Returns
    -------
    FrameLayout or None
        None for formats of which single regions cannot be converted: palettes, gray, floats, other byte orders.
    """
    found = _planar(pix_fmt) or _semi_planar(pix_fmt) or _rgb(pix_fmt)
    if found is None:
        return None
    samples, places = found
    if samples.matrix is not None:
        middle = (samples.step_x - 1) / 2
        samples = replace(
            samples,
            full_range=tags.is_full_range(pix_fmt),
            matrix=matrix_weights(tags, height),
            chroma_x=middle if codec in _CENTERED else 0.0,
            chroma_y=(samples.step_y - 1) / 2,
        )
    return FrameLayout(samples, np.dtype(np.uint8 if samples.bits <= 8 else np.uint16), places)


def coded_bytes(size: tuple[int, int], bits: int, pix_fmt: str | None) -> int:
    """Bytes of a decoded frame of `(height, width)` pixels, at most; None is the format of images."""
    height, width = size
    sample = 1 if bits <= 8 else 2 if bits <= _DEEPEST else 4
    layout = layout_of(pix_fmt, ColorTags(), height) if pix_fmt else None
    if layout is None:
        return _MOST_SAMPLES * height * width * sample
    samples = layout.planes
    chroma = 2 * -(-height // samples.step_y) * -(-width // samples.step_x)
    # Packed RGB may have a fourth sample that means nothing.
    full = max(len(layout.places), layout.places[0].step if samples.matrix is None else 0) - 2
    return (height * width * full + chroma) * sample


def _planar(name: str) -> tuple[PlaneFormat, tuple[_Place, ...]] | None:
    found = _PLANAR.fullmatch(name)
    if found is None or found[2] not in _STEPS:
        return None
    places = tuple(_Place(index) for index in range(4 if found[1] else 3))
    return PlaneFormat(int(found[3] or 8), False, (0.0, 0.0), *_STEPS[found[2]]), places


def _semi_planar(name: str) -> tuple[PlaneFormat, tuple[_Place, ...]] | None:
    if name in _PACKED_YUV:
        luma, blue, red = _PACKED_YUV[name]
        return PlaneFormat(8, False, (0.0, 0.0), 2, 1), (_Place(0, luma, 2), _Place(0, blue, 4), _Place(0, red, 4))
    found = _SEMI_PLANAR.fullmatch(name)
    if found is None:
        return None
    chroma = [_Place(1, 0, 2), _Place(1, 1, 2)]
    if found[1]:
        steps = _STEPS[{"12": "420", "21": "420", "16": "422"}.get(found[1], "444")]
        places = (_Place(0), *(reversed(chroma) if found[1] in ("21", "42") else chroma))
        return PlaneFormat(8, False, (0.0, 0.0), *steps), places
    bits = int(found[3])
    steps = _STEPS[{"0": "420", "2": "422", "4": "444"}[found[2]]]
    return PlaneFormat(bits, False, (0.0, 0.0), *steps, shift=16 - bits), (_Place(0), *chroma)


def _rgb(name: str) -> tuple[PlaneFormat, tuple[_Place, ...]] | None:
    found = _PLANAR_RGB.fullmatch(name)
    if found is not None:
        places = tuple(_Place(index) for index in ((2, 0, 1, 3) if found[1] else (2, 0, 1)))
        return PlaneFormat(int(found[2] or 8), True, None), places
    found = _PACKED_RGB.fullmatch(name)
    if found is None or not set("rgb") <= set(found[1]):
        return None
    order = found[1]
    places = tuple(_Place(0, order.index(each), len(order)) for each in "rgba" if each in order)
    return PlaneFormat(16 if (found[2] or "").endswith("le") else 8, True, None), places


class CodedFrame:
    """A decoded frame, shown upright.

    Parameters
    ----------
    frame : VideoFrame
        What the decoder gave.
    layout : FrameLayout or None
        Where its samples lie; None where single regions of it cannot be converted.
    orientation : Orientation
        How it is turned to be shown; one that `FrameLayout.can_turn`.
    interlaced : bool
        It holds two fields, each with chroma of its own.
    """

    __slots__ = ("_frame", "_interlaced", "_layout", "_orientation", "_owned")

    def __init__(
        self, frame: VideoFrame, layout: FrameLayout | None, orientation: Orientation, *, interlaced: bool = False
    ) -> None:
        self._frame = frame
        self._layout = layout
        self._orientation = orientation
        self._interlaced = interlaced and layout is not None and layout.planes.step_y > 1
        self._owned = False
        if self._interlaced and (frame.height % _FIELD_ROWS or not orientation.is_upright):
            self._layout = None

    @property
    def has_regions(self) -> bool:
        """Whether single regions can be converted and pasted over."""
        return self._layout is not None

    @property
    def pix_fmt(self) -> str:
        """Name of its pixel format as libav knows it."""
        name: str = self._frame.format.name
        return name

    @property
    def frame(self) -> VideoFrame:
        """The frame for an encoder, upright: the decoder's own where it is shown as it is coded."""
        if not self._orientation.is_upright:
            self._turn()
        return self._frame

    def rgb(self, window: Window, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Convert a region to RGB; beyond the edges the nearest pixels are repeated.

        Parameters
        ----------
        window : (int, int, int, int)
            The region.
        out : ndarray or None
            Memory for the result.

        Returns
        -------
        ndarray
            `(h, w, 3)` float32 in [0, 1].
        """
        x1, y1, x2, y2 = window
        pixels = np.empty((y2 - y1, x2 - x1, 3), np.float32) if out is None else out
        for planes, samples, first, step in self._fields():
            low, high = _rows(y1, y2, first, step)
            if step == 1:
                planes_to_rgb(planes, samples, window, out=pixels)
            else:
                pixels[low * step + first - y1 :: step] = planes_to_rgb(planes, samples, (x1, low, x2, high))
        return pixels

    def paste(self, overlay: NDArray[np.float32], window: Window) -> None:
        """Blend into the frame; samples in which the overlay has no share keep their bits.

        Parameters
        ----------
        overlay : ndarray
            `(h, w, 4)` float32: red, green and blue times alpha, and alpha, in [0, 1].
        window : (int, int, int, int)
            Where it lies.
        """
        if not self._orientation.is_upright:
            self._turn()
        if not self._owned:
            # A copy, unless nobody else holds it.
            self._frame.make_writable()
            self._owned = True
        x1, y1, x2, y2 = window
        for planes, samples, first, step in self._fields():
            low, high = _rows(y1, y2, first, step)
            part = overlay if step == 1 else np.ascontiguousarray(overlay[low * step + first - y1 :: step])
            blend_planes(planes, samples, part, (x1, low, x2, high))

    def _fields(self) -> list[tuple[list[NDArray[Any]], PlaneFormat, int, int]]:
        """View the components of each field, and tell what they mean, its first row and the step to its next."""
        if self._layout is None:
            raise ValueError("no region of this frame can be converted")
        turned = self._orientation
        views = [turned.apply(view) for view in self._layout.views(self._frame)[:3]]
        samples = _turned(self._layout.planes, turned)
        if not self._interlaced:
            return [(views, samples, 0, 1)]
        return [
            ([view[field::2] for view in views], replace(samples, chroma_y=chroma), field, 2)
            for field, chroma in enumerate(_FIELD_CHROMA)
        ]

    def _turn(self) -> None:
        """Turn all samples upright, to memory of our own."""
        import av

        frame, turn = self._frame, self._orientation
        if self._layout is None:
            raise ValueError("this frame cannot be turned")
        size = (frame.height, frame.width) if turn.transposed else (frame.width, frame.height)
        upright = av.VideoFrame(*size, frame.format.name)
        layout = replace(self._layout, planes=_turned(self._layout.planes, turn))
        for source, target in zip(self._layout.views(frame), layout.views(upright), strict=True):
            target[...] = turn.apply(source)
        upright.colorspace, upright.color_range = frame.colorspace, frame.color_range
        self._frame, self._layout, self._orientation, self._owned = upright, layout, Orientation(), True


def _rows(y1: int, y2: int, first: int, step: int) -> tuple[int, int]:
    """Rows of a field, counted within it, that lie in some rows of a frame."""
    return -((first - y1) // step), -((first - y2) // step)


def _turned(samples: PlaneFormat, turn: Orientation) -> PlaneFormat:
    """Say of planes that are turned where their chroma lies then."""
    across, down = (samples.step_x, samples.chroma_x), (samples.step_y, samples.chroma_y)
    if turn.transposed:
        across, down = down, across
    if turn.flipped_x:
        across = (across[0], across[0] - 1 - across[1])
    if turn.flipped_y:
        down = (down[0], down[0] - 1 - down[1])
    return replace(samples, step_x=across[0], chroma_x=across[1], step_y=down[0], chroma_y=down[1])
