"""What is done with a clip: `plan_clip` and `detail_clip`, from its job."""

from __future__ import annotations

import os
import shutil
import warnings
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segs_detailer.checks import number_ranges
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, MediaError, SegsDetailerError
from segs_detailer.jobs.job import ClipJob
from segs_detailer.jobs.progress import Stages
from segs_detailer.video.encoders import EncoderSettings
from segs_detailer.video.partial import PartialFile
from segs_detailer.video.reading import open_clip
from segs_detailer.video.sequences import VIDEO_SUFFIXES, is_pattern, names_several

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from os import PathLike

    from segs_detailer.jobs.cache import Cache
    from segs_detailer.jobs.finding import TrackChooser
    from segs_detailer.jobs.loading import LoadedModels, ModelCache
    from segs_detailer.jobs.plan import ClipPlan, TrackPlan
    from segs_detailer.jobs.progress import ClipProgress
    from segs_detailer.jobs.report import ClipReport
    from segs_detailer.jobs.run import ClipRun
    from segs_detailer.jobs.used_settings import UsedSetting
    from segs_detailer.jobs.writing import FrameTaker
    from segs_detailer.video.clip import ClipInfo, Sink, Source

__all__ = [
    "INTERLACED",
    "OpenJob",
    "begun_run",
    "count_windows",
    "detail_clip",
    "encoder_settings",
    "job_from",
    "open_job_clip",
    "plan_clip",
    "stages_from",
]

INTERLACED = (
    "the clip is interlaced: subjects are sampled across its fields, which show two moments: deinterlace it first "
    "where they move fast"
)
"""What a user should know of a clip whose frames hold two moments each."""


def detail_clip(
    job: ClipJob | str | PathLike[str],
    output: str | PathLike[str] | None = None,
    pipe: Any = None,
    *,
    progress: ClipProgress | Stages | None = None,
    on_plan: Callable[[ClipPlan], None] | None = None,
    models: ModelCache | None = None,
    **values: Any,
) -> ClipReport:
    """Detail the subjects of a clip and write the result.

    Everything that can fail for a wrong argument is tried before the clip is read, and outputs are opened before models
    are loaded. They appear under their names when they are complete. Frames stream through: memory stays within
    `max_ram` for a clip of any length.

    Parameters
    ----------
    job : ClipJob, str or path
        What is to be done; or the clip alone.
    output : str, path or None
        Where the result goes; None as the job says.
    pipe : BasicPipe, tuple, Sampler or None
        Models that are loaded already, in place of those that the job names. They keep their own prompts where the job
        has none. No cache could tell them from others: with them nothing is kept, and a run that was stopped begins
        anew.
    progress : callable or None
        Called with a stage, and how much of it is done, and is to be done. What it raises ends the run.
    on_plan : callable or None
        Called with the plan before anything is sampled. What it raises ends the run.
    models : ModelCache or None
        Keeps the models for the next job that has the same.
    **values : object
        Parts of the job and fields of its parts, by their names: `find="face"`, `denoise=0.4`, `max_ram=8 * 10**9`.

    Returns
    -------
    ClipReport

    Raises
    ------
    SegsDetailerError, OSError
        Something cannot be done; nothing was written.

    Examples
    --------
    >>> from segs_detailer import BasicPipe, detail_clip
    >>> report = detail_clip("in.mp4", "out.mp4", BasicPipe.preview(), find="face", denoise=0.4)  # doctest: +SKIP
    >>> [(track.number, track.label, track.first, track.last) for track in report.tracks]  # doctest: +SKIP
    [(1, 'face', 0, 47)]
    """
    job = job_from(job, output, values)
    if job.output is None:
        raise InvalidArgumentError("output", "a place to write to", "None")
    stages = stages_from(progress)
    _check_apart(job)
    opened = OpenJob(job)
    with opened.threads():
        return _detail(opened, job.output, pipe, stages, on_plan, models)


def plan_clip(
    job: ClipJob | str | PathLike[str],
    pipe: Any = None,
    *,
    progress: ClipProgress | Stages | None = None,
    models: ModelCache | None = None,
    **values: Any,
) -> ClipPlan:
    """Find the subjects of a clip and say what detailing it would do, without sampling.

    Parameters
    ----------
    job : ClipJob, str or path
        What would be done; or the clip alone.
    pipe, progress, models, **values
        As of `detail_clip`.

    Returns
    -------
    ClipPlan
        Tracks, crops, pieces, memory and disk, and what to think of before.

    Raises
    ------
    SegsDetailerError, OSError
        Something cannot be done, in which case `detail_clip` could not do it either.

    Examples
    --------
    >>> from segs_detailer import plan_clip
    >>> plan = plan_clip("in.mp4", find="face", guide_size=384)  # doctest: +SKIP
    >>> [(track.number, track.span, track.size) for track in plan.tracks]  # doctest: +SKIP
    [(1, (0, 48), (384, 384))]
    """
    job = job_from(job, None, values)
    opened = OpenJob(job)
    with opened.threads(), begun_run(opened, pipe, stages_from(progress), models) as run:
        done = len(run.plan.pieces) - sum(len(group) for group in run.missing)
        warned = [*run.plan.warnings]
        if opened.info.interlaced:
            warned.append(INTERLACED)
        warned += _losses(job, opened.info) + _lacking_room(run)
        copied = 0
        if job.encode.copy_untouched:
            copied, reason = _copied_share(job, opened.info, run.plan)
            warned += [] if reason is None else [f"nothing would be copied as it is: {reason}"]
        tracks = tuple(replace(track, windows=count_windows(track, run.pipe)) for track in run.plan.tracks)
        return replace(
            run.plan,
            tracks=tracks,
            warnings=tuple(warned),
            disk=run.disk,
            done=done,
            nothing_found=opened.nothing_found,
            used=opened.used,
            start=opened.start,
            found=tuple(item.track for item in opened.selection.found),
            steps=opened.selection.steps,
            copied_frames=copied,
        )


class OpenJob:
    """A job whose files were opened, and nothing of them decoded.

    Parameters
    ----------
    job : ClipJob
        The job.

    Raises
    ------
    SegsDetailerError, OSError
        Something cannot be done.
    """

    def __init__(self, job: ClipJob) -> None:
        self.job = job
        # First of all: whatever else there is to import is not needed for a clip that is missing.
        self.source = open_job_clip(job)
        from segs_detailer.jobs.finding import TrackChooser
        from segs_detailer.jobs.selecting import Selection

        self._chooser: TrackChooser = TrackChooser(job, self.source.info)
        self.selection = Selection((), ())
        self.nothing_found = ""
        self.used: tuple[UsedSetting, ...] = ()
        self.start = ""

    @property
    def info(self) -> ClipInfo:
        """The clip."""
        return self.source.info

    @contextmanager
    def threads(self) -> Iterator[None]:
        """Use the number of processor threads that the job says."""
        from segs_detailer.jobs.threads import limited_threads

        with limited_threads(self.job.limits.threads):
            yield

    def begin(self, cache: Cache, models: LoadedModels, identity: Any, stages: Stages) -> ClipRun:
        """Find the tracks and plan the run.

        Parameters
        ----------
        cache : Cache
            Where results are kept.
        models : LoadedModels
            The models.
        identity : object
            What tells them from others, for a cache that is kept.
        stages : Stages
            Is told how far this is.

        Returns
        -------
        ClipRun
            Without tracks where there is nothing to detail and the job lets that pass; see `nothing_found`.
        """
        from segs_detailer.detailer.models import Models
        from segs_detailer.detailer.settings import check_names
        from segs_detailer.detailer.subject_settings import SubjectName, check_subjects
        from segs_detailer.jobs.best_frames import BestFrames
        from segs_detailer.jobs.identifying import identified
        from segs_detailer.jobs.memory import StreamSizes
        from segs_detailer.jobs.planning import check_memory
        from segs_detailer.jobs.run import ClipRun, RunSettings
        from segs_detailer.jobs.sampling import Detailing
        from segs_detailer.jobs.selecting import select_tracks
        from segs_detailer.jobs.sound import ClipSound
        from segs_detailer.jobs.traits import ModelTraits
        from segs_detailer.jobs.used_settings import start_of, used_settings

        job, info = self.job, self.info
        sampler = Models.of(models.base, models.refiner, names=("pipe", "refiner_pipe")).base.sampler
        # What the job leaves open is what suits the model.
        detail = job.detail.with_recommended(sampler.info.recommended.settings())
        check_names(detail, sampler)
        if sampler.info.memory.networks or sampler.info.recommended.settings():
            self.used = used_settings(job.detail, sampler)
            self.start = start_of(detail, sampler)
        streams = StreamSizes(
            pixels=info.size[0] * info.size[1],
            sample_bytes=2 if info.bits > 8 else 1,
            outputs=3 if job.compare and Path(job.compare).suffix.lower() in VIDEO_SUFFIXES else 1,
            threads=job.limits.threads,
        )
        traits = ModelTraits.of(models.base, models.refiner)
        check_memory(job.limits.max_ram, info, traits, streams)
        clip = _digest(info) if cache.keeps else ""
        found = self._chooser.choose(self.source, clip, cache, stages)
        found, likeness = identified(found, job, self.source, clip, cache, stages)
        self.selection = select_tracks(found, job, info, likeness)
        settings = RunSettings(
            detailing=Detailing(
                models.base,
                job.detail,
                models.refiner,
                job.subjects,
                float(info.rate),
                ClipSound.of(info, sampler.info) if job.prompts.follow_sound else None,
                BestFrames.of(job, self.source, sampler.info),
            ),
            max_ram=job.limits.max_ram,
            masks=job.crop.masks,
            models=identity,
            source=clip,
            redo=job.redo,
            streams=streams,
        )
        run = ClipRun(self.source, self.selection.kept, settings, cache)
        if not run.plan.tracks:
            self._take_empty()
            return run
        # Those that are not meant this time have settings in the same job.
        others = [SubjectName(each.id, each.label, each.identity) for each in self.selection.left_out]
        check_subjects(job.subjects, [*(plan.name for plan in run.plan.tracks), *others])
        self._check_redo(run.plan.tracks)
        return run

    def _take_empty(self) -> None:
        self.nothing_found = self.selection.nothing_left or self._chooser.nothing_found(self.selection.kept)
        if self.job.redo.is_given:
            raise InvalidArgumentError("redo", "a clip in which something is repainted", self.nothing_found)
        if self.job.when_empty == "fail":
            raise SegsDetailerError(self.nothing_found)

    def _check_redo(self, tracks: Sequence[TrackPlan]) -> None:
        """Refuse tracks and frames of which nothing is there."""
        redo = self.job.redo
        numbers = [track.number for track in tracks]
        wrong = [number for number in redo.tracks if number not in numbers]
        if wrong:
            raise InvalidArgumentError("redo", f"the number of a track, {number_ranges(numbers)}", f"{wrong[0]}")
        pieces = [piece for track in tracks for piece in track.pieces]
        for first, last in redo.frames:
            if not any(piece.start <= last and first < piece.stop for piece in pieces):
                raise InvalidArgumentError("redo", "frames in which something is repainted", f"{first}-{last}")


def open_job_clip(job: ClipJob) -> Source:
    """Open a job's clip and learn what it holds, without decoding it."""
    return open_clip(job.clip, rate=job.fps, fill_gaps=job.fill_gaps, hwaccel=job.hwaccel)


@contextmanager
def begun_run(
    opened: OpenJob, pipe: Any = None, stages: Stages | None = None, models: ModelCache | None = None
) -> Iterator[ClipRun]:
    """Open the cache of a job, load its models, and begin its run.

    Parameters
    ----------
    opened : OpenJob
        The job.
    pipe, models
        As of `detail_clip`.
    stages : Stages or None
        Is told how far this is.
    """
    stages = stages or Stages()
    with _open_cache(opened.job, pipe) as cache:
        loaded, identity = _models_of(opened.job, pipe, stages, models)
        yield opened.begin(cache, loaded, identity, stages)


def encoder_settings(job: ClipJob, info: ClipInfo) -> EncoderSettings:
    """Return how the output is encoded; each thread of an encoder holds frames, so that there are not too many."""
    from segs_detailer.jobs.memory import encoder_threads

    threads = job.limits.threads or min(os.cpu_count() or 1, encoder_threads(info.size[0] * info.size[1]))
    encode = job.encode
    return EncoderSettings(
        codec=encode.codec,
        crf=encode.crf,
        pix_fmt=encode.pix_fmt,
        threads=threads,
        copy_untouched=encode.copy_untouched,
    )


class _LeftAlone(Exception):  # noqa: N818 - no error
    """An output is not made: what was begun of it is removed."""


def _detail(
    opened: OpenJob,
    output: str,
    pipe: Any,
    stages: Stages,
    on_plan: Callable[[ClipPlan], None] | None,
    models: ModelCache | None,
) -> ClipReport:
    from segs_detailer.jobs.writing import SinkTaker

    job = opened.job
    encoder = encoder_settings(job, opened.info)
    # What is done anew replaces what the last run wrote.
    overwrite = job.overwrite or job.redo.is_given
    comparison, copied = None, 0
    if job.compare:
        from segs_detailer.jobs.compare import Comparison

        comparison = Comparison(job.compare, opened.info, threads=encoder.threads, overwrite=overwrite)
    with suppress(_LeftAlone), ExitStack() as outputs:
        own = outputs.enter_context(ExitStack())
        sink, left_out = _open_output(job, output, opened.info, encoder, overwrite=overwrite)
        takers: list[FrameTaker] = [SinkTaker(own.enter_context(_finished(sink, stages)))]
        if comparison is not None:
            takers.append(outputs.enter_context(comparison))
        run = outputs.enter_context(begun_run(opened, pipe, stages, models))
        missing = sum(len(group) for group in run.missing)
        if not run.plan.tracks and job.when_empty == "skip":
            raise _LeftAlone
        if not run.plan.tracks and _keeps_file(job, output):
            # Not one bit is lost where the file itself is copied.
            with suppress(_LeftAlone), own:
                raise _LeftAlone
            del takers[0]
            left_out = ()
            shutil.copyfile(job.clip, own.enter_context(PartialFile(Path(output))))
        if opened.info.interlaced and run.plan.tracks:
            warnings.warn(f"{job.clip}: {INTERLACED}", stacklevel=3)
        if on_plan is not None:
            on_plan(run.plan)
        if comparison is not None:
            comparison.prepare(run.plan)
        if takers and job.encode.copy_untouched:
            copied = _copy_untouched(sink, output, run.plan)
        if takers:
            with stages.passes() as progress:
                run.run(takers, progress)
    return replace(_report(opened, run, missing, left_out, stages), copied_frames=copied)


@contextmanager
def _finished(sink: Sink, stages: Stages) -> Iterator[Sink]:
    """Use a sink; what its encoder still holds when all frames are there is encoded in the end."""
    with ExitStack() as stack:
        yield stack.enter_context(sink)
        with stages.ending("encode"):
            stack.close()


def _open_output(
    job: ClipJob, output: str, info: ClipInfo, encoder: EncoderSettings, *, overwrite: bool
) -> tuple[Sink, tuple[str, ...]]:
    """Open the output, and tell what of the clip it cannot hold."""
    from segs_detailer.video.losses import warn_of_losses
    from segs_detailer.video.writing import losses_as_pictures, open_output

    keep_audio = not job.encode.no_audio
    sink = open_output(output, info, settings=encoder, keep_audio=keep_audio, overwrite=overwrite)
    lost = losses_as_pictures(output, info, keep_audio=keep_audio)
    warn_of_losses(output, lost)
    return sink, (*lost, *sink.left_out)


def _copy_untouched(sink: Sink, output: str, plan: ClipPlan) -> int:
    """Let stretches go over as they are, or warn that none does; return how many frames do."""
    from segs_detailer.video.container_writer import ContainerSink

    if isinstance(sink, ContainerSink):
        reason = sink.copy_untouched(plan.is_touched)
        if reason is None:
            return sink.copied_frames
    else:
        reason = "pictures and animations have no groups of pictures"
    warnings.warn(f"{output}: nothing is copied as it is: {reason}", stacklevel=5)
    return 0


def _report(opened: OpenJob, run: ClipRun, missing: int, left_out: tuple[str, ...], stages: Stages) -> ClipReport:
    from segs_detailer.jobs.report import ClipReport, TrackReport

    job, plan = opened.job, run.plan
    skipped = not plan.tracks and job.when_empty == "skip"
    warned = [*plan.warnings, *([INTERLACED] if opened.info.interlaced and plan.tracks else [])]
    return ClipReport(
        clip=opened.info,
        status="done" if plan.tracks else "skipped" if skipped else "copied",
        output=None if skipped else job.output,
        compare=None if skipped else job.compare,
        tracks=tuple(TrackReport.of(track) for track in plan.tracks),
        sampled=missing,
        reused=len(plan.pieces) - missing,
        seconds=dict(stages.seconds),
        total_seconds=stages.total,
        warnings=tuple(warned),
        left_out=() if skipped else left_out,
        nothing_found=opened.nothing_found,
        used=opened.used if plan.tracks else (),
        start=opened.start if plan.tracks else "",
        note=_preview_note(run.pipe) if plan.tracks else "",
    )


def _preview_note(pipe: Any) -> str:
    """Return what a model says of its results where they are a preview; nothing for others."""
    from segs_detailer.detailer.models import PipeModel

    return PipeModel.of("pipe", pipe).sampler.info.note or ""


def count_windows(track: TrackPlan, pipe: Any) -> int | None:
    """Count the context windows of a motion model over all pieces of a track; None for models without."""
    from segs_detailer.detailer.models import PipeModel

    windows = PipeModel.of("pipe", pipe).sampler.geometry.windows
    if windows is None or windows.length is None:
        return None
    return sum(len(windows.windows(piece.frames, 0)) for piece in track.pieces)


def job_from(job: object, output: object, values: dict[str, Any]) -> ClipJob:
    """Make the job that the arguments of `detail_clip` describe.

    Parameters
    ----------
    job, output : object
        As of `detail_clip`.
    values : dict
        Its other arguments.
    """
    if isinstance(job, ClipJob):
        return job.changed(**({} if output is None else {"output": output}), **values)
    if not isinstance(job, (str, os.PathLike)):
        raise InvalidTypeError("job", "a ClipJob, or the name of a clip", type(job).__name__)
    return ClipJob.of(job, output, **values)  # type: ignore[arg-type]


def stages_from(progress: ClipProgress | Stages | None) -> Stages:
    """Return what times the stages of a job and tells a caller of them."""
    return progress if isinstance(progress, Stages) else Stages(progress)


def _models_of(job: ClipJob, pipe: Any, stages: Stages, models: ModelCache | None) -> tuple[LoadedModels, Any]:
    """Return the models of a job, or those that were given, and what tells them from others."""
    from segs_detailer.jobs.keys import file_state
    from segs_detailer.jobs.loading import LoadedModels, ModelCache, models_identity
    from segs_detailer.jobs.parts import PromptSettings

    if pipe is None:
        _check_model_for(job)
        loaded = (models or ModelCache()).get(job.model, job.prompts, stages)
        pictures = [file_state(name) for name in job.prompts.reference]
        prompts = job.prompts
        return loaded, (models_identity(job.model), prompts.texts, pictures, prompts.follow_sound, prompts.no_reference)
    if job.model.model is not None:
        raise InvalidArgumentError("pipe", "none, as the job names a model", type(pipe).__name__)
    return LoadedModels(PromptSettings(), pipe).under(job.prompts), None


def _check_model_for(job: ClipJob) -> None:
    """Refuse prompts, LoRAs and pictures of single subjects where no model is named."""
    if job.model.model is not None:
        return
    for key, own in job.subjects.items():
        for name in own.of_model:
            raise InvalidArgumentError("subjects", f"a model for the {name} of {key!r}: name one with `model`", "none")


def _open_cache(job: ClipJob, pipe: Any) -> Cache:
    """Open the folder of results that a job names."""
    from segs_detailer.jobs.cache import Cache, default_folder

    limits = job.limits
    if pipe is not None and (limits.cache or job.redo.is_given):
        name = "cache" if limits.cache else "redo"
        raise InvalidArgumentError(name, "none with a pipe of one's own, of which nothing is kept", name)
    if limits.no_cache or pipe is not None:
        return Cache(None)
    if limits.cache:
        return Cache(Path(limits.cache))
    try:
        return Cache(default_folder())
    except (MediaError, RuntimeError) as error:  # RuntimeError: there is no home
        if job.redo.is_given:
            raise
        warnings.warn(f"nothing is kept: {error}", stacklevel=2)
        return Cache(None)


def _digest(info: ClipInfo) -> str:
    """Return a digest of all that a clip holds."""
    from segs_detailer.jobs.cache import digest_of_files

    return digest_of_files([info.path] if info.kind != "images" else info.files)


def _losses(job: ClipJob, info: ClipInfo) -> list[str]:
    """Say what of the clip an output of its own format would not hold."""
    from segs_detailer.video.losses import probable_losses

    encode = job.encode
    settings = EncoderSettings(codec=encode.codec, crf=encode.crf, pix_fmt=encode.pix_fmt)
    try:
        target, lost = probable_losses(info, settings=settings, keep_audio=not encode.no_audio)
    except MediaError as error:
        return [str(error)]
    return [f"an output like {target.name} cannot hold {', '.join(lost)}"] if lost else []


def _copied_share(job: ClipJob, info: ClipInfo, plan: ClipPlan) -> tuple[int, str | None]:
    """Count the frames that an output like the clip would take over as they are, and say why none."""
    from segs_detailer.video.container_writer import untouched_share

    if info.kind != "video":
        return 0, "the clip is no video"
    settings = encoder_settings(job, info)
    try:
        return untouched_share(info.path, info, settings, plan.is_touched, keep_audio=not job.encode.no_audio)
    except MediaError as error:
        return 0, str(error)


def _lacking_room(run: ClipRun) -> list[str]:
    try:
        run.check_disk()
    except MediaError as error:
        return [str(error)]
    return []


def _keeps_file(job: ClipJob, output: str) -> bool:
    """Whether a copy of the clip's file is the output that was asked for."""
    clip, place = Path(job.clip), Path(output)
    is_file = clip.is_file() and not (place.is_dir() or is_pattern(place))
    return is_file and clip.suffix.lower() == place.suffix.lower() and job.encode.is_default


def _check_apart(job: ClipJob) -> None:
    """Refuse to write over masks that are read, and two outputs of one name."""
    if job.output and job.compare and Path(job.compare).resolve() == Path(job.output).resolve():
        raise InvalidArgumentError("compare", "another file than the output", job.compare)
    written = {"output": job.output, "compare": job.compare}
    read = {"mask": job.find.mask, "segs": job.find.segs}
    for (name, output), (given, masks) in product(written.items(), read.items()):
        if output and masks and _meet(Path(output), Path(masks)):
            raise InvalidArgumentError(name, f"another place than the masks of `{given}`", output)


def _meet(output: Path, read: Path) -> bool:
    """Whether one would be written over the other: equal names, or a folder and what lies in it."""
    if output.resolve() == read.resolve():
        return True
    if is_pattern(output):
        return read.is_dir() and output.parent.resolve() == read.resolve()
    return names_several(read) and output.resolve() == read.parent.resolve()
