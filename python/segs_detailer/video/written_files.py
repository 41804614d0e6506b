"""Which files of a folder a run wrote, noted in the folder itself: those may be replaced, and nothing else."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from segs_detailer.errors import MediaError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["WrittenFiles"]

_FORMAT = 1
# Some file systems keep times to two seconds.
_TIME_SLACK_NS = 2 * 10**9


class WrittenFiles:
    """What runs wrote to a folder: names, relative to it, with the size and the time of each file.

    Parameters
    ----------
    folder : Path
        The folder; it need not be there yet.
    """

    NAME = ".segs-detailer.json"
    """File that this is noted in; hidden, so that nobody takes it for a result."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def replaced(self, mixing: Iterable[str], *, alone: bool = False, overwrite: bool = False) -> frozenset[str]:
        """Return which of the files that are in the way a run may remove.

        Parameters
        ----------
        mixing : iterable of str
            The files that are in the way.
        alone : bool
            Whether all that runs wrote is in the way.
        overwrite : bool
            Whether those of an earlier run may be removed.

        Raises
        ------
        MediaError
            There are some that may not be removed.
        """
        own = self._unchanged()
        names = sorted({*mixing, *(own if alone else ())})
        strange = [name for name in names if name not in own]
        if strange:
            raise MediaError(
                f"{self._folder}: holds {_some(strange)} that no run wrote, or that changed since, and that would mix "
                "with the new files: choose another folder"
            )
        if names and not overwrite:
            raise MediaError(
                f"{self._folder}: holds {_some(names)} of an earlier run: overwrite=True replaces them, or choose "
                "another folder"
            )
        return frozenset(names)

    def remove(self, names: Iterable[str]) -> None:
        """Remove files that are as a run left them, and the folders that they were the last in."""
        for name in self._unchanged().keys() & set(names):
            path = self._folder / name
            path.unlink(missing_ok=True)
            with suppress(OSError):
                for folder in list(path.parents)[: len(Path(name).parts) - 1]:
                    folder.rmdir()

    def note(self, place: Path, names: Iterable[str]) -> None:
        """Write the note anew, to `place`: with files that lie there and will be moved to the folder."""
        files = self._unchanged()
        files.update({name: _state(place / name) for name in names})
        text = json.dumps({"format": _FORMAT, "files": files}, ensure_ascii=False, separators=(",", ":"))
        (place / self.NAME).write_text(text + "\n", encoding="utf-8")

    @property
    def is_alone(self) -> bool:
        """Whether there is nothing in the folder but what runs wrote."""
        own = {self.NAME, *(Path(name).parts[0] for name in self._unchanged())}
        return all(path.name in own for path in self._folder.iterdir())

    def _unchanged(self) -> dict[str, list[int]]:
        """Return the files that are as they were written."""
        try:
            content = json.loads((self._folder / self.NAME).read_text(encoding="utf-8"))
            noted = dict(content["files"]) if content["format"] == _FORMAT else {}
        except (OSError, ValueError, TypeError, KeyError):
            # None, or none that can be trusted: all files are strangers, and stay.
            return {}
        return {name: state for name, state in noted.items() if self._is_as_noted(name, state)}

    def _is_as_noted(self, name: str, state: Iterable[int]) -> bool:
        path = self._folder / name
        try:
            # A note that came from elsewhere may name anything.
            if not path.resolve().is_relative_to(self._folder.resolve()):
                return False
            size, time = _state(path)
            noted_size, noted_time = (int(each) for each in state)
        except (OSError, ValueError, TypeError):
            return False
        return size == noted_size and abs(time - noted_time) <= _TIME_SLACK_NS


def _state(path: Path) -> list[int]:
    state = path.stat()
    return [state.st_size, state.st_mtime_ns]


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more pictures"
