"""`segs-detailer verify`: what a run did to a clip, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segs_detailer.cli.arguments import EXIT_CODES, add_command, add_fill_gaps
from segs_detailer.cli.report import table
from segs_detailer.cli.run_options import add_crop_options, add_segment_options, count_from_0
from segs_detailer.cli.setting_options import add_settings
from segs_detailer.jobs.job import CLIP_DETAIL
from segs_detailer.verify.settings import VerifySettings

if TYPE_CHECKING:
    import argparse

    from segs_detailer.verify.report import Report

__all__ = ["EXIT_FAULTS", "add_verify", "verify"]

EXIT_FAULTS = 1
"""Exit code where something is wrong with the clip."""

_EPILOG = """examples:
  segs-detailer verify clip.mp4 out.mp4
      what changed, where, and how steadily
  segs-detailer verify clip.mp4 out.mp4 --detect face
      the same of each face; whatever changed beside the faces is a fault
  segs-detailer verify clip.mp4 out.mp4 --segs tracks.npz --mask-dilate 3 --grow 8
      the same of the tracks of a file, with the run's options that say what is pasted
  segs-detailer verify clip.mp4 out.mp4 --mask masks/%04d.png --json report.json -q || echo "look at it"
      for scripts

docs/verify.md says what each fault means and how it is found.
"""

_EXIT_CODES = EXIT_CODES.replace("0 done", "0 nothing is wrong, 1 something is")


def add_verify(commands: Any) -> None:
    """Add the command to a parser.

    Parameters
    ----------
    commands : argparse subparsers action
        Where the commands are.
    """
    parser = add_command(commands, "verify", "check a detailed clip against its input", _EPILOG, _EXIT_CODES)
    parser.add_argument("input", metavar="IN", help="the clip that was detailed")
    parser.add_argument("output", metavar="OUT", help="the clip that came out")
    add_segment_options(parser)
    add_crop_options(parser)
    paste = parser.add_argument_group("paste", "How far beyond the masks the run pasted.")
    add_settings(paste, CLIP_DETAIL, ("feather", "grow"))
    limits = parser.add_argument_group("what is a fault")
    limits.add_argument(
        "--margin",
        type=count_from_0,
        metavar="PX",
        help="pixels around the masks that may change (default: --grow, --feather and an encoder's block, at least 16)",
    )
    add_settings(limits, VerifySettings, ("max_flicker", "max_pop"), metavars={"max_flicker": "X"})
    limits.add_argument("--no-audio", action="store_true", help="OUT need not have the sound of IN")
    other = parser.add_argument_group("other")
    add_fill_gaps(other)
    other.add_argument("--json", metavar="FILE", help="also write everything as JSON; - writes it instead of the table")
    other.add_argument("-q", "--quiet", action="store_true", help="show nothing but errors")


def verify(args: argparse.Namespace) -> None:
    """Run the command.

    Parameters
    ----------
    args : Namespace
        The options.

    Raises
    ------
    SegsDetailerError, OSError
        A file cannot be read, an option cannot be used.
    SystemExit
        With `EXIT_FAULTS`, where something is wrong with the clip.
    """
    from segs_detailer.cli.job_options import job_of
    from segs_detailer.cli.report_file import report_file
    from segs_detailer.cli.stages import ShownStages
    from segs_detailer.jobs.checking import verify_clip
    from segs_detailer.jobs.job import ClipJob

    to_output = args.json == "-"
    stages = ShownStages(quiet=args.quiet or to_output)
    job = job_of(args, ClipJob(args.input, args.output))
    with report_file("json", args.json, (args.input, args.output)) as write:
        report = verify_clip(
            job, margin=args.margin, max_flicker=args.max_flicker, max_pop=args.max_pop, progress=stages
        )
        write(report.to_json())
    for line in describe(report):
        stages.say(line)
    if not report.passed:
        raise SystemExit(EXIT_FAULTS)


def describe(report: Report) -> list[str]:
    """Return the table, and a line for each fault.

    Parameters
    ----------
    report : Report
        What was found.
    """
    lines = [f"{report.after}: {report.frames} frames compared with {report.before}"]
    around = report.surroundings
    if around is not None:
        where = "outside the masks" if around.masked else "whole picture"
        same = "not one bit differs" if around.psnr is None else f"{around.psnr:.1f} dB"
        shift = ", ".join(f"{value:+.1f}" for value in around.shift)
        lines.append(f"  {where}: {same}, colors {shift}, {around.changed:.2%} changed beyond the encoder")
        if not around.masked and around.worst_box is not None:
            box = ",".join(str(value) for value in around.worst_box)
            lines.append(f"  most changed: frame {around.worst_frame}, at {box}")
    lines += _table(report)
    lines += [f"  fault: {finding.kind}: {finding.text}" for finding in report.findings]
    lines.append("nothing is wrong" if report.passed else f"{len(report.findings)} faults")
    return lines


def _table(report: Report) -> list[str]:
    if not report.subjects:
        return []
    rows = [["", "label", "frames", "change", "flicker in", "flicker out", "detail", "flicker"]]
    for item in report.subjects:
        numbers = (item.flicker_before, item.flicker_after, item.detail, item.flicker)
        before, after, detail, flicker = ("-" if value is None else f"{value:.2f}" for value in numbers)
        rows.append(
            [
                str(item.id or ""),
                item.label,
                f"{item.first}-{item.last}",
                f"{item.strength:.1f}",
                before,
                after,
                detail if detail == "-" else f"x{detail}",
                flicker if flicker == "-" else f"x{flicker}",
            ]
        )
    return table(rows)
