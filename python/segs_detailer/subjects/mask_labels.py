"""Label masks: each value but 0 is the number of a subject."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["LabelRegion", "check_labels", "label_regions"]

_DTYPES = ("uint8", "uint16", "int64")
_MOST_16 = 65535


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
    if values.dtype.name not in _DTYPES:
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
