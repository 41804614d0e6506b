"""SEGS files: everything that `Tracks` holds, as a NumPy archive or as safetensors, each with a JSON header.

Neither runs code when it is read: there are no pickled objects in them, and those of others are refused.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.checks import shown
from segs_detailer.crop_path import CropPath
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, MediaError, MissingDependencyError
from segs_detailer.subjects.boxes import check_frame_size
from segs_detailer.subjects.formats.claims import MAX_UNPACKED, Claim, member_claim
from segs_detailer.subjects.formats.fields import dict_of, list_of, shape_of, shot_of, text_of, whole_of
from segs_detailer.subjects.formats.new_files import new_file
from segs_detailer.subjects.mask import Mask
from segs_detailer.subjects.track import MAX_FRAMES, Track, Tracks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from segs_detailer.segs import Box

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
# How far they are turned; only where any is.
_TURNS: dict[str, tuple[str, int | None]] = {"path_angles": ("float64", None)}
# Optional arrays with a row for each sighting; NaN is not known. Files of earlier versions have none.
_KNOWN: dict[str, tuple[str, int | None]] = {"landmarks": ("float64", 10), "angles": ("float64", None)}
_OF_MASKS = ("mask_places", "mask_soft", "mask_data")
_NO_MASK = -1
_MEMBER = ".npy"

_MOST_HEADER = 1 << 24
"""Bytes of the header: as Python's objects it takes thirty times as many."""


def write_npz(path: Path, tracks: Tracks) -> None:
    """Write a NumPy archive."""
    header, arrays = _packed(tracks)
    _check_total(array.nbytes for array in arrays.values())
    arrays[_HEADER] = np.frombuffer(header.encode(), np.uint8)
    with new_file(path) as place, place.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def write_safetensors(path: Path, tracks: Tracks) -> None:
    """Write safetensors, with the header in their metadata."""
    save = _safetensors().save
    header, arrays = _packed(tracks)
    _check_total(array.nbytes for array in arrays.values())
    with new_file(path) as place:
        place.write_bytes(save(arrays, metadata={_HEADER: header}))


def read_npz(path: Path) -> Tracks:
    """Read what `write_npz` wrote. What the archive claims to hold is looked at before any of it is unpacked.

    Raises
    ------
    MediaError
        It is no NumPy archive, damaged, or holds something else.
    InvalidArgumentError, InvalidTypeError
        Its content does not fit together, or is more than may be unpacked.
    """
    if not path.exists():
        raise MediaError(f"{path}: no such file")
    try:
        # Damaged archives raise any of these; RuntimeError is what zipfile says of passwords and unknown compressions,
        # SyntaxError what NumPy says of an array's header.
        with zipfile.ZipFile(path) as archive, np.load(path, allow_pickle=False) as loaded:
            return _read_members(path, archive, loaded)
    except MediaError:
        raise
    except (InvalidArgumentError, InvalidTypeError):
        raise
    except (
        OSError,
        ValueError,
        EOFError,
        KeyError,
        SyntaxError,
        zipfile.BadZipFile,
        zlib.error,
        RuntimeError,
    ) as error:
        reason = "damaged, or another file"
        raise MediaError(f"{path}: expected a NumPy archive of tracks, got what cannot be read ({reason})") from error
    except MemoryError as error:
        raise MediaError(f"{path}: expected a NumPy archive of tracks, got more than fits the memory") from error


def _read_members(path: Path, archive: zipfile.ZipFile, loaded: Any) -> Tracks:
    claims = {}
    for member in archive.infolist():
        if member.filename.endswith(_MEMBER):
            claim = member_claim(archive, member)
            if claim.has_objects:
                reason = "it holds Python objects, which may run code"
                raise MediaError(f"{path}: expected a NumPy archive of tracks, got what cannot be read ({reason})")
            claims[member.filename.removesuffix(_MEMBER)] = claim
    header = claims.pop(_HEADER, None)
    if header is None or header.dtype != "uint8":
        raise MediaError(f"{path}: expected a NumPy archive of tracks, got one without their header")
    if header.bytes > _MOST_HEADER:
        raise InvalidArgumentError(_HEADER, f"at most {_MOST_HEADER} bytes", f"{header.bytes}")
    return _unpacked(loaded[_HEADER].tobytes(), claims, loaded.__getitem__)


def read_safetensors(path: Path) -> Tracks:
    """Read what `write_safetensors` wrote; raises as `read_npz`."""
    _safetensors()
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        raise MediaError(f"{path}: no such file")
    try:
        with safe_open(path, framework="np") as opened:
            header = (opened.metadata() or {}).get(_HEADER)
            if header is None:
                raise MediaError(f"{path}: expected tracks as safetensors, got some without their header")
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 - it is no mapping
            claims = {
                name: Claim(_dtype_of(part.get_dtype()), tuple(part.get_shape())) for name, part in slices.items()
            }
            return _unpacked(header.encode(), claims, opened.get_tensor)
    except (MediaError, InvalidArgumentError, InvalidTypeError):
        raise
    except (SafetensorError, OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        # The last three: a dtype that NumPy does not have.
        raise MediaError(f"{path}: expected tracks as safetensors, got what cannot be read ({error})") from error


def _dtype_of(name: str) -> str:
    """Return NumPy's name of a dtype of safetensors; others stay, and are refused where they are not expected."""
    return {"I64": "int64", "F64": "float64", "F32": "float32", "U8": "uint8"}.get(name, name)


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise MissingDependencyError("safetensors", "diffusers") from error
    return safetensors.numpy


def _packed(tracks: Tracks) -> tuple[str, dict[str, NDArray[Any]]]:
    """Return the header, and arrays with all sightings of all tracks. A mask of several frames is in once."""
    numbers: dict[int, int] = {}
    masks: list[Mask] = []
    index = []
    for track in tracks:
        for mask in track.masks:
            if mask is not None and id(mask) not in numbers:
                numbers[id(mask)] = len(masks)
                masks.append(mask)
            index.append(_NO_MASK if mask is None else numbers[id(mask)])
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        "frame_size": list(tracks.frame_size),
        "frame_count": tracks.frame_count,
        "tracks": [
            {
                "id": track.id,
                "label": track.label,
                "frames": len(track.frames),
                "crop_region": track.crop_region,
                "bbox": track.bbox,
                "shot": track.shot,
                "shape": track.shape,
                "identity": track.identity,
                "path_frames": track.crop_region.frames if isinstance(track.crop_region, CropPath) else 0,
            }
            for track in tracks
        ],
    }
    paths = [track.crop_region for track in tracks if isinstance(track.crop_region, CropPath)]
    arrays = {
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
    if any(path.is_turned for path in paths):
        arrays["path_angles"] = np.concatenate([path.angles for path in paths])
    for name, (_, columns) in _KNOWN.items():
        if any(getattr(track, name) is not None for track in tracks):
            arrays[name] = np.concatenate([_known(track, name, columns) for track in tracks])
    return json.dumps(header), arrays


def _known(track: Track, name: str, columns: int | None) -> NDArray[np.float64]:
    """Return a row for each sighting of a track, of NaN where it knows nothing."""
    rows = len(track.frames)
    shape = (rows, columns) if columns else (rows,)
    values: NDArray[np.float64] | None = getattr(track, name)
    return np.full(shape, np.nan) if values is None else values.reshape(shape)


def _unpacked(header: bytes, claims: Mapping[str, Claim], read: Callable[[str], NDArray[Any]]) -> Tracks:
    """Hold what arrays claim to be against the header and each other, then read them."""
    fields = _header(header)
    size = check_frame_size("frame_size", list_of(fields.get("frame_size"), "frame_size"))
    entries = [dict_of(entry, f"tracks[{i}]") for i, entry in enumerate(list_of(fields.get("tracks"), "tracks"))]
    counts = [_count_of(entry.get("frames"), f"tracks[{i}].frames") for i, entry in enumerate(entries)]
    path_counts = [
        _count_of(entry.get("path_frames", 0), f"tracks[{i}].path_frames") for i, entry in enumerate(entries)
    ]
    rows = sum(counts)
    known = {name: kind for name, kind in _KNOWN.items() if name in claims}
    turns = {name: kind for name, kind in _TURNS.items() if name in claims}
    of_paths = _PATHS | turns if any(path_counts) else {}
    wanted = dict(_ARRAYS) | of_paths | known
    for name, (dtype, columns) in wanted.items():
        expected = sum(path_counts) if name in of_paths else None if name.startswith("mask_") else rows
        _check_claim(claims, name, dtype, columns, expected)
    _check_masks(claims, rows)
    _check_total(claims[name].bytes for name in wanted)
    masks = _masks(read("mask_places"), read("mask_soft"), size, claims["mask_data"], read)
    arrays = {name: read(name) for name in wanted if name not in _OF_MASKS}
    index = arrays["mask_index"]
    if rows and not (int(index.min()) >= _NO_MASK and int(index.max()) < len(masks)):
        raise InvalidArgumentError("mask_index", f"{rows} numbers from -1 to {len(masks) - 1}", shown(index.tolist()))
    paths = _crop_paths(path_counts, arrays)
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
                landmarks=arrays["landmarks"][own].reshape(-1, 5, 2) if "landmarks" in arrays else None,
                angles=arrays["angles"][own] if "angles" in arrays else None,
                identity=text_of(entry.get("identity", ""), f"{place}.identity"),
            )
        )
    return Tracks(size, whole_of(fields.get("frame_count"), "frame_count"), tuple(tracks))


def _count_of(value: Any, place: str) -> int:
    count = whole_of(value, place)
    if count > MAX_FRAMES:
        raise InvalidArgumentError(place, f"at most {MAX_FRAMES} frames", f"{count}")
    return count


def _crop_paths(counts: list[int], arrays: dict[str, NDArray[Any]]) -> list[CropPath | None]:
    """Return the crop of each track that moves."""
    paths: list[CropPath | None] = []
    start = 0
    for count in counts:
        own = slice(start, start + count)
        start += count
        angles = arrays["path_angles"][own] if "path_angles" in arrays else None
        paths.append(CropPath(arrays["path_regions"][own], arrays["path_alpha"][own], angles) if count else None)
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


def _check_claim(claims: Mapping[str, Claim], name: str, dtype: str, columns: int | None, rows: int | None) -> None:
    claim = claims.get(name)
    if claim is None:
        raise InvalidArgumentError(name, f"an array of {dtype}", "none")
    if claim.dtype != dtype:
        raise InvalidTypeError(name, dtype, claim.dtype)
    length = claim.shape[0] if claim.shape and rows is None else rows
    shape = (length, *([columns] if columns else []))
    if claim.shape != shape:
        raise InvalidArgumentError(name, f"shape {shape}", f"shape {claim.shape}")


def _check_masks(claims: Mapping[str, Claim], rows: int) -> None:
    """Check what the arrays of masks claim against the number of sightings."""
    count = claims["mask_places"].shape[0]
    if claims["mask_soft"].shape != (count,):
        raise InvalidArgumentError("mask_soft", f"{count} values", f"{claims['mask_soft'].shape[0]}")
    if claims["mask_index"].shape != (rows,):
        got = f"{claims['mask_index'].shape[0]}"
        raise InvalidArgumentError("mask_index", f"{rows} numbers from -1 to {count - 1}", got)
    if count > rows:
        raise InvalidArgumentError("mask_places", f"at most {rows} masks, one for each box", f"{count}")


def _check_total(sizes: Iterable[int]) -> None:
    total = sum(sizes)
    if total > MAX_UNPACKED:
        expected = f"at most {MAX_UNPACKED} bytes in all"
        raise InvalidArgumentError("arrays", f"{expected} (divide the clip)", f"{total}")


def _masks(
    places: NDArray[Any],
    soft: NDArray[Any],
    size: tuple[int, int],
    claim: Claim,
    read: Callable[[str], NDArray[Any]],
) -> list[Mask]:
    height, width = size
    wrong = (places[:, 2:] < places[:, :2]).any(1) | (places < 0).any(1) | (places[:, 2:] > (width, height)).any(1)
    if wrong.any():
        got = f"{places[wrong.argmax()].tolist()}"
        raise InvalidArgumentError("mask_places", f"places in the frame of {width}x{height} pixels", got)
    pixels = np.prod(places[:, 2:] - places[:, :2], axis=1, dtype=np.int64)
    lengths = np.where(soft != 0, pixels, -(-pixels // 8))
    if claim.shape != (int(lengths.sum()),):
        raise InvalidArgumentError("mask_data", f"{int(lengths.sum())} bytes", f"{claim.shape[0]}")
    data = read("mask_data")
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
