from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from segs_detailer import _native
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 3), st.integers(1, 40), st.integers(1, 60), st.integers(0, 30), st.integers(0, 2**32))
def test_dilate_and_erode_equal_opencv(count, height, width, size, seed):
    masks = np.random.default_rng(seed).random((count, height, width), dtype=np.float32)
    dilated, eroded = np.empty_like(masks), np.empty_like(masks)
    _native.dilate(masks, size, dilated)
    _native.erode(masks, size, eroded)
    kernel = np.ones((max(size, 1), max(size, 1)), np.uint8)
    for mask, large, small in zip(masks, dilated, eroded, strict=True):
        np.testing.assert_array_equal(large, cv2.dilate(mask, kernel))
        np.testing.assert_array_equal(small, cv2.erode(mask, kernel))


def test_a_window_larger_than_the_mask_covers_it():
    masks = np.random.default_rng(0).random((1, 5, 7), dtype=np.float32)
    out = np.empty_like(masks)
    _native.dilate(masks, 2**62, out)
    assert (out == masks.max()).all()


def test_a_tall_stack_is_filtered_over_the_bands():
    masks = np.random.default_rng(0).random((1, 700, 40), dtype=np.float32)
    out = np.empty_like(masks)
    _native.dilate(masks, 20, out)
    np.testing.assert_array_equal(out[0], cv2.dilate(masks[0], np.ones((20, 20), np.uint8)))


@pytest.mark.parametrize(("size", "error"), [(-1, InvalidArgumentError), (2**70, InvalidArgumentError)])
def test_sizes_that_are_no_count_are_refused(size, error):
    masks = np.zeros((1, 2, 2), np.float32)
    with pytest.raises(error, match="size: expected a whole number"):
        _native.dilate(masks, size, np.empty_like(masks))


def test_a_size_is_an_int():
    masks = np.zeros((1, 2, 2), np.float32)
    with pytest.raises(InvalidTypeError, match="size: expected an int"):
        _native.erode(masks, 1.5, np.empty_like(masks))


def test_threshold_is_strict_and_ignores_nan():
    masks = np.array([[[0.1, 0.5, 0.6, np.nan, np.inf]]], np.float32)
    out = np.full(masks.shape, 9, np.uint8)
    _native.threshold(masks, 0.5, out)
    assert out.ravel().tolist() == [0, 0, 1, 0, 1]


@st.composite
def flags(draw):
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    noise = rng.random((height, width))
    smooth = cv2.GaussianBlur(noise, (0, 0), draw(st.sampled_from((0.5, 1.5, 4.0))))
    field = noise if draw(st.booleans()) else smooth
    quantile = np.quantile(field, draw(st.floats(0, 1)))
    return (field > quantile) * rng.choice(np.array([1, 7, 255], np.uint8), (height, width))


@settings(max_examples=150, deadline=None)
@given(flags())
def test_components_equal_scipy(mask):
    labels = np.empty(mask.shape, np.int32)
    table = _native.components(mask, labels)
    expected, count = ndimage.label(mask, np.ones((3, 3)))
    assert table.dtype == np.int64
    assert table.shape == (count, 5)
    np.testing.assert_array_equal(labels, expected)
    for index, (rows, columns) in enumerate(ndimage.find_objects(expected)):
        box = (columns.start, rows.start, columns.stop, rows.stop, np.count_nonzero(expected == index + 1))
        assert tuple(table[index]) == box


@settings(max_examples=150, deadline=None)
@given(flags())
def test_filled_holes_equal_scipy(mask):
    out = np.empty_like(mask)
    _native.fill_holes(mask, out)
    np.testing.assert_array_equal(out, ndimage.binary_fill_holes(mask))


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
def test_masks_without_pixels_have_no_components(shape):
    mask, labels = np.zeros(shape, np.uint8), np.zeros(shape, np.int32)
    assert _native.components(mask, labels).shape == (0, 5)
    _native.fill_holes(mask, np.zeros(shape, np.uint8))


def test_a_strided_mask_is_read_in_place():
    mask = np.zeros((8, 12), np.uint8)
    mask[2:4, 5:9] = 1
    labels = np.empty((4, 6), np.int32)
    assert _native.components(mask[::2, 3:9], labels).tolist() == [[2, 1, 6, 2, 4]]
