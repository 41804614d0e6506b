"""Faces in one frame, by the cascade classifiers that OpenCV brings along."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.subjects.association import Detection, suppress
from segs_detailer.subjects.finders.opencv import import_cv2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from segs_detailer.subjects.association import Box

__all__ = ["FaceCascade"]

_FRONTAL = "haarcascade_frontalface_default.xml"
_PROFILE = "haarcascade_profileface.xml"
_EYE = "haarcascade_eye.xml"
# Side of the smallest face that the cascades were trained on.
_CASCADE_PIXELS = 24
# Small pictures are enlarged at most this much: more only invents faces.
_MAX_ENLARGEMENT = 2.0
# Ratio of one searched size to the next; the coarser one for profiles halves the time of a search.
_SCALE_STEP = 1.1
_PROFILE_SCALE_STEP = 1.2
_NEIGHBORS = 4
# Limit and tiles of the contrast's equalization: those that OpenCV's own examples take.
_EQUALIZER_LIMIT = 2.0
_EQUALIZER_TILES = (8, 8)
_MIN_WEIGHT = 0.5
# A known face is looked for in a window of this many times its size, at sizes from 1 / this ... times its own.
_FOLLOW_WINDOW = 1.8
_FOLLOW_SIZES = 1.35
_FOLLOW_NEIGHBORS = 2
# Eyes are looked for in a face of this many pixels, with a margin of this share of it, in this much of its height, at
# these sizes.
_EYES_FACE = 120
_EYES_MARGIN = 0.15
_EYES_HEIGHT = 0.65
_EYE_SIZES = (18, 48)
_EYE_NEIGHBORS = 3


class FaceCascade:
    """Finds frontal faces, and faces in profile both ways.

    Parameters
    ----------
    frame_size : tuple of int
        `(height, width)` of the frames.
    min_size : float
        Smallest face in pixels of the frame. It decides how far frames are reduced before the search, hence the time.

    Raises
    ------
    MissingDependencyError
        OpenCV is not installed.
    """

    def __init__(self, frame_size: tuple[int, int], min_size: float) -> None:
        self._cv2 = import_cv2()
        folder = Path(self._cv2.data.haarcascades)
        self._frontal = self._cv2.CascadeClassifier(str(folder / _FRONTAL))
        self._profile = self._cv2.CascadeClassifier(str(folder / _PROFILE))
        self._eye = self._cv2.CascadeClassifier(str(folder / _EYE))
        self._equalizer = self._cv2.createCLAHE(_EQUALIZER_LIMIT, _EQUALIZER_TILES)
        self._scale = min(_MAX_ENLARGEMENT, _CASCADE_PIXELS / min_size)
        height, width = frame_size
        self._size = (max(1, round(width * self._scale)), max(1, round(height * self._scale)))
        self._min = max(_CASCADE_PIXELS, round(min_size * self._scale))

    def reduced(self, frame: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Gray picture that is searched, of a frame `(H, W, 3)` float32 in [0, 1].

        Its histogram is equalized in tiles and with a limit: over the whole frame a plain background, which fills most
        of the histogram, would leave a face before it flat.
        """
        shrink = self._cv2.INTER_AREA if self._scale < 1 else self._cv2.INTER_LINEAR
        small = self._cv2.resize(frame, self._size, interpolation=shrink)
        gray = (self._cv2.cvtColor(small, self._cv2.COLOR_RGB2GRAY) * 255).clip(0, 255).astype(np.uint8)
        equalized: NDArray[np.uint8] = self._equalizer.apply(gray)
        return equalized

    def search(self, picture: NDArray[np.uint8], profiles: Sequence[str] = ("left", "right")) -> list[Detection]:
        """Faces anywhere in a reduced picture: frontal ones first, then profiles to the named sides.

        Those are strong in which eyes are seen: folds and leaves that look like a face have none.
        """
        found: list[Detection] = []
        for source in ("frontal", *profiles):
            found += self._detect(picture, source, (self._min, 0), _NEIGHBORS)
        return [replace(face, strong=self._has_eyes(picture, face)) for face in suppress(found)]

    def _has_eyes(self, picture: NDArray[np.uint8], face: Detection) -> bool:
        """Whether both eyes of a frontal face are seen, or one of a profile."""
        x1, y1, x2, y2 = (value * self._scale for value in face.box)
        margin = _EYES_MARGIN * (x2 - x1)
        part = picture[max(0, int(y1 - margin)) : int(y2 + margin), max(0, int(x1 - margin)) : int(x2 + margin)]
        scale = _EYES_FACE / (x2 - x1)
        large = self._cv2.resize(part, None, fx=scale, fy=scale, interpolation=self._cv2.INTER_CUBIC)
        upper = large[: int(_EYES_HEIGHT * large.shape[0])]
        smallest, largest = _EYE_SIZES
        eyes = self._eye.detectMultiScale(
            upper,
            scaleFactor=_SCALE_STEP,
            minNeighbors=_EYE_NEIGHBORS,
            minSize=(smallest, smallest),
            maxSize=(largest, largest),
        )
        return len(eyes) >= (2 if face.source == "frontal" else 1)

    def follow(self, picture: NDArray[np.uint8], known: Sequence[Detection]) -> list[Detection]:
        """Faces near those known from the frame before, each by the classifier that found it."""
        found: list[Detection] = []
        height, width = picture.shape
        for detection in known:
            x1, y1, x2, y2 = (value * self._scale for value in detection.box)
            side = max(x2 - x1, y2 - y1)
            reach = 0.5 * _FOLLOW_WINDOW * side
            center_x, center_y = (x1 + x2) / 2, (y1 + y2) / 2
            left, top = max(0, int(center_x - reach)), max(0, int(center_y - reach))
            right, bottom = min(width, int(center_x + reach) + 1), min(height, int(center_y + reach) + 1)
            window = np.ascontiguousarray(picture[top:bottom, left:right])
            if min(window.shape) < _CASCADE_PIXELS:
                continue
            sizes = (int(side / _FOLLOW_SIZES), int(side * _FOLLOW_SIZES) + 1)
            near = self._detect(window, detection.source, sizes, _FOLLOW_NEIGHBORS, (left, top))
            found += [replace(face, strong=False) for face in near[:1]]
        return suppress(found)

    def _detect(
        self,
        picture: NDArray[np.uint8],
        source: str,
        sizes: tuple[int, int],
        neighbors: int,
        offset: tuple[int, int] = (0, 0),
    ) -> list[Detection]:
        classifier: Any = self._frontal if source == "frontal" else self._profile
        flipped = source == "right"
        boxes, _, weights = classifier.detectMultiScale3(
            np.ascontiguousarray(picture[:, ::-1]) if flipped else picture,
            scaleFactor=_SCALE_STEP if source == "frontal" else _PROFILE_SCALE_STEP,
            minNeighbors=neighbors,
            minSize=(sizes[0], sizes[0]),
            maxSize=(sizes[1], sizes[1]),
            outputRejectLevels=True,
        )
        found = []
        for (x, y, w, h), weight in zip(boxes, np.ravel(weights), strict=True):
            if weight < _MIN_WEIGHT:
                continue
            left = picture.shape[1] - x - w if flipped else x
            box: Box = (
                (left + offset[0]) / self._scale,
                (y + offset[1]) / self._scale,
                (left + w + offset[0]) / self._scale,
                (y + h + offset[1]) / self._scale,
            )
            # The profile cascade's weights are about half as large.
            score = float(weight) if source == "frontal" else 2 * float(weight)
            found.append(Detection(box, score, "face", source))
        return sorted(found, key=lambda detection: -detection.score)
