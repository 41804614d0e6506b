"""What is done to masks: feathering, resizing, morphology, components."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

import oracles
import peers
from contest import OURS, Contest, Way, Work, compare
from segs_detailer import ops
from segs_detailer.subjects import tracks_from_masks
from workloads import Sizes, ellipse_mask, noise_mask

AREA = "Masks"
SIDE = 1024

# float32 sums of up to 101 x 101 products, which is what torchvision forms, against float64.
FEATHER_TOLERANCE = 2e-5
BILINEAR_TOLERANCE = 1e-5
TORCHVISION_GOALS = {5: 25, 20: 80, 50: 150}


def feather_ways(feather: int) -> tuple[Way, ...]:
    return (
        Way(OURS, ops.feather_mask),
        Way("torchvision gaussian_blur", peers.feather_torchvision, goal=TORCHVISION_GOALS[feather]),
        Way("torch, two one-dimensional convolutions", peers.feather_torch_separable),
        Way("OpenCV sepFilter2D, same taps", peers.feather_opencv, goal=1),
        Way("OpenCV GaussianBlur, same taps", peers.feather_opencv_gaussian),
    )


MASKS = {"ellipse": ellipse_mask, "noise": noise_mask}


def measure_feather(contest: Contest, way: Way, threads: str, feather: int, kind: str) -> None:
    mask = MASKS[kind](SIDE, SIDE)
    work = Work(AREA, f"`feather_mask` {SIDE} x {SIDE} ({kind}), feather {feather}", 2 * mask.nbytes)
    result = contest(work, way, threads, lambda: way.run(mask, feather))
    assert np.abs(np.asarray(result) - oracles.feathered(mask, feather)).max() <= FEATHER_TOLERANCE


@pytest.mark.parametrize("kind", MASKS)
@compare(*feather_ways(5))
def test_feather_5(contest: Contest, way: Way, threads: str, kind: str):
    measure_feather(contest, way, threads, 5, kind)


@pytest.mark.parametrize("kind", MASKS)
@compare(*feather_ways(20))
def test_feather_20(contest: Contest, way: Way, threads: str, kind: str):
    measure_feather(contest, way, threads, 20, kind)


@pytest.mark.parametrize("kind", MASKS)
@compare(*feather_ways(50))
def test_feather_50(contest: Contest, way: Way, threads: str, kind: str):
    measure_feather(contest, way, threads, 50, kind)


@pytest.mark.parametrize(("source", "target"), [(384, 768), (768, 384)], ids=["up", "down"])
@compare(
    Way(OURS, ops.resize_masks),
    Way("torch interpolate", peers.resize_masks_torch, goal=1),
    Way("OpenCV INTER_LINEAR", peers.resize_masks_opencv, goal=1),
)
def test_resize_masks(contest: Contest, way: Way, threads: str, source: int, target: int, sizes: Sizes):
    masks = np.stack([noise_mask(source, source, seed=i) for i in range(sizes.masks)])
    moved = 4 * len(masks) * (source**2 + target**2)
    work = Work(AREA, f"`resize_masks` {source} -> {target}, {len(masks)} masks", moved)
    result = contest(work, way, threads, lambda: way.run(masks, (target, target)))
    assert np.abs(result - oracles.bilinear(masks, (target, target))).max() <= BILINEAR_TOLERANCE


@pytest.mark.parametrize("size", [9, 31])
@compare(
    Way(OURS, ops.dilate),
    Way("OpenCV dilate", peers.morphology_opencv(cv2.dilate), goal=1),
    Way("torch max_pool2d, rows then columns", peers.dilate_torch, goal=1),
)
def test_dilate(contest: Contest, way: Way, threads: str, size: int, sizes: Sizes):
    masks = np.stack([noise_mask(512, 512, seed=i) for i in range(sizes.masks)])
    work = Work(AREA, f"`dilate` {size} x {size}, {len(masks)} masks 512 x 512", 2 * masks.nbytes)
    result = contest(work, way, threads, lambda: way.run(masks, size))
    assert np.array_equal(result, peers.morphology_opencv(cv2.dilate)(masks, size))


@pytest.mark.parametrize("size", [9, 31])
@compare(
    Way(OURS, ops.erode),
    Way("OpenCV erode", peers.morphology_opencv(cv2.erode), goal=1),
    Way("torch max_pool2d of the negative, rows then columns", peers.erode_torch, goal=1),
)
def test_erode(contest: Contest, way: Way, threads: str, size: int, sizes: Sizes):
    masks = np.stack([noise_mask(512, 512, seed=i) for i in range(sizes.masks)])
    work = Work(AREA, f"`erode` {size} x {size}, {len(masks)} masks 512 x 512", 2 * masks.nbytes)
    result = contest(work, way, threads, lambda: way.run(masks, size))
    assert np.array_equal(result, peers.morphology_opencv(cv2.erode)(masks, size))


@compare(
    Way(OURS, lambda masks, level: ops.threshold(masks, level)),
    Way("numpy >", lambda masks, level: (masks > level).view(np.uint8), goal=1, threaded=False),
    Way("torch >", peers.threshold_torch, goal=1),
    Way("OpenCV threshold", peers.threshold_opencv, goal=1),
)
def test_threshold(contest: Contest, way: Way, threads: str, sizes: Sizes):
    masks = np.stack([noise_mask(SIDE, SIDE, seed=i) for i in range(sizes.masks)])
    work = Work(AREA, f"`threshold`, {len(masks)} masks {SIDE} x {SIDE}", masks.nbytes + masks.size)
    result = contest(work, way, threads, lambda: way.run(masks, 0.5))
    assert np.array_equal(result, masks > 0.5)


def blobs(kind: str) -> np.ndarray:
    """A binary mask 1080p: three ellipses with holes as of three subjects, or thousands of specks."""
    mask = np.zeros((1080, 1920), np.uint8)
    if kind == "3 subjects":
        for x in (400, 960, 1500):
            cv2.ellipse(mask, (x, 540), (150, 220), 10, 0, 360, 1, -1)
            cv2.ellipse(mask, (x, 540), (40, 60), 10, 0, 360, 0, -1)
    else:
        soft = cv2.GaussianBlur(noise_mask(1080, 1920), (0, 0), 3)
        mask[soft > np.quantile(soft, 0.7)] = 1
    return mask


@pytest.mark.parametrize("kind", ["3 subjects", "specks"])
@compare(
    Way(OURS, lambda mask: ops.connected_components(mask)),
    Way("OpenCV connectedComponentsWithStats", peers.components_opencv, goal=1),
)
def test_components(contest: Contest, way: Way, threads: str, kind: str):
    mask = blobs(kind)
    work = Work(AREA, f"`connected_components` 1080p ({kind})", 5 * mask.size)
    labels, boxes, areas = contest(work, way, threads, lambda: way.run(mask))
    expected = peers.components_opencv(mask)
    # Ways number the regions in different orders: each pixel must be in a region of the same box and area.
    assert len(areas) == len(expected[2])
    own = np.concatenate([np.zeros((1, 5), np.int64), np.column_stack([boxes, areas])])
    other = np.concatenate([np.zeros((1, 5), np.int64), np.column_stack(expected[1:])])
    assert np.array_equal(own[labels], other[expected[0]])


def discs(count: int, frames: int) -> np.ndarray:
    """Masks 1080p (frames, h, w) of so many discs in a grid, all together of one area, that move to the right."""
    rows = math.isqrt(count * 1080 // 1920) or 1
    columns = -(-count // rows)
    masks = np.zeros((frames, 1080, 1920), np.uint8)
    radius = int(0.3 * min(1080 / rows, 1920 / columns))
    for frame, mask in enumerate(masks):
        for index in range(count):
            row, column = divmod(index, columns)
            x, y = int((column + 0.5) * 1920 / columns), int((row + 0.5) * 1080 / rows)
            cv2.circle(mask, (x + frame, y), radius, 255, -1)
    return masks


def objects_of_tracks(masks: np.ndarray) -> list[list[tuple[int, int, np.ndarray]]]:
    found: list[list[tuple[int, int, np.ndarray]]] = [[] for _ in masks]
    for track in tracks_from_masks(list(masks), drop_size=0):
        for frame, mask in zip(track.frames.tolist(), track.masks, strict=True):
            found[frame].append((*mask.place[:2], mask.bits()))
    return found


FOLLOWED = "Ours follows each object through the frames as well and keeps its bits; the peers only cut it out."


@pytest.mark.parametrize("count", [10, 100, 1000])
@compare(
    Way(OURS, objects_of_tracks),
    Way("OpenCV connectedComponentsWithStats, cut by boxes", peers.objects_opencv),
    Way("scipy.ndimage label and find_objects", peers.objects_scipy, threaded=False),
)
def test_objects(contest: Contest, way: Way, threads: str, count: int, sizes: Sizes):
    masks = discs(count, sizes.masks)
    title = f"`tracks_from_masks`, {len(masks)} masks 1080p, {count} objects"
    result = contest(Work(AREA, title, 2 * masks.size, FOLLOWED), way, threads, lambda: way.run(masks))
    drawn = np.zeros_like(masks)
    for picture, objects in zip(drawn, result, strict=True):
        assert len(objects) == count
        for x, y, bits in objects:
            picture[y : y + bits.shape[0], x : x + bits.shape[1]] |= bits.astype(np.uint8) * np.uint8(255)
    assert np.array_equal(drawn, masks)


@compare(
    Way(OURS, lambda mask: ops.fill_holes(mask)),
    Way("OpenCV floodFill from a rim", peers.fill_holes_opencv, goal=1),
)
def test_fill_holes(contest: Contest, way: Way, threads: str):
    mask = blobs("3 subjects")
    work = Work(AREA, "`fill_holes` 1080p (3 subjects)", 2 * mask.size)
    result = contest(work, way, threads, lambda: way.run(mask))
    assert np.array_equal(result, peers.fill_holes_opencv(mask))
