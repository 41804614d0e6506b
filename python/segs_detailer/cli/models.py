"""`segs-detailer models`: the weights that are fetched by name, on this machine and on the hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segs_detailer.cli.arguments import add_command
from segs_detailer.errors import MissingDependencyError, ModelError
from segs_detailer.hub.access import cache_folder
from segs_detailer.hub.catalog import WEIGHTS, named_weights
from segs_detailer.hub.weights import PinnedFile

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from segs_detailer.hub.weights import Weights

__all__ = ["add_models", "models"]

_EPILOG = """examples:
  segs-detailer models list
  segs-detailer models pull yunet
      fetch it now, so that later no network is needed
  segs-detailer models where yunet

They are kept in the cache of huggingface_hub; HF_HUB_CACHE and HF_HOME say where that is, HF_HUB_OFFLINE=1 that nothing
is fetched. docs/detectors.md says what each is for.
"""

_HEADINGS = ("NAME", "FOR", "SIZE", "LICENSE", "HERE", "FROM")


def add_models(commands: Any) -> None:
    """Add the command to a parser.

    Parameters
    ----------
    commands : argparse subparsers action
        Where the commands are.
    """
    parser = add_command(commands, "models", "list, fetch and locate the weights that are fetched by name", _EPILOG)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add(actions, "list", "say which there are, under which licenses, and which are on this machine")
    pull = _add(actions, "pull", "fetch some, or do nothing where they are on this machine")
    pull.add_argument("names", nargs="+", metavar="NAME", help="name, or repository on the hub")
    pull.add_argument("-q", "--quiet", action="store_true", help="show nothing but errors and warnings")
    where = _add(actions, "where", "say where they are on this machine")
    where.add_argument("names", nargs="*", metavar="NAME", help="name, or repository on the hub (default: all)")


def _add(actions: Any, name: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    return parser


def models(args: argparse.Namespace) -> None:
    """Run the command.

    Parameters
    ----------
    args : Namespace
        `action`, and what that takes.

    Raises
    ------
    SegsDetailerError, OSError
        Something cannot be done.
    """
    if args.action == "list":
        _print_table([_HEADINGS, *map(_row, WEIGHTS)])
        return
    # All names are looked up before anything is fetched.
    chosen = [named_weights(name) for name in args.names]
    if args.action == "pull":
        for weights in chosen:
            path = weights.fetch(quiet=args.quiet)
            if not args.quiet:
                print(f"{weights.name}: {path} (license: {weights.license})")
        return
    for line in _places(chosen):
        print(line)


def _places(chosen: list[Weights]) -> Iterator[str]:
    if not chosen:
        here = [(weights, weights.local()) for weights in WEIGHTS]
        yield from (f"{weights.name}: {path}" for weights, path in here if path is not None)
        if all(path is None for _, path in here):
            yield f"none of them is in {cache_folder()}"
        return
    for weights in chosen:
        path = weights.local()
        if path is None:
            raise ModelError(
                f"{weights.name} is {'damaged' if _state(weights) == 'damaged' else 'not'} in {cache_folder()}: "
                f"segs-detailer models pull {weights.name} fetches it"
            )
        yield str(path)


def _row(weights: Weights) -> tuple[str, ...]:
    size = "" if weights.size is None else _readable(weights.size)
    return (weights.name, weights.use, size, weights.license, _state(weights), weights.repository)


def _state(weights: Weights) -> str:
    try:
        if weights.local() is not None:
            return "yes"
    except MissingDependencyError:
        return "no"
    return "damaged" if isinstance(weights, PinnedFile) and weights.is_damaged() else "no"


def _readable(size: int) -> str:
    for unit, least in (("GB", 1e9), ("MB", 1e6)):
        if size >= least:
            return f"{size / least:.1f} {unit}"
    return f"{size / 1e3:.0f} kB"


def _print_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
