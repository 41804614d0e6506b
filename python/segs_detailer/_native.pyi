"""Kernels in Rust. Every function checks its arrays, releases the interpreter and writes to `out`."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "blend_planes",
    "components",
    "copy_paste",
    "cpu_has_avx512",
    "cpu_level",
    "crop_frames",
    "dilate",
    "erode",
    "feather_mask",
    "fill_holes",
    "get_num_threads",
    "paste",
    "planes_to_rgb",
    "rescale_regions",
    "resize_frames",
    "resize_masks",
    "set_cpu_level",
    "set_num_threads",
    "threshold",
]

# (B, H, W, C), C from 1 to 4, of float32, float16 or uint8. Inputs need contiguous rows only; outputs C order.
_Frames: TypeAlias = NDArray[Any]
# (N, h, w) float32.
_Masks: TypeAlias = NDArray[np.float32]
# (1 or B, 4) as (x1, y1, x2, y2).
_Regions: TypeAlias = NDArray[np.int64]
# (1 or B, 2) as (x, y): parts of a pixel, in [0, 1), right of and below the regions; (1 or B, 3) with an angle, degrees
# clockwise about the middle of the shifted region; None where all places are whole.
_Shifts: TypeAlias = NDArray[np.float64] | None
# (H, W) of uint8 or uint16, in any strides; what they hold is said by a `PlaneFormat` of `segs_detailer.ops`.
_Planes: TypeAlias = Sequence[NDArray[Any]]

def crop_frames(
    frames: _Frames, regions: _Regions, out: _Frames, fill: float | None = None, shifts: _Shifts = None
) -> None: ...
def resize_frames(frames: _Frames, out: _Frames) -> None: ...
def resize_masks(masks: _Masks, out: _Masks) -> None: ...
def feather_mask(masks: _Masks, feather: int, out: _Masks) -> None: ...
def paste(
    frames: _Frames, crops: _Frames, masks: _Masks, regions: _Regions, alpha: float, shifts: _Shifts = None
) -> None: ...
def copy_paste(
    frames: _Frames,
    crops: _Frames,
    masks: _Masks,
    regions: _Regions,
    alpha: float,
    out: _Frames,
    shifts: _Shifts = None,
) -> None: ...
def planes_to_rgb(planes: _Planes, format: Any, window: _Regions, clip: bool, out: _Frames) -> None: ...  # noqa: A002
def blend_planes(planes: _Planes, format: Any, overlay: _Frames, window: _Regions) -> None: ...  # noqa: A002
def rescale_regions(regions: _Regions, from_size: tuple[int, int], to_size: tuple[int, int], out: _Regions) -> None: ...
def threshold(masks: _Masks, level: float, out: NDArray[np.uint8]) -> None: ...
def dilate(masks: _Masks, size: int, out: _Masks) -> None: ...
def erode(masks: _Masks, size: int, out: _Masks) -> None: ...
def fill_holes(mask: NDArray[np.uint8], out: NDArray[np.uint8]) -> None: ...
def components(mask: NDArray[np.uint8], labels: NDArray[np.int32]) -> NDArray[np.int64]: ...
def set_num_threads(threads: int) -> None: ...
def get_num_threads() -> int: ...
def cpu_has_avx512() -> bool: ...
def cpu_level() -> str: ...
def set_cpu_level(level: str) -> None: ...
