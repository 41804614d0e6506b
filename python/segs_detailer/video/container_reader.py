"""Reading video files through PyAV."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import MediaError, MissingDependencyError
from .clip import DEFAULT_RATE, ClipInfo, Picture
from .colour import ColourTags, FrameToRgb, sample_bits
from .transparency import alpha_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

__all__ = ["ContainerSource", "import_av", "open_input", "read_error"]

# A file whose streams all end this much earlier than its header says was cut off.
_TRUNCATION_SECONDS = 0.5
_TRUNCATION_SHARE = 0.05
# Time stamps of containers such as Matroska are rounded to milliseconds.
_TIMESTAMP_ROUNDING = Fraction(1, 1000)
_LIBAV_MICROSECONDS = 1_000_000
# Playlists may name addresses in the net; a clip is read from this machine alone.
_ONLY_FILES = {"protocol_whitelist": "file"}


def import_av() -> Any:
    """PyAV's module.

    Raises
    ------
    MissingDependencyError
        It is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise MissingDependencyError("av", "video") from error
    return av


def read_error(path: Path, reason: object) -> MediaError:
    """One line that says why `path` cannot be read and what to do."""
    return MediaError(
        f"{path}: cannot be read as a video ({reason}): check the file, or convert it with another program"
    )


def open_input(path: Path) -> InputContainer:
    """Open a file for reading.

    Raises
    ------
    MediaError
        There is no such file, it is empty, or it is not a video.
    """
    av = import_av()
    if not path.exists():
        raise MediaError(f"{path}: no such file")
    if not path.is_file():
        raise MediaError(f"{path}: is not a file")
    if path.stat().st_size == 0:
        raise MediaError(f"{path}: the file is empty")
    try:
        container: InputContainer = av.open(f"file:{path}", "r", options=_ONLY_FILES)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise read_error(path, getattr(error, "strerror", None) or error) from error
    return container


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    from av.stream import Disposition

    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    raise MediaError(f"{path}: there is no video stream in it")


@dataclass(frozen=True, slots=True)
class _Scan:
    """What the packets say, before anything is decoded."""

    times: tuple[int, ...]
    seconds: float


def _scan(path: Path) -> _Scan:
    av = import_av()
    with open_input(path) as container:
        stream = _video_stream(container, path)
        starts: list[int | None] = []
        last_duration = 0
        seconds = 0.0
        try:
            for packet in container.demux():
                if packet.size == 0:
                    continue
                if packet.is_corrupt:
                    raise _truncated(path)
                if packet.pts is not None and packet.time_base:
                    seconds = max(seconds, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                if packet.stream_index == stream.index and not packet.is_discard:
                    starts.append(packet.pts)
                    last_duration = packet.duration or last_duration
        except av.FFmpegError as error:
            raise read_error(path, error.strerror or error) from error
        promised = (container.duration or 0) / _LIBAV_MICROSECONDS
        # Matroska's duration counts from 0, that of others from the first packet.
        starts_at_zero = "matroska" in container.format.name
        offset = 0 if starts_at_zero else max(container.start_time or 0, 0) / _LIBAV_MICROSECONDS
        if promised + offset - seconds > max(_TRUNCATION_SECONDS, _TRUNCATION_SHARE * promised):
            raise _truncated(path)
        return _Scan(times=_frame_times(starts, stream, last_duration), seconds=seconds)


def _truncated(path: Path) -> MediaError:
    return MediaError(f"{path}: the file is cut off before its end: copy it again, or repair it with another program")


def _time_base(stream: VideoStream) -> Fraction:
    return stream.time_base or Fraction(1, 90_000)


def _frame_times(starts: Sequence[int | None], stream: VideoStream, last_duration: int) -> tuple[int, ...]:
    known = sorted(start for start in starts if start is not None)
    step = max(1, round(1 / ((stream.average_rate or DEFAULT_RATE) * _time_base(stream))))
    if len(known) < len(starts):
        first = known[0] if known else 0
        return tuple(first + step * index for index in range(len(starts) + 1))
    end = [known[-1] + (last_duration or step)] if known else [0]
    return (*known, *end)


def _rate(times: Sequence[int], stream: VideoStream) -> tuple[Fraction, bool]:
    """Frames per second, and whether they are constant."""
    time_base = _time_base(stream)
    slack = max(time_base, _TIMESTAMP_ROUNDING)
    guesses = [rate for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate) if rate]
    candidates = [*guesses, *(rate.limit_denominator(1001) for rate in guesses)]
    starts = times[:-1]
    for rate in candidates:
        exact = all(abs((t - starts[0]) * time_base - index / rate) <= slack for index, t in enumerate(starts))
        if exact:
            return rate, True
    span = (times[-1] - times[0]) * time_base
    return (len(starts) / span if span > 0 else DEFAULT_RATE), len(starts) < 2


class ContainerSource:
    """A video file.

    Opening it reads every packet once, without decoding, so that the number of frames and their times are known and a
    damaged file is found before anything is computed.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    MediaError
        The file is missing, empty, damaged, cut off, or holds no video.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        scan = _scan(path)
        if len(scan.times) < 2:
            raise MediaError(f"{path}: its video stream has no frames")
        with open_input(path) as container:
            stream = _video_stream(container, path)
            first = next(self._decode(container, stream), None)
            if first is None:
                raise MediaError(f"{path}: not one frame of it could be decoded: convert it with another program")
            self._coded_size = (first.height, first.width)
            self._quarter_turns = _quarter_turns(first)
            rate, constant = _rate(scan.times, stream)
            aspect = stream.sample_aspect_ratio or Fraction(1)
            sideways = self._quarter_turns % 2 == 1
            self._info = ClipInfo(
                path=path,
                kind="video",
                size=(first.width, first.height) if sideways else (first.height, first.width),
                times=scan.times,
                time_base=_time_base(stream),
                rate=rate,
                constant_rate=constant,
                codec=stream.codec_context.codec.canonical_name,
                pix_fmt=first.format.name,
                colour=_colour_tags(first, stream),
                bits=sample_bits(first.format),
                sample_aspect_ratio=1 / aspect if sideways else aspect,
                audio_streams=len(container.streams.audio),
                subtitle_streams=len(container.streams.subtitles),
            )

    @property
    def info(self) -> ClipInfo:
        """Description of the video stream."""
        return self._info

    def pictures(self) -> Iterator[Picture]:
        """Decode the video stream from its start; warns at the end where the decoder had to guess."""
        convert = FrameToRgb(self._info.colour)
        damaged: list[int] = []
        with open_input(self._path) as container:
            stream = _video_stream(container, self._path)
            for index, frame in enumerate(self._decode(container, stream)):
                if (frame.height, frame.width) != self._coded_size:
                    raise MediaError(
                        f"{self._path}: frame {index} has another size than the first: convert the file to one size"
                    )
                if frame.is_corrupt:
                    damaged.append(index)
                fallback = self._info.times[min(index, self._info.frames)]
                start = frame.pts if frame.pts is not None else fallback
                alpha = alpha_of(frame)
                if alpha is not None and self._quarter_turns:
                    alpha = np.ascontiguousarray(np.rot90(alpha, self._quarter_turns))
                yield Picture(_Filler(frame, convert, self._quarter_turns), start, alpha)
        if damaged:
            count = "1 frame is" if len(damaged) == 1 else f"{len(damaged)} frames are"
            warnings.warn(f"{self._path}: {count} damaged, the first is frame {damaged[0]}", stacklevel=2)

    def _decode(self, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
        """Frames in order. Packets before the first frame may be undecodable: a cut at no key frame leaves such."""
        av = import_av()
        stream.thread_type = "AUTO"
        done = 0
        try:
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.FFmpegError:
                    if done:
                        raise
                    continue
                for frame in frames:
                    done += 1
                    yield frame
        except av.FFmpegError as error:
            reason = error.strerror or error
            raise MediaError(
                f"{self._path}: damaged after frame {done} ({reason}): copy it again, or repair it with another program"
            ) from error


class _Filler:
    """Converts one decoded frame and turns it upright."""

    __slots__ = ("_convert", "_frame", "_quarter_turns")

    def __init__(self, frame: VideoFrame, convert: FrameToRgb, quarter_turns: int) -> None:
        self._frame = frame
        self._convert = convert
        self._quarter_turns = quarter_turns

    def __call__(self, out: NDArray[np.float32]) -> None:
        if not self._quarter_turns:
            self._convert(self._frame, out)
            return
        upright = np.empty((self._frame.height, self._frame.width, 3), np.float32)
        self._convert(self._frame, upright)
        out[...] = np.rot90(upright, self._quarter_turns)


def _quarter_turns(frame: VideoFrame) -> int:
    """Counter-clockwise quarter turns that show the frame upright; other angles are left alone."""
    angle = float(getattr(frame, "rotation", 0) or 0)
    return round(angle / 90) % 4 if angle % 90 == 0 else 0


def _colour_tags(frame: VideoFrame, stream: VideoStream) -> ColourTags:
    context = stream.codec_context
    return ColourTags(
        matrix=int(frame.colorspace),
        range=int(frame.color_range),
        primaries=int(context.color_primaries),
        transfer=int(context.color_trc),
    )
