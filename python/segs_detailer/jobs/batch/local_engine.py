"""Tasks in processes of this machine: one that dies costs its task."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
import time
import warnings
from collections import deque
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, NoReturn, cast

from segs_detailer.jobs.batch.tasks import ClipWork, Outcome, Task, View, attempt, outcome_of, remove_left_over

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

__all__ = ["run_local"]

_GRACE_SECONDS = 10.0
"""How long a worker that is asked to stop may take to remove what it has half written."""

_TELL_SECONDS = 0.2
"""Progress is told so often at most."""

_OF_THE_GROUP = tuple(getattr(signal, name) for name in ("SIGINT", "SIGHUP", "SIGBREAK") if hasattr(signal, name))
"""Signals that a terminal sends to all processes of a command at once: the first of them ends the others."""


def run_local(
    tasks: Sequence[Task], work: ClipWork, view: View, *, workers: int = 1, retries: int = 1
) -> list[Outcome]:
    """Run tasks.

    Parameters
    ----------
    tasks : sequence of Task
        What is to be done.
    work : ClipWork
        Does it; only `finish` is used, each clip as a whole.
    view : View
        Is told how it goes on.
    workers : int
        Processes.
    retries : int
        How often a task is begun again whose worker died.

    Returns
    -------
    list of Outcome
        In the order of the tasks.
    """
    outcomes: dict[int, Outcome] = {}
    pending = deque(range(len(tasks)))
    tries = [0] * len(tasks)
    started = [0.0] * len(tasks)
    pool = [_Worker(slot, work) for slot in range(min(workers, len(tasks)))]

    def begin(worker: _Worker) -> None:
        index = pending.popleft()
        tries[index] += 1
        started[index] = started[index] or time.perf_counter()
        worker.begin(index, tasks[index].payload)
        view.began(index)

    def end(index: int, *, well: bool, result: Any) -> None:
        taken = time.perf_counter() - started[index]
        outcomes[index] = outcome_of(tasks[index], well=well, result=result, seconds=taken, tries=tries[index])
        view.ended(index, outcomes[index])

    try:
        while pending or any(worker.is_busy for worker in pool):
            for worker in pool:
                if pending and not worker.is_busy:
                    begin(worker)
            for worker in _ready(pool):
                message = worker.receive()
                if message is None:
                    index, reason = worker.bury()
                    remove_left_over(tasks[index].output)
                    if tries[index] <= retries:
                        view.warned(index, f"{reason}; it is begun again")
                        pending.appendleft(index)
                    else:
                        end(index, well=False, result=reason)
                elif message[0] == "end":
                    end(worker.release(), well=message[1], result=message[2])
                elif message[0] == "warning":
                    view.warned(worker.index, message[1])
                else:
                    view.told(worker.index, *message[1:])
    finally:
        for worker in pool:
            worker.ask_to_stop()
        for worker in pool:
            if worker.stop():
                remove_left_over(tasks[worker.release()].output)
    return [outcomes[index] for index in range(len(tasks))]


def _ready(pool: Sequence[_Worker]) -> list[_Worker]:
    busy = {worker.connection: worker for worker in pool if worker.is_busy and worker.connection is not None}
    return [busy[item] for item in cast("list[Connection]", wait(list(busy)))]


class _Worker:
    """One process, and the task that it has. It is begun with its first task."""

    def __init__(self, slot: int, work: ClipWork) -> None:
        self._slot = slot
        self._work = work
        self._process: SpawnProcess | None = None
        self.connection: Connection | None = None
        self.index = -1

    @property
    def is_busy(self) -> bool:
        """Whether it has a task."""
        return self.index >= 0

    def begin(self, index: int, payload: Any) -> None:
        """Give it a task."""
        if self._process is None:
            # A fresh interpreter: forking after torch and OpenCV have started threads is not safe.
            context = multiprocessing.get_context("spawn")
            self.connection, other = context.Pipe()
            self._process = context.Process(target=_serve, args=(other, self._work, self._slot))
            with _held_back():
                self._process.start()
            other.close()
        self.index = index
        if self.connection is not None:
            # A worker that has died meanwhile is found dead when it is asked for its result.
            with contextlib.suppress(OSError):
                self.connection.send(payload)

    def receive(self) -> Any:
        """Return its next message; None where it is dead."""
        try:
            return None if self.connection is None else self.connection.recv()
        except (EOFError, OSError):
            return None

    def release(self) -> int:
        """Take its task away; return its index."""
        index, self.index = self.index, -1
        return index

    def bury(self) -> tuple[int, str]:
        """Forget the process; return the index of its task, and what killed it."""
        code: int | None = None
        if self._process is not None:
            self._process.join(_GRACE_SECONDS)
            code = self._process.exitcode
        self.stop()
        return self.release(), _death(code)

    def ask_to_stop(self) -> None:
        """Tell the process that it is not needed any more; one that has a task gives it up."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()
        if self._process is not None and self.is_busy and self._process.is_alive():
            self._process.terminate()

    def stop(self) -> bool:
        """End the process, and return whether it had to be killed, and had no time to remove what it was writing."""
        self.ask_to_stop()
        process, self._process = self._process, None
        if process is None:
            return False
        process.join(_GRACE_SECONDS)
        is_killed = process.is_alive()
        if is_killed:
            process.kill()
            process.join()
        return is_killed and self.is_busy


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"its worker was killed by {signal.Signals(-code).name}"
    return f"its worker ended with code {code}"


@contextlib.contextmanager
def _held_back() -> Iterator[None]:
    """Let signals wait, also in a process that is begun meanwhile, until it can answer them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _OF_THE_GROUP)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, work: ClipWork, slot: int) -> None:
    """Do tasks until there are no more."""
    for number in _OF_THE_GROUP:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _OF_THE_GROUP)
    signal.signal(signal.SIGTERM, _leave)
    line = _Line(connection)
    try:
        while True:
            payload = connection.recv()
            line.begin()
            with warnings.catch_warnings():
                warnings.showwarning = line.warn
                well, result = attempt(lambda: work.finish(payload, slot, line.tell))  # noqa: B023 - called at once
            line.send("end", well, result)
    except (EOFError, BrokenPipeError):
        return


def _leave(number: int, frame: object) -> NoReturn:
    del frame
    # Half-written files are removed on the way out, which nothing interrupts.
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)


class _Line:
    """The way to the parent, for all threads of a worker."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._told: dict[str, float] = {}
        self._warned: set[str] = set()

    def send(self, *message: Any) -> None:
        """Send a message."""
        with self._lock:
            self._connection.send(message)

    def begin(self) -> None:
        """Begin a task."""
        self._told.clear()
        self._warned.clear()

    def warn(self, message: Warning | str, *place: Any, **more: Any) -> None:
        """Send a warning, once for each task: a clip is read more than once."""
        del place, more
        text = str(message)
        if text not in self._warned:
            self._warned.add(text)
            self.send("warning", text)

    def tell(self, stage: str, done: int, total: int) -> None:
        """Send how far a stage is, not too often."""
        now = time.monotonic()
        if done < total and now - self._told.get(stage, 0.0) < _TELL_SECONDS:
            return
        self._told[stage] = now
        self.send("progress", stage, done, total)
