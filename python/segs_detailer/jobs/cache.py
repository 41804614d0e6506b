"""What a run has found out already, kept on disk: tracks, and the crops that were sampled.

Entries are files under names made of a digest of everything that they depend on. They are read where they are complete
and never changed, so several processes may share a folder. The oldest go when there are too many. What runs that were
killed have left goes at the next beginning, wherever it lies.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.errors import MediaError
from segs_detailer.video.claims import OWNER, Claim, owner, remove_abandoned
from segs_detailer.video.partial import remove_left_over

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Cache", "default_folder", "digest", "digest_of_files"]

FORMAT = 4
"""Changed whenever the entries of older versions must not be used any more."""

_READ = 1 << 22
_DIGEST_BYTES = 16
_FOLDER_VARIABLE = "SEGS_DETAILER_CACHE"
_LIMIT_VARIABLE = "SEGS_DETAILER_CACHE_GB"
_LIMIT_GB = 20.0
_CROPS = "segs-detailer-crops-"
_TEMPORARY = "segs-detailer-"
# What is removed is ours by its name: the folder may hold other things.
_CONTENT = re.compile(f"[0-9a-f]{{{2 * _DIGEST_BYTES}}}")
_ENTRY = re.compile(rf"{_CONTENT.pattern}\.(npz|pixels)")
_LEFT = re.compile(f"({_CROPS}|{_TEMPORARY}){OWNER}")


def default_folder() -> Path:
    """Return the folder that `SEGS_DETAILER_CACHE` names, or that of the user's caches."""
    named = os.environ.get(_FOLDER_VARIABLE)
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(base) if base else Path.home() / ".cache") / "segs-detailer"


def digest(*parts: Any) -> str:
    """Return a digest of arrays, bytes and whatever JSON can hold."""
    state = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for part in parts:
        if isinstance(part, np.ndarray):
            state.update(f"{part.dtype.str}{part.shape}".encode())
            state.update(np.ascontiguousarray(part).tobytes())
        elif isinstance(part, bytes):
            state.update(b"%d:" % len(part))
            state.update(part)
        else:
            state.update(json.dumps(part, sort_keys=True, default=str).encode())
        state.update(b"\0")
    return state.hexdigest()


def digest_of_files(files: Iterable[Path]) -> str:
    """Return a digest of the content of files, in their order.

    Raises
    ------
    MediaError
        One cannot be read.
    """
    state = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for path in files:
        for block in _blocks(path):
            state.update(block)
        state.update(b"\0")
    return state.hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while block := file.read(_READ):
                yield block
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror or error})") from error


class Cache:
    """A folder of results, or a temporary one that goes with the run.

    Use it as a context manager: what is needed for the run alone is removed when it is left.

    Parameters
    ----------
    folder : Path or None
        Where results are kept; None keeps nothing.
    limit : int or None
        Bytes that the folder may take; None is `SEGS_DETAILER_CACHE_GB`, else 20 GB. What a run needs itself stays.

    Raises
    ------
    MediaError
        The folder cannot be made or written to.
    """

    def __init__(self, folder: Path | None, *, limit: int | None = None) -> None:
        self._limit = _limit() if limit is None else limit
        self._used: set[Path] = set()
        self.keeps = folder is not None
        try:
            # Crops lie in the folder of results, or there is none but theirs.
            base = Path(tempfile.gettempdir()) if folder is None else folder
            self.crops = base / f"{_TEMPORARY if folder is None else _CROPS}{owner()}"
            self.folder = self.crops if folder is None else folder
            base.mkdir(parents=True, exist_ok=True)
            self._remove_left_over()
            self._claim = Claim(self.crops, is_folder=True)
        except OSError as error:
            reason = error.strerror or error
            if folder is None:
                raise MediaError(f"crops cannot be kept in the system's temporary folder ({reason})") from error
            raise MediaError(f"{folder}: cannot be used as a cache ({reason}): choose another `cache`") from error

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *_: object) -> None:
        self._claim.allow_renaming()
        shutil.rmtree(self.crops, ignore_errors=True)
        self._claim.release()
        if self.keeps:
            self.prune()

    def entry(self, kind: str, content: str, settings: str, suffix: str) -> Path:
        """Name the file of a result. It is not removed as long as this object lives.

        Parameters
        ----------
        kind : str
            What it is: a folder of its own.
        content, settings : str
            Digests of what it was made from, and of how.
        suffix : str
            Of the file.
        """
        path = self.folder / kind / content / f"{settings}{suffix}"
        self._used.add(path)
        return path

    def latest(self, kind: str, content: str, suffix: str) -> Path | None:
        """Find the result of some content that was last used, however it was made; None where there is none."""
        with contextlib.suppress(OSError):
            files = [path for path in (self.folder / kind / content).iterdir() if path.suffix == suffix]
            found = [path for path in files if not path.name.startswith(".")]
            if found:
                newest = max(found, key=lambda path: path.stat().st_mtime_ns)
                self._used.add(newest)
                return newest
        return None

    def touch(self, path: Path) -> None:
        """Note that an entry was used: the longest unused go first."""
        with contextlib.suppress(OSError):
            os.utime(path)

    def prune(self) -> None:
        """Remove the longest unused results until the rest is within the limit."""
        entries = []
        for path in self._entries():
            with contextlib.suppress(OSError):
                state = path.stat()
                entries.append((state.st_mtime_ns, state.st_size, path))
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries, key=lambda entry: entry[0]):
            if total <= self._limit:
                return
            if path in self._used:
                continue
            with contextlib.suppress(OSError):
                path.unlink()
                total -= size
                path.parent.rmdir()

    def _contents(self) -> Iterator[Path]:
        """Give the folders that results lie in."""
        for kind in _listed(self.folder):
            yield from (content for content in _listed(kind) if _CONTENT.fullmatch(content.name))

    def _entries(self) -> Iterator[Path]:
        for content in self._contents():
            yield from (path for path in _listed(content) if _ENTRY.fullmatch(path.name))

    def _remove_left_over(self) -> None:
        """Remove what runs that were killed have left: crops, wherever they lie, and half entries."""
        with contextlib.suppress(FileNotFoundError):  # there may be no folder for temporary files
            remove_abandoned(_listed(Path(tempfile.gettempdir())), _LEFT)
        if self.keeps:
            remove_abandoned(_listed(self.folder), _LEFT)
            for content in self._contents():
                with contextlib.suppress(OSError):
                    remove_left_over(content)


def _listed(folder: Path) -> list[Path]:
    """List a folder; nothing where it is none, or another run has just removed it."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _limit() -> int:
    text = os.environ.get(_LIMIT_VARIABLE, "")
    try:
        gigabytes = float(text) if text else _LIMIT_GB
    except ValueError:
        gigabytes = -1.0
    if not gigabytes >= 0:
        raise MediaError(f"{_LIMIT_VARIABLE}: expected a number of gigabytes, got {text!r}")
    return int(gigabytes * 10**9)
