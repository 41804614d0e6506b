"""What the values of masks mean: which one is white, which is black, and which are numbers of subjects.

The one place where values become levels. Masks come as bool, as bytes from 0 to 255, as 0 and 1 in bytes or integers,
and as floats in [0, 1]. What they mean is told over all frames of a sequence: one that is black says nothing.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer._interop import Array, dtype_name, is_tensor
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["HALF", "MASK_DTYPES", "MaskLevels", "MaskSurvey", "unit_masks", "warn_about_masks"]

MASK_DTYPES = ("float32", "float16", "float64", "bfloat16", "uint8", "uint16", "int64", "bool")
"""What masks may be of: floats in [0, 1], bytes, integers as segmentation models return them, yes and no."""

HALF = 128
"""Level from which on a pixel of a soft mask counts where only yes and no can be said."""

# int64 is what segmentation code makes of bytes.
_WHITE = {"uint8": 255, "uint16": 65535, "int64": 255}
_TOP = 255
# A mask of bytes 0 and 1 that was divided by 255: half precision rounds that by up to 0.4 %.
_FAINTEST, _FAINTEST_ABOVE = 0.995 / _TOP, 1.005 / _TOP
# Black and white of limited range (ITU-R BT.601), and how far compression moves the most frequent level.
_LIMITED_BLACK, _LIMITED_WHITE = 16, 235
_BLACK_SLACK, _WHITE_SLACK = 1, 2
# Of a mask's dark pixels, fewer than this share is black where the background is not: soft edges are dark too.
_BLACK_SHARE = 0.05
# White runs along so much of the frame's border, and less than this share of the frame is dark no more than by chance.
_BORDER_SHARE = 0.95
_HOLE_SHARE = 0.01
# Masks that stay below are named: floats are more often soft on purpose, and integers more often numbers.
_FAINT = 64
# Rows and columns of a frame that are looked at for how often levels occur.
_SAMPLED = 256


@dataclass(frozen=True, slots=True)
class MaskLevels:
    """How the values of a sequence of masks become levels.

    Parameters
    ----------
    on_off : bool
        There are only 0 and 1 (or 1/255): off and on.
    limited : bool
        Black is 16 and white 235.
    floor : int
        Levels below this are black: the noise of compression.
    """

    on_off: bool = False
    limited: bool = False
    floor: int = 0

    def levels(self, values: NDArray[Any], argument: str = "mask") -> NDArray[np.uint8] | NDArray[np.bool_]:
        """Return levels from 0 to 255, or bool where there are no others; the array itself where they are its values.

        Raises
        ------
        InvalidTypeError
            Another dtype than those of `MASK_DTYPES`.
        InvalidArgumentError
            NaN, floats outside [0, 1] or integers outside 0 to 255.
        """
        _check_range(values, argument)
        if values.dtype == np.bool_:
            return values
        if self.on_off:
            return values >= (_FAINTEST if values.dtype.kind == "f" else 1)
        levels = _bytes(values)
        if self.limited:
            levels = _STRETCHED[levels]
        if self.floor:
            levels = np.where(levels < self.floor, np.uint8(0), levels)
        return levels

    def unit(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Return new float32 in [0, 1]; floats beyond it are clamped."""
        if values.dtype.kind == "f":
            values = values.clip(0, 1)
        if self.on_off or self.limited or self.floor or values.dtype == np.bool_:
            levels = self.levels(values)
            unit = levels.astype(np.float32)
            return unit if levels.dtype == np.bool_ else unit / np.float32(_TOP)
        if values.dtype.kind == "f":
            return values.astype(np.float32, copy=False)
        _check_range(values, "masks")
        return values.astype(np.float32) / np.float32(_WHITE[values.dtype.name])


# What limited range is in full range, nearest first (ITU-T H.273, 8.3).
_STRETCHED = (
    ((np.arange(_TOP + 1) - _LIMITED_BLACK) * _TOP / (_LIMITED_WHITE - _LIMITED_BLACK) + 0.5)
    .clip(0, _TOP)
    .astype(np.uint8)
)


def _check_range(values: NDArray[Any], argument: str) -> None:
    name = values.dtype.name
    if name not in MASK_DTYPES:
        raise InvalidTypeError(argument, "bool, uint8, uint16, int64 or floats", str(values.dtype))
    if values.size == 0 or name in ("bool", "uint8", "uint16"):
        return
    low, high = values.min(), values.max()
    if name == "int64":
        if low < 0 or high > _TOP:
            expected = "integers from 0 to 255 (or numbers of subjects, with labels=True)"
            raise InvalidArgumentError(argument, expected, f"{low} to {high}")
    # NaN fails every comparison.
    elif not (low >= 0.0 and high <= 1.0):
        hint = " (of logits, pass `logits > 0`)"
        raise InvalidArgumentError(argument, f"floats in [0, 1]{hint}", f"{low:g} to {high:g}")


def _bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return checked values as levels from 0 to 255."""
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.uint16:
        return ((values.astype(np.uint32) * _TOP + 32767) // 65535).astype(np.uint8)
    if values.dtype.kind == "f":
        scaled: NDArray[np.uint8] = (values * values.dtype.type(_TOP) + values.dtype.type(0.5)).astype(np.uint8)
        return scaled
    return values.astype(np.uint8)


class MaskSurvey:
    """Looks at a sequence of masks, one after the other, and tells what its values mean.

    Parameters
    ----------
    floor : int
        Levels below this are noise: they say nothing. Above 0 for formats that lose something.
    """

    def __init__(self, *, floor: int = 0) -> None:
        self._floor = floor
        self._highest = 0.0
        self._shown = ("0", "255")
        self._integers = False
        self._beyond_one = False
        self._is_noisy = False
        self._counts = np.zeros(_TOP + 1, np.int64)
        self._framed = 0
        self._shows_something = 0

    def look(self, values: NDArray[Any]) -> None:
        """Look at one mask `(h, w)`; floats beyond [0, 1] count as those limits."""
        if values.size == 0 or values.ndim != 2 or values.dtype.name not in MASK_DTYPES:
            return  # another's to refuse
        step = [max(1, side // _SAMPLED) for side in values.shape]
        levels = self._sampled(values[:: step[0], :: step[1]])
        self._counts += np.bincount(levels.ravel(), minlength=_TOP + 1)
        highest = values.max()
        if not highest > 0:  # NaN is another's to refuse
            return
        white = _WHITE.get(values.dtype.name, 1)
        self._integers |= white > 1
        share = min(float(highest) / white, 1.0)
        if values.dtype == np.bool_:
            self._highest = 1.0
        elif share * _TOP < self._floor:
            self._is_noisy = True
        else:
            self._beyond_one |= bool(highest > (_FAINTEST_ABOVE if values.dtype.kind == "f" else 1))
            if share > self._highest:
                self._highest, self._shown = share, (f"{highest:.4g}" if white == 1 else str(highest), str(white))
        if share * _TOP >= HALF or values.dtype == np.bool_:
            self._shows_something += 1
            self._framed += _is_framed(values, HALF / _TOP * white)

    def _sampled(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        if values.dtype == np.bool_:
            return values.view(np.uint8) * np.uint8(_TOP)
        if values.dtype.kind == "f":
            values = np.nan_to_num(values).clip(0, 1)
        elif values.dtype == np.int64:
            values = values.clip(0, _TOP)
        return _bytes(values)

    @property
    def levels(self) -> MaskLevels:
        """What was found out."""
        # Where there is noise, 1 is noise.
        return MaskLevels(not self._beyond_one and self._floor == 0, self._is_limited, self._floor)

    @property
    def _gray(self) -> int:
        """Level of the background; 0 where that is black, or where there is none."""
        dark = self._counts[:HALF]
        black = int(dark[: max(self._floor, 1)].sum())
        return int(dark.argmax()) if self._beyond_one and black < _BLACK_SHARE * int(dark.sum()) else 0

    @property
    def _is_limited(self) -> bool:
        white = HALF + int(self._counts[HALF:].argmax())
        return (
            abs(self._gray - _LIMITED_BLACK) <= _BLACK_SLACK
            and abs(white - _LIMITED_WHITE) <= _WHITE_SLACK
            and bool(self._counts[white])
        )

    def complaint(self, name: str, labels: str, *, stretched: bool = True) -> str | None:
        """Say what is strange about the masks, and what to do.

        Parameters
        ----------
        name : str
            Of the masks.
        labels : str
            What to do where the values are numbers of subjects.
        stretched : bool
            Limited range is taken as such; False where that came too late.

        Returns
        -------
        str or None
            One line; None where nothing is strange.
        """
        if not self._beyond_one:
            is_noise = self._is_noisy and self._highest == 0
            faint = f"no value reaches {self._floor} of {_TOP}, and what is below is taken for noise of compression"
            return f"{name}: {faint}: make white what is to be repainted" if is_noise else None
        if self._is_limited and stretched:
            return (
                f"{name}: black is {_LIMITED_BLACK} and white {_LIMITED_WHITE}, as in video of limited range, and "
                "taken so: write full range, or tag the video as limited"
            )
        if self._gray:
            return (
                f"{name}: the background is {self._gray} of {_TOP} and not black, so that the whole frame counts: make "
                f"it 0; if the values are numbers of subjects, {labels}"
            )
        if self._highest * _TOP < (HALF if self._integers else _FAINT):
            highest, white = self._shown
            return (
                f"{name}: the highest value is {highest}, where white is {white}: make white what is to be repainted; "
                f"if the values are numbers of subjects, {labels}"
            )
        total, dark = int(self._counts.sum()), int(self._counts[:HALF].sum())
        if self._framed and self._framed == self._shows_something and _HOLE_SHARE * total <= dark < total / 2:
            return f"{name}: white is all around the frame, and is repainted: invert the masks if black is the subject"
        return None


def _is_framed(values: NDArray[Any], level: float) -> bool:
    """Whether nearly all pixels along the border are white."""
    border = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    white = border if border.dtype == np.bool_ else border >= level
    return bool(white.mean() >= _BORDER_SHARE)


def warn_about_masks(
    survey: MaskSurvey, name: str, labels: str = "pass labels=True", *, stretched: bool = True
) -> None:
    """Warn once about masks that are strange; see `MaskSurvey.complaint`."""
    complaint = survey.complaint(name, labels, stretched=stretched)
    if complaint is not None:
        warnings.warn(complaint, stacklevel=3)


def unit_masks(masks: Array, argument: str = "masks") -> Any:
    """Return masks as float32 by what their own values mean, all of them together.

    Parameters
    ----------
    masks : ndarray or Tensor
        Of `MASK_DTYPES`. Integers of which none is above 1 are off and on, as are floats of which none is above 1/255;
        other integers are divided by what is white, other floats are cast and may lie outside [0, 1].
    argument : str
        Name for messages.

    Returns
    -------
    ndarray or Tensor
        float32, where it was; the array itself where nothing had to change.

    Raises
    ------
    InvalidArgumentError
        int64 outside 0 to 255.
    """
    name = dtype_name(masks)
    floats: Any = masks.float() if is_tensor(masks) else masks.astype(np.float32, copy=False)
    if name == "bool" or 0 in tuple(masks.shape):
        return floats
    highest = float(floats.max())
    if name not in _WHITE:
        if _FAINTEST <= highest <= _FAINTEST_ABOVE:
            on = floats >= _FAINTEST
            return on.float() if is_tensor(on) else on.astype(np.float32)
        return floats
    lowest = float(floats.min())
    if name == "int64" and not 0 <= lowest <= highest <= _TOP:
        raise InvalidArgumentError(argument, "integers from 0 to 255", f"{lowest:.0f} to {highest:.0f}")
    # The floats are new: integers never are float32.
    if highest > 1:
        floats /= _WHITE[name]
    return floats
