"""A VAE of diffusers over the frames of a clip, in chunks that fit the memory."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from segs_detailer.errors import InvalidArgumentError, ModelError, is_out_of_memory
from segs_detailer.models.accelerators import empty_caches, free_memory
from segs_detailer.models.device import execution_device

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FrameVAE", "is_frame_vae"]

_CHUNK = 8
"""Frames at once where the free memory is not known; more gain no speed on a CPU."""

_MOST_FRAMES = 16
"""Frames at once on a GPU: more keep it no busier."""

_LIVE_MAPS = 8
"""Feature maps at full resolution, of the second block's width, that are alive at the peak: a residual block's input,
its normalized and activated copies (the norm computes in float32), its output and the convolutions' workspace."""

_SHARE_OF_FREE_MEMORY = 0.75

_SMALLEST_TILE = 8
"""Least side of a tile in latents, two of the network's middle: smaller ones are mostly overlap."""


def is_frame_vae(vae: object) -> bool:
    """Whether `vae` encodes single pictures, as diffusers' AutoencoderKL and its kin do; does not import diffusers."""
    # A VAE of videos has these three as well, and would fail in the middle of a run; its factor in time tells it.
    return all(hasattr(vae, name) for name in ("encode", "decode", "config")) and not hasattr(
        getattr(vae, "config", None), "scale_factor_temporal"
    )


class FrameVAE:
    """Frames to latents and back: the `vae` of a `BasicPipe`.

    Parameters
    ----------
    vae : diffusers.AutoencoderKL
        The network; one whose `encode` gives plain latents (AutoencoderTiny) works too.
    chunk : int or None
        Frames that go through it at once. `None`: as many as fit the free memory, at most 16 on a GPU and 8 on a CPU;
        8 where the free memory is not known. When memory runs out all the same, the chunk is halved down to single
        frames (diffusers' "slicing"), then the network works in tiles, of half the picture's longer side and less, and
        goes on so; a warning says it each time.
    """

    def __init__(self, vae: Any, *, chunk: int | None = None) -> None:
        if chunk is not None and chunk < 1:
            raise InvalidArgumentError("chunk", "at least 1", str(chunk))
        self.vae = vae
        self.chunk = chunk

    def at_most(self, frames: int) -> FrameVAE:
        """Return the same network with a limit on the frames at once, unless the user has chosen a number."""
        return self if self.chunk is not None else FrameVAE(self.vae, chunk=min(frames, _CHUNK))

    @property
    def pixels_per_latent(self) -> int:
        """Spatial factor of the network."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    def encode(self, frames: Tensor) -> Tensor:
        """Latents of frames: the mode of the network's distribution, as the network gives them (not yet scaled).

        Parameters
        ----------
        frames : Tensor
            `(B, H, W, 3)` in [0, 1]; H and W are multiples of `pixels_per_latent`.

        Returns
        -------
        Tensor
            `(B, C, H / f, W / f)` float32, on the network's device. Where a network of half precision gives values that
            are not finite, those of the same network in float32.
        """
        factor = self.pixels_per_latent
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.shape[1] % factor or frames.shape[2] % factor:
            expected = f"(B, H, W, 3) with H and W multiples of {factor}"
            raise InvalidArgumentError("frames", expected, f"shape {tuple(frames.shape)}")

        def encode(part: Tensor) -> Tensor:
            pixels = part.movedim(-1, 1).to(execution_device(self.vae), self.vae.dtype) * 2 - 1
            output = self.vae.encode(pixels)
            distribution = getattr(output, "latent_dist", None)
            latents: Tensor = output.latents if distribution is None else distribution.mode()
            return latents.float()

        def encoded() -> Tensor:
            return self._in_chunks(encode, frames, "encoding", (frames.shape[1], frames.shape[2]))

        latents = encoded()
        if self.vae.dtype == torch.float32 or bool(latents.isfinite().all()):
            return latents
        return self._in_full_precision(encoded)

    def decode(self, latents: Tensor, *, full_precision: bool = False) -> Tensor:
        """Frames of latents.

        Parameters
        ----------
        latents : Tensor
            `(B, C, h, w)`, as `encode` gives them.
        full_precision : bool
            Compute in float32 whatever the network's dtype.

        Returns
        -------
        Tensor
            `(B, H, W, 3)` float32 in [0, 1], on the network's device; NaN where the network's output is not finite.
        """
        if full_precision and self.vae.dtype != torch.float32:
            return self._in_full_precision(lambda: self._decode(latents))
        return self._decode(latents)

    def to_model(self, latents: Tensor) -> Tensor:
        """Latents as the diffusion model takes them: shifted and scaled to a standard deviation near 1."""
        return (latents - self._shift) * self._scale

    def from_model(self, latents: Tensor) -> Tensor:
        """Undo `to_model`."""
        return latents / self._scale + self._shift

    @property
    def _scale(self) -> float:
        return float(self.vae.config.scaling_factor)

    @property
    def _shift(self) -> float:
        return float(self.vae.config.get("shift_factor") or 0.0)

    def _in_full_precision(self, work: Callable[[], Tensor]) -> Tensor:
        dtype = self.vae.dtype
        # Not vae.to: diffusers warns there of models that keep parts in float32; a VAE keeps none.
        torch.nn.Module.to(self.vae, torch.float32)
        try:
            return work()
        finally:
            torch.nn.Module.to(self.vae, dtype)

    def _decode(self, latents: Tensor) -> Tensor:
        def decode(part: Tensor) -> Tensor:
            picture: Tensor = self.vae.decode(part.to(execution_device(self.vae), self.vae.dtype)).sample
            frames = picture.float() / 2 + 0.5
            # Clamping would make black and white of infinities.
            return frames.masked_fill_(frames.isinf(), torch.nan).clamp_(0, 1).movedim(1, -1)

        factor = self.pixels_per_latent
        size = (latents.shape[-2] * factor, latents.shape[-1] * factor)
        return self._in_chunks(decode, latents, "decoding", size).contiguous()

    def _chunk_for(self, size: tuple[int, int]) -> int:
        """Frames of that size that go through the network at once."""
        if self.chunk is not None:
            return self.chunk
        device = execution_device(self.vae)
        room, most = free_memory(device), _CHUNK if device.type == "cpu" else _MOST_FRAMES
        if room is None:
            return most
        widths = list(self.vae.config.block_out_channels)
        frame = size[0] * size[1] * int(widths[min(1, len(widths) - 1)]) * self.vae.dtype.itemsize * _LIVE_MAPS
        return min(max(int(room * _SHARE_OF_FREE_MEMORY / frame), 1), most)

    @torch.no_grad()
    def _in_chunks(self, work: Callable[[Tensor], Tensor], batch: Tensor, doing: str, size: tuple[int, int]) -> Tensor:
        """`work` over the batch of that size in pixels, with ever smaller pieces while memory runs out."""
        if not len(batch):
            raise InvalidArgumentError("frames", "at least one frame", "none")
        done: list[Tensor] = []
        start, chunk = 0, self._chunk_for(size)
        while start < len(batch):
            try:
                done.append(work(batch[start : start + chunk]))
                start += chunk
                continue
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                tile = self._smaller_tile(size) if chunk == 1 else None
                if chunk == 1 and tile is None:
                    raise
            empty_caches()
            if tile is None:
                chunk = min(chunk, len(batch) - start) // 2 or 1
                message = f"out of memory while {doing}: going on with {chunk} frame(s) at once"
            else:
                self.work_in_tiles(tile)
                message = f"out of memory while {doing} one frame: going on in tiles of {tile} pixels"
            warnings.warn(message, stacklevel=4)
        return torch.cat(done)

    def _smaller_tile(self, size: tuple[int, int]) -> int | None:
        """Side in pixels of the next smaller tiles for a picture of that size; `None` where there are none."""
        if not hasattr(self.vae, "tile_latent_min_size"):
            return None
        side = max(size)
        if self.vae.use_tiling:
            side = min(side, int(self.vae.tile_sample_min_size))
        # A multiple of 4, so that the quarter by which tiles overlap is whole.
        latents = side // self.pixels_per_latent // 2 // 4 * 4
        return latents * self.pixels_per_latent if latents >= _SMALLEST_TILE else None

    def work_in_tiles(self, side: int) -> None:
        """Divide pictures that are larger into tiles from now on; they overlap by a quarter and are blended.

        Parameters
        ----------
        side : int
            Of a tile in pixels: a multiple of 4 latents, and at least 8. The network's own tiles, by diffusers'
            `enable_tiling`, are as large as the pictures that it was trained on: often no smaller than a crop.

        Raises
        ------
        InvalidArgumentError
            Another side.
        ModelError
            The network knows no tiles.
        """
        step, least = 4 * self.pixels_per_latent, _SMALLEST_TILE * self.pixels_per_latent
        if side < least or side % step:
            raise InvalidArgumentError("vae_tile", f"a multiple of {step} of at least {least}", str(side))
        if not hasattr(self.vae, "tile_latent_min_size"):
            raise ModelError(f"a {type(self.vae).__name__} cannot work in tiles")
        self.vae.enable_tiling()
        self.vae.tile_sample_min_size = side
        self.vae.tile_latent_min_size = side // self.pixels_per_latent
