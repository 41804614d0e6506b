"""Settings, each declared once: the field of a dataclass says its range, its unit, its choices and what it is for.

From the declarations are made: the checks of the values, the options of the command line, the widgets of the nodes and
the tables in the docs.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
import types
import typing
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from segs_detailer.checks import flag, integer, number, typed
from segs_detailer.errors import InvalidTypeError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = [
    "Declared",
    "check_settings",
    "declared",
    "names_in",
    "plain",
    "replaced",
    "setting",
    "setting_like",
    "with_changes",
]

_Settings = TypeVar("_Settings")

_KEY = "segs_detailer"
"""Key of a field's metadata."""

_INFINITE = float("inf")


@dataclass(frozen=True, slots=True)
class Declared:
    """What is declared of a setting.

    Parameters
    ----------
    name : str
        The field's name.
    type : type
        What the value is where it is not None: bool, int, float, str, tuple or a class.
    optional : bool
        Whether the value may be None.
    default : object
        The value where none is given.
    help : str
        What it is for, in one line without a full stop.
    minimum, maximum : float or None
        Limits of a number, both included.
    above : float or None
        Limit below a number, not included.
    step : float or None
        Steps in which a widget changes it.
    unit : str
        What a number counts, such as "px" or "frames".
    choices : tuple of str
        All values that there are; empty for any.
    default_text : str
        What stands for the default in a help text, where that is not its value.
    fallback : object
        What None stands for where nothing else says more; None for a setting that is None then.
    group : str
        Under which heading the command line has it; empty for none.
    node : bool
        Whether the detailing nodes have it as an optional input, after those that they have anyway.
    widget : mapping
        Where widgets of nodes differ from the rest, by ComfyUI's names: `min`, `max`, `label_on`, `label_off`.
    check : callable or None
        `(name, value) -> value`: checks and normalizes what the rest of the declaration cannot say.
    """

    name: str
    type: type[Any]
    optional: bool
    default: Any
    help: str
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    step: float | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()
    default_text: str = ""
    fallback: Any = None
    group: str = ""
    node: bool = False
    widget: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    check: Callable[[str, Any], Any] | None = None

    def checked(self, value: Any) -> Any:
        """Return a value as its type, or say by the setting's name what is wrong with it.

        Parameters
        ----------
        value : object
            What was given.

        Returns
        -------
        object
            The value; NumPy's numbers become Python's.

        Raises
        ------
        InvalidTypeError
            It has another type.
        InvalidArgumentError
            It is out of its range.
        """
        if value is None and self.optional:
            return None
        if self.check is not None:
            return self.check(self.name, value)
        if self.type is bool:
            return flag(self.name, value)
        if self.type is int:
            return integer(self.name, value, least=_or(self.minimum, -_INFINITE), most=_or(self.maximum, _INFINITE))
        if self.type is float:
            least, above = _or(self.minimum, -_INFINITE), _or(self.above, -_INFINITE)
            return number(self.name, value, least=least, above=above, most=_or(self.maximum, _INFINITE))
        if not isinstance(value, self.type):
            or_none = " or None" if self.optional else ""
            raise InvalidTypeError(self.name, f"a {self.type.__name__}{or_none}", typed(value))
        if self.choices and value not in self.choices:
            two = len(self.choices) == 2
            raise unknown_name(
                self.name, value, self.choices, expected=" or ".join(map(repr, self.choices)) if two else "one of {}"
            )
        return value

    @property
    def range_text(self) -> str:
        """The range in words of a table: "0 to 1", "above 0 to 1", "from 1"; empty where there is none."""
        low = f"above {self.above:g}" if self.above is not None else ""
        low = low or (plain(self.minimum) if self.minimum is not None else "")
        if self.maximum is None:
            return f"from {low}" if low and self.above is None else low
        return f"{low} to {plain(self.maximum)}" if low else f"up to {plain(self.maximum)}"


def setting(
    default: Any,
    *,
    help: str,  # noqa: A002
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    step: float | None = None,
    unit: str = "",
    choices: Sequence[str] = (),
    default_text: str = "",
    fallback: Any = None,
    group: str = "",
    node: bool = False,
    widget: Mapping[str, Any] = MappingProxyType({}),
    check: Callable[[str, Any], Any] | None = None,
) -> Any:
    """Declare a setting: the default of a dataclass's field, with what there is to know about it.

    Its type is the field's annotation: `bool`, `int`, `float`, `str`, `Literal` of strings, a tuple or a class, each
    also `| None`.

    Parameters
    ----------
    default, help, minimum, maximum, above, step, unit, choices, default_text, fallback, group,\
 node, widget, check
        See `Declared`. The values of a `Literal` are its choices without being named.

    Returns
    -------
    dataclasses.Field
        What stands right of the field's annotation.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class Blur:
    ...     radius: int = setting(5, help="how far", minimum=0, unit="px")
    ...     __post_init__ = check_settings
    >>> Blur(-1)
    Traceback (most recent call last):
    segs_detailer.errors.InvalidArgumentError: radius: expected an int of at least 0, got -1
    """
    about = {
        "help": help,
        "minimum": minimum,
        "maximum": maximum,
        "above": above,
        "step": step,
        "unit": unit,
        "choices": tuple(choices),
        "default_text": default_text,
        "fallback": fallback,
        "group": group,
        "node": node,
        "widget": MappingProxyType(dict(widget)),
        "check": check,
    }
    return dataclasses.field(default=default, metadata={_KEY: MappingProxyType(about)})


def setting_like(cls: Any, name: str, **changes: Any) -> Any:
    """Declare a setting that is another class's too: its limits, unit and help are that one's.

    Parameters
    ----------
    cls : type
        The class that declares it.
    name : str
        Its name there.
    **changes : object
        `default`, and whatever else `setting` takes, where it is not the same.

    Returns
    -------
    dataclasses.Field
        What stands right of the field's annotation.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class Blur:
    ...     radius: int = setting(5, help="how far", minimum=0, unit="px")
    >>> @dataclass(frozen=True)
    ... class Halo:
    ...     width: int = setting_like(Blur, "radius", default=2)
    >>> declared(Halo)[0].minimum, Halo().width
    (0, 2)
    """
    field = next(field for field in dataclasses.fields(cls) if field.name == name)
    return setting(**{"default": field.default, **field.metadata[_KEY], **changes})


def declared(cls: Any) -> tuple[Declared, ...]:
    """Return the settings that a dataclass, or the class of an object, declares, in the order of its fields.

    Parameters
    ----------
    cls : type or object
        A dataclass. Fields that are no settings are left out.
    """
    owner = cls if isinstance(cls, type) else type(cls)
    found = []
    for field in dataclasses.fields(owner):
        about = field.metadata.get(_KEY)
        if about is not None:
            kind, optional, choices = _kind_of(_annotation(owner, field))
            about = {**about, "choices": about["choices"] or choices}
            found.append(Declared(field.name, kind, optional, field.default, **about))
    return tuple(found)


def names_in(cls: Any, group: str) -> tuple[str, ...]:
    """Return the names of the settings that stand under a heading of the command line.

    Parameters
    ----------
    cls : type or object
        See `declared`.
    group : str
        The heading.
    """
    return tuple(each.name for each in declared(cls) if each.group == group)


def with_changes(settings: _Settings, changes: Mapping[str, Any]) -> _Settings:
    """Return settings with other values; a name that is not among them is refused with those that look like it.

    Parameters
    ----------
    settings : dataclass
        The settings.
    changes : mapping
        Values by name.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        A name or a value that cannot be used.
    """
    known = [field.name for field in dataclasses.fields(settings)]  # type: ignore[arg-type]
    unknown = next((name for name in changes if name not in known), None)
    if unknown is not None:
        raise unknown_name("settings", unknown, known)
    return replaced(settings, changes)


def replaced(settings: _Settings, values: Mapping[str, Any]) -> _Settings:
    """Return settings with other values.

    Of the settings that the class names as `ALTERNATIVES`, of which one may be given, those that were given go where
    another one is given now.

    Parameters
    ----------
    settings : dataclass
        The settings.
    values : mapping
        Values by name.
    """
    others = getattr(settings, "ALTERNATIVES", ())
    gone = dict.fromkeys(others) if any(values.get(name) is not None for name in others) else {}
    return dataclasses.replace(settings, **{**gone, **values})  # type: ignore[type-var]


def check_settings(settings: Any) -> None:
    """Check all settings of an object by their declarations, and normalize them: for `__post_init__`.

    Parameters
    ----------
    settings : dataclass
        The object; it may be frozen.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        A value that cannot be used, by the setting's name.
    """
    for each in declared(settings):
        # Also of a frozen dataclass: this is still its making.
        object.__setattr__(settings, each.name, each.checked(getattr(settings, each.name)))


def plain(value: Any) -> str:
    """Write a default or a limit as people do: 8 for 8.0."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else f"{value:g}"
    return str(value)


def _or(value: float | None, other: float) -> float:
    return other if value is None else value


def _annotation(owner: type[Any], field: dataclasses.Field[Any]) -> Any:
    """Return the type that a field is annotated with.

    Each is looked up by itself: other annotations of the class may name what is imported for type checkers only.
    """
    if not isinstance(field.type, str):
        return field.type
    home = next(cls for cls in owner.__mro__ if field.name in inspect.get_annotations(cls))
    names = {**vars(typing), **vars(sys.modules[home.__module__])}
    return eval(field.type, names)


def _kind_of(hint: Any) -> tuple[type[Any], bool, tuple[str, ...]]:
    """Return the type of an annotation, whether it takes None, and the choices of a `Literal`."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        kinds = [kind for kind in typing.get_args(hint) if kind is not types.NoneType]
        if len(kinds) != 1:
            raise TypeError(f"a setting has one type, and None at most: {hint}")
        kind, _, choices = _kind_of(kinds[0])
        return kind, len(kinds) < len(typing.get_args(hint)), choices
    if origin is typing.Literal:
        return str, False, typing.get_args(hint)
    return (origin or hint), False, ()
