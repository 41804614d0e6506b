"""What something looks like: a short vector of its colors and their places, by which subjects are told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.subjects.finders.opencv import import_cv2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from segs_detailer.subjects.association import Box

__all__ = ["describe"]

# Of a box its inner part counts, most in the middle: at the edges there is ground.
_INNER = 0.8
_CENTER = 0.6
# Colors are counted in so many steps of each channel, from a picture of so many pixels; their places are a coarser one.
_COLORS = 3
_PIXELS = 15
_CELLS = 5
# Half of the likeness is of colors, half of their places; a picture of less contrast than this has none of the latter.
_COLOR_SHARE = 0.5
_LEAST_CONTRAST = 0.02


def describe(picture: NDArray[Any], boxes: Sequence[Box]) -> list[NDArray[np.float32] | None]:
    """Describe what is in some boxes of a picture.

    The scalar product of two descriptions is their likeness: 1 for equal pictures, 0.8 and more for one subject in
    neighboring frames, less than half for subjects of other colors.

    Parameters
    ----------
    picture : ndarray
        `(h, w, 3)` uint8, or floats in [0, 1].
    boxes : sequence of (float, float, float, float)
        `(x1, y1, x2, y2)` in its pixels.

    Returns
    -------
    list of ndarray or None
        A vector of length 1 or less each, float32; None of a box of which less than two pixels are in the picture.

    Notes
    -----
    Half of it is a histogram of colors with linear shares, of whose entries the roots are taken, so that the product
    is Bhattacharyya's coefficient. The other half is a small picture without its mean, scaled to length 1, whose
    product is the correlation.
    """
    patches = [_patch(picture, box) for box in boxes]
    there = [patch for patch in patches if patch is not None]
    if not there:
        return [None] * len(boxes)
    stack = np.stack(there).astype(np.float32)
    if picture.dtype == np.uint8:
        stack *= np.float32(1 / 255)
    halves = [np.sqrt(_COLOR_SHARE) * _colors(stack), np.sqrt(1 - _COLOR_SHARE) * _places(stack)]
    vectors = iter(np.concatenate(halves, axis=1).astype(np.float32))
    return [None if patch is None else next(vectors) for patch in patches]


def _patch(picture: NDArray[Any], box: Box) -> NDArray[Any] | None:
    """Return the inner part of a box in a few pixels."""
    cv2 = import_cv2()
    height, width = picture.shape[:2]
    x1, y1, x2, y2 = box
    x, y, half_width, half_height = (x1 + x2) / 2, (y1 + y2) / 2, _INNER * (x2 - x1) / 2, _INNER * (y2 - y1) / 2
    left, right = max(int(x - half_width), 0), min(int(np.ceil(x + half_width)), width)
    top, bottom = max(int(y - half_height), 0), min(int(np.ceil(y + half_height)), height)
    if right - left < 2 or bottom - top < 2:
        return None
    part = np.ascontiguousarray(picture[top:bottom, left:right])
    small: NDArray[Any] = cv2.resize(part, (_PIXELS, _PIXELS), interpolation=cv2.INTER_AREA)
    return small


def _colors(stack: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the roots of the shares of colors, `(n, 27)`; each pixel is shared by the colors around it."""
    grid = (np.arange(_PIXELS) + 0.5) / _PIXELS * 2 - 1
    weight = np.exp(-(grid[:, None] ** 2 + grid**2) / (2 * _CENTER**2)).ravel()
    places = stack.reshape(len(stack), -1, 3).clip(0, 1) * (_COLORS - 1)
    low = np.minimum(places.astype(np.int64), _COLORS - 2)
    part = places - low
    first = (np.arange(len(stack)) * _COLORS**3)[:, None]
    counts = np.zeros(len(stack) * _COLORS**3)
    for corner in range(8):
        red, green, blue = corner >> 2 & 1, corner >> 1 & 1, corner & 1
        code = ((low[..., 0] + red) * _COLORS + low[..., 1] + green) * _COLORS + low[..., 2] + blue
        share = np.broadcast_to(weight, part.shape[:2])
        for channel, step in enumerate((red, green, blue)):
            share = share * (part[..., channel] if step else 1 - part[..., channel])
        counts += np.bincount((first + code).ravel(), share.ravel(), len(counts))
    roots: NDArray[np.float64] = np.sqrt(counts.reshape(len(stack), -1) / weight.sum())
    return roots


def _places(stack: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return a small picture of each without its mean, of length 1, `(n, 75)`."""
    step = _PIXELS // _CELLS
    cells = stack.reshape(len(stack), _CELLS, step, _CELLS, step, 3).mean(axis=(2, 4)).reshape(len(stack), -1, 3)
    cells = (cells - cells.mean(axis=1, keepdims=True)).reshape(len(stack), -1)
    length = np.linalg.norm(cells, axis=1, keepdims=True)
    unit: NDArray[np.float64] = cells / np.maximum(length, _LEAST_CONTRAST * cells.shape[1] ** 0.5)
    return unit
