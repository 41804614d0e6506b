"""Which tracks of a clip are meant: by number, size, label, time, place, or likeness to a picture."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from segs_detailer.checks import number_ranges
from segs_detailer.errors import InvalidArgumentError, did_you_mean
from segs_detailer.subjects.criteria import Criterion, SelectSettings, criteria_of, read_place, written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from segs_detailer.subjects.mask import Mask

__all__ = [
    "Likeness",
    "NothingLeftError",
    "Selectable",
    "Similarity",
    "Step",
    "listed",
    "listed_numbers",
    "selected",
    "size_of",
]

_MOST_LISTED = 12
"""Tracks that a message lists one by one."""


class NothingLeftError(InvalidArgumentError):
    """No track is left, although there is nothing wrong with the criteria themselves."""


class Selectable(Protocol):
    """What a track must say of itself to be selected: `Track` does."""

    @property
    def id(self) -> int:
        """Its number."""
        ...

    @property
    def label(self) -> str:
        """What it is."""
        ...

    @property
    def identity(self) -> str:
        """Who it is; empty where that is not known."""
        ...

    @property
    def frames(self) -> NDArray[np.int64]:
        """Frames in which it is seen."""
        ...

    @property
    def boxes(self) -> NDArray[np.float64]:
        """Where it is in them."""
        ...

    @property
    def masks(self) -> tuple[Mask | None, ...]:
        """Its shape in them, where that is known."""
        ...


@dataclass(frozen=True, slots=True)
class Similarity:
    """How much a track looks like what a picture shows.

    Parameters
    ----------
    value : float
        Cosine of the angle between their embeddings, -1 to 1.
    least : float
        From which on they count as the same.
    """

    value: float
    least: float

    @property
    def is_same(self) -> bool:
        """Whether they count as the same."""
        return self.value >= self.least


class Likeness(Protocol):
    """Compares tracks with pictures."""

    def of(self, picture: str) -> Mapping[int, Similarity]:
        """Return how much each track looks like what a picture shows, by its number; some cannot be compared."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """What one criterion leaves.

    Parameters
    ----------
    name : str
        The criterion, by the name of its setting.
    value : str
        What was asked for, as it is written on the command line.
    leaves : tuple of int
        Numbers of the tracks that are left.
    excludes : bool
        It was turned round.
    """

    name: str
    value: str
    leaves: tuple[int, ...]
    excludes: bool = False


def size_of(track: Selectable) -> float:
    """Return a track's size in pixels: the longer side of its box, the median over its frames; 0 where it is in none.

    Parameters
    ----------
    track : Track
        The track.
    """
    if not len(track.boxes):
        return 0.0
    return float(np.median((track.boxes[:, 2:] - track.boxes[:, :2]).max(axis=1)))


def listed(tracks: Iterable[Selectable]) -> str:
    """Return the numbers of tracks by their labels, as messages list them: `face: 1 to 3, 5; hand: 4`."""
    return listed_numbers((track.id, track.label) for track in tracks)


def listed_numbers(subjects: Iterable[tuple[int, str]]) -> str:
    """Return the numbers of subjects by their labels, as messages list them: `face: 1 to 3, 5; hand: 4`."""
    labels: dict[str, list[int]] = {}
    for number, label in subjects:
        labels.setdefault(label, []).append(number)
    return "; ".join(f"{label}: {number_ranges(numbers)}" for label, numbers in labels.items()) or "none"


def selected(
    tracks: Sequence[Selectable],
    settings: SelectSettings,
    *,
    times: Sequence[float] | None = None,
    frame_count: int | None = None,
    likeness: Likeness | None = None,
) -> list[Step]:
    """Select tracks, criterion by criterion.

    Parameters
    ----------
    tracks : sequence of Track
        What was found; at least one. Their ids are the numbers that users know.
    settings : SelectSettings
        Which are meant.
    times : sequence of float or None
        When each frame begins, in seconds from the first, for places at a second.
    frame_count : int or None
        Frames of the clip, to refuse those beyond.
    likeness : Likeness or None
        Compares tracks with pictures.

    Returns
    -------
    list of Step
        What each criterion leaves of what those before it leave; empty where nothing is asked for.

    Raises
    ------
    InvalidArgumentError
        A number, label, frame or place that there is not, or a criterion that leaves no track; the message says what
        there was to choose from.
    """
    selector = _Selector(tracks, times, frame_count, likeness)
    left = list(tracks)
    steps = []
    for criterion in criteria_of(settings):
        left = selector.apply(criterion, left)
        steps.append(
            Step(
                criterion.name,
                written(criterion.name, criterion.value),
                tuple(each.id for each in left),
                criterion.excludes,
            )
        )
    return steps


class _Selector:
    """Applies criteria to tracks."""

    def __init__(
        self,
        tracks: Sequence[Selectable],
        times: Sequence[float] | None,
        frame_count: int | None,
        likeness: Likeness | None,
    ) -> None:
        self._tracks = tracks
        self._times = times
        self._count = frame_count
        self._likeness = likeness

    def apply(self, criterion: Criterion, left: list[Selectable]) -> list[Selectable]:
        """Return what a criterion leaves of some tracks."""
        of_criterion: dict[str, Callable[[Criterion, list[Selectable]], tuple[set[int], str]]] = {
            "tracks": self._by_number,
            "labels": self._by_label,
            "min_subject": self._by_size,
            "max_subject": self._by_size,
            "frames": self._by_frames,
            "at": self._by_place,
            "like": self._by_likeness,
            "largest": self._by_rank,
        }
        taken, choice = of_criterion[criterion.name](criterion, left)
        kept = [track for track in left if (track.id in taken) is not criterion.excludes]
        if not kept:
            if criterion.excludes:
                raise NothingLeftError("exclude", f"what leaves at least one of {listed(left)}", criterion.written)
            raise NothingLeftError(criterion.name, choice, criterion.written)
        return kept

    def _by_number(self, criterion: Criterion, left: list[Selectable]) -> tuple[set[int], str]:
        numbers = {track.id for track in self._tracks}
        names: dict[str, set[int]] = {}
        for track in self._tracks:
            if track.identity:
                names.setdefault(track.identity, set()).add(track.id)
        known = "".join(f"; {name}: {number_ranges(own)}" for name, own in sorted(names.items()))
        unknown = next((each for each in criterion.value if each not in numbers and each not in names), None)
        if unknown is not None:
            raise InvalidArgumentError(
                criterion.argument,
                f"numbers among {listed(self._tracks)}{known}",
                f"{unknown}{did_you_mean(unknown, names) if isinstance(unknown, str) else ''}",
            )
        taken: set[int] = set()
        for each in criterion.value:
            taken |= {each} if isinstance(each, int) else names[each]
        return taken, f"a number of what the others leave, {listed(left)}"

    def _by_label(self, criterion: Criterion, left: list[Selectable]) -> tuple[set[int], str]:
        known = list(dict.fromkeys(track.label for track in self._tracks))
        unknown = next((label for label in criterion.value if label not in known), None)
        if unknown is not None:
            raise InvalidArgumentError(
                criterion.argument, f"labels among {', '.join(known)}", f"{unknown!r}{did_you_mean(unknown, known)}"
            )
        taken = {track.id for track in self._tracks if track.label in criterion.value}
        return taken, f"a label of what the others leave, {listed(left)}"

    def _by_size(self, criterion: Criterion, left: list[Selectable]) -> tuple[set[int], str]:
        is_least = criterion.name == "min_subject"
        sizes = {track.id: size_of(track) for track in left}
        taken = {
            each for each, size in sizes.items() if (size >= criterion.value if is_least else size <= criterion.value)
        }
        return taken, f"a size that a track has: {_each(left, lambda track: f'{sizes[track.id]:.4g} px')}"

    def _by_frames(self, criterion: Criterion, left: list[Selectable]) -> tuple[set[int], str]:
        first, last = criterion.value
        if self._count is not None and first >= self._count:
            expected = f"frames of the clip, 0 to {self._count - 1}"
            raise InvalidArgumentError(criterion.argument, expected, written("frames", criterion.value))
        taken = {track.id for track in left if bool(((track.frames >= first) & (track.frames <= last)).any())}
        return taken, f"frames in which a track is seen: {_each(left, _span)}"

    def _by_place(self, criterion: Criterion, left: list[Selectable]) -> tuple[set[int], str]:
        taken: set[int] = set()
        for text in criterion.value:
            frame, x, y = self._frame_of(criterion, text)
            there = {track.id: box for track in self._tracks if (box := _box_at(track, frame)) is not None}
            hit = {track.id for track in self._tracks if track.id in there and _covers(track, frame, x, y)}
            if not hit:
                raise InvalidArgumentError(criterion.argument, self._places_in(frame, there), text)
            taken |= hit
        return taken, f"a place of what the others leave, {listed(left)}"

    def _places_in(self, frame: int, there: Mapping[int, tuple[float, ...]]) -> str:
        seen = [track for track in self._tracks if track.id in there]
        if not seen:
            return f"a moment in which a track is seen: {_each(self._tracks, _span)}"
        return f"a place of a track in frame {frame}: {_each(seen, lambda track: _place_text(there[track.id]))}"

    def _frame_of(self, criterion: Criterion, text: str) -> tuple[int, float, float]:
        moment, in_seconds, x, y = read_place(criterion.argument, text)
        if in_seconds:
            if self._times is None:
                raise InvalidArgumentError(criterion.argument, "a frame's number, as `times` are not given", text)
            # The last frame is shown for as long as the one before it, more or less.
            last = self._times[-1] + (self._times[-1] / max(len(self._times) - 1, 1))
            if moment > last:
                raise InvalidArgumentError(criterion.argument, f"a second of the clip, 0 to {last:.4g}", text)
            # Half a millisecond, as times are written rounded.
            return max(bisect_right(self._times, moment + 5e-4) - 1, 0), x, y
        if self._count is not None and moment >= self._count:
            raise InvalidArgumentError(criterion.argument, f"a frame of the clip, 0 to {self._count - 1}", text)
        return int(moment), x, y

    def _by_likeness(self, criterion: Criterion, left: list[Selectable]) -> tuple[set[int], str]:
        if self._likeness is None:
            raise InvalidArgumentError(criterion.argument, "`likeness`, which compares tracks with pictures", "None")
        best: dict[int, Similarity] = {}
        for picture in criterion.value:
            try:
                found = self._likeness.of(picture)
            except InvalidArgumentError as error:
                raise InvalidArgumentError(criterion.argument, error.expected, error.got) from error
            for track, similarity in found.items():
                if track not in best or similarity.value > best[track].value:
                    best[track] = similarity
        taken = {track for track, similarity in best.items() if similarity.is_same}

        def said(track: Selectable) -> str:
            similarity = best.get(track.id)
            return "cannot be compared" if similarity is None else f"{similarity.value:.2f} of {similarity.least:.2f}"

        return taken, f"a picture of one of these, by their similarity: {_each(left, said)}"

    def _by_rank(self, criterion: Criterion, left: list[Selectable]) -> tuple[set[int], str]:
        ranked = sorted(left, key=lambda track: (-size_of(track), track.id))
        return {track.id for track in ranked[: criterion.value]}, "a number of tracks"


def _each(tracks: Sequence[Selectable], said: Callable[[Selectable], str]) -> str:
    """List tracks with what is said of each."""
    parts = [f"{track.id} ({track.label}) {said(track)}" for track in tracks[:_MOST_LISTED]]
    more = len(tracks) - len(parts)
    return ", ".join(parts) + (f", and {more} more" if more else "")


def _span(track: Selectable) -> str:
    return f"{track.frames[0]}-{track.frames[-1]}" if len(track.frames) else "in none"


def _place_text(box: Sequence[float]) -> str:
    x1, y1, x2, y2 = (f"{value:.4g}" for value in box)
    return f"{x1},{y1} to {x2},{y2}"


def _box_at(track: Selectable, frame: int) -> tuple[float, float, float, float] | None:
    """Return the box in a frame, between two sightings the one in between; None before the first and after the last."""
    if not len(track.frames) or not track.frames[0] <= frame <= track.frames[-1]:
        return None
    x1, y1, x2, y2 = (float(np.interp(frame, track.frames, column)) for column in track.boxes.T)
    return x1, y1, x2, y2


def _covers(track: Selectable, frame: int, x: float, y: float) -> bool:
    """Whether a track is at a place in a frame of its span: by its mask, where one is known, else by its box."""
    place = int(np.searchsorted(track.frames, frame))
    mask = track.masks[place] if track.frames[place] == frame else None
    if mask is not None:
        left, top, right, bottom = mask.place
        column, row = int(np.floor(x)), int(np.floor(y))
        return left <= column < right and top <= row < bottom and bool(mask.bits()[row - top, column - left])
    box = _box_at(track, frame)
    return box is not None and box[0] <= x < box[2] and box[1] <= y < box[3]
