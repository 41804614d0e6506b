"""Where things are in a clip: detections, tracks through time, and the SEGS that the detailer takes.

`finders` looks for subjects in frames; `formats` reads and writes what other programs say of them. Names are loaded
when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segs_detailer._lazy import lazy_names

if TYPE_CHECKING:
    from segs_detailer.subjects.association import Chain, Detection, suppress
    from segs_detailer.subjects.bounding_boxes import ClipBoxes, read_bounding_boxes
    from segs_detailer.subjects.boxes import make_crop_region, overlap
    from segs_detailer.subjects.criteria import SelectSettings
    from segs_detailer.subjects.finders.word_opening import open_word_finder
    from segs_detailer.subjects.fitting import split_at_cuts
    from segs_detailer.subjects.formats.files import FORMATS, Format, format_to_write, read_tracks, write_tracks
    from segs_detailer.subjects.from_masks import MaskSettings, MaskStream, tracks_from_masks
    from segs_detailer.subjects.from_segs import tracks_from_segs
    from segs_detailer.subjects.gating import gated, size_gate
    from segs_detailer.subjects.identity import (
        Embedder,
        Looks,
        PictureLikeness,
        SFaceEmbedder,
        Sighting,
        VisionEmbedder,
        link_tracks,
        look_at,
        open_embedders,
    )
    from segs_detailer.subjects.linking import Associator, associate
    from segs_detailer.subjects.mask import Mask
    from segs_detailer.subjects.mask_filter import MaskFilter, filter_masks, filtered_part
    from segs_detailer.subjects.mask_tracker import MaskTracker
    from segs_detailer.subjects.masks import boxes_to_segs, masks_to_segs
    from segs_detailer.subjects.objects import as_tracks
    from segs_detailer.subjects.ownership import owned_weights, owner_order
    from segs_detailer.subjects.packed_masks import tracks_from_packed
    from segs_detailer.subjects.path import crop_path, is_in_frame, path_of_clip, presence, subject_sizes
    from segs_detailer.subjects.segmenters.opening import open_segmenter
    from segs_detailer.subjects.segmenters.refining import RefineSettings, refine_tracks
    from segs_detailer.subjects.segmenters.segmenter import FollowedSubject, SegmenterSession, VideoSegmenter
    from segs_detailer.subjects.segs_gating import GatedSegs, SizeReport, SizeWindow, gate_segs
    from segs_detailer.subjects.segs_of_tracks import subject_box, tracks_to_segs
    from segs_detailer.subjects.selection import Likeness, Similarity, Step
    from segs_detailer.subjects.settings import CropSettings
    from segs_detailer.subjects.shapes import track_masks
    from segs_detailer.subjects.track import MAX_FRAMES, SHAPES, Shape, Track, Tracks

__all__ = [
    "FORMATS",
    "MAX_FRAMES",
    "SHAPES",
    "Associator",
    "Chain",
    "ClipBoxes",
    "CropSettings",
    "Detection",
    "Embedder",
    "FollowedSubject",
    "Format",
    "GatedSegs",
    "Likeness",
    "Looks",
    "Mask",
    "MaskFilter",
    "MaskSettings",
    "MaskStream",
    "MaskTracker",
    "PictureLikeness",
    "RefineSettings",
    "SFaceEmbedder",
    "SegmenterSession",
    "SelectSettings",
    "Shape",
    "Sighting",
    "Similarity",
    "SizeReport",
    "SizeWindow",
    "Step",
    "Track",
    "Tracks",
    "VideoSegmenter",
    "VisionEmbedder",
    "as_tracks",
    "associate",
    "boxes_to_segs",
    "crop_path",
    "filter_masks",
    "filtered_part",
    "format_to_write",
    "gate_segs",
    "gated",
    "is_in_frame",
    "link_tracks",
    "look_at",
    "make_crop_region",
    "masks_to_segs",
    "open_embedders",
    "open_segmenter",
    "open_word_finder",
    "overlap",
    "owned_weights",
    "owner_order",
    "path_of_clip",
    "presence",
    "read_bounding_boxes",
    "read_tracks",
    "refine_tracks",
    "size_gate",
    "split_at_cuts",
    "subject_box",
    "subject_sizes",
    "suppress",
    "track_masks",
    "tracks_from_masks",
    "tracks_from_packed",
    "tracks_from_segs",
    "tracks_to_segs",
    "write_tracks",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "segs_detailer.subjects.association": (
            "Chain",
            "Detection",
            "suppress",
        ),
        "segs_detailer.subjects.boxes": (
            "make_crop_region",
            "overlap",
        ),
        "segs_detailer.subjects.finders.word_opening": ("open_word_finder",),
        "segs_detailer.subjects.segmenters.opening": ("open_segmenter",),
        "segs_detailer.subjects.segmenters.refining": ("RefineSettings", "refine_tracks"),
        "segs_detailer.subjects.segmenters.segmenter": ("FollowedSubject", "SegmenterSession", "VideoSegmenter"),
        "segs_detailer.subjects.fitting": ("split_at_cuts",),
        "segs_detailer.subjects.bounding_boxes": ("ClipBoxes", "read_bounding_boxes"),
        "segs_detailer.subjects.formats.files": (
            "FORMATS",
            "Format",
            "format_to_write",
            "read_tracks",
            "write_tracks",
        ),
        "segs_detailer.subjects.from_masks": (
            "MaskSettings",
            "MaskStream",
            "tracks_from_masks",
        ),
        "segs_detailer.subjects.identity": (
            "Embedder",
            "Looks",
            "PictureLikeness",
            "SFaceEmbedder",
            "Sighting",
            "VisionEmbedder",
            "link_tracks",
            "look_at",
            "open_embedders",
        ),
        "segs_detailer.subjects.mask_tracker": ("MaskTracker",),
        "segs_detailer.subjects.linking": (
            "Associator",
            "associate",
        ),
        "segs_detailer.subjects.mask": ("Mask",),
        "segs_detailer.subjects.mask_filter": (
            "MaskFilter",
            "filter_masks",
            "filtered_part",
        ),
        "segs_detailer.subjects.masks": (
            "boxes_to_segs",
            "masks_to_segs",
        ),
        "segs_detailer.subjects.objects": ("as_tracks",),
        "segs_detailer.subjects.ownership": (
            "owned_weights",
            "owner_order",
        ),
        "segs_detailer.subjects.packed_masks": ("tracks_from_packed",),
        "segs_detailer.subjects.path": (
            "crop_path",
            "is_in_frame",
            "path_of_clip",
            "presence",
            "subject_sizes",
        ),
        "segs_detailer.subjects.gating": ("gated", "size_gate"),
        "segs_detailer.subjects.segs_gating": ("GatedSegs", "SizeReport", "SizeWindow", "gate_segs"),
        "segs_detailer.subjects.criteria": ("SelectSettings",),
        "segs_detailer.subjects.selection": ("Likeness", "Similarity", "Step"),
        "segs_detailer.subjects.settings": ("CropSettings",),
        "segs_detailer.subjects.shapes": ("track_masks",),
        "segs_detailer.subjects.segs_of_tracks": (
            "subject_box",
            "tracks_to_segs",
        ),
        "segs_detailer.subjects.track": (
            "MAX_FRAMES",
            "SHAPES",
            "Shape",
            "Track",
            "Tracks",
        ),
        "segs_detailer.subjects.from_segs": ("tracks_from_segs",),
    },
)
