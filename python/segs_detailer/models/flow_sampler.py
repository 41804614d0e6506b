"""The `Sampler` over a video network of flow matching."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, ModelError
from segs_detailer.models.flow import check_flow_sampler
from segs_detailer.models.flow_model import FlowModel, GuidedFlow
from segs_detailer.models.network_sampler import NetworkSampler

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

    from segs_detailer.models.compute import ComputeOptions
    from segs_detailer.models.denoiser import Denoiser
    from segs_detailer.models.interface import Conditioning, SampleJob
    from segs_detailer.models.stages import DenoiserFactory
    from segs_detailer.models.video_vae import VideoVAE

__all__ = ["FlowSampler"]

_MEANINGS = {
    "control": ": leave out the ControlNet (control_net_wrapper)",
    "image_embeds": ": leave out the IP-Adapter's picture (image_prompt)",
    "mask": ": give each segment its own prompt in place of masked conditioning",
}
"""What conditioning options stand for, where that is not plain."""

_NEUTRAL = {"strength": 1.0, "mask_strength": 1.0, "start_percent": 0.0, "end_percent": 1.0}
_NOTES = frozenset({"pooled_output", "prompt"})
"""Options that say nothing to these networks, and ask for nothing."""


class FlowSampler(NetworkSampler):
    """Encode, sample and decode with a video network of diffusers that follows a flow.

    Parameters
    ----------
    model : FlowModel
        The network with its noise levels.
    vae : VideoVAE
        The VAE.
    clip : object or None
        The family's text encoder.

    Notes
    -----
    Latents are `(1, C, T, h, w)` float32 as the VAE gives them; callbacks see them normalized, in the sampler's own
    space.
    """

    frame_axis: ClassVar[int] = 2

    takes_options: ClassVar[frozenset[str]] = frozenset()
    """Options of conditioning entries that the family honors."""

    hides_pixels: ClassVar[bool] = False
    """Whether the family knows `SampleJob.inpaint_model`."""

    model: FlowModel
    vae: VideoVAE

    def __init__(self, model: FlowModel, vae: VideoVAE, clip: Any = None) -> None:
        super().__init__(model, vae, clip)

    @property
    def denoising_networks(self) -> Sequence[torch.nn.Module]:
        """The transformers."""
        return self.model.networks

    @property
    def clean_token(self) -> tuple[int, int, int] | None:
        """Latents in a token of a model that sees clean what it knows."""
        return self.model.clean_token

    @property
    def _family(self) -> str:
        return self.info.family

    def check(self, latents: Tensor, job: SampleJob) -> None:
        """Refuse latents of another shape, samplers and schedules that do not hold for a flow, and masked pictures."""
        self.model.check_latents(latents)
        check_flow_sampler(job.sampler_name, None if job.scheduler_func is not None else job.scheduler)
        super().check(latents, job)
        if job.inpaint_model and not self.hides_pixels:
            expected = f"False for {self._family}; the noise mask works all the same"
            raise InvalidArgumentError("inpaint_model", expected, "True")

    def diffusers_pipeline(self) -> Any:
        """Find the pipeline that holds the parts, or put them into one."""
        if self.clip is None:
            raise InvalidTypeError(
                "clip", f"the text encoder of {self._family} (from_pretrained makes it)", "another or none"
            )
        if self.model.pipeline is None:
            self.model.pipeline = self.new_pipeline()
        return self.model.pipeline

    @abstractmethod
    def new_pipeline(self) -> Any:
        """Put the parts, text encoder and all, into a pipeline of diffusers: the way to its loaders and memory options.

        The networks in it are the very same.
        """

    def use_own(self, compute: ComputeOptions) -> None:
        """Refuse what only UNets take."""
        for name, value in (
            ("frame_batch", compute.frame_batch),
            ("channels_last", compute.channels_last or None),
            ("attention_slicing", compute.attention_slicing),
        ):
            if value is not None:
                expected = f"its default for {self._family}, which has no such thing"
                raise InvalidArgumentError(name, expected, repr(value))

    def denoiser(
        self, source: Tensor, job: SampleJob, positive: Conditioning, negative: Conditioning
    ) -> DenoiserFactory:
        """Put the transformer under its prompts."""
        del source

        def denoiser(levels: Tensor) -> Denoiser:  # noqa: ARG001 - a flow needs no knowledge of the run's levels
            sides = self.prompts(self._entry(positive, "positive"), self._entry(negative, "negative"))
            return GuidedFlow(self.model, *sides, job.cfg)

        return denoiser

    def prompts(
        self, positive: tuple[Tensor, Mapping[str, Any]], negative: tuple[Tensor, Mapping[str, Any]]
    ) -> tuple[Any, Any]:
        """Make what the model's `velocity` takes of the embeddings and options of both sides."""
        return positive[0], negative[0]

    def _entry(self, conditioning: Conditioning, argument: str) -> tuple[Tensor, Mapping[str, Any]]:
        """Take the one entry of a conditioning; options that the family cannot honor are refused, not dropped."""
        if len(conditioning) != 1:
            raise InvalidArgumentError(argument, f"one conditioning entry for {self._family}", str(len(conditioning)))
        embedding, given = conditioning[0]
        options = given or {}
        for key, value in options.items():
            if key not in _NOTES | self.takes_options and value is not None and value != _NEUTRAL.get(key):
                meaning = _MEANINGS.get(key, "")
                raise ModelError(f"{argument}: conditioning with {key!r} is not supported for {self._family}{meaning}")
        if not isinstance(embedding, Tensor) or embedding.ndim != 3 or len(embedding) != 1:
            got = f"shape {tuple(embedding.shape)}" if isinstance(embedding, Tensor) else type(embedding).__name__
            raise InvalidArgumentError(argument, "an embedding of shape (1, tokens, channels)", got)
        return embedding, options
