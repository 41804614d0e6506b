"""Subjects through time: tracks, made of detections of single frames, and the crops that follow them."""

from __future__ import annotations

from .association import Associator, Chain, Detection, associate, overlap, suppress
from .cutting import split_at_cuts
from .from_masks import MaskTracker, tracks_from_masks
from .mask import Mask
from .mask_filter import MaskFilter, filter_masks, filtered_part
from .ownership import owned_weights, owner_order
from .path import crop_path, is_in_frame, path_of_clip, presence
from .settings import CropSettings
from .shapes import track_masks
from .size_gate import gated, size_gate
from .to_segs import subject_box, tracks_to_segs
from .track import MAX_FRAMES, SHAPES, Shape, Track

__all__ = [
    "MAX_FRAMES",
    "SHAPES",
    "Associator",
    "Chain",
    "CropSettings",
    "Detection",
    "Mask",
    "MaskFilter",
    "MaskTracker",
    "Shape",
    "Track",
    "associate",
    "crop_path",
    "filter_masks",
    "filtered_part",
    "gated",
    "is_in_frame",
    "overlap",
    "owned_weights",
    "owner_order",
    "path_of_clip",
    "presence",
    "size_gate",
    "split_at_cuts",
    "subject_box",
    "suppress",
    "track_masks",
    "tracks_from_masks",
    "tracks_to_segs",
]
