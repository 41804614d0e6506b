"""A detector by its name or by the file of its model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from segs_detailer.errors import InvalidArgumentError, ModelError, unknown_name
from segs_detailer.subjects.finders.face_detector import FaceDetector
from segs_detailer.subjects.finders.ultralytics_models import UltralyticsDetector
from segs_detailer.subjects.finders.yolo import YoloDetector
from segs_detailer.subjects.finders.yunet import YuNetDetector, is_yunet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from segs_detailer.subjects.finders.detector import Detector

__all__ = ["DETECTOR_NAMES", "open_detector"]

DETECTOR_NAMES = ("face",)
"""Detectors that need no file."""

_MODEL_SUFFIXES = (".onnx", ".pt")


def open_detector(
    source: str | Path,
    *,
    labels: Iterable[str] | None = None,
    confidence: float | None = None,
    min_size: float | None = None,
    device: str = "auto",
) -> Detector:
    """Open a detector.

    Parameters
    ----------
    source : str or Path
        `"face"`: OpenCV's face cascades, which need no model. Else the file of a model: `.onnx`, which holds YuNet (run
        by OpenCV) or a YOLO export (run by ONNX Runtime), or `.pt` (run by Ultralytics, where that is installed).
    labels : iterable of str or None
        Labels to report; None is all that it knows.
    confidence : float or None
        Least score, above 0 to 1; None is the detector's usual one: 0.7 for YuNet, 0.25 for YOLO models. The cascades
        take none.
    min_size : float or None
        Smallest subject in pixels of the frame, by its longer side. None is a sixteenth of the frame's shorter side for
        the cascades and YuNet, and any for others.
    device : str
        Where a model runs: "auto", "cpu", "cuda".

    Returns
    -------
    Detector

    Raises
    ------
    InvalidArgumentError
        No such name, label or device, or a value out of range.
    MissingDependencyError
        What runs it is not installed.
    ModelError
        There is no such file, or it is no model that can be run.

    Examples
    --------
    >>> from segs_detailer.subjects.finders import open_detector
    >>> open_detector("face").names
    ('face',)
    """
    if str(source) in DETECTOR_NAMES:
        if confidence is not None:
            raise InvalidArgumentError("confidence", "none for the face cascades", repr(confidence))
        return FaceDetector(labels=labels, min_size=min_size)
    path = Path(source)
    suffix = path.suffix.lower()
    if suffix not in _MODEL_SUFFIXES:
        raise unknown_name(
            "detector", str(source), DETECTOR_NAMES, expected=f"{{}} or a model file ({', '.join(_MODEL_SUFFIXES)})"
        )
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise ModelError(f"{path}: the file is empty")
    options: dict[str, Any] = {"labels": labels, "min_size": min_size}
    if confidence is not None:
        options["confidence"] = confidence
    if suffix == ".pt":
        return UltralyticsDetector(path, device=device, **options)
    return YuNetDetector(path, **options) if is_yunet(path) else YoloDetector(path, device=device, **options)
