"""Loading the networks that a job names, as its settings say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from segs_detailer.errors import InvalidArgumentError
from segs_detailer.models.compute import ComputeOptions
from segs_detailer.models.pipe import BasicPipe
from segs_detailer.models.single_files import is_model_file
from segs_detailer.models.stages import SamplingOptions
from segs_detailer.models.windows import ContextWindows

if TYPE_CHECKING:
    from segs_detailer.jobs.parts import ModelSettings, PromptSettings

__all__ = ["load_networks"]

_WINDOWS = {
    "context_length": "length",
    "context_overlap": "overlap",
    "context_stride": "stride",
    "context_order": "order",
    "context_weights": "weights",
    "free_noise": "free_noise",
    "min_frames": "min_frames",
}
"""Settings for long and short clips, and what they are called in `ContextWindows`."""


def load_networks(settings: ModelSettings, model: str, prompts: PromptSettings) -> tuple[BasicPipe, BasicPipe | None]:
    """Load the networks of a job.

    Parameters
    ----------
    settings : ModelSettings
        How, and what is loaded beside the model.
    model : str
        The model.
    prompts : PromptSettings
        What they are put under.

    Returns
    -------
    (BasicPipe, BasicPipe or None)
        What repaints, and the refiner.

    Raises
    ------
    SegsDetailerError
        One cannot be loaded, or a setting cannot be used.
    """
    base = _load(settings, model, settings.motion_adapter, (prompts.prompt, prompts.negative_prompt))
    for source, weight in settings.lora:
        base = base.load_lora(source, weight=weight)
    if settings.ip_adapter is not None:
        base = _with_ip_adapter(base, settings, settings.ip_adapter)
    if not settings.refiner_model:
        return base, None
    alone = replace(settings, transformer_2=None, vae=None, conditioning_scale=None)
    return base, _load(alone, settings.refiner_model, settings.refiner_motion_adapter, prompts.of_refiner)


def _with_ip_adapter(base: BasicPipe, settings: ModelSettings, adapter: str) -> BasicPipe:
    """Load an IP-Adapter that looks at nothing yet: subjects without pictures are repainted as without it."""
    path = Path(adapter)
    if path.is_file():
        source, folder = str(path.parent), ""
    else:
        owner, _, rest = adapter.partition("/")
        name, _, inner = rest.partition("/")
        if not inner:
            raise InvalidArgumentError("ip_adapter", "a file, or OWNER/NAME/.../FILE.safetensors on a hub", adapter)
        source, folder = f"{owner}/{name}", inner.rpartition("/")[0]
    base = base.load_ip_adapter(
        source,
        subfolder=folder,
        weight_name=path.name,
        image_encoder=settings.image_encoder,
        scale=settings.ip_adapter_scale,
    )
    nothing = base.encode_image_prompt(torch.zeros(1, 8, 8, 3))
    return base.with_image_prompt(replace(nothing, is_shown=False))


def _load(settings: ModelSettings, model: str, motion_adapter: str | None, prompts: tuple[str, str]) -> BasicPipe:
    options: dict[str, Any] = {
        "motion_adapter": motion_adapter,
        "prompt": prompts[0],
        "negative_prompt": prompts[1],
        "dtype": None if settings.dtype == "auto" else settings.dtype,
        "device": None if settings.device == "auto" else settings.device,
        "windows": _windows(settings),
        "options": _sampling_options(settings),
        "vae_chunk": settings.vae_chunk,
        # Diffusers' schedulers know it under two names.
        "scheduler_config": None if settings.shift is None else dict.fromkeys(("flow_shift", "shift"), settings.shift),
        "conditioning_scale": settings.conditioning_scale,
        "compute": ComputeOptions(
            guidance_batch=not settings.no_guidance_batch,
            frame_batch=settings.frame_batch,
            channels_last=settings.channels_last,
            compile_unet=settings.compile,
            attention_slicing=settings.attention_slicing,
            vae_tile=settings.vae_tile,
            offload=settings.offload,
            offload_type=settings.offload_type,
            num_blocks_per_group=settings.num_blocks_per_group,
            use_stream=settings.use_stream,
            storage_dtype=settings.storage_dtype,
            quantization=settings.quantization,
        ),
    }
    if is_model_file(model):
        parts: dict[str, Any] = {
            "config": settings.model_config,
            "transformer_2": settings.transformer_2,
            "vae": settings.vae,
        }
        pipe = BasicPipe.from_single_file(model, **parts, **options)
    else:
        pipe = BasicPipe.from_pretrained(model, **options)
    if settings.shift is not None and not pipe.sampler.is_flow:
        raise InvalidArgumentError("shift", "none but for models of flow matching", f"{settings.shift:g} for {model}")
    return pipe


def _sampling_options(settings: ModelSettings) -> SamplingOptions | None:
    """Return how far to follow which ComfyUI; None, the default, where nothing says so."""
    options = SamplingOptions(
        refiner="recomposite" if settings.as_comfyui else "continue",
        strict_mask=not settings.as_comfyui,
        comfyui=settings.comfyui_version,
    )
    return None if options == SamplingOptions() else options


def _windows(settings: ModelSettings) -> ContextWindows | None:
    """Context windows as the settings say; None, the model's own default, where none is given."""
    given = {own: getattr(settings, name) for name, own in _WINDOWS.items()}
    given = {own: value for own, value in given.items() if value is not None and value is not False}
    if not given:
        return None
    if "overlap" not in given and "length" in given:
        given["overlap"] = given["length"] // 4
    return ContextWindows(**given)
