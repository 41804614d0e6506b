"""What finds subjects in a clip: detectors of single frames, and how their detections are followed through it.

Names are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segs_detailer._lazy import lazy_names

if TYPE_CHECKING:
    from segs_detailer.subjects.finders.cascade import FaceCascade
    from segs_detailer.subjects.finders.face_finder import detect_faces, open_face_finder
    from segs_detailer.subjects.finders.face_meshes import follow_face_landmarks
    from segs_detailer.subjects.finders.faces import FaceDetector
    from segs_detailer.subjects.finders.finder import (
        Detector,
        Finder,
        FollowSettings,
        ReducedDetector,
        find_tracks,
    )
    from segs_detailer.subjects.finders.given import follow_detections
    from segs_detailer.subjects.finders.opening import FINDER_NAMES, FINDERS, FinderKind, open_finder
    from segs_detailer.subjects.finders.pictures import ClipFrames, clip_frames
    from segs_detailer.subjects.finders.shots import ShotDetector
    from segs_detailer.subjects.finders.ultralytics_models import UltralyticsDetector
    from segs_detailer.subjects.finders.word_finder import WordFinder
    from segs_detailer.subjects.finders.word_opening import open_word_finder
    from segs_detailer.subjects.finders.yolo import YoloDetector
    from segs_detailer.subjects.finders.yunet import YuNetDetector

__all__ = [
    "FINDERS",
    "FINDER_NAMES",
    "ClipFrames",
    "Detector",
    "FaceCascade",
    "FaceDetector",
    "Finder",
    "FinderKind",
    "FollowSettings",
    "ReducedDetector",
    "ShotDetector",
    "UltralyticsDetector",
    "WordFinder",
    "YoloDetector",
    "YuNetDetector",
    "clip_frames",
    "detect_faces",
    "find_tracks",
    "follow_detections",
    "follow_face_landmarks",
    "open_face_finder",
    "open_finder",
    "open_word_finder",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "segs_detailer.subjects.finders.cascade": ("FaceCascade",),
        "segs_detailer.subjects.finders.face_finder": ("detect_faces", "open_face_finder"),
        "segs_detailer.subjects.finders.face_meshes": ("follow_face_landmarks",),
        "segs_detailer.subjects.finders.given": ("follow_detections",),
        "segs_detailer.subjects.finders.faces": ("FaceDetector",),
        "segs_detailer.subjects.finders.finder": (
            "Detector",
            "Finder",
            "FollowSettings",
            "ReducedDetector",
            "find_tracks",
        ),
        "segs_detailer.subjects.finders.opening": (
            "FINDERS",
            "FINDER_NAMES",
            "FinderKind",
            "open_finder",
        ),
        "segs_detailer.subjects.finders.pictures": ("ClipFrames", "clip_frames"),
        "segs_detailer.subjects.finders.shots": ("ShotDetector",),
        "segs_detailer.subjects.finders.ultralytics_models": ("UltralyticsDetector",),
        "segs_detailer.subjects.finders.word_finder": ("WordFinder",),
        "segs_detailer.subjects.finders.word_opening": ("open_word_finder",),
        "segs_detailer.subjects.finders.yolo": ("YoloDetector",),
        "segs_detailer.subjects.finders.yunet": ("YuNetDetector",),
    },
)
