"""From the options to the models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..detailer import detail_frames
from ..errors import InvalidArgumentError
from ..sampling.compute import ComputeOptions
from ..sampling.pipe import BasicPipe

if TYPE_CHECKING:
    import argparse

    from .stages import Stages

__all__ = ["load_pipes", "sampling_settings"]

_COMPUTE = (
    "vae_chunk",
    "vae_tile",
    "attention_slicing",
    "offload",
    "no_guidance_batch",
    "frame_batch",
    "channels_last",
    "compile",
)
"""Options for memory and speed, by their names in the parsed arguments."""


def sampling_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Keyword arguments of `detail_frames`, but for the models."""
    return {
        "guide_size": args.guide_size,
        "guide_size_for": args.guide_size_for,
        "max_size": args.max_size,
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
    }


def _check_companions(args: argparse.Namespace) -> None:
    """Refuse options that would have no effect."""
    needs_model = {
        "motion_adapter": args.motion_adapter,
        "prompt": args.prompt,
        "negative_prompt": args.negative_prompt,
        "prompts": args.prompts,
        "refiner_model": args.refiner_model,
        "inpaint_model": args.inpaint_model,
        **{name: getattr(args, name) for name in _COMPUTE},
    }
    for name, value in needs_model.items():
        if value and not args.model:
            raise InvalidArgumentError("--" + name.replace("_", "-"), "a model for it: add --model", "none")
    if args.refiner_motion_adapter and not args.refiner_model:
        raise InvalidArgumentError("--refiner-motion-adapter", "a model for it: add --refiner-model", "none")


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
    _check_companions(args)
    settings = sampling_settings(args)
    if args.model is None:
        pipe = BasicPipe.preview()
    else:
        with stages.stage("load", "model"):
            pipe = _load(args, args.model, args.motion_adapter)
            if args.refiner_model:
                settings["refiner_pipe"] = _load(args, args.refiner_model, args.refiner_motion_adapter)
    # A run over no segments checks every setting before the clip is read.
    detail_frames(np.zeros((1, 8, 8, 3), np.float32), ((8, 8), []), pipe, **settings)
    return pipe, settings


def _load(args: argparse.Namespace, model: str, motion_adapter: str | None) -> BasicPipe:
    return BasicPipe.from_pretrained(
        model,
        motion_adapter=motion_adapter,
        prompt=args.prompt,
        negative_prompt=args.negative_prompt,
        torch_dtype=None if args.dtype == "auto" else args.dtype,
        device=None if args.device == "auto" else args.device,
        vae_chunk=args.vae_chunk,
        compute=ComputeOptions(
            guidance_batch=not args.no_guidance_batch,
            frame_batch=args.frame_batch,
            channels_last=args.channels_last,
            compile_unet=args.compile,
            attention_slicing=args.attention_slicing,
            vae_tile=args.vae_tile,
            offload=args.offload,
        ),
    )
