"""The graph's VAE: frames to latents and back, whatever layout the latents have."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from segs_detailer.comfyui.backend.grid import FrameGrid, pixels_per_latent
from segs_detailer.comfyui.backend.streams import streams_of
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
    of_pictures : bool
        Each frame is a picture of its own, whatever the VAE could do: so some models of pictures take VAEs of clips.
    token : int
        Latents in a token of the model along each side: sizes are whole tokens.

    Raises
    ------
    ModelError
        It has no `encode` and `decode`, is one of diffusers, or takes frames by no rule.
    """

    def __init__(self, vae: Any, *, of_pictures: bool = False, token: int = 1) -> None:
        # diffusers' VAEs have both methods too, and take channels first.
        if not (hasattr(vae, "encode") and hasattr(vae, "decode")) or hasattr(vae, "config"):
            raise ModelError(f"cannot encode with a {type(vae).__name__}: a ComfyUI model needs a VAE of ComfyUI")
        self._vae = vae
        down, up = _parts(vae, "downscale_ratio"), _parts(vae, "upscale_ratio")
        side = max(
            pixels_per_latent(small, large, _PIXELS_PER_LATENT) for small, large in zip(down[1:], up[1:], strict=True)
        )
        self._size_multiple = side * token
        self._packs = callable(up[0])
        self.is_of_clips = self._packs and not of_pictures and not getattr(vae, "not_video", False)
        """Whether frames are packed in time."""
        self._grid = FrameGrid.of(down[0], up[0]) if self.is_of_clips else None

    @property
    def geometry(self) -> Geometry:
        """Sizes and frame counts that the VAE packs without loss."""
        if self._grid is None:
            return Geometry(size_multiple=self._size_multiple)
        return Geometry(
            size_multiple=self._size_multiple,
            frame_step=self._grid.step,
            frame_offset=self._grid.offset,
            min_frames=self._grid.least,
            packing=self._grid.packing,
        )

    @property
    def packing(self) -> FramePacking:
        """Frames that each latent holds, from the VAE's own rules."""
        return FramePacking() if self._grid is None else self._grid.packing

    def encode(self, frames: Tensor) -> Tensor:
        """Encode frames.

        Parameters
        ----------
        frames : Tensor
            `(B, H, W, 3)` float32 in [0, 1].

        Returns
        -------
        Tensor
            `(B, C, h, w)`; of video VAEs `(1, C, T, h, w)`, or `(B, C, 1, h, w)` where each frame is a picture.
        """
        frames = frames[..., :3]
        if self._packs and not self.is_of_clips and not getattr(self._vae, "not_video", False):
            # The VAE would take them for one clip.
            return torch.cat([self._vae.encode(frame[None]) for frame in frames])
        latents: Tensor = self._vae.encode(frames)
        return latents

    def decode(self, latents: Tensor, *, full_precision: bool = False) -> Tensor:
        """Decode to frames.

        Parameters
        ----------
        latents : Tensor
            As `encode` gives them; of pictures and sound the pictures count.
        full_precision : bool
            Decode in float32, whatever the VAE's dtype is.

        Returns
        -------
        Tensor
            `(B, H, W, 3)` float32 in [0, 1].
        """
        latents = streams_of(latents)[0]
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


def _parts(vae: Any, name: str) -> tuple[Any, Any, Any]:
    """Return what a VAE says of the frames, the rows and the columns: functions, factors, or nothing."""
    ratio = getattr(vae, name, None)
    if isinstance(ratio, (tuple, list)):
        return (ratio[0], ratio[-2], ratio[-1]) if len(ratio) > 2 else (ratio[0], ratio[-1], ratio[-1])
    return None, ratio, ratio
