"""What a user sees of a batch: one line that moves, a line for each clip that is over, and a summary."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING, Any, get_args

from segs_detailer.jobs.batch.tasks import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segs_detailer.jobs.batch.tasks import Outcome, Task

__all__ = ["BatchView", "describe_outcomes", "outcomes_to_json"]

_FORMAT = 1
_REDRAW_SECONDS = 0.2


class BatchView:
    """Shows a batch on the terminal: see `segs_detailer.jobs.batch.View`.

    Parameters
    ----------
    tasks : sequence of Task
        The clips that are to be done.
    skipped : int
        Clips that were finished before.
    quiet : bool
        Show warnings alone.
    """

    def __init__(self, tasks: Sequence[Task], *, skipped: int = 0, quiet: bool = False) -> None:
        self._tasks = tasks
        self._skipped = skipped
        self._quiet = quiet
        self._moves = not quiet and sys.stderr.isatty()
        self._running: dict[int, dict[str, tuple[int, int]]] = {}
        self._done = self._failed = 0
        self._drawn = 0.0

    def began(self, index: int) -> None:
        """Take note that a clip was begun."""
        self._running[index] = {}
        self._draw()

    def told(self, index: int, stage: str, done: int, total: int) -> None:
        """Take note of how far a clip is."""
        if index in self._running:
            self._running[index][stage] = (done, total)
        if time.monotonic() - self._drawn > _REDRAW_SECONDS:
            self._draw()

    def warned(self, index: int, text: str) -> None:
        """Show a warning."""
        self._line(f"segs-detailer: warning: {self._tasks[index].name}: {' '.join(text.split())}", sys.stderr)

    def ended(self, index: int, outcome: Outcome) -> None:
        """Show how a clip ended."""
        self._running.pop(index, None)
        self._done += outcome.status != "failed"
        self._failed += outcome.status == "failed"
        task = outcome.task
        number = f"[{self._done + self._failed + self._skipped}/{len(self._tasks) + self._skipped}]"
        if outcome.status == "failed":
            # Most errors begin with the file that they are about.
            text = outcome.text if outcome.text.startswith(task.name) else f"{task.name}: {outcome.text}"
            self._line(f"segs-detailer: error: {text}", sys.stderr)
        elif not self._quiet:
            how = "" if outcome.status == "done" else f", {outcome.status}: {outcome.text}"
            self._line(f"{number} {task.name} -> {task.output} ({outcome.seconds:.1f} s{how})", sys.stdout)
        self._draw()

    def close(self) -> None:
        """Remove the line that moves."""
        if self._moves:
            self._erase()

    def _line(self, text: str, stream: Any) -> None:
        if self._moves:
            self._erase()
        print(text, file=stream, flush=True)

    def _erase(self) -> None:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def _draw(self) -> None:
        if not self._moves:
            return
        self._drawn = time.monotonic()
        parts = [f"{self._done + self._failed + self._skipped}/{len(self._tasks) + self._skipped} clips"]
        if self._failed:
            parts.append(f"{self._failed} failed")
        parts += [f"{self._tasks[index].name} {_shown(stages)}" for index, stages in self._running.items()]
        text = ", ".join(parts)[: shutil.get_terminal_size().columns - 1]
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _shown(stages: dict[str, tuple[int, int]]) -> str:
    """Return the stage that is furthest from its end, of those that have begun: it is the one that is waited for."""
    begun = {name: done / total for name, (done, total) in stages.items() if total}
    if not begun:
        return "begins"
    name = min(begun, key=lambda name: begun[name])
    return f"{name} {begun[name]:.0%}"


def describe_outcomes(outcomes: Sequence[Outcome], seconds: float) -> list[str]:
    """Return the summary: a table of the clips, and a line of counts.

    Parameters
    ----------
    outcomes : sequence of Outcome
        How the clips ended.
    seconds : float
        How long all of them took.
    """
    rows = [["clip", "", "seconds", "tries", "output"]]
    for item in outcomes:
        # What was finished before was not even begun.
        took = f"{item.seconds:.1f}" if item.tries else ""
        said = item.task.output if item.status == "done" or not item.tries else item.text
        rows.append([item.task.name, item.status, took, str(item.tries or ""), said])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    counts = {status: sum(item.status == status for item in outcomes) for status in get_args(Status)}
    said = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    return [*lines, f"{len(outcomes)} clips: {said}, in {seconds:.1f} s"]


def outcomes_to_json(outcomes: Sequence[Outcome], seconds: float) -> dict[str, Any]:
    """Return the summary as plain lists, dictionaries, numbers and texts.

    Parameters
    ----------
    outcomes : sequence of Outcome
        How the clips ended.
    seconds : float
        How long all of them took.
    """
    clips = [
        {
            "clip": item.task.name,
            "output": item.task.output,
            "status": item.status,
            "seconds": round(item.seconds, 3),
            "tries": item.tries,
            "text": item.text,
        }
        for item in outcomes
    ]
    return {"format": _FORMAT, "seconds": round(seconds, 3), "clips": clips}
