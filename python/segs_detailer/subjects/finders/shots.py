"""Cuts between shots, found while frames pass by."""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from segs_detailer.subjects.finders.opencv import import_cv2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["ShotDetector", "shots_of"]

_PICTURE = (128, 72)
_THUMBNAIL = (64, 36)
_BINS = 8
# Change of the color histogram (half its L1 distance, 0 to 1) and of the thumbnail (mean difference, 0 to 1) that a
# cut makes; within a shot both stay far below, but for flashes and very fast pans.
_HISTOGRAM_CHANGE = 0.35
_PICTURE_CHANGE = 0.12
# A cut stands out from the changes around it.
_CONTRAST = 2.2
_MEMORY = 8
# Correlation of the fine structure of two pictures, one moved as it fits best: unrelated ones have 0.1 to 0.2, those of
# one shot more than 0.5 also where the camera moves, unless noise or motion blur leave little of it.
_SAME_STRUCTURE = 0.5
_LEAST_STRUCTURE = 0.4
_LOST_STRUCTURE = 0.45
_DETAIL = 3.0
"""Structure is what a Gaussian of this standard deviation takes away, in pixels of the small picture."""
_AROUND = 6.0
_LEAST_CONTRAST = 0.004
"""Contrast of one step of 8 bits: below it there is rounding and noise."""
_FLAT = 0.05
_FLASH = 3
"""A picture that is that of so many frames before again does not begin a shot."""


class ShotDetector:
    """Tells for each frame whether it begins a shot.

    A frame begins a shot where its colors or its thumbnail differ from the frame before by more than a fixed amount
    and by more than twice what frames did just before, or where the fine structure of the picture, which went on from
    frame to frame, is lost at once. It does not where that structure is there again, at another place for all that:
    a pan, a lamp that goes on, a picture after a flash.
    """

    def __init__(self) -> None:
        self._cv2 = import_cv2()
        self._histogram: NDArray[np.float64] | None = None
        self._thumbnail: NDArray[np.float32] | None = None
        self._structures: deque[NDArray[np.complex64] | None] = deque(maxlen=_FLASH)
        self._scores: deque[float] = deque(maxlen=_MEMORY)
        self._likeness: deque[float] = deque(maxlen=_MEMORY)

    def begins_shot(self, frame: NDArray[np.float32]) -> bool:
        """Look at the next frame `(H, W, 3)` float32 in [0, 1]. The first one begins a shot."""
        picture = self._cv2.resize(frame, _PICTURE, interpolation=self._cv2.INTER_AREA)
        thumbnail = self._cv2.resize(picture, _THUMBNAIL, interpolation=self._cv2.INTER_AREA)
        histogram = _histogram(thumbnail)
        structure = self._structure(picture)
        previous, before, structures = self._histogram, self._thumbnail, list(self._structures)
        self._histogram, self._thumbnail = histogram, thumbnail
        self._structures.append(structure)
        if previous is None or before is None:
            return True
        colors = 0.5 * float(np.abs(histogram - previous).sum())
        change = float(np.abs(thumbnail - before).mean())
        score = max(colors / _HISTOGRAM_CHANGE, change / _PICTURE_CHANGE)
        is_cut = self._is_cut(score, structure, structures)
        if is_cut:
            self._scores.clear()
            self._likeness.clear()
        else:
            self._scores.append(score)
        return is_cut

    def _is_cut(
        self, score: float, structure: NDArray[np.complex64] | None, before: list[NDArray[np.complex64] | None]
    ) -> bool:
        usual = median(self._scores) if self._scores else 0.0
        likeness = _likeness(structure, before[-1])
        usual_likeness = median(self._likeness) if self._likeness else 0.0
        is_lost = False
        if likeness is not None:
            self._likeness.append(likeness)
            is_lost = usual_likeness >= _LEAST_STRUCTURE and likeness < _LOST_STRUCTURE * usual_likeness
        if not is_lost and not (score > 1 and score > _CONTRAST * usual):
            return False
        return all((_likeness(structure, other) or 0.0) < _SAME_STRUCTURE for other in before)

    def _structure(self, picture: NDArray[np.float32]) -> NDArray[np.complex64] | None:
        """Spectrum of a picture's fine structure, of length 1; None of a flat one."""
        gray = self._cv2.cvtColor(picture, self._cv2.COLOR_RGB2GRAY)
        fine = gray - self._cv2.GaussianBlur(gray, (0, 0), _DETAIL)
        # By what is usual around each place: a face before a soft ground is not all of a picture.
        contrast = self._cv2.GaussianBlur(fine * fine, (0, 0), _AROUND)
        fine = fine / np.sqrt(contrast + _LEAST_CONTRAST**2)
        length = float(np.linalg.norm(fine))
        if not length > _FLAT * fine.size**0.5:
            return None
        spectrum: NDArray[np.complex64] = np.fft.rfft2(fine / length).astype(np.complex64)
        return spectrum


def shots_of(frames: Iterable[NDArray[np.float32]]) -> list[int]:
    """Return the first frame of each shot.

    Parameters
    ----------
    frames : iterable of ndarray
        `(H, W, 3)` float32 in [0, 1]; looked at once, in order.
    """
    cuts = ShotDetector()
    return [number for number, frame in enumerate(frames) if cuts.begins_shot(frame)]


def _histogram(thumbnail: NDArray[np.float32]) -> NDArray[np.float64]:
    bins = np.minimum((thumbnail * _BINS).astype(np.int64), _BINS - 1).reshape(-1, 3)
    codes = (bins[:, 0] * _BINS + bins[:, 1]) * _BINS + bins[:, 2]
    shares: NDArray[np.float64] = np.bincount(codes, minlength=_BINS**3) / len(codes)
    return shares


def _likeness(a: NDArray[np.complex64] | None, b: NDArray[np.complex64] | None) -> float | None:
    """Correlation of two pictures' structure, one moved as it fits best; None where one is flat."""
    if a is None or b is None:
        return None
    return float(np.fft.irfft2(a * b.conj(), s=_PICTURE[::-1]).max())
