"""The diffusers pipeline around a model's parts, and what diffusers' loaders put into it."""

from __future__ import annotations

import importlib
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segs_detailer.errors import ModelError, first_line
from segs_detailer.models.adapters import safetensors_source

if TYPE_CHECKING:
    from segs_detailer.models.sd.network import DiffusersModel
    from segs_detailer.models.sd.text import TextEncoder
    from segs_detailer.models.sd.vae import FrameVAE

__all__ = ["load_ip_adapter", "load_textual_inversion", "pipeline_of"]


def pipeline_of(model: DiffusersModel, clip: TextEncoder, vae: FrameVAE) -> Any:
    """Find the pipeline that holds these parts, or put them into one.

    Parameters
    ----------
    model, clip, vae
        The parts of a `BasicPipe`.

    Returns
    -------
    diffusers.DiffusionPipeline
        A Stable Diffusion or AnimateDiff pipeline over the very same networks.
    """
    if model.pipeline is None:
        model.pipeline = _assembled(model, clip, vae)
    return model.pipeline


def _assembled(model: DiffusersModel, clip: TextEncoder, vae: FrameVAE) -> Any:
    # Its constructors are not annotated.
    diffusers: Any = importlib.import_module("diffusers")
    two = len(clip.encoders) == 2
    parts: dict[str, Any] = {
        "unet": model.unet,
        "vae": vae.vae,
        "text_encoder": clip.encoders[0],
        "tokenizer": clip.tokenizers[0],
        "scheduler": diffusers.DDIMScheduler(clip_sample=False, steps_offset=1),
    }
    if two:
        parts |= {"text_encoder_2": clip.encoders[1], "tokenizer_2": clip.tokenizers[1]}
    if model.is_motion:
        kind = diffusers.AnimateDiffSDXLPipeline if two else diffusers.AnimateDiffPipeline
        return kind(**parts, motion_adapter=None)
    if two:
        return diffusers.StableDiffusionXLPipeline(**parts, add_watermarker=False)
    return diffusers.StableDiffusionPipeline(
        **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )


def load_textual_inversion(pipeline: Any, source: str | PathLike[str], token: str | None, file: str | None) -> None:
    """Teach tokenizer and text encoder a word.

    Parameters
    ----------
    pipeline : diffusers.DiffusionPipeline
        Where to.
    source : str or path
        A safetensors file, a folder, or a hub id.
    token : str or None
        The word; by default the file's own.
    file : str or None
        The file in the folder or repository.

    Raises
    ------
    ModelError
        It is not in safetensors, cannot be read, does not fit, or the word is known already.
    """
    where, arguments = safetensors_source(source, file)
    try:
        pipeline.load_textual_inversion(where, token=token, use_safetensors=True, **arguments)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(f"cannot load the textual inversion {where}: {first_line(error)}") from error


def load_ip_adapter(
    pipeline: Any,
    source: str | PathLike[str],
    weight_name: str,
    subfolder: str,
    image_encoder: Any,
    scale: float,
) -> None:
    """Put an IP-Adapter into the UNet.

    Parameters
    ----------
    pipeline : diffusers.DiffusionPipeline
        Where to.
    source : str or path
        A folder or a hub id.
    weight_name, subfolder : str
        The safetensors file, and where it lies in `source`.
    image_encoder : transformers.CLIPVisionModelWithProjection, str, path or None
        Its image encoder, a folder of one, or a hub id with the folder in it (`h94/IP-Adapter/models/image_encoder`);
        `None`: the one that is loaded.
    scale : float
        Factor of its effect.

    Raises
    ------
    ModelError
        It is not in safetensors, cannot be read, or does not fit.
    """
    if not weight_name.endswith(".safetensors"):
        raise ModelError(f"cannot load the IP-Adapter {weight_name}: weights are read from safetensors only")
    if any(type(part).__name__ == "SlicedAttnProcessor" for part in pipeline.unet.attn_processors.values()):
        # diffusers would fail for it with a TypeError.
        raise ModelError(f"cannot load the IP-Adapter {weight_name} beside sliced attention: it takes its place")
    try:
        if isinstance(image_encoder, (str, PathLike)):
            import transformers

            where, subfolder_of_encoder = _place(fspath(image_encoder))
            image_encoder = transformers.CLIPVisionModelWithProjection.from_pretrained(
                where, subfolder=subfolder_of_encoder, use_safetensors=True
            )
        if image_encoder is not None:
            image_encoder = image_encoder.to(pipeline.unet.device, pipeline.unet.dtype).eval().requires_grad_(False)
            pipeline.register_modules(image_encoder=image_encoder)
        pipeline.load_ip_adapter(
            fspath(source), subfolder=subfolder, weight_name=weight_name, image_encoder_folder=None
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(f"cannot load the IP-Adapter {weight_name}: {first_line(error)}") from error
    pipeline.set_ip_adapter_scale(scale)


def _place(source: str) -> tuple[str, str]:
    """Divide a hub id with a folder in it; a folder on disk has none."""
    parts = source.split("/")
    return (source, "") if Path(source).exists() else ("/".join(parts[:2]), "/".join(parts[2:]))
