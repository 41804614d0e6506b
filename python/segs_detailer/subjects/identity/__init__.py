"""Who is who: embeddings of what tracks show, likeness to pictures, and the same person in several shots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segs_detailer._lazy import lazy_names

if TYPE_CHECKING:
    from segs_detailer.subjects.identity.embedder import Embedder, Sighting
    from segs_detailer.subjects.identity.linking import link_tracks
    from segs_detailer.subjects.identity.looks import Looks, PictureLikeness, look_at
    from segs_detailer.subjects.identity.opening import open_embedders
    from segs_detailer.subjects.identity.sface import SFaceEmbedder
    from segs_detailer.subjects.identity.vision import VisionEmbedder

__all__ = [
    "Embedder",
    "Looks",
    "PictureLikeness",
    "SFaceEmbedder",
    "Sighting",
    "VisionEmbedder",
    "link_tracks",
    "look_at",
    "open_embedders",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "segs_detailer.subjects.identity.embedder": ("Embedder", "Sighting"),
        "segs_detailer.subjects.identity.linking": ("link_tracks",),
        "segs_detailer.subjects.identity.looks": ("Looks", "PictureLikeness", "look_at"),
        "segs_detailer.subjects.identity.opening": ("open_embedders",),
        "segs_detailer.subjects.identity.sface": ("SFaceEmbedder",),
        "segs_detailer.subjects.identity.vision": ("VisionEmbedder",),
    },
)
