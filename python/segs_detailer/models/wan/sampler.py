"""The `Sampler` over Wan's networks."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, ModelError
from segs_detailer.models.adapters import checked_lora, load_lora
from segs_detailer.models.files import packages
from segs_detailer.models.flow_model import GuidedFlow
from segs_detailer.models.flow_sampler import FlowSampler
from segs_detailer.models.image_prompt import ImagePrompt
from segs_detailer.models.network_sampler import offloaded, prepared
from segs_detailer.models.wan.info import info_of
from segs_detailer.models.wan.network import VaceControl, WanModel, WanPrompt
from segs_detailer.models.wan.vace import VaceInputs, grouped_mask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from torch import Tensor

    from segs_detailer.models.compute import ComputeOptions
    from segs_detailer.models.denoiser import Denoiser
    from segs_detailer.models.info import ModelInfo
    from segs_detailer.models.interface import Conditioning, SampleJob, Sampler
    from segs_detailer.models.stages import DenoiserFactory
    from segs_detailer.models.wan.text import WanTextEncoder
    from segs_detailer.models.wan.vae import WanVAE

__all__ = ["WanSampler", "load_into", "shown"]


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

    @property
    def hides_pixels(self) -> bool:  # type: ignore[override]
        """VACE can be shown gray where the clip is repainted."""
        return self.model.is_vace

    def check(self, latents: Tensor, job: SampleJob) -> None:
        """Refuse what no flow takes, and a refiner that does not know the pictures that VACE was shown."""
        super().check(latents, job)
        refiner = None if job.refiner is None else job.refiner.sampler
        if self.model.references and isinstance(refiner, WanSampler) and not refiner.model.is_vace:
            raise InvalidTypeError("refiner", "a VACE model, as the base model is", "another of Wan")

    def encode_image_prompt(self, images: Sequence[Tensor]) -> Any:
        """Take pictures of the subject for VACE; it encodes them when it knows the size of the crops."""
        if not self.model.is_vace:
            return super().encode_image_prompt(images)
        return ImagePrompt((), (), tuple(_pictures(stack) for stack in images))

    def with_image_prompt(self, image_prompt: Any) -> Sampler:
        """Show VACE pictures of the subject: another sampler over the same networks."""
        return WanSampler(shown(self.model, image_prompt), self.vae, self.clip)

    def load_lora(self, source: str | PathLike[str], weight: float, name: str, weight_name: str | None) -> None:
        """Load a LoRA into all transformers; into one that is not read yet, as soon as it is."""
        model = self.model
        experts = {expert.name: expert for expert in model.experts}
        read = [called for called, expert in experts.items() if expert.is_read]

        def load(into: Sequence[str], loaded: dict[str, float]) -> None:
            pipeline = self._pipeline()
            load_lora(pipeline, loaded, source, weight, name, weight_name, load=partial(load_into, pipeline, into))

        if read:
            load(read, model.lora_weights)
        else:
            checked_lora(model.lora_weights, source, name, weight_name)
            model.lora_weights[name] = weight

        def later(called: str, network: Any) -> None:
            del network
            others = {other: factor for other, factor in model.lora_weights.items() if other != name}
            adapters = self._pipeline().get_list_adapters().values()
            known = {adapter for part in adapters for adapter in part}
            load([called], {other: factor for other, factor in others.items() if other in known})

        for called, expert in experts.items():
            if called not in read:
                expert.do(partial(later, called))

    def diffusers_pipeline(self) -> Any:
        """Find the pipeline that holds the parts, or put them into one; transformers that are not read are read."""
        for expert in self.model.experts:
            _ = expert.network
        return self._pipeline()

    def new_pipeline(self) -> Any:
        """Put the parts into a `WanPipeline` or a `WanVACEPipeline`, without transformers that are not read yet."""
        diffusers, _ = packages()
        clip: Any = self.clip
        model = self.model
        kind = diffusers.WanVACEPipeline if model.is_vace else diffusers.WanPipeline
        more = {} if model.is_vace else {"expand_timesteps": model.expand_timesteps}
        return kind(
            tokenizer=clip.tokenizer,
            text_encoder=clip.encoder,
            vae=self.vae.vae,
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=model.table.shift),
            boundary_ratio=model.boundary,
            **{name: self._read.get(name) for name in ("transformer", "transformer_2")},
            **more,
        )

    def _pipeline(self) -> Any:
        """Return the pipeline with the transformers that are read."""
        pipeline = super().diffusers_pipeline()
        late = {name: network for name, network in self._read.items() if getattr(pipeline, name, None) is not network}
        if late:
            pipeline.register_modules(**late)
        return pipeline

    @property
    def _read(self) -> dict[str, Any]:
        return {expert.name: expert.network for expert in self.model.experts if expert.is_read}

    def use_on_networks(self, compute: ComputeOptions, device: torch.device) -> None:
        """Set up the transformers; one that is not read yet, as soon as it is."""
        for expert in self.model.experts:
            expert.do(lambda network: prepared(network, compute))
        offloaded(self._pipeline, compute, device)
        for expert in self.model.experts:
            if not expert.is_read:
                # A pipeline that gets a part more lays out anew what goes where.
                expert.do(lambda _: offloaded(self._pipeline, compute, device))

    def lead(self, source: Tensor, job: SampleJob) -> Tensor | None:
        """Latents of the pictures that VACE looks at."""
        pictures = self.model.references
        if not pictures:
            return None
        size = (int(job.pixels.shape[1]), int(job.pixels.shape[2]))
        return self._vace.references(pictures, size).to(source.device)

    def sample(self, latents: Tensor, job: SampleJob) -> Tensor:
        """Repaint latents; see `LatentSampler`. For VACE all frames of a latent have the same mask."""
        if self.model.is_vace and job.noise_mask is not None:
            job = replace(job, noise_mask=grouped_mask(job.noise_mask, self._packing, len(job.pixels)))
        return super().sample(latents, job)

    def denoiser(
        self, source: Tensor, job: SampleJob, positive: Conditioning, negative: Conditioning
    ) -> DenoiserFactory:
        """Put the transformer under its prompts; VACE also under the clip that it is to keep to."""

        def denoiser(levels: Tensor) -> Denoiser:  # noqa: ARG001 - a flow needs no knowledge of the run's levels
            sides = self.prompts(self._entry(positive, "positive"), self._entry(negative, "negative"))
            control = self._control(source, job)
            positive_prompt, negative_prompt = (WanPrompt(side, control) for side in sides)
            return GuidedFlow(self.model, positive_prompt, negative_prompt, job.cfg)

        return denoiser

    @property
    def _vace(self) -> VaceInputs:
        return VaceInputs(self.vae, self._packing)

    def _control(self, source: Tensor, job: SampleJob) -> VaceControl | None:
        if not self.model.is_vace:
            return None
        count = source.shape[2] - (self._packing.latents(len(job.pixels)) or 0)
        # What leads is the references' own latents, clean.
        references = source[:, :, :count] if count else None
        latents = self._vace.control(job.pixels, job.noise_mask, references, hide=job.inpaint_model)
        wanted = int(self.model.config.vace_in_channels)
        if latents.shape[1] != wanted:
            raise ModelError(f"the VAE makes {latents.shape[1]} channels of control for a VACE of {wanted}")
        return VaceControl(latents, self.model.conditioning_scale)

    def prompts(
        self, positive: tuple[Tensor, Mapping[str, Any]], negative: tuple[Tensor, Mapping[str, Any]]
    ) -> tuple[Tensor, Tensor]:
        """Fill prompts up with zeros to one length, as Wan was trained with."""
        sides = positive[0], negative[0]
        length = max(side.shape[1] for side in sides)
        first, second = (torch.nn.functional.pad(side, (0, 0, 0, length - side.shape[1])) for side in sides)
        return first, second


def shown(model: WanModel, image_prompt: Any) -> WanModel:
    """Show a VACE model the pictures of an image prompt.

    Raises
    ------
    ModelError
        The model is no VACE.
    """
    if not model.is_vace:
        raise ModelError("a model of the family 'Wan' has no image prompts (IP-Adapter), but for VACE")
    return model.with_references([picture for stack in image_prompt.images for picture in stack])


def load_into(pipeline: Any, names: Sequence[str], source: str, *, adapter_name: str, **arguments: Any) -> None:
    """Load a LoRA into some of a pipeline's transformers, as its `load_lora_weights` does.

    Parameters
    ----------
    pipeline : diffusers.WanPipeline or diffusers.WanVACEPipeline
        The pipeline.
    names : sequence of str
        "transformer", "transformer_2" or both.
    source : str
        A file, a folder, or a hub id.
    adapter_name : str
        Its name.
    **arguments : object
        Further arguments of `load_lora_weights`.
    """
    for name in names:
        if name == "transformer":
            pipeline.load_lora_weights(source, adapter_name=adapter_name, **arguments)
        elif pipeline.transformer is not None:
            pipeline.load_lora_weights(source, adapter_name=adapter_name, load_into_transformer_2=True, **arguments)
        else:
            # `load_lora_weights` looks at the first transformer, which need not be there.
            weights, metadata = pipeline.lora_state_dict(source, return_lora_metadata=True, **arguments)
            pipeline.load_lora_into_transformer(
                weights, pipeline.transformer_2, adapter_name, _pipeline=pipeline, metadata=metadata
            )


def _pictures(stack: Tensor) -> Tensor:
    pictures = stack[None] if stack.ndim == 3 else stack
    if pictures.ndim != 4 or pictures.shape[-1] != 3:
        raise InvalidArgumentError("images", "pictures (n, H, W, 3)", f"shape {tuple(stack.shape)}")
    return pictures.float()
