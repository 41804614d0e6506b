"""Many clips: tasks, and the engines that run them on one machine or on many."""

from __future__ import annotations

from segs_detailer.jobs.batch.clip_work import JobWork
from segs_detailer.jobs.batch.listing import Entry, read_folder, read_list
from segs_detailer.jobs.batch.local_engine import run_local
from segs_detailer.jobs.batch.ray_engine import RayOptions, run_ray
from segs_detailer.jobs.batch.tasks import ClipWork, Ending, Outcome, Part, Task, Tell, View

__all__ = [
    "ClipWork",
    "Ending",
    "Entry",
    "JobWork",
    "Outcome",
    "Part",
    "RayOptions",
    "Task",
    "Tell",
    "View",
    "read_folder",
    "read_list",
    "run_local",
    "run_ray",
]
