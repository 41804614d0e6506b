"""Loading the parts of a video model's checkpoint, and refusing what only families without clips take."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from segs_detailer.errors import InvalidArgumentError, ModelError
from segs_detailer.models.files import load_part, packages
from segs_detailer.models.single_files import load_network_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from segs_detailer.models.loading import LoadOptions
    from segs_detailer.models.windows import ContextWindows

__all__ = ["PartLoader", "check_parts", "refuse_frame_options"]


@dataclass(frozen=True, slots=True)
class PartLoader:
    """Loads the parts of one checkpoint, safetensors only.

    Parameters
    ----------
    base : str
        Folder or hub id, in diffusers' layout.
    load : LoadOptions
        What was asked for.
    half : torch.dtype
        Dtype of half precision, in which the family was trained.
    files : mapping
        Files of single networks, by the names of the parts that they stand for; only the configuration of these is
        read from `base`.
    """

    base: str
    load: LoadOptions
    half: torch.dtype
    files: Mapping[str, str] = field(default_factory=dict)

    def network(self, loader: Any, name: str, **changes: Any) -> Any:
        """Load a network by its class's `from_pretrained`; `changes` are other arguments of it."""
        arguments = {**self.load.weights(half=self.half), **changes}
        if self.load.quantization is not None and name.startswith("transformer"):
            arguments["quantization_config"] = _quantization(self.load.quantization, arguments["torch_dtype"])
        if name in self.files:
            if "quantization_config" in arguments:
                raise InvalidArgumentError("quantization", "None for a file of its own", repr(self.load.quantization))
            dtype = arguments["torch_dtype"]
            module = load_network_file(loader, self.files[name], self.base, name, dtype, self.load.hub())
        else:
            module = load_part(loader, self.base, arguments, f"the {name} of {self.base}", subfolder=name)
        # Not module.to with a dtype: parts that must stay in float32 were left there by from_pretrained.
        # bitsandbytes has brought its own to the GPU.
        is_there = getattr(module, "is_loaded_in_4bit", False) or getattr(module, "is_loaded_in_8bit", False)
        return (module if is_there else module.to(self.load.place)).eval().requires_grad_(False)

    def tokenizer(self, loader: Any, name: str) -> Any:
        """Load a tokenizer."""
        return load_part(loader, self.base, self.load.hub(), f"the {name} of {self.base}", subfolder=name)


def _quantization(name: str, dtype: torch.dtype) -> Any:
    """Make diffusers' own configuration of a way to quantize."""
    diffusers, _ = packages()
    if name == "torchao":
        from torchao.quantization import Int8WeightOnlyConfig

        return diffusers.TorchAoConfig(Int8WeightOnlyConfig())
    if name == "bitsandbytes_8bit":
        return diffusers.BitsAndBytesConfig(load_in_8bit=True)
    return diffusers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


def refuse_frame_options(
    family: str, *, motion_adapter: Any = None, windows: ContextWindows | None = None, vae_chunk: int | None = None
) -> None:
    """Refuse what means nothing to a model that sees a clip as a whole.

    Raises
    ------
    InvalidArgumentError
        One of them is not None.
    """
    for name, value, reason in (
        ("motion_adapter", motion_adapter, "which needs no motion module"),
        ("windows", windows, "which sees the whole clip at once"),
        ("vae_chunk", vae_chunk, "whose VAE divides the clip itself"),
    ):
        if value is not None:
            got = repr(value) if isinstance(value, (str, int)) else type(value).__name__
            raise InvalidArgumentError(name, f"None for {family}, {reason}", got)


def check_parts(pipeline: Any, names: tuple[str, ...]) -> None:
    """Raise if a pipeline of diffusers lacks a part.

    Raises
    ------
    ModelError
        It does.
    """
    missing = [name for name in names if getattr(pipeline, name, None) is None]
    if missing:
        raise ModelError(f"a {type(pipeline).__name__} cannot be used: it has no {', '.join(missing)}")
