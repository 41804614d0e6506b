"""Frames fitted into the input of a model, with their proportions kept, and boxes and masks brought back.

A model that segments gives a stack of prototypes for each picture, at a quarter of its input's size, and coefficients
for each box. The mask is where the sum of the prototypes, weighted by the coefficients, is above 0, inside the box
(Bolya et al. 2019, "YOLACT: Real-time Instance Segmentation").
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from segs_detailer.subjects.finders.opencv import import_cv2
from segs_detailer.subjects.mask import Mask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from segs_detailer.subjects.association import Box

__all__ = ["Letterbox", "mask_of"]

# Gray beside the frame: 114 of 255, which YOLO models are trained with.
_PADDING = np.float32(114 / 255)


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Place of a frame in the input of a model.

    Parameters
    ----------
    frame : tuple of int
        `(height, width)` of the frame.
    inner : tuple of int
        `(height, width)` of the scaled frame.
    outer : tuple of int
        `(height, width)` of the input.
    """

    frame: tuple[int, int]
    inner: tuple[int, int]
    outer: tuple[int, int]

    @classmethod
    def fixed(cls, frame: tuple[int, int], outer: tuple[int, int]) -> Letterbox:
        """Fit a frame into an input of a fixed size."""
        scale = min(outer[0] / frame[0], outer[1] / frame[1])
        inner = (max(1, round(frame[0] * scale)), max(1, round(frame[1] * scale)))
        return cls(frame, inner, outer)

    @classmethod
    def smallest(cls, frame: tuple[int, int], side: int, stride: int) -> Letterbox:
        """Scale a frame's longer side to `side` pixels, and fill up both to multiples of `stride`."""
        inner = cls.fixed(frame, (side, side)).inner
        return cls(frame, inner, (-(-inner[0] // stride) * stride, -(-inner[1] // stride) * stride))

    @property
    def offset(self) -> tuple[int, int]:
        """Rows above and columns left of the frame."""
        return (self.outer[0] - self.inner[0]) // 2, (self.outer[1] - self.inner[1]) // 2

    def stack(self, frames: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Input `(B, 3, H, W)` float32 in [0, 1], RGB, of frames `(H, W, 3)`."""
        cv2 = import_cv2()
        top, left = self.offset
        height, width = self.inner
        stack = np.full((len(frames), 3, *self.outer), _PADDING, np.float32)
        for place, frame in zip(stack, frames, strict=True):
            small = cv2.resize(np.ascontiguousarray(frame), (width, height), interpolation=cv2.INTER_LINEAR)
            place[:, top : top + height, left : left + width] = np.moveaxis(small, -1, 0)
        return stack

    def to_frame(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Boxes `(n, 4)`, `(x1, y1, x2, y2)` in pixels of the input, in pixels of the frame."""
        top, left = self.offset
        scale_y, scale_x = self.frame[0] / self.inner[0], self.frame[1] / self.inner[1]
        return (boxes - [left, top, left, top]) * [scale_x, scale_y, scale_x, scale_y]


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
