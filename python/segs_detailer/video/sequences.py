"""Which files are the frames of a clip: those of a folder, of a numbered name or of a wildcard, in their order."""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from segs_detailer.errors import MediaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

__all__ = [
    "ANIMATION_SUFFIXES",
    "IMAGE_SUFFIXES",
    "VIDEO_FORMATS",
    "VIDEO_SUFFIXES",
    "ImageFiles",
    "NumberedName",
    "find_images",
    "is_pattern",
    "label_of",
    "names_several",
    "pictures_in",
]

VIDEO_FORMATS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".avi": "avi",
}
"""Names of video files that are written, and libav's formats of them."""

VIDEO_SUFFIXES = tuple(VIDEO_FORMATS)
ANIMATION_SUFFIXES = (".gif", ".apng")
"""Files that are always animations; WebP and PNG may be."""

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
"""Image files that are read and written, by suffix."""

# `%d` in front of a letter is a word such as `100%done`, and `%20d` an address's space; `%04d` is always a number.
_PLACEHOLDER = re.compile(r"%%|%(0\d+)d|%(\d*)d(?![A-Za-z])")
_WILDCARDS = frozenset("*?[")
_DIGITS = re.compile(r"([0-9]+)")
# Numbers of so many digits that fill less than this share of their range are dates and times, not frames.
_CLOCK_DIGITS = 6
_CLOCK_SHARE = 0.1
_DATE = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")
_MOST_FRAMES = 10**6
"""A sequence whose holes are filled to more than this is a mistake."""


@dataclass(frozen=True, slots=True)
class NumberedName:
    """A name with a number in it, as in `frame_%04d.png`.

    Parameters
    ----------
    before, after : str
        What stands around the number.
    width : int
        Digits that the number is filled up to with zeros.
    """

    before: str
    after: str
    width: int = 0

    @classmethod
    def of(cls, path: Path) -> NumberedName | None:
        """Read a name such as `frame_%04d.png`, in which `%%` is a percent sign; None where no number is in it."""
        places = [found for found in _PLACEHOLDER.finditer(path.name) if found[0] != "%%"]
        if not places:
            return None
        if len(places) > 1:
            raise MediaError(f"{path}: expected one number such as %04d in the name, got {len(places)}")
        start, end = places[0].span()
        before, after = (part.replace("%%", "%") for part in (path.name[:start], path.name[end:]))
        return cls(before, after, int(places[0][1] or places[0][2] or 0))

    def name(self, number: int) -> str:
        """Return the name of one file."""
        return f"{self.before}{number:0{self.width}d}{self.after}"

    def number(self, name: str) -> int | None:
        """Return the number in a name that is written like this one, else None."""
        middle = name[len(self.before) : len(name) - len(self.after)]
        if not (middle.isascii() and middle.isdigit()) or self.name(int(middle)) != name:
            return None
        return int(middle)


def is_pattern(path: Path) -> bool:
    """Whether the name holds a number as in `%04d`."""
    return any(found[0] != "%%" for found in _PLACEHOLDER.finditer(path.name))


def names_several(path: Path) -> bool:
    """Whether a name of no file stands for several: numbered ones, or a wildcard."""
    return (is_pattern(path) or bool(_WILDCARDS & set(path.name))) and not path.exists()


def label_of(path: Path) -> str:
    """Return what the names of a sequence begin with, or the stem of one file; empty where they are numbers alone."""
    if not names_several(path):
        return path.stem
    place = _PLACEHOLDER.search(path.name) or re.search(r"[*?\[]", path.name)
    return path.name[: place.start() if place else 0].rstrip("_-. ")


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """Files of one sequence, in order.

    Parameters
    ----------
    files : tuple of Path
        The file of each frame. Where a hole is filled, the frame before comes again.
    names : tuple of str
        The name that each frame has or would have.
    first_number : int
        Number of the first one.
    left_out : tuple of str
        Names of pictures beside them that are no frames.
    """

    files: tuple[Path, ...]
    names: tuple[str, ...]
    first_number: int = 1
    left_out: tuple[str, ...] = ()

    def warn(self) -> ImageFiles:
        """Say what was left out, and return this."""
        if self.left_out:
            names = ", ".join(self.left_out[:3]) + (f" and {len(self.left_out) - 3} more" if self.left_out[3:] else "")
            what = "is not one" if len(self.left_out) == 1 else "are not"
            warnings.warn(
                f"{self.files[0].parent}: {names} {what} of the numbered pictures {self.names[0]} to "
                f"{self.names[-1]}, and left out",
                stacklevel=3,
            )
        return self


def pictures_in(folder: Path) -> list[Path]:
    """Return the pictures in a folder, but hidden ones."""
    return [file for file in folder.iterdir() if _is_picture(file) and file.is_file()]


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")


def find_images(path: Path, *, fill_gaps: bool = False) -> ImageFiles:
    """Find the files that a folder, a numbered name, a wildcard or the name of one file stands for.

    Where the names are numbered, the numbers say which frame is which, and what is not numbered is no frame. Names
    without numbers are sorted.

    Parameters
    ----------
    path : Path
        What to look for.
    fill_gaps : bool
        Where a number is missing, take the frame before again.

    Raises
    ------
    MediaError
        There are none; one is missing in a numbered sequence; there is more than one sequence, or one number twice.
    """
    if path.is_dir():
        return _series(path, pictures_in(path), fill_gaps=fill_gaps)
    if not names_several(path):
        return ImageFiles((path,), (path.name,))
    pattern = NumberedName.of(path)
    if pattern is not None:
        return _numbered(path, pattern, fill_gaps=fill_gaps)
    found = [file for file in path.parent.glob(path.name) if file.is_file() and not file.name.startswith(".")]
    return _series(path, [file for file in found if _is_picture(file)] or found, fill_gaps=fill_gaps)


def _numbered(path: Path, pattern: NumberedName, *, fill_gaps: bool) -> ImageFiles:
    """Find the files of a name such as `frame_%04d.png`."""
    files = list(path.parent.iterdir()) if path.parent.is_dir() else []
    numbers = {number: file for file in files if (number := pattern.number(file.name)) is not None}
    if not numbers:
        raise MediaError(f"{path}: no file has such a name")
    return _in_order(numbers, pattern, fill_gaps=fill_gaps)


def _series(path: Path, files: Sequence[Path], *, fill_gaps: bool) -> ImageFiles:
    """Find the numbered series among some files, or sort them where they are none."""
    if not files:
        raise MediaError(f"{path}: no image files there ({', '.join(IMAGE_SUFFIXES)})")
    alike: dict[tuple[str, ...], list[Path]] = defaultdict(list)
    for file in files:
        alike[tuple(_DIGITS.split(file.stem)[::2])].append(file)
    series = [_sorted(group) for words, group in alike.items() if len(group) > 1 and len(words) > 1]
    numbered = {file for group in series for file in group}
    alone = sorted(file.name for file in set(files) - numbered)
    if not series or len(numbered) < len(alone) or any(_is_clock(group) for group in series):
        ordered = _sorted(files)
        return ImageFiles(tuple(ordered), tuple(file.name for file in ordered))
    group = max(series, key=len)
    if len(series) > 1:
        kinds = ", ".join(f"{each[0].name} to {each[-1].name}" for each in series[:3])
        raise MediaError(f"{path}: holds several numbered series ({kinds}): name one, as in {_example(group)}")
    place = _frame_number(group)
    if place is None:
        first, second = _same_number(group)
        raise MediaError(
            f"{path}: holds several numbered series: {first.name} and {second.name} would be one frame: name one "
            f"series, as in {_example(group)}"
        )
    numbers = {int(_numbers(file)[place]): file for file in group}
    found = _in_order(numbers, _pattern_of(numbers, place), fill_gaps=fill_gaps)
    return replace(found, left_out=tuple(alone))


def _in_order(numbers: dict[int, Path], pattern: NumberedName, *, fill_gaps: bool) -> ImageFiles:
    """Order files by their numbers, and look for holes."""
    first, last = min(numbers), max(numbers)
    count = last - first + 1
    if count == len(numbers):
        files = tuple(numbers[number] for number in range(first, last + 1))
        return ImageFiles(files, tuple(file.name for file in files), first)
    missing = next(number for number in range(first, last + 1) if number not in numbers)
    place = numbers[first].with_name(pattern.name(missing))
    if not fill_gaps:
        others = f", as are {count - len(numbers) - 1} more" if count - len(numbers) > 1 else ""
        raise MediaError(
            f"{place}: missing in a sequence that runs from {first} to {last}{others}: fill_gaps=True shows the frame "
            "before again"
        )
    if count > _MOST_FRAMES:
        raise MediaError(f"{place}: missing in a sequence that runs from {first} to {last}: too much to fill")
    shown: list[Path] = []
    names: list[str] = []
    for number in range(first, last + 1):
        shown.append(numbers.get(number) or shown[-1])
        names.append(numbers[number].name if number in numbers else pattern.name(number))
    return ImageFiles(tuple(shown), tuple(names), first)


def _numbers(file: Path) -> list[str]:
    return _DIGITS.split(file.stem)[1::2]


def _frame_number(group: Sequence[Path]) -> int | None:
    """Return which of the numbers in the names counts frames: none comes twice, and they lie nearest together."""
    columns = list(zip(*([int(number) for number in _numbers(file)] for file in group), strict=True))
    places = [place for place, column in enumerate(columns) if len(set(column)) == len(group)]
    return min(places, key=lambda place: max(columns[place]) - min(columns[place]), default=None)


def _same_number(group: Sequence[Path]) -> tuple[Path, Path]:
    """Return two files of a group with the same last number."""
    seen: dict[int, Path] = {}
    for file in group:
        number = int(_numbers(file)[-1])
        if number in seen:
            return seen[number], file
        seen[number] = file
    return group[0], group[1]


def _pattern_of(numbers: dict[int, Path], place: int) -> NumberedName:
    """Return the numbered name that a series has; other numbers and the suffix are those of its first file."""
    first = numbers[min(numbers)]
    parts = _DIGITS.split(first.stem)
    runs = [_numbers(file)[place] for file in numbers.values()]
    padded = [len(run) for run in runs if run.startswith("0") and len(run) > 1]
    before, after = "".join(parts[: 2 * place + 1]), "".join(parts[2 * place + 2 :])
    return NumberedName(before, after + first.suffix, max(padded, default=0))


def _is_clock(group: Sequence[Path]) -> bool:
    """Whether the names are dates and times, as cameras give them: such numbers have no holes."""
    columns = list(zip(*(_numbers(file) for file in group), strict=True))
    has_date = any(all(_DATE.fullmatch(run) for run in column) for column in columns)
    for column in columns:
        values = {int(run) for run in column}
        width = min(len(run) for run in column)
        is_sparse = 1 < len(values) < (max(values) - min(values) + 1) * _CLOCK_SHARE
        # A counter begins with zeros.
        if width >= _CLOCK_DIGITS and is_sparse and (has_date or min(values) >= 10 ** (width - 2)):
            return True
    return False


def _example(group: Sequence[Path]) -> str:
    """Return the numbered name of a series, by its last number."""
    file = group[0]
    parts = _DIGITS.split(file.stem)
    run = parts[-2]
    parts[-2] = f"%0{len(run)}d" if run.startswith("0") and len(run) > 1 else "%d"
    return "".join(parts) + file.suffix


def _sorted(files: Iterable[Path]) -> list[Path]:
    return sorted(files, key=_natural_key)


def _natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Order `frame_2` before `frame_10`."""
    parts = _DIGITS.split(path.name)
    return [(0, int(part), "") if place % 2 else (1, 0, part) for place, part in enumerate(parts)]
