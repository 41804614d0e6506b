"""What the models of HunyuanVideo 1.5 say of themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from segs_detailer.models.distillation import Distillation, suited
from segs_detailer.models.flow import FLOW_SAMPLERS, FLOW_SCHEDULES
from segs_detailer.models.info import FramePacking, Geometry, MemoryModel, ModelInfo, Recommended

if TYPE_CHECKING:
    import torch

    from segs_detailer.models.hunyuan.network import HunyuanModel
    from segs_detailer.models.hunyuan.vae import HunyuanVAE

__all__ = ["DISTILLED", "FAMILY_NAME", "RECOMMENDED", "info_of"]

FAMILY_NAME = "HunyuanVideo"

RECOMMENDED = Recommended(
    steps=30, cfg=6.0, sampler_name="euler", scheduler="simple", denoise=0.4, guide_size=416, max_size=832
)
"""The makers run 50 steps from pure noise; a run that starts in the middle has fewer to go. The smaller models were
trained on pictures of 832 x 480."""

DISTILLED = (
    Distillation("step distillation", r"step[-_]?distill", Recommended(steps=8, cfg=1.0)),
    Distillation("guidance distillation", r"cfg[-_]?distill", Recommended(cfg=1.0)),
)
"""Checkpoints for fewer steps, or without guidance."""

_TRAINED_FRAMES = 121
"""Five seconds at 24 frames per second."""

_FLOAT = 4
_CONDITIONINGS = 2
"""Prompt and negative prompt go through the network together."""

_TOKEN_STATES = 8
"""States of a token that are alive at the peak, beside the two of a feed-forward layer's inner width: queries, keys and
values twice, as they are joined with those of the prompt."""

_MASKS = 3
"""Masks of every token against every other, a byte each, that the attention makes."""

_PROMPT_TOKENS = 256
"""Tokens of prompts of a usual length."""

_VAE_MAPS = 6
"""Feature maps at full resolution, of the decoder's first width, that are alive at its peak, for each frame: all frames
are decoded at once."""


def info_of(model: HunyuanModel, vae: HunyuanVAE, networks: tuple[torch.nn.Module, ...], *, prompts: bool) -> ModelInfo:
    """Describe a transformer with its VAE: `4 n + 1` frames, and sizes that VAE and patches take.

    Parameters
    ----------
    model : HunyuanModel
        The transformer.
    vae : HunyuanVAE
        The VAE.
    networks : tuple of torch.nn.Module
        All networks.
    prompts : bool
        Whether there are text encoders.
    """
    packing = FramePacking(lead=(1,), cycle=(vae.frames_per_latent,))
    geometry = Geometry(
        size_multiple=vae.pixels_per_latent * model.latents_per_patch,
        frame_step=vae.frames_per_latent,
        frame_offset=1,
        trained_frames=_TRAINED_FRAMES,
        packing=packing,
    )

    def activations(size: tuple[int, int], frames: int, clips: int) -> int:
        del clips
        count = geometry.frames_for(frames)
        pixels = size[0] * size[1]
        tokens = (packing.latents(count) or 0) * pixels // geometry.size_multiple**2 + _PROMPT_TOKENS
        states = tokens * (2 * model.inner_width + _TOKEN_STATES * model.width) * _FLOAT
        network = _CONDITIONINGS * (states + _MASKS * tokens**2)
        tile = pixels if vae.tile is None else min(pixels, vae.tile**2)
        return max(network, tile * count * vae.width * _VAE_MAPS * _FLOAT)

    recommended = replace(RECOMMENDED, cfg=model.guidance or RECOMMENDED.cfg)
    return ModelInfo(
        family=FAMILY_NAME,
        geometry=geometry,
        sampler_names=FLOW_SAMPLERS,
        scheduler_names=FLOW_SCHEDULES,
        prompts=prompts,
        memory=MemoryModel(networks, activations),
        recommended=replace(suited(recommended, DISTILLED, model.told), shift=model.table.shift),
    )
