"""The video VAE of HunyuanVideo 1.5."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segs_detailer.models.device import is_of_diffusers
from segs_detailer.models.video_vae import VideoVAE

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["HunyuanVAE", "is_hunyuan_vae"]


def is_hunyuan_vae(vae: object) -> bool:
    """Whether `vae` is the VAE of HunyuanVideo 1.5 of diffusers; does not import diffusers."""
    return is_of_diffusers(vae, "AutoencoderKLHunyuanVideo15")


class HunyuanVAE(VideoVAE):
    """`diffusers.AutoencoderKLHunyuanVideo15`: it takes `4 n + 1` frames, all of a clip at once."""

    @property
    def pixels_per_latent(self) -> int:
        """Spatial factor of the network."""
        return int(self.vae.config.spatial_compression_ratio)

    @property
    def frames_per_latent(self) -> int:
        """Temporal factor: the first frame alone, then this many frames to a latent frame."""
        return int(self.vae.config.temporal_compression_ratio)

    @property
    def width(self) -> int:
        """Channels of the decoder at full resolution, for each pixel."""
        return int(self.vae.config.block_out_channels[0])

    def to_model(self, latents: Tensor) -> Tensor:
        """Latents as the diffusion model takes them: of standard deviation 1."""
        return latents * float(self.vae.config.scaling_factor)

    def from_model(self, latents: Tensor) -> Tensor:
        """Undo `to_model`."""
        return latents / float(self.vae.config.scaling_factor)

    def set_tile(self, side: int) -> None:
        """Divide larger pictures into tiles that overlap by a quarter, the network's own share."""
        latents = side // self.pixels_per_latent
        self.vae.enable_tiling(
            tile_sample_min_height=side,
            tile_sample_min_width=side,
            tile_latent_min_height=latents,
            tile_latent_min_width=latents,
        )
