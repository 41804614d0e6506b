"""`segs-detailer comfyui`: make the nodes known to a ComfyUI, and take them away again."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from ..comfyui.install import install, status, uninstall

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["add_comfyui", "comfyui"]

_EPILOG = """examples:
  segs-detailer comfyui install ~/ComfyUI
  segs-detailer comfyui status ~/ComfyUI

Run it with the Python that runs ComfyUI; restart ComfyUI afterwards.
"""

_ACTIONS = {
    "install": "write the folder custom_nodes/segs-detailer, or bring it up to date",
    "uninstall": "remove that folder",
    "status": "say what is there",
}


def add_comfyui(commands: Any) -> None:
    """Add the command to a parser.

    Parameters
    ----------
    commands : argparse subparsers action
        Where the commands are.
    """
    summary = "install the nodes into ComfyUI"
    parser = commands.add_parser(
        "comfyui",
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in _ACTIONS.items():
        action = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        action.add_argument("path", metavar="PATH", help="the folder of ComfyUI")


def comfyui(args: argparse.Namespace) -> None:
    """Run the command.

    Parameters
    ----------
    args : Namespace
        `action` and `path`.

    Raises
    ------
    SegsDetailerError, OSError
        Something cannot be done.
    """
    run: dict[str, Callable[[str], str]] = {"install": _install, "uninstall": _uninstall, "status": _status}
    print(run[args.action](args.path))


def _install(path: str) -> str:
    folder = install(path)
    return f"wrote {folder}\nRestart ComfyUI. It must run with this Python, which has the package: {sys.executable}"


def _uninstall(path: str) -> str:
    folder = uninstall(path)
    return "nothing to remove: the nodes are not installed" if folder is None else f"removed {folder}"


def _status(path: str) -> str:
    from .. import __version__

    found = status(path)
    if found.foreign:
        return f"{found.folder} was not written by segs-detailer"
    if found.version is None:
        return "not installed"
    return f"installed in {found.folder}: written by version {found.version}; this is version {__version__}"
