"""Wan's checkpoints, safetensors only, and the parts of its pipelines that exist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from segs_detailer.errors import InvalidArgumentError, ModelError
from segs_detailer.models.files import check_weights, packages, read_config
from segs_detailer.models.single_files import tensor_shapes
from segs_detailer.models.video_loading import PartLoader, check_parts, refuse_frame_options
from segs_detailer.models.wan.experts import Unread
from segs_detailer.models.wan.info import FAMILY_NAME
from segs_detailer.models.wan.kinds import check_network, check_vae
from segs_detailer.models.wan.network import WanModel, check_text_to_video, transformer_class
from segs_detailer.models.wan.text import WanTextEncoder
from segs_detailer.models.wan.vae import WanVAE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segs_detailer.models.loading import LoadOptions
    from segs_detailer.models.stages import SamplingOptions
    from segs_detailer.models.windows import ContextWindows

__all__ = ["load_wan", "load_wan_file", "take_wan_parts"]

_PIPELINES = ("WanPipeline", "WanVideoToVideoPipeline", "WanImageToVideoPipeline", "WanVACEPipeline")
"""Pipelines of transformers that can repaint. That of image to video may want a picture, which is then refused."""

WanParts = tuple[WanModel, WanTextEncoder, WanVAE]


def load_wan(base: str, motion_adapter: Any, load: LoadOptions, files: Mapping[str, str] | None = None) -> WanParts:
    """Load a Wan checkpoint's transformers, text encoder and VAE.

    In half precision it is bfloat16, in which Wan was trained. The VAE is small, loses much in half precision, and
    stays in float32. Of a pair of transformers each is read when it is needed.

    Parameters
    ----------
    base : str
        Folder or hub id of Wan 2.1 or 2.2, text to video, or of VACE, in diffusers' layout.
    motion_adapter : None
        Wan takes none.
    load : LoadOptions
        The rest.
    files : mapping or None
        Files that stand for the parts "transformer", "transformer_2" and "vae" of the checkpoint.

    Raises
    ------
    InvalidArgumentError
        An option that means nothing to Wan.
    ModelError
        A part is missing, is not in safetensors, is of another kind, or the checkpoint wants further inputs.
    """
    refuse_frame_options(FAMILY_NAME, motion_adapter=motion_adapter, windows=load.windows, vae_chunk=load.vae_chunk)
    diffusers, transformers = packages()
    index = read_config(diffusers.DiffusionPipeline, base, None, load.hub())
    _check_kind(str(index["_class_name"]), base)
    parts = PartLoader(base, load, torch.bfloat16, files or {})
    names = [name for name in ("transformer", "transformer_2") if (index.get(name) or (None,))[0] is not None]
    if "transformer" not in names:
        raise ModelError(f"{base} has no transformer")
    if parts.files and len(names) == 2 and not all(name in parts.files for name in names):
        # One file of a pair, alone: it takes all noise levels.
        names = names[:1]
    if "transformer_2" in parts.files and len(names) == 1:
        raise InvalidArgumentError("transformer_2", f"None with the configuration {base}, which has one", "a file")
    schedule = read_config(diffusers.UniPCMultistepScheduler, base, "scheduler", load.hub())

    def network(name: str) -> Any:
        config = read_config(diffusers.WanTransformer3DModel, base, name, load.hub())
        check_text_to_video(config, f"the {name} of {base}")
        kind = getattr(diffusers, transformer_class(config, f"the {name} of {base}"))
        if name in parts.files:
            check_network(parts.files[name], tensor_shapes(parts.files[name]), config, base)
        elif len(names) == 2:
            check_weights(base, name)
        if len(names) == 1:
            return parts.network(kind, name)
        # Which of a pair is needed is known when the first step is taken.
        return Unread(
            _outline(kind, config, load.dtype_or(parts.half)),
            lambda: parts.network(kind, name),
            load.device,
            load.place,
        )

    networks = [network(name) for name in names]
    if "vae" in parts.files:
        vae_config = read_config(diffusers.AutoencoderKLWan, base, "vae", load.hub())
        check_vae(parts.files["vae"], tensor_shapes(parts.files["vae"]), vae_config, base)
    encoder = parts.network(transformers.UMT5EncoderModel, "text_encoder")
    vae = parts.network(diffusers.AutoencoderKLWan, "vae", torch_dtype=torch.float32)
    model = WanModel(
        networks[0],
        low_noise=networks[1] if len(networks) == 2 else None,
        boundary=index.get("boundary_ratio") if len(networks) == 2 else None,
        expand_timesteps=index.get("expand_timesteps"),
        conditioning_scale=load.conditioning_scale,
        scheduler_config={**schedule, **(load.scheduler_config or {})},
        options=load.options,
    )
    return model, WanTextEncoder(parts.tokenizer(transformers.AutoTokenizer, "tokenizer"), encoder), WanVAE(vae)


def load_wan_file(path: str, config: str, motion_adapter: Any, load: LoadOptions) -> WanParts:
    """Load a transformer of one file, with the other parts of a checkpoint or of files of their own; see `load_wan`.

    Parameters
    ----------
    path : str
        The file, .safetensors or .gguf; of a pair, that of the one for high noise.
    config : str
        Folder or hub id of the checkpoint that has its configuration.
    motion_adapter : None
        Wan takes none.
    load : LoadOptions
        The rest; it names the files of the second transformer and of the VAE.
    """
    named = {"transformer": path, "transformer_2": load.transformer_2, "vae": load.vae}
    return load_wan(config, motion_adapter, load, {name: file for name, file in named.items() if file is not None})


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
    refuse_frame_options(FAMILY_NAME, windows=windows, vae_chunk=vae_chunk)
    name = type(pipeline).__name__
    _check_kind(name, f"the {name}")
    check_parts(pipeline, ("transformer", "vae", "text_encoder", "tokenizer"))
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


def _check_kind(kind: str, what: str) -> None:
    if kind not in _PIPELINES:
        raise ModelError(
            f"{what} is a {kind}: of Wan's pipelines only those for text to video and VACE can repaint a clip"
        )
