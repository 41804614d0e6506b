"""What models of Stable Diffusion say of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segs_detailer.models.distillation import Distillation, suited
from segs_detailer.models.info import Geometry, MemoryModel, ModelInfo, Recommended

if TYPE_CHECKING:
    import torch

    from segs_detailer.models.sd.network import DiffusersModel
    from segs_detailer.models.sd.vae import FrameVAE

__all__ = ["DISTILLED", "FAMILY_NAME", "info_of"]

FAMILY_NAME = "Stable Diffusion"

_CONDITIONING = frozenset(
    (
        *("pooled_output", "mask", "mask_strength", "strength", "start_percent", "end_percent", "control"),
        *("image_embeds", "width", "height", "crop_w", "crop_h", "target_width", "target_height"),
    )
)

SDXL = Recommended(guide_size=768, max_size=1024)
"""Trained on pictures of 1024 x 1024. What suits models of Stable Diffusion 1.5 are the detailer's own defaults."""

_FEW_STEPS = Recommended(steps=6, cfg=1.5, sampler_name="lcm", scheduler="sgm_uniform")

DISTILLED = (
    Distillation("AnimateLCM", "animatelcm", _FEW_STEPS),
    Distillation("the LCM LoRA", r"lcm[-_]?lora", _FEW_STEPS),
)
"""Weights for a few steps with little guidance."""

_FLOAT = 4
_LIVE_MAPS = 12
"""Feature maps of a diffusion network that are alive at its peak: those kept for the way up, and the work on one."""

_VAE_MAPS = 8
"""Feature maps at full resolution that are alive in a decoder, as `FrameVAE` counts them."""

_VAE_WIDTH = 256
_UNET_WIDTH = 320
_LATENT_FACTOR = 8
_WINDOW = 16
"""Frames that a motion module without windows is taken to see at once."""

_CONDITIONINGS = 2
"""Prompt and negative prompt go through the network together."""


def info_of(model: DiffusersModel, vae: FrameVAE, networks: tuple[torch.nn.Module, ...], *, prompts: bool) -> ModelInfo:
    """Describe a UNet with its VAE: any number of frames, from the windows' `min_frames` on; sizes that the VAE takes.

    Parameters
    ----------
    model : DiffusersModel
        The UNet.
    vae : FrameVAE
        The VAE.
    networks : tuple of torch.nn.Module
        All networks.
    prompts : bool
        Whether there is a text encoder.
    """
    geometry = Geometry(
        size_multiple=vae.pixels_per_latent,
        min_frames=model.windows.min_frames if model.is_motion else 1,
        takes_clips=True,
        max_frames=model.max_frames if model.windows.length is None else None,
        windows=model.windows if model.is_motion else None,
    )

    def activations(size: tuple[int, int], frames: int, clips: int) -> int:
        # A motion module has a window of each clip in the network; encoder and decoder take one after the other.
        pixels = size[0] * size[1]
        decoder = pixels * _VAE_WIDTH * _VAE_MAPS * _FLOAT
        if model.is_motion:
            seen = clips * min(frames, geometry.window or _WINDOW)
        else:
            seen = min(clips * frames, model.frame_batch)
        return max(decoder, _CONDITIONINGS * seen * pixels // _LATENT_FACTOR**2 * _UNET_WIDTH * _LIVE_MAPS * _FLOAT)

    return ModelInfo(
        family=FAMILY_NAME,
        geometry=geometry,
        conditioning=_CONDITIONING,
        prompts=prompts,
        memory=MemoryModel(networks, activations),
        recommended=_recommended(model),
    )


def _recommended(model: DiffusersModel) -> Recommended:
    base = SDXL if model.needs_pooled else Recommended()
    if model.table.stride > 1:
        # The noise levels are those of a consistency model: AnimateLCM's.
        return base.changed_by(_FEW_STEPS, "AnimateLCM")
    return suited(base, DISTILLED, model.told)
