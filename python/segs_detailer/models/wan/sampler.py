"""The `Sampler` over Wan's networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from segs_detailer.models.files import packages
from segs_detailer.models.flow_sampler import FlowSampler
from segs_detailer.models.wan.info import info_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from segs_detailer.models.info import ModelInfo
    from segs_detailer.models.wan.network import WanModel
    from segs_detailer.models.wan.text import WanTextEncoder
    from segs_detailer.models.wan.vae import WanVAE

__all__ = ["WanSampler"]


class WanSampler(FlowSampler):
    """Encode, sample and decode with a Wan model of diffusers.

    Parameters
    ----------
    model : WanModel
        The transformer with its noise levels.
    vae : WanVAE
        The VAE.
    clip : WanTextEncoder or None
        The text encoder.
    """

    model: WanModel
    vae: WanVAE
    clip: WanTextEncoder | None

    @property
    def info(self) -> ModelInfo:
        """See `segs_detailer.models.wan.info`."""
        return info_of(self.model, self.vae, self.networks, prompts=self.clip is not None)

    def new_pipeline(self) -> Any:
        """Put the parts into a `WanPipeline`."""
        diffusers, _ = packages()
        clip: Any = self.clip
        return diffusers.WanPipeline(
            tokenizer=clip.tokenizer,
            text_encoder=clip.encoder,
            vae=self.vae.vae,
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=self.model.table.shift),
            transformer=self.model.transformer,
            transformer_2=self.model.low_noise,
            boundary_ratio=self.model.boundary,
        )

    def prompts(
        self, positive: tuple[Tensor, Mapping[str, Any]], negative: tuple[Tensor, Mapping[str, Any]]
    ) -> tuple[Tensor, Tensor]:
        """Fill prompts up with zeros to one length, as Wan was trained with."""
        sides = positive[0], negative[0]
        length = max(side.shape[1] for side in sides)
        first, second = (torch.nn.functional.pad(side, (0, 0, 0, length - side.shape[1])) for side in sides)
        return first, second
