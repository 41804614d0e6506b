"""One clip of a batch, with errors that name the options of the command line."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from segs_detailer.cli.arguments import CommandParser, in_options, names_of_options
from segs_detailer.cli.report import describe_ending
from segs_detailer.cli.run_options import add_run_options
from segs_detailer.jobs.batch.clip_work import JobWork

if TYPE_CHECKING:
    from segs_detailer.jobs.batch.tasks import Ending, Part, Tell
    from segs_detailer.jobs.job import ClipJob
    from segs_detailer.jobs.report import ClipReport

__all__ = ["RunWork"]


class RunWork(JobWork):
    """Does the tasks of a batch: see `JobWork`."""

    def split(self, payload: ClipJob, tell: Tell) -> tuple[Part, ...]:
        """Find the subjects, and return the groups of pieces that are missing."""
        with names_of_options(_known()):
            return super().split(payload, tell)

    def sample(self, payload: ClipJob, part: Part, tell: Tell) -> None:
        """Sample groups of pieces to the cache."""
        with names_of_options(_known()):
            super().sample(payload, part, tell)

    def finish(self, payload: ClipJob, slot: int, tell: Tell) -> Ending:
        """Run what is left of a clip."""
        with names_of_options(_known()):
            return super().finish(payload, slot, tell)

    def describe(self, report: ClipReport) -> str:
        """Say what was written."""
        return in_options(describe_ending(report), _known())


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    """Names of all options of a clip."""
    parser = CommandParser(add_help=False)
    add_run_options(parser)
    return frozenset(vars(parser.parse_args([])))
