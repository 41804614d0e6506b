"""The node for boxes: written down, or of other nodes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from segs_detailer.comfyui.inputs import crop_factor_input, crop_input, int_input
from segs_detailer.comfyui.progress import frame_progress
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.nodes.declaration import COMBO, Input, Node, Output
from segs_detailer.subjects.bounding_boxes import BOX_LAYOUTS, read_bounding_boxes
from segs_detailer.subjects.finders.finder import FollowSettings
from segs_detailer.subjects.finders.given import follow_detections
from segs_detailer.subjects.masks import boxes_to_segs
from segs_detailer.subjects.segs_of_tracks import tracks_to_segs
from segs_detailer.subjects.settings import CropSettings

if TYPE_CHECKING:
    from torch import Tensor

    from segs_detailer.segs import SEGS
    from segs_detailer.subjects.bounding_boxes import BoxLayout

__all__ = ["BOX_NODES", "read_boxes"]


def read_boxes(
    image_frames: Tensor,
    boxes: str,
    crop_factor: float,
    label: str,
    bounding_boxes: Any = None,
    bbox_format: BoxLayout = "xywh",
    min_frames: int = 1,
    max_gap: int = 12,
    drop_size: int = 10,
    crop: str = "fixed",
) -> tuple[SEGS]:
    """Make SEGS of boxes: of a JSON text, or of what other nodes found.

    Parameters
    ----------
    image_frames : Tensor
        `(B, H, W, C)`: gives the size, and of boxes for each frame the cuts.
    boxes : str
        A JSON list of `[x1, y1, x2, y2]`, or of `{"box": [x1, y1, x2, y2], "label": ..., "confidence": ...}`. One box
        may stand without the list around it; an empty text is no box.
    crop_factor : float
        Size of the crop region in sizes of the box; of a box that moves, of its whole way where the crop is fixed.
    label : str
        Label of those boxes that bring none.
    bounding_boxes : object
        In the place of the text: see `segs_detailer.subjects.read_bounding_boxes`.
    bbox_format : str
        What those of them are that are plain numbers: "xywh" or "xyxy".
    min_frames, max_gap, drop_size, crop
        Of boxes for each frame, which are put together to subjects, and followed: see `find_boxes`.

    Returns
    -------
    tuple of SEGS
        One for each box; of boxes for each frame, one for each subject of each shot, with a mask for each frame.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        The text is no JSON, or a box cannot be used.
    """
    count, height, width = image_frames.shape[:3]
    size = (height, width)
    if bounding_boxes is None:
        entries = [_entry(f"boxes[{place}]", item, label) for place, item in enumerate(_items(boxes))]
        return (_still(size, entries, crop_factor),)
    read = read_bounding_boxes(bounding_boxes, size, count, label=label, layout=bbox_format)
    if read.is_still:
        return (_still(size, [(each.box, each.label, each.score) for each in read.frames[0]], crop_factor),)
    settings = FollowSettings(min_share=0.0, max_gap=max_gap, drop_size=drop_size, min_frames=min_frames)
    frames = (frame[..., :3].cpu().numpy() for frame in image_frames)
    tracks = follow_detections(frames, read.frames, settings, progress=frame_progress(count), argument="bounding_boxes")
    way = CropSettings(crop=crop, crop_factor=crop_factor, max_gap=max_gap)  # type: ignore[arg-type]  # checked there
    return (tracks_to_segs(tracks, size, count, way, dtype="lazy"),)


def _still(size: tuple[int, int], entries: list[tuple[Any, str, float]], crop_factor: float) -> SEGS:
    return boxes_to_segs(
        size,
        [box for box, _, _ in entries],
        crop_factor=crop_factor,
        label=[name for _, name, _ in entries],
        confidence=[confidence for _, _, confidence in entries],
    )


def _items(text: str) -> list[Any]:
    if not text.strip():
        return []
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InvalidArgumentError("boxes", "JSON such as [[x1, y1, x2, y2]]", f"{text[:60]!r} ({error})") from None
    if isinstance(content, dict) or (
        isinstance(content, list) and content and not isinstance(content[0], (list, dict))
    ):
        return [content]
    if not isinstance(content, list):
        raise InvalidArgumentError("boxes", "a JSON list of boxes", f"{text[:60]!r}")
    return content


def _entry(name: str, item: Any, label: str) -> tuple[Any, str, float]:
    if not isinstance(item, dict):
        return item, label, 1.0
    unknown = set(item) - {"box", "label", "confidence"}
    if unknown or "box" not in item:
        raise InvalidArgumentError(
            name, "box, and perhaps label and confidence", ", ".join(map(str, item)) or "nothing"
        )
    confidence = item.get("confidence", 1.0)
    if isinstance(confidence, bool) or not isinstance(confidence, (int, float)):
        raise InvalidTypeError(f"{name}: confidence", "a number", repr(confidence))
    return item["box"], str(item.get("label", label)), float(confidence)


BOX_NODES: tuple[Node, ...] = (
    Node(
        id="SegsDetailerBoxes",
        display_name="Boxes to SEGS",
        description="Makes a segment of each box: of those that are written down, or of what other nodes found. Boxes "
        "for each frame are put together to subjects and followed through the clip, as those of a detector are.",
        search_aliases=("bounding box", "bbox to SEGS", "coordinates", "JSON boxes"),
        inputs=(
            Input(
                name="image_frames",
                type="IMAGE",
                tooltip="The clip: gives the size of the frames, and where it is cut.",
            ),
            Input(
                name="boxes",
                type="STRING",
                tooltip="Boxes in pixels as JSON: [[x1, y1, x2, y2], ...], or each as an object with box, and perhaps "
                "label and confidence. Not read where bounding_boxes is connected.",
                widget={"default": "[[0, 0, 64, 64]]", "multiline": True},
            ),
            crop_factor_input("the box, or of its whole way where it moves and the crop is fixed"),
            Input(
                name="label",
                type="STRING",
                tooltip="Label of the boxes that bring none.",
                widget={"default": "A"},
            ),
            Input(
                name="bounding_boxes",
                type="BOUNDING_BOX,BBOX",
                tooltip="Boxes of other nodes, in the place of those that are written down: one or a list for all "
                "frames, or a list of lists, one for each frame. Their score and label count.",
                optional=True,
            ),
            Input(
                name="bbox_format",
                type=COMBO,
                tooltip="What plain numbers of other packs are. xywh: left, top, width, height, as of most KJNodes. "
                "xyxy: left, top, right, bottom. A BOUNDING_BOX says it itself.",
                optional=True,
                widget={"default": BOX_LAYOUTS[0]},
                choices=lambda: BOX_LAYOUTS,
            ),
            int_input(
                "min_frames",
                "Of boxes for each frame: a subject counts where it has a box in this many frames.",
                1,
                1,
                10000,
                optional=True,
            ),
            int_input(
                "max_gap",
                "Of boxes for each frame: frames without the subject that are bridged.",
                12,
                0,
                10000,
                optional=True,
            ),
            int_input(
                "drop_size",
                "Of boxes for each frame: subjects with a side that is not longer than this are left out.",
                10,
                0,
                16384,
                optional=True,
            ),
            crop_input(),
        ),
        outputs=(
            Output(name="segs", type="SEGS", tooltip="One segment for each box, or for each subject of each shot."),
        ),
        function=read_boxes,
    ),
)
"""The node that takes boxes."""
