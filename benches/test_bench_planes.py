"""Planes of decoded frames: a region to RGB, and an overlay blended in."""

from __future__ import annotations

from typing import TypeAlias

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from contest import OURS, Contest, Way, Work, compare
from segs_detailer.ops import PlaneFormat, blend_planes, planes_to_rgb

AREA = "Planes"
SIDE = 384
CORNER = (768, 348)
WINDOW = (*CORNER, CORNER[0] + SIDE, CORNER[1] + SIDE)
VIDEO = PlaneFormat(8, False, (0.299, 0.114), 2, 2, chroma_x=0.5)
BYTES = "In fixed point to bytes, of which floats are made, and chroma is not interpolated: a rougher result."

Planes: TypeAlias = list[NDArray[np.uint8]]


def soft(height: int, width: int, seed: int, low: int, high: int) -> NDArray[np.uint8]:
    """A plane of soft content, as films have it."""
    noise = np.random.default_rng(seed).random((height, width), np.float32)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, low, high, cv2.NORM_MINMAX).astype(np.uint8)


@pytest.fixture(scope="module")
def planes() -> Planes:
    return [soft(1080, 1920, 0, 16, 235), soft(540, 960, 1, 60, 200), soft(540, 960, 2, 60, 200)]


def cut(planes: Planes) -> Planes:
    """Whole samples of chroma under the window."""
    x1, y1, x2, y2 = WINDOW
    return [planes[0][y1:y2, x1:x2], *(plane[y1 // 2 : y2 // 2, x1 // 2 : x2 // 2] for plane in planes[1:])]


def to_rgb(planes: Planes) -> NDArray[np.float32]:
    return planes_to_rgb(planes, VIDEO, WINDOW)


def to_rgb_swscale(planes: Planes) -> NDArray[np.float32]:
    """swscale by PyAV, of the region alone."""
    packed = np.concatenate([np.ascontiguousarray(plane).reshape(-1) for plane in cut(planes)])
    frame = av.VideoFrame.from_ndarray(packed.reshape(SIDE * 3 // 2, SIDE), format="yuv420p")
    return np.divide(frame.to_ndarray(format="rgb24"), 255, dtype=np.float32)


def to_rgb_opencv(planes: Planes) -> NDArray[np.float32]:
    packed = np.concatenate([np.ascontiguousarray(plane).reshape(-1) for plane in cut(planes)])
    rgb = cv2.cvtColor(packed.reshape(SIDE * 3 // 2, SIDE), cv2.COLOR_YUV2RGB_I420)
    return np.divide(rgb, 255, dtype=np.float32)


def to_rgb_numpy(planes: Planes) -> NDArray[np.float32]:
    """Chroma enlarged by OpenCV, then the matrix, in float32."""
    luma, *chroma = (plane.astype(np.float32) for plane in cut(planes))
    cb, cr = (cv2.resize(plane, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR) - 128 for plane in chroma)
    kr, kb = 0.299, 0.114
    luma = (luma - 16) / 219
    red, blue = luma + 2 * (1 - kr) / 224 * cr, luma + 2 * (1 - kb) / 224 * cb
    return np.clip(np.stack([red, (luma - kr * red - kb * blue) / (1 - kr - kb), blue], axis=-1), 0, 1)


@compare(
    Way(OURS, to_rgb),
    Way("swscale by PyAV, to bytes, then float", to_rgb_swscale, goal=1, threaded=False, note=BYTES),
    Way("OpenCV cvtColor, to bytes, then float", to_rgb_opencv, note=BYTES),
    Way("OpenCV resize of chroma, NumPy", to_rgb_numpy, goal=3),
)
def test_planes_to_rgb(contest: Contest, way: Way, threads: str, planes: Planes):
    moved = SIDE * SIDE * 3 // 2 + 12 * SIDE * SIDE
    work = Work(AREA, f"`planes_to_rgb` {SIDE} x {SIDE} of 1080p 4:2:0", moved)
    result = contest(work, way, threads, lambda: way.run(planes))
    # Chroma at the edge of the region, which only ours sees the other side of, is left out.
    assert np.abs(result - to_rgb_numpy(planes))[2:-2, 2:-2].max() <= (1e-5 if way.label == OURS else 0.1)


def blend(planes: Planes, overlay: NDArray[np.float32]) -> None:
    blend_planes(planes, VIDEO, overlay, WINDOW)


def blend_numpy(planes: Planes, overlay: NDArray[np.float32]) -> None:
    """Chroma and its alpha reduced by OpenCV, then lerps in NumPy, in float32."""
    kr, kb = 0.299, 0.114
    red, green, blue, alpha = cv2.split(overlay)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    cb, cr = (blue - luma) * (112 / (1 - kb)) + 128 * alpha, (red - luma) * (112 / (1 - kr)) + 128 * alpha
    small = [cv2.resize(part, (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA) for part in (alpha, cb, cr)]
    layers = [(alpha, luma * 219 + 16 * alpha), (small[0], small[1]), (small[0], small[2])]
    for plane, (weight, value) in zip(cut(planes), layers, strict=True):
        np.copyto(plane, np.rint((1 - weight) * plane + value), casting="unsafe", where=weight > 0)


def blend_by_rgb(planes: Planes, overlay: NDArray[np.float32]) -> None:
    """The whole frame to RGB by swscale, the region blended there, and all back: what programs without planes do."""
    x1, y1, x2, y2 = WINDOW
    packed = np.concatenate([plane.reshape(-1) for plane in planes]).reshape(1080 * 3 // 2, 1920)
    rgb = av.VideoFrame.from_ndarray(packed, format="yuv420p").to_ndarray(format="rgb24")
    region = rgb[y1:y2, x1:x2]
    region[...] = np.rint((1 - overlay[..., 3:]) * region + 255 * overlay[..., :3])
    back = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p").to_ndarray()
    packed = back.reshape(-1)
    for plane, start in zip(planes, (0, 1080 * 1920, 1080 * 1920 * 5 // 4), strict=True):
        plane[...] = packed[start : start + plane.size].reshape(plane.shape)


@compare(
    Way(OURS, blend),
    Way("OpenCV resize of chroma and alpha, NumPy", blend_numpy, goal=3),
    Way("swscale by PyAV: whole frame to RGB and back", blend_by_rgb, goal=5, threaded=False),
)
def test_blend_planes(contest: Contest, way: Way, threads: str, planes: Planes):
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32) - SIDE / 2
    alpha = np.clip((SIDE / 2 - np.hypot(x, y)) / 20, 0, 1)
    overlay = np.dstack([alpha * 0.8, alpha * 0.5, alpha * 0.3, alpha]).astype(np.float32)
    copies, expected = ([plane.copy() for plane in planes] for _ in range(2))
    blend_numpy(expected, overlay)
    way.run(copies, overlay)
    # Through RGB of bytes a code of chroma may change by more than one.
    limit = 1 if way.label != "swscale by PyAV: whole frame to RGB and back" else 8
    for plane, other in zip(cut(copies), cut(expected), strict=True):
        assert np.abs(plane.astype(int) - other).max() <= limit
    work = Work(AREA, f"`blend_planes` {SIDE} x {SIDE} into 1080p 4:2:0", SIDE * SIDE * 3 + 16 * SIDE * SIDE)
    contest(work, way, threads, lambda: way.run(copies, overlay))
