"""`segs-detailer convert`: tracks of subjects from one format to another."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segs_detailer.cli.arguments import add_command, add_fill_gaps, add_overwrite, count, output_name
from segs_detailer.errors import MediaError

if TYPE_CHECKING:
    from segs_detailer.subjects.track import Tracks

__all__ = ["add_convert", "convert"]

_NAMES = ("npz", "safetensors", "coco", "coco-counts", "coco-polygons", "boxes", "csv", "masks", "davis", "video")

_PICTURES = ("masks", "davis")

_EPILOG = """examples:
  segs-detailer convert annotations.json subjects.npz
      COCO to a SEGS file, which keeps everything
  segs-detailer convert masks/ davis/ --format davis
      gray masks to palette pictures with one index for each subject
  segs-detailer convert tracks.csv tracks.json --format boxes --size 1920x1080 --frames 300
      a table of boxes to JSON; a table does not say the size of the frames

docs/track-files.md says what each format holds.
"""


def _size(text: str) -> tuple[int, int]:
    width, separator, height = text.lower().partition("x")
    if not (separator and width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT in pixels, such as 1920x1080")
    return int(height), int(width)


def add_convert(commands: Any) -> None:
    """Add the command to a parser.

    Parameters
    ----------
    commands : argparse subparsers action
        Where the commands are.
    """
    parser = add_command(commands, "convert", "convert tracks of subjects from one format to another", _EPILOG)
    files = ".npz, .safetensors, .json, .csv, a folder/ or mask_%%05d.png, or a mask video"
    parser.add_argument("input", metavar="IN", help=f"tracks to read: {files}")
    parser.add_argument(
        "output", type=output_name, metavar="OUT", help=f"where to write; the name says the format: {files}"
    )
    parser.add_argument(
        "--format", choices=_NAMES, help="format of OUT, where its name leaves a choice: .json is coco, pictures masks"
    )
    parser.add_argument(
        "--input-format", choices=_NAMES, metavar="FORMAT", help="format of IN (default: told by what it holds)"
    )
    parser.add_argument("--size", type=_size, metavar="WxH", help="size of the frames, for files that do not say")
    parser.add_argument("--frames", type=count, metavar="N", help="number of frames, for files that do not say")
    add_fill_gaps(parser)
    add_overwrite(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="show nothing but errors and warnings")


def convert(args: argparse.Namespace) -> None:
    """Run the command.

    Parameters
    ----------
    args : Namespace
        The options.

    Raises
    ------
    SegsDetailerError, OSError
        Something cannot be done; nothing was written.
    """
    from segs_detailer.subjects.formats.files import FORMATS, format_to_write, read_tracks, write_tracks
    from segs_detailer.video.partial import check_file, check_writable

    path = Path(args.output)
    is_folder = args.output.endswith(("/", "\\"))
    target = FORMATS[args.format] if args.format else format_to_write(path, is_folder=is_folder)
    if path.exists() and Path(args.input).exists() and path.samefile(args.input):
        raise MediaError(f"{args.output}: is the input itself: choose another output")
    # Before what may take long.
    if target.name in _PICTURES:
        check_writable(path if path.is_dir() else path.parent)
    else:
        check_file(path)
    segments = read_tracks(
        args.input, format=args.input_format, size=args.size, frame_count=args.frames, fill_gaps=args.fill_gaps
    )
    _check_said(args, segments)
    write_tracks(args.output, segments, format=target.name, overwrite=args.overwrite)
    if args.quiet:
        return
    print(f"wrote {args.output}: {segments.describe()}")
    if target.loses:
        print(f"note: {target.name} does not keep {target.loses}")


def _check_said(args: argparse.Namespace, segments: Tracks) -> None:
    """Refuse a size or number of frames that the file contradicts."""
    height, width = segments.frame_size
    if args.size is not None and args.size != segments.frame_size:
        given = f"{args.size[1]}x{args.size[0]}"
        raise MediaError(f"{args.input}: expected frames of {given}, as --size says, got {width}x{height}")
    if args.frames is not None and args.frames != segments.frame_count:
        raise MediaError(f"{args.input}: expected {args.frames} frames, as --frames says, got {segments.frame_count}")
