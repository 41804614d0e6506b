"""Where a module computes."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["execution_device"]


def execution_device(module: Any) -> torch.device:
    """Device of a module's computation: that of accelerate's offload hook where there is one, else its weights'."""
    hook = getattr(module, "_hf_hook", None)
    device = getattr(hook, "execution_device", None)
    return torch.device(module.device if device is None else device)
