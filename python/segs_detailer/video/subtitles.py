"""Text subtitles from one codec to another, where a container does not take the one that there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segs_detailer.video.packets import import_av

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.stream import Stream

__all__ = ["SubtitleConverter", "converter_for"]

# Codec of text subtitles that players of each container know.
_TEXT_CODECS = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}


def converter_for(stream: Stream, container: OutputContainer) -> SubtitleConverter | None:
    """Add a stream for the text of a subtitle stream to an output, or None where that cannot be done.

    Parameters
    ----------
    stream : Stream
        Of the input.
    container : OutputContainer
        The output, whose header is not written yet.
    """
    av = import_av()
    context: Any = stream.codec_context
    codec = _TEXT_CODECS.get(container.format.name)
    # Older versions of PyAV cannot encode subtitles. Pictures of text would have to be read.
    if context is None or codec is None or not hasattr(context, "encode_subtitle") or not context.codec.text_sub:
        return None
    try:
        context.open(strict=False)
        return SubtitleConverter(context, container.add_stream(codec))
    except (av.FFmpegError, ValueError):
        return None


class SubtitleConverter:
    """Decodes the packets of one stream and encodes them for another.

    Parameters
    ----------
    decoder : SubtitleCodecContext
        Of the input, open.
    stream : Stream
        Of the output, not open yet.
    """

    def __init__(self, decoder: Any, stream: Any) -> None:
        self._decoder = decoder
        self.stream = stream
        stream.codec_context.subtitle_header = decoder.subtitle_header

    def convert(self, packet: Packet[Any]) -> Packet[Any] | None:
        """Packet of the same text at the same time; None where there is none."""
        decoded = self._decoder.decode2(packet)
        if decoded is None or not len(decoded):
            return None
        encoded: Packet[Any] = self.stream.codec_context.encode_subtitle(decoded)
        encoded.pts = encoded.dts = packet.pts
        encoded.duration = packet.duration
        encoded.time_base = packet.time_base
        return encoded
