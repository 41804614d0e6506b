"""What goes along with the picture from one video file to another: sound, subtitles, chapters and the like."""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from segs_detailer.errors import MediaError
from segs_detailer.video.container_reader import picture_stream
from segs_detailer.video.frame_metadata import STEREO, has_stereo_mode
from segs_detailer.video.muxer_trial import MuxerTrial
from segs_detailer.video.packet_stamps import Rising
from segs_detailer.video.packets import import_av, is_preroll, open_input, packets_of
from segs_detailer.video.sequences import VIDEO_FORMATS
from segs_detailer.video.subtitles import SubtitleConverter, converter_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction
    from pathlib import Path

    from av.container import InputContainer, OutputContainer
    from av.stream import Stream

    from segs_detailer.video.clip import ClipInfo

__all__ = ["Companions", "beside_the_picture"]

# What containers and encoders write anew; the old values would be wrong.
_OWN_KEYS = frozenset(
    (
        "alpha_mode",
        "compatible_brands",
        "creation_time",
        "duration",
        "encoder",
        "major_brand",
        "minor_version",
        "rotate",
        "vendor_id",
    )
)
_OWN_PREFIXES = ("bps", "number_of_", "_statistics")
_WITH_ATTACHMENTS = ("matroska",)
_WITH_PICTURES = ("mp4", "mov")
_PICTURE_FILES = {"mjpeg": ("cover.jpg", "image/jpeg"), "png": ("cover.png", "image/png")}
_WITH_CHAPTERS = ("matroska", "webm", "mp4", "mov")
_WITH_EDIT_LISTS = ("mp4", "mov")
_WITH_FLAGS = ("matroska", "webm", "mp4")
_WITH_STEREO_MODES = ("matroska", "webm")
_WITH_TIME_CODES = ("mp4", "mov")
# Where sound goes that a format does not hold, the best first.
_OTHER_FORMATS = {suffix: VIDEO_FORMATS[suffix] for suffix in (".mkv", ".mov", ".mp4", ".avi")}


def _kept(metadata: dict[str, str]) -> dict[str, str]:
    return {
        key: value
        for key, value in metadata.items()
        if key.lower() not in _OWN_KEYS and not key.lower().startswith(_OWN_PREFIXES)
    }


def _codec_name(stream: Stream) -> str:
    """Name of a stream's codec, for messages."""
    context = stream.codec_context
    return context.codec.canonical_name if context is not None else "unknown"


def _first_packet(path: Path, index: int) -> bytes:
    """Content of a stream that holds one picture."""
    with open_input(path) as container:
        stream = container.streams[index]
        return next((bytes(packet) for packet in container.demux(stream) if packet.size), b"")


def beside_the_picture(info: ClipInfo, *, keep_audio: bool) -> tuple[str, ...]:
    """Name all that is in a file beside its picture.

    Parameters
    ----------
    info : ClipInfo
        The file.
    keep_audio : bool
        Whether its sound counts.
    """
    from av.stream import Disposition

    with open_input(info.path) as container:
        kinds = Counter(stream.type for stream in container.streams)
        covers = sum(bool(stream.disposition & Disposition.attached_pic) for stream in container.streams.video)
        # Older versions of PyAV know no chapters.
        chapters = len(container.chapters()) if hasattr(container, "chapters") else 0
    counts = (
        (info.audio_streams if keep_audio else 0, "sound", "{} streams of sound"),
        (info.subtitle_streams, "subtitles", "{} streams of subtitles"),
        (kinds["video"] - covers - 1, "a second video stream", "{} more video streams"),
        (covers, "a cover picture", "{} cover pictures"),
        (kinds["data"], "a data stream", "{} data streams"),
        (kinds["attachment"], "1 attachment", "{} attachments"),
        (chapters, "1 chapter", "{} chapters"),
    )
    return tuple(one if count == 1 else several.format(count) for count, one, several in counts if count > 0)


class Companions:
    """Copies to an output what is in its input beside the picture.

    Made before the output's header is written; then `send` passes packets on, in step with the picture. What the output
    cannot hold is in `left_out`, but sound that another format holds is not left out without being asked.

    Parameters
    ----------
    info : ClipInfo
        The input.
    container : OutputContainer
        The output.
    video : Stream
        Its video stream.
    target : Path
        Its name, for messages.
    keep_audio : bool
        Copy the sound.

    Raises
    ------
    MediaError
        The output cannot hold the sound, or the input cannot be read.
    """

    def __init__(
        self, info: ClipInfo, container: OutputContainer, video: Stream, target: Path, *, keep_audio: bool
    ) -> None:
        self._info = info
        self._path = info.path
        self._target = target
        self._output = container
        self._input: InputContainer = open_input(self._path)
        self._trial = MuxerTrial(self._path)
        self._routes: dict[int, tuple[Stream, SubtitleConverter | None]] = {}
        self._rising: dict[int, Rising] = defaultdict(Rising)
        self._left_out: list[str] = []
        self._lost_lines = 0
        self._lost_packets: Counter[str] = Counter()
        with ExitStack() as undo:
            undo.callback(self._input.close)
            self._add_all(video, keep_audio=keep_audio)
            self._packets = self._demux()
            self._pending: Any = next(self._packets, None)
            undo.pop_all()

    @property
    def left_out(self) -> tuple[str, ...]:
        """What the output cannot hold."""
        return tuple(self._left_out)

    def _add_all(self, video: Stream, *, keep_audio: bool) -> None:
        self._output.metadata.update(_kept(self._input.metadata))
        picture = picture_stream(self._input, self._path)
        video.metadata.update(_kept(picture.metadata))
        if has_stereo_mode(picture) and self._output.format.name not in _WITH_STEREO_MODES:
            self._left_out.append(STEREO)
        if keep_audio:
            self._add_audio()
        self._add_subtitles()
        self._add_videos(picture)
        self._add_data(picture)
        self._add_attachments()
        self._add_chapters()

    @property
    def _has_attachments(self) -> bool:
        # Older versions of PyAV know no attachments.
        return self._output.format.name in _WITH_ATTACHMENTS and hasattr(self._output, "add_attachment")

    def _takes(self, stream: Stream) -> bool:
        return self._trial.takes(stream, self._output.format.name)

    def _copy(self, stream: Stream) -> Stream:
        copy = self._output.add_stream_from_template(stream)
        self._finish(copy, stream)
        self._routes[stream.index] = (copy, None)
        return copy

    def _finish(self, copy: Stream, stream: Stream) -> None:
        from av.stream import Disposition

        copy.metadata.update(_kept(stream.metadata))
        flags = stream.disposition & ~(Disposition.default | Disposition.attached_pic)
        if flags and self._output.format.name not in _WITH_FLAGS:
            names = ", ".join(flag.name for flag in Disposition if flag & flags and flag.name)
            self._left_out.append(f"the flag of {stream.type} stream {stream.index}: {names}")
        # The flags' number: a plain enumeration in older versions of PyAV, which want an integer here.
        copy.disposition = stream.disposition.value  # type: ignore[assignment]

    def _add_audio(self) -> None:
        for stream in self._input.streams.audio:
            if self._takes(stream):
                self._copy(stream)
            elif stream.codec_context is None and not self._formats_for(stream):
                self._left_out.append(f"audio stream {stream.index}, whose codec is unknown")
            else:
                others = "".join(f"choose {suffix}, or " for suffix in self._formats_for(stream)[:1])
                raise MediaError(
                    f"{self._target}: a {self._target.suffix} file cannot hold the clip's {_codec_name(stream)} sound "
                    f"(stream {stream.index}): {others}drop it with keep_audio=False"
                )

    def _formats_for(self, stream: Stream) -> list[str]:
        """Suffixes of formats that hold a stream."""
        return [suffix for suffix, name in _OTHER_FORMATS.items() if self._trial.takes(stream, name)]

    def _add_subtitles(self) -> None:
        for stream in self._input.streams.subtitles:
            if self._takes(stream):
                self._copy(stream)
                continue
            converter = converter_for(stream, self._output)
            if converter is None:
                self._left_out.append(f"{_codec_name(stream)} subtitles")
                continue
            self._finish(converter.stream, stream)
            self._routes[stream.index] = (converter.stream, converter)

    def _add_videos(self, picture: Stream) -> None:
        from av.stream import Disposition

        for stream in self._input.streams.video:
            if stream.index == picture.index:
                continue
            if not stream.disposition & Disposition.attached_pic:
                if self._takes(stream):
                    self._copy(stream)
                else:
                    self._left_out.append(f"video stream {stream.index} ({_codec_name(stream)})")
            elif self._has_attachments:
                # There a cover is an attachment whose type is that of a picture.
                codec = _codec_name(stream)
                name, mimetype = _PICTURE_FILES.get(codec, (f"cover.{codec}", f"image/{codec}"))
                data = _first_packet(self._path, stream.index)
                self._output.add_attachment(stream.metadata.get("filename", name), mimetype, data)
            elif self._output.format.name in _WITH_PICTURES and self._takes(stream):
                self._copy(stream)
            else:
                self._left_out.append("a cover picture")

    def _add_data(self, picture: Stream) -> None:
        """Pass data streams on where the muxer takes them; a time code is written anew from the picture's metadata."""
        for stream in self._input.streams:
            if stream.type != "data":
                continue
            if "timecode" in stream.metadata and "timecode" in picture.metadata:
                if self._output.format.name not in _WITH_TIME_CODES:
                    self._left_out.append(f"time code track {stream.index} (the time code stays in the metadata)")
            elif self._takes(stream):
                self._copy(stream)
            else:
                name = stream.metadata.get("handler_name", "").strip()
                self._left_out.append(f"data stream {stream.index}" + (f" ({name})" if name else ""))

    def _add_attachments(self) -> None:
        attached = [stream for stream in self._input.streams if stream.type == "attachment"]
        if self._has_attachments:
            for stream in attached:
                self._output.add_stream_from_template(stream)
        elif attached:
            self._left_out.append("1 attachment" if len(attached) == 1 else f"{len(attached)} attachments")

    def _add_chapters(self) -> None:
        # Older versions of PyAV know no chapters.
        chapters = self._input.chapters() if hasattr(self._input, "chapters") else []
        if not chapters:
            return
        if self._output.format.name not in _WITH_CHAPTERS:
            self._left_out.append(f"{len(chapters)} chapters")
            return
        for chapter in chapters:
            shift = round(self._info.origin / chapter["time_base"]) if chapter["time_base"] else 0
            chapter["start"], chapter["end"] = max(0, chapter["start"] - shift), max(0, chapter["end"] - shift)
        self._output.set_chapters(chapters)

    def _demux(self) -> Iterator[Any]:
        wanted = [stream for stream in self._input.streams if stream.index in self._routes]
        for packet in packets_of(self._input, wanted, self._info.joins) if wanted else ():
            target, converter = self._routes[packet.stream_index]
            if self._output.format.name not in _WITH_EDIT_LISTS and is_preroll(packet):
                continue
            ready = self._subtitle(packet, converter) if target.type == "subtitle" else self._moved(packet)
            if ready is not None:
                ready.stream = target
                yield ready

    def _moved(self, packet: Any) -> Any:
        """Packet in the output's time, or None where it has no time. A cover picture needs none."""
        if packet.dts is None and packet.pts is None:
            if packet.stream.type != "video":
                return None
            packet.pts = packet.dts = 0
            return packet
        shift = round(self._info.origin / packet.time_base)
        if packet.pts is not None:
            packet.pts -= shift
        packet.dts = packet.pts if packet.dts is None else packet.dts - shift
        packet.pts = packet.dts if packet.pts is None else packet.pts
        return packet

    def _subtitle(self, packet: Any, converter: SubtitleConverter | None) -> Any:
        """Subtitle in the output's time and codec; one that is on already at the start begins there."""
        av = import_av()
        if self._moved(packet) is None:
            return None
        start = packet.dts if packet.pts is None else packet.pts
        if start < 0:
            packet.duration = (packet.duration or 0) + start
            start = 0
            if packet.duration <= 0:
                return None
        packet.pts = packet.dts = start
        if converter is None:
            return packet
        try:
            return converter.convert(packet)
        except (av.FFmpegError, ValueError):
            # One broken line is no reason to lose the rest, or the clip.
            self._lost_lines += 1
            return None

    def send(self, until: Fraction | None) -> None:
        """Pass on what is due before a time in seconds, all of it for None, so that it lies beside the picture.

        Raises
        ------
        MediaError
            The output does not take a packet; the message names the stream.
        """
        while self._pending is not None:
            packet = self._pending
            if until is not None and packet.dts * packet.time_base > until:
                return
            self._send(packet)
            self._pending = next(self._packets, None)
        if until is None and self._lost_lines:
            warnings.warn(f"{self._lost_lines} subtitles could not be converted for {self._target}", stacklevel=2)
        for kind, count in self._lost_packets.items() if until is None else ():
            packets = "1 packet" if count == 1 else f"{count} packets"
            warnings.warn(f"{self._path}: {packets} of its {kind} are damaged and left out", stacklevel=2)

    def _send(self, packet: Any) -> None:
        av = import_av()
        stream = packet.stream
        if stream.type != "subtitle":
            # In the output's ticks: there it is that stamps must not repeat.
            _rescale(packet, stream.time_base)
            self._rising[stream.index](packet)
        try:
            self._output.mux(packet)
        except (av.InvalidDataError, av.ArgumentError):
            # It is damaged: the rest of the stream is none the worse for it.
            self._lost_packets[stream.type] += 1
        except av.FFmpegError as error:
            reason = f"{error.strerror or error}, at {float(packet.dts * packet.time_base):.2f} s"
            raise MediaError(
                f"{self._path}: its {stream.type} cannot be copied to {self._target} ({reason}): "
                "repair it with another program"
            ) from error

    def close(self) -> None:
        """Close the input."""
        self._packets = iter(())
        self._pending = None
        self._input.close()


def _rescale(packet: Any, time_base: Fraction) -> None:
    """Count a packet's times in other ticks, to the nearest."""
    if packet.time_base == time_base:
        return
    factor = packet.time_base / time_base
    packet.pts, packet.dts = round(packet.pts * factor), round(packet.dts * factor)
    packet.duration = round((packet.duration or 0) * factor)
    packet.time_base = time_base
