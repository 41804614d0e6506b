"""One mask of one frame, held as small as it is: cropped to what it shows, in bits where it has no soft edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.mask_levels import HALF, MaskLevels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from segs_detailer.segs import Box

__all__ = ["Mask"]

_LEVELS = MaskLevels()


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
        part, target = self._common(out.shape, origin)
        if part is not None:
            levels = self.pixels()[part]
            np.maximum(out[target], levels, out=out[target])

    def paint_index(self, out: NDArray[np.uint8], index: int) -> None:
        """Write a number to the pixels of a frame `(H, W)` uint8 that count."""
        part, target = self._common(out.shape, (0, 0))
        if part is not None:
            out[target][self.bits()[part]] = index

    def _common(self, shape: tuple[int, ...], origin: tuple[int, int]) -> tuple[Any, Any]:
        x1, y1, x2, y2 = self.place
        left, top = max(x1, origin[0]), max(y1, origin[1])
        right, bottom = min(x2, origin[0] + shape[1]), min(y2, origin[1] + shape[0])
        if left >= right or top >= bottom:
            return None, None
        part = (slice(top - y1, bottom - y1), slice(left - x1, right - x1))
        return part, (
            slice(top - origin[1], bottom - origin[1]),
            slice(left - origin[0], right - origin[0]),
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mask):
            return NotImplemented
        return self.place == other.place and self.soft == other.soft and np.array_equal(self.data, other.data)

    def __hash__(self) -> int:
        return hash((self.place, self.soft, self.data.tobytes()))
