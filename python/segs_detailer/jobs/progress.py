"""How far a job is: what its caller is told, and what the threads of a run tell each other."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

    from segs_detailer.jobs.pieces import Piece
    from segs_detailer.video.clip import Picture

__all__ = ["Advance", "ClipProgress", "Passes", "Stages", "Stopped", "Work"]

ClipProgress: TypeAlias = Callable[[str, int, int], None]
"""Called with a stage (`"load"`, `"masks"`, `"detect"`, `"decode"`, `"detail"`, `"encode"`), and how much of it is
done, and is to be done: frames, or steps of sampling. Several threads call it. What it raises ends the run."""

Advance: TypeAlias = Callable[[int, int], None]
"""Called with `(done, total)`."""


Clock: TypeAlias = Callable[[], float]
"""Gives seconds since some moment."""


class Passes:
    """Passes of a run, which go on at once: tells how far each is, and times what each works, without its waits.

    Parameters
    ----------
    tell : callable or None
        See `ClipProgress`.
    clock : callable
        Gives the seconds.
    """

    def __init__(self, tell: ClipProgress | None = None, clock: Clock = time.perf_counter) -> None:
        self._tell = tell
        self._clock = clock
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str, done: int, total: int) -> None:
        """Tell how far a pass is."""
        if self._tell is not None:
            self._tell(name, done, total)

    @contextmanager
    def working(self, name: str) -> Iterator[None]:
        """Note that a pass is at work meanwhile. Each pass is the work of one thread."""
        started = self._clock()
        try:
            yield
        finally:
            self._add(name, self._clock() - started)

    @contextmanager
    def waiting(self, name: str) -> Iterator[None]:
        """Note that a pass, which is at work, waits meanwhile for another."""
        started = self._clock()
        try:
            yield
        finally:
            self._add(name, started - self._clock())

    def _add(self, name: str, seconds: float) -> None:
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds


class Stages:
    """Times the stages of a job, one after the other or at once, and tells its caller how far each is.

    What a stage takes is the time that it works; that it waits for another does not count.

    Parameters
    ----------
    tell : callable or None
        See `ClipProgress`.
    clock : callable
        Gives the seconds.
    """

    def __init__(self, tell: ClipProgress | None = None, clock: Clock = time.perf_counter) -> None:
        self._tell = tell
        self._clock = clock
        self._started = clock()
        self.seconds: dict[str, float] = {}

    @property
    def total(self) -> float:
        """Seconds since the beginning."""
        return self._clock() - self._started

    @contextmanager
    def stage(self, name: str, unit: str = "frame", passes: Passes | None = None) -> Iterator[Advance]:
        """Time a stage, and give what is told how far it is.

        Parameters
        ----------
        name : str
            The stage.
        unit : str
            What is counted.
        passes : Passes or None
            Time it, where it is a pass of a run.
        """
        started = self._clock()
        last = (0, 0)

        def advance(done: int, total: int) -> None:
            nonlocal last
            last = done, total
            self._moved(name, done, total)

        self._began(name, unit)
        try:
            yield advance
        finally:
            self._left(name)
        taken = self._clock() - started if passes is None else passes.seconds.get(name)
        if taken is not None:
            self.seconds[name] = self.seconds.get(name, 0.0) + taken
            self._ended(name, unit, last, taken)

    @contextmanager
    def passes(self) -> Iterator[Passes]:
        """Time the passes of a run, which go on at once."""
        advances: dict[str, Advance] = {}
        passes = Passes(lambda name, done, total: advances[name](done, total), self._clock)
        with ExitStack() as shown:
            # The first is left last: what is reported then stands in the order of the passes.
            for name, unit in {"encode": "frame", "detail": "step", "decode": "frame"}.items():
                advances[name] = shown.enter_context(self.stage(name, unit, passes))
            yield passes

    @contextmanager
    def ending(self, name: str) -> Iterator[None]:
        """Add what a stage still works when all its frames were handed over."""
        started = self._clock()
        yield
        if name in self.seconds:
            self.seconds[name] += self._clock() - started

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
    passes : Passes or None
        Are told how long each pass waits.
    """

    def __init__(self, done: Iterable[Piece], passes: Passes | None = None) -> None:
        self._passes = passes or Passes()
        self._change = threading.Condition()
        self._done = set(done)
        self._cropped = 0
        self._waiting = 0
        self._error: BaseException | None = None
        self._held: deque[Picture] = deque()
        self._ended = False

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
        self._wait("detail", lambda: self._cropped >= frames)

    def wait_for_room(self, most: int) -> None:
        """Wait until at most so many bytes of crops wait for being sampled."""
        self._wait("decode", lambda: self._waiting <= most)

    def hand_on(self, picture: Picture, most: int) -> None:
        """Hand a decoded frame to the write pass, once it holds fewer than so many."""
        self._wait("decode", lambda: len(self._held) < most)
        with self._change:
            self._held.append(picture)
            self._change.notify_all()

    def no_more(self) -> None:
        """Note that all frames were handed on."""
        with self._change:
            self._ended = True
            self._change.notify_all()

    def handed_on(self) -> Iterator[Picture]:
        """Frames that were handed on, one after the other; waits for each."""
        while True:
            self._wait("encode", lambda: bool(self._held) or self._ended)
            with self._change:
                if not self._held:
                    return
                picture = self._held.popleft()
                self._change.notify_all()
            yield picture

    def wait_for_results(self, pieces: Iterable[Piece]) -> None:
        """Wait until the results of pieces are there."""
        wanted = set(pieces)
        self._wait("encode", lambda: wanted <= self._done)

    def _wait(self, name: str, condition: Callable[[], bool]) -> None:
        """Let a pass wait for others."""
        with self._change, self._passes.waiting(name):
            self._change.wait_for(lambda: self._error is not None or condition())
        self.check()
