"""From the options to the models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from segs_detailer.cli.effects import is_single_file
from segs_detailer.cli.run_options import CLIP_SETTINGS, COMPUTE_OPTIONS, WINDOW_OPTIONS
from segs_detailer.cli.setting_options import settings_from
from segs_detailer.detailer.models import Models
from segs_detailer.detailer.settings import check_names
from segs_detailer.jobs.sampling import Detailing
from segs_detailer.models.compute import ComputeOptions
from segs_detailer.models.device import named_device
from segs_detailer.models.pipe import BasicPipe
from segs_detailer.models.stages import SamplingOptions
from segs_detailer.models.windows import ContextWindows
from segs_detailer.settings import plain

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from segs_detailer.cli.stages import Stages
    from segs_detailer.detailer.settings import DetailerSettings
    from segs_detailer.models.info import ModelInfo

__all__ = [
    "Loader",
    "describe_recommended",
    "load_pipes",
    "models_identity",
    "sampling_settings",
]

Loader: TypeAlias = "Callable[[argparse.Namespace, Stages], Detailing]"
"""What `load_pipes` does, or what does it once for several clips."""


def sampling_settings(args: argparse.Namespace) -> DetailerSettings:
    """Return the detailer's settings."""
    return settings_from(args, CLIP_SETTINGS)


def describe_recommended(settings: DetailerSettings, info: ModelInfo) -> str | None:
    """Say what of a model's recommendations counts, as the settings leave it open; None where that is nothing."""
    recommended = info.recommended.settings()
    taken = [f"{name} {plain(value)}" for name, value in recommended.items() if getattr(settings, name) is None]
    return f"recommended for {info.family}: {', '.join(taken)}" if taken else None


def models_identity(args: argparse.Namespace) -> dict[str, Any]:
    """Tell the models and how they are run from all others, for the cache: files by their sizes and times of change."""
    names = ("model", "model_config", "motion_adapter", "refiner_model", "refiner_motion_adapter")
    files = {name: _state(getattr(args, name)) for name in names}
    loras = [(_state(source), weight) for source, weight in args.lora or ()]
    texts = ("prompt", "negative_prompt", "refiner_prompt", "refiner_negative_prompt")
    others = {name: getattr(args, name) for name in (*texts, "as_comfyui", "dtype", *WINDOW_OPTIONS, *COMPUTE_OPTIONS)}
    # Which of several GPUs makes no difference.
    return {**files, "lora": loras, "device": args.device.partition(":")[0], **others}


def _state(source: str | None) -> Any:
    """Return the files of a model on disk with sizes and times; the name of one on a hub as it is."""
    path = Path(source) if source else None
    if path is None or not path.exists():
        return source
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]


def load_pipes(args: argparse.Namespace, stages: Stages) -> Detailing:
    """Load the models and check the settings against them.

    Returns
    -------
    Detailing
        The models, or the preview, and the settings.

    Raises
    ------
    SegsDetailerError
        A model cannot be loaded, or a setting cannot be used.
    """
    if args.device != "auto":
        named_device(args.device)
    settings, refiner = sampling_settings(args), None
    if args.model is None:
        pipe = BasicPipe.preview()
    else:
        with stages.stage("load", "model"):
            pipe = _load(args, args.model, args.motion_adapter, (args.prompt, args.negative_prompt))
            for source, weight in args.lora or ():
                pipe = pipe.load_lora(source, weight=weight)
            if args.refiner_model:
                refiner = _load(args, args.refiner_model, args.refiner_motion_adapter, _refiner_prompts(args))
    check_names(settings, Models.of(pipe, refiner, names=("pipe", "refiner_pipe")).base.sampler)
    return Detailing(pipe, settings, refiner)


def _load(args: argparse.Namespace, model: str, motion_adapter: str | None, prompts: tuple[str, str]) -> BasicPipe:
    options: dict[str, Any] = {
        "motion_adapter": motion_adapter,
        "prompt": prompts[0],
        "negative_prompt": prompts[1],
        "dtype": None if args.dtype == "auto" else args.dtype,
        "device": None if args.device == "auto" else args.device,
        "windows": _windows(args),
        "options": SamplingOptions(refiner="recomposite", strict_mask=False) if args.as_comfyui else None,
        "vae_chunk": args.vae_chunk,
        "compute": ComputeOptions(
            guidance_batch=not args.no_guidance_batch,
            frame_batch=args.frame_batch,
            channels_last=args.channels_last,
            compile_unet=args.compile,
            attention_slicing=args.attention_slicing,
            vae_tile=args.vae_tile,
            offload=args.offload,
        ),
    }
    if is_single_file(model):
        return BasicPipe.from_single_file(model, config=args.model_config, **options)
    return BasicPipe.from_pretrained(model, **options)


def _refiner_prompts(args: argparse.Namespace) -> tuple[str, str]:
    own = (args.refiner_prompt, args.refiner_negative_prompt)
    base = (args.prompt, args.negative_prompt)
    return (base[0] if own[0] is None else own[0], base[1] if own[1] is None else own[1])


def _windows(args: argparse.Namespace) -> ContextWindows | None:
    """Context windows as the options say; None, the model's own default, where none is given."""
    given = {field: getattr(args, name) for name, field in WINDOW_OPTIONS.items()}
    given = {field: value for field, value in given.items() if value is not None and value is not False}
    if not given:
        return None
    if "overlap" not in given and "length" in given:
        given["overlap"] = given["length"] // 4
    return ContextWindows(**given)
