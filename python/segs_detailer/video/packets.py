"""Packets of a file as a player takes them: on one clock, with what is damaged left out."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from segs_detailer.errors import MediaError, MissingDependencyError
from segs_detailer.video.file_length import missing_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream

__all__ = [
    "ONLY_FILES",
    "Joins",
    "PacketTimes",
    "Scan",
    "StreamScan",
    "has_stamps",
    "import_av",
    "is_preroll",
    "open_input",
    "packets_of",
    "read_error",
    "scan",
]

# Playlists may name addresses on the network; a clip is read from this machine alone.
ONLY_FILES = {"protocol_whitelist": "file"}
# Bytes that cannot be read in a row before the rest of a file is given up.
_MOST_FAILURES = 100
# libav's AVFMT_TS_DISCONT: formats whose clock may start anew in the middle of a file.
_CLOCK_MAY_JUMP = 0x0200
# A clock that goes back by more than this has started anew: `cat first.ts second.ts`.
_JOIN_SECONDS = Fraction(1, 2)
# How much sound a decoder is given before the first that is heard, at most.
_PRIMING_SECONDS = Fraction(1, 10)
# Of Matroska's statistics, which ffmpeg and mkvmerge write: hours:minutes:seconds.nanoseconds.
_DURATION_TAG = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")
_LIBAV_MICROSECONDS = 1_000_000
_UNREADABLE = object()
_NO_CLOCK = Fraction(1, _LIBAV_MICROSECONDS)

Joins = dict[int, tuple[tuple[int, Fraction], ...]]
"""For streams whose clock starts anew: numbers of packets, and the seconds that stamps get added from there on."""


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
        container: InputContainer = av.open(f"file:{path}", "r", options=ONLY_FILES)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise read_error(path, getattr(error, "strerror", None) or error) from error
    return container


def is_preroll(packet: Packet[Any]) -> bool:
    """Whether a packet lies in what an edit list cuts away, so early that no decoder needs it to begin with."""
    if not packet.is_discard or packet.pts is None or not packet.time_base:
        return False
    return bool((packet.pts + (packet.duration or 0)) * packet.time_base < -_PRIMING_SECONDS)


@dataclass(frozen=True, slots=True)
class PacketTimes:
    """What one packet of the picture says, in ticks of its stream.

    Parameters
    ----------
    pts : int or None
        When its frame is shown.
    duration : int
        For how long; 0 where it does not say.
    is_key : bool
        Decoding can begin here.
    """

    pts: int | None
    duration: int
    is_key: bool


@dataclass(frozen=True, slots=True)
class StreamScan:
    """What the packets of one stream say.

    Parameters
    ----------
    packets : int
        How many there are.
    first : Fraction or None
        When the first one in time begins, in seconds; None where no packet has a time.
    end : Fraction or None
        When the last one ends.
    expected_end : Fraction or None
        When it should end, of the file's own words; None where the file does not say.
    expected_packets : int
        How many the file says that there are; 0 where it does not say.
    last_has_duration : bool
        The packet that ends last says how long it is.
    ends_within_packet : bool
        The last packet in the file is not whole.
    """

    packets: int
    first: Fraction | None
    end: Fraction | None
    expected_end: Fraction | None
    expected_packets: int
    last_has_duration: bool
    ends_within_packet: bool


@dataclass(frozen=True, slots=True)
class Scan:
    """What the packets of a file say, before anything is decoded.

    Parameters
    ----------
    picture : tuple of PacketTimes
        Packets of the stream that was asked for, in file order, without those that are not shown.
    streams : mapping
        Each stream by its index.
    joins : Joins
        Where clocks start anew; `picture` and `streams` have it added.
    corrupt_packets : int
        Packets of the picture that are not whole.
    missing_bytes : int or None
        Bytes that the file lacks of the length that it gives itself; None where it gives none.
    """

    picture: tuple[PacketTimes, ...]
    streams: Mapping[int, StreamScan]
    joins: Joins
    corrupt_packets: int
    missing_bytes: int | None


@dataclass(slots=True)
class _Part:
    """Packets of one stream between two starts of its clock; times in its ticks."""

    begins_at: int
    first_dts: int | None = None
    last_dts: int | None = None
    low: int | None = None
    high: int | None = None


@dataclass(slots=True)
class _Tally:
    """Counts the packets of one stream. Long files have millions of them: whole numbers, and no more than is needed."""

    time_base: Fraction
    may_join: bool
    packets: int = 0
    corrupt_packets: int = 0
    last_is_corrupt: bool = False
    last_has_duration: bool = False
    parts: list[_Part] = field(default_factory=lambda: [_Part(0)])

    def add(self, packet: Packet[Any], pts: int | None, duration: int) -> None:
        dts = packet.dts
        if dts is None:
            dts = pts
        part = self.parts[-1]
        if dts is not None:
            if self.may_join and part.last_dts is not None and self._seconds(part.last_dts - dts) > _JOIN_SECONDS:
                part = _Part(self.packets)
                self.parts.append(part)
            if part.first_dts is None:
                part.first_dts = dts
            part.last_dts = dts + duration
            if pts is not None and not (packet.is_discard and is_preroll(packet)):
                if part.low is None or pts < part.low:
                    part.low = pts
                if part.high is None or pts + duration > part.high:
                    part.high = pts + duration
                    self.last_has_duration = duration > 0
        self.packets += 1
        self.last_is_corrupt = packet.is_corrupt
        self.corrupt_packets += self.last_is_corrupt

    def _seconds(self, ticks: int) -> Fraction:
        return ticks * self.time_base

    def seconds(self, name: str, number: int) -> Fraction | None:
        """Return a time of a part in seconds; None where it is not known, or there is no such part."""
        ticks = getattr(self.parts[number], name) if number < len(self.parts) else None
        return None if ticks is None else self._seconds(ticks)


def scan(path: Path, container: InputContainer, picture: Stream) -> Scan:
    """Read every packet of a file once, without decoding.

    Parameters
    ----------
    path : Path
        The file.
    container : InputContainer
        The same, open and at its start.
    picture : Stream
        The stream whose packets are listed.
    """
    may_join = bool(int(container.format.flags) & _CLOCK_MAY_JUMP)
    tallies = {stream.index: _Tally(stream.time_base or _NO_CLOCK, may_join) for stream in container.streams}
    listed: list[tuple[int, PacketTimes]] = []
    stamped, shown_index = has_stamps(container), picture.index
    for packet in _readable(container, None):
        index, pts, duration = packet.stream_index, packet.pts, packet.duration or 0
        # Streams may come up in the middle of a file.
        tally = tallies.get(index) or tallies.setdefault(index, _Tally(packet.time_base or _NO_CLOCK, may_join))
        tally.add(packet, pts, duration)
        if index == shown_index and not packet.is_discard:
            times = PacketTimes(pts if stamped else packet.dts, duration, packet.is_keyframe)
            listed.append((len(tally.parts) - 1, times))
    offsets = _join_offsets(list(tallies.values()))
    joins = {
        index: tuple((part.begins_at, offset) for part, offset in zip(tally.parts[1:], offsets[1:], strict=False))
        for index, tally in tallies.items()
        if len(tally.parts) > 1
    }
    base = picture.time_base or Fraction(1)
    moved = tuple(
        times if not part else PacketTimes(_moved(times.pts, offsets[part], base), times.duration, times.is_key)
        for part, times in listed
    )
    streams = {
        stream.index: _stream_scan(stream, tallies[stream.index], offsets, container) for stream in container.streams
    }
    return Scan(moved, streams, joins, tallies[picture.index].corrupt_packets, missing_bytes(path))


def _moved(stamp: int | None, offset: Fraction, base: Fraction) -> int | None:
    return None if stamp is None else stamp + round(offset / base)


def _join_offsets(tallies: Sequence[_Tally]) -> list[Fraction]:
    """Seconds to add in each part of a file, the same for all streams, so that no stream overlaps itself."""
    offsets = [Fraction(0)]
    for number in range(1, max((len(tally.parts) for tally in tallies), default=1)):
        gaps = []
        for tally in tallies:
            before, after = tally.seconds("last_dts", number - 1), tally.seconds("first_dts", number)
            if before is not None and after is not None:
                gaps.append(before - after)
        offsets.append(offsets[-1] + max(gaps, default=Fraction(0)))
    return offsets


def _stream_scan(stream: Stream, tally: _Tally, offsets: Sequence[Fraction], container: InputContainer) -> StreamScan:
    def moved(name: str) -> list[Fraction]:
        times = (tally.seconds(name, number) for number in range(len(tally.parts)))
        return [time + offset for time, offset in zip(times, offsets, strict=False) if time is not None]

    return StreamScan(
        packets=tally.packets,
        first=min(moved("low"), default=None),
        end=max(moved("high"), default=None),
        expected_end=_expected_end(stream, container),
        expected_packets=stream.frames,
        last_has_duration=tally.last_has_duration,
        ends_within_packet=tally.last_is_corrupt,
    )


def _expected_end(stream: Stream, container: InputContainer) -> Fraction | None:
    """When a stream ends by what the file says of it: its header, or Matroska's statistics."""
    if stream.duration and stream.time_base:
        # ASF counts its start in.
        start = 0 if "asf" in container.format.name else stream.start_time or 0
        return (start + stream.duration) * stream.time_base
    found = _DURATION_TAG.match(stream.metadata.get("DURATION", ""))
    if found is None or not container.duration:
        return None
    hours, minutes, seconds = found.groups()
    end = Fraction(int(hours) * 3600 + int(minutes) * 60) + Fraction(seconds)
    # Statistics of a longer file stay behind where a program copies a part of it.
    return end if end <= Fraction(container.duration, _LIBAV_MICROSECONDS) + Fraction(1, 1000) else None


def has_stamps(container: InputContainer) -> bool:
    """Whether a format says when frames are shown. AVI says only when they are decoded: they are shown then."""
    return container.format.name != "avi"


def packets_of(container: InputContainer, streams: Sequence[Stream], joins: Joins) -> Iterator[Packet[Any]]:
    """Yield the packets of some streams in file order, stamped on one clock; those that cannot be read are left out.

    Parameters
    ----------
    container : InputContainer
        The file, at its start.
    streams : sequence of Stream
        Which ones.
    joins : Joins
        What `scan` found.
    """
    counts: Counter[int] = Counter()
    for packet in _readable(container, streams):
        number = counts[packet.stream_index]
        counts[packet.stream_index] += 1
        offset = Fraction(0)
        for begins_at, seconds in joins.get(packet.stream_index, ()):
            if number >= begins_at:
                offset = seconds
        if offset and packet.time_base:
            packet.pts = _moved(packet.pts, offset, packet.time_base)
            packet.dts = _moved(packet.dts, offset, packet.time_base)
        yield packet


def _readable(container: InputContainer, streams: Sequence[Stream] | None) -> Iterator[Packet[Any]]:
    """Packets that hold something. Where a file is damaged, reading goes on behind it, as in players."""
    failures = 0
    packets = _demuxed(container, streams)
    while failures < _MOST_FAILURES:
        packet = next(packets, None)
        if packet is None:
            return
        if packet is _UNREADABLE:
            failures += 1
            packets = _demuxed(container, streams)
        elif packet.size:
            # Empty ones say that a frame is shown again, or that the file ends; a decoder would stop at them.
            failures = 0
            yield packet


def _demuxed(container: InputContainer, streams: Sequence[Stream] | None) -> Iterator[Any]:
    """Packets up to the end, or up to one that cannot be read."""
    av = import_av()
    try:
        yield from container.demux() if streams is None else container.demux(streams)
    except av.FFmpegError:
        yield _UNREADABLE
