"""Wan's checkpoints, safetensors only, and the parts of its pipelines that exist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from segs_detailer.errors import InvalidArgumentError, ModelError
from segs_detailer.models.files import check_weights, load_part, packages, read_config
from segs_detailer.models.wan.experts import Unread
from segs_detailer.models.wan.network import WanModel, check_text_to_video, transformer_class
from segs_detailer.models.wan.text import WanTextEncoder
from segs_detailer.models.wan.vae import WanVAE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segs_detailer.models.loading import LoadOptions
    from segs_detailer.models.stages import SamplingOptions
    from segs_detailer.models.windows import ContextWindows

__all__ = ["load_wan", "take_wan_parts"]

_PIPELINES = ("WanPipeline", "WanVideoToVideoPipeline", "WanImageToVideoPipeline", "WanVACEPipeline")
"""Pipelines of transformers that can repaint. That of image to video may want a picture, which is then refused."""

WanParts = tuple[WanModel, WanTextEncoder, WanVAE]


def load_wan(base: str, motion_adapter: Any, load: LoadOptions) -> WanParts:
    """Load a Wan checkpoint's transformers, text encoder and VAE.

    In half precision it is bfloat16, in which Wan was trained. The VAE is small, loses much in half precision, and
    stays in float32.

    Parameters
    ----------
    base : str
        Folder or hub id of Wan 2.1 or 2.2, text to video, in diffusers' layout.
    motion_adapter : None
        Wan takes none.
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
    names = [name for name in ("transformer", "transformer_2") if (index.get(name) or (None,))[0] is not None]
    if "transformer" not in names:
        raise ModelError(f"{base} has no transformer")
    schedule = read_config(diffusers.UniPCMultistepScheduler, base, "scheduler", load.hub())
    weights = load.weights(half=torch.bfloat16)

    def part(loader: Any, name: str, **changes: Any) -> Any:
        module = load_part(loader, base, {**weights, **changes}, f"the {name} of {base}", subfolder=name)
        return _placed(module, load)

    def network(name: str) -> Any:
        config = read_config(diffusers.WanTransformer3DModel, base, name, load.hub())
        check_text_to_video(config, f"the {name} of {base}")
        kind = getattr(diffusers, transformer_class(config, f"the {name} of {base}"))
        if len(names) == 1:
            return part(kind, name)
        # Which of a pair is needed is known when the first step is taken.
        check_weights(base, name)
        return Unread(_outline(kind, config, weights["torch_dtype"]), lambda: part(kind, name), load.device)

    networks = [network(name) for name in names]
    encoder = part(transformers.UMT5EncoderModel, "text_encoder")
    vae = part(diffusers.AutoencoderKLWan, "vae", torch_dtype=torch.float32)
    tokenizer = load_part(
        transformers.AutoTokenizer, base, load.hub(), f"the tokenizer of {base}", subfolder="tokenizer"
    )
    model = WanModel(
        networks[0],
        low_noise=networks[1] if len(networks) == 2 else None,
        boundary=index.get("boundary_ratio") if len(networks) == 2 else None,
        expand_timesteps=index.get("expand_timesteps"),
        conditioning_scale=load.conditioning_scale,
        scheduler_config={**schedule, **(load.scheduler_config or {})},
        options=load.options,
    )
    return model, WanTextEncoder(tokenizer, encoder), WanVAE(vae)


def _placed(module: Any, load: LoadOptions) -> Any:
    # Not module.to with a dtype: parts that must stay in float32 were left there by from_pretrained.
    return module.to(load.place).eval().requires_grad_(False)


def _outline(kind: Any, config: Mapping[str, Any], dtype: torch.dtype) -> Any:
    """Make a network without weights."""
    with torch.device("meta"):
        network = kind.from_config(config)
    return torch.nn.Module.to(network, dtype).requires_grad_(False)


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
        expand_timesteps=pipeline.config.get("expand_timesteps"),
        scheduler_config={**dict(pipeline.scheduler.config), **(scheduler_config or {})},
        options=options,
    )
    model.pipeline = pipeline
    return model, WanTextEncoder(pipeline.tokenizer, pipeline.text_encoder), WanVAE(pipeline.vae)


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
        raise ModelError(
            f"{what} is a {kind}: of Wan's pipelines only those for text to video and VACE can repaint a clip"
        )
