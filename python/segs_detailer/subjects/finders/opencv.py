"""The one place that imports OpenCV for detection, and pictures as it orders them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.errors import MissingDependencyError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["bgr_bytes", "import_cv2"]


def bgr_bytes(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Blue, green and red in 8 bits, of RGB `(H, W, 3)` float32 in [0, 1]."""
    rounded = (pixels[..., ::-1] * np.float32(255) + np.float32(0.5)).clip(0, 255)
    return np.ascontiguousarray(rounded.astype(np.uint8))


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
