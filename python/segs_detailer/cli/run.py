"""`segs-detailer run`: from a clip to a detailed clip."""

from __future__ import annotations

import shutil
import warnings
from contextlib import ExitStack, contextmanager, suppress
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from segs_detailer.cli.arguments import option_of
from segs_detailer.cli.compare import Comparison
from segs_detailer.cli.job import ClipJob, encoder_settings, open_cache
from segs_detailer.cli.models import load_pipes
from segs_detailer.cli.report import INTERLACED, describe_times, describe_tracks
from segs_detailer.cli.stages import Stages
from segs_detailer.cli.threads import one_torch_thread
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.jobs.writing import SinkTaker
from segs_detailer.video import open_output
from segs_detailer.video.losses import warn_of_losses
from segs_detailer.video.partial import PartialFile
from segs_detailer.video.sequences import is_pattern, names_several
from segs_detailer.video.writing import losses_as_pictures

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from segs_detailer.cli.models import Loader
    from segs_detailer.jobs.batch.tasks import Status
    from segs_detailer.jobs.plan import ClipPlan
    from segs_detailer.jobs.run import RunProgress
    from segs_detailer.jobs.writing import FrameTaker

__all__ = ["run", "run_stages"]


def run(args: argparse.Namespace, stages: Stages | None = None, load: Loader = load_pipes) -> Status:
    """Run the command.

    Everything that can fail for a wrong argument is tried before the clip is read, and outputs are opened before models
    are loaded. They appear under their names when they are complete.

    Parameters
    ----------
    args : Namespace
        The options.
    stages : Stages or None
        Shows how far it is; None as the options say.
    load : callable
        Loads the models.

    Returns
    -------
    {"done", "copied", "skipped"}
        What became of the clip: one without subjects is copied, or nothing is written.

    Raises
    ------
    SegsDetailerError, OSError
        Something cannot be done; nothing was written.
    """
    stages = stages or Stages(quiet=args.quiet)
    if args.compare and Path(args.compare).resolve() == Path(args.output).resolve():
        raise InvalidArgumentError("compare", "another file than the output", args.compare)
    _check_apart(args)
    job = ClipJob(args, load)
    encoder = encoder_settings(args, job.info)
    # What is done anew replaces what the last run wrote.
    overwrite = args.overwrite or bool(args.redo)
    comparison = None
    if args.compare:
        comparison = Comparison(args.compare, job.info, threads=encoder.threads, overwrite=overwrite)
    with suppress(_LeftAlone), ExitStack() as outputs:
        output = outputs.enter_context(ExitStack())
        sink = output.enter_context(
            open_output(args.output, job.info, settings=encoder, keep_audio=not args.no_audio, overwrite=overwrite)
        )
        warn_of_losses(args.output, losses_as_pictures(args.output, job.info, keep_audio=not args.no_audio))
        takers: list[FrameTaker] = [SinkTaker(sink)]
        if comparison is not None:
            takers.append(outputs.enter_context(comparison))
        cache = outputs.enter_context(open_cache(args))
        clip_run = job.begin(cache, stages)
        empty = not clip_run.plan.tracks
        if empty and args.when_empty == "skip":
            raise _LeftAlone
        if empty and _keeps_file(args):
            # Not one bit is lost where the file itself is copied.
            with suppress(_LeftAlone), output:
                raise _LeftAlone
            del takers[0]
            shutil.copyfile(args.clip, output.enter_context(PartialFile(Path(args.output))))
        if job.info.interlaced and clip_run.plan.tracks:
            warnings.warn(f"{args.clip}: {INTERLACED}", stacklevel=2)
        for warning in clip_run.plan.warnings:
            stages.say(f"warning: {warning}")
        if comparison is not None:
            comparison.prepare(clip_run.plan)
        if takers:
            with run_stages(stages) as progress, one_torch_thread(only_if=args.model is None):
                clip_run.run(takers, progress)
    if clip_run.plan.tracks:
        _summarize(args, job, clip_run.plan, stages)
        return "done"
    return _summarize_empty(args, job, stages)


class _LeftAlone(Exception):  # noqa: N818 - no error
    """An output is not made: what was begun of it is removed."""


def _keeps_file(args: argparse.Namespace) -> bool:
    """Whether a copy of the clip's file is the output that was asked for."""
    clip, output = Path(args.clip), Path(args.output)
    other = args.codec is not None or args.crf is not None or args.pix_fmt is not None or args.no_audio
    is_file = clip.is_file() and not (output.is_dir() or is_pattern(output))
    return is_file and clip.suffix.lower() == output.suffix.lower() and not other


def _check_apart(args: argparse.Namespace) -> None:
    """Refuse to write over masks that are read."""
    for name, given in product(("output", "compare"), ("mask", "segs")):
        output, masks = getattr(args, name), getattr(args, given)
        if output and masks and _meet(Path(output), Path(masks)):
            raise InvalidArgumentError(name, f"another place than the masks of {option_of(given)}", output)


def _meet(output: Path, read: Path) -> bool:
    """Whether one would be written over the other: equal names, or a folder and what lies in it."""
    if output.resolve() == read.resolve():
        return True
    if is_pattern(output):
        return read.is_dir() and output.parent.resolve() == read.resolve()
    return names_several(read) and output.resolve() == read.parent.resolve()


@contextmanager
def run_stages(stages: Stages) -> Iterator[RunProgress]:
    """Show the passes of a run, which go on at once."""
    with ExitStack() as shown:
        # The first is left last: what is reported then stands in the order of the passes.
        units = {"encode": "frame", "detail": "step", "decode": "frame"}
        advances = {name: shown.enter_context(stages.stage(name, unit)) for name, unit in units.items()}
        yield lambda name, done, total: advances[name](done, total)


def _summarize_empty(args: argparse.Namespace, job: ClipJob, stages: Stages) -> Status:
    if args.when_empty == "skip":
        stages.say(f"wrote nothing: {job.nothing_found}")
        return "skipped"
    stages.say(f"wrote {args.output}, the clip as it is: {job.nothing_found}")
    if args.compare:
        stages.say(f"wrote {args.compare}: before and after, which are the same")
    stages.say(describe_times(stages))
    return "copied"


def _summarize(args: argparse.Namespace, job: ClipJob, plan: ClipPlan, stages: Stages) -> None:
    stages.say(f"wrote {args.output}: {job.info.describe()}")
    if args.compare:
        stages.say(f"wrote {args.compare}: before and after")
    for line in describe_tracks(plan.tracks):
        stages.say(line)
    stages.say(describe_times(stages))
    if job.recommended is not None:
        stages.say(job.recommended)
    note = job.pipe.sampler.info.note
    if note is not None:
        stages.say(f"note: {note}; name one with --model")
