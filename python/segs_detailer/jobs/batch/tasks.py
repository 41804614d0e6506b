"""What is to be done for one clip, and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from segs_detailer.errors import SegsDetailerError, is_out_of_memory
from segs_detailer.video import partial

__all__ = [
    "ClipWork",
    "Ending",
    "Outcome",
    "Part",
    "Status",
    "Task",
    "Tell",
    "View",
    "attempt",
    "outcome_of",
    "remove_left_over",
]

Tell: TypeAlias = Callable[[str, int, int], None]
"""Called with a stage, and how much of it is done, and is to be done; by any thread."""

Part: TypeAlias = tuple[int, ...]
"""Numbers of the groups of pieces that are sampled by one task."""


Status: TypeAlias = Literal["done", "copied", "skipped", "failed"]
"""How a clip ended: `"copied"` has an output, but nothing in it was changed; `"skipped"` was not worked on."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What the work of a task came to, where nothing failed.

    Parameters
    ----------
    text : str
        A line about it.
    status : {"done", "copied", "skipped"}
        How it ended.
    """

    text: str
    status: Status = "done"


@dataclass(frozen=True, slots=True)
class Task:
    """One clip.

    Parameters
    ----------
    name : str
        Its name, for people.
    output : str
        Where its result goes: a file, a folder, a numbered name.
    payload : object
        What the work takes; it is sent to other processes.
    """

    name: str
    output: str
    payload: Any = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a clip ended.

    Parameters
    ----------
    task : Task
        The clip.
    status : {"done", "copied", "skipped", "failed"}
        Copied and skipped ones are no failures: nothing was to be done, or it was done before.
    seconds : float
        How long it took, tries that failed included.
    tries : int
        How often anything of it was begun; more than its number of tasks where workers died.
    text : str
        What is said about it: a summary, or the error.
    """

    task: Task
    status: Status
    seconds: float = 0.0
    tries: int = 0
    text: str = ""


class ClipWork(Protocol):
    """Does the work of a task. It is sent to other processes, which keep it from task to task.

    All methods raise `SegsDetailerError` or `OSError` for what cannot be done; that is not tried again.
    """

    def split(self, payload: Any, tell: Tell) -> tuple[Part, ...]:
        """Return parts that can be done one by one, before `finish`; none where that is not worth it."""
        ...

    def sample(self, payload: Any, part: Part, tell: Tell) -> None:
        """Do a part."""
        ...

    def finish(self, payload: Any, slot: int, tell: Tell) -> Ending | str:
        """Do the rest of the clip, which may be all of it, and return how it ended; a line alone is about one done.

        `slot` is the number of the worker, from 0.
        """
        ...


class View(Protocol):
    """Is told how a batch goes on."""

    def began(self, index: int) -> None:
        """Take note that a task was begun."""
        ...

    def told(self, index: int, stage: str, done: int, total: int) -> None:
        """Take note of how far a task is."""
        ...

    def warned(self, index: int, text: str) -> None:
        """Show something that a user should know about a task."""
        ...

    def ended(self, index: int, outcome: Outcome) -> None:
        """Take note that a task is over."""
        ...


def attempt(call: Callable[[], Any]) -> tuple[bool, Any]:
    """Call something; return whether it went well, and its result or the error as one line."""
    try:
        return True, call()
    except (SegsDetailerError, OSError) as error:
        return False, " ".join(str(error).split())
    except Exception as error:  # one clip's fault must not end the batch
        if is_out_of_memory(error):
            return False, "the memory is full: lower `max_size`, or run fewer workers"
        return False, " ".join(f"{type(error).__name__}: {error}".split())


def outcome_of(task: Task, *, well: bool, result: Any, seconds: float, tries: int) -> Outcome:
    """Make the outcome of a task.

    Parameters
    ----------
    task : Task
        The clip.
    well : bool
        Whether nothing failed.
    result : Ending or str
        What `ClipWork.finish` returned, or the error.
    seconds, tries
        As of `Outcome`.
    """
    ending = result if isinstance(result, Ending) else Ending(str(result), "done" if well else "failed")
    return Outcome(task, ending.status, seconds, tries, ending.text)


def remove_left_over(output: str) -> None:
    """Remove what a worker that died left of an output: it had no time to.

    What a process that is alive still writes is left alone.
    """
    path = Path(output)
    for folder in {path, path.parent, path.parent.parent}:
        partial.remove_left_over(folder)
