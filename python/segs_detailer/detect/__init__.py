"""Detectors that find subjects in the frames of a clip, and what follows them through it."""

from __future__ import annotations

from .cascade import FaceCascade
from .detector import Detector
from .face_detector import FaceDetector
from .faces import FaceSettings, detect_faces, find_face_tracks
from .following import FollowSettings, find_tracks
from .opening import DETECTOR_NAMES, open_detector
from .shots import ShotDetector
from .ultralytics_models import UltralyticsDetector
from .yolo import YoloDetector
from .yunet import YuNetDetector

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
