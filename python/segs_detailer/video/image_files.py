"""Clips as image files: their pixels, read and written."""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from segs_detailer.errors import MediaError
from segs_detailer.video.clip import DEFAULT_RATE, ClipInfo, Picture
from segs_detailer.video.deep_images import is_deep, load_deep, save_deep
from segs_detailer.video.image_tags import ImageTags, tags_of, to_rgb
from segs_detailer.video.partial import PartialFile, PartialFolder, check_place
from segs_detailer.video.sequences import IMAGE_SUFFIXES, NumberedName, find_images, pictures_in
from segs_detailer.video.transparency import opaque_as_none, with_depth

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction
    from types import TracebackType

    from numpy.typing import NDArray

__all__ = [
    "IMAGE_ERRORS",
    "CopyPixels",
    "ImageSink",
    "ImageSource",
    "load_image",
    "to_bytes",
    "too_large",
]

IMAGE_ERRORS = (
    OSError,
    SyntaxError,
    EOFError,
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow raises about files that are damaged or no images."""

_DEEP_SUFFIXES = (".png", ".tif", ".tiff")
_ALPHA_SUFFIXES = (".png", ".webp", ".tif", ".tiff")
_JPEG_QUALITY = 95
# Level 6, Pillow's default, is three times slower and 3 % smaller.
_PNG_LEVEL = 3


def load_image(path: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Pixels `(H, W, 3)`, and alpha `(H, W)` where the image is partly transparent; both uint8, or both uint16.

    Raises
    ------
    MediaError
        The file is missing or is not an image.
    """
    if not path.exists():
        raise MediaError(f"{path}: no such file")
    try:
        with Image.open(path) as opened:
            if is_deep(opened):
                opened.verify()
                return load_deep(path, opened)
            image = ImageOps.exif_transpose(opened)
            if image.mode in ("RGBA", "RGBa", "LA", "PA") or "transparency" in image.info:
                rgba = np.asarray(image.convert("RGBA"))
                return np.ascontiguousarray(rgba[..., :3]), opaque_as_none(np.ascontiguousarray(rgba[..., 3]))
            return np.asarray(to_rgb(image)), None
    except MediaError:
        raise
    except IMAGE_ERRORS as error:
        reason = "it is empty" if path.stat().st_size == 0 else "not an image, or damaged"
        if isinstance(error, Image.DecompressionBombError):
            reason = too_large(error)
        raise MediaError(f"{path}: cannot be read ({reason})") from error


def too_large(error: Image.DecompressionBombError) -> str:
    """Say what an image claims to be that Pillow does not open."""
    pixels, limit = (int(number) for number in re.findall(r"\d+", str(error))[:2])
    return f"it claims to have {pixels} pixels: no more than {limit} are opened"


@dataclass(frozen=True, slots=True)
class CopyPixels:
    """Writes integer pixels as float32 in [0, 1]."""

    pixels: NDArray[Any]

    def __call__(self, out: NDArray[np.float32]) -> None:
        """Fill `out` `(H, W, 3)`."""
        np.divide(self.pixels, np.float32(np.iinfo(self.pixels.dtype).max), out=out)


class ImageSource:
    """Image files as a clip.

    Parameters
    ----------
    path : Path
        A folder, a numbered name (`frame_%04d.png`), a wildcard (`*.png`), or one file.
    rate : Fraction or None
        Frames per second; None is 24.
    fill_gaps : bool
        Where a number is missing, show the frame before again.

    Raises
    ------
    MediaError
        A file is missing, is no image, or has another size than the first.
    """

    def __init__(self, path: Path, rate: Fraction | None = None, *, fill_gaps: bool = False) -> None:
        found = find_images(path, fill_gaps=fill_gaps).warn()
        first, _ = load_image(found.files[0])
        _warn_of_inks(found.files[0])
        rate = rate or DEFAULT_RATE
        self._files = found.files
        self._info = ClipInfo(
            path=path,
            kind="images",
            size=(first.shape[0], first.shape[1]),
            times=tuple(range(len(found.files) + 1)),
            time_base=1 / rate,
            rate=rate,
            bits=first.dtype.itemsize * 8,
            names=found.names,
            files=found.files,
            first_number=found.first_number,
        )

    @property
    def info(self) -> ClipInfo:
        """Description of the sequence."""
        return self._info

    def pictures(self) -> Iterator[Picture]:
        """Load one file after the other."""
        return map(self.picture, range(len(self._files)))

    def picture(self, number: int) -> Picture:
        """Load one of the files, by its number from 0."""
        file = self._files[number]
        _check_samples(file)
        pixels, alpha = load_image(file)
        if pixels.shape[:2] != self._info.size:
            height, width = self._info.size
            got = f"{pixels.shape[1]}x{pixels.shape[0]}"
            raise MediaError(f"{file}: is {got}, but the first of the sequence is {width}x{height}: make them one size")
        return Picture(CopyPixels(pixels), number, alpha)


class ImageSink:
    """Writes one image file per frame; leaving it with an exception leaves none.

    Parameters
    ----------
    path : Path
        A folder (files get the input's names, as PNG), a numbered name, or one file for a clip of one frame.
    info : ClipInfo
        The clip that the frames come from.
    overwrite : bool
        Remove the pictures that an earlier run wrote there.

    Raises
    ------
    MediaError
        The path cannot hold the frames, or holds others.
    """

    def __init__(self, path: Path, info: ClipInfo, *, overwrite: bool = False) -> None:
        is_file = path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir()
        pattern = NumberedName.of(path)
        if is_file and pattern is None and info.frames != 1:
            example = path.with_name(f"{path.stem}_%05d{path.suffix}")
            raise MediaError(f"{path}: one image cannot hold {info.frames} frames: write to {example} or to a folder")
        if pattern is not None and path.suffix.lower() not in IMAGE_SUFFIXES:
            raise MediaError(f"{path}: name image files, such as {path.with_suffix('.png').name}")
        self._path = path
        self._info = info
        self._index = 0
        self._said: set[str] = set()
        folder = path.parent if is_file else path
        self._pattern = pattern
        self._single = path.name if is_file and pattern is None else None
        self._check_names(folder)
        self._partial: PartialFile | PartialFolder
        if self._single is not None:
            self._partial = PartialFile(path)
        else:
            if not is_file:
                check_place(folder)
            there = [file.name for file in pictures_in(folder)] if folder.is_dir() else []
            mixing = [name for name in there if pattern is None or pattern.number(name) is not None]
            self._partial = PartialFolder(folder, mixing=mixing, alone=pattern is None, overwrite=overwrite)

    def _check_names(self, folder: Path) -> None:
        """Refuse to write two frames to one file, and to write over the frames that are read."""
        counts = Counter(self._name(index) for index in range(self._info.frames))
        if len(counts) < self._info.frames:
            twice = counts.most_common(1)[0][0]
            raise MediaError(
                f"{folder}: two frames would be written to {twice}: name the files, such as frame_%05d.png"
            )
        if self._info.files and folder.is_dir() and self._info.files[0].parent.resolve() == folder.resolve():
            over = counts.keys() & ({file.name for file in self._info.files} | set(self._info.names))
            if over:
                raise MediaError(f"{folder / min(over)}: is an image of the input itself: choose another output")

    def _name(self, index: int) -> str:
        if self._single is not None:
            return self._single
        if self._pattern is not None:
            return self._pattern.name(self._info.first_number + index)
        # A video may hold more frames than it promised; of pictures it is known how many there are.
        return Path(self._info.names[index]).stem + ".png" if self._info.names else f"frame_{index + 1:05d}.png"

    @property
    def left_out(self) -> tuple[str, ...]:
        """Nothing: see `Sink.left_out`."""
        return ()

    def write(self, pixels: NDArray[np.float32], start: int, end: int, alpha: NDArray[Any] | None = None) -> None:
        """Write one file; see `Sink.write`."""
        del start, end
        place, name = self._partial.path, self._name(self._index)
        file = place / name if isinstance(self._partial, PartialFolder) else place
        index = self._index
        self._index += 1
        suffix = file.suffix.lower()
        is_deep_file = self._info.bits > 8 and suffix in _DEEP_SUFFIXES
        if alpha is not None:
            alpha = with_depth(alpha, np.uint16 if is_deep_file else np.uint8) if self._keeps_alpha(suffix) else None
        tags = tags_of(self._info.files[index]) if self._info.files else ImageTags()
        self._warn_of_profile(tags, suffix)
        try:
            if is_deep_file:
                save_deep(file, pixels, alpha, tags)
            else:
                _save(file, pixels, alpha, tags)
        except (OSError, ValueError) as error:
            raise MediaError(f"{name}: cannot be written ({error})") from error

    def _keeps_alpha(self, suffix: str) -> bool:
        if suffix not in _ALPHA_SUFFIXES and "alpha" not in self._said:
            self._said.add("alpha")
            warnings.warn(f"{self._path}: transparency is left out, which {suffix} images do not have", stacklevel=3)
        return suffix in _ALPHA_SUFFIXES

    def _warn_of_profile(self, tags: ImageTags, suffix: str) -> None:
        if tags.profile_name and (suffix == ".bmp" or not tags.rgb_profile) and "profile" not in self._said:
            self._said.add("profile")
            warnings.warn(
                f"left out of {self._path}, which cannot hold it: the color profile {tags.profile_name}", stacklevel=3
            )

    def __enter__(self) -> ImageSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._partial.discard()
            return
        try:
            with self._partial:
                pass
        except OSError as failure:
            raise MediaError(f"{self._path}: the images cannot be moved to their place ({failure})") from failure


def _check_samples(file: Path) -> None:
    """Refuse numbers of 32 bits: what is white in them is known of masks alone, which are read elsewhere."""
    mode = _mode_of(file)
    if mode in ("I", "F"):
        raise MediaError(f"{file}: expected 8 or 16 bits per sample, got 32: save it with 16")


def _mode_of(file: Path) -> str:
    """Return Pillow's name of what the pixels are; empty where that cannot be told."""
    with suppress(*IMAGE_ERRORS), Image.open(file) as image:
        # Older versions of Pillow open gray of 16 bits as 32.
        return "I;16" if is_deep(image) else image.mode
    return ""


def _warn_of_inks(file: Path) -> None:
    """Say once that colors of print are those of a screen from now on."""
    mode = _mode_of(file)
    if mode in ("CMYK", "LAB"):
        warnings.warn(f"{file}: is a picture in {mode}, which is read, and written, in RGB", stacklevel=4)


def to_bytes(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Round `[0, 1]` to 8 bits, clipping what lies outside."""
    rounded: NDArray[np.uint8] = np.clip(pixels * np.float32(255) + np.float32(0.5), 0, 255).astype(np.uint8)
    return rounded


def _save(file: Path, pixels: NDArray[np.float32], alpha: NDArray[np.uint8] | None, tags: ImageTags) -> None:
    array = to_bytes(pixels)
    if alpha is not None:
        array = np.dstack([array, alpha])
    options = tags.options(file.suffix.lower())
    if file.suffix.lower() == ".png":
        options["compress_level"] = _PNG_LEVEL
    elif file.suffix.lower() in (".jpg", ".jpeg"):
        options.update(quality=_JPEG_QUALITY, subsampling=0)
    elif file.suffix.lower() == ".webp":
        options.update(lossless=True)
    Image.fromarray(array).save(file, **options)
