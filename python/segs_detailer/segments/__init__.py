"""Subjects of a clip from anywhere, and to anywhere: one type, `Segments`, and the formats that hold it."""

from __future__ import annotations

from .files import FORMATS, Format, format_to_write, read_segments, write_segments
from .mask import Mask
from .objects import as_segments
from .subjects import Segments, Subject
from .tuples import from_segs, to_segs

__all__ = [
    "FORMATS",
    "Format",
    "Mask",
    "Segments",
    "Subject",
    "as_segments",
    "format_to_write",
    "from_segs",
    "read_segments",
    "to_segs",
    "write_segments",
]
