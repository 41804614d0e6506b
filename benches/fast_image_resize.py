"""The Rust crate fast_image_resize as a peer: built with cargo outside the checkout, called by ctypes."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

__all__ = ["load"]

CRATE = Path(__file__).parent / "fast_image_resize_peer"


def load(folder: Path) -> Callable[[torch.Tensor, tuple[int, int]], torch.Tensor] | None:
    """`resize(frames, size)` of the crate, built in `folder`; None where cargo or the crate cannot be had."""
    cargo = shutil.which("cargo")
    if cargo is None:
        return None
    # A copy, as cargo writes its lock file beside the manifest.
    crate = shutil.copytree(CRATE, folder / "crate")
    command = [cargo, "build", "--release", "--quiet", "--target-dir", str(folder / "target")]
    if subprocess.run(command, cwd=crate, check=False).returncode:
        return None
    name = {"win32": "fast_image_resize_peer.dll", "darwin": "libfast_image_resize_peer.dylib"}
    library = ctypes.CDLL(str(folder / "target/release" / name.get(sys.platform, "libfast_image_resize_peer.so")))
    function = library.resize_f32x3
    function.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_size_t] + [ctypes.c_uint32] * 4
    function.restype = ctypes.c_int

    def resize(frames: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        out = np.empty((len(frames), *size, 3), np.float32)
        error = function(frames.data_ptr(), out.ctypes.data, *frames.shape[:3], *size)
        if error:
            raise RuntimeError(f"fast_image_resize failed with {error}")
        return torch.from_numpy(out).clamp_(0, 1)

    return resize
