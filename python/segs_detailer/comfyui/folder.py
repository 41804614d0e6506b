"""What the folder in `custom_nodes` holds. The Comfy Registry takes a folder of the same files."""

from __future__ import annotations

import json
from pathlib import Path
from string import Template

from segs_detailer._version import NOT_INSTALLED, installed_version

__all__ = ["FOLDER", "LIST", "MARK", "PAGES", "UNKNOWN_VERSION", "folder_files"]

FOLDER = "segs-detailer"
"""Name of the folder, and of the pack in the registry."""
MARK = "# Written by segs-detailer."
"""First line of the files by which the folder is known to be ours before it is overwritten or removed."""
LIST = "written.txt"
"""File that lists all others, as later versions may write others."""
_WEB = "web"
PAGES = f"{_WEB}/docs"
"""ComfyUI shows these pages beside its nodes."""
UNKNOWN_VERSION = "0.0.0"

_LOCALES = "locales"
_LICENSE = "LICENSE"
# Files that are shipped as they are. ComfyUI lists the workflows among its templates, and the blueprints, by the files'
# names, among its nodes.
_SHIPPED = {"example_workflows": (".json", ".jpg"), "subgraphs": (".json",), _WEB: (".js",)}
_ICON = "docs/images/icon.svg"
"""400 x 400, as the registry wants it."""
_BANNER = "docs/images/banner.svg"
"""21:9."""
_LEAST_COMFYUI = "0.3.64"
"""The oldest version that the nodes are tested with."""
_CLASSIFIERS = (
    "Operating System :: OS Independent",
    "Environment :: GPU :: NVIDIA CUDA",
    "Environment :: GPU :: AMD ROCm",
    "Environment :: GPU :: Intel Arc",
    "Environment :: GPU :: Apple Metal",
)
"""Whatever ComfyUI samples on: the nodes bring no code for a device."""
_IGNORED = "__pycache__/\n*.pyc\n"
"""What ComfyUI leaves in the folder, and the registry does not want."""

_INIT = f'''{MARK}
"""Nodes that re-detail chosen regions of video frames. The code is in the package segs_detailer."""

try:
    from segs_detailer.comfyui.extension import has_schemas
except ImportError as error:
    import sys

    raise ImportError(
        f"segs-detailer cannot be imported ({{error}}). Install it for the Python that runs ComfyUI: "
        f"{{sys.executable}} -m pip install 'segs-detailer[video]'"
    ) from error

WEB_DIRECTORY = "{_WEB}"

if has_schemas():
    from segs_detailer.comfyui.schema import comfy_entrypoint

    __all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
else:
    from segs_detailer.comfyui.classic import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

    __all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "WEB_DIRECTORY"]
'''

_PYPROJECT = Template(
    f"""{MARK}
[project]
name = "{FOLDER}"
description = "Re-details chosen regions (faces, hands, any mask) of video frames with the graph's own models."
version = "$version"
license = $license
requires-python = ">=3.10"
dependencies = ["$requirement"]
classifiers = $classifiers
$urls
[tool.comfy]
PublisherId = $publisher
DisplayName = "SEGS Detailer"
Icon = $icon
Banner = $banner
requires-comfyui = ">={_LEAST_COMFYUI}"
"""
)


def folder_files(*, repository: str = "", publisher: str = FOLDER) -> dict[str, bytes]:
    """Give what the folder holds.

    Parameters
    ----------
    repository : str
        Address of the source code; of the installed package's own metadata where it is empty.
    publisher : str
        Id of who publishes it in the registry.

    Returns
    -------
    dict
        Contents by the files' names, with `/` between folders.
    """
    from segs_detailer.comfyui.help_pages import help_pages
    from segs_detailer.comfyui.localizing import locale_files

    version = _version()
    requirement = f"{FOLDER}[video]" + ("" if version is None else f"=={version}")
    terms = _license()
    repository = (repository or _repository()).rstrip("/")
    texts = {
        "__init__.py": _INIT,
        "requirements.txt": f"{requirement}\n",
        ".comfyignore": _IGNORED,
        "pyproject.toml": _PYPROJECT.substitute(
            version=version or UNKNOWN_VERSION,
            requirement=requirement,
            license='{ text = "Apache-2.0" }' if terms is None else f'{{ file = "{_LICENSE}" }}',
            urls=f"\n[project.urls]\nRepository = {json.dumps(repository)}\n" if repository else "",
            publisher=json.dumps(publisher),
            icon=json.dumps(f"{repository}/raw/HEAD/{_ICON}" if repository else ""),
            banner=json.dumps(f"{repository}/raw/HEAD/{_BANNER}" if repository else ""),
            classifiers=json.dumps(_CLASSIFIERS),
        ),
        **({} if terms is None else {_LICENSE: terms}),
        **{f"{PAGES}/{name}.md": page for name, page in help_pages().items()},
        **{f"{_LOCALES}/{name}": text for name, text in locale_files().items()},
    }
    files = {name: text.encode() for name, text in texts.items()}
    for folder, kinds in _SHIPPED.items():
        own = sorted(Path(__file__).with_name(folder).iterdir())
        files |= {f"{folder}/{file.name}": file.read_bytes() for file in own if file.suffix in kinds}
    return {**files, LIST: "\n".join([MARK, *sorted([*files, LIST]), ""]).encode()}


def _version() -> str | None:
    """Return the package's version; None where it was not installed as a package."""
    version = installed_version()
    return None if version == NOT_INSTALLED else version


def _repository() -> str:
    """Return the address of the source code, as the installed package knows it."""
    from importlib import metadata

    try:
        addresses = metadata.metadata(FOLDER).get_all("Project-URL") or []
    except metadata.PackageNotFoundError:
        return ""
    named = [address.partition(", ") for address in addresses]
    return next((url for name, _, url in named if name.lower() == "repository"), "")


def _license() -> str | None:
    """Return the license's text: the installed package's, or the checkout's."""
    from importlib import metadata

    try:
        text = metadata.distribution(FOLDER).read_text(f"licenses/{_LICENSE}")
    except metadata.PackageNotFoundError:
        text = None
    checkout = Path(__file__).parents[3] / _LICENSE
    if text is None and (checkout.parent / "pyproject.toml").is_file() and checkout.is_file():
        text = checkout.read_text(encoding="utf-8")
    return text
