"""Loading the parts of a video model's checkpoint, and refusing what only families without clips take."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from segs_detailer.errors import InvalidArgumentError, ModelError
from segs_detailer.models.files import load_part
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
        if name in self.files:
            dtype = arguments["torch_dtype"]
            module = load_network_file(loader, self.files[name], self.base, name, dtype, self.load.hub())
        else:
            module = load_part(loader, self.base, arguments, f"the {name} of {self.base}", subfolder=name)
        # Not module.to with a dtype: parts that must stay in float32 were left there by from_pretrained.
        return module.to(self.load.place).eval().requires_grad_(False)

    def tokenizer(self, loader: Any, name: str) -> Any:
        """Load a tokenizer."""
        return load_part(loader, self.base, self.load.hub(), f"the {name} of {self.base}", subfolder=name)


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
