"""Loading checkpoints in diffusers' folder layout, safetensors only."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ...errors import InvalidArgumentError, MissingDependencyError, ModelError
from .conditioning import TextEncoder
from .model import DiffusersModel
from .vae import FrameVAE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..stages import SamplingOptions
    from .windows import ContextWindows

__all__ = ["LoadOptions", "load_parts", "resolve_device", "resolve_dtype"]

_VERSION_1_FRAMES = 24
"""Positions of AnimateDiff's first motion modules; later ones have 32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """What `BasicPipe.from_pretrained` was asked for; see there."""

    torch_dtype: torch.dtype
    device: torch.device
    variant: str | None = None
    revision: str | None = None
    local_files_only: bool = False
    scheduler_config: Mapping[str, Any] | None = None
    windows: ContextWindows | None = None
    options: SamplingOptions | None = None
    vae_chunk: int = 8

    def hub(self) -> dict[str, Any]:
        """Arguments that find files."""
        return {"revision": self.revision, "local_files_only": self.local_files_only}

    def weights(self) -> dict[str, Any]:
        """Arguments that load weights."""
        return {**self.hub(), "variant": self.variant, "torch_dtype": self.torch_dtype, "use_safetensors": True}


def resolve_device(device: str | torch.device | None) -> torch.device:
    """Find the device that was named; `None` and "auto" mean CUDA where there is one, else the CPU."""
    if device is None or device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def resolve_dtype(torch_dtype: str | torch.dtype | None, device: torch.device) -> torch.dtype:
    """Find the dtype that was named; `None` and "auto" mean float16 on a GPU and float32 on the CPU."""
    if torch_dtype is None or torch_dtype == "auto":
        return torch.float32 if device.type == "cpu" else torch.float16
    dtype = getattr(torch, torch_dtype, None) if isinstance(torch_dtype, str) else torch_dtype
    if dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise InvalidArgumentError("torch_dtype", "float32, float16 or bfloat16", str(torch_dtype))
    return dtype


def load_parts(base: str, motion_adapter: Any, load: LoadOptions) -> tuple[DiffusersModel, TextEncoder, FrameVAE]:
    """Load a checkpoint's model, text encoders and VAE.

    Parameters
    ----------
    base : str
        Folder or hub id of a Stable Diffusion (1.5, SDXL) or AnimateDiff checkpoint.
    motion_adapter : str, diffusers.MotionAdapter or None
        Motion module to put into a plain UNet.
    load : LoadOptions
        The rest.

    Raises
    ------
    MissingDependencyError
        diffusers or transformers is not installed.
    ModelError
        A part is missing, is not in safetensors, or does not fit the others.
    """
    try:
        import diffusers
        import transformers
    except ImportError as error:
        package = "transformers" if error.name == "transformers" else "diffusers"
        raise MissingDependencyError(package, "diffusers") from error

    def part(loader: Any, name: str) -> Any:
        return _loaded(loader, base, load.weights(), f"the {name} of {base}", subfolder=name)

    unet_config = _config(diffusers.UNet2DConditionModel, base, "unet", load)
    scheduler_config = _config(diffusers.DDIMScheduler, base, "scheduler", load)
    if unet_config.get("_class_name") == "UNetMotionModel":
        if motion_adapter is not None:
            raise ModelError(f"{base} already holds a motion module: leave out motion_adapter")
        unet = part(diffusers.UNetMotionModel, "unet")
    else:
        unet = part(diffusers.UNet2DConditionModel, "unet")
        if motion_adapter is not None:
            unet = _with_motion(diffusers, unet, motion_adapter, load)
            # The base's scheduler knows the base's betas; the motion module was trained with its own.
            scheduler_config = {**scheduler_config, **DiffusersModel.default_scheduler_config(unet)}
            scheduler_config.pop("trained_betas", None)
    if load.scheduler_config is not None:
        scheduler_config = {**scheduler_config, **load.scheduler_config}

    names = _config(diffusers.DiffusionPipeline, base, None, load)
    encoders, tokenizers = [], []
    for suffix, kind in (("", transformers.CLIPTextModel), ("_2", transformers.CLIPTextModelWithProjection)):
        if names.get(f"text_encoder{suffix}", (None,))[0] is None:
            continue
        weights = {key: value for key, value in load.weights().items() if key != "torch_dtype"}
        encoder = _loaded(kind, base, weights, f"text_encoder{suffix} of {base}", subfolder=f"text_encoder{suffix}")
        tokenizer = _loaded(
            transformers.CLIPTokenizer, base, load.hub(), f"tokenizer{suffix} of {base}", subfolder=f"tokenizer{suffix}"
        )
        encoders.append(encoder.to(load.torch_dtype))
        tokenizers.append(tokenizer)
    if not encoders:
        raise ModelError(f"{base} has no text encoder: not a Stable Diffusion checkpoint in diffusers' layout?")
    vae = part(diffusers.AutoencoderKL, "vae")
    for module in (unet, vae, *encoders):
        module.to(load.device).eval().requires_grad_(False)
    model = DiffusersModel(unet, scheduler_config, windows=load.windows, options=load.options)
    return model, TextEncoder(tokenizers, encoders), FrameVAE(vae, chunk=load.vae_chunk)


def _with_motion(diffusers: Any, unet: Any, motion_adapter: Any, load: LoadOptions) -> Any:
    """Make a motion UNet from a plain one and a motion module."""
    adapter = motion_adapter
    if isinstance(motion_adapter, str):
        what = f"the motion adapter {motion_adapter}"
        adapter = _loaded(diffusers.MotionAdapter, motion_adapter, load.weights(), what)
    expected, got = list(unet.config.block_out_channels), list(adapter.config.block_out_channels)
    if expected != got:
        raise ModelError(
            f"the motion adapter does not fit the UNet: its blocks have {got} channels, the UNet's {expected} "
            "(a motion module for SD 1.5 does not work with SDXL, nor the other way round)"
        )
    if adapter.config.motion_max_seq_length == _VERSION_1_FRAMES:
        warnings.warn(
            "this looks like a version 1 motion module: it expects group normalisation over all frames jointly, which "
            "diffusers does not do; results are weaker than those of version 2 or 3",
            stacklevel=4,
        )
    try:
        motion = diffusers.UNetMotionModel.from_unet2d(unet, adapter)
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"the motion adapter does not fit the UNet: {_first_line(error)}") from error
    # diffusers leaves these at random: SDXL's size and pooled prompt would mean nothing.
    if getattr(unet, "add_embedding", None) is not None:
        motion.add_embedding.load_state_dict(unet.add_embedding.state_dict())
    return motion


def _config(loader: Any, base: str, subfolder: str | None, load: LoadOptions) -> dict[str, Any]:
    where = f"{subfolder} of {base}" if subfolder else base
    extra = {} if subfolder is None else {"subfolder": subfolder}
    try:
        return dict(loader.load_config(base, **extra, **load.hub()))
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read the configuration of {where}: {_first_line(error)}") from error


def _loaded(loader: Any, base: str, arguments: Mapping[str, Any], what: str, **extra: Any) -> Any:
    try:
        return loader.from_pretrained(base, **arguments, **extra)
    except (OSError, ValueError, RuntimeError) as error:
        hint = " (weights are read from safetensors only)" if arguments.get("use_safetensors") else ""
        raise ModelError(f"cannot load {what}: {_first_line(error)}{hint}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
