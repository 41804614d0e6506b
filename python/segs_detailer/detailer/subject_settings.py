"""Settings of single subjects: what differs for one of them from what holds for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias

from segs_detailer.checks import number
from segs_detailer.detailer.denoise_by_size import curve_text
from segs_detailer.detailer.settings import STRENGTHS, DetailerSettings
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, did_you_mean, unknown_name
from segs_detailer.settings import check_settings, plain, replaced, setting, setting_like

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "SubjectName",
    "SubjectSettings",
    "Subjects",
    "check_subjects",
    "checked_loras",
    "checked_subjects",
    "settings_of",
]

_OF_ALL: dict[str, Any] = {
    "default": None,
    "default_text": "what holds for all",
    "fallback": None,
    "group": "",
    "widget": {},
}
"""How a setting of the detailer is declared for a single subject."""

_OF_DETAILER = (*STRENGTHS, "seed", "guide_size")
"""Settings of the detailer that a subject may have otherwise."""


def checked_loras(name: str, value: Any) -> tuple[tuple[str, float], ...]:
    """Check LoRAs and their weights."""
    expected = "pairs of a source and its weight"
    if not isinstance(value, (tuple, list)):
        raise InvalidTypeError(name, expected, repr(value))
    if not all(isinstance(each, (tuple, list)) and len(each) == 2 and isinstance(each[0], str) for each in value):
        raise InvalidTypeError(name, expected, repr(value))
    return tuple((source, number(name, weight)) for source, weight in value)


def _pictures(name: str, value: Any) -> tuple[str, ...]:
    given = (value,) if isinstance(value, (str, PathLike)) else value
    if not isinstance(given, (tuple, list)) or not all(isinstance(each, (str, PathLike)) for each in given):
        raise InvalidTypeError(name, "names of pictures", repr(value))
    return tuple(str(fspath(each)) for each in given)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectSettings:
    """What one subject, or all of one name, have otherwise. What is left open is what holds for all.

    Parameters
    ----------
    prompt, negative_prompt : str or None
        What it shows; a refiner has the same.
    lora : tuple of (str, float)
        LoRAs, with their weights, that the model has for it beside those that it has for all: a safetensors file, a
        folder or a hub id. One that the model has for all gets this weight. They are loaded once, and take no time for
        other subjects. A refiner does not have them.
    reference : tuple of str
        Pictures of it, for models that look at some: with an IP-Adapter, or VACE.
    denoise, denoise_by_size, sigma_start
        How much of it is repainted, said in one of these ways: see `DetailerSettings`.
    seed : int or None
        Seed of its noise.
    guide_size : float or None
        Length in pixels that its shorter side is brought to.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        A value that cannot be used.

    Examples
    --------
    >>> SubjectSettings(prompt="an old man", denoise=0.3).given
    {'prompt': 'an old man', 'denoise': 0.3}
    """

    ALTERNATIVES: ClassVar[tuple[str, ...]] = STRENGTHS

    prompt: str | None = setting(None, help="what it shows", default_text="what holds for all")
    negative_prompt: str | None = setting(None, help="what it must not show", default_text="what holds for all")
    lora: tuple[tuple[str, float], ...] = setting(
        (), help="LoRAs for it alone, beside those of the model, and their weights", check=checked_loras
    )
    reference: tuple[str, ...] = setting(
        (), help="pictures of it, for an IP-Adapter or another model that looks at some", check=_pictures
    )
    denoise: float | None = setting_like(DetailerSettings, "denoise", **_OF_ALL)
    denoise_by_size: tuple[tuple[float, float], ...] | None = setting_like(
        DetailerSettings, "denoise_by_size", **_OF_ALL
    )
    sigma_start: float | None = setting_like(DetailerSettings, "sigma_start", **_OF_ALL)
    seed: int | None = setting_like(DetailerSettings, "seed", **{**_OF_ALL, "help": "seed of its noise"})
    guide_size: float | None = setting_like(DetailerSettings, "guide_size", **_OF_ALL)

    def __post_init__(self) -> None:
        check_settings(self)
        said = [name for name in STRENGTHS if getattr(self, name) is not None]
        if len(said) > 1:
            raise InvalidArgumentError(said[1], f"none beside `{said[0]}`", "both")

    @property
    def given(self) -> dict[str, Any]:
        """What differs, by name."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in values.items() if value is not None and value != ()}

    @property
    def of_model(self) -> dict[str, Any]:
        """What of it needs a model that repaints."""
        return {name: value for name, value in self.given.items() if name not in _OF_DETAILER}

    def describe(self) -> str:
        """Say in words what differs; empty where nothing does."""
        parts = []
        for name, value in self.given.items():
            texts = [value] if isinstance(value, (str, int, float)) else value
            if name == "denoise_by_size":
                texts = [curve_text(value)]
            shown = [f"{each[0]}={plain(each[1])}" if isinstance(each, tuple) else each for each in texts]
            quoted = [repr(each) if name.endswith("prompt") else plain(each) for each in shown]
            parts.append(f"{name} {', '.join(quoted)}")
        return ", ".join(parts)

    def within(self, others: SubjectSettings) -> SubjectSettings:
        """Return these settings, with those of `others` for what they leave open."""
        return replaced(others, self.given)

    def applied(self, settings: DetailerSettings) -> DetailerSettings:
        """Return the detailer's settings for this subject."""
        return replaced(settings, {name: value for name, value in self.given.items() if name in _OF_DETAILER})


Subjects: TypeAlias = Mapping["str | int", SubjectSettings]
"""Settings by the number of a subject from 1, its identity or its label."""


class SubjectName(NamedTuple):
    """What a subject is known by.

    Parameters
    ----------
    number : int
        Its number, from 1.
    label : str
        What it is.
    identity : str
        Who it is; empty where that is not known.
    """

    number: int
    label: str
    identity: str = ""


def checked_subjects(subjects: object) -> dict[str | int, SubjectSettings]:
    """Return settings of subjects as they are kept.

    Parameters
    ----------
    subjects : mapping
        Numbers, identities or labels to `SubjectSettings`, to a mapping of their fields, to a prompt, or to a pair of
        prompt and negative prompt. A text of digits is a number.

    Raises
    ------
    InvalidTypeError, InvalidArgumentError
        It is something else; the message names the subject.

    Examples
    --------
    >>> checked_subjects({"face": "a woman", 2: {"denoise": 0.3}})[2].denoise
    0.3
    """
    if not isinstance(subjects, Mapping):
        raise InvalidTypeError("subjects", "a mapping of numbers, identities or labels", type(subjects).__name__)
    found: dict[str | int, SubjectSettings] = {}
    for given, value in subjects.items():
        if isinstance(given, bool) or not isinstance(given, (str, int)):
            raise InvalidTypeError("subjects", "numbers, identities or labels as keys", type(given).__name__)
        key = int(given) if isinstance(given, str) and given.isascii() and given.isdigit() else given
        if key in found:
            raise InvalidArgumentError("subjects", "each subject once", f"{key!r} twice")
        found[key] = _checked(key, value)
    return found


def _checked(key: str | int, value: object) -> SubjectSettings:
    name = f"subjects[{key!r}]"
    if isinstance(value, SubjectSettings):
        return value
    if isinstance(value, str):
        return SubjectSettings(prompt=value)
    if isinstance(value, (tuple, list)) and len(value) == 2 and all(isinstance(part, str) for part in value):
        return SubjectSettings(prompt=value[0], negative_prompt=value[1])
    if not isinstance(value, Mapping):
        expected = "settings, a prompt or (prompt, negative prompt)"
        raise InvalidTypeError(name, expected, f"{type(value).__name__} {value!r}"[:80])
    known = [each.name for each in fields(SubjectSettings)]
    unknown = next((each for each in value if each not in known), None)
    if unknown is not None:
        raise unknown_name(name, unknown, known)
    try:
        return SubjectSettings(**value)
    except (InvalidArgumentError, InvalidTypeError) as error:
        raise type(error)(f"{name} {error.argument}", error.expected, error.got) from error


def settings_of(subjects: Subjects, name: SubjectName) -> SubjectSettings:
    """Put together what holds for a subject: its number counts before its identity, and that before its label.

    Parameters
    ----------
    subjects : mapping
        Settings of subjects.
    name : SubjectName
        The subject.

    Examples
    --------
    >>> subjects = checked_subjects({"face": {"denoise": 0.3, "prompt": "a face"}, "Ann": "Ann", 2: {"denoise": 0.5}})
    >>> settings_of(subjects, SubjectName(2, "face", "Ann")).given
    {'prompt': 'Ann', 'denoise': 0.5}
    """
    found = SubjectSettings()
    for key in (name.label, name.identity, name.number):
        own = subjects.get(key) if key != "" else None
        found = found if own is None else own.within(found)
    return found


def check_subjects(subjects: Subjects, names: Iterable[SubjectName]) -> None:
    """Refuse settings of subjects that are not there.

    Parameters
    ----------
    subjects : mapping
        The settings.
    names : iterable of SubjectName
        All subjects that there are.

    Raises
    ------
    InvalidArgumentError
        A number, identity or label that no subject has; the message lists those that exist.
    """
    there = list(names)
    numbers = [each.number for each in there]
    identities = list(dict.fromkeys(each.identity for each in there if each.identity))
    labels = list(dict.fromkeys(each.label for each in there))
    unknown = [key for key in subjects if key not in (*numbers, *identities, *labels)]
    if not unknown:
        return
    kinds = {"numbers": [str(each) for each in numbers], "identities": identities, "labels": labels}
    known = "; ".join(f"{kind} {', '.join(texts)}" for kind, texts in kinds.items() if texts) or "none"
    got = ", ".join(map(repr, unknown)) + did_you_mean(unknown[0], [*identities, *labels])
    raise InvalidArgumentError("subjects", f"subjects that there are ({known})", got)
