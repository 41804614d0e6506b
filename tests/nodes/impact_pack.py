"""Loads the image functions of an installed Impact Pack, to compare with ours.

Impact Pack imports ComfyUI and detectors that its image functions never call: those imports are answered by empty
modules. The checkout is named by the environment variable IMPACT_PACK_PATH.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import torch
from PIL import Image

VARIABLE = "IMPACT_PACK_PATH"

# What only a running ComfyUI has, and the parts of Impact Pack that start servers or load detectors.
_ABSENT = (
    "aiohttp",
    "comfy",
    "comfy_extras",
    "execution",
    "folder_paths",
    "impact.impact_pack",
    "impact.impact_server",
    "impact.wildcards",
    "latent_preview",
    "node_helpers",
    "nodes",
    "segment_anything",
    "server",
    "skimage",
    "thirdparty",
)


class _EmptyModule(ModuleType):
    """Answers any name with a class that can be called, subclassed and asked for attributes."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        value = MagicMock(name=f"{self.__name__}.{name}")
        setattr(self, name, value)
        return value


class _EmptyModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if any(name == absent or name.startswith(absent + ".") for absent in _ABSENT):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return _EmptyModule(spec.name)

    def exec_module(self, module):
        if module.__name__ == "nodes":
            module.MAX_RESOLUTION = 16384
            module.VAEEncode = _VAEEncode
            module.ImageScale = _ImageScale
        elif module.__name__ == "comfy.cli_args":
            module.args = SimpleNamespace(highvram=False, gpu_only=False)
        elif module.__name__ == "comfy.model_management":
            module.get_torch_device = lambda: "cpu"


class _VAEEncode:
    """ComfyUI's node, without the wrapping."""

    def encode(self, vae, pixels):
        return ({"samples": vae.encode(pixels)},)


class _ImageScale:
    """ComfyUI's node: Lanczos by Pillow, frame by frame, through 8 bits."""

    def upscale(self, image, upscale_method, width, height, crop):
        pictures = [Image.fromarray((frame * 255).clip(0, 255).astype(np.uint8)) for frame in image.numpy()]
        scaled = [np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS)) for picture in pictures]
        return (torch.from_numpy(np.stack(scaled)).float() / 255,)


@contextmanager
def loaded() -> Iterator[SimpleNamespace]:
    """Impact Pack's modules `utils`, `core`, `segs_nodes` and `animatediff_nodes`."""
    before, path, finder = dict(sys.modules), list(sys.path), _EmptyModules()
    sys.path.insert(0, str(Path(os.environ[VARIABLE]) / "modules"))
    sys.meta_path.insert(0, finder)
    try:
        names = ("utils", "core", "segs_nodes", "animatediff_nodes")
        yield SimpleNamespace(**{name: importlib.import_module(f"impact.{name}") for name in names})
    finally:
        sys.meta_path.remove(finder)
        sys.path[:] = path
        for name in set(sys.modules) - set(before):
            if name.split(".")[0] in {"impact", *(absent.split(".")[0] for absent in _ABSENT)}:
                del sys.modules[name]
