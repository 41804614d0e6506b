"""`segs-detailer comfyui`: make the nodes known to a ComfyUI, and take them away again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from segs_detailer._version import installed_version
from segs_detailer.cli.arguments import add_command
from segs_detailer.comfyui.install import install, status, uninstall

if TYPE_CHECKING:
    import argparse
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
    parser = add_command(commands, "comfyui", "install the nodes into ComfyUI", _EPILOG)
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
    run: dict[str, Callable[[argparse.Namespace], str]] = {
        "install": _install,
        "uninstall": _uninstall,
        "status": _status,
    }
    print(run[args.action](args))


def _install(args: argparse.Namespace) -> str:
    folder = install(args.path)
    return f"wrote {folder}\nRestart ComfyUI. It must run with this Python, which has the package: {sys.executable}"


def _uninstall(args: argparse.Namespace) -> str:
    folder = uninstall(args.path)
    return "nothing to remove: the nodes are not installed" if folder is None else f"removed {folder}"


def _status(args: argparse.Namespace) -> str:
    found = status(args.path)
    if found.foreign:
        return f"{found.folder} was not written by segs-detailer"
    if found.version is None:
        return "not installed"
    return f"installed in {found.folder}: written by version {found.version}; this is version {installed_version()}"
