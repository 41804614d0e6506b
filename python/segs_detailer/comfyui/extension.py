"""What the folder in `custom_nodes` asks: which form of nodes ComfyUI takes."""

from __future__ import annotations

import importlib

__all__ = ["has_schemas"]


def has_schemas() -> bool:
    """Whether the running ComfyUI takes nodes with schemas.

    Returns
    -------
    bool
        False for releases without `comfy_api.latest`: they get classic classes.
    """
    try:
        api = importlib.import_module("comfy_api.latest")
    except ImportError:
        return False
    return hasattr(api, "ComfyExtension") and hasattr(getattr(api, "io", None), "Schema")
