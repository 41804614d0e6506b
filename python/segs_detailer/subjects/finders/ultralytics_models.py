"""Models of the package Ultralytics, where the user has installed it.

Nothing of that package is part of this one: its license is the AGPL, and it is called only as its documentation says,
through `YOLO(file).predict(pictures)`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.errors import MissingDependencyError, ModelError
from segs_detailer.subjects.association import Detection
from segs_detailer.subjects.finders.filtering import DetectionFilter, check_labels
from segs_detailer.subjects.finders.finder import Detector, check_frame
from segs_detailer.subjects.finders.opencv import bgr_bytes
from segs_detailer.subjects.mask import Mask

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

__all__ = ["UltralyticsDetector"]

_DEFAULT_CONFIDENCE = 0.25
_MOST_OVERLAP = 0.45
_BATCH = 4


class UltralyticsDetector(Detector):
    """A model that Ultralytics runs, such as a `.pt` file.

    A `.pt` file is a pickle: loading one runs whatever code is in it. Take only files whose maker you trust, or export
    them to ONNX.

    Parameters
    ----------
    path : str or Path
        The file.
    labels : iterable of str or None
        Labels to report; None is all.
    confidence : float
        Least score.
    min_size : float or None
        Least length of a box's longer side, in pixels of the frame.
    device : str
        "auto", or a device as Ultralytics names it.

    Raises
    ------
    MissingDependencyError
        Ultralytics is not installed.
    ModelError
        It cannot load the file, or the model finds no boxes.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        labels: Iterable[str] | None = None,
        confidence: float = _DEFAULT_CONFIDENCE,
        min_size: float | None = None,
        device: str = "auto",
    ) -> None:
        try:
            from ultralytics import YOLO
        except ImportError as error:
            raise MissingDependencyError("ultralytics", "ultralytics") from error
        self._path = Path(path)
        self._device = None if device == "auto" else device
        try:
            self._model: Any = YOLO(str(self._path))
            self._names = {int(index): str(name) for index, name in dict(self._model.names).items()}
        # Anything may come out of a pickle.
        except Exception as error:
            raise ModelError(f"{self._path}: Ultralytics cannot load it ({error})") from error
        self._filter = DetectionFilter(confidence, check_labels(labels, self.names), min_size)

    @property
    def names(self) -> tuple[str, ...]:
        """Classes of the model."""
        return tuple(self._names.values())

    @property
    def batch(self) -> int:
        """Frames at once."""
        return _BATCH

    def detect(self, frames: Sequence[NDArray[np.float32]]) -> list[list[Detection]]:
        """Find subjects; see `Detector.detect`.

        Raises
        ------
        InvalidTypeError
            A frame has another shape or dtype.
        ModelError
            The model fails, or finds no boxes.
        """
        found: list[list[Detection]] = []
        for start in range(0, len(frames), _BATCH):
            found += self._look(frames[start : start + _BATCH])
        return found

    def _look(self, frames: Sequence[NDArray[np.float32]]) -> list[list[Detection]]:
        sizes = [check_frame(frame) for frame in frames]
        try:
            results = self._model.predict(
                [bgr_bytes(frame) for frame in frames],
                conf=self._filter.confidence,
                iou=_MOST_OVERLAP,
                device=self._device,
                # Masks in the size of the frame, of a model that segments.
                retina_masks=True,
                verbose=False,
            )
        except RuntimeError as error:
            raise ModelError(f"{self._path}: cannot be run by Ultralytics ({error})") from error
        return [
            self._filter.inside(self._detections(result), size) for size, result in zip(sizes, results, strict=True)
        ]

    def _detections(self, result: Any) -> list[Detection]:
        boxes = result.boxes
        if boxes is None:
            raise ModelError(f"{self._path}: it finds no boxes: take a model that detects")
        found = []
        masks = None if getattr(result, "masks", None) is None else np.asarray(result.masks.data.cpu()) > 0.5
        for index, row in enumerate(np.asarray(boxes.data.cpu(), np.float64)):
            # Corners, perhaps a number of a track, then score and class.
            x1, y1, x2, y2 = row[:4].tolist()
            label = self._names.get(int(row[-1]), f"class{int(row[-1])}")
            if self._filter.has(label):
                mask = None if masks is None else Mask.from_pixels(masks[index])
                found.append(Detection((x1, y1, x2, y2), float(row[-2]), label, mask=mask))
        return found
