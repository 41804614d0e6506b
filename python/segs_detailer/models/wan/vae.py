"""Wan's video VAEs, of 8 and of 16 pixels to a latent."""

from __future__ import annotations

import torch
from torch import Tensor

from segs_detailer.models.video_vae import VideoVAE

__all__ = ["WanVAE", "is_wan_vae"]

_TILE_SHARE = 0.75
"""Distance of neighboring tiles in tiles, as the network's own; the rest is blended."""


def is_wan_vae(vae: object) -> bool:
    """Whether `vae` is Wan's VAE of diffusers; does not import diffusers."""
    return any(
        base.__name__ == "AutoencoderKLWan" and base.__module__.split(".")[0] == "diffusers"
        for base in type(vae).__mro__
    )


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

    @property
    def tile(self) -> int | None:
        """Side in pixels of the tiles that it works in; None where it takes pictures as a whole."""
        return min(self.vae.tile_sample_min_height, self.vae.tile_sample_min_width) if self.vae.use_tiling else None

    def set_tile(self, side: int) -> None:
        """Divide larger pictures into tiles that overlap by a quarter."""
        stride = int(side * _TILE_SHARE)
        self.vae.enable_tiling(
            tile_sample_min_height=side,
            tile_sample_min_width=side,
            tile_sample_stride_height=stride,
            tile_sample_stride_width=stride,
        )

    def forget(self) -> None:
        """Clear the features of the last frames, which its causal convolutions keep."""
        self.vae.clear_cache()

    def _per_channel(self, name: str, like: Tensor) -> Tensor:
        return torch.tensor(getattr(self.vae.config, name), device=like.device, dtype=like.dtype).view(1, -1, 1, 1, 1)
