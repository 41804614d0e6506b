"""ComfyUI's samplers, run in one stage or in two that hand over the noisy latents themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import comfy.k_diffusion.sampling
import comfy.sample
import comfy.samplers
import comfy.utils
import torch

from segs_detailer.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

    from segs_detailer.sampling.protocol import Conditioning, SampleJob

__all__ = ["StagedRun"]

# Their Brownian path belongs to the whole schedule, so that the noise does not depend on where a run starts in it.
_BROWNIAN = ("dpmpp_sde", "dpmpp_2m_sde", "dpmpp_3m_sde")
_ON_DEVICE = "_gpu"


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
    source : Tensor
        Clean latents, as the VAE gave them.
    noise : Tensor
        Noise of their shape with standard deviation 1.
    mask : Tensor or None
        Where the run repaints, as ComfyUI takes noise masks.
    """

    job: SampleJob
    schedule: Tensor
    steps: int
    source: Tensor
    noise: Tensor
    mask: Tensor | None
    _x: Tensor | None = field(default=None, init=False)
    _x0: Tensor | None = field(default=None, init=False)
    _done: int = field(default=0, init=False)

    def stage(self, model: Any, positive: Conditioning, negative: Conditioning, sigmas: Tensor) -> Tensor:
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
        Tensor
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
        if self._x0 is None:
            return torch.as_tensor(samples)
        result: Tensor = model.model.process_latent_out(self._x0.to(torch.float32))
        return result

    def _reporter(self, sigmas: Tensor) -> Any:
        levels, first = sigmas.tolist(), self._done

        def report(step: int, x0: Tensor, x: Tensor, steps: int) -> None:
            del steps  # the stage's, not the run's
            self._x0 = x0
            # Some samplers choose their own number of steps: what counts is how many there were.
            place = first + step
            self._done = place + 1
            if self.job.callback is not None:
                self.job.callback(place, max(self.steps, place + 1), x0, x, levels[min(step, len(levels) - 1)])

        return report

    def _sampler(self) -> Any:
        """Return ComfyUI's sampler, made to go on where the stage before it stopped."""
        name = self.job.sampler_name
        sampler = comfy.samplers.sampler_object(name)
        function = getattr(sampler, "sampler_function", None)
        if function is None:
            if self._done:
                raise ModelError(f"the sampler {name!r} cannot go on where another stopped: take one without a refiner")
            return sampler

        def run(model: Any, x: Tensor, sigmas: Tensor, extra_args: Any = None, **options: Any) -> Tensor:
            if name.removesuffix(_ON_DEVICE) in _BROWNIAN:
                options["noise_sampler"] = self._brownian(x, on_cpu=not name.endswith(_ON_DEVICE))
            if self._x is not None:
                # The first stage has used the noise of the run's seed.
                x, extra_args = self._x.to(x), {**(extra_args or {}), "seed": (self.job.seed + 1) % 2**64}
            self._x = function(model, x, sigmas, extra_args=extra_args, **options)
            return self._x

        return comfy.samplers.KSAMPLER(run, sampler.extra_options, sampler.inpaint_options)

    def _brownian(self, x: Tensor, *, on_cpu: bool) -> Any:
        levels = self.schedule
        return comfy.k_diffusion.sampling.BrownianTreeNoiseSampler(
            x, levels[levels > 0].min(), levels.max(), seed=self.job.seed, cpu=on_cpu
        )


def _is_given(negative: Any) -> bool:
    """Whether there is a negative conditioning, and not a placeholder or nothing."""
    return isinstance(negative, (list, tuple)) and len(negative) > 0


def _with_guidance(positive: Conditioning, cfg: float) -> list[Any]:
    """Give distilled models the guidance as the number that they take."""
    return [[embedding, {**details, "guidance": cfg}] for embedding, details in positive]
