"""How far a job is: what its caller is told, and what the threads of a run tell each other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

    from segs_detailer.jobs.pieces import Piece

__all__ = ["Advance", "ClipProgress", "Stages", "Stopped", "Work"]

ClipProgress: TypeAlias = Callable[[str, int, int], None]
"""Called with a stage (`"load"`, `"masks"`, `"detect"`, `"decode"`, `"detail"`, `"encode"`), and how much of it is
done, and is to be done: frames, or steps of sampling. Several threads call it. What it raises ends the run."""

Advance: TypeAlias = Callable[[int, int], None]
"""Called with `(done, total)`."""


class Stages:
    """Times the stages of a job, one after the other or at once, and tells its caller how far each is.

    Parameters
    ----------
    tell : callable or None
        See `ClipProgress`.
    """

    def __init__(self, tell: ClipProgress | None = None) -> None:
        self._tell = tell
        self._started = time.perf_counter()
        self.seconds: dict[str, float] = {}

    @property
    def total(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self._started

    @contextmanager
    def stage(self, name: str, unit: str = "frame") -> Iterator[Advance]:
        """Time a stage, and give what is told how far it is.

        Parameters
        ----------
        name : str
            The stage.
        unit : str
            What is counted.
        """
        started = time.perf_counter()
        moved = None
        last = (0, 0)

        def advance(done: int, total: int) -> None:
            nonlocal last, moved
            last, moved = (done, total), time.perf_counter()
            self._moved(name, done, total)

        self._began(name, unit)
        try:
            yield advance
        finally:
            self._left(name)
        # Stages of a run overlap, and are left together: each has ended with its last step.
        taken = (moved or time.perf_counter()) - started
        self.seconds[name] = self.seconds.get(name, 0.0) + taken
        self._ended(name, unit, last, taken)

    @contextmanager
    def passes(self) -> Iterator[ClipProgress]:
        """Time the passes of a run, which go on at once."""
        with ExitStack() as shown:
            # The first is left last: what is reported then stands in the order of the passes.
            units = {"encode": "frame", "detail": "step", "decode": "frame"}
            advances = {name: shown.enter_context(self.stage(name, unit)) for name, unit in units.items()}
            yield lambda name, done, total: advances[name](done, total)

    def _began(self, name: str, unit: str) -> None:
        """Show that a stage has begun."""

    def _moved(self, name: str, done: int, total: int) -> None:
        """Show how far a stage is."""
        if self._tell is not None:
            self._tell(name, done, total)

    def _left(self, name: str) -> None:
        """Show a stage no more, however it was left."""

    def _ended(self, name: str, unit: str, last: tuple[int, int], taken: float) -> None:
        """Show that a stage was done."""


class Stopped(BaseException):
    """Raised in a thread of a run that another thread has ended; that one has the reason."""


class Work:
    """What is done of a run. All threads of it wait here for each other.

    Parameters
    ----------
    done : iterable of Piece
        Pieces whose results are there from the beginning.
    """

    def __init__(self, done: Iterable[Piece]) -> None:
        self._change = threading.Condition()
        self._done = set(done)
        self._cropped = 0
        self._waiting = 0
        self._error: BaseException | None = None

    @property
    def error(self) -> BaseException | None:
        """What ended the run."""
        return self._error

    def check(self) -> None:
        """End this thread where another one has ended the run.

        Raises
        ------
        Stopped
            It has.
        """
        if self._error is not None:
            raise Stopped

    def fail(self, error: BaseException) -> None:
        """End the run; the first reason counts."""
        with self._change:
            if self._error is None:
                self._error = error
            self._change.notify_all()

    def cropped(self, frames: int, waiting: int = 0) -> None:
        """Note that the crops of so many frames are there, and the bytes of new pieces that wait for being sampled."""
        with self._change:
            self._cropped = frames
            self._waiting += waiting
            self._change.notify_all()

    def sampled(self, pieces: Iterable[Piece], freed: int = 0) -> None:
        """Note that the results of pieces are there, and the bytes of crops that were let go."""
        with self._change:
            self._done.update(pieces)
            self._waiting -= freed
            self._change.notify_all()

    def wait_for_crops(self, frames: int) -> None:
        """Wait until the crops of so many frames are there.

        Raises
        ------
        Stopped
            Another thread has ended the run.
        """
        self._wait(lambda: self._cropped >= frames)

    def wait_for_room(self, most: int) -> None:
        """Wait until at most so many bytes of crops wait for being sampled."""
        self._wait(lambda: self._waiting <= most)

    def wait_for_results(self, pieces: Iterable[Piece]) -> None:
        """Wait until the results of pieces are there."""
        wanted = set(pieces)
        self._wait(lambda: wanted <= self._done)

    def _wait(self, condition: Callable[[], bool]) -> None:
        with self._change:
            self._change.wait_for(lambda: self._error is not None or condition())
        self.check()
