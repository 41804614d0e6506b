"""What the folder in `custom_nodes` asks: which form of nodes ComfyUI takes, and whether Impact Pack is accelerated."""

from __future__ import annotations

import importlib
import logging
import os

__all__ = ["ACCELERATE_VARIABLE", "accelerates_impact", "has_schemas"]

ACCELERATE_VARIABLE = "SEGS_DETAILER_ACCELERATE_IMPACT"


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


def accelerates_impact(installed: bool) -> bool:
    """Whether an installed Impact Pack is to be accelerated.

    Parameters
    ----------
    installed : bool
        What was said when the folder was written.

    Returns
    -------
    bool
        What the environment variable `SEGS_DETAILER_ACCELERATE_IMPACT` says, 1 or 0; `installed` where it says neither.
    """
    value = os.environ.get(ACCELERATE_VARIABLE, "")
    if value not in ("", "0", "1"):
        logging.getLogger(__name__).warning("%s: expected 1 or 0, got %r; it has no effect", ACCELERATE_VARIABLE, value)
    return {"1": True, "0": False}.get(value, installed)
