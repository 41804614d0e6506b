"""The command that repaints what was only sharpened."""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["repainting_command"]

_MODEL = "Wan-AI/Wan2.1-T2V-1.3B-Diffusers"
"""A small video model whose license (Apache-2.0) shuts nobody out."""

_ROOM = 20 * 10**9
"""Bytes of a GPU that hold all of it at once, its text encoder too."""

_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_ON = {"1", "on", "true", "yes"}


def repainting_command(words: Sequence[str], label: str) -> str:
    """Name the command that would repaint, where this machine can run it: with a GPU, and leave to use the network.

    Nothing is looked for on the network, and nothing is imported.

    Parameters
    ----------
    words : sequence of str
        The arguments of the command that sharpened.
    label : str
        What was sharpened.

    Returns
    -------
    str
        The command; empty where the machine could not run it.
    """
    torch: Any = sys.modules.get("torch")
    if (
        torch is None
        or not torch.cuda.is_available()
        or any(os.environ.get(name, "").lower() in _ON for name in _OFFLINE)
    ):
        return ""
    more = ["--model", _MODEL, "--prompt", f"a sharp picture of a {label}"]
    if torch.cuda.get_device_properties(0).total_memory < _ROOM:
        more += ["--offload", "model"]
    command = shlex.join(["segs-detailer", *words, *more])
    missing = importlib.util.find_spec("diffusers") is None
    return f"pip install 'segs-detailer[diffusers]' && {command}" if missing else command
