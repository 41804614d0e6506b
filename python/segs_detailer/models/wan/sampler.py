"""The `Sampler` over Wan's networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, ModelError
from segs_detailer.models.flow import check_flow_sampler
from segs_detailer.models.network_sampler import NetworkSampler
from segs_detailer.models.wan.info import info_of
from segs_detailer.models.wan.network import GuidedFlow, WanModel
from segs_detailer.models.wan.pipeline import wan_pipeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segs_detailer.models.compute import ComputeOptions
    from segs_detailer.models.denoiser import Denoiser
    from segs_detailer.models.info import ModelInfo
    from segs_detailer.models.interface import Conditioning, SampleJob
    from segs_detailer.models.stages import DenoiserFactory
    from segs_detailer.models.wan.text import WanTextEncoder
    from segs_detailer.models.wan.vae import VideoVAE

__all__ = ["WanSampler"]

_MEANINGS = {
    "control": ": leave out the ControlNet (control_net_wrapper)",
    "image_embeds": ": leave out the IP-Adapter's picture (image_prompt)",
    "mask": ": give each segment its own prompt in place of masked conditioning",
}
"""What conditioning options stand for, where that is not plain."""


class WanSampler(NetworkSampler):
    """Encode, sample and decode with a Wan model of diffusers.

    Parameters
    ----------
    model : WanModel
        The transformer with its noise levels.
    vae : VideoVAE
        The VAE.
    clip : WanTextEncoder or None
        The text encoder.

    Notes
    -----
    Latents are `(1, C, T, h, w)` float32 as the VAE gives them; callbacks see them normalized, in the sampler's own
    space.
    """

    frame_axis: ClassVar[int] = 2

    model: WanModel
    vae: VideoVAE
    clip: WanTextEncoder | None

    def __init__(self, model: WanModel, vae: VideoVAE, clip: WanTextEncoder | None = None) -> None:
        super().__init__(model, vae, clip)

    @property
    def info(self) -> ModelInfo:
        """See `segs_detailer.models.wan.info`."""
        return info_of(self.model, self.vae, self.networks, prompts=self.clip is not None)

    @property
    def denoising_networks(self) -> Sequence[torch.nn.Module]:
        """The transformers."""
        return [network for network in (self.model.transformer, self.model.low_noise) if network is not None]

    def check(self, latents: Tensor, job: SampleJob) -> None:
        """Refuse latents of another shape, samplers and schedules that do not hold for a flow, and masked pictures."""
        self.model.check_latents(latents)
        check_flow_sampler(job.sampler_name, None if job.scheduler_func is not None else job.scheduler)
        super().check(latents, job)
        if job.inpaint_model:
            raise InvalidArgumentError("inpaint_model", "False for Wan; the noise mask works all the same", "True")

    def diffusers_pipeline(self) -> Any:
        """Find the pipeline that holds the parts, or put them into one."""
        if self.clip is None:
            raise InvalidTypeError("clip", "a WanTextEncoder (from_pretrained makes it)", "another or none")
        return wan_pipeline(self.model, self.clip, self.vae)

    def use_own(self, compute: ComputeOptions) -> None:
        """Refuse what only UNets take."""
        for name, value in (
            ("frame_batch", compute.frame_batch),
            ("channels_last", compute.channels_last or None),
            ("attention_slicing", compute.attention_slicing),
        ):
            if value is not None:
                raise InvalidArgumentError(name, "its default for Wan, which has no such thing", repr(value))

    def denoiser(
        self, source: Tensor, job: SampleJob, positive: Conditioning, negative: Conditioning
    ) -> DenoiserFactory:
        """Put the transformer under its prompts."""
        del source

        def denoiser(levels: Tensor) -> Denoiser:  # noqa: ARG001 - a flow needs no knowledge of the run's levels
            sides = _same_length(_prompt(positive, "positive"), _prompt(negative, "negative"))
            return GuidedFlow(self.model, sides[0], sides[1], job.cfg)

        return denoiser


def _prompt(conditioning: Conditioning, argument: str) -> Tensor:
    """Take the one embedding of a conditioning; options that a Wan model cannot honor are refused, not dropped."""
    if len(conditioning) != 1:
        raise InvalidArgumentError(argument, "one conditioning entry for Wan", str(len(conditioning)))
    entry: Any = conditioning[0]
    embedding, options = entry
    ignored = {"pooled_output", "prompt"}
    neutral = {"strength": 1.0, "mask_strength": 1.0, "start_percent": 0.0, "end_percent": 1.0}
    for key, value in (options or {}).items():
        if key not in ignored and value is not None and value != neutral.get(key):
            raise ModelError(f"{argument}: conditioning with {key!r} is not supported for Wan{_MEANINGS.get(key, '')}")
    if not isinstance(embedding, Tensor) or embedding.ndim != 3 or len(embedding) != 1:
        got = f"shape {tuple(embedding.shape)}" if isinstance(embedding, Tensor) else type(embedding).__name__
        raise InvalidArgumentError(argument, "an embedding of shape (1, tokens, channels)", got)
    return embedding


def _same_length(*prompts: Tensor) -> tuple[Tensor, ...]:
    """Prompts filled up with zeros to one length, as Wan was trained with."""
    length = max(prompt.shape[1] for prompt in prompts)
    return tuple(torch.nn.functional.pad(prompt, (0, 0, 0, length - prompt.shape[1])) for prompt in prompts)
