"""Wan 2.1 and 2.2, text to video, and VACE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from segs_detailer.errors import ModelError
from segs_detailer.models.device import check_uniform
from segs_detailer.models.family import Family
from segs_detailer.models.wan.info import FAMILY_NAME
from segs_detailer.models.wan.kinds import config_of, file_kind
from segs_detailer.models.wan.loader import load_wan, load_wan_file, take_wan_parts
from segs_detailer.models.wan.network import WanModel, is_wan_transformer
from segs_detailer.models.wan.sampler import WanSampler, shown
from segs_detailer.models.wan.text import WanTextEncoder
from segs_detailer.models.wan.vae import WanVAE, is_wan_vae

if TYPE_CHECKING:
    from segs_detailer.models.family import Parts
    from segs_detailer.models.loading import LoadOptions
    from segs_detailer.models.single_files import Shapes

__all__ = ["FAMILY"]


class _Wan(Family):
    name: ClassVar[str] = FAMILY_NAME
    reads_files: ClassVar[bool] = True
    load_options: ClassVar[frozenset[str]] = frozenset({"conditioning_scale", "quantization", "transformer_2", "vae"})
    takes: ClassVar[str] = "a WanModel, WanTransformer3DModel or WanVACETransformer3DModel"

    def owns(self, model: object) -> bool:
        return isinstance(model, WanModel) or is_wan_transformer(model)

    def sampler(self, model: Any, clip: Any, vae: Any) -> WanSampler:
        owned = model if isinstance(model, WanModel) else WanModel(model)
        return WanSampler(owned, _video_vae(vae), clip if isinstance(clip, WanTextEncoder) else None)

    def with_image_prompt(self, model: Any, image_prompt: Any) -> WanModel:
        return shown(model if isinstance(model, WanModel) else WanModel(model), image_prompt)

    def reads(self, pipeline: str) -> bool:
        return pipeline.startswith("Wan")

    def load(self, base: str, motion_adapter: Any, load: LoadOptions) -> Parts:
        return load_wan(base, motion_adapter, load)

    def file_config(self, path: str, shapes: Shapes, load: LoadOptions) -> str | None:
        kind = file_kind(shapes, path)
        return None if kind is None else config_of(kind, path, is_pair=load.transformer_2 is not None)

    def load_file(self, path: str, config: str, motion_adapter: Any, load: LoadOptions) -> Parts:
        return load_wan_file(path, config, motion_adapter, load)

    def take(self, pipeline: Any, **options: Any) -> Parts:
        return take_wan_parts(pipeline, **options)


def _video_vae(vae: Any) -> WanVAE:
    if isinstance(vae, WanVAE):
        return vae
    if is_wan_vae(vae):
        check_uniform(vae, "the VAE")
        return WanVAE(vae)
    raise ModelError(
        f"cannot encode with a {type(vae).__name__}: Wan expects a WanVAE or an AutoencoderKLWan of diffusers"
    )


FAMILY = _Wan()
