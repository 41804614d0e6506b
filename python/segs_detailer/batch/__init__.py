"""Many clips: tasks, and the engines that run them on one machine or on many."""

from __future__ import annotations

from .listing import Entry, read_folder, read_list
from .local_engine import run_local
from .ray_engine import RayOptions, run_ray
from .tasks import ClipWork, Ending, Outcome, Part, Task, Tell, View

__all__ = [
    "ClipWork",
    "Ending",
    "Entry",
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
