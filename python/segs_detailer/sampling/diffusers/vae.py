"""A VAE of diffusers over the frames of a clip, in chunks that fit the memory."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...errors import InvalidArgumentError
from .device import execution_device

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FrameVAE", "free_memory"]

_CHUNK = 8
"""Frames at once where the free memory is not known; more gain no speed on a CPU."""

_MOST_FRAMES = 16
"""Frames at once on a GPU: more keep it no busier."""

_LIVE_MAPS = 8
"""Feature maps at full resolution, of the second block's width, that are alive at the peak: a residual block's input,
its normalised and activated copies (the norm computes in float32), its output and the convolutions' workspace."""

_SHARE_OF_FREE_MEMORY = 0.75


def free_memory(device: torch.device) -> int | None:
    """Bytes that are free on a CUDA device, with those that PyTorch holds and does not use; `None` elsewhere."""
    if device.type != "cuda":
        return None
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


class FrameVAE:
    """Frames to latents and back: the `vae` of a `BasicPipe`.

    Parameters
    ----------
    vae : diffusers.AutoencoderKL
        The network; one whose `encode` gives plain latents (AutoencoderTiny) works too.
    chunk : int or None
        Frames that go through it at once. `None`: as many as fit the memory that is free on a CUDA device, at most 16;
        8 elsewhere. When memory runs out all the same, the chunk is halved down to single frames (diffusers'
        "slicing"), then the network works in tiles; a warning says so.
    """

    def __init__(self, vae: Any, *, chunk: int | None = None) -> None:
        if chunk is not None and chunk < 1:
            raise InvalidArgumentError("chunk", "at least 1", str(chunk))
        self.vae = vae
        self.chunk = chunk

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
            `(B, C, H / f, W / f)` float32, on the network's device.
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

        return self._in_chunks(encode, frames, "encoding", frames.shape[1] * frames.shape[2])

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
            `(B, H, W, 3)` float32 in [0, 1], on the network's device.
        """
        dtype = self.vae.dtype
        if full_precision and dtype != torch.float32:
            # Not vae.to: diffusers warns there of models that keep parts in float32; a VAE keeps none.
            torch.nn.Module.to(self.vae, torch.float32)
            try:
                return self._decode(latents)
            finally:
                torch.nn.Module.to(self.vae, dtype)
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

    def _decode(self, latents: Tensor) -> Tensor:
        def decode(part: Tensor) -> Tensor:
            picture: Tensor = self.vae.decode(part.to(execution_device(self.vae), self.vae.dtype)).sample
            return (picture.float() / 2 + 0.5).clamp(0, 1).movedim(1, -1)

        pixels = latents.shape[-2] * latents.shape[-1] * self.pixels_per_latent**2
        return self._in_chunks(decode, latents, "decoding", pixels).contiguous()

    def _chunk_for(self, pixels: int) -> int:
        """Frames of so many pixels that go through the network at once."""
        if self.chunk is not None:
            return self.chunk
        room = free_memory(execution_device(self.vae))
        if room is None:
            return _CHUNK
        widths = list(self.vae.config.block_out_channels)
        frame = pixels * int(widths[min(1, len(widths) - 1)]) * self.vae.dtype.itemsize * _LIVE_MAPS
        return min(max(int(room * _SHARE_OF_FREE_MEMORY / frame), 1), _MOST_FRAMES)

    @torch.no_grad()
    def _in_chunks(self, work: Callable[[Tensor], Tensor], batch: Tensor, doing: str, pixels: int) -> Tensor:
        """`work` over the batch, with ever smaller pieces while memory runs out."""
        if not len(batch):
            raise InvalidArgumentError("frames", "at least one frame", "none")
        done: list[Tensor] = []
        start, chunk, tiled = 0, self._chunk_for(pixels), bool(getattr(self.vae, "use_tiling", False))
        while start < len(batch):
            try:
                done.append(work(batch[start : start + chunk]))
                start += chunk
                continue
            except torch.cuda.OutOfMemoryError:
                if chunk == 1 and (tiled or not hasattr(self.vae, "enable_tiling")):
                    raise
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            if chunk > 1:
                chunk = min(chunk, len(batch) - start) // 2 or 1
                message = f"out of memory while {doing}: going on with {chunk} frame(s) at once"
            else:
                self.vae.enable_tiling()
                tiled = True
                message = f"out of memory while {doing} one frame: going on in tiles"
            warnings.warn(message, stacklevel=4)
        return torch.cat(done)
