"""Tasks on a Ray cluster: clips, and parts of long clips, over machines and GPUs; what dies costs its task."""

from __future__ import annotations

import contextlib
import math
import socket
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from segs_detailer.errors import MediaError, MissingDependencyError
from segs_detailer.jobs.batch.tasks import (
    ClipWork,
    Outcome,
    Part,
    Task,
    Tell,
    View,
    attempt,
    outcome_of,
    remove_left_over,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["RayOptions", "import_ray", "run_ray"]

_POLL_SECONDS = 0.5
_TELL_SECONDS = 0.5
_ANSWER_SECONDS = 10.0

_Step: TypeAlias = Literal["split", "sample", "finish"]


@dataclass(frozen=True, slots=True)
class RayOptions:
    """How a cluster is used.

    Parameters
    ----------
    address : str or None
        Of a cluster that runs, such as `auto` or `10.0.0.1:6379`; None starts one on this machine.
    workers : int or None
        Tasks at once; None is as many as the cluster has room for.
    cpus, gpus : float or None
        Processors and GPUs that each task takes. None of GPUs is 1 where the cluster has any; None of processors is 1.
    retries : int
        How often a task is begun again whose worker died.
    split : bool
        Parts of a clip are tasks of their own. All machines must see the cache under the same name.
    """

    address: str | None = None
    workers: int | None = None
    cpus: float | None = None
    gpus: float | None = None
    retries: int = 1
    split: bool = True


def import_ray() -> Any:
    """Ray's module.

    Raises
    ------
    MissingDependencyError
        It is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingDependencyError("ray", "ray") from error
    return ray


def run_ray(tasks: Sequence[Task], work: ClipWork, view: View, options: RayOptions | None = None) -> list[Outcome]:
    """Run tasks on a cluster.

    Parameters
    ----------
    tasks : sequence of Task
        What is to be done. All machines must see the clips and the outputs under the same names.
    work : ClipWork
        Does it.
    view : View
        Is told how it goes on.
    options : RayOptions or None
        How the cluster is used.

    Returns
    -------
    list of Outcome
        In the order of the tasks.

    Raises
    ------
    MissingDependencyError
        Ray is not installed.
    MediaError
        The cluster cannot be reached.
    """
    ray = import_ray()
    options = options or RayOptions()
    is_ours = not ray.is_initialized()
    if is_ours:
        _connect(ray, options)
    try:
        return _Batch(ray, tasks, work, view, options).run()
    finally:
        if is_ours:
            ray.shutdown()


def _connect(ray: Any, options: RayOptions) -> None:
    if options.address is not None:
        _check_answers(options.address)
    try:
        ray.init(
            address=options.address,
            num_cpus=None if options.address or options.workers is None else _processors(options),
            include_dashboard=None if options.address else False,
            configure_logging=True,
            logging_level="error",
            log_to_driver=False,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise MediaError(f"{options.address or 'ray'}: cannot be reached ({' '.join(str(error).split())})") from error


def _processors(options: RayOptions) -> int:
    """Count the processors of a cluster for so many workers at once."""
    return max(1, math.ceil((options.workers or 1) * (1 if options.cpus is None else options.cpus)))


def _check_answers(address: str) -> None:
    """Refuse an address at which nobody listens: Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    if not port.isdigit() or "/" in host:
        return
    try:
        socket.create_connection((host or "127.0.0.1", int(port)), timeout=_ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise MediaError(f"{address}: cannot be reached ({getattr(error, 'strerror', None) or error})") from error


@dataclass(frozen=True, slots=True)
class _Job:
    """One task of the cluster."""

    clip: int
    step: _Step
    part: Part = ()


@dataclass(slots=True)
class _Clip:
    """How far a clip is."""

    started: float = 0.0
    tries: int = 0
    waiting: int = 0
    parts: int = 0
    failed: str = ""


@dataclass(slots=True)
class _Batch:
    """A batch on its way."""

    ray: Any
    tasks: Sequence[Task]
    work: ClipWork
    view: View
    options: RayOptions
    clips: list[_Clip] = field(init=False)
    pending: deque[_Job] = field(init=False)
    running: dict[Any, _Job] = field(init=False, default_factory=dict)
    lost: dict[_Job, int] = field(init=False, default_factory=dict)
    outcomes: dict[int, Outcome] = field(init=False, default_factory=dict)
    board: Any = field(init=False, default=None)
    remote: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.clips = [_Clip() for _ in self.tasks]
        step: _Step = "split" if self.options.split else "finish"
        self.pending = deque(_Job(index, step) for index in range(len(self.tasks)))

    def run(self) -> list[Outcome]:
        """Run all, and return how they ended."""
        ray = self.ray
        resources = {"num_cpus": 1 if self.options.cpus is None else self.options.cpus, "num_gpus": self._gpus()}
        # Tasks that are lost are begun again here, where that is counted.
        self.remote = ray.remote(max_retries=0, **resources)(_do)
        self.board = ray.remote(num_cpus=0)(_Board).remote()
        work = ray.put(self.work)
        room = self._room(resources)
        # A cluster that was there before may grow.
        if room < 1 and self.options.address is None:
            wanted = ", ".join(f"{value:g} {name.removeprefix('num_').upper()}" for name, value in resources.items())
            raise MediaError(f"ray: this machine has no room for one task ({wanted})")
        most = self.options.workers or max(1, int(room))
        try:
            while self.pending or self.running:
                while self.pending and len(self.running) < most:
                    self._begin(self.pending.popleft(), work)
                ended, _ = ray.wait(list(self.running), num_returns=1, timeout=_POLL_SECONDS)
                self._tell()
                for reference in ended:
                    self._end(self.running.pop(reference), reference)
        finally:
            # None is left unless something went wrong here, or the user stopped it.
            for reference in self.running:
                with contextlib.suppress(ray.exceptions.RayError):
                    ray.cancel(reference)
        return [self.outcomes[index] for index in range(len(self.tasks))]

    def _gpus(self) -> float:
        if self.options.gpus is not None:
            return self.options.gpus
        return 1.0 if self.ray.cluster_resources().get("GPU", 0) >= 1 else 0.0

    def _room(self, resources: dict[str, float]) -> float:
        """How many tasks the cluster has room for at once; of tasks that take nothing, as many as it has processors."""
        there: dict[str, float] = self.ray.cluster_resources()
        rooms = [there.get("CPU", 1.0) / resources["num_cpus"]] if resources["num_cpus"] else [there.get("CPU", 1.0)]
        if resources["num_gpus"]:
            rooms.append(there.get("GPU", 0.0) / resources["num_gpus"])
        return min(rooms)

    def _begin(self, job: _Job, work: Any) -> None:
        clip = self.clips[job.clip]
        if not clip.tries:
            clip.started = time.perf_counter()
            self.view.began(job.clip)
        clip.tries += 1
        reference = self.remote.remote(
            work, job.step, self.tasks[job.clip].payload, job.part, self.board, (job.clip, job.step, job.part)
        )
        self.running[reference] = job

    def _end(self, job: _Job, reference: Any) -> None:
        try:
            well, result, warned = self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            self._lost(job, _reason(error))
            return
        for text in warned:
            self.view.warned(job.clip, text)
        if well:
            self._go_on(job, result)
        else:
            self._fail(job, result)

    def _lost(self, job: _Job, reason: str) -> None:
        self.lost[job] = self.lost.get(job, 0) + 1
        if self.clips[job.clip].failed or self.lost[job] > self.options.retries:
            self._fail(job, reason)
            return
        self.view.warned(job.clip, f"{reason}; it is begun again")
        self.pending.appendleft(job)

    def _go_on(self, job: _Job, result: Any) -> None:
        """Begin what follows; clips that are begun come before others."""
        clip = self.clips[job.clip]
        if job.step == "finish":
            self._close(job.clip, well=True, result=result)
        elif job.step == "split":
            clip.parts = clip.waiting = len(result)
            following = [_Job(job.clip, "sample", part) for part in result] or [_Job(job.clip, "finish")]
            self.pending.extendleft(reversed(following))
        else:
            self._part_ended(job)

    def _fail(self, job: _Job, text: str) -> None:
        clip = self.clips[job.clip]
        clip.failed = clip.failed or text
        if job.step == "sample":
            # Parts that have not begun are not needed any more.
            dropped = [item for item in self.pending if item.clip == job.clip]
            clip.waiting -= len(dropped)
            self.pending = deque(item for item in self.pending if item.clip != job.clip)
            self._part_ended(job)
        else:
            self._close(job.clip, well=False, result=text)

    def _part_ended(self, job: _Job) -> None:
        clip = self.clips[job.clip]
        clip.waiting -= 1
        self.view.told(job.clip, "parts", clip.parts - clip.waiting, clip.parts)
        if clip.waiting:
            return
        if clip.failed:
            self._close(job.clip, well=False, result=clip.failed)
        else:
            self.pending.appendleft(_Job(job.clip, "finish"))

    def _close(self, index: int, *, well: bool, result: Any) -> None:
        clip = self.clips[index]
        if _Job(index, "finish") in self.lost:
            remove_left_over(self.tasks[index].output)
        taken = time.perf_counter() - clip.started
        self.outcomes[index] = outcome_of(self.tasks[index], well=well, result=result, seconds=taken, tries=clip.tries)
        self.view.ended(index, self.outcomes[index])

    def _tell(self) -> None:
        """Show how far the tasks are; that the board is lost is no reason to stop."""
        with contextlib.suppress(self.ray.exceptions.RayError):
            for (index, _, _), (stage, done, total) in self.ray.get(self.board.take.remote(), timeout=5).items():
                if index not in self.outcomes:
                    self.view.told(index, stage, done, total)


def _reason(error: BaseException) -> str:
    name = type(error).__name__
    if name == "NodeDiedError":
        return "the machine that did it is gone"
    if name == "OutOfMemoryError":
        return "its worker was ended, as its machine had no memory left: lower `max_ram`, or run fewer workers"
    if name in ("WorkerCrashedError", "LocalRayletDiedError"):
        return "its worker died"
    return f"it was lost ({name})"


class _Board:
    """Where tasks write how far they are."""

    def __init__(self) -> None:
        self._rows: dict[Any, tuple[str, int, int]] = {}

    def put(self, key: Any, stage: str, done: int, total: int) -> None:
        self._rows[key] = (stage, done, total)

    def take(self) -> dict[Any, tuple[str, int, int]]:
        rows, self._rows = self._rows, {}
        return rows


def _do(work: ClipWork, step: _Step, payload: Any, part: Part, board: Any, key: Any) -> tuple[bool, Any, list[str]]:
    """Do one task, in a worker of the cluster; return whether it went well, the result or error, and warnings."""
    import warnings

    tell = _teller(board, key)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        if step == "split":
            well, result = attempt(lambda: work.split(payload, tell))
        elif step == "sample":
            well, result = attempt(lambda: work.sample(payload, part, tell))
        else:
            well, result = attempt(lambda: work.finish(payload, 0, tell))
    return well, result, list(dict.fromkeys(str(item.message) for item in caught))


def _teller(board: Any, key: Any) -> Tell:
    told: dict[str, float] = {}

    def tell(stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done >= total or now - told.get(stage, 0.0) >= _TELL_SECONDS:
            told[stage] = now
            board.put.remote(key, stage, done, total)

    return tell
