"""Weights that are fetched from the hub when they are first needed: which there are, where they are, and getting them.

Names are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segs_detailer._lazy import lazy_names

if TYPE_CHECKING:
    from segs_detailer.hub.catalog import ANIME_FACE, DINOV2, SFACE, WEIGHTS, YUNET, named_weights
    from segs_detailer.hub.weights import PinnedFile, Repository, Weights

__all__ = ["ANIME_FACE", "DINOV2", "SFACE", "WEIGHTS", "YUNET", "PinnedFile", "Repository", "Weights", "named_weights"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "segs_detailer.hub.catalog": ("ANIME_FACE", "DINOV2", "SFACE", "WEIGHTS", "YUNET", "named_weights"),
        "segs_detailer.hub.weights": ("PinnedFile", "Repository", "Weights"),
    },
)
