"""Detailer hooks for graphs: settings that change from segment to segment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segs_detailer.comfyui.inputs import float_input, int_input
from segs_detailer.crop_path import part_of_frames
from segs_detailer.detailer.hooks import CombinedHook, DetailerHook
from segs_detailer.nodes.declaration import Input, Node, Output

if TYPE_CHECKING:
    from segs_detailer.detailer.hooks import Latent, Prepared
    from segs_detailer.models.interface import Conditioning
    from segs_detailer.segs import SEGS

__all__ = ["HOOK_NODES", "ScheduleHook", "cfg_hook", "combine_hooks", "denoise_hook", "steps_hook"]


class ScheduleHook(DetailerHook):
    """Moves settings evenly from the detailer's own to targets.

    With several cycles, as Impact Pack's detailers know them, over the cycles of each segment; else over the segments
    that are painted: the first one has the detailer's own value, the last one the target. A lone segment in one cycle
    keeps its own.

    Parameters
    ----------
    steps : int or None
        Target of the steps, rounded down; None leaves them.
    cfg, denoise : float or None
        Targets of the guidance and of the denoising; None leaves them.
    """

    def __init__(self, *, steps: int | None = None, cfg: float | None = None, denoise: float | None = None) -> None:
        self.steps, self.cfg, self.denoise = steps, cfg, denoise
        self._segment, self._segments = -1, 1
        self._cycle, self._cycles = 0, 1

    def post_detection(self, segs: SEGS) -> SEGS:
        """Count the segments of which the frames show something; a run begins."""
        height, width = segs[0]
        self.set_segments(sum(bool(part_of_frames(seg.crop_region, (height, width)).any()) for seg in segs[1]))
        return segs

    def set_segments(self, count: int) -> None:
        """Learn how many segments are painted, which a hook after this one may have changed; a run begins."""
        self._segment, self._segments = -1, count

    def set_steps(self, info: tuple[int, int]) -> None:
        """Learn the cycle; with the first one a segment begins."""
        self._cycle, self._cycles = info
        if self._cycle == 0:
            self._segment += 1

    @property
    def progress(self) -> float:
        """How far the run is, from 0 to 1."""
        if self._cycles > 1:
            return self._cycle / (self._cycles - 1)
        return min(max(self._segment, 0) / max(self._segments - 1, 1), 1.0)

    def pre_ksample(
        self,
        model: Any,
        seed: int,
        steps: int,
        cfg: float,
        sampler_name: str,
        scheduler: str,
        positive: Conditioning,
        negative: Conditioning,
        upscaled_latent: Latent,
        denoise: float,
    ) -> Prepared:
        """Set the values of this segment or cycle, see `DetailerHook.pre_ksample`."""
        steps = int(self._between(steps, self.steps))
        cfg, denoise = self._between(cfg, self.cfg), self._between(denoise, self.denoise)
        return model, seed, steps, cfg, sampler_name, scheduler, positive, negative, upscaled_latent, denoise

    def _between(self, own: float, target: float | None) -> float:
        return own if target is None else own + (target - own) * self.progress


def denoise_hook(target_denoise: float) -> tuple[ScheduleHook]:
    """Make a hook that moves the denoising to a target."""
    return (ScheduleHook(denoise=target_denoise),)


def cfg_hook(target_cfg: float) -> tuple[ScheduleHook]:
    """Make a hook that moves the guidance to a target."""
    return (ScheduleHook(cfg=target_cfg),)


def steps_hook(target_steps: int) -> tuple[ScheduleHook]:
    """Make a hook that moves the number of steps to a target."""
    return (ScheduleHook(steps=target_steps),)


def combine_hooks(hook1: object, hook2: object) -> tuple[CombinedHook]:
    """Make one hook of two; the second gets what the first returned."""
    return (CombinedHook(hook1, hook2),)


_OVER = "The first segment that is painted has the detailer's own value, the last one this."


def _hook_output() -> tuple[Output, ...]:
    return (Output(name="detailer_hook", type="DETAILER_HOOK", tooltip="The hook, for Detailer For Video."),)


HOOK_NODES: tuple[Node, ...] = (
    Node(
        id="SegsDetailerDenoiseHook",
        display_name="Denoise Schedule Hook",
        description="Moves the denoising from segment to segment.",
        search_aliases=("DenoiseScheduleHookProvider", "denoise per segment"),
        inputs=(float_input("target_denoise", _OVER, 0.3, 0.0001, 1.0, 0.01),),
        outputs=_hook_output(),
        function=denoise_hook,
    ),
    Node(
        id="SegsDetailerCfgHook",
        display_name="CFG Schedule Hook",
        description="Moves the guidance from segment to segment.",
        search_aliases=("CfgScheduleHookProvider", "guidance schedule"),
        inputs=(float_input("target_cfg", _OVER, 3.0, 0.0, 100.0, 0.1),),
        outputs=_hook_output(),
        function=cfg_hook,
    ),
    Node(
        id="SegsDetailerStepsHook",
        display_name="Steps Schedule Hook",
        description="Moves the number of steps from segment to segment.",
        search_aliases=("StepsScheduleHookProvider", "steps per segment"),
        inputs=(int_input("target_steps", _OVER, 20, 1, 10000),),
        outputs=_hook_output(),
        function=steps_hook,
    ),
    Node(
        id="SegsDetailerCombineHooks",
        display_name="Combine Detailer Hooks",
        description="Makes one hook of two.",
        search_aliases=("DetailerHookCombine", "merge hooks"),
        inputs=(
            Input(name="hook1", type="DETAILER_HOOK", tooltip="Acts first."),
            Input(name="hook2", type="DETAILER_HOOK", tooltip="Gets what the first returned."),
        ),
        outputs=_hook_output(),
        function=combine_hooks,
    ),
)
"""The nodes of hooks."""
