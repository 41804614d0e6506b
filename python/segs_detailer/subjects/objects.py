"""Tracks of what detectors and trackers return, told by the shape of the object: none of them is imported."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer._interop import is_tensor
from segs_detailer.checks import shown, whole_number
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.mask_levels import MaskLevels, MaskSurvey, warn_about_masks
from segs_detailer.subjects.boxes import check_frame_size
from segs_detailer.subjects.from_segs import tracks_from_segs
from segs_detailer.subjects.mask import Mask, mask_pixels
from segs_detailer.subjects.outlines import fill
from segs_detailer.subjects.packed_masks import is_packed, tracks_from_packed
from segs_detailer.subjects.sightings import Sighting, frames_needed, gather
from segs_detailer.subjects.track import Tracks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["as_tracks"]

_ACCEPTED = (
    "Tracks, SEGS ((H, W), [SEG, ...]), ultralytics Results, supervision Detections (one, or a list with one for "
    "each frame), SAM 2's {frame: {object: mask}}, or ComfyUI's SAM3_TRACK_DATA"
)


def as_tracks(
    value: Any, *, size: tuple[int, int] | None = None, frame_count: int | None = None, label: str = "object"
) -> Tracks:
    """Make tracks of what a detector, a tracker or a node returned.

    Parameters
    ----------
    value : object
        `Tracks`: returned as they are. SEGS of this package or of Impact Pack, see `tracks_from_segs`. An ultralytics
        `Results` or a list of them, a supervision `Detections` or a list of them: one for each frame. SAM 2's
        `{frame: {object: mask}}`, masks `(h, w)` or `(1, h, w)`: bool, integers from 0 to 255, of which 0 and 1 alone
        are off and on, or floats in [0, 1]. ComfyUI's SAM3_TRACK_DATA, see `tracks_from_packed`. Arrays may be NumPy's
        or torch's, on any device.
    size : (int, int) or None
        Height and width of the frames, where the object does not say: detections without masks. SAM3_TRACK_DATA is
        resized to it.
    frame_count : int or None
        Number of frames; None takes what the object says, or ends with the last one named.
    label : str
        Of tracks that have no name: SAM 2's and SAM 3's.

    Returns
    -------
    Tracks
        Detections that a tracker numbered keep the number as their id; others are put together by overlap from frame
        to frame.

    Raises
    ------
    InvalidTypeError
        None of these.
    InvalidArgumentError
        Something in it cannot be used; the size of the frames is not known, or is another one than `size`.
    """
    if isinstance(value, Tracks):
        tracks = value
    elif is_packed(value):
        tracks = tracks_from_packed(value, frame_size=size, label=label, argument="value")
    elif isinstance(value, Mapping):
        return _of_masks(value, size, frame_count, label)
    elif isinstance(value, (tuple, list)) and _is_segs(value):
        tracks = tracks_from_segs(value, frame_count=frame_count)  # type: ignore[arg-type]
    else:
        return _of_detections(value, size, frame_count)
    if size is not None and tracks.frame_size != check_frame_size("size", size):
        raise InvalidArgumentError("size", f"the size that the tracks have, {tracks.frame_size}", shown(size))
    if frame_count is not None and tracks.frame_count != frame_count:
        raise InvalidArgumentError("frame_count", f"that of the tracks, {tracks.frame_count}", shown(frame_count))
    return tracks


def _is_segs(value: Sequence[Any]) -> bool:
    return len(value) == 2 and isinstance(value[0], (tuple, list)) and isinstance(value[1], (tuple, list))


def _of_detections(value: Any, size: tuple[int, int] | None, frame_count: int | None) -> Tracks:
    items = list(value) if isinstance(value, (list, tuple)) else [value]
    sightings: list[Sighting] = []
    sizes = [] if size is None else [check_frame_size("size", size)]
    for frame, item in enumerate(items):
        place = f"[{frame}]"
        if hasattr(item, "orig_shape") and hasattr(item, "boxes"):
            own: tuple[int, int] | None = check_frame_size(f"{place}.orig_shape", tuple(item.orig_shape)[:2])
            found = _of_results(item, frame, place)
        elif hasattr(item, "xyxy") and hasattr(item, "tracker_id"):
            # Dense, or supervision's CompactMask, of which one is unrolled at a time.
            masks = getattr(item, "mask", None)
            own = None if masks is None or not len(masks) else (int(masks.shape[1]), int(masks.shape[2]))
            found = _of_supervision(item, masks, frame, place)
        else:
            raise InvalidTypeError("value" if item is value else place, _ACCEPTED, type(item).__qualname__)
        if own is not None:
            sizes.append(own)
            if own != sizes[0]:
                expected = f"frames of {sizes[0][1]}x{sizes[0][0]} as given or in the first"
                raise InvalidArgumentError(place, expected, f"{own[1]}x{own[0]}")
        sightings += found
    if not sizes:
        raise InvalidArgumentError("size", "(height, width) of the frames, which boxes do not say", "None")
    count = len(items) if frame_count is None else whole_number("frame_count", frame_count, minimum=len(items))
    return Tracks(sizes[0], count, gather(sightings))


def _rows(values: Any, count: int, place: str) -> list[Any]:
    """Return one value for each detection; None for all where there are none."""
    if values is None:
        return [None] * count
    items = _array(values).reshape(-1).tolist()
    if len(items) != count:
        raise InvalidArgumentError(place, f"{count} values", f"{len(items)}")
    return items


def _array(values: Any) -> NDArray[Any]:
    return mask_pixels(values) if is_tensor(values) else np.asarray(values)


def _boxes(values: Any, place: str) -> list[tuple[float, float, float, float]]:
    table = _array(values)
    if table.size == 0:
        return []
    if table.ndim != 2 or table.shape[1] != 4 or table.dtype.kind not in "iuf":
        raise InvalidArgumentError(place, "numbers of shape (N, 4)", f"{table.dtype} of shape {table.shape}")
    return [(x1, y1, x2, y2) for x1, y1, x2, y2 in table.astype(np.float64).tolist()]


def _of_results(item: Any, frame: int, place: str) -> list[Sighting]:
    """Return the detections of an ultralytics `Results`."""
    if item.boxes is None:
        return []
    boxes = _boxes(item.boxes.xyxy, f"{place}.boxes.xyxy")
    count = len(boxes)
    scores = _rows(item.boxes.conf, count, f"{place}.boxes.conf")
    classes = _rows(item.boxes.cls, count, f"{place}.boxes.cls")
    numbers = _rows(getattr(item.boxes, "id", None), count, f"{place}.boxes.id")
    masks = list(_result_masks(item, count, place))
    names = getattr(item, "names", None) or {}
    return [
        _sighting(frame, box, _class_name(names, kind), number, score, mask, place)
        for box, kind, number, score, mask in zip(boxes, classes, numbers, scores, masks, strict=True)
    ]


def _result_masks(item: Any, count: int, place: str) -> Iterator[Mask | None]:
    """Masks in the size of the frame as they are; others, which are the network's, by their outlines."""
    masks = getattr(item, "masks", None)
    size = (int(item.orig_shape[0]), int(item.orig_shape[1]))
    if masks is None:
        yield from [None] * count
        return
    data = masks.data
    if len(data) != count:
        raise InvalidArgumentError(f"{place}.masks", f"{count} masks", f"{len(data)}")
    for index in range(count):
        if tuple(data.shape[1:]) == size:
            yield Mask.from_pixels(_yes_or_no(_array(data[index])), argument=f"{place}.masks.data")
        else:
            yield fill([_array(masks.xy[index]).astype(np.float64).reshape(-1, 2)], size)


def _yes_or_no(pixels: NDArray[Any]) -> NDArray[np.bool_]:
    """Detectors return 0 and 1 in whatever dtype."""
    return pixels > 0.5 if pixels.dtype.kind == "f" else pixels != 0


def _class_name(names: Any, kind: Any) -> str:
    if kind is None:
        return "object"
    number = int(kind)
    if isinstance(names, Mapping):
        return str(names.get(number, number))
    return str(names[number]) if number < len(names) else str(number)


def _of_supervision(item: Any, masks: Any, frame: int, place: str) -> list[Sighting]:
    """Return the detections of a supervision `Detections`."""
    boxes = _boxes(item.xyxy, f"{place}.xyxy")
    count = len(boxes)
    scores = _rows(getattr(item, "confidence", None), count, f"{place}.confidence")
    numbers = _rows(item.tracker_id, count, f"{place}.tracker_id")
    classes = _rows(getattr(item, "class_id", None), count, f"{place}.class_id")
    names = (getattr(item, "data", None) or {}).get("class_name")
    labels = [_class_name({}, kind) for kind in classes] if names is None else [str(name) for name in names]
    for what, number in (("class names", len(labels)), ("masks", count if masks is None else len(masks))):
        if number != count:
            raise InvalidArgumentError(place, f"{what} of {count} boxes", f"{number} {what}")
    return [
        _sighting(
            frame,
            box,
            labels[index],
            numbers[index],
            scores[index],
            None if masks is None else Mask.from_pixels(_yes_or_no(_array(masks[index])), argument=f"{place}.mask"),
            place,
        )
        for index, box in enumerate(boxes)
    ]


def _sighting(
    frame: int,
    box: tuple[float, float, float, float],
    label: str,
    number: Any,
    score: Any,
    mask: Mask | None,
    place: str,
) -> Sighting:
    own = None if number is None else int(number)
    return Sighting(frame, box, label, own, 1.0 if score is None else float(score), mask, place)


def _of_masks(frames: Mapping[Any, Any], size: tuple[int, int] | None, frame_count: int | None, label: str) -> Tracks:
    """Return the tracks of SAM 2's `{frame: {object: mask}}`."""
    known = None if size is None else check_frame_size("size", size)
    sightings = []
    levels = _surveyed(frames)
    for frame, objects in frames.items():
        number = whole_number(f"frame {shown(frame)}", frame, minimum=0)
        if not isinstance(objects, Mapping):
            raise InvalidTypeError(f"[{number}]", "{object: mask}", type(objects).__qualname__)
        for name, mask in objects.items():
            place = f"[{number}][{shown(name)}]"
            pixels = _one_mask(mask, place)
            own = (pixels.shape[0], pixels.shape[1])
            known = known or check_frame_size(place, own)
            if own != known:
                raise InvalidArgumentError(place, f"shape {known} as given or as the first", f"shape {own}")
            track = whole_number(f"object {shown(name)}", name, minimum=0)
            shape = Mask.from_pixels(levels.levels(pixels, place), argument=place)
            sightings.append(Sighting(number, None, label, track, mask=shape, place=place))
    if known is None:
        raise InvalidArgumentError("size", "(height, width) of the frames, as there is no mask", "None")
    tracks = gather(sightings)
    last = max((int(frame) for frame in frames), default=0) + 1
    count = max(last, frames_needed(tracks)) if frame_count is None else frame_count
    return Tracks(known, count, tracks)


def _surveyed(frames: Mapping[Any, Any]) -> MaskLevels:
    """Return what the values mean, told over all masks of all frames."""
    survey = MaskSurvey()
    for objects in frames.values():
        for mask in objects.values() if isinstance(objects, Mapping) else ():
            if is_tensor(mask) or isinstance(mask, np.ndarray):
                pixels = mask_pixels(mask)
                survey.look(pixels.reshape(pixels.shape[-2:]) if math.prod(pixels.shape[:-2]) == 1 else pixels)
    warn_about_masks(survey, "masks", "pass `mask == number` for each")
    return survey.levels


def _one_mask(mask: Any, place: str) -> NDArray[Any]:
    """Return a mask `(h, w)`: dimensions of one before it are taken away."""
    if not (is_tensor(mask) or isinstance(mask, np.ndarray)):
        raise InvalidTypeError(place, "a NumPy array or a torch tensor", type(mask).__qualname__)
    pixels = mask_pixels(mask)
    if pixels.ndim < 2 or any(side != 1 for side in pixels.shape[:-2]):
        raise InvalidArgumentError(place, "shape (h, w) or (1, h, w)", f"shape {pixels.shape}")
    return pixels.reshape(pixels.shape[-2:])
