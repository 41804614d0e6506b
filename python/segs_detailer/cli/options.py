"""Arguments of the commands and what they mean."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from segs_detailer._version import installed_version
from segs_detailer.cli.arguments import EXIT_CODES, CommandParser, add_command, count, output_name
from segs_detailer.cli.batch import add_batch
from segs_detailer.cli.comfyui import add_comfyui
from segs_detailer.cli.completion import add_completion
from segs_detailer.cli.convert import add_convert
from segs_detailer.cli.models import add_models
from segs_detailer.cli.plan import add_plan
from segs_detailer.cli.run_options import INPUT_HELP, add_clip_options, add_run_options
from segs_detailer.cli.setting_options import add_settings
from segs_detailer.cli.verify import add_verify
from segs_detailer.jobs.job import ClipJob

__all__ = ["build_parser"]

_RUN_EPILOG = """examples:
  segs-detailer run clip.mp4 -o out.mp4
      sharpen all faces: a preview that needs no model
  segs-detailer run clip.mp4 -o out.mp4 --model ./sd15 --motion-adapter ./animatediff --prompt "a woman"
      repaint all faces with AnimateDiff
  segs-detailer run clip.mp4 -o out.mp4 --bbox 400,80,560,260 --denoise 0.4 --compare before_after.png
      repaint one region and show it before and after
  segs-detailer run frames/%04d.png -o detailed/ --mask masks/%04d.png
      repaint what the masks show, images in and out
  segs-detailer run clip.mp4 -o out.mp4 --denoise 0.4 --save-job job.toml
      keep what was asked for: run --job job.toml --seed 7 does it again with another seed
"""

_PREVIEW_EPILOG = """example:
  segs-detailer preview clip.mp4 -o sheet.png --min-face 40
"""


_DOCTOR_EPILOG = """The report holds no names of files but those of caches: paste it into a bug report as it is.
"""


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        print(f"segs-detailer {installed_version()}")
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """Parser of the whole command line."""
    parser = CommandParser(
        prog="segs-detailer",
        description="Re-detail chosen regions of a clip: crop each frame around a subject, scale it up, repaint it, "
        "scale it back and paste it through a soft mask.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and leave")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=CommandParser)
    _add_run(commands)
    _add_preview(commands)
    add_plan(commands)
    add_batch(commands)
    add_convert(commands)
    add_verify(commands)
    add_models(commands)
    add_comfyui(commands)
    add_command(
        commands,
        "doctor",
        "say what this machine has for a run, and what to do where something is missing",
        _DOCTOR_EPILOG,
    )
    add_completion(commands)
    return parser


def _clip_command(commands: Any, name: str, summary: str, epilog: str) -> argparse.ArgumentParser:
    parser = add_command(commands, name, summary, epilog)
    parser.add_argument("clip", metavar="CLIP", help=INPUT_HELP)
    return parser


def _add_run(commands: argparse._SubParsersAction[CommandParser]) -> None:
    parser = add_command(commands, "run", "detail the subjects of a clip and write the result", _RUN_EPILOG)
    parser.add_argument("clip", nargs="?", metavar="CLIP", help=INPUT_HELP)
    parser.add_argument(
        "-o",
        "--output",
        type=output_name,
        metavar="OUT",
        help="where to write; the name says the format: .mp4, .mov, .mkv, .webm, .avi, .gif, .apng, .webp, a folder/, "
        "or frame_%%04d.png. Size, frame rate, pixel format, colors and sound are those of CLIP",
    )
    add_settings(
        parser, ClipJob, ("compare", "overwrite"), types={"compare": output_name}, metavars={"compare": "FILE"}
    )
    parser.add_argument(
        "--job",
        metavar="FILE",
        help="take from a .toml or .json file what is not given as an option, CLIP and OUT as well",
    )
    parser.add_argument("--save-job", metavar="FILE", help="also write the job to such a file")
    add_run_options(parser)


def _add_preview(commands: argparse._SubParsersAction[CommandParser]) -> None:
    parser = _clip_command(
        commands, "preview", "write a contact sheet with boxes, crop regions and masks drawn in", _PREVIEW_EPILOG
    )
    parser.add_argument(
        "-o",
        "--output",
        type=output_name,
        metavar="SHEET",
        help="picture to write (default: the clip's name with _preview.png)",
    )
    parser.add_argument(
        "--frames", dest="shown", type=count, default=12, metavar="N", help="frames on the sheet (default: 12)"
    )
    parser.add_argument("--columns", type=count, default=4, metavar="N", help="frames side by side (default: 4)")
    add_clip_options(parser, left_out=("frames",))
