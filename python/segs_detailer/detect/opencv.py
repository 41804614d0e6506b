"""The one place that imports OpenCV for detection."""

from __future__ import annotations

from typing import Any

from ..errors import MissingDependencyError

__all__ = ["import_cv2"]


def import_cv2() -> Any:
    """OpenCV's module, with its cascade classifier.

    Raises
    ------
    MissingDependencyError
        It is not installed, or is of a version without cascades.
    """
    try:
        import cv2
    except ImportError as error:
        raise MissingDependencyError("opencv-python-headless", "video") from error
    if not hasattr(cv2, "CascadeClassifier"):
        raise MissingDependencyError("opencv-python-headless below version 5", "video")
    return cv2
