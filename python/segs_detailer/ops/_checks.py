"""Arguments of the ops: shapes and regions, checked before anything is computed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from segs_detailer._interop import Array, check_apart, check_dtype, check_writable, dtype_name, is_tensor, kind_of
from segs_detailer.checks import MAX_COORDINATE, shown, whole_number
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.ops.turns import turned_halves

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "Places",
    "Region",
    "Regions",
    "frames_shape",
    "image_size",
    "masks_shape",
    "output",
    "region_places",
]

Region: TypeAlias = "Sequence[int] | Sequence[float]"
"""`(x1, y1, x2, y2)` in pixels of the full frame, `x2` and `y2` exclusive; places may lie between pixels. A fifth
number turns it about its middle, in degrees clockwise."""

Regions: TypeAlias = "Region | Sequence[Region] | Array"
"""One region for all frames, or `(B, 4)` or `(B, 5)`: one for each."""

_MAX_CHANNELS = 4
_WHOLE = 1e-6  # of a pixel: a place or size that is no farther from a whole number is that number


def frames_shape(argument: str, frames: Array) -> tuple[int, int, int, int]:
    """Return the shape `(B, H, W, C)` of frames, checked."""
    shape = tuple(frames.shape)
    if len(shape) != 4:
        raise InvalidArgumentError(argument, "shape (B, H, W, C)", f"shape {shape}")
    if not 1 <= shape[3] <= _MAX_CHANNELS:
        hint = " (channels come last)" if 1 <= shape[1] <= _MAX_CHANNELS else ""
        raise InvalidArgumentError(argument, f"1 to {_MAX_CHANNELS} channels{hint}", f"shape {shape}")
    return shape


def masks_shape(argument: str, masks: Array, *, dtypes: Sequence[str] = ("float32",)) -> tuple[int, int, int]:
    """Return the shape `(N, h, w)` of masks, where `(h, w)` counts as one; the dtype is checked too."""
    shape = tuple(masks.shape)
    if len(shape) not in (2, 3):
        raise InvalidArgumentError(argument, "shape (h, w) or (N, h, w)", f"shape {shape}")
    check_dtype(argument, masks, dtypes)
    return (1, *shape) if len(shape) == 2 else shape


def output(argument: str, out: Array, shape: Sequence[int], dtype: str, **inputs: Array | None) -> None:
    """Check that `out` can take a result: shape, dtype, C order, writable, apart from the inputs."""
    if tuple(out.shape) != tuple(shape):
        raise InvalidArgumentError(argument, f"shape {tuple(shape)}", f"shape {tuple(out.shape)}")
    if dtype_name(out) != dtype:
        raise InvalidTypeError(argument, dtype, dtype_name(out))
    check_writable(argument, out)
    check_apart(argument, out, **inputs)


class Places(NamedTuple):
    """Where crops lie: checked regions, all of one size.

    Parameters
    ----------
    regions : ndarray
        `(1 or B, 4)` int64: each region in whole pixels, its corner at or before the place that was asked for.
    shifts : ndarray or None
        `(1 or B, 2)` float64, in [0, 1): how far right of and below it that place is; with a third column where any is
        turned, its degrees clockwise about its middle. None where all are whole.
    """

    regions: NDArray[np.int64]
    shifts: NDArray[np.float64] | None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        x1, y1, x2, y2 = self.regions[0].tolist()
        return y2 - y1, x2 - x1

    def reach(self, before: int, after: int) -> NDArray[np.int64]:
        """Return the box around all regions; between pixels, they reach so many further, and turned ones one more."""
        low, high = self.regions[:, :2], self.regions[:, 2:]
        if self.shifts is None:
            before = after = 0
        elif self.shifts.shape[1] == 3:
            before, after = before + 1, after + 1
            middles = 0.5 * (low + high) + self.shifts[:, :2]
            reach = turned_halves((high - low).astype(np.float64) / 2, self.shifts[:, 2])
            low, high = np.floor(middles - reach).astype(np.int64), np.ceil(middles + reach).astype(np.int64)
        return np.concatenate([low.min(0) - before, high.max(0) + after])

    def moved(self, x: int, y: int) -> Places:
        """Return the same places seen from another origin."""
        return Places(self.regions - (x, y, x, y), self.shifts)


def region_places(argument: str, region: Regions, frames: int) -> Places:
    """Return where regions lie: ordered, small enough to calculate with, and all of one size in whole pixels."""
    table = _numbers(argument, region)
    if table.ndim not in (1, 2) or table.shape[-1] not in (4, 5):
        raise InvalidArgumentError(argument, "(x1, y1, x2, y2), or one per frame", f"shape {table.shape}")
    table = table.reshape(-1, table.shape[-1])
    table, angles = table[:, :4], table[:, 4:].astype(np.float64) % 360
    if len(table) not in (1, frames):
        raise InvalidArgumentError(argument, f"1 or {frames} regions", f"{len(table)}")
    wrong = (table[:, 2:] < table[:, :2]).any(1)
    if wrong.any():
        raise InvalidArgumentError(
            argument, "(x1, y1, x2, y2) with x1 <= x2 and y1 <= y2", f"{tuple(table[wrong.argmax()].tolist())}"
        )
    sizes = _sizes(argument, table)
    if table.dtype == np.int64 and not angles.any():
        return Places(np.ascontiguousarray(table), None)
    corners = table[:, :2]
    whole = np.round(corners)
    corners = np.where(np.abs(corners - whole) <= _WHOLE, whole, corners)
    starts = np.floor(corners)
    regions = np.concatenate([starts.astype(np.int64), starts.astype(np.int64) + sizes], axis=1)
    shifts = corners - starts
    if angles.any():
        return Places(regions, np.concatenate([shifts, angles], axis=1))
    return Places(regions, shifts if shifts.any() else None)


def _sizes(argument: str, table: NDArray[Any]) -> NDArray[np.int64]:
    """Return width and height of every region, checked to be whole and those of the first."""
    exact = table[:, 2:] - table[:, :2]
    sizes = np.round(exact)
    between = (np.abs(exact - sizes) > _WHOLE).any(1)
    if between.any():
        got = "x".join(f"{side:g}" for side in exact[between.argmax()].tolist())
        raise InvalidArgumentError(argument, "regions whose size is in whole pixels", got)
    whole: NDArray[np.int64] = sizes.astype(np.int64)
    differs = (whole != whole[0]).any(1)
    if differs.any():
        width, height = whole[0].tolist()
        other_width, other_height = whole[differs.argmax()].tolist()
        expected = f"regions of one size, {width}x{height} as the first"
        raise InvalidArgumentError(argument, expected, f"{other_width}x{other_height} in region {differs.argmax()}")
    return whole


def _numbers(argument: str, region: Any) -> NDArray[Any]:
    """Return regions as int64, or as float64 where one number is no integer."""
    if is_tensor(region):
        kind_of(argument, region)
    # tolist() brings a tensor over from any device: four numbers, not pixels. As objects, integers of any size stay so.
    try:
        table = np.array(region.tolist() if hasattr(region, "tolist") else region, dtype=object)
    except ValueError:
        raise InvalidArgumentError(argument, "(x1, y1, x2, y2), or one per frame", shown(region)) from None
    all_whole = True
    value: Any
    for value in table.flat:
        if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
            raise InvalidTypeError(argument, "(x1, y1, x2, y2) of numbers, or one per frame", shown(value))
        if isinstance(value, (float, np.floating)):
            all_whole = False
            if not math.isfinite(value):
                raise InvalidArgumentError(argument, "finite coordinates", shown(value))
        if not -MAX_COORDINATE <= value <= MAX_COORDINATE:
            raise InvalidArgumentError(argument, f"|coordinate| <= {MAX_COORDINATE}", shown(value))
    return table.astype(np.int64 if all_whole else np.float64)


def image_size(argument: str, size: Sequence[int]) -> tuple[int, int]:
    """Return a `(height, width)` pair of at least one pixel each."""
    try:
        height, width = size
    except (TypeError, ValueError):
        raise InvalidTypeError(argument, "(height, width)", shown(size)) from None
    return whole_number(argument, height, minimum=1), whole_number(argument, width, minimum=1)
