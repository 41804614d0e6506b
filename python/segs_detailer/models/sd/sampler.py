"""The `Sampler` over Stable Diffusion's networks."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.models.denoise_mask import latent_mask
from segs_detailer.models.frame_noise import clip_noise
from segs_detailer.models.network_sampler import NetworkSampler
from segs_detailer.models.noise import free_noise_order
from segs_detailer.models.sd.conditioning import PreparedEntry, prepare_conditioning
from segs_detailer.models.sd.container import load_ip_adapter, load_textual_inversion, pipeline_of
from segs_detailer.models.sd.guidance import GuidedDenoiser
from segs_detailer.models.sd.image_prompt import encode_image_prompt, without_adapters
from segs_detailer.models.sd.info import info_of
from segs_detailer.models.sd.network import DiffusersModel, slice_attention

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from segs_detailer.models.compute import ComputeOptions
    from segs_detailer.models.denoiser import Denoiser
    from segs_detailer.models.image_prompt import ImagePrompt
    from segs_detailer.models.info import ModelInfo
    from segs_detailer.models.interface import Conditioning, SampleJob, Sampler
    from segs_detailer.models.sd.text import TextEncoder
    from segs_detailer.models.sd.vae import FrameVAE
    from segs_detailer.models.stages import DenoiserFactory

__all__ = ["DiffusersSampler"]


class DiffusersSampler(NetworkSampler):
    """Encode, sample and decode with a UNet and a VAE of diffusers.

    Parameters
    ----------
    model : DiffusersModel
        The UNet with its noise levels.
    vae : FrameVAE
        The VAE.
    clip : TextEncoder or None
        The text encoders.

    Notes
    -----
    Latents are `(F, C, h, w)` float32 as the VAE gives them, not scaled, as ComfyUI's are; callbacks see them scaled,
    in the sampler's own space.
    """

    model: DiffusersModel
    vae: FrameVAE
    clip: TextEncoder | None

    def __init__(self, model: DiffusersModel, vae: FrameVAE, clip: TextEncoder | None = None) -> None:
        super().__init__(model, vae, clip)

    @property
    def info(self) -> ModelInfo:
        """See `segs_detailer.models.sd.info`."""
        return info_of(self.model, self.vae, self.networks, prompts=self.clip is not None)

    @property
    def denoising_networks(self) -> Sequence[torch.nn.Module]:
        """The UNet."""
        return (self.model.unet,)

    def check(self, latents: Tensor, job: SampleJob) -> None:
        """Refuse latents of another shape, too many frames, and clips that would change each other."""
        self.model.check_latents(latents, job.clips)
        super().check(latents, job)

    def with_vae_chunk(self, frames: int) -> Sampler:
        """Another sampler over the same networks, whose VAE takes at most so many frames at once."""
        return DiffusersSampler(self.model, self.vae.at_most(frames), self.clip)

    def with_textual_inversion(
        self, source: str | PathLike[str], *, token: str | None, weight_name: str | None
    ) -> Sampler:
        """Teach the text encoders a word."""
        load_textual_inversion(self.diffusers_pipeline(), source, token, weight_name)
        return self

    def with_ip_adapter(
        self, source: str | PathLike[str], *, weight_name: str, subfolder: str, image_encoder: Any, scale: float
    ) -> Sampler:
        """Put an IP-Adapter into the UNet."""
        load_ip_adapter(self.diffusers_pipeline(), source, weight_name, subfolder, image_encoder, scale)
        return self

    def encode_image_prompt(self, images: Sequence[Tensor]) -> ImagePrompt:
        """Encode pictures for the UNet's IP-Adapters with the pipeline's image encoder."""
        encoder = self.diffusers_pipeline().components.get("image_encoder")
        return encode_image_prompt(self.model.unet, encoder, images)

    def with_image_prompt(self, image_prompt: ImagePrompt) -> Sampler:
        """Show the UNet's IP-Adapters pictures: another sampler over the same networks."""
        return DiffusersSampler(self.model.with_image_prompt(image_prompt), self.vae, self.clip)

    def diffusers_pipeline(self) -> Any:
        """Find the pipeline that holds the parts, or put them into one."""
        if self.clip is None:
            expected = "a TextEncoder (from_pretrained, from_pipe and from_single_file make it)"
            raise InvalidTypeError("clip", expected, "another or none")
        return pipeline_of(self.model, self.clip, self.vae)

    def sample(self, latents: Tensor, job: SampleJob) -> Tensor:
        """Repaint latents; see `LatentSampler.sample`."""
        shown = self.model.image_prompt
        hidden = shown is not None and not shown.is_shown
        with without_adapters(self.model.unet) if hidden else nullcontext():
            return super().sample(latents, job)

    def use_own(self, compute: ComputeOptions) -> None:
        """Set up what only UNets take."""
        if compute.storage_dtype is not None:
            expected = "None for Stable Diffusion, whose networks are small"
            raise InvalidArgumentError("storage_dtype", expected, compute.storage_dtype)
        model = self.model
        if compute.frame_batch is not None:
            model.take_frames_at_once(compute.frame_batch)
        if compute.channels_last:
            for network in (model.unet, self.vae.vae):
                network.to(memory_format=torch.channels_last)
        if compute.attention_slicing is not None:
            slice_attention(model.unet, compute.attention_slicing)

    def start_noise(self, source: Tensor, job: SampleJob) -> Tensor | None:
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

    def denoiser(
        self, source: Tensor, job: SampleJob, positive: Conditioning, negative: Conditioning
    ) -> DenoiserFactory:
        """Put the UNet under its prompts."""
        model = self.model
        source = source.to(model.device)
        concat = self._inpaint_channels(source, job)

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

        def denoiser(levels: Tensor) -> Denoiser:
            shown = model.image_prompt
            sides = (
                prepared(positive, "positive", None if shown is None else shown.positive),
                prepared(negative, "negative", None if shown is None else shown.negative),
            )
            return GuidedDenoiser(model, *sides, cfg=job.cfg, concat=concat, sigmas=levels, clips=job.clips)

        return denoiser

    def _inpaint_channels(self, source: Tensor, job: SampleJob) -> Tensor | None:
        """Mask and masked image's latents `(F, 1 + C, h, w)` for an inpainting checkpoint, `None` for others.

        An inpainting checkpoint always needs them; without `inpaint_model` it sees the whole image, as in ComfyUI.
        """
        if not self.model.takes_masked_image:
            if job.inpaint_model:
                warnings.warn(
                    "inpaint_model has no effect: the UNet takes no mask and masked image (it is no inpainting "
                    "checkpoint); the noise mask works all the same",
                    stacklevel=4,
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
