"""Noise levels of a graph's schedules: ComfyUI's own, and those that Impact Pack adds to their names."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import comfy.samplers
import torch

from segs_detailer.comfyui.names import scheduler_names
from segs_detailer.errors import ModelError, unknown_name

if TYPE_CHECKING:
    from torch import Tensor

    from segs_detailer.models.interface import SampleJob

__all__ = ["levels_of"]

_LTXV = (20, 2.05, 0.95, True, 0.1)
"""Steps, shifts, stretch and terminal that Impact Pack's `LTXV[default]` has, whatever the steps are."""


def levels_of(model: Any, job: SampleJob, total: int) -> Tensor:
    """Make a whole schedule.

    Parameters
    ----------
    model : ModelPatcher
        Whose noise levels it is made of.
    job : SampleJob
        Names the schedule and the sampler, or brings a function of the caller's.
    total : int
        Steps of the whole schedule.

    Returns
    -------
    Tensor
        Float32 on the CPU, of the caller's own; some schedules have another number of levels than asked for.

    Raises
    ------
    InvalidArgumentError
        Neither ComfyUI nor Impact Pack has the schedule.
    ModelError
        This ComfyUI lacks the node behind it.
    """
    if job.scheduler_func is not None:
        levels = job.scheduler_func(model, job.sampler_name, total)
    elif job.scheduler in comfy.samplers.KSampler.SCHEDULERS:
        levels = comfy.samplers.KSampler(
            model,
            steps=total,
            device=torch.device("cpu"),
            sampler=job.sampler_name,
            scheduler=job.scheduler,
            denoise=1.0,
            model_options=model.model_options,
        ).sigmas
    else:
        levels = _of_impact_pack(model, job.sampler_name, job.scheduler, total)
    return torch.as_tensor(levels).float().cpu().clone()


def _of_impact_pack(model: Any, sampler: str, scheduler: str, total: int) -> Any:
    known = scheduler_names()
    if scheduler not in known:
        # KSampler would take its first one without a word.
        raise unknown_name("scheduler", scheduler, known)
    drops_penultimate = sampler in comfy.samplers.KSampler.DISCARD_PENULTIMATE_SIGMA_SAMPLERS
    steps = total + drops_penultimate
    kind, _, name = scheduler.partition(" ")
    if kind == "AYS":
        levels = _of_node("AlignYourStepsScheduler", scheduler, name, steps, 1.0)
    elif kind == "OSS":
        levels = _of_node("OptimalStepsScheduler", scheduler, name, steps, 1.0)
    elif scheduler.startswith("GITS[coeff="):
        levels = _of_node("GITSScheduler", scheduler, float(scheduler[len("GITS[coeff=") : -1]), steps, 1.0)
    elif scheduler == "LTXV[default]":
        levels = _of_node("LTXVScheduler", scheduler, *_LTXV)
    else:
        return sys.modules["impact.impact_sampling"].calculate_sigmas(model, sampler, scheduler, total)
    return torch.cat([levels[:-2], levels[-1:]]) if drops_penultimate else levels


def _of_node(node: str, scheduler: str, *inputs: Any) -> Tensor:
    """Run a node of ComfyUI's, of either kind: Impact Pack calls them by a method that newer ones do not have."""
    found = sys.modules["nodes"].NODE_CLASS_MAPPINGS.get(node)
    if found is None:
        raise ModelError(f"the schedule {scheduler!r} needs ComfyUI's node {node}, which this ComfyUI has not loaded")
    made = found()
    function = getattr(made, "execute", None) or getattr(made, found.FUNCTION)
    result = function(*inputs)
    levels: Tensor = getattr(result, "result", result)[0]
    return levels
