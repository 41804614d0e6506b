"""Memory and speed of a pipe's networks: what diffusers' users know, in one place."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from segs_detailer.errors import InvalidArgumentError, MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

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
