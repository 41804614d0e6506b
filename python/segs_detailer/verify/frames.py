"""Checking frame by frame: pairs of frames go in, a report comes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from segs_detailer.subjects.finders.opencv import import_cv2
from segs_detailer.subjects.finders.shots import ShotDetector
from segs_detailer.verify.cells import CELL, CellChange, allowed_cells, measure_cells, noise_between
from segs_detailer.verify.flow import measure_flicker
from segs_detailer.verify.report import Finding, Kind, Report, Surroundings, shown_frames
from segs_detailer.verify.settings import LEVEL, VerifySettings
from segs_detailer.verify.steadiness import Steadiness
from segs_detailer.verify.subjects import Area

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from segs_detailer.verify.subjects import Subject

__all__ = ["FrameChecker"]

_BLACK = 3.0 * LEVEL
_NOT_BLACK = 10.0 * LEVEL
_FLAT = 0.7 * LEVEL
_NOT_FLAT = 4.0 * LEVEL
_REPEATED = 0.25 * LEVEL
_MOVING = 1.5 * LEVEL
# Outside the masks as a whole: what no encoder of a usable quality does.
_LEAST_PSNR = 28.0
_MOST_SHIFT = 2.0
_EVERYTHING = "everything"


@dataclass(frozen=True, slots=True)
class _Pair:
    """One frame of both clips, and how they differ."""

    before: NDArray[np.float32]
    after: NDArray[np.float32]
    change: CellChange


@dataclass(slots=True)
class _Outside:
    """Sums over the frames."""

    frames: int = 0
    squares: float = 0.0
    cells: int = 0
    noise: float = 0.0
    shift: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    share: float = 0.0
    worst: tuple[float, int, tuple[int, int, int, int]] | None = None
    wrong: list[int] = field(default_factory=list)


class FrameChecker:
    """Compares two clips frame by frame, and holds two frames of each.

    Parameters
    ----------
    size : (int, int)
        Height and width of the frames.
    subjects : sequence of Subject or None
        What was to be changed; None where that is not known: the area that changed is reported.
    settings : VerifySettings or None
        What counts as a fault.
    """

    def __init__(
        self, size: tuple[int, int], subjects: Sequence[Subject] | None = None, settings: VerifySettings | None = None
    ) -> None:
        self._size = size
        self._settings = settings or VerifySettings()
        self._subjects = subjects
        self._shots = ShotDetector()
        self._previous: _Pair | None = None
        self._areas: list[Area | None] = []
        self._count = 0
        self._outside = _Outside()
        self._seen = [Steadiness(item.number, item.label, item.span) for item in subjects or ()]
        self._all = Steadiness(0, _EVERYTHING, (0, 0))
        self._broken: dict[Kind, list[int]] = {"not-finite": [], "black": [], "repeated": []}

    def add(self, before: NDArray[np.float32], after: NDArray[np.float32]) -> None:
        """Compare the next frame.

        Parameters
        ----------
        before, after : ndarray
            `(H, W, 3)` float32 in [0, 1], kept until the next one: each a new array.
        """
        frame = self._count
        self._count += 1
        is_cut = self._shots.begins_shot(before)
        level = float(after.sum(dtype=np.float64)) / max(after.size, 1)
        if not np.isfinite(level):
            self._broken["not-finite"].append(frame)
            self._previous = None
            return
        if level < _BLACK and float(before.mean()) > _NOT_BLACK:
            self._broken["black"].append(frame)
        areas = None if self._subjects is None else [item.area(frame) for item in self._subjects]
        allowed = None
        if areas is not None:
            allowed = allowed_cells([area for area in areas if area is not None], self._size, self._settings.margin)
        pair = _Pair(before, after, measure_cells(before, after, allowed))
        self._add_outside(frame, pair.change)
        if self._previous is not None and _is_repeated(self._previous, pair):
            self._broken["repeated"].append(frame)
        previous = None if is_cut else self._previous
        if areas is None:
            self._add_everything(frame, pair, previous)
        for number, area in enumerate(areas or ()):
            self._add_subject(number, frame, area, pair, previous)
        self._areas = areas or []
        self._previous = pair

    def _add_outside(self, frame: int, change: CellChange) -> None:
        out = self._outside
        cells = int(change.outside.sum())
        if cells == 0:
            return
        out.frames += 1
        out.cells += cells
        out.squares += float(change.squares[change.outside].sum(dtype=np.float64))
        out.noise += change.noise
        out.shift += change.shift
        wrong = change.changed & change.outside
        share = float(wrong.sum()) / cells
        out.share += share
        if share > 0:
            out.wrong.append(frame)
            if out.worst is None or share > out.worst[0]:
                out.worst = (share, frame, _box(wrong, self._size))

    def _add_everything(self, frame: int, pair: _Pair, previous: _Pair | None) -> None:
        """Take all that changed as one subject."""
        area = _changed_area(pair.change, self._size)
        changed = pair.change.changed
        seen = self._all
        if area is not None:
            seen.span = (seen.span[0] if seen.span[1] else frame, frame + 1)
            seen.add_strength(_strength(pair.change.squares[changed], pair.change.noise))
        if previous is None:
            return
        either = changed | previous.change.changed
        if either.any():
            now = _strength(pair.change.squares[either], pair.change.noise)
            jump = now - _strength(previous.change.squares[either], previous.change.noise)
            seen.add_jump(frame, jump, _noise(pair, previous))
        if area is not None and previous.change.changed.any():
            self._add_flicker(seen, frame, area, pair, previous)

    def _add_subject(self, number: int, frame: int, area: Area | None, pair: _Pair, previous: _Pair | None) -> None:
        seen = self._seen[number]
        if area is not None:
            seen.add_strength(_area_strength(area, pair.change))
            if _is_blank(area.pixels(pair.before), area.pixels(pair.after)):
                seen.add_blank(frame)
        if previous is None:
            return
        # Where it comes or goes, both frames are looked at in the place that is known.
        before = self._areas[number] or area
        now = area or self._areas[number]
        if before is None or now is None:
            return
        jump = _area_strength(now, pair.change) - _area_strength(before, previous.change)
        seen.add_jump(frame, jump, _noise(pair, previous))
        if area is not None and self._areas[number] is not None:
            self._add_flicker(seen, frame, area, pair, previous)

    def _add_flicker(self, seen: Steadiness, frame: int, area: Area, pair: _Pair, previous: _Pair) -> None:
        noise = noise_between(previous.change, pair.change)
        flicker = measure_flicker((previous.before, pair.before), (previous.after, pair.after), area, noise)
        if flicker is not None:
            seen.add_flicker(frame, flicker)

    def report(self, before: str = "", after: str = "", findings: Sequence[Finding] = ()) -> Report:
        """Return what was found.

        Parameters
        ----------
        before, after : str
            Names of the clips.
        findings : sequence of Finding
            What is known already: it comes first.
        """
        seen = self._seen if self._subjects is not None else [self._all] if self._all.span[1] else []
        found = [*findings, *self._frame_findings(), *self._outside_findings()]
        for item in seen:
            found += item.findings(self._settings)
        subjects = tuple(item.report() for item in seen)
        return Report(before, after, self._count, tuple(found), self._surroundings(), subjects)

    def _frame_findings(self) -> list[Finding]:
        said: dict[Kind, str] = {
            "not-finite": "NaN or infinite values in frames",
            "black": "black frames where the input is not black:",
            "repeated": "the frame before again, where the input goes on:",
        }
        found = []
        for kind, frames in self._broken.items():
            if frames:
                text = f"{said[kind]} {shown_frames(tuple(frames))}"
                found.append(Finding(kind, text, frames=tuple(frames)))
        return found

    def _surroundings(self) -> Surroundings | None:
        out = self._outside
        if out.frames == 0:
            return None
        mean = out.squares / out.cells
        red, green, blue = (round(float(value) / out.frames / LEVEL, 3) + 0.0 for value in out.shift)
        return Surroundings(
            self._subjects is not None,
            round(-10 * float(np.log10(mean)), 2) if mean > 0 else None,
            (red, green, blue),
            round(out.noise / out.frames / LEVEL, 3),
            round(out.share / out.frames, 6),
            None if out.worst is None else out.worst[1],
            None if out.worst is None else out.worst[2],
        )

    def _outside_findings(self) -> list[Finding]:
        around = self._surroundings()
        if around is None or not around.masked:
            return []
        if around.psnr is not None and around.psnr < _LEAST_PSNR:
            text = f"the whole picture outside the masks differs ({around.psnr:.1f} dB): other frames, or another clip"
            return [Finding("outside", text)]
        found = []
        shift = max(around.shift, key=abs)
        if abs(shift) > _MOST_SHIFT:
            found.append(Finding("outside", f"colors outside the masks are shifted by {shift:+.1f} levels"))
        if self._outside.wrong and around.worst_box is not None:
            frames = tuple(self._outside.wrong)
            place = ",".join(str(value) for value in around.worst_box)
            text = f"changed outside the masks in {shown_frames(frames)}; most in {around.worst_frame}, at {place}"
            found.append(Finding("outside", text, frames=frames))
        return found


def _strength(squares: NDArray[np.float32], noise: float) -> float:
    """Root mean square of a change, without what the encoder does everywhere."""
    if squares.size == 0:
        return 0.0
    return float(np.sqrt(max(0.0, float(squares.mean(dtype=np.float64)) - noise * noise)))


def _noise(pair: _Pair, previous: _Pair) -> float:
    return max(pair.change.noise, previous.change.noise)


def _area_strength(area: Area, change: CellChange) -> float:
    return _strength(area.pixels(change.pixels), change.noise)


def _is_repeated(previous: _Pair, pair: _Pair) -> bool:
    cv2 = import_cv2()
    if float(cv2.norm(pair.after, previous.after, cv2.NORM_INF)) > _REPEATED:
        return False
    moved = float(cv2.norm(pair.before, previous.before, cv2.NORM_L2)) / np.sqrt(pair.before.size)
    return bool(moved > _MOVING)


def _is_blank(before: NDArray[np.float32], after: NDArray[np.float32]) -> bool:
    if float(after.mean()) < _BLACK and float(before.mean()) > _NOT_BLACK:
        return True
    return float(after.std(axis=0).max()) < _FLAT and float(before.std(axis=0).max()) > _NOT_FLAT


def _box(cells: NDArray[np.bool_], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the pixels around cells."""
    rows, columns = np.flatnonzero(cells.any(axis=1)), np.flatnonzero(cells.any(axis=0))
    x1, y1 = int(columns[0]) * CELL, int(rows[0]) * CELL
    return x1, y1, min((int(columns[-1]) + 1) * CELL, size[1]), min((int(rows[-1]) + 1) * CELL, size[0])


def _changed_area(change: CellChange, size: tuple[int, int]) -> Area | None:
    if not change.changed.any():
        return None
    x1, y1, x2, y2 = _box(change.changed, size)
    cells = change.changed[y1 // CELL : -(-y2 // CELL), x1 // CELL : -(-x2 // CELL)]
    inside = cells.repeat(CELL, axis=0).repeat(CELL, axis=1)[: y2 - y1, : x2 - x1]
    return Area((x1, y1, x2, y2), inside)
