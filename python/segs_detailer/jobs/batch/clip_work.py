"""One clip of a batch: its job, or parts of it, in a process that keeps its models for the next clip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from segs_detailer.jobs.batch.tasks import Ending
from segs_detailer.jobs.clips import OpenJob, begun_run, detail_clip
from segs_detailer.jobs.progress import Stages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segs_detailer.jobs.batch.tasks import Part, Tell
    from segs_detailer.jobs.job import ClipJob
    from segs_detailer.jobs.loading import ModelCache
    from segs_detailer.jobs.report import ClipReport

__all__ = ["JobWork"]


class JobWork:
    """Does jobs as the tasks of a batch: see `segs_detailer.jobs.batch.ClipWork`.

    Parameters
    ----------
    devices : sequence of str
        Device of each worker, in turn; none leaves what the jobs say.
    """

    def __init__(self, devices: Sequence[str] = ()) -> None:
        self._devices = tuple(devices)

    def split(self, payload: ClipJob, tell: Tell) -> tuple[Part, ...]:
        """Find the subjects, and return the groups of pieces that are missing; one alone is left to `finish`."""
        # What is to be done anew is so for each task that asks.
        if payload.limits.no_cache or payload.redo.is_given:
            return ()
        opened = OpenJob(payload)
        with opened.threads(), begun_run(opened, stages=Stages(tell), models=_kept_models()) as run:
            missing = {piece for group in run.missing for piece in group}
            numbers = [number for number, group in enumerate(run.plan.groups) if missing & set(group)]
            return tuple((number,) for number in numbers) if len(numbers) > 1 else ()

    def sample(self, payload: ClipJob, part: Part, tell: Tell) -> None:
        """Sample groups of pieces to the cache."""
        opened, stages = OpenJob(payload), Stages(tell)
        with opened.threads(), begun_run(opened, stages=stages, models=_kept_models()) as run:
            wanted = {piece for number in part for piece in run.plan.groups[number]}
            groups = [group for group in run.missing if wanted & set(group)]
            with stages.passes() as progress:
                run.sample(groups, progress)

    def finish(self, payload: ClipJob, slot: int, tell: Tell) -> Ending:
        """Do what is left of a clip."""
        if self._devices:
            payload = payload.changed(device=self._devices[slot % len(self._devices)])
        if payload.output is not None:
            Path(payload.output).parent.mkdir(parents=True, exist_ok=True)
        report = detail_clip(payload, progress=tell, models=_kept_models())
        return Ending(self.describe(report), report.status)

    def describe(self, report: ClipReport) -> str:
        """Say in one line what became of a clip."""
        return report.nothing_found or f"wrote {report.output}"


_models: ModelCache | None = None


def _kept_models() -> ModelCache:
    """Return the models of this process: they belong to it, and not to the work, which is sent to processes."""
    global _models
    if _models is None:
        from segs_detailer.jobs.loading import ModelCache

        _models = ModelCache()
    return _models
