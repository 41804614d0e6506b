"""Wan's video VAEs, of 8 and of 16 pixels to a latent."""

from __future__ import annotations

import torch
from torch import Tensor

from segs_detailer.models.device import is_of_diffusers
from segs_detailer.models.video_vae import VideoVAE

__all__ = ["WanVAE", "is_wan_vae"]


def is_wan_vae(vae: object) -> bool:
    """Whether `vae` is Wan's VAE of diffusers; does not import diffusers."""
    return is_of_diffusers(vae, "AutoencoderKLWan")


class WanVAE(VideoVAE):
    """`diffusers.AutoencoderKLWan`: it takes `4 n + 1` frames, and works through them itself, four at a time."""

    @property
    def pixels_per_latent(self) -> int:
        """Spatial factor of the network."""
        return int(self.vae.config.scale_factor_spatial)

    @property
    def frames_per_latent(self) -> int:
        """Temporal factor: the first frame alone, then this many frames to a latent frame."""
        return int(self.vae.config.scale_factor_temporal)

    @property
    def width(self) -> int:
        """Channels of the decoder at full resolution, for each pixel: patches of several are one place for it."""
        config = self.vae.config
        patch = int(config.get("patch_size") or 1)
        return -(-int(config.get("decoder_base_dim") or config.base_dim) // patch**2)

    def to_model(self, latents: Tensor) -> Tensor:
        """Latents as the diffusion model takes them: mean 0 and standard deviation 1 in each channel."""
        return (latents - self._per_channel("latents_mean", latents)) / self._per_channel("latents_std", latents)

    def from_model(self, latents: Tensor) -> Tensor:
        """Undo `to_model`."""
        return latents * self._per_channel("latents_std", latents) + self._per_channel("latents_mean", latents)

    def forget(self) -> None:
        """Clear the features of the last frames, which its causal convolutions keep."""
        self.vae.clear_cache()

    def _per_channel(self, name: str, like: Tensor) -> Tensor:
        return torch.tensor(getattr(self.vae.config, name), device=like.device, dtype=like.dtype).view(1, -1, 1, 1, 1)
