"""How far the passes of a run are, shared by their threads; and what ends them all."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from segs_detailer.jobs.pieces import Piece

__all__ = ["Stopped", "Work"]


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
