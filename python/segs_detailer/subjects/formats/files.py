"""Reading and writing tracks: the format is that of the file's name and content, or the one that is named."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from segs_detailer.checks import shown, whole_number
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, MediaError, unknown_name
from segs_detailer.subjects.boxes import check_frame_size
from segs_detailer.subjects.formats.archive import read_npz, read_safetensors, write_npz, write_safetensors
from segs_detailer.subjects.formats.boxes import is_boxes, parse_boxes, parse_table, write_boxes, write_table
from segs_detailer.subjects.formats.coco import is_coco, parse_coco, write_coco
from segs_detailer.subjects.formats.mask_video import read_video, write_video
from segs_detailer.subjects.formats.new_files import read_json, read_text
from segs_detailer.subjects.formats.pictures import is_palette, read_davis, read_pictures, write_davis, write_pictures
from segs_detailer.subjects.track import Tracks
from segs_detailer.video.local_path import local_path, output_path
from segs_detailer.video.sequences import IMAGE_SUFFIXES, VIDEO_SUFFIXES, is_pattern, names_several

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["FORMATS", "Format", "format_to_write", "read_tracks", "write_tracks"]

Size: TypeAlias = "tuple[int, int] | None"

_MOVING_SUFFIXES = (*VIDEO_SUFFIXES, ".gif")
_PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".npy", ".joblib")


@dataclass(frozen=True, slots=True)
class Format:
    """One format of files.

    Parameters
    ----------
    name : str
        As `format` takes it.
    files : str
        Names of its files, for messages.
    loses : str
        What it does not keep; empty where it keeps everything.
    read : callable
        Takes the path, the size and the number of frames where the file does not say, and whether holes in a sequence
        of pictures are filled.
    write : callable
        Takes the path, the tracks, and whether pictures of an earlier run are replaced.
    """

    name: str
    files: str
    loses: str
    read: Callable[[Path, Size, int | None, bool], Tracks]
    write: Callable[[Path, Tracks, bool], None]


def _read_coco(path: Path, size: Size, frame_count: int | None, _: bool) -> Tracks:
    return parse_coco(read_json(path), size=size, frame_count=frame_count)


def _read_boxes(path: Path, size: Size, frame_count: int | None, _: bool) -> Tracks:
    return parse_boxes(read_json(path), size=size, frame_count=frame_count)


def _read_table(path: Path, size: Size, frame_count: int | None, _: bool) -> Tracks:
    return parse_table(read_text(path), size=size, frame_count=frame_count)


_FACES = "landmarks, angles and identities"
_BOXES_LOSE = "masks, crop regions, landmarks and identities, tracks that are in no frame"
_TABLE_LOSES = (
    "masks, crop regions, shots and shapes, landmarks and identities, tracks that are in no frame, the size of the "
    "frames and their number"
)
_COCO_LOSES = (
    f"soft edges of masks (levels from 128 on count), crop regions, shots and shapes, {_FACES}, tracks that are in no "
    "frame"
)
_MASKS_LOSE = f"confidence, crop regions, shots and shapes, {_FACES}, boxes (they become the extents of the masks)"


def _one_file(write: Callable[[Path, Tracks], None]) -> Callable[[Path, Tracks, bool], None]:
    """Return how a format of one file is written: over an older one, either way."""
    return lambda path, tracks, _: write(path, tracks)


_ALL = (
    Format("npz", ".npz", "", lambda path, *_: read_npz(path), _one_file(write_npz)),
    Format("safetensors", ".safetensors", "", lambda path, *_: read_safetensors(path), _one_file(write_safetensors)),
    Format("coco", ".json", _COCO_LOSES, _read_coco, _one_file(write_coco)),
    Format("coco-counts", ".json", _COCO_LOSES, _read_coco, _one_file(partial(write_coco, shape="counts"))),
    Format("coco-polygons", ".json", _COCO_LOSES, _read_coco, _one_file(partial(write_coco, shape="polygons"))),
    Format("boxes", ".json", _BOXES_LOSE, _read_boxes, _one_file(write_boxes)),
    Format("csv", ".csv", _TABLE_LOSES, _read_table, _one_file(write_table)),
    Format(
        "masks",
        "a folder/, or mask_%05d.png",
        f"{_MASKS_LOSE}; of a single track also its id and label",
        lambda path, _size, _count, fill_gaps: read_pictures(path, fill_gaps=fill_gaps),
        lambda path, tracks, overwrite: write_pictures(path, tracks, overwrite=overwrite),
    ),
    Format(
        "davis",
        "a folder/, or mask_%05d.png",
        f"{_MASKS_LOSE}, labels, soft edges of masks (levels from 128 on count), and what an overlap hides",
        lambda path, _size, _count, fill_gaps: read_davis(path, fill_gaps=fill_gaps),
        lambda path, tracks, overwrite: write_davis(path, tracks, overwrite=overwrite),
    ),
    Format(
        "video",
        ".mkv, .avi, .mp4, .mov, .webm",
        f"{_MASKS_LOSE}, ids, labels and which track is which; all but .mkv and .avi also exact levels",
        lambda path, *_: read_video(path),
        _one_file(write_video),
    ),
)

FORMATS: dict[str, Format] = {item.name: item for item in _ALL}
"""All formats by their names."""


def read_tracks(
    path: str | Path,
    *,
    format: str | None = None,  # noqa: A002 - the name that callers expect
    size: Size = None,
    frame_count: int | None = None,
    fill_gaps: bool = False,
) -> Tracks:
    """Read the tracks of a clip from a file or a folder.

    Parameters
    ----------
    path : str or Path
        What to read: see `FORMATS`. Pickled files are never read.
    format : str or None
        Name of the format; None tells it by the name, and JSON and pictures by what they hold.
    size : (int, int) or None
        Height and width of the frames, for files that do not say: what a file says comes first.
    frame_count : int or None
        Number of frames, for files that do not say.
    fill_gaps : bool
        Where a number is missing in a sequence of pictures, take the one before again; else that is an error.

    Returns
    -------
    Tracks

    Raises
    ------
    MediaError
        The file is missing, damaged, or not as its format must be: the message names the place and what was expected.
    MissingDependencyError
        Its format needs a package that is not installed.
    InvalidArgumentError, InvalidTypeError
        `format`, `size` or `frame_count` cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from segs_detailer.subjects import Track, Tracks, read_tracks, write_tracks
    >>> face = Track(1, "face", [0, 1], [[10, 20, 30, 40], [12, 20, 32, 40]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_tracks(Path(folder) / "faces.json", Tracks((60, 100), 2, (face,)))
    ...     tracks = read_tracks(Path(folder) / "faces.json")
    >>> tracks.describe()
    '100x60, 2 frames, 1 track (none with masks)'
    """
    path = local_path(path)
    size = None if size is None else check_frame_size("size", size)
    count = None if frame_count is None else whole_number("frame_count", frame_count, minimum=1)
    chosen = _format("format", format) if format is not None else FORMATS[_format_to_read(path)]
    try:
        return chosen.read(path, size, count, fill_gaps)
    except (InvalidArgumentError, InvalidTypeError) as error:
        raise MediaError(f"{path}: {error}") from error


def write_tracks(
    path: str | Path,
    tracks: Tracks,
    *,
    format: str | None = None,  # noqa: A002 - the same
    overwrite: bool = False,
) -> None:
    """Write the tracks of a clip to a file or a folder, which appears when it is complete.

    Parameters
    ----------
    path : str or Path
        Where to.
    tracks : Tracks
        What to write.
    format : str or None
        Name of the format, one of `FORMATS`; None tells it by the path's name: JSON is `coco`, pictures are `masks`.
    overwrite : bool
        Where a folder holds pictures that an earlier run wrote, remove them, and nothing else. A single file is
        replaced either way.

    Raises
    ------
    MediaError
        It cannot be written there, or there are other pictures.
    MissingDependencyError
        Its format needs a package that is not installed.
    InvalidArgumentError, InvalidTypeError
        Another `format`; what is no `Tracks`; too many tracks for the format.

    Examples
    --------
    >>> from segs_detailer import Track, read_tracks, write_tracks
    >>> from segs_detailer.subjects import Tracks
    >>> face = Track(1, "face", range(3), [[10, 10, 30, 30]] * 3)
    >>> write_tracks("tracks.json", Tracks((48, 64), 3, (face,)))
    >>> [track.label for track in read_tracks("tracks.json").tracks]
    ['face']
    """
    if not isinstance(tracks, Tracks):
        raise InvalidTypeError("tracks", "Tracks (as_tracks makes them of other objects)", shown(tracks))
    target = output_path(path)
    is_folder = str(path).endswith(("/", "\\"))
    chosen = _format("format", format) if format is not None else format_to_write(target, is_folder=is_folder)
    chosen.write(target, tracks, overwrite)


def _format(argument: str, name: str) -> Format:
    if not isinstance(name, str):
        raise InvalidTypeError(argument, "text", shown(name))
    if name not in FORMATS:
        raise unknown_name(argument, name, FORMATS)
    return FORMATS[name]


def format_to_write(path: Path, *, is_folder: bool = False) -> Format:
    """Return the format that the name of a file to write says.

    Raises
    ------
    MediaError
        It says none.
    """
    suffix = path.suffix.lower()
    names = {".npz": "npz", ".safetensors": "safetensors", ".json": "coco", ".csv": "csv"}
    if suffix in names and not is_folder:
        return FORMATS[names[suffix]]
    if is_folder or path.is_dir() or not suffix or is_pattern(path) or suffix in IMAGE_SUFFIXES:
        return FORMATS["masks"]
    if suffix in _MOVING_SUFFIXES:
        return FORMATS["video"]
    raise MediaError(f"{path}: files of type {suffix} cannot be written: use {_known()}")


def _known() -> str:
    return ", ".join(dict.fromkeys(item.files for item in FORMATS.values()))


def _format_to_read(path: Path) -> str:
    suffix = path.suffix.lower()
    if path.is_dir() or names_several(path):
        return _picture_format(path)
    if not path.exists():
        raise MediaError(f"{path}: no such file")
    if suffix in (".npz", ".safetensors", ".csv"):
        return suffix[1:]
    if suffix == ".json":
        return _json_format(path)
    if suffix in IMAGE_SUFFIXES:
        return _picture_format(path)
    if suffix in _MOVING_SUFFIXES:
        return "video"
    if suffix in _PICKLES:
        raise MediaError(f"{path}: expected {_known()}, got a type of file that may hold code, which is never read")
    raise MediaError(f"{path}: expected {_known()}, got a file of type {suffix or 'unknown'}")


def _picture_format(path: Path) -> str:
    return "davis" if is_palette(path) else "masks"


def _json_format(path: Path) -> str:
    content = read_json(path)
    if is_coco(content):
        return "coco"
    if is_boxes(content):
        return "boxes"
    expected = "COCO (images and annotations, or results), or boxes (tracks, or objects with frame and box)"
    raise MediaError(f"{path}: expected {expected}, got JSON of neither kind")
