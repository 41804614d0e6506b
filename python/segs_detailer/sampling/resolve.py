"""From the objects of a basic_pipe to the `Sampler` that drives them."""

from __future__ import annotations

from typing import Any

from ..errors import ModelError
from .diffusers.model import DiffusersModel, is_diffusers_unet
from .diffusers.sampler import DiffusersSampler
from .diffusers.vae import FrameVAE
from .protocol import Sampler
from .wan.model import WanModel, is_wan_transformer
from .wan.sampler import WanSampler
from .wan.vae import ClipVAE

__all__ = ["sampler_for"]


def sampler_for(model: Any, clip: Any, vae: Any) -> Sampler:  # noqa: ARG001 - basic_pipe's order; prompts are encoded
    """Find the backend for a model.

    Parameters
    ----------
    model : object
        An object with the `Sampler` protocol, which is returned as it is; a `DiffusersModel`; or a UNet of diffusers,
        which gets the noise levels of SD 1.5, or of AnimateDiff if it has motion modules.
    clip : object
        Not needed: conditioning is encoded already.
    vae : object
        For diffusers: a `FrameVAE`, or a VAE of diffusers.

    Raises
    ------
    ModelError
        The model, or its VAE, is none of these.
    """
    if isinstance(model, Sampler):
        return model
    if is_diffusers_unet(model):
        model = DiffusersModel(model)
    if isinstance(model, DiffusersModel):
        return DiffusersSampler(model, _frame_vae(vae))
    if is_wan_transformer(model):
        model = WanModel(model)
    if isinstance(model, WanModel):
        return WanSampler(model, vae if isinstance(vae, ClipVAE) else ClipVAE(vae))
    raise ModelError(
        f"cannot sample with a {type(model).__name__}: expected a DiffusersModel (BasicPipe.from_pretrained makes it), "
        "a UNetMotionModel, UNet2DConditionModel or WanTransformer3DModel of diffusers, or "
        "an object with encode, sample, decode and geometry"
    )


def _frame_vae(vae: Any) -> FrameVAE:
    if isinstance(vae, FrameVAE):
        return vae
    if hasattr(vae, "encode") and hasattr(vae, "decode") and hasattr(vae, "config"):
        return FrameVAE(vae)
    raise ModelError(f"cannot encode with a {type(vae).__name__}: expected a FrameVAE or an AutoencoderKL of diffusers")
