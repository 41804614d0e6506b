"""Animated PNG and WebP, written frame by frame: each frame is encoded as a picture of its own."""

from __future__ import annotations

import io
import struct
import zlib
from abc import ABC, abstractmethod
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from segs_detailer.errors import MediaError
from segs_detailer.video.deep_images import png_bytes
from segs_detailer.video.image_files import to_bytes
from segs_detailer.video.partial import PartialFile
from segs_detailer.video.transparency import with_depth

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

    from segs_detailer.video.clip import ClipInfo

__all__ = ["AnimatedImageSink", "ApngWriter", "WebpWriter"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MOST_16, _MOST_24 = (1 << 16) - 1, (1 << 24) - 1
_PNG_LEVEL = 3
# Of 0 to 6: more takes several times as long, for a few percent.
_WEBP_METHOD = 2
_WEBP_ALPHA, _WEBP_ANIMATION = 0x10, 0x02
# A frame replaces the one before, and stays.
_WEBP_NO_BLENDING = 0x02


class _Writer(ABC):
    """Puts frames into a file that can be gone back in.

    Parameters
    ----------
    file : binary file
        The file, empty.
    info : ClipInfo
        The clip that the frames come from.
    """

    def __init__(self, file: IO[bytes], info: ClipInfo) -> None:
        self._file = file
        self._info = info
        self._count = 0

    @abstractmethod
    def add(self, pixels: NDArray[np.float32], alpha: NDArray[Any] | None, start: Fraction, end: Fraction) -> None:
        """Add a frame that is shown from `start` to `end`, in seconds."""

    @abstractmethod
    def finish(self) -> None:
        """Write what is known only now."""


class ApngWriter(_Writer):
    """Writes APNG with alpha, of 8 or 16 bits as the clip."""

    _sequence = 0
    _actl_place = 0

    def add(self, pixels: NDArray[np.float32], alpha: NDArray[Any] | None, start: Fraction, end: Fraction) -> None:
        """Add a frame; its time is kept to the tick."""
        height, width = pixels.shape[:2]
        chunks = list(_png_chunks(self._encoded(pixels, alpha)))
        if not self._count:
            self._file.write(_SIGNATURE)
            self._chunk(b"IHDR", next(content for name, content in chunks if name == b"IHDR"))
            self._actl_place = self._file.tell()
            self._chunk(b"acTL", bytes(8))
        numerator, denominator = _delay(end - start)
        control = struct.pack(">IIIIIHHBB", self._next(), width, height, 0, 0, numerator, denominator, 0, 0)
        self._chunk(b"fcTL", control)
        for content in (content for name, content in chunks if name == b"IDAT"):
            if self._count:
                self._chunk(b"fdAT", struct.pack(">I", self._next()) + content)
            else:
                self._chunk(b"IDAT", content)
        self._count += 1

    def finish(self) -> None:
        """Write how many frames there are."""
        self._chunk(b"IEND", b"")
        self._file.seek(self._actl_place)
        self._chunk(b"acTL", struct.pack(">II", self._count, self._info.plays))

    def _encoded(self, pixels: NDArray[np.float32], alpha: NDArray[Any] | None) -> bytes:
        if self._info.bits > 8:
            return png_bytes(pixels, _full(alpha, pixels, np.uint16))
        stream = io.BytesIO()
        pixels_and_alpha = np.dstack([to_bytes(pixels), _full(alpha, pixels, np.uint8)])
        Image.fromarray(pixels_and_alpha).save(stream, "PNG", compress_level=_PNG_LEVEL)
        return stream.getvalue()

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence - 1

    def _chunk(self, name: bytes, content: bytes) -> None:
        checked = name + content
        self._file.write(struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked)))


class WebpWriter(_Writer):
    """Writes lossless WebP with alpha; times are whole milliseconds."""

    def add(self, pixels: NDArray[np.float32], alpha: NDArray[Any] | None, start: Fraction, end: Fraction) -> None:
        """Add a frame; what is rounded of its time does not add up."""
        height, width = pixels.shape[:2]
        if not self._count:
            flags = _WEBP_ALPHA | _WEBP_ANIMATION
            canvas = bytes([flags, 0, 0, 0]) + _three(width - 1) + _three(height - 1)
            self._file.write(b"RIFF\0\0\0\0WEBP" + _riff(b"VP8X", canvas))
            self._file.write(_riff(b"ANIM", struct.pack("<IH", 0, self._info.plays)))
        stream = io.BytesIO()
        pixels_and_alpha = np.dstack([to_bytes(pixels), _full(alpha, pixels, np.uint8)])
        # What is seen through stays as it is too.
        Image.fromarray(pixels_and_alpha).save(stream, "WEBP", lossless=True, exact=True, method=_WEBP_METHOD)
        milliseconds = min(max(1, round(end * 1000) - round(start * 1000)), _MOST_24)
        place = bytes(6) + _three(width - 1) + _three(height - 1) + _three(milliseconds) + bytes([_WEBP_NO_BLENDING])
        self._file.write(_riff(b"ANMF", place + _webp_image(stream.getvalue())))
        self._count += 1

    def finish(self) -> None:
        """Write how long the file is."""
        size = self._file.tell()
        self._file.seek(4)
        self._file.write(struct.pack("<I", size - 8))


def _full(alpha: NDArray[Any] | None, pixels: NDArray[np.float32], dtype: Any) -> NDArray[Any]:
    """Return alpha in a depth, also of what is opaque: all frames of an animation are alike."""
    if alpha is None:
        return np.full(pixels.shape[:2], np.iinfo(dtype).max, dtype)
    return with_depth(alpha, dtype)


def _delay(seconds: Fraction) -> tuple[int, int]:
    """Return numerator and denominator, each of 16 bits."""
    delay = seconds.limit_denominator(_MOST_16)
    if delay.numerator > _MOST_16:
        delay = seconds.limit_denominator(max(1, int(_MOST_16 / seconds)))
    return min(delay.numerator, _MOST_16), delay.denominator


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(_SIGNATURE)
    while place < len(data):
        (size,) = struct.unpack_from(">I", data, place)
        yield data[place + 4 : place + 8], data[place + 8 : place + 8 + size]
        place += size + 12


def _three(value: int) -> bytes:
    return value.to_bytes(3, "little")


def _riff(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _webp_image(data: bytes) -> bytes:
    """Return the chunks of a WebP file that hold its pixels."""
    place, parts = 12, []
    while place < len(data):
        name, size = struct.unpack_from("<4sI", data, place)
        if name in (b"VP8 ", b"VP8L", b"ALPH"):
            parts.append(_riff(name, data[place + 8 : place + 8 + size]))
        place += 8 + size + size % 2
    return b"".join(parts)


class AnimatedImageSink:
    """Writes an animated PNG (`.apng`) or WebP; leaving it with an exception leaves no file.

    Parameters
    ----------
    path : Path
        The file.
    info : ClipInfo
        The clip that the frames come from.
    """

    def __init__(self, path: Path, info: ClipInfo) -> None:
        self._path = path
        self._info = info
        self._partial = PartialFile(path)
        self._file = self._partial.path.open("r+b")
        self._frames = 0
        kind = WebpWriter if path.suffix.lower() == ".webp" else ApngWriter
        self._writer: _Writer = kind(self._file, info)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Nothing: see `Sink.left_out`."""
        return ()

    def write(self, pixels: NDArray[np.float32], start: int, end: int, alpha: NDArray[Any] | None = None) -> None:
        """Add one frame; see `Sink.write`."""
        base = self._info.time_base
        try:
            self._writer.add(pixels, alpha, start * base, end * base)
        except (OSError, ValueError) as failure:
            raise self._failed(failure) from failure
        self._frames += 1

    def _failed(self, failure: Exception) -> MediaError:
        return MediaError(f"{self._path}: cannot be written ({failure}): choose another place or format")

    def __enter__(self) -> AnimatedImageSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._file.close()
            self._partial.discard()
            return
        try:
            with self._partial, self._file:
                if not self._frames:
                    raise MediaError(f"{self._path}: there are no frames to write")
                self._writer.finish()
        except MediaError:
            raise
        except OSError as failure:
            raise self._failed(failure) from failure
