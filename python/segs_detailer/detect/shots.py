"""Cuts between shots, found while frames pass by."""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from .opencv import import_cv2

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ShotDetector"]

_THUMBNAIL = (64, 36)
_BINS = 8
# Change of the colour histogram (half its L1 distance, 0 to 1) and of the thumbnail (mean difference, 0 to 1) that a
# cut makes; within a shot both stay far below, but for flashes and very fast pans.
_HISTOGRAM_CHANGE = 0.35
_PICTURE_CHANGE = 0.12
# A cut stands out from the changes around it.
_CONTRAST = 2.2
_MEMORY = 8


class ShotDetector:
    """Tells for each frame whether it begins a shot.

    A frame begins a shot where its colours or its thumbnail differ from the frame before by more than a fixed amount
    and by more than twice what frames did just before: a pan or a waving flag changes much, but steadily.
    """

    def __init__(self) -> None:
        self._cv2 = import_cv2()
        self._histogram: NDArray[np.float64] | None = None
        self._thumbnail: NDArray[np.float32] | None = None
        self._scores: deque[float] = deque(maxlen=_MEMORY)

    def begins_shot(self, frame: NDArray[np.float32]) -> bool:
        """Look at the next frame `(H, W, 3)` float32 in [0, 1]. The first one begins a shot."""
        thumbnail = self._cv2.resize(frame, _THUMBNAIL, interpolation=self._cv2.INTER_AREA)
        bins = np.minimum((thumbnail * _BINS).astype(np.int64), _BINS - 1).reshape(-1, 3)
        codes = (bins[:, 0] * _BINS + bins[:, 1]) * _BINS + bins[:, 2]
        histogram = np.bincount(codes, minlength=_BINS**3) / len(codes)
        previous, before = self._histogram, self._thumbnail
        self._histogram, self._thumbnail = histogram, thumbnail
        if previous is None or before is None:
            return True
        colours = 0.5 * float(np.abs(histogram - previous).sum())
        picture = float(np.abs(thumbnail - before).mean())
        score = max(colours / _HISTOGRAM_CHANGE, picture / _PICTURE_CHANGE)
        usual = median(self._scores) if self._scores else 0.0
        is_cut = score > 1 and score > _CONTRAST * usual
        if is_cut:
            self._scores.clear()
        else:
            self._scores.append(score)
        return is_cut
