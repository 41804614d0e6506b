"""Checkpoints of LTX-2, 2.3 and 2.5, safetensors only, and the parts of their pipelines that exist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from segs_detailer.errors import ModelError
from segs_detailer.models.files import check_has, packages, read_config
from segs_detailer.models.ltx.files import check_file
from segs_detailer.models.ltx.info import FAMILY_NAME
from segs_detailer.models.ltx.network import LtxModel
from segs_detailer.models.ltx.sound import LtxEars
from segs_detailer.models.ltx.text import LtxTextEncoder
from segs_detailer.models.ltx.vae import LtxVAE
from segs_detailer.models.single_files import tensor_shapes
from segs_detailer.models.video_loading import PartLoader, check_parts, refuse_frame_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segs_detailer.models.loading import LoadOptions
    from segs_detailer.models.stages import SamplingOptions
    from segs_detailer.models.windows import ContextWindows

__all__ = ["load_ltx", "take_ltx_parts"]

LtxParts = tuple[LtxModel, LtxTextEncoder, LtxVAE]

_TEXT_ENCODERS = ("Gemma3ForConditionalGeneration", "Gemma4UnifiedForConditionalGeneration")


def load_ltx(base: str, motion_adapter: Any, load: LoadOptions, file: str | None = None) -> LtxParts:
    """Load transformer, text encoder, connectors and VAEs of LTX-2.

    Parameters
    ----------
    base : str
        Folder or hub id, in diffusers' layout.
    motion_adapter : None
        It takes none.
    load : LoadOptions
        The rest.
    file : str or None
        File that stands for the transformer, .safetensors or .gguf.

    Raises
    ------
    InvalidArgumentError
        An option that means nothing to it.
    ModelError
        A part is missing or is not in safetensors; the file holds another transformer.
    """
    refuse_frame_options(FAMILY_NAME, motion_adapter=motion_adapter, windows=load.windows, vae_chunk=load.vae_chunk)
    diffusers, transformers = packages()
    check_has(diffusers, "LTX2VideoTransformer3DModel", "AutoencoderKLLTX2Video", "AutoencoderKLLTX2Audio")
    from diffusers.pipelines.ltx2.connectors import LTX2TextConnectors

    index = read_config(diffusers.DiffusionPipeline, base, None, load.hub())
    schedule = read_config(diffusers.FlowMatchEulerDiscreteScheduler, base, "scheduler", load.hub())
    if file is not None:
        config = read_config(diffusers.LTX2VideoTransformer3DModel, base, "transformer", load.hub())
        check_file(file, tensor_shapes(file), config, base)
    parts = PartLoader(base, load, torch.bfloat16, {} if file is None else {"transformer": file})
    model = LtxModel(
        parts.network(diffusers.LTX2VideoTransformer3DModel, "transformer"),
        scheduler_config={**schedule, **(load.scheduler_config or {})},
        options=load.options,
    )
    clip = LtxTextEncoder(
        parts.tokenizer(transformers.AutoTokenizer, "tokenizer"),
        parts.network(_text_encoder(index, base, transformers), "text_encoder"),
        parts.network(LTX2TextConnectors, "connectors"),
    )
    # Half precision shows in the picture and blurs what is heard, and both VAEs are small beside the transformer.
    full = {"torch_dtype": torch.float32}
    vae = parts.network(diffusers.AutoencoderKLLTX2Video, "vae", **full)
    hears = (index.get("audio_vae") or (None,))[0] is not None
    ears = LtxEars(parts.network(diffusers.AutoencoderKLLTX2Audio, "audio_vae", **full)) if hears else None
    return model, clip, LtxVAE(vae, ears)


def _text_encoder(index: Mapping[str, Any], base: str, transformers: Any) -> Any:
    name = (index.get("text_encoder") or (None, None))[1]
    if name not in _TEXT_ENCODERS:
        raise ModelError(f"cannot load the text_encoder of {base}: it is a {name}, not a {' or '.join(_TEXT_ENCODERS)}")
    check_has(transformers, name)
    return getattr(transformers, name)


def take_ltx_parts(
    pipeline: Any,
    *,
    scheduler_config: Mapping[str, Any] | None = None,
    windows: ContextWindows | None = None,
    options: SamplingOptions | None = None,
    vae_chunk: int | None = None,
) -> LtxParts:
    """Use the parts of a pipeline that exists, where they are and as they are.

    Parameters
    ----------
    pipeline : diffusers.LTX2Pipeline
        Or its kin with the same parts.
    scheduler_config, options
        See `BasicPipe.from_pretrained`.
    windows, vae_chunk : None
        It takes none.

    Raises
    ------
    InvalidArgumentError
        An option that means nothing to it.
    ModelError
        It lacks a part.
    """
    refuse_frame_options(FAMILY_NAME, windows=windows, vae_chunk=vae_chunk)
    check_parts(pipeline, ("transformer", "vae", "tokenizer", "text_encoder", "connectors"))
    model = LtxModel(
        pipeline.transformer,
        scheduler_config={**dict(pipeline.scheduler.config), **(scheduler_config or {})},
        options=options,
    )
    model.pipeline = pipeline
    clip = LtxTextEncoder(pipeline.tokenizer, pipeline.text_encoder, pipeline.connectors)
    audio_vae = getattr(pipeline, "audio_vae", None)
    return model, clip, LtxVAE(pipeline.vae, None if audio_vae is None else LtxEars(audio_vae))
