"""Each pixel has one owner, and the same in all frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.ops import crop_frames, paste
from segs_detailer.subjects import Track, owned_weights, owner_order

SIZE = (40, 60)


@st.composite
def placed_masks(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    masks, places = [], []
    for _ in range(draw(st.integers(0, 4))):
        x, y = (int(v) for v in rng.integers(-5, 40, 2))
        width, height = (int(v) for v in rng.integers(1, 30, 2))
        masks.append(rng.random((height, width)).astype(np.float32) ** draw(st.sampled_from([0.0, 1.0, 3.0])))
        places.append((x, y, x + width, y + height))
    return masks, places, draw(st.permutations(range(len(masks))))


def summed(masks, places):
    total = np.zeros((SIZE[0] + 60, SIZE[1] + 60), np.float64)
    for mask, (x1, y1, x2, y2) in zip(masks, places, strict=True):
        total[y1 + 10 : y2 + 10, x1 + 10 : x2 + 10] += mask
    return total


@settings(deadline=None)
@given(placed_masks())
def test_no_pixel_has_more_than_all(made):
    masks, places, order = made
    weights = owned_weights(masks, places, order)
    assert summed(weights, places).max(initial=0) <= 1 + 1e-5
    for weight, mask in zip(weights, masks, strict=True):
        assert (weight <= mask + 1e-7).all()
    if order:
        assert np.array_equal(weights[order[0]], masks[order[0]])


@settings(deadline=None)
@given(placed_masks())
def test_pasting_from_the_last_to_the_owner_is_the_same(made):
    masks, places, order = made
    rng = np.random.default_rng(0)
    frames = rng.random((1, *SIZE, 3)).astype(np.float32)
    weights = owned_weights(masks, places, order)
    crops = [rng.random((1, *mask.shape, 3)).astype(np.float32) for mask in masks]
    pasted = frames
    for index in reversed(order):
        pasted = paste(pasted, crops[index], masks[index], places[index])
    expected = frames.astype(np.float64)
    for crop, weight, place in zip(crops, weights, places, strict=True):
        under = crop_frames(frames, place)
        whole = np.zeros((1, *SIZE, 3))
        difference = weight[..., None] * (crop.astype(np.float64) - under)
        x1, y1, x2, y2 = place
        left, top, right, bottom = max(x1, 0), max(y1, 0), min(x2, SIZE[1]), min(y2, SIZE[0])
        if left < right and top < bottom:
            whole[:, top:bottom, left:right] = difference[:, top - y1 : bottom - y1, left - x1 : right - x1]
        expected += whole
    assert np.abs(pasted - expected).max() < 1e-5


def test_the_larger_is_in_front():
    def subject(number, side):
        return Track(number, "face", [0, 1], [(0, 0, side, side), (0, 0, side + 2, side + 2)])

    assert owner_order([subject(1, 20), subject(2, 50), subject(3, 20), Track(4, "a", [], [])]) == [1, 0, 2, 3]
    assert owner_order([]) == []


def test_uint8_masks_are_taken():
    first, second = owned_weights([np.full((2, 2), 255, np.uint8)] * 2, [(0, 0, 2, 2), (1, 0, 3, 2)], [1, 0])
    assert second.tolist() == [[1, 1]] * 2
    assert first.tolist() == [[1, 0]] * 2


def test_lists_that_do_not_fit_are_refused():
    mask = np.zeros((2, 2), np.float32)
    with pytest.raises(InvalidArgumentError, match="order"):
        owned_weights([mask], [(0, 0, 2, 2)], [0, 0])
    with pytest.raises(InvalidArgumentError, match="order"):
        owned_weights([mask], [], [0])
    with pytest.raises(InvalidArgumentError, match=r"masks\[0\]"):
        owned_weights([mask], [(0, 0, 3, 2)], [0])
    with pytest.raises(InvalidTypeError, match=r"masks\[0\]"):
        owned_weights([mask.astype(int)], [(0, 0, 2, 2)], [0])
