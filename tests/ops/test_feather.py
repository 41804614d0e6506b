"""Feathering against its definition in NumPy, and against a convolution in torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from segs_detailer import _native
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError

Array = NDArray[Any]


def kernel_size(feather: int, shortest: int) -> int:
    """Number of taps, 1 for none: a kernel that the mask has no room for shrinks to half its side, made odd."""
    size = 2 * feather + 1
    if shortest <= size:
        size = shortest // 2
        size += size % 2 == 0
    return size if size >= 3 and feather > 0 else 1


def gaussian(size: int) -> Array:
    x = np.arange(size) - size // 2
    weights = np.exp(-0.5 * (x / 10) ** 2)
    return np.asarray(weights / weights.sum())


def expected(masks: Array, feather: int) -> Array:
    size = kernel_size(feather, min(masks.shape[1:]))
    weights, border = gaussian(size), size // 2
    padded = np.pad(masks.astype(np.float64), ((0, 0), (border, border), (border, border)), mode="reflect")
    rows: Array = np.lib.stride_tricks.sliding_window_view(padded, size, axis=1) @ weights
    blurred: Array = np.lib.stride_tricks.sliding_window_view(rows, size, axis=2) @ weights
    return blurred


def feather_mask(masks: Array, feather: int) -> Array:
    out = np.full_like(masks, np.nan)
    _native.feather_mask(masks, feather, out)
    return out


def ellipse(height: int, width: int) -> Array:
    y, x = np.mgrid[:height, :width]
    inside: Array = ((y - height / 2) / (0.35 * height)) ** 2 + ((x - width / 2) / (0.4 * width)) ** 2 < 1
    return np.asarray(inside, np.float32)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(1, 200), st.integers(0, 100), st.booleans(), st.integers(0, 2**32 - 1))
def test_feathering_agrees_with_the_definition(height: int, width: int, feather: int, soft: bool, seed: int) -> None:
    if soft:
        masks = np.random.default_rng(seed).random((2, height, width), np.float32)
    else:
        masks = np.stack([ellipse(height, width), 1 - ellipse(height, width)])
    np.testing.assert_allclose(feather_mask(masks, feather), expected(masks, feather), rtol=0, atol=2e-6)


@pytest.mark.parametrize("feather", [1, 5, 20, 50])
def test_feathering_agrees_with_a_convolution_in_torch(feather: int) -> None:
    masks = np.random.default_rng(0).random((1, 150, 130), np.float32)
    size = kernel_size(feather, 130)
    # In float64: the sum of 10201 products in float32 is off by more than the two passes are.
    weights = torch.from_numpy(gaussian(size))
    padded = torch.nn.functional.pad(torch.from_numpy(masks).double()[None], [size // 2] * 4, mode="reflect")
    blurred = torch.nn.functional.conv2d(padded, torch.outer(weights, weights)[None, None])
    np.testing.assert_allclose(feather_mask(masks, feather), blurred[0].numpy(), rtol=0, atol=2e-6)


def test_flat_areas_keep_their_value_exactly() -> None:
    mask = ellipse(500, 600)[None]
    out = feather_mask(mask, 5)
    # Farther from the edge than the kernel reaches, and than the blocks that are skipped together.
    assert (out[0, 200:300, 250:350] == 1).all()
    assert (out[0, :50] == 0).all()
    third = np.full((1, 100, 100), 1 / 3, np.float32)
    np.testing.assert_array_equal(feather_mask(third, 30), third)


@pytest.mark.parametrize("shape", [(1, 1, 40), (2, 3, 3), (1, 40, 2)])
def test_masks_without_room_for_three_taps_are_copied(shape: tuple[int, ...]) -> None:
    masks = np.random.default_rng(0).random(shape, np.float32)
    np.testing.assert_array_equal(feather_mask(masks, 2**62), masks)


def test_no_feather_copies() -> None:
    masks = np.random.default_rng(0).random((2, 40, 50), np.float32)
    np.testing.assert_array_equal(feather_mask(masks, 0), masks)


@pytest.mark.parametrize("feather", [5, 50])
def test_the_number_of_threads_changes_no_bit(feather: int) -> None:
    masks = np.random.default_rng(0).random((1, 1100, 600), np.float32)
    masks[:, 300:700, 200:400] = 1
    results = []
    for threads in (1, 2, 5):
        _native.set_num_threads(threads)
        results.append(feather_mask(masks, feather))
    _native.set_num_threads(0)
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_levels_of_the_cpu_agree() -> None:
    masks = np.random.default_rng(0).random((1, 90, 130), np.float32)
    before = _native.cpu_level()
    try:
        _native.set_cpu_level("scalar")
        scalar = feather_mask(masks, 20)
    finally:
        _native.set_cpu_level(before)
    np.testing.assert_allclose(feather_mask(masks, 20), scalar, rtol=0, atol=1e-6)


def test_rows_apart_are_read_in_place() -> None:
    masks = np.random.default_rng(0).random((2, 60, 70), np.float32)
    np.testing.assert_array_equal(feather_mask(masks[:, 5:50, 3:44], 5), feather_mask(masks[:, 5:50, 3:44].copy(), 5))


def test_bad_arguments_are_refused() -> None:
    masks = np.zeros((1, 8, 8), np.float32)
    with pytest.raises(InvalidArgumentError, match="feather: expected 0 or more pixels, got -1"):
        feather_mask(masks, -1)
    with pytest.raises(InvalidArgumentError, match="out: expected the shape of the masks"):
        _native.feather_mask(masks, 5, np.empty((1, 8, 9), np.float32))
    with pytest.raises(InvalidArgumentError, match="memory shared with masks"):
        _native.feather_mask(masks, 5, torch.from_numpy(masks).numpy())
    with pytest.raises(InvalidTypeError, match="masks"):
        _native.feather_mask(masks.astype(np.float64), 5, masks)
    assert feather_mask(np.empty((0, 8, 8), np.float32), 5).shape == (0, 8, 8)
    assert feather_mask(np.empty((2, 0, 8), np.float32), 5).shape == (2, 0, 8)
