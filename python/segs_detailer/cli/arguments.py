"""What the parsers of all commands share."""

from __future__ import annotations

import argparse
from typing import Any

__all__ = ["add_command", "count"]


def add_command(commands: Any, name: str, summary: str, epilog: str) -> argparse.ArgumentParser:
    """Add a command to a parser.

    Parameters
    ----------
    commands : argparse subparsers action
        Where the commands are.
    name, summary, epilog : str
        What it is called, what it does, and what its help ends with.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def count(text: str) -> int:
    """Read a whole number of at least 1: a `type` of arguments."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)
