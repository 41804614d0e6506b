"""True times of packets whose encoder only counted frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fractions import Fraction

__all__ = ["PacketStamps", "Rising"]

# Frames behind the last one decoded whose times are kept: some encoders give packets that show nothing the number of a
# frame that is out already.
_KEPT_BEHIND = 8


class Rising:
    """Makes decoding times of one stream rise strictly, as muxers want them; a frame is never shown before its time."""

    def __init__(self) -> None:
        self._last: int | None = None

    def __call__(self, packet: Any) -> None:
        """Move a packet that has both times to the next tick where it must."""
        if self._last is not None and packet.dts <= self._last:
            packet.dts = self._last + 1
        packet.pts = max(packet.pts, packet.dts)
        self._last = packet.dts


class PacketStamps:
    """Gives frames numbers for an encoder, and packets the times of the frames that they hold.

    Encoders want frames at steps of a clock, which some of them limit; times of real clips are on no such grid.

    Parameters
    ----------
    step : Fraction
        Seconds from a frame to the next, as the encoder is told.
    """

    def __init__(self, step: Fraction) -> None:
        self.step = step
        self._count = 0
        self._oldest = 0
        self._frames: dict[int, tuple[int, int]] = {}
        self._first = (0, 1)
        self._rising = Rising()

    def add(self, start: int, end: int) -> int:
        """Note when the next frame is shown, in ticks, and return its number."""
        if self._count == 0:
            self._first = (start, max(end - start, 1))
        else:
            # A coarse clock has one tick for several frames of a clip.
            start = max(start, self._frames[self._count - 1][0] + 1)
        self._frames[self._count] = (start, end)
        self._count += 1
        return self._count - 1

    def apply(self, packet: Any, clock: Fraction) -> None:
        """Give a packet its true times in ticks of `clock` seconds."""
        shown = self.number_of(packet)
        decoded = shown if packet.dts is None else round(packet.dts * packet.time_base / self.step)
        self.give(packet, shown, decoded, clock)

    @property
    def count(self) -> int:
        """Frames whose times are noted."""
        return self._count

    def number_of(self, packet: Any) -> int:
        """Return the number of the frame that a packet of an encoder holds."""
        number: int = round(packet.pts * packet.time_base / self.step)
        return number

    def give(self, packet: Any, shown: int, decoded: int, clock: Fraction) -> None:
        """Give a packet the times of the frame that it shows, and of the frame in whose place it is decoded."""
        start, end = self._frames[shown]
        packet.pts, packet.duration = start, max(end - start, 0)
        packet.dts = min(self._decoded_at(decoded), start)
        packet.time_base = clock
        self._rising(packet)
        while self._oldest < decoded - _KEPT_BEHIND:
            self._frames.pop(self._oldest, None)
            self._oldest += 1

    def _decoded_at(self, number: int) -> int:
        """Return when a frame of this number is shown; before the first one, count on in steps as long as that."""
        start, step = self._first
        return start + number * step if number < 0 else self._frames[number][0]
