"""`segs-detailer doctor`: what of this machine matters for a run, and what to do where something is missing."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from segs_detailer._native import cpu_level, get_num_threads
from segs_detailer._version import NOT_INSTALLED, installed_version
from segs_detailer.errors import MissingDependencyError
from segs_detailer.hub.catalog import ANIME_FACE, DINOV2, SFACE, YUNET
from segs_detailer.jobs.cache import default_folder
from segs_detailer.models.accelerators import accelerators, memory_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["doctor"]

_EXTRAS = ("video", "diffusers", "onnx", "words", "gguf", "quantization", "ultralytics", "ray")
_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)\s*(?:>=\s*(?P<least>[\d.]+))?.*?extra == ['\"](?P<extra>[\w-]+)['\"]")
_CODECS = ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "prores_ks", "ffv1")
_FINDERS = (YUNET, SFACE, ANIME_FACE, DINOV2)
_VARIABLES = re.compile(
    r"SEGS_DETAILER_\w+|HF_(HOME|HUB_CACHE|HUB_OFFLINE)|(RAYON|OMP)_NUM_THREADS|CUDA_VISIBLE_DEVICES"
)
_LEAST_FREE = 20e9
"""Bytes that crops of a clip of some minutes take."""


@dataclass(frozen=True, slots=True)
class _Finding:
    """One line of the report: what it is about, what was found, and what to do about it."""

    about: str
    found: str
    advice: str = ""


def doctor() -> None:
    """Print the report."""
    findings = list(_findings())
    width = max(len(each.about) for each in findings)
    for each in findings:
        print(f"{each.about.ljust(width)}  {each.found}")
        if each.advice:
            print(f"{'':{width}}  -> {each.advice}")


def _findings() -> Iterator[_Finding]:
    yield from _program()
    yield from _extras()
    yield from _devices()
    yield from _codecs()
    yield from _weights()
    yield _cache()
    set_here = sorted(f"{name}={value}" for name, value in os.environ.items() if _VARIABLES.fullmatch(name))
    yield _Finding("variables", ", ".join(set_here) or "none is set")


def _program() -> Iterator[_Finding]:
    version = installed_version()
    advice = "install it with pip: what it needs is not known" if version == NOT_INSTALLED else ""
    yield _Finding("segs-detailer", version, advice)
    yield _Finding("Python", f"{platform.python_version()}, {sys.implementation.name}, {platform.platform()}")
    yield _Finding("kernels", f"{cpu_level()}, {get_num_threads()} threads of {os.cpu_count()} cores")
    yield _Finding(
        "torch", _version_of("torch") or "not installed", "" if _version_of("torch") else "pip install torch"
    )


def _extras() -> Iterator[_Finding]:
    """Tell of each extra which of its packages are here, and whether they are recent enough."""
    needed: dict[str, list[tuple[str, str]]] = {}
    for match in map(_REQUIREMENT.match, _requirements()):
        if match is not None:
            needed.setdefault(match["extra"], []).append((match["name"], match["least"] or ""))
    for extra in _EXTRAS:
        packages = [(name, least, _version_of(name)) for name, least in needed.get(extra, ())]
        if not packages:
            continue
        faults = [name for name, least, found in packages if found is None or _is_below(found, least)]
        shown = ", ".join(f"{name} {found or 'missing'}" for name, _, found in packages)
        yield _Finding(f"[{extra}]", shown, f"pip install 'segs-detailer[{extra}]'" if faults else "")


def _requirements() -> list[str]:
    try:
        return metadata.requires("segs-detailer") or []
    except metadata.PackageNotFoundError:
        return []


def _version_of(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _is_below(version: str, least: str) -> bool:
    """Whether a version is lower than another, as far as its numbers say."""

    def numbers(text: str) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", text.split("+")[0])]

    return bool(least) and numbers(version) < numbers(least)


def _devices() -> Iterator[_Finding]:
    """Tell of GPUs and their memory."""
    if _version_of("torch") is None:
        return
    found = accelerators()
    for device, name in found:
        memory = memory_of(device)
        free = "" if memory is None else f", {memory[0] / 1e9:.1f} of {memory[1] / 1e9:.1f} GB free"
        yield _Finding(str(device), f"{name}{free}")
    if not found:
        yield _Finding(
            "GPU",
            "PyTorch sees none",
            "models work on the CPU, slowly; for a GPU install the build of PyTorch for it. The preview needs none",
        )


def _codecs() -> Iterator[_Finding]:
    from segs_detailer.video.packets import import_av

    try:
        av = import_av()
    except MissingDependencyError as error:
        yield _Finding("codecs", "none", str(error))
        return
    there = [name for name in _CODECS if name in av.codecs_available]
    libavcodec = ".".join(map(str, av.library_versions["libavcodec"]))
    missing = sorted(set(_CODECS) - set(there))
    advice = f"{', '.join(missing)} cannot be written: install av from wheels" if missing else ""
    yield _Finding("encoders", f"{', '.join(there)} (libavcodec {libavcodec})", advice)


def _weights() -> Iterator[_Finding]:
    for weights in _FINDERS:
        try:
            is_here = weights.local() is not None
        except MissingDependencyError:
            is_here = False
        about, use = f"weights {weights.name}", f"{weights.use}: {'here' if is_here else 'not fetched yet'}"
        yield _Finding(
            about, use, "" if is_here else f"segs-detailer models pull {weights.name}, or the first use does"
        )


def _cache() -> _Finding:
    folder = default_folder()
    there = next(place for place in (folder, *folder.parents) if place.is_dir())
    free = shutil.disk_usage(there).free
    if not os.access(there, os.W_OK):
        return _Finding(
            "cache", f"{folder}: may not be written to", "set SEGS_DETAILER_CACHE to another folder, or use --cache"
        )
    advice = "set SEGS_DETAILER_CACHE to a folder with more room for crops of long clips" if free < _LEAST_FREE else ""
    return _Finding("cache", f"{folder}, {free / 1e9:.0f} GB free", advice)
