"""One clip of a batch: `run`, or parts of it, in a process that keeps its models for the next clip."""

from __future__ import annotations

import argparse
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from segs_detailer.cli.arguments import names_of_options
from segs_detailer.cli.job import ClipJob, open_cache
from segs_detailer.cli.models import load_pipes
from segs_detailer.cli.run import run, run_stages
from segs_detailer.cli.stages import Stages
from segs_detailer.cli.threads import one_torch_thread
from segs_detailer.jobs.batch.tasks import Ending

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from segs_detailer.cli.stages import Advance
    from segs_detailer.jobs.batch.tasks import Part, Tell
    from segs_detailer.jobs.run import ClipRun
    from segs_detailer.jobs.sampling import Detailing

__all__ = ["RunWork"]

# What says which clip, and nothing of the models.
_OF_CLIPS = frozenset(
    {
        "clip",
        "output",
        "overwrite",
        "compare",
        "bbox",
        "mask",
        "segs",
        "fps",
        "fill_gaps",
        "redo",
        "cache",
        "no_cache",
        "prompts",
        "quiet",
    }
)


class RunWork:
    """Does the tasks of a batch: see `segs_detailer.jobs.batch.ClipWork`.

    Parameters
    ----------
    devices : sequence of str
        Device of each worker, in turn; none leaves what the options say.
    """

    def __init__(self, devices: Sequence[str] = ()) -> None:
        self._devices = tuple(devices)

    def split(self, payload: argparse.Namespace, tell: Tell) -> tuple[Part, ...]:
        """Find the subjects, and return the groups of pieces that are missing; one alone is left to `finish`."""
        # What is to be done anew is so for each task that asks.
        if payload.no_cache or payload.redo:
            return ()
        with names_of_options(payload), _clip_run(payload, _ToldStages(tell)) as clip_run:
            missing = {piece for group in clip_run.missing for piece in group}
            numbers = [number for number, group in enumerate(clip_run.plan.groups) if missing & set(group)]
            return tuple((number,) for number in numbers) if len(numbers) > 1 else ()

    def sample(self, payload: argparse.Namespace, part: Part, tell: Tell) -> None:
        """Sample groups of pieces to the cache."""
        stages = _ToldStages(tell)
        with names_of_options(payload), _clip_run(payload, stages) as clip_run:
            wanted = {piece for number in part for piece in clip_run.plan.groups[number]}
            groups = [group for group in clip_run.missing if wanted & set(group)]
            with run_stages(stages) as progress, one_torch_thread(only_if=payload.model is None):
                clip_run.sample(groups, progress)

    def finish(self, payload: argparse.Namespace, slot: int, tell: Tell) -> Ending | str:
        """Run what is left of a clip."""
        if self._devices:
            payload = argparse.Namespace(**{**vars(payload), "device": self._devices[slot % len(self._devices)]})
        Path(payload.output).parent.mkdir(parents=True, exist_ok=True)
        stages = _ToldStages(tell)
        with names_of_options(payload):
            status = run(payload, stages, _load_once)
        return stages.summary if status == "done" else Ending(stages.summary, status)


class _ToldStages(Stages):
    """Tells another process what `run` would show."""

    def __init__(self, tell: Tell) -> None:
        super().__init__(quiet=True)
        self._tell = tell
        self.summary = ""

    def say(self, text: str = "") -> None:
        """Keep the first line: what was written."""
        self.summary = self.summary or text

    @contextmanager
    def stage(self, name: str, unit: str = "frame") -> Iterator[Advance]:
        """Time a stage and tell how far it is."""
        with super().stage(name, unit) as advance:

            def told(done: int, total: int) -> None:
                advance(done, total)
                self._tell(name, done, total)

            yield told


@contextmanager
def _clip_run(payload: argparse.Namespace, stages: Stages) -> Iterator[ClipRun]:
    job = ClipJob(payload, _load_once)
    with open_cache(payload) as cache:
        yield job.begin(cache, stages)


_loaded: tuple[str, Detailing] | None = None


def _load_once(args: argparse.Namespace, stages: Stages) -> Detailing:
    """Load models, or take those of the clip before where it had the same options."""
    global _loaded
    options = {name: value for name, value in vars(args).items() if name not in _OF_CLIPS}
    key = repr(sorted(options.items()))
    if _loaded is None or _loaded[0] != key:
        # The old ones go first: both together may not fit.
        _loaded = None
        _loaded = (key, load_pipes(args, stages))
    return _loaded[1]
