"""Reports in JSON: opened before the work that they are about, so that hours of it end in no error about a name."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from segs_detailer.cli.arguments import option_of
from segs_detailer.errors import InvalidArgumentError, MediaError
from segs_detailer.video.partial import PartialFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["report_file"]

_Write: TypeAlias = "Callable[[Any], None]"


@contextmanager
def report_file(argument: str, path: str | None, others: Iterable[str | None] = ()) -> Iterator[_Write]:
    """Open a report, and give what writes it, once. Left with an exception nothing of it remains.

    Parameters
    ----------
    argument : str
        What names it among the arguments.
    path : str or None
        Where it goes: a file, `-` for standard output, None for nowhere.
    others : iterable of str or None
        Files of the same command.

    Raises
    ------
    InvalidArgumentError
        It is one of those.
    MediaError
        It cannot be written there.
    """
    if path is None or path == "-":
        yield _ignore if path is None else _show
        return
    place = Path(path).resolve()
    if any(other and Path(other).resolve() == place for other in others):
        raise InvalidArgumentError(argument, "another file than the clip and the output", path)
    try:
        partial = PartialFile(Path(path))
    except (MediaError, OSError) as error:
        raise MediaError(f"{option_of(argument)}: {error}") from error
    with partial as place:
        yield lambda content: _write(place, content)


def _ignore(content: Any) -> None:
    del content


def _show(content: Any) -> None:
    print(_text(content))


def _write(place: Path, content: Any) -> None:
    place.write_text(_text(content) + "\n", encoding="utf-8")


def _text(content: Any) -> str:
    return json.dumps(content, indent=2, allow_nan=False)
