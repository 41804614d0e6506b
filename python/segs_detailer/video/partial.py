"""Outputs that exist completely or not at all: written beside their place under another name, then renamed."""

from __future__ import annotations

import os
import re
import shutil
from abc import ABC, abstractmethod
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ..errors import MediaError
from .claims import LOCK, OWNER, Claim, owner, remove_abandoned

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

__all__ = ["PartialFile", "PartialFolder", "check_file", "check_writable", "remove_left_over"]

_TEMPORARY = re.compile(rf"\..*\.partial-{OWNER}(\..*)?", re.DOTALL)


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


def check_file(target: Path) -> None:
    """Check that a file can be made.

    Raises
    ------
    MediaError
        It cannot.
    """
    if target.is_dir():
        raise MediaError(f"{target}: is a folder: name a file in it")
    check_writable(target.parent)


def remove_left_over(folder: Path) -> None:
    """Remove what runs that were killed left in a folder: nobody else ever will."""
    if folder.is_dir():
        remove_abandoned(folder.iterdir(), _TEMPORARY)


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
        check_file(target)
        self._target = target
        remove_left_over(target.parent)
        self.path = target.with_name(f".{target.stem}.partial-{owner()}{target.suffix}")
        self._claim = Claim(self.path)

    def commit(self) -> None:
        """Give the file its name, over any older one."""
        self._claim.allow_renaming()
        self.path.replace(self._target)
        self._claim.release()

    def discard(self) -> None:
        """Remove what was written."""
        self._claim.allow_renaming()
        self.path.unlink(missing_ok=True)
        self._claim.release()


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
        remove_left_over(target.parent)
        self.path = target.parent / f".{target.name}.partial-{owner()}"
        self._claim = Claim(self.path, is_folder=True)

    def commit(self) -> None:
        """Move the files to their folder, over older ones of the same names."""
        self._target.mkdir(exist_ok=True)
        for file in sorted(self.path.iterdir()):
            if file.name != LOCK:
                file.replace(self._target / file.name)
        self.discard()

    def discard(self) -> None:
        """Remove what was written."""
        self._claim.allow_renaming()
        shutil.rmtree(self.path, ignore_errors=True)
        self._claim.release()
