"""What a format can hold, asked of its muxer itself: a small file is written to nowhere."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from segs_detailer.video.packets import import_av, open_input

if TYPE_CHECKING:
    from pathlib import Path

    from av.stream import Stream

__all__ = ["MuxerTrial", "Nowhere"]

_PACKETS = 2
# Packets that are read in search of the first ones of each stream.
_MOST_READ = 4000


class Nowhere:
    """A file that forgets what is written to it."""

    def __init__(self) -> None:
        self._place = 0
        self._end = 0

    def write(self, data: bytes) -> int:
        """Count the bytes."""
        self._place += len(data)
        self._end = max(self._end, self._place)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to another place."""
        self._place = (0, self._place, self._end)[whence] + offset
        return self._place

    def tell(self) -> int:
        """Tell the place."""
        return self._place


class MuxerTrial:
    """Tries whether formats hold the streams of a file as they are.

    Muxers check much only when packets come, so that the first ones of each stream are written too.

    Parameters
    ----------
    path : Path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self._packets = _first_packets(path)

    def takes(self, stream: Stream, name: str) -> bool:
        """Whether a format, by libav's name, holds a stream."""
        av = import_av()
        try:
            with av.open(Nowhere(), "w", format=name) as container:
                copy = container.add_stream_from_template(stream)
                container.start_encoding()
                for packet in self._packets[stream.index]:
                    container.mux(_copied(packet, copy))
        except (av.FFmpegError, ValueError, AttributeError):
            # Versions of PyAV before 16 look into the codec, also of a stream that has none.
            return False
        return True


def _first_packets(path: Path) -> dict[int, list[Any]]:
    av = import_av()
    found: dict[int, list[Any]] = defaultdict(list)
    with open_input(path) as container:
        wanted = [stream for stream in container.streams if stream.type in ("audio", "data")]
        try:
            for number, packet in enumerate(container.demux(wanted) if wanted else ()):
                if packet.size and packet.dts is not None and len(found[packet.stream_index]) < _PACKETS:
                    found[packet.stream_index].append(packet)
                lacking = any(len(found[stream.index]) < _PACKETS for stream in wanted)
                if not lacking or number > _MOST_READ:
                    break
        except av.FFmpegError:
            # What is damaged is met again where it is copied.
            return found
    return found


def _copied(packet: Any, stream: Any) -> Any:
    """Muxing changes packets; the same ones are tried in several formats."""
    av = import_av()
    copy = av.Packet(bytes(packet))
    copy.pts, copy.dts, copy.duration, copy.time_base = packet.pts, packet.dts, packet.duration, packet.time_base
    copy.stream = stream
    return copy
