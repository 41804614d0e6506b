"""Clips in and out: video files, image sequences and animations, with their times, colors and sound."""

from __future__ import annotations

from segs_detailer.video.clip import DEFAULT_RATE, Clip, ClipInfo, ClipKind, Picture, ReadProgress, Sink, Source
from segs_detailer.video.color import ColorTags
from segs_detailer.video.encoders import EncoderSettings
from segs_detailer.video.reading import iter_frames, open_clip, read_clip
from segs_detailer.video.writing import open_output, write_clip, write_frames

__all__ = [
    "DEFAULT_RATE",
    "Clip",
    "ClipInfo",
    "ClipKind",
    "ColorTags",
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
