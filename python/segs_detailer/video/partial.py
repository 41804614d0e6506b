"""Outputs that exist completely or not at all: written beside their place under another name, then renamed."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MediaError

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["PartialFile", "PartialFolder", "check_writable", "is_running"]


def check_writable(folder: Path) -> None:
    """Check that files can be made in `folder`.

    Raises
    ------
    MediaError
        There is no such folder, or it may not be written to.
    """
    if not folder.is_dir():
        raise MediaError(f"{folder}: no such folder to write to: create it first")
    if not os.access(folder, os.W_OK):
        raise MediaError(f"{folder}: this folder may not be written to: choose another")


def is_running(number: str) -> bool:
    """Whether a process of this machine has this number; where that cannot be told, it may."""
    if os.name != "posix" or not number.isdigit():
        return True
    try:
        # Signal 0 only asks.
        os.kill(int(number), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return not _has_ended(number)


def _has_ended(number: str) -> bool:
    """Whether a process is over, and only its parent has not asked yet how it ended."""
    try:
        text = Path("/proc", number, "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    # The state follows the name, which may hold anything.
    return text.rpartition(")")[2].split()[:1] in (["Z"], ["X"])


def _remove_left_over(folder: Path, prefix: str, suffix: str) -> None:
    """Remove what runs to the same place left when they were killed: nobody else ever will."""
    for path in folder.iterdir():
        number = path.name[len(prefix) : len(path.name) - len(suffix)]
        if path.name.startswith(prefix) and path.name.endswith(suffix) and not is_running(number):
            with suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


class _Partial(ABC):
    """Left without an exception it gets its name; else, and where that fails, nothing of it remains."""

    path: Path

    @abstractmethod
    def commit(self) -> None:
        """Give it its name."""

    @abstractmethod
    def discard(self) -> None:
        """Remove what was written."""

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as undo:
            undo.callback(self.discard)
            if kind is None:
                self.commit()
                undo.pop_all()


class PartialFile(_Partial):
    """A file that gets its name when it is finished.

    Parameters
    ----------
    target : Path
        Its name then. The suffix of the temporary name is the same, for programs that look at it.
    """

    def __init__(self, target: Path) -> None:
        if target.is_dir():
            raise MediaError(f"{target}: is a folder: name a file in it")
        check_writable(target.parent)
        self._target = target
        prefix = f".{target.stem}.partial-"
        _remove_left_over(target.parent, prefix, target.suffix)
        self.path = target.with_name(f"{prefix}{os.getpid()}{target.suffix}")

    def commit(self) -> None:
        """Give the file its name, over any older one."""
        self.path.replace(self._target)

    def discard(self) -> None:
        """Remove what was written."""
        self.path.unlink(missing_ok=True)


class PartialFolder(_Partial):
    """Several files of one folder that appear together.

    Parameters
    ----------
    target : Path
        The folder; made where it is missing. Other files in it are left alone.
    """

    def __init__(self, target: Path) -> None:
        if target.exists() and not target.is_dir():
            raise MediaError(f"{target}: is a file: name a folder")
        check_writable(target if target.is_dir() else target.parent)
        self._target = target
        prefix = f".{target.name}.partial-"
        _remove_left_over(target.parent, prefix, "")
        self.path = target.parent / f"{prefix}{os.getpid()}"
        self.path.mkdir(exist_ok=True)

    def commit(self) -> None:
        """Move the files to their folder, over older ones of the same names."""
        self._target.mkdir(exist_ok=True)
        for file in sorted(self.path.iterdir()):
            file.replace(self._target / file.name)
        self.path.rmdir()

    def discard(self) -> None:
        """Remove what was written."""
        shutil.rmtree(self.path, ignore_errors=True)
