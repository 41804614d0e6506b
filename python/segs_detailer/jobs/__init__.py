"""Runs from file to file: frames stream through, and memory stays within a limit for clips of any length."""

from __future__ import annotations

from segs_detailer.jobs.cache import Cache
from segs_detailer.jobs.memory import StreamSizes
from segs_detailer.jobs.pieces import Piece
from segs_detailer.jobs.plan import ChosenTrack, ClipPlan, DiskPlan, MemoryPlan, PlanSettings, TrackPlan
from segs_detailer.jobs.planning import check_memory, plan_clip
from segs_detailer.jobs.run import ClipRun, Redo, RunProgress, RunSettings
from segs_detailer.jobs.sampling import Detailing
from segs_detailer.jobs.traits import ModelTraits
from segs_detailer.jobs.writing import FrameTaker, NewFrame, SinkTaker
from segs_detailer.subjects.mask_filter import MaskFilter

__all__ = [
    "Cache",
    "ChosenTrack",
    "ClipPlan",
    "ClipRun",
    "Detailing",
    "DiskPlan",
    "FrameTaker",
    "MaskFilter",
    "MemoryPlan",
    "ModelTraits",
    "NewFrame",
    "Piece",
    "PlanSettings",
    "Redo",
    "RunProgress",
    "RunSettings",
    "SinkTaker",
    "StreamSizes",
    "TrackPlan",
    "check_memory",
    "plan_clip",
]
