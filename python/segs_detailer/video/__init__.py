"""Clips in and out: video files, image sequences and animations, with their times, colours and sound."""

from __future__ import annotations

from .clip import DEFAULT_RATE, Clip, ClipInfo, ClipKind, Picture, ReadProgress, Sink, Source
from .colour import ColourTags
from .encoders import EncoderSettings
from .reading import iter_frames, open_clip, read_clip
from .writing import open_output, write_clip, write_frames

__all__ = [
    "DEFAULT_RATE",
    "Clip",
    "ClipInfo",
    "ClipKind",
    "ColourTags",
    "EncoderSettings",
    "Picture",
    "ReadProgress",
    "Sink",
    "Source",
    "iter_frames",
    "open_clip",
    "open_output",
    "read_clip",
    "write_clip",
    "write_frames",
]
