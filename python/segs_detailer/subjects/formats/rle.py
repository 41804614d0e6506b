"""Run lengths as COCO writes masks: column by column, background first; as a list, or packed into text.

The packed form is that of the COCO API: from the fourth run on the difference to the run two before is kept, each in
groups of five bits, least significant first, with a sixth bit that says that more follow, as characters from `0` on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.checks import shown
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.subjects.mask import Mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["compress", "decode", "decompress", "encode"]

_FIRST = 48  # "0"
_GROUP = 5
_MORE = 0x20
_SIGN = 0x10
_LOW = 0x1F
# No run is longer than the largest frame has pixels: 28 bits and a sign are six groups.
_MOST_GROUPS = 6


def encode(mask: Mask, size: tuple[int, int]) -> NDArray[np.int64]:
    """Return the runs of a mask in a frame of `(height, width)`, background first.

    Levels from 128 on count.
    """
    height, width = size
    x1, y1, x2, y2 = mask.place
    # A row of background above and below each column gives every run a beginning and an end.
    columns = np.zeros((x2 - x1, y2 - y1 + 2), bool)
    columns[:, 1:-1] = mask.bits().T
    column, row = np.divmod(np.flatnonzero(columns[:, 1:] != columns[:, :-1]), y2 - y1 + 1)
    edges = (x1 + column) * height + y1 + row
    starts, ends = edges[0::2], edges[1::2]
    # A run that reaches the bottom goes on where the next column begins at the top.
    apart = np.flatnonzero(starts[1:] != ends[:-1])
    if len(edges):
        starts, ends = starts[np.r_[0, apart + 1]], ends[np.r_[apart, -1]]
    counts: NDArray[np.int64] = np.diff(np.r_[0, np.stack([starts, ends], axis=1).ravel(), height * width])
    # Nothing follows a mask that ends with the last pixel.
    return counts[:-1] if len(counts) > 1 and counts[-1] == 0 else counts


def decode(counts: Any, size: tuple[int, int], argument: str = "counts") -> Mask:
    """Return the mask that runs describe in a frame of `(height, width)`.

    Parameters
    ----------
    counts : array_like
        Whole numbers: lengths of the runs, background first.
    size : (int, int)
        Height and width of the frame.
    argument : str
        Name for messages.

    Raises
    ------
    InvalidTypeError, InvalidArgumentError
        They are no whole numbers, or do not add up to the frame's pixels.
    """
    height, width = size
    try:
        runs = np.array(counts)
    except ValueError:
        raise InvalidTypeError(argument, "a list of whole numbers", shown(counts)) from None
    if runs.ndim != 1 or (runs.size and runs.dtype.kind not in "iu"):
        raise InvalidTypeError(argument, "a list of whole numbers", shown(counts))
    pixels = height * width
    if runs.size and (int(runs.min()) < 0 or int(runs.max()) > pixels):
        raise InvalidArgumentError(argument, f"runs from 0 to {pixels} pixels", f"{runs.min()} to {runs.max()}")
    runs = runs.astype(np.int64)
    if int(runs.sum()) != pixels:
        expected = f"runs of {pixels} pixels in all, {width}x{height}"
        raise InvalidArgumentError(argument, expected, f"{int(runs.sum())}")
    ends = np.cumsum(runs)
    shown_runs = np.flatnonzero(runs[1::2]) * 2 + 1
    if len(shown_runs) == 0:
        return Mask.from_pixels(np.zeros((0, 0), bool))
    starts, stops = ends[shown_runs - 1], ends[shown_runs]
    left, right = int(starts[0]) // height, (int(stops[-1]) - 1) // height + 1
    top, bottom = 0, height
    if bool((starts // height == (stops - 1) // height).all()):
        # No run goes on in the next column: only the rows that the mask touches are unrolled as well.
        top, bottom = int((starts % height).min()), int(((stops - 1) % height).max()) + 1
    # Where the runs begin and end in the part that is unrolled, column by column.
    edges = np.stack([starts, stops - 1], axis=1)
    edges = (edges // height - left) * (bottom - top) + edges % height - top
    lengths = np.diff(np.concatenate([edges[:, :1], edges[:, 1:] + 1], axis=1).ravel(), prepend=0)
    total = (right - left) * (bottom - top)
    lengths = np.append(lengths, total - int(lengths.sum()))
    columns = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(right - left, bottom - top)
    return Mask.from_pixels(np.ascontiguousarray(columns.T), (left, top))


def compress(counts: NDArray[np.int64]) -> str:
    """Pack runs into text."""
    values = counts.astype(np.int64)
    values[3:] -= counts[1:-2]
    # Of a number that needs n groups, the fifth bit of the last one is its sign.
    limit = np.int64(1) << (_GROUP * np.arange(1, _MOST_GROUPS + 1) - 1)
    groups = 1 + (values[:, None] >= limit).sum(axis=1)
    groups = np.where(values < 0, 1 + (values[:, None] < -limit).sum(axis=1), groups)
    place = np.arange(int(groups.max(initial=1)))
    codes = (values[:, None] >> (_GROUP * place)) & _LOW
    codes |= np.where(place < groups[:, None] - 1, _MORE, 0)
    text: bytes = (codes[place < groups[:, None]] + _FIRST).astype(np.uint8).tobytes()
    return text.decode("ascii")


def decompress(text: str | bytes, argument: str = "counts") -> NDArray[np.int64]:
    """Return the runs that a text holds.

    Raises
    ------
    InvalidArgumentError
        It holds other characters, or ends in the midst of a number.
    """
    expected = "runs as the COCO API packs them"
    try:
        data = text.encode("ascii") if isinstance(text, str) else text
    except UnicodeEncodeError:
        raise InvalidArgumentError(argument, expected, shown(text)) from None
    codes = np.frombuffer(data, np.uint8).astype(np.int64) - _FIRST
    if codes.size == 0:
        return codes
    if int(codes.min()) < 0 or int(codes.max()) > _MORE + _LOW:
        raise InvalidArgumentError(argument, expected, shown(text))
    if codes[-1] & _MORE:
        raise InvalidArgumentError(argument, expected, "text that breaks off in the midst of a number")
    last = np.flatnonzero(codes & _MORE == 0)
    first = np.r_[0, last[:-1] + 1]
    groups = last - first + 1
    if int(groups.max()) > _MOST_GROUPS:
        raise InvalidArgumentError(argument, expected, f"a number of {int(groups.max())} groups")
    place = np.arange(len(codes)) - np.repeat(first, groups)
    values = np.add.reduceat((codes & _LOW) << (_GROUP * place), first)
    values = np.where(codes[last] & _SIGN, values - (np.int64(1) << (_GROUP * groups)), values)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values
