"""Image operations on batches of frames and masks.

They take NumPy arrays or torch tensors and return what they were given. Memory of the CPU is worked on by the Rust
kernels, without a copy; tensors on another device stay there, and torch computes the same.

Names are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segs_detailer._lazy import lazy_names

if TYPE_CHECKING:
    from segs_detailer.ops.blend import paste, paste_
    from segs_detailer.ops.frames import crop_frames, resize_frames
    from segs_detailer.ops.masks import feather_mask, resize_masks
    from segs_detailer.ops.morphology import Components, connected_components, dilate, erode, fill_holes, threshold
    from segs_detailer.ops.planes import PlaneFormat, blend_planes, planes_to_rgb
    from segs_detailer.ops.threads import get_num_threads, set_num_threads

__all__ = [
    "Components",
    "PlaneFormat",
    "blend_planes",
    "connected_components",
    "crop_frames",
    "dilate",
    "erode",
    "feather_mask",
    "fill_holes",
    "get_num_threads",
    "paste",
    "paste_",
    "planes_to_rgb",
    "resize_frames",
    "resize_masks",
    "set_num_threads",
    "threshold",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "segs_detailer.ops.blend": (
            "paste",
            "paste_",
        ),
        "segs_detailer.ops.frames": (
            "crop_frames",
            "resize_frames",
        ),
        "segs_detailer.ops.masks": (
            "feather_mask",
            "resize_masks",
        ),
        "segs_detailer.ops.morphology": (
            "Components",
            "connected_components",
            "dilate",
            "erode",
            "fill_holes",
            "threshold",
        ),
        "segs_detailer.ops.planes": (
            "PlaneFormat",
            "blend_planes",
            "planes_to_rgb",
        ),
        "segs_detailer.ops.threads": (
            "get_num_threads",
            "set_num_threads",
        ),
    },
)
