"""`segs-detailer batch`: many clips, on this machine or on many."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from segs_detailer.cli.arguments import (
    EXIT_CODES,
    CommandParser,
    add_command,
    check_paths,
    count,
    names,
    names_of_options,
    output_name,
)
from segs_detailer.cli.run_options import add_run_options, count_from_0
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, MediaError
from segs_detailer.video.partial import check_makeable, check_writable
from segs_detailer.video.sequences import NumberedName, is_pattern, names_several

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segs_detailer.jobs.batch.listing import Entry
    from segs_detailer.jobs.batch.tasks import Outcome, Task

__all__ = ["EXIT_FAILED", "add_batch", "batch"]

EXIT_FAILED = 1
"""Exit code where a clip has failed."""

_EPILOG = """examples:
  segs-detailer batch clips/ -o detailed/ --model ./sd15 --motion-adapter ./animatediff --prompt "a woman"
      all clips of a folder, one after the other
  segs-detailer batch clips.txt -o detailed/ --devices cuda:0,cuda:1
      the clips of a list, on two GPUs
  segs-detailer batch clips/ -o detailed/ --engine ray --address auto --cache /shared/cache
      on a Ray cluster, the pieces of long clips as tasks of their own

A list names one clip a line, with options of its own behind it, which come before those of the command:
  first.mp4
  second.mp4 --prompt "an old man" --seed 7 -o elsewhere/second.mov

Outputs that are there are skipped: the same command again does what is left.
"""

_EXIT_CODES = EXIT_CODES.replace("0 done", "0 no clip has failed, 1 some have").replace("a file", "the list")


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 0")
    return value


def add_batch(commands: Any) -> None:
    """Add the command to a parser.

    Parameters
    ----------
    commands : argparse subparsers action
        Where the commands are.
    """
    parser = add_command(commands, "batch", "detail many clips, on one machine or on many", _EPILOG, _EXIT_CODES)
    parser.add_argument("clips", metavar="LIST|FOLDER", help="a folder of clips, or a text file that names one a line")
    parser.add_argument(
        "-o",
        "--output",
        type=output_name,
        required=True,
        metavar="FOLDER",
        help="where the outputs go, by the names of their clips; it is made where it is missing",
    )
    group = parser.add_argument_group("batch")
    group.add_argument(
        "--engine",
        choices=["local", "ray"],
        default="local",
        help="processes of this machine, or a Ray cluster (default: local)",
    )
    group.add_argument(
        "--workers",
        type=count,
        metavar="N",
        help="tasks at once, each with its own models and --max-ram (default: 1, or one for each of --devices; with "
        "ray as many as the cluster has room for)",
    )
    group.add_argument(
        "--retries",
        type=count_from_0,
        default=1,
        metavar="N",
        help="begin a task anew up to N times whose worker died (default: 1)",
    )
    group.add_argument(
        "--devices", type=names, metavar="A,B", help="local: a worker for each of these, such as cuda:0,cuda:1"
    )
    group.add_argument("--overwrite", action="store_true", help="do clips again whose outputs are there")
    group.add_argument("--report", metavar="FILE", help="also write the summary as JSON")
    cluster = parser.add_argument_group("ray", "Clips, outputs and cache need the same names on all machines.")
    cluster.add_argument("--address", metavar="HOST:PORT", help="cluster to use: auto, ... (default: start one here)")
    cluster.add_argument("--cpus-per-task", type=_number, metavar="N", help="processors of a task (default: 1)")
    cluster.add_argument("--gpus-per-task", type=_number, metavar="N", help="GPUs of a task (default: 1, if any)")
    cluster.add_argument("--whole-clips", action="store_true", help="never make pieces of a clip tasks of their own")
    add_run_options(parser)


def batch(args: argparse.Namespace) -> None:
    """Run the command.

    Parameters
    ----------
    args : Namespace
        The options.

    Raises
    ------
    SegsDetailerError, OSError
        The list or an option cannot be used; nothing was begun.
    SystemExit
        With `EXIT_FAILED`, where a clip has failed.
    """
    from segs_detailer.cli.batch_view import BatchView, describe_outcomes, outcomes_to_json
    from segs_detailer.cli.report_file import report_file
    from segs_detailer.jobs.batch.listing import read_folder, read_list
    from segs_detailer.jobs.batch.tasks import Outcome

    started = time.perf_counter()
    _check_engine(args)
    source = Path(args.clips)
    entries = read_folder(source) if source.is_dir() else read_list(source)
    tasks = [_task(entry, args) for entry in entries]
    _check_outputs(tasks, entries)
    left = [task for task in tasks if args.overwrite or task.payload.redo.is_given or not _is_finished(task)]
    with report_file("report", args.report, (args.clips,)) as write:
        view = BatchView(left, skipped=len(tasks) - len(left), quiet=args.quiet)
        try:
            done = {outcome.task.output: outcome for outcome in _run(args, left, view)} if left else {}
        finally:
            view.close()
        outcomes = [done.get(task.output) or Outcome(task, "skipped", text="it is there") for task in tasks]
        seconds = time.perf_counter() - started
        write(outcomes_to_json(outcomes, seconds))
    if not args.quiet:
        print("\n".join(describe_outcomes(outcomes, seconds)))
    if any(outcome.status == "failed" for outcome in outcomes):
        raise SystemExit(EXIT_FAILED)


def _run(args: argparse.Namespace, tasks: Sequence[Task], view: Any) -> list[Outcome]:
    from segs_detailer.cli.batch_work import RunWork
    from segs_detailer.jobs.batch.local_engine import run_local
    from segs_detailer.jobs.batch.ray_engine import RayOptions, run_ray

    if args.engine == "local":
        workers = args.workers or len(args.devices or ()) or 1
        return run_local(tasks, RunWork(args.devices or ()), view, workers=workers, retries=args.retries)
    # A cluster of other machines sees a cache only where its user says so.
    split = not args.whole_clips and (args.address is None or args.cache is not None)
    options = RayOptions(args.address, args.workers, args.cpus_per_task, args.gpus_per_task, args.retries, split)
    return run_ray(tasks, RunWork(), view, options)


def _check_engine(args: argparse.Namespace) -> None:
    """Refuse devices that have no such name, and fewer workers than devices."""
    if args.devices:
        from segs_detailer.models.device import named_device

        for name in args.devices:
            if name != "auto":
                named_device(name, argument="devices")
    if args.devices and args.workers and args.workers < len(args.devices):
        raise InvalidArgumentError("workers", f"at least {len(args.devices)}, as --devices", f"{args.workers}")


class _LineParser(CommandParser):
    """Says which line is wrong."""

    def error(self, message: str) -> NoReturn:
        raise MediaError(f"{self.prog}: {message}")


def _task(entry: Entry, args: argparse.Namespace) -> Task:
    """Put the options of one clip together: its own come before those of the command, boxes and LoRAs add up."""
    from segs_detailer.cli.effects import check_effects
    from segs_detailer.cli.job_options import job_of
    from segs_detailer.jobs.batch.tasks import Task

    parser = _LineParser(prog=entry.place, add_help=False)
    parser.add_argument("-o", "--output", type=output_name)
    parser.add_argument("--compare", type=output_name, metavar="FILE")
    add_run_options(parser)
    options = argparse.Namespace(**{**vars(args), "clip": entry.clip, "output": None, "compare": None})
    options = parser.parse_args(list(entry.options), options)
    options.output = options.output or _default_output(entry.clip, args.output)
    options.threads = options.threads or _threads(args)
    try:
        with names_of_options(vars(options)):
            check_paths(options)
            check_effects(options)
            job = job_of(options)
    except (InvalidArgumentError, InvalidTypeError, MediaError) as error:
        if not entry.options:
            raise
        raise MediaError(f"{entry.place}: {error}") from error
    return Task(entry.clip, options.output, job)


def _threads(args: argparse.Namespace) -> int | None:
    """Share the processors of this machine among its workers."""
    workers = args.workers or len(args.devices or ()) or 1
    return max(1, (os.cpu_count() or 1) // workers) if args.engine == "local" and workers > 1 else None


def _default_output(clip: str, folder: str) -> str:
    """Return the clip's name in the folder of outputs; images become a folder of images."""
    path = Path(clip)
    if path.is_dir():
        return f"{Path(folder) / path.resolve().name}/"
    if names_several(path):
        return f"{Path(folder) / (path.resolve().parent.name or 'images')}/"
    return str(Path(folder) / path.name)


def _read_place(clip: Path) -> Path:
    """Return the file or folder that is read."""
    return (clip.parent if names_several(clip) else clip).resolve()


def _check_outputs(tasks: Sequence[Task], entries: Sequence[Entry]) -> None:
    """Refuse two clips of one output, an output that is a clip of the list, and places that cannot be written to."""
    clips = {_read_place(Path(entry.clip)): entry.place for entry in entries}
    places: dict[Path, str] = {}
    for task, entry in zip(tasks, entries, strict=True):
        output, compare = Path(task.output), task.payload.compare
        written = [output.resolve(), *([Path(compare).resolve()] if compare else [])]
        for place in clips.keys() & written:
            whose = "itself" if clips[place] == entry.place else f"of {clips[place]}"
            raise MediaError(f"{entry.place}: its output would be the clip {whose}: name another with -o")
        folder = output.parent.resolve()
        if is_pattern(output) and clips.get(folder, entry.place) != entry.place:
            raise MediaError(f"{entry.place}: its output would be in the clip of {clips[folder]}: name another with -o")
        for place in written:
            if place in places:
                raise MediaError(f"{entry.place}: has the output of {places[place]}, {place}: name another with -o")
            places[place] = entry.place
    made = {_folder_of(task.output) for task in tasks}
    for task, entry in zip(tasks, entries, strict=True):
        compare = task.payload.compare
        try:
            check_makeable(_folder_of(task.output))
            if compare and _folder_of(compare) not in made:
                check_writable(_folder_of(compare))
        except MediaError as error:
            raise MediaError(f"{entry.place}: {error}") from error


def _folder_of(output: str) -> Path:
    """Return the folder that an output is made in."""
    return Path(output).absolute().parent


def _is_finished(task: Task) -> bool:
    """Whether the output is there, and no older than its clip: it appears when it is complete."""
    output, clip = Path(task.output), Path(task.name)
    pattern = NumberedName.of(output)
    if pattern is not None:
        folder = output.parent
        return folder.is_dir() and any(pattern.number(file.name) is not None for file in folder.iterdir())
    if output.is_dir():
        return any(not file.name.startswith(".") for file in output.iterdir())
    if not output.exists():
        return False
    return not clip.is_file() or output.stat().st_mtime_ns >= clip.stat().st_mtime_ns
