"""The sampling loop over a family's latents: noise levels, start noise, mask, differential diffusion, refiner."""

from __future__ import annotations

from abc import abstractmethod
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, unknown_name
from segs_detailer.models.denoise_mask import clip_mask, latent_mask
from segs_detailer.models.frame_noise import clip_noise
from segs_detailer.models.info import FramePacking
from segs_detailer.models.interface import Sampler, of_one_clip
from segs_detailer.models.noise import seeded_noise
from segs_detailer.models.samplers.registry import SamplerSpec, sampler_named
from segs_detailer.models.stages import Run, SamplingOptions, Stage, run_stages, total_sigmas, total_steps

if TYPE_CHECKING:
    from segs_detailer.models.interface import Conditioning, SampleJob, StepCallback
    from segs_detailer.models.sigma_table import SigmaTable
    from segs_detailer.models.stages import DenoiserFactory

__all__ = ["LatentSampler"]

_LONGEST = 1000
"""Longest schedule that is looked at, in steps that are run: its end starts near the lowest noise levels."""


class LatentSampler(Sampler):
    """A model whose latents this package repaints itself, with its own samplers, schedules and masks.

    A family brings its noise levels (`table`), its way between the VAE's latents and its own (`to_model`, `from_model`)
    and a `denoiser`; what is common to all families is here. Latents are float32 as the VAE gives them, callbacks see
    them as the model takes them.
    """

    takes_frame_denoise: ClassVar[bool] = True
    takes_custom_sampler: ClassVar[bool] = True

    frame_axis: ClassVar[int] = 0
    """The latents' axis of frames: 0 for `(F, C, h, w)`, 2 for `(1, C, T, h, w)`."""

    model: Any
    """The family's own object: what a `SchedulerFunc` is given."""

    @property
    @abstractmethod
    def table(self) -> SigmaTable:
        """Noise levels that the model was trained on."""

    @property
    def options(self) -> SamplingOptions:
        """Where to follow ComfyUI to the letter."""
        return SamplingOptions()

    @property
    def device(self) -> torch.device:
        """Where the steps are computed."""
        return torch.device("cpu")

    @abstractmethod
    def from_model(self, latents: Tensor) -> Tensor:
        """Undo `to_model`."""

    @abstractmethod
    def denoiser(
        self, source: Tensor, job: SampleJob, positive: Conditioning, negative: Conditioning
    ) -> DenoiserFactory:
        """Make what predicts clean latents.

        Parameters
        ----------
        source : Tensor
            The clean latents, as `to_model` gave them.
        job : SampleJob
            The settings.
        positive, negative : Conditioning
            The conditioning; a refiner's is not the job's.

        Returns
        -------
        callable
            `(sigmas of the run) -> Denoiser`: a model may need to know the levels that are coming.
        """

    def check(self, latents: Tensor, job: SampleJob) -> None:
        """Refuse latents and settings that the model cannot take.

        Raises
        ------
        InvalidArgumentError
            A name that is not among those of `info`; several clips where one would change another, or where a part of
            the job belongs to one of them.
        """
        del latents
        info = self.info
        if job.sampler_name not in info.sampler_names:
            raise unknown_name("sampler_name", job.sampler_name, info.sampler_names)
        if job.scheduler_func is None and job.scheduler not in info.scheduler_names:
            raise unknown_name("scheduler", job.scheduler, info.scheduler_names)
        if job.custom_sampler is not None and not isinstance(job.custom_sampler, SamplerSpec):
            raise InvalidTypeError("custom_sampler", "a SamplerSpec, or None", type(job.custom_sampler).__name__)
        _check_clips(job, takes_clips=info.geometry.takes_clips)

    @property
    def clean_token(self) -> tuple[int, int, int] | None:
        """Latents in a token of a model that sees clean what it knows; see `Stage`."""
        return None

    def lead(self, source: Tensor, job: SampleJob) -> Tensor | None:
        """Clean latents that are sampled before the clip's, in the model's space, and are no part of the result.

        They hold what the model looks at: pictures of the subject, each as long as one latent. A refiner gets them too.
        """
        del source, job
        return None

    def noise_levels(self, source: Tensor, job: SampleJob, total: int) -> Tensor:
        """Return the levels of a whole schedule of so many steps, falling to 0; those of some models depend on sizes.

        Parameters
        ----------
        source : Tensor
            The clean latents, as `to_model` gave them.
        job : SampleJob
            The settings.
        total : int
            Steps of the whole schedule.
        """
        del source
        return total_sigmas(job.sampler_name, job.scheduler, self.table, total)

    def start_noise(self, source: Tensor, job: SampleJob) -> Tensor | None:
        """Noise that the run starts from; None for the seed's own."""
        del source
        return job.noise

    @torch.no_grad()
    def sample(self, latents: Tensor, job: SampleJob) -> Tensor:
        """Repaint latents; where the noise mask is 0 they come back to the bit.

        Parameters
        ----------
        latents : Tensor
            As `encode` gives them, of all `job.clips`.
        job : SampleJob
            The settings.

        Returns
        -------
        Tensor
            Latents of the same shape, dtype and device. A schedule that leaves no steps returns the input's values.
        """
        self.check(latents, job)
        source = self.to_model(latents.to(self.device, torch.float32))
        mask = None if job.noise_mask is None else self._latent_mask(job.noise_mask, source)
        if mask is None and job.frame_denoise is not None:
            mask = source.new_ones([1] * source.ndim)
        clip, repainted, noise, callback = source, mask, self.start_noise(source, job), job.callback
        lead = self.lead(source, job)
        if lead is not None:
            source, mask, noise, callback = self._led(lead, clip, mask, noise, job)
        base = self._stage(source, job, job.positive, job.negative)
        refiner, ratio = self._refiner(latents, source, job)
        run = Run(
            sampler_name=job.sampler_name,
            steps=job.steps,
            denoise=job.denoise if job.sigma_start is None else 1.0,
            seed=job.seed,
            sampler=job.custom_sampler,
            mask=mask,
            starts=self._starts(clip, source, job),
            differential=job.differential,
            noise=noise,
            frame_noise=job.frame_noise.for_latents(self._packing),
            frame_axis=self.frame_axis,
            refiner_ratio=ratio,
            options=self.options,
            callback=callback,
            clips=job.clips,
        )
        result = run_stages(source, base, refiner, run)
        if result is source:
            return latents.clone()
        result = self.from_model(self._without_lead(result, clip)).to(latents.device, latents.dtype)
        leaks = job.differential and not self.options.strict_mask
        if repainted is None or leaks:
            return result
        # The way to the model's space and back is not exact in float32: outside the mask take the input itself.
        return torch.where(repainted.to(latents.device) == 0, latents, result)

    def _led(
        self, lead: Tensor, clip: Tensor, mask: Tensor | None, noise: Tensor | None, job: SampleJob
    ) -> tuple[Tensor, Tensor | None, Tensor | None, StepCallback | None]:
        """Put latents before a clip, with their mask and noise; callbacks do not see them."""
        axis, count = self.frame_axis, clip.shape[self.frame_axis]
        source = torch.cat([lead, clip], dim=axis)
        if mask is not None:
            shape = [*mask.shape]
            shape[axis] = count
            ones = mask.new_ones([lead.shape[axis] if at == axis else side for at, side in enumerate(shape)])
            mask = torch.cat([ones, mask.expand(shape)], dim=axis)
        frame_noise = job.frame_noise.for_latents(self._packing)
        if noise is None and not frame_noise.is_plain:
            noise = clip_noise(clip, job.seed, frame_noise, axis=axis)
        if noise is not None and noise.shape == clip.shape:
            # Of another seed: what comes first must not be a copy of the clip's.
            own = seeded_noise(lead, job.seed + 1)
            noise = torch.cat([own, noise.to(own.device, own.dtype)], dim=axis)
        callback = job.callback

        def without(step: int, total: int, x0: Tensor, x: Tensor, sigma: float) -> None:
            if callback is not None:
                callback(step, total, self._without_lead(x0, clip), self._without_lead(x, clip), sigma)

        return source, mask, noise, None if callback is None else without

    def _without_lead(self, latents: Tensor, clip: Tensor) -> Tensor:
        axis, count = self.frame_axis, clip.shape[self.frame_axis]
        return latents.narrow(axis, latents.shape[axis] - count, count)

    @property
    def _packing(self) -> FramePacking:
        return self.geometry.packing or FramePacking()

    def _latent_mask(self, mask: Tensor, source: Tensor) -> Tensor:
        return latent_mask(mask, source) if self.frame_axis == 0 else clip_mask(mask, source, self._packing)

    def _refiner(self, latents: Tensor, source: Tensor, job: SampleJob) -> tuple[Stage | None, float]:
        """Make the second stage, and its share of the steps."""
        if job.refiner is None:
            return None, 0.0
        sampler, ratio = job.refiner.sampler, job.refiner.ratio
        if not isinstance(sampler, type(self)):
            expected = f"a {self.info.family} model, as the base model is"
            raise InvalidTypeError("refiner", expected, type(sampler).__name__)
        if not 0 <= ratio <= 1:
            raise InvalidArgumentError("refiner_ratio", "a number in [0, 1]", str(ratio))
        sampler.check(latents, job)
        return sampler._stage(source, job, job.refiner.positive, job.refiner.negative), ratio

    @property
    def is_flow(self) -> bool:
        """Whether there is a highest noise level, 1."""
        return self.table.highest is not None

    def start_level(self, steps: int, denoise: float, sampler_name: str, scheduler: str) -> float | None:
        """Noise level that a run starts from, of a flow."""
        if not self.is_flow:
            return None
        total = total_steps(steps, denoise)
        return float(total_sigmas(sampler_name, scheduler, self.table, total)[total - steps])

    def _starts(self, clip: Tensor, source: Tensor, job: SampleJob) -> Tensor | None:
        """Noise level from which each latent is repainted, along the axis of frames; None: all from the run's first.

        `source` may begin with latents that are not the clip's: they are repainted from the first step on.
        """
        if job.frame_denoise is None:
            return None
        frames = len(job.frame_denoise) * job.clips
        if frames != len(job.pixels):
            expected = f"one for each of {len(job.pixels) // job.clips} frames"
            raise InvalidArgumentError("frame_denoise", expected, str(len(job.frame_denoise)))
        if self.frame_axis == 0:
            values = job.frame_denoise * job.clips
        else:
            # What a latent holds is repainted as far as any of its frames.
            left = iter(job.frame_denoise)
            values = tuple(max(islice(left, count)) for count in self._packing.counts(clip.shape[2]))
        values = (job.denoise,) * (source.shape[self.frame_axis] - len(values)) + values
        levels = {denoise: self._start_of(source, job, denoise) for denoise in {*values}}
        shape = [1] * source.ndim
        shape[self.frame_axis] = len(values)
        return torch.tensor([levels[denoise] for denoise in values]).view(shape)

    def _start_of(self, source: Tensor, job: SampleJob, denoise: float) -> float:
        total = total_steps(job.steps, denoise)
        sigmas = self._schedule(source, job, total)
        # A schedule may have fewer levels than were asked for.
        return float(sigmas[min(total - job.steps, len(sigmas) - 1)])

    def _schedule(self, source: Tensor, job: SampleJob, total: int) -> Tensor:
        """Make the whole schedule, of which a run takes the last steps."""
        if job.scheduler_func is None:
            return self.noise_levels(source, job, total)
        return _checked_sigmas(job.scheduler_func(self.model, job.sampler_name, total), self.table.highest)

    def _from_level(self, source: Tensor, job: SampleJob, level: float) -> Tensor:
        """Make a schedule that starts at a noise level: the end of the longest whole one that starts no lower."""
        if not self.is_flow or not 0 < level <= 1:
            expected = "a noise level above 0 and at most 1, of a model of flow matching"
            raise InvalidArgumentError("sigma_start", expected, f"{level:g} for {self.info.family}")

        def end(total: int) -> Tensor:
            return self._schedule(source, job, total)[total - job.steps :]

        low, high = job.steps, job.steps * _LONGEST
        while high - low > 1:
            middle = (low + high) // 2
            part = end(middle)
            low, high = (middle, high) if len(part) > 1 and float(part[0]) >= level else (low, middle)
        part = end(low)
        part = part * (level / part[0])
        part[0] = level
        return part

    def _stage(self, source: Tensor, job: SampleJob, positive: Conditioning, negative: Conditioning) -> Stage:
        if job.sigma_start is None:
            sigmas = self._schedule(source, job, total_steps(job.steps, job.denoise))
        else:
            sigmas = self._from_level(source, job, job.sigma_start)
        return Stage(self.denoiser(source, job, positive, negative), self.table, sigmas, self.clean_token)


def _check_clips(job: SampleJob, *, takes_clips: bool) -> None:
    if job.clips == 1:
        return
    if not takes_clips:
        raise InvalidArgumentError("clips", "1 for a model that takes one clip at a time", str(job.clips))
    if sampler_named(job.sampler_name).adaptive:
        raise InvalidArgumentError("clips", f"1 with the sampler {job.sampler_name}", str(job.clips))
    sides = [job.positive, job.negative]
    if job.refiner is not None:
        sides += [job.refiner.positive, job.refiner.negative]
    if any(of_one_clip(side) for side in sides):
        raise InvalidArgumentError("clips", "1 with masks or ControlNets in the conditioning", str(job.clips))


def _checked_sigmas(sigmas: Tensor, highest: float | None) -> Tensor:
    """Noise levels of a user's function, as float32 on the CPU."""
    levels = torch.as_tensor(sigmas).detach().to("cpu", torch.float32)
    falling = levels.ndim == 1 and len(levels) > 0 and bool((levels.diff() <= 0).all()) and bool(levels[-1] >= 0)
    if not falling or (highest is not None and float(levels[0]) > highest):
        limit = "" if highest is None else f"from at most {highest:g} "
        raise InvalidArgumentError("scheduler_func", f"sigmas (n,) that fall {limit}to 0", f"{levels.tolist()}")
    return levels
