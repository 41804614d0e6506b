"""Which clips: those of a folder, or those that a list names, each with options of its own."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segs_detailer.errors import MediaError
from segs_detailer.video.sequences import ANIMATION_SUFFIXES, VIDEO_SUFFIXES

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CLIP_SUFFIXES", "Entry", "read_folder", "read_list"]

CLIP_SUFFIXES = (*VIDEO_SUFFIXES, *ANIMATION_SUFFIXES)
"""Files that count as clips in a folder."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One clip of a batch.

    Parameters
    ----------
    clip : str
        Its name, as `run` takes it.
    options : tuple of str
        Options of its own, as `run` takes them.
    place : str
        Where it was named, for messages.
    """

    clip: str
    options: tuple[str, ...] = ()
    place: str = ""


def read_folder(folder: Path) -> list[Entry]:
    """Return the clips in a folder, by their names; hidden ones and folders in it are left out.

    Raises
    ------
    MediaError
        There is none.
    """
    files = sorted(
        file
        for file in folder.iterdir()
        if file.is_file() and file.suffix.lower() in CLIP_SUFFIXES and not file.name.startswith(".")
    )
    if not files:
        raise MediaError(f"{folder}: holds no clip ({', '.join(CLIP_SUFFIXES)})")
    return [Entry(str(file), place=str(file)) for file in files]


def read_list(path: Path) -> list[Entry]:
    """Read a list: one clip a line, with options of its own behind it, quoted as in a shell; `#` begins a comment.

    Raises
    ------
    MediaError
        It cannot be read, names no clip, or a line is not closed.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text"
        raise MediaError(f"{path}: cannot be read as a list of clips ({reason})") from error
    entries = []
    for number, line in enumerate(lines, start=1):
        place = f"{path}, line {number}"
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise MediaError(f"{place}: {error}") from error
        if not words:
            continue
        if words[0].startswith("-"):
            raise MediaError(f"{place}: expected a clip and options of its own behind it, got {words[0]}")
        entries.append(Entry(words[0], tuple(words[1:]), place))
    if not entries:
        raise MediaError(f"{path}: names no clip: write one a line")
    return entries
