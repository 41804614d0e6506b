"""Loading checkpoints, safetensors only, and taking the parts of pipelines that exist."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, ModelError, first_line
from segs_detailer.models.files import check_class, load_part, packages, read_config
from segs_detailer.models.sd.motion_file import is_motion_file, load_motion_file
from segs_detailer.models.sd.network import DiffusersModel
from segs_detailer.models.sd.text import TextEncoder
from segs_detailer.models.sd.vae import FrameVAE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segs_detailer.models.loading import LoadOptions
    from segs_detailer.models.stages import SamplingOptions
    from segs_detailer.models.windows import ContextWindows

__all__ = ["load_parts", "load_single_file", "take_parts"]

_HALF = torch.float16
"""Dtype on a GPU, unless the user names another."""

_VERSION_1_FRAMES = 24
"""Positions of AnimateDiff's first motion modules; later ones have 32."""

_LCM_STEPS = 50
"""Noise levels that AnimateLCM (Wang et al. 2024) was distilled on, as diffusers' LCMScheduler has them."""


def load_parts(base: str, motion_adapter: Any, load: LoadOptions) -> tuple[DiffusersModel, TextEncoder, FrameVAE]:
    """Load a checkpoint's model, text encoders and VAE.

    Parameters
    ----------
    base : str
        Folder or hub id of a Stable Diffusion (1.5, SDXL) or AnimateDiff checkpoint.
    motion_adapter : str, diffusers.MotionAdapter or None
        Motion module to put into a plain UNet; `None`: the checkpoint's own, if it has one.
    load : LoadOptions
        The rest.

    Raises
    ------
    MissingDependencyError
        diffusers or transformers is not installed.
    ModelError
        A part is missing, is not in safetensors, or does not fit the others.
    """
    diffusers, transformers = packages()

    def part(loader: Any, name: str) -> Any:
        return load_part(loader, base, load.weights(half=_HALF), f"the {name} of {base}", subfolder=name)

    unet_config = read_config(diffusers.UNet2DConditionModel, base, "unet", load.hub())
    scheduler_config = read_config(diffusers.DDIMScheduler, base, "scheduler", load.hub())
    names = read_config(diffusers.DiffusionPipeline, base, None, load.hub())
    if unet_config.get("_class_name") == "UNetMotionModel":
        if motion_adapter is not None:
            raise ModelError(f"{base} already holds a motion module: leave out motion_adapter")
        unet = part(diffusers.UNetMotionModel, "unet")
    else:
        unet = part(diffusers.UNet2DConditionModel, "unet")
        if motion_adapter is None and names.get("motion_adapter", (None,))[0] is not None:
            motion_adapter = part(diffusers.MotionAdapter, "motion_adapter")
        if motion_adapter is not None:
            unet, scheduler_config = _with_motion(diffusers, unet, motion_adapter, scheduler_config, load)

    encoders, tokenizers = [], []
    for suffix, kind in (("", transformers.CLIPTextModel), ("_2", transformers.CLIPTextModelWithProjection)):
        if names.get(f"text_encoder{suffix}", (None,))[0] is None:
            continue
        weights = {key: value for key, value in load.weights(half=_HALF).items() if key != "torch_dtype"}
        encoder = load_part(kind, base, weights, f"text_encoder{suffix} of {base}", subfolder=f"text_encoder{suffix}")
        tokenizer = load_part(
            transformers.CLIPTokenizer, base, load.hub(), f"tokenizer{suffix} of {base}", subfolder=f"tokenizer{suffix}"
        )
        encoders.append(encoder.to(load.dtype_or(_HALF)))
        tokenizers.append(tokenizer)
    if not encoders:
        raise ModelError(f"{base} has no text encoder: not a Stable Diffusion checkpoint in diffusers' layout?")
    vae = part(diffusers.AutoencoderKL, "vae")
    for module in (unet, vae, *encoders):
        module.to(load.place).eval().requires_grad_(False)
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
    diffusers, _ = packages()
    if not path.endswith(".safetensors"):
        raise ModelError(f"cannot load {path}: weights are read from safetensors only")
    if not Path(path).is_file():
        raise ModelError(f"cannot load {path}: there is no such file")
    if not (Path(config) / "model_index.json").is_file():
        expected = "a folder with model_index.json and its parts' configurations, as diffusers writes it"
        raise InvalidArgumentError("config", expected, config)
    names = read_config(diffusers.DiffusionPipeline, config, None, load.hub())
    if names.get("unet") is None:
        expected = "the configuration of Stable Diffusion 1.5 or SDXL, which has a unet"
        raise InvalidArgumentError("config", expected, f"that of a {names.get('_class_name')}: {config}")
    two = names.get("text_encoder_2", (None,))[0] is not None
    kind = diffusers.StableDiffusionXLPipeline if two else diffusers.StableDiffusionPipeline
    checker = {} if two else {"safety_checker": None}
    try:
        pipeline = kind.from_single_file(
            path, config=config, local_files_only=True, torch_dtype=load.dtype_or(_HALF), **checker
        )
    except Exception as error:  # diffusers has an error of its own here for a part that the file lacks
        raise ModelError(f"cannot load {path} with the configuration {config}: {first_line(error)}") from error
    unet, scheduler_config = pipeline.unet, dict(pipeline.scheduler.config)
    if motion_adapter is not None:
        unet, scheduler_config = _with_motion(diffusers, unet, motion_adapter, scheduler_config, load)
    clip = _text_encoder(pipeline)
    for module in (unet, pipeline.vae, *clip.encoders):
        torch.nn.Module.to(module, load.place, load.dtype_or(_HALF)).eval().requires_grad_(False)
    return _joined(unet, scheduler_config, clip, pipeline.vae, load)


def take_parts(
    pipeline: Any,
    *,
    scheduler_config: Mapping[str, Any] | None = None,
    windows: ContextWindows | None = None,
    options: SamplingOptions | None = None,
    vae_chunk: int | None = None,
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
    adapter, name = motion_adapter, motion_adapter if isinstance(motion_adapter, str) else ""
    if isinstance(motion_adapter, str) and is_motion_file(motion_adapter):
        adapter, name = load_motion_file(diffusers, motion_adapter, load.dtype_or(_HALF))
    elif isinstance(motion_adapter, str):
        what = f"the motion adapter {motion_adapter}"
        check_class(
            diffusers.MotionAdapter, read_config(diffusers.MotionAdapter, motion_adapter, None, load.hub()), what
        )
        adapter = load_part(diffusers.MotionAdapter, motion_adapter, load.weights(half=_HALF), what)
    elif not isinstance(motion_adapter, diffusers.MotionAdapter):
        expected = "a folder, a hub id, a .safetensors file or a MotionAdapter of diffusers"
        raise InvalidTypeError("motion_adapter", expected, type(motion_adapter).__name__)
    if adapter.config.conv_in_channels:
        raise ModelError("the motion adapter also wants a picture and its likeness to each frame (PIA)")
    wanted, got = list(unet.config.block_out_channels), list(adapter.config.block_out_channels)
    if wanted != got:
        raise ModelError(
            f"the motion adapter does not fit the UNet: its blocks have {got} channels, the UNet's {wanted} "
            "(a motion module for SD 1.5 does not work with SDXL, nor the other way round)"
        )
    if adapter.config.motion_max_seq_length == _VERSION_1_FRAMES:
        warnings.warn(
            "this looks like a version 1 motion module: it expects group normalization over all frames jointly, which "
            "diffusers does not do; results are weaker than those of version 2 or 3",
            stacklevel=4,
        )
    try:
        motion = diffusers.UNetMotionModel.from_unet2d(unet, adapter)
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"the motion adapter does not fit the UNet: {first_line(error)}") from error
    # diffusers leaves these at random: SDXL's size and pooled prompt would mean nothing.
    if getattr(unet, "add_embedding", None) is not None:
        motion.add_embedding.load_state_dict(unet.add_embedding.state_dict())
    # Not motion.to: diffusers warns there of models that keep parts in float32; this one keeps none.
    torch.nn.Module.to(motion, load.dtype_or(_HALF))
    return motion, {**scheduler_config, **_motion_betas(motion, adapter, name)}
