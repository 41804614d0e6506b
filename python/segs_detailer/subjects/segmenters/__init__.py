"""What draws the masks of subjects through a clip, from a box in one frame: video segmenters.

Names are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segs_detailer._lazy import lazy_names

if TYPE_CHECKING:
    from segs_detailer.subjects.segmenters.opening import open_segmenter
    from segs_detailer.subjects.segmenters.refining import RefineSettings, refine_tracks
    from segs_detailer.subjects.segmenters.segmenter import FollowedSubject, SegmenterSession, VideoSegmenter

__all__ = [
    "FollowedSubject",
    "RefineSettings",
    "SegmenterSession",
    "VideoSegmenter",
    "open_segmenter",
    "refine_tracks",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "segs_detailer.subjects.segmenters.opening": ("open_segmenter",),
        "segs_detailer.subjects.segmenters.refining": ("RefineSettings", "refine_tracks"),
        "segs_detailer.subjects.segmenters.segmenter": ("FollowedSubject", "SegmenterSession", "VideoSegmenter"),
    },
)
