"""Checkpoints of HunyuanVideo 1.5, safetensors only, and the parts of its pipelines that exist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from segs_detailer.errors import ModelError
from segs_detailer.models.files import check_has, packages, read_config
from segs_detailer.models.hunyuan.info import FAMILY_NAME
from segs_detailer.models.hunyuan.network import HunyuanModel, check_text_to_video
from segs_detailer.models.hunyuan.text import HunyuanTextEncoder
from segs_detailer.models.hunyuan.vae import HunyuanVAE
from segs_detailer.models.video_loading import PartLoader, check_parts, refuse_frame_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segs_detailer.models.loading import LoadOptions
    from segs_detailer.models.stages import SamplingOptions
    from segs_detailer.models.windows import ContextWindows

__all__ = ["PIPELINE", "load_hunyuan", "take_hunyuan_parts"]

PIPELINE = "HunyuanVideo15Pipeline"

HunyuanParts = tuple[HunyuanModel, HunyuanTextEncoder, HunyuanVAE]

_TEXT_PARTS = ("tokenizer", "text_encoder", "tokenizer_2", "text_encoder_2")


def load_hunyuan(base: str, motion_adapter: Any, load: LoadOptions) -> HunyuanParts:
    """Load transformer, text encoders and VAE of HunyuanVideo 1.5.

    Parameters
    ----------
    base : str
        Folder or hub id, text to video, in diffusers' layout.
    motion_adapter : None
        It takes none.
    load : LoadOptions
        The rest.

    Raises
    ------
    InvalidArgumentError
        An option that means nothing to it.
    ModelError
        A part is missing, is not in safetensors, or the checkpoint wants a picture.
    """
    refuse_frame_options(FAMILY_NAME, motion_adapter=motion_adapter, windows=load.windows, vae_chunk=load.vae_chunk)
    diffusers, transformers = packages()
    check_has(diffusers, "HunyuanVideo15Transformer3DModel", "AutoencoderKLHunyuanVideo15", "ClassifierFreeGuidance")
    check_has(transformers, "Qwen2_5_VLTextModel")
    index = read_config(diffusers.DiffusionPipeline, base, None, load.hub())
    _check_kind(str(index["_class_name"]), base)
    config = read_config(diffusers.HunyuanVideo15Transformer3DModel, base, "transformer", load.hub())
    check_text_to_video(config, f"the transformer of {base}")
    schedule = read_config(diffusers.FlowMatchEulerDiscreteScheduler, base, "scheduler", load.hub())
    has_guider = (index.get("guider") or (None,))[0] is not None
    guider = read_config(diffusers.ClassifierFreeGuidance, base, "guider", load.hub()) if has_guider else {}
    parts = PartLoader(base, load, torch.bfloat16)
    model = HunyuanModel(
        parts.network(diffusers.HunyuanVideo15Transformer3DModel, "transformer"),
        scheduler_config={**schedule, **(load.scheduler_config or {})},
        guidance=_guidance(guider),
        options=load.options,
    )
    encoders = HunyuanTextEncoder(
        parts.tokenizer(transformers.AutoTokenizer, "tokenizer"),
        parts.network(transformers.Qwen2_5_VLTextModel, "text_encoder"),
        parts.tokenizer(transformers.ByT5Tokenizer, "tokenizer_2"),
        parts.network(transformers.T5EncoderModel, "text_encoder_2"),
    )
    # Half precision shows in the picture, and the VAE is small beside the transformer.
    vae = parts.network(diffusers.AutoencoderKLHunyuanVideo15, "vae", torch_dtype=torch.float32)
    return model, encoders, HunyuanVAE(vae)


def take_hunyuan_parts(
    pipeline: Any,
    *,
    scheduler_config: Mapping[str, Any] | None = None,
    windows: ContextWindows | None = None,
    options: SamplingOptions | None = None,
    vae_chunk: int | None = None,
) -> HunyuanParts:
    """Use the parts of a pipeline that exists, where they are and as they are.

    Parameters
    ----------
    pipeline : diffusers.HunyuanVideo15Pipeline
        The pipeline.
    scheduler_config, options
        See `BasicPipe.from_pretrained`.
    windows, vae_chunk : None
        It takes none.

    Raises
    ------
    InvalidArgumentError
        An option that means nothing to it.
    ModelError
        It lacks a part, or wants a picture.
    """
    refuse_frame_options(FAMILY_NAME, windows=windows, vae_chunk=vae_chunk)
    kind = type(pipeline).__name__
    _check_kind(kind, f"the {kind}")
    check_parts(pipeline, ("transformer", "vae", *_TEXT_PARTS))
    model = HunyuanModel(
        pipeline.transformer,
        scheduler_config={**dict(pipeline.scheduler.config), **(scheduler_config or {})},
        guidance=_guidance(getattr(pipeline.guider, "config", {})),
        options=options,
    )
    model.pipeline = pipeline
    encoders = HunyuanTextEncoder(
        pipeline.tokenizer, pipeline.text_encoder, pipeline.tokenizer_2, pipeline.text_encoder_2
    )
    return model, encoders, HunyuanVAE(pipeline.vae)


def _check_kind(kind: str, what: str) -> None:
    if kind != PIPELINE:
        raise ModelError(
            f"{what} is a {kind}: of the pipelines of HunyuanVideo 1.5 only that for text to video can repaint a clip"
        )


def _guidance(guider: Mapping[str, Any]) -> float | None:
    """Return the scale that a checkpoint's guider names; that of one which is switched off is 1."""
    if guider.get("enabled") is False:
        return 1.0
    scale = guider.get("guidance_scale")
    if scale is None:
        return None
    # The original formulation starts from the positive side, and counts from 0.
    return float(scale) + (1.0 if guider.get("use_original_formulation") else 0.0)
