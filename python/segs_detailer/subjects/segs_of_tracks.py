"""Tracks to SEGS, the named tuples that the detailer and ComfyUI's nodes take."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from segs_detailer.checks import shown
from segs_detailer.crop_path import CropPath
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.lazy_masks import lazy_masks
from segs_detailer.ops.turns import turned
from segs_detailer.segs import SEG
from segs_detailer.subjects.boxes import make_crop_region, pixel_box, union_box
from segs_detailer.subjects.mask_filter import filtered_part
from segs_detailer.subjects.motion import motion_of
from segs_detailer.subjects.path import crop_path, is_in_frame
from segs_detailer.subjects.settings import CropSettings
from segs_detailer.subjects.shapes import own_boxes, track_masks
from segs_detailer.subjects.track import Tracks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from segs_detailer.segs import SEGS, Box
    from segs_detailer.subjects.mask_filter import MaskFilter
    from segs_detailer.subjects.track import Track

__all__ = ["subject_box", "tracks_to_segs"]

_Draw: TypeAlias = "Callable[[int, int], NDArray[np.uint8]]"
"""Gives the masks `(n, h, w)` from one frame up to another."""

_Laid: TypeAlias = "tuple[Box, Box, _Draw]"
"""Crop region, box and masks of a track."""

_DTYPES = ("uint8", "float32", "lazy")


def tracks_to_segs(
    tracks: Tracks | Iterable[Track],
    frame_size: tuple[int, int] | None = None,
    frame_count: int | None = None,
    settings: CropSettings | None = None,
    *,
    dtype: Literal["uint8", "float32", "lazy"] = "uint8",
    masks: MaskFilter | None = None,
) -> SEGS:
    """Make one SEG of each track, with a mask for each frame.

    Parameters
    ----------
    tracks : Tracks or iterable of Track
        Subjects. Those that are nowhere in the frame are left out, and those that the size gate leaves alone.
    frame_size : (int, int) or None
        Height and width of the frames; only `Tracks` say it themselves.
    frame_count : int or None
        Frames of the clip; only `Tracks` say it themselves.
    settings : CropSettings or None
        How crops are laid. With `CropSettings.as_given()` nothing is smoothed, bridged or faded: masks are those of
        the tracks, empty where one is not seen, and a track that was made from a SEG has that one's regions.
    dtype : str
        Of the masks: `"uint8"`, 255 is all, a quarter of the memory; `"float32"` in [0, 1], as other nodes expect it;
        `"lazy"`, which holds none: torch tensors of float32 whose masks are drawn from the tracks whenever they are
        read. They take a few bytes whatever the clip's length, and cannot be written to; a mask for each frame then.
    masks : MaskFilter or None
        How masks are cleaned; None leaves them as they are.

    Returns
    -------
    SEGS
        `crop_region` is a `CropPath`, but for a fixed crop that is pasted in full in all frames, which is a plain
        region. `cropped_mask` is `(frame_count, h, w)`, of crops as given `(h, w)` for a single frame. `bbox` has the
        subject's mean size, of a fixed crop it holds the subject's whole way. `confidence` is the mean over the frames.

    Raises
    ------
    InvalidArgumentError
        Another `dtype`; no size or number of frames; a crop that moves through another number of frames.

    Examples
    --------
    >>> from segs_detailer.subjects import Track, tracks_to_segs
    >>> frames = range(8)
    >>> track = Track(1, "face", frames, [[10 + 5 * frame, 20, 30 + 5 * frame, 40] for frame in frames])
    >>> size, [seg] = tracks_to_segs([track], (60, 100), 8)
    >>> seg.label, seg.cropped_mask.shape
    ('face', (8, 60, 60))
    """
    if dtype not in _DTYPES:
        raise InvalidArgumentError("dtype", "uint8, float32 or lazy", shown(dtype))
    settings = settings or CropSettings()
    if isinstance(tracks, Tracks):
        frame_size = frame_size or tracks.frame_size
        frame_count = tracks.frame_count if frame_count is None else frame_count
        tracks = tracks.tracks
    if frame_size is None or frame_count is None:
        name = "frame_size" if frame_size is None else "frame_count"
        raise InvalidArgumentError(name, "that of the clip, which single tracks do not say", "None")
    lay = _as_given if settings.is_as_given else _along_path
    segs = []
    for track in tracks:
        laid = lay(track, frame_size, frame_count, settings)
        if laid is None:
            continue
        region, bbox, draw = laid
        draw = _cleaned(draw, frame_count, masks)
        shape = (frame_count, region[3] - region[1], region[2] - region[0])
        cropped = lazy_masks(draw, shape) if dtype == "lazy" else _drawn(draw, frame_count, dtype)
        if settings.is_as_given and frame_count == 1:
            cropped = cropped[0]
        segs.append(SEG(None, cropped, _mean(track), region, bbox, track.label))
    return frame_size, segs


def _cleaned(draw: _Draw, frame_count: int, masks: MaskFilter | None) -> _Draw:
    if masks is None or masks.is_idle:
        return draw
    return lambda start, stop: filtered_part(draw, start, stop, frame_count, masks)


def _drawn(draw: _Draw, frame_count: int, dtype: str) -> NDArray[Any]:
    levels = draw(0, frame_count)
    return levels if dtype == "uint8" else levels.astype(np.float32) / np.float32(255)


def _mean(track: Track) -> float:
    if len(track.confidence) == 0:
        return 1.0
    low, high = float(track.confidence.min()), float(track.confidence.max())
    # The mean of equal numbers may differ from them in the last digit.
    return low if low == high else float(track.confidence.mean())


def _along_path(track: Track, frame_size: tuple[int, int], frame_count: int, settings: CropSettings) -> _Laid | None:
    """Lay the crop along its path; None where nothing of it is pasted."""
    if not is_in_frame(track, frame_size, frame_count):
        return None
    path = crop_path(track, frame_size, frame_count, settings)
    if not path.alpha.any():
        return None
    is_plain = (
        settings.crop == "fixed"
        and not path.is_turned
        and bool((path.alpha == 1).all())
        and len(np.unique(path.regions[:, :2], axis=0)) == 1
    )
    region: Any = tuple(path) if is_plain else path
    return region, subject_box(track, path, frame_size, settings), _masks_of(track, path, frame_size, settings)


def _masks_of(track: Track, path: CropPath, frame_size: tuple[int, int], settings: CropSettings) -> _Draw:
    return lambda start, stop: track_masks(track, path, start, stop, frame_size, settings)


def _as_given(track: Track, frame_size: tuple[int, int], frame_count: int, settings: CropSettings) -> _Laid | None:
    """Lay one crop around all of a track, or that of its SEG; None where it is nowhere in the frame."""
    regions = _regions(track, frame_size, settings.crop_factor)
    if regions is None:
        return None
    bbox, region = regions
    if isinstance(region, CropPath) and region.frames != frame_count:
        expected = f"a path of {frame_count} frames, as the tracks have"
        raise InvalidArgumentError(f"track {track.id}: crop_region", expected, f"one of {region.frames}")
    if frame_count == 0:
        return region, bbox, lambda *_: np.zeros((0, region[3] - region[1], region[2] - region[0]), np.uint8)
    path = region if isinstance(region, CropPath) else CropPath(np.tile(region, (frame_count, 1)))
    return region, bbox, _masks_of(replace(track, shot=None), path, frame_size, settings)


def _regions(track: Track, size: tuple[int, int], crop_factor: float) -> tuple[Box, Box] | None:
    """Return bbox and crop region, or None for a track that is nowhere in the frame."""
    if track.bbox is not None and track.crop_region is not None:
        return track.bbox, track.crop_region
    places = [pixel_box(box, size) for box in track.boxes]
    boxes = union_box([place for place in places if place is not None])
    masks = union_box([mask.place for mask in track.masks if mask is not None and not mask.empty])
    area = union_box([box for box in (boxes, masks) if box is not None])
    if area is None:
        return None
    return boxes or area, make_crop_region(size, area, crop_factor)


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
        that frame. For a fixed one: the box around all of its way. In crops that are turned, as these show it.
    """
    settings = settings or CropSettings()
    if track.bbox is not None and track.crop_region is not None and tuple(path) == tuple(track.crop_region):
        return track.bbox
    motion = motion_of(track, frame_size, path.frames, settings)
    frames, boxes = motion.between(0, path.frames, settings.shape_smoothing, settings.smoothing)
    height, width = frame_size
    if path.is_turned:
        return _upright_box(track, path, frames, boxes)
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


def _upright_box(track: Track, path: CropPath, frames: NDArray[np.int64], boxes: NDArray[np.float64]) -> Box:
    """Return a box of the subject's mean size as turned crops show it, in the frame of the path's region."""
    turns = path.angles[frames]
    own = own_boxes(track, frames, boxes, turns)
    pasted = np.flatnonzero(path.alpha)
    row = min(int(np.searchsorted(frames, pasted[0] if len(pasted) else 0)), len(frames) - 1)
    sides = np.minimum(np.maximum(np.floor(own[:, 2:].mean(axis=0) + 0.5), 1), (path[2] - path[0], path[3] - path[1]))
    away = own[row, :2] - turned(path.middles[frames[row]], -turns[row])
    corner = np.floor(0.5 * np.add(path[:2], path[2:]) + away - 0.5 * sides + 0.5)
    x1, y1 = np.clip(corner, path[:2], np.array(path[2:]) - sides).astype(int).tolist()
    return x1, y1, x1 + int(sides[0]), y1 + int(sides[1])
