"""Tracks of a clip from anywhere, and to anywhere: one type, `Segments`, and the formats that hold it."""

from __future__ import annotations

from ..tracks import Mask, Track
from .files import FORMATS, Format, format_to_write, read_segments, write_segments
from .objects import as_segments
from .segments import Segments
from .tuples import from_segs, to_segs

__all__ = [
    "FORMATS",
    "Format",
    "Mask",
    "Segments",
    "Track",
    "as_segments",
    "format_to_write",
    "from_segs",
    "read_segments",
    "to_segs",
    "write_segments",
]
