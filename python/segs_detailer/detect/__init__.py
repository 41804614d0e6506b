"""Detectors that find subjects in the frames of a clip and give them as SEGS."""

from __future__ import annotations

from .cascade import FaceCascade
from .faces import FaceSettings, detect_faces, find_face_tracks, tracks_to_segs
from .shots import ShotDetector

__all__ = [
    "FaceCascade",
    "FaceSettings",
    "ShotDetector",
    "detect_faces",
    "find_face_tracks",
    "tracks_to_segs",
]
