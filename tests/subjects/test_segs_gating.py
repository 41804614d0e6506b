"""Segments are painted in the frames in which their subject has the right size, and stay as they are in all others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segs_detailer.crop_path import CropPath
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.lazy_masks import is_lazy, lazy_masks
from segs_detailer.segs import SEG
from segs_detailer.subjects import SizeWindow, gate_segs

HEIGHT, WIDTH = SIZE = (100, 200)


def stack(sides, wide=1, dtype=np.uint8):
    """Masks of rectangles that are so high, and as many times as wide."""
    masks = np.zeros((len(sides), 80, 160), dtype)
    for mask, side in zip(masks, sides, strict=True):
        mask[:side, : side * wide] = 255 if dtype == np.uint8 else 1
    return masks


def seg_of(masks, region=(10, 10, 170, 90), label="face"):
    return SEG(None, masks, 0.9, region, (10, 10, 50, 50), label)


def gate(*segs, **window):
    return gate_segs((SIZE, list(segs)), SizeWindow(**{"ramp": 0, "hysteresis": 0.0, **window}))


def painted(seg):
    return np.asarray(seg.cropped_mask).any(axis=(1, 2)).nonzero()[0].tolist()


SIDES = [10, 20, 30, 40, 50, 60]


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ({"measure": "height px", "min": 20, "max": 40}, [1, 2, 3]),
        ({"measure": "height %", "min": 20, "max": 40}, [1, 2, 3]),
        ({"measure": "width px", "min": 60}, [2, 3, 4, 5]),
        ({"measure": "width %", "max": 30}, [0, 1, 2]),
        ({"measure": "area px", "min": 800, "max": 3200}, [1, 2, 3]),
        ({"measure": "area %", "min": 4, "max": 16}, [1, 2, 3]),
    ],
)
def test_what_is_measured_and_both_limits_are_within(window, expected):
    passed = gate(seg_of(stack(SIDES, wide=2)), **window)
    assert painted(passed.segs[1][0]) == expected
    assert passed.remained == (SIZE, [])
    assert passed.segs[0] == SIZE


def test_what_passes_as_a_whole_is_the_same_object_and_what_does_not_remains_as_it_was():
    small, large = seg_of(stack([10, 12])), seg_of(stack([50, 60]), label="hand")
    empty = seg_of(stack([0, 0]))
    passed = gate(small, large, empty, measure="height px", min=20)
    assert passed.segs[1] == [large]
    assert passed.segs[1][0] is large
    assert [a is b for a, b in zip(passed.remained[1], [small, empty], strict=True)] == [True, True]
    assert gate_segs((SIZE, [small, large])).segs[1] == [small, large]
    assert gate_segs((SIZE, [])).segs == (SIZE, [])


def test_the_masks_that_came_are_not_changed():
    masks = stack(SIDES)
    masks.setflags(write=False)
    passed = gate(seg_of(masks), measure="height px", min=30)
    assert np.array_equal(passed.segs[1][0].cropped_mask[2:], masks[2:])


def test_about_a_limit_it_does_not_flicker():
    sides = (40 + np.array([0, 2, -2, 3, -3, 1, -1, 2] * 5)).tolist()

    def changes(hysteresis):
        on = np.isin(
            np.arange(40), painted(gate(seg_of(stack(sides)), measure="height px", min=40, **hysteresis).segs[1][0])
        )
        return int(np.abs(np.diff(on.astype(int))).sum())

    assert changes({"hysteresis": 0.0}) > 15
    assert changes({"hysteresis": 0.15}) == 1


def test_it_comes_back_well_within_the_limit():
    sides = [40, 51, 46, 44, 42, 40, 19, 21, 22, 23, 25]
    passed = gate(seg_of(stack(sides)), measure="height px", min=20, max=50, hysteresis=0.15)
    # Out above 50, back at 42.5; out below 20, back at 23.
    assert painted(passed.segs[1][0]) == [0, 4, 5, 9, 10]


def test_a_window_that_is_narrower_than_the_hysteresis_opens_in_its_middle():
    sides = [30, 20, 30, 31, 32, 40, 30]
    passed = gate(seg_of(stack(sides)), measure="height px", min=28, max=32, hysteresis=0.9)
    assert painted(passed.segs[1][0]) == [0, 2, 3, 4, 6]


@given(
    sides=st.lists(st.integers(0, 80), min_size=2, max_size=20),
    limits=st.tuples(st.integers(0, 80), st.integers(0, 80)),
    hysteresis=st.floats(0, 0.9),
)
@settings(max_examples=40, deadline=None)
def test_outside_the_window_nothing_is_painted(sides, limits, hysteresis):
    low, high = sorted(limits)
    passed = gate(seg_of(stack(sides)), measure="height px", min=low, max=high, hysteresis=hysteresis, ramp=3)
    inside = {frame for frame, side in enumerate(sides) if low <= side <= high and side}
    for seg in passed.segs[1]:
        assert set(painted(seg)) <= inside
    assert bool(passed.segs[1]) <= bool(inside)


def test_the_paste_comes_and_goes_in_a_ramp():
    sides = [30] * 6 + [60] * 3 + [30] * 4
    [seg] = gate(seg_of(stack(sides)), measure="height px", max=50, ramp=2).segs[1]
    region = seg.crop_region
    assert isinstance(region, CropPath)
    assert tuple(region) == (10, 10, 170, 90)
    assert (region.regions == region).all()
    assert np.allclose(region.alpha, [1, 1, 1, 1, 2 / 3, 1 / 3, 0, 0, 0, 1 / 3, 2 / 3, 1, 1])
    assert not seg.cropped_mask[6:9].any()
    # The model paints in full; the paste fades.
    assert (seg.cropped_mask[:6] == stack(sides)[:6]).all()


def test_without_a_ramp_a_plain_region_stays_plain():
    [seg] = gate(seg_of(stack(SIDES)), measure="height px", max=50).segs[1]
    assert type(seg.crop_region) is tuple


def test_where_it_is_not_seen_there_is_no_ramp():
    sides = [30, 30, 0, 0, 30, 30, 60]
    [seg] = gate(seg_of(stack(sides)), measure="height px", max=50, ramp=1).segs[1]
    assert seg.crop_region.alpha.tolist() == [1, 1, 1, 1, 1, 0.5, 0]


def test_a_crop_that_moves_keeps_its_way_and_its_box_goes_along():
    starts = np.arange(6)[:, None] * [3, 1]
    regions = np.concatenate([starts, starts + np.array([40, 30])], axis=1)
    alpha = np.array([0, 0.5, 1, 1, 1, 1], np.float32)
    masks = np.zeros((6, 30, 40), bool)
    for frame, side in enumerate((5, 25, 25, 10, 10, 10)):
        masks[frame, :side, :side] = True
    seg = SEG(None, masks, 1.0, CropPath(regions, alpha), (5, 3, 15, 13), "face")
    [out] = gate(seg, measure="height px", max=20, ramp=1).segs[1]
    assert np.array_equal(out.crop_region.regions, regions)
    assert out.crop_region.alpha.tolist() == [0, 0, 0, 0.5, 1, 1]
    # Frame 3 is the first that is pasted, where frame 1 was.
    assert tuple(out.crop_region) == (9, 3, 49, 33)
    assert out.bbox == (11, 5, 21, 15)


def test_the_size_is_that_in_the_frame():
    masks = np.ones((2, 80, 80), np.uint8)
    seg = SEG(None, masks, 1.0, (-60, 10, 20, 90), (0, 10, 20, 90), "face")
    assert gate(seg, measure="width px", max=20).segs[1] == [seg]
    assert gate(seg, measure="width px", max=19).segs[1] == []


@pytest.mark.parametrize("mask", [None, np.ones((80, 160), np.float32), np.ones((1, 80, 160), np.float32)])
def test_one_mask_for_all_frames_has_the_size_of_its_box(mask):
    seg = seg_of(mask)
    assert gate(seg, measure="height px", min=40, max=40).segs[1][0] is seg
    assert gate(seg, measure="height px", min=41).remained[1][0] is seg


@pytest.mark.parametrize(
    "masks",
    [
        stack(SIDES, dtype=np.float32),
        stack(SIDES, dtype=bool),
        torch.from_numpy(stack(SIDES)),
        torch.from_numpy(stack(SIDES, dtype=np.float32)).half(),
    ],
    ids=["float32", "bool", "torch uint8", "torch float16"],
)
def test_masks_stay_what_they_are(masks):
    [seg] = gate(seg_of(masks), measure="height px", max=30).segs[1]
    assert type(seg.cropped_mask) is type(masks)
    assert seg.cropped_mask.dtype == masks.dtype
    assert painted(seg) == [0, 1, 2]


def test_faint_values_do_not_become_white_where_the_bright_ones_go():
    masks = stack([30, 60])
    masks[0][masks[0] == 255] = 1
    [seg] = gate(seg_of(masks), measure="height px", max=30).segs[1]
    assert seg.cropped_mask.max() == pytest.approx(1 / 255)


@pytest.mark.parametrize(
    "region", [(10, 10, 170, 90), CropPath([(f, 10, f + 160, 90) for f in range(6)])], ids=["still", "moving"]
)
def test_masks_that_are_drawn_when_they_are_read_stay_so(region):
    levels, drawn = stack(SIDES), []

    def draw(start, stop):
        drawn.append((start, stop))
        return levels[start:stop]

    window = {"measure": "height px", "min": 20, "max": 40, "ramp": 1}
    [seg] = gate(seg_of(lazy_masks(draw, levels.shape), region), **window).segs[1]
    assert drawn == [(frame, frame + 1) for frame in range(6)]
    assert is_lazy(seg.cropped_mask)
    [dense] = gate(seg_of(levels, region), **window).segs[1]
    assert np.array_equal(np.asarray(seg.cropped_mask[:]), dense.cropped_mask / np.float32(255))
    assert seg[3:6] == dense[3:6]


def test_the_report():
    passed = gate(
        seg_of(stack(SIDES)),
        seg_of(stack([60] * 6), label="hand"),
        seg_of(None),
        seg_of(stack([0, 0])),
        measure="height %",
        max=40,
    )
    assert passed.text.splitlines() == [
        "height from 0 to 40 %: 2 of 4 segments painted",
        "1 face: painted in 4 of 6 frames (0 to 3); height 10 to 60 %",
        "2 hand: left alone; height 60 %",
        "3 face: painted in all frames; height 40 %",
        "4 face: left alone; no mask shows anything",
    ]
    assert [report.number for report in passed.reports] == [1, 2, 3, 4]
    assert (
        gate_segs((SIZE, []), SizeWindow(measure="area px", min=5)).text == "area from 5 px²: 0 of 0 segments painted"
    )


def test_what_cannot_be_used_is_said():
    with pytest.raises(InvalidArgumentError, match="max: expected at least `min`, 5, got 4"):
        SizeWindow(min=5, max=4)
    with pytest.raises(InvalidArgumentError, match=r"measure: expected one of .*height %"):
        SizeWindow(measure="size")
    with pytest.raises(InvalidArgumentError, match="hysteresis"):
        SizeWindow(hysteresis=1)
    with pytest.raises(InvalidTypeError, match="ramp"):
        SizeWindow(ramp=1.5)
    path = CropPath(np.tile([0, 0, 160, 80], (5, 1)))
    with pytest.raises(InvalidArgumentError, match="a path of 6 frames"):
        gate(seg_of(stack(SIDES), path), min=1)
