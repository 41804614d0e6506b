"""OpenCV's face cascades as a detector like the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segs_detailer.errors import InvalidArgumentError
from segs_detailer.subjects.finders.cascade import FaceCascade
from segs_detailer.subjects.finders.detector import check_frame, check_labels
from segs_detailer.subjects.finders.opencv import import_cv2

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from segs_detailer.subjects.association import Detection

__all__ = ["FaceDetector"]

_LABEL = "face"
_SMALLEST_SHARE = 16


class FaceDetector:
    """Faces, by the cascades that OpenCV brings along: needs no model.

    `detect` searches each frame as a whole. Through a clip, `find_tracks` looks mostly where faces were before, which
    is several times faster.

    Parameters
    ----------
    labels : iterable of str or None
        Only `face`.
    min_size : float or None
        Smallest face in pixels; None is a sixteenth of the frame's shorter side. Smaller takes longer.

    Raises
    ------
    MissingDependencyError
        OpenCV is not installed.
    InvalidArgumentError
        A value is out of range.
    """

    def __init__(self, *, labels: Iterable[str] | None = None, min_size: float | None = None) -> None:
        import_cv2()
        check_labels(labels, self.names)
        if min_size is not None and not min_size >= 8:
            raise InvalidArgumentError("min_size", "at least 8 pixels", repr(min_size))
        self.min_size = min_size
        self._cascade: FaceCascade | None = None
        self._size: tuple[int, int] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Only `face`."""
        return (_LABEL,)

    @property
    def batch(self) -> int:
        """One frame is searched at a time."""
        return 1

    def detect(self, frames: Sequence[NDArray[np.float32]]) -> list[list[Detection]]:
        """Find faces; see `Detector.detect`. Scores are the cascades' weights, above 0.5 and not bounded by 1.

        Raises
        ------
        InvalidTypeError
            A frame has another shape or dtype.
        """
        found = []
        for frame in frames:
            size = check_frame(frame)
            if self._cascade is None or size != self._size:
                self._cascade = FaceCascade(size, self.min_size or min(size) / _SMALLEST_SHARE)
                self._size = size
            faces = self._cascade.search(self._cascade.reduced(frame))
            found.append(sorted(faces, key=lambda detection: -detection.score))
        return found
