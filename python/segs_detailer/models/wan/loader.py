"""Wan's checkpoints, safetensors only, and the parts of its pipelines that exist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, ModelError
from segs_detailer.models.sd.files import load_part, packages, read_config
from segs_detailer.models.wan.model import WanModel, check_text_to_video
from segs_detailer.models.wan.prompt import WanTextEncoder
from segs_detailer.models.wan.vae import ClipVAE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segs_detailer.models.sd.loader import LoadOptions
    from segs_detailer.models.sd.windows import ContextWindows
    from segs_detailer.models.stages import SamplingOptions

__all__ = ["is_wan_checkpoint", "is_wan_pipeline", "load_wan", "take_wan_parts", "wan_pipeline"]

_PIPELINES = ("WanPipeline", "WanVideoToVideoPipeline", "WanImageToVideoPipeline")
"""Pipelines that hold Wan's ordinary transformer; that of the last one may want a picture, which is then refused."""

WanParts = tuple[WanModel, WanTextEncoder, ClipVAE]


def is_wan_pipeline(pipeline: object) -> bool:
    """Whether `pipeline` is one of diffusers' pipelines for Wan; does not import diffusers."""
    kind = type(pipeline)
    return kind.__module__.split(".")[0] == "diffusers" and kind.__name__.startswith("Wan")


def is_wan_checkpoint(base: str, load: LoadOptions) -> bool:
    """Whether a folder or hub id holds a pipeline for Wan, by its `model_index.json`.

    Parameters
    ----------
    base : str
        Folder or hub id.
    load : LoadOptions
        Where to look for it.

    Raises
    ------
    MissingDependencyError
        diffusers or transformers is not installed.
    """
    diffusers, _ = packages()
    try:
        return str(read_config(diffusers.DiffusionPipeline, base, None, load.hub()).get("_class_name")).startswith(
            "Wan"
        )
    except ModelError:
        # No index: what is missing is said by the loader of other checkpoints.
        return False


def load_wan(base: str, motion_adapter: Any, torch_dtype: str | torch.dtype | None, load: LoadOptions) -> WanParts:
    """Load a Wan checkpoint's transformers, text encoder and VAE.

    Parameters
    ----------
    base : str
        Folder or hub id of Wan 2.1 or 2.2, text to video, in diffusers' layout.
    motion_adapter : None
        Wan takes none.
    torch_dtype : str, torch.dtype or None
        As the user gave it; `None` and "auto" mean bfloat16 on a GPU, in which Wan was trained. The VAE is small, loses
        much in half precision, and stays in float32.
    load : LoadOptions
        The rest.

    Raises
    ------
    InvalidArgumentError
        An option that means nothing to Wan.
    ModelError
        A part is missing, is not in safetensors, or the checkpoint wants further inputs.
    """
    _check_options(load.windows, load.vae_chunk, motion_adapter)
    diffusers, transformers = packages()
    index = read_config(diffusers.DiffusionPipeline, base, None, load.hub())
    _check_kind(str(index["_class_name"]), base)
    pair = [name for name in ("transformer", "transformer_2") if (index.get(name) or (None,))[0] is not None]
    if "transformer" not in pair:
        raise ModelError(f"{base} has no transformer")
    for name in pair:
        config = read_config(diffusers.WanTransformer3DModel, base, name, load.hub())
        check_text_to_video(config, f"the {name} of {base}")
    schedule = read_config(diffusers.UniPCMultistepScheduler, base, "scheduler", load.hub())
    half = load.device.type != "cpu" and torch_dtype in (None, "auto")
    weights = {**load.weights(), "torch_dtype": torch.bfloat16 if half else load.torch_dtype}

    def part(loader: Any, name: str, **changes: Any) -> Any:
        module = load_part(loader, base, {**weights, **changes}, f"the {name} of {base}", subfolder=name)
        # Not module.to with a dtype: parts that must stay in float32 were left there by from_pretrained.
        return module.to(load.place).eval().requires_grad_(False)

    networks = [part(diffusers.WanTransformer3DModel, name) for name in pair]
    encoder = part(transformers.UMT5EncoderModel, "text_encoder")
    vae = part(diffusers.AutoencoderKLWan, "vae", torch_dtype=torch.float32)
    tokenizer = load_part(
        transformers.AutoTokenizer, base, load.hub(), f"the tokenizer of {base}", subfolder="tokenizer"
    )
    model = WanModel(
        networks[0],
        low_noise=networks[1] if len(networks) == 2 else None,
        boundary=index.get("boundary_ratio") if len(networks) == 2 else None,
        scheduler_config={**schedule, **(load.scheduler_config or {})},
        options=load.options,
    )
    return model, WanTextEncoder(tokenizer, encoder), ClipVAE(vae)


def take_wan_parts(
    pipeline: Any,
    *,
    scheduler_config: Mapping[str, Any] | None = None,
    windows: ContextWindows | None = None,
    options: SamplingOptions | None = None,
    vae_chunk: int | None = None,
) -> WanParts:
    """Use the parts of a Wan pipeline that exists, where they are and as they are.

    Parameters
    ----------
    pipeline : diffusers.WanPipeline
        Or its kin for video to video.
    scheduler_config, options
        See `BasicPipe.from_pretrained`.
    windows, vae_chunk : None
        Wan takes none.

    Raises
    ------
    InvalidArgumentError
        An option that means nothing to Wan.
    ModelError
        It lacks a part, or wants further inputs.
    """
    _check_options(windows, vae_chunk)
    name = type(pipeline).__name__
    _check_kind(name, f"the {name}")
    missing = [
        part for part in ("transformer", "vae", "text_encoder", "tokenizer") if getattr(pipeline, part, None) is None
    ]
    if missing:
        raise ModelError(f"a {name} cannot be used: it has no {', '.join(missing)}")
    second = getattr(pipeline, "transformer_2", None)
    model = WanModel(
        pipeline.transformer,
        low_noise=second,
        boundary=None if second is None else pipeline.config.get("boundary_ratio"),
        scheduler_config={**dict(pipeline.scheduler.config), **(scheduler_config or {})},
        options=options,
    )
    model.pipeline = pipeline
    return model, WanTextEncoder(pipeline.tokenizer, pipeline.text_encoder), ClipVAE(pipeline.vae)


def wan_pipeline(model: Any, clip: Any, vae: Any) -> Any:
    """Find the pipeline that holds a Wan pipe's parts, or put them into one.

    Parameters
    ----------
    model : WanModel
        The model.
    clip : WanTextEncoder
        The text encoder.
    vae : ClipVAE
        The VAE.

    Returns
    -------
    diffusers.WanPipeline
        A pipeline over the very same networks.

    Raises
    ------
    InvalidTypeError
        A part is of another kind.
    """
    for name, value, kind in (("clip", clip, WanTextEncoder), ("vae", vae, ClipVAE)):
        if not isinstance(value, kind):
            raise InvalidTypeError(name, f"a {kind.__name__} (from_pretrained makes it)", type(value).__name__)
    if model.pipeline is None:
        diffusers, _ = packages()
        model.pipeline = diffusers.WanPipeline(
            tokenizer=clip.tokenizer,
            text_encoder=clip.encoder,
            vae=vae.vae,
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=model.table.shift),
            transformer=model.transformer,
            transformer_2=model.low_noise,
            boundary_ratio=model.boundary,
        )
    return model.pipeline


def _check_options(windows: ContextWindows | None, vae_chunk: int | None, motion_adapter: Any = None) -> None:
    for name, value, reason in (
        ("motion_adapter", motion_adapter, "which needs no motion module"),
        ("windows", windows, "which sees the whole clip at once"),
        ("vae_chunk", vae_chunk, "whose VAE divides the clip itself"),
    ):
        if value is not None:
            raise InvalidArgumentError(name, f"None for Wan, {reason}", _short(value))


def _short(value: object) -> str:
    return repr(value) if isinstance(value, (str, int)) else type(value).__name__


def _check_kind(kind: str, what: str) -> None:
    if kind not in _PIPELINES:
        raise ModelError(f"{what} is a {kind}: of Wan's pipelines only those for text to video can repaint a clip")
