"""`segs-detailer comfyui`: make the nodes known to a ComfyUI, take them away again, and convert workflows to them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from segs_detailer._version import installed_version
from segs_detailer.cli.arguments import add_command, output_name
from segs_detailer.comfyui.install import install, status, uninstall

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

__all__ = ["add_comfyui", "comfyui"]

_EPILOG = """examples:
  segs-detailer comfyui install ~/ComfyUI
  segs-detailer comfyui status ~/ComfyUI
  segs-detailer comfyui convert workflow.json -o converted.json
      swap the nodes of Impact Pack that have a twin here

Install with the Python that runs ComfyUI; restart ComfyUI afterwards.
"""

_ACTIONS = {
    "install": "write the folder custom_nodes/segs-detailer, or bring it up to date",
    "uninstall": "remove that folder",
    "status": "say what is there",
}
_CONVERT = "swap Impact Pack's nodes that have a twin here for it, and say what was swapped and what was kept"


def add_comfyui(commands: Any) -> None:
    """Add the command to a parser.

    Parameters
    ----------
    commands : argparse subparsers action
        Where the commands are.
    """
    parser = add_command(commands, "comfyui", "install the nodes into ComfyUI, or convert workflows to them", _EPILOG)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in _ACTIONS.items():
        action = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        action.add_argument("path", metavar="PATH", help="the folder of ComfyUI")
    action = actions.add_parser("convert", help=_CONVERT, description=_CONVERT[0].upper() + _CONVERT[1:] + ".")
    action.add_argument("workflow", metavar="WORKFLOW", help="as the browser saves it, or exports it for the API")
    action.add_argument(
        "-o",
        "--output",
        type=output_name,
        metavar="OUT",
        help="the file to write (default: WORKFLOW's name with .converted.json, beside it)",
    )
    action.add_argument("--overwrite", action="store_true", help="replace OUT if it is there, be it WORKFLOW itself")
    action.add_argument("-q", "--quiet", action="store_true", help="show nothing but errors")


def comfyui(args: argparse.Namespace) -> None:
    """Run the command.

    Parameters
    ----------
    args : Namespace
        `action`, and what it takes.

    Raises
    ------
    SegsDetailerError, OSError
        Something cannot be done.
    """
    run: dict[str, Callable[[argparse.Namespace], str]] = {
        "install": _install,
        "uninstall": _uninstall,
        "status": _status,
        "convert": _convert,
    }
    text = run[args.action](args)
    if text:
        print(text)


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


def _convert(args: argparse.Namespace) -> str:
    from segs_detailer.comfyui.conversion.convert import convert_file, default_output

    output = args.output or default_output(args.workflow)
    report = convert_file(args.workflow, output, overwrite=args.overwrite)
    if args.quiet:
        return ""
    if report.swapped:
        done = f"wrote {output}: {len(report.swapped)} nodes swapped, {len(report.kept)} of Impact Pack's kept"
    else:
        done = "wrote nothing: the workflow has no node of Impact Pack's that has a twin here"
    return "\n".join([*report.lines(), done])
