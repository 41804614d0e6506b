"""Options of `run`, and of other commands that do the same to clips."""

from __future__ import annotations

import argparse
from fractions import Fraction

from segs_detailer.cli.arguments import add_fill_gaps, count, names
from segs_detailer.cli.setting_options import add_settings
from segs_detailer.detailer.settings import DetailerSettings
from segs_detailer.settings import names_in

__all__ = [
    "CLIP_SETTINGS",
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

CLIP_SETTINGS = DetailerSettings(limit_size=True)
"""The detailer's settings where no option says otherwise: a clip's crops are as large as its subjects."""

COMPUTE_OPTIONS = (
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

WINDOW_OPTIONS = {
    "context_length": "length",
    "context_overlap": "overlap",
    "context_stride": "stride",
    "context_order": "order",
    "context_weights": "weights",
    "free_noise": "free_noise",
    "min_frames": "min_frames",
}
"""Options for long and short clips, and what they are called in `ContextWindows`."""


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
    _add_sampling(parser)
    _add_models(parser)
    _add_windows(parser)
    _add_compute(parser)
    _add_output(parser)
    _add_limits(parser)


def add_clip_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is detailed, and at which size: all that a plan needs."""
    add_segment_options(parser)
    add_crop_options(parser)
    _add_sizes(parser)
    _add_common(parser)


def add_segment_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the subjects are."""
    group = parser.add_argument_group(
        "what to detail", "Without --mask, --bbox and --segs, faces. Several of these add up."
    )
    group.add_argument(
        "--detect",
        metavar="NAME|FILE",
        help="find subjects and follow them through each shot: face, or a detector's model: .onnx (YuNet, YOLO), .pt",
    )
    group.add_argument(
        "--detect-labels", type=names, metavar="A,B", help="what of all that the detector knows (default: everything)"
    )
    group.add_argument(
        "--detect-confidence", type=float, metavar="S", help="least score, 0 to 1 (default: the detector's own)"
    )
    group.add_argument(
        "--mask",
        metavar="FILE",
        help="white where to repaint: an image, a video, a folder or a numbered name; one mask, or one per frame. "
        "Where there are only 0 and 1, 1 is white; a shape in the transparency of an image counts. Another size than "
        "the clip's is scaled",
    )
    group.add_argument(
        "--bbox", action="append", type=_box, metavar="X1,Y1,X2,Y2", help="a box in pixels; may be given several times"
    )
    group.add_argument(
        "--segs",
        metavar="FILE",
        help="segments of a file: .npz, .safetensors, COCO .json, boxes (.csv, .json), mask pictures or video. Another "
        "size than the clip's is scaled; segments of one frame serve for all",
    )
    group.add_argument(
        "--drop-size", type=int, default=10, metavar="PX", help="leave out what is not larger than this (default: 10)"
    )
    group.add_argument("--min-face", type=float, metavar="PX", help="smallest face (default: a 16th of the height)")
    group.add_argument(
        "--min-share",
        type=float,
        default=0.3,
        metavar="S",
        help="a face counts if found in this share of its frames, 0 to 1 (default: 0.3)",
    )
    group.add_argument(
        "--face-mask", choices=["ellipse", "box"], help="shape of masks (default: ellipse for faces, else box)"
    )
    group.add_argument(
        "--mask-labels",
        action="store_true",
        help="values in --mask are numbers of subjects, 0 for none: each number, index of a palette or color is one",
    )
    group.add_argument("--combined", action="store_true", help="take everything in --mask as one subject")
    group.add_argument("--bbox-fill", action="store_true", help="repaint the whole box around each object in --mask")
    group.add_argument("--contour-fill", action="store_true", help="fill the outlines of the objects in --mask")


def add_crop_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how crops and masks go through the clip: all that pixels depend on which are pasted."""
    group = parser.add_argument_group("crops", "How a subject's crop goes through the clip.")
    group.add_argument(
        "--crop",
        choices=["follow", "fixed"],
        help="follow: a crop that moves with its subject; fixed: one that holds all of its way (default: follow; fixed "
        "for --bbox, a single --mask, and segments that have a crop region)",
    )
    group.add_argument(
        "--crop-factor",
        type=float,
        default=3.0,
        metavar="F",
        help="size of the crop, in sizes of the subject's box (default: 3); SEGS files have their own",
    )
    group.add_argument(
        "--aspect", type=_aspect, metavar="W:H", help="shape of the crop, such as 1:1 (default: the subject's)"
    )
    group.add_argument(
        "--smoothing",
        type=float,
        default=6.0,
        metavar="N",
        help="smooth a crop's way over about N frames before and after (default: 6)",
    )
    group.add_argument(
        "--subpixel", action="store_true", help="crops move by parts of pixels, interpolated, not by whole ones"
    )
    group.add_argument(
        "--ramp",
        type=count_from_0,
        metavar="N",
        help="frames in which a subject comes and goes (default: 4 for what is detected, 0 for masks, boxes and files)",
    )
    group.add_argument(
        "--max-gap",
        type=count_from_0,
        metavar="N",
        help="bridge up to N frames without the subject (default: 12 for what is detected, 0 for files)",
    )
    group.add_argument(
        "--size-gate", type=float, metavar="PX", help="leave subjects alone while they are so large or larger"
    )
    group.add_argument(
        "--mask-median",
        type=count_from_0,
        default=0,
        metavar="N",
        help="clean masks: the median over N frames before and after (default: 0)",
    )
    group.add_argument(
        "--mask-dilate",
        type=count_from_0,
        default=0,
        metavar="N",
        help="steady masks: each holds those of N frames before and after (default: 0)",
    )


def _add_sizes(parser: argparse.ArgumentParser) -> None:
    add_settings(parser.add_argument_group("working size"), CLIP_SETTINGS, names_in(CLIP_SETTINGS, "working size"))


def _add_sampling(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("repainting", "As in ComfyUI's detailer nodes.")
    add_settings(group, CLIP_SETTINGS, names_in(CLIP_SETTINGS, "repainting"))
    # As it was spelled before.
    group.add_argument(
        "--colour-match", dest="color_match", type=float, default=argparse.SUPPRESS, help=argparse.SUPPRESS
    )


def _add_models(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "models", "Without --model the subjects are sharpened: a preview of segments, sizes and seams."
    )
    group.add_argument(
        "--model",
        metavar="PATH|ID",
        help="Stable Diffusion or Wan checkpoint in diffusers' layout: a folder or a hub id; or a .safetensors file",
    )
    group.add_argument(
        "--model-config", metavar="FOLDER", help="configuration of a --model of one file, in diffusers' layout"
    )
    group.add_argument(
        "--motion-adapter", metavar="PATH|ID", help="AnimateDiff motion module; without one frames are independent"
    )
    group.add_argument(
        "--lora",
        type=_lora,
        action="append",
        metavar="PATH|ID[=W]",
        help="LoRA or motion LoRA of --model, and its weight (default: 1); may be given more than once",
    )
    group.add_argument("--prompt", default="", metavar="TEXT", help="what the subjects show")
    group.add_argument("--negative-prompt", default="", metavar="TEXT", help="what they must not show")
    group.add_argument(
        "--prompts",
        metavar="FILE",
        help="prompts of single subjects: JSON of labels, or numbers from 1, and prompts or [prompt, negative prompt]",
    )
    group.add_argument("--refiner-model", metavar="PATH|ID", help="checkpoint that does the last steps")
    group.add_argument("--refiner-motion-adapter", metavar="PATH|ID", help="the refiner's motion module")
    group.add_argument("--refiner-prompt", metavar="TEXT", help="the refiner's own prompt (default: --prompt)")
    group.add_argument("--refiner-negative-prompt", metavar="TEXT", help="likewise (default: --negative-prompt)")
    add_settings(group, CLIP_SETTINGS, names_in(CLIP_SETTINGS, "models"))
    group.add_argument(
        "--as-comfyui",
        action="store_true",
        help="mask and refiner as in ComfyUI with Impact Pack to the letter, where the default improves on them",
    )
    group.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:1, ... (default: auto)")
    group.add_argument(
        "--dtype",
        choices=["auto", "float32", "float16", "bfloat16"],
        default="auto",
        help="number format of the models (default: float16 on a GPU, else float32)",
    )


def _add_windows(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("long and short clips", "How a motion module sees a clip.")
    group.add_argument(
        "--context-length", type=count, metavar="N", help="frames of a context window (default: 16, or the module's)"
    )
    group.add_argument(
        "--context-overlap",
        type=count_from_0,
        metavar="N",
        help="frames that windows share (default: a quarter of a window)",
    )
    group.add_argument(
        "--context-stride", type=count, metavar="N", help="above 1, more windows over every 2nd, 4th, ... frame"
    )
    group.add_argument(
        "--context-order", choices=["uniform", "looped", "static"], help="how windows move (default: uniform)"
    )
    group.add_argument(
        "--context-weights", choices=["pyramid", "linear", "flat"], help="how windows are blended (default: pyramid)"
    )
    group.add_argument("--free-noise", action="store_true", help="windows start from the same noise, shuffled")
    group.add_argument(
        "--min-frames", type=count, metavar="N", help="lengthen shorter clips by running back and forth (default: 1)"
    )


def _add_compute(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("memory and speed of the models")
    group.add_argument(
        "--vae-chunk",
        type=count,
        metavar="N",
        help="frames that go through the VAE at once (default: as many as fit the free memory)",
    )
    group.add_argument("--vae-tile", type=count, metavar="PX", help="let the VAE work on tiles of this size")
    group.add_argument(
        "--attention-slicing", type=_slices, metavar="N", help="heads of attention at once: auto (half), max (one) or N"
    )
    group.add_argument(
        "--offload",
        choices=["model", "sequential"],
        help="keep the models in the processor's memory, and bring them to the GPU one by one or layer by layer",
    )
    group.add_argument(
        "--no-guidance-batch",
        action="store_true",
        help="prompt and negative prompt apart: half the memory, slower",
    )
    group.add_argument(
        "--frame-batch", type=count, metavar="N", help="frames at once of a model without motion module (default: 8)"
    )
    group.add_argument("--channels-last", action="store_true", help="memory layout that many GPUs prefer")
    group.add_argument("--compile", action="store_true", help="compile the model: the first step takes minutes")


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument("--codec", metavar="NAME", help="h264, hevc, vp9, av1, prores, ffv1, ... (default: the input's)")
    group.add_argument(
        "--crf", type=float, metavar="Q", help="constant quality in the encoder's scale, smaller is better"
    )
    group.add_argument("--pix-fmt", metavar="NAME", help="pixel format (default: the input's)")
    group.add_argument("--no-audio", action="store_true", help="leave the sound out")
    group.add_argument(
        "--when-empty",
        choices=["copy", "skip", "fail"],
        default="copy",
        help="a clip without subjects: copy it as it is, write nothing, or end with an error (default: copy)",
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("memory and what is kept")
    group.add_argument(
        "--max-ram",
        type=_memory,
        default=4 * 10**9,
        metavar="GB",
        help="memory that all of it may take, whatever the clip's length: 4, or 900M (default: 4)",
    )
    group.add_argument(
        "--cache",
        metavar="DIR",
        help="keep what is done there, so that a run that was stopped goes on (default: the user's cache folder)",
    )
    group.add_argument("--no-cache", action="store_true", help="keep nothing")
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
    group.add_argument(
        "--fps", type=_rate, metavar="RATE", help="frame rate of image files, such as 24 or 30000/1001 (default: 24)"
    )
    add_fill_gaps(group)
    group.add_argument("--threads", type=count, metavar="N", help="processor threads (default: all)")
    group.add_argument("-q", "--quiet", action="store_true", help="show nothing but errors and warnings")
