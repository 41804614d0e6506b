"""From the options to the models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from segs_detailer.cli.effects import is_single_file
from segs_detailer.cli.run_options import COMPUTE_OPTIONS, WINDOW_OPTIONS
from segs_detailer.detailer import detail_frames
from segs_detailer.models.compute import ComputeOptions
from segs_detailer.models.pipe import BasicPipe
from segs_detailer.models.sd.device import named_device
from segs_detailer.models.sd.windows import ContextWindows
from segs_detailer.models.stages import SamplingOptions

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from segs_detailer.cli.stages import Stages

__all__ = ["Loader", "load_pipes", "models_identity", "sampling_settings"]

Loader: TypeAlias = "Callable[[argparse.Namespace, Stages], tuple[BasicPipe, dict[str, Any]]]"
"""What `load_pipes` does, or what does it once for several clips."""


def sampling_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Keyword arguments of `detail_frames`, but for the models."""
    return {
        "guide_size": args.guide_size,
        "guide_size_for": args.guide_size_for,
        "max_size": args.max_size,
        "limit_size": args.limit_size,
        "seed": args.seed,
        "steps": args.steps,
        "cfg": args.cfg,
        "sampler_name": args.sampler_name,
        "scheduler": args.scheduler,
        "denoise": args.denoise,
        "feather": args.feather,
        "refiner_ratio": args.refiner_ratio,
        "inpaint_model": args.inpaint_model,
        "noise_mask_feather": args.noise_mask_feather,
        "batch_segments": args.batch_segments,
        "grow": args.grow,
        "noise_mask_grow": args.noise_mask_grow,
        "color_match": args.color_match,
        "vae_correction": args.vae_correction,
        "noise": args.noise,
    }


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


def load_pipes(args: argparse.Namespace, stages: Stages) -> tuple[BasicPipe, dict[str, Any]]:
    """Load the models and check every setting against them.

    Returns
    -------
    pipe : BasicPipe
        The model, or the preview.
    settings : dict
        Keyword arguments of `detail_frames`.

    Raises
    ------
    SegsDetailerError
        A model cannot be loaded, or a setting cannot be used.
    """
    if args.device != "auto":
        named_device(args.device)
    settings = sampling_settings(args)
    if args.model is None:
        pipe = BasicPipe.preview()
    else:
        with stages.stage("load", "model"):
            pipe = _load(args, args.model, args.motion_adapter, (args.prompt, args.negative_prompt))
            for source, weight in args.lora or ():
                pipe = pipe.load_lora(source, weight=weight)
            if args.refiner_model:
                settings["refiner_pipe"] = _load(
                    args, args.refiner_model, args.refiner_motion_adapter, _refiner_prompts(args)
                )
    # A run over no segments checks every setting before the clip is read.
    detail_frames(np.zeros((1, 8, 8, 3), np.float32), ((8, 8), []), pipe, **settings)
    return pipe, settings


def _load(args: argparse.Namespace, model: str, motion_adapter: str | None, prompts: tuple[str, str]) -> BasicPipe:
    options: dict[str, Any] = {
        "motion_adapter": motion_adapter,
        "prompt": prompts[0],
        "negative_prompt": prompts[1],
        "torch_dtype": None if args.dtype == "auto" else args.dtype,
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
