"""One sampling run: the steps of the schedule, the start noise, the mask, and the hand-over to a refiner."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
from torch import Tensor

from segs_detailer.errors import InvalidArgumentError, unknown_name
from segs_detailer.models.denoise_mask import (
    CleanMaskedDenoiser,
    DifferentialThreshold,
    FrameStarts,
    MaskAt,
    MaskedDenoiser,
)
from segs_detailer.models.denoiser import Denoiser
from segs_detailer.models.frame_noise import FrameNoise, clip_noise, step_noise
from segs_detailer.models.noise import NoiseSampler, brownian_noise, gaussian_noise
from segs_detailer.models.samplers.registry import SamplerSpec, sampler_named
from segs_detailer.models.schedules import sigmas_for

if TYPE_CHECKING:
    from segs_detailer.models.interface import StepCallback
    from segs_detailer.models.sigma_table import SigmaTable

__all__ = [
    "COMFYUI_VERSIONS",
    "DenoiserFactory",
    "Run",
    "SamplingOptions",
    "Stage",
    "run_stages",
    "total_sigmas",
    "total_steps",
]

DenoiserFactory: TypeAlias = Callable[[Tensor], Denoiser]

COMFYUI_VERSIONS = ("0.8", "0.3")
"""What `SamplingOptions.comfyui` can be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingOptions:
    """Where this package improves on ComfyUI's behavior, and how to get ComfyUI's.

    Parameters
    ----------
    strict_mask : bool
        Differential diffusion never repaints where the noise mask is 0. `False`: the last step does, as in ComfyUI.
    refiner : {"continue", "recomposite"}
        "continue": the refiner goes on from the base model's state, noise and mask, so that a refiner equal to the base
        changes nothing. "recomposite": as Impact Pack, whose refiner starts from the noisy latents composited over the
        clean ones and runs without differential diffusion.
    comfyui : {"0.8", "0.3"}
        Whose numbers samplers give. "0.8": those of ComfyUI 0.8 and later. "0.3": those of ComfyUI up to 0.6, which on
        the CPU drew the noise between steps from the seed of the start noise, so that it repeated that, and where
        `sa_solver` handed latents with noise to a refiner a step early.
    """

    strict_mask: bool = True
    refiner: Literal["continue", "recomposite"] = "continue"
    comfyui: Literal["0.8", "0.3"] = "0.8"

    def __post_init__(self) -> None:
        if self.refiner not in ("continue", "recomposite"):
            raise InvalidArgumentError("refiner", "'continue' or 'recomposite'", repr(self.refiner))
        if self.comfyui not in COMFYUI_VERSIONS:
            raise unknown_name("comfyui", self.comfyui, COMFYUI_VERSIONS)


@dataclass(frozen=True, slots=True)
class Stage:
    """A model with its noise levels.

    Parameters
    ----------
    denoiser : callable
        `(sigmas of the run) -> Denoiser`: a model may need to know the levels that are coming.
    table : SigmaTable
        Its training noise levels.
    sigmas : Tensor
        Its whole schedule, of which a run takes the last steps.
    clean_token : (int, int, int) or None
        Latents in a token of a model that was trained to see clean what it knows, along T, h and w; its denoisers take
        a noise level for each latent. None: it sees what it knows as noisy as the rest.
    """

    denoiser: DenoiserFactory
    table: SigmaTable
    sigmas: Tensor
    clean_token: tuple[int, int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The settings of one run; the names, `clips` too, mean what they mean in `SampleJob`.

    `sampler` takes the place of the named one; `mask` is `(1 or F, 1, h, w)` at the latents' size; `starts` are noise
    levels from which the frames are repainted, of a shape that fits the mask's, None where all are from the run's
    first; `refiner_ratio` counts where a refiner is given; `frame_axis` is the latents' axis of frames, in which
    `frame_noise` counts.
    """

    sampler_name: str
    steps: int
    denoise: float
    seed: int
    sampler: SamplerSpec | None = None
    mask: Tensor | None = None
    differential: bool = False
    starts: Tensor | None = None
    noise: Tensor | None = None
    frame_noise: FrameNoise = field(default_factory=FrameNoise)
    frame_axis: int = 0
    refiner_ratio: float = 0.0
    options: SamplingOptions = SamplingOptions()
    callback: StepCallback | None = None
    clips: int = 1


def total_steps(steps: int, denoise: float) -> int:
    """Count the steps of the whole schedule, of which the last `steps` are run: `floor(steps / denoise)`.

    Raises
    ------
    InvalidArgumentError
        `steps` is below 1, or `denoise` outside (0, 1].
    """
    if steps < 1:
        raise InvalidArgumentError("steps", "at least 1", str(steps))
    if not 0 < denoise <= 1:
        raise InvalidArgumentError("denoise", "a number in (0, 1]", str(denoise))
    return math.floor(steps / denoise)


def total_sigmas(sampler_name: str, scheduler: str, table: SigmaTable, total: int) -> Tensor:
    """Make the whole schedule for a sampler: some ask for one step more and leave out the last positive level."""
    if sampler_named(sampler_name).drops_penultimate:
        sigmas = sigmas_for(scheduler, table, total + 1)
        return torch.cat([sigmas[:-2], sigmas[-1:]])
    return sigmas_for(scheduler, table, total)


def run_stages(source: Tensor, base: Stage, refiner: Stage | None, run: Run) -> Tensor:
    """Repaint latents.

    Parameters
    ----------
    source : Tensor
        Clean latents `(F, C, h, w)` float32, scaled as the model takes them.
    base : Stage
        The model of the first steps, or of all.
    refiner : Stage or None
        The model of the last `refiner_ratio` of the steps.
    run : Run
        The settings.

    Returns
    -------
    Tensor
        The last prediction of x0, or what the sampler makes of the last ones; `source` itself where the schedule leaves
        no steps to run.

    Notes
    -----
    Start noise, masks and steps follow ComfyUI's KSampler; tests hold them to numbers of a running ComfyUI.
    """
    total = total_steps(run.steps, run.denoise)
    start = total - run.steps
    base_end = total if refiner is None else start + math.floor(run.steps * (1 - run.refiner_ratio))
    spec = sampler_named(run.sampler_name) if run.sampler is None else run.sampler
    if refiner is not None and run.options.refiner == "recomposite":
        return _recomposite(source, base, refiner, run, spec, (start, base_end, total))

    sigmas = _segment(base.sigmas, start, total)
    if len(sigmas) < 2:
        return source
    report = _Report(run.callback, len(sigmas) - 1)
    noise = _start_noise(source, run)
    x = base.table.start(source, noise, sigmas[0])
    between = _noise_between_steps(spec, source, run, _ended(base.sigmas, total), sigmas)
    # Both models work under one threshold: the mask's progress is the run's, not the stage's.
    threshold = _threshold(base.table, sigmas, run)
    pinned = _pinned_noise(source, run, spec, noise)
    split = base_end - start
    for stage, part in ((base, sigmas[: split + 1]), (refiner, sigmas[split:])):
        if stage is None or len(part) < 2:
            continue
        denoiser = _masked(stage, sigmas, source, pinned, run.mask, threshold)
        x = spec.bound(base.table)(denoiser, x, part, noise=between, callback=report.step)
        report.next_stage(len(part) - 1)
    return report.result(x, spec)


def _recomposite(
    source: Tensor, base: Stage, refiner: Stage, run: Run, spec: SamplerSpec, steps: tuple[int, int, int]
) -> Tensor:
    """Hand over to the refiner as Impact Pack does."""
    start, base_end, total = steps
    # Impact Pack lets the refiner run a step more where the schedule has more of them than were asked for.
    first, second = _segment(base.sigmas, start, base_end, leftover=True), _segment(refiner.sigmas, base_end, total + 1)
    report = _Report(run.callback, max(len(first) - 1, 0) + max(len(second) - 1, 0))
    state = source
    if len(first) > 1:
        noise = _start_noise(source, run)
        pinned = _pinned_noise(source, run, spec, noise)
        denoiser = _masked(base, first, source, pinned, run.mask, _threshold(base.table, first, run))
        between = _noise_between_steps(spec, source, run, base.sigmas, first)
        x = base.table.start(source, noise, first[0])
        sampler = spec.bound(base.table, leave_noise_as=run.options.comfyui)
        state = sampler(denoiser, x, first, noise=between, callback=report.step)
        report.next_stage(len(first) - 1)
        if run.mask is not None:
            state = state * run.mask + source * (1 - run.mask)
    if len(second) < 2:
        return state
    none = torch.zeros_like(state)
    pinned = _pinned_noise(source, run, spec, none)
    begun = None if run.starts is None else FrameStarts(run.starts)
    denoiser = _masked(refiner, second, state, pinned, run.mask, begun)
    between = _noise_between_steps(spec, source, run, _ended(refiner.sigmas, total + 1), second)
    report.x0 = None
    x = spec.bound(refiner.table)(denoiser, state, second, noise=between, callback=report.step)
    return report.result(x, spec)


class _Report:
    """Keeps the last prediction, and tells the caller of each step over all stages."""

    def __init__(self, callback: StepCallback | None, total: int) -> None:
        self._callback = callback
        self._total = total
        self._first = 0
        self.x0: Tensor | None = None

    def step(self, step: int, x0: Tensor, x: Tensor, sigma: Tensor) -> None:
        self.x0 = x0
        if self._callback is not None:
            step += self._first
            self._callback(step, max(self._total, step + 1), x0, x, float(sigma))

    def next_stage(self, steps: int) -> None:
        self._first += steps

    def result(self, x: Tensor, spec: SamplerSpec) -> Tensor:
        """Give the result of a run: `x`, which the sampler gave, where it predicted nothing or goes on from that."""
        return x if self.x0 is None or spec.ends_past_prediction else self.x0


def _ended(sigmas: Tensor, end: int) -> Tensor:
    """Schedule whose level at the end of a run is 0, as the run has it; some schedules have levels beyond."""
    levels = sigmas.clone()
    levels[end : end + 1] = 0
    return levels


def _segment(sigmas: Tensor, start: int, end: int, *, leftover: bool = False) -> Tensor:
    """Levels of the steps `start` to `end`; the last level is 0 unless noise is to be left over."""
    part = sigmas[start : end + 1].clone()
    if len(part) and not leftover:
        part[-1] = 0
    return part


def _start_noise(source: Tensor, run: Run) -> Tensor:
    if run.noise is None:
        return _seeded(source, run, run.seed)
    if run.noise.shape != source.shape:
        raise InvalidArgumentError("noise", f"shape {tuple(source.shape)}", f"shape {tuple(run.noise.shape)}")
    return run.noise.to(source.device, source.dtype)


def _threshold(table: SigmaTable, sigmas: Tensor, run: Run) -> MaskAt | None:
    if run.differential:
        return DifferentialThreshold(table, sigmas, strict=run.options.strict_mask, starts=run.starts)
    return None if run.starts is None else FrameStarts(run.starts)


def _masked(
    stage: Stage,
    sigmas: Tensor,
    source: Tensor,
    noise: Tensor,
    mask: Tensor | None,
    threshold: MaskAt | None,
) -> Denoiser:
    denoiser = stage.denoiser(sigmas)
    if mask is None:
        return denoiser
    if stage.clean_token is not None:
        return CleanMaskedDenoiser(denoiser, mask, source, stage.clean_token, threshold)
    return MaskedDenoiser(denoiser, mask, source, noise, threshold, stage.table.noised)


def _pinned_noise(source: Tensor, run: Run, spec: SamplerSpec, start: Tensor) -> Tensor:
    """Noise that the model sees outside the mask: the start's, unless the sampler's seed for it is another."""
    if not spec.pinned_seed_offset:
        return start
    return _seeded(source, run, run.seed + spec.pinned_seed_offset)


def _seeded(source: Tensor, run: Run, seed: int) -> Tensor:
    return _for_all(clip_noise(_first_clip(source, run), seed, run.frame_noise, axis=run.frame_axis), run)


def _noise_between_steps(spec: SamplerSpec, source: Tensor, run: Run, total: Tensor, segment: Tensor) -> NoiseSampler:
    def made(like: Tensor, seed: int) -> NoiseSampler:
        if spec.noise == "gaussian":
            return gaussian_noise(like, seed)
        span = segment if "segment" in spec.noise else total
        return brownian_noise(like, seed, span[span > 0].min(), span.max(), on_cpu="device" not in spec.noise)

    seed = run.seed
    if spec.noise == "gaussian" and _draws_anew(source, run):
        seed += 1
    one = step_noise(made, _first_clip(source, run), seed, run.frame_noise, axis=run.frame_axis)
    return lambda sigma, sigma_next: _for_all(one(sigma, sigma_next), run)


def _draws_anew(source: Tensor, run: Run) -> bool:
    """Whether the seed itself would give the start noise once more between steps, and another is to be taken.

    Start noise is always drawn on the CPU; other devices draw other numbers, and frames under a rule have seeds of
    their own.
    """
    return run.options.comfyui != "0.3" and source.device.type == "cpu" and run.frame_noise.is_plain


def _first_clip(source: Tensor, run: Run) -> Tensor:
    return source[: len(source) // run.clips]


def _for_all(noise: Tensor, run: Run) -> Tensor:
    """One clip's noise for every clip: each must get what it would get alone."""
    return noise if run.clips == 1 else noise.repeat(run.clips, *[1] * (noise.ndim - 1))
