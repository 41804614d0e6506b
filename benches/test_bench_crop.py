"""`crop_frames`: one region gathered from every frame."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

import oracles
import peers
from contest import OURS, Contest, Way, Work, compare
from segs_detailer.ops import crop_frames
from workloads import Region, centered_region

AREA = "Crops"
SIDE = 384
LANCZOS_4 = "A filter of eight taps along each axis; ours has six."
LOWER_QUALITY = "A shorter filter: softer results."


@pytest.fixture(scope="module")
def region(long_clip: torch.Tensor) -> Region:
    return centered_region((long_clip.shape[1], long_clip.shape[2]), (SIDE, SIDE))


def cut(frames: torch.Tensor, region: Region) -> torch.Tensor:
    x1, y1, x2, y2 = region
    return frames[:, y1:y2, x1:x2]


@compare(
    Way(OURS, lambda frames, region, out: crop_frames(frames, region, out=out)),
    Way("torch slice, contiguous (fresh)", lambda frames, region, out: peers.crop_contiguous(frames, region), goal=3),
    Way("torch copy_ of the slice", peers.crop_into),
    Way("numpy.copyto of the slice", peers.crop_numpy_into, threaded=False),
)
def test_crop_into_memory_in_use(contest: Contest, way: Way, threads: str, long_clip: torch.Tensor, region: Region):
    out = torch.zeros((len(long_clip), SIDE, SIDE, 3))
    work = Work(AREA, f"`crop_frames` {len(long_clip)} x {SIDE} x {SIDE}, `out=` in use", 2 * out.nbytes)
    result = contest(work, way, threads, lambda: way.run(long_clip, region, out))
    assert torch.equal(result, cut(long_clip, region))


@compare(
    Way(OURS, crop_frames),
    Way("torch slice, contiguous", peers.crop_contiguous, goal=1),
    Way("slice and concat, frame by frame", peers.crop_and_concat),
)
def test_crop_to_fresh_memory(contest: Contest, way: Way, threads: str, long_clip: torch.Tensor, region: Region):
    expected = cut(long_clip, region)
    work = Work(AREA, f"`crop_frames` {len(long_clip)} x {SIDE} x {SIDE}, new output", 8 * expected.numel())
    result = contest(work, way, threads, lambda: way.run(long_clip, region))
    assert torch.equal(result, expected)


@compare(Way(OURS, crop_frames), Way("torch stack of slices", peers.crop_moving))
def test_crop_moving_region(contest: Contest, way: Way, threads: str, long_clip: torch.Tensor, region: Region):
    x1, y1, x2, y2 = region
    regions = [(x1 + 3 * i, y1 - i, x2 + 3 * i, y2 - i) for i in range(len(long_clip))]
    expected = torch.stack([cut(long_clip[i : i + 1], regions[i])[0] for i in range(len(long_clip))])
    work = Work(AREA, f"`crop_frames` {len(long_clip)} x {SIDE} x {SIDE}, a region per frame", 2 * expected.nbytes)
    result = contest(work, way, threads, lambda: way.run(long_clip, regions))
    assert torch.equal(result, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8], ids=["float32", "uint8"])
@compare(
    Way(OURS, lambda frames, regions, out: crop_frames(frames, regions, out=out)),
    Way("OpenCV warpAffine, Lanczos-4", peers.crop_between_pixels_opencv(cv2.INTER_LANCZOS4), goal=3, note=LANCZOS_4),
    Way("OpenCV warpAffine, cubic", peers.crop_between_pixels_opencv(cv2.INTER_CUBIC), goal=1, note=LOWER_QUALITY),
    Way("OpenCV warpAffine, linear", peers.crop_between_pixels_opencv(cv2.INTER_LINEAR), note=LOWER_QUALITY),
)
def test_crop_between_pixels(contest: Contest, way: Way, threads: str, dtype, long_clip: torch.Tensor, region: Region):
    clip = long_clip[:16]
    frames = (clip * 255).round().to(torch.uint8) if dtype == torch.uint8 else clip
    # Whole 32nds of a pixel, as OpenCV's tables have them.
    moves = np.arange(len(frames))[:, None] * (43 / 32, -13 / 32, 43 / 32, -13 / 32)
    regions = np.array(region) + 9 / 32 + moves
    out = torch.zeros((len(frames), SIDE, SIDE, 3), dtype=dtype)
    name = str(dtype).removeprefix("torch.")
    work = Work(
        AREA, f"`crop_frames` {len(frames)} x {SIDE} x {SIDE} {name}, between pixels, `out=` in use", 2 * out.nbytes
    )
    result = contest(work, way, threads, lambda: way.run(frames, regions, out))
    full = 255 if dtype == torch.uint8 else 1
    expected = oracles.cropped(frames[:2].numpy() / full, regions[:2]) * full
    # Other filters of neighboring taps are close on soft pictures; ours is the definition.
    tolerance = 0.1 if way.label != OURS else 1e-5 if full == 1 else 0.501 / 255
    np.testing.assert_allclose(result[:2].numpy(), expected, atol=tolerance * full)


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8], ids=["float32", "uint8"])
@compare(
    Way(OURS, lambda frames, places, out: crop_frames(frames, places, out=out)),
    Way("OpenCV warpAffine, Lanczos-4", peers.crop_turned_opencv(cv2.INTER_LANCZOS4), goal=1, note=LANCZOS_4),
    Way("OpenCV warpAffine, cubic", peers.crop_turned_opencv(cv2.INTER_CUBIC), note=LOWER_QUALITY),
    Way("OpenCV warpAffine, linear", peers.crop_turned_opencv(cv2.INTER_LINEAR), note=LOWER_QUALITY),
)
def test_crop_turned(contest: Contest, way: Way, threads: str, dtype, long_clip: torch.Tensor, region: Region):
    clip = long_clip[:16]
    frames = (clip * 255).round().to(torch.uint8) if dtype == torch.uint8 else clip
    x1, y1, x2, y2 = np.add(region, (0.3, 0.6, 0.3, 0.6))
    places = np.array([[x1, y1, x2, y2, 7 + 23 * index] for index in range(len(frames))])
    out = torch.zeros((len(frames), SIDE, SIDE, 3), dtype=dtype)
    name = str(dtype).removeprefix("torch.")
    work = Work(AREA, f"`crop_frames` {len(frames)} x {SIDE} x {SIDE} {name}, turned, `out=` in use", 2 * out.nbytes)
    result = contest(work, way, threads, lambda: way.run(frames, places, out))
    full = 255 if dtype == torch.uint8 else 1
    onto = peers.turned_onto(places[1])
    y, x = np.mgrid[:SIDE, :SIDE]
    x, y = np.einsum("ij,jyx->iyx", onto, np.stack([x, y, np.ones_like(x)]))
    expected = oracles.turned(frames[1].numpy() / full, x, y) * full
    # Other filters, at places rounded to 32nds of a pixel, are close on soft pictures; ours is the definition.
    tolerance = 0.1 if way.label != OURS else 1e-5 if full == 1 else 0.503 / 255
    np.testing.assert_allclose(result[1].numpy(), expected, atol=tolerance * full)


@pytest.mark.parametrize("dtype", [torch.float16, torch.uint8], ids=["float16", "uint8"])
@compare(
    Way(OURS, lambda frames, region, out: crop_frames(frames, region, out=out)),
    Way("torch slice, contiguous (fresh)", lambda frames, region, out: peers.crop_contiguous(frames, region), goal=1),
    Way("torch copy_ of the slice", peers.crop_into),
)
def test_crop_small_pixels(contest: Contest, way: Way, threads: str, dtype, long_clip: torch.Tensor, region: Region):
    frames = torch.cat([(part * 255).to(dtype) for part in long_clip.split(8)])
    out = torch.zeros((len(frames), SIDE, SIDE, 3), dtype=dtype)
    name = str(dtype).removeprefix("torch.")
    work = Work(AREA, f"`crop_frames` {len(frames)} x {SIDE} x {SIDE} {name}, `out=` in use", 2 * out.nbytes)
    result = contest(work, way, threads, lambda: way.run(frames, region, out))
    assert torch.equal(result, cut(frames, region))
