"""`segs-detailer plan`: what `run` would do, without sampling."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from segs_detailer.cli.arguments import add_command, add_overwrite, output_name
from segs_detailer.cli.report import INTERLACED, table
from segs_detailer.cli.report_file import report_file
from segs_detailer.cli.run_options import INPUT_HELP, add_run_options
from segs_detailer.cli.stages import Stages
from segs_detailer.errors import MediaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segs_detailer.cli.job import ClipJob
    from segs_detailer.jobs.plan import DiskPlan, TrackPlan
    from segs_detailer.jobs.run import ClipRun
    from segs_detailer.video import ClipInfo

__all__ = ["add_plan", "plan"]

_FORMAT = 1

_EPILOG = """examples:
  segs-detailer plan clip.mp4
      tracks, crops, pieces, memory, and what to think of before a run
  segs-detailer plan clip.mp4 -o overlay.mp4 --crop fixed
      the same for fixed crops, and a video with boxes, crops and masks drawn in
  segs-detailer plan clip.mp4 --model ./sd15 --motion-adapter ./animatediff --max-ram 8G --json plan.json
      with the sizes and windows of a model, for scripts

It takes every option of `run`; subjects that it finds are kept in the cache, where `run` takes them from.
"""


def add_plan(commands: Any) -> None:
    """Add the command to a parser.

    Parameters
    ----------
    commands : argparse subparsers action
        Where the commands are.
    """
    parser = add_command(commands, "plan", "show what a run would do, without sampling", _EPILOG)
    parser.add_argument("clip", metavar="CLIP", help=INPUT_HELP)
    parser.add_argument(
        "-o",
        "--output",
        type=output_name,
        metavar="VIDEO",
        help="also write the clip with boxes, crops and masks drawn in",
    )
    add_overwrite(parser)
    parser.add_argument("--json", metavar="FILE", help="also write the plan as JSON; - writes it instead of the table")
    add_run_options(parser)


def plan(args: argparse.Namespace) -> None:
    """Run the command.

    Parameters
    ----------
    args : Namespace
        The options.

    Raises
    ------
    SegsDetailerError, OSError
        Something cannot be done, in which case `run` could not do it either; nothing was written.
    """
    from segs_detailer.cli.job import ClipJob, open_cache
    from segs_detailer.cli.overlay import write_overlay
    from segs_detailer.video import EncoderSettings, open_output

    to_output = args.json == "-"
    stages = Stages(quiet=args.quiet or to_output)
    # The run that is planned writes a clip like the one that it reads.
    job = ClipJob(argparse.Namespace(**{**vars(args), "output": args.clip, "compare": None}))
    warnings: list[str] = []
    with ExitStack() as outputs:
        report = outputs.enter_context(report_file("json", args.json, (args.clip, args.output)))
        sink = None
        if args.output:
            encoder = EncoderSettings(codec=args.codec, crf=args.crf, pix_fmt=args.pix_fmt, threads=args.threads or 0)
            sink = outputs.enter_context(
                open_output(
                    args.output,
                    job.info,
                    settings=encoder,
                    keep_audio=not args.no_audio,
                    overwrite=args.overwrite,
                    warn=False,
                )
            )
        cache = outputs.enter_context(open_cache(args))
        clip_run = job.begin(cache, stages)
        found = clip_run.plan
        if job.info.interlaced:
            warnings.append(INTERLACED)
        warnings += _losses(job.info, args)
        warnings += _lacking_room(clip_run)
        if sink is not None:
            with stages.stage("draw") as advance:
                count = write_overlay(job.source, found, sink, advance)
            if count != found.info.frames:
                warnings.append(f"{count} frames could be decoded, where the file promises {found.info.frames}")
        warnings = [*found.warnings, *warnings]
        report(plan_to_json(clip_run, job, warnings))
    if args.output:
        stages.say(f"wrote {args.output}: boxes, crops and masks")
    for line in describe_plan(clip_run, job, warnings, args.max_ram):
        stages.say(line)


def _losses(info: ClipInfo, args: argparse.Namespace) -> list[str]:
    """Say what of the clip an output of its own format would not hold."""
    from segs_detailer.video import EncoderSettings
    from segs_detailer.video.losses import probable_losses

    settings = EncoderSettings(codec=args.codec, crf=args.crf, pix_fmt=args.pix_fmt)
    try:
        target, lost = probable_losses(info, settings=settings, keep_audio=not args.no_audio)
    except MediaError as error:
        return [str(error)]
    return [f"an output like {target.name} cannot hold {', '.join(lost)}"] if lost else []


def describe_plan(clip_run: ClipRun, job: ClipJob, warnings: Sequence[str], limit: int) -> list[str]:
    """Return the table of tracks, and what a run takes.

    Parameters
    ----------
    clip_run : ClipRun
        The run, which has not begun.
    job : ClipJob
        The clip and its models.
    warnings : sequence of str
        What a user should know.
    limit : int
        Bytes of memory that the run may take.
    """
    found, done = clip_run.plan, _done(clip_run)
    rows = [["", "label", "frames", "seen in", "crop", "worked on at", "scale", "pieces", "windows"]]
    for track in found.tracks:
        height, width = track.path.size
        moves = bool((track.path.regions != track.path.regions[0]).any())
        first, end = track.span
        longest = max((piece.frames for piece in track.pieces), default=0)
        rows.append(
            [
                str(track.number),
                track.label,
                f"{first}-{end - 1}",
                f"{_seen(track)} of {end - first}",
                f"{width}x{height}" + (" follows" if moves else " fixed"),
                f"{track.size[1]}x{track.size[0]}",
                f"x{track.scale:.2f}",
                f"{len(track.pieces)} of up to {longest} frames",
                str(_windows(track, job) or "-"),
            ]
        )
    memory = found.memory
    parts = [
        f"{_bytes(value)} {name}"
        for name, value in (
            ("for the program", memory.program),
            ("for models", memory.models),
            ("for decoding and encoding", memory.streams),
            ("for sampling", memory.sampling),
        )
        if value
    ]
    frames = sum(piece.frames for piece in found.pieces)
    taken = job.recommended
    tracks = table(rows) if found.tracks else [f"  nothing to detail: {job.nothing_found}"]
    sampling = f"  sampling: {len(found.pieces)} pieces, {frames} crops"
    return [
        f"{found.info.path}: {found.info.describe()}",
        *tracks,
        sampling + (f"; {done} pieces are in the cache" if done else ""),
        *([] if taken is None else [f"  {taken}"]),
        f"  memory: {_bytes(memory.total)} of {_bytes(limit)} ({', '.join(parts)})",
        f"  disk, beside the output: {_disk(clip_run.disk)}",
        *(f"warning: {text}" for text in warnings),
    ]


def plan_to_json(clip_run: ClipRun, job: ClipJob, warnings: Sequence[str]) -> dict[str, Any]:
    """Return the plan as plain lists, dictionaries, numbers and texts.

    Parameters
    ----------
    clip_run : ClipRun
        The run, which has not begun.
    job : ClipJob
        The clip and its models.
    warnings : sequence of str
        What a user should know.
    """
    found, disk = clip_run.plan, clip_run.disk
    info, memory = found.info, found.memory
    tracks = [
        {
            "number": track.number,
            "label": track.label,
            "frames": list(track.span),
            "seen": _seen(track),
            "box": list(track.bbox),
            "crop": {"width": track.path.size[1], "height": track.path.size[0], "kind": track.crop.crop},
            "working_size": {"width": track.size[1], "height": track.size[0]},
            "scale": round(track.scale, 4),
            "windows": _windows(track, job),
            "pieces": [
                {"start": piece.start, "stop": piece.stop, "low": piece.low, "high": piece.high}
                for piece in track.pieces
            ],
        }
        for track in found.tracks
    ]
    parts = {name: getattr(memory, name) for name in ("program", "models", "streams", "sampling", "total")}
    return {
        "format": _FORMAT,
        "clip": str(info.path),
        "size": {"width": info.size[1], "height": info.size[0]},
        "frames": info.frames,
        "tracks": tracks,
        "nothing_found": job.nothing_found or None,
        "pieces_in_cache": _done(clip_run),
        "memory": parts,
        "disk": {"crops": disk.crops, "results": disk.results},
        "warnings": list(warnings),
    }


def _done(clip_run: ClipRun) -> int:
    """Count the pieces whose results are in the cache."""
    return len(clip_run.plan.pieces) - sum(len(group) for group in clip_run.missing)


def _lacking_room(clip_run: ClipRun) -> list[str]:
    try:
        clip_run.check_disk()
    except MediaError as error:
        return [str(error)]
    return []


def _disk(disk: DiskPlan) -> str:
    if not disk.total:
        return "nothing, as all results are in the cache"
    return f"{_bytes(disk.crops)} for crops, {_bytes(disk.results)} for results"


def _seen(track: TrackPlan) -> int:
    """Count the frames of the track's span in which it was found."""
    first, end = track.span
    frames = track.track.frames
    return int(((frames >= first) & (frames < end)).sum())


def _windows(track: TrackPlan, job: ClipJob) -> int | None:
    """Count the context windows of a motion model over all pieces; None for models without."""
    windows = job.pipe.sampler.geometry.windows
    if windows is None or windows.length is None:
        return None
    return sum(len(windows.windows(piece.frames, 0)) for piece in track.pieces)


def _bytes(count: int) -> str:
    if count >= 10**9:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.0f} MB"
