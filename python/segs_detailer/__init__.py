"""Re-detail chosen regions of video frames.

Everything public is here; each name is loaded when it is first used, so that importing the package imports neither
PyTorch nor any optional package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segs_detailer._lazy import lazy_names
from segs_detailer._version import installed_version

if TYPE_CHECKING:
    from segs_detailer.crop_path import CropPath
    from segs_detailer.detailer import DetailerSettings, DetailResult, Progress, detail_frames
    from segs_detailer.errors import (
        CancelledError,
        InvalidArgumentError,
        InvalidTypeError,
        MediaError,
        MissingDependencyError,
        ModelError,
        SegsDetailerError,
    )
    from segs_detailer.models.pipe import BasicPipe
    from segs_detailer.ops import (
        crop_frames,
        feather_mask,
        get_num_threads,
        paste,
        paste_,
        resize_frames,
        resize_masks,
        set_num_threads,
    )
    from segs_detailer.segs import SEG, SEGS, check_segs, scale_match
    from segs_detailer.subjects.boxes import make_crop_region
    from segs_detailer.subjects.masks import boxes_to_segs, masks_to_segs
    from segs_detailer.subjects.segs_of_tracks import tracks_to_segs
    from segs_detailer.subjects.settings import CropSettings
    from segs_detailer.subjects.track import Track

    __version__: str

__all__ = [
    "SEG",
    "SEGS",
    "BasicPipe",
    "CancelledError",
    "CropPath",
    "CropSettings",
    "DetailResult",
    "DetailerSettings",
    "InvalidArgumentError",
    "InvalidTypeError",
    "MediaError",
    "MissingDependencyError",
    "ModelError",
    "Progress",
    "SegsDetailerError",
    "Track",
    "__version__",
    "boxes_to_segs",
    "check_segs",
    "crop_frames",
    "detail_frames",
    "feather_mask",
    "get_num_threads",
    "make_crop_region",
    "masks_to_segs",
    "paste",
    "paste_",
    "resize_frames",
    "resize_masks",
    "scale_match",
    "set_num_threads",
    "tracks_to_segs",
]

_MODULES = {
    "segs_detailer.crop_path": ("CropPath",),
    "segs_detailer.detailer": ("DetailResult", "DetailerSettings", "Progress", "detail_frames"),
    "segs_detailer.errors": (
        "CancelledError",
        "InvalidArgumentError",
        "InvalidTypeError",
        "MediaError",
        "MissingDependencyError",
        "ModelError",
        "SegsDetailerError",
    ),
    "segs_detailer.subjects.boxes": ("make_crop_region",),
    "segs_detailer.subjects.masks": ("boxes_to_segs", "masks_to_segs"),
    "segs_detailer.ops": (
        "crop_frames",
        "feather_mask",
        "get_num_threads",
        "paste",
        "paste_",
        "resize_frames",
        "resize_masks",
        "set_num_threads",
    ),
    "segs_detailer.models.pipe": ("BasicPipe",),
    "segs_detailer.segs": ("SEG", "SEGS", "check_segs", "scale_match"),
    "segs_detailer.subjects": ("CropSettings", "Track", "tracks_to_segs"),
}
_load, _names = lazy_names(__name__, _MODULES)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        globals()[name] = value = installed_version()
        return value
    return _load(name)


def __dir__() -> list[str]:
    return [*_names(), "__version__"]
