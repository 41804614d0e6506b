"""The node for what ComfyUI's SAM 3 nodes tracked: a segment for each object."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from segs_detailer.comfyui.inputs import bool_input, crop_factor_input, crop_input, float_input, grow_input, int_input
from segs_detailer.comfyui.progress import frame_progress
from segs_detailer.detailer.crops import check_frames
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.nodes.declaration import Input, Node, Output
from segs_detailer.subjects.finders.shots import shots_of
from segs_detailer.subjects.fitting import split_at_cuts as parts_between
from segs_detailer.subjects.mask_filter import MaskFilter
from segs_detailer.subjects.packed_masks import check_packed, tracks_from_packed, why_left_out
from segs_detailer.subjects.segs_of_tracks import tracks_to_segs
from segs_detailer.subjects.settings import CropSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from torch import Tensor

    from segs_detailer.segs import SEG, SEGS
    from segs_detailer.subjects.track import Track

__all__ = ["SAM3_NODES", "tracked_objects"]

_NOTHING = "SAM 3 found no object: lower detection_threshold, or say in other words what is to be found"


def tracked_objects(
    track_data: Mapping[str, Any],
    image_frames: Tensor,
    object_indices: str,
    label: str,
    min_share: float,
    max_gap: int,
    drop_size: int,
    grow: int,
    crop_factor: float,
    crop: str = "fixed",
    split_at_cuts: bool = False,
) -> tuple[SEGS, str]:
    """Make a SEG of each object that SAM 3 tracked.

    Parameters
    ----------
    track_data : mapping
        What SAM3_VideoTrack gives, see `segs_detailer.subjects.tracks_from_packed`.
    image_frames : Tensor
        `(B, H, W, 3 or 4)` float32 in [0, 1]: as many frames as were tracked, of whatever size.
    object_indices : str
        Places of the objects, from 0, between commas; empty for all.
    label : str
        What all are, or what each is by its place, between commas or on lines of their own; those that have none here
        are called "object" and their place.
    min_share : float
        Objects that are seen in a smaller share of the clip's frames are left out.
    max_gap : int
        Frames without the object in which its crop goes on.
    drop_size : int
        Objects with a side of at most this many pixels, where they are largest, are left out.
    grow : int
        Pixels by which the masks grow, or shrink below 0.
    crop_factor : float
        Size of the crop region in sizes of the object, or of its whole way where the crop is fixed.
    crop : str
        One of `inputs.CROPS`: the crop holds the object's whole way, or moves with it.
    split_at_cuts : bool
        Cuts end objects: a SEG for each object of each shot.

    Returns
    -------
    segs : SEGS
        In the order of the objects. Masks are lazy, see `segs_detailer.subjects.tracks_to_segs`. The confidence is the
        object's score.
    report : str
        A line for each segment, and for each object that is left out.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        What came is nothing that SAM 3.1 tracked, or of another number of frames; an object that is not there.
    """
    check_frames("image_frames", image_frames)
    count, height, width = image_frames.shape[:3]
    objects, tracked, size = check_packed(track_data)
    if tracked != count:
        raise InvalidArgumentError("track_data", f"masks of the {count} frames of image_frames", f"of {tracked}")
    resized = "" if size == (height, width) else f", resized from {size[1]}x{size[0]} to {width}x{height}"
    lines = [f"{objects} {'object' if objects == 1 else 'objects'} in {count} frames{resized}"]
    if not objects:
        return ((height, width), []), f"{lines[0]}: {_NOTHING}"
    wanted = _places(object_indices, objects)
    tracks = tracks_from_packed(
        track_data,
        frame_size=(height, width),
        objects=wanted,
        label=_labels(label),
        progress=frame_progress(count),
    )
    shots = shots_of(frame[..., :3].float().cpu().numpy() for frame in image_frames) if split_at_cuts else ()
    way = CropSettings(crop=crop, crop_factor=crop_factor, max_gap=max_gap)  # type: ignore[arg-type]  # checked there
    edges = MaskFilter(grow=grow)
    shown = {track.id: track for track in tracks}
    segs: list[SEG] = []
    for place in wanted:
        reason = why_left_out(shown.get(place), count, min_share=min_share, drop_size=drop_size)
        if reason:
            lines.append(f"left out: object {place}, {reason}")
            continue
        for part in parts_between([shown[place]], shots, count) if split_at_cuts else [shown[place]]:
            _, own = tracks_to_segs([part], (height, width), count, way, dtype="lazy", masks=edges)
            segs += own
            lines += [f"segment {len(segs)}: {_described(part, place)}" for _ in own]
    return ((height, width), segs), "\n".join(lines)


def _places(object_indices: str, objects: int) -> list[int]:
    """Read places of objects."""
    items = [item.strip() for item in object_indices.split(",") if item.strip()]
    there = f"places of objects, from 0 to {objects - 1}, between commas"
    for item in items:
        if not item.isdecimal() or int(item) >= objects:
            raise InvalidArgumentError("object_indices", there, repr(item))
    return sorted({int(item) for item in items}) or list(range(objects))


def _labels(text: str) -> str | list[str]:
    names = [name.strip() for name in re.split(r"[,\n]", text) if name.strip()]
    return names[0] if len(names) == 1 else names


def _described(track: Track, place: int) -> str:
    (first, end), own = track.span, f"object {place}"
    name = own if track.label == own else f"{own}, {track.label}"
    seen = f", seen in {len(track.frames)} of them" if track.gaps else ""
    return f"{name}, score {track.confidence[0]:.2f}, frames {first} to {end - 1}{seen}"


SAM3_NODES: tuple[Node, ...] = (
    Node(
        id="SegsDetailerTrackToSegs",
        display_name="SAM3 Track to SEGS",
        description="Makes a segment of each object that ComfyUI's SAM3 Video Track followed, with its mask in each "
        "frame, also where objects touch. Masks are drawn when they are read, so that long clips of many objects fit "
        "into memory.",
        search_aliases=("segment anything 3", "video tracking", "track data", "object masks"),
        inputs=(
            Input(name="track_data", type="SAM3_TRACK_DATA", tooltip="From SAM3 Video Track, with SAM 3.1."),
            Input(
                name="image_frames",
                type="IMAGE",
                tooltip="The clip that was tracked, in its own size or another.",
            ),
            Input(
                name="object_indices",
                type="STRING",
                tooltip="Objects by their numbers in SAM3 Track Preview, from 0, between commas. Empty: all.",
                widget={"default": ""},
            ),
            Input(
                name="label",
                type="STRING",
                tooltip="Name of the segments, for filters and prompts. Several between commas are those of objects 0, "
                "1 and so on; objects without one are called object and their number.",
                widget={"default": ""},
            ),
            float_input(
                "min_share", "Objects that are seen in a smaller share of the frames are left out.", 0.0, 0.0, 1.0, 0.01
            ),
            int_input("max_gap", "Frames without the object in which its crop goes on.", 12, 0, 10000),
            int_input("drop_size", "Objects with a side that is never longer than this are left out.", 10, 0, 16384),
            grow_input(),
            crop_factor_input("the object, or of its whole way where the crop is fixed"),
            crop_input(),
            bool_input(
                "split_at_cuts",
                "Make a segment of each object for each shot of the clip, as the detectors do. Needs OpenCV.",
                False,
                "enabled",
                "disabled",
                optional=True,
            ),
        ),
        outputs=(
            Output(name="segs", type="SEGS", tooltip="One segment for each object, in SAM 3's order."),
            Output(name="report", type="STRING", tooltip="Which segment is which object, and what is left out."),
        ),
        function=tracked_objects,
    ),
)
"""The node that takes tracks of SAM 3."""
