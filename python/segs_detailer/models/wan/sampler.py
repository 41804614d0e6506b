"""The `Sampler` over Wan's models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, ModelError
from segs_detailer.models.flow import FLOW_SAMPLERS, FLOW_SCHEDULES, check_flow_sampler
from segs_detailer.models.protocol import Conditioning, Geometry, SampleJob
from segs_detailer.models.stages import Run, Stage, run_stages, total_sigmas, total_steps
from segs_detailer.models.wan.model import GuidedFlow

if TYPE_CHECKING:
    from segs_detailer.models.denoiser import Denoiser
    from segs_detailer.models.wan.model import WanModel
    from segs_detailer.models.wan.vae import ClipVAE

__all__ = ["WanSampler", "clip_mask"]

_MEANINGS = {
    "control": ": leave out the ControlNet (control_net_wrapper)",
    "image_embeds": ": leave out the IP-Adapter's picture (image_prompt)",
    "mask": ": give each segment its own prompt in place of masked conditioning",
}
"""What conditioning options stand for, where that is not plain."""


class WanSampler:
    """Encode, sample and decode with a Wan model of diffusers.

    Parameters
    ----------
    model : WanModel
        The transformer with its noise levels.
    vae : ClipVAE
        The VAE.

    Notes
    -----
    Latents are `(1, C, T, h, w)` float32 as the VAE gives them; callbacks see them normalized, in the sampler's own
    space.
    """

    sampler_names = FLOW_SAMPLERS
    scheduler_names = FLOW_SCHEDULES

    def __init__(self, model: WanModel, vae: ClipVAE) -> None:
        self.model = model
        self.vae = vae

    @property
    def geometry(self) -> Geometry:
        """`4 n + 1` frames; sizes that the VAE and the transformer's patches take, and its positions reach."""
        frames, side = self.model.most_latents
        return Geometry(
            size_multiple=self.vae.pixels_per_latent * self.model.latents_per_patch,
            frame_step=self.vae.frames_per_latent,
            frame_offset=1,
            max_frames=self.vae.frames_per_latent * (frames - 1) + 1,
            max_side=self.vae.pixels_per_latent * side,
        )

    def encode(self, frames: Tensor) -> Tensor:
        """Latents of `frames` `(4 n + 1, H, W, 3)` in [0, 1]: the mode of the VAE's distribution."""
        return self.vae.encode(frames)

    def decode(self, latents: Tensor, *, full_precision: bool = False) -> Tensor:
        """Frames `(4 n + 1, H, W, 3)` float32 in [0, 1]."""
        return self.vae.decode(latents, full_precision=full_precision)

    def to_model(self, latents: Tensor) -> Tensor:
        """Latents in the sampler's own space, as callbacks see them."""
        return self.vae.to_model(latents)

    @torch.no_grad()
    def sample(self, latents: Tensor, job: SampleJob) -> Tensor:
        """Repaint latents; where the noise mask is 0 they come back to the bit.

        Parameters
        ----------
        latents : Tensor
            `(1, C, T, h, w)`, as `encode` gives them.
        job : SampleJob
            The settings; `sampler_name` and `scheduler` are among `FLOW_SAMPLERS` and `FLOW_SCHEDULES`.

        Returns
        -------
        Tensor
            Latents of the same shape, dtype and device.
        """
        self.model.check_latents(latents)
        check_flow_sampler(job.sampler_name, None if job.scheduler_func is not None else job.scheduler)
        if job.inpaint_model:
            raise InvalidArgumentError("inpaint_model", "False for Wan; the noise mask works all the same", "True")
        source = self.vae.to_model(latents.to(self.model.device, torch.float32))
        mask = None
        if job.noise_mask is not None:
            mask = clip_mask(job.noise_mask, source, self.vae.frames_per_latent)
        refiner, ratio = None, 0.0
        if job.refiner is not None:
            other, ratio = job.refiner.sampler, job.refiner.ratio
            if not isinstance(other, WanSampler):
                raise InvalidTypeError("refiner", "a Wan model, as the base model is", type(other).__name__)
            other.model.check_latents(latents)
            refiner = other._stage(job, job.refiner.positive, job.refiner.negative)
        run = Run(
            sampler_name=job.sampler_name,
            steps=job.steps,
            denoise=job.denoise,
            seed=job.seed,
            mask=mask,
            differential=job.differential,
            noise=job.noise,
            frame_noise=job.frame_noise.for_latents(self.vae.frames_per_latent),
            frame_axis=2,
            refiner_ratio=ratio,
            options=self.model.options,
            callback=job.callback,
        )
        result = run_stages(source, self._stage(job, job.positive, job.negative), refiner, run)
        if result is source:
            return latents.clone()
        result = self.vae.from_model(result).to(latents.device, latents.dtype)
        if mask is None or (job.differential and not self.model.options.strict_mask):
            return result
        # Normalizing and back is not exact in float32: outside the mask take the input itself.
        return torch.where(mask.to(latents.device) == 0, latents, result)

    def release(self) -> None:
        """Let go of the accelerator's memory after a run, where the pipeline was told to offload its parts."""
        free = getattr(self.model.pipeline, "maybe_free_model_hooks", None)
        if free is not None:
            free()

    def _stage(self, job: SampleJob, positive: Conditioning, negative: Conditioning) -> Stage:
        model, total = self.model, total_steps(job.steps, job.denoise)
        if job.scheduler_func is None:
            sigmas = total_sigmas(job.sampler_name, job.scheduler, model.table, total)
        else:
            sigmas = torch.as_tensor(job.scheduler_func(model, job.sampler_name, total)).detach().cpu().float()
            falls = sigmas.ndim == 1 and bool((sigmas.diff() <= 0).all() and ((sigmas >= 0) & (sigmas <= 1)).all())
            if not falls or not len(sigmas):
                expected = "sigmas (n,) that fall from at most 1 to 0"
                raise InvalidArgumentError("scheduler_func", expected, f"{sigmas.tolist()}")

        def denoiser(levels: Tensor) -> Denoiser:  # noqa: ARG001 - a flow needs no knowledge of the run's levels
            sides = _same_length(_prompt(positive, "positive"), _prompt(negative, "negative"))
            return GuidedFlow(model, sides[0], sides[1], job.cfg)

        return Stage(denoiser, model.table, sigmas)


def clip_mask(mask: Tensor, latents: Tensor, frames_per_latent: int, argument: str = "noise_mask") -> Tensor:
    """Bring a mask to the size and the frames of packed latents.

    A latent frame is repainted as far as any of the frames that it packs is: the first one alone, then
    `frames_per_latent` to each.

    Parameters
    ----------
    mask : Tensor
        `(H, W)`, or `(1 or F, H, W)`, in [0, 1].
    latents : Tensor
        `(1, C, T, h, w)`.
    frames_per_latent : int
        F is `frames_per_latent * (T - 1) + 1`.
    argument : str
        The mask's name, for errors.

    Returns
    -------
    Tensor
        `(1, 1, 1 or T, h, w)` of the latents' dtype and device, resized bilinearly with half-pixel centers.
    """
    stack = mask[None] if mask.ndim == 2 else mask
    frames = frames_per_latent * (latents.shape[2] - 1) + 1
    if stack.ndim != 3 or len(stack) not in (1, frames):
        expected = f"(H, W), (1, H, W) or ({frames}, H, W)"
        raise InvalidArgumentError(argument, expected, f"shape {tuple(mask.shape)}")
    stack = stack[:, None].to(latents.device, torch.float32)
    if stack.shape[-2:] != latents.shape[-2:]:
        stack = torch.nn.functional.interpolate(stack, size=latents.shape[-2:], mode="bilinear", align_corners=False)
    if len(stack) > 1:
        groups = stack[1:].view(-1, frames_per_latent, *stack.shape[1:]).amax(dim=1)
        stack = torch.cat([stack[:1], groups])
    return stack.movedim(0, 1)[None].to(latents.dtype)


def _prompt(conditioning: Conditioning, argument: str) -> Tensor:
    """Take the one embedding of a conditioning; options that a Wan model cannot honour are refused, not dropped."""
    if len(conditioning) != 1:
        raise InvalidArgumentError(argument, "one conditioning entry for Wan", str(len(conditioning)))
    entry: Any = conditioning[0]
    embedding, options = entry
    ignored = {"pooled_output", "prompt"}
    neutral = {"strength": 1.0, "mask_strength": 1.0, "start_percent": 0.0, "end_percent": 1.0}
    for key, value in (options or {}).items():
        if key not in ignored and value is not None and value != neutral.get(key):
            raise ModelError(f"{argument}: conditioning with {key!r} is not supported for Wan{_MEANINGS.get(key, '')}")
    if not isinstance(embedding, Tensor) or embedding.ndim != 3 or len(embedding) != 1:
        got = f"shape {tuple(embedding.shape)}" if isinstance(embedding, Tensor) else type(embedding).__name__
        raise InvalidArgumentError(argument, "an embedding of shape (1, tokens, channels)", got)
    return embedding


def _same_length(*prompts: Tensor) -> tuple[Tensor, ...]:
    """Prompts filled up with zeros to one length, as Wan was trained with."""
    length = max(prompt.shape[1] for prompt in prompts)
    return tuple(torch.nn.functional.pad(prompt, (0, 0, 0, length - prompt.shape[1])) for prompt in prompts)
