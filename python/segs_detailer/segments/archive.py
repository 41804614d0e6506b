"""SEGS files: everything that `Segments` holds, as a NumPy archive or as safetensors, each with a JSON header.

Neither runs code when it is read: there are no pickled objects in them, and those of others are refused.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from ..crop_path import CropPath
from ..errors import InvalidArgumentError, InvalidTypeError, MediaError, MissingDependencyError
from ..ops._checks import shown
from ..tracks import Mask, Track
from .fields import dict_of, list_of, shape_of, shot_of, text_of, whole_of
from .new_files import new_file
from .segments import Segments, check_frame_size

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from ..segs import Box

__all__ = ["read_npz", "read_safetensors", "write_npz", "write_safetensors"]

_FORMAT = "segs-detailer segments"
_VERSION = 1
_HEADER = "header"
# Array: dtype and columns; None is one dimension. The first four have a row for each sighting.
_ARRAYS: dict[str, tuple[str, int | None]] = {
    "frames": ("int64", None),
    "boxes": ("float64", 4),
    "confidence": ("float64", None),
    "mask_index": ("int64", None),
    "mask_places": ("int64", 4),
    "mask_soft": ("uint8", None),
    "mask_data": ("uint8", None),
}
# Crops that move, frame after frame and track after track; files of earlier versions have none.
_PATHS: dict[str, tuple[str, int | None]] = {"path_regions": ("float64", 4), "path_alpha": ("float32", None)}
_NO_MASK = -1


def write_npz(path: Path, segments: Segments) -> None:
    """Write a NumPy archive."""
    header, arrays = _packed(segments)
    arrays[_HEADER] = np.frombuffer(header.encode(), np.uint8)
    with new_file(path) as place, place.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def write_safetensors(path: Path, segments: Segments) -> None:
    """Write safetensors, with the header in their metadata."""
    save = _safetensors().save
    header, arrays = _packed(segments)
    with new_file(path) as place:
        place.write_bytes(save(arrays, metadata={_HEADER: header}))


def read_npz(path: Path) -> Segments:
    """Read what `write_npz` wrote.

    Raises
    ------
    MediaError
        It is no NumPy archive, damaged, or holds something else.
    InvalidArgumentError, InvalidTypeError
        Its content does not fit together.
    """
    if not path.exists():
        raise MediaError(f"{path}: no such file")
    try:
        # Damaged archives raise any of these; RuntimeError is what zipfile says of passwords and unknown compressions.
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            arrays = {name: archive[name] for name in getattr(archive, "files", ())}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        reason = "it holds Python objects, which may run code" if "pickle" in str(error) else "damaged, or another file"
        raise MediaError(f"{path}: expected a NumPy archive of segments, got what cannot be read ({reason})") from error
    except MemoryError as error:
        raise MediaError(f"{path}: expected a NumPy archive of segments, got more than fits the memory") from error
    arrays = {name: array for name, array in arrays.items() if isinstance(array, np.ndarray)}
    header = arrays.pop(_HEADER, None)
    if header is None or header.dtype != np.uint8:
        raise MediaError(f"{path}: expected a NumPy archive of segments, got one without their header")
    return _unpacked(header.tobytes(), arrays)


def read_safetensors(path: Path) -> Segments:
    """Read what `write_safetensors` wrote; raises as `read_npz`."""
    module = _safetensors()
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        raise MediaError(f"{path}: no such file")
    try:
        with safe_open(path, framework="np") as opened:
            header = (opened.metadata() or {}).get(_HEADER)
        arrays = module.load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        # The last three: a dtype that NumPy does not have.
        raise MediaError(f"{path}: expected segments as safetensors, got what cannot be read ({error})") from error
    if header is None:
        raise MediaError(f"{path}: expected segments as safetensors, got some without their header")
    return _unpacked(header.encode(), arrays)


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise MissingDependencyError("safetensors", "diffusers") from error
    return safetensors.numpy


def _packed(segments: Segments) -> tuple[str, dict[str, NDArray[Any]]]:
    """Return the header, and arrays with all sightings of all tracks. A mask of several frames is in once."""
    numbers: dict[int, int] = {}
    masks: list[Mask] = []
    index = []
    for track in segments.tracks:
        for mask in track.masks:
            if mask is not None and id(mask) not in numbers:
                numbers[id(mask)] = len(masks)
                masks.append(mask)
            index.append(_NO_MASK if mask is None else numbers[id(mask)])
    tracks = segments.tracks
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        "frame_size": list(segments.frame_size),
        "frame_count": segments.frame_count,
        "tracks": [
            {
                "id": track.id,
                "label": track.label,
                "frames": len(track.frames),
                "crop_region": track.crop_region,
                "bbox": track.bbox,
                "shot": track.shot,
                "shape": track.shape,
                "path_frames": track.crop_region.frames if isinstance(track.crop_region, CropPath) else 0,
            }
            for track in tracks
        ],
    }
    paths = [track.crop_region for track in tracks if isinstance(track.crop_region, CropPath)]
    return json.dumps(header), {
        "frames": np.concatenate([np.empty(0, np.int64), *(track.frames for track in tracks)]),
        "boxes": np.concatenate([np.empty((0, 4)), *(track.boxes for track in tracks)]),
        "confidence": np.concatenate([np.empty(0), *(track.confidence for track in tracks)]),
        "mask_index": np.array(index, np.int64),
        "mask_places": np.array([mask.place for mask in masks], np.int64).reshape(-1, 4),
        "mask_soft": np.array([mask.soft for mask in masks], np.uint8),
        "mask_data": np.concatenate([np.empty(0, np.uint8), *(mask.data for mask in masks)]),
        "path_regions": np.concatenate([np.empty((0, 4)), *(path.regions for path in paths)]),
        "path_alpha": np.concatenate([np.empty(0, np.float32), *(path.alpha for path in paths)]),
    }


def _unpacked(header: bytes, arrays: dict[str, NDArray[Any]]) -> Segments:
    fields = _header(header)
    size = check_frame_size("frame_size", list_of(fields.get("frame_size"), "frame_size"))
    entries = [dict_of(entry, f"tracks[{i}]") for i, entry in enumerate(list_of(fields.get("tracks"), "tracks"))]
    counts = [whole_of(entry.get("frames"), f"tracks[{i}].frames") for i, entry in enumerate(entries)]
    rows = sum(counts)
    for name, (dtype, columns) in _ARRAYS.items():
        _check_array(arrays, name, dtype, columns, None if name.startswith("mask_") else rows)
    index = arrays["mask_index"]
    masks = _masks(arrays, size)
    if len(index) != rows or (rows and not (int(index.min()) >= _NO_MASK and int(index.max()) < len(masks))):
        raise InvalidArgumentError("mask_index", f"{rows} numbers from -1 to {len(masks) - 1}", shown(index.tolist()))
    paths = _crop_paths(entries, arrays)
    tracks = []
    start = 0
    for number, (entry, count) in enumerate(zip(entries, counts, strict=True)):
        own = slice(start, start + count)
        start += count
        place = f"tracks[{number}]"
        tracks.append(
            Track(
                whole_of(entry.get("id"), f"{place}.id"),
                text_of(entry.get("label"), f"{place}.label"),
                arrays["frames"][own],
                arrays["boxes"][own],
                arrays["confidence"][own],
                [None if i == _NO_MASK else masks[i] for i in index[own].tolist()],
                paths[number] or _region(entry.get("crop_region"), f"{place}.crop_region", least=1),
                _region(entry.get("bbox"), f"{place}.bbox", least=0),
                shot_of(entry.get("shot"), f"{place}.shot"),
                shape_of(entry.get("shape"), f"{place}.shape"),
            )
        )
    return Segments(size, whole_of(fields.get("frame_count"), "frame_count"), tuple(tracks))


def _crop_paths(entries: list[dict[str, Any]], arrays: dict[str, NDArray[Any]]) -> list[CropPath | None]:
    """Return the crop of each track that moves."""
    counts = [whole_of(entry.get("path_frames", 0), f"tracks[{i}].path_frames") for i, entry in enumerate(entries)]
    if not any(counts):
        return [None] * len(entries)
    for name, (dtype, columns) in _PATHS.items():
        _check_array(arrays, name, dtype, columns, sum(counts))
    paths: list[CropPath | None] = []
    start = 0
    for count in counts:
        own = slice(start, start + count)
        start += count
        paths.append(CropPath(arrays["path_regions"][own], arrays["path_alpha"][own]) if count else None)
    return paths


def _header(text: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidArgumentError(_HEADER, "JSON", f"what cannot be read ({error})") from error
    if not isinstance(fields, dict) or fields.get("format") != _FORMAT:
        raise InvalidArgumentError(_HEADER, f"format {_FORMAT!r}", shown(fields))
    if fields.get("version") != _VERSION:
        raise InvalidArgumentError(f"{_HEADER}: version", f"{_VERSION}", shown(fields.get("version")))
    return fields


def _check_array(arrays: dict[str, NDArray[Any]], name: str, dtype: str, columns: int | None, rows: int | None) -> None:
    array = arrays.get(name)
    if array is None:
        raise InvalidArgumentError(name, f"an array of {dtype}", "none")
    if array.dtype != dtype:
        raise InvalidTypeError(name, dtype, str(array.dtype))
    shape = (len(array) if array.ndim and rows is None else rows, *([columns] if columns else []))
    if array.shape != shape:
        raise InvalidArgumentError(name, f"shape {shape}", f"shape {array.shape}")


def _masks(arrays: dict[str, NDArray[Any]], size: tuple[int, int]) -> list[Mask]:
    places, soft, data = arrays["mask_places"], arrays["mask_soft"], arrays["mask_data"]
    if len(soft) != len(places):
        raise InvalidArgumentError("mask_soft", f"{len(places)} values", f"{len(soft)}")
    height, width = size
    corners = np.concatenate([places[:, :2], places[:, 2:]])
    if len(places) and (
        (places[:, 2:] < places[:, :2]).any() or (corners < 0).any() or (corners > (width, height)).any()
    ):
        raise InvalidArgumentError("mask_places", f"places in the frame of {width}x{height} pixels", "others")
    pixels = np.prod(places[:, 2:] - places[:, :2], axis=1, dtype=np.int64)
    lengths = np.where(soft != 0, pixels, -(-pixels // 8))
    if int(lengths.sum()) != len(data):
        raise InvalidArgumentError("mask_data", f"{int(lengths.sum())} bytes", f"{len(data)}")
    ends = np.cumsum(lengths).tolist()
    return [
        Mask(_box(place), bool(is_soft), data[end - length : end])
        for place, is_soft, end, length in zip(places.tolist(), soft, ends, lengths.tolist(), strict=True)
    ]


def _box(values: list[int]) -> Box:
    x1, y1, x2, y2 = values
    return x1, y1, x2, y2


def _region(value: Any, place: str, *, least: int) -> Box | None:
    """Return a region with sides of at least so many pixels; it may pass the frame."""
    if value is None:
        return None
    items = list_of(value, place)
    if (
        len(items) != 4
        or not all(type(v) is int and abs(v) <= 1 << 30 for v in items)
        or items[2] - items[0] < least
        or items[3] - items[1] < least
    ):
        raise InvalidArgumentError(place, f"[x1, y1, x2, y2] of at least {least} pixels each way", shown(items))
    return _box(items)
