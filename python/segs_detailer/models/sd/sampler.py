"""The `Sampler` over diffusers' models."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.models.denoise_mask import latent_mask
from segs_detailer.models.frame_noise import clip_noise
from segs_detailer.models.noise import free_noise_order
from segs_detailer.models.protocol import Conditioning, Geometry, SampleJob, of_one_clip
from segs_detailer.models.samplers import sampler_named
from segs_detailer.models.sd.conditioning import PreparedEntry, prepare_conditioning
from segs_detailer.models.sd.guidance import GuidedDenoiser
from segs_detailer.models.stages import Run, Stage, run_stages, total_sigmas, total_steps

if TYPE_CHECKING:
    from segs_detailer.models.denoiser import Denoiser
    from segs_detailer.models.sd.model import DiffusersModel
    from segs_detailer.models.sd.vae import FrameVAE

__all__ = ["DiffusersSampler"]


class DiffusersSampler:
    """Encode, sample and decode with a UNet and a VAE of diffusers.

    Parameters
    ----------
    model : DiffusersModel
        The UNet with its noise levels.
    vae : FrameVAE
        The VAE.

    Notes
    -----
    Latents are `(F, C, h, w)` float32 as the VAE gives them, not scaled, as ComfyUI's are; callbacks see them scaled,
    in the sampler's own space.
    """

    def __init__(self, model: DiffusersModel, vae: FrameVAE) -> None:
        self.model = model
        self.vae = vae

    @property
    def geometry(self) -> Geometry:
        """Any number of frames, from the windows' `min_frames` on; sizes that the VAE takes."""
        fewest = self.model.windows.min_frames if self.model.is_motion else 1
        return Geometry(
            size_multiple=self.vae.pixels_per_latent,
            min_frames=fewest,
            takes_clips=True,
            max_frames=self.model.max_frames if self.model.windows.length is None else None,
        )

    def encode(self, frames: Tensor) -> Tensor:
        """Latents of `frames` `(B, H, W, 3)` in [0, 1]: the mode of the VAE's distribution."""
        return self.vae.encode(frames)

    def decode(self, latents: Tensor, *, full_precision: bool = False) -> Tensor:
        """Frames `(B, H, W, 3)` float32 in [0, 1]."""
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
            `(F, C, h, w)`, as `encode` gives them; F counts the frames of all `job.clips`.
        job : SampleJob
            The settings.

        Returns
        -------
        Tensor
            Latents of the same shape, dtype and device. A schedule that leaves no steps returns the input's values.
        """
        self.model.check_latents(latents, job.clips)
        _check_clips(job)
        source = self.vae.to_model(latents.to(self.model.device, torch.float32))
        mask = None if job.noise_mask is None else latent_mask(job.noise_mask, source)
        base = self._stage(source, job, job.positive, job.negative)
        refiner, ratio = None, 0.0
        if job.refiner is not None:
            sampler, ratio = job.refiner.sampler, job.refiner.ratio
            if not isinstance(sampler, DiffusersSampler):
                raise InvalidTypeError("refiner", "a diffusers model, as the base model is", type(sampler).__name__)
            if not 0 <= ratio <= 1:
                raise InvalidArgumentError("refiner_ratio", "a number in [0, 1]", str(ratio))
            sampler.model.check_latents(latents, job.clips)
            refiner = sampler._stage(source, job, job.refiner.positive, job.refiner.negative)
        run = Run(
            sampler_name=job.sampler_name,
            steps=job.steps,
            denoise=job.denoise,
            seed=job.seed,
            mask=mask,
            differential=job.differential,
            noise=self._start_noise(source, job),
            frame_noise=job.frame_noise,
            refiner_ratio=ratio,
            options=self.model.options,
            callback=job.callback,
            clips=job.clips,
        )
        result = run_stages(source, base, refiner, run)
        if result is source:
            return latents.clone()
        result = self.vae.from_model(result).to(latents.device, latents.dtype)
        leaks = job.differential and not self.model.options.strict_mask
        if mask is None or leaks:
            return result
        # Scaling and back is not exact in float32: outside the mask take the input itself.
        return torch.where(mask.to(latents.device) == 0, latents, result)

    def _start_noise(self, source: Tensor, job: SampleJob) -> Tensor | None:
        """Noise that is given, or rescheduled for the windows; `None` for the seed's own."""
        windows = self.model.windows
        if job.noise is not None or not windows.free_noise or windows.length is None or not self.model.is_motion:
            return job.noise
        one = source[: len(source) // job.clips]
        first = job.frame_noise.start or 0
        order = None
        if first + len(one) > windows.length:
            order = free_noise_order(first + len(one), windows.length, windows.overlap, job.seed)[first:]
        return clip_noise(one, job.seed, job.frame_noise, order=order).repeat(job.clips, 1, 1, 1)

    def release(self) -> None:
        """Let go of the accelerator's memory after a run, where the pipeline was told to offload its parts."""
        free = getattr(self.model.pipeline, "maybe_free_model_hooks", None)
        if free is not None:
            free()

    def _stage(self, source: Tensor, job: SampleJob, positive: Conditioning, negative: Conditioning) -> Stage:
        model, total = self.model, total_steps(job.steps, job.denoise)
        if job.scheduler_func is None:
            sigmas = total_sigmas(job.sampler_name, job.scheduler, model.table, total)
        else:
            sigmas = _checked_sigmas(job.scheduler_func(model, job.sampler_name, total))
        source = source.to(model.device)
        concat = self._inpaint_channels(source, job)

        def denoiser(levels: Tensor) -> Denoiser:
            def prepared(
                conditioning: Conditioning, argument: str, pictures: tuple[Tensor, ...] | None
            ) -> list[PreparedEntry]:
                return prepare_conditioning(
                    conditioning,
                    argument,
                    source,
                    model.table,
                    dtype=model.dtype,
                    needs_pooled=model.needs_pooled,
                    pixels_per_latent=self.vae.pixels_per_latent,
                    unet=model.unet,
                    image_embeds=pictures,
                )

            shown = model.image_prompt
            sides = (
                prepared(positive, "positive", None if shown is None else shown.positive),
                prepared(negative, "negative", None if shown is None else shown.negative),
            )
            return GuidedDenoiser(model, *sides, cfg=job.cfg, concat=concat, sigmas=levels, clips=job.clips)

        return Stage(denoiser, model.table, sigmas)

    def _inpaint_channels(self, source: Tensor, job: SampleJob) -> Tensor | None:
        """Mask and masked image's latents `(F, 1 + C, h, w)` for an inpainting checkpoint, `None` for others.

        An inpainting checkpoint always needs them; without `inpaint_model` it sees the whole image, as in ComfyUI.
        """
        if not self.model.takes_masked_image:
            if job.inpaint_model:
                warnings.warn(
                    "inpaint_model has no effect: the UNet takes no mask and masked image (it is no inpainting "
                    "checkpoint); the noise mask works all the same",
                    stacklevel=3,
                )
            return None
        pixels = job.pixels
        mask = torch.ones(1, *pixels.shape[1:3]) if job.noise_mask is None else job.noise_mask
        small = latent_mask(mask, source).round().expand(len(source), -1, -1, -1)
        if not job.inpaint_model:
            return torch.cat([small, source], dim=1)
        hidden = mask.to(pixels.device).round()[..., None]
        masked = self.vae.encode(pixels * (1 - hidden) + 0.5 * hidden)
        return torch.cat([small, self.vae.to_model(masked.to(source.device))], dim=1)


def _check_clips(job: SampleJob) -> None:
    """Refuse several clips where one would change another, or where a part of the job belongs to one of them."""
    if job.clips == 1:
        return
    if sampler_named(job.sampler_name).adaptive:
        raise InvalidArgumentError("clips", f"1 with the sampler {job.sampler_name}", str(job.clips))
    sides = [job.positive, job.negative]
    if job.refiner is not None:
        sides += [job.refiner.positive, job.refiner.negative]
    if any(of_one_clip(side) for side in sides):
        raise InvalidArgumentError("clips", "1 with masks or ControlNets in the conditioning", str(job.clips))


def _checked_sigmas(sigmas: Tensor) -> Tensor:
    """Noise levels of a user's function, as float32 on the CPU."""
    levels = torch.as_tensor(sigmas).detach().to("cpu", torch.float32)
    falling = levels.ndim == 1 and bool((levels.diff() <= 0).all()) and bool((levels >= 0).all())
    if not falling or not len(levels):
        raise InvalidArgumentError("scheduler_func", "sigmas (n,) that fall to 0", f"{levels.tolist()}")
    return levels
