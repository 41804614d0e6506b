"""Whole nodes: `SEGSPaste`, and `DetailerForEachPipeForAnimateDiff` around a sampler that changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import oracles
import peers
from contest import OURS, Contest, Way, Work, compare
from segs_detailer.nodes import DetailerForEachPipeForAnimateDiff, SEGSPaste
from segs_detailer.segs import SEG
from workloads import (
    SIZES_BY_CLIP,
    Sizes,
    Untouched,
    centered_region,
    ellipse_mask,
    grown,
    random_frames,
    segment_boxes,
)

AREA = "Whole nodes"
SIDE = 384
FEATHER = 5
# float32 blends against float64, after float32 feathering.
PASTE_TOLERANCE = 1e-5

GUIDE_SIZE = 384
MAX_SIZE = 1024
# Side of a segment's box; the crop is three times as large.
BOX_SIDES = {"512 x 768": 80, "1080p": 160}
CROP_FACTOR = 3
# Two trips of Pillow through uint8, cut off rather than rounded.
DETAIL_TOLERANCE = 4 / 255


def paste_node(frames: torch.Tensor, segs: Any, _) -> torch.Tensor:
    return SEGSPaste().doit(frames, segs, feather=FEATHER)[0]


@pytest.fixture(scope="module")
def paste_case(long_clip: torch.Tensor):
    region = centered_region((long_clip.shape[1], long_clip.shape[2]), (SIDE, SIDE))
    crops = random_frames(len(long_clip), SIDE, SIDE, seed=5)
    mask = torch.from_numpy(ellipse_mask(SIDE, SIDE))
    segs = ((long_clip.shape[1], long_clip.shape[2]), [SEG(crops, mask, 1.0, region, region, "A", None)])
    return segs, [(crops, mask, region)]


@compare(
    Way(OURS, paste_node),
    Way("clone and concat, frame by frame", lambda f, _, s: peers.paste_clone_and_concat(f, s, FEATHER), goal=50),
    Way("torch clone, then blend all frames", lambda f, _, s: peers.paste_clone_and_blend(f, s, FEATHER), goal=2),
    Way("torch copy_ to numpy.empty, then lerp_", lambda f, _, s: peers.paste_into_numpy_output(f, s, FEATHER), goal=1),
    Way(
        "numpy.copyto to numpy.empty, nothing pasted",
        lambda f, _, s: peers.copy_to_fresh(f),
        goal=1 / 1.2,
        threaded=False,
        note="the bound: the copy of the frames alone",
    ),
)
def test_segs_paste(contest: Contest, way: Way, threads: str, long_clip: torch.Tensor, paste_case):
    segs, segments = paste_case
    crops, mask, (x1, y1, x2, y2) = segments[0]
    # The frames are read and written, the crops and the mask are read.
    moved = 2 * long_clip.nbytes + crops.nbytes + mask.nbytes
    work = Work(AREA, f"`SEGSPaste`, {len(long_clip)} frames 1080p, {SIDE} x {SIDE}, feather {FEATHER}", moved)
    result = torch.as_tensor(contest(work, way, threads, lambda: way.run(long_clip, segs, segments)))
    last = result[-1].clone()
    if not way.note:
        feathered = oracles.feathered(mask.numpy(), FEATHER)
        expected = oracles.blend(long_clip[-1:, y1:y2, x1:x2].numpy(), crops[-1:].numpy(), feathered)
        assert np.abs(last[y1:y2, x1:x2].numpy() - expected[0]).max() <= PASTE_TOLERANCE
        last[y1:y2, x1:x2] = long_clip[-1, y1:y2, x1:x2]
    assert torch.equal(last, long_clip[-1])


def detail_node(frames: torch.Tensor, segs: Any, _) -> torch.Tensor:
    pipe = (Untouched(), None, None, [], [])
    return DetailerForEachPipeForAnimateDiff.doit(
        frames, segs, GUIDE_SIZE, True, MAX_SIZE, 0, 1, 1.0, "euler", "normal", 0.5, FEATHER, pipe
    )[0]


@compare(
    Way(OURS, detail_node),
    Way(
        "frame by frame, Pillow by uint8, concat",
        lambda f, _, case: peers.detail_frame_by_frame(f, *case, lambda crops: crops, FEATHER),
    ),
    Way(
        "batched torch, torch Lanczos",
        lambda f, _, case: peers.detail_tuned(f, *case, lambda crops: crops, FEATHER),
        offered=peers.offers_lanczos(),
    ),
)
@pytest.mark.parametrize(("count", "clip", "goal"), [(8, "512 x 768", 10), (16, "1080p", 15)], ids=["small", "1080p"])
def test_detailer(contest: Contest, way: Way, threads: str, count: int, clip: str, goal: float, sizes: Sizes):
    count = min(count, sizes.detail_frames)
    size = SIZES_BY_CLIP[clip]
    side = BOX_SIDES[clip]
    frames = random_frames(count, *size)
    boxes = segment_boxes(size, side)
    regions = [grown(box, CROP_FACTOR) for box in boxes]
    crop = side * CROP_FACTOR
    large = min(MAX_SIZE, crop * GUIDE_SIZE // side)
    mask = torch.from_numpy(ellipse_mask(crop, crop))
    segs = (size, [SEG(None, mask, 1.0, region, box, "A", None) for region, box in zip(regions, boxes, strict=True)])
    case = (regions, [mask] * 3, [(large, large)] * 3)
    work = Work(AREA, f"`DetailerForEach`, 3 segments, {count} frames {clip}", detail_bytes(frames, crop, large))
    if way.label.startswith("frame by frame"):
        way = Way(way.label, way.run, goal)
    result = contest(work, way, threads, lambda: way.run(frames, segs, case))
    assert (result[-1:] - detail_expected(frames, regions, large)).abs().max() <= DETAIL_TOLERANCE


def detail_bytes(frames: torch.Tensor, crop: int, large: int) -> int:
    """One copy of the frames; per segment each stage's input and output: crop, up, down, paste."""
    pixel = 4 * frames.shape[3] * len(frames)
    return 2 * frames.nbytes + 3 * pixel * (2 * crop**2 + 2 * (crop**2 + large**2) + 3 * crop**2)


def detail_expected(frames: torch.Tensor, regions, large: int) -> torch.Tensor:
    """Each region up and down again by the oracle, blended in turn; of the last frame only, which stands for all."""
    out = frames[-1:].double().numpy().copy()
    for x1, y1, x2, y2 in regions:
        crop = out[:, y1:y2, x1:x2]
        there = oracles.lanczos(crop, (large, large))
        back = oracles.lanczos(there, crop.shape[1:3])
        mask = oracles.feathered(ellipse_mask(*crop.shape[1:3]), FEATHER)
        out[:, y1:y2, x1:x2] = oracles.blend(crop, back, mask)
    return torch.from_numpy(out)
