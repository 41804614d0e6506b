"""The detecting nodes: faces, and another pack's detector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.comfyui.inputs import crop_factor_input, crop_input, float_input, frames_input, int_input
from segs_detailer.comfyui.progress import frame_progress
from segs_detailer.detailer.crops import check_frames
from segs_detailer.errors import InvalidTypeError
from segs_detailer.nodes.declaration import COMBO, Input, Node, Output
from segs_detailer.segs import check_segs
from segs_detailer.subjects.association import Detection
from segs_detailer.subjects.finders.face_finder import detect_faces
from segs_detailer.subjects.finders.finder import Detector, FollowSettings, find_tracks
from segs_detailer.subjects.segs_of_tracks import tracks_to_segs
from segs_detailer.subjects.settings import CropSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from segs_detailer.segs import SEG, SEGS

__all__ = ["DETECTING_NODES", "SHAPES", "find_boxes", "find_faces"]

SHAPES = ("ellipse", "box")
"""Shapes of the masks of faces."""

# Detectors want a crop factor and a dilation; the regions and masks of single frames are not used.
_THEIR_CROP_FACTOR = 1.0
_THEIR_DILATION = 0


def find_faces(
    image_frames: Tensor,
    min_size: int,
    min_share: float,
    max_gap: int,
    crop_factor: float,
    drop_size: int,
    mask_shape: str,
    crop: str = "fixed",
) -> tuple[SEGS]:
    """Find the faces of a clip, see `segs_detailer.subjects.finders.detect_faces`.

    Parameters
    ----------
    image_frames : Tensor
        `(B, H, W, 3 or 4)` float32 in [0, 1].
    min_size : int
        Smallest face in pixels; at least 8, or 0 for a sixteenth of the frame's shorter side.
    min_share, max_gap, crop_factor, drop_size, mask_shape
        See `segs_detailer.subjects.finders.FollowSettings` and `segs_detailer.CropSettings`.
    crop : str
        One of `inputs.CROPS`: the crop holds the whole way of the face, or moves with it.
    """
    check_frames("image_frames", image_frames)
    settings = FollowSettings(
        min_share=min_share,
        max_gap=max_gap,
        drop_size=drop_size,
        shape=mask_shape,  # type: ignore[arg-type]  # checked there
    )
    frames = image_frames.cpu().numpy()
    way = CropSettings(crop=crop, crop_factor=crop_factor, max_gap=max_gap)  # type: ignore[arg-type]  # checked there
    # The widget's 0 means that nothing is asked for.
    least = float(min_size) if min_size else None
    told = frame_progress(len(frames))
    # Other packs take masks from 0 to 1: bytes would be black in their graphs.
    return (detect_faces(frames, settings, min_size=least, crop=way, dtype="lazy", progress=told),)


def find_boxes(
    bbox_detector: Any,
    image_frames: Tensor,
    threshold: float,
    dilation: int,
    min_frames: int,
    max_gap: int,
    crop_factor: float,
    drop_size: int,
    crop: str = "fixed",
) -> tuple[SEGS]:
    """Let another pack's detector look at each frame, and put what it finds together to one SEG for each subject.

    Parameters
    ----------
    bbox_detector : object
        Has `detect(image, threshold, dilation, crop_factor, drop_size)`, which returns SEGS for `(1, H, W, 3)`.
    image_frames : Tensor
        `(B, H, W, 3 or 4)` float32 in [0, 1].
    threshold : float
        Least confidence, handed to the detector.
    dilation : int
        Pixels by which each side of the boxes is moved outwards.
    min_frames : int
        A subject counts where it is found in at least this many frames.
    max_gap : int
        Frames without it that are bridged.
    crop_factor : float
        Size of the crop region, in sizes of the subject, or of its whole way through its shot where the crop is fixed.
    drop_size : int
        Handed to the detector; subjects with a side of at most this many pixels are left out.
    crop : str
        One of `inputs.CROPS`: the crop holds the subject's whole way, or moves with it.

    Returns
    -------
    tuple of SEGS
        With one mask per frame, empty where the subject is absent. A cut ends a subject.

    Raises
    ------
    InvalidTypeError
        `bbox_detector` has no `detect`.
    """
    if not callable(getattr(bbox_detector, "detect", None)):
        raise InvalidTypeError("bbox_detector", "an object with a method detect", type(bbox_detector).__name__)
    check_frames("image_frames", image_frames)
    count, height, width = image_frames.shape[:3]
    theirs = _TheirDetector(bbox_detector, threshold, dilation, drop_size)
    # Their detector drops what is too small.
    settings = FollowSettings(min_share=0.0, max_gap=max_gap, drop_size=0, min_frames=min_frames)
    frames = (frame[..., :3].cpu().numpy() for frame in image_frames)
    tracks = find_tracks(frames, theirs, settings, progress=frame_progress(count))
    way = CropSettings(crop=crop, crop_factor=crop_factor, max_gap=max_gap)  # type: ignore[arg-type]  # checked there
    return (tracks_to_segs(tracks, (height, width), count, way, dtype="lazy"),)


class _TheirDetector(Detector):
    """Another pack's detector, which takes one picture and gives SEGS."""

    def __init__(self, detector: Any, threshold: float, dilation: int, drop_size: int) -> None:
        self._detector = detector
        self._threshold = threshold
        self._dilation = dilation
        self._drop_size = drop_size

    @property
    def names(self) -> tuple[str, ...]:
        """It does not say."""
        return ()

    @property
    def batch(self) -> int:
        """One picture at a time."""
        return 1

    def detect(self, frames: Sequence[NDArray[np.float32]]) -> list[list[Detection]]:
        """Find what is in each frame."""
        return [self._look(frame) for frame in frames]

    def _look(self, frame: NDArray[np.float32]) -> list[Detection]:
        import torch

        picture = torch.from_numpy(np.ascontiguousarray(frame))[None]
        segs = self._detector.detect(picture, self._threshold, _THEIR_DILATION, _THEIR_CROP_FACTOR, self._drop_size)
        _, items = check_segs(segs, "bbox_detector.detect")
        return [_detection(seg, self._dilation) for seg in items]


def _detection(seg: SEG, dilation: int) -> Detection:
    x1, y1, x2, y2 = (float(value) for value in seg.bbox)
    # Some detectors leave an array of one.
    score = 1.0 if seg.confidence is None else float(np.max(seg.confidence))
    return Detection((x1 - dilation, y1 - dilation, x2 + dilation, y2 + dilation), score, str(seg.label))


DETECTING_NODES: tuple[Node, ...] = (
    Node(
        id="SegsDetailerFaces",
        display_name="Face Detector for Video",
        description="Finds the faces of a clip with YuNet, a model of 230 kB that is fetched once, or with OpenCV's "
        "cascades where it cannot be fetched: one segment for each face of each shot, with a mask for each frame.",
        search_aliases=("face detection", "YuNet", "face SEGS", "find faces"),
        inputs=(
            frames_input(),
            int_input("min_size", "Smallest face in pixels, from 8. 0: a sixteenth of the shorter side.", 0, 0, 16384),
            float_input(
                "min_share", "Share of the frames in which a face must be found to count.", 0.3, 0.0, 1.0, 0.01
            ),
            int_input("max_gap", "Frames without the face that are bridged.", 12, 0, 10000),
            crop_factor_input("the face, or of its whole way where the crop is fixed"),
            int_input("drop_size", "Faces with a side that is not longer than this are left out.", 10, 1, 16384),
            Input(name="mask_shape", type=COMBO, tooltip="Shape of the masks.", choices=lambda: SHAPES),
            crop_input(),
        ),
        outputs=(Output(name="segs", type="SEGS", tooltip="One segment for each face."),),
        function=find_faces,
    ),
    Node(
        id="SegsDetailerBboxDetector",
        display_name="BBOX Detector for Video",
        description="Lets a detector of Impact Pack look at each frame, and follows what it finds through the clip: "
        "one segment for each subject of each shot, with a mask for each frame.",
        search_aliases=("BboxDetectorSEGS", "simple detector", "object detection", "ultralytics", "YOLO"),
        inputs=(
            Input(name="bbox_detector", type="BBOX_DETECTOR", tooltip="The detector."),
            frames_input(),
            float_input("threshold", "Least confidence of a detection.", 0.5, 0.0, 1.0, 0.01),
            int_input("dilation", "Pixels by which the sides of the boxes are moved outwards.", 10, 0, 512),
            int_input("min_frames", "A subject counts where it is found in this many frames.", 1, 1, 10000),
            int_input("max_gap", "Frames without the subject that are bridged.", 12, 0, 10000),
            crop_factor_input("the subject, or of its whole way where the crop is fixed"),
            int_input("drop_size", "Subjects with a side that is not longer than this are left out.", 10, 1, 16384),
            crop_input(),
        ),
        outputs=(Output(name="segs", type="SEGS", tooltip="One segment for each subject."),),
        function=find_boxes,
    ),
)
"""The nodes that find subjects."""
