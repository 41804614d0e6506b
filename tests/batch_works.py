"""Work for the engines of batches that fails, dies or sleeps as its payload says. Other processes import it."""

from __future__ import annotations

import os
import signal
import time
import warnings
from pathlib import Path

from segs_detailer.errors import MediaError
from segs_detailer.jobs.batch import Ending, Task
from segs_detailer.video.partial import PartialFile

__all__ = ["PlainWork", "Recorder", "pids", "tasks_of"]


class PlainWork:
    """Writes a file for each step that it does.

    A payload is a dictionary: `folder`, `name`, `parts`, and what happens in a step: `die` and `fail` hold names of
    steps, `die_once` those that a worker dies of the first time; `status` is how the clip ends.
    """

    def split(self, payload, tell):
        self._do(payload, "split", tell)
        return tuple((number,) for number in range(payload.get("parts", 0)))

    def sample(self, payload, part, tell):
        self._do(payload, f"part{part[0]}", tell)

    def finish(self, payload, slot, tell):
        self._do(payload, "finish", tell)
        text = f"{payload['name']} by worker {slot}"
        return Ending(text, payload["status"]) if "status" in payload else text

    def _do(self, payload, step, tell):
        folder, name = Path(payload["folder"]), payload["name"]
        begun = folder / f"{name}.{step}.begun"
        is_first = not begun.exists()
        with begun.open("a") as file:
            file.write(f"{os.getpid()}\n")
        tell(step, 0, 2)
        if step == "finish":
            with PartialFile(folder / f"{name}.txt") as place:
                place.write_text("half")
                self._go_through(payload, step, is_first=is_first)
        else:
            self._go_through(payload, step, is_first=is_first)
        tell(step, 2, 2)

    def _go_through(self, payload, step, *, is_first):
        if step in payload.get("die", ()) or (step in payload.get("die_once", ()) and is_first):
            os.kill(os.getpid(), signal.SIGKILL)
        if step in payload.get("fail", ()):
            raise MediaError(f"{payload['name']}: cannot\nbe done")
        if step in payload.get("raise", ()):
            raise ValueError("a bug")
        if step in payload.get("warn", ()):
            warnings.warn("look at this", stacklevel=2)
        deadline = time.monotonic() + payload.get("wait", 0)
        while time.monotonic() < deadline:
            time.sleep(0.05)


class Recorder:
    """Keeps what an engine tells."""

    def __init__(self):
        self.events = []

    def began(self, index):
        self.events.append(("began", index))

    def told(self, index, stage, done, total):
        self.events.append(("told", index, stage, done, total))

    def warned(self, index, text):
        self.events.append(("warned", index, text))

    def ended(self, index, outcome):
        self.events.append(("ended", index, outcome.status))

    def warnings(self):
        return [event[1:] for event in self.events if event[0] == "warned"]


def tasks_of(folder, *payloads):
    """Return tasks "clip0", "clip1", ... of `PlainWork`, with their files in a folder."""
    tasks = []
    for number, payload in enumerate(payloads):
        name = f"clip{number}"
        tasks.append(Task(name, str(folder / f"{name}.txt"), {"folder": str(folder), "name": name, **payload}))
    return tasks


def pids(folder, step):
    """Return the processes that began a step, such as "clip0.finish", in their order."""
    return (folder / f"{step}.begun").read_text().split()
