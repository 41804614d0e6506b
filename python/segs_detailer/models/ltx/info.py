"""What LTX-2's models say of themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from segs_detailer.models.distillation import Distillation, suited
from segs_detailer.models.flow import FLOW_SAMPLERS, FLOW_SCHEDULES
from segs_detailer.models.info import FramePacking, Geometry, MemoryModel, ModelInfo, Recommended

if TYPE_CHECKING:
    import torch

    from segs_detailer.models.ltx.network import LtxModel
    from segs_detailer.models.ltx.vae import LtxVAE

__all__ = ["DISTILLED", "FAMILY_NAME", "FULL", "info_of"]

FAMILY_NAME = "LTX-2"

FULL = Recommended(
    steps=30, cfg=3.0, sampler_name="euler", scheduler="simple", denoise=0.4, guide_size=640, max_size=1280
)
"""Steps and guidance of the makers. Tokens of 32 pixels make large crops cheap."""

DISTILLED = Recommended(
    steps=3, cfg=1.0, sampler_name="euler", scheduler="simple", denoise=0.375, guide_size=640, max_size=1280
)
"""The last three of eight steps are those that the makers refine an enlarged clip with."""

_FLOAT = 4
_CONDITIONINGS = 2
"""Prompt and negative prompt go through the network together."""

_TOKEN_STATES = 8
"""States of a token that are alive at the peak, beside the inner width of a feed-forward layer, four times its own."""

_VAE_MAPS = 8
"""Feature maps at full resolution, of the decoder's first width, that are alive at its peak, for each frame."""


def info_of(model: LtxModel, vae: LtxVAE, networks: tuple[torch.nn.Module, ...], *, prompts: bool) -> ModelInfo:
    """Describe a transformer with its VAE: `8 n + 1` frames, and sizes that VAE and patches take.

    Parameters
    ----------
    model : LtxModel
        The transformer.
    vae : LtxVAE
        The VAE, maybe with that of the sound.
    networks : tuple of torch.nn.Module
        All networks.
    prompts : bool
        Whether there is a text encoder.
    """
    packing = FramePacking(lead=(1,), cycle=(vae.frames_per_latent,))
    geometry = Geometry(
        size_multiple=vae.pixels_per_latent * model.latents_per_patch,
        frame_step=vae.frames_per_latent,
        frame_offset=1,
        packing=packing,
    )

    def activations(size: tuple[int, int], frames: int, clips: int) -> int:
        del clips
        count = geometry.frames_for(frames)
        pixels = size[0] * size[1]
        tokens = (packing.latents(count) or 0) * pixels // geometry.size_multiple**2
        network = _CONDITIONINGS * tokens * (4 + _TOKEN_STATES) * model.width * _FLOAT
        tile = pixels if vae.tile is None else min(pixels, vae.tile**2)
        return max(network, tile * count * vae.width * _VAE_MAPS * _FLOAT)

    kinds = (Distillation("the distilled LoRA", "distill", replace(DISTILLED, guide_size=None, max_size=None)),)
    recommended = DISTILLED if model.is_distilled else suited(FULL, kinds, model.told[1:])
    return ModelInfo(
        family=FAMILY_NAME,
        geometry=geometry,
        sampler_names=FLOW_SAMPLERS,
        scheduler_names=FLOW_SCHEDULES,
        prompts=prompts,
        memory=MemoryModel(networks, activations),
        recommended=recommended,
        sound_rate=None if vae.ears is None else vae.ears.rate,
    )
