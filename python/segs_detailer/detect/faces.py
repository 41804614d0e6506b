"""Faces through a clip, as SEGS: one SEG for each subject of each shot."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..errors import InvalidArgumentError
from ..masks import make_crop_region
from ..segs import SEG, SEGS
from ..tracks import Chain, Detection, associate, suppress
from .cascade import FaceCascade
from .opencv import import_cv2
from .shots import ShotDetector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

__all__ = ["FaceSettings", "detect_faces", "find_face_tracks", "tracks_to_segs"]

# Between full searches, faces are only looked for near where they were.
_SEARCH_EVERY = 5
# The first search of a shot looks for profiles to both sides, later ones to one side in turn, to save time.
_PROFILES = ("left", "right")
# The cascades' boxes run from the brows to the lips: the mask takes in the whole face.
_MASK_WIDTH = 1.15
_MASK_HEIGHT = 1.35
_SUBPIXEL_BITS = 4
# Faces of a shorter life in a long shot are mistakes of the detector.
_LEAST_DETECTIONS = 6
# Mean weight of a track's detections: real faces have 4 to 10, patterns that look like one up to 2.8.
_LEAST_SCORE = 3.0


@dataclass(frozen=True, slots=True)
class FaceSettings:
    """How faces are found.

    Parameters
    ----------
    min_size : float or None
        Smallest face in pixels; None is a sixteenth of the frame's shorter side. Smaller takes longer.
    min_share : float
        A face counts where it is detected in at least this share of the frames from its first to its last.
    max_gap : int
        Frames without a detection that are bridged.
    crop_factor : float
        Size of the crop region, in sizes of the face's whole way through the shot.
    drop_size : int
        Faces with a side of at most this many pixels are dropped.
    shape : {"ellipse", "box"}
        Shape of the masks.

    Raises
    ------
    InvalidArgumentError
        A value is out of range.
    """

    min_size: float | None = None
    min_share: float = 0.3
    max_gap: int = 12
    crop_factor: float = 3.0
    drop_size: int = 10
    shape: Literal["ellipse", "box"] = "ellipse"

    def __post_init__(self) -> None:
        if self.min_size is not None and not self.min_size >= 8:
            raise InvalidArgumentError("min_size", "at least 8 pixels", repr(self.min_size))
        if not 0 <= self.min_share <= 1:
            raise InvalidArgumentError("min_share", "0 to 1", repr(self.min_share))
        if self.max_gap < 0:
            raise InvalidArgumentError("max_gap", "0 or more frames", repr(self.max_gap))
        if not self.crop_factor >= 1:
            raise InvalidArgumentError("crop_factor", "1 or more", repr(self.crop_factor))
        if self.shape not in ("ellipse", "box"):
            raise InvalidArgumentError("shape", '"ellipse" or "box"', repr(self.shape))


def find_face_tracks(
    frames: Iterable[NDArray[np.float32]],
    frame_size: tuple[int, int],
    settings: FaceSettings | None = None,
    *,
    progress: Callable[[int], None] | None = None,
) -> list[Chain]:
    """Find faces frame by frame and put them together to tracks, which end at cuts.

    Parameters
    ----------
    frames : iterable of ndarray
        `(H, W, 3)` float32 in [0, 1]; looked at once, in order.
    frame_size : tuple of int
        `(H, W)`.
    settings : FaceSettings or None
        How.
    progress : callable or None
        Called with the number of frames done. It may raise to cancel.

    Returns
    -------
    list of Chain
        Those that last, in the order of their first frames.
    """
    settings = settings or FaceSettings()
    cascade = FaceCascade(frame_size, settings.min_size or min(frame_size) / 16)
    cuts = ShotDetector()
    shots: list[int] = []
    detections: list[list[Detection]] = []
    for index, frame in enumerate(frames):
        if cuts.begins_shot(frame):
            shots.append(index)
        picture = cascade.reduced(frame)
        turn, rest = divmod(index - shots[-1], _SEARCH_EVERY)
        if rest == 0:
            found = cascade.search(picture, _PROFILES[turn % 2 : turn % 2 + 1] if turn else _PROFILES)
        else:
            # What was missed for a moment is still looked for where it was.
            recent = detections[max(shots[-1], index - _SEARCH_EVERY) :]
            found = cascade.follow(picture, suppress([face for faces in reversed(recent) for face in faces]))
        detections.append(found)
        if progress is not None:
            progress(index + 1)
    tracks = associate(detections, shots, max_gap=settings.max_gap)
    return [track for track in tracks if _lasts(track, settings)]


def _lasts(track: Chain, settings: FaceSettings) -> bool:
    """Whether a track is no mistake: full searches must confirm it, as following finds again what was wrong before."""
    start, stop = track.shot
    first, end = track.span
    searches = sum((frame - start) % _SEARCH_EVERY == 0 for frame in range(first, end))
    if not any(detection.source == "frontal" for detection in track.detections):
        searches = (searches + 1) // 2
    strong = sum(detection.strong for detection in track.detections)
    least = min(_LEAST_DETECTIONS, math.ceil((stop - start) / 2))
    is_confirmed = strong >= settings.min_share * searches
    return (
        len(track.frames) >= least
        and track.share >= settings.min_share
        and track.score >= _LEAST_SCORE
        and is_confirmed
    )


def tracks_to_segs(
    tracks: Iterable[Chain], frame_size: tuple[int, int], frame_count: int, settings: FaceSettings | None = None
) -> SEGS:
    """One SEG for each track: the union of its boxes, and one mask per frame, empty where the subject is absent.

    Parameters
    ----------
    tracks : iterable of Chain
        Subjects.
    frame_size : tuple of int
        `(H, W)`.
    frame_count : int
        Frames of the clip.
    settings : FaceSettings or None
        Crop factor, shape of the masks and smallest size.

    Returns
    -------
    SEGS
        `cropped_mask` is `(frame_count, h, w)` uint8, 0 to 255.
    """
    settings = settings or FaceSettings()
    segs = []
    for track in tracks:
        span = track.extended_span(settings.max_gap)
        boxes = track.boxes(span)
        bbox = _union(boxes, frame_size)
        if min(bbox[2] - bbox[0], bbox[3] - bbox[1]) <= settings.drop_size:
            continue
        region = make_crop_region(frame_size, bbox, settings.crop_factor)
        masks = _masks(boxes, span, region, frame_count, settings.shape)
        segs.append(SEG(None, masks, track.score, region, bbox, track.label, None))
    return frame_size, segs


def _union(boxes: NDArray[np.float64], frame_size: tuple[int, int]) -> tuple[int, int, int, int]:
    height, width = frame_size
    x1, y1 = np.floor(boxes[:, :2].min(axis=0)).astype(int)
    x2, y2 = np.ceil(boxes[:, 2:].max(axis=0)).astype(int)
    return max(0, int(x1)), max(0, int(y1)), min(width, int(x2)), min(height, int(y2))


def _masks(
    boxes: NDArray[np.float64], span: tuple[int, int], region: tuple[int, int, int, int], count: int, shape: str
) -> NDArray[np.uint8]:
    cv2 = import_cv2()
    x1, y1, x2, y2 = region
    masks = np.zeros((count, y2 - y1, x2 - x1), np.uint8)
    unit = 1 << _SUBPIXEL_BITS
    for frame, box in zip(range(*span), boxes, strict=True):
        centre = ((box[0] + box[2]) / 2 - x1, (box[1] + box[3]) / 2 - y1)
        half = ((box[2] - box[0]) / 2, (box[3] - box[1]) / 2)
        if shape == "box":
            corners = [(centre[0] - half[0], centre[1] - half[1]), (centre[0] + half[0], centre[1] + half[1])]
            (left, top), (right, bottom) = [(max(0, round(x)), max(0, round(y))) for x, y in corners]
            masks[frame, top:bottom, left:right] = 255
            continue
        middle = (round((centre[0] - 0.5) * unit), round((centre[1] - 0.5) * unit))
        axes = (round(half[0] * _MASK_WIDTH * unit), round(half[1] * _MASK_HEIGHT * unit))
        cv2.ellipse(masks[frame], middle, axes, 0, 0, 360, 255, cv2.FILLED, cv2.LINE_AA, _SUBPIXEL_BITS)
    return masks


def detect_faces(
    frames: NDArray[np.float32],
    settings: FaceSettings | None = None,
    *,
    progress: Callable[[int], None] | None = None,
) -> SEGS:
    """Find the faces of a clip: one SEG for each subject of each shot.

    A subject is followed by overlap from frame to frame, gaps are bridged, what is detected in too few frames is
    dropped, and a cut ends it. Its masks are empty in the frames where it is absent, so that nothing is pasted there.

    Parameters
    ----------
    frames : ndarray
        `(B, H, W, 3)` float32 in [0, 1].
    settings : FaceSettings or None
        How.
    progress : callable or None
        Called with the number of frames done. It may raise to cancel.

    Returns
    -------
    SEGS
        `((H, W), [SEG, ...])`, maybe without any SEG.

    Raises
    ------
    InvalidArgumentError
        `frames` has another shape.
    MissingDependencyError
        OpenCV is not installed.
    """
    if frames.ndim != 4 or frames.shape[-1] < 3:
        raise InvalidArgumentError("frames", "an array of shape (B, H, W, 3)", str(frames.shape))
    size = (int(frames.shape[1]), int(frames.shape[2]))
    colours = (frame[..., :3] for frame in frames)
    tracks = find_face_tracks(colours, size, settings, progress=progress)
    return tracks_to_segs(tracks, size, len(frames), settings)
