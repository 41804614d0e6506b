"""The folder in `custom_nodes` through which ComfyUI finds the installed package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from segs_detailer.comfyui.folder import FOLDER, LIST, MARK, PAGES, UNKNOWN_VERSION, folder_files
from segs_detailer.errors import InvalidArgumentError

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["Status", "install", "status", "uninstall", "write_folder"]

_VERSION_FILE = "pyproject.toml"
_PARTIAL = ".partial"
_CACHES = "__pycache__"


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
    """

    folder: Path
    version: str | None
    foreign: bool


def install(path: str | PathLike[str]) -> Path:
    """Write the folder, or bring one that is there up to date.

    Parameters
    ----------
    path : str or PathLike
        The folder of ComfyUI.

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
    files = folder_files()
    # What a version before had, and this one has not.
    for file in _written_files(found.folder) - {found.folder / name for name in files}:
        file.unlink(missing_ok=True)
    write_folder(found.folder, files)
    return found.folder


def write_folder(folder: Path, files: dict[str, bytes]) -> None:
    """Write files into a folder, each at once.

    Parameters
    ----------
    folder : Path
        A folder that is there.
    files : dict
        See `folder_files`.

    Raises
    ------
    OSError
        It cannot be written.
    """
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(file.name + _PARTIAL)
        try:
            partial.write_bytes(content)
            partial.replace(file)
        finally:
            partial.unlink(missing_ok=True)


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
    own = _written_files(found.folder)
    compiled = set((found.folder / _CACHES).glob("*.pyc"))
    parents = {parent for file in own | compiled for parent in file.parents if found.folder in parent.parents}
    folders = {folder for folder in parents if folder.is_dir()}
    others = set(found.folder.rglob("*")) - own - compiled - folders
    if others:
        expected = f"only what segs-detailer wrote in {found.folder}"
        raise InvalidArgumentError("custom_nodes", expected, ", ".join(sorted(other.name for other in others)))
    for file in own | compiled:
        file.unlink(missing_ok=True)
    # The inner ones first.
    for folder in sorted(folders, key=lambda folder: len(folder.parts), reverse=True):
        folder.rmdir()
    found.folder.rmdir()
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
    folder = _comfyui_folder(Path(path)) / "custom_nodes" / FOLDER
    if not (folder.exists() or folder.is_symlink()):
        return Status(folder, None, foreign=False)
    version = _written_version(folder)
    return Status(folder, version, foreign=version is None)


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
    if not lines or lines[0] != MARK:
        return None
    versions = [line.split('"')[1] for line in lines if line.startswith('version = "')]
    return versions[0] if versions else UNKNOWN_VERSION


def _written_files(folder: Path) -> set[Path]:
    """Return the files that this version writes into a folder, and those that the version before wrote."""
    names = {*folder_files()}
    if (folder / LIST).is_file():
        lines = (folder / LIST).read_text(encoding="utf-8", errors="replace").splitlines()
        names |= {line for line in lines if line and line != MARK}
    files = {folder / name for name in names}
    # Pages of versions that kept no list, and what an install that was broken off left.
    files |= {*(folder / PAGES).glob("SegsDetailer*.md"), *(file.with_name(file.name + _PARTIAL) for file in files)}
    # Whatever the list says: nothing outside, and nothing through links.
    root = folder.resolve()
    return {file for file in files if ".." not in file.parts and root in file.resolve().parents}
