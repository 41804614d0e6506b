"""Wan's video VAE: whole clips to latents that pack four frames into one."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from segs_detailer.errors import InvalidArgumentError
from segs_detailer.models.device import execution_device

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["VideoVAE", "is_video_vae"]

_TILES = (256, 128)
"""Sides of the tiles in pixels, one after the other while memory runs out. 256 is the network's own choice."""

_TILE_SHARE = 0.75
"""Distance of neighboring tiles in tiles, as the network's own; the rest is blended."""


def is_video_vae(vae: object) -> bool:
    """Whether `vae` is Wan's VAE of diffusers; does not import diffusers."""
    return any(
        base.__name__ == "AutoencoderKLWan" and base.__module__.split(".")[0] == "diffusers"
        for base in type(vae).__mro__
    )


class VideoVAE:
    """Clips to latents and back: the `vae` of a Wan pipe.

    Parameters
    ----------
    vae : diffusers.AutoencoderKLWan
        The network. It takes `4 n + 1` frames, and works through them itself, four at a time; when memory runs out all
        the same it goes on in tiles of 256 pixels, then of 128, and a warning says so.
    """

    def __init__(self, vae: Any) -> None:
        self.vae = vae

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

    def encode(self, frames: Tensor) -> Tensor:
        """Latents of a clip: the mode of the network's distribution, not yet normalized.

        Parameters
        ----------
        frames : Tensor
            `(4 n + 1, H, W, 3)` in [0, 1]; H and W are multiples of `pixels_per_latent`.

        Returns
        -------
        Tensor
            `(1, C, n + 1, H / f, W / f)` float32, on the network's device.
        """
        factor, step = self.pixels_per_latent, self.frames_per_latent
        fits = frames.ndim == 4 and frames.shape[-1] == 3 and not (frames.shape[1] % factor or frames.shape[2] % factor)
        if not fits or len(frames) % step != 1:
            expected = f"({step} n + 1, H, W, 3) with H and W multiples of {factor}"
            raise InvalidArgumentError("frames", expected, f"shape {tuple(frames.shape)}")
        pixels = frames.movedim(-1, 0)[None].to(execution_device(self.vae), self.vae.dtype) * 2 - 1

        def encode() -> Tensor:
            latents: Tensor = self.vae.encode(pixels).latent_dist.mode()
            return latents.float()

        return self._or_in_tiles(encode, "encoding")

    def decode(self, latents: Tensor, *, full_precision: bool = False) -> Tensor:
        """Frames of latents.

        Parameters
        ----------
        latents : Tensor
            `(1, C, n + 1, h, w)`, as `encode` gives them.
        full_precision : bool
            Compute in float32 whatever the network's dtype.

        Returns
        -------
        Tensor
            `(4 n + 1, H, W, 3)` float32 in [0, 1], on the network's device.
        """

        def decode() -> Tensor:
            clip: Tensor = self.vae.decode(latents.to(execution_device(self.vae), self.vae.dtype)).sample
            frames = clip[0].float() / 2 + 0.5
            # Clamping would make black and white of infinities.
            return frames.masked_fill_(frames.isinf(), torch.nan).clamp_(0, 1).movedim(0, -1).contiguous()

        dtype = self.vae.dtype
        if not full_precision or dtype == torch.float32:
            return self._or_in_tiles(decode, "decoding")
        torch.nn.Module.to(self.vae, torch.float32)
        try:
            return self._or_in_tiles(decode, "decoding")
        finally:
            torch.nn.Module.to(self.vae, dtype)

    def to_model(self, latents: Tensor) -> Tensor:
        """Latents as the diffusion model takes them: mean 0 and standard deviation 1 in each channel."""
        return (latents - self._per_channel("latents_mean", latents)) / self._per_channel("latents_std", latents)

    def from_model(self, latents: Tensor) -> Tensor:
        """Undo `to_model`."""
        return latents * self._per_channel("latents_std", latents) + self._per_channel("latents_mean", latents)

    def work_in_tiles(self, side: int) -> None:
        """Divide pictures that are larger into tiles from now on; they overlap by a quarter and are blended.

        Parameters
        ----------
        side : int
            Of a tile in pixels: a multiple of 4 latents, and at least 8.

        Raises
        ------
        InvalidArgumentError
            Another side.
        """
        step, least = 4 * self.pixels_per_latent, 8 * self.pixels_per_latent
        if side < least or side % step:
            raise InvalidArgumentError("vae_tile", f"a multiple of {step} of at least {least}", str(side))
        stride = int(side * _TILE_SHARE)
        self.vae.enable_tiling(
            tile_sample_min_height=side,
            tile_sample_min_width=side,
            tile_sample_stride_height=stride,
            tile_sample_stride_width=stride,
        )

    def _per_channel(self, name: str, like: Tensor) -> Tensor:
        return torch.tensor(getattr(self.vae.config, name), device=like.device, dtype=like.dtype).view(1, -1, 1, 1, 1)

    @torch.no_grad()
    def _or_in_tiles(self, work: Callable[[], Tensor], doing: str) -> Tensor:
        while True:
            try:
                return work()
            except torch.cuda.OutOfMemoryError:
                tile = self._smaller_tile()
                if tile is None:
                    raise
            # What the network keeps from frame to frame is of no use any more.
            self.vae.clear_cache()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            warnings.warn(f"out of memory while {doing} a clip: going on in tiles of {tile} pixels", stacklevel=3)
            self.work_in_tiles(tile)

    def _smaller_tile(self) -> int | None:
        """Side of the next smaller tiles, or `None` after the smallest."""
        now = min(self.vae.tile_sample_min_height, self.vae.tile_sample_min_width) if self.vae.use_tiling else None
        return next((tile for tile in _TILES if now is None or tile < now), None)
