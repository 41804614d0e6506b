"""Clips in and out: video files, image sequences and animations, with their times, colors and sound.

Names are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segs_detailer._lazy import lazy_names

if TYPE_CHECKING:
    from segs_detailer.video.clip import DEFAULT_RATE, Clip, ClipInfo, ClipKind, Picture, ReadProgress, Sink, Source
    from segs_detailer.video.color import ColorTags
    from segs_detailer.video.encoders import EncoderSettings
    from segs_detailer.video.reading import frames_at, iter_frames, open_clip, read_clip
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
    "frames_at",
    "iter_frames",
    "open_clip",
    "open_output",
    "read_clip",
    "write_clip",
    "write_frames",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "segs_detailer.video.clip": (
            "DEFAULT_RATE",
            "Clip",
            "ClipInfo",
            "ClipKind",
            "Picture",
            "ReadProgress",
            "Sink",
            "Source",
        ),
        "segs_detailer.video.color": ("ColorTags",),
        "segs_detailer.video.encoders": ("EncoderSettings",),
        "segs_detailer.video.reading": (
            "frames_at",
            "iter_frames",
            "open_clip",
            "read_clip",
        ),
        "segs_detailer.video.writing": (
            "open_output",
            "write_clip",
            "write_frames",
        ),
    },
)
