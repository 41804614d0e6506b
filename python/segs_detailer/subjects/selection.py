"""Which tracks of a clip are meant: by number, size, label, time, place, or likeness to a picture."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, fields
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from segs_detailer.checks import integer, number, number_ranges, shown
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, did_you_mean
from segs_detailer.settings import check_settings, setting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from segs_detailer.subjects.mask import Mask

__all__ = [
    "EXCLUDABLE",
    "Likeness",
    "NothingLeftError",
    "SelectSettings",
    "Selectable",
    "Similarity",
    "Step",
    "listed",
    "read_criterion",
    "selected",
    "size_of",
]

_MOMENT = re.compile(r"(?:(?P<frame>\d+)|(?P<seconds>\d+(?:\.\d*)?|\.\d+)s):(?P<x>[^,:]+),(?P<y>[^,:]+)")
_AT = "a moment and a place in pixels, such as 12.5s:640,360 or 300:640,360"
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


def _numbers_or_names(name: str, value: Any) -> tuple[int | str, ...]:
    items = (value,) if isinstance(value, (int, str)) else value
    if not isinstance(items, (tuple, list)) or not items:
        raise InvalidTypeError(name, "numbers of tracks, or identities", shown(value))
    # Digits are a number, also where they are written as text.
    values = [int(each) if isinstance(each, str) and each.isascii() and each.isdigit() else each for each in items]
    return tuple(each if isinstance(each, str) and each else integer(name, each, least=1) for each in values)


def _texts(name: str, value: Any, expected: str) -> tuple[str, ...]:
    items = (value,) if isinstance(value, (str, PathLike)) else value
    if not isinstance(items, (tuple, list)) or not all(isinstance(each, (str, PathLike)) for each in items):
        raise InvalidTypeError(name, expected, shown(value))
    texts = tuple(fspath(each) for each in items)
    if not all(isinstance(each, str) and each for each in texts):
        raise InvalidArgumentError(name, expected, shown(value))
    return texts


def _labels(name: str, value: Any) -> tuple[str, ...]:
    labels = _texts(name, value, "labels")
    if not labels:
        raise InvalidArgumentError(name, "at least one label", "none")
    return labels


def _pictures(name: str, value: Any) -> tuple[str, ...]:
    return _texts(name, value, "pictures")


def _frames(name: str, value: Any) -> tuple[int, int]:
    expected = "the first and the last frame, from 0"
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise InvalidTypeError(name, expected, shown(value))
    first, last = (integer(name, each, least=0) for each in value)
    if first > last:
        raise InvalidArgumentError(name, expected, f"{first}-{last}")
    return first, last


def _places(name: str, value: Any) -> tuple[str, ...]:
    texts = _texts(name, value, _AT)
    for text in texts:
        _place(name, text)
    return texts


def _exclusions(name: str, value: Any) -> tuple[str, ...]:
    texts = _texts(name, value, "criteria such as tracks=2,5")
    for text in texts:
        _exclusion(name, text)
    return texts


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectSettings:
    """Which of the subjects that were found are meant. All that is given must hold; without any, all are.

    Examples
    --------
    >>> from segs_detailer.subjects import SelectSettings
    >>> SelectSettings(labels="face", largest=2, exclude="tracks=4").labels
    ('face',)
    """

    tracks: tuple[int | str, ...] | None = setting(
        None, help="only tracks of these numbers, as plans show them, or of these identities", check=_numbers_or_names
    )
    labels: tuple[str, ...] | None = setting(None, help="only tracks of these labels", check=_labels)
    min_subject: float | None = setting(
        None,
        help="only tracks of at least this size: the longer side of the box, its median over the frames",
        above=0,
        unit="px",
    )
    max_subject: float | None = setting(
        None,
        help="only tracks of at most this size; `max_size` is that of crops",
        above=0,
        unit="px",
    )
    frames: tuple[int, int] | None = setting(
        None, help="only tracks that are seen in some frame from the first to the last, from 0", check=_frames
    )
    at: tuple[str, ...] = setting(
        (),
        help="only what is at a place then: seconds, or a frame's number, and pixels: 12.5s:640,360 or 300:640,360; "
        "may be given several times",
        check=_places,
    )
    like: tuple[str, ...] = setting(
        (), help="only what looks like what a picture shows; may be given several times", check=_pictures
    )
    largest: int | None = setting(None, help="only so many of what the others leave, the largest", minimum=1)
    exclude: tuple[str, ...] = setting(
        (),
        help="turn one of these round: leave out what tracks=2,5 or labels=hand or like=PICTURE would take; may be "
        "given several times",
        check=_exclusions,
    )

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def is_given(self) -> bool:
        """Whether anything is asked for."""
        return self != SelectSettings()

    @property
    def pictures(self) -> tuple[str, ...]:
        """All pictures that tracks are compared with."""
        return tuple(picture for each in _criteria(self) if each.name == "like" for picture in each.value)


EXCLUDABLE = tuple(each.name for each in fields(SelectSettings) if each.name != "exclude")
"""Criteria that `exclude` can turn round."""


def _read_tracks(text: str) -> tuple[int | str, ...]:
    return tuple(part.strip() for part in text.split(","))


def _read_frames(text: str) -> tuple[int, int]:
    first, mark, last = text.partition("-")
    if not first.isdigit() or (mark and not last.isdigit()):
        raise InvalidArgumentError("frames", "frames from 0 such as 120-180, or one such as 120", repr(text))
    return int(first), int(last if mark else first)


def _read_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


_READERS: dict[str, Callable[[str], Any]] = {
    "tracks": _read_tracks,
    "labels": lambda text: tuple(part.strip() for part in text.split(",")),
    "min_subject": _read_number,
    "max_subject": _read_number,
    "frames": _read_frames,
    "at": lambda text: (text,),
    "like": lambda text: (text,),
    "largest": lambda text: int(text) if text.isascii() and text.isdigit() else -1,
}


def read_criterion(name: str, text: str) -> Any:
    """Read the value of a criterion as it is written on the command line.

    Parameters
    ----------
    name : str
        One of `EXCLUDABLE`.
    text : str
        `1,3` for tracks, `120-180` for frames, `300:640,360` for `at`, and so on.

    Returns
    -------
    object
        The value of the setting.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        It is no such value.
    """
    return getattr(SelectSettings(**{name: _READERS[name](text)}), name)


def _written(name: str, value: Any) -> str:
    """Write a value as it is written on the command line."""
    if name == "frames":
        return f"{value[0]}-{value[1]}"
    if isinstance(value, tuple):
        return ",".join(str(each) for each in value)
    return f"{value:g}"


def _exclusion(name: str, text: str) -> tuple[str, Any]:
    criterion, mark, value = text.partition("=")
    criterion = criterion.strip().replace("-", "_")
    if not mark or criterion not in EXCLUDABLE:
        expected = f"NAME=VALUE such as tracks=2,5, with one of {', '.join(EXCLUDABLE)}"
        raise InvalidArgumentError(name, expected, f"{text!r}{did_you_mean(criterion, EXCLUDABLE)}")
    try:
        return criterion, read_criterion(criterion, value)
    except (InvalidArgumentError, InvalidTypeError) as error:
        raise InvalidArgumentError(name, f"{criterion}={error.expected}", repr(text)) from error


def _place(name: str, text: str) -> tuple[int | float, bool, float, float]:
    """Read a place: the moment, whether it is in seconds, x and y."""
    found = _MOMENT.fullmatch(text.strip())
    if found is None:
        raise InvalidArgumentError(name, _AT, repr(text))
    try:
        x, y = (number(name, float(found[axis])) for axis in "xy")
    except ValueError:
        raise InvalidArgumentError(name, _AT, repr(text)) from None
    in_seconds = found["frame"] is None
    return (float(found["seconds"]) if in_seconds else int(found["frame"])), in_seconds, x, y


@dataclass(frozen=True, slots=True)
class _Criterion:
    """One setting with its value, as it is, or turned round."""

    name: str
    value: Any
    excludes: bool = False

    @property
    def argument(self) -> str:
        return "exclude" if self.excludes else self.name

    @property
    def written(self) -> str:
        text = _written(self.name, self.value)
        return f"{self.name}={text}" if self.excludes else text


def _criteria(settings: SelectSettings) -> list[_Criterion]:
    """Return what is asked for, in the order in which it is applied: ranks last, of what all others leave."""
    given = [(name, getattr(settings, name)) for name in EXCLUDABLE]
    found = [_Criterion(name, value) for name, value in given if value not in (None, ())]
    excluded = [_Criterion(*_exclusion("exclude", text), excludes=True) for text in settings.exclude]
    return sorted([*found, *excluded], key=lambda each: (each.name == "largest") * (1 if each.excludes else 2))


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
    labels: dict[str, list[int]] = {}
    for track in tracks:
        labels.setdefault(track.label, []).append(track.id)
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
    for criterion in _criteria(settings):
        left = selector.apply(criterion, left)
        steps.append(
            Step(
                criterion.name,
                _written(criterion.name, criterion.value),
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

    def apply(self, criterion: _Criterion, left: list[Selectable]) -> list[Selectable]:
        """Return what a criterion leaves of some tracks."""
        of_criterion: dict[str, Callable[[_Criterion, list[Selectable]], tuple[set[int], str]]] = {
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

    def _by_number(self, criterion: _Criterion, left: list[Selectable]) -> tuple[set[int], str]:
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

    def _by_label(self, criterion: _Criterion, left: list[Selectable]) -> tuple[set[int], str]:
        known = list(dict.fromkeys(track.label for track in self._tracks))
        unknown = next((label for label in criterion.value if label not in known), None)
        if unknown is not None:
            raise InvalidArgumentError(
                criterion.argument, f"labels among {', '.join(known)}", f"{unknown!r}{did_you_mean(unknown, known)}"
            )
        taken = {track.id for track in self._tracks if track.label in criterion.value}
        return taken, f"a label of what the others leave, {listed(left)}"

    def _by_size(self, criterion: _Criterion, left: list[Selectable]) -> tuple[set[int], str]:
        is_least = criterion.name == "min_subject"
        sizes = {track.id: size_of(track) for track in left}
        taken = {
            each for each, size in sizes.items() if (size >= criterion.value if is_least else size <= criterion.value)
        }
        return taken, f"a size that a track has: {_each(left, lambda track: f'{sizes[track.id]:.4g} px')}"

    def _by_frames(self, criterion: _Criterion, left: list[Selectable]) -> tuple[set[int], str]:
        first, last = criterion.value
        if self._count is not None and first >= self._count:
            expected = f"frames of the clip, 0 to {self._count - 1}"
            raise InvalidArgumentError(criterion.argument, expected, _written("frames", criterion.value))
        taken = {track.id for track in left if bool(((track.frames >= first) & (track.frames <= last)).any())}
        return taken, f"frames in which a track is seen: {_each(left, _span)}"

    def _by_place(self, criterion: _Criterion, left: list[Selectable]) -> tuple[set[int], str]:
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

    def _frame_of(self, criterion: _Criterion, text: str) -> tuple[int, float, float]:
        moment, in_seconds, x, y = _place(criterion.argument, text)
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

    def _by_likeness(self, criterion: _Criterion, left: list[Selectable]) -> tuple[set[int], str]:
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

    def _by_rank(self, criterion: _Criterion, left: list[Selectable]) -> tuple[set[int], str]:
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
