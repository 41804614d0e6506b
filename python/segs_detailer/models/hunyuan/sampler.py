"""The `Sampler` over the networks of HunyuanVideo 1.5."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from segs_detailer.models.files import packages
from segs_detailer.models.flow_sampler import FlowSampler
from segs_detailer.models.hunyuan.info import RECOMMENDED, info_of
from segs_detailer.models.hunyuan.network import HunyuanPrompt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from segs_detailer.models.hunyuan.network import HunyuanModel
    from segs_detailer.models.hunyuan.text import HunyuanTextEncoder
    from segs_detailer.models.hunyuan.vae import HunyuanVAE
    from segs_detailer.models.info import ModelInfo

__all__ = ["HunyuanSampler"]


class HunyuanSampler(FlowSampler):
    """Encode, sample and decode with HunyuanVideo 1.5 of diffusers.

    Parameters
    ----------
    model : HunyuanModel
        The transformer with its noise levels.
    vae : HunyuanVAE
        The VAE.
    clip : HunyuanTextEncoder or None
        The text encoders.
    """

    takes_options: ClassVar[frozenset[str]] = frozenset({"glyphs"})

    model: HunyuanModel
    vae: HunyuanVAE
    clip: HunyuanTextEncoder | None

    @property
    def info(self) -> ModelInfo:
        """See `segs_detailer.models.hunyuan.info`."""
        return info_of(self.model, self.vae, self.networks, prompts=self.clip is not None)

    def new_pipeline(self) -> Any:
        """Put the parts into a `HunyuanVideo15Pipeline`."""
        diffusers, _ = packages()
        clip: Any = self.clip
        scale = self.model.guidance or RECOMMENDED.cfg
        return diffusers.HunyuanVideo15Pipeline(
            tokenizer=clip.tokenizer,
            text_encoder=clip.encoder,
            tokenizer_2=clip.glyph_tokenizer,
            text_encoder_2=clip.glyph_encoder,
            vae=self.vae.vae,
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=self.model.table.shift),
            transformer=self.model.transformer,
            guider=diffusers.ClassifierFreeGuidance(guidance_scale=scale),
        )

    def prompts(
        self, positive: tuple[Tensor, Mapping[str, Any]], negative: tuple[Tensor, Mapping[str, Any]]
    ) -> tuple[HunyuanPrompt, HunyuanPrompt]:
        """Put the states of each prompt beside those of its text in quotes."""
        first, second = (HunyuanPrompt(states, options.get("glyphs")) for states, options in (positive, negative))
        return first, second
