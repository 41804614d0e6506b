"""Many clips: tasks, and the engines that run them on one machine or on many.

Names are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segs_detailer._lazy import lazy_names

if TYPE_CHECKING:
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

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "segs_detailer.jobs.batch.clip_work": ("JobWork",),
        "segs_detailer.jobs.batch.listing": (
            "Entry",
            "read_folder",
            "read_list",
        ),
        "segs_detailer.jobs.batch.local_engine": ("run_local",),
        "segs_detailer.jobs.batch.ray_engine": (
            "RayOptions",
            "run_ray",
        ),
        "segs_detailer.jobs.batch.tasks": (
            "ClipWork",
            "Ending",
            "Outcome",
            "Part",
            "Task",
            "Tell",
            "View",
        ),
    },
)
