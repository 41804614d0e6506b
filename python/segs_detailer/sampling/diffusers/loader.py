"""Loading checkpoints, safetensors only, and taking the parts of pipelines that exist."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ...errors import InvalidArgumentError, InvalidTypeError, MissingDependencyError, ModelError
from .model import DiffusersModel
from .text_encoder import TextEncoder
from .vae import FrameVAE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..stages import SamplingOptions
    from .windows import ContextWindows

__all__ = ["LoadOptions", "load_parts", "load_single_file", "resolve_device", "resolve_dtype", "take_parts"]

_VERSION_1_FRAMES = 24
"""Positions of AnimateDiff's first motion modules; later ones have 32."""

_LCM_STEPS = 50
"""Noise levels that AnimateLCM (Wang et al. 2024) was distilled on, as diffusers' LCMScheduler has them."""


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
    diffusers, transformers = _packages()

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
            unet, scheduler_config = _with_motion(diffusers, unet, motion_adapter, scheduler_config, load)

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
    return _joined(unet, scheduler_config, TextEncoder(tokenizers, encoders), vae, load)


def load_single_file(
    path: str, config: str, motion_adapter: Any, load: LoadOptions
) -> tuple[DiffusersModel, TextEncoder, FrameVAE]:
    """Load a checkpoint of one safetensors file; nothing is downloaded.

    Parameters
    ----------
    path : str
        The file, in the layout of the original Stable Diffusion.
    config : str
        Folder with the configuration of such a checkpoint in diffusers' layout; weights in it are not read.
    motion_adapter : str, diffusers.MotionAdapter or None
        Motion module to put in.
    load : LoadOptions
        The rest.

    Raises
    ------
    MissingDependencyError
        diffusers or transformers is not installed.
    ModelError
        The file or the folder cannot be used.
    """
    diffusers, _ = _packages()
    if not path.endswith(".safetensors"):
        raise ModelError(f"cannot load {path}: weights are read from safetensors only")
    if not Path(path).is_file():
        raise ModelError(f"cannot load {path}: there is no such file")
    if not (Path(config) / "model_index.json").is_file():
        expected = "a folder with model_index.json and its parts' configurations, as diffusers writes it"
        raise InvalidArgumentError("config", expected, config)
    names = _config(diffusers.DiffusionPipeline, config, None, load)
    two = names.get("text_encoder_2", (None,))[0] is not None
    kind = diffusers.StableDiffusionXLPipeline if two else diffusers.StableDiffusionPipeline
    checker = {} if two else {"safety_checker": None}
    try:
        pipeline = kind.from_single_file(
            path, config=config, local_files_only=True, torch_dtype=load.torch_dtype, **checker
        )
    except Exception as error:  # diffusers has an error of its own here for a part that the file lacks
        raise ModelError(f"cannot load {path} with the configuration {config}: {_first_line(error)}") from error
    unet, scheduler_config = pipeline.unet, dict(pipeline.scheduler.config)
    if motion_adapter is not None:
        unet, scheduler_config = _with_motion(diffusers, unet, motion_adapter, scheduler_config, load)
    clip = _text_encoder(pipeline)
    for module in (unet, pipeline.vae, *clip.encoders):
        torch.nn.Module.to(module, load.device, load.torch_dtype).eval().requires_grad_(False)
    return _joined(unet, scheduler_config, clip, pipeline.vae, load)


def take_parts(
    pipeline: Any,
    *,
    scheduler_config: Mapping[str, Any] | None = None,
    windows: ContextWindows | None = None,
    options: SamplingOptions | None = None,
    vae_chunk: int = 8,
) -> tuple[DiffusersModel, TextEncoder, FrameVAE]:
    """Use the parts of a pipeline that exists, where they are and as they are.

    Parameters
    ----------
    pipeline : diffusers.DiffusionPipeline
        Stable Diffusion, SDXL or AnimateDiff, for text, pictures, video or inpainting.
    scheduler_config, windows, options, vae_chunk
        See `BasicPipe.from_pretrained`.

    Raises
    ------
    InvalidTypeError
        Not a pipeline.
    ModelError
        It lacks a part, or its UNet is of another kind.
    """
    if not hasattr(pipeline, "components"):
        raise InvalidTypeError("pipeline", "a pipeline of diffusers", type(pipeline).__name__)
    missing = [name for name in ("unet", "vae", "text_encoder", "tokenizer") if getattr(pipeline, name, None) is None]
    if missing:
        raise ModelError(f"a {type(pipeline).__name__} cannot be used: it has no {', '.join(missing)}")
    config = {**dict(pipeline.scheduler.config), **(scheduler_config or {})}
    model = DiffusersModel(pipeline.unet, config, windows=windows, options=options)
    trained = DiffusersModel.default_scheduler_config(pipeline.unet)["beta_schedule"]
    if model.is_motion and config.get("trained_betas") is None and config.get("beta_schedule") != trained:
        warnings.warn(
            f"the pipeline's scheduler has beta_schedule {config.get('beta_schedule')!r}, and motion modules of this "
            f"kind were trained with {trained!r}: pass scheduler_config={{'beta_schedule': {trained!r}}}, or give the "
            "pipeline such a scheduler",
            stacklevel=3,
        )
    model.pipeline = pipeline
    return model, _text_encoder(pipeline), FrameVAE(pipeline.vae, chunk=vae_chunk)


def _packages() -> tuple[Any, Any]:
    try:
        import diffusers
        import transformers
    except ImportError as error:
        package = "transformers" if error.name == "transformers" else "diffusers"
        raise MissingDependencyError(package, "diffusers") from error
    return diffusers, transformers


def _text_encoder(pipeline: Any) -> TextEncoder:
    suffixes = [suffix for suffix in ("", "_2") if getattr(pipeline, f"text_encoder{suffix}", None) is not None]
    tokenizers = [getattr(pipeline, f"tokenizer{suffix}") for suffix in suffixes]
    return TextEncoder(tokenizers, [getattr(pipeline, f"text_encoder{suffix}") for suffix in suffixes])


def _joined(
    unet: Any, scheduler_config: Mapping[str, Any], clip: TextEncoder, vae: Any, load: LoadOptions
) -> tuple[DiffusersModel, TextEncoder, FrameVAE]:
    config = {**scheduler_config, **(load.scheduler_config or {})}
    model = DiffusersModel(unet, config, windows=load.windows, options=load.options)
    return model, clip, FrameVAE(vae, chunk=load.vae_chunk)


def _motion_betas(unet: Any, adapter: Any, name: str) -> dict[str, Any]:
    """Noise levels that a motion module was trained with; the base's scheduler knows only the base's."""
    betas = DiffusersModel.default_scheduler_config(unet)
    betas["trained_betas"] = None
    known = f"{Path(name).name} {Path(str(adapter.config.get('_name_or_path') or '')).name}"
    if "lcm" in known.lower():
        betas["original_inference_steps"] = _LCM_STEPS
    return betas


def _with_motion(
    diffusers: Any, unet: Any, motion_adapter: Any, scheduler_config: Mapping[str, Any], load: LoadOptions
) -> tuple[Any, dict[str, Any]]:
    """Make a motion UNet from a plain one and a motion module, with the module's noise levels."""
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
    name = motion_adapter if isinstance(motion_adapter, str) else ""
    # Not motion.to: diffusers warns there of models that keep parts in float32; this one keeps none.
    torch.nn.Module.to(motion, load.torch_dtype)
    return motion, {**scheduler_config, **_motion_betas(motion, adapter, name)}


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
