"""The folder in `custom_nodes` through which ComfyUI finds the installed package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from segs_detailer.errors import InvalidArgumentError

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["Status", "folder_files", "install", "status", "uninstall"]

_FOLDER = "segs-detailer"
_VERSION_FILE = "pyproject.toml"
_PARTIAL = ".partial"
_CACHES = "__pycache__"
_WEB = "web"
# ComfyUI shows these pages beside its nodes.
_PAGES = f"{_WEB}/docs"

# How a folder is known to be ours before it is overwritten or removed.
_MARK = "# Written by segs-detailer."

_INIT = Template(
    f'''{_MARK}
"""Nodes that re-detail chosen regions of video frames. The code is in the package segs_detailer."""

try:
    from segs_detailer.comfyui.extension import accelerates_impact, has_schemas
except ImportError as error:
    import sys

    raise ImportError(
        f"segs-detailer cannot be imported ({{error}}). Install it for the Python that runs ComfyUI: "
        f"{{sys.executable}} -m pip install segs-detailer"
    ) from error

WEB_DIRECTORY = "{_WEB}"
ACCELERATE_IMPACT = $accelerate

if accelerates_impact(ACCELERATE_IMPACT):
    from segs_detailer.comfyui.acceleration.start import start

    start()

if has_schemas():
    from segs_detailer.comfyui.schema import comfy_entrypoint

    __all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
else:
    from segs_detailer.comfyui.classic import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

    __all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "WEB_DIRECTORY"]
'''
)

_PYPROJECT = Template(
    f"""{_MARK}
[project]
name = "{_FOLDER}"
description = "Re-details chosen regions (faces, hands, any mask) of video frames with the graph's own models."
version = "$version"
license = {{ text = "Apache-2.0" }}
requires-python = ">=3.10"
dependencies = ["$requirement"]

[tool.comfy]
PublisherId = "segs-detailer"
DisplayName = "SEGS Detailer"
Icon = ""
"""
)

_UNKNOWN_VERSION = "0.0.0"
_ACCELERATED = "ACCELERATE_IMPACT = True"


@dataclass(frozen=True, slots=True)
class Status:
    """What a ComfyUI has of this package.

    Parameters
    ----------
    folder : Path
        Where the nodes' folder is, or would be.
    version : str or None
        Version that the folder was written by; None where it is not there.
    foreign : bool
        There is a folder of that name which this package did not write.
    accelerates_impact : bool
        An installed Impact Pack is accelerated, unless the environment says otherwise.
    """

    folder: Path
    version: str | None
    foreign: bool
    accelerates_impact: bool = False


def install(path: str | PathLike[str], *, accelerate_impact: bool = False) -> Path:
    """Write the folder, or bring one that is there up to date.

    Parameters
    ----------
    path : str or PathLike
        The folder of ComfyUI.
    accelerate_impact : bool
        Let this package's kernels work in the place of an installed Impact Pack's image functions.

    Returns
    -------
    Path
        The folder that was written.

    Raises
    ------
    InvalidArgumentError
        `path` holds no ComfyUI, or something else has the folder's name.
    OSError
        It cannot be written.
    """
    found = status(path)
    if found.foreign:
        expected = "a name that nothing else has, or a folder that segs-detailer wrote"
        raise InvalidArgumentError("custom_nodes", expected, f"{found.folder}, made by something else")
    found.folder.mkdir(exist_ok=True)
    (found.folder / _PAGES).mkdir(parents=True, exist_ok=True)
    for name, text in folder_files(accelerate_impact=accelerate_impact).items():
        partial = found.folder / (name + _PARTIAL)
        try:
            partial.write_text(text, encoding="utf-8")
            partial.replace(found.folder / name)
        finally:
            partial.unlink(missing_ok=True)
    return found.folder


def uninstall(path: str | PathLike[str]) -> Path | None:
    """Remove the folder, with nothing in it that this package did not write.

    Parameters
    ----------
    path : str or PathLike
        The folder of ComfyUI.

    Returns
    -------
    Path or None
        The folder that was removed; None where there was none.

    Raises
    ------
    InvalidArgumentError
        `path` holds no ComfyUI, or the folder is not this package's or holds other files.
    OSError
        It cannot be removed.
    """
    found = status(path)
    if found.foreign:
        raise InvalidArgumentError("custom_nodes", "a folder that segs-detailer wrote", f"{found.folder}")
    if found.version is None:
        return None
    compiled = list((found.folder / _CACHES).glob("*.pyc"))
    # Another version may have had other nodes.
    pages = list((found.folder / _PAGES).glob("SegsDetailer*.md"))
    own = [*pages, *(found.folder / name for name in folder_files())]
    folders = [folder for name in (_CACHES, _PAGES, _WEB) if (folder := found.folder / name).is_dir()]
    others = set(found.folder.rglob("*")) - {*own, *compiled, *folders}
    if others:
        expected = f"only what segs-detailer wrote in {found.folder}"
        raise InvalidArgumentError("custom_nodes", expected, ", ".join(sorted(other.name for other in others)))
    for file in (*compiled, *own):
        file.unlink(missing_ok=True)
    for folder in (*folders, found.folder):
        folder.rmdir()
    return found.folder


def status(path: str | PathLike[str]) -> Status:
    """Look what is there.

    Parameters
    ----------
    path : str or PathLike
        The folder of ComfyUI.

    Returns
    -------
    Status
        The folder and its version.

    Raises
    ------
    InvalidArgumentError
        `path` holds no ComfyUI.
    """
    folder = _comfyui_folder(Path(path)) / "custom_nodes" / _FOLDER
    if not (folder.exists() or folder.is_symlink()):
        return Status(folder, None, foreign=False)
    version = _written_version(folder)
    return Status(folder, version, foreign=version is None, accelerates_impact=_written_acceleration(folder, version))


def folder_files(*, accelerate_impact: bool = False) -> dict[str, str]:
    """Give what the folder holds; the Comfy Registry takes a folder of the same files.

    Parameters
    ----------
    accelerate_impact : bool
        As for `install`.

    Returns
    -------
    dict
        Texts by file name; those of the help pages lie in a folder of their own.
    """
    from segs_detailer import __version__
    from segs_detailer.comfyui.help_pages import help_pages

    is_known = __version__[:1].isdigit() and "unknown" not in __version__
    requirement = f"segs-detailer=={__version__}" if is_known else "segs-detailer"
    version = __version__ if is_known else _UNKNOWN_VERSION
    return {
        "__init__.py": _INIT.substitute(accelerate=accelerate_impact),
        "requirements.txt": f"{requirement}\n",
        _VERSION_FILE: _PYPROJECT.substitute(version=version, requirement=requirement),
        **{f"{_PAGES}/{name}.md": page for name, page in help_pages().items()},
    }


def _comfyui_folder(path: Path) -> Path:
    """Find ComfyUI in the folder itself, or in the one of that name that the portable build has."""
    for folder in (path, path / "ComfyUI"):
        needed = (folder / "main.py", folder / "nodes.py", folder / "folder_paths.py")
        if all(file.is_file() for file in needed) and (folder / "custom_nodes").is_dir():
            return folder
    expected = "the folder of ComfyUI, with main.py, nodes.py, folder_paths.py and custom_nodes in it"
    raise InvalidArgumentError("PATH", expected, f"{path}" + ("" if path.is_dir() else ", which is not a folder"))


def _written_version(folder: Path) -> str | None:
    """Return the version in a folder of ours; None in any other."""
    file = folder / _VERSION_FILE
    if folder.is_symlink() or not file.is_file():
        return None
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    if not lines or lines[0] != _MARK:
        return None
    versions = [line.split('"')[1] for line in lines if line.startswith('version = "')]
    return versions[0] if versions else _UNKNOWN_VERSION


def _written_acceleration(folder: Path, version: str | None) -> bool:
    """Whether a folder of ours was written with the acceleration of Impact Pack."""
    file = folder / "__init__.py"
    if version is None or not file.is_file():
        return False
    return _ACCELERATED in file.read_text(encoding="utf-8", errors="replace").splitlines()
