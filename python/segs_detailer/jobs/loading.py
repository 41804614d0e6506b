"""The models of jobs: loaded by `ModelSettings` alone, and kept for the next job that has the same."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from segs_detailer.detailer.subject_models import read_pictures
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.jobs.keys import file_state
from segs_detailer.models.compute import ComputeOptions
from segs_detailer.models.device import named_device
from segs_detailer.models.pipe import BasicPipe
from segs_detailer.models.single_files import is_model_file
from segs_detailer.models.stages import SamplingOptions
from segs_detailer.models.windows import ContextWindows

if TYPE_CHECKING:
    from segs_detailer.jobs.parts import ModelSettings, PromptSettings
    from segs_detailer.jobs.progress import Stages

__all__ = ["LoadedModels", "ModelCache", "load_models", "models_identity"]

_FILES = (
    "model",
    "model_config",
    "transformer_2",
    "vae",
    "motion_adapter",
    "ip_adapter",
    "image_encoder",
    "refiner_model",
    "refiner_motion_adapter",
)

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


@dataclass(frozen=True, slots=True)
class LoadedModels:
    """Models under the prompts of a job.

    Parameters
    ----------
    prompts : PromptSettings
        The prompts that are encoded.
    base : BasicPipe, tuple or Sampler
        What repaints.
    refiner : BasicPipe or None
        What does the last steps.
    """

    prompts: PromptSettings
    base: Any
    refiner: BasicPipe | None = None

    def under(self, prompts: PromptSettings) -> LoadedModels:
        """Return the same models under other prompts.

        Raises
        ------
        InvalidTypeError
            There is no text encoder for them.
        """
        base, refiner = self.base, self.refiner
        asked = "a prompt" if prompts.prompt or prompts.negative_prompt else "pictures"
        if (prompts.prompt, prompts.negative_prompt) != (self.prompts.prompt, self.prompts.negative_prompt):
            base = _as_pipe(base, asked).with_prompt(prompts.prompt, prompts.negative_prompt)
        if prompts.reference:
            base = _as_pipe(base, asked).with_image_prompt(read_pictures(prompts.reference))
        if refiner is not None and prompts.of_refiner != self.prompts.of_refiner:
            refiner = refiner.with_prompt(*prompts.of_refiner)
        return LoadedModels(prompts, base, refiner)


def _as_pipe(base: Any, wanted: str) -> BasicPipe:
    if not isinstance(base, BasicPipe):
        raise InvalidTypeError("pipe", f"a BasicPipe, for {wanted}", type(base).__name__)
    return base


class ModelCache:
    """Keeps the models of the last job for the next one."""

    def __init__(self) -> None:
        self._kept: tuple[Any, LoadedModels] | None = None

    def get(self, settings: ModelSettings, prompts: PromptSettings, stages: Stages) -> LoadedModels:
        """Load models, or take those that are there: of the same settings, from files that have not changed.

        Parameters
        ----------
        settings : ModelSettings
            What loads them.
        prompts : PromptSettings
            What they are to be put under.
        stages : Stages
            Is told that models are loaded.
        """
        key = (settings, models_identity(settings))
        if self._kept is None or self._kept[0] != key:
            # The old ones go first: both together may not fit.
            self._kept = None
            self._kept = (key, load_models(settings, prompts, stages))
        return self._kept[1].under(prompts)


def load_models(settings: ModelSettings, prompts: PromptSettings, stages: Stages) -> LoadedModels:
    """Load models.

    Parameters
    ----------
    settings : ModelSettings
        Which; without a model, the preview.
    prompts : PromptSettings
        What they are put under.
    stages : Stages
        Is told that models are loaded.

    Raises
    ------
    SegsDetailerError
        One cannot be loaded, or a setting cannot be used.
    """
    if settings.device != "auto":
        named_device(settings.device)
    if settings.model is None:
        return LoadedModels(prompts, BasicPipe.preview())
    with stages.stage("load", "model"):
        base = _load(settings, settings.model, settings.motion_adapter, (prompts.prompt, prompts.negative_prompt))
        for source, weight in settings.lora:
            base = base.load_lora(source, weight=weight)
        if settings.ip_adapter is not None:
            base = _with_ip_adapter(base, settings, settings.ip_adapter)
        refiner = None
        if settings.refiner_model:
            alone = replace(settings, transformer_2=None, vae=None, conditioning_scale=None)
            refiner = _load(alone, settings.refiner_model, settings.refiner_motion_adapter, prompts.of_refiner)
    # Pictures are shown to them job by job.
    return LoadedModels(replace(prompts, reference=()), base, refiner)


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


def models_identity(settings: ModelSettings) -> dict[str, Any]:
    """Tell models and how they are run from all others, for the cache: files by their sizes and times of change."""
    found = {each.name: getattr(settings, each.name) for each in fields(settings)}
    found |= {name: file_state(getattr(settings, name)) for name in _FILES}
    found["lora"] = [(file_state(source), weight) for source, weight in settings.lora]
    # Which of several GPUs makes no difference.
    return {**found, "device": settings.device.partition(":")[0]}


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
