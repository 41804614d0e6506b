"""`segs-detailer run`: from a clip to a detailed clip."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segs_detailer.cli.arguments import in_options
from segs_detailer.cli.job_options import job_of
from segs_detailer.cli.repainting import repainting_command
from segs_detailer.cli.report import describe_report
from segs_detailer.cli.stages import ShownStages
from segs_detailer.jobs.clips import detail_clip
from segs_detailer.jobs.job_files import write_job

if TYPE_CHECKING:
    import argparse

    from segs_detailer.jobs.job import ClipJob
    from segs_detailer.jobs.plan import ClipPlan

__all__ = ["run"]


def run(args: argparse.Namespace, base: ClipJob | None = None) -> None:
    """Run the command.

    Parameters
    ----------
    args : Namespace
        The options, and as `words` the arguments as they were typed.
    base : ClipJob or None
        The job that holds where no option is given.

    Raises
    ------
    SegsDetailerError, OSError
        Something cannot be done; nothing was written.
    """
    stages = ShownStages(quiet=args.quiet)
    job = job_of(args, base)
    if args.save_job:
        write_job(args.save_job, job)

    def warn(plan: ClipPlan) -> None:
        for warning in plan.warnings:
            stages.say(f"warning: {in_options(warning, vars(args))}")

    report = detail_clip(job, progress=stages, on_plan=warn)
    for line in describe_report(report):
        stages.say(in_options(line, vars(args)))
    if report.note and report.tracks:
        command = repainting_command(args.typed, report.tracks[0].label)
        if command:
            stages.say(f"to repaint: {command}")
