"""When the frames of a file are shown: strictly one after the other, whatever its time stamps say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from segs_detailer.video.packets import PacketTimes

__all__ = ["FrameClock", "FrameTimes", "frame_times"]


class FrameClock:
    """Gives frames their times, in the order in which they are shown.

    A frame keeps its own stamp where that is later than the frame before. One whose stamp goes back or repeats is shown
    a tick after the frame before, as soon as a player can; one without a stamp follows after a usual step.

    Parameters
    ----------
    step : int
        Ticks from a frame to the next where nothing else is known.
    leading : sequence of int
        Times of the first frames, as far as they have no stamps of their own.
    """

    def __init__(self, step: int, leading: Sequence[int] = ()) -> None:
        self._step = step
        self._leading = leading
        self._count = 0
        self._last: int | None = None
        self._has_stamps = False
        self.corrected: list[int] = []

    def time(self, stamp: int | None) -> int:
        """Return the time of the next frame, and note its number where the stamp could not be kept."""
        time = self._unstamped() if stamp is None else stamp
        if self._last is not None and time <= self._last:
            self.corrected.append(self._count)
            time = self._last + 1
        self._has_stamps = self._has_stamps or stamp is not None
        self._count += 1
        self._last = time
        return time

    def _unstamped(self) -> int:
        if not self._has_stamps and self._count < len(self._leading):
            return self._leading[self._count]
        return 0 if self._last is None else self._last + self._step


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """When frames are shown.

    Parameters
    ----------
    times : tuple of int
        Start of each frame in ticks, strictly rising, then the end of the last one.
    corrected : tuple of int
        Numbers of the frames whose stamps went back or repeated.
    """

    times: tuple[int, ...]
    corrected: tuple[int, ...]


def frame_times(packets: Sequence[PacketTimes], step: int) -> FrameTimes:
    """Tell the times of frames from the packets that hold them.

    Parameters
    ----------
    packets : sequence of PacketTimes
        In file order.
    step : int
        Ticks from a frame to the next where the packets do not say.
    """
    shown = _as_shown(packets)
    unknown = next((index for index, packet in enumerate(shown) if packet.pts is not None), len(shown))
    first = shown[unknown].pts if unknown < len(shown) else None
    leading = [(first or 0) - step * (unknown - index) for index in range(unknown)] if first is not None else []
    clock = FrameClock(step, leading)
    times = [clock.time(packet.pts) for packet in shown]
    if not times:
        return FrameTimes((0,), ())
    return FrameTimes((*times, times[-1] + (shown[-1].duration or step)), tuple(clock.corrected))


def _as_shown(packets: Iterable[PacketTimes]) -> list[PacketTimes]:
    """Put packets into the order in which a decoder gives their frames.

    It reorders by what the frames say of themselves, never across a key frame that begins something new: one whose own
    stamp is not later than all before it.
    """
    shown: list[PacketTimes] = []
    part: list[PacketTimes] = []
    latest: int | None = None
    for packet in packets:
        if packet.pts is not None:
            if packet.is_key and latest is not None and packet.pts <= latest:
                shown += _sorted(part)
                part, latest = [], None
            latest = packet.pts if latest is None else max(latest, packet.pts)
        part.append(packet)
    return shown + _sorted(part)


def _sorted(part: list[PacketTimes]) -> list[PacketTimes]:
    """Sort by stamps; packets without one stay behind the one before them."""
    keys: list[tuple[int, int]] = []
    place = None
    for index, packet in enumerate(part):
        place = place if packet.pts is None else packet.pts
        keys.append((-(1 << 63) if place is None else place, index))
    return [part[index] for _, index in sorted(keys)]
