"""One mask of one frame, held as small as it is: cropped to what it shows, in bits where it has no soft edges.

And masks whose values are numbers of subjects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from segs_detailer._interop import is_tensor
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.mask_levels import HALF, MaskLevels
from segs_detailer.subjects.boxes import shared_parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from segs_detailer.segs import Box

__all__ = ["LabelRegion", "Mask", "check_labels", "label_regions", "mask_pixels"]

_LEVELS = MaskLevels()
_LABEL_DTYPES = ("uint8", "uint16", "int64")
_MOST_16 = 65535


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """One mask of one frame.

    Made by `Mask.from_pixels` or `Mask.filled`: the place is always the extent of what is not 0, so that equal masks
    are equal objects, however they came here.

    Parameters
    ----------
    place : (int, int, int, int)
        `(x1, y1, x2, y2)` in pixels of the frame, half open: the extent; `(0, 0, 0, 0)` where nothing is shown.
    soft : bool
        It has levels between 0 and 255.
    data : ndarray
        uint8: for a soft mask `h * w` levels row by row, else `ceil(h * w / 8)` bytes of bits, as `numpy.packbits`
        makes them.
    """

    place: Box
    soft: bool
    data: NDArray[np.uint8]

    @classmethod
    def from_pixels(cls, pixels: NDArray[Any], origin: tuple[int, int] = (0, 0), *, argument: str = "mask") -> Mask:
        """Make a mask of an array.

        Parameters
        ----------
        pixels : ndarray
            `(h, w)`: bool, uint8 (255 is all), uint16 (65535 is all) or floats in [0, 1], which are rounded to 8 bits.
            Levels as they are: of a mask of bytes 0 and 1, which a single frame cannot tell from a faint one, give
            `pixels != 0`.
        origin : (int, int)
            Column and row of the frame where its first pixel lies.
        argument : str
            Name for messages.

        Raises
        ------
        InvalidTypeError
            Another dtype.
        InvalidArgumentError
            Not two dimensions; NaN, or floats outside [0, 1].
        """
        if pixels.ndim != 2:
            raise InvalidArgumentError(argument, "shape (h, w)", f"shape {pixels.shape}")
        if pixels.dtype == np.int64:
            raise InvalidTypeError(argument, "bool, uint8, uint16 or floats", "int64")
        levels = _LEVELS.levels(pixels, argument)
        hard = levels.dtype == np.bool_
        levels = levels.view(np.uint8)
        if levels.size == 0:
            return cls((0, 0, 0, 0), False, np.empty(0, np.uint8))
        rows = np.flatnonzero(levels.max(axis=1))
        columns = np.flatnonzero(levels.max(axis=0))
        if len(rows) == 0:
            return cls((0, 0, 0, 0), False, np.empty(0, np.uint8))
        top, bottom = int(rows[0]), int(rows[-1]) + 1
        left, right = int(columns[0]), int(columns[-1]) + 1
        shown = levels[top:bottom, left:right]
        x, y = origin
        place = (x + left, y + top, x + right, y + bottom)
        # 1 to 254 become 0 to 253 by the wrap of the subtraction, and 0 and 255 what is above.
        if not hard and bool((shown - np.uint8(1) < np.uint8(254)).any()):
            return cls(place, True, shown.ravel().copy())
        return cls(place, False, np.packbits(shown != 0))

    @classmethod
    def filled(cls, place: Sequence[int]) -> Mask:
        """Make a mask that is 255 all over a place."""
        x1, y1, x2, y2 = place
        return cls.from_pixels(np.ones((max(y2 - y1, 0), max(x2 - x1, 0)), bool), (x1, y1))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the place."""
        x1, y1, x2, y2 = self.place
        return y2 - y1, x2 - x1

    @property
    def empty(self) -> bool:
        """Whether it shows nothing."""
        return self.place[0] == self.place[2]

    def pixels(self) -> NDArray[np.uint8]:
        """Levels `(h, w)` of the place, 0 to 255."""
        if self.soft:
            return self.data.reshape(self.shape)
        return self._packed() * np.uint8(255)

    def bits(self) -> NDArray[np.bool_]:
        """Whether each pixel `(h, w)` of the place counts: levels from 128 on."""
        if self.soft:
            return self.data.reshape(self.shape) >= HALF
        return self._packed().view(np.bool_)

    def _packed(self) -> NDArray[np.uint8]:
        height, width = self.shape
        return np.unpackbits(self.data, count=height * width).reshape(height, width)

    def paint(self, out: NDArray[np.uint8], origin: tuple[int, int] = (0, 0)) -> None:
        """Write the levels to a part of the frame; pixels of it that the mask does not show are left as they are.

        Parameters
        ----------
        out : ndarray
            `(h, w)` uint8.
        origin : (int, int)
            Column and row of the frame where its first pixel lies.
        """
        common = shared_parts(self.place, (*origin, origin[0] + out.shape[1], origin[1] + out.shape[0]))
        if common is not None:
            part, target = common
            levels = self.pixels()[part]
            np.maximum(out[target], levels, out=out[target])

    def paint_index(self, out: NDArray[np.uint8], index: int) -> None:
        """Write a number to the pixels of a frame `(H, W)` uint8 that count."""
        common = shared_parts(self.place, (0, 0, out.shape[1], out.shape[0]))
        if common is not None:
            part, target = common
            out[target][self.bits()[part]] = index

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mask):
            return NotImplemented
        return self.place == other.place and self.soft == other.soft and np.array_equal(self.data, other.data)

    def __hash__(self) -> int:
        return hash((self.place, self.soft, self.data.tobytes()))


class LabelRegion(NamedTuple):
    """Where one label is in a mask.

    Parameters
    ----------
    label : int
        The value.
    box : (int, int, int, int)
        `(x1, y1, x2, y2)`, its extent.
    inside : ndarray
        `(h, w)` bool of the box.
    """

    label: int
    box: tuple[int, int, int, int]
    inside: NDArray[np.bool_]


def check_labels(values: NDArray[Any], argument: str) -> None:
    """Refuse what cannot be numbers of subjects.

    Raises
    ------
    InvalidTypeError
        Another dtype than uint8, uint16 or int64.
    InvalidArgumentError
        Numbers below 0.
    """
    if values.dtype.name not in _LABEL_DTYPES:
        raise InvalidTypeError(argument, "uint8, uint16 or int64 with a number for each subject", str(values.dtype))
    if values.dtype == np.int64 and values.size and values.min() < 0:
        raise InvalidArgumentError(argument, "numbers of subjects from 0, which is none", f"{values.min()}")


def label_regions(values: NDArray[Any], argument: str = "mask") -> Iterator[LabelRegion]:
    """Find the labels of a mask `(h, w)`, in rising order; each pixel is looked at once, however many there are.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        What `check_labels` refuses.
    """
    check_labels(values, argument)
    flat = values.ravel()
    places = np.flatnonzero(flat)
    if len(places) == 0:
        return
    # NumPy sorts 16 bits in linear time.
    own = flat[places]
    order = np.argsort(own.astype(np.uint16) if own.max() <= _MOST_16 else own, kind="stable")
    own, places = own[order], places[order]
    starts = np.flatnonzero(np.diff(own)) + 1
    for pixels in np.split(places, starts):
        y, x = np.divmod(pixels, values.shape[1])
        left, top = int(x.min()), int(y.min())
        inside = np.zeros((int(y.max()) + 1 - top, int(x.max()) + 1 - left), np.bool_)
        inside[y - top, x - left] = True
        yield LabelRegion(int(flat[pixels[0]]), (left, top, left + inside.shape[1], top + inside.shape[0]), inside)


def mask_pixels(mask: Any) -> NDArray[Any]:
    """Return NumPy or torch masks, from whatever device, as NumPy."""
    if not is_tensor(mask):
        return np.asarray(mask)
    tensor = mask.detach().cpu()
    # NumPy has no bfloat16.
    array: NDArray[Any] = (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    return array
