"""The video VAE of LTX-2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segs_detailer.models.video_vae import VideoVAE

if TYPE_CHECKING:
    from torch import Tensor

    from segs_detailer.models.ltx.sound import LtxEars

__all__ = ["LtxVAE", "is_ltx_vae"]

_TILE_SHARE = 0.75
"""Distance of neighboring tiles in tiles; the rest is blended."""


def is_ltx_vae(vae: object) -> bool:
    """Whether `vae` is the video VAE of LTX-2 of diffusers; does not import diffusers."""
    return any(
        base.__name__ == "AutoencoderKLLTX2Video" and base.__module__.split(".")[0] == "diffusers"
        for base in type(vae).__mro__
    )


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

    def _per_channel(self, name: str, like: Tensor) -> Tensor:
        # Buffers of the network, not entries of its configuration.
        values: Tensor = getattr(self.vae, name)
        return values.to(like.device, like.dtype).view(1, -1, 1, 1, 1)
