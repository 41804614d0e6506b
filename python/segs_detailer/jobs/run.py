"""A run from file to file: cropping, sampling and writing overlap, and what is done already is not done again."""

from __future__ import annotations

import ctypes
import shutil
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from segs_detailer.detailer.models import PipeModel
from segs_detailer.errors import InvalidArgumentError, MediaError
from segs_detailer.jobs.compositing import Compositor
from segs_detailer.jobs.cropping import crop_clip
from segs_detailer.jobs.disk import plan_disk
from segs_detailer.jobs.job import Redo
from segs_detailer.jobs.keys import content_key, settings_key, track_digest
from segs_detailer.jobs.planning import plan_tracks
from segs_detailer.jobs.progress import Passes, Stopped, Work
from segs_detailer.jobs.store import PixelFile, sample_dtype
from segs_detailer.jobs.traits import ModelTraits
from segs_detailer.jobs.writing import SinkTaker, write_clip_frames
from segs_detailer.models.pipe import BasicPipe
from segs_detailer.subjects.mask_filter import MaskFilter
from segs_detailer.video.reading import pictures_but

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from segs_detailer.detailer.progress import Progress
    from segs_detailer.jobs.cache import Cache
    from segs_detailer.jobs.memory import StreamSizes
    from segs_detailer.jobs.pieces import Piece
    from segs_detailer.jobs.plan import ChosenTrack, ClipPlan, DiskPlan
    from segs_detailer.jobs.progress import ClipProgress
    from segs_detailer.jobs.sampling import Detailing
    from segs_detailer.jobs.writing import FrameTaker
    from segs_detailer.video.clip import Picture, Source

__all__ = ["ClipRun", "RunSettings"]

_RESULTS = "crops"
_SUFFIX = ".pixels"
_SPARE_DISK = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """How a run is done.

    Parameters
    ----------
    detailing : Detailing
        Models, settings of the detailer, and what single subjects have otherwise.
    max_ram : int
        Bytes of memory that the whole process may take.
    masks : MaskFilter
        What is done to the masks.
    models : object
        What tells the models from others, for the cache: whatever JSON can hold.
    source : str
        A digest of the clip, for the cache.
    redo : Redo
        What is sampled anew.
    streams : StreamSizes or None
        What flows through decoders and encoders; None is one output like the clip.
    """

    detailing: Detailing
    max_ram: int = 4 * 10**9
    masks: MaskFilter = field(default_factory=MaskFilter)
    models: Any = None
    source: str = ""
    redo: Redo = field(default_factory=Redo)
    streams: StreamSizes | None = None


class ClipRun:
    """A run over one clip.

    Parameters
    ----------
    source : Source
        The clip; it is read several times.
    chosen : sequence of ChosenTrack
        What is detailed.
    settings : RunSettings
        How.
    cache : Cache
        Where crops and results are kept. It belongs to the caller, who leaves it when the run is over.

    Raises
    ------
    InvalidArgumentError
        The memory limit cannot be kept; the cache is kept, and the settings do not say which clip and models it is for.
    MediaError
        The disk has no room.
    """

    def __init__(self, source: Source, chosen: Sequence[ChosenTrack], settings: RunSettings, cache: Cache) -> None:
        if cache.keeps and (not settings.source or settings.models is None):
            # Else the results of another clip or model would be taken for this one's.
            raise InvalidArgumentError("settings", "source and models, as the cache is kept", "none of one or both")
        self._source = source
        self._settings = settings
        self._cache = cache
        detailing = settings.detailing
        traits = ModelTraits.of(detailing.pipe, detailing.refiner_pipe)
        if detailing.settings.color_match:
            # Colors are matched over all frames of a piece: pieces must cross-fade.
            traits = traits.looking_at_all()
        self._plan = plan_tracks(
            source.info,
            chosen,
            detailing.settings,
            traits,
            max_ram=settings.max_ram,
            masks=settings.masks,
            streams=settings.streams,
            details_of=detailing.details_of,
        )
        self._detailing = replace(detailing, pipe=_within(detailing.pipe, self._plan, traits, settings.max_ram))
        self._dtype = sample_dtype(source.info.bits)
        self._digests = [track_digest(plan.track) for plan in self._plan.tracks]
        self._results = {piece: self._located(piece) for piece in self._plan.pieces}
        self._anew = {piece for piece in self._plan.pieces if self._is_redone(piece)}

    @property
    def pipe(self) -> Any:
        """The models that repaint."""
        return self._settings.detailing.pipe

    @property
    def plan(self) -> ClipPlan:
        """What is done."""
        return self._plan

    @property
    def missing(self) -> tuple[tuple[Piece, ...], ...]:
        """Groups of pieces whose results are not there yet, in the order in which they are sampled."""
        groups = (tuple(piece for piece in group if not self._is_done(piece)) for group in self._plan.groups)
        return tuple(group for group in groups if group)

    @property
    def disk(self) -> DiskPlan:
        """What the missing pieces take on disk."""
        return self._disk_of(piece for group in self.missing for piece in group)

    def check_disk(self) -> None:
        """Check that there is room for the missing pieces.

        Raises
        ------
        MediaError
            There is none.
        """
        self._check_room(self.disk)

    def run(self, takers: Sequence[FrameTaker], progress: ClipProgress | None = None) -> None:
        """Sample what is missing and write all frames, both at the same time.

        Parameters
        ----------
        takers : sequence of FrameTaker
            Who gets the frames; called in a thread of the run's own.
        progress : callable or None
            See `ClipProgress`.

        Raises
        ------
        SegsDetailerError, OSError
            Something cannot be done. What was sampled stays in the cache.
        """
        self._work(self.missing, list(takers), progress)

    def sample(self, groups: Iterable[Sequence[Piece]] | None = None, progress: ClipProgress | None = None) -> None:
        """Sample pieces to the cache, and write nothing.

        Parameters
        ----------
        groups : iterable of sequence of Piece
            Pieces of the plan that are sampled together; None is all that is missing.
        progress : callable or None
            See `ClipProgress`.
        """
        wanted = self.missing if groups is None else tuple(tuple(group) for group in groups)
        self._work(wanted, None, progress)

    def write(self, takers: Sequence[FrameTaker], progress: ClipProgress | None = None) -> None:
        """Write all frames with the results that are there.

        Raises
        ------
        MediaError
            Some are missing.
        """
        lacking = sum(len(group) for group in self.missing)
        if lacking:
            raise MediaError(
                f"{self._cache.folder}: lacks {lacking} pieces of {self._plan.info.path}: sample them first"
            )
        self._work((), list(takers), progress)

    def _located(self, piece: Piece) -> PixelFile:
        """Find the file of a piece's result, there or not."""
        plan = self._plan.tracks[piece.track]
        content = content_key(piece, plan, self._digests[piece.track], self._settings.source, self._dtype)
        settings = settings_key(piece, plan, self._settings.models)
        exact = self._cache.entry(_RESULTS, content, settings, _SUFFIX)
        file = PixelFile(exact, piece.frames, plan.path.size, self._dtype, channels=4)
        if self._settings.redo.is_given and not self._is_redone(piece):
            latest = self._cache.latest(_RESULTS, content, _SUFFIX)
            last = None if latest is None else replace(file, path=latest)
            return last if last is not None and last.is_complete else file
        return file

    def _is_redone(self, piece: Piece) -> bool:
        return self._settings.redo.names(self._plan.tracks[piece.track].number, piece.start, piece.stop)

    def _is_done(self, piece: Piece) -> bool:
        return piece not in self._anew and self._results[piece].is_complete

    def _work(
        self, groups: Sequence[Sequence[Piece]], takers: list[FrameTaker] | None, progress: ClipProgress | None
    ) -> None:
        """Crop and write in threads of their own, sample in this one, and end all of them together."""
        sampled = {piece for group in groups for piece in group}
        for piece, file in self._results.items():
            if piece not in sampled and file.is_complete:
                # Others that share the folder must see that it is in use; and it is what the last run has shown.
                self._cache.touch(file.path)
        passes = progress if isinstance(progress, Passes) else Passes(progress)
        work = Work((piece for piece in self._plan.pieces if piece not in sampled), passes)
        files = {piece: self._crops_of(piece) for piece in sampled}
        self._check_room(self._disk_of(files))

        reads_once = bool(files) and takers is not None and self._plan.reads_once
        pictures = partial(self._pictures, takers or [], files)

        def crop() -> None:
            hand_on = partial(work.hand_on, most=self._plan.held_frames) if reads_once else None
            read = pictures if reads_once else None
            crop_clip(self._source, self._plan, files, work, partial(passes, "decode"), hand_on, read)
            work.no_more()

        def write(to: list[FrameTaker]) -> None:
            detail = self._settings.detailing.settings
            compositor = Compositor(self._plan, self._results.__getitem__, feather=detail.feather, grow=detail.grow)
            read = work.handed_on() if reads_once else pictures()
            write_clip_frames(read, self._plan.info, compositor, to, work, partial(passes, "encode"))

        def at_work(name: str, work_of: Callable[[], None]) -> None:
            with passes.working(name):
                work_of()

        threads = [_thread("crop", partial(at_work, "decode", crop), work)] if files else []
        if takers is not None:
            threads.append(_thread("write", partial(at_work, "encode", partial(write, takers)), work))
        try:
            for thread in threads:
                thread.start()
            if groups:
                at_work("detail", lambda: self._sample_all(groups, files, work, passes))
            for thread in threads:
                _join(thread, work)
        except BaseException as error:  # whatever it is, the other threads must end before it goes on
            work.fail(error)
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
            if isinstance(error, Stopped) and work.error is not None:
                raise work.error from None
            raise
        if work.error is not None:
            raise work.error

    def _pictures(self, takers: Sequence[FrameTaker], files: Iterable[Piece]) -> Iterator[Picture]:
        """Read the clip: all of it, but for frames that are in no crop, and that go over as they are."""
        sinks = [taker for taker in takers if isinstance(taker, SinkTaker)]
        # Other takers look at all frames.
        takes_all = len(sinks) < len(takers)
        needed = [takes_all or any(sink.needs(frame) for sink in sinks) for frame in range(self._plan.info.frames)]
        if all(needed):
            return self._source.pictures()
        for piece in files:
            needed[piece.low : piece.high] = [True] * len(needed[piece.low : piece.high])
        return pictures_but(self._source, needed)

    def _crops_of(self, piece: Piece) -> PixelFile:
        path = self._cache.crops / f"{piece.track}-{piece.low}-{piece.high}{_SUFFIX}"
        path.unlink(missing_ok=True)
        return PixelFile(path, piece.frames, self._plan.tracks[piece.track].path.size, self._dtype)

    def _disk_of(self, pieces: Iterable[Piece]) -> DiskPlan:
        return plan_disk(pieces, self._plan.tracks, self._dtype.itemsize)

    def _check_room(self, disk: DiskPlan) -> None:
        free = shutil.disk_usage(self._cache.folder).free
        if disk.total and free < disk.total + _SPARE_DISK:
            needed = (disk.total + _SPARE_DISK) / 1e9
            raise MediaError(
                f"{self._cache.folder}: {free / 1e9:.1f} GB are free, and crops take {needed:.1f} GB: "
                "choose another folder as `cache`"
            )

    def _sample_all(
        self, groups: Sequence[Sequence[Piece]], files: dict[Piece, PixelFile], work: Work, progress: ClipProgress
    ) -> None:
        count = _StepCounter(sum(len(group) for group in groups), progress)
        # In the order in which their crops are there: the crop pass waits while too many of them lie about.
        for group in sorted(groups, key=lambda group: max(piece.high for piece in group)):
            work.wait_for_crops(max(piece.high for piece in group))
            crops = [files[piece].read(0, piece.frames) for piece in group]

            def told(state: Progress, group: Sequence[Piece] = group) -> None:
                work.check()
                count.told(group[state.segment], state)

            results = self._detailing.sample(group, self._plan.tracks, crops, told)
            freed = 0
            for piece, result in zip(group, results, strict=True):
                self._results[piece].write(result)
                self._anew.discard(piece)
                freed += files[piece].frames * files[piece].frame_bytes
                files[piece].remove()
            del crops, results
            work.sampled(group, freed)
            _give_back_memory()


class _StepCounter:
    """Counts the steps of all pieces together."""

    def __init__(self, pieces: int, progress: ClipProgress) -> None:
        self._pieces = pieces
        self._progress = progress
        self._taken: dict[Piece, int] = {}
        self._sum = 0

    def told(self, piece: Piece, state: Progress) -> None:
        """Note a step. A sampler may take fewer than it was given; other stages report only that they begin."""
        if state.stage == "sample":
            self._sum += state.step - self._taken.get(piece, 0)
            self._taken[piece] = state.step
            self._progress("detail", self._sum, self._pieces * state.steps)


def _thread(name: str, work_of: Callable[[], None], work: Work) -> threading.Thread:
    def run() -> None:
        try:
            work_of()
        except Stopped:
            return
        except BaseException as error:  # raised again in the thread that waits for this one
            work.fail(error)

    return threading.Thread(target=run, name=f"segs-detailer-{name}", daemon=True)


def _join(thread: threading.Thread, work: Work) -> None:
    thread.join()
    work.check()


def _within(pipe: Any, plan: ClipPlan, traits: ModelTraits, max_ram: int) -> Any:
    """Return a pipe whose VAE takes no more frames at once than the limit has room for.

    By itself it looks at all memory of the machine. The pipe that was given stays as it is.
    """
    if not (traits.networks and traits.on_cpu) or not plan.tracks:
        return pipe
    base = PipeModel.of("pipe", pipe)
    frame = max(traits.activations(track.size, 1) for track in plan.tracks)
    room = max_ram - plan.memory.total
    # There is room for one frame in the plan.
    limited = base.sampler.with_vae_chunk(int(1 + max(room, 0) // max(frame, 1)))
    return BasicPipe(limited, base.clip, base.vae, base.positive, base.negative)


def _give_back_memory() -> None:
    """Return freed memory to the system: glibc keeps it per thread, and would hold that of all threads at once."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
