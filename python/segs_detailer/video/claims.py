"""Whose a temporary file or folder is: what a dead process left is removed, and never what a live one needs.

Who makes one holds a lock on it, which the system takes away when the process ends, however it ends. It tells apart
what names cannot: containers that are called alike, and numbers of processes that come again. Not all file systems tell
machines of each other's locks: names say which machine made something, and what another one made, or what cannot be
locked, is left alone for a week.
"""

from __future__ import annotations

import functools
import hashlib
import os
import secrets
import shutil
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

try:
    import fcntl
except ImportError:  # on Windows, where a file that is open cannot be removed
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["LOCK", "OWNER", "Claim", "owner", "remove_abandoned"]

LOCK = ".segs-detailer-lock"
"""Name of the file in a temporary folder that its owner holds the lock of."""

OWNER = "(?P<machine>[0-9a-f]{8})-[0-9]+-[0-9a-f]{8}"
"""Pattern of what `owner` returns."""

_STALE_SECONDS = 7 * 24 * 3600
_TOKEN_BYTES = 4
_FLAGS = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def owner() -> str:
    """Return a part for the name of a temporary file or folder that says whose it is; another one for each call."""
    return f"{_machine()}-{os.getpid()}-{secrets.token_hex(_TOKEN_BYTES)}"


@functools.cache
def _machine() -> str:
    return hashlib.blake2b(os.fsencode(socket.gethostname()), digest_size=_TOKEN_BYTES).hexdigest()


class Claim:
    """A temporary file or folder, which is made, and belongs to this process until it is released.

    Parameters
    ----------
    path : Path
        Its name, of which `owner()` is a part.
    is_folder : bool
        Which of both it is.

    Raises
    ------
    OSError
        It cannot be made.
    """

    def __init__(self, path: Path, *, is_folder: bool = False) -> None:
        self._descriptor = -1
        place = path / LOCK if is_folder else path
        while True:
            if is_folder:
                path.mkdir(mode=0o700, exist_ok=True)
            # Until it is locked, another process may take it for left over, and remove it.
            with suppress(*([FileNotFoundError] if is_folder else [])):
                self._descriptor = os.open(place, _FLAGS | os.O_CREAT, 0o666)
                _lock(self._descriptor, wait=True)
                if _is_at(self._descriptor, place):
                    return
            self.release()

    def release(self) -> None:
        """Let go of it. It stays where it is."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def allow_renaming(self) -> None:
        """Let go of it where a file that is open cannot be renamed."""
        if os.name == "nt":
            self.release()


def remove_abandoned(paths: Iterable[Path], pattern: re.Pattern[str]) -> None:
    """Remove temporary files and folders whose processes are dead. Those that cannot be removed stay.

    Parameters
    ----------
    paths : iterable of Path
        Where some may be.
    pattern : Pattern
        What their names are like; `OWNER` is a part of it.
    """
    for path in paths:
        found = pattern.fullmatch(path.name)
        if found:
            with suppress(OSError):
                _remove_abandoned(path, is_ours=found["machine"] == _machine())


def _remove_abandoned(path: Path, *, is_ours: bool) -> None:
    is_old = time.time() - _last_change(path) > _STALE_SECONDS
    if not (is_ours or is_old):
        return
    is_folder = path.is_dir() and not path.is_symlink()
    place = path / LOCK if is_folder else path
    descriptor = -1
    try:
        if fcntl is not None:
            descriptor = os.open(place, _FLAGS | (os.O_CREAT if is_folder else 0), 0o600)
            is_free = _lock(descriptor, wait=False)
            if not (is_old if is_free is None else is_free):
                return
        # On Windows this fails for what is in use.
        place.unlink(missing_ok=True)
        if is_folder:
            shutil.rmtree(path)
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _lock(descriptor: int, *, wait: bool) -> bool | None:
    """Lock a file until it is closed; False where another has locked it, None where that cannot be told."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_at(descriptor: int, place: Path) -> bool:
    """Whether a file that is open still has its name."""
    try:
        return os.path.samestat(os.fstat(descriptor), place.stat())
    except FileNotFoundError:
        return False


def _last_change(path: Path) -> float:
    """When something of a file or folder was changed last; what runs for long goes on writing."""
    inside = path.iterdir() if path.is_dir() and not path.is_symlink() else ()
    return max(float(item.lstat().st_mtime) for item in (path, *inside))
