"""What the folder in `custom_nodes` asks: which form of nodes ComfyUI takes."""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["has_schemas", "known_options"]


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


def known_options(function: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """Leave out what the running ComfyUI does not know yet.

    Parameters
    ----------
    function : callable
        What takes the options by name.
    options : dict
        Options of some release.

    Returns
    -------
    dict
        Those that the function has parameters for.
    """
    parameters = inspect.signature(function).parameters
    return {name: value for name, value in options.items() if name in parameters}
