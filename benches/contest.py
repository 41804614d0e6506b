"""How one bench is measured: who takes part, with how many threads, how often, and what the report is told."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import pytest
import torch

from segs_detailer.ops import set_num_threads

__all__ = ["OURS", "Contest", "Way", "Work", "compare", "default_threads", "use_threads"]

OURS = "segs-detailer"

# A median of fewer rounds says little; of more, nothing new.
MIN_ROUNDS = 5
MAX_ROUNDS = 100
# A way slower than this share of the budget per call is measured only a few times.
SLOW_SHARE = 0.5

STAT = Path("/proc/stat")

Result = TypeVar("Result")


@dataclass(frozen=True)
class Way:
    """One way to do the work: ours or a peer's.

    Parameters
    ----------
    label : str
        Name in the report.
    run : callable
        Does the work; what it takes is agreed within one bench module.
    goal : float or None
        Times that we want to be faster than this peer; below 1 for a bound that cannot be beaten.
    goal_threads : str
        `"one"` or `"all"`: the row in which the goal counts.
    threaded : bool
        False where the way has one thread whatever is asked; it is then measured once.
    note : str
        Footnote in the report.
    offered : bool
        False where the installed version of the peer cannot do it; it is then left out.
    """

    label: str
    run: Callable[..., Any]
    goal: float | None = None
    goal_threads: str = "all"
    threaded: bool = True
    note: str = ""
    offered: bool = True


@dataclass(frozen=True)
class Work:
    """What all ways of one comparison do.

    Parameters
    ----------
    area : str
        Section of the report.
    title : str
        The work with its sizes.
    bytes_moved : int
        Bytes that must at least be read and written: inputs once, outputs once.
    note : str
        Footnote in the report.
    """

    area: str
    title: str
    bytes_moved: int
    note: str = ""


def default_threads() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def use_threads(threads: int) -> None:
    """Give us and every peer the same number of threads."""
    set_num_threads(threads)
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def compare(*ways: Way) -> pytest.MarkDecorator:
    """Parametrize a bench by `way` and `threads` ("one", "all"); ways of one thread come once."""
    rows = [
        pytest.param(way, threads, id=f"{way.label}, {threads}")
        for threads in ("one", "all")
        for way in ways
        if way.offered and (way.threaded or threads == "one")
    ]
    return pytest.mark.parametrize(("way", "threads"), rows)


class Contest:
    """Measures one way of doing some work.

    Parameters
    ----------
    benchmark : BenchmarkFixture
        pytest-benchmark's fixture.
    seconds : float
        Time to spend on one measurement, roughly.
    slow_rounds : int
        Rounds of a way that takes most of that time or more.
    all_threads : int
        Threads that `"all"` means.
    """

    def __init__(self, benchmark: Any, *, seconds: float, slow_rounds: int, all_threads: int) -> None:
        self._benchmark = benchmark
        self._seconds = seconds
        self._slow_rounds = slow_rounds
        self._all_threads = all_threads

    def __call__(self, work: Work, way: Way, threads: str, function: Callable[[], Result]) -> Result:
        """Time `function` and return what its last call returned.

        Only one result is alive at any time, so that fresh outputs are fresh pages in every round.
        """
        use_threads(1 if threads == "one" else self._all_threads)
        kept: list[Result] = []

        def drop() -> None:
            kept.clear()

        def call() -> None:
            kept.append(function())

        begin = time.perf_counter()
        call()
        first = time.perf_counter() - begin
        self._benchmark.group = work.title
        self._benchmark.extra_info.update(
            area=work.area,
            work=work.title,
            work_note=work.note,
            way=way.label,
            ours=way.label.startswith(OURS),
            threads=threads,
            thread_count=1 if threads == "one" or not way.threaded else self._all_threads,
            threaded=way.threaded,
            bytes_moved=work.bytes_moved,
            goal=way.goal,
            goal_threads=way.goal_threads,
            note=way.note,
        )
        others = ForeignLoad()
        self._benchmark.pedantic(call, setup=drop, rounds=self._rounds(first), iterations=1)
        self._benchmark.extra_info["others"] = others.share()
        return kept[0]

    def _rounds(self, first: float) -> int:
        if first > SLOW_SHARE * self._seconds:
            return self._slow_rounds
        return max(MIN_ROUNDS, min(MAX_ROUNDS, int(self._seconds / first)))


class ForeignLoad:
    """What other programs take of the processor from now on: on a busy machine times mean little."""

    def __init__(self) -> None:
        self._begin = self._now()

    def share(self) -> float | None:
        """Share in [0, 1] of all cores; None where there is no /proc."""
        busy, own, wall = (now - then for now, then in zip(self._now(), self._begin, strict=True))
        if not STAT.exists() or wall == 0:
            return None
        return min(1.0, max(0.0, busy - own) / (wall * (os.cpu_count() or 1)))

    @staticmethod
    def _now() -> tuple[float, float, float]:
        """Seconds of processor time of the whole system and of this process, and on the clock."""
        busy = 0.0
        if STAT.exists():
            user, nice, system, _idle, _wait, *rest = STAT.read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
            busy = sum(map(int, (user, nice, system, *rest))) / os.sysconf("SC_CLK_TCK")
        return busy, time.process_time(), time.perf_counter()
