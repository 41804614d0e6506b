"""`segs-detailer completion`: what lets a shell complete commands, options and their values."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from segs_detailer.cli.arguments import add_command
from segs_detailer.errors import MissingDependencyError

if TYPE_CHECKING:
    import argparse

__all__ = ["add_completion", "completion"]

_SHELLS = ("bash", "zsh", "tcsh")
_EPILOG = """examples:
  bash: segs-detailer completion bash > ~/.local/share/bash-completion/completions/segs-detailer
  zsh:  segs-detailer completion zsh > ~/.zfunc/_segs-detailer
        with "fpath+=~/.zfunc" before "compinit" in ~/.zshrc
"""


def add_completion(commands: Any) -> None:
    """Add the command to a parser.

    Parameters
    ----------
    commands : argparse subparsers action
        Where the commands are.
    """
    parser = add_command(commands, "completion", "print what lets a shell complete the command line", _EPILOG)
    parser.add_argument("shell", choices=_SHELLS, metavar="SHELL", help=", ".join(_SHELLS))


def completion(parser: argparse.ArgumentParser, shell: str) -> None:
    """Print the script for a shell.

    Parameters
    ----------
    parser : ArgumentParser
        The whole command line.
    shell : str
        Its name.

    Raises
    ------
    MissingDependencyError
        shtab is not installed.
    """
    try:
        import shtab
    except ImportError as error:
        raise MissingDependencyError("shtab", "video") from error
    sys.stdout.write(shtab.complete(parser, shell=shell))
