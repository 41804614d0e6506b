"""Jobs: a clip and what is to be done with it, from file to file.

Frames stream through, and memory stays within a limit for clips of any length. Names are loaded when they are first
used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segs_detailer._lazy import lazy_names

if TYPE_CHECKING:
    from segs_detailer.jobs.batch.clip_work import JobWork
    from segs_detailer.jobs.batch.local_engine import run_local
    from segs_detailer.jobs.batch.ray_engine import RayOptions, run_ray
    from segs_detailer.jobs.batch.tasks import ClipWork, Task, View
    from segs_detailer.jobs.cache import Cache
    from segs_detailer.jobs.checking import verify_clip
    from segs_detailer.jobs.clips import detail_clip, plan_clip
    from segs_detailer.jobs.job import ClipJob, Redo
    from segs_detailer.jobs.loading import ModelCache
    from segs_detailer.jobs.memory import StreamSizes
    from segs_detailer.jobs.parts import (
        EncodeSettings,
        FindSettings,
        LimitSettings,
        ModelSettings,
        PathSettings,
        PromptSettings,
    )
    from segs_detailer.jobs.pieces import Piece
    from segs_detailer.jobs.plan import ChosenTrack, ClipPlan, DiskPlan, MemoryPlan, TrackPlan
    from segs_detailer.jobs.planning import check_memory, plan_tracks
    from segs_detailer.jobs.progress import ClipProgress
    from segs_detailer.jobs.report import ClipReport, TrackReport
    from segs_detailer.jobs.run import ClipRun, RunSettings
    from segs_detailer.jobs.sampling import Detailing
    from segs_detailer.jobs.sheet import write_sheet
    from segs_detailer.jobs.traits import ModelTraits
    from segs_detailer.jobs.writing import FrameTaker, NewFrame, SinkTaker

__all__ = [
    "Cache",
    "ChosenTrack",
    "ClipJob",
    "ClipPlan",
    "ClipProgress",
    "ClipReport",
    "ClipRun",
    "ClipWork",
    "Detailing",
    "DiskPlan",
    "EncodeSettings",
    "FindSettings",
    "FrameTaker",
    "JobWork",
    "LimitSettings",
    "MemoryPlan",
    "ModelCache",
    "ModelSettings",
    "ModelTraits",
    "NewFrame",
    "PathSettings",
    "Piece",
    "PromptSettings",
    "RayOptions",
    "Redo",
    "RunSettings",
    "SinkTaker",
    "StreamSizes",
    "Task",
    "TrackPlan",
    "TrackReport",
    "View",
    "check_memory",
    "detail_clip",
    "plan_clip",
    "plan_tracks",
    "run_local",
    "run_ray",
    "verify_clip",
    "write_sheet",
]

_MODULES = {
    "segs_detailer.jobs.batch.clip_work": ("JobWork",),
    "segs_detailer.jobs.batch.local_engine": ("run_local",),
    "segs_detailer.jobs.batch.ray_engine": (
        "RayOptions",
        "run_ray",
    ),
    "segs_detailer.jobs.batch.tasks": (
        "ClipWork",
        "Task",
        "View",
    ),
    "segs_detailer.jobs.cache": ("Cache",),
    "segs_detailer.jobs.checking": ("verify_clip",),
    "segs_detailer.jobs.clips": ("detail_clip", "plan_clip"),
    "segs_detailer.jobs.job": (
        "ClipJob",
        "Redo",
    ),
    "segs_detailer.jobs.parts": (
        "EncodeSettings",
        "FindSettings",
        "LimitSettings",
        "ModelSettings",
        "PathSettings",
        "PromptSettings",
    ),
    "segs_detailer.jobs.loading": ("ModelCache",),
    "segs_detailer.jobs.memory": ("StreamSizes",),
    "segs_detailer.jobs.pieces": ("Piece",),
    "segs_detailer.jobs.plan": ("ChosenTrack", "ClipPlan", "DiskPlan", "MemoryPlan", "TrackPlan"),
    "segs_detailer.jobs.planning": ("check_memory", "plan_tracks"),
    "segs_detailer.jobs.progress": ("ClipProgress",),
    "segs_detailer.jobs.report": ("ClipReport", "TrackReport"),
    "segs_detailer.jobs.run": ("ClipRun", "RunSettings"),
    "segs_detailer.jobs.sampling": ("Detailing",),
    "segs_detailer.jobs.sheet": ("write_sheet",),
    "segs_detailer.jobs.traits": ("ModelTraits",),
    "segs_detailer.jobs.writing": ("FrameTaker", "NewFrame", "SinkTaker"),
}
__getattr__, __dir__ = lazy_names(__name__, _MODULES)
