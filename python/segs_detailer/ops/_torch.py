"""The kernels of `_native.pyi` in vectorized torch, for tensors on devices that Rust cannot reach.

Same functions, same arguments, same contract: edges, rounding, clamping. Pixels stay on their device; only geometry and
filter weights travel to it. The two filters are products with matrices of float32 weights computed in float64.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from segs_detailer.ops.turns import turned, turned_halves

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = [
    "MASK_DTYPE",
    "copy_paste",
    "crop_frames",
    "dilate",
    "erode",
    "feather_mask",
    "paste",
    "resize_frames",
    "resize_masks",
    "threshold",
]

MASK_DTYPE = torch.float32

_LOBES = 3.0  # of the Lanczos filter, as in Pillow
_SIGMA = 10.0  # of the feathering Gaussian in pixels, whatever the feather
_CHUNK_BYTES = 256 << 20  # float32 planes worked on at once: keeps what a long clip needs besides its result bounded

_CACHED_WEIGHTS = 16  # matrices of each filter, some megabytes each: a segment needs up to eight

_precision_lock = threading.Lock()


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """Compute matrix products in float32, whatever autocast and TensorFloat-32 say: both cost three decimal digits."""
    with torch.autocast(device.type, enabled=False), _without_tensor_float_32():
        yield


@contextmanager
def _without_tensor_float_32() -> Iterator[None]:
    """Switch TensorFloat-32 off where the caller has it on.

    The setting belongs to the process, hence the lock, under which it is put back; products of other threads run at
    full precision meanwhile.
    """
    matmul: Any = torch.backends.cuda.matmul
    # The older of the two settings refuses to be read once a caller has used the newer one.
    name, exact = ("fp32_precision", "ieee") if hasattr(matmul, "fp32_precision") else ("allow_tf32", False)
    with _precision_lock:
        before = getattr(matmul, name)
        if before not in ("tf32", True):
            yield
            return
        setattr(matmul, name, exact)
        try:
            yield
        finally:
            setattr(matmul, name, before)


def _full(dtype: torch.dtype) -> float:
    """Return the sample that means 1.0."""
    return 1.0 if dtype.is_floating_point else 255.0


def _to_samples(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Turn float32 values in the range of `dtype` into its samples; integers round half up."""
    return values.to(dtype) if dtype.is_floating_point else (values + 0.5).clamp_(0.0, 255.0).to(dtype)


# Crops


@torch.no_grad()
def crop_frames(
    frames: Tensor,
    regions: NDArray[np.int64],
    out: Tensor,
    fill: float | None = None,
    shifts: NDArray[np.float64] | None = None,
) -> None:
    """Copy the regions, moved and turned by their shifts, to `out`; outside lies `fill`, or the nearest pixel."""
    if out.numel() == 0:
        return
    for frame, region, shift, angle in _runs(regions, shifts):
        if angle:
            places = _Places.of_crop(region, shift, angle)
            values = _sampled(frames[frame], places, _lanczos_weights_at, fill)
            out[frame] = _to_samples(values.clamp_(0.0, _full(frames.dtype)), frames.dtype)
        elif shift == _WHOLE:
            _cut(frames[frame], region, out[frame], fill)
        else:
            values = _shifted(frames[frame], region, shift, _lanczos_taps, fill)
            out[frame] = _to_samples(values.clamp_(0.0, _full(frames.dtype)), frames.dtype)


def _cut(frames: Tensor, region: list[int], out: Tensor, fill: float | None) -> None:
    """Copy one region out of all frames."""
    height, width = frames.shape[1:3]
    x1, y1, x2, y2 = region
    if fill is not None:
        full = _full(frames.dtype)
        out.fill_(fill if full == 1.0 else math.floor(fill * full + 0.5))
        if clip := _Clip.of(region, height, width):
            out[:, clip.crop_rows, clip.crop_columns] = frames[:, clip.rows, clip.columns]
    elif min(x1, y1) >= 0 and x2 <= width and y2 <= height:
        out.copy_(frames[:, y1:y2, x1:x2])
    else:
        rows = torch.arange(y1, y2, device=frames.device).clamp_(0, height - 1)
        columns = torch.arange(x1, x2, device=frames.device).clamp_(0, width - 1)
        out.copy_(frames[:, rows[:, None], columns])


def _runs(
    regions: NDArray[np.int64], shifts: NDArray[np.float64] | None
) -> Iterator[tuple[slice, list[int], tuple[float, float], float]]:
    """Yield frames that have the same place, neighbors together, with their region, shift and angle."""
    count = len(regions) if shifts is None else max(len(regions), len(shifts))
    parts = np.zeros((1, 3))
    if shifts is not None:
        parts = np.pad(shifts, [(0, 0), (0, 3 - shifts.shape[1])])
    # As floats, whole coordinates stay exact.
    table = np.concatenate([np.broadcast_to(regions, (count, 4)), np.broadcast_to(parts, (count, 3))], axis=1)
    edges = [0, *(np.flatnonzero((table[1:] != table[:-1]).any(1)) + 1).tolist(), count]
    for start, end in pairwise(edges):
        *region, x, y, angle = table[start].tolist()
        yield slice(None) if count == 1 else slice(start, end), [int(v) for v in region], (x, y), angle


# Places between pixels

_WHOLE = (0.0, 0.0)
_Taps = Callable[[float], "list[float]"]


def _shifted(frames: Tensor, region: list[int], shift: tuple[float, float], taps: _Taps, fill: float | None) -> Tensor:
    """Interpolate one region of all frames, in float32; it lies right of and below its corner by the shift."""
    x1, y1, x2, y2 = region
    across, down = ([1.0] if part == 0.0 else taps(part) for part in shift)
    left, above = (max(0, len(axis) // 2 - 1) for axis in (across, down))
    around = [x1 - left, y1 - above, x2 - left + len(across) - 1, y2 - above + len(down) - 1]
    size = (len(frames), around[3] - around[1], around[2] - around[0], frames.shape[3])
    samples = frames.new_empty(size)
    _cut(frames, around, samples, fill)
    values = samples.to(torch.float32)
    width, height = x2 - x1, y2 - y1
    values = _weighed([values[:, :, tap : tap + width] for tap in range(len(across))], across)
    return _weighed([values[:, tap : tap + height] for tap in range(len(down))], down)


def _weighed(images: list[Tensor], weights: list[float]) -> Tensor:
    if len(images) == 1:
        return images[0]
    total = images[0] * weights[0]
    for image, weight in zip(images[1:], weights[1:], strict=True):
        total.add_(image, alpha=weight)
    return total


def _lanczos_taps(part: float) -> list[float]:
    distance = np.arange(-2, 4) - part
    weights = np.where(np.abs(distance) < _LOBES, np.sinc(distance) * np.sinc(distance / _LOBES), 0.0)
    taps: list[float] = (weights / weights.sum()).tolist()
    return taps


def _linear_taps(part: float) -> list[float]:
    # As float32, in which two such weights sum to 1 exactly.
    return [float(np.float32(1.0 - part)), float(np.float32(part))]


# Turned places


class _Places:
    """Where the pixels of one image lie on those of another: `x` and `y` `(h, w)` in indices of samples."""

    def __init__(self, size: tuple[int, int], to: NDArray[Any], origin: NDArray[Any], angle: float) -> None:
        points = np.stack(np.meshgrid(np.arange(size[1]), np.arange(size[0])), axis=-1) + 0.5
        places = to + turned(points - origin, angle) - 0.5
        self.x, self.y = places[..., 0], places[..., 1]

    @classmethod
    def of_crop(cls, region: list[int], shift: tuple[float, float], angle: float) -> _Places:
        """Return where the pixels of a crop lie in the frame."""
        corners = np.array(region, np.float64).reshape(2, 2)
        width, height = (corners[1] - corners[0]).astype(int).tolist()
        return cls((height, width), corners.mean(0) + shift, np.array([width, height]) / 2, angle)

    @classmethod
    def of_frame(cls, region: list[int], shift: tuple[float, float], angle: float, box: list[int]) -> _Places:
        """Return where the pixels of a part of the frame lie in a crop."""
        corners = np.array(region, np.float64).reshape(2, 2)
        size = (box[3] - box[1], box[2] - box[0])
        return cls(size, (corners[1] - corners[0]) / 2, corners.mean(0) + shift - box[:2], -angle)


def _sampled(images: Tensor, places: _Places, weights_at: _WeightsAt, fill: float | None) -> Tensor:
    """Interpolate images `(n, h, w, C)` at places, in float32; beyond lies `fill`, or their nearest pixel."""
    device, (height, width) = images.device, images.shape[1:3]
    full = _full(images.dtype)
    outside = None if fill is None else fill if full == 1.0 else math.floor(fill * full + 0.5)
    axes = []
    for at, size in ((places.y, height), (places.x, width)):
        starts = np.floor(at)
        weights = weights_at(torch.from_numpy((at - starts).astype(np.float32)).to(device))
        # Far from all pixels lies what lies beside them; the difference would only pass the device's integers.
        first = np.clip(starts, -8, size + 8).astype(np.int64) - (len(weights) // 2 - 1)
        axes.append((torch.from_numpy(first).to(device), weights, size))
    (top, down, _), (left, across, _) = axes
    total = torch.zeros((len(images), *places.x.shape, images.shape[3]), dtype=torch.float32, device=device)
    for row, weight in enumerate(down):
        y = top + row
        line = torch.zeros_like(total)
        for column, share in enumerate(across):
            x = left + column
            values = images[:, y.clamp(0, height - 1), x.clamp(0, width - 1)].to(torch.float32)
            if outside is not None:
                inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
                values = torch.where(inside[..., None], values, outside)
            line.addcmul_(values, share[..., None])
        total.addcmul_(line, weight[..., None])
    return total


def _lanczos_weights_at(parts: Tensor) -> list[Tensor]:
    """Return the weights of the six samples around places that lie such parts of a pixel after the third."""
    distances = [tap - parts for tap in range(-2, 4)]
    weights = [torch.sinc(distance) * torch.sinc(distance / _LOBES) for distance in distances]
    total = torch.stack(weights).sum(0)
    return [weight / total for weight in weights]


def _linear_weights_at(parts: Tensor) -> list[Tensor]:
    return [1.0 - parts, parts]


_WeightsAt = Callable[[Tensor], "list[Tensor]"]


class _Clip:
    """The part of a region inside a frame: where it lies in the frame, and where in the crop."""

    def __init__(self, x: range, y: range, left: int, top: int) -> None:
        self.rows, self.columns = slice(y.start, y.stop), slice(x.start, x.stop)
        self.crop_rows, self.crop_columns = slice(top, top + len(y)), slice(left, left + len(x))

    @classmethod
    def of(cls, region: list[int], height: int, width: int) -> _Clip | None:
        x1, y1, x2, y2 = region
        x, y = range(max(x1, 0), min(x2, width)), range(max(y1, 0), min(y2, height))
        return cls(x, y, x.start - x1, y.start - y1) if x and y else None


# Filters


@torch.no_grad()
def resize_frames(frames: Tensor, out: Tensor) -> None:
    """Lanczos-resize to the size of `out`, clamped to the range of a sample."""
    if out.numel() == 0:
        return
    if frames.shape == out.shape:
        out.copy_(frames)
        return
    height, width, channels = frames.shape[1:]
    new_height, new_width = out.shape[1:3]
    rows = _lanczos_weights(height, new_height, frames.device)
    columns = _lanczos_weights(width, new_width, frames.device)
    is_float = frames.dtype.is_floating_point
    plane = max(height, new_height) * max(width, new_width) * channels * 4
    count = max(1, _CHUNK_BYTES // plane)
    with _full_precision(frames.device):
        for start in range(0, len(frames), count):
            planes = frames[start : start + count].permute(0, 3, 1, 2).to(torch.float32)
            values = _filtered(planes, rows, columns) if is_float else _filtered_bytes(planes, rows, columns)
            samples = _to_samples(values.clamp_(0.0, _full(frames.dtype)), frames.dtype)
            out[start : start + count] = samples.permute(0, 2, 3, 1)


def _filtered(planes: Tensor, rows: Tensor | None, columns: Tensor | None) -> Tensor:
    """Filter planes `(..., h, w)` along both axes; None leaves an axis as it is."""
    if columns is not None:
        planes = planes @ columns.T
    return planes if rows is None else rows @ planes


def _filtered_bytes(planes: Tensor, rows: Tensor | None, columns: Tensor | None) -> Tensor:
    """Filter planes with the range of bytes as Pillow 13 does: in its order, and clipped between the passes."""
    height, width = planes.shape[-2:]
    lost_rows = 0 if rows is None else height - rows.shape[0]
    lost_columns = 0 if columns is None else width - columns.shape[0]
    if lost_rows > 0 and (lost_rows > 2 * lost_columns or height > 100 * width):
        return _filtered(_filtered(planes, rows, None).clamp_(0.0, 255.0), None, columns)
    return _filtered(_filtered(planes, None, columns).clamp_(0.0, 255.0), rows, None)


@lru_cache(maxsize=_CACHED_WEIGHTS)
def _lanczos_weights(size: int, new_size: int, device: torch.device) -> Tensor | None:
    """Make the matrix `(new_size, size)` of Pillow's Lanczos weights; None where nothing changes."""
    if size == new_size:
        return None
    scale = size / new_size
    stretch = max(scale, 1.0)
    support = _LOBES * stretch
    center = (np.arange(new_size) + 0.5) * scale
    # int() as Pillow: truncation, after half a pixel was added.
    first = np.maximum((center - support + 0.5).astype(np.int64), 0)[:, None]
    last = np.minimum((center + support + 0.5).astype(np.int64), size)[:, None]
    index = np.arange(size)
    distance = (index - center[:, None] + 0.5) / stretch
    inside = (index >= first) & (index < last) & (distance >= -_LOBES) & (distance < _LOBES)
    weights = np.where(inside, np.sinc(distance) * np.sinc(distance / _LOBES), 0.0)
    weights /= weights.sum(1, keepdims=True)
    return torch.from_numpy(weights.astype(np.float32)).to(device)


@torch.no_grad()
def resize_masks(masks: Tensor, out: Tensor) -> None:
    """Resize bilinearly to the size of `out`, with half-pixel centers."""
    if out.numel() == 0:
        return
    size = [*out.shape[1:]]
    with torch.autocast(masks.device.type, enabled=False):
        out.copy_(functional.interpolate(masks[:, None], size=size, mode="bilinear", align_corners=False)[:, 0])


@torch.no_grad()
def feather_mask(masks: Tensor, feather: int, out: Tensor) -> None:
    """Blur by a Gaussian with `2 * feather + 1` taps, fewer where the masks are small, and reflected borders."""
    if out.numel() == 0:
        return
    height, width = masks.shape[1:]
    radius = _radius(feather, min(height, width))
    rows = _gaussian_weights(height, radius, masks.device)
    columns = _gaussian_weights(width, radius, masks.device)
    with _full_precision(masks.device):
        out.copy_(_filtered(masks, rows, columns))


def _radius(feather: int, shorter_side: int) -> int:
    """Return the taps on each side of the center: a kernel as long as the shorter side becomes half of it, made odd."""
    return feather if 2 * feather + 1 < shorter_side else shorter_side // 2 // 2


@lru_cache(maxsize=_CACHED_WEIGHTS)
def _gaussian_weights(size: int, radius: int, device: torch.device) -> Tensor | None:
    """Make the matrix `(size, size)` of the Gaussian, taps outside folded back in; None where nothing changes."""
    if radius == 0:
        return None
    offsets = np.arange(-radius, radius + 1)
    taps = np.exp(-0.5 * (offsets / _SIGMA) ** 2)
    taps /= taps.sum()
    index = np.abs(np.arange(size)[:, None] + offsets)
    index = np.where(index < size, index, 2 * (size - 1) - index)
    weights = np.zeros((size, size))
    np.add.at(weights, (np.arange(size)[:, None], index), np.broadcast_to(taps, index.shape))
    return torch.from_numpy(weights.astype(np.float32)).to(device)


# Blending


def copy_paste(
    frames: Tensor,
    crops: Tensor,
    masks: Tensor,
    regions: NDArray[np.int64],
    alpha: float,
    out: Tensor,
    shifts: NDArray[np.float64] | None = None,
) -> None:
    """Copy `frames` to `out` and blend the crops in there."""
    out.copy_(frames)
    paste(out, crops, masks, regions, alpha, shifts)


@torch.no_grad()
def paste(
    frames: Tensor,
    crops: Tensor,
    masks: Tensor,
    regions: NDArray[np.int64],
    alpha: float,
    shifts: NDArray[np.float64] | None = None,
) -> None:
    """Blend the crops into `frames` in place."""
    if frames.numel() == 0:
        return
    for frame, region, shift, angle in _runs(regions, shifts):
        crop = crops[frame if len(crops) > 1 else slice(None)]
        mask = masks[frame if len(masks) > 1 else slice(None), ..., None]
        if angle and crop.numel() > 0:
            crop, mask, region = _unturned(crop, mask, region, shift, angle, frames.shape)
        elif shift != _WHOLE and crop.numel() > 0:
            crop, mask, region = _on_pixels(crop, mask, region, shift)
        if clip := _Clip.of(region, frames.shape[1], frames.shape[2]):
            target = frames[frame, clip.rows, clip.columns]
            inside = (slice(None), clip.crop_rows, clip.crop_columns)
            _blend(target, crop[inside], _unit(mask[inside]) * alpha)


def _on_pixels(
    crops: Tensor, masks: Tensor, region: list[int], shift: tuple[float, float]
) -> tuple[Tensor, Tensor, list[int]]:
    """Undo a shift: return crops, masks and the region that they then cover."""
    back_x, back_y = (int(part > 0.0) for part in shift)
    x1, y1, x2, y2 = region
    around = [-back_x, -back_y, x2 - x1, y2 - y1]
    rest = (back_x - shift[0], back_y - shift[1])
    values = _shifted(crops, around, rest, _lanczos_taps, None).clamp_(0.0, _full(crops.dtype))
    weights = _shifted(_unit(masks), around, rest, _linear_taps, 0.0)
    return _to_samples(values, crops.dtype), weights, [x1, y1, x2 + back_x, y2 + back_y]


def _unturned(
    crops: Tensor, masks: Tensor, region: list[int], shift: tuple[float, float], angle: float, frames: torch.Size
) -> tuple[Tensor, Tensor, list[int]]:
    """Undo a turn: return crops, masks and the region of the frame that they then cover."""
    corners = np.array(region, np.float64).reshape(2, 2)
    halves = turned_halves((corners[1] - corners[0]) / 2 + 1, angle)
    middle = corners.mean(0) + shift
    size = (frames[2], frames[1])
    low = np.clip(np.floor(middle - halves), 0, size).astype(int)
    high = np.clip(np.ceil(middle + halves), low, size).astype(int)
    box = [*low.tolist(), *high.tolist()]
    places = _Places.of_frame(region, shift, angle, box)
    values = _sampled(crops, places, _lanczos_weights_at, None).clamp_(0.0, _full(crops.dtype))
    weights = _sampled(_unit(masks), places, _linear_weights_at, 0.0)
    return _to_samples(values, crops.dtype), weights, box


def _unit(values: Tensor) -> Tensor:
    """Clamp to [0, 1]; NaN counts as 0."""
    return values.nan_to_num(0.0, posinf=1.0, neginf=0.0).clamp_(0.0, 1.0)


def _blend(target: Tensor, crop: Tensor, weight: Tensor) -> None:
    if crop.shape[-1] == 4:
        weight = weight * _unit(crop[..., 3:].to(torch.float32) / _full(crop.dtype))
        crop = crop[..., :3]
        if target.shape[-1] == 4:
            _over(target, crop, weight)
            return
    target = target[..., : crop.shape[-1]]
    values = (1.0 - weight) * target.to(torch.float32) + weight * crop.to(torch.float32)
    target.copy_(_kept(target, crop, weight, _to_samples(values, target.dtype)))


def _over(target: Tensor, crop: Tensor, weight: Tensor) -> None:
    """Lay the crop by Porter and Duff's `over`, for colors that are not premultiplied."""
    full = _full(target.dtype)
    color, alpha = target[..., :3], target[..., 3:]
    under = _unit(alpha.to(torch.float32) / full) * (1.0 - weight)
    total = weight + under
    # Where nothing is pasted the frame is kept, whatever a division by 0 says.
    values = (crop.to(torch.float32) * weight + color.to(torch.float32) * under) / total
    color.copy_(_kept(color, crop, weight, _to_samples(values, target.dtype)))
    alpha.copy_(torch.where(weight == 0.0, alpha, _to_samples(total * full, target.dtype)))


def _kept(target: Tensor, crop: Tensor, weight: Tensor, blended: Tensor) -> Tensor:
    """Keep the frame's bits where the weight is 0 and the crop's where it is 1, whatever the other one holds there."""
    return torch.where(weight == 0.0, target, torch.where(weight == 1.0, crop, blended))


# Morphology


@torch.no_grad()
def threshold(masks: Tensor, level: float, out: Tensor) -> None:
    """Write 1 where a mask is above `level`, else 0."""
    # As float32, which the masks are: torch would compare with the Python number as it is.
    out.copy_(masks > torch.tensor(level, dtype=masks.dtype, device=masks.device))


@torch.no_grad()
def dilate(masks: Tensor, size: int, out: Tensor) -> None:
    """Write the largest value in the window."""
    out.copy_(_largest(masks, size))


@torch.no_grad()
def erode(masks: Tensor, size: int, out: Tensor) -> None:
    """Write the smallest value in the window."""
    out.copy_(-_largest(-masks, size))


def _largest(masks: Tensor, size: int) -> Tensor:
    """Return the largest value in the window that starts `size // 2` to the left and above."""
    if size <= 1 or masks.numel() == 0:
        return masks
    for across in (True, False):
        side = masks.shape[2 if across else 1]
        # A window reaches no further than the mask on either side.
        before, after = min(size // 2, side), min(size - 1 - size // 2, side)
        window = before + 1 + after
        pad = (before, after, 0, 0) if across else (0, 0, before, after)
        padded = functional.pad(masks[:, None], pad, value=-math.inf)
        masks = functional.max_pool2d(padded, (1, window) if across else (window, 1), stride=1)[:, 0]
    return masks
