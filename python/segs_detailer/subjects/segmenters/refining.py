"""Tracks of boxes get masks: each subject is shown to a segmenter by a box, and followed through its shot."""

from __future__ import annotations

import warnings
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from segs_detailer.checks import whole_number
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.subjects.finders.finder import check_frame
from segs_detailer.subjects.finders.shots import ShotDetector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from segs_detailer.subjects.association import Box
    from segs_detailer.subjects.mask import Mask
    from segs_detailer.subjects.segmenters.segmenter import FollowedSubject, SegmenterSession, VideoSegmenter
    from segs_detailer.subjects.track import Track

__all__ = ["RefineSettings", "refine_tracks"]

# A box that touches the frame's edge shows a part of the subject: it counts so much less.
_CUT_OFF = 0.5
# Boxes of faces leave out hair and chin, and those of a detector are some pixels off: a mask may lie so far beyond its
# box, in sizes of the box.
_AROUND = 0.35
# Sure sightings, one after the other, that the mask has to miss: one may be the detector's own mistake.
_PATIENCE = 2


@dataclass(frozen=True, slots=True)
class RefineSettings:
    """How masks are drawn for tracks of boxes.

    Parameters
    ----------
    window : int
        Frames that are kept to look back: within so many of its first frames in a shot, the surest one is where the
        subject is shown, and from there it is followed both ways.
    lead : int
        Frames before its first and after its last sighting in which a subject is followed too: those in which nobody
        looked for it.
    sure : float
        A sighting is sure where its score is at least this share of the track's best.
    inside : float
        Share of a mask that lies in or about the box of a sure sighting; with less, the mask is elsewhere, and the
        subject is shown anew.

    Raises
    ------
    InvalidArgumentError
        A value is out of range.
    """

    window: int = 24
    lead: int = 0
    sure: float = 0.8
    inside: float = 0.5

    def __post_init__(self) -> None:
        whole_number("window", self.window, minimum=1)
        whole_number("lead", self.lead, minimum=0)
        for name in ("sure", "inside"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidArgumentError(name, "0 to 1", repr(getattr(self, name)))


def refine_tracks(
    frames: Iterable[NDArray[np.float32]],
    tracks: Sequence[Track],
    segmenter: VideoSegmenter,
    settings: RefineSettings | None = None,
    *,
    progress: Callable[[int], None] | None = None,
) -> list[Track]:
    """Give masks to tracks that have none.

    A subject is shown to the segmenter in its first sure frame of a shot, and followed from there: backwards to its
    first frame, through frames that were kept, and forwards to its last. Frames in which it was not sighted get masks
    too; one in which nothing of it can be seen is left out. Where its mask is elsewhere than sure sightings, twice in
    a row, it is shown anew, and the frames since they agreed are drawn again. Cuts end everything: nothing is followed
    across one. A track whose box is the same in all frames, and whose shot is not known, names a place, not sightings:
    what is there in the first frame of each shot is followed, and its crop with it.

    Frames are looked at once, in order; masks are packed as they are drawn. What is held does not grow with the number
    of frames, but for these masks.

    Parameters
    ----------
    frames : iterable of ndarray
        `(H, W, 3)` float32 in [0, 1], all of one size: the clip from its first frame.
    tracks : sequence of Track
        Tracks of the clip; those with masks are left as they are.
    segmenter : VideoSegmenter
        What `open_segmenter` gave.
    settings : RefineSettings or None
        How masks are drawn.
    progress : callable or None
        Called with the number of frames done. It may raise to cancel.

    Returns
    -------
    list of Track
        In the same order, under the same ids.

    Raises
    ------
    InvalidTypeError
        A frame is of another shape or dtype.
    ModelError
        The segmenter fails.
    MissingDependencyError
        OpenCV, which finds the cuts, is not installed.

    Warns
    -----
    UserWarning
        Of a subject nothing was drawn: its track is left as it is.
    """
    settings = settings or RefineSettings()
    drawn = [_DrawnTrack(track, settings) for track in tracks if not track.has_masks and len(track.frames)]
    if drawn:
        _draw(frames, drawn, segmenter, settings, progress)
    by_track = {id(each.track): each for each in drawn}
    refined = [by_track[id(track)].refined() if id(track) in by_track else track for track in tracks]
    empty = [
        str(track.id) for track, new in zip(tracks, refined, strict=True) if id(track) in by_track and new is track
    ]
    if empty:
        noun = "track" if len(empty) == 1 else "tracks"
        warnings.warn(f"the segmenter drew no mask for {noun} {', '.join(empty)}: left as found", stacklevel=2)
    return refined


def _draw(
    frames: Iterable[NDArray[np.float32]],
    drawn: Sequence[_DrawnTrack],
    segmenter: VideoSegmenter,
    settings: RefineSettings,
    progress: Callable[[int], None] | None,
) -> None:
    cuts = ShotDetector()
    shot: _Shot | None = None
    for index, frame in enumerate(frames):
        size = check_frame(frame)
        begins = cuts.begins_shot(frame)
        if shot is None or begins:
            if shot is not None:
                shot.end()
            shot = _Shot(index, size, drawn, segmenter, settings)
        shot.take(index, frame)
        if progress is not None:
            progress(index + 1)
    if shot is not None:
        shot.end()


class _Kept(NamedTuple):
    """A frame that is kept to look back."""

    number: int
    picture: Any


class _Shot:
    """Draws the masks of one shot."""

    def __init__(
        self,
        start: int,
        size: tuple[int, int],
        drawn: Sequence[_DrawnTrack],
        segmenter: VideoSegmenter,
        settings: RefineSettings,
    ) -> None:
        self._start = start
        self._size = size
        self._segmenter = segmenter
        self._settings = settings
        self._begun: SegmenterSession | None = None
        self._kept: deque[_Kept] = deque(maxlen=settings.window + settings.lead)
        self._parts = [_Part(each, start, size, settings) for each in drawn]

    @property
    def _session(self) -> SegmenterSession:
        """Begun when it is needed: weights are not loaded for shots without subjects."""
        if self._begun is None:
            self._begun = self._segmenter.begin(self._size)
        return self._begun

    def take(self, index: int, frame: NDArray[np.float32]) -> None:
        """Take the next frame."""
        parts = [part for part in self._parts if part.may_be_in(index)]
        if not parts:
            self._kept.clear()
            return
        picture = self._session.picture(frame)
        self._kept.append(_Kept(index, picture))
        for part in parts:
            if part.follower is not None:
                part.take(index, part.follower.follow(index, picture))
                if part.is_lost(index):
                    self._show(part, index, back_to=part.agreed + 1)
            elif part.is_shown_in(index):
                self._show(part, index, back_to=part.first)
            if part.ends_with(index):
                part.follower = None

    def end(self) -> None:
        """End the shot: what still waits for a surer frame is shown in the surest one that there was."""
        if not self._kept:
            return
        last = self._kept[-1].number
        for part in self._parts:
            index = part.waits_with(last)
            if index is None:
                continue
            self._show(part, index, back_to=part.first)
            for kept in self._kept:
                if kept.number > index and part.follower is not None and part.may_be_in(kept.number):
                    part.take(kept.number, part.follower.follow(kept.number, kept.picture))
            part.follower = None

    def _show(self, part: _Part, index: int, back_to: int) -> None:
        """Show a subject in a frame, and draw it again in the frames before it, as far as they are kept."""
        kept = {each.number: each.picture for each in self._kept}
        part.follower, mask = self._session.prompt(index, kept[index], part.box_in(index))
        part.take(index, mask)
        part.agreed = index
        part.missed = 0
        before = part.follower.turned()
        for other in sorted((other for other in kept if back_to <= other < index), reverse=True):
            part.take(other, before.follow(other, kept[other]))


@dataclass(slots=True)
class _DrawnTrack:
    """A track, and the masks that were drawn for it so far."""

    track: Track
    settings: RefineSettings
    masks: dict[int, Mask] = field(default_factory=dict)
    rows: dict[int, int] = field(init=False)
    is_place: bool = field(init=False)
    least: float = field(init=False)

    def __post_init__(self) -> None:
        track = self.track
        self.rows = {int(frame): row for row, frame in enumerate(track.frames)}
        is_still = len(track.frames) > 1 and not bool(np.ptp(track.boxes, axis=0).any())
        # Who looked for it knows its shot: then it is a subject that rests.
        self.is_place = is_still and track.shot is None
        self.least = self.settings.sure * float(track.confidence.max())

    @property
    def bounds(self) -> tuple[int, int]:
        """Frames in which it may be seen: first, and after the last."""
        first, stop = self.track.span
        lead = 0 if self.is_place else self.settings.lead
        start, end = self.track.shot or (0, stop + lead)
        return max(first - lead, start), min(stop + lead, end)

    def box(self, frame: int) -> Box:
        """Box of a frame in which it was sighted."""
        x1, y1, x2, y2 = self.track.boxes[self.rows[frame]].tolist()
        return x1, y1, x2, y2

    def refined(self) -> Track:
        """Return the track with the masks; the track itself where there are none."""
        frames = sorted(frame for frame, mask in self.masks.items() if not mask.empty)
        if not frames:
            return self.track
        track, masks = self.track, [self.masks[frame] for frame in frames]
        extents = np.array([mask.place for mask in masks], np.float64)
        rows = np.array([self.rows.get(frame, -1) for frame in frames])
        known = rows >= 0
        places = np.array(frames)
        changes: dict[str, Any] = {}
        if self.is_place:
            boxes = extents
            # The subject is followed, where before the place stood still.
            changes = {"crop_region": None, "bbox": None}
        else:
            boxes = extents + _offsets(places, extents, known, track.boxes[rows[known]])
            boxes[known] = track.boxes[rows[known]]
            boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2])
        scores = np.interp(places, track.frames, track.confidence)
        if track.landmarks is not None:
            changes["landmarks"] = np.where(known[:, None, None], track.landmarks[rows], np.nan)
        if track.angles is not None:
            changes["angles"] = np.where(known, track.angles[rows], np.nan)
        return replace(track, frames=places, boxes=boxes, confidence=scores, masks=tuple(masks), **changes)


def _offsets(
    frames: NDArray[np.int64], extents: NDArray[np.float64], known: NDArray[np.bool_], boxes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How far boxes are from the masks' extents, between the frames in which both are known."""
    if not known.any():
        return np.zeros_like(extents)
    differences = boxes - extents[known]
    columns = [np.interp(frames, frames[known], differences[:, side]) for side in range(4)]
    return np.stack(columns, axis=1)


class _Part:
    """A track within one shot."""

    def __init__(self, drawn: _DrawnTrack, start: int, size: tuple[int, int], settings: RefineSettings) -> None:
        self._drawn = drawn
        self._settings = settings
        self._size = size
        first, self._stop = drawn.bounds
        later = drawn.track.frames[drawn.track.frames >= start]
        if len(later) and not drawn.is_place:
            first = max(first, int(later[0]) - settings.lead)
        self.first = max(first, start) if len(later) else self._stop
        """First frame of the shot in which it may be."""
        self.follower: FollowedSubject | None = None
        self.agreed = -1
        """Last frame in which mask and sighting agreed."""
        self.missed = 0
        self._shown = self._surest(start)

    def may_be_in(self, index: int) -> bool:
        """Whether it may be seen in a frame."""
        return self.first <= index < self._stop

    def is_shown_in(self, index: int) -> bool:
        """Whether it is shown to the segmenter in this frame."""
        return index == self._shown

    def ends_with(self, index: int) -> bool:
        """Whether it is not followed any further."""
        return index + 1 >= self._stop

    def waits_with(self, last: int) -> int | None:
        """Where to show it if the shot ends with a frame; None where it was shown, or was not seen."""
        if self._shown is None or self._shown <= last:
            return None
        return self._surest(self.first, last + 1)

    def box_in(self, index: int) -> Box:
        """Box that shows it."""
        drawn = self._drawn
        return drawn.box(index if index in drawn.rows else int(drawn.track.frames[0]))

    def take(self, index: int, mask: Mask) -> None:
        """Take its mask in a frame."""
        self._drawn.masks[index] = mask

    def is_lost(self, index: int) -> bool:
        """Whether sure sightings say that it is not where its mask is, in this frame and in one before."""
        drawn = self._drawn
        row = drawn.rows.get(index)
        if drawn.is_place or row is None or drawn.track.confidence[row] < drawn.least:
            return False
        if _share_about(drawn.masks[index], drawn.box(index)) >= self._settings.inside:
            self.agreed, self.missed = index, 0
            return False
        self.missed += 1
        return self.missed >= _PATIENCE

    def _surest(self, start: int, stop: int | None = None) -> int | None:
        """First sure frame among the first ones from `start` on: where it is shown."""
        drawn = self._drawn
        end = self._stop if stop is None else min(self._stop, stop)
        if drawn.is_place:
            return self.first if self.first < end else None
        frames = drawn.track.frames
        own = np.flatnonzero((frames >= start) & (frames < end))
        if not len(own):
            return None
        own = own[frames[own] < frames[own[0]] + self._settings.window]
        scores = drawn.track.confidence[own] * self._whole(drawn.track.boxes[own])
        sure = scores >= self._settings.sure * scores.max()
        return int(frames[own[int(sure.argmax())]])

    def _whole(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        height, width = self._size
        is_cut = (boxes[:, :2] <= 0).any(axis=1) | (boxes[:, 2] >= width) | (boxes[:, 3] >= height)
        return np.where(is_cut, _CUT_OFF, 1.0)


def _share_about(mask: Mask, box: Box) -> float:
    """Share of a mask that lies in a box that is grown somewhat; 0 of one that shows nothing."""
    if mask.empty:
        return 0.0
    bits = mask.bits()
    left, top = mask.place[:2]
    x1, y1, x2, y2 = box
    beside, above = _AROUND * (x2 - x1), _AROUND * (y2 - y1)
    columns = slice(*_clipped((x1 - beside - left, x2 + beside - left), bits.shape[1]))
    rows = slice(*_clipped((y1 - above - top, y2 + above - top), bits.shape[0]))
    return float(bits[rows, columns].sum()) / float(bits.sum())


def _clipped(span: tuple[float, float], length: int) -> Iterator[int]:
    return (int(min(max(side, 0), length)) for side in (np.floor(span[0]), np.ceil(span[1])))
