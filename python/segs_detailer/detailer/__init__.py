"""The detailer: segments of frames are cropped, scaled up, repainted, scaled back and pasted.

Names are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segs_detailer._lazy import lazy_names

if TYPE_CHECKING:
    from segs_detailer.detailer.api import DetailResult, detail_frames
    from segs_detailer.detailer.control import ControlNetWrapper, ImagePromptWrapper, with_control_net
    from segs_detailer.detailer.hooks import CombinedHook, DetailerHook, HookCalls
    from segs_detailer.detailer.models import Models, PipeModel
    from segs_detailer.detailer.pasting import paste_segs
    from segs_detailer.detailer.progress import Observer, Progress, SegmentProgress, observer_for
    from segs_detailer.detailer.run import detail_and_paste, detail_segs
    from segs_detailer.detailer.segment import DetailedSegment, Run, SegmentWarning, detail_segment
    from segs_detailer.detailer.settings import DetailerSettings
    from segs_detailer.detailer.subject_settings import SubjectSettings

__all__ = [
    "CombinedHook",
    "ControlNetWrapper",
    "DetailResult",
    "DetailedSegment",
    "DetailerHook",
    "DetailerSettings",
    "HookCalls",
    "ImagePromptWrapper",
    "Models",
    "Observer",
    "PipeModel",
    "Progress",
    "Run",
    "SegmentProgress",
    "SegmentWarning",
    "SubjectSettings",
    "detail_and_paste",
    "detail_frames",
    "detail_segment",
    "detail_segs",
    "observer_for",
    "paste_segs",
    "with_control_net",
]

_MODULES = {
    "segs_detailer.detailer.api": (
        "DetailResult",
        "detail_frames",
    ),
    "segs_detailer.detailer.control": (
        "ControlNetWrapper",
        "ImagePromptWrapper",
        "with_control_net",
    ),
    "segs_detailer.detailer.hooks": (
        "CombinedHook",
        "DetailerHook",
        "HookCalls",
    ),
    "segs_detailer.detailer.models": (
        "Models",
        "PipeModel",
    ),
    "segs_detailer.detailer.pasting": ("paste_segs",),
    "segs_detailer.detailer.progress": (
        "Observer",
        "Progress",
        "SegmentProgress",
        "observer_for",
    ),
    "segs_detailer.detailer.run": (
        "detail_and_paste",
        "detail_segs",
    ),
    "segs_detailer.detailer.segment": (
        "DetailedSegment",
        "Run",
        "SegmentWarning",
        "detail_segment",
    ),
    "segs_detailer.detailer.settings": ("DetailerSettings",),
    "segs_detailer.detailer.subject_settings": ("SubjectSettings",),
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
