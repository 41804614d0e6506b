"""The diffusers pipeline around a Wan model's parts: the way to diffusers' own loaders and memory options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segs_detailer.models.files import packages

if TYPE_CHECKING:
    from segs_detailer.models.wan.network import WanModel
    from segs_detailer.models.wan.text import WanTextEncoder
    from segs_detailer.models.wan.vae import VideoVAE

__all__ = ["wan_pipeline"]


def wan_pipeline(model: WanModel, clip: WanTextEncoder, vae: VideoVAE) -> Any:
    """Find the pipeline that holds a Wan pipe's parts, or put them into one.

    Parameters
    ----------
    model, clip, vae
        The parts of a `BasicPipe`.

    Returns
    -------
    diffusers.WanPipeline
        A pipeline over the very same networks.
    """
    if model.pipeline is None:
        diffusers, _ = packages()
        model.pipeline = diffusers.WanPipeline(
            tokenizer=clip.tokenizer,
            text_encoder=clip.encoder,
            vae=vae.vae,
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=model.table.shift),
            transformer=model.transformer,
            transformer_2=model.low_noise,
            boundary_ratio=model.boundary,
        )
    return model.pipeline
