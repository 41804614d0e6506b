"""The video VAE of LTX-2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segs_detailer.models.device import is_of_diffusers
from segs_detailer.models.video_vae import VideoVAE

if TYPE_CHECKING:
    from torch import Tensor

    from segs_detailer.models.ltx.sound import LtxEars

__all__ = ["LtxVAE", "is_ltx_vae"]


def is_ltx_vae(vae: object) -> bool:
    """Whether `vae` is the video VAE of LTX-2 of diffusers; does not import diffusers."""
    return is_of_diffusers(vae, "AutoencoderKLLTX2Video")


class LtxVAE(VideoVAE):
    """`diffusers.AutoencoderKLLTX2Video`: it takes `8 n + 1` frames, and packs 32 x 32 pixels into a latent.

    Parameters
    ----------
    vae : diffusers.AutoencoderKLLTX2Video
        The network.
    ears : LtxEars or None
        What hears the sound of a clip; without, the model hears nothing.
    """

    def __init__(self, vae: Any, ears: LtxEars | None = None) -> None:
        super().__init__(vae)
        self.ears = ears

    @property
    def pixels_per_latent(self) -> int:
        """Spatial factor of the network."""
        return int(self.vae.spatial_compression_ratio)

    @property
    def frames_per_latent(self) -> int:
        """Temporal factor: the first frame alone, then this many frames to a latent frame."""
        return int(self.vae.temporal_compression_ratio)

    @property
    def width(self) -> int:
        """Channels of the decoder at full resolution, for each pixel: patches of several are one place for it."""
        config = self.vae.config
        return -(-int(config.decoder_block_out_channels[0]) // int(config.patch_size) ** 2)

    def to_model(self, latents: Tensor) -> Tensor:
        """Latents as the diffusion model takes them: mean 0 and standard deviation 1 in each channel."""
        mean, std = self._per_channel("latents_mean", latents), self._per_channel("latents_std", latents)
        return (latents - mean) * float(self.vae.config.scaling_factor) / std

    def from_model(self, latents: Tensor) -> Tensor:
        """Undo `to_model`."""
        mean, std = self._per_channel("latents_mean", latents), self._per_channel("latents_std", latents)
        return latents * std / float(self.vae.config.scaling_factor) + mean

    def decoded(self, latents: Tensor) -> Tensor:
        """Run the decoder, which some versions tell how noisy latents are: not at all."""
        time = latents.new_zeros(1) if self.vae.config.timestep_conditioning else None
        clip: Tensor = self.vae.decode(latents, time).sample
        return clip

    def _per_channel(self, name: str, like: Tensor) -> Tensor:
        # Buffers of the network, not entries of its configuration.
        values: Tensor = getattr(self.vae, name)
        return values.to(like.device, like.dtype).view(1, -1, 1, 1, 1)
