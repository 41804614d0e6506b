"""Memory and speed of a pipe's networks: what diffusers' users know, in one place."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, MissingDependencyError
from segs_detailer.models.sd.model import DiffusersModel
from segs_detailer.models.wan.model import WanModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segs_detailer.models.pipe import BasicPipe

__all__ = ["ComputeOptions"]

_OFFLOADS = ("model", "sequential")


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeOptions:
    """How a pipe's networks use memory and time. The defaults are the fastest that change nothing in the networks.

    Parameters
    ----------
    guidance_batch : bool
        Positive and negative conditioning in one batch; `False` halves the memory and takes longer.
    frame_batch : int or None
        Frames that a UNet without motion module takes at once; `None`: 8. A motion module takes a whole window.
    channels_last : bool
        Keep the weights of UNet and VAE with their channels last, which many GPUs prefer in half precision.
    compile_unet : bool or mapping
        Compile the network with `torch.compile`; a mapping holds that function's arguments, for example
        `{"mode": "max-autotune"}`. The first step, and the first with another size, takes minutes.
    attention_slicing : "auto", "max", int or None
        Work on so many heads of the UNet's attention at once: half of them, one, or a number. PyTorch's own attention
        needs little memory as it is, and this takes its place: it helps only where that is not at hand. Motion modules
        are left as they are, and an IP-Adapter cannot be loaded beside it.
    vae_tile : int or None
        Work on tiles of so many pixels where a picture is larger, blended where they overlap.
    offload : {"model", "sequential"} or None
        Keep the networks in the CPU's memory: "model" brings each as a whole to the GPU while it works, "sequential"
        layer by layer, which takes least memory and is slow.

    Raises
    ------
    InvalidArgumentError
        A value that cannot be used.
    """

    guidance_batch: bool = True
    frame_batch: int | None = None
    channels_last: bool = False
    compile_unet: bool | Mapping[str, Any] = False
    attention_slicing: str | int | None = None
    vae_tile: int | None = None
    offload: Literal["model", "sequential"] | None = None

    def __post_init__(self) -> None:
        if self.frame_batch is not None and self.frame_batch < 1:
            raise InvalidArgumentError("frame_batch", "at least 1", str(self.frame_batch))
        slices = self.attention_slicing
        named = slices is None or slices in ("auto", "max")
        if not named and (isinstance(slices, (str, bool)) or not isinstance(slices, int) or slices < 1):
            raise InvalidArgumentError("attention_slicing", '"auto", "max" or at least 1', repr(slices))
        if self.offload is not None and self.offload not in _OFFLOADS:
            raise InvalidArgumentError("offload", '"model" or "sequential"', repr(self.offload))

    def check(self, device: torch.device) -> None:
        """Raise if the networks cannot be offloaded from a device.

        Raises
        ------
        InvalidArgumentError
            It is the CPU.
        MissingDependencyError
            accelerate is not installed.
        """
        if self.offload is None:
            return
        if device.type == "cpu":
            raise InvalidArgumentError("offload", "a GPU to offload from", "the CPU as device")
        if importlib.util.find_spec("accelerate") is None:
            raise MissingDependencyError("accelerate", "diffusers")

    def apply(self, pipe: BasicPipe, device: torch.device) -> None:
        """Set up the networks of a pipe.

        Parameters
        ----------
        pipe : BasicPipe
            A pipe of diffusers' networks.
        device : torch.device
            Where they compute; with `offload` they lie on the CPU.

        Raises
        ------
        InvalidTypeError
            The pipe's model is another one.
        InvalidArgumentError
            An option that its kind of model does not take.
        """
        self.check(device)
        model = pipe.model
        if not isinstance(model, (DiffusersModel, WanModel)):
            raise InvalidTypeError("model", "a DiffusersModel or a WanModel", type(model).__name__)
        model.guidance_batch = self.guidance_batch
        if isinstance(model, WanModel):
            self._refuse_for_wan()
            networks = [network for network in (model.transformer, model.low_noise) if network is not None]
        else:
            networks = [model.unet]
            self._apply_to_unet(model, pipe.vae.vae)
        if self.vae_tile is not None:
            pipe.vae.work_in_tiles(self.vae_tile)
        if self.compile_unet is not False:
            for network in networks:
                # In place: the network keeps its class, so that adapters and offload hooks still find it.
                network.compile(**({} if self.compile_unet is True else self.compile_unet))
        if self.offload == "model":
            pipe.diffusers_pipeline().enable_model_cpu_offload(device=device)
        elif self.offload == "sequential":
            pipe.diffusers_pipeline().enable_sequential_cpu_offload(device=device)

    def _refuse_for_wan(self) -> None:
        for name, value in (
            ("frame_batch", self.frame_batch),
            ("channels_last", self.channels_last or None),
            ("attention_slicing", self.attention_slicing),
        ):
            if value is not None:
                raise InvalidArgumentError(name, "its default for Wan, which has no such thing", repr(value))

    def _apply_to_unet(self, model: DiffusersModel, vae: Any) -> None:
        if self.frame_batch is not None:
            if model.is_motion:
                expected = "None with a motion module, which takes a whole context window"
                raise InvalidArgumentError("frame_batch", expected, str(self.frame_batch))
            model.frame_batch = self.frame_batch
        if self.channels_last:
            for network in (model.unet, vae):
                network.to(memory_format=torch.channels_last)
        if self.attention_slicing is not None:
            _slice_attention(model.unet, self.attention_slicing)


def _slice_attention(unet: Any, slices: str | int) -> None:
    """Slice the attention over a picture's pixels.

    Done here, as diffusers' pipelines pass over motion UNets in silence. Their attention over time is small for each
    pixel, and slices of it would be as many as pixels.
    """
    if getattr(unet, "encoder_hid_proj", None) is not None:
        raise InvalidArgumentError(
            "attention_slicing", "None beside an IP-Adapter, whose attention it replaces", "both"
        )
    layers = [
        module
        for name, module in unet.named_modules()
        if hasattr(module, "sliceable_head_dim") and "motion_modules" not in name
    ]
    heads = min(int(layer.sliceable_head_dim) for layer in layers)
    if isinstance(slices, int) and slices > heads:
        raise InvalidArgumentError("attention_slicing", f"at most {heads}, the heads of this UNet", str(slices))
    for layer in layers:
        own = max(int(layer.sliceable_head_dim) // 2, 1) if slices == "auto" else 1 if slices == "max" else slices
        layer.set_attention_slice(own)
