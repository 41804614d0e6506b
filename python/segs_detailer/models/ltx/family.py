"""LTX-2, 2.3 and 2.5."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from segs_detailer.errors import ModelError
from segs_detailer.models.device import check_uniform
from segs_detailer.models.family import Family
from segs_detailer.models.ltx.files import CONFIG, is_ltx_file
from segs_detailer.models.ltx.info import FAMILY_NAME
from segs_detailer.models.ltx.loader import load_ltx, take_ltx_parts
from segs_detailer.models.ltx.network import LtxModel, is_ltx_transformer
from segs_detailer.models.ltx.sampler import LtxSampler
from segs_detailer.models.ltx.text import LtxTextEncoder
from segs_detailer.models.ltx.vae import LtxVAE, is_ltx_vae

if TYPE_CHECKING:
    from segs_detailer.models.family import Parts
    from segs_detailer.models.loading import LoadOptions
    from segs_detailer.models.single_files import Shapes

__all__ = ["FAMILY"]


class _Ltx(Family):
    name: ClassVar[str] = FAMILY_NAME
    reads_files: ClassVar[bool] = True
    load_options: ClassVar[frozenset[str]] = frozenset({"quantization"})
    takes: ClassVar[str] = "a LtxModel or LTX2VideoTransformer3DModel"

    def owns(self, model: object) -> bool:
        return isinstance(model, LtxModel) or is_ltx_transformer(model)

    def sampler(self, model: Any, clip: Any, vae: Any) -> LtxSampler:
        owned = model if isinstance(model, LtxModel) else LtxModel(model)
        return LtxSampler(owned, _video_vae(vae), clip if isinstance(clip, LtxTextEncoder) else None)

    def reads(self, pipeline: str) -> bool:
        return pipeline.startswith("LTX2")

    def load(self, base: str, motion_adapter: Any, load: LoadOptions) -> Parts:
        return load_ltx(base, motion_adapter, load)

    def file_config(self, path: str, shapes: Shapes, load: LoadOptions) -> str | None:
        del load
        return CONFIG if is_ltx_file(shapes, path) else None

    def load_file(self, path: str, config: str, motion_adapter: Any, load: LoadOptions) -> Parts:
        return load_ltx(config, motion_adapter, load, path)

    def take(self, pipeline: Any, **options: Any) -> Parts:
        return take_ltx_parts(pipeline, **options)


def _video_vae(vae: Any) -> LtxVAE:
    if isinstance(vae, LtxVAE):
        return vae
    if is_ltx_vae(vae):
        check_uniform(vae, "the VAE")
        return LtxVAE(vae)
    raise ModelError(
        f"cannot encode with a {type(vae).__name__}: LTX-2 expects an LtxVAE or an AutoencoderKLLTX2Video of diffusers"
    )


FAMILY = _Ltx()
