"""`segs-detailer run`: from a clip to a detailed clip."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InvalidArgumentError
from ..streaming import SinkTaker
from ..video import open_output
from .compare import Comparison
from .job import ClipJob, encoder_settings, open_cache
from .models import load_pipes
from .report import describe_times, describe_tracks
from .stages import Stages
from .threads import one_torch_thread

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from ..streaming import ClipPlan, FrameTaker, RunProgress
    from .models import Loader

__all__ = ["run", "run_stages"]


def run(args: argparse.Namespace, stages: Stages | None = None, load: Loader = load_pipes) -> None:
    """Run the command.

    Everything that can fail for a wrong argument is tried before the clip is read. The output appears under its name
    when it is complete.

    Parameters
    ----------
    args : Namespace
        The options.
    stages : Stages or None
        Shows how far it is; None as the options say.
    load : callable
        Loads the models.

    Raises
    ------
    SegsDetailerError, OSError
        Something cannot be done; nothing was written.
    """
    stages = stages or Stages(quiet=args.quiet)
    if args.compare and Path(args.compare).resolve() == Path(args.output).resolve():
        raise InvalidArgumentError("--compare", "another file than the output", args.compare)
    job = ClipJob(args, stages, load)
    encoder = encoder_settings(args, job.info)
    comparison = Comparison(args.compare, job.info, threads=encoder.threads) if args.compare else None
    with ExitStack() as outputs:
        sink = outputs.enter_context(open_output(args.output, job.info, settings=encoder, keep_audio=not args.no_audio))
        takers: list[FrameTaker] = [SinkTaker(sink)]
        if comparison is not None:
            takers.append(outputs.enter_context(comparison))
        cache = outputs.enter_context(open_cache(args))
        clip_run = job.begin(cache, stages)
        for warning in clip_run.plan.warnings:
            stages.say(f"warning: {warning}")
        if comparison is not None:
            comparison.prepare(clip_run.plan)
        with run_stages(stages) as progress, one_torch_thread(only_if=args.model is None):
            clip_run.run(takers, progress)
    _summarise(args, job, clip_run.plan, stages)


@contextmanager
def run_stages(stages: Stages) -> Iterator[RunProgress]:
    """Show the passes of a run, which go on at once."""
    with ExitStack() as shown:
        # The first is left last: what is reported then stands in the order of the passes.
        units = {"encode": "frame", "detail": "step", "decode": "frame"}
        advances = {name: shown.enter_context(stages.stage(name, unit)) for name, unit in units.items()}
        yield lambda name, done, total: advances[name](done, total)


def _summarise(args: argparse.Namespace, job: ClipJob, plan: ClipPlan, stages: Stages) -> None:
    stages.say(f"wrote {args.output}: {job.info.describe()}")
    if args.compare:
        stages.say(f"wrote {args.compare}: before and after")
    for line in describe_tracks(plan.tracks):
        stages.say(line)
    stages.say(describe_times(stages))
    note = getattr(job.pipe[0], "preview_note", None)
    if note is not None:
        stages.say(f"note: {note}; name one with --model")
