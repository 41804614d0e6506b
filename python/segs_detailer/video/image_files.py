"""Clips as image files: one picture, a folder, a numbered sequence, a wildcard."""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from ..errors import MediaError, MissingDependencyError
from .clip import DEFAULT_RATE, ClipInfo, Picture
from .partial import PartialFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from fractions import Fraction
    from types import TracebackType

    from numpy.typing import NDArray

__all__ = [
    "IMAGE_ERRORS",
    "IMAGE_SUFFIXES",
    "CopyPixels",
    "ImageFiles",
    "ImageSink",
    "ImageSource",
    "find_images",
    "is_pattern",
    "load_image",
    "names_several",
    "to_bytes",
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

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
"""Image files that are read and written, by suffix."""

_NUMBER = re.compile(r"%0?(\d*)d")
_WILDCARDS = frozenset("*?[")
_DEEP_SUFFIXES = (".png", ".tif", ".tiff")
_ALPHA_SUFFIXES = (".png", ".webp", ".tif", ".tiff")
_JPEG_QUALITY = 95
# Level 6, Pillow's default, is three times slower and 3 % smaller.
_PNG_LEVEL = 3


def is_pattern(path: Path) -> bool:
    """Whether the name holds a number as in `%04d`."""
    return _NUMBER.search(path.name) is not None


def names_several(path: Path) -> bool:
    """Whether a name of no file stands for several: numbered ones, or a wildcard."""
    return not path.exists() and (is_pattern(path) or bool(_WILDCARDS & set(path.name)))


def _natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Order `frame_2` before `frame_10`."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", path.name)]


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """Files of one sequence, in order.

    Parameters
    ----------
    files : tuple of Path
        The files.
    first_number : int
        Number of the first one.
    """

    files: tuple[Path, ...]
    first_number: int = 1


def find_images(path: Path) -> ImageFiles:
    """Files that a folder, a numbered name, a wildcard or the name of one file stands for.

    Raises
    ------
    MediaError
        There are none, or one is missing in a numbered sequence.
    """
    if path.is_dir():
        return _listed(path, [file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES])
    if is_pattern(path):
        return _numbered(path)
    if _WILDCARDS & set(path.name) and not path.exists():
        return _listed(path, list(path.parent.glob(path.name)))
    return ImageFiles((path,))


def _listed(path: Path, files: Sequence[Path]) -> ImageFiles:
    visible = [file for file in files if file.is_file() and not file.name.startswith(".")]
    if not visible:
        raise MediaError(f"{path}: no image files there ({', '.join(IMAGE_SUFFIXES)})")
    return ImageFiles(tuple(sorted(visible, key=_natural_key)))


def _numbered(path: Path) -> ImageFiles:
    match = _NUMBER.search(path.name)
    before, after = path.name[: match.start() if match else 0], path.name[match.end() if match else 0 :]
    name = re.compile(re.escape(before) + r"(\d+)" + re.escape(after))
    numbers = {}
    if path.parent.is_dir():
        for file in path.parent.iterdir():
            found = name.fullmatch(file.name)
            if found and path.name % int(found[1]) == file.name:
                numbers[int(found[1])] = file
    if not numbers:
        raise MediaError(f"{path}: no file has such a name")
    first, last = min(numbers), max(numbers)
    missing = next((number for number in range(first, last + 1) if number not in numbers), None)
    if missing is not None:
        raise MediaError(
            f"{path.parent / (path.name % missing)}: missing in a sequence that runs from {first} to {last}"
        )
    return ImageFiles(tuple(numbers[number] for number in sorted(numbers)), first)


def _cv2() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise MissingDependencyError("opencv-python-headless", "video") from error
    return cv2


def load_image(path: Path) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
    """Pixels `(H, W, 3)` uint8 or uint16, and alpha `(H, W)` uint8 where the image is partly transparent.

    Raises
    ------
    MediaError
        The file is missing or is not an image.
    """
    if not path.exists():
        raise MediaError(f"{path}: no such file")
    try:
        with Image.open(path) as opened:
            if _is_deep(opened):
                # OpenCV writes its own words to the terminal about a damaged file.
                opened.verify()
                return _load_deep(path), None
            image = ImageOps.exif_transpose(opened)
            if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                rgba = np.asarray(image.convert("RGBA"))
                alpha = np.ascontiguousarray(rgba[..., 3])
                return np.ascontiguousarray(rgba[..., :3]), alpha if int(alpha.min()) < 255 else None
            return np.asarray(image.convert("RGB")), None
    except MediaError:
        raise
    except IMAGE_ERRORS as error:
        reason = "it is empty" if path.stat().st_size == 0 else "not an image, or damaged"
        if isinstance(error, Image.DecompressionBombError):
            reason = "it claims to have more pixels than are safe to open"
        raise MediaError(f"{path}: cannot be read ({reason})") from error


def _is_deep(image: Image.Image) -> bool:
    """16 bits per sample, which Pillow would cut to 8 in colour."""
    tile = getattr(image, "tile", [])
    raw = str(tile[0][3]) if tile else ""
    return image.mode.startswith("I;16") or (image.format in ("PNG", "TIFF") and ";16" in raw)


def _load_deep(path: Path) -> NDArray[np.uint16]:
    cv2 = _cv2()
    pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if pixels is None:
        raise MediaError(f"{path}: cannot be read (damaged)")
    colour: NDArray[np.uint16] = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return colour


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

    Raises
    ------
    MediaError
        A file is missing, is no image, or has another size than the first.
    """

    def __init__(self, path: Path, rate: Fraction | None = None) -> None:
        found = find_images(path)
        first, _ = load_image(found.files[0])
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
            names=tuple(file.name for file in found.files),
            first_number=found.first_number,
        )

    @property
    def info(self) -> ClipInfo:
        """Description of the sequence."""
        return self._info

    def pictures(self) -> Iterator[Picture]:
        """Load one file after the other."""
        for index, file in enumerate(self._files):
            pixels, alpha = load_image(file)
            if pixels.shape[:2] != self._info.size:
                height, width = self._info.size
                got = f"{pixels.shape[1]}x{pixels.shape[0]}"
                raise MediaError(
                    f"{file}: is {got}, but the first of the sequence is {width}x{height}: make them one size"
                )
            yield Picture(CopyPixels(pixels), index, alpha)


class ImageSink:
    """Writes one image file per frame; leaving it with an exception leaves none.

    Parameters
    ----------
    path : Path
        A folder (files get the input's names, as PNG), a numbered name, or one file for a clip of one frame.
    info : ClipInfo
        The clip that the frames come from.

    Raises
    ------
    MediaError
        The path cannot hold the frames.
    """

    def __init__(self, path: Path, info: ClipInfo) -> None:
        numbered = is_pattern(path)
        is_file = path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir()
        if is_file and not numbered and info.frames != 1:
            pattern = path.with_name(f"{path.stem}_%05d{path.suffix}")
            raise MediaError(f"{path}: one image cannot hold {info.frames} frames: write to {pattern} or to a folder")
        if numbered and path.suffix.lower() not in IMAGE_SUFFIXES:
            raise MediaError(f"{path}: name image files, such as {path.with_suffix('.png').name}")
        self._pattern = path.name if is_file else None
        self._info = info
        self._index = 0
        folder = path.parent if is_file else path
        self._check_names(folder)
        self._folder = PartialFolder(folder)

    def _check_names(self, folder: Path) -> None:
        """Refuse to write two frames to one file, and to write over the frames that are read."""
        names = [self._name(index) for index in range(self._info.frames)]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise MediaError(
                f"{folder}: two frames would be written to {twice}: name the files, such as frame_%05d.png"
            )
        read = self._info.path if self._info.path.is_dir() else self._info.path.parent
        if self._info.kind == "images" and folder.is_dir() and read.resolve() == folder.resolve():
            over = set(names) & set(self._info.names)
            if over:
                raise MediaError(f"{folder / min(over)}: is an image of the input itself: choose another output")

    def _name(self, index: int) -> str:
        if self._pattern is not None:
            return self._pattern % (self._info.first_number + index) if "%" in self._pattern else self._pattern
        if self._info.names:
            return Path(self._info.names[index]).stem + ".png"
        return f"frame_{index + 1:05d}.png"

    def write(self, pixels: NDArray[np.float32], start: int, end: int, alpha: NDArray[np.uint8] | None = None) -> None:
        """Write one file; see `Sink.write`."""
        del start, end
        file = self._folder.path / self._name(self._index)
        self._index += 1
        suffix = file.suffix.lower()
        try:
            if self._info.bits == 16 and suffix in _DEEP_SUFFIXES:
                _save_deep(file, pixels)
            else:
                _save(file, pixels, alpha if suffix in _ALPHA_SUFFIXES else None)
        except (OSError, ValueError) as error:
            raise MediaError(f"{file.name}: cannot be written ({error})") from error

    def __enter__(self) -> ImageSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._folder.discard()
            return
        try:
            self._folder.commit()
        except OSError as failure:
            self._folder.discard()
            raise MediaError(f"{self._info.path}: the images cannot be moved to their place ({failure})") from failure


def to_bytes(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Round `[0, 1]` to 8 bits, clipping what lies outside."""
    rounded: NDArray[np.uint8] = np.clip(pixels * np.float32(255) + np.float32(0.5), 0, 255).astype(np.uint8)
    return rounded


def _save(file: Path, pixels: NDArray[np.float32], alpha: NDArray[np.uint8] | None) -> None:
    array = to_bytes(pixels)
    if alpha is not None:
        array = np.dstack([array, alpha])
    options: dict[str, Any] = {}
    if file.suffix.lower() == ".png":
        options["compress_level"] = _PNG_LEVEL
    elif file.suffix.lower() in (".jpg", ".jpeg"):
        options.update(quality=_JPEG_QUALITY, subsampling=0)
    elif file.suffix.lower() == ".webp":
        options.update(lossless=True)
    Image.fromarray(array).save(file, **options)


def _save_deep(file: Path, pixels: NDArray[np.float32]) -> None:
    cv2 = _cv2()
    deep = np.clip(pixels * np.float32(65535) + np.float32(0.5), 0, 65535).astype(np.uint16)
    done, data = cv2.imencode(file.suffix, cv2.cvtColor(deep, cv2.COLOR_RGB2BGR))
    if not done:
        raise OSError("OpenCV has no encoder for it")
    file.write_bytes(data.tobytes())
