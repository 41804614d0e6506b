"""One interface to models, and what a model of one's own needs: its base class, what it says of itself, the registry.

Names are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segs_detailer._lazy import lazy_names

if TYPE_CHECKING:
    from segs_detailer.models.family import Family
    from segs_detailer.models.info import FramePacking, Geometry, MemoryModel, ModelInfo, Recommended
    from segs_detailer.models.interface import SampleJob, Sampler
    from segs_detailer.models.latent_sampler import LatentSampler
    from segs_detailer.models.registry import register, sampler_for
    from segs_detailer.models.sound import Sound

__all__ = [
    "Family",
    "FramePacking",
    "Geometry",
    "LatentSampler",
    "MemoryModel",
    "ModelInfo",
    "Recommended",
    "SampleJob",
    "Sampler",
    "Sound",
    "register",
    "sampler_for",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "segs_detailer.models.family": ("Family",),
        "segs_detailer.models.info": ("FramePacking", "Geometry", "MemoryModel", "ModelInfo", "Recommended"),
        "segs_detailer.models.interface": ("SampleJob", "Sampler"),
        "segs_detailer.models.latent_sampler": ("LatentSampler",),
        "segs_detailer.models.registry": ("register", "sampler_for"),
        "segs_detailer.models.sound": ("Sound",),
    },
)
