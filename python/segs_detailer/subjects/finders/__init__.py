"""Detectors that find subjects in the frames of a clip, and what follows them through it."""

from __future__ import annotations

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
