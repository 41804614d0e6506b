"""Jobs in files: TOML or JSON, with a table for each part of a job, and in it what differs from the defaults."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segs_detailer.detailer.subject_settings import SubjectSettings, checked_subjects
from segs_detailer.errors import (
    InvalidArgumentError,
    InvalidTypeError,
    MediaError,
    unknown_name,
)
from segs_detailer.jobs.job import PARTS, ClipJob
from segs_detailer.video.partial import PartialFile

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["read_job", "read_subjects", "write_job"]

_SUFFIXES = (".toml", ".json")
_TABLES = (*PARTS, "redo", "subjects")


def read_job(path: str | PathLike[str]) -> ClipJob:
    """Read a job that `write_job` wrote, or that was written by hand.

    Parameters
    ----------
    path : str or path
        A .toml or .json file. Names in it are relative to the current folder, as on the command line.

    Raises
    ------
    MediaError
        It cannot be read, or holds something else than a job; the message names the value.

    Examples
    --------
    >>> from segs_detailer import read_job
    >>> job = read_job("job.toml")  # doctest: +SKIP
    >>> job.detail.denoise  # doctest: +SKIP
    0.4
    """
    place = _checked(Path(path))
    try:
        return _job(_content_of(place))
    except (InvalidArgumentError, InvalidTypeError) as error:
        raise MediaError(f"{place}: {error}") from error


def read_subjects(path: str | PathLike[str]) -> dict[str | int, SubjectSettings]:
    """Read what single subjects have otherwise, as jobs hold it under `subjects`.

    Parameters
    ----------
    path : str or path
        A .toml or .json file: a table for each number, identity or label, with fields of `SubjectSettings`. In place of
        a table, a text is a prompt, and two are a prompt and a negative prompt.

    Returns
    -------
    dict
        The `subjects` of `detail_frames` and of a `ClipJob`.

    Raises
    ------
    MediaError
        It cannot be read, or holds something else; the message names the value.

    Examples
    --------
    >>> from segs_detailer import read_subjects
    >>> read_subjects("prompts.json")[2].given  # {"face": "a smiling woman", "2": ["an old man", "beard"]}
    {'prompt': 'an old man', 'negative_prompt': 'beard'}
    """
    place = _checked(Path(path), "a file of subjects")
    try:
        return checked_subjects(_value(_content_of(place)))
    except (InvalidArgumentError, InvalidTypeError) as error:
        raise MediaError(f"{place}: {error}") from error


def _content_of(place: Path) -> Any:
    try:
        text = place.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MediaError(f"{place}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    try:
        return json.loads(text) if place.suffix.lower() == ".json" else _toml(text)
    except ValueError as error:  # those of both are
        raise MediaError(f"{place}: is no {place.suffix[1:].upper()}: {error}") from error


def write_job(path: str | PathLike[str], job: ClipJob) -> None:
    """Write a job to a file, for `read_job`: what comes back is equal.

    Parameters
    ----------
    path : str or path
        A .toml or .json file; it is replaced.
    job : ClipJob
        The job.

    Raises
    ------
    InvalidArgumentError
        The job holds a function, or in TOML None where that is not the default.
    MediaError
        The file cannot be written.

    Examples
    --------
    >>> from segs_detailer import ClipJob, write_job
    >>> write_job("job.toml", ClipJob.of("in.mp4", "out.mp4", find="face", denoise=0.4))  # doctest: +SKIP
    """
    place = _checked(Path(path))
    content = _content(job)
    text = json.dumps(content, indent=2) + "\n" if place.suffix.lower() == ".json" else _as_toml(content)
    with PartialFile(place) as partial:
        partial.write_text(text, encoding="utf-8")


def _checked(path: Path, what: str = "a job's file") -> Path:
    if path.suffix.lower() not in _SUFFIXES:
        raise MediaError(f"{path}: expected {what}, {' or '.join(_SUFFIXES)}")
    return path


def _content(job: ClipJob) -> dict[str, Any]:
    """Return what differs from a job that says nothing, as plain values: single ones first, then the parts."""
    usual = ClipJob("")
    own = _differences(job, usual, [each.name for each in fields(job) if each.name not in _TABLES])
    parts = {}
    for name in (*PARTS, "redo"):
        part = getattr(job, name)
        parts[name] = _differences(part, getattr(usual, name), [each.name for each in fields(part)])
    parts["subjects"] = {str(key): _plain("subjects", settings.given) for key, settings in job.subjects.items()}
    return {**own, **{name: values for name, values in parts.items() if values}}


def _differences(values: Any, usual: Any, names: list[str]) -> dict[str, Any]:
    found = {name: getattr(values, name) for name in names}
    return {name: _plain(name, value) for name, value in found.items() if value != getattr(usual, name)}


def _plain(name: str, value: Any) -> Any:
    if callable(value):
        raise InvalidArgumentError(name, "None in a job that is written to a file", "a function")
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(name, each) for each in value]
    if isinstance(value, dict):
        return {str(key): _plain(name, each) for key, each in value.items()}
    return value


def _job(content: Any) -> ClipJob:
    if not isinstance(content, dict):
        raise InvalidTypeError("job", "a table of its parts", type(content).__name__)
    values = dict(content)
    if "clip" not in values:
        raise InvalidArgumentError("clip", "the name of the clip", "none")
    parts: dict[str, Any] = {}
    usual = ClipJob("")
    for name in (*PARTS, "redo"):
        table = values.pop(name, {})
        part = getattr(usual, name)
        parts[name] = replace(part, **_known(name, table, [each.name for each in fields(part)]))
    parts["subjects"] = _value(values.pop("subjects", {}))
    own = _known("job", values, [each.name for each in fields(ClipJob) if each.name not in parts])
    return ClipJob(**own, **parts)


def _known(part: str, table: Any, known: list[str]) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise InvalidTypeError(part, "a table", repr(table))
    unknown = next((name for name in table if name not in known), None)
    if unknown is not None:
        raise unknown_name(part, unknown, known)
    return {name: _value(value) for name, value in table.items()}


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_value(each) for each in value)
    return {key: _value(each) for key, each in value.items()} if isinstance(value, dict) else value


def _toml(text: str) -> Any:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(text)


def _as_toml(content: dict[str, Any]) -> str:
    tables = {name: value for name, value in content.items() if isinstance(value, dict)}
    lines = [f"{name} = {_toml_value(name, value)}" for name, value in content.items() if name not in tables]
    subjects = {f"subjects.{_key(key)}": values for key, values in tables.pop("subjects", {}).items()}
    for table, values in {**tables, **subjects}.items():
        lines += ["", f"[{table}]", *(f"{name} = {_toml_value(name, value)}" for name, value in values.items())]
    return "\n".join(lines) + "\n"


def _key(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else _text(text)


def _toml_value(name: str, value: Any) -> str:
    if value is None:
        raise InvalidArgumentError(name, "a value, as TOML has no None: write JSON", "None")
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(key)} = {_toml_value(name, each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(_toml_value(name, each) for each in value)}]"
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _text(text: str) -> str:
    # A text of JSON is one of TOML, but for one character that JSON leaves as it is.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
