"""Options that would have no effect are refused by name: one table says what each of them needs."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from segs_detailer.cli.arguments import option_of
from segs_detailer.cli.run_options import COMPUTE_OPTIONS, WINDOW_OPTIONS
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.jobs.job import PARTS, ClipJob
from segs_detailer.models.single_files import is_model_file
from segs_detailer.subjects.criteria import SelectSettings
from segs_detailer.video.sequences import ANIMATION_SUFFIXES, IMAGE_SUFFIXES, is_pattern, names_several

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RULES", "Rule", "check_effects"]

Options: TypeAlias = argparse.Namespace


@dataclass(frozen=True, slots=True)
class Rule:
    """What some options need, to have an effect.

    Parameters
    ----------
    options : tuple of str
        Their names in the parsed arguments.
    needs : str
        What they need, for the message.
    is_met : callable
        Whether that is given.
    instead : str
        Name of the argument that stands in the way, for the message; none where something is missing.
    """

    options: tuple[str, ...]
    needs: str
    is_met: Callable[[Options], bool]
    instead: str = ""


def _detects(args: Options) -> bool:
    """Whether a detector is used: `verify` has none unless it is named."""
    return args.detect is not None or not (_names_subjects(args) or args.command == "verify")


def _names_subjects(args: Options) -> bool:
    return any((args.detect is not None, args.mask is not None, args.segs is not None, args.bbox, args.words))


def _finds(args: Options) -> bool:
    """Whether anything is looked for that is found as boxes in single frames."""
    return bool(args.words) or _detects(args)


def _tells_apart(args: Options) -> bool:
    return bool(
        args.link_shots or args.like or any(each.partition("=")[0].strip() == "like" for each in args.exclude or ())
    )


def _is_images(name: str) -> bool:
    path = Path(name)
    return path.is_dir() or names_several(path) or path.suffix.lower() in IMAGE_SUFFIXES


def _reads_images(args: Options) -> bool:
    return _is_images(args.clip)


def _reads_sequences(args: Options) -> bool:
    read = ("input", "output", "mask", "segs") if args.command == "verify" else ("clip", "mask", "segs")
    return any(_is_images(name) for name in (getattr(args, each) for each in read) if name)


def _encodes(args: Options) -> bool:
    """Whether the output is a video file; `plan` may write nothing, and plans a run."""
    if args.command not in ("run", "batch", "plan") or args.output is None:
        return True
    path = Path(args.output)
    is_folder = args.output.endswith(("/", "\\")) or path.is_dir() or not path.suffix
    return not (is_folder or is_pattern(path) or path.suffix.lower() in (*IMAGE_SUFFIXES, *ANIMATION_SUFFIXES))


def _on(engine: str) -> Callable[[Options], bool]:
    return lambda args: args.engine == engine


_OF_MASKS = (
    "crop",
    "crop_factor",
    "aspect",
    "smoothing",
    "subpixel",
    "upright",
    "ramp",
    "max_gap",
    "paste_gap",
    "size_gate",
    "mask_median",
    "mask_dilate",
    "feather",
    "grow",
)

RULES = (
    Rule(
        (
            "motion_adapter",
            "model_config",
            "shift",
            "transformer_2",
            "vae",
            "conditioning_scale",
            "lora",
            "ip_adapter",
            "reference",
            "as_comfyui",
            "comfyui_version",
            "prompt",
            "negative_prompt",
            "follow_sound",
            "no_reference",
            "refiner_model",
            "inpaint_model",
            *WINDOW_OPTIONS,
            *COMPUTE_OPTIONS,
        ),
        "a model for it: add --model",
        lambda args: bool(args.model),
    ),
    Rule(
        ("dtype",),
        "a model for it: add --model, --find or --refine-masks",
        lambda args: bool(args.model or args.words or args.refine_masks),
    ),
    Rule(
        ("find_model", "find_confidence", "find_every"),
        "words for it: add --find",
        lambda args: bool(args.words),
    ),
    Rule(
        ("refine_masks",),
        "subjects that are found as boxes: add --find, --detect, --bbox or --segs",
        lambda args: bool(args.bbox) or args.segs is not None or _finds(args),
    ),
    Rule(
        ("refine_masks",),
        "what words name, for none: add --find",
        lambda args: args.refine_masks != "none" or bool(args.words),
    ),
    Rule(
        ("refiner_motion_adapter", "refiner_prompt", "refiner_negative_prompt", "refiner_ratio"),
        "a model for it: add --refiner-model",
        lambda args: bool(args.refiner_model),
    ),
    Rule(
        ("ip_adapter_scale", "image_encoder"),
        "an IP-Adapter for it: add --ip-adapter",
        lambda args: bool(args.ip_adapter),
    ),
    Rule(
        ("ip_adapter",),
        "a picture for it: add --reference, or --subjects with one",
        lambda args: bool(args.reference or args.subjects),
    ),
    Rule(
        ("offload_type", "num_blocks_per_group", "use_stream"),
        "groups: add --offload group",
        lambda args: args.offload == "group",
    ),
    Rule(
        ("no_reference",),
        "no picture for all: leave out --reference",
        lambda args: not args.reference,
        "reference",
    ),
    Rule(
        ("model_config", "transformer_2", "vae"),
        "a --model of one .safetensors or .gguf file",
        lambda args: is_model_file(args.model or ""),
        "model",
    ),
    Rule(
        ("combined", "bbox_fill", "contour_fill", "mask_labels"),
        "a mask for it: add --mask",
        lambda args: args.mask is not None,
    ),
    Rule(
        ("mask_labels",),
        "subjects that are apart: leave out --combined",
        lambda args: not args.combined,
        "combined",
    ),
    Rule(
        ("detect_labels", "detect_confidence", "detect_every"),
        "a detector for it: add --detect",
        _detects,
    ),
    Rule(
        ("min_face", "min_share", "face_mask"),
        "what has to be found: add --detect or --find",
        _finds,
    ),
    Rule(
        ("drop_size",),
        "what has to be found: add --mask, --detect or --find",
        lambda args: args.mask is not None or _finds(args),
    ),
    Rule(
        ("max_gap", "paste_gap"),
        "what may be away for a while: add --mask, --segs, --detect or --find",
        lambda args: args.mask is not None or args.segs is not None or _finds(args),
    ),
    Rule(
        (*_OF_MASKS, "margin", "link_shots", *(each.name for each in fields(SelectSettings))),
        "subjects that were detailed: add --detect, --find, --mask, --bbox or --segs",
        lambda args: args.command != "verify" or _names_subjects(args),
    ),
    Rule(
        ("identity_model", "identity_threshold"),
        "tracks to tell apart: add --link-shots or --like",
        _tells_apart,
    ),
    Rule(
        ("upright",),
        "what may say how a subject is turned: add --mask, --segs, --detect or --find",
        lambda args: args.mask is not None or args.segs is not None or _finds(args),
    ),
    Rule(
        ("subpixel",),
        "a crop that moves: leave out --crop fixed",
        lambda args: args.crop != "fixed",
        "crop",
    ),
    Rule(
        ("fps",),
        "image files as clip, which have no times of their own",
        _reads_images,
        "clip",
    ),
    Rule(
        ("fill_gaps",),
        "a sequence of images: as clip, --mask or --segs",
        _reads_sequences,
    ),
    Rule(
        ("codec", "crf", "pix_fmt", "no_audio", "copy_untouched"),
        "a video file as output, such as .mp4",
        _encodes,
        "output",
    ),
    Rule(("devices",), "--engine local", _on("local"), "engine"),
    Rule(("address", "cpus_per_task", "gpus_per_task", "whole_clips"), "--engine ray", _on("ray"), "engine"),
)
"""What options need. What a command does not have, or is left as it is, is passed over."""


def check_effects(args: Options, job: ClipJob | None = None) -> None:
    """Refuse options that would have no effect.

    Parameters
    ----------
    args : Namespace
        The options of a command on one clip.
    job : ClipJob or None
        What holds where no option is given.

    Raises
    ------
    InvalidArgumentError
        One was given that lacks what it needs.
    """
    usual = _values(ClipJob(""))
    given = {name: value for name, value in vars(args).items() if value is not None}
    values = argparse.Namespace(**{**usual, **vars(args), **(_values(job) if job else {}), **given})
    for rule in RULES:
        idle = [name for name in rule.options if _is_given(values, name, usual)]
        if idle and not rule.is_met(values):
            raise InvalidArgumentError(option_of(idle[0]), rule.needs, _shown(values, rule.instead))


def _values(job: ClipJob) -> dict[str, Any]:
    """Return all values of a job by the names of their options."""
    parts = [getattr(job, name) for name in PARTS]
    return {each.name: getattr(part, each.name) for part in (job, *parts) for each in fields(part)}


def _shown(args: Options, name: str) -> str:
    if not name:
        return "none"
    value = getattr(args, name)
    if value is True:
        return option_of(name)
    return str(value) if name in ("clip", "output") else f"{option_of(name)} {value}"


def _is_given(args: Options, name: str, usual: dict[str, Any]) -> bool:
    value: Any = getattr(args, name, None)
    return not (value is None or value is False or value == ()) and value != usual.get(name)
