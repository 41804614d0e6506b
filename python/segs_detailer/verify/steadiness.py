"""One subject through the clip: how much it was changed, how steadily, and where that breaks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from segs_detailer.verify.flow import Flicker
from segs_detailer.verify.report import Finding, Kind, SubjectReport, shown_frames
from segs_detailer.verify.settings import LEVEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segs_detailer.verify.settings import VerifySettings

__all__ = ["Steadiness"]

# Below this strength nothing was changed that could pop.
_LEAST_STRENGTH = 1.5 * LEVEL
# Changes of the strength that nobody sees.
_LEAST_POP = 2.0 * LEVEL
# How far a level must be above what is expected: for the whole clip, and for one pair of frames.
_LEAST_FLICKER = 1.0 * LEVEL
_LEAST_JUMP = 4.0 * LEVEL
# One pair of frames may differ so many times as much as is allowed on average.
_JUMP_FACTOR = 2.0
# The usual strength: of frames with all of the change, not of ramps.
_USUAL_PERCENTILE = 90


@dataclass(slots=True)
class Steadiness:
    """Collects what is measured of one subject.

    Parameters
    ----------
    id : int
        Of its track; 0 stands for everything that changed.
    label : str
        What it is.
    span : (int, int)
        First frame, and the frame after the last.
    """

    id: int
    label: str
    span: tuple[int, int]
    _strengths: list[float] = field(default_factory=list)
    _jumps: list[tuple[int, float]] = field(default_factory=list)
    _total: Flicker = field(default_factory=Flicker)
    _pairs: list[tuple[int, Flicker]] = field(default_factory=list)
    _blank: list[int] = field(default_factory=list)

    def add_strength(self, strength: float) -> None:
        """Note how much a frame was changed in which the subject shows."""
        self._strengths.append(strength)

    def add_jump(self, frame: int, jump: float, noise: float = 0.0) -> None:
        """Note how much more a frame was changed than the frame before; less than the encoder's noise tells nothing."""
        if abs(jump) > max(_LEAST_POP, noise):
            self._jumps.append((frame, jump))

    def add_flicker(self, frame: int, flicker: Flicker) -> None:
        """Note what differs from the frame before."""
        self._total += flicker
        if flicker.level_after - flicker.expected > _LEAST_JUMP:
            self._pairs.append((frame, flicker))

    def add_blank(self, frame: int) -> None:
        """Note a frame in which nothing is left of the subject."""
        self._blank.append(frame)

    @property
    def strength(self) -> float:
        """Root mean square of the changes of all frames."""
        return float(np.sqrt(np.mean(np.square(self._strengths)))) if self._strengths else 0.0

    def report(self) -> SubjectReport:
        """Return the numbers, in levels of 8 bits."""
        total = self._total
        first, end = self.span
        measured = total.pixels > 0
        return SubjectReport(
            self.id,
            self.label,
            first,
            end - 1,
            _rounded(self.strength / LEVEL),
            _rounded(total.level_before / LEVEL) if measured else None,
            _rounded(total.level_after / LEVEL) if measured else None,
            _rounded(total.detail) if measured else None,
            _rounded(total.excess) if measured else None,
        )

    def findings(self, settings: VerifySettings) -> list[Finding]:
        """Return the faults."""
        return [*self._blanks(), *self._pops(settings), *self._flicker(settings)]

    def _finding(self, kind: Kind, text: str, frames: Sequence[int] = ()) -> Finding:
        name = f"{self.label} {self.id}" if self.id else self.label
        return Finding(kind, f"{name}: {text}", self.id or None, tuple(frames))

    def _blanks(self) -> list[Finding]:
        if not self._blank:
            return []
        frames = tuple(self._blank)
        return [self._finding("blank", f"black or without any detail in {shown_frames(frames)}", frames)]

    def _pops(self, settings: VerifySettings) -> list[Finding]:
        if not self._strengths:
            return []
        usual = float(np.percentile(self._strengths, _USUAL_PERCENTILE))
        if usual < _LEAST_STRENGTH:
            return []
        found = []
        for frame, jump in self._jumps:
            share = abs(jump) / usual
            if share <= settings.max_pop:
                continue
            size = f"{share:.0%} of its change from one frame to the next"
            where = "appears" if jump > 0 else "disappears"
            found.append(self._finding("pop", f"{where} at frame {frame}: {size}", [frame]))
        return found

    def _flicker(self, settings: VerifySettings) -> list[Finding]:
        total = self._total
        found = []
        if total.excess > settings.max_flicker and total.level_after - total.expected > _LEAST_FLICKER:
            text = (
                f"flickers {total.excess:.1f} times as much as the input "
                f"({total.level_after / LEVEL:.1f} levels, the input {total.level_before / LEVEL:.1f})"
            )
            found.append(self._finding("flicker", text))
        limit = settings.max_flicker * _JUMP_FACTOR
        frames = tuple(frame for frame, flicker in self._pairs if flicker.excess > limit)
        popped = {frame for finding in self._pops(settings) for frame in finding.frames}
        frames = tuple(frame for frame in frames if frame not in popped)
        if frames:
            found.append(self._finding("jump", f"jumps at {shown_frames(frames)}", frames))
        return found


def _rounded(value: float) -> float:
    return round(value, 3)
