"""Masks of one frame, their run lengths and their outlines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_tracks import arrays

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.subjects import Mask
from segs_detailer.subjects.formats.rle import compress, decode, decompress, encode
from segs_detailer.subjects.outlines import fill, trace

SIZE = (7, 9)


def painted(mask, size=SIZE):
    out = np.zeros(size, np.uint8)
    mask.paint(out)
    return out


# Masks


@given(arrays(SIZE, soft=True))
def test_levels_come_back(pixels):
    mask = Mask.from_pixels(pixels)
    assert np.array_equal(painted(mask), pixels)
    assert mask.soft == bool(((pixels > 0) & (pixels < 255)).any())


@given(arrays(SIZE, soft=False), st.integers(0, 3), st.integers(0, 3))
def test_hard_masks_take_a_bit_for_each_pixel_that_they_show(pixels, x, y):
    mask = Mask.from_pixels(pixels != 0, (x, y))
    rows, columns = np.nonzero(pixels)
    if len(rows) == 0:
        assert mask.empty
        assert mask.data.nbytes == 0
        return
    place = (x + columns.min(), y + rows.min(), x + columns.max() + 1, y + rows.max() + 1)
    assert mask.place == place
    assert mask.data.nbytes == -(-(place[2] - place[0]) * (place[3] - place[1]) // 8)


def test_equal_masks_are_equal_whatever_they_were_cut_from():
    whole = np.zeros((10, 10), np.uint8)
    whole[4:6, 3:7] = 255
    mask = Mask.from_pixels(whole)
    assert mask == Mask.from_pixels(whole[2:8, 2:9] != 0, (2, 2)) == Mask.filled((3, 4, 7, 6))
    assert hash(mask) == hash(Mask.filled((3, 4, 7, 6)))
    assert mask != Mask.filled((3, 4, 7, 7))
    assert mask != "mask"


@pytest.mark.parametrize(
    ("pixels", "level"),
    [
        (np.float32([[0.5]]), 128),
        (np.float64([[1.0]]), 255),
        (np.float16([[0.25]]), 64),
        (np.uint16([[65535]]), 255),
        (np.uint16([[257]]), 1),
        (np.array([[True]]), 255),
    ],
)
def test_other_dtypes_become_levels(pixels, level):
    assert painted(Mask.from_pixels(pixels), (1, 1))[0, 0] == level


def test_painting_takes_the_part_that_lies_there():
    mask = Mask.filled((2, 3, 6, 5))
    part = np.full((3, 3), 7, np.uint8)
    mask.paint(part, (4, 4))
    assert part.tolist() == [[255, 255, 7], [7, 7, 7], [7, 7, 7]]
    mask.paint(part, (100, 100))
    assert part.sum() == 2 * 255 + 7 * 7


@pytest.mark.parametrize(
    ("pixels", "error", "text"),
    [
        (np.zeros(3), InvalidArgumentError, r"shape \(h, w\)"),
        (np.zeros((2, 2), np.int64), InvalidTypeError, "got int64"),
        (np.full((2, 2), np.nan), InvalidArgumentError, r"floats in \[0, 1\]"),
        (np.float32([[-3.0, 8.0]]), InvalidArgumentError, "logits > 0.*got -3 to 8"),
    ],
)
def test_pixels_that_are_no_mask_are_refused(pixels, error, text):
    with pytest.raises(error, match=text):
        Mask.from_pixels(pixels)


# Run lengths

# From pycocotools 2.0.11: pixels, runs, and the text that its `encode` returns.
KNOWN = [
    (np.zeros((2, 3), bool), [6], "6"),
    (np.ones((2, 3), bool), [0, 6], "06"),
    (np.array([[0, 1, 0], [1, 0, 1]], bool), [1, 2, 2, 1], "122O"),
    (np.array([[1, 1, 0, 0], [1, 1, 0, 1], [0, 0, 0, 1]], bool), [0, 2, 1, 2, 5, 2], "021040"),
]


@pytest.mark.parametrize(("pixels", "counts", "text"), KNOWN)
def test_known_runs(pixels, counts, text):
    mask = Mask.from_pixels(pixels)
    assert encode(mask, pixels.shape).tolist() == counts
    assert compress(np.array(counts)) == text
    assert decompress(text).tolist() == counts
    assert decode(counts, pixels.shape) == mask


def test_a_known_disc():
    y, x = np.mgrid[:480, :640]
    mask = Mask.from_pixels((x - 320) ** 2 + (y - 240) ** 2 < 64)
    text = "]nb47g>4M2O0O2O000000000001N101N3LePb4"
    assert compress(encode(mask, (480, 640))) == text
    assert decode(decompress(text), (480, 640)) == mask


@given(arrays(SIZE, soft=False))
def test_runs_bring_the_mask_back(pixels):
    mask = Mask.from_pixels(pixels)
    counts = encode(mask, SIZE)
    # The plain definition: the lengths of equal values along the columns.
    flat = np.r_[0, pixels.T.ravel() // 255]
    edges = np.flatnonzero(np.diff(flat))
    assert counts.tolist() == np.diff(np.r_[0, edges, pixels.size]).tolist() or not counts[-1]
    assert decode(counts, SIZE) == mask


@given(st.lists(st.integers(0, (1 << 28) - 1), min_size=1, max_size=12))
def test_packed_runs_come_back(counts):
    assert decompress(compress(np.array(counts))).tolist() == counts


@given(arrays((6, 6), soft=True))
def test_levels_from_the_half_on_are_in_the_runs(pixels):
    assert decode(encode(Mask.from_pixels(pixels), (6, 6)), (6, 6)) == Mask.from_pixels(pixels >= 128)


@pytest.mark.parametrize(
    ("counts", "error", "text"),
    [
        ([3, 2], InvalidArgumentError, "runs of 6 pixels in all, 3x2, got 5"),
        ([-1, 7], InvalidArgumentError, "runs from 0 to 6"),
        ([10**12], InvalidArgumentError, "runs from 0 to 6"),
        ([1.5, 4.5], InvalidTypeError, "whole numbers"),
        ("6", InvalidTypeError, "whole numbers"),
        ([[1], [2, 3]], InvalidTypeError, "whole numbers"),
        (None, InvalidTypeError, "whole numbers"),
        ([10**30], InvalidTypeError, "whole numbers"),
    ],
)
def test_runs_that_do_not_fit_are_refused(counts, error, text):
    with pytest.raises(error, match=text):
        decode(counts, (2, 3))


@pytest.mark.parametrize("text", ["6 ", "~", "größe", "0" * 3 + "o", "oooooooo0"])
def test_text_that_holds_no_runs_is_refused(text):
    with pytest.raises(InvalidArgumentError, match="as the COCO API packs them"):
        decompress(text)


def test_no_text_is_no_run():
    assert decompress("").tolist() == []


# Outlines


@given(arrays(SIZE, soft=False))
def test_outlines_bring_the_mask_back_unless_it_has_holes(pixels):
    mask = Mask.from_pixels(pixels)
    outlines = trace(mask)
    assert (outlines is None) == has_holes(pixels != 0)
    if outlines is not None:
        assert fill([outline.astype(float) for outline in outlines], SIZE) == mask


def has_holes(pixels):
    """Whether background is cut off from the edge, where pixels that touch by a corner do not close it."""
    outside = np.pad(~pixels, 1, constant_values=True)
    reached = np.zeros_like(outside)
    reached[0, 0] = True
    while True:
        near = np.pad(reached, 1)
        height, width = outside.shape
        grown = outside & np.any([near[y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0)
        if np.array_equal(grown, reached):
            return bool((outside & ~reached).any())
        reached = grown


def test_a_polygon_takes_the_pixels_whose_centers_it_holds():
    square = np.array([[2.5, 1.6], [5.4, 1.6], [5.4, 4.5], [2.5, 4.5]])
    expected = np.zeros(SIZE, np.uint8)
    expected[2:4, 2:5] = 255
    assert np.array_equal(painted(fill([square], SIZE)), expected)


def test_polygons_are_cut_at_the_frame_and_added_up():
    beyond = np.array([[-50, -50], [3, -50], [3, 2], [-50, 2]], float)
    corner = np.array([[1, 1], [90, 1], [90, 90], [1, 90]], float)
    expected = np.full(SIZE, 255, np.uint8)
    expected[0, 3:] = 0
    expected[2:, 0] = 0
    assert np.array_equal(painted(fill([beyond, corner], SIZE)), expected)
    away = np.array([[100, 100], [110, 100], [110, 110]], float)
    assert fill([away], SIZE).empty
    assert fill([], SIZE).empty
    assert fill([away[:2]], SIZE).empty
