"""`verify_clip`: a detailed clip against the job that made it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segs_detailer.errors import InvalidArgumentError
from segs_detailer.jobs.cache import Cache
from segs_detailer.jobs.clips import job_from, stages_from
from segs_detailer.jobs.finding import TrackChooser
from segs_detailer.jobs.selecting import select_tracks
from segs_detailer.settings import with_changes
from segs_detailer.verify.cells import CELL
from segs_detailer.verify.clips import verify_clips
from segs_detailer.verify.settings import VerifySettings
from segs_detailer.verify.subjects import chosen_subjects
from segs_detailer.video.reading import open_clip

if TYPE_CHECKING:
    from os import PathLike

    from segs_detailer.jobs.job import ClipJob
    from segs_detailer.jobs.progress import ClipProgress, Stages
    from segs_detailer.verify.report import Report
    from segs_detailer.verify.subjects import Subject
    from segs_detailer.video.clip import Source

__all__ = ["named_subjects", "pasted_margin", "verify_clip"]

_LEAST_MARGIN = 16


def verify_clip(
    job: ClipJob | str | PathLike[str],
    output: str | PathLike[str] | None = None,
    *,
    margin: int | None = None,
    max_flicker: float | None = None,
    max_pop: float | None = None,
    progress: ClipProgress | Stages | None = None,
    **values: Any,
) -> Report:
    """Check a detailed clip against its input: what changed, where, and how steadily.

    Parameters
    ----------
    job : ClipJob, str or path
        The job that made it; or the input alone. Subjects are found as it says; where it names none, whatever changed
        is reported.
    output : str, path or None
        The clip that came out; None as the job says.
    margin : int or None
        Pixels around the masks that may change; None is what the job pastes beside them and an encoder's block, at
        least 16.
    max_flicker, max_pop : float or None
        See `VerifySettings`; None for its defaults.
    progress : callable or None
        Called with a stage, and how much of it is done, and is to be done.
    **values : object
        Parts of the job and fields of its parts, by their names.

    Returns
    -------
    Report

    Raises
    ------
    SegsDetailerError, OSError
        A file cannot be read, a value cannot be used.

    Examples
    --------
    >>> from segs_detailer import verify_clip
    >>> report = verify_clip("in.mp4", "out.mp4", find="face")  # doctest: +SKIP
    >>> report.passed, [finding.text for finding in report.findings]  # doctest: +SKIP
    (True, [])
    """
    job = job_from(job, output, values)
    if job.output is None:
        raise InvalidArgumentError("output", "the clip that came out", "None")
    stages = stages_from(progress)
    limits = {"max_flicker": max_flicker, "max_pop": max_pop}
    settings = with_changes(
        VerifySettings(margin=pasted_margin(job) if margin is None else margin),
        {name: limit for name, limit in limits.items() if limit is not None},
    )
    source, result = (open_clip(path, rate=job.fps, fill_gaps=job.fill_gaps) for path in (job.clip, job.output))
    subjects = named_subjects(job, source, stages)
    with stages.stage("compare") as advance:
        return verify_clips(
            source,
            result,
            tracks=subjects,
            settings=settings,
            expect_audio=not job.encode.no_audio,
            progress=advance,
        )


def pasted_margin(job: ClipJob) -> int:
    """Return how far beyond the masks a job's output may differ from its input."""
    return max(_LEAST_MARGIN, job.detail.feather + max(job.detail.grow, 0) + CELL)


def named_subjects(job: ClipJob, source: Source, stages: Stages) -> list[Subject] | None:
    """Find the subjects of a job as a run finds them; None where it names none."""
    if not job.find.names_subjects:
        return None
    # Imports torch, which no one waits for whose clip is missing.
    from segs_detailer.jobs.identifying import identified

    info = source.info
    with Cache(None) as cache:
        found = TrackChooser(job, info).choose(source, "", cache, stages)
        found, likeness = identified(found, job, source, "", cache, stages)
        kept = select_tracks(found, job, info, likeness).kept
    return chosen_subjects(((item.track, item.crop) for item in kept), info.size, info.frames, job.crop.masks)
