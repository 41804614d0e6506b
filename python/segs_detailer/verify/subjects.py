"""Where each subject is in each frame: the masks that a run makes of its track."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from segs_detailer.crop_path import mask_on_frame, place_of
from segs_detailer.subjects.fitting import rescaled_track, still_track
from segs_detailer.subjects.mask_filter import MaskFilter, filtered_part
from segs_detailer.subjects.path import crop_path, is_in_frame, path_of_clip
from segs_detailer.subjects.settings import CropSettings
from segs_detailer.subjects.shapes import track_masks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from segs_detailer.segs import Box
    from segs_detailer.subjects.track import Track, Tracks

__all__ = ["Area", "Subject", "chosen_subjects", "subjects_of"]

# Masks are made for so many frames at once.
_WINDOW = 16
# Of a run that is not known, masks are cut to somewhat more than the subject.
_CROP_FACTOR = 1.25
# Levels from which on a pixel of a mask counts: soft edges are pasted too, but say little.
_HALF = 128


@dataclass(frozen=True, slots=True)
class Area:
    """Pixels of one frame.

    Parameters
    ----------
    place : Box
        `(x1, y1, x2, y2)` in the frame, half open, never empty.
    inside : ndarray
        `(h, w)` bool.
    """

    place: Box
    inside: NDArray[np.bool_]

    def pixels(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return its pixels of a picture `(H, W, ...)`: `(n, ...)`."""
        x1, y1, x2, y2 = self.place
        return picture[y1:y2, x1:x2][self.inside]


class Subject:
    """One subject, in the frames of a clip. Frames are best asked for in their order.

    Parameters
    ----------
    track : Track
        Where it is, in frames of the clip's size; in at least one of them. Its id is what a run, its plan and its
        overlays call it.
    size : (int, int)
        Height and width of the clip's frames.
    frame_count : int
        Length of the clip.
    crop : CropSettings or None
        How the run cropped it: what of a mask is outside its crop is not pasted.
    masks : MaskFilter or None
        What the run did to the masks.

    Raises
    ------
    InvalidArgumentError
        The track is nowhere in the frame.
    """

    def __init__(
        self,
        track: Track,
        size: tuple[int, int],
        frame_count: int,
        crop: CropSettings | None = None,
        masks: MaskFilter | None = None,
    ) -> None:
        self.number = track.id
        self.label = track.label
        self._size = size
        self._count = frame_count
        self._crop = crop or CropSettings(crop_factor=_CROP_FACTOR)
        self._filter = masks or MaskFilter()
        self._track = track
        path = crop_path(track, size, frame_count, self._crop)
        shown = np.flatnonzero(path.alpha)
        self.span = (int(shown[0]), int(shown[-1]) + 1) if len(shown) else (0, 0)
        self._path = path_of_clip(path.part(*self.span), self.span[0], frame_count) if len(shown) else path
        self._start = 0
        self._masks: NDArray[np.uint8] = np.empty((0, *self._path.size), np.uint8)

    def area(self, frame: int) -> Area | None:
        """Return its pixels in a frame; None where it is not there."""
        if not 0 <= frame < self._count or self._path.alpha[frame] == 0:
            return None
        if not self._start <= frame < self._start + len(self._masks):
            stop = min(frame + _WINDOW, self._count)
            self._masks = filtered_part(self._drawn, frame, stop, self._count, self._filter)
            self._start = frame
        inside = (self._masks[frame - self._start] >= _HALF).astype(np.float32)
        place = place_of(self._path.part(frame, frame + 1))[0].tolist()
        # Between pixels a mask is spread over those on both sides.
        left, top, weights = mask_on_frame(inside, place, self._size)
        shown = weights > 0
        height, width = shown.shape
        return Area((left, top, left + width, top + height), shown) if shown.any() else None

    def _drawn(self, start: int, stop: int) -> NDArray[np.uint8]:
        return track_masks(self._track, self._path, start, stop, self._size, self._crop)


def subjects_of(tracks: Tracks, size: tuple[int, int], frame_count: int, *, max_gap: int = 12) -> list[Subject]:
    """Fit the tracks of a file to a clip.

    Parameters
    ----------
    tracks : Tracks
        The tracks, of `frame_count` frames or of one that serves for all.
    size : (int, int)
        Height and width of the clip's frames.
    frame_count : int
        Its length.
    max_gap : int
        Frames without a sighting that are bridged.
    """
    still = tracks.frame_count == 1 and frame_count > 1
    crop = CropSettings(crop_factor=_CROP_FACTOR, max_gap=max_gap, paste_gap=max_gap)
    subjects = []
    for number, track in zip(tracks.numbers, tracks, strict=True):
        if not len(track.frames):
            continue
        fitted = replace(rescaled_track(track, tracks.frame_size, size), id=number)
        subjects += chosen_subjects([(still_track(fitted, frame_count) if still else fitted, crop)], size, frame_count)
    return subjects


def chosen_subjects(
    chosen: Iterable[tuple[Track, CropSettings]],
    size: tuple[int, int],
    frame_count: int,
    masks: MaskFilter | None = None,
) -> list[Subject]:
    """Make subjects of tracks in the clip's size; those of which nothing is pasted are left out, as a run does.

    Parameters
    ----------
    chosen : iterable of (Track, CropSettings)
        The tracks, and how the run followed them.
    size : (int, int)
        Height and width of the clip's frames.
    frame_count : int
        Its length.
    masks : MaskFilter or None
        What the run did to the masks.
    """
    there = (item for item in chosen if is_in_frame(item[0], size, frame_count))
    subjects = [Subject(track, size, frame_count, crop, masks) for track, crop in there]
    return [subject for subject in subjects if subject.span != (0, 0)]
