"""Resizing against its definition in NumPy, against Pillow and against torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import PIL
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from segs_detailer import _native
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError

Array = NDArray[Any]

SIZES = st.tuples(st.integers(1, 70), st.integers(1, 70))


def lanczos_matrix(size: int, new_size: int) -> Array:
    """The filter along one axis, float64, a row for each output sample."""
    if size == new_size:
        return np.eye(size)
    scale = size / new_size
    widening = max(scale, 1.0)
    matrix = np.zeros((new_size, size))
    for index in range(new_size):
        center = (index + 0.5) * scale
        start = max(int(center - 3 * widening + 0.5), 0)
        end = min(int(center + 3 * widening + 0.5), size)
        x = (np.arange(start, end) + 0.5 - center) / widening
        weights = np.where((x >= -3) & (x < 3), np.sinc(x) * np.sinc(x / 3), 0.0)
        matrix[index, start:end] = weights / weights.sum()
    return matrix


def lanczos(frames: Array, size: tuple[int, int]) -> Array:
    rows, columns = lanczos_matrix(frames.shape[1], size[0]), lanczos_matrix(frames.shape[2], size[1])
    return np.asarray(np.einsum("yi,xj,bijc->byxc", rows, columns, frames.astype(np.float64), optimize=True))


def resize(frames: Array, size: tuple[int, int]) -> Array:
    out = np.full((frames.shape[0], *size, frames.shape[3]), 7, frames.dtype)
    _native.resize_frames(frames, out)
    return out


def pillow(frames: Array, size: tuple[int, int]) -> Array:
    """Every channel by itself, since Pillow has no picture of three floats."""
    out = np.empty((frames.shape[0], *size, frames.shape[3]), frames.dtype)
    for frame, channel in np.ndindex(frames.shape[0], frames.shape[3]):
        picture = Image.fromarray(np.ascontiguousarray(frames[frame, ..., channel]))
        out[frame, ..., channel] = picture.resize((size[1], size[0]), Image.Resampling.LANCZOS)
    return out


def noise(shape: tuple[int, ...], seed: int) -> Array:
    """Values in [0, 1], many of them at its ends, where filters overshoot."""
    values = np.random.default_rng(seed).random(shape, np.float32)
    return np.asarray(np.clip(2 * values - 0.5, 0, 1))


@settings(max_examples=60, deadline=None)
@given(SIZES, SIZES, st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_floats_agree_with_the_definition(
    size: tuple[int, int], new_size: tuple[int, int], channels: int, seed: int
) -> None:
    frames = noise((2, *size, channels), seed)
    np.testing.assert_allclose(resize(frames, new_size), lanczos(frames, new_size).clip(0, 1), rtol=0, atol=1e-5)
    halves = frames.astype(np.float16)
    # Half a step of float16 just below 1, and the tolerance of float32.
    expected = lanczos(halves, new_size).clip(0, 1)
    np.testing.assert_allclose(resize(halves, new_size), expected, rtol=0, atol=2**-12 + 1e-5)


@settings(max_examples=30, deadline=None)
@given(SIZES, SIZES, st.integers(0, 2**32 - 1))
def test_floats_agree_with_pillow(size: tuple[int, int], new_size: tuple[int, int], seed: int) -> None:
    frames = noise((1, *size, 3), seed)
    np.testing.assert_allclose(resize(frames, new_size), pillow(frames, new_size).clip(0, 1), rtol=0, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(SIZES, SIZES, st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_bytes_are_within_one_step_of_pillow(
    size: tuple[int, int], new_size: tuple[int, int], channels: int, seed: int
) -> None:
    if int(PIL.__version__.split(".")[0]) < 13 and size[0] > new_size[0]:
        # Earlier releases cut off the overshoot of the other pass here.
        new_size = (size[0], new_size[1])
    frames = np.random.default_rng(seed).choice(np.array([0, 1, 100, 200, 254, 255], np.uint8), (1, *size, channels))
    difference = resize(frames, new_size).astype(int) - pillow(frames, new_size)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint8])
def test_a_size_that_stays_is_copied(dtype: Any) -> None:
    frames = (noise((3, 5, 7, 3), 0) * 300 - 20).astype(dtype)
    np.testing.assert_array_equal(resize(frames, (5, 7)), frames)


def test_results_stay_in_range() -> None:
    step = np.zeros((1, 16, 16, 1), np.float32)
    step[:, :, 8:] = 1
    assert lanczos(step, (40, 40)).max() > 1.01
    out = resize(step, (40, 40))
    assert out.min() == 0
    assert out.max() == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint8])
@pytest.mark.parametrize("size", [(150, 210), (700, 400), (90, 700)])
def test_the_number_of_threads_changes_no_bit(dtype: Any, size: tuple[int, int]) -> None:
    frames = (noise((3, 300, 310, 3), 1) * (255 if dtype == np.uint8 else 1)).astype(dtype)
    results = []
    for threads in (1, 2, 5):
        _native.set_num_threads(threads)
        results.append(resize(frames, size))
    _native.set_num_threads(0)
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_levels_of_the_cpu_agree() -> None:
    frames, masks = noise((1, 60, 70, 3), 2), noise((1, 60, 70), 2)
    before = _native.cpu_level()
    try:
        _native.set_cpu_level("scalar")
        scalar = resize(frames, (100, 40))
        scalar_masks = resize_masks(masks, (100, 40))
    finally:
        _native.set_cpu_level(before)
    np.testing.assert_allclose(resize(frames, (100, 40)), scalar, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(resize_masks(masks, (100, 40)), scalar_masks)


def test_rows_apart_are_read_in_place() -> None:
    frames = noise((2, 30, 40, 3), 3)
    part = frames[:, 4:20, 5:33]
    np.testing.assert_array_equal(resize(part, (50, 50)), resize(part.copy(), (50, 50)))
    repeated = np.broadcast_to(frames[:1], frames.shape)
    np.testing.assert_array_equal(resize(repeated, (50, 50))[1], resize(frames[:1], (50, 50))[0])


def test_batches_and_sizes_may_be_empty() -> None:
    assert resize(np.empty((0, 4, 4, 3), np.float32), (8, 8)).shape == (0, 8, 8, 3)
    assert resize(np.empty((2, 0, 4, 3), np.float32), (0, 8)).size == 0
    with pytest.raises(InvalidArgumentError, match=r"frames: expected at least one pixel"):
        resize(np.empty((1, 0, 4, 3), np.float32), (8, 8))


def test_outputs_that_do_not_fit_are_refused() -> None:
    frames = noise((2, 4, 4, 3), 4)
    with pytest.raises(InvalidArgumentError, match=r"out: expected the frames and channels"):
        _native.resize_frames(frames, np.empty((1, 8, 8, 3), np.float32))
    with pytest.raises(InvalidArgumentError, match=r"out: expected the frames and channels"):
        _native.resize_frames(frames, np.empty((2, 8, 8, 4), np.float32))
    with pytest.raises(InvalidTypeError, match="out"):
        _native.resize_frames(frames, np.empty((2, 8, 8, 3), np.float16))
    with pytest.raises(InvalidTypeError, match="frames"):
        _native.resize_frames(frames.astype(np.float64), np.empty((2, 8, 8, 3)))
    with pytest.raises(InvalidArgumentError, match="memory shared with frames"):
        _native.resize_frames(frames, torch.from_numpy(frames).numpy())
    with pytest.raises(InvalidArgumentError, match="channels"):
        _native.resize_frames(np.empty((1, 4, 4, 5), np.float32), np.empty((1, 8, 8, 5), np.float32))


def resize_masks(masks: Array, size: tuple[int, int]) -> Array:
    out = np.full((masks.shape[0], *size), np.nan, np.float32)
    _native.resize_masks(masks, out)
    return out


@settings(max_examples=80, deadline=None)
@given(st.tuples(st.integers(1, 300), st.integers(1, 300)), SIZES, st.booleans(), st.integers(0, 2**32 - 1))
def test_masks_agree_with_torch(size: tuple[int, int], new_size: tuple[int, int], swap: bool, seed: int) -> None:
    if swap:
        size, new_size = new_size, size
    masks = noise((2, *size), seed)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(masks)[:, None], size=new_size, mode="bilinear", align_corners=False
    )
    np.testing.assert_allclose(resize_masks(masks, new_size), expected[:, 0].numpy(), rtol=0, atol=1e-6)


def test_large_masks_agree_with_torch() -> None:
    masks = noise((1, 650, 1000), 5)
    expected = torch.nn.functional.interpolate(torch.from_numpy(masks)[None], size=(1000, 1531), mode="bilinear")
    np.testing.assert_allclose(resize_masks(masks, (1000, 1531)), expected[0].numpy(), rtol=0, atol=1e-6)


def test_masks_of_the_same_size_are_copied() -> None:
    masks = noise((2, 9, 5), 6) * 3 - 1
    np.testing.assert_array_equal(resize_masks(masks, (9, 5)), masks)


def test_masks_that_do_not_fit_are_refused() -> None:
    assert resize_masks(np.empty((0, 3, 3), np.float32), (5, 5)).shape == (0, 5, 5)
    with pytest.raises(InvalidArgumentError, match=r"masks: expected at least one pixel"):
        resize_masks(np.empty((1, 3, 0), np.float32), (5, 5))
    with pytest.raises(InvalidArgumentError, match="out: expected the frames"):
        _native.resize_masks(np.empty((2, 3, 3), np.float32), np.empty((1, 5, 5), np.float32))
