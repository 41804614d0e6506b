"""Detectors that find subjects in the frames of a clip, and what follows them through it.

Names are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segs_detailer._lazy import lazy_names

if TYPE_CHECKING:
    from segs_detailer.subjects.finders.cascade import FaceCascade
    from segs_detailer.subjects.finders.detector import Detector
    from segs_detailer.subjects.finders.face_detector import FaceDetector
    from segs_detailer.subjects.finders.faces import FaceSettings, detect_faces, find_face_tracks
    from segs_detailer.subjects.finders.following import FollowSettings, find_tracks
    from segs_detailer.subjects.finders.opening import DETECTOR_NAMES, open_detector
    from segs_detailer.subjects.finders.shots import ShotDetector
    from segs_detailer.subjects.finders.ultralytics_models import UltralyticsDetector
    from segs_detailer.subjects.finders.yolo import YoloDetector
    from segs_detailer.subjects.finders.yunet import YuNetDetector

__all__ = [
    "DETECTOR_NAMES",
    "Detector",
    "FaceCascade",
    "FaceDetector",
    "FaceSettings",
    "FollowSettings",
    "ShotDetector",
    "UltralyticsDetector",
    "YoloDetector",
    "YuNetDetector",
    "detect_faces",
    "find_face_tracks",
    "find_tracks",
    "open_detector",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "segs_detailer.subjects.finders.cascade": ("FaceCascade",),
        "segs_detailer.subjects.finders.detector": ("Detector",),
        "segs_detailer.subjects.finders.face_detector": ("FaceDetector",),
        "segs_detailer.subjects.finders.faces": (
            "FaceSettings",
            "detect_faces",
            "find_face_tracks",
        ),
        "segs_detailer.subjects.finders.following": (
            "FollowSettings",
            "find_tracks",
        ),
        "segs_detailer.subjects.finders.opening": (
            "DETECTOR_NAMES",
            "open_detector",
        ),
        "segs_detailer.subjects.finders.shots": ("ShotDetector",),
        "segs_detailer.subjects.finders.ultralytics_models": ("UltralyticsDetector",),
        "segs_detailer.subjects.finders.yolo": ("YoloDetector",),
        "segs_detailer.subjects.finders.yunet": ("YuNetDetector",),
    },
)
