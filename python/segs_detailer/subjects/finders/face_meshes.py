"""Faces whose meshes another program found, followed through the clip."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.subjects.face_mesh import face_detections
from segs_detailer.subjects.finders.given import follow_detections

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from segs_detailer.subjects.finders.finder import FollowSettings
    from segs_detailer.subjects.track import Track

__all__ = ["follow_face_landmarks"]


def follow_face_landmarks(
    frames: Iterable[NDArray[np.float32]],
    face_landmarks: Mapping[str, Any],
    settings: FollowSettings | None = None,
    *,
    region: str = "face",
    frame_size: tuple[int, int] | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Track]:
    """Make tracks of FACE_LANDMARKS, which ComfyUI's MediaPipe nodes give; they do not say who is who.

    Parameters
    ----------
    frames : iterable of ndarray
        `(H, W, 3)` float32 in [0, 1], of as many frames as there are landmarks of; see `follow_detections`.
    face_landmarks : mapping
        See `segs_detailer.subjects.face_mesh.face_detections`.
    settings : FollowSettings or None
        Which faces count.
    region : str
        What is masked: `"face"`, `"eyes"`, `"left eye"`, `"right eye"`, `"lips"`, `"eyebrows"`, `"irises"` or `"nose"`;
        left and right are the person's.
    frame_size : (int, int) or None
        Height and width of the frames, where these are not of the size in which the faces were found.
    progress : callable or None
        Called with the number of frames done. It may raise to cancel.

    Returns
    -------
    list of Track
        One for each face of each shot, labeled by the region: its mask in each frame and the extent of it as the box,
        the five points of the face and by how much it is turned.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        Something else came; landmarks of another number of frames.
    MissingDependencyError
        OpenCV, which finds the cuts, is not installed.
    """
    detections = face_detections(face_landmarks, region, frame_size=frame_size)
    tracks = follow_detections(frames, detections, settings, progress=progress, argument="face_landmarks")
    # Faces are told apart by their boxes; a crop is of what is masked.
    return [replace(track, boxes=_extents(track)) for track in tracks]


def _extents(track: Track) -> NDArray[np.float64]:
    """Boxes `(n, 4)` around its masks, of which each of its frames has one."""
    return np.array([mask.place for mask in track.masks if mask is not None], np.float64)
