"""Masks cleaned over time and space: what flashes up or drops out for a moment, and edges that breathe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.ops.morphology import dilate, erode
from segs_detailer.settings import check_settings, setting

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["MaskFilter", "filter_masks", "filtered_part"]

_MOST = 1000


@dataclass(frozen=True, slots=True)
class MaskFilter:
    """How masks are cleaned; in this order. The filter without arguments leaves them as they are.

    Parameters
    ----------
    median : int
        Frames to each side of which each pixel takes the median: a level that lasts for no more frames than this
        is gone, whether it was a hole or a speck.
    dilate : int
        Frames to each side of which each pixel takes the greatest level: the mask of a frame holds those around it, so
        that edges do not breathe.
    grow : int
        Pixels by which the mask grows to each side, or shrinks where it is negative.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        A value is out of range.
    """

    median: int = setting(
        0,
        help="clean masks: the median over N frames before and after",
        minimum=0,
        maximum=_MOST,
        unit="frames",
    )
    dilate: int = setting(
        0,
        help="steady masks: each holds those of N frames before and after",
        minimum=0,
        maximum=_MOST,
        unit="frames",
    )
    grow: int = setting(0, help="widen the masks, or narrow them below 0", minimum=-_MOST, maximum=_MOST, unit="px")

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def reach(self) -> int:
        """Frames to each side that a mask depends on."""
        return self.median + self.dilate

    @property
    def is_idle(self) -> bool:
        """Whether it leaves masks as they are."""
        return self == MaskFilter()


def filter_masks(masks: NDArray[Any], settings: MaskFilter) -> NDArray[Any]:
    """Clean the masks of a clip, or of a part of it.

    At the ends of the stack the first and the last mask stand for those beyond: of a part of a clip, the `reach` frames
    at either end that is not the clip's own are not final. `filtered_part` takes care of that.

    Parameters
    ----------
    masks : ndarray
        `(n, h, w)`, uint8 or float32; not changed.
    settings : MaskFilter
        How.

    Returns
    -------
    ndarray
        Of the same shape and dtype.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        Another shape or dtype.
    """
    if masks.ndim != 3:
        raise InvalidArgumentError("masks", "shape (n, h, w)", f"shape {masks.shape}")
    if masks.dtype not in (np.uint8, np.float32):
        raise InvalidTypeError("masks", "uint8 or float32", str(masks.dtype))
    if masks.size == 0:
        return masks.copy()
    cleaned = _median(masks, settings.median)
    cleaned = _greatest(cleaned, settings.dilate)
    if settings.grow:
        window = 2 * abs(settings.grow) + 1
        grown = (dilate if settings.grow > 0 else erode)(cleaned.astype(np.float32), window)
        cleaned = grown.astype(masks.dtype)
    return cleaned.copy() if cleaned is masks else cleaned


def filtered_part(
    read: Callable[[int, int], NDArray[Any]], start: int, stop: int, frame_count: int, settings: MaskFilter
) -> NDArray[Any]:
    """Clean the masks of a part of a clip, whose other masks are read only as far as they matter.

    Parameters
    ----------
    read : callable
        Gives the masks `(n, h, w)` from one frame up to another, such as `track_masks`.
    start, stop : int
        First frame, and the frame after the last.
    frame_count : int
        Frames of the clip.
    settings : MaskFilter
        How.

    Returns
    -------
    ndarray
        `(stop - start, h, w)`: bit for bit what `filter_masks` gives for the whole clip.
    """
    low, high = max(start - settings.reach, 0), min(stop + settings.reach, frame_count)
    return filter_masks(read(low, high), settings)[start - low : stop - low]


def _median(masks: NDArray[Any], radius: int) -> NDArray[Any]:
    if radius == 0:
        return masks
    padded = np.pad(masks, ((radius, radius), (0, 0), (0, 0)), mode="edge")
    out = np.empty_like(masks)
    for frame in range(len(masks)):
        # One row of windows more would not fit the caches of any machine.
        out[frame] = np.partition(padded[frame : frame + 2 * radius + 1], radius, axis=0)[radius]
    return out


def _greatest(masks: NDArray[Any], radius: int) -> NDArray[Any]:
    if radius == 0:
        return masks
    out = masks.copy()
    for offset in range(1, min(radius, len(masks) - 1) + 1):
        np.maximum(out[:-offset], masks[offset:], out=out[:-offset])
        np.maximum(out[offset:], masks[:-offset], out=out[offset:])
    return out
