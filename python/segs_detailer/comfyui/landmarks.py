"""The node for what ComfyUI's MediaPipe nodes found: a segment for each face, or for a part of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segs_detailer.comfyui.inputs import crop_factor_input, crop_input, float_input, frames_input, grow_input, int_input
from segs_detailer.comfyui.progress import frame_progress
from segs_detailer.detailer.crops import check_frames
from segs_detailer.nodes.declaration import COMBO, Input, Node, Output
from segs_detailer.subjects.face_mesh import FACE_REGIONS
from segs_detailer.subjects.finders.face_meshes import follow_face_landmarks
from segs_detailer.subjects.finders.finder import FollowSettings
from segs_detailer.subjects.mask_filter import MaskFilter
from segs_detailer.subjects.segs_of_tracks import tracks_to_segs
from segs_detailer.subjects.settings import CropSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from segs_detailer.segs import SEGS

__all__ = ["LANDMARK_NODES", "landmark_faces"]


def landmark_faces(
    face_landmarks: Mapping[str, Any],
    image_frames: Tensor,
    region: str,
    min_share: float,
    max_gap: int,
    drop_size: int,
    grow: int,
    crop_factor: float,
    crop: str = "fixed",
) -> tuple[SEGS]:
    """Make a SEG of each face of each shot, or of a region of it.

    Parameters
    ----------
    face_landmarks : mapping
        What MediaPipeFaceLandmarker gives, see `segs_detailer.subjects.finders.follow_face_landmarks`.
    image_frames : Tensor
        `(B, H, W, 3 or 4)` float32 in [0, 1]: as many frames as were looked at, of whatever size.
    region : str
        One of `segs_detailer.subjects.face_mesh.FACE_REGIONS`: what is masked. It is the label of the SEGs.
    min_share, max_gap, drop_size
        See `segs_detailer.subjects.finders.FollowSettings`; `drop_size` counts for faces, whatever is masked of them.
    grow : int
        Pixels by which the masks grow, or shrink below 0.
    crop_factor : float
        Size of the crop region in sizes of what is masked, or of its whole way where the crop is fixed.
    crop : str
        One of `inputs.CROPS`: the crop holds the whole way, or moves along.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        What came are no landmarks of faces, or those of another number of frames.
    """
    check_frames("image_frames", image_frames)
    count, height, width = image_frames.shape[:3]
    settings = FollowSettings(min_share=min_share, max_gap=max_gap, drop_size=drop_size)
    tracks = follow_face_landmarks(
        (frame[..., :3].cpu().numpy() for frame in image_frames),
        face_landmarks,
        settings,
        region=region,
        frame_size=(height, width),
        progress=frame_progress(count),
    )
    way = CropSettings(crop=crop, crop_factor=crop_factor, max_gap=max_gap)  # type: ignore[arg-type]  # checked there
    return (tracks_to_segs(tracks, (height, width), count, way, dtype="lazy", masks=MaskFilter(grow=grow)),)


LANDMARK_NODES: tuple[Node, ...] = (
    Node(
        id="SegsDetailerFaceLandmarks",
        display_name="Face Landmarks to SEGS",
        description="Makes a segment of each face that ComfyUI's MediaPipe Face Landmarker found, or of its eyes, its "
        "lips or another part of it: one for each face of each shot, with a mask for each frame.",
        search_aliases=("MediaPipe", "face mesh", "eyes mask", "lips mask", "face oval"),
        inputs=(
            Input(name="face_landmarks", type="FACE_LANDMARKS", tooltip="From MediaPipe Face Landmarker."),
            frames_input(),
            Input(
                name="region",
                type=COMBO,
                tooltip="What of the face is masked: it is the segments' label. Left and right are the person's.",
                choices=lambda: FACE_REGIONS,
            ),
            float_input(
                "min_share", "Share of the frames in which a face must be found to count.", 0.3, 0.0, 1.0, 0.01
            ),
            int_input("max_gap", "Frames without the face that are bridged.", 12, 0, 10000),
            int_input("drop_size", "Faces with a side that is not longer than this are left out.", 10, 0, 16384),
            grow_input(),
            crop_factor_input("what is masked, or of its whole way where the crop is fixed"),
            crop_input(),
        ),
        outputs=(Output(name="segs", type="SEGS", tooltip="One segment for each face of each shot."),),
        function=landmark_faces,
    ),
)
"""The node that takes landmarks of faces."""
