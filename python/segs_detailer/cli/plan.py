"""`segs-detailer plan`: what `run` would do, without sampling."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segs_detailer.checks import number_ranges
from segs_detailer.cli.arguments import add_command, add_overwrite, in_options, option_of, output_name
from segs_detailer.cli.report import copied_line, own_lines, table, titled
from segs_detailer.cli.report_file import report_file
from segs_detailer.cli.run_options import INPUT_HELP, add_run_options
from segs_detailer.cli.stages import ShownStages
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.jobs.used_settings import describe_used
from segs_detailer.subjects.selection import listed, size_of
from segs_detailer.video.partial import check_file
from segs_detailer.video.sequences import label_of

if TYPE_CHECKING:
    import argparse

    from segs_detailer.jobs.plan import ClipPlan, DiskPlan

__all__ = ["add_plan", "plan"]

_FORMAT = 1
_KEEPS_ALL = (".npz", ".safetensors")

_EPILOG = """examples:
  segs-detailer plan clip.mp4
      tracks, crops, pieces, memory, and what to think of before a run
  segs-detailer plan clip.mp4 -o overlay.mp4 --crop fixed
      the same for fixed crops, and a video with boxes, crops and masks drawn in
  segs-detailer plan clip.mp4 --sheet tracks.html
      a page with pictures of each track, to choose from
  segs-detailer plan clip.mp4 --labels face --largest 2 --save tracks.npz
      the two largest faces, and a file with them for run --segs tracks.npz
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
    parser.add_argument(
        "--save",
        type=output_name,
        metavar="FILE",
        help="also write the tracks (.npz, .safetensors): `run --segs FILE` does what is planned here",
    )
    parser.add_argument(
        "--sheet",
        nargs="?",
        const="",
        type=str,
        action="append",
        metavar="FILE",
        help="also write a sheet with pictures of each track: a picture (.png), or a page (.html); may be given "
        "several times (default: the clip's name with _tracks.png)",
    )
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
    from segs_detailer.cli.job_options import job_of
    from segs_detailer.cli.overlay import write_overlay
    from segs_detailer.jobs.clips import encoder_settings, open_job_clip, plan_clip
    from segs_detailer.jobs.sheet import draw_strips, new_sheet, save_sheet
    from segs_detailer.subjects.formats.files import write_tracks
    from segs_detailer.video.writing import open_output

    to_output = args.json == "-"
    stages = ShownStages(quiet=args.quiet or to_output)
    # The run that is planned writes a clip like the one that it reads.
    job = replace(job_of(args), output=None)
    source = open_job_clip(job)
    _check_save(args)
    sheets = _sheets(args)
    with ExitStack() as outputs:
        report = outputs.enter_context(report_file("json", args.json, (args.clip, args.output)))
        sink = None
        if args.output:
            sink = outputs.enter_context(
                open_output(
                    args.output,
                    source.info,
                    settings=encoder_settings(job, source.info),
                    keep_audio=not job.encode.no_audio,
                    overwrite=job.overwrite,
                    warn=False,
                )
            )
        places = {path: outputs.enter_context(new_sheet(path)) for path in sheets}
        found = plan_clip(job, progress=stages)
        warnings = [in_options(text, vars(args)) for text in found.warnings]
        if sink is not None:
            with stages.stage("draw") as advance:
                count = write_overlay(source, found, sink, advance)
            if count != found.info.frames:
                warnings.append(f"{count} frames could be decoded, where the file promises {found.info.frames}")
        found = replace(found, warnings=tuple(warnings), nothing_found=in_options(found.nothing_found, vars(args)))
        if args.save:
            write_tracks(args.save, found.selected)
        if places:
            with stages.stage("sheet") as advance:
                strips = draw_strips(source, found, advance)
            for path, place in places.items():
                save_sheet(place, path.suffix, strips, found)
        report(plan_to_json(found))
    if args.output:
        stages.say(f"wrote {args.output}: boxes, crops and masks")
    for path in sheets:
        count = len(found.found)
        stages.say(f"wrote {path}: pictures of {count} track{'' if count == 1 else 's'}")
    if args.save:
        stages.say(f"wrote {args.save}: {found.selected.describe()}")
    for line in describe_plan(found, job.limits.max_ram):
        stages.say(line)


def _check_save(args: argparse.Namespace) -> None:
    """Refuse a file that does not keep all tracks, and one that is read or written for something else."""
    if not args.save:
        return
    path = Path(args.save)
    if path.suffix.lower() not in _KEEPS_ALL:
        expected = f"a file that keeps all there is, {' or '.join(_KEEPS_ALL)} (`convert` makes others of it)"
        raise InvalidArgumentError("save", expected, args.save)
    others = (args.clip, args.output, args.json, args.segs, args.mask)
    if any(other and Path(other).resolve() == path.resolve() for other in others):
        raise InvalidArgumentError("save", "a file of its own", args.save)
    check_file(path)


def _sheets(args: argparse.Namespace) -> list[Path]:
    """Return the sheets that are asked for, each a file of its own."""
    given = [
        Path(each) if each else Path(f"{label_of(Path(args.clip)) or 'clip'}_tracks.png") for each in args.sheet or ()
    ]
    others = [
        Path(other).resolve() for other in (args.clip, args.output, args.json, args.segs, args.mask, args.save) if other
    ]
    for place, path in enumerate(given):
        if path.resolve() in (*others, *(each.resolve() for each in given[:place])):
            raise InvalidArgumentError("sheet", "a file of its own", str(path))
    return given


def describe_plan(found: ClipPlan, limit: int) -> list[str]:
    """Return the table of tracks, and what a run takes.

    Parameters
    ----------
    found : ClipPlan
        The plan.
    limit : int
        Bytes of memory that the run may take.
    """
    rows = [["", "label", "frames", "seen in", "crop", "worked on at", "scale", "pieces", "windows"]]
    for track in found.tracks:
        height, width = track.path.size
        first, end = track.span
        longest = max((piece.frames for piece in track.pieces), default=0)
        rows.append(
            [
                str(track.number),
                titled(track),
                f"{first}-{end - 1}",
                f"{track.seen} of {end - first}",
                f"{width}x{height}" + (" follows" if track.moves else " fixed") + (" turned" if track.turns else ""),
                f"{track.size[1]}x{track.size[0]}",
                f"x{track.scale:.2f}",
                f"{len(track.pieces)} of up to {longest} frames",
                str(track.windows or "-"),
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
            ("for frames that wait, so that the clip is read once", memory.held),
        )
        if value
    ]
    frames = sum(piece.frames for piece in found.pieces)
    tracks = table(rows) if found.tracks else [f"  nothing to detail: {found.nothing_found}"]
    sampling = f"  sampling: {len(found.pieces)} pieces, {frames} crops"
    return [
        f"{found.info.path}: {found.info.describe()}",
        *_selection(found),
        *tracks,
        *(f"  {line}" for line in own_lines(found.tracks)),
        sampling + (f"; {found.done} pieces are in the cache" if found.done else ""),
        *(f"  {line}" for line in describe_used(found.used)),
        *([f"  {found.start}"] if found.start else []),
        f"  memory: {_bytes(memory.total)} of {_bytes(limit)} ({', '.join(parts)})",
        *([f"  on the GPU: about {_bytes(memory.accelerator)}, an estimate"] if memory.accelerator else []),
        f"  disk, beside the output: {_disk(found.disk)}",
        *(["  " + copied_line(found.copied_frames, found.info.frames)] if found.copied_frames else []),
        *(f"warning: {text}" for text in found.warnings),
    ]


def _selection(found: ClipPlan) -> list[str]:
    """Say what was found, and what each criterion left."""
    if not found.steps:
        return []
    lines = [f"  found: {listed(found.found)}"]
    for step in found.steps:
        option = f"--exclude {step.name}={step.value}" if step.excludes else f"{option_of(step.name)} {step.value}"
        lines.append(f"  {option} leaves {number_ranges(step.leaves)}")
    return lines


def plan_to_json(found: ClipPlan) -> dict[str, Any]:
    """Return a plan as plain lists, dictionaries, numbers and texts.

    Parameters
    ----------
    found : ClipPlan
        The plan.
    """
    info, memory = found.info, found.memory
    tracks = [
        {
            "number": track.number,
            "label": track.label,
            "identity": track.identity,
            "frames": list(track.span),
            "seen": track.seen,
            "box": list(track.bbox),
            "crop": {"width": track.path.size[1], "height": track.path.size[0], "kind": track.crop.crop},
            "working_size": {"width": track.size[1], "height": track.size[0]},
            "scale": round(track.scale, 4),
            "windows": track.windows,
            "own": track.own.given,
            "seed": track.detail.seed,
            "denoise": track.denoise_range,
            "pieces": [
                {"start": piece.start, "stop": piece.stop, "low": piece.low, "high": piece.high}
                for piece in track.pieces
            ],
        }
        for track in found.tracks
    ]
    names = ("program", "models", "streams", "sampling", "held", "total", "accelerator")
    parts = {name: getattr(memory, name) for name in names}
    return {
        "format": _FORMAT,
        "clip": str(info.path),
        "size": {"width": info.size[1], "height": info.size[0]},
        "frames": info.frames,
        "copied_frames": found.copied_frames,
        "found": [
            {
                "number": track.id,
                "label": track.label,
                "identity": track.identity,
                "frames": list(track.span),
                "seen": len(track.frames),
                "size": round(size_of(track), 1),
                "score": round(float(track.confidence.mean()), 4) if len(track.frames) else None,
            }
            for track in found.found
        ],
        "selection": [
            {"criterion": step.name, "value": step.value, "excludes": step.excludes, "leaves": list(step.leaves)}
            for step in found.steps
        ],
        "tracks": tracks,
        "nothing_found": found.nothing_found or None,
        "pieces_in_cache": found.done,
        "memory": parts,
        "disk": {"crops": found.disk.crops, "results": found.disk.results},
        "used": [asdict(each) for each in found.used],
        "start": found.start or None,
        "warnings": list(found.warnings),
    }


def _disk(disk: DiskPlan) -> str:
    if not disk.total:
        return "nothing, as all results are in the cache"
    return f"{_bytes(disk.crops)} for crops, {_bytes(disk.results)} for results"


def _bytes(count: int) -> str:
    if count >= 10**9:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.0f} MB"
