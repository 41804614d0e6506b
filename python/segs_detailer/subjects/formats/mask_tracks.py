"""Tracks of mask files: a mask, or a mask for each frame, read one after the other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from segs_detailer.errors import MediaError
from segs_detailer.mask_levels import MaskLevels
from segs_detailer.subjects.formats.mask_files import MaskFile
from segs_detailer.subjects.from_masks import MaskSettings, MaskStream, tracks_from_masks

if TYPE_CHECKING:
    from pathlib import Path

    from segs_detailer.subjects.track import Track
    from segs_detailer.video.clip import ClipInfo, Source

__all__ = ["check_count", "mask_tracks"]

_MOST_ID = 65535
_MOST_TIMES, _MOST_PIXELS = 16, 1 << 25
"""Masks that are no larger than a frame of 8K are read whatever the clip's size is."""


def mask_tracks(
    source: Source, info: ClipInfo, settings: MaskSettings, *, labels: str = "pass labels=True"
) -> list[Track]:
    """Make a track of each object in the masks.

    Masks are read twice, or three times for outlines of all frames together, and never all of them held.

    Parameters
    ----------
    source : Source
        One mask, or one for each frame; of another size than the frames they are scaled.
    info : ClipInfo
        The clip.
    settings : MaskSettings
        What counts as an object.
    labels : str
        For a warning: what to do where the values are numbers of subjects.

    Returns
    -------
    list of Track
        Of a single mask, tracks in all frames, with the crop region that `masks_to_segs` gives. Nothing says that they
        were looked for beyond their masks: none has a `shot`.

    Raises
    ------
    MediaError
        Another number of masks than of frames; labels in a format that does not keep them.
    """
    _check_size(source, info)
    masks = MaskFile.of_source(source)
    check_count(source.info.path, masks.frames, info.frames)
    if not settings.labels:
        masks.warn(labels)
    stream = MaskStream(
        masks.numbers if settings.labels else masks.levels,
        masks.frames,
        masks.size,
        None if settings.labels else MaskLevels(),  # of what `MaskFile` reads: levels already
    )
    tracks = tracks_from_masks(stream, settings, shots=None, frame_size=info.size, frame_count=info.frames)
    if settings.labels and masks.frames > 1:
        tracks.sort(key=lambda track: track.id)
        if tracks and tracks[-1].id > _MOST_ID:
            # Colors, which are no numbers that anyone would type.
            tracks = [replace(track, id=number) for number, track in enumerate(tracks, start=1)]
    return tracks


def check_count(path: Path | str, count: int, frames: int) -> None:
    """Refuse masks of another number than the frames.

    Raises
    ------
    MediaError
        There is neither one mask nor one for each frame.
    """
    if count not in (1, frames):
        raise MediaError(f"{path}: holds {count} masks for {frames} frames: give one mask, or one for each frame")


def _check_size(source: Source, info: ClipInfo) -> None:
    """Refuse masks that are out of all proportion to the frames, before they are unpacked."""
    (height, width), (rows, columns) = source.info.size, info.size
    if height * width > max(_MOST_PIXELS, _MOST_TIMES * rows * columns):
        raise MediaError(
            f"{source.info.path}: expected masks of at most {_MOST_TIMES} times the pixels of the frames, which are "
            f"{columns}x{rows}, got {width}x{height}"
        )
