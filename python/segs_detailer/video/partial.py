"""Outputs that exist completely or not at all: written under another name where they will be, then renamed.

Temporary files lie in the folder that the output is in, never beside it: that may be another disk.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from segs_detailer.errors import MediaError
from segs_detailer.video.claims import LOCK, OWNER, Claim, owner, remove_abandoned
from segs_detailer.video.written_files import WrittenFiles

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

__all__ = [
    "PartialFile",
    "PartialFolder",
    "check_file",
    "check_makeable",
    "check_name",
    "check_place",
    "check_writable",
    "remove_left_over",
]

_TEMPORARY = re.compile(rf"\..*\.partial-{OWNER}(\..*)?", re.DOTALL)
# Of most file systems, where the system does not say.
_NAME_BYTES = 255
# A suffix of more is no suffix.
_SUFFIX_BYTES = 16
_DIGEST_BYTES = 4
# What a system says about a file that is a mount point itself.
_MOUNTED = (errno.EBUSY, errno.EXDEV)


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


def check_makeable(folder: Path) -> None:
    """Check that `folder` is there, or can be made with those that it is in.

    Raises
    ------
    MediaError
        It cannot.
    """
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir():
        raise MediaError(f"{there}: is a file: name a folder")
    check_writable(there)


def _name_limit(folder: Path) -> int:
    """Bytes that a name in `folder` may have."""
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):
        return _NAME_BYTES


def check_name(target: Path) -> None:
    """Check that a file system can have such a name.

    Raises
    ------
    MediaError
        It is too long.
    """
    size, limit = max(len(os.fsencode(part)) for part in (target.name, *target.parts)), _name_limit(target.parent)
    if size > limit:
        raise MediaError(f"{target}: expected a name of at most {limit} bytes, got {size}: choose a shorter one")


def check_file(target: Path) -> None:
    """Check that a file can be made.

    Raises
    ------
    MediaError
        It cannot.
    """
    check_name(target)
    target = _real(target)
    if target.is_dir():
        raise MediaError(f"{target}: is a folder: name a file in it")
    if target.exists() and not target.is_file():
        raise MediaError(f"{target}: is a device or a pipe: name a file")
    check_writable(target.parent)


def remove_left_over(folder: Path) -> None:
    """Remove what runs that were killed left in a folder: nobody else ever will."""
    if folder.is_dir():
        remove_abandoned(folder.iterdir(), _TEMPORARY)


def _temporary(folder: Path, stem: str, suffix: str = "") -> Path:
    """Return a name in `folder` for what will be called `stem` and `suffix`: never longer than the system takes."""
    remove_left_over(folder)
    if len(os.fsencode(suffix)) > _SUFFIX_BYTES:
        stem, suffix = stem + suffix, ""
    rest = f".partial-{owner()}{suffix}"
    name, room = os.fsencode(stem), _name_limit(folder) - len(os.fsencode(rest)) - 1
    if len(name) > room:
        digest = hashlib.blake2b(name, digest_size=_DIGEST_BYTES).hexdigest()
        # A letter of several bytes is not cut in two.
        stem = name[: max(0, room - len(digest) - 1)].decode("utf-8", "ignore") + f"~{digest}"
    return folder / f".{stem}{rest}"


def _real(target: Path) -> Path:
    """Return the place that is written to: what a link points to is replaced, not the link."""
    return Path(os.path.realpath(target)) if target.is_symlink() else target


def check_place(folder: Path) -> None:
    """Check that a folder may be filled which is not named, but stood in, such as `.` or `/`.

    Raises
    ------
    MediaError
        It holds other things than what runs wrote.
    """
    here = Path.cwd()
    if folder.is_dir() and folder.resolve() in (here, *here.parents) and not WrittenFiles(folder).is_alone:
        raise MediaError(
            f"{folder}: is the folder that you are in, or above it, and not empty: name a folder for the files"
        )


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
        Its name then, over an older file. The suffix of the temporary name is the same, for programs that look at it.
    """

    def __init__(self, target: Path) -> None:
        check_file(target)
        self._target = _real(target)
        self.path = _temporary(self._target.parent, self._target.stem, self._target.suffix)
        self._claim = Claim(self.path)

    def commit(self) -> None:
        """Give the file its name, over any older one."""
        self._claim.allow_renaming()
        try:
            self.path.replace(self._target)
        except OSError as error:
            if error.errno not in _MOUNTED or not self._target.is_file():
                raise
            # A file that was mounted alone can be filled, not replaced.
            shutil.copyfile(self.path, self._target)
            self.path.unlink()
        self._claim.release()

    def discard(self) -> None:
        """Remove what was written."""
        self._claim.allow_renaming()
        self.path.unlink(missing_ok=True)
        self._claim.release()


class PartialFolder(_Partial):
    """Several files of one folder that appear together.

    Which files they are is noted in the folder, so that the next run can replace them.

    Parameters
    ----------
    target : Path
        The folder; made where it is missing.
    mixing : iterable of str
        Names, relative to it, of the files in it that would be taken for some of the new ones.
    alone : bool
        All that runs wrote to the folder is in the way too. Other files are left alone.
    overwrite : bool
        Remove those, if an earlier run wrote them and nobody has changed them since.

    Raises
    ------
    MediaError
        It cannot be written to, or holds files that would mix with the new ones.
    """

    def __init__(
        self, target: Path, *, mixing: Iterable[str] = (), alone: bool = False, overwrite: bool = False
    ) -> None:
        check_name(target)
        target = _real(target)
        if target.exists() and not target.is_dir():
            raise MediaError(f"{target}: is a file: name a folder")
        self._target = target
        self._was_there = is_there = target.is_dir()
        check_writable(target if is_there else target.parent)
        self._written = WrittenFiles(target)
        self._replaced = self._written.replaced(mixing, alone=alone, overwrite=overwrite)
        # Nothing is renamed from one disk to another: the folder may be a mount point.
        self.path = _temporary(target, "images") if is_there else _temporary(target.parent, target.name)
        self._claim = Claim(self.path, is_folder=True)

    def commit(self) -> None:
        """Move the files to their folder, over older ones of the same names, and remove what they replace."""
        found = (path.relative_to(self.path) for path in self.path.rglob("*") if not path.is_dir())
        files = sorted(file for file in found if file.name != LOCK)
        is_new = not self._target.is_dir()
        self._target.mkdir(exist_ok=True)
        with ExitStack() as undo:
            if is_new:
                undo.callback(shutil.rmtree, self._target, ignore_errors=True)
            self._move(files)
            undo.pop_all()
        self.discard()

    def _move(self, files: list[Path]) -> None:
        names = {file.as_posix() for file in files}
        self._written.remove(self._replaced - names)
        # The note first: whatever stops this, none of the files is a stranger to the next run.
        self._written.note(self.path, names)
        for file in (Path(WrittenFiles.NAME), *files):
            (self._target / file).parent.mkdir(parents=True, exist_ok=True)
            (self.path / file).replace(self._target / file)

    def discard(self) -> None:
        """Remove what was written."""
        self._claim.allow_renaming()
        shutil.rmtree(self.path, ignore_errors=True)
        self._claim.release()
        if not self._was_there and self._target.is_dir() and not any(self._target.iterdir()):
            self._target.rmdir()
