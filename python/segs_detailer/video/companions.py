"""What goes along with the picture from one video file to another: sound, subtitles, chapters and the like."""

from __future__ import annotations

import warnings
from contextlib import ExitStack
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..errors import MediaError
from .container_reader import import_av, open_input
from .subtitles import SubtitleConverter, converter_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.container import InputContainer, OutputContainer
    from av.stream import Stream

__all__ = ["Companions"]

_MICROSECONDS = 1_000_000
# What containers and encoders write anew; the old values would be wrong.
_OWN_KEYS = frozenset(
    ("compatible_brands", "creation_time", "duration", "encoder", "major_brand", "minor_version", "rotate", "vendor_id")
)
_OWN_PREFIXES = ("bps", "number_of_", "_statistics")
_WITH_ATTACHMENTS = ("matroska",)
_WITH_PICTURES = ("mp4", "mov")
_PICTURE_FILES = {"mjpeg": ("cover.jpg", "image/jpeg"), "png": ("cover.png", "image/png")}
_WITH_CHAPTERS = ("matroska", "webm", "mp4", "mov")


def _kept(metadata: dict[str, str]) -> dict[str, str]:
    return {
        key: value
        for key, value in metadata.items()
        if key.lower() not in _OWN_KEYS and not key.lower().startswith(_OWN_PREFIXES)
    }


def _codec_names(stream: Stream) -> set[str]:
    """Names of a codec: libav's lists have sometimes one and sometimes the other."""
    context = stream.codec_context
    return {context.name, context.codec.canonical_name} if context is not None else set()


def _first_packet(path: Path, index: int) -> bytes:
    """Content of a stream that holds one picture."""
    with open_input(path) as container:
        stream = container.streams[index]
        return next((bytes(packet) for packet in container.demux(stream) if packet.size), b"")


class Companions:
    """Copies to an output what is in its input beside the picture.

    Made before the output's header is written; then `send` passes packets on, in step with the picture. What the output
    cannot hold is named in a warning, but sound is not left out without being asked.

    Parameters
    ----------
    source : Path
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
        self, source: Path, container: OutputContainer, video: Stream, target: Path, *, keep_audio: bool
    ) -> None:
        self._path = source
        self._target = target
        self._output = container
        self._input: InputContainer = open_input(source)
        self._routes: dict[int, tuple[Stream, SubtitleConverter | None]] = {}
        self._left_out: list[str] = []
        self._lost_lines = 0
        # File time starts at 0 in the output: transport streams start anywhere.
        self.shift = Fraction(max(self._input.start_time or 0, 0), _MICROSECONDS)
        with ExitStack() as undo:
            undo.callback(self._input.close)
            self._add_all(video, keep_audio=keep_audio)
            self._packets = self._demux()
            self._pending: Any = next(self._packets, None)
            undo.pop_all()

    def _add_all(self, video: Stream, *, keep_audio: bool) -> None:
        self._output.metadata.update(_kept(self._input.metadata))
        self._describe(video)
        if keep_audio:
            self._add_audio()
        self._add_subtitles()
        self._add_pictures()
        self._add_attachments()
        self._add_chapters()
        if self._left_out:
            parts = ", ".join(self._left_out)
            warnings.warn(f"left out of {self._target}, which cannot hold it: {parts}", stacklevel=2)

    @property
    def _has_attachments(self) -> bool:
        # Older versions of PyAV know no attachments.
        return self._output.format.name in _WITH_ATTACHMENTS and hasattr(self._output, "add_attachment")

    def _takes(self, stream: Stream) -> bool:
        return not self._output.supported_codecs or bool(_codec_names(stream) & self._output.supported_codecs)

    def _describe(self, video: Stream) -> None:
        """Give the video stream the title, the language and the like of the input's."""
        from av.stream import Disposition

        for stream in self._input.streams.video:
            if not stream.disposition & Disposition.attached_pic:
                video.metadata.update(_kept(stream.metadata))
                return

    def _copy(self, stream: Stream) -> Stream:
        copy = self._output.add_stream_from_template(stream)
        self._finish(copy, stream)
        self._routes[stream.index] = (copy, None)
        return copy

    @staticmethod
    def _finish(copy: Stream, stream: Stream) -> None:
        copy.metadata.update(_kept(stream.metadata))
        # The flags' number: a plain enumeration in older versions of PyAV, which want an integer here.
        copy.disposition = stream.disposition.value  # type: ignore[assignment]

    def _add_audio(self) -> None:
        for stream in self._input.streams.audio:
            if not self._takes(stream):
                raise MediaError(
                    f"{self._target}: a {self._target.suffix} file cannot hold the clip's "
                    f"{stream.codec_context.codec.canonical_name} sound: choose .mkv, or drop it with --no-audio"
                )
            self._copy(stream)

    def _add_subtitles(self) -> None:
        for stream in self._input.streams.subtitles:
            if self._output.supported_codecs and self._takes(stream):
                self._copy(stream)
                continue
            converter = converter_for(stream, self._output)
            if converter is None:
                name = stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"
                self._left_out.append(f"{name} subtitles")
                continue
            self._finish(converter.stream, stream)
            self._routes[stream.index] = (converter.stream, converter)

    def _add_pictures(self) -> None:
        from av.stream import Disposition

        for stream in self._input.streams.video:
            if not stream.disposition & Disposition.attached_pic:
                continue
            if self._has_attachments:
                # There a cover is an attachment whose type is that of a picture.
                codec = stream.codec_context.codec.canonical_name
                name, mimetype = _PICTURE_FILES.get(codec, (f"cover.{codec}", f"image/{codec}"))
                data = _first_packet(self._path, stream.index)
                self._output.add_attachment(stream.metadata.get("filename", name), mimetype, data)
            elif self._output.format.name in _WITH_PICTURES and self._takes(stream):
                self._copy(stream)
            else:
                self._left_out.append("a cover picture")

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
            shift = round(self.shift / chapter["time_base"]) if chapter["time_base"] else 0
            chapter["start"], chapter["end"] = max(0, chapter["start"] - shift), max(0, chapter["end"] - shift)
        self._output.set_chapters(chapters)

    def _demux(self) -> Iterator[Any]:
        wanted = [stream for stream in self._input.streams if stream.index in self._routes]
        for packet in self._input.demux(wanted) if wanted else ():
            if packet.size == 0:
                continue
            target, converter = self._routes[packet.stream_index]
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
        shift = round(self.shift / packet.time_base)
        if packet.pts is not None:
            packet.pts -= shift
        packet.dts = packet.pts if packet.dts is None else packet.dts - shift
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
        """Pass on what is due before a time in seconds, all of it for None, so that it lies beside the picture."""
        while self._pending is not None:
            packet = self._pending
            if until is not None and packet.dts * packet.time_base > until:
                return
            self._output.mux(packet)
            self._pending = next(self._packets, None)
        if until is None and self._lost_lines:
            warnings.warn(f"{self._lost_lines} subtitles could not be converted for {self._target}", stacklevel=2)

    def close(self) -> None:
        """Close the input."""
        self._packets = iter(())
        self._pending = None
        self._input.close()
