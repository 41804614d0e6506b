"""Which stretches of a clip go over to an output as they are, packet by packet, beside others that are encoded anew."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from segs_detailer.errors import MediaError
from segs_detailer.video.container_reader import picture_stream
from segs_detailer.video.orientation import orientation_of
from segs_detailer.video.packets import import_av, open_input

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from fractions import Fraction

    from segs_detailer.video.clip import ClipInfo
    from segs_detailer.video.packet_stamps import PacketStamps

__all__ = [
    "CopyPlan",
    "JoinedPicture",
    "Layout",
    "layout_of",
    "nothing_left",
    "packets_of_picture",
    "plan_copies",
    "reason_against",
]

_FORMATS = {"mp4": "MP4", "mov": "QuickTime", "matroska": "Matroska"}
"""Formats of which players take a picture whose parameters change between key frames."""

_PARAMETERS_IN_STREAM = {"h264": "h264_mp4toannexb", "hevc": "hevc_mp4toannexb"}
"""Codecs whose key frames can bring their own parameters, and what puts those of the file before them."""

_MOST_REORDER = 2
"""Packets by which encoders of these put a frame before others that are shown earlier: B-frames in pyramids."""

_FORGETTING = {"h264": (0, 0x1F, (5,)), "hevc": (1, 0x3F, (19, 20))}
"""Bits that are skipped and read of the first byte of a unit for its kind, and the kinds of key frames after which
nothing refers to what was before (IDR: ITU-T H.264, table 7-1; H.265, table 7-1)."""

_LENGTH_AT = {"h264": 4, "hevc": 21}
"""Where the header says how many bytes the length of a unit has, less one (ISO/IEC 14496-15)."""

_ALONE = ("mjpeg", "prores")
"""Codecs of which each frame says all that there is to know of it."""

_ONE_HEADER = ("ffv1",)
"""Codecs with one header for the whole file, which must be the same."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the picture of a clip is divided.

    Parameters
    ----------
    starts : tuple of int
        Frames with which groups of pictures begin that need no other frame, and no other frame needs; then the number
        of frames.
    reorder : int
        Packets between the one that shows a frame and its place in the order in which frames are shown, at most.
    open_groups : int
        Groups of pictures that are not closed.
    header : bytes
        Parameters of the codec that the file has in one place.
    is_plain : bool
        The times of the packets are those of the frames.
    is_upright : bool
        Frames are shown as they are decoded.
    """

    starts: tuple[int, ...]
    reorder: int
    open_groups: int
    header: bytes
    is_plain: bool
    is_upright: bool = True


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """Frames that are copied.

    Parameters
    ----------
    ranges : tuple of (int, int)
        The first frame, and the one after the last, of each stretch.
    reorder : int
        See `Layout`.
    """

    ranges: tuple[tuple[int, int], ...]
    reorder: int

    @property
    def frames(self) -> int:
        """How many there are."""
        return sum(stop - start for start, stop in self.ranges)

    def __contains__(self, frame: int) -> bool:
        place = bisect_right(self.ranges, (frame, self.ranges[-1][1])) - 1 if self.ranges else -1
        return place >= 0 and frame < self.ranges[place][1]


def layout_of(info: ClipInfo) -> Layout:
    """Read how the picture of a clip is divided; nothing is decoded.

    Parameters
    ----------
    info : ClipInfo
        A video.
    """
    times: list[int | None] = []
    keys: list[int] = []
    opened = 0
    with closing(open_input(info.path)) as container:
        first = next(iter(container.decode(picture_stream(container, info.path))), None)
        is_upright = first is not None and orientation_of(first).is_upright
    with closing(open_input(info.path)) as container:
        stream = picture_stream(container, info.path)
        header = bytes(stream.codec_context.extradata or b"")
        starts_anew = partial(_starts_anew, info.codec or "", header)
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:
                opened += packet.is_keyframe
                if packet.is_keyframe and starts_anew(bytes(packet)):
                    keys.append(len(times))
                times.append(packet.pts)
        time_base = stream.time_base
    known = [time for time in times if time is not None]
    is_plain = time_base == info.time_base and sorted(known) == list(info.times[:-1])
    if not is_plain or len(known) < len(times):
        return Layout((), 0, 0, header, is_plain=False)
    number = {time: index for index, time in enumerate(info.times[:-1])}
    shown = [number[time] for time in known]
    reorder = max((place - frame for place, frame in enumerate(shown)), default=0)
    # All before a closed group are shown before it, and all after it after it.
    highest = [-1, *accumulate(shown, max)]
    lowest = [*accumulate(reversed(shown), min)][::-1]
    starts = [place for place in keys if highest[place] == place - 1 and lowest[place] == place == shown[place]]
    return Layout((*starts, len(shown)), reorder, opened - len(starts), header, is_plain=True, is_upright=is_upright)


def _starts_anew(codec: str, header: bytes, packet: bytes) -> bool:
    """Whether a key frame forgets all that was before it, as decoders do not of each that they can begin with."""
    if codec not in _FORGETTING:
        return True
    skipped, bits, kinds = _FORGETTING[codec]
    return any(first >> skipped & bits in kinds for first in _units(codec, header, packet))


def _units(codec: str, header: bytes, packet: bytes) -> Iterator[int]:
    """First byte of each unit of a packet: behind start codes, or behind lengths where the header says so."""
    if not header or header[0] != 1:
        place = packet.find(b"\0\0\1")
        while 0 <= place < len(packet) - 3:
            yield packet[place + 3]
            place = packet.find(b"\0\0\1", place + 3)
        return
    width = (header[_LENGTH_AT[codec]] & 3) + 1
    place = 0
    while place + width < len(packet):
        yield packet[place + width]
        place += width + int.from_bytes(packet[place : place + width], "big")


def reason_against(
    info: ClipInfo,
    layout: Layout,
    format_name: str,
    codec: str,
    pix_fmt: str | None,
    header: bytes,
    *,
    holds_last: bool,
) -> str | None:
    """Say why no stretch of a clip can be copied to an output, or None.

    Parameters
    ----------
    info : ClipInfo
        The clip.
    layout : Layout
        How it is divided.
    format_name : str
        Libav's name of the output's format.
    codec, pix_fmt : str
        What the other frames are encoded to.
    header : bytes
        The encoder's parameters that the file has in one place.
    holds_last : bool
        The output must say how long the last frame is held, and can do so only without reordered frames.
    """
    if format_name not in _FORMATS:
        return f"only {', '.join(_FORMATS.values())} can change parameters within the picture"
    if info.codec not in (*_PARAMETERS_IN_STREAM, *_ALONE, *_ONE_HEADER):
        return f"packets of {info.codec} are not joined with others"
    if codec != info.codec:
        return f"the clip is {info.codec}, and the output {codec}"
    if pix_fmt != info.pix_fmt:
        return f"the clip's pixel format is {info.pix_fmt}, and the output's {pix_fmt}"
    if info.interlaced:
        return "the clip is interlaced"
    if not layout.is_upright:
        return "the clip is turned, and the output is written upright"
    if not layout.is_plain or info.joins:
        return "the times of its packets are not those of its frames"
    if info.codec in _ONE_HEADER and header != layout.header:
        return f"the clip's {info.codec} header is another than the encoder's"
    if len(layout.starts) < 2:
        return "it has no group of pictures that is closed"
    if holds_last and layout.reorder:
        return "its last frame is held, which QuickTime and MP4 can only say without B-frames"
    return None


def plan_copies(layout: Layout, is_touched: Callable[[int], bool]) -> CopyPlan:
    """Choose what is copied: whole groups of pictures in which nothing changes.

    Parameters
    ----------
    layout : Layout
        How the clip is divided.
    is_touched : callable
        Whether a frame changes.
    """
    ranges: list[tuple[int, int]] = []
    for start, stop in pairwise(layout.starts):
        if any(is_touched(frame) for frame in range(start, stop)):
            continue
        if ranges and ranges[-1][1] == start:
            start = ranges.pop()[0]
        ranges.append((start, stop))
    return CopyPlan(tuple(ranges), layout.reorder)


def nothing_left(layout: Layout) -> str:
    """Say why no group of pictures is left to be copied."""
    if layout.open_groups:
        return (
            f"{layout.open_groups} of its groups of pictures are open, and each of the others has a frame that changes"
        )
    return "each of its groups of pictures has a frame that changes"


def packets_of_picture(info: ClipInfo) -> Iterator[Any]:
    """Packets of the picture in file order, as a file that may change its parameters holds them."""
    av = import_av()
    with closing(open_input(info.path)) as container:
        stream = picture_stream(container, info.path)
        name = _PARAMETERS_IN_STREAM.get(info.codec or "")
        # Parameters that are in the stream already begin with a start code.
        is_apart = (stream.codec_context.extradata or b"\0")[0] == 1
        bring = av.bitstream.BitStreamFilterContext(name, stream) if name and is_apart else None
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:
                yield packet if bring is None else bring.filter(packet)[0]


class JoinedPicture:
    """The picture of an output, of which some stretches are copied and the others encoded, each from a key frame on.

    Parameters
    ----------
    info : ClipInfo
        The clip.
    plan : CopyPlan
        What is copied.
    stamps : PacketStamps
        Times of all frames.
    clock : Fraction
        Seconds of a tick in the output.
    new_encoder : callable
        Makes an encoder for one stretch, whose key frames bring their parameters.
    mux : callable
        Takes the packets, in their order.
    """

    def __init__(
        self,
        info: ClipInfo,
        plan: CopyPlan,
        stamps: PacketStamps,
        clock: Fraction,
        new_encoder: Callable[[], Any],
        mux: Callable[[Any], None],
    ) -> None:
        self._info = info
        self._plan = plan
        self._stamps = stamps
        self._clock = clock
        self._new_encoder = new_encoder
        self._mux = mux
        self._encoder: Any = None
        self._packets = enumerate(packets_of_picture(info))
        self._early: deque[tuple[Any, int]] = deque()
        self._decoded = -max(plan.reorder, _MOST_REORDER if info.codec in _PARAMETERS_IN_STREAM else 0)

    @property
    def frames(self) -> int:
        """Frames that are copied."""
        return self._plan.frames

    def __contains__(self, frame: int) -> bool:
        return frame in self._plan

    def encode(self, frame: Any) -> None:
        """Encode a frame whose times are noted."""
        if self._encoder is None:
            self._encoder = self._new_encoder()
        self._take(self._encoder.encode(frame))

    def copy(self, frame: int, start: int) -> None:
        """Copy a frame whose times are noted; `start` is its time in the clip.

        Raises
        ------
        MediaError
            The clip is damaged: what is decoded are not the frames that its packets promise.
        """
        self.end_stretch()
        if start != self._info.times[frame]:
            raise MediaError(f"{self._info.path}: frame {frame} is not where it should be: leave out `copy_untouched`")
        packet = next((packet for place, packet in self._packets if place == frame), None)
        if packet is None:
            raise MediaError(f"{self._info.path}: its packets end before frame {frame}: leave out `copy_untouched`")
        self._early.append((packet, bisect_left(self._info.times, packet.pts)))
        # A packet may show a frame that comes later, of which the time is not noted yet.
        while self._early and self._early[0][1] < self._stamps.count:
            self._put(*self._early.popleft())

    def end_stretch(self) -> None:
        """Finish what is being encoded."""
        if self._encoder is not None:
            encoder, self._encoder = self._encoder, None
            self._take(encoder.encode(None))

    def _take(self, packets: Iterable[Any]) -> None:
        for packet in packets:
            self._put(packet, self._stamps.number_of(packet))

    def _put(self, packet: Any, shown: int) -> None:
        self._stamps.give(packet, shown, self._decoded, self._clock)
        self._decoded += 1
        self._mux(packet)
