"""Stable Diffusion 1.5 and SDXL, with and without AnimateDiff's motion modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from segs_detailer.errors import ModelError
from segs_detailer.models.device import check_uniform
from segs_detailer.models.family import Family
from segs_detailer.models.sd.info import FAMILY_NAME
from segs_detailer.models.sd.loader import load_parts, load_single_file, take_parts
from segs_detailer.models.sd.network import DiffusersModel, is_diffusers_unet
from segs_detailer.models.sd.sampler import DiffusersSampler
from segs_detailer.models.sd.text import TextEncoder
from segs_detailer.models.sd.vae import FrameVAE, is_frame_vae

if TYPE_CHECKING:
    from segs_detailer.models.family import Parts
    from segs_detailer.models.loading import LoadOptions

__all__ = ["FAMILY"]


class _StableDiffusion(Family):
    name: ClassVar[str] = FAMILY_NAME
    takes: ClassVar[str] = "a DiffusersModel, UNetMotionModel or UNet2DConditionModel"
    reads_files: ClassVar[bool] = True

    def owns(self, model: object) -> bool:
        return isinstance(model, DiffusersModel) or is_diffusers_unet(model)

    def sampler(self, model: Any, clip: Any, vae: Any) -> DiffusersSampler:
        owned = model if isinstance(model, DiffusersModel) else DiffusersModel(model)
        return DiffusersSampler(owned, _frame_vae(vae), clip if isinstance(clip, TextEncoder) else None)

    def with_image_prompt(self, model: Any, image_prompt: Any) -> DiffusersModel:
        owned = model if isinstance(model, DiffusersModel) else DiffusersModel(model)
        return owned.with_image_prompt(image_prompt)

    def reads(self, pipeline: str) -> bool:
        # What is missing in a checkpoint of another kind is said by the loader.
        del pipeline
        return True

    def load(self, base: str, motion_adapter: Any, load: LoadOptions) -> Parts:
        return load_parts(base, motion_adapter, load)

    def load_file(self, path: str, config: str, motion_adapter: Any, load: LoadOptions) -> Parts:
        return load_single_file(path, config, motion_adapter, load)

    def take(self, pipeline: Any, **options: Any) -> Parts:
        return take_parts(pipeline, **options)


def _frame_vae(vae: Any) -> FrameVAE:
    if isinstance(vae, FrameVAE):
        return vae
    if is_frame_vae(vae):
        check_uniform(vae, "the VAE")
        return FrameVAE(vae)
    raise ModelError(f"cannot encode with a {type(vae).__name__}: expected a FrameVAE or an AutoencoderKL of diffusers")


FAMILY = _StableDiffusion()
