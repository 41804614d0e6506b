"""What the right result is: slow float64 NumPy from the definitions, sharing nothing with the ways measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["bilinear", "blend", "cropped", "feathered", "lanczos", "on_pixels", "turned"]

Array = NDArray[np.float64]

# Pixels, of the Gaussian that feathers a mask.
SIGMA = 10.0
LANCZOS_SUPPORT = 3.0


def blend(frames: NDArray[np.float32], crops: NDArray[np.float32], mask: NDArray[np.float32]) -> Array:
    """`(1 - m) * frame + m * crop` of regions (B, h, w, C) with a mask (h, w) or (B, h, w)."""
    weight = mask.astype(np.float64)[..., None]
    return (1 - weight) * frames.astype(np.float64) + weight * crops.astype(np.float64)


def cropped(frames: NDArray[np.float32], regions: NDArray[np.float64]) -> Array:
    """A region of each frame, well inside it and at a place between pixels, by Lanczos-3 along each axis."""
    crops = frames.astype(np.float64)
    height, width = (regions[0, 2:] - regions[0, :2]).round().astype(int)[::-1]
    for axis, size in ((1, height), (2, width)):
        places = regions[:, 0 if axis == 2 else 1]
        crops = np.concatenate([_cut(crops[i : i + 1], axis, size, float(place)) for i, place in enumerate(places)])
    return np.clip(crops, 0, 1)


def on_pixels(crop: NDArray[np.float32], mask: NDArray[np.float32], part: Array) -> tuple[Array, Array]:
    """A crop (h, w, C) and its mask that lie by `part` of a pixel (x, y) right of and below pixels, on these."""
    height, width = mask.shape
    place = 4 - part
    padded = np.pad(crop, ((4, 4), (4, 4), (0, 0)), mode="edge")[None]
    crops = cropped(padded, np.array([[*place, place[0] + width + 1, place[1] + height + 1]]))
    weight = np.pad(mask.astype(np.float64), 1)
    for axis, share in ((0, part[1]), (1, part[0])):
        before = np.take(weight, np.arange(weight.shape[axis] - 1), axis)
        weight = share * before + (1 - share) * np.take(weight, np.arange(1, weight.shape[axis]), axis)
    return crops[0], weight


def turned(image: NDArray[np.float32], x: Array, y: Array, *, linear: bool = False) -> Array:
    """An image (h, w, C) at places (n, m): by Lanczos-3, its edge repeated; or linearly, with 0 around it."""
    reach = 1 if linear else 3
    padded = np.pad(image.astype(np.float64), ((8, 8), (8, 8), (0, 0)), mode="constant" if linear else "edge")
    x, y = (np.clip(places, -5, length + 4) + 8 for places, length in ((x, image.shape[1]), (y, image.shape[0])))
    columns, across = _taps(x, reach)
    rows, down = _taps(y, reach)
    total = np.zeros((*x.shape, image.shape[2]))
    for row, weight in zip(rows, down, strict=True):
        for column, share in zip(columns, across, strict=True):
            total += (weight * share)[..., None] * padded[row, column]
    return total if linear else np.clip(total, 0, 1)


def _taps(places: Array, reach: int) -> tuple[list[NDArray[np.int64]], list[Array]]:
    start = np.floor(places).astype(np.int64)
    offsets = range(1 - reach, reach + 1)
    distances = [offset - (places - start) for offset in offsets]
    weights = [1 - np.abs(x) if reach == 1 else np.sinc(x) * np.sinc(x / LANCZOS_SUPPORT) for x in distances]
    total = sum(weights)
    return [start + offset for offset in offsets], [weight / total for weight in weights]


def _cut(frames: Array, axis: int, size: int, place: float) -> Array:
    start = int(np.floor(place))
    distance = np.arange(-2, 4) - (place - start)
    taps = np.sinc(distance) * np.sinc(distance / LANCZOS_SUPPORT)
    taps /= taps.sum()
    windows = (np.take(frames, np.arange(start + shift, start + shift + size), axis) for shift in range(-2, 4))
    total: Array = sum(tap * window for tap, window in zip(taps, windows, strict=True))
    return total


def feathered(mask: NDArray[np.float32], feather: int) -> Array:
    """A mask (h, w), larger than the kernel, blurred by a Gaussian of `2 * feather + 1` taps, borders reflected."""
    taps = np.exp(-0.5 * (np.arange(-feather, feather + 1) / SIGMA) ** 2)
    taps /= taps.sum()
    result = mask.astype(np.float64)
    for axis in (0, 1):
        padding = [(feather, feather) if a == axis else (0, 0) for a in (0, 1)]
        padded = np.pad(result, padding, mode="reflect")
        result = sum(
            tap * np.take(padded, np.arange(mask.shape[axis]) + shift, axis=axis) for shift, tap in enumerate(taps)
        )
    return result


def lanczos(frames: NDArray[np.float32], size: tuple[int, int]) -> Array:
    """Frames (B, H, W, C) resized to `size` (height, width) by Pillow's definition of Lanczos-3, clamped to [0, 1]."""
    rows = _weights(frames.shape[1], size[0])
    columns = _weights(frames.shape[2], size[1])
    resized = np.einsum("yh,bhwc->bywc", rows, frames.astype(np.float64), optimize=True)
    return np.clip(np.einsum("xw,bywc->byxc", columns, resized, optimize=True), 0, 1)


def bilinear(masks: NDArray[np.float32], size: tuple[int, int]) -> Array:
    """Masks (N, h, w) resized to `size` (height, width) by two taps per axis, half-pixel centers."""
    result = masks.astype(np.float64)
    for axis, length in ((1, size[0]), (2, size[1])):
        source = result.shape[axis]
        position = np.maximum((np.arange(length) + 0.5) * source / length - 0.5, 0)
        low = np.minimum(position.astype(int), source - 1)
        high = np.minimum(low + 1, source - 1)
        weight = (position - low).reshape([-1 if a == axis else 1 for a in range(3)])
        result = (1 - weight) * np.take(result, low, axis) + weight * np.take(result, high, axis)
    return result


def _weights(source: int, target: int) -> Array:
    """Matrix (target, source) of Lanczos-3 weights; the support grows with the scale when shrinking."""
    scale = source / target
    stretch = max(scale, 1.0)
    support = LANCZOS_SUPPORT * stretch
    weights = np.zeros((target, source))
    for row in range(target):
        center = (row + 0.5) * scale
        first = max(int(center - support + 0.5), 0)
        last = min(int(center + support + 0.5), source)
        x = (np.arange(first, last) - center + 0.5) / stretch
        taps = np.where(np.abs(x) < LANCZOS_SUPPORT, np.sinc(x) * np.sinc(x / LANCZOS_SUPPORT), 0)
        weights[row, first:last] = taps / taps.sum()
    return weights
