"""HunyuanVideo 1.5, text to video."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from segs_detailer.errors import ModelError
from segs_detailer.models.device import check_uniform
from segs_detailer.models.family import Family
from segs_detailer.models.hunyuan.info import FAMILY_NAME
from segs_detailer.models.hunyuan.loader import load_hunyuan, take_hunyuan_parts
from segs_detailer.models.hunyuan.network import HunyuanModel, is_hunyuan_transformer
from segs_detailer.models.hunyuan.sampler import HunyuanSampler
from segs_detailer.models.hunyuan.text import HunyuanTextEncoder
from segs_detailer.models.hunyuan.vae import HunyuanVAE, is_hunyuan_vae

if TYPE_CHECKING:
    from segs_detailer.models.family import Parts
    from segs_detailer.models.loading import LoadOptions

__all__ = ["FAMILY"]


class _Hunyuan(Family):
    name: ClassVar[str] = FAMILY_NAME
    load_options: ClassVar[frozenset[str]] = frozenset({"quantization"})
    takes: ClassVar[str] = "a HunyuanModel or HunyuanVideo15Transformer3DModel"

    def owns(self, model: object) -> bool:
        return isinstance(model, HunyuanModel) or is_hunyuan_transformer(model)

    def sampler(self, model: Any, clip: Any, vae: Any) -> HunyuanSampler:
        owned = model if isinstance(model, HunyuanModel) else HunyuanModel(model)
        return HunyuanSampler(owned, _video_vae(vae), clip if isinstance(clip, HunyuanTextEncoder) else None)

    def reads(self, pipeline: str) -> bool:
        return pipeline.startswith("HunyuanVideo15")

    def load(self, base: str, motion_adapter: Any, load: LoadOptions) -> Parts:
        return load_hunyuan(base, motion_adapter, load)

    def take(self, pipeline: Any, **options: Any) -> Parts:
        return take_hunyuan_parts(pipeline, **options)


def _video_vae(vae: Any) -> HunyuanVAE:
    if isinstance(vae, HunyuanVAE):
        return vae
    if is_hunyuan_vae(vae):
        check_uniform(vae, "the VAE")
        return HunyuanVAE(vae)
    raise ModelError(
        f"cannot encode with a {type(vae).__name__}: HunyuanVideo expects a HunyuanVAE or an "
        "AutoencoderKLHunyuanVideo15 of diffusers"
    )


FAMILY = _Hunyuan()
