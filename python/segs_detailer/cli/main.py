"""Entry point of the command line: arguments, errors and exit codes."""

from __future__ import annotations

import signal
import sys
import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from segs_detailer.cli.arguments import check_paths, in_options, names_of_options
from segs_detailer.cli.options import build_parser
from segs_detailer.cli.signals import EndingSignals, Interrupted
from segs_detailer.errors import CancelledError, SegsDetailerError, is_out_of_memory

if TYPE_CHECKING:
    import argparse
    from collections.abc import Container, Iterator, Sequence

    from segs_detailer.jobs.job import ClipJob

__all__ = ["main", "run_command"]

EXIT_ERROR = 2
EXIT_INTERRUPTED = 128 + signal.SIGINT


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str or None
        Arguments without the program's name; None takes `sys.argv`.

    Returns
    -------
    int
        Exit code: 0; 1 where `verify` finds a fault or clips of a `batch` failed; 2 for errors of the user's making,
        with one line on stderr; 128 and the number of the signal when stopped by one, such as 130 by Ctrl-C.
    """
    with EndingSignals():
        return run_command(argv)


def run_command(argv: Sequence[str] | None) -> int:
    """Do what `main` does, and leave it to the caller to answer signals: what one raises ends the command.

    Parameters
    ----------
    argv : sequence of str or None
        Arguments without the program's name; None takes `sys.argv`.

    Returns
    -------
    int
        Exit code.
    """
    args = build_parser().parse_args(argv)
    args.typed = sys.argv[1:] if argv is None else list(argv)
    _check_named(args)
    stopped = "stopped; clips that were done are kept" if args.command == "batch" else "stopped; nothing was written"
    try:
        with _plain_warnings(vars(args)), names_of_options(vars(args)):
            _command(args)
    except KeyboardInterrupt as stop:
        _say(stopped)
        return stop.code if isinstance(stop, Interrupted) else EXIT_INTERRUPTED
    except CancelledError as error:
        _say(str(error) or stopped)
        return EXIT_INTERRUPTED
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else EXIT_ERROR
    except BrokenPipeError:
        # Whoever read our output has left; there is nobody to tell.
        return EXIT_ERROR
    except (SegsDetailerError, OSError) as error:
        _say(f"error: {error}")
        return EXIT_ERROR
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        _say("error: the memory is full: lower --max-size, cut the clip into parts, or use --dtype float16 on a GPU")
        return EXIT_ERROR
    return 0


def _command(args: argparse.Namespace) -> None:
    check_paths(args)
    if args.command in ("run", "plan", "preview", "verify"):
        from segs_detailer.cli.effects import check_effects

        base = _job_of_file(args)
        check_effects(args, base)
    if args.command == "run":
        from segs_detailer.cli.run import run

        run(args, base)
    elif args.command == "plan":
        from segs_detailer.cli.plan import plan

        plan(args)
    elif args.command == "batch":
        from segs_detailer.cli.batch import batch

        batch(args)
    elif args.command == "convert":
        from segs_detailer.cli.convert import convert

        convert(args)
    elif args.command == "verify":
        from segs_detailer.cli.verify import verify

        verify(args)
    elif args.command == "models":
        from segs_detailer.cli.models import models

        models(args)
    elif args.command == "comfyui":
        from segs_detailer.cli.comfyui import comfyui

        comfyui(args)
    elif args.command == "completion":
        from segs_detailer.cli.completion import completion

        completion(build_parser(), args.shell)
    elif args.command == "doctor":
        from segs_detailer.cli.doctor import doctor

        doctor()
    else:
        from segs_detailer.cli.preview import preview

        preview(args)


def _job_of_file(args: argparse.Namespace) -> ClipJob | None:
    """Read the job of `--job`."""
    if not getattr(args, "job", None):
        return None
    from segs_detailer.jobs.job_files import read_job

    return read_job(args.job)


def _check_named(args: argparse.Namespace) -> None:
    """Leave, as the parser does, where `run` gets neither a job nor a clip and its output."""
    if args.command != "run" or args.job:
        return
    named = {"CLIP": args.clip, "-o/--output": args.output}
    missing = ", ".join(name for name, value in named.items() if value is None)
    if missing:
        known = "see segs-detailer run --help"
        print(f"segs-detailer run: error: the following arguments are required: {missing} ({known})", file=sys.stderr)
        raise SystemExit(EXIT_ERROR)


def _say(message: str) -> None:
    line = " ".join(message.split())
    # The terminal may be gone: then there is nobody to tell.
    with suppress(OSError):
        print(f"segs-detailer: {line}", file=sys.stderr, flush=True)


@contextmanager
def _plain_warnings(known: Container[str]) -> Iterator[None]:
    """Show warnings as one line each, without the place in our code."""
    said: set[str] = set()

    def show(message: Warning | str, *place: Any, **more: Any) -> None:
        del place, more
        # A clip is read more than once, and would say the same each time.
        if str(message) not in said:
            said.add(str(message))
            _say(f"warning: {in_options(str(message), known)}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
