"""COCO JSON: images are frames, annotations are tracks in them, shapes are run lengths or polygons."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from segs_detailer.checks import MAX_COORDINATE, shown
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.subjects.boxes import check_frame_size
from segs_detailer.subjects.formats.claims import masks_within_limit
from segs_detailer.subjects.formats.fields import box_of, dict_of, list_of, number_of, text_of, whole_of
from segs_detailer.subjects.formats.new_files import write_json
from segs_detailer.subjects.formats.rle import compress, decode, decompress, encode
from segs_detailer.subjects.outlines import fill, trace
from segs_detailer.subjects.sightings import Sighting, frames_needed, gather
from segs_detailer.subjects.track import Tracks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from segs_detailer.subjects.mask import Mask

__all__ = ["Shape", "is_coco", "parse_coco", "write_coco"]

Shape = Literal["packed", "counts", "polygons"]
"""How masks are written: run lengths as text or as lists, or polygons."""

_TRACK_KEYS = ("track_id", "instance_id", "object_id", "tracking_id")
"""What the tools that write tracks through time call their number."""


class _Frames(NamedTuple):
    """The images of a file: their size, and the frame of each image's id."""

    size: tuple[int, int]
    frame_count: int
    of_image: dict[int, int]


def is_coco(content: Any) -> bool:
    """Whether parsed JSON is COCO's: a data set, or a list of results."""
    if isinstance(content, dict):
        return "annotations" in content or "images" in content
    return isinstance(content, list) and bool(content) and isinstance(content[0], dict) and "image_id" in content[0]


def parse_coco(content: Any, *, size: tuple[int, int] | None, frame_count: int | None) -> Tracks:
    """Make tracks of parsed COCO JSON.

    In a data set images are frames in the order of their `frame_index` or, without one, of their ids. In a list of
    results `image_id` is the frame, counted from 0. A track through time has a `track_id` (also `instance_id`,
    `object_id` or `tracking_id`, or one of these among the `attributes`); annotations without it are put together by
    overlap.

    Parameters
    ----------
    content : dict or list
        The file.
    size : (int, int) or None
        Height and width of the frames, where the file does not say.
    frame_count : int or None
        Number of frames, where the file does not say.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        Something in it is not as it must be.
    """
    if isinstance(content, list):
        entries, labels = content, {}
        frames = _result_frames(content, size, frame_count)
    else:
        fields = dict_of(content, "COCO JSON", "an object with images and annotations")
        if "videos" in fields:
            raise InvalidArgumentError("videos", "images, one for each frame", "the YouTube-VIS form")
        entries = list_of(fields.get("annotations"), "annotations")
        labels = _labels(list_of(fields.get("categories", []), "categories"))
        frames = _frames(list_of(fields.get("images"), "images"))
    place = "" if isinstance(content, list) else "annotations"
    found = (_sighting(entry, f"{place}[{i}]", frames, labels) for i, entry in enumerate(entries))
    tracks = gather(masks_within_limit(found))
    return Tracks(frames.size, max(frames.frame_count, frames_needed(tracks)), tracks)


def _labels(categories: list[Any]) -> dict[int, str]:
    labels = {}
    for index, value in enumerate(categories):
        place = f"categories[{index}]"
        entry = dict_of(value, place)
        labels[whole_of(entry.get("id"), f"{place}.id")] = text_of(entry.get("name"), f"{place}.name")
    return labels


def _frames(images: list[Any]) -> _Frames:
    sizes: list[tuple[int, int]] = []
    order: list[tuple[int, int]] = []
    entries = [dict_of(image, f"images[{index}]") for index, image in enumerate(images)]
    indexed = bool(entries) and all("frame_index" in entry for entry in entries)
    for index, entry in enumerate(entries):
        place = f"images[{index}]"
        height = whole_of(entry.get("height"), f"{place}.height", minimum=1)
        width = whole_of(entry.get("width"), f"{place}.width", minimum=1)
        sizes.append(check_frame_size(place, (height, width)))
        if sizes[-1] != sizes[0]:
            expected = f"{sizes[0][1]}x{sizes[0][0]} as the first, for frames of one clip"
            raise InvalidArgumentError(place, expected, f"{width}x{height}")
        number = whole_of(entry.get("id"), f"{place}.id")
        order.append((whole_of(entry["frame_index"], f"{place}.frame_index") if indexed else number, number))
    if not sizes:
        raise InvalidArgumentError("images", "at least one", "none")
    for what, numbers in (("id", [image for _, image in order]), ("frame_index", [frame for frame, _ in order])):
        number, times = Counter(numbers).most_common(1)[0]
        if times > 1:
            expected = "ids and frame indices of which no two are the same"
            raise InvalidArgumentError("images", expected, f"{what} {number} {times} times")
    order.sort()
    of_image = {image: (frame if indexed else index) for index, (frame, image) in enumerate(order)}
    return _Frames(sizes[0], max(of_image.values()) + 1, of_image)


def _result_frames(results: list[Any], size: tuple[int, int] | None, frame_count: int | None) -> _Frames:
    images = set()
    for index, value in enumerate(results):
        entry = dict_of(value, f"[{index}]")
        images.add(whole_of(entry.get("image_id"), f"[{index}].image_id"))
        shape = entry.get("segmentation")
        if isinstance(shape, dict) and size is None:
            size = _rle_size(shape, f"[{index}].segmentation")
    if size is None:
        raise InvalidArgumentError("size", "the size of the frames, which results do not say", "none")
    return _Frames(size, frame_count or 1, {image: image for image in images})


def _sighting(value: Any, place: str, frames: _Frames, labels: dict[int, str]) -> Sighting:
    entry = dict_of(value, place)
    image = whole_of(entry.get("image_id"), f"{place}.image_id")
    if image not in frames.of_image:
        raise InvalidArgumentError(f"{place}.image_id", "the id of one of the images", f"{image}")
    category = whole_of(entry.get("category_id", 0), f"{place}.category_id")
    box = entry.get("bbox")
    score = entry.get("score")
    return Sighting(
        frames.of_image[image],
        box_of(box, f"{place}.bbox", with_size=True) if box else None,
        labels.get(category, str(category)),
        _track(entry, place),
        1.0 if score is None else number_of(score, f"{place}.score"),
        _mask(entry.get("segmentation"), frames.size, f"{place}.segmentation"),
        place,
    )


def _track(entry: dict[str, Any], place: str) -> int | None:
    attributes = entry.get("attributes")
    for fields in (entry, attributes if isinstance(attributes, dict) else {}):
        for key in _TRACK_KEYS:
            if fields.get(key) is not None:
                return whole_of(fields[key], f"{place}.{key}")
    return None


def _mask(value: Any, size: tuple[int, int], place: str) -> Mask | None:
    if value is None or value == []:
        return None
    if isinstance(value, list):
        return fill([_polygon(item, f"{place}[{index}]") for index, item in enumerate(value)], size)
    entry = dict_of(value, place, "polygons, or runs as {size, counts}")
    own = _rle_size(entry, place)
    if own != size:
        raise InvalidArgumentError(f"{place}.size", f"the image's, {list(size)}", f"{list(own)}")
    counts = entry.get("counts")
    if isinstance(counts, str):
        counts = decompress(counts, f"{place}.counts")
    return decode(counts, size, f"{place}.counts")


def _rle_size(entry: dict[str, Any], place: str) -> tuple[int, int]:
    values = list_of(entry.get("size"), f"{place}.size", "[height, width]")
    return check_frame_size(f"{place}.size", values)


def _polygon(value: Any, place: str) -> NDArray[np.float64]:
    expected = "a list of x, y, x, y, ... of at least three corners"
    items = list_of(value, place, expected)
    if len(items) < 6 or len(items) % 2:
        raise InvalidArgumentError(place, expected, f"{len(items)} numbers")
    corners = np.array([number_of(item, place) for item in items]).reshape(-1, 2)
    if float(np.abs(corners).max()) > MAX_COORDINATE:
        raise InvalidArgumentError(place, f"|coordinate| <= {MAX_COORDINATE}", shown(corners.tolist()))
    return corners


def write_coco(path: Path, tracks: Tracks, shape: Shape = "packed") -> None:
    """Write a COCO data set.

    Parameters
    ----------
    path : Path
        The file.
    tracks : Tracks
        What to write. Levels from 128 on count; a track without masks has boxes alone.
    shape : str
        Of the masks. Polygons run along the edges of pixels; what has holes is written as run lengths all the same.
    """
    height, width = tracks.frame_size
    images = [
        {"id": frame + 1, "file_name": f"{frame:05d}.png", "frame_index": frame, "height": height, "width": width}
        for frame in range(tracks.frame_count)
    ]
    labels = list(dict.fromkeys(track.label for track in tracks))
    annotations: list[dict[str, Any]] = []
    shapes = _Shapes(shape, tracks.frame_size)
    for track in tracks:
        category = labels.index(track.label) + 1
        rows = zip(track.frames.tolist(), track.boxes.tolist(), track.confidence, track.masks, strict=True)
        for frame, (x1, y1, x2, y2), confidence, mask in rows:
            entry = {
                "id": len(annotations) + 1,
                "image_id": frame + 1,
                "category_id": category,
                "track_id": track.id,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (x2 - x1) * (y2 - y1),
                "iscrowd": 0,
                "score": float(confidence),
            }
            if mask is not None:
                entry["segmentation"], entry["area"] = shapes(mask)
            annotations.append(entry)
    categories = [{"id": index + 1, "name": label} for index, label in enumerate(labels)]
    write_json(path, {"images": images, "categories": categories, "annotations": annotations})


class _Shapes:
    """Masks as COCO writes them, with their areas; one that serves for many frames is coded once."""

    def __init__(self, shape: Shape, size: tuple[int, int]) -> None:
        self._size = size
        self._code: Callable[[Mask], Any] = {
            "packed": self._packed,
            "counts": lambda mask: self._runs(encode(mask, size).tolist()),
            "polygons": self._polygons,
        }[shape]
        self._last: tuple[Mask | None, Any] = (None, None)

    def __call__(self, mask: Mask) -> tuple[Any, int]:
        if self._last[0] is not mask:
            self._last = (mask, (self._code(mask), int(np.count_nonzero(mask.bits()))))
        result: tuple[Any, int] = self._last[1]
        return result

    def _runs(self, counts: Any) -> dict[str, Any]:
        return {"size": list(self._size), "counts": counts}

    def _packed(self, mask: Mask) -> dict[str, Any]:
        return self._runs(compress(encode(mask, self._size)))

    def _polygons(self, mask: Mask) -> Any:
        outlines = trace(mask)
        return [outline.ravel().tolist() for outline in outlines] if outlines else self._packed(mask)
