"""From the objects of a basic_pipe to the `Sampler` that drives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from segs_detailer.errors import ModelError
from segs_detailer.models.protocol import Sampler
from segs_detailer.models.sd.device import check_uniform
from segs_detailer.models.sd.model import DiffusersModel, is_diffusers_unet
from segs_detailer.models.sd.sampler import DiffusersSampler
from segs_detailer.models.sd.vae import FrameVAE
from segs_detailer.models.wan.model import WanModel, is_wan_transformer
from segs_detailer.models.wan.sampler import WanSampler
from segs_detailer.models.wan.vae import ClipVAE, is_clip_vae

__all__ = ["Finder", "register", "sampler_for"]

Finder: TypeAlias = Callable[[Any, Any, Any], "Sampler | None"]
"""`(model, clip, vae) -> Sampler`, or None for a model that is not its own."""

_finders: list[Finder] = []


def register(finder: Finder) -> None:
    """Let `sampler_for` ask a host program's backend before its own.

    Parameters
    ----------
    finder : Finder
        Asked for each model that has no `Sampler` protocol itself. One that is registered already is not asked twice.
    """
    if finder not in _finders:
        _finders.append(finder)


def sampler_for(model: Any, clip: Any, vae: Any) -> Sampler:
    """Find the backend for a model.

    Parameters
    ----------
    model : object
        An object with the `Sampler` protocol, which is returned as it is; a model of a registered backend; a
        `DiffusersModel` or `WanModel`; a UNet of diffusers, which gets the noise levels of SD 1.5, or of AnimateDiff if
        it has motion modules; or Wan's transformer, which gets Wan's.
    clip : object
        For registered backends; the others do not need it, as conditioning is encoded already.
    vae : object
        For UNets: a `FrameVAE`, or an AutoencoderKL of diffusers. For Wan: a `ClipVAE`, or an AutoencoderKLWan.

    Raises
    ------
    ModelError
        The model, or its VAE, is none of these, or the VAE's weights have several dtypes or devices.
    """
    if isinstance(model, Sampler):
        return model
    for find in _finders:
        found = find(model, clip, vae)
        if found is not None:
            return found
    if is_diffusers_unet(model):
        model = DiffusersModel(model)
    if isinstance(model, DiffusersModel):
        return DiffusersSampler(model, _frame_vae(vae))
    if is_wan_transformer(model):
        model = WanModel(model)
    if isinstance(model, WanModel):
        return WanSampler(model, _clip_vae(vae))
    raise ModelError(
        f"cannot sample with a {type(model).__name__}: expected a DiffusersModel (BasicPipe.from_pretrained makes it), "
        "a UNetMotionModel, UNet2DConditionModel or WanTransformer3DModel of diffusers, or "
        "an object with encode, sample, decode and geometry"
    )


def _frame_vae(vae: Any) -> FrameVAE:
    if isinstance(vae, FrameVAE):
        return vae
    # A VAE of clips has these three as well, and would fail in the middle of a run.
    if all(hasattr(vae, name) for name in ("encode", "decode", "config")) and not is_clip_vae(vae):
        check_uniform(vae, "the VAE")
        return FrameVAE(vae)
    raise ModelError(f"cannot encode with a {type(vae).__name__}: expected a FrameVAE or an AutoencoderKL of diffusers")


def _clip_vae(vae: Any) -> ClipVAE:
    if isinstance(vae, ClipVAE):
        return vae
    if is_clip_vae(vae):
        check_uniform(vae, "the VAE")
        return ClipVAE(vae)
    raise ModelError(
        f"cannot encode with a {type(vae).__name__}: Wan expects a ClipVAE or an AutoencoderKLWan of diffusers"
    )
