"""Arguments of the commands and what they mean."""

from __future__ import annotations

import argparse
from fractions import Fraction
from typing import Any, NoReturn

from .arguments import add_command, count
from .comfyui import add_comfyui
from .convert import add_convert

__all__ = ["build_parser"]

_INPUT_HELP = """clip to read: a video file, a GIF, a folder of images, a numbered name such as frame_%%04d.png,
or a wildcard such as 'frames/*.png'"""

_RUN_EPILOG = """examples:
  segs-detailer run clip.mp4 -o out.mp4
      sharpen all faces: a preview that needs no model
  segs-detailer run clip.mp4 -o out.mp4 --model ./sd15 --motion-adapter ./animatediff --prompt "a woman"
      repaint all faces with AnimateDiff
  segs-detailer run clip.mp4 -o out.mp4 --bbox 400,80,560,260 --denoise 0.4 --compare before_after.png
      repaint one region and show it before and after
  segs-detailer run frames/%04d.png -o detailed/ --mask masks/%04d.png
      repaint what the masks show, images in and out
"""

_PREVIEW_EPILOG = """example:
  segs-detailer preview clip.mp4 -o sheet.png --min-face 40
"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, like every other error of this program."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from .. import __version__

        print(f"segs-detailer {__version__}")
        parser.exit()


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


def _share(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
    return int(text)


def _lora(text: str) -> tuple[str, float]:
    source, mark, weight = text.rpartition("=")
    if not mark:
        return text, 1.0
    try:
        return source, float(weight)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{weight!r} in {text!r} is not a number: PATH=WEIGHT") from None


def build_parser() -> argparse.ArgumentParser:
    """Parser of the whole command line."""
    parser = _Parser(
        prog="segs-detailer",
        description="Re-detail chosen regions of a clip: crop each frame around a subject, scale it up, repaint it, "
        "scale it back and paste it through a soft mask.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and leave")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    _add_run(commands)
    _add_preview(commands)
    add_convert(commands)
    add_comfyui(commands)
    return parser


def _clip_command(commands: Any, name: str, summary: str, epilog: str) -> argparse.ArgumentParser:
    parser = add_command(commands, name, summary, epilog)
    parser.add_argument("clip", metavar="CLIP", help=_INPUT_HELP)
    return parser


def _add_run(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _clip_command(commands, "run", "detail the subjects of a clip and write the result", _RUN_EPILOG)
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        help="where to write; the name says the format: .mp4, .mov, .mkv, .webm, .avi, .gif, a folder/, "
        "or frame_%%04d.png. Size, frame rate, pixel format, colours and sound are those of CLIP",
    )
    parser.add_argument(
        "--compare",
        metavar="FILE",
        help="also write the subjects before and after: a picture (.png), or a video with both side by side",
    )
    _add_segments(parser)
    _add_sizes(parser)
    _add_sampling(parser)
    _add_models(parser)
    _add_windows(parser)
    _add_compute(parser)
    _add_encoding(parser)
    _add_common(parser)


def _add_preview(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _clip_command(
        commands, "preview", "write a contact sheet with boxes, crop regions and masks drawn in", _PREVIEW_EPILOG
    )
    parser.add_argument(
        "-o", "--output", metavar="SHEET", help="picture to write (default: the clip's name with _preview.png)"
    )
    parser.add_argument("--frames", type=count, default=12, metavar="N", help="frames on the sheet (default: 12)")
    parser.add_argument("--columns", type=count, default=4, metavar="N", help="frames side by side (default: 4)")
    _add_segments(parser)
    _add_sizes(parser)
    _add_common(parser)


def _add_segments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "what to detail", "Without --mask, --bbox and --segs, faces. Several of these add up."
    )
    group.add_argument("--detect", choices=["face"], help="find faces and follow them through each shot")
    group.add_argument(
        "--mask",
        metavar="FILE",
        help="white where to repaint: an image, a video, a folder or a numbered name; one mask, or one per frame. "
        "Another size than the clip's is scaled",
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
        "--crop-factor",
        type=float,
        default=3.0,
        metavar="F",
        help="size of the crop, in sizes of the subject's box (default: 3); SEGS files have their own",
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
        "--max-gap", type=int, default=12, metavar="N", help="bridge up to N frames without a detection (default: 12)"
    )
    group.add_argument(
        "--face-mask", choices=["ellipse", "box"], default="ellipse", help="shape of a face's mask (default: ellipse)"
    )
    group.add_argument("--combined", action="store_true", help="take everything in --mask as one subject")
    group.add_argument("--bbox-fill", action="store_true", help="repaint the whole box around each object in --mask")
    group.add_argument("--contour-fill", action="store_true", help="fill the outlines of the objects in --mask")


def _add_sizes(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("working size")
    group.add_argument(
        "--guide-size",
        type=float,
        default=512,
        metavar="PX",
        help="scale the crop up until the subject's shorter side has this size (default: 512)",
    )
    group.add_argument(
        "--guide-size-for",
        choices=["bbox", "crop_region"],
        default="bbox",
        help="what the guide size counts for (default: bbox)",
    )
    group.add_argument(
        "--max-size", type=float, default=1024, metavar="PX", help="limit of the crop's longer side (default: 1024)"
    )


def _add_sampling(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("repainting", "As in ComfyUI's detailer nodes.")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the noise (default: 0)")
    group.add_argument("--steps", type=int, default=20, metavar="N", help="sampling steps (default: 20)")
    group.add_argument("--cfg", type=float, default=8.0, metavar="S", help="guidance scale (default: 8)")
    group.add_argument(
        "--sampler-name", default="euler", metavar="NAME", help="euler, dpmpp_2m, ddim, lcm, ... (default: euler)"
    )
    group.add_argument(
        "--scheduler", default="normal", metavar="NAME", help="normal, karras, simple, ... (default: normal)"
    )
    group.add_argument(
        "--denoise", type=float, default=0.5, metavar="S", help="how much is repainted, above 0 to 1 (default: 0.5)"
    )
    group.add_argument("--feather", type=int, default=5, metavar="PX", help="blur of the paste's mask (default: 5)")
    group.add_argument(
        "--noise-mask-feather",
        type=int,
        default=20,
        metavar="PX",
        help="blur of the sampling mask; above 0, differential diffusion (default: 20)",
    )
    group.add_argument(
        "--batch-segments",
        type=int,
        default=1,
        metavar="N",
        help="sample up to so many segments of one working size together (default: 1)",
    )
    group.add_argument(
        "--refiner-ratio",
        type=float,
        default=0.2,
        metavar="S",
        help="share of the steps that the refiner does (default: 0.2)",
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
        help="prompts of single subjects: JSON of labels, or numbers from 0, and prompts or [prompt, negative prompt]",
    )
    group.add_argument("--refiner-model", metavar="PATH|ID", help="checkpoint that does the last steps")
    group.add_argument("--refiner-motion-adapter", metavar="PATH|ID", help="the refiner's motion module")
    group.add_argument("--refiner-prompt", metavar="TEXT", help="the refiner's own prompt (default: --prompt)")
    group.add_argument("--refiner-negative-prompt", metavar="TEXT", help="likewise (default: --negative-prompt)")
    group.add_argument("--inpaint-model", action="store_true", help="--model is an inpainting checkpoint")
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
        "--context-overlap", type=_share, metavar="N", help="frames that windows share (default: a quarter of a window)"
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


def _add_encoding(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("encoding")
    group.add_argument("--codec", metavar="NAME", help="h264, hevc, vp9, av1, prores, ffv1, ... (default: the input's)")
    group.add_argument(
        "--crf", type=float, metavar="Q", help="constant quality in the encoder's scale, smaller is better"
    )
    group.add_argument("--pix-fmt", metavar="NAME", help="pixel format (default: the input's)")
    group.add_argument("--no-audio", action="store_true", help="leave the sound out")


def _add_common(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("other")
    group.add_argument(
        "--fps", type=_rate, metavar="RATE", help="frame rate of image files, such as 24 or 30000/1001 (default: 24)"
    )
    group.add_argument("--threads", type=count, metavar="N", help="processor threads (default: all)")
    group.add_argument("-q", "--quiet", action="store_true", help="show nothing but errors and warnings")
