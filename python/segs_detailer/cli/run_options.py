"""Options of `run`, and of other commands that do the same to clips."""

from __future__ import annotations

import argparse
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from segs_detailer.cli.arguments import count, option_of
from segs_detailer.cli.setting_options import add_settings, help_of
from segs_detailer.detailer.subject_settings import SubjectSettings
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.jobs.job import CLIP_DETAIL, ClipJob
from segs_detailer.jobs.parts import (
    EncodeSettings,
    FindSettings,
    LimitSettings,
    ModelSettings,
    PathSettings,
    PromptSettings,
)
from segs_detailer.settings import declared, names_in
from segs_detailer.subjects.criteria import SelectSettings, read_criterion

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

__all__ = [
    "COMPUTE_OPTIONS",
    "INPUT_HELP",
    "WINDOW_OPTIONS",
    "add_clip_options",
    "add_crop_options",
    "add_run_options",
    "add_segment_options",
    "count_from_0",
]

INPUT_HELP = """clip to read: a video file, a GIF, a folder of images, a numbered name such as frame_%%04d.png,
or a wildcard such as 'frames/*.png'"""

COMPUTE_OPTIONS = (
    "vae_chunk",
    "vae_tile",
    "attention_slicing",
    "offload",
    "offload_type",
    "num_blocks_per_group",
    "use_stream",
    "storage_dtype",
    "quantization",
    "no_guidance_batch",
    "frame_batch",
    "channels_last",
    "compile",
)
"""Options for memory and speed, by their names in the parsed arguments."""

WINDOW_OPTIONS = (
    "context_length",
    "context_overlap",
    "context_stride",
    "context_order",
    "context_weights",
    "free_noise",
    "min_frames",
)
"""Options for long and short clips."""

_ALIASES = {"min_subject": "--min-size"}
"""The other limit has no such spelling: --max-size is that of crops."""

_FILES = {"mask": "FILE", "segs": "FILE"}


def _box(text: str) -> tuple[float, float, float, float]:
    try:
        x1, y1, x2, y2 = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not x1,y1,x2,y2 in pixels, such as 400,80,560,260") from None
    return x1, y1, x2, y2


def _rate(text: str) -> Fraction:
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a frame rate such as 24 or 30000/1001")
    return rate


def _slices(text: str) -> int | str:
    if text in ("auto", "max"):
        return text
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not auto, max or a whole number of at least 1")
    return int(text)


def count_from_0(text: str) -> int:
    """Read a whole number of at least 0: a `type` of arguments."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
    return int(text)


def _aspect(text: str) -> float:
    width, mark, height = text.partition(":")
    try:
        aspect = float(width) / float(height if mark else 1)
    except (ValueError, ZeroDivisionError):
        aspect = 0.0
    if not 0.01 <= aspect <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTH:HEIGHT such as 1:1, or a number such as 0.75")
    return aspect


_BYTES = {"": 10**9, "g": 10**9, "gb": 10**9, "m": 10**6, "mb": 10**6, "gib": 1 << 30, "mib": 1 << 20}


def _memory(text: str) -> int:
    number = text.rstrip("gGmMiIbB")
    factor = _BYTES.get(text[len(number) :].strip().lower())
    try:
        size = float(number) * (factor or 0)
    except ValueError:
        size = 0.0
    if not 0 < size < 1 << 50:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of gigabytes such as 4, or 900M")
    return int(size)


def _redo(text: str) -> tuple[int, int | None]:
    first, mark, last = text.partition("-")
    if first.isdigit() and not mark and int(first) >= 1:
        return int(first), None
    if first.isdigit() and last.isdigit() and int(first) <= int(last):
        return int(first), int(last)
    raise argparse.ArgumentTypeError(f"{text!r} is neither a track's number such as 3, nor frames such as 120-180")


def _lora(text: str) -> tuple[str, float]:
    source, mark, weight = text.rpartition("=")
    if not mark:
        return text, 1.0
    try:
        return source, float(weight)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{weight!r} in {text!r} is not a number: PATH=WEIGHT") from None


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add all options of `run` but its input and outputs."""
    add_clip_options(parser)
    _add_subjects(parser)
    _add_sampling(parser)
    _add_models(parser)
    _add_windows(parser)
    _add_compute(parser)
    _add_output(parser)
    _add_limits(parser)


def add_clip_options(parser: argparse.ArgumentParser, *, left_out: Collection[str] = ()) -> None:
    """Add the options that say what is detailed, and at which size: all that a plan needs.

    Parameters
    ----------
    parser : ArgumentParser
        Of the command.
    left_out : collection of str
        Criteria whose options mean something else in the command.
    """
    add_segment_options(parser, left_out=left_out)
    add_crop_options(parser)
    _add_sizes(parser)
    _add_common(parser)


def add_segment_options(parser: argparse.ArgumentParser, *, left_out: Collection[str] = ()) -> None:
    """Add the options that say where the subjects are, and which of them are meant; see `add_clip_options`."""
    group = parser.add_argument_group(
        "what to detail", "Without --find, --mask, --bbox and --segs, faces. Several of these add up."
    )
    add_settings(
        group, FindSettings, ("detect", "detect_labels", "detect_confidence"), metavars={"detect": "NAME|FILE"}
    )
    # Given several times, phrases and boxes add up.
    group.add_argument("--find", dest="words", action="append", metavar="WORDS", help=help_of(FindSettings, "words"))
    models = dict.fromkeys(("find_model", "refine_masks"), "PATH|ID")
    of_words = ("find_model", "find_confidence", "find_every", "refine_masks")
    add_settings(group, FindSettings, of_words, types={"find_every": count}, metavars=models)
    add_settings(group, FindSettings, ("mask",), metavars=_FILES)
    group.add_argument("--bbox", action="append", type=_box, metavar="X1,Y1,X2,Y2", help=help_of(FindSettings, "bbox"))
    rest = ("segs", "drop_size", "min_face", "detect_every", "min_share", "face_mask")
    add_settings(group, FindSettings, rest, metavars=_FILES)
    add_settings(group, FindSettings, ("mask_labels", "combined", "bbox_fill", "contour_fill"))
    _add_selection(parser, left_out)
    identity = {"identity_model": "FILE|PATH|ID", "identity_threshold": "C"}
    names = ("link_shots", "identity_model", "identity_threshold")
    add_settings(parser.add_argument_group("who is who"), FindSettings, names, metavars=identity)


def _add_selection(parser: argparse.ArgumentParser, left_out: Collection[str]) -> None:
    group = parser.add_argument_group(
        "which of them", "All that is given must hold. Numbers are those of `plan`; without any of these, all count."
    )
    several = ("at", "like", "exclude")
    metavars = {"tracks": "N,ID", "frames": "A-B", "largest": "N"}
    metavars |= {"at": "T:X,Y", "like": "PICTURE", "exclude": "NAME=VALUE"}
    for each in declared(SelectSettings):
        if each.name in left_out:
            continue
        if each.name in several:
            group.add_argument(
                option_of(each.name),
                action="append",
                metavar=metavars[each.name],
                help=help_of(SelectSettings, each.name),
            )
        else:
            types = {each.name: _criterion(each.name)}
            add_settings(group, SelectSettings, (each.name,), types=types, metavars=metavars, aliases=_ALIASES)


def _criterion(name: str) -> Callable[[str], Any]:
    """Return what reads a criterion as the settings read it."""

    def read(text: str) -> Any:
        try:
            return read_criterion(name, text)
        except (InvalidArgumentError, InvalidTypeError) as error:
            raise argparse.ArgumentTypeError(f"expected {error.expected}, got {text!r}") from None

    return read


def _add_subjects(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "single subjects", "What is otherwise for some of them, by number (see plan), identity or label."
    )
    names = ", ".join(each.name for each in declared(SubjectSettings))
    text = f"a .toml or .json file with a table for each of them ({names}), or a prompt, or [prompt, negative prompt]"
    group.add_argument("--subjects", metavar="FILE", help=text)
    # As it was called when prompts were all that there was.
    group.add_argument("--prompts", dest="subjects", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def add_crop_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how crops and masks go through the clip: all that pixels depend on which are pasted."""
    group = parser.add_argument_group("crops", "How a subject's crop goes through the clip.")
    counts = dict.fromkeys(("ramp", "max_gap", "paste_gap", "mask_median", "mask_dilate"), count_from_0)
    metavars = {"crop_factor": "F", "aspect": "W:H", "smoothing": "N"}
    add_settings(group, PathSettings, types={**counts, "aspect": _aspect}, metavars=metavars)


def _add_sizes(parser: argparse.ArgumentParser) -> None:
    add_settings(parser.add_argument_group("working size"), CLIP_DETAIL, names_in(CLIP_DETAIL, "working size"))


def _add_sampling(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("repainting", "As in ComfyUI's detailer nodes.")
    metavars, types = {"denoise_by_size": "PX:S,PX:S"}, {"denoise_by_size": str}
    add_settings(group, CLIP_DETAIL, names_in(CLIP_DETAIL, "repainting"), types=types, metavars=metavars)
    # As it was spelled before.
    group.add_argument(
        "--colour-match", dest="color_match", type=float, default=argparse.SUPPRESS, help=argparse.SUPPRESS
    )


def _add_models(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "models", "Without --model the subjects are sharpened: a preview of segments, sizes and seams."
    )
    metavars = dict.fromkeys(("model", "motion_adapter", "refiner_model", "refiner_motion_adapter"), "PATH|ID")
    metavars |= {"model_config": "FOLDER|ID", "transformer_2": "FILE", "vae": "FILE"}
    files = ("model", "model_config", "transformer_2", "vae", "shift", "motion_adapter")
    add_settings(group, ModelSettings, files, metavars=metavars)
    group.add_argument(
        "--lora", type=_lora, action="append", metavar="PATH|ID[=W]", help=help_of(ModelSettings, "lora")
    )
    add_settings(
        group,
        ModelSettings,
        ("ip_adapter", "ip_adapter_scale", "image_encoder", "conditioning_scale"),
        metavars={"ip_adapter": "PATH|ID", "image_encoder": "FOLDER|ID"},
    )
    texts = dict.fromkeys(("prompt", "negative_prompt", "refiner_prompt", "refiner_negative_prompt"), "TEXT")
    add_settings(group, PromptSettings, ("prompt", "negative_prompt", "follow_sound"), metavars=texts)
    group.add_argument(
        "--reference",
        action="append",
        metavar="PICTURE",
        help=help_of(PromptSettings, "reference"),
    )
    add_settings(group, PromptSettings, ("no_reference",))
    add_settings(group, ModelSettings, ("refiner_model", "refiner_motion_adapter"), metavars=metavars)
    add_settings(group, PromptSettings, ("refiner_prompt", "refiner_negative_prompt"), metavars=texts)
    add_settings(group, CLIP_DETAIL, names_in(CLIP_DETAIL, "models"))
    add_settings(group, ModelSettings, ("as_comfyui", "comfyui_version", "device", "dtype"))


def _add_windows(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("long and short clips", "How a motion module sees a clip.")
    types = {"context_length": count, "context_overlap": count_from_0, "context_stride": count, "min_frames": count}
    add_settings(group, ModelSettings, WINDOW_OPTIONS, types=types)


def _add_compute(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("memory and speed of the models")
    types = {"vae_chunk": count, "vae_tile": count, "frame_batch": count, "attention_slicing": _slices}
    add_settings(group, ModelSettings, COMPUTE_OPTIONS, types=types, metavars={"attention_slicing": "N"})


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    add_settings(group, EncodeSettings, metavars={"crf": "Q"})
    add_settings(group, ClipJob, ("when_empty",))


def _add_limits(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("memory and what is kept")
    group.add_argument(
        "--max-ram",
        type=_memory,
        metavar="GB",
        help="memory that all of it may take, whatever the clip's length: 4, or 900M (default: 4)",
    )
    add_settings(group, LimitSettings, ("cache", "no_cache"), metavars={"cache": "DIR"})
    group.add_argument(
        "--redo",
        type=_redo,
        action="append",
        metavar="N|A-B",
        help="sample track N, or frames A to B, anew with the options given, and leave all else as it was in the last "
        "run; may be given several times",
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("other")
    add_settings(
        group,
        ClipJob,
        ("fps", "fill_gaps", "hwaccel"),
        types={"fps": _rate},
        metavars={"fps": "RATE", "hwaccel": "DEVICE"},
    )
    add_settings(group, LimitSettings, ("threads",), types={"threads": count})
    group.add_argument("-q", "--quiet", action="store_true", help="show nothing but errors and warnings")
