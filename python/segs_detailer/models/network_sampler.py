"""What families of diffusers' networks have in common: text encoder, VAE, the pipeline around them, memory options."""

from __future__ import annotations

import copy
from abc import abstractmethod
from os import fspath
from typing import TYPE_CHECKING, Any

import torch

from segs_detailer.models.adapters import load_lora
from segs_detailer.models.distillation import told_by
from segs_detailer.models.latent_sampler import LatentSampler

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from os import PathLike

    from torch import Tensor

    from segs_detailer.models.adapters import LoraShelf
    from segs_detailer.models.compute import ComputeOptions
    from segs_detailer.models.interface import Conditioning, SampleJob, Sampler
    from segs_detailer.models.sigma_table import SigmaTable
    from segs_detailer.models.stages import SamplingOptions

__all__ = ["NetworkSampler", "offloaded", "prepared"]


class NetworkSampler(LatentSampler):
    """Encode, sample and decode with networks of diffusers.

    Parameters
    ----------
    model : object
        The family's denoising network, or networks, with their noise levels.
    vae : object
        The family's VAE.
    clip : object or None
        Its text encoder, for what needs one: prompts, and the pipeline around the parts.
    """

    def __init__(self, model: Any, vae: Any, clip: Any = None) -> None:
        self.model = model
        self.vae = vae
        self.clip = clip

    @property
    @abstractmethod
    def denoising_networks(self) -> Sequence[torch.nn.Module]:
        """The networks that predict."""

    @property
    def networks(self) -> tuple[torch.nn.Module, ...]:
        """All networks: those that predict, the VAE, the text encoders, and what else the pipeline holds."""
        encoders = () if self.clip is None else self.clip.networks
        pipeline = self.model.pipeline
        held = () if pipeline is None else tuple(pipeline.components.values())
        parts = (*self.denoising_networks, self.vae.vae, *encoders, *held)
        return tuple({id(part): part for part in parts if isinstance(part, torch.nn.Module)}.values())

    @property
    def table(self) -> SigmaTable:
        """Noise levels of the model."""
        table: SigmaTable = self.model.table
        return table

    @property
    def options(self) -> SamplingOptions:
        """Options of the model."""
        options: SamplingOptions = self.model.options
        return options

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        device: torch.device = self.model.device
        return device

    @property
    def in_pipe(self) -> Any:
        """The model, without VAE and text encoder: they have places of their own in a pipe."""
        return self.model

    def encode(self, frames: Tensor) -> Tensor:
        """Latents of `frames` `(B, H, W, 3)` in [0, 1]: the mode of the VAE's distribution."""
        latents: Tensor = self.vae.encode(frames)
        return latents

    def decode(self, latents: Tensor, *, full_precision: bool = False) -> Tensor:
        """Frames `(B, H, W, 3)` float32 in [0, 1]."""
        frames: Tensor = self.vae.decode(latents, full_precision=full_precision)
        return frames

    def to_model(self, latents: Tensor) -> Tensor:
        """Latents in the sampler's own space, as callbacks see them."""
        scaled: Tensor = self.vae.to_model(latents)
        return scaled

    def from_model(self, latents: Tensor) -> Tensor:
        """Undo `to_model`."""
        unscaled: Tensor = self.vae.from_model(latents)
        return unscaled

    def conditioning(self, prompt: str) -> Conditioning:
        """Encode a prompt with the text encoder."""
        if self.clip is None:
            self._has_no("text encoder in this pipe")
        conditioning: Conditioning = self.clip.encode(prompt)
        return conditioning

    def release(self) -> None:
        """Let go of the accelerator's memory after a run, where the pipeline was told to offload its parts."""
        if self.model.pipeline is not None:
            self.model.pipeline.maybe_free_model_hooks()

    def with_lora(
        self, source: str | PathLike[str], *, weight: float, name: str | None, weight_name: str | None
    ) -> Sampler:
        """Load a LoRA into the networks, beside those that they have."""
        called = f"lora_{len(self.model.lora_weights)}" if name is None else name
        self.load_lora(source, weight, called, weight_name)
        self.model.lora_shelf.names[_origin(source, weight_name)] = called
        self.model.lora_shelf.told[called] = told_by(fspath(source), weight_name)
        return self

    def beside_loras(self, loras: Sequence[tuple[str, float]]) -> Sampler:
        """Another sampler over the same networks; each LoRA is loaded once, and set to its weight when it is needed."""
        pipeline = self.diffusers_pipeline()
        shelf: LoraShelf = self.model.lora_shelf
        shelf.begin_switching(pipeline, self.model.lora_weights)
        other = copy.copy(self)
        other.model = copy.copy(self.model)
        other.model.lora_weights = dict(self.model.lora_weights)
        for source, weight in loras:
            origin = _origin(source, None)
            if origin in shelf.names:
                other.model.lora_weights[shelf.names[origin]] = weight
            else:
                other.with_lora(source, weight=weight, name=f"own_{len(shelf.names)}", weight_name=None)
                shelf.begin_switching(pipeline, other.model.lora_weights)
        return other

    def get_ready(self) -> None:
        """Let the networks have this model's LoRAs, where another over the same networks has its own."""
        if self.model.lora_shelf.switches:
            self.model.lora_shelf.switch(self.diffusers_pipeline(), self.model.lora_weights)

    def sample(self, latents: Tensor, job: SampleJob) -> Tensor:
        """Repaint latents; see `LatentSampler.sample`."""
        self.get_ready()
        return super().sample(latents, job)

    def load_lora(self, source: str | PathLike[str], weight: float, name: str, weight_name: str | None) -> None:
        """Load a LoRA into the networks under a name; see `adapters.load_lora`."""
        load_lora(self.diffusers_pipeline(), self.model.lora_weights, source, weight, name, weight_name)

    def use_compute(self, compute: ComputeOptions, device: torch.device) -> None:
        """Set up the networks; what only some families take is theirs to do or to refuse, in `use_own`."""
        compute.check(device)
        self.model.guidance_batch = compute.guidance_batch
        self.use_own(compute)
        if compute.vae_tile is not None:
            self.vae.work_in_tiles(compute.vae_tile)
        self.use_on_networks(compute, device)

    def use_on_networks(self, compute: ComputeOptions, device: torch.device) -> None:
        """Do what is done to the networks that predict, and to the pipeline as a whole."""
        for network in self.denoising_networks:
            prepared(network, compute)
        offloaded(self.diffusers_pipeline, compute, device)

    @abstractmethod
    def use_own(self, compute: ComputeOptions) -> None:
        """Do what is the family's own of `use_compute`, and refuse what it has not."""


def _origin(source: str | PathLike[str], file: str | None) -> str:
    """Say where a LoRA came from: its file, or the repository or folder that it was alone in."""
    return fspath(source) if file is None else f"{fspath(source)}/{file}"


def prepared(network: Any, compute: ComputeOptions) -> None:
    """Cast a network layer by layer, and compile it, where that is asked for."""
    if compute.storage_dtype is not None:
        network.enable_layerwise_casting(getattr(torch, compute.storage_dtype), network.dtype)
    if compute.compile_unet is not False:
        # In place: the network keeps its class, so that adapters and offload hooks still find it.
        network.compile(**({} if compute.compile_unet is True else compute.compile_unet))


def offloaded(pipeline: Callable[[], Any], compute: ComputeOptions, device: torch.device) -> None:
    """Keep a pipeline's networks in the CPU's memory, where that is asked for.

    Parameters
    ----------
    pipeline : callable
        Gives the pipeline.
    compute : ComputeOptions
        The options.
    device : torch.device
        Where the networks compute.
    """
    if compute.offload == "model":
        pipeline().enable_model_cpu_offload(device=device)
    elif compute.offload == "sequential":
        pipeline().enable_sequential_cpu_offload(device=device)
    elif compute.offload == "group":
        pipeline().enable_group_offload(onload_device=device, offload_device=torch.device("cpu"), **compute.group)
