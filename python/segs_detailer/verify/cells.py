"""What changed outside the masks, by cells of some pixels: an encoder's noise told from a change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.subjects.finders.opencv import import_cv2
from segs_detailer.verify.settings import LEVEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from segs_detailer.verify.subjects import Area

__all__ = ["CELL", "CellChange", "allowed_cells", "measure_cells", "noise_between"]

CELL = 8
"""Side of a cell in pixels: the transform block of most encoders."""

# A cell of a lossy output has changed where it differs by so many times what textured cells usually do ...
_NOISE_FACTOR = 4.0
# ... and by so many levels.
_LOSSY_FLOOR = 4.0 * LEVEL
# ... and by this share of the contrast in it: at edges of colors the conversions of a lossy output differ.
_EDGE_SHARE = 0.25
# An output without loss is exact up to the rounding of conversions.
_EXACT_FLOOR = 0.6 * LEVEL
_LEAST_STRUCTURED = 8
# Neighboring cells that must have changed together in a lossy output: an encoder's worst cells stand alone.
_LEAST_CLUSTER = 4


@dataclass(frozen=True, slots=True)
class CellChange:
    """How one frame differs from its original.

    Parameters
    ----------
    difference : ndarray
        `(H, W, 3)` float32.
    pixels : ndarray
        `(H, W)` float32: its square, the mean of the colors.
    squares : ndarray
        `(rows, columns)` float32: its mean in each cell.
    changed : ndarray
        `(rows, columns)` bool: by more than the encoder explains.
    noise : float
        Root mean square of what the encoder did to textured cells outside the masks.
    textured : ndarray
        `(rows, columns)` bool: those cells.
    outside : ndarray
        `(rows, columns)` bool: cells in which nothing may change.
    shift : ndarray
        `(3,)`: mean difference of the colors of those cells.
    """

    difference: NDArray[np.float32]
    pixels: NDArray[np.float32]
    squares: NDArray[np.float32]
    changed: NDArray[np.bool_]
    noise: float
    textured: NDArray[np.bool_]
    outside: NDArray[np.bool_]
    shift: NDArray[np.float64]


def allowed_cells(areas: Sequence[Area], size: tuple[int, int], margin: int) -> NDArray[np.bool_]:
    """Return the cells that may change: those that a mask touches, and those within a margin of them.

    Parameters
    ----------
    areas : sequence of Area
        The masks.
    size : (int, int)
        Height and width of the frame.
    margin : int
        Pixels.
    """
    pixels = np.zeros(size, np.uint8)
    for area in areas:
        x1, y1, x2, y2 = area.place
        part = pixels[y1:y2, x1:x2]
        np.maximum(part, area.inside.view(np.uint8), out=part)
    reach = -(-margin // CELL)
    # The mean is 0 only where no pixel is in a mask.
    cells = _by_cells(pixels.astype(np.float32)) > 0
    if reach and cells.any():
        kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
        cells = import_cv2().dilate(cells.view(np.uint8), kernel).view(np.bool_)
    return cells


def measure_cells(
    before: NDArray[np.float32], after: NDArray[np.float32], allowed: NDArray[np.bool_] | None
) -> CellChange:
    """Compare two frames.

    Parameters
    ----------
    before, after : ndarray
        `(H, W, 3)` float32.
    allowed : ndarray or None
        What `allowed_cells` gave; None where there are no masks: the noise is then told from all cells.
    """
    cv2 = import_cv2()
    difference = cv2.subtract(after, before)
    means = _by_cells(difference)
    pixels = _mean_squares(difference)
    squares = _by_cells(pixels)
    outside = np.ones(squares.shape, bool) if allowed is None else ~allowed
    texture = _texture(before)
    textured = _textured(texture, outside)
    noise = float(np.sqrt(np.median(squares[textured]))) if textured.any() else 0.0
    if noise == 0:
        changed = squares > _EXACT_FLOOR**2 / (3 * CELL * CELL)
    else:
        threshold = max(_LOSSY_FLOOR, _NOISE_FACTOR * noise) ** 2
        # An edge shows in the cell beside it, too.
        contrast = cv2.dilate(texture, np.ones((3, 3), np.uint8))
        changed = _clusters(cv2, squares > np.maximum(threshold, _EDGE_SHARE**2 * contrast))
    shift = means[outside].mean(axis=0) if outside.any() else np.zeros(3)
    return CellChange(difference, pixels, squares, changed, noise, textured, outside, shift.astype(np.float64))


def _by_cells(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean of each cell; the edge is repeated where cells pass it."""
    cv2 = import_cv2()
    height, width = values.shape[:2]
    down, right = -height % CELL, -width % CELL
    if down or right:
        values = cv2.copyMakeBorder(values, 0, down, 0, right, cv2.BORDER_REPLICATE)
    rows, columns = values.shape[0] // CELL, values.shape[1] // CELL
    small: NDArray[np.float32] = cv2.resize(values, (columns, rows), interpolation=cv2.INTER_AREA)
    return small


def _texture(frame: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the variance of the colors in each cell."""
    cv2 = import_cv2()
    mean = _by_cells(frame)
    variance = np.maximum(_by_cells(cv2.multiply(frame, frame)) - mean * mean, 0)
    most: NDArray[np.float32] = variance.max(axis=2)
    return most


def _textured(texture: NDArray[np.float32], outside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Choose the more textured half of the cells outside: an encoder keeps flat ones exactly."""
    structured = outside & (texture > LEVEL**2)
    chosen = structured if int(structured.sum()) >= _LEAST_STRUCTURED else outside
    if not chosen.any():
        return chosen
    half: NDArray[np.bool_] = chosen & (texture >= np.median(texture[chosen]))
    return half


def noise_between(previous: CellChange, change: CellChange) -> float:
    """Return the mean square of what an encoder's noise differs by from one frame to the next.

    Parameters
    ----------
    previous, change : CellChange
        Two consecutive frames.
    """
    if previous.noise == 0 and change.noise == 0:
        return 0.0
    between = _by_cells(_mean_squares(import_cv2().subtract(change.difference, previous.difference)))
    return float(np.median(between[change.textured])) if change.textured.any() else 0.0


def _mean_squares(values: NDArray[np.float32]) -> NDArray[np.float32]:
    cv2 = import_cv2()
    squares: NDArray[np.float32] = cv2.transform(cv2.multiply(values, values), np.full((1, 3), 1 / 3, np.float32))
    return squares


def _clusters(cv2: Any, changed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(changed.view(np.uint8), connectivity=8)
    large = stats[:, cv2.CC_STAT_AREA] >= _LEAST_CLUSTER
    large[0] = False
    kept: NDArray[np.bool_] = large[labels] if count > 1 else np.zeros_like(changed)
    return kept
