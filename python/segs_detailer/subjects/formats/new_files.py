"""Files that appear when they are complete, and texts that are read whole."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from segs_detailer.errors import MediaError
from segs_detailer.video.partial import PartialFile, PartialFolder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["new_file", "new_folder", "read_json", "read_text", "write_json"]


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give a temporary name to write to. Left with an exception nothing remains, else the file gets its name.

    Raises
    ------
    MediaError
        The file cannot be written.
    """
    with _committed(PartialFile(path), path) as place:
        yield place


@contextmanager
def new_folder(
    path: Path, *, mixing: Iterable[str] = (), alone: bool = False, overwrite: bool = False
) -> Iterator[Path]:
    """Give a temporary folder to write to. Left with an exception nothing remains, else its files move to `path`.

    Parameters
    ----------
    path : Path
        The folder.
    mixing : iterable of str
        Names of files in it that would be taken for some of the new ones.
    alone : bool
        All that runs wrote to the folder is in the way too.
    overwrite : bool
        Remove those, if an earlier run wrote them.

    Raises
    ------
    MediaError
        The files cannot be written, or others are in their way.
    """
    with _committed(PartialFolder(path, mixing=mixing, alone=alone, overwrite=overwrite), path) as place:
        yield place


@contextmanager
def _committed(partial: PartialFile | PartialFolder, path: Path) -> Iterator[Path]:
    try:
        with partial as place:
            yield place
    except MediaError:
        raise
    except OSError as error:
        raise MediaError(f"{path}: cannot be written ({error.strerror or error})") from error


def read_text(path: Path) -> str:
    """Return the text of a file in UTF-8, with or without a mark for it.

    Raises
    ------
    MediaError
        It is missing, empty or no text.
    """
    if not path.exists():
        raise MediaError(f"{path}: no such file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise MediaError(f"{path}: expected text in UTF-8, got other bytes at {error.start}") from error
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not text.strip():
        raise MediaError(f"{path}: cannot be read (it is empty)")
    return text


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises
    ------
    MediaError
        It is missing, empty, or not JSON.
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise MediaError(f"{path}: expected JSON, got a fault at {place} ({error.msg})") from error
    except (RecursionError, ValueError) as error:
        # ValueError: Python reads no number of thousands of digits.
        raise MediaError(f"{path}: expected JSON, got what cannot be read ({error})") from error


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file.

    Raises
    ------
    MediaError
        It cannot be written.
    """
    with new_file(path) as place:
        place.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
