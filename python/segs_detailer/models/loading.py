"""What a user asks of the loading of a checkpoint, of whatever family it is."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from segs_detailer.errors import InvalidArgumentError
from segs_detailer.models.accelerators import resolve_device

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segs_detailer.models.compute import ComputeOptions
    from segs_detailer.models.stages import SamplingOptions
    from segs_detailer.models.windows import ContextWindows

__all__ = ["LoadOptions", "named_dtype"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """What `BasicPipe.from_pretrained` was asked for; see there."""

    dtype: torch.dtype | None
    device: torch.device
    variant: str | None = None
    revision: str | None = None
    local_files_only: bool = False
    scheduler_config: Mapping[str, Any] | None = None
    windows: ContextWindows | None = None
    options: SamplingOptions | None = None
    vae_chunk: int | None = None
    conditioning_scale: float | None = None
    transformer_2: str | None = None
    vae: str | None = None
    offloaded: bool = False
    quantization: str | None = None

    @classmethod
    def of(
        cls,
        dtype: str | torch.dtype | None,
        device: str | torch.device | None,
        compute: ComputeOptions | None,
        **rest: Any,
    ) -> LoadOptions:
        """Find device and dtype as they were named, and check that what `compute` asks for can be done there."""
        target = resolve_device(device)
        if compute is not None:
            compute.check(target)
        offloaded = compute is not None and compute.offload is not None
        quantization = None if compute is None else compute.quantization
        return cls(dtype=_resolved(dtype), device=target, offloaded=offloaded, quantization=quantization, **rest)

    @property
    def place(self) -> torch.device:
        """Where the weights go: the device, unless they come there only while they are needed."""
        return torch.device("cpu") if self.offloaded else self.device

    def dtype_or(self, half: torch.dtype) -> torch.dtype:
        """Dtype that was named; else float32 on the CPU, and elsewhere what the family has for half precision."""
        if self.dtype is not None:
            return self.dtype
        return torch.float32 if self.device.type == "cpu" else half

    def hub(self) -> dict[str, Any]:
        """Arguments that find files."""
        return {"revision": self.revision, "local_files_only": self.local_files_only}

    def weights(self, *, half: torch.dtype) -> dict[str, Any]:
        """Arguments that load weights."""
        return {**self.hub(), "variant": self.variant, "torch_dtype": self.dtype_or(half), "use_safetensors": True}


def named_dtype(dtype: str | torch.dtype | None, torch_dtype: str | torch.dtype | None) -> str | torch.dtype | None:
    """Take a dtype by its name or by its deprecated one.

    Parameters
    ----------
    dtype, torch_dtype : str, torch.dtype or None
        The same argument under both names.

    Raises
    ------
    InvalidArgumentError
        Both are given.

    Warns
    -----
    DeprecationWarning
        It came as `torch_dtype`.
    """
    if torch_dtype is None:
        return dtype
    if dtype is not None:
        raise InvalidArgumentError("torch_dtype", "none beside dtype, whose old name it is", str(torch_dtype))
    warnings.warn("torch_dtype is deprecated: it is called dtype now", DeprecationWarning, stacklevel=3)
    return torch_dtype


def _resolved(dtype: str | torch.dtype | None) -> torch.dtype | None:
    """Find the dtype that was named; `None` and "auto" leave it to the family."""
    if dtype is None or dtype == "auto":
        return None
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if found not in (torch.float32, torch.float16, torch.bfloat16):
        raise InvalidArgumentError("dtype", "float32, float16 or bfloat16", str(dtype))
    return found
