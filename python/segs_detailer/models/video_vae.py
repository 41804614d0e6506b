"""Video VAEs: whole clips to latents that pack several frames into one."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from segs_detailer.errors import InvalidArgumentError, is_out_of_memory
from segs_detailer.models.accelerators import empty_caches
from segs_detailer.models.device import execution_device

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["VideoVAE"]

_TILES = (256, 128)
"""Sides of the tiles in pixels, one after the other while memory runs out. 256 is the network's own choice."""


_TILE_SHARE = 0.75
"""Distance of neighboring tiles in tiles; the rest is blended."""


class VideoVAE(ABC):
    """Clips to latents and back: the `vae` of a pipe.

    Parameters
    ----------
    vae : torch.nn.Module
        An autoencoder of diffusers. When memory runs out it goes on in tiles of 256 pixels, then of 128, and a warning
        says so.
    """

    def __init__(self, vae: Any) -> None:
        self.vae = vae

    @property
    @abstractmethod
    def pixels_per_latent(self) -> int:
        """Spatial factor of the network."""

    @property
    @abstractmethod
    def frames_per_latent(self) -> int:
        """Temporal factor: the first frame alone, then this many frames to a latent frame."""

    @property
    @abstractmethod
    def width(self) -> int:
        """Channels of the decoder at full resolution, for each pixel."""

    @property
    def tile(self) -> int | None:
        """Side in pixels of the tiles that it works in; None where it takes pictures as a whole."""
        return min(self.vae.tile_sample_min_height, self.vae.tile_sample_min_width) if self.vae.use_tiling else None

    def set_tile(self, side: int) -> None:
        """Divide larger pictures into tiles that overlap by a quarter; `work_in_tiles` has checked their side."""
        stride = int(side * _TILE_SHARE)
        self.vae.enable_tiling(
            tile_sample_min_height=side,
            tile_sample_min_width=side,
            tile_sample_stride_height=stride,
            tile_sample_stride_width=stride,
        )

    @abstractmethod
    def to_model(self, latents: Tensor) -> Tensor:
        """Latents as the diffusion model takes them: mean 0 and standard deviation 1."""

    @abstractmethod
    def from_model(self, latents: Tensor) -> Tensor:
        """Undo `to_model`."""

    def decoded(self, latents: Tensor) -> Tensor:
        """Run the decoder: `(1, 3, frames, H, W)` in [-1, 1] of latents on its device, of its dtype."""
        clip: Tensor = self.vae.decode(latents).sample
        return clip

    def forget(self) -> None:  # noqa: B027 - most networks keep nothing
        """Let go of what the network keeps from frame to frame, after it was interrupted."""

    def encode(self, frames: Tensor) -> Tensor:
        """Latents of a clip: the mode of the network's distribution, not yet normalized.

        Parameters
        ----------
        frames : Tensor
            `(frames_per_latent * n + 1, H, W, 3)` in [0, 1]; H and W are multiples of `pixels_per_latent`.

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
            `(frames_per_latent * n + 1, H, W, 3)` float32 in [0, 1], on the network's device.
        """

        def decode() -> Tensor:
            clip = self.decoded(latents.to(execution_device(self.vae), self.vae.dtype))
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
        step = 4 * self.pixels_per_latent
        if side < self._least_tile or side % step:
            raise InvalidArgumentError("vae_tile", f"a multiple of {step} of at least {self._least_tile}", str(side))
        self.set_tile(side)

    @torch.no_grad()
    def _or_in_tiles(self, work: Callable[[], Tensor], doing: str) -> Tensor:
        while True:
            try:
                return work()
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                tile = self._smaller_tile()
                if tile is None:
                    raise
            self.forget()
            empty_caches()
            warnings.warn(f"out of memory while {doing} a clip: going on in tiles of {tile} pixels", stacklevel=3)
            self.work_in_tiles(tile)

    def _smaller_tile(self) -> int | None:
        """Side of the next smaller tiles, or `None` after the smallest."""
        now = self.tile
        return next((side for side in _TILES if side >= self._least_tile and (now is None or side < now)), None)

    @property
    def _least_tile(self) -> int:
        return 8 * self.pixels_per_latent
