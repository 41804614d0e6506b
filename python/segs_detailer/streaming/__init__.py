"""Runs from file to file: frames stream through, and memory stays within a limit for clips of any length."""

from __future__ import annotations

from ..tracks import MaskFilter
from .cache import Cache
from .memory import StreamSizes
from .pieces import Piece
from .plan import ChosenTrack, ClipPlan, DiskPlan, MemoryPlan, PlanSettings, TrackPlan
from .planning import check_memory, plan_clip
from .run import ClipRun, Redo, RunProgress, RunSettings
from .sampling import Detailing
from .traits import ModelTraits
from .writing import FrameTaker, NewFrame, SinkTaker

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
