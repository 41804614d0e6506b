"""Memory and speed of a pipe's networks: what diffusers' users know, in one place."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from segs_detailer.errors import InvalidArgumentError, MissingDependencyError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

__all__ = ["ComputeOptions"]

_OFFLOADS = ("model", "sequential", "group")
_OFFLOAD_TYPES = ("block_level", "leaf_level")
_STORAGE_DTYPES = ("float8_e4m3fn", "float8_e5m2")
_QUANTIZATIONS = {"bitsandbytes_4bit": "bitsandbytes", "bitsandbytes_8bit": "bitsandbytes", "torchao": "torchao"}
"""What diffusers calls them, and their packages."""


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
    offload : {"model", "sequential", "group"} or None
        Keep the networks in the CPU's memory: "model" brings each as a whole to the GPU while it works, "sequential"
        layer by layer, which takes least memory and is slow, "group" some blocks at a time.
    offload_type : {"block_level", "leaf_level"} or None
        Of "group": whole blocks, the default, or layers.
    num_blocks_per_group : int or None
        Of "group" and "block_level": blocks that are brought to the GPU together; `None`: 1.
    use_stream : bool
        Of "group": bring the next ones while the present ones work.
    storage_dtype : {"float8_e4m3fn", "float8_e5m2"} or None
        Keep the weights of a video model's transformers in 8 bits, and cast each layer while it works (layerwise
        casting). Patch embedding and norms stay as they are.
    quantization : {"bitsandbytes_4bit", "bitsandbytes_8bit", "torchao"} or None
        Quantize a video model's transformers while they are loaded: with bitsandbytes to NF4 or 8 bits, on a GPU, with
        torchao to 8 bits (int8, weights alone).

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
    offload: Literal["model", "sequential", "group"] | None = None
    offload_type: Literal["block_level", "leaf_level"] | None = None
    num_blocks_per_group: int | None = None
    use_stream: bool = False
    storage_dtype: Literal["float8_e4m3fn", "float8_e5m2"] | None = None
    quantization: Literal["bitsandbytes_4bit", "bitsandbytes_8bit", "torchao"] | None = None

    def __post_init__(self) -> None:
        if self.frame_batch is not None and self.frame_batch < 1:
            raise InvalidArgumentError("frame_batch", "at least 1", str(self.frame_batch))
        slices = self.attention_slicing
        named = slices is None or slices in ("auto", "max")
        if not named and (isinstance(slices, (str, bool)) or not isinstance(slices, int) or slices < 1):
            raise InvalidArgumentError("attention_slicing", '"auto", "max" or at least 1', repr(slices))
        if self.offload is not None and self.offload not in _OFFLOADS:
            raise InvalidArgumentError("offload", '"model", "sequential" or "group"', repr(self.offload))
        for name, known in (
            ("offload_type", _OFFLOAD_TYPES),
            ("storage_dtype", _STORAGE_DTYPES),
            ("quantization", tuple(_QUANTIZATIONS)),
        ):
            value = getattr(self, name)
            if value is not None and value not in known:
                raise unknown_name(name, value, known)
        for name, given in (
            ("offload_type", self.offload_type),
            ("num_blocks_per_group", self.num_blocks_per_group),
            ("use_stream", self.use_stream or None),
        ):
            if given is not None and self.offload != "group":
                raise InvalidArgumentError(name, 'offload "group", of which it is a part', repr(self.offload))
        if self.num_blocks_per_group is not None and (
            self.num_blocks_per_group < 1 or self.offload_type == "leaf_level"
        ):
            expected = 'at least 1, with the offload_type "block_level"'
            raise InvalidArgumentError("num_blocks_per_group", expected, str(self.num_blocks_per_group))
        if self.storage_dtype is not None and self.quantization is not None:
            raise InvalidArgumentError("storage_dtype", "None with quantization", self.storage_dtype)

    @property
    def group(self) -> dict[str, Any]:
        """Arguments of diffusers' group offload."""
        kind = self.offload_type or "block_level"
        count = {"num_blocks_per_group": self.num_blocks_per_group or 1} if kind == "block_level" else {}
        return {"offload_type": kind, "use_stream": self.use_stream, **count}

    def check(self, device: torch.device) -> None:
        """Raise if the options cannot be used on a device.

        Raises
        ------
        InvalidArgumentError
            It is the CPU, and networks are to be offloaded from it, or quantized by bitsandbytes.
        MissingDependencyError
            accelerate is not installed, or what quantizes.
        """
        package = None if self.quantization is None else _QUANTIZATIONS[self.quantization]
        if package == "bitsandbytes" and device.type == "cpu":
            raise InvalidArgumentError("quantization", "torchao, or a GPU for bitsandbytes", "the CPU as device")
        if package is not None and importlib.util.find_spec(package) is None:
            raise MissingDependencyError(package, "quantization")
        if self.offload is None:
            return
        if device.type == "cpu":
            raise InvalidArgumentError("offload", "a GPU to offload from", "the CPU as device")
        if importlib.util.find_spec("accelerate") is None:
            raise MissingDependencyError("accelerate", "diffusers")
