"""ComfyUI's samplers, run in one stage or in two that hand over the noisy latents themselves."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import comfy.k_diffusion.sampling
import comfy.sample
import comfy.samplers
import comfy.utils
import torch

from segs_detailer.comfyui.backend.streams import from_pack, nested, of_pictures, streams_of, to_pack
from segs_detailer.errors import ModelError
from segs_detailer.models.frame_noise import FrameNoise, step_noise
from segs_detailer.models.noise import gaussian_noise
from segs_detailer.models.samplers.registry import SAMPLERS

if TYPE_CHECKING:
    from torch import Tensor

    from segs_detailer.models.interface import Conditioning, SampleJob

__all__ = ["StagedRun"]

# Their Brownian path belongs to the whole schedule, so that the noise does not depend on where a run starts in it.
_BROWNIAN = ("dpmpp_sde", "dpmpp_2m_sde", "dpmpp_3m_sde")
# One more, whose path ComfyUI lays through the run alone: it is ours only where frames share noise.
_BROWNIAN_OF_RUN = ("dpmpp_2m_sde_heun",)
_ON_DEVICE = "_gpu"
# How functions name what gives them the noise between steps.
_NOISE_OPTION = "noise_sampler"


@dataclass(slots=True, kw_only=True)
class StagedRun:
    """A run over given noise levels, by one model or by one after the other.

    A second stage goes on from the noisy latents of the first, with the same source and noise outside the mask: where
    both models are the same, most samplers give what one stage would have given.

    Parameters
    ----------
    job : SampleJob
        Its seed, cfg, sampler and callback count here.
    schedule : Tensor
        All noise levels, those before the run's first too.
    steps : int
        Steps of all stages.
    source : Tensor or NestedTensor
        Clean latents, as the VAE gave them: of pictures, or of pictures and sound.
    noise : Tensor or NestedTensor
        Noise of their shape with standard deviation 1.
    mask : Tensor, NestedTensor or None
        Where the run repaints, as ComfyUI takes noise masks.
    frame_noise : FrameNoise
        How the noise between steps is correlated over the frames; it counts for samplers whose function takes a
        `noise_sampler`, as those of ComfyUI do that add noise. That of sound is not correlated.
    frame_axis : int
        Axis of frames of the pictures' latents.
    """

    job: SampleJob
    schedule: Tensor
    steps: int
    source: Any
    noise: Any
    mask: Any
    frame_noise: FrameNoise = field(default_factory=FrameNoise)
    frame_axis: int = 0
    _x: Tensor | None = field(default=None, init=False)
    _x0: Tensor | None = field(default=None, init=False)
    _done: int = field(default=0, init=False)

    def stage(self, model: Any, positive: Conditioning, negative: Conditioning, sigmas: Tensor) -> Any:
        """Run some of the steps.

        Parameters
        ----------
        model : ModelPatcher
            The model of this stage.
        positive, negative : Conditioning
            Its conditioning. Without a negative, as for models that take guidance as a number, only the positive runs.
        sigmas : Tensor
            The stage's noise levels.

        Returns
        -------
        Tensor or NestedTensor
            The last prediction of the result, as the VAE takes it.
        """
        arguments = {
            "noise_mask" if _is_given(negative) else "denoise_mask": self.mask,
            "callback": self._reporter(sigmas),
            "disable_pbar": not comfy.utils.PROGRESS_BAR_ENABLED,
            "seed": self.job.seed,
        }
        sampler = self._sampler()
        if _is_given(negative):
            # Looked up in its module at each call: packs of motion models put their own function there.
            samples = comfy.sample.sample_custom(
                model, self.noise, self.job.cfg, sampler, sigmas, positive, negative, self.source, **arguments
            )
        else:
            guider = comfy.samplers.CFGGuider(model)
            guider.inner_set_conds({"positive": _with_guidance(positive, self.job.cfg)})
            samples = guider.sample(self.noise, self.source, sampler, sigmas, **arguments)
        spec = SAMPLERS.get(self.job.sampler_name)
        ends_past = self.job.custom_sampler is not None or (spec is not None and spec.ends_past_prediction)
        if self._x0 is None or ends_past:
            return samples
        pictures: Tensor = model.model.process_latent_out(self._x0.to(torch.float32))
        # Programs differ in how they scale sound back, so theirs is taken as they give it.
        return nested([pictures, *streams_of(samples)[1:]])

    @property
    def _shapes(self) -> list[torch.Size]:
        return [stream.shape for stream in streams_of(self.source)]

    def _reporter(self, sigmas: Tensor) -> Any:
        levels, first = sigmas.tolist(), self._done

        def report(step: int, x0: Any, x: Any, steps: int) -> None:
            del steps  # the stage's, not the run's
            x0, x = of_pictures(x0, self._shapes), of_pictures(x, self._shapes)
            self._x0 = x0
            # Some samplers choose their own number of steps: what counts is how many there were.
            place = first + step
            self._done = place + 1
            if self.job.callback is not None:
                self.job.callback(place, max(self.steps, place + 1), x0, x, levels[min(step, len(levels) - 1)])

        return report

    def _sampler(self) -> Any:
        """Return ComfyUI's sampler, made to go on where the stage before it stopped."""
        name, custom = self.job.sampler_name, self.job.custom_sampler
        sampler = comfy.samplers.sampler_object(name) if custom is None else custom
        function = getattr(sampler, "sampler_function", None)
        if function is None:
            if self._done:
                name = name if custom is None else type(custom).__name__
                raise ModelError(f"the sampler {name!r} cannot go on where another stopped: take one without a refiner")
            return sampler

        def run(model: Any, x: Tensor, sigmas: Tensor, extra_args: Any = None, **options: Any) -> Tensor:
            noise = self._noise_between_steps(function, x)
            if noise is not None:
                options[_NOISE_OPTION] = noise
            if self._x is not None:
                # The first stage has used the noise of the run's seed.
                x, extra_args = self._x.to(x), {**(extra_args or {}), "seed": (self.job.seed + 1) % 2**64}
            self._x = function(model, x, sigmas, extra_args=extra_args, **options)
            return self._x

        return comfy.samplers.KSAMPLER(run, sampler.extra_options, sampler.inpaint_options)

    def _noise_between_steps(self, function: Any, x: Tensor) -> Any:
        """Return what gives the noise between steps where it is not what the function itself draws."""
        # A caller's own sampler brings its noise, whatever the named one has.
        name = self.job.sampler_name if self.job.custom_sampler is None else ""
        plain = self.frame_noise.is_plain
        brownian = _BROWNIAN if plain else _BROWNIAN + _BROWNIAN_OF_RUN
        if name.removesuffix(_ON_DEVICE) in brownian:
            on_cpu = not name.endswith(_ON_DEVICE)
            return self._over_frames(lambda like, seed: self._brownian(like, seed, on_cpu=on_cpu), x, self.job.seed)
        if plain or _NOISE_OPTION not in inspect.signature(function).parameters:
            return None
        # The first stage has used the noise of the run's seed.
        return self._over_frames(gaussian_noise, x, self.job.seed + (self._x is not None))

    def _over_frames(self, make: Any, x: Tensor, seed: int) -> Any:
        if self.frame_noise.is_plain:
            return make(x, seed)
        pictures, *others = from_pack(x, self._shapes)
        rules = [step_noise(make, pictures, seed, self.frame_noise, axis=self.frame_axis)]
        rules += [make(other, seed) for other in others]
        if not others:
            return rules[0]
        return lambda sigma, sigma_next: to_pack([rule(sigma, sigma_next) for rule in rules])

    def _brownian(self, like: Tensor, seed: int, *, on_cpu: bool) -> Any:
        levels = self.schedule
        return comfy.k_diffusion.sampling.BrownianTreeNoiseSampler(
            like, levels[levels > 0].min(), levels.max(), seed=seed, cpu=on_cpu
        )


def _is_given(negative: Any) -> bool:
    """Whether there is a negative conditioning, and not a placeholder or nothing."""
    return isinstance(negative, (list, tuple)) and len(negative) > 0


def _with_guidance(positive: Conditioning, cfg: float) -> list[Any]:
    """Give distilled models the guidance as the number that they take."""
    return [[embedding, {**details, "guidance": cfg}] for embedding, details in positive]
