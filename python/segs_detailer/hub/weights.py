"""Weights on the hub: single files that are pinned to their content, and repositories that other packages load."""

from __future__ import annotations

import hashlib
import shutil
import warnings
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from segs_detailer.errors import ModelError
from segs_detailer.hub.access import (
    cache_folder,
    check_reachable,
    failure,
    import_hub,
    quiet_hub,
    repository_folder,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PinnedFile", "Repository", "Weights"]

# Below this, a progress bar would come and go at once.
_BYTES_WITH_BAR = 5_000_000
_WEIGHT_FILES = ("*.safetensors", "*.bin", "*.pt", "*.onnx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights(ABC):
    """Weights on the hub.

    Parameters
    ----------
    name : str
        Short name, by which users ask for them.
    repository : str
        Where they are on the hub, such as `opencv/face_detection_yunet`.
    license : str
        Their license, as the hub's card names it.
    use : str
        What they are for, in a few words.
    size : int or None
        Bytes; None where it is not known.
    """

    name: str
    repository: str
    license: str
    use: str
    size: int | None = None

    @abstractmethod
    def local(self) -> Path | None:
        """Find them in the cache, without any request; None where they are not there.

        Raises
        ------
        MissingDependencyError
            huggingface_hub is not installed.
        """

    @abstractmethod
    def fetch(self, *, quiet: bool = False) -> Path:
        """Find them in the cache, or else fetch them into it.

        Parameters
        ----------
        quiet : bool
            Show no progress bar.

        Returns
        -------
        Path
            Of the file, or of the folder of the repository.

        Raises
        ------
        MissingDependencyError
            huggingface_hub is not installed.
        ModelError
            They are not in the cache and cannot be fetched; nothing of them is kept.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedFile(Weights):
    """One file on the hub, whose revision and content are fixed.

    huggingface_hub compares sizes alone, so the content is checked here, each time that the file is asked for.

    Parameters
    ----------
    file : str
        Its path within the repository.
    revision : str
        The commit: 40 hex digits. A file that is in the cache under its commit costs no request.
    sha256 : str
        Of its content.
    size : int
        Its bytes.

    Examples
    --------
    >>> from segs_detailer.hub import YUNET
    >>> YUNET.repository, YUNET.license, YUNET.size
    ('opencv/face_detection_yunet', 'MIT', 232589)
    """

    file: str
    revision: str
    sha256: str
    size: int

    def local(self) -> Path | None:
        """Find the file in the cache, under its own revision or another one; only with the right content."""
        return next((path for path in self._copies() if self._is_right(path)), None)

    def is_damaged(self) -> bool:
        """Whether the cache has a file in its place, but none with the right content."""
        return self.local() is None and any(True for _ in self._copies())

    def fetch(self, *, quiet: bool = False) -> Path:
        """Find the file in the cache, or else fetch it; see `Weights.fetch`. A damaged one is removed, with a warning.

        Raises
        ------
        MissingDependencyError
            huggingface_hub is not installed.
        ModelError
            It is not in the cache and cannot be fetched, or what came is something else; nothing of it is kept.
        """
        hub = import_hub()
        path = self.local()
        if path is not None:
            return path
        for damaged in list(self._copies()):
            warnings.warn(f"{damaged}: is not {self.file} as it was published, and was removed", stacklevel=2)
            _remove(damaged)
        url = hub.hf_hub_url(self.repository, self.file, revision=self.revision)
        with quiet_hub(bars=not quiet and self.size >= _BYTES_WITH_BAR):
            check_reachable(self.file, lambda seconds: hub.get_hf_file_metadata(url, timeout=seconds))
            _check_space(self.file, self.size)
            try:
                path = Path(hub.hf_hub_download(self.repository, self.file, revision=self.revision))
            except Exception as error:  # its errors, those of its HTTP client and of the system have no common base
                _tidy(repository_folder(self.repository))
                raise failure(self.file, error) from error
        if not self._is_right(path):
            _remove(path)
            raise ModelError(
                f"{self.file} cannot be fetched: {hub.constants.ENDPOINT} sent another file (its SHA-256 is not "
                f"{self.sha256[:8]}...), which was not kept"
            )
        return path

    def _copies(self) -> Iterator[Path]:
        """Files of its name in the cache: that of its revision first."""
        snapshots = repository_folder(self.repository) / "snapshots"
        revisions = [self.revision]
        if snapshots.is_dir():
            revisions += sorted(folder.name for folder in snapshots.iterdir() if folder.name != self.revision)
        for revision in revisions:
            path = snapshots / revision / self.file
            if path.is_file():
                yield path

    def _is_right(self, path: Path) -> bool:
        if path.stat().st_size != self.size:
            return False
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        return digest.hexdigest() == self.sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository(Weights):
    """A whole repository on the hub, which another package loads by its id.

    Parameters
    ----------
    revision : str
        A branch or commit.
    patterns : tuple of str
        Files that are needed; none is all.
    """

    revision: str = "main"
    patterns: tuple[str, ...] = ()

    def local(self) -> Path | None:
        """Find its folder in the cache; one without any weights does not count."""
        folder = repository_folder(self.repository)
        reference = folder / "refs" / self.revision
        commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else self.revision
        snapshot = folder / "snapshots" / commit
        has_weights = any(next(snapshot.rglob(pattern), None) is not None for pattern in _WEIGHT_FILES)
        return snapshot if has_weights else None

    def fetch(self, *, quiet: bool = False) -> Path:
        """Fetch what is missing of it in the cache; see `Weights.fetch`. Files that came whole are kept."""
        hub = import_hub()
        api = hub.HfApi()
        with quiet_hub(bars=not quiet):
            check_reachable(self.repository, lambda seconds: api.model_info(self.repository, timeout=seconds))
            _check_space(self.repository, self.size or 0)
            try:
                folder = hub.snapshot_download(
                    self.repository, revision=self.revision, allow_patterns=list(self.patterns) or None
                )
            except Exception as error:  # as above
                _tidy(repository_folder(self.repository))
                raise failure(self.repository, error) from error
        return Path(folder)


def _check_space(what: str, size: int) -> None:
    """Refuse to begin what the disk cannot take.

    Raises
    ------
    ModelError
        The disk of the cache has less left.
    """
    folder = cache_folder()
    while not folder.exists():
        folder = folder.parent
    left = shutil.disk_usage(folder).free
    if left < size:
        raise ModelError(
            f"{what} cannot be fetched: it has {size / 1e6:.1f} MB, and the disk of {folder} has {left / 1e6:.1f} left"
        )


def _remove(path: Path) -> None:
    """Remove a file from the cache: its name in the snapshot, and the content to which that points."""
    repository = next(folder for folder in path.parents if folder.name.startswith("models--"))
    while path.is_symlink():
        target = path.parent / path.readlink()
        path.unlink()
        path = target
    path.unlink(missing_ok=True)
    _tidy(repository)


def _tidy(folder: Path) -> None:
    """Remove empty folders of a repository in the cache, and its own where nothing is left."""
    for each in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
        # It is not empty, or another process fills it.
        with suppress(OSError):
            each.rmdir()
    with suppress(OSError):
        folder.rmdir()
