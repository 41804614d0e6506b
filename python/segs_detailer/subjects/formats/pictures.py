"""Masks as image files: gray pictures, one sequence for each track, or palette pictures with an index for each."""

from __future__ import annotations

import colorsys
import re
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from segs_detailer.errors import InvalidArgumentError, MediaError
from segs_detailer.subjects.boxes import pixel_box
from segs_detailer.subjects.formats.claims import masks_within_limit
from segs_detailer.subjects.formats.mask_files import (
    LEVELS_MARK,
    MaskFile,
    check_size,
    has_colored_palette,
    opened_image,
)
from segs_detailer.subjects.formats.new_files import new_file, new_folder
from segs_detailer.subjects.mask import Mask, label_regions
from segs_detailer.subjects.sightings import Sighting, gather
from segs_detailer.subjects.track import Track, Tracks
from segs_detailer.video.partial import check_place
from segs_detailer.video.sequences import IMAGE_SUFFIXES, NumberedName, find_images, is_pattern, label_of, pictures_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["is_palette", "read_davis", "read_pictures", "shown_mask", "write_davis", "write_pictures"]

_MAX_INDEX = 255
_IN_FOLDERS = NumberedName("", ".png", 5)
_FOLDER = re.compile(r"(\d+)(?:_(.*))?")
# Masks are flat: a higher level makes them a little smaller and takes several times as long.
_PNG_LEVEL = 1


# Reading


def read_pictures(path: Path, *, fill_gaps: bool = False) -> Tracks:
    """Read gray masks, white where a track is; see `MaskFile` for what is white.

    Parameters
    ----------
    path : Path
        A folder, a numbered name, a wildcard or one picture: one track, by the name of the folder. A folder of
        folders: one track for each, by their names, such as `001_face`.
    fill_gaps : bool
        Where a number of the sequence is missing, take the picture before again.

    Raises
    ------
    MediaError
        A file is missing, damaged, or of another size than the first; a number of the sequence is missing.
    """
    folders = _track_folders(path)
    if not folders:
        masks, size = _gray_sequence(str(path), find_images(path, fill_gaps=fill_gaps).warn().files)
        return Tracks(size, len(masks), (_of_masks(1, _name(path), masks),))
    tracks: list[Track] = []
    sizes, counts = [], []
    for index, folder in enumerate(folders):
        masks, size = _gray_sequence(str(folder), find_images(folder, fill_gaps=fill_gaps).warn().files)
        sizes.append(size)
        counts.append(len(masks))
        if (sizes[-1], counts[-1]) != (sizes[0], counts[0]):
            expected = f"{counts[0]} pictures of {sizes[0][1]}x{sizes[0][0]}, as in {folders[0].name}"
            raise MediaError(f"{folder}: expected {expected}, got {counts[-1]} of {size[1]}x{size[0]}")
        number, label = _folder_name(folder, index)
        tracks.append(_of_masks(number, label, masks))
    return Tracks(sizes[0], counts[0], tuple(tracks))


def _name(path: Path) -> str:
    """Return a label: the name of the folder, or what a file's name begins with."""
    stem = path.name if path.is_dir() else label_of(path)
    return stem or path.parent.name or "mask"


def _track_folders(path: Path) -> list[Path]:
    """Return the folders in a folder that has no pictures itself."""
    if not path.is_dir() or pictures_in(path):
        return []
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _folder_name(folder: Path, index: int) -> tuple[int, str]:
    found = _FOLDER.fullmatch(folder.name)
    return (int(found[1]), found[2] or "object") if found else (index + 1, folder.name)


def _of_masks(number: int, label: str, masks: Sequence[Mask]) -> Track:
    seen = [frame for frame, mask in enumerate(masks) if not mask.empty]
    shown = [masks[frame] for frame in seen]
    return Track(number, label, seen, [mask.place for mask in shown], 1.0, shown)


def _gray_sequence(name: str, files: Sequence[Path]) -> tuple[list[Mask], tuple[int, int]]:
    found = MaskFile.of_pictures(name, files)
    found.warn("read pictures of numbers, or with a palette of colors, by format davis")
    return [Mask.from_pixels(levels) for levels in found.levels()], found.size


def is_palette(path: Path) -> bool:
    """Whether the pictures of a sequence have indices of a palette in colors: one for each track."""
    if _track_folders(path):
        return False
    # A hole is told where the pictures are read.
    with opened_image(find_images(path, fill_gaps=True).files[0]) as image:
        return image.mode == "P" and has_colored_palette(image)


def read_davis(path: Path, *, fill_gaps: bool = False) -> Tracks:
    """Read pictures whose pixels are numbers of tracks, 0 for none: palette pictures as in DAVIS, or gray ones.

    Gray ones may have 8, 16 or 32 bits.

    Parameters
    ----------
    path : Path
        A folder, a numbered name, a wildcard or one picture.
    fill_gaps : bool
        As for `read_pictures`.

    Raises
    ------
    MediaError
        As `read_pictures`; a picture in colors.
    """
    files = find_images(path, fill_gaps=fill_gaps).warn().files
    sightings: list[Sighting] = []
    size = (0, 0)
    for frame, file in enumerate(files):
        with opened_image(file) as image:
            if image.mode not in ("P", "L", "1", "I") and not image.mode.startswith("I;16"):
                raise MediaError(f"{file}: expected indices of a palette, got an image of mode {image.mode}")
            size = size if frame else (image.height, image.width)
            # Before it is decoded.
            check_size(file, (image.height, image.width), size)
            pixels = np.asarray(image)
        numbers = pixels.astype(np.int64 if image.mode == "I" else np.uint16)
        for index, (x1, y1, _, _), inside in label_regions(numbers, str(file)):
            mask = Mask.from_pixels(inside, (x1, y1))
            sightings.append(Sighting(frame, None, f"object {index}", index, mask=mask, place=str(file)))
    return Tracks(size, len(files), gather(masks_within_limit(sightings)))


# Writing


def write_pictures(path: Path, tracks: Tracks, *, overwrite: bool = False) -> None:
    """Write gray masks: one track as `path/00000.png`, several as `path/001_label/00000.png`.

    Parameters
    ----------
    path : Path
        A folder; for a single track also a numbered name (`mask_%05d.png`), or one picture for one frame.
    tracks : Tracks
        What to write: white is 255. A track without masks is its box.
    overwrite : bool
        Remove the pictures that an earlier run wrote there.

    Raises
    ------
    MediaError
        It cannot be written there, or there are other pictures.
    """
    if not tracks:
        raise MediaError(f"{path}: expected at least one track for a mask sequence, got none")
    if len(tracks) == 1:
        [only] = tracks
        pictures = ((frame, "L") for frame in _levels(tracks, only))
        _write_sequence(path, tracks, pictures, overwrite=overwrite)
        return
    if is_pattern(path) or path.suffix.lower() in IMAGE_SUFFIXES:
        raise MediaError(f"{path}: expected a folder for {len(tracks)} tracks (or format='davis'), got a file name")
    names = [f"{track.id:03d}_{_safe(track.label)}" for track in tracks]
    check_place(path)
    with new_folder(path, mixing=_pictures_below(path), alone=True, overwrite=overwrite) as place:
        for name, track in zip(names, tracks, strict=True):
            (place / name).mkdir()
            for frame, levels in enumerate(_levels(tracks, track)):
                _save(place / name / f"{frame:05d}.png", Image.fromarray(levels))


def _pictures_below(folder: Path) -> list[str]:
    """Return the pictures that a folder of folders would be read with, relative to it."""
    if not folder.is_dir():
        return []
    parts = [folder, *(part for part in folder.iterdir() if part.is_dir() and not part.name.startswith("."))]
    return [file.relative_to(folder).as_posix() for part in parts for file in pictures_in(part)]


def _safe(label: str) -> str:
    return re.sub(r"[^\w-]+", "-", label).strip("-") or "object"


def shown_mask(tracks: Tracks, track: Track, index: int) -> Mask:
    """Return the mask of the track's `index`-th sighting, or its box where it has none."""
    mask = track.masks[index]
    if mask is not None:
        return mask
    return Mask.filled(pixel_box(track.boxes[index], tracks.frame_size) or (0, 0, 0, 0))


def _levels(tracks: Tracks, track: Track) -> Iterator[NDArray[np.uint8]]:
    places = {frame: index for index, frame in enumerate(track.frames.tolist())}
    for frame in range(tracks.frame_count):
        levels = np.zeros(tracks.frame_size, np.uint8)
        if frame in places:
            shown_mask(tracks, track, places[frame]).paint(levels)
        yield levels


def _write_sequence(
    path: Path, tracks: Tracks, pictures: Iterator[tuple[NDArray[np.uint8], str]], *, overwrite: bool
) -> None:
    """Write numbered files, of which `path` says the folder and the name."""
    pattern = NumberedName.of(path)
    if path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir():
        if path.suffix.lower() != ".png":
            raise MediaError(f"{path}: expected a .png, which loses nothing, got {path.suffix}")
        if pattern is None and tracks.frame_count != 1:
            example = path.with_name(f"{path.stem}_%05d.png")
            raise MediaError(f"{path}: one image cannot hold {tracks.frame_count} frames: write to {example}")
        folder = path.parent
    else:
        check_place(path)
        folder, pattern = path, None
    there = pictures_in(folder) if folder.is_dir() else []
    if folder != path and pattern is None:
        levels, mode = next(pictures)
        with new_file(path) as place:
            _save(place, _image(levels, mode))
        return
    mixing = [file.name for file in there if pattern is None or pattern.number(file.name) is not None]
    pattern = pattern or _IN_FOLDERS
    with new_folder(folder, mixing=mixing, alone=folder == path, overwrite=overwrite) as place:
        for frame, (levels, mode) in enumerate(pictures):
            _save(place / pattern.name(frame), _image(levels, mode))


def _image(levels: NDArray[np.uint8], mode: str) -> Image.Image:
    image = Image.fromarray(levels)
    if mode == "P":
        image.putpalette(_palette())
    return image


def _palette() -> list[int]:
    """Colors that are easy to tell apart, black first: each hue is a golden section away from the one before."""
    colors = [0, 0, 0]
    for index in range(1, _MAX_INDEX + 1):
        hue = index * 0.618034 % 1.0
        value = (1.0, 0.75, 0.9, 0.6)[index % 4]
        colors += [round(255 * part) for part in colorsys.hsv_to_rgb(hue, (0.9, 0.7, 0.55)[index % 3], value)]
    return colors


def _save(path: Path, image: Image.Image) -> None:
    mark = PngInfo()
    if image.mode == "L":
        mark.add_text(*LEVELS_MARK)
    image.save(path, compress_level=_PNG_LEVEL, pnginfo=mark)


def write_davis(path: Path, tracks: Tracks, *, overwrite: bool = False) -> None:
    """Write palette pictures: the index is the track's id, or its place where an id is 0 or above 255.

    Parameters
    ----------
    path : Path
        A folder, a numbered name, or one picture for one frame.
    tracks : Tracks
        At most 255 tracks. Levels from 128 on count; where tracks overlap, the later one is seen.
    overwrite : bool
        As for `write_pictures`.

    Raises
    ------
    MediaError
        It cannot be written there, or there are other pictures.
    InvalidArgumentError
        Too many tracks.
    """
    if len(tracks) > _MAX_INDEX:
        raise InvalidArgumentError("tracks", f"at most {_MAX_INDEX} for palette pictures", f"{len(tracks)}")
    fits = all(1 <= track.id <= _MAX_INDEX for track in tracks)
    indices = [track.id if fits else place + 1 for place, track in enumerate(tracks)]
    _write_sequence(path, tracks, ((levels, "P") for levels in _indices(tracks, indices)), overwrite=overwrite)


def _indices(tracks: Tracks, indices: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
    places = [{frame: index for index, frame in enumerate(track.frames.tolist())} for track in tracks]
    for frame in range(tracks.frame_count):
        levels = np.zeros(tracks.frame_size, np.uint8)
        for number, track, own in zip(indices, tracks, places, strict=True):
            if frame in own:
                shown_mask(tracks, track, own[frame]).paint_index(levels, number)
        yield levels
