"""What Wan's models say of themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from segs_detailer.models.flow import FLOW_SAMPLERS, FLOW_SCHEDULES
from segs_detailer.models.info import FramePacking, Geometry, MemoryModel, ModelInfo, Recommended

if TYPE_CHECKING:
    import torch

    from segs_detailer.models.wan.network import WanModel
    from segs_detailer.models.wan.vae import VideoVAE

__all__ = ["FAMILY_NAME", "RECOMMENDED", "info_of"]

FAMILY_NAME = "Wan"

RECOMMENDED = Recommended(steps=20, cfg=5.0, sampler_name="uni_pc", scheduler="simple", denoise=0.4)
"""Guidance and shift of the makers' own examples; samplers of noise-free steps need about 20 of them."""

_FLOAT = 4
_LIVE_MAPS = 12
_VAE_MAPS = 8
_VAE_WIDTH = 256
_NETWORK_WIDTH = 320
_LATENT_FACTOR = 8
_SEEN = 16
_CONDITIONINGS = 2


def info_of(model: WanModel, vae: VideoVAE, networks: tuple[torch.nn.Module, ...], *, prompts: bool) -> ModelInfo:
    """Describe a transformer with its VAE: `4 n + 1` frames; sizes that VAE and patches take, and positions reach.

    Parameters
    ----------
    model : WanModel
        The transformer, or the pair of them.
    vae : VideoVAE
        The VAE.
    networks : tuple of torch.nn.Module
        All networks.
    prompts : bool
        Whether there is a text encoder.
    """
    latents, side = model.most_latents
    packing = FramePacking(lead=(1,), cycle=(vae.frames_per_latent,))
    geometry = Geometry(
        size_multiple=vae.pixels_per_latent * model.latents_per_patch,
        frame_step=vae.frames_per_latent,
        frame_offset=1,
        max_frames=packing.frames(latents),
        max_side=vae.pixels_per_latent * side,
        packing=packing,
    )

    def activations(size: tuple[int, int], frames: int, clips: int) -> int:
        pixels = size[0] * size[1]
        decoder = pixels * _VAE_WIDTH * _VAE_MAPS * _FLOAT
        seen = clips * min(frames, _SEEN)
        network = _CONDITIONINGS * seen * pixels // _LATENT_FACTOR**2 * _NETWORK_WIDTH * _LIVE_MAPS * _FLOAT
        return max(decoder, network)

    return ModelInfo(
        family=FAMILY_NAME,
        geometry=geometry,
        sampler_names=FLOW_SAMPLERS,
        scheduler_names=FLOW_SCHEDULES,
        prompts=prompts,
        memory=MemoryModel(networks, activations),
        recommended=replace(RECOMMENDED, shift=model.table.shift),
    )
