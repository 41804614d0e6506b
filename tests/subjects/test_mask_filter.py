"""Masks cleaned over time and space."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.subjects import MaskFilter, filter_masks, filtered_part


def stack(count=9, size=(7, 8), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *size)).astype(np.uint8)


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(0, 3), st.integers(0, 3), st.integers(-2, 2), st.data())
def test_parts_are_those_of_the_whole(count, median, dilate, grow, data):
    masks = stack(count)
    chosen = MaskFilter(median, dilate, grow)
    whole = filter_masks(masks, chosen)
    start = data.draw(st.integers(0, count))
    stop = data.draw(st.integers(start, count))
    reads = []

    def read(low, high):
        reads.append((low, high))
        return masks[low:high]

    assert np.array_equal(filtered_part(read, start, stop, count, chosen), whole[start:stop])
    assert reads == [(max(start - chosen.reach, 0), min(stop + chosen.reach, count))]


def test_the_median_is_numpys():
    masks = stack()
    padded = np.pad(masks, ((2, 2), (0, 0), (0, 0)), mode="edge")
    expected = [np.median(padded[frame : frame + 5], axis=0) for frame in range(9)]
    assert np.array_equal(filter_masks(masks, MaskFilter(median=2)), expected)


def test_what_flashes_up_goes_and_what_drops_out_comes_back():
    masks = np.zeros((11, 4, 4), np.uint8)
    masks[:, :2] = 255
    masks[4] = 255 - masks[4]
    assert np.array_equal(filter_masks(masks, MaskFilter(median=1))[4], masks[0])


def test_dilation_holds_the_masks_around():
    masks = np.zeros((7, 2, 2), np.uint8)
    masks[3, 0, 0] = 200
    assert filter_masks(masks, MaskFilter(dilate=2))[:, 0, 0].tolist() == [0, 200, 200, 200, 200, 200, 0]
    assert filter_masks(masks, MaskFilter(dilate=50))[:, 0, 0].tolist() == [200] * 7


def test_masks_grow_and_shrink_by_pixels():
    masks = np.zeros((1, 9, 9), np.uint8)
    masks[0, 3:6, 3:6] = 255
    assert (filter_masks(masks, MaskFilter(grow=2)) > 0).sum() == 49
    assert (filter_masks(masks, MaskFilter(grow=-1)) > 0).sum() == 1
    soft = (masks / 255).astype(np.float32)
    assert filter_masks(soft, MaskFilter(grow=2)).dtype == np.float32


def test_nothing_asked_is_nothing_done():
    masks = stack()
    kept = masks.copy()
    result = filter_masks(masks, MaskFilter())
    assert MaskFilter().is_idle
    assert not MaskFilter(grow=1).is_idle
    assert np.array_equal(result, masks)
    assert result is not masks
    filter_masks(masks, MaskFilter(1, 1, 1))
    assert np.array_equal(masks, kept)


@pytest.mark.parametrize(("name", "value"), [("median", -1), ("dilate", 1001), ("grow", -1001)])
def test_settings_are_checked(name, value):
    with pytest.raises(InvalidArgumentError, match=name):
        MaskFilter(**{name: value})
    with pytest.raises(InvalidTypeError, match=name):
        MaskFilter(**{name: 0.5})


def test_masks_are_checked():
    with pytest.raises(InvalidArgumentError, match="masks"):
        filter_masks(np.zeros((3, 3), np.uint8), MaskFilter())
    with pytest.raises(InvalidTypeError, match="masks"):
        filter_masks(np.zeros((3, 3, 3)), MaskFilter())
