"""The command line: `segs-detailer run` and `segs-detailer preview`."""

from __future__ import annotations

from .main import main

__all__ = ["main"]
