"""Reading video files through PyAV."""

from __future__ import annotations

import warnings
from bisect import bisect_right
from dataclasses import replace
from fractions import Fraction
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.errors import InvalidArgumentError, MediaError
from segs_detailer.video.clip import DEFAULT_RATE, ClipInfo, Picture
from segs_detailer.video.color import ColorTags, FrameToRgb, sample_bits
from segs_detailer.video.frame_metadata import (
    STEREO,
    carried_by_frames,
    has_stereo_mode,
    hdr_metadata_of,
    interlacing_of,
)
from segs_detailer.video.frame_times import FrameClock, frame_times
from segs_detailer.video.hardware import open_on_device
from segs_detailer.video.orientation import orientation_of
from segs_detailer.video.packets import Scan, has_stamps, import_av, open_input, packets_of, read_error, scan
from segs_detailer.video.planes import CodedFrame, layout_of
from segs_detailer.video.transparency import alpha_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

    from segs_detailer.video.frame_times import FrameTimes
    from segs_detailer.video.orientation import Orientation
    from segs_detailer.video.packets import StreamScan

__all__ = ["ContainerSource", "picture_stream"]

# Time stamps of containers such as Matroska are rounded to milliseconds.
_TIMESTAMP_ROUNDING = Fraction(1, 1000)
_LIBAV_MICROSECONDS = 1_000_000
# Frames that are rather decoded than passed over: a file is opened anew for that.
_WORTH_SEEKING = 24
# Formats that say how long each stream is.
_WITH_LENGTHS = ("mov", "matroska")
# Formats that say how long they are as a whole.
_WITH_LENGTH = ("matroska", "flv")
# A file whose streams begin later than this is a piece of something longer: its own clock means nothing.
_LATEST_START = Fraction(1)
# What a stream may lack of its length before that is worth a word: half a frame, one more where the last packet does
# not say how long it is; of sound, its priming.
_LACK_FRAMES = Fraction(1, 2)
_LACK_SECONDS = Fraction(1, 10)
# Codecs whose transparency lies beside the packets, where libav's own decoders do not look.
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


def picture_stream(container: InputContainer, path: Path) -> VideoStream:
    """Return the stream that is the clip: the first one with moving pictures that can be decoded.

    Raises
    ------
    MediaError
        There is none.
    """
    from av.stream import Disposition

    streams = [each for each in container.streams.video if not each.disposition & Disposition.attached_pic]
    if not streams:
        raise MediaError(f"{path}: there is no video stream in it")
    # A stream of a codec that libav does not know has no context.
    decodable = [stream for stream in streams if stream.codec_context is not None]
    if not decodable:
        raise MediaError(f"{path}: there is no decoder for its video: convert it with another program")
    return decodable[0]


def _scan_clip(path: Path) -> Scan:
    av = import_av()
    with open_input(path) as container:
        stream = picture_stream(container, path)
        try:
            return scan(path, container, stream)
        except av.FFmpegError as error:
            raise read_error(path, error.strerror or error) from error


def _time_base(stream: VideoStream) -> Fraction:
    return stream.time_base or Fraction(1, 90_000)


def _step(stream: VideoStream) -> int:
    """Ticks from a frame to the next, of the file's own words."""
    # Of a stream without times, only the decoder's guess says more than that nothing is known.
    rate = stream.average_rate if stream.start_time is not None else stream.guessed_rate or stream.average_rate
    return max(1, round(1 / ((rate or DEFAULT_RATE) * _time_base(stream))))


def _rate(times: Sequence[int], stream: VideoStream) -> tuple[Fraction, bool]:
    """Frames per second, and whether they are constant."""
    time_base = _time_base(stream)
    slack = max(time_base, _TIMESTAMP_ROUNDING)
    guesses = [rate for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate) if rate]
    candidates = [*guesses, *(rate.limit_denominator(1001) for rate in guesses)]
    starts = times[:-1]
    for rate in candidates:
        # In whole numbers: long clips have many frames.
        tick, frame = time_base.numerator * rate.numerator, time_base.denominator * rate.denominator
        most = slack * time_base.denominator * rate.numerator
        if all(abs((t - starts[0]) * tick - index * frame) <= most for index, t in enumerate(starts)):
            return rate, True
    span = (times[-1] - times[0]) * time_base
    return (len(starts) / span if span > 0 else DEFAULT_RATE), len(starts) < 2


def _end(container: InputContainer, stream: VideoStream, found: Scan, timed: FrameTimes) -> int:
    """When the last frame ends: as the file says of itself, where it is whole.

    Packets do not tell of a last frame that is held: in QuickTime each is as long as it takes until the next one is
    decoded, in Matroska all are alike.
    """
    own, last = timed.times[-1], timed.times[-2]
    seen, time_base = found.streams[stream.index], _time_base(stream)
    is_whole = not found.missing_bytes and not 0 < seen.packets < seen.expected_packets
    if not (is_whole and any(name in container.format.name for name in _WITH_LENGTHS)):
        return own
    declared = [end for end in (seen.expected_end, _end_of_only_stream(container)) if end is not None]
    end = round(max(declared, default=Fraction(0)) / time_base)
    return end if end > last and abs(end - own) * time_base > 2 * _TIMESTAMP_ROUNDING else own


def _end_of_only_stream(container: InputContainer) -> Fraction | None:
    """End of the file, where there is but one stream."""
    if len(container.streams) > 1 or not container.duration:
        return None
    return Fraction(container.duration + max(container.start_time or 0, 0), _LIBAV_MICROSECONDS)


def _origin(container: InputContainer, found: Scan, first: Fraction, time_base: Fraction) -> Fraction:
    """Second at which an output's clock begins, in whole ticks of the picture, so that its times stay exact."""
    if (container.start_time or 0) <= _LATEST_START * _LIBAV_MICROSECONDS:
        # Outputs cannot show a picture before their clock begins.
        return min(Fraction(0), first)
    sound = [found.streams[stream.index].first for stream in container.streams.audio]
    start = min([first, *(each for each in sound if each is not None)])
    return start // time_base * time_base


class ContainerSource:
    """A video file.

    Opening it reads every packet once, without decoding, so that the number of frames and their times are known, and
    what is missing or damaged is said before anything is computed.

    Parameters
    ----------
    path : Path
        The file.
    hwaccel : str or None
        Kind of device that decodes its frames, see `open_on_device`; None decodes in software. What the file is, is
        told in software either way.

    Raises
    ------
    MediaError
        The file is missing, empty, or holds no picture that can be decoded.
    InvalidArgumentError
        No such device, or one that cannot decode the file.
    """

    def __init__(self, path: Path, hwaccel: str | None = None) -> None:
        self._path = path
        self._hwaccel: str | None = None
        self._scan = found = _scan_clip(path)
        with open_input(path) as container:
            stream = picture_stream(container, path)
            self._step = _step(stream)
            self._has_stamps = has_stamps(container)
            timed = frame_times(found.picture, self._step)
            if len(timed.times) < 2:
                raise MediaError(f"{path}: its video stream has no frames")
            self._leading = timed.times
            first = next(self._decode([]), None)
            if first is None:
                raise MediaError(f"{path}: not one frame of it could be decoded: convert it with another program")
            self._coded_size = (first.height, first.width)
            self._orientation = orientation_of(first)
            self._info = self._describe(container, stream, first, found, timed)
        self._keys = _key_frames(found, timed) if self._has_stamps else ()
        if hwaccel is not None:
            self._use_device(hwaccel)
        self._warn(found, timed)
        # Of a long clip, its packets are not kept.
        self._scan = replace(found, picture=())

    def _use_device(self, hwaccel: str) -> None:
        """Decode on a device from now on, after a trial."""
        av = import_av()
        with open_on_device(self._path, hwaccel) as container:
            stream = picture_stream(container, self._path)
            if _has_alpha_beside(stream):
                expected = "none: devices do not see the transparency beside its packets"
                raise InvalidArgumentError("hwaccel", expected, hwaccel)
            try:
                next(container.decode(stream))
            except (av.FFmpegError, RuntimeError, StopIteration) as error:
                expected = f"a device that decodes {self._path.name}, or none for decoding in software"
                raise InvalidArgumentError("hwaccel", expected, f"{hwaccel} ({error})") from error
        self._hwaccel = hwaccel

    def _opened(self) -> InputContainer:
        return open_input(self._path) if self._hwaccel is None else open_on_device(self._path, self._hwaccel)

    def _describe(
        self, container: InputContainer, stream: VideoStream, first: VideoFrame, found: Scan, timed: FrameTimes
    ) -> ClipInfo:
        times = (*timed.times[:-1], _end(container, stream, found, timed))
        rate, constant = _rate(times, stream)
        aspect = stream.sample_aspect_ratio or Fraction(1)
        sideways = self._orientation.transposed
        sound = [found.streams[each.index].first for each in container.streams.audio]
        return ClipInfo(
            path=self._path,
            kind="video",
            size=(first.width, first.height) if sideways else (first.height, first.width),
            times=times,
            time_base=_time_base(stream),
            rate=rate,
            constant_rate=constant,
            codec=stream.codec_context.codec.canonical_name,
            pix_fmt=first.format.name,
            color=_color_tags(first, stream),
            bits=sample_bits(first.format),
            sample_aspect_ratio=1 / aspect if sideways else aspect,
            audio_streams=len(container.streams.audio),
            subtitle_streams=len(container.streams.subtitles),
            origin=_origin(container, found, timed.times[0] * _time_base(stream), _time_base(stream)),
            sound_start=next((start for start in sound if start is not None), None),
            interlacing=interlacing_of(first, stream.codec_context),
            hdr=hdr_metadata_of(first),
            not_carried=_not_carried(first, stream, self._orientation),
            joins=found.joins,
        )

    def _warn(self, found: Scan, timed: FrameTimes) -> None:
        """Say what is odd about the file, once and before anything is computed."""
        with open_input(self._path) as container:
            lacking = _lacking(container, picture_stream(container, self._path), found, self._info)
        self._is_cut_off = bool(lacking)
        if lacking:
            warnings.warn(f"{self._path}: cut off: {', '.join(lacking)}: copy the file again", stacklevel=4)
        if timed.corrected:
            count, first = len(timed.corrected), timed.corrected[0]
            stamps = "the time stamp of 1 frame goes" if count == 1 else f"the time stamps of {count} frames go"
            warnings.warn(
                f"{self._path}: {stamps} back or repeat{'s' if count == 1 else ''}, first at frame {first}: each is "
                "shown right after the frame before it",
                stacklevel=4,
            )

    @property
    def info(self) -> ClipInfo:
        """Description of the video stream."""
        return self._info

    def pictures(self) -> Iterator[Picture]:
        """Decode the video stream from its start; warns at the end where frames are damaged or missing."""
        convert = FrameToRgb(self._info.color)
        clock = FrameClock(self._step, self._leading)
        damaged: list[int] = []
        done = 0
        for frame in self._decode(damaged):
            if (frame.height, frame.width) != self._coded_size:
                raise MediaError(
                    f"{self._path}: frame {done} has another size than the first: convert the file to one size"
                )
            if frame.is_corrupt:
                damaged.append(done)
            done += 1
            yield self._picture(frame, clock.time(frame.pts if self._has_stamps else None), convert)
        self._warn_of_damage(damaged, done)

    def pictures_in(self, spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, Picture]]:
        """Decode what lies in some spans, from the key frames before them on.

        Where the file does not lead to these, or other frames come than its packets say, it is decoded from its start.

        Parameters
        ----------
        spans : iterable of (int, int)
            First frame, and the frame after the last, of each.

        Yields
        ------
        (int, Picture)
            A number, and its picture.
        """
        wanted, done = _merged(spans), 0
        convert = FrameToRgb(self._info.color)
        try:
            for key, parts in self._stretches(wanted):
                for number, frame in self._decoded_from(key, parts[-1][1]):
                    if any(first <= number < stop for first, stop in parts):
                        yield number, self._picture(frame, self._info.times[number], convert)
                        done = number + 1
        except _UnexpectedFrame:
            for number, picture in enumerate(self.pictures()):
                if number >= done and any(first <= number < stop for first, stop in wanted):
                    yield number, picture
                if number + 1 >= wanted[-1][1]:
                    return

    def _stretches(self, wanted: Sequence[tuple[int, int]]) -> list[tuple[int, list[tuple[int, int]]]]:
        """Tell at which key frames decoding begins, and which spans are reached from each."""
        stretches: list[tuple[int, list[tuple[int, int]]]] = []
        reached = 0
        for first, stop in wanted:
            key = self._keys[bisect_right(self._keys, first) - 1] if self._keys and self._keys[0] <= first else 0
            if not stretches or key - reached > _WORTH_SEEKING:
                stretches.append((key if key > _WORTH_SEEKING else reached, []))
            stretches[-1][1].append((first, stop))
            reached = stop
        return stretches

    def _decoded_from(self, key: int, stop: int) -> Iterator[tuple[int, VideoFrame]]:
        """Numbered frames from a key frame on, up to another.

        Raises
        ------
        _UnexpectedFrame
            They are not those that the packets of the file say.
        """
        av = import_av()
        times, number = self._info.times, key
        if key == 0 and not self._keys:
            # Nothing is known of its packets that frames could be held against.
            raise _UnexpectedFrame
        with self._opened() as container:
            stream = picture_stream(container, self._path)
            decoder = _alpha_decoder(stream) or stream.codec_context
            decoder.thread_type = "AUTO"
            try:
                if key:
                    container.seek(times[key], stream=stream)
                packets = packets_of(container, [stream], {})
                for packet in chain(_from_key(packets, times[key]) if key else packets, (None,)):
                    for frame in decoder.decode(packet):
                        if key and number == key and frame.pts is not None and frame.pts < times[key]:
                            # It is shown before the key frame, and decoded after it.
                            continue
                        if number >= len(times) - 1 or frame.pts != times[number] or frame.is_corrupt:
                            raise _UnexpectedFrame
                        yield number, frame
                        number += 1
                        if number >= stop:
                            return
            except av.FFmpegError as error:
                raise _UnexpectedFrame from error

    def _picture(self, frame: VideoFrame, start: int, convert: FrameToRgb) -> Picture:
        alpha = alpha_of(frame)
        if alpha is not None:
            alpha = np.ascontiguousarray(self._orientation.apply(alpha))
        filler = _Filler(frame, convert, self._orientation)
        return Picture(filler, start, alpha, filler.reduced, self._coded(frame))

    def _coded(self, frame: VideoFrame) -> CodedFrame | None:
        """Return a frame as it is coded, for what takes it so; None where it cannot be turned upright so."""
        turn, info = self._orientation, self._info
        layout = layout_of(frame.format.name, info.color, frame.height, info.codec)
        if not turn.is_upright and (
            layout is None or frame.interlaced_frame or not layout.can_turn(turn, self._coded_size)
        ):
            return None
        return CodedFrame(frame, layout, turn, interlaced=frame.interlaced_frame)

    def _warn_of_damage(self, damaged: list[int], done: int) -> None:
        # That a file is cut off within a frame was said when it was opened.
        known = self._scan.corrupt_packets if self._is_cut_off else 0
        if max(len(damaged), self._info.frames - done) <= known:
            return
        if damaged:
            count = "1 frame is" if len(damaged) == 1 else f"{len(damaged)} frames are"
            warnings.warn(f"{self._path}: {count} damaged, the first is frame {min(damaged)}", stacklevel=3)
        elif done < self._info.frames:
            lost = self._info.frames - done
            warnings.warn(f"{self._path}: {_frames(lost)} of {self._info.frames} cannot be decoded", stacklevel=3)

    def _decode(self, damaged: list[int]) -> Iterator[VideoFrame]:
        """Frames in order. Packets that cannot be decoded are left out, and the numbers of their frames noted.

        Those before the first frame are not: a cut at no key frame leaves such. A decoder that works on several frames
        at once tells of a bad packet late or never, and good frames are lost with it: such a file is decoded frame by
        frame, from its start.
        """
        av = import_av()
        if self._scan.corrupt_packets:
            yield from self._decoded("SLICE", damaged)
            return
        done = 0
        try:
            for frame in self._decoded("AUTO"):
                done += 1
                yield frame
        except av.FFmpegError:
            yield from islice(self._decoded("SLICE", damaged), done, None)

    def _decoded(self, threads: str, damaged: list[int] | None = None) -> Iterator[VideoFrame]:
        """Frames in order, by a decoder with such threads; without a list to note them in, bad packets raise."""
        av = import_av()
        done = 0
        with self._opened() as container:
            stream = picture_stream(container, self._path)
            decoder = _alpha_decoder(stream) or stream.codec_context
            decoder.thread_type = threads
            # None at the end: what is still in the decoder comes out.
            for packet in chain(packets_of(container, [stream], self._scan.joins), (None,)):
                try:
                    frames = decoder.decode(packet)
                except av.FFmpegError:
                    if damaged is None:
                        raise
                    if done:
                        damaged.append(done)
                    continue
                for frame in frames:
                    done += 1
                    yield frame


class _UnexpectedFrame(Exception):  # noqa: N818 - no error of a user's
    """Decoding from a key frame does not give what the packets of the file say."""


def _key_frames(found: Scan, timed: FrameTimes) -> tuple[int, ...]:
    """Numbers of the frames at which decoding can begin; none where frames cannot be told by their stamps."""
    if found.joins or found.corrupt_packets or timed.corrected or any(each.pts is None for each in found.picture):
        return ()
    numbers = {time: number for number, time in enumerate(timed.times[:-1])}
    keys = sorted(numbers.get(each.pts or 0, -1) for each in found.picture if each.is_key)
    return tuple(keys) if keys and keys[0] == 0 else ()


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Put spans in order, and those that touch into one."""
    merged: list[tuple[int, int]] = []
    for first, stop in sorted(spans):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((first, stop))
    return merged


def _from_key(packets: Iterable[Any], time: int) -> Iterator[Any]:
    """Packets from the key frame of a time on."""
    rest = iter(packets)
    for packet in rest:
        if packet.is_keyframe and packet.pts == time:
            yield packet
            break
        if packet.dts is None or packet.dts > time:
            raise _UnexpectedFrame
    yield from rest


def _alpha_decoder(stream: VideoStream) -> Any:
    """Make a decoder that finds transparency beside packets; None where there is none, or no such decoder."""
    av = import_av()
    if not _has_alpha_beside(stream):
        return None
    try:
        return av.CodecContext.create(_ALPHA_DECODERS[stream.codec_context.codec.canonical_name], "r")
    except av.codec.codec.UnknownCodecError:
        return None


def _has_alpha_beside(stream: VideoStream) -> bool:
    tags = {key.lower(): value for key, value in stream.metadata.items()}
    return tags.get("alpha_mode") == "1" and stream.codec_context.codec.canonical_name in _ALPHA_DECODERS


class _Filler:
    """Converts one decoded frame and turns it upright."""

    __slots__ = ("_convert", "_frame", "_orientation")

    def __init__(self, frame: VideoFrame, convert: FrameToRgb, orientation: Orientation) -> None:
        self._frame = frame
        self._convert = convert
        self._orientation = orientation

    def __call__(self, out: NDArray[np.float32]) -> None:
        if self._orientation.is_upright:
            self._convert(self._frame, out)
            return
        decoded = np.empty((self._frame.height, self._frame.width, 3), np.float32)
        self._convert(self._frame, decoded)
        out[...] = self._orientation.apply(decoded)

    def reduced(self, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Convert it to a picture of a size `(h, w)`, uint8."""
        coded = size[::-1] if self._orientation.transposed else size
        return np.ascontiguousarray(self._orientation.apply(self._convert.reduced(self._frame, coded)))


def _not_carried(frame: VideoFrame, stream: VideoStream, orientation: Orientation) -> tuple[str, ...]:
    """Name what belongs to the picture and cannot be in any output."""
    names = [name for name in carried_by_frames(frame) if name != STEREO or not has_stereo_mode(stream)]
    if orientation.ignored:
        names.append(orientation.ignored)
    if _has_alpha_beside(stream) and _alpha_decoder(stream) is None:
        names.append("transparency, which no decoder here reads")
    return tuple(names)


def _lacking(container: InputContainer, picture: VideoStream, found: Scan, info: ClipInfo) -> list[str]:
    """Say what the streams of a file lack of the lengths that the file gives them."""
    frame = 1 / info.rate
    texts: list[str] = []
    if found.missing_bytes == 0:
        return texts
    for stream in (picture, *container.streams.audio):
        seen = found.streams[stream.index]
        name = "the picture" if stream is picture else f"audio stream {stream.index}"
        lack, frames = _lack(seen, frame, is_picture=stream is picture)
        if stream is picture and not lack and seen.expected_end is None:
            lack = _lack_of_file(container, found, frame)
            frames = round(lack / frame)
        if lack:
            texts.append(f"{name} lacks its last {float(lack):.2f} s" + (f" ({_frames(frames)})" * (stream is picture)))
        elif seen.ends_within_packet:
            texts.append(f"{name} ends within a frame")
    if not texts and found.missing_bytes:
        texts.append(f"the file lacks its last {found.missing_bytes} bytes")
    return texts


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"


def _lack(stream: StreamScan, frame: Fraction, *, is_picture: bool) -> tuple[Fraction, int]:
    """Seconds and frames that a stream lacks; 0 for what is allowed, and where the file does not say."""
    missing = max(0, stream.expected_packets - stream.packets)
    if stream.expected_packets and not missing:
        return Fraction(0), 0
    # Where frames are counted, the count tells more than the time.
    counted = missing * frame if is_picture else Fraction(0)
    if stream.expected_end is None or stream.end is None:
        return counted, missing
    allowed = (_LACK_FRAMES + (not stream.last_has_duration)) * frame
    lack = stream.expected_end - stream.end
    if lack <= (allowed if is_picture else max(allowed, _LACK_SECONDS)):
        return counted, missing
    return lack, missing or round(lack / frame)


def _lack_of_file(container: InputContainer, found: Scan, frame: Fraction) -> Fraction:
    """Seconds that a file lacks of its length, where it gives one for all streams together."""
    # Transport streams and the like give none: libav tells it from the last packet.
    if not container.duration or not any(name in container.format.name for name in _WITH_LENGTH):
        return Fraction(0)
    # Matroska counts from 0, Flash from the first packet.
    start = 0 if "matroska" in container.format.name else container.start_time or 0
    ends = [stream.end for stream in found.streams.values() if stream.end is not None]
    lack = Fraction(container.duration + start, _LIBAV_MICROSECONDS) - max(ends, default=Fraction(0))
    return lack if lack > max(2 * frame, _LACK_SECONDS) else Fraction(0)


def _color_tags(frame: VideoFrame, stream: VideoStream) -> ColorTags:
    context = stream.codec_context
    return ColorTags(
        matrix=int(frame.colorspace),
        range=int(frame.color_range),
        primaries=int(context.color_primaries),
        transfer=int(context.color_trc),
    )
