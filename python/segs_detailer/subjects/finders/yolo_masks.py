"""Masks of YOLO models that segment.

Such a model gives a stack of prototypes for each picture, at a quarter of its input's size, and coefficients for each
box. The mask is where the sum of the prototypes, weighted by the coefficients, is above 0, inside the box (Bolya et
al. 2019, "YOLACT: Real-time Instance Segmentation").
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from segs_detailer.subjects.finders.opencv import import_cv2
from segs_detailer.subjects.mask import Mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segs_detailer.subjects.association import Box
    from segs_detailer.subjects.finders.letterbox import Letterbox

__all__ = ["mask_of"]


def mask_of(
    coefficients: NDArray[np.float64], prototypes: NDArray[np.float32], box: Box, place: Letterbox
) -> Mask | None:
    """Mask of one detection in pixels of the frame.

    Parameters
    ----------
    coefficients : ndarray
        `(m,)`.
    prototypes : ndarray
        `(m, h, w)` float32.
    box : Box
        The detection's, in pixels of the frame.
    place : Letterbox
        Where the frame is in the model's input.

    Returns
    -------
    Mask or None
        None where nothing of the box is in the frame, or no pixel of it is part of the subject.
    """
    cv2 = import_cv2()
    height, width = place.frame
    left, top = max(0, math.floor(box[0])), max(0, math.floor(box[1]))
    right, bottom = min(width, math.ceil(box[2])), min(height, math.ceil(box[3]))
    if left >= right or top >= bottom:
        return None
    sums = np.tensordot(coefficients.astype(np.float32), prototypes, axes=1)
    # Column of the prototypes of a column of the frame: both count pixels from their centers.
    scale_x, offset_x = _line(place.inner[1] / width, place.offset[1], sums.shape[1] / place.outer[1], left)
    scale_y, offset_y = _line(place.inner[0] / height, place.offset[0], sums.shape[0] / place.outer[0], top)
    matrix = np.array([[scale_x, 0, offset_x], [0, scale_y, offset_y]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    logits = cv2.warpAffine(sums, matrix, (right - left, bottom - top), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    mask = Mask.from_pixels(logits > 0, (left, top))
    return None if mask.empty else mask


def _line(to_input: float, padding: int, to_prototypes: float, first: int) -> tuple[float, float]:
    """Slope and offset from the n-th pixel from `first` on of a frame to a pixel of the prototypes."""
    slope = to_input * to_prototypes
    return slope, (first + 0.5) * slope + padding * to_prototypes - 0.5
