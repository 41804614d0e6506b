"""What Wan's models say of themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from segs_detailer.models.distillation import Distillation, suited
from segs_detailer.models.flow import FLOW_SAMPLERS, FLOW_SCHEDULES
from segs_detailer.models.info import FramePacking, Geometry, MemoryModel, ModelInfo, Recommended

if TYPE_CHECKING:
    import torch

    from segs_detailer.models.wan.network import WanModel
    from segs_detailer.models.wan.vae import WanVAE

__all__ = ["DISTILLED", "FAMILY_NAME", "RECOMMENDED", "info_of"]

FAMILY_NAME = "Wan"

RECOMMENDED = Recommended(
    steps=20, cfg=5.0, sampler_name="uni_pc", scheduler="simple", denoise=0.4, guide_size=416, max_size=832
)
"""Guidance and shift of the makers' own examples; samplers of noise-free steps need about 20 of them. The models were
trained on pictures of 832 x 480."""

TOKENWISE = replace(RECOMMENDED, guide_size=640, max_size=1280)
"""TI2V-5B was trained on pictures of 1280 x 704, and makes a quarter of the tokens of them."""

DISTILLED = (
    Distillation(
        "LightX2V",
        r"lightx2v|wan.*lightning|step[-_]?distill",
        Recommended(steps=4, cfg=1.0, sampler_name="euler", scheduler="simple"),
    ),
)
"""Weights for a few steps without guidance."""

_TRAINED_FRAMES = 81
"""Frames of the makers' own clips; those of the 5B are longer, at a higher rate."""

_CFG_OF_PAIR = 3.0
"""The makers' guidance of the transformer for low noise: at the denoise above it works alone."""

_DENOISE_OF_VACE = 0.5
"""What VACE sees of the clip beside the noise holds more of it than the noise leaves."""

_FLOAT = 4
_CONDITIONINGS = 2
"""Prompt and negative prompt go through the network together."""

_TOKEN_STATES = 6
"""States of a token that are alive at the peak, beside the two of a feed-forward layer's inner width: measured as the
peak of the process on a CPU, 5 with a network of 768 channels, and rounded up."""

_VAE_MAPS = 64
"""Feature maps at full resolution, of the decoder's first width, that are alive at its peak: four frames at once, and
what each convolution keeps of the frames before. Measured in the same way with a network of the published size, 51 for
crops of 160 x 160 pixels, and rounded up."""


def info_of(model: WanModel, vae: WanVAE, networks: tuple[torch.nn.Module, ...], *, prompts: bool) -> ModelInfo:
    """Describe a transformer with its VAE: `4 n + 1` frames; sizes that VAE and patches take, and positions reach.

    Parameters
    ----------
    model : WanModel
        The transformer, or the pair of them.
    vae : WanVAE
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
        trained_frames=_TRAINED_FRAMES,
        max_side=vae.pixels_per_latent * side,
        packing=packing,
    )

    def activations(size: tuple[int, int], frames: int, clips: int) -> int:
        del clips
        # The transformer sees a clip as a whole, and one clip at a time; the VAE works through its frames.
        pixels = size[0] * size[1]
        held = (packing.latents(geometry.frames_for(frames)) or 0) + model.lead
        tokens = held * pixels // geometry.size_multiple**2
        # VACE's control branch works first, and leaves a state for each layer that it acts on.
        states = _TOKEN_STATES + model.control_layers
        network = _CONDITIONINGS * tokens * (2 * model.inner_width + states * model.width) * _FLOAT
        return max(network, pixels * vae.width * _VAE_MAPS * _FLOAT)

    return ModelInfo(
        family=FAMILY_NAME,
        geometry=geometry,
        sampler_names=FLOW_SAMPLERS,
        scheduler_names=FLOW_SCHEDULES,
        prompts=prompts,
        references=model.is_vace,
        memory=MemoryModel(networks, activations, model.coming),
        recommended=_recommended(model),
    )


def _recommended(model: WanModel) -> Recommended:
    settings = replace(TOKENWISE if model.expand_timesteps else RECOMMENDED, shift=model.table.shift)
    if len(model.experts) > 1:
        settings = replace(settings, cfg=_CFG_OF_PAIR)
    if model.is_vace:
        settings = replace(settings, denoise=_DENOISE_OF_VACE)
    return suited(settings, DISTILLED, model.told)
