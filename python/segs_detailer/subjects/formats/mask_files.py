"""Masks in files: pictures of every kind, animations and videos, and what their values mean.

The one reader of all that comes as masks in files. What is read twice is never held: first it is looked at from end to
end, as a frame that is black does not say what white is.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from PIL import Image, ImageOps

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, MediaError
from segs_detailer.mask_levels import MaskLevels, MaskSurvey
from segs_detailer.video.image_files import IMAGE_ERRORS, load_image, too_large
from segs_detailer.video.transparency import with_depth

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from segs_detailer.video.clip import Source

__all__ = ["LEVELS_MARK", "MaskFile", "check_size", "has_colored_palette", "opened_image"]

_NOISE = 8
"""Compression leaves faint noise where a mask is black: levels below this are black too."""

LEVELS_MARK = ("Mask levels", "0 to 255")
"""Key and text in a PNG file that is written here: nothing about its values is left to be found out."""

_LOSSLESS_CODECS = frozenset({"ffv1", "ffvhuff", "huffyuv", "magicyuv", "png", "qtrle", "rawvideo", "utvideo"})
_FULL_RANGE_FORMATS = ("gray", "gbr", "rgb", "bgr", "argb", "abgr", "rgba", "bgra", "pal8", "0rgb", "yuvj")
_COLORS_SEEN = 1000
_TOP_8, _TOP_16 = 255, 65535
_COLORED = 1 << 24
"""Numbers of colors that are not gray begin here: grays keep their own."""


class _Picture(NamedTuple):
    """One picture of masks.

    Parameters
    ----------
    color : ndarray
        `(h, w)`, or `(h, w, 3)` where it has colors: bool, uint8, uint16, or float in [0, 1].
    alpha : ndarray or None
        `(h, w)` uint8 where it is partly transparent.
    numbers : ndarray or None
        `(h, w)`: indices of a palette, or levels of 32 bits as they are in the file.
    names_subjects : bool
        The colors of the palette are not gray: they tell subjects from each other.
    is_marked : bool
        It says itself that its values are levels; see `LEVELS_MARK`.
    """

    color: NDArray[Any]
    alpha: NDArray[Any] | None = None
    numbers: NDArray[Any] | None = None
    names_subjects: bool = False
    is_marked: bool = False

    @property
    def value(self) -> NDArray[Any]:
        """The brightest channel `(h, w)`, so that white, red, green and blue are all of it."""
        return self.color if self.color.ndim == 2 else _over_channels(np.maximum, self.color)


class _Pictures(Protocol):
    """Reads pictures of masks from the first, any number of times."""

    def __call__(self) -> Iterator[_Picture]: ...


class MaskFile:
    """Masks of one file or sequence, by the rule of `MaskLevels`.

    What is white is told over all of it. Of colors the brightest channel counts, in formats that lose something from 8
    of 255 on; of what is partly transparent, color or alpha or both (see `_Channels`). A palette of colors tells
    subjects apart: all of them are white.

    Parameters
    ----------
    name : str
        For messages.
    pictures : callable
        Reads them from the first.
    floor : int
        Levels below this are noise; 0 for formats that lose nothing.
    keeps_numbers : bool
        The format brings back the values that were written.

    Raises
    ------
    MediaError
        They cannot be read.
    """

    def __init__(self, name: str, pictures: _Pictures, *, floor: int, keeps_numbers: bool) -> None:
        self._name = name
        self._pictures = pictures
        self._floor = floor
        self._keeps_numbers = keeps_numbers
        self._look()

    @classmethod
    def of_source(cls, source: Source) -> MaskFile:
        """Take a clip that `open_clip` gave."""
        info = source.info
        if info.kind == "images":
            return cls.of_pictures(str(info.path), info.files)
        exact = info.kind != "video" or info.codec in _LOSSLESS_CODECS
        full = info.kind != "video" or (info.pix_fmt or "").startswith(_FULL_RANGE_FORMATS) or info.color.range == 2
        floor = 0 if exact else _NOISE
        return cls(str(info.path), lambda: _frames(source), floor=floor, keeps_numbers=exact and full)

    @classmethod
    def of_pictures(cls, name: str, files: Sequence[Path]) -> MaskFile:
        """Take the pictures of a sequence."""
        scale = _WideScale(files)
        is_lossy = any(_is_lossy(file) for file in files)
        return cls(name, lambda: _files(files, scale), floor=_NOISE if is_lossy else 0, keeps_numbers=not is_lossy)

    def _look(self) -> None:
        """Look at all masks, and decide what their values mean."""
        self.frames = 0
        self.size = (0, 0)
        self._is_palette, is_marked = False, True
        colors: set[int] = set()
        channels = _Channels(self._floor)
        for picture in self._pictures():
            self.frames += 1
            self.size = (picture.color.shape[0], picture.color.shape[1])
            self._is_palette |= picture.names_subjects
            is_marked &= picture.is_marked
            if self._keeps_numbers and len(colors) < 2:
                colors |= _strong_colors(picture.color)
            channels.look(picture)
        self._channel, survey = channels.chosen()
        self._survey = None if is_marked or self._is_palette else survey
        self._has_colors = self._is_palette or len(colors) > 1
        self._meaning = MaskLevels(on_off=self._is_palette) if self._survey is None else survey.levels

    def warn(self, labels: str) -> None:
        """Warn once where the masks are strange.

        Parameters
        ----------
        labels : str
            What to do where values are numbers of subjects.
        """
        text = None
        if self._has_colors:
            text = (
                f"{self._name}: its colors seem to tell subjects apart, and each of them is taken as white: for a "
                f"subject of each color, {labels}"
            )
        elif self._survey is not None:
            text = self._survey.complaint(self._name, labels)
        if text is not None:
            warnings.warn(text, stacklevel=3)

    def levels(self) -> Iterator[NDArray[np.uint8] | NDArray[np.bool_]]:
        """Read the masks `(h, w)`, as levels from 0 to 255 or as bool."""
        for number, picture in enumerate(self._pictures()):
            values = _channel(picture, self._channel)
            try:
                yield self._meaning.levels(values)
            except (InvalidArgumentError, InvalidTypeError) as error:
                raise MediaError(f"{self._name}: mask {number}: {error}") from error

    def numbers(self) -> Iterator[NDArray[Any]]:
        """Read the masks `(h, w)` as numbers of subjects: indices of a palette, gray values, or colors.

        Raises
        ------
        MediaError
            The format does not keep numbers, or they are no whole ones.
        """
        if not self._keeps_numbers:
            expected = "numbers of subjects in a format that keeps them, such as PNG or gray FFV1"
            raise MediaError(f"{self._name}: expected {expected}, got one that changes levels")
        for number, picture in enumerate(self._pictures()):
            values = _numbers(picture)
            if values is None:
                raise MediaError(f"{self._name}: mask {number}: expected whole numbers of subjects, got fractions")
            yield values


class _Channels:
    """Finds out whether color, alpha or both say what is masked.

    Alpha that is the same all over says nothing, and then color counts. Color that is the same wherever anything is to
    be seen says nothing either, and then alpha counts. Else both do: the picture as it is over black.
    """

    def __init__(self, floor: int) -> None:
        self._color = MaskSurvey(floor=floor)
        self._alpha: MaskSurvey | None = None
        self._both: MaskSurvey | None = None
        self._floor = floor
        self._visible: set[float] = set()
        self._opacity: set[float] = set()

    def look(self, picture: _Picture) -> None:
        value = picture.value
        if picture.alpha is not None and self._alpha is None:
            self._alpha, self._both = MaskSurvey(floor=self._floor), deepcopy(self._color)
        self._color.look(value)
        if picture.alpha is None:
            self._note(value, np.array([_TOP_8], np.uint8))
        else:
            self._note(value[picture.alpha > 0], picture.alpha)
        if self._alpha is not None and self._both is not None:
            self._alpha.look(_channel(picture, "alpha"))
            self._both.look(_channel(picture, "both"))

    def _note(self, visible: NDArray[Any], alpha: NDArray[Any]) -> None:
        for values, seen in ((visible, self._visible), (alpha, self._opacity)):
            if values.size and len(seen) < 2:
                seen.update((float(values.min()), float(values.max())))

    def chosen(self) -> tuple[str, MaskSurvey]:
        if self._alpha is None or self._both is None or len(self._opacity) < 2:
            return "color", self._color
        return ("alpha", self._alpha) if len(self._visible) < 2 else ("both", self._both)


def _channel(picture: _Picture, channel: str) -> NDArray[Any]:
    """Return values `(h, w)` of what says what is masked."""
    value, alpha = picture.value, picture.alpha
    if channel == "color":
        return value
    if alpha is None:
        return np.full(value.shape, _TOP_8, np.uint8) if channel == "alpha" else value
    if channel == "alpha":
        return alpha
    if value.dtype == np.bool_:
        return np.where(value, alpha, alpha.dtype.type(0))
    product: NDArray[Any]
    if value.dtype.kind == "f":
        product = value * (alpha / value.dtype.type(_TOP_8))
    else:
        product = ((value.astype(np.uint32) * alpha + _TOP_8 // 2) // _TOP_8).astype(value.dtype)
    return product


def _numbers(picture: _Picture) -> NDArray[Any] | None:
    """Return numbers of subjects; None where they are fractions."""
    numbers: NDArray[Any]
    if picture.numbers is not None:
        numbers = picture.numbers
    elif picture.color.ndim == 3:
        is_gray = (picture.color == picture.color[..., :1]).all(axis=2)
        numbers = np.where(is_gray, picture.color[..., 0].astype(np.int64), _packed(picture.color) + _COLORED)
    else:
        numbers = picture.color
    if numbers.dtype == np.bool_:
        numbers = numbers.view(np.uint8)
    if numbers.dtype.kind == "f":
        if not (numbers == np.floor(numbers)).all() or not (np.abs(numbers) <= 2**31).all():
            return None
        numbers = numbers.astype(np.int64)
    return numbers if picture.alpha is None else np.where(picture.alpha > 0, numbers, numbers.dtype.type(0))


def _strong_colors(pixels: NDArray[Any]) -> set[int]:
    """Return some of the colors that are far from gray."""
    if pixels.ndim == 2:
        return set()
    spread = _over_channels(np.maximum, pixels) - _over_channels(np.minimum, pixels)
    strong = pixels[spread > np.iinfo(pixels.dtype).max // 2]
    return set(_packed(strong[:: max(1, len(strong) // _COLORS_SEEN)]).tolist())


def _over_channels(choose: np.ufunc, pixels: NDArray[Any]) -> NDArray[Any]:
    """Reduce `(h, w, 3)` to `(h, w)`, which takes NumPy ten times as long along the last axis."""
    chosen: NDArray[Any] = choose(choose(pixels[..., 0], pixels[..., 1]), pixels[..., 2])
    return chosen


def _packed(colors: NDArray[Any]) -> NDArray[np.int64]:
    """Return colors `(..., 3)` as one number of 24 bits each."""
    parts = colors.astype(np.int64) >> (8 if colors.dtype == np.uint16 else 0)
    packed: NDArray[np.int64] = (parts[..., 0] << 16) + (parts[..., 1] << 8) + parts[..., 2]
    return packed


def _byte_alpha(alpha: NDArray[Any] | None) -> NDArray[np.uint8] | None:
    """Return transparency in the depth of masks."""
    return None if alpha is None else with_depth(alpha, np.uint8)


# Videos and animations


def _frames(source: Source) -> Iterator[_Picture]:
    deep = source.info.bits > 8
    top, dtype = (_TOP_16, np.uint16) if deep else (_TOP_8, np.uint8)
    pixels = np.empty((*source.info.size, 3), np.float32)
    for picture in source.pictures():
        picture.copy_to(pixels)
        colors = (pixels.clip(0, 1) * np.float32(top) + np.float32(0.5)).astype(dtype)
        yield _Picture(colors, _byte_alpha(picture.alpha))


# Pictures


@contextmanager
def opened_image(path: Path) -> Iterator[Image.Image]:
    """Open a picture.

    Raises
    ------
    MediaError
        It is missing, no picture, or damaged.
    """
    if not path.exists():
        raise MediaError(f"{path}: no such file")
    try:
        with Image.open(path) as image:
            yield image
    except MediaError:
        raise
    except IMAGE_ERRORS as error:
        reason = "it is empty" if path.stat().st_size == 0 else "not an image, or damaged"
        if isinstance(error, Image.DecompressionBombError):
            reason = too_large(error)
        raise MediaError(f"{path}: cannot be read ({reason})") from error


class _WideScale:
    """What is white in pictures of 32 bits, which have no limit of their own: told over all of a sequence."""

    def __init__(self, files: Sequence[Path]) -> None:
        with opened_image(files[0]) as image:
            is_wide = image.mode in ("I", "F")
        self.white = _TOP_16
        if not is_wide:
            return
        highest = 0.0
        for file in files:
            with opened_image(file) as image:
                pixels = np.asarray(image)
            if image.mode == "F" and not (np.isfinite(pixels).all() and pixels.min(initial=0) >= 0):
                raise MediaError(f"{file}: expected finite levels from 0, got {pixels.min():g} to {pixels.max():g}")
            highest = max(highest, float(pixels.max(initial=0)))
        limits = (1, _TOP_8, _TOP_16)
        self.white = next((limit for limit in limits if highest <= limit), _TOP_16)


def _files(files: Sequence[Path], scale: _WideScale) -> Iterator[_Picture]:
    first: tuple[int, ...] = ()
    for file in files:
        picture = _read(file, scale.white)
        first = first or picture.color.shape[:2]
        check_size(file, picture.color.shape, first)
        yield picture


def check_size(file: Path, shape: tuple[int, ...], first: tuple[int, ...]) -> None:
    """Refuse a picture of another size than the first of its sequence; sizes begin with height and width."""
    if shape[:2] != first[:2]:
        expected = f"{first[1]}x{first[0]} as the first of the sequence"
        raise MediaError(f"{file}: expected {expected}, got {shape[1]}x{shape[0]}")


def _read(file: Path, white: int) -> _Picture:
    with opened_image(file) as opened:
        image = ImageOps.exif_transpose(opened)
        plain = "transparency" not in image.info
        if image.mode.startswith("I;16") and plain:
            return _Picture(np.asarray(image).astype(np.uint16))
        if image.mode in ("I", "F"):
            raw = np.asarray(image)
            return _Picture(_limited(raw, white), numbers=raw.astype(np.int64) if image.mode == "I" else raw)
        if image.mode in ("1", "L") and plain:
            return _Picture(np.asarray(image), is_marked=opened.info.get(LEVELS_MARK[0]) == LEVELS_MARK[1])
        colors, deep_alpha = load_image(file)
        alpha = _byte_alpha(deep_alpha)
        if image.mode != "P":
            return _Picture(colors, alpha)
        return _Picture(colors, alpha, np.asarray(image), has_colored_palette(image))


def _limited(raw: NDArray[Any], white: int) -> NDArray[Any]:
    """Return pixels of 32 bits in the smallest form that has such a white."""
    if raw.dtype.kind == "f":
        return np.minimum(raw / np.float32(white), np.float32(1))
    return raw.clip(0, white).astype(np.uint16 if white > _TOP_8 else np.uint8)


def has_colored_palette(image: Image.Image) -> bool:
    """Whether colors of a palette tell subjects apart: those that a picture shows are not all gray.

    Of one that is black all over, those that it could show.
    """
    palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    used = [index for index, count in enumerate(image.histogram()) if count and index < len(palette)]
    shown = palette[used]
    if not shown.any():
        shown = palette
    return bool((shown != shown[:, :1]).any())


def _is_lossy(file: Path) -> bool:
    """Whether a picture's format changes levels: JPEG, and WebP but for its lossless kind."""
    with opened_image(file) as image:
        kind = image.format
    if kind != "WEBP":
        return kind in ("JPEG", "MPO", "JPEG2000")
    with file.open("rb") as stream:
        return stream.read(16)[12:] != b"VP8L"
