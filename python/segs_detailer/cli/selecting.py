"""From the options to the tracks of a clip."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segs_detailer._version import installed_version
from segs_detailer.errors import MediaError
from segs_detailer.jobs.cache import digest
from segs_detailer.jobs.plan import ChosenTrack
from segs_detailer.segs import scale_match
from segs_detailer.subjects.finders.finder import FollowSettings, find_tracks
from segs_detailer.subjects.finders.opening import open_finder
from segs_detailer.subjects.fitting import rescaled_track
from segs_detailer.subjects.formats.files import read_tracks, write_tracks
from segs_detailer.subjects.formats.mask_tracks import check_count, mask_tracks
from segs_detailer.subjects.from_masks import MaskSettings
from segs_detailer.subjects.from_segs import tracks_from_segs
from segs_detailer.subjects.masks import boxes_to_segs
from segs_detailer.subjects.path import is_in_frame
from segs_detailer.subjects.segs_of_tracks import tracks_to_segs
from segs_detailer.subjects.settings import CropSettings
from segs_detailer.subjects.track import Tracks
from segs_detailer.video import iter_frames, open_clip
from segs_detailer.video.sequences import label_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from segs_detailer.cli.stages import Stages
    from segs_detailer.jobs.cache import Cache
    from segs_detailer.subjects.finders.finder import Finder
    from segs_detailer.subjects.track import Track
    from segs_detailer.video import ClipInfo, Source

__all__ = ["TrackChooser"]

_DETECTED_GAP = 12
_DETECTED_RAMP = 4
"""Frames over which what is detected is bridged, comes and goes. What masks and files say is taken by the letter."""


class TrackChooser:
    """Finds what the user named. All that can be checked without the frames is checked when it is made.

    Parameters
    ----------
    args : Namespace
        The options.
    info : ClipInfo
        The clip.

    Raises
    ------
    SegsDetailerError
        A box lies outside the frame, a mask cannot be read, a setting is out of range.
    """

    def __init__(self, args: argparse.Namespace, info: ClipInfo) -> None:
        self._args = args
        self._info = info
        self._given_crop = self._crop_settings(ramp=0, max_gap=0)
        self._detected_crop = self._crop_settings(ramp=_DETECTED_RAMP, max_gap=_DETECTED_GAP)
        self._boxes: Sequence[Track] = ()
        if args.bbox:
            segs = boxes_to_segs(info.size, args.bbox, crop_factor=args.crop_factor, label="box")
            self._boxes = tracks_from_segs(segs, frame_count=info.frames).tracks
        self._mask: Source | None = None
        if args.mask is not None:
            self._mask = open_clip(args.mask, fill_gaps=args.fill_gaps)
            check_count(args.mask, self._mask.info.frames, info.frames)
        self._segments: Tracks | None = None
        if args.segs is not None:
            self._segments = read_tracks(args.segs, size=info.size, frame_count=info.frames, fill_gaps=args.fill_gaps)
            self._check_count(self._segments)
        self._detector: Finder | None = None
        self._following = FollowSettings(
            min_share=args.min_share,
            max_gap=_DETECTED_GAP if args.max_gap is None else args.max_gap,
            drop_size=args.drop_size,
            shape=args.face_mask,
        )
        if args.detect is not None or (args.mask is None and args.segs is None and not args.bbox):
            self._detector = open_finder(
                args.detect or "face",
                labels=args.detect_labels,
                confidence=args.detect_confidence,
                min_size=args.min_face,
                device=getattr(args, "device", "auto"),
            )

    def _crop_settings(self, *, ramp: int, max_gap: int) -> CropSettings:
        args = self._args
        return CropSettings(
            crop=args.crop or "follow",
            crop_factor=args.crop_factor,
            aspect=args.aspect,
            smoothing=args.smoothing,
            subpixel=args.subpixel,
            ramp=ramp if args.ramp is None else args.ramp,
            max_gap=max_gap if args.max_gap is None else args.max_gap,
            size_gate=args.size_gate,
        )

    def choose(self, source: Source, clip: str, cache: Cache, stages: Stages) -> list[ChosenTrack]:
        """Find the tracks: boxes, then masks, then those of files, then what is detected.

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
        chosen = [self._given(track) for track in self._boxes]
        if self._mask is not None:
            with stages.stage("masks") as advance:
                masked = mask_tracks(self._mask, self._info, self._mask_options(), labels="give --mask-labels")
                chosen += [self._given(track) for track in masked]
                advance(self._mask.info.frames, self._mask.info.frames)
        if self._segments is not None:
            chosen += [self._given(track) for track in self._of_file(self._segments)]
        if self._detector is not None:
            found = self._detected(self._detector, source, clip, cache, stages)
            chosen += [ChosenTrack(track, self._detected_crop) for track in found]
        return chosen

    def _given(self, track: Track) -> ChosenTrack:
        """Take what has a region where it is, unless the user wants it to be followed."""
        crop = self._given_crop
        if track.crop_region is not None and self._args.crop is None and self._args.aspect is None:
            crop = replace(crop, crop="fixed")
        return ChosenTrack(track, crop)

    def _mask_options(self) -> MaskSettings:
        args = self._args
        return MaskSettings(
            crop_factor=args.crop_factor,
            combined=args.combined,
            bbox_fill=args.bbox_fill,
            contour_fill=args.contour_fill,
            drop_size=args.drop_size,
            label=label_of(Path(args.mask)) or "mask",
            follow=self._given_crop.crop == "follow",
            max_gap=self._following.max_gap,
            labels=args.mask_labels,
        )

    def _of_file(self, segments: Tracks) -> Sequence[Track]:
        size, count = self._info.size, self._info.frames
        if segments.frame_count == count:
            return [rescaled_track(track, segments.frame_size, size) for track in segments.tracks]
        # Segments of one frame serve for all.
        found = tracks_to_segs(segments, settings=CropSettings.as_given(self._args.crop_factor))
        return tracks_from_segs(scale_match(found, (count, *size, 3)), frame_count=count).tracks

    def _check_count(self, segments: Tracks) -> None:
        if segments.frame_count not in (1, self._info.frames):
            raise MediaError(
                f"{self._args.segs}: holds segments of {segments.frame_count} frames for {self._info.frames} frames: "
                "give them for one frame, or for each"
            )

    def _detected(self, detector: Finder, source: Source, clip: str, cache: Cache, stages: Stages) -> Sequence[Track]:
        """Look for subjects, or read what was found before: always from the file, so that both are the same."""
        path = cache.entry("tracks", clip, self._detection_digest(), ".npz")
        if not path.exists():
            with stages.stage("detect") as advance:
                count = self._info.frames
                tracks = find_tracks(
                    iter_frames(source),
                    detector,
                    self._following,
                    progress=lambda done: advance(done, max(done, count)),
                )
            last = max((track.span[1] for track in tracks), default=0)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_tracks(path, Tracks(self._info.size, max(last, count), tuple(tracks)))
        cache.touch(path)
        return read_tracks(path).tracks

    def _detection_digest(self) -> str:
        args = self._args
        detector: Any = args.detect or "face"
        if Path(detector).is_file():
            state = Path(detector).stat()
            detector = (str(detector), state.st_size, state.st_mtime_ns)
        named = (args.detect_labels, args.detect_confidence, args.min_face)
        follow = self._following
        return digest(
            installed_version(), detector, named, follow.min_share, follow.max_gap, follow.drop_size, follow.shape
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
            least = self._args.size_gate
            gate = "" if least is None else f": --size-gate {least:g} leaves alone what is so large"
            return f"nothing is pasted of the subjects that were found{gate}"
        if chosen:
            return "no subject is in the frame"
        return "; ".join(self._reasons())

    def _reasons(self) -> Iterator[str]:
        """Say of each place where subjects were looked for why there is none."""
        if self._mask is not None:
            yield f"{self._args.mask}: nothing in it is white and larger than --drop-size {self._args.drop_size}"
        if self._segments is not None:
            yield f"{self._args.segs}: holds no track that is in the frame"
        if self._detector is not None and self._args.detect in (None, "face"):
            yield "no face was found: lower --min-share or --min-face, or name the place with --bbox or --mask"
        elif self._detector is not None:
            yield f"{self._args.detect}: nothing was found: lower --detect-confidence or --min-share"
