"""`paste_`: crops blended into frames in place."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

import oracles
import peers
from contest import OURS, Contest, Way, Work, compare
from segs_detailer.ops import feather_mask, paste_
from workloads import Region, centered_region, ellipse_mask, noise_mask, random_frames

AREA = "Pasting"
SIDE = 384
FLOAT_TOLERANCE = 1e-6

WAYS = (
    Way(OURS, paste_),
    Way("torch lerp_ of the region", peers.paste_lerp_, goal=1.5),
    Way("torch, the formula on the region", peers.paste_blend_),
    Way("torch, the formula frame by frame", peers.paste_each_frame_),
)


@pytest.fixture(scope="module")
def region(long_clip: torch.Tensor) -> Region:
    return centered_region((long_clip.shape[1], long_clip.shape[2]), (SIDE, SIDE))


@pytest.fixture(scope="module")
def crops(long_clip: torch.Tensor) -> torch.Tensor:
    return random_frames(len(long_clip), SIDE, SIDE, seed=5)


def measure(
    contest: Contest,
    title: str,
    way: Way,
    threads: str,
    frames: torch.Tensor,
    crops: torch.Tensor,
    mask: torch.Tensor,
    region: Region,
    tolerance: float,
) -> None:
    """Time pastes into the same frames again and again, then check one into the original pixels, and put those back."""
    x1, y1, x2, y2 = region
    place = frames[:, y1:y2, x1:x2]
    original = place.clone()
    around = [frames[index, y1 - 1 : y2 + 1, x1 - 1 : x2 + 1].clone() for index in (0, -1)]
    # The region is read and written, the crops and the mask are read.
    mask_reads = mask.nbytes if mask.ndim == 3 else len(frames) * mask.nbytes
    work = Work(AREA, title, 3 * crops.nbytes + mask_reads)
    try:
        contest(work, way, threads, lambda: way.run(frames, crops, mask, region))
        place.copy_(original)
        way.run(frames, crops, mask, region)
        expected = oracles.blend(
            original[-2:].numpy(), crops[-2:].numpy(), (mask[-2:] if mask.ndim == 3 else mask).numpy()
        )
        assert np.abs(place[-2:].double().numpy() - expected).max() <= tolerance
        for index, pixels in zip((0, -1), around, strict=True):
            rim = frames[index, y1 - 1 : y2 + 1, x1 - 1 : x2 + 1].clone()
            rim[1:-1, 1:-1] = pixels[1:-1, 1:-1]
            assert torch.equal(rim, pixels)
    finally:
        place.copy_(original)


@pytest.mark.parametrize("kind", ["feathered ellipse", "noise"])
@compare(*WAYS)
def test_paste_in_place(contest: Contest, way: Way, threads: str, kind: str, long_clip, crops, region):
    mask = feather_mask(ellipse_mask(SIDE, SIDE), 5) if kind != "noise" else noise_mask(SIDE, SIDE)
    title = f"`paste_` {len(long_clip)} x {SIDE} x {SIDE}, one mask ({kind})"
    measure(contest, title, way, threads, long_clip, crops, torch.from_numpy(mask), region, FLOAT_TOLERANCE)


@compare(*WAYS)
def test_paste_with_a_mask_per_frame(contest: Contest, way: Way, threads: str, long_clip, crops, region):
    masks = torch.from_numpy(np.stack([noise_mask(SIDE, SIDE, seed=i) for i in range(len(long_clip))]))
    title = f"`paste_` {len(long_clip)} x {SIDE} x {SIDE}, a mask per frame (noise)"
    measure(contest, title, way, threads, long_clip, crops, masks, region, FLOAT_TOLERANCE)


@compare(
    Way(OURS, paste_),
    Way("torch lerp_ of the region", lambda f, c, m, r: peers.paste_lerp_(f, c, m.half(), r), goal=1),
)
def test_paste_float16(contest: Contest, way: Way, threads: str, long_clip, crops, region):
    frames, small = long_clip[:16].half(), crops[:16].half()
    mask = torch.from_numpy(noise_mask(SIDE, SIDE))
    title = f"`paste_` {len(frames)} x {SIDE} x {SIDE} float16, one mask (noise)"
    # Two units in the last place of float16 below 1: the mask and the result are rounded.
    measure(contest, title, way, threads, frames, small, mask, region, 2**-10)


@compare(
    Way(OURS, paste_),
    Way("OpenCV warpAffine (Lanczos-4), lerp_", peers.paste_between_pixels_opencv_(cv2.INTER_LANCZOS4), goal=3),
    Way("OpenCV warpAffine (cubic), lerp_", peers.paste_between_pixels_opencv_(cv2.INTER_CUBIC), goal=1),
)
def test_paste_between_pixels(contest: Contest, way: Way, threads: str, long_clip, crops, region):
    frames, small = long_clip[:16], crops[:16]
    mask = torch.from_numpy(feather_mask(ellipse_mask(SIDE, SIDE), 5))
    # Whole 32nds of a pixel, as OpenCV's tables have them.
    moves = np.arange(len(frames))[:, None] * (43 / 32, -13 / 32, 43 / 32, -13 / 32)
    regions = np.array(region) + 9 / 32 + moves
    original = frames.clone()
    title = f"`paste_` {len(frames)} x {SIDE} x {SIDE}, between pixels, one mask (feathered ellipse)"
    work = Work(AREA, title, 3 * small.nbytes + len(frames) * mask.nbytes)
    try:
        contest(work, way, threads, lambda: way.run(frames, small, mask, regions))
        frames.copy_(original)
        way.run(frames, small, mask, regions)
        corners = np.floor(regions).astype(int)
        for index, (x, y, *_) in enumerate(corners[:2]):
            part = regions[index, :2] - (x, y)
            box = (slice(y, y + SIDE + 1), slice(x, x + SIDE + 1))
            moved, weight = oracles.on_pixels(small[index].numpy(), mask.numpy(), part)
            expected = oracles.blend(original[index][box].numpy(), moved, weight)
            # Other filters are close on soft pictures; ours is the definition.
            tolerance = 1e-5 if way.label == OURS else 0.1
            assert np.abs(frames[index][box].numpy() - expected).max() <= tolerance
    finally:
        frames.copy_(original)


@compare(
    Way(OURS, paste_),
    Way("OpenCV warpAffine (Lanczos-4), lerp_", peers.paste_turned_opencv_(cv2.INTER_LANCZOS4), goal=1),
    Way("OpenCV warpAffine (cubic), lerp_", peers.paste_turned_opencv_(cv2.INTER_CUBIC)),
)
def test_paste_turned(contest: Contest, way: Way, threads: str, long_clip, crops, region):
    frames, small = long_clip[:16], crops[:16]
    mask = torch.from_numpy(feather_mask(ellipse_mask(SIDE, SIDE), 5))
    x1, y1, x2, y2 = np.add(region, (0.3, 0.6, 0.3, 0.6))
    places = np.array([[x1, y1, x2, y2, 7 + 23 * index] for index in range(len(frames))])
    original = frames.clone()
    title = f"`paste_` {len(frames)} x {SIDE} x {SIDE}, turned, one mask (feathered ellipse)"
    work = Work(AREA, title, 3 * small.nbytes + len(frames) * mask.nbytes)
    try:
        contest(work, way, threads, lambda: way.run(frames, small, mask, places))
        frames.copy_(original)
        way.run(frames, small, mask, places)
        height, width = frames.shape[1:3]
        turn = peers.turned_onto(places[1])
        y, x = np.mgrid[:height, :width]
        away = np.stack([x - turn[0, 2], y - turn[1, 2]])
        x, y = np.einsum("ji,jyx->iyx", turn[:, :2], away)
        weight = oracles.turned(mask.numpy()[..., None], x, y, linear=True)[..., 0]
        expected = oracles.blend(original[1].numpy(), oracles.turned(small[1].numpy(), x, y), weight)
        # Other filters, at places rounded to 32nds of a pixel, are close on soft pictures; ours is the definition.
        tolerance = 1e-5 if way.label == OURS else 0.1
        assert np.abs(frames[1].numpy() - expected).max() <= tolerance
    finally:
        frames.copy_(original)


@compare(Way(OURS, paste_), Way("torch lerp by float32, rounded", peers.paste_uint8_, goal=1))
def test_paste_uint8(contest: Contest, way: Way, threads: str, long_clip, crops, region):
    frames, small = (long_clip[:16] * 255).to(torch.uint8), (crops[:16] * 255).to(torch.uint8)
    mask = torch.from_numpy(noise_mask(SIDE, SIDE))
    title = f"`paste_` {len(frames)} x {SIDE} x {SIDE} uint8, one mask (noise)"
    measure(contest, title, way, threads, frames, small, mask, region, 0.5 + 1e-4)
