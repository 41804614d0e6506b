"""Subjects through time: tracks, made of detections of single frames."""

from __future__ import annotations

from .association import Chain, Detection, associate, overlap, suppress
from .mask import Mask
from .track import MAX_FRAMES, Track

__all__ = ["MAX_FRAMES", "Chain", "Detection", "Mask", "Track", "associate", "overlap", "suppress"]
