"""Signals that ask the program to end: it removes what is half-written, and goes."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType, TracebackType

__all__ = ["EndingSignals", "Interrupted"]

_ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name))
_AT_ONCE = 3
_SECOND = (
    b"segs-detailer: is removing what is half-written; once more ends it at once, and the next run removes the rest\n"
)


class Interrupted(KeyboardInterrupt):
    """A signal asks the program to end.

    Parameters
    ----------
    number : int
        The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def code(self) -> int:
        """Exit code, as shells have it."""
        return 128 + self.number


class EndingSignals:
    """Answers the signals that ask to end: Ctrl-C, a polite kill, a terminal that is closed.

    The first one raises `Interrupted`, so that files are removed on the way out. A second one changes nothing:
    terminals and wrappers send several at once. A third ends the process where it stands.

    What is ignored from the beginning stays so (`nohup`, jobs in the background), but for SIGTERM.

    Use it as a context manager, or `install` it for as long as the process lives. Outside the main thread it does
    nothing.
    """

    def __init__(self) -> None:
        self._before: dict[int, object] = {}
        self._count = 0

    def install(self) -> None:
        """Answer signals from now on."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _ENDING:
            if number == signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._answer)

    def end(self) -> None:
        """Say that the process ends by itself now. Whatever comes is too late to stop anything, and not answered.

        Python would give the signals back to the system before it has ended, which would change the exit code.
        """
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)

    def __enter__(self) -> EndingSignals:
        self.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            # None is a handler that was not set from Python.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # type: ignore[arg-type]
        self._before.clear()

    def _answer(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._count += 1
        if self._count == 1:
            raise Interrupted(number)
        if self._count >= _AT_ONCE:
            os._exit(128 + number)
        # Not through Python's files: the signal may have come while they are written to.
        with suppress(OSError):
            os.write(2, _SECOND)
