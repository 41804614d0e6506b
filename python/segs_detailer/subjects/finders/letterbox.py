"""Frames fitted into the input of a model, with their proportions kept, and boxes brought back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from segs_detailer.subjects.finders.opencv import import_cv2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Letterbox"]

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
