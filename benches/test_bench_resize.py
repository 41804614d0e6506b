"""`resize_frames`: Lanczos-3 of a stack of crops."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import oracles
import peers
from contest import OURS, Contest, Way, Work, compare
from fast_image_resize import load
from segs_detailer.ops import resize_frames
from workloads import Sizes, random_frames

AREA = "Resizing"
LANCZOS = peers.offers_lanczos()

# float32 against float64.
FLOAT_TOLERANCE = 1e-5
# Half a step of the input's and of the output's 8 bits, and the gain of a filter with negative lobes on the former.
EIGHT_BIT_TOLERANCE = 2.5 / 255
# Truncation, where a way does not round: one step of each.
TRUNCATED_TOLERANCE = 3.5 / 255
# Steps of uint8 away from Pillow.
STEP = 1
PEER_STEPS = 2

OTHER_FILTER = "another filter (8 taps, no wider support when shrinking): only its speed is compared"


def tolerance(way: Way) -> float:
    if way.note == OTHER_FILTER:
        return float("inf")
    return TRUNCATED_TOLERANCE if "Pillow" in way.label else FLOAT_TOLERANCE


def check(result: torch.Tensor, frames: torch.Tensor, size: tuple[int, int], allowed: float) -> None:
    assert result.shape == (len(frames), *size, frames.shape[3])
    expected = oracles.lanczos(frames[-1:].numpy(), size)
    assert np.abs(result[-1:].numpy() - expected).max() <= allowed


@pytest.fixture(scope="module")
def fast_image_resize(scratch: Path, sizes: Sizes):
    """The Rust peer, or None: it takes a minute to build, too long for a quick run."""
    return load(scratch) if sizes.build_peers else None


def run_fast_image_resize(frames, size, library):
    if library is None:
        pytest.skip("the peer was not built")
    return library(frames, size)


UP = (
    Way(OURS, lambda frames, size, _: resize_frames(frames, size)),
    Way(
        "Pillow by uint8, frame by frame, concat", lambda f, s, _: peers.resize_pillow_concat(f, s), 20, threaded=False
    ),
    Way("Pillow by uint8, one output", lambda f, s, _: peers.resize_pillow_preallocated(f, s), 8, threaded=False),
    Way("torch Lanczos", lambda f, s, _: peers.resize_torch_lanczos(f, s), 6, offered=LANCZOS),
    Way("torchvision Lanczos", lambda f, s, _: peers.resize_torchvision_lanczos(f, s), 6, offered=LANCZOS),
    Way(
        "OpenCV INTER_LANCZOS4",
        lambda f, s, _: peers.resize_opencv(cv2.INTER_LANCZOS4)(f, s),
        goal=1,
        goal_threads="one",
        note=OTHER_FILTER,
    ),
    Way("fast_image_resize F32x3", run_fast_image_resize, goal=1.5, goal_threads="one", threaded=False),
)
DOWN_GOALS = {"Pillow by uint8, frame by frame, concat": 8, "torch Lanczos": 3}
DOWN = tuple(replace(way, goal=DOWN_GOALS.get(way.label)) for way in UP)


def measure(contest: Contest, way: Way, threads: str, source: int, target: int, count: int, library) -> None:
    frames = random_frames(count, source, source)
    size = (target, target)
    moved = frames.nbytes * (source**2 + target**2) // source**2
    work = Work(AREA, f"`resize_frames` {source} -> {target}, {count} frames float32", moved)
    result = contest(work, way, threads, lambda: way.run(frames, size, library))
    check(result, frames, size, tolerance(way))


@compare(*UP)
def test_resize_up(contest: Contest, way: Way, threads: str, sizes: Sizes, fast_image_resize):
    measure(contest, way, threads, 384, 768, sizes.resize_frames, fast_image_resize)


@compare(*DOWN)
def test_resize_down(contest: Contest, way: Way, threads: str, sizes: Sizes, fast_image_resize):
    measure(contest, way, threads, 768, 384, sizes.resize_frames, fast_image_resize)


@pytest.mark.parametrize(("source", "target"), [(384, 768), (768, 384)], ids=["up", "down"])
@compare(
    Way(OURS, resize_frames),
    Way("Pillow, one output", peers.resize_pillow_uint8, goal=1, threaded=False),
    Way("torch Lanczos", peers.resize_torch_lanczos, goal=1, offered=LANCZOS),
)
def test_resize_uint8(contest: Contest, way: Way, threads: str, source: int, target: int, sizes: Sizes):
    frames = (random_frames(sizes.resize_frames, source, source) * 255).to(torch.uint8)
    size = (target, target)
    moved = frames.nbytes * (source**2 + target**2) // source**2
    work = Work(AREA, f"`resize_frames` {source} -> {target}, {len(frames)} frames uint8", moved)
    result = contest(work, way, threads, lambda: way.run(frames, size))
    expected = peers.resize_pillow_uint8(frames[-1:], size)
    allowed = STEP if way.label == OURS else PEER_STEPS
    assert (result[-1:].int() - expected.int()).abs().max() <= allowed


@pytest.mark.parametrize(("source", "target"), [(384, 768), (768, 384)], ids=["up", "down"])
@compare(
    Way(OURS, resize_frames),
    Way(
        "torch Lanczos by float32",
        lambda f, s: peers.resize_torch_lanczos(f.float(), s).half(),
        goal=1,
        offered=LANCZOS,
    ),
)
def test_resize_float16(contest: Contest, way: Way, threads: str, source: int, target: int, sizes: Sizes):
    frames = random_frames(sizes.resize_frames, source, source).half()
    size = (target, target)
    moved = frames.nbytes * (source**2 + target**2) // source**2
    work = Work(AREA, f"`resize_frames` {source} -> {target}, {len(frames)} frames float16", moved)
    result = contest(work, way, threads, lambda: way.run(frames, size))
    # Half a unit in the last place of float16 below 1.
    check(result.float(), frames.float(), size, 2**-11)
