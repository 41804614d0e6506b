"""Options made from the declarations of settings.

One class of settings becomes options of several groups, commands have a part of them, and their parser suggests names
and starts without importing more than it needs. Libraries that make a whole command line of a dataclass (tyro,
jsonargparse, cyclopts) would own the parser for that: these few functions leave it as it is.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, TypeVar

from segs_detailer.cli.arguments import names as names_between_commas
from segs_detailer.cli.arguments import option_of
from segs_detailer.settings import declared, plain, replaced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from segs_detailer.settings import Declared

__all__ = ["add_settings", "given_settings", "help_of", "settings_from"]

_Settings = TypeVar("_Settings")

_METAVARS = {bool: None, int: "N", float: "S", str: "NAME", tuple: "A,B"}


def add_settings(
    group: argparse._ActionsContainer,
    base: Any,
    names: Iterable[str] | None = None,
    *,
    types: Mapping[str, Callable[[str], Any]] | None = None,
    metavars: Mapping[str, str] | None = None,
    aliases: Mapping[str, str] | None = None,
) -> None:
    """Add the options of settings. One that is not given is None in the parsed arguments, whatever its default is.

    Parameters
    ----------
    group : argument group or parser
        Where they go.
    base : object or type
        The settings, whose values are the defaults that the help tells; or their class.
    names : iterable of str or None
        The fields that become options, in this order; None for all.
    types : mapping or None
        How to read the values of fields whose type does not say so.
    metavars : mapping or None
        What stands for the values of fields in the help, where unit and type do not say it well.
    aliases : mapping or None
        Other spellings of the options of fields.
    """
    known = {each.name: each for each in declared(base)}
    for name in known if names is None else names:
        # A class with slots has something else under the names of its fields.
        default = known[name].default if isinstance(base, type) else getattr(base, name)
        spellings = (option_of(name), *([aliases[name]] if aliases and name in aliases else []))
        _add_option(group, known[name], spellings, default, types or {}, metavars or {})


def help_of(cls: Any, name: str) -> str:
    """Return the help of a setting whose option is added by itself."""
    return next(_help(each, each.default) for each in declared(cls) if each.name == name)


def given_settings(args: argparse.Namespace, cls: Any) -> dict[str, Any]:
    """Return the settings that were given as options, by name.

    Parameters
    ----------
    args : Namespace
        The parsed arguments.
    cls : type or object
        The class of the settings.
    """
    found = {each.name: getattr(args, each.name, None) for each in declared(cls)}
    return {name: value for name, value in found.items() if value is not None}


def settings_from(args: argparse.Namespace, base: _Settings) -> _Settings:
    """Return settings with what was given as options.

    Parameters
    ----------
    args : Namespace
        The parsed arguments.
    base : object
        The settings that hold where no option was given: those of `add_settings`.
    """
    return replaced(base, given_settings(args, base))


def _add_option(
    group: argparse._ActionsContainer,
    each: Declared,
    spellings: tuple[str, ...],
    default: Any,
    types: Mapping[str, Callable[[str], Any]],
    metavars: Mapping[str, str],
) -> None:
    # A percent sign begins a format in argparse's help.
    text = _help(each, default).replace("%", "%%")
    if each.type is bool:
        action = argparse.BooleanOptionalAction if default else "store_const"
        constant = {} if default else {"const": True}
        group.add_argument(*spellings, action=action, default=None, help=text, **constant)  # type: ignore[arg-type]
    elif each.choices:
        group.add_argument(*spellings, choices=each.choices, help=text)
    else:
        read = types.get(each.name) or (names_between_commas if each.type is tuple else each.type)
        metavar = metavars.get(each.name) or _metavar(each)
        group.add_argument(*spellings, type=read, metavar=metavar, help=text)


def _metavar(each: Declared) -> str | None:
    return "PX" if each.unit == "px" else _METAVARS.get(each.type)


def _help(each: Declared, default: Any) -> str:
    text = each.default_text if default is None or default == each.default else ""
    if not text and (default is None or default is False or default in ("", ())):
        return each.help
    return f"{each.help} (default: {text or plain(default)})"
