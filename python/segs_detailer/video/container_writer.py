"""Writing video files through PyAV, with all that goes along with the picture in the clip they were made from."""

from __future__ import annotations

import contextlib
import math
import warnings
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

from segs_detailer.errors import InvalidArgumentError, MediaError
from segs_detailer.video.color import FrameToFrame, RgbToFrame
from segs_detailer.video.companions import Companions
from segs_detailer.video.copying import JoinedPicture, layout_of, nothing_left, plan_copies, reason_against
from segs_detailer.video.encoders import ALPHA_BESIDE, EncoderSettings, plan_encoding
from segs_detailer.video.frame_metadata import FieldMarker
from segs_detailer.video.muxer_trial import Nowhere
from segs_detailer.video.packet_stamps import PacketStamps
from segs_detailer.video.packets import import_av
from segs_detailer.video.partial import PartialFile
from segs_detailer.video.sequences import VIDEO_FORMATS
from segs_detailer.video.transparency import has_alpha, set_alpha

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    import numpy as np
    from av.container import OutputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

    from segs_detailer.video.clip import ClipInfo
    from segs_detailer.video.encoders import EncodingPlan
    from segs_detailer.video.planes import CodedFrame

__all__ = ["ContainerSink", "can_write_container", "container_losses", "untouched_share"]

_QUICKTIME_FORMATS = ("mp4", "mov")
_NO_PICTURE_TYPE = 0
_HEVC_APPLE_TAG = "hvc1"
# Tags of pictures whose parameters lie in the stream, where they may change.
_IN_STREAM_TAGS = {"h264": "avc3", "hevc": "hev1"}
# QuickTime's edit lists count in a clock of the whole file, by default of milliseconds.
_FILE_CLOCK = 1000
_FINEST_FILE_CLOCK = 1_000_000
# Of its own frames' mean duration, what the last one must pass to be held on purpose.
_HELD = 1.5
_MATROSKA_CLOCK = Fraction(1, 1000)
# AVI has a place for each tick of its clock, also where no frame begins.
_FINEST_AVI_CLOCK = Fraction(1, 1000)


def _container_format(path: Path) -> str:
    """Libav's name of the format that the suffix of `path` says; empty for none that is written."""
    return VIDEO_FORMATS.get(path.suffix.lower(), "")


def can_write_container(path: Path) -> bool:
    """Whether the suffix of `path` names a video format that can be written."""
    av = import_av()
    try:
        found = av.ContainerFormat(_container_format(path), "w")
    except ValueError:
        return False
    return bool(found.is_output)


class _Output:
    """A video file whose header is written, and all that frames and packets go through on their way into it.

    Parameters
    ----------
    file : str or file-like
        Where libav writes.
    path : Path
        The output's name: its suffix says the format, and messages name it.
    info, settings, keep_audio
        As in `ContainerSink`.
    """

    def __init__(self, file: Any, path: Path, info: ClipInfo, settings: EncoderSettings, *, keep_audio: bool) -> None:
        self._path = path
        self._info = info
        self.companions: Companions | None = None
        self.container: OutputContainer | None = None
        self.left_out: tuple[str, ...] = ()
        self.not_copied: str | None = None
        with contextlib.ExitStack() as undo:
            # Whatever stops it, Ctrl-C too, nothing stays open.
            undo.callback(self.abort)
            self._open(file, settings, keep_audio=keep_audio)
            undo.pop_all()

    def _open(self, file: Any, settings: EncoderSettings, *, keep_audio: bool) -> None:
        av = import_av()
        name = _container_format(self._path)
        self.clock = _choose_clock(self._info, name)
        try:
            self.container = av.open(file, "w", format=name or None, container_options=self._format_options(name))
            self.stream, lost = self._add_video(self.container, settings)
            if self._info.kind == "video":
                self.companions = Companions(self._info, self.container, self.stream, self._path, keep_audio=keep_audio)
                lost = (*lost, *self.companions.left_out)
            if name == "avi":
                lost = (*lost, *_avi_losses(self._info))
            self.container.start_encoding()
        except (MediaError, InvalidArgumentError):
            raise
        except (av.FFmpegError, ValueError, OSError) as error:
            raise _write_error(self._path, error) from error
        self.left_out = lost

    def _format_options(self, name: str) -> dict[str, str]:
        if name not in _QUICKTIME_FORMATS:
            return {}
        options = {"movflags": "+faststart"}
        info = self._info
        starts = [info.times[0] * info.time_base, *([] if info.sound_start is None else [info.sound_start])]
        is_exact = all(((start - info.origin) * _FILE_CLOCK).denominator == 1 for start in starts)
        if not is_exact and self.clock.denominator <= _FINEST_FILE_CLOCK:
            options["movie_timescale"] = str(self.clock.denominator)
        return options

    def _add_video(self, container: OutputContainer, settings: EncoderSettings) -> tuple[VideoStream, tuple[str, ...]]:
        plan = plan_encoding(settings, self._info, container, self._path)
        stream = cast("VideoStream", container.add_stream(plan.encoder.name, rate=plan.rate))
        # An encoder counts frames; packets get their true times when they come out.
        self.stamps = PacketStamps(1 / plan.rate)
        stream.time_base = self.clock
        self._configure = partial(self._configured, plan, settings, container.format.name)
        context = self._configure(stream.codec_context)
        if settings.copy_untouched and container.format.name in _QUICKTIME_FORMATS:
            context.codec_tag = _IN_STREAM_TAGS.get(plan.encoder.canonical_name, context.codec_tag)
        if plan.encoder.name in ALPHA_BESIDE and context.format is not None and has_alpha(context.format):
            # Decoders look for it only if they are told.
            stream.metadata["alpha_mode"] = "1"
        self._encoder_name, self._format_name = plan.encoder.name, container.format.name
        self.convert = RgbToFrame(self._info.color, plan.pix_fmt)
        self.recode = FrameToFrame(self._info.color, plan.pix_fmt)
        fields = self._info.interlacing if "field_order" in plan.options else None
        self.mark = None if fields is None else FieldMarker(fields)
        return stream, plan.lost

    def new_encoder(self) -> VideoCodecContext:
        """Make another encoder of the same settings, whose parameters lie in its stream."""
        av = import_av()
        context: VideoCodecContext = self._configure(av.CodecContext.create(self._encoder_name, "w"))
        return context

    def joined(self, is_touched: Callable[[int], bool], mux: Callable[[Any], None]) -> JoinedPicture | None:
        """Join encoded stretches with those that are copied, or say in `not_copied` why nothing is."""
        layout, context = layout_of(self._info), self.stream.codec_context
        self.not_copied = reason_against(
            self._info,
            layout,
            self._format_name,
            context.codec.canonical_name,
            context.pix_fmt,
            bytes(context.extradata or b""),
            holds_last=self._format_name in _QUICKTIME_FORMATS and _holds_last_frame(self._info),
        )
        if self.not_copied is not None:
            return None
        copies = plan_copies(layout, is_touched)
        if not copies.frames:
            self.not_copied = nothing_left(layout)
            return None
        return JoinedPicture(self._info, copies, self.stamps, self.clock, self.new_encoder, mux)

    def _configured(
        self, plan: EncodingPlan, settings: EncoderSettings, format_name: str, context: VideoCodecContext
    ) -> VideoCodecContext:
        """Tell an encoder all that it must know."""
        name = plan.encoder.name
        context.height, context.width = self._info.size
        context.pix_fmt = plan.pix_fmt
        context.thread_count = settings.threads
        if name != "prores_ks":
            context.thread_type = "AUTO"
        context.sample_aspect_ratio = self._info.sample_aspect_ratio
        context.time_base = 1 / plan.rate
        tags = self._info.color
        if not context.format or not context.format.is_rgb:
            context.colorspace = tags.matrix
            context.color_range = tags.range
            context.color_primaries = tags.primaries
            context.color_trc = tags.transfer
        if plan.encoder.canonical_name == "hevc" and format_name in _QUICKTIME_FORMATS:
            context.codec_tag = _HEVC_APPLE_TAG
        if plan.quantizers is not None:
            context.qmin, context.qmax = plan.quantizers
        if plan.quantizers is not None or plan.by_rate:
            height, width = self._info.size
            context.bit_rate = round(height * width * float(plan.rate))
        context.options = plan.options
        is_held = format_name in _QUICKTIME_FORMATS and _holds_last_frame(self._info)
        if is_held or format_name == "avi":
            # In QuickTime the last frame is shown as long as until the next one would be decoded; AVI knows only when
            # frames are decoded.
            context.options = {**plan.options, "bf": "0"}
        return context

    def close(self) -> None:
        """Finish the file."""
        if self.companions is not None:
            companions, self.companions = self.companions, None
            companions.close()
        if self.container is not None:
            container, self.container = self.container, None
            container.close()

    def abort(self) -> None:
        """Close what is open; the reason to stop is already on its way to the caller."""
        av = import_av()
        with contextlib.suppress(av.FFmpegError, OSError):
            self.close()


def container_losses(path: Path, info: ClipInfo, settings: EncoderSettings, *, keep_audio: bool) -> tuple[str, ...]:
    """Name what of a clip a video file would not hold; nothing is written.

    Parameters
    ----------
    path, info, settings, keep_audio
        As in `ContainerSink`.

    Raises
    ------
    MediaError, InvalidArgumentError
        The file could not be made.
    """
    output = _Output(Nowhere(), path, info, settings, keep_audio=keep_audio)
    output.abort()
    return output.left_out


def untouched_share(
    path: Path, info: ClipInfo, settings: EncoderSettings, is_touched: Callable[[int], bool], *, keep_audio: bool
) -> tuple[int, str | None]:
    """Count the frames that an output would take over as they are, and say why none; nothing is written.

    Parameters
    ----------
    path, info, settings, keep_audio
        As in `ContainerSink`.
    is_touched : callable
        Whether a frame changes.

    Raises
    ------
    MediaError, InvalidArgumentError
        The file could not be made.
    """
    output = _Output(Nowhere(), path, info, settings, keep_audio=keep_audio)
    joined = output.joined(is_touched, lambda _: None)
    output.abort()
    return 0 if joined is None else joined.frames, output.not_copied


class ContainerSink:
    """Writes one video file; leaving it with an exception leaves no file.

    Frames keep their times to the tick of the clip's clock, or of the file's where that is coarser.

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
        self._lost_alpha = False
        self._joined: JoinedPicture | None = None
        with contextlib.ExitStack() as undo:
            undo.callback(self._partial.discard)
            file = f"file:{self._partial.path}"
            self._output = _Output(file, path, info, settings, keep_audio=keep_audio)
            undo.pop_all()

    @property
    def left_out(self) -> tuple[str, ...]:
        """What of the clip the file cannot hold."""
        return self._output.left_out

    def copy_untouched(self, is_touched: Callable[[int], bool]) -> str | None:
        """Let groups of pictures in which no frame changes go over as they are, from the first frame on.

        Parameters
        ----------
        is_touched : callable
            Whether a frame changes.

        Returns
        -------
        str or None
            Why nothing is copied.
        """
        self._joined = self._output.joined(is_touched, self._mux_one)
        return self._output.not_copied

    @property
    def copied_frames(self) -> int:
        """Frames that go over as they are."""
        return 0 if self._joined is None else self._joined.frames

    def copies(self, frame: int) -> bool:
        """Whether a frame goes over as it is: then `copy` takes it."""
        return self._joined is not None and frame in self._joined

    def copy(self, start: int, end: int) -> None:
        """Let the next frame go over as it is."""
        av = import_av()
        output = self._output
        number = output.stamps.add(self._tick(start), self._tick(end))
        try:
            self._send_companions(start)
            if self._joined is not None:
                self._joined.copy(number, start)
        except av.FFmpegError as error:
            raise _write_error(self._path, error) from error

    def _send_companions(self, start: int) -> None:
        if self._output.companions is not None:
            self._output.companions.send(start * self._info.time_base - self._info.origin)

    def write(self, pixels: NDArray[np.float32], start: int, end: int, alpha: NDArray[Any] | None = None) -> None:
        """Encode one frame; see `Sink.write`. Transparency is kept by pixel formats that have it."""
        frame = self._output.convert(pixels)
        if alpha is not None:
            self._set_alpha(frame, alpha)
        self._encode(frame, start, end)

    def takes_coded(self, frame: CodedFrame) -> bool:
        """Whether a frame of the clip can be written as it was decoded, without a detour through RGB."""
        return self._info.kind == "video" and self._output.recode.takes(frame.pix_fmt)

    def write_coded(self, frame: CodedFrame, start: int, end: int) -> None:
        """Encode one frame as it was decoded, where `takes_coded` says so; see `Sink.write`."""
        coded = self._output.recode(frame.frame)
        # What the clip's encoder made of a frame is nothing to ours.
        coded.pict_type = _NO_PICTURE_TYPE
        self._encode(coded, start, end)

    def _encode(self, frame: VideoFrame, start: int, end: int) -> None:
        av = import_av()
        output = self._output
        frame.pts = output.stamps.add(self._tick(start), self._tick(end))
        frame.time_base = output.stamps.step
        if output.mark is not None:
            frame = output.mark(frame)
        try:
            self._send_companions(start)
            if self._joined is not None:
                self._joined.encode(frame)
            else:
                self._mux(output.stream.encode(frame))
        except av.FFmpegError as error:
            raise _write_error(self._path, error) from error

    def _tick(self, time: int) -> int:
        """Time on the output's clock."""
        return round((time * self._info.time_base - self._info.origin) / self._output.clock)

    def _set_alpha(self, frame: Any, alpha: NDArray[Any]) -> None:
        if has_alpha(frame.format):
            set_alpha(frame, alpha)
        elif not self._lost_alpha:
            self._lost_alpha = True
            name = frame.format.name
            warnings.warn(f"{self._path}: transparency is left out, which {name} video does not have", stacklevel=3)

    def _mux(self, packets: Any) -> None:
        output = self._output
        if output.container is not None:
            for packet in packets:
                output.stamps.apply(packet, output.clock)
                output.container.mux(packet)

    def _mux_one(self, packet: Any) -> None:
        output = self._output
        if output.container is not None:
            packet.stream = output.stream
            output.container.mux_one(packet)

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
                if self._joined is not None:
                    self._joined.end_stretch()
                else:
                    self._mux(self._output.stream.encode(None))
                if self._output.companions is not None:
                    self._output.companions.send(None)
                self._output.close()
                self._partial.commit()
            except (av.FFmpegError, OSError) as failure:
                if isinstance(failure, MediaError):
                    raise
                raise _write_error(self._path, failure) from failure
            undo.pop_all()

    def _abort(self) -> None:
        # The file is removed whatever its end looks like.
        self._output.abort()
        self._partial.discard()


def _write_error(path: Path, error: Exception) -> MediaError:
    reason = getattr(error, "strerror", None) or error
    return MediaError(f"{path}: cannot be written ({reason}): choose another format, codec or place")


def _avi_losses(info: ClipInfo) -> list[str]:
    """Name what AVI cannot say: it has no times, but a place for each tick of its clock, from the first frame on."""
    lost = []
    late = 0 if info.sound_start is None else float(info.times[0] * info.time_base - info.sound_start)
    if late * float(info.rate) >= 1:
        lost.append(f"the {late:.3f} s from the start of the sound to that of the picture")
    if _holds_last_frame(info):
        lost.append("how long the last frame is shown")
    return lost


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
