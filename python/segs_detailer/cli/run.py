"""`segs-detailer run`: from a clip to a detailed clip."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segs_detailer.cli.arguments import in_options
from segs_detailer.cli.job_options import job_of
from segs_detailer.cli.report import describe_report
from segs_detailer.cli.stages import ShownStages
from segs_detailer.jobs.clips import detail_clip

if TYPE_CHECKING:
    import argparse

    from segs_detailer.jobs.plan import ClipPlan

__all__ = ["run"]


def run(args: argparse.Namespace) -> None:
    """Run the command.

    Parameters
    ----------
    args : Namespace
        The options.

    Raises
    ------
    SegsDetailerError, OSError
        Something cannot be done; nothing was written.
    """
    stages = ShownStages(quiet=args.quiet)

    def warn(plan: ClipPlan) -> None:
        for warning in plan.warnings:
            stages.say(f"warning: {in_options(warning, vars(args))}")

    report = detail_clip(job_of(args), progress=stages, on_plan=warn)
    for line in describe_report(report):
        stages.say(in_options(line, vars(args)))
