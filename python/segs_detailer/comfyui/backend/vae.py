"""The graph's VAE: frames to latents and back, whatever layout the latents have."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from segs_detailer.errors import ModelError
from segs_detailer.models.info import FramePacking, Geometry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

__all__ = ["GraphVAE"]

# ComfyUI's own, where a VAE does not say.
_PIXELS_PER_LATENT = 8


class GraphVAE:
    """ComfyUI's VAE as the detailer needs it.

    ComfyUI batches the frames by the free memory, and goes on in tiles where it runs out.

    Parameters
    ----------
    vae : object
        `comfy.sd.VAE`, or what another pack puts in its place.

    Raises
    ------
    ModelError
        It has no `encode` and `decode`, or is one of diffusers.
    """

    def __init__(self, vae: Any) -> None:
        # diffusers' VAEs have both methods too, and take channels first.
        if not (hasattr(vae, "encode") and hasattr(vae, "decode")) or hasattr(vae, "config"):
            raise ModelError(f"cannot encode with a {type(vae).__name__}: a ComfyUI model needs a VAE of ComfyUI")
        self._vae = vae

    @property
    def geometry(self) -> Geometry:
        """Sizes and frame counts that the VAE packs without loss."""
        ratio = getattr(self._vae, "downscale_ratio", _PIXELS_PER_LATENT)
        sides = [side for side in (ratio if isinstance(ratio, (tuple, list)) else (ratio,)) if not callable(side)]
        packing = self.packing
        step, offset = sum(packing.cycle), sum(packing.lead)
        return Geometry(
            size_multiple=max((int(side) for side in sides), default=_PIXELS_PER_LATENT),
            frame_step=step,
            frame_offset=offset,
            min_frames=max(offset, 1),
            packing=packing if self.is_of_clips else None,
        )

    @property
    def is_of_clips(self) -> bool:
        """Whether it packs frames in time."""
        ratio = getattr(self._vae, "upscale_ratio", _PIXELS_PER_LATENT)
        is_video = not getattr(self._vae, "not_video", False)
        return is_video and isinstance(ratio, (tuple, list)) and callable(ratio[0])

    @property
    def packing(self) -> FramePacking:
        """Frames that each latent holds, from the VAE's own rule: latents to frames."""
        if not self.is_of_clips:
            return FramePacking()
        frames_of = self._vae.upscale_ratio[0]
        one, two = int(frames_of(1)), int(frames_of(2))
        return FramePacking(lead=(one,), cycle=(two - one,))

    def encode(self, frames: Tensor) -> Tensor:
        """Encode frames.

        Parameters
        ----------
        frames : Tensor
            `(B, H, W, 3)` float32 in [0, 1].

        Returns
        -------
        Tensor
            `(B, C, h, w)`; of video VAEs `(1, C, T, h, w)`.
        """
        latents: Tensor = self._vae.encode(frames[..., :3])
        return latents

    def decode(self, latents: Tensor, *, full_precision: bool = False) -> Tensor:
        """Decode to frames.

        Parameters
        ----------
        latents : Tensor
            As `encode` gives them.
        full_precision : bool
            Decode in float32, whatever the VAE's dtype is.

        Returns
        -------
        Tensor
            `(B, H, W, 3)` float32 in [0, 1].
        """
        if full_precision:
            with self._in_float32():
                frames: Tensor = self._vae.decode(latents)
        else:
            frames = self._vae.decode(latents)
        if frames.ndim == 5:
            frames = frames.flatten(0, 1)
        return frames.to(torch.float32)

    @contextmanager
    def _in_float32(self) -> Iterator[None]:
        dtype, network = getattr(self._vae, "vae_dtype", None), getattr(self._vae, "first_stage_model", None)
        if dtype in (None, torch.float32) or network is None:
            yield
            return
        try:
            network.to(torch.float32)
            self._vae.vae_dtype = torch.float32
            yield
        finally:
            self._vae.vae_dtype = dtype
            network.to(dtype)
