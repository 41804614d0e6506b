"""What a user sees of a job: a bar for each stage, and the time that each took."""

from __future__ import annotations

import sys
from typing import Any

from segs_detailer.errors import MissingDependencyError
from segs_detailer.jobs.progress import Stages

__all__ = ["ShownStages"]


class ShownStages(Stages):
    """Shows stages: on a terminal a bar moves; elsewhere one line is written when a stage is done.

    Parameters
    ----------
    quiet : bool
        Show nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        super().__init__()
        self._quiet = quiet
        self._on_terminal = not quiet and sys.stderr.isatty()
        self._bars: dict[str, Any] = {}

    def say(self, text: str = "") -> None:
        """Print a line of the summary."""
        if not self._quiet:
            print(text)

    def _began(self, name: str, unit: str) -> None:
        if self._on_terminal:
            self._bars[name] = _new_bar(name, unit)

    def _moved(self, name: str, done: int, total: int) -> None:
        if name in self._bars:
            bar = self._bars[name]
            bar.total = total
            bar.update(done - bar.n)

    def _left(self, name: str) -> None:
        if name in self._bars:
            self._bars.pop(name).close()

    def _ended(self, name: str, unit: str, last: tuple[int, int], taken: float) -> None:
        if not self._quiet and not self._on_terminal and last[1]:
            print(f"{name}: {last[0]}/{last[1]} {unit}s in {taken:.1f} s", file=sys.stderr)


def _new_bar(name: str, unit: str) -> Any:
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise MissingDependencyError("tqdm", "video") from error
    return tqdm(desc=name, unit=unit, dynamic_ncols=True, leave=True)
