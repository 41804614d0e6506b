"""What a user sees of a run: a bar for each stage, and the time that each took."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from segs_detailer.errors import MissingDependencyError

__all__ = ["Advance", "Stages"]

Advance: TypeAlias = Callable[[int, int], None]
"""Called with `(done, total)`."""


class Stages:
    """Runs stages, one after the other or at once, each with a bar, and keeps their times.

    Parameters
    ----------
    quiet : bool
        Show nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._started = time.perf_counter()
        self.seconds: dict[str, float] = {}

    @property
    def total(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self._started

    def say(self, text: str = "") -> None:
        """Print a line of the summary."""
        if not self._quiet:
            print(text)

    @contextmanager
    def stage(self, name: str, unit: str = "frame") -> Iterator[Advance]:
        """Time a stage and show how far it is; what is given advances the bar.

        On a terminal the bar moves; elsewhere one line is written when the stage is done.
        """
        started = time.perf_counter()
        moved = None
        on_terminal = not self._quiet and sys.stderr.isatty()
        bar: Any = _new_bar(name, unit) if on_terminal else None
        last = (0, 0)

        def advance(done: int, total: int) -> None:
            nonlocal last, moved
            last, moved = (done, total), time.perf_counter()
            if bar is not None:
                bar.total = total
                bar.update(done - bar.n)

        try:
            yield advance
        finally:
            if bar is not None:
                bar.close()
        # Stages of a run overlap, and are left together: each has ended with its last step.
        taken = (moved or time.perf_counter()) - started
        self.seconds[name] = self.seconds.get(name, 0.0) + taken
        if not self._quiet and not on_terminal and last[1]:
            print(f"{name}: {last[0]}/{last[1]} {unit}s in {taken:.1f} s", file=sys.stderr)


def _new_bar(name: str, unit: str) -> Any:
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise MissingDependencyError("tqdm", "video") from error
    return tqdm(desc=name, unit=unit, dynamic_ncols=True, leave=True)
