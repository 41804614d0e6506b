"""Criteria of a selection: the settings, and how they are written on the command line."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from segs_detailer.checks import integer, number, shown
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, did_you_mean
from segs_detailer.settings import check_settings, setting

if TYPE_CHECKING:
    from collections.abc import Callable


__all__ = [
    "EXCLUDABLE",
    "Criterion",
    "SelectSettings",
    "criteria_of",
    "read_criterion",
    "read_place",
    "written",
]

_MOMENT = re.compile(r"(?:(?P<frame>\d+)|(?P<seconds>\d+(?:\.\d*)?|\.\d+)s):(?P<x>[^,:]+),(?P<y>[^,:]+)")
_AT = "a moment and a place in pixels, such as 12.5s:640,360 or 300:640,360"


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
        read_place(name, text)
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
        return tuple(picture for each in criteria_of(self) if each.name == "like" for picture in each.value)


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


def written(name: str, value: Any) -> str:
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


def read_place(name: str, text: str) -> tuple[int | float, bool, float, float]:
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
class Criterion:
    """One setting with its value, as it is, or turned round."""

    name: str
    value: Any
    excludes: bool = False

    @property
    def argument(self) -> str:
        """Setting that it comes from."""
        return "exclude" if self.excludes else self.name

    @property
    def written(self) -> str:
        """Its value, as it is written on the command line."""
        text = written(self.name, self.value)
        return f"{self.name}={text}" if self.excludes else text


def criteria_of(settings: SelectSettings) -> list[Criterion]:
    """Return what is asked for, in the order in which it is applied: ranks last, of what all others leave."""
    given = [(name, getattr(settings, name)) for name in EXCLUDABLE]
    found = [Criterion(name, value) for name, value in given if value not in (None, ())]
    excluded = [Criterion(*_exclusion("exclude", text), excludes=True) for text in settings.exclude]
    return sorted([*found, *excluded], key=lambda each: (each.name == "largest") * (1 if each.excludes else 2))
