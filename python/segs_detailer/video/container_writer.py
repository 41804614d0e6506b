"""Writing video files through PyAV, with all that goes along with the picture in the clip they were made from."""

from __future__ import annotations

import contextlib
import math
import warnings
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

from ..errors import InvalidArgumentError, MediaError
from .colour import RgbToFrame
from .companions import Companions
from .encoders import EncoderSettings, plan_encoding
from .frame_metadata import FieldMarker
from .packet_stamps import PacketStamps
from .packets import import_av
from .partial import PartialFile
from .transparency import has_alpha, set_alpha

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    import numpy as np
    from av.container import OutputContainer
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

    from .clip import ClipInfo

__all__ = ["ContainerSink", "can_write_container", "container_format"]

_FORMAT_OF_SUFFIX = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".avi": "avi",
    ".apng": "apng",
}
_QUICKTIME_FORMATS = ("mp4", "mov")
_HEVC_APPLE_TAG = "hvc1"
# Encoders that put transparency beside their packets.
_ALPHA_BESIDE = ("libvpx", "libvpx-vp9")
# QuickTime's edit lists count in a clock of the whole file, by default of milliseconds.
_FILE_CLOCK = 1000
_FINEST_FILE_CLOCK = 1_000_000
# Of its own frames' mean duration, what the last one must pass to be held on purpose.
_HELD = 1.5
_MATROSKA_CLOCK = Fraction(1, 1000)
# AVI has a place for each tick of its clock, also where no frame begins.
_FINEST_AVI_CLOCK = Fraction(1, 1000)


def container_format(path: Path) -> str:
    """Libav's name of the format that the suffix of `path` says; empty for none that is written."""
    return _FORMAT_OF_SUFFIX.get(path.suffix.lower(), "")


def can_write_container(path: Path) -> bool:
    """Whether the suffix of `path` names a video format that can be written."""
    av = import_av()
    try:
        found = av.ContainerFormat(container_format(path), "w")
    except ValueError:
        return False
    return bool(found.is_output)


class ContainerSink:
    """Writes one video file; leaving it with an exception leaves no file.

    Frames keep their times to the tick of the clip's clock, or of the file's where that is coarser. What of the clip
    the file cannot hold is named in one warning when it is opened.

    Parameters
    ----------
    path : Path
        The file; its suffix says the format.
    info : ClipInfo
        The clip that the frames come from: size, times, codec, pixel format and color are taken from it, and
        sound, subtitles, chapters, attachments and metadata of its file are copied, see `Companions`.
    settings : EncoderSettings
        How to encode.
    keep_audio : bool
        Copy the audio streams of `info.path` too, packet by packet.

    Raises
    ------
    MediaError
        The file cannot be made, or cannot hold the sound.
    """

    def __init__(self, path: Path, info: ClipInfo, settings: EncoderSettings, *, keep_audio: bool = True) -> None:
        self._path = path
        self._info = info
        self._partial = PartialFile(path)
        self._companions: Companions | None = None
        self._lost_alpha = False
        self._container: OutputContainer | None = None
        self.left_out: tuple[str, ...] = ()
        with contextlib.ExitStack() as undo:
            # Whatever stops it, Ctrl-C too, nothing half-made remains.
            undo.callback(self._abort)
            self._open(settings, keep_audio=keep_audio)
            undo.pop_all()
        if self.left_out:
            warnings.warn(f"left out of {path}, which cannot hold it: {', '.join(self.left_out)}", stacklevel=3)

    def _open(self, settings: EncoderSettings, *, keep_audio: bool) -> None:
        av = import_av()
        name = container_format(self._path)
        self._clock = _choose_clock(self._info, name)
        try:
            self._container = av.open(
                f"file:{self._partial.path}", "w", format=name or None, container_options=self._format_options(name)
            )
            self._stream, lost = self._add_video(self._container, settings)
            if self._info.kind == "video":
                self._companions = Companions(
                    self._info, self._container, self._stream, self._path, keep_audio=keep_audio
                )
                lost = (*lost, *self._companions.left_out)
            self._container.start_encoding()
        except (MediaError, InvalidArgumentError):
            raise
        except (av.FFmpegError, ValueError, OSError) as error:
            raise self._write_error(error) from error
        self.left_out = lost

    def _format_options(self, name: str) -> dict[str, str]:
        if name not in _QUICKTIME_FORMATS:
            return {}
        options = {"movflags": "+faststart"}
        start = self._info.times[0] * self._info.time_base - self._info.origin
        if (start * _FILE_CLOCK).denominator > 1 and self._clock.denominator <= _FINEST_FILE_CLOCK:
            options["movie_timescale"] = str(self._clock.denominator)
        return options

    def _write_error(self, error: Exception) -> MediaError:
        reason = getattr(error, "strerror", None) or error
        return MediaError(f"{self._path}: cannot be written ({reason}): choose another format, codec or place")

    def _add_video(self, container: OutputContainer, settings: EncoderSettings) -> tuple[VideoStream, tuple[str, ...]]:
        plan = plan_encoding(settings, self._info, container, self._path)
        name = plan.encoder.name
        stream = cast("VideoStream", container.add_stream(name, rate=plan.rate))
        context = stream.codec_context
        context.height, context.width = self._info.size
        context.pix_fmt = plan.pix_fmt
        context.thread_count = settings.threads
        if name != "prores_ks":
            context.thread_type = "AUTO"
        context.sample_aspect_ratio = self._info.sample_aspect_ratio
        # An encoder counts frames; packets get their true times when they come out.
        self._stamps = PacketStamps(1 / plan.rate)
        context.time_base = 1 / plan.rate
        stream.time_base = self._clock
        tags = self._info.colour
        if not context.format or not context.format.is_rgb:
            context.colorspace = tags.matrix
            context.color_range = tags.range
            context.color_primaries = tags.primaries
            context.color_trc = tags.transfer
        if name == "libx265" and container.format.name in _QUICKTIME_FORMATS:
            context.codec_tag = _HEVC_APPLE_TAG
        if plan.quantizers is not None:
            context.qmin, context.qmax = plan.quantizers
            height, width = self._info.size
            context.bit_rate = round(height * width * float(plan.rate))
        context.options = plan.options
        if container.format.name in _QUICKTIME_FORMATS and _holds_last_frame(self._info):
            # There the last frame is shown as long as until the next one would be decoded.
            context.options = {**plan.options, "bf": "0"}
        if name in _ALPHA_BESIDE and context.format is not None and has_alpha(context.format):
            # Decoders look for it only if they are told.
            stream.metadata["alpha_mode"] = "1"
        self._convert = RgbToFrame(tags, plan.pix_fmt)
        self._mark = FieldMarker(self._info.interlacing) if self._info.interlacing and "flags" in plan.options else None
        return stream, plan.lost

    def write(self, pixels: NDArray[np.float32], start: int, end: int, alpha: NDArray[np.uint8] | None = None) -> None:
        """Encode one frame; see `Sink.write`. Transparency is kept by pixel formats that have it."""
        av = import_av()
        frame = self._convert(pixels)
        if alpha is not None:
            self._set_alpha(frame, alpha)
        frame.pts = self._stamps.add(self._tick(start), self._tick(end))
        frame.time_base = self._stamps.step
        if self._mark is not None:
            frame = self._mark(frame)
        try:
            if self._companions is not None:
                self._companions.send(start * self._info.time_base - self._info.origin)
            self._mux(self._stream.encode(frame))
        except av.FFmpegError as error:
            raise self._write_error(error) from error

    def _tick(self, time: int) -> int:
        """Time on the output's clock."""
        return round((time * self._info.time_base - self._info.origin) / self._clock)

    def _set_alpha(self, frame: Any, alpha: NDArray[np.uint8]) -> None:
        if has_alpha(frame.format):
            set_alpha(frame, alpha)
        elif not self._lost_alpha:
            self._lost_alpha = True
            name = frame.format.name
            warnings.warn(f"{self._path}: transparency is left out, which {name} video does not have", stacklevel=3)

    def _mux(self, packets: Any) -> None:
        if self._container is not None:
            for packet in packets:
                self._stamps.apply(packet, self._clock)
                self._container.mux(packet)

    def __enter__(self) -> ContainerSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._abort()
            return
        av = import_av()
        with contextlib.ExitStack() as undo:
            undo.callback(self._abort)
            try:
                self._mux(self._stream.encode(None))
                if self._companions is not None:
                    self._companions.send(None)
                self._close()
                self._partial.commit()
            except (av.FFmpegError, OSError) as failure:
                if isinstance(failure, MediaError):
                    raise
                raise self._write_error(failure) from failure
            undo.pop_all()

    def _close(self) -> None:
        if self._companions is not None:
            companions, self._companions = self._companions, None
            companions.close()
        if self._container is not None:
            container, self._container = self._container, None
            container.close()

    def _abort(self) -> None:
        av = import_av()
        # The reason to stop is already on its way to the caller; the file is removed whatever its end looks like.
        with contextlib.suppress(av.FFmpegError, OSError):
            self._close()
        self._partial.discard()


def _holds_last_frame(info: ClipInfo) -> bool:
    """Whether the last frame is shown for clearly longer than frames are."""
    return float((info.times[-1] - info.times[-2]) * info.time_base * info.rate) > _HELD


def _choose_clock(info: ClipInfo, name: str) -> Fraction:
    """Seconds of a tick in the output: the clip's own where its format has such, else the nearest."""
    if name in ("matroska", "webm"):
        return max(info.time_base, _MATROSKA_CLOCK)
    if name != "avi":
        return info.time_base
    if info.constant_rate:
        return 1 / info.rate
    common = math.gcd(*(end - start for start, end in pairwise(info.times)))
    return max(common * info.time_base, _FINEST_AVI_CLOCK)
