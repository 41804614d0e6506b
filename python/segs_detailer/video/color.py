"""Color conversion between whole video frames and RGB in [0, 1], the same matrix and range both ways.

The conversion is libswscale's, through planar 32-bit float RGB: bicubic chroma one way and area averaging the other
bring an 8-bit 4:2:0 frame back almost unchanged (mean error 0.001 of a luma step, 0.01 of a chroma step), which 8-bit
RGB between the two cannot. Samples of more than 8 bits keep their precision. Only full range is written here, stretched
from limited range in 16 bits, where libswscale is exact.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from av.video.format import VideoFormat
    from av.video.frame import VideoFrame
    from av.video.plane import VideoPlane
    from numpy.typing import NDArray

__all__ = ["ColorTags", "FrameToFrame", "FrameToRgb", "RgbToFrame", "matrix_weights", "sample_bits"]

# Numbers of libav's AVColorSpace and AVColorRange, and of libswscale's SWS_CS_* tables.
_MATRIX_TO_SWS = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
_SWS_BT709 = 1
# Weights of red and blue in luma, by libswscale's numbers (ITU-T H.273, table 4).
_WEIGHTS = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}
# Given for the RGB side too, where it means nothing: without it PyAV below 17 leaves out the matrix of the other side.
_SWS_BT601 = 5
_RANGE_LIMITED = 1
_RANGE_FULL = 2
# libswscale's SWS_* flags, which PyAV takes as numbers; it has names for all of them only since version 17: bicubic or
# area averaging, accurate rounding, chroma at full width.
_TO_RGB = 0x4 | 0x40000 | 0x2000
_FROM_RGB = 0x20 | 0x40000 | 0x4000
_REDUCED = 0x20 | 0x40000 | 0x2000 | 0x4000
# Untagged video is BT.709 from this height on, as players assume.
_HD_HEIGHT = 720
# White of 8 bits, and of limited range of any depth, in libswscale's float RGB; see `_white_level`.
_LIMITED_WHITE = 255 * 256 / 65535
# Luma samples per chroma sample, across and down.
_CHROMA_LAYOUTS = {(1, 1): "444", (2, 1): "422", (2, 2): "420"}
# PyAV's planar order of gbrp formats.
_PLANE_CHANNELS = (1, 2, 0)
_FLOAT_FORMAT = "gbrpf32le"
_DEEPEST = 16


@dataclass(frozen=True, slots=True)
class ColorTags:
    """Color description of a video stream, in libav's own numbers (0 or 2 is unspecified).

    Parameters
    ----------
    matrix, range, primaries, transfer : int
        `AVColorSpace`, `AVColorRange`, `AVColorPrimaries` and `AVColorTransferCharacteristic`.
    """

    matrix: int = 2
    range: int = 0
    primaries: int = 2
    transfer: int = 2

    def is_full_range(self, pix_fmt: str) -> bool:
        """Whether samples of `pix_fmt` use every code value."""
        return self.range == _RANGE_FULL or pix_fmt.startswith("yuvj")

    def conversion_matrix(self, height: int) -> int:
        """Matrix to convert with, as libswscale numbers it, for frames of `height` pixels."""
        default = _SWS_BT709 if height >= _HD_HEIGHT else _SWS_BT601
        return _MATRIX_TO_SWS.get(self.matrix, default)


def matrix_weights(tags: ColorTags, height: int) -> tuple[float, float]:
    """Weights of red and blue in luma, in frames of `height` pixels."""
    return _WEIGHTS[tags.conversion_matrix(height)]


def sample_bits(pixel_format: VideoFormat) -> int:
    """Bits of one sample of the first component."""
    return int(pixel_format.components[0].bits)


def _white_level(pixel_format: VideoFormat, *, full_range: bool) -> float:
    """Value of white in libswscale's float RGB.

    libswscale widens samples to 16 bits by shifting, so that white is 255 * 256 and not 65535; limited-range video of
    any depth comes out at that level too.
    """
    bits = sample_bits(pixel_format)
    if bits >= 32:
        return 1.0
    if bits <= 8 or not (full_range or pixel_format.is_rgb):
        return _LIMITED_WHITE
    return float(((1 << bits) - 1) << (16 - bits)) / 65535.0


def _float_planes(frame: VideoFrame) -> list[NDArray[np.float32]]:
    planes = []
    for plane in frame.planes:
        rows = np.frombuffer(plane, np.float32)  # type: ignore[call-overload]
        planes.append(rows.reshape(-1, plane.line_size // 4)[: frame.height, : frame.width])
    return planes


def _samples_alone(frame: VideoFrame, pix_fmt: str | None = None) -> VideoFrame:
    """Copy of a frame that says nothing of its samples: libswscale heeds some of that since PyAV 17.

    Decoders of H.264 and HEVC say where chroma samples lie; the frames that go to an encoder cannot, and chroma would
    move by half a pixel each time a clip is read and written. PyAV 17.0 converts transfers and primaries too.

    Parameters
    ----------
    frame : VideoFrame
        The frame.
    pix_fmt : str or None
        Another name of its format.
    """
    import av

    copy = av.VideoFrame(frame.width, frame.height, pix_fmt or frame.format.name)
    for source, target in zip(frame.planes, copy.planes, strict=True):
        rows, place = (np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size) for plane in (source, target))  # type: ignore[call-overload]
        length = min(source.line_size, target.line_size)
        place[: source.height, :length] = rows[: source.height, :length]
    return copy


def _is_byte_rgb(pixel_format: VideoFormat) -> bool:
    return bool(pixel_format.is_rgb) and sample_bits(pixel_format) == 8


def _reformatter() -> Callable[..., VideoFrame]:
    """Make a converter between pixel formats that works on the thread that calls it, and for several of them at once.

    With threads of its own, libswscale's slices come out wrong now and then where a frame's height is no multiple of
    them. And what it keeps from one frame to the next serves one thread only: each gets its own.
    """
    import av
    from av.video.reformatter import VideoReformatter

    # PyAV is threaded here from version 17 on, and knows the argument since.
    options: dict[str, Any] = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}
    own = threading.local()

    def reformat(frame: VideoFrame, **wanted: Any) -> VideoFrame:
        if not hasattr(own, "reformatter"):
            own.reformatter = VideoReformatter()
        converted: VideoFrame = own.reformatter.reformat(frame, **options, **wanted)
        return converted

    return reformat


def _planar_format(pixel_format: VideoFormat) -> tuple[str, str]:
    """Layout of chroma ("420"), and a format of one plane per component that `pixel_format` is, or is repacked from."""
    name, bits = pixel_format.name, sample_bits(pixel_format)
    if len(pixel_format.components) == 1:
        return "444", "gray" if bits <= 8 else f"gray{bits}le"
    step = (16 // pixel_format.chroma_width(16), 16 // pixel_format.chroma_height(16))
    chroma = _CHROMA_LAYOUTS.get(step, "444")
    planar = f"yuv{chroma}p" + (f"{bits}le" if bits > 8 else "")
    return chroma, name if name == planar.replace("yuv", "yuvj") else planar


def _stretch(limited: VideoPlane, full: VideoPlane, bits: int, *, is_chroma: bool) -> None:
    """Write samples of limited range in 16 bits as samples of full range, nearest first (ITU-T H.273, 8.3)."""
    source = np.frombuffer(limited, np.uint16).reshape(-1, limited.line_size // 2)  # type: ignore[call-overload]
    target = np.frombuffer(full, np.uint8 if bits == 8 else np.uint16)  # type: ignore[call-overload]
    target = target.reshape(full.height, -1)[:, : full.width]
    top = (1 << bits) - 1
    span, low = (224 * 256, 128 * 256) if is_chroma else (219 * 256, 16 * 256)
    values = source[: full.height, : full.width].astype(np.float32)
    values *= np.float32(top / span)
    # Half a step, so that the cast rounds.
    values += np.float32((1 << (bits - 1) if is_chroma else 0) + 0.5 - low * top / span)
    np.clip(values, 0, top, out=values)
    target[...] = values


class FrameToRgb:
    """Converts the decoded frames of one stream to RGB.

    Parameters
    ----------
    tags : ColorTags
        The stream's color description.
    """

    def __init__(self, tags: ColorTags) -> None:
        self._tags = tags
        self._reformat = _reformatter()

    def __call__(self, frame: VideoFrame, out: NDArray[np.float32]) -> None:
        """Write `frame` to `out` `(H, W, 3)` float32 in [0, 1]."""
        if _is_byte_rgb(frame.format) or frame.format.name in ("pal8", "gray"):
            np.divide(self._reformat(frame, format="rgb24").to_ndarray(), np.float32(255), out=out)
            return
        full = self._is_full(frame)
        source = self._source(frame)
        rgb = self._reformat(_samples_alone(frame), format=_FLOAT_FORMAT, interpolation=_TO_RGB, **source)
        scale = np.float32(1.0 / _white_level(frame.format, full_range=full))
        for channel, plane in zip(_PLANE_CHANNELS, _float_planes(rgb), strict=True):
            np.multiply(plane, scale, out=out[..., channel])
        np.minimum(out, np.float32(1), out=out)

    def reduced(self, frame: VideoFrame, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Convert `frame` to a picture of a smaller size `(h, w)`: means of areas, `(h, w, 3)` uint8.

        Colors are those of the whole frame within four steps of 8 bits: enough to find something in it.
        """
        options = {"width": size[1], "height": size[0], "format": "rgb24", "interpolation": _REDUCED}
        if _is_byte_rgb(frame.format) or frame.format.name in ("pal8", "gray"):
            small = self._reformat(self._reformat(frame, format="rgb24"), **options)
        else:
            small = self._reformat(_samples_alone(frame), **options, **self._source(frame))
        pixels: NDArray[Any] = small.to_ndarray()
        return pixels

    def _is_full(self, frame: VideoFrame) -> bool:
        return self._tags.is_full_range(frame.format.name) or frame.format.name.startswith("gray")

    def _source(self, frame: VideoFrame) -> dict[str, Any]:
        """Say what libswscale is told of the samples."""
        if frame.format.is_rgb:
            return {}
        return {
            "src_colorspace": self._tags.conversion_matrix(frame.height),
            "dst_colorspace": _SWS_BT601,
            "src_color_range": _RANGE_FULL if self._is_full(frame) else _RANGE_LIMITED,
        }


class RgbToFrame:
    """Converts RGB arrays to frames of one encoder.

    Parameters
    ----------
    tags : ColorTags
        The color description that the frames get.
    pix_fmt : str
        The encoder's pixel format.
    """

    def __init__(self, tags: ColorTags, pix_fmt: str) -> None:
        from av.video.format import VideoFormat

        self._tags = tags
        self._format = VideoFormat(pix_fmt)
        self._reformat = _reformatter()

    def __call__(self, pixels: NDArray[np.float32]) -> VideoFrame:
        """Frame of `pixels` `(H, W, 3)` float32; values outside [0, 1] are clipped."""
        name = self._format.name
        if self._format.is_rgb or name == "pal8":
            return self._rgb_frame(pixels)
        if self._tags.is_full_range(name) or name.startswith("gray"):
            frame = self._full_range_frame(pixels)
        else:
            frame = self._limited_frame(pixels, name)
        frame.colorspace = self._tags.matrix
        frame.color_range = self._tags.range or (_RANGE_FULL if name.startswith("yuvj") else 0)
        return frame

    def _rgb_frame(self, pixels: NDArray[np.float32]) -> VideoFrame:
        import av

        if sample_bits(self._format) > 8:
            white = _white_level(self._format, full_range=True)
            return self._reformat(self._float_frame(pixels, white), format=self._format.name, interpolation=_FROM_RGB)
        bytes_rgb = np.clip(pixels * np.float32(255) + np.float32(0.5), 0, 255).astype(np.uint8)
        rgb = av.VideoFrame.from_ndarray(bytes_rgb, format="rgb24")
        return self._reformat(rgb, format=self._format.name, interpolation=_FROM_RGB)

    def _limited_frame(self, pixels: NDArray[np.float32], name: str) -> VideoFrame:
        rgb = self._float_frame(pixels, _LIMITED_WHITE)
        matrix = self._tags.conversion_matrix(pixels.shape[0])
        return self._reformat(
            rgb,
            format=name,
            interpolation=_FROM_RGB,
            src_colorspace=_SWS_BT601,
            dst_colorspace=matrix,
            dst_color_range=_RANGE_LIMITED,
        )

    def _full_range_frame(self, pixels: NDArray[np.float32]) -> VideoFrame:
        """Limited range in 16 bits, stretched here.

        What libswscale itself writes as full range is half a step of chroma too low in 8 bits, and up to three steps
        of luma too high in 10: a clip would change its colors each time that it is read and written.
        """
        import av

        name = self._format.name
        chroma, planar = _planar_format(self._format)
        limited = self._limited_frame(pixels, f"yuv{chroma}p16le")
        frame = av.VideoFrame(limited.width, limited.height, planar)
        for index, target in enumerate(frame.planes):
            _stretch(limited.planes[index], target, sample_bits(frame.format), is_chroma=index > 0)
        if planar == name:
            return frame
        return self._reformat(frame, format=name, src_color_range=_RANGE_FULL, dst_color_range=_RANGE_FULL)

    @staticmethod
    def _float_frame(pixels: NDArray[np.float32], white: float) -> VideoFrame:
        import av

        height, width = pixels.shape[:2]
        rgb = av.VideoFrame(width, height, _FLOAT_FORMAT)
        for channel, plane in zip(_PLANE_CHANNELS, _float_planes(rgb), strict=True):
            np.multiply(pixels[..., channel], np.float32(white), out=plane)
            np.clip(plane, 0, np.float32(white), out=plane)
        return rgb


class FrameToFrame:
    """Converts frames of one stream to the pixel format of an encoder, without a detour through RGB.

    What RGB cannot show, levels outside 16 to 235 and colors outside its gamut, stays.

    Parameters
    ----------
    tags : ColorTags
        The color description of both.
    pix_fmt : str
        The encoder's pixel format.
    """

    def __init__(self, tags: ColorTags, pix_fmt: str) -> None:
        from av.video.format import VideoFormat

        self._tags = tags
        self._format = VideoFormat(pix_fmt)
        self._reformat = _reformatter()

    def takes(self, pix_fmt: str) -> bool:
        """Whether frames of a format become just what they show: libswscale is exact where no range is stretched."""
        from av.video.format import VideoFormat

        name, source = self._format.name, VideoFormat(pix_fmt)
        if _same_samples(pix_fmt, name):
            return self._tags.is_full_range(pix_fmt) == self._tags.is_full_range(name)
        is_exact = not (self._tags.is_full_range(pix_fmt) or self._tags.is_full_range(name))
        kinds = [(len(each.components), each.is_rgb, each.has_palette) for each in (source, self._format)]
        return (
            is_exact
            and kinds[0] == kinds[1] in ((3, False, False), (4, False, False))
            and sample_bits(source) <= sample_bits(self._format) <= _DEEPEST
        )

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        """Frame in the encoder's format: `frame` itself where it is in it already."""
        name = self._format.name
        if frame.format.name == name:
            return frame
        if _same_samples(frame.format.name, name):
            converted = _samples_alone(frame, name)
        else:
            same = {"src_color_range": _RANGE_LIMITED, "dst_color_range": _RANGE_LIMITED}
            matrix = self._tags.conversion_matrix(frame.height)
            converted = self._reformat(
                _samples_alone(frame),
                format=name,
                interpolation=_FROM_RGB,
                src_colorspace=matrix,
                dst_colorspace=matrix,
                **same,
            )
        converted.colorspace, converted.color_range = self._tags.matrix, self._tags.range
        return converted


def _same_samples(one: str, other: str) -> bool:
    """Whether two pixel formats differ at most in what their names say of the range."""
    return one.replace("yuvj", "yuv") == other.replace("yuvj", "yuv")
