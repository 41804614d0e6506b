"""Lines in ComfyUI's log, each once: a run has many segments, and a session many runs."""

from __future__ import annotations

import logging
from functools import cache

__all__ = ["tell_once"]

_LOG = logging.getLogger("segs_detailer.comfyui")


@cache
def tell_once(message: str, level: int = logging.WARNING) -> None:
    """Put a line into the log, unless it was there before."""
    _LOG.log(level, message)
