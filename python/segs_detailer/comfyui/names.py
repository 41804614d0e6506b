"""Names of samplers and schedulers: ComfyUI's where it runs, with what other packs added, else this package's."""

from __future__ import annotations

import sys

from segs_detailer.models.samplers.registry import SAMPLERS
from segs_detailer.models.schedules import SCHEDULES

__all__ = ["sampler_names", "scheduler_names"]


def sampler_names() -> list[str]:
    """Names that `sampler_name` takes."""
    comfy_samplers = sys.modules.get("comfy.samplers")
    return list(SAMPLERS if comfy_samplers is None else comfy_samplers.KSampler.SAMPLERS)


def scheduler_names() -> list[str]:
    """Names that `scheduler` takes: in ComfyUI those of KSampler, and those of Impact Pack where it is installed."""
    comfy_samplers = sys.modules.get("comfy.samplers")
    if comfy_samplers is None:
        return list(SCHEDULES)
    return list(dict.fromkeys([*comfy_samplers.KSampler.SCHEDULERS, *_impact_schedulers()]))


def _impact_schedulers() -> list[str]:
    # Looked up at each call: packs are loaded in any order.
    return list(getattr(sys.modules.get("impact.core"), "SCHEDULERS", ()))
