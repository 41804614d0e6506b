"""Tracks to SEGS, the named tuples that the detailer and ComfyUI's nodes take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.crop_path import CropPath
from segs_detailer.segs import SEG
from segs_detailer.subjects.motion import motion_of
from segs_detailer.subjects.path import crop_path, is_in_frame
from segs_detailer.subjects.settings import CropSettings
from segs_detailer.subjects.shapes import track_masks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from segs_detailer.segs import SEGS, Box
    from segs_detailer.subjects.track import Track

__all__ = ["subject_box", "tracks_to_segs"]


def tracks_to_segs(
    tracks: Iterable[Track], frame_size: tuple[int, int], frame_count: int, settings: CropSettings | None = None
) -> SEGS:
    """Make one SEG of each track, with a mask for each frame.

    Parameters
    ----------
    tracks : iterable of Track
        Subjects. Those that are nowhere in the frame are left out, and those that the size gate leaves alone.
    frame_size : (int, int)
        Height and width of the frames.
    frame_count : int
        Frames of the clip, at least 1 where there are tracks.
    settings : CropSettings or None
        How crops are laid.

    Returns
    -------
    SEGS
        `crop_region` is a `CropPath`, but for a fixed crop that is pasted in full in all frames, which is a plain
        region. `cropped_mask` is `(frame_count, h, w)` uint8, 0 to 255. `bbox` has the subject's mean size, of a fixed
        crop it holds the subject's whole way.
    """
    settings = settings or CropSettings()
    segs = []
    for track in tracks:
        if not is_in_frame(track, frame_size, frame_count):
            continue
        path = crop_path(track, frame_size, frame_count, settings)
        if not path.alpha.any():
            continue
        masks = track_masks(track, path, 0, frame_count, frame_size, settings)
        is_plain = (
            settings.crop == "fixed"
            and bool((path.alpha == 1).all())
            and len(np.unique(path.regions[:, :2], axis=0)) == 1
        )
        region: Any = tuple(path) if is_plain else path
        bbox = subject_box(track, path, frame_size, settings)
        segs.append(SEG(None, masks, _mean(track), region, bbox, track.label))
    return frame_size, segs


def _mean(track: Track) -> float:
    low, high = float(track.confidence.min()), float(track.confidence.max())
    # The mean of equal numbers may differ from them in the last digit.
    return low if low == high else float(track.confidence.mean())


def subject_box(track: Track, path: CropPath, frame_size: tuple[int, int], settings: CropSettings | None = None) -> Box:
    """Return the `bbox` of a track's SEG, from which working sizes follow.

    Parameters
    ----------
    track : Track
        The subject.
    path : CropPath
        Its crop.
    frame_size : (int, int)
        Height and width of the frames.
    settings : CropSettings or None
        Those of the path.

    Returns
    -------
    (int, int, int, int)
        For a crop that follows: a box of the subject's mean size, within the path's own region, where the subject is in
        that frame. For a fixed one: the box around all of its way.
    """
    settings = settings or CropSettings()
    if track.bbox is not None and track.crop_region is not None and tuple(path) == tuple(track.crop_region):
        return track.bbox
    motion = motion_of(track, frame_size, path.frames, settings)
    frames, boxes = motion.between(0, path.frames, settings.shape_smoothing, settings.smoothing)
    height, width = frame_size
    if settings.crop == "fixed" and not isinstance(track.crop_region, CropPath):
        low = np.floor((boxes[:, :2] - 0.5 * boxes[:, 2:]).min(axis=0))
        high = np.ceil((boxes[:, :2] + 0.5 * boxes[:, 2:]).max(axis=0))
        x1, y1 = np.clip(low, 0, (width - 1, height - 1)).astype(int).tolist()
        x2, y2 = np.clip(high, (x1 + 1, y1 + 1), (width, height)).astype(int).tolist()
        return x1, y1, x2, y2
    pasted = np.flatnonzero(path.alpha)
    row = min(int(np.searchsorted(frames, pasted[0] if len(pasted) else 0)), len(frames) - 1)
    sides = np.minimum(np.maximum(np.floor(boxes[:, 2:].mean(axis=0) + 0.5), 1), (path[2] - path[0], path[3] - path[1]))
    corner = np.floor(boxes[row, :2] - 0.5 * sides + 0.5)
    x1, y1 = np.clip(corner, path[:2], np.array(path[2:]) - sides).astype(int).tolist()
    return x1, y1, x1 + int(sides[0]), y1 + int(sides[1])
