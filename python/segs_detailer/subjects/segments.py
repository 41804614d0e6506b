"""Segments: the tracks of a clip, whatever they were read from."""

from __future__ import annotations

from dataclasses import dataclass

from segs_detailer.checks import shown, whole_number
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.subjects.boxes import check_frame_size
from segs_detailer.subjects.track import MAX_FRAMES, Track

__all__ = ["Segments"]


@dataclass(frozen=True, slots=True)
class Segments:
    """The tracks of a clip.

    Parameters
    ----------
    frame_size : (int, int)
        Height and width of the frames in pixels.
    frame_count : int
        Number of frames. Segments of one frame serve for all frames of a clip.
    tracks : sequence of Track
        The tracks; no two have the same id.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        Arguments that cannot be used: a mask outside the frame, a frame after the last.
    """

    frame_size: tuple[int, int]
    frame_count: int
    tracks: tuple[Track, ...] = ()

    def __post_init__(self) -> None:
        size = check_frame_size("frame_size", self.frame_size)
        count = whole_number("frame_count", self.frame_count, minimum=0)
        if count > MAX_FRAMES:
            raise InvalidArgumentError("frame_count", f"at most {MAX_FRAMES} frames", f"{count}")
        tracks = tuple(self.tracks)
        seen: set[int] = set()
        for track in tracks:
            if not isinstance(track, Track):
                raise InvalidTypeError("tracks", "a sequence of Track", shown(track))
            if track.id in seen:
                raise InvalidArgumentError("tracks", "ids of which no two are the same", f"{track.id} twice")
            seen.add(track.id)
            _check_fit(track, size, count)
        for field, value in (("frame_size", size), ("frame_count", count), ("tracks", tracks)):
            object.__setattr__(self, field, value)

    def describe(self) -> str:
        """One line, such as `1920x1080, 300 frames, 3 tracks (2 with masks)`."""
        height, width = self.frame_size
        frames = "1 frame" if self.frame_count == 1 else f"{self.frame_count} frames"
        tracks = "1 track" if len(self.tracks) == 1 else f"{len(self.tracks)} tracks"
        masked = sum(track.has_masks for track in self.tracks)
        return f"{width}x{height}, {frames}, {tracks} ({masked or 'none'} with masks)"


def _check_fit(track: Track, size: tuple[int, int], count: int) -> None:
    name = f"track {track.id}"
    end = track.span[1]
    if end > count:
        raise InvalidArgumentError(f"{name}: frames", f"numbers below {count}, the number of frames", f"{end - 1}")
    height, width = size
    for frame, mask in zip(track.frames, track.masks, strict=True):
        if mask is None:
            continue
        x1, y1, x2, y2 = mask.place
        if x1 < 0 or y1 < 0 or x2 > width or y2 > height:
            expected = f"a place in the frame of {width}x{height} pixels"
            raise InvalidArgumentError(f"{name}: mask of frame {frame}", expected, f"{mask.place}")
