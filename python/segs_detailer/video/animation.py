"""Animations in one image file: GIF, APNG and WebP in, GIF out; see `animated_images` for the others."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from itertools import accumulate
from math import lcm
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from segs_detailer.errors import MediaError
from segs_detailer.video.clip import ClipInfo, Picture
from segs_detailer.video.image_files import IMAGE_ERRORS, CopyPixels, to_bytes
from segs_detailer.video.packets import import_av
from segs_detailer.video.partial import PartialFile
from segs_detailer.video.transparency import opaque_as_none, with_depth

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

__all__ = ["AnimationSink", "AnimationSource", "is_animation"]

_MILLISECOND = Fraction(1, 1000)
# GIF counts hundredths of a second.
_GIF_CLOCK = Fraction(1, 100)
# What browsers show for a frame that names no time, or next to none.
_DEFAULT_DURATION = Fraction(1, 10)
# From here on browsers take a frame at its word.
_LEAST_MILLISECONDS = 10
# Delays of APNG are fractions of 16 bits, whose common clock may be finer than anybody needs.
_MOST_DENOMINATOR = 65535
_FINEST_CLOCK = Fraction(1, 10**6)
_PALETTE_PIXELS = 1 << 20
_TRANSPARENT_INDEX = 255


def is_animation(path: Path) -> bool:
    """Whether a file is an image with more than one frame, or a GIF."""
    try:
        with Image.open(path) as image:
            return image.format == "GIF" or bool(getattr(image, "is_animated", False))
    except IMAGE_ERRORS:
        return False


def _duration(frame: Image.Image) -> Fraction:
    """Seconds that a frame is shown."""
    milliseconds = float(frame.info.get("duration") or 0)
    if milliseconds <= _LEAST_MILLISECONDS:
        return _DEFAULT_DURATION
    return Fraction(milliseconds / 1000).limit_denominator(_MOST_DENOMINATOR)


def _clock(durations: Sequence[Fraction]) -> Fraction:
    """Time base in which all durations are whole, milliseconds if that goes."""
    clock = Fraction(1, lcm(_MILLISECOND.denominator, *{each.denominator for each in durations}))
    return max(clock, _FINEST_CLOCK)


def _plays(image: Image.Image) -> int:
    """How often an animation is shown; 0 is for ever."""
    loop = image.info.get("loop")
    if image.format != "GIF":
        return int(loop or 0)
    # A GIF says how often it is repeated, or nothing.
    return 1 if loop is None else int(loop) + 1 if loop else 0


class AnimationSource:
    """An animated image as a clip, with the time of each frame.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    MediaError
        It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with Image.open(path) as image:
            size = (image.height, image.width)
            durations = [_duration(frame) for frame in self._frames(image)]
            plays = _plays(image)
        clock = _clock(durations)
        ends = accumulate(durations)
        times = (0, *(round(end / clock) for end in ends))
        self._info = ClipInfo(
            path=path,
            kind="animation",
            size=size,
            times=times,
            time_base=clock,
            rate=Fraction(len(durations)) / sum(durations),
            constant_rate=len(set(durations)) == 1,
            plays=plays,
        )

    def _frames(self, image: Image.Image) -> Iterator[Image.Image]:
        try:
            # The picture that programs without animation show is none of its frames.
            first = 1 if image.info.get("default_image") else 0
            for index in range(first, getattr(image, "n_frames", 1)):
                image.seek(index)
                image.load()
                yield image
        except IMAGE_ERRORS as error:
            raise MediaError(f"{self._path}: damaged after frame {image.tell()}: save it again") from error

    @property
    def info(self) -> ClipInfo:
        """Description of the animation."""
        return self._info

    def pictures(self) -> Iterator[Picture]:
        """Decode one frame after the other, each as it is shown."""
        with Image.open(self._path) as image:
            for index, frame in enumerate(self._frames(image)):
                rgba = np.asarray(frame.convert("RGBA"))
                alpha = opaque_as_none(np.ascontiguousarray(rgba[..., 3]))
                yield Picture(CopyPixels(np.ascontiguousarray(rgba[..., :3])), self._info.times[index], alpha)


class AnimationSink:
    """Writes a GIF with one palette for the whole clip, so that colors do not flicker.

    The palette can be chosen only at the end: until then frames lie as 8-bit RGB in an unnamed file beside the output.

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
        self._size = info.size
        self._has_alpha: list[bool] = []
        self._times: list[int] = []
        self._sample: list[NDArray[np.uint8]] = []
        height, width = info.size
        # Every so many pixels are looked at for the palette.
        self._step = max(1, info.frames * height * width // _PALETTE_PIXELS)
        self._next = 0

    @property
    def left_out(self) -> tuple[str, ...]:
        """Nothing: see `Sink.left_out`."""
        return ()

    def write(self, pixels: NDArray[np.float32], start: int, end: int, alpha: NDArray[Any] | None = None) -> None:
        """Take one frame; see `Sink.write`."""
        rgb = to_bytes(pixels)
        self._size = (rgb.shape[0], rgb.shape[1])
        flat = rgb.reshape(-1, 3)
        self._sample.append(flat[self._next :: self._step].copy())
        self._next = (self._next - len(flat)) % self._step
        try:
            self._waiting.write(rgb.data)
            if alpha is not None:
                self._waiting.write(np.ascontiguousarray(with_depth(alpha, np.uint8)).data)
        except OSError as failure:
            raise self._failed(failure) from failure
        self._has_alpha.append(alpha is not None)
        # The last entry is the end of the clip so far.
        self._times[-1:] = [start, end]

    def _failed(self, failure: Exception) -> MediaError:
        return MediaError(f"{self._path}: cannot be written ({failure}): choose another place")

    def _frames(self) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8] | None]]:
        """Pixels `(H, W, 3)` and alpha `(H, W)` of the frames that wait."""
        height, width = self._size
        self._waiting.seek(0)
        for has_alpha in self._has_alpha:
            pixels = np.frombuffer(self._waiting.read(height * width * 3), np.uint8).reshape(height, width, 3)
            alpha = np.frombuffer(self._waiting.read(height * width), np.uint8) if has_alpha else None
            yield pixels, None if alpha is None else alpha.reshape(height, width)

    def __enter__(self) -> AnimationSink:
        self._waiting: IO[bytes] = tempfile.TemporaryFile(dir=self._path.parent)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._waiting:
            if kind is not None:
                self._partial.discard()
                return
            av = import_av()
            try:
                with self._partial:
                    self._encode()
            except MediaError:
                raise
            except (av.FFmpegError, OSError) as failure:
                raise self._failed(failure) from failure

    def _palette(self) -> Image.Image:
        """Median-cut palette of a regular sample of all pixels; the last entry is left for transparency."""
        sample = np.concatenate(self._sample)
        return Image.fromarray(sample[None]).quantize(_TRANSPARENT_INDEX, method=Image.Quantize.MEDIANCUT)

    def _encode(self) -> None:
        av = import_av()
        if not self._has_alpha:
            raise MediaError(f"{self._path}: there are no frames to write")
        palette = self._palette()
        colors = np.zeros((256, 4), np.uint8)
        table = np.asarray(palette.getpalette(), np.uint8).reshape(-1, 3)[:_TRANSPARENT_INDEX]
        # libav's pal8 palette is native-endian 0xAARRGGBB; PyAV takes its bytes as A, R, G, B.
        colors[: len(table), 1:] = table
        colors[:_TRANSPARENT_INDEX, 0] = 255
        ticks = [round(time * self._info.time_base / _GIF_CLOCK) for time in self._times]
        # -1 is once, 0 for ever, else how often it is repeated.
        loop = str(self._info.plays - 1 if self._info.plays else 0) if self._info.plays != 1 else "-1"
        options = {"loop": loop, "final_delay": str(max(1, ticks[-1] - ticks[-2]))}
        with av.open(f"file:{self._partial.path}", "w", format="gif", container_options=options) as container:
            stream = container.add_stream("gif", rate=Fraction(100))
            height, width = self._size
            stream.codec_context.height, stream.codec_context.width = height, width
            stream.codec_context.pix_fmt = "pal8"
            stream.codec_context.time_base = _GIF_CLOCK
            for (pixels, alpha), tick in zip(self._frames(), ticks, strict=False):
                frame = av.VideoFrame.from_ndarray((self._indices(pixels, alpha, palette), colors), format="pal8")
                frame.pts, frame.time_base = tick, _GIF_CLOCK
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))

    @staticmethod
    def _indices(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8] | None, palette: Image.Image) -> NDArray[np.uint8]:
        quantized = Image.fromarray(pixels).quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
        indices: NDArray[Any] = np.array(quantized, np.uint8)
        if alpha is not None:
            indices[alpha < 128] = _TRANSPARENT_INDEX
        return indices
