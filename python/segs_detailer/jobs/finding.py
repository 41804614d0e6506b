"""The tracks of a clip, wherever its job says that they are."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, MediaError
from segs_detailer.jobs.kept_tracks import TrackKeeper
from segs_detailer.jobs.plan import ChosenTrack
from segs_detailer.jobs.word_search import MaskDrawer, WordSearch
from segs_detailer.segs import scale_match
from segs_detailer.subjects.finders.finder import Detector, FollowSettings, find_tracks
from segs_detailer.subjects.finders.opening import FINDER_NAMES, open_finder
from segs_detailer.subjects.fitting import rescaled_track, still_track
from segs_detailer.subjects.from_masks import MaskSettings
from segs_detailer.subjects.from_segs import tracks_from_segs
from segs_detailer.subjects.masks import boxes_to_segs
from segs_detailer.subjects.path import is_in_frame
from segs_detailer.subjects.segs_of_tracks import tracks_to_segs
from segs_detailer.subjects.settings import CropSettings
from segs_detailer.subjects.track import Track
from segs_detailer.video.reading import open_clip
from segs_detailer.video.sequences import label_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from segs_detailer.jobs.cache import Cache
    from segs_detailer.jobs.job import ClipJob
    from segs_detailer.jobs.progress import Stages
    from segs_detailer.subjects.finders.finder import Finder
    from segs_detailer.subjects.track import Tracks
    from segs_detailer.video.clip import ClipInfo, Source

__all__ = ["TrackChooser"]

# What was found in another way is found anew.
_WAY_OF_FINDING = 2


_SETTINGS = {
    "confidence": "detect_confidence",
    "detector": "detect",
    "labels": "detect_labels",
    "min_size": "min_face",
}
"""Arguments of `open_finder`, and the settings that they come from."""


@contextmanager
def _settings_named() -> Iterator[None]:
    """Let errors about a finder's arguments name the settings of the job."""
    try:
        yield
    except (InvalidArgumentError, InvalidTypeError) as error:
        if error.argument not in _SETTINGS:
            raise
        raise type(error)(_SETTINGS[error.argument], error.expected, error.got) from error


def _numbered(track: Track, number: int) -> Track:
    return track if track.id == number else replace(track, id=number)


def _still(track: Track, frame_count: int) -> Track:
    """Let the box of a track name a place in all frames, without mask and region of its own."""
    place = Track(track.id, track.label, [0], [track.bbox], track.confidence[0])
    return still_track(place, frame_count)


class TrackChooser:
    """Finds the subjects of a job. All that can be checked without the frames is checked when it is made.

    Parameters
    ----------
    job : ClipJob
        The job.
    info : ClipInfo
        The clip.

    Raises
    ------
    SegsDetailerError
        A box lies outside the frame, a mask cannot be read, a setting is out of range.
    """

    def __init__(self, job: ClipJob, info: ClipInfo) -> None:
        find = job.find
        self._find = find
        self._paths = job.crop
        self._info = info
        self._boxes: Sequence[Track] = ()
        if find.bbox:
            segs = boxes_to_segs(info.size, find.bbox, crop_factor=job.crop.crop_factor, label="box")
            self._boxes = tracks_from_segs(segs, frame_count=info.frames).tracks
        self._mask: Source | None = None
        if find.mask is not None:
            from segs_detailer.subjects.formats.mask_tracks import check_count

            self._mask = open_clip(find.mask, fill_gaps=job.fill_gaps)
            check_count(find.mask, self._mask.info.frames, info.frames)
        self._segments: Tracks | None = None
        if find.segs is not None:
            from segs_detailer.subjects.formats.files import read_tracks

            self._segments = read_tracks(find.segs, size=info.size, frame_count=info.frames, fill_gaps=job.fill_gaps)
            self._check_count(self._segments)
        self._following = FollowSettings(
            min_share=find.min_share,
            max_gap=job.crop.longest_gap,
            drop_size=find.drop_size,
            shape=find.face_mask,
            detect_every=find.detect_every,
        )
        self._detector: Finder | None = None
        if find.detector is not None:
            with _settings_named():
                self._detector = open_finder(
                    find.detector,
                    labels=find.detect_labels,
                    confidence=find.detect_confidence,
                    min_size=find.min_face,
                    device=job.model.device,
                    exact_angles=job.crop.upright,
                )
            if find.detect_every is not None and not isinstance(self._detector, Detector):
                expected = "a finder that looks at single frames: others go through the whole clip"
                raise InvalidArgumentError("detect_every", expected, f"{find.detector}")
        self._words = WordSearch(job) if find.words else None
        self._masks = MaskDrawer(job, self._words)
        if self._masks.draws_all:
            # What is there when a shot begins is followed.
            self._boxes = [_still(track, info.frames) for track in self._boxes]

    def choose(self, source: Source, clip: str, cache: Cache, stages: Stages) -> list[ChosenTrack]:
        """Find the tracks: boxes, then masks, then those of files, then what is detected, then what words name.

        Parameters
        ----------
        source : Source
            The clip.
        clip : str
            A digest of it.
        cache : Cache
            Where what is detected is kept.
        stages : Stages
            Is told how far this is.
        """
        chosen: list[ChosenTrack] = []

        def take(tracks: Iterable[Track], crop: Callable[[Track], CropSettings]) -> None:
            # Each place where subjects are looked for has its own numbers, and those of the next count on from there.
            last = max((item.track.id for item in chosen), default=0)
            chosen.extend(ChosenTrack(_numbered(track, track.id + last), crop(track)) for track in tracks)

        keeper = TrackKeeper(source, clip, cache, stages)
        draws = self._masks.draws_all
        of_files = () if self._segments is None else self._of_file(self._segments)
        found = () if self._detector is None else self._detected(self._detector, keeper)
        if draws:
            # All at once: the clip is read once for them, and each of its frames encoded once.
            parts = (self._boxes, of_files, found)
            masked_tracks = iter(self._masks.drawn([track for part in parts for track in part], keeper))
            self._boxes, of_files, found = ([next(masked_tracks) for _ in part] for part in parts)
        take(self._boxes, self._paths.given)
        if self._mask is not None:
            from segs_detailer.subjects.formats.mask_tracks import mask_tracks

            with stages.stage("masks") as advance:
                masked = mask_tracks(self._mask, self._info, self._mask_options(), labels="give `mask_labels`")
                take(masked, self._paths.given)
                advance(self._mask.info.frames, self._mask.info.frames)
        take(of_files, self._paths.given)
        take(found, lambda _: self._paths.detected)
        if self._words is not None:
            take(self._named(self._words, keeper), lambda _: self._paths.detected)
        return chosen

    def _named(self, words: WordSearch, keeper: TrackKeeper) -> Sequence[Track]:
        """Find what words name, with masks unless the job says otherwise."""
        draws = self._masks.draws_words
        tracks = words.tracks(keeper, self._following, filled=not draws)
        return self._masks.drawn(tracks, keeper, lead=words.every - 1) if draws else tracks

    def _mask_options(self) -> MaskSettings:
        find = self._find
        return MaskSettings(
            crop_factor=self._paths.crop_factor,
            combined=find.combined,
            bbox_fill=find.bbox_fill,
            contour_fill=find.contour_fill,
            drop_size=find.drop_size,
            label=label_of(Path(find.mask or "")) or "mask",
            follow=self._paths.crop != "fixed",
            max_gap=self._following.max_gap,
            labels=find.mask_labels,
        )

    def _of_file(self, segments: Tracks) -> Sequence[Track]:
        size, count = self._info.size, self._info.frames
        tracks = []
        for number, track in zip(segments.numbers, segments, strict=True):
            if segments.frame_count == count:
                fitted = [rescaled_track(track, segments.frame_size, size)]
            else:
                # Segments of one frame serve for all.
                as_given = CropSettings.as_given(self._paths.crop_factor)
                found = tracks_to_segs([track], segments.frame_size, 1, as_given)
                fitted = list(tracks_from_segs(scale_match(found, (count, *size, 3)), frame_count=count).tracks)
            tracks += [_numbered(each, number) for each in fitted]
        return tracks

    def _check_count(self, segments: Tracks) -> None:
        if segments.frame_count not in (1, self._info.frames):
            raise MediaError(
                f"{self._find.segs}: holds segments of {segments.frame_count} frames for {self._info.frames} frames: "
                "give them for one frame, or for each"
            )

    def _detected(self, detector: Finder, keeper: TrackKeeper) -> Sequence[Track]:
        """Look for subjects in the clip."""
        following = self._following
        found = keeper.tracks(
            "detect",
            self._detection_key(),
            lambda frames, done: find_tracks(frames, detector, following, progress=done),
        )
        # The shot tells what was detected, also where it is saved: without cuts it is the whole clip.
        whole = (0, max(self._info.frames, *(track.span[1] for track in found), 1))
        return [track if track.shot is not None else replace(track, shot=whole) for track in found]

    def _detection_key(self) -> tuple[Any, ...]:
        find = self._find
        detector: Any = find.detector
        if Path(detector).is_file():
            state = Path(detector).stat()
            detector = (str(detector), state.st_size, state.st_mtime_ns)
        # A name may stand for another finder when there is a network again.
        detector = (detector, type(self._detector).__name__)
        named = (find.detect_labels, find.detect_confidence, find.min_face)
        follow = self._following
        return (
            *(detector, named, follow.min_share, follow.max_gap, follow.drop_size, follow.shape),
            *(follow.detect_every, _WAY_OF_FINDING),
            # Without it, what was found before stays what it is.
            *(["exact angles"] if self._paths.upright else []),
        )

    def nothing_found(self, chosen: Sequence[ChosenTrack]) -> str:
        """Say why no track is detailed, and what to do.

        Parameters
        ----------
        chosen : sequence of ChosenTrack
            What was found; none of it is pasted in any frame.
        """
        size, count = self._info.size, self._info.frames
        if any(is_in_frame(item.track, size, count) for item in chosen):
            least = self._paths.size_gate
            gate = "" if least is None else f": `size_gate={least:g}` leaves alone what is so large"
            return f"nothing is pasted of the subjects that were found{gate}"
        if chosen:
            return "no subject is in the frame"
        return "; ".join(self._reasons())

    def _reasons(self) -> Iterator[str]:
        """Say of each place where subjects were looked for why there is none."""
        if self._mask is not None:
            yield f"{self._find.mask}: nothing in it is white and larger than `drop_size={self._find.drop_size}`"
        if self._segments is not None:
            yield f"{self._find.segs}: holds no track that is in the frame"
        if self._detector is not None and self._find.detector in FINDER_NAMES:
            yield "no face was found: lower `min_share` or `min_face`, or name the place with `bbox` or `mask`"
        elif self._detector is not None:
            yield f"{self._find.detect}: nothing was found: lower `detect_confidence` or `min_share`"
        if self._words is not None:
            yield f"{', '.join(self._find.words)}: nothing was found: lower `find_confidence` or `min_share`"
