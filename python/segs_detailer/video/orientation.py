"""How a decoded frame is turned and mirrored to be shown: the eight ways that keep pixels in rows and columns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.video.frame_metadata import side_data

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray

__all__ = ["Orientation", "orientation_of"]

# A turn is a whole number of quarters if the matrix says so to about this share.
_SLACK = 1e-3


@dataclass(frozen=True, slots=True)
class Orientation:
    """What is done to a decoded frame, in this order.

    Parameters
    ----------
    transposed : bool
        Rows become columns.
    flipped_x, flipped_y : bool
        Left becomes right, top becomes bottom.
    ignored : str
        A turn that cannot be made without moving pixels off their grid, in words; empty where there is none.
    """

    transposed: bool = False
    flipped_x: bool = False
    flipped_y: bool = False
    ignored: str = ""

    @property
    def is_upright(self) -> bool:
        """Whether frames are shown as they are decoded."""
        return not (self.transposed or self.flipped_x or self.flipped_y)

    def apply(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Return a view of `(h, w)` or `(h, w, c)` as it is shown."""
        shown = pixels.swapaxes(0, 1) if self.transposed else pixels
        return shown[:: -1 if self.flipped_y else 1, :: -1 if self.flipped_x else 1]


def orientation_of(frame: VideoFrame) -> Orientation:
    """Read the display matrix that comes with a frame.

    The matrix (ISO/IEC 14496-12, 8.2.2) takes a pixel at (x, y) to (a x + c y, b x + d y). A negative determinant
    mirrors, which the angle alone does not tell.
    """
    a, b, c, d = _matrix(frame)
    scale = max(math.hypot(a, b), math.hypot(c, d))
    if scale == 0:
        return Orientation()
    small = _SLACK * scale
    if abs(b) <= small and abs(c) <= small:
        return Orientation(flipped_x=a < 0, flipped_y=d < 0)
    if abs(a) <= small and abs(d) <= small:
        return Orientation(transposed=True, flipped_x=c < 0, flipped_y=b < 0)
    degrees = round(math.degrees(math.atan2(b, a)))
    return Orientation(ignored=f"a turn by {degrees} degrees")


def _matrix(frame: VideoFrame) -> tuple[float, float, float, float]:
    """Return a, b, c and d of the display matrix; those of no turn where there is none."""
    values = np.frombuffer(side_data(frame, "DISPLAYMATRIX"), np.int32)
    if values.size < 9:
        return 1.0, 0.0, 0.0, 1.0
    a, b, c, d = (float(values[place]) for place in (0, 1, 3, 4))
    return a, b, c, d
