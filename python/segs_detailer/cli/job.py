"""Everything that the options of a run say about one clip, checked before any of its frames is read."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segs_detailer.cli.models import Loader, describe_recommended, load_pipes, models_identity, sampling_settings
from segs_detailer.cli.selecting import TrackChooser
from segs_detailer.cli.threads import limit_threads
from segs_detailer.detailer.prompts import check_prompts, load_prompts
from segs_detailer.errors import InvalidArgumentError, MediaError, SegsDetailerError
from segs_detailer.jobs.cache import Cache, default_folder, digest_of_files
from segs_detailer.jobs.memory import StreamSizes, encoder_threads
from segs_detailer.jobs.plan import PlanSettings
from segs_detailer.jobs.planning import check_memory
from segs_detailer.jobs.run import ClipRun, Redo, RunSettings
from segs_detailer.jobs.traits import ModelTraits
from segs_detailer.subjects.mask_filter import MaskFilter
from segs_detailer.video import EncoderSettings, open_clip
from segs_detailer.video.sequences import VIDEO_SUFFIXES

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from segs_detailer.cli.stages import Stages
    from segs_detailer.jobs.plan import ChosenTrack
    from segs_detailer.video import ClipInfo

__all__ = ["ClipJob", "clip_digest", "encoder_settings", "open_cache", "plan_settings"]


class ClipJob:
    """One clip and what is to be done with it.

    Parameters
    ----------
    args : Namespace
        The options of `run`.
    load : callable
        Loads the models, when the run begins.

    Raises
    ------
    SegsDetailerError, OSError
        Something cannot be done.
    """

    def __init__(self, args: argparse.Namespace, load: Loader = load_pipes) -> None:
        limit_threads(args.threads)
        self._args = args
        self.source = open_clip(args.clip, rate=args.fps, fill_gaps=args.fill_gaps)
        self._chooser = TrackChooser(args, self.source.info)
        self._redo = _redo(args)
        self._plan = plan_settings(args)
        self._prompts = load_prompts(args.prompts) if args.prompts else {}
        self.nothing_found = ""
        self._load = load
        self.pipe: Any = None
        self._streams = _streams(args, self.source.info)

    @property
    def info(self) -> ClipInfo:
        """The clip."""
        return self.source.info

    @property
    def recommended(self) -> str | None:
        """What the run takes of the recommendations of its model, once that is loaded; None where it is nothing."""
        return describe_recommended(sampling_settings(self._args), self.pipe.sampler.info)

    def begin(self, cache: Cache, stages: Stages) -> ClipRun:
        """Load the models, find the tracks and plan the run.

        Parameters
        ----------
        cache : Cache
            Where results are kept.
        stages : Stages
            Is told how far this is.

        Returns
        -------
        ClipRun
            Without tracks where there is nothing to detail and `--when-empty` lets that pass; see `nothing_found`.

        Raises
        ------
        SegsDetailerError, OSError
            Something cannot be done.
        """
        detailing = replace(self._load(self._args, stages), prompts=self._prompts)
        self.pipe = detailing.pipe
        traits = ModelTraits.of(self.pipe, detailing.refiner_pipe)
        check_memory(self._args.max_ram, self.info, traits, self._streams)
        clip = clip_digest(self.info) if cache.keeps else ""
        chosen = self._chooser.choose(self.source, clip, cache, stages)
        settings = RunSettings(
            detailing=detailing,
            plan=self._plan,
            models=models_identity(self._args),
            source=clip,
            redo=self._redo,
            streams=self._streams,
        )
        run = ClipRun(self.source, chosen, settings, cache)
        if not run.plan.tracks:
            self._take_empty(chosen)
            return run
        check_prompts(self._prompts, [plan.seg for plan in run.plan.tracks])
        wrong = [number for number in self._redo.tracks if number > len(run.plan.tracks)]
        if wrong:
            raise InvalidArgumentError("redo", f"a track from 1 to {len(run.plan.tracks)}", f"{wrong[0]}")
        ranges = ((span, Redo(frames=(span,))) for span in self._redo.frames)
        idle = [span for span, redo in ranges if not any(redo.names(piece) for piece in run.plan.pieces)]
        if idle:
            first, end = idle[0]
            raise InvalidArgumentError("redo", "frames in which something is repainted", f"{first}-{end - 1}")
        return run

    def _take_empty(self, chosen: Sequence[ChosenTrack]) -> None:
        self.nothing_found = self._chooser.nothing_found(chosen)
        if self._redo.is_given:
            raise InvalidArgumentError("redo", "a clip in which something is repainted", self.nothing_found)
        if self._args.when_empty == "fail":
            raise SegsDetailerError(self.nothing_found)


def plan_settings(args: argparse.Namespace) -> PlanSettings:
    """Return what the plan of a clip depends on."""
    settings = sampling_settings(args)
    return PlanSettings(
        guide_size=settings.guide_size,
        guide_size_for=settings.guide_size_for,
        max_size=settings.max_size,
        limit_size=settings.limit_size,
        batch_segments=settings.batch_segments,
        max_ram=getattr(args, "max_ram", 1 << 62),
        masks=MaskFilter(median=args.mask_median, dilate=args.mask_dilate),
    )


def open_cache(args: argparse.Namespace) -> Cache:
    """Open the folder of results that the options name."""
    if args.no_cache:
        if args.cache or args.redo:
            option = "--cache" if args.cache else "--redo"
            raise InvalidArgumentError(option, "a cache: leave out --no-cache", "--no-cache")
        return Cache(None)
    if args.cache:
        return Cache(Path(args.cache))
    try:
        return Cache(default_folder())
    except (MediaError, RuntimeError) as error:  # RuntimeError: there is no home
        if args.redo:
            raise
        warnings.warn(f"nothing is kept: {error}", stacklevel=2)
        return Cache(None)


def clip_digest(info: ClipInfo) -> str:
    """Return a digest of all that a clip holds."""
    if info.kind != "images":
        return digest_of_files([info.path])
    return digest_of_files(info.files)


def _redo(args: argparse.Namespace) -> Redo:
    given = args.redo or ()
    tracks = tuple(first for first, last in given if last is None)
    return Redo(tracks, tuple((first, last + 1) for first, last in given if last is not None))


def encoder_settings(args: argparse.Namespace, info: ClipInfo) -> EncoderSettings:
    """Return how the output is encoded; each thread of an encoder holds frames, so that there are not too many."""
    threads = args.threads or min(os.cpu_count() or 1, encoder_threads(info.size[0] * info.size[1]))
    return EncoderSettings(codec=args.codec, crf=args.crf, pix_fmt=args.pix_fmt, threads=threads)


def _streams(args: argparse.Namespace, info: ClipInfo) -> StreamSizes:
    """Count what flows through the outputs."""
    compares = bool(args.compare) and Path(args.compare).suffix.lower() in VIDEO_SUFFIXES
    return StreamSizes(
        pixels=info.size[0] * info.size[1],
        sample_bytes=2 if info.bits > 8 else 1,
        outputs=3 if compares else 1,
        threads=args.threads,
    )
