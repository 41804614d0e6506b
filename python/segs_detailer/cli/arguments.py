"""What the parsers of all commands share."""

from __future__ import annotations

import argparse
from typing import Any

__all__ = ["add_command", "count", "names"]


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


def names(text: str) -> tuple[str, ...]:
    """Read names between commas, at least one: a `type` of arguments."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} holds no name: A,B,...")
    return found
