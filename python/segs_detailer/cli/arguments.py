"""What the parsers of all commands share."""

from __future__ import annotations

import argparse
import difflib
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from segs_detailer.errors import (
    InvalidArgumentError,
    InvalidTypeError,
    MediaError,
    ModelError,
    SegsDetailerError,
)
from segs_detailer.video.local_path import local_path

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

__all__ = [
    "EXIT_CODES",
    "CommandParser",
    "add_command",
    "add_fill_gaps",
    "add_overwrite",
    "check_paths",
    "count",
    "in_options",
    "names",
    "names_of_options",
    "option_of",
    "output_name",
]

EXIT_CODES = (
    "exit codes: 0 done, 2 an option or a file cannot be used, 128 and the number of a signal that stopped it "
    "(130 for Ctrl-C)"
)
"""Exit codes of most commands, for their help."""

_POSITIONALS = ("command", "action", "clip", "clips", "input", "path")

_PATHS = (
    "cache",
    "clip",
    "clips",
    "compare",
    "detect",
    "input",
    "job",
    "json",
    "like",
    "mask",
    "model_config",
    "output",
    "path",
    "report",
    "save",
    "save_job",
    "segs",
    "sheet",
    "subjects",
    "transformer_2",
    "vae",
)
"""Arguments that name files and folders."""

_OTHER_NAMES = {
    "boxes": "bbox",
    "chunk": "vae_chunk",
    "compile_unet": "compile",
    "config": "model_config",
    "dilate": "mask_dilate",
    "frame_count": "frames",
    "guidance_batch": "no_guidance_batch",
    "keep_audio": "no_audio",
    "length": "context_length",
    "median": "mask_median",
    "order": "context_order",
    "overlap": "context_overlap",
    "pipe": "model",
    "refiner_pipe": "refiner_model",
    "shape": "face_mask",
    "stride": "context_stride",
    "weights": "context_weights",
}
"""Arguments in Python whose options have another name."""

_SPELLED = {"words": "find"}
"""Names in the parsed arguments whose options are spelled otherwise, as a job has something else of that name."""


_ALIKE = 0.94
"""How much an option must be like what was typed to be the one that was meant: all but a letter or so."""


class CommandParser(argparse.ArgumentParser):
    """Says what is wrong in one line, like every other error of this program, and takes no option for another.

    Parameters
    ----------
    options : dict
        As of `argparse.ArgumentParser`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)
        # No option begins with a digit: -5,10,80,80 is the value of the one before it.
        self._negative_number_matcher = re.compile(r"-\.?\d")

    def error(self, message: str) -> NoReturn:
        """Leave with a line that names the help."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse arguments; what is not known ends the command here, where its options are known."""
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}{self._near(rest)}")
        return found, rest

    def _near(self, words: list[str]) -> str:
        """Name the options that were meant, as far as that can be told."""
        known = list(self._option_string_actions)
        near: list[str] = []
        for name in (word.partition("=")[0] for word in words if word.startswith("--")):
            # A letter that is missing at the end says more than what else begins so.
            near += (
                difflib.get_close_matches(name, known, n=1, cutoff=_ALIKE)
                or [option for option in known if option.startswith(name)]
                or difflib.get_close_matches(name, known, n=1)
            )
        return f": did you mean {' or '.join(dict.fromkeys(near))}?" if near else ""


def add_command(
    commands: Any, name: str, summary: str, epilog: str, exit_codes: str = EXIT_CODES
) -> argparse.ArgumentParser:
    """Add a command to a parser.

    Parameters
    ----------
    commands : argparse subparsers action
        Where the commands are.
    name, summary, epilog : str
        What it is called, what it does, and what its help ends with.
    exit_codes : str
        What its exit codes mean.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"{epilog.rstrip()}\n\n{exit_codes}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def check_paths(args: argparse.Namespace) -> None:
    """Refuse URLs where files are named.

    Raises
    ------
    MediaError
        One is named.
    """
    for name in _PATHS:
        paths = getattr(args, name, None)
        for path in paths if isinstance(paths, list) else [paths]:
            if path:
                local_path(path)


def option_of(argument: str) -> str:
    """Return the option of an argument in Python, by its name in the parsed arguments."""
    return "--" + _SPELLED.get(argument, argument).replace("_", "-")


@contextmanager
def names_of_options(known: Container[str]) -> Iterator[None]:
    """Let errors about arguments name the options that a user has typed.

    Parameters
    ----------
    known : collection of str
        Names of the options that there are, as in the parsed arguments.
    """
    try:
        yield
    except (InvalidArgumentError, InvalidTypeError) as error:
        name, rest = re.fullmatch(r"(\w*)(.*)", error.argument, re.DOTALL).groups()  # type: ignore[union-attr]
        option = _option(name, known)
        argument = f"{option}{rest}" if option else error.argument
        said = (argument, in_options(error.expected, known), in_options(error.got, known))
        if said == (error.argument, error.expected, error.got):
            raise
        raise type(error)(*said) from error
    except (MediaError, SegsDetailerError) as error:
        text = in_options(str(error), known)
        if text == str(error) or type(error) not in (MediaError, ModelError, SegsDetailerError):
            raise
        raise type(error)(text) from error


def in_options(text: str, known: Container[str]) -> str:
    """Write arguments that a message names as options: `max_size`, `crop=fixed`, overwrite=True, format='davis'.

    Parameters
    ----------
    text : str
        A message of what knows no options.
    known : collection of str
        Names of the options that there are, as in the parsed arguments.
    """

    def written(found: re.Match[str]) -> str:
        name, value = (found[1], found[2]) if found[1] else (found[3], found[4].strip("'"))
        option = _option(name, known)
        if not option and found[3]:
            option = option_of(name.removeprefix("keep_"))
        if not option:
            return found[0]
        if value is None or value == "True":
            return option
        if value == "False":
            return option if option.startswith("--no-") else f"--no-{option[2:]}"
        return f"{option} {value}"

    return re.sub(r"`([a-z_]+)(?:=([^`]*))?`|\b([a-z_]+)=(True\b|False\b|'[^']*')", written, text)


def _option(argument: str, known: Container[str]) -> str:
    """Return the option of an argument in Python; nothing where there is none."""
    name = argument if argument in known else _OTHER_NAMES.get(argument, "")
    return option_of(name) if name in known and name not in _POSITIONALS else ""


def add_fill_gaps(group: Any) -> None:
    """Add the option that says what becomes of a hole in a sequence."""
    group.add_argument(
        "--fill-gaps",
        action="store_true",
        help="where a number is missing in a sequence of images, of the clip or of masks, show the frame before again",
    )


def add_overwrite(group: Any) -> None:
    """Add the option that says what becomes of frames of an earlier run."""
    group.add_argument(
        "--overwrite",
        action="store_true",
        help="replace the images that an earlier run wrote to a folder, and nothing else in it; a single file is "
        "replaced either way",
    )


def output_name(text: str) -> str:
    """Read the name of a file or folder to write: a `type` of arguments."""
    if not text.strip() or text == "-":
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of a file or folder to write to")
    return text


def count(text: str) -> int:
    """Read a whole number of at least 1: a `type` of arguments."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def names(text: str) -> tuple[str, ...]:
    """Read names between commas, at least one: a `type` of arguments."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} holds no name: A,B,...")
    return found
