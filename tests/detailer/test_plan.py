"""Sizes: the scale of a crop, the model's grid, and the number of frames."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segs_detailer.detailer.plan import WorkingSize, fit_size, plan_size, reflect_frames


def plan(size, bbox, guide_size, max_size=4096, *, for_bbox=True, limit=False):
    return plan_size(
        size,
        bbox,
        guide_size=guide_size,
        guide_size_for="bbox" if for_bbox else "crop_region",
        max_size=max_size,
        limit_size=limit,
    )


def test_the_shorter_side_of_the_bounding_box_reaches_the_guide_size():
    # The box is 20 x 40, the crop 60 wide and 90 high: scale 128 / 20.
    assert plan((90, 60), (10, 10, 30, 50), 128) == WorkingSize(576, 384, scaled=True)


def test_the_shorter_side_of_the_crop_reaches_the_guide_size():
    assert plan((90, 60), (10, 10, 30, 50), 120, for_bbox=False) == WorkingSize(180, 120, scaled=True)


def test_sides_are_truncated():
    # 7 x 512 / 3 = 1194.67
    assert plan((7, 7), (0, 0, 3, 3), 512).height == 1194


def test_the_longer_side_is_held_to_max_size():
    planned = plan((50, 100), (0, 0, 10, 10), 100, max_size=300)
    assert (planned.width, planned.height) == (300, 150)


def test_a_scale_of_one_or_less_works_at_the_own_size():
    assert plan((100, 100), (0, 0, 100, 100), 100) == WorkingSize(100, 100, scaled=False)
    assert plan((100, 100), (0, 0, 100, 100), 64) == WorkingSize(100, 100, scaled=False)
    # Held to max_size, the scale falls below one.
    assert plan((2000, 2000), (0, 0, 50, 50), 512, max_size=1024) == WorkingSize(2000, 2000, scaled=False)


@pytest.mark.parametrize("bbox", [(10, 10, 10, 50), (10, 10, 30, 10), (5, 5, 5, 5)])
def test_a_box_without_area_falls_back_to_the_crop(bbox):
    assert plan((90, 60), bbox, 120) == WorkingSize(180, 120, scaled=True)


def test_a_side_without_pixels_works_at_the_own_size():
    # Held to max_size 8, the shorter side of 1 x 100 would vanish.
    assert plan((1, 100), (0, 0, 1, 1), 512, max_size=8) == WorkingSize(1, 100, scaled=False)


def test_scaled_sizes_go_to_the_nearest_multiple():
    assert fit_size(WorkingSize(100, 107, scaled=True), multiple=8, max_size=1024) == (104, 104)
    assert fit_size(WorkingSize(99, 108, scaled=True), multiple=8, max_size=1024) == (96, 112)


def test_scaled_sizes_never_pass_max_size():
    assert fit_size(WorkingSize(1020, 1020, scaled=True), multiple=8, max_size=1020) == (1016, 1016)


def test_own_sizes_are_rounded_up():
    assert fit_size(WorkingSize(97, 105, scaled=False), multiple=8, max_size=64) == (104, 112)


def test_no_side_falls_below_one_multiple():
    assert fit_size(WorkingSize(2, 500, scaled=True), multiple=64, max_size=32) == (64, 64)


def test_larger_crops_are_scaled_down_where_the_size_is_limited():
    assert plan((1080, 1920), (0, 0, 900, 900), 512, 1024, limit=True) == WorkingSize(576, 1024, scaled=True)
    # Scaled up as before, or within the limit: at their own size, as before.
    assert plan((90, 60), (10, 10, 30, 50), 128, limit=True) == plan((90, 60), (10, 10, 30, 50), 128)
    assert plan((800, 1000), (0, 0, 700, 700), 512, 1024, limit=True) == WorkingSize(800, 1000, scaled=False)
    # Each side keeps a pixel.
    assert plan((1, 100), (0, 0, 1, 1), 512, max_size=8, limit=True) == WorkingSize(1, 8, scaled=True)


def test_own_sizes_are_not_rounded_up_beyond_a_limit():
    assert fit_size(WorkingSize(97, 100, scaled=False), multiple=8, max_size=100, limit_size=True) == (96, 96)
    assert fit_size(WorkingSize(50, 90, scaled=False), multiple=8, max_size=100, limit_size=True) == (56, 96)


sizes = st.integers(1, 5000)


@given(sizes, sizes, st.integers(0, 400), st.integers(0, 400), st.floats(1, 4096), st.floats(64, 4096), st.booleans())
def test_no_side_passes_a_limit(height, width, bbox_width, bbox_height, guide_size, max_size, for_bbox):
    bbox = (0, 0, bbox_width, bbox_height)
    planned = plan((height, width), bbox, guide_size, max_size, for_bbox=for_bbox, limit=True)
    fitted = fit_size(planned, multiple=64, max_size=max_size, limit_size=True)
    assert max(fitted) <= max_size
    assert all(side >= 64 and side % 64 == 0 for side in fitted)
    free = plan((height, width), bbox, guide_size, max_size, for_bbox=for_bbox)
    if max(free.height, free.width) <= max_size:
        assert planned == free


@given(sizes, sizes, st.integers(0, 400), st.integers(0, 400), st.floats(1, 4096), st.floats(8, 4096), st.booleans())
def test_every_plan_fits_a_model(height, width, bbox_width, bbox_height, guide_size, max_size, for_bbox):
    bbox = (0, 0, bbox_width, bbox_height)
    planned = plan((height, width), bbox, guide_size, max_size, for_bbox=for_bbox)
    fitted = fit_size(planned, multiple=8, max_size=max_size)
    assert all(side >= 8 and side % 8 == 0 for side in fitted)
    if planned.scaled:
        assert max(planned.height, planned.width) < max_size + 1
        assert max(fitted) <= max_size
        assert all(abs(a - b) <= 8 for a, b in zip(fitted, (planned.height, planned.width), strict=True))
    else:
        assert (planned.height, planned.width) == (height, width)
        assert all(0 <= a - b < 8 for a, b in zip(fitted, (height, width), strict=True))


@pytest.mark.parametrize(
    ("count", "wanted", "order"),
    [
        (1, 4, [0, 0, 0, 0]),
        (2, 5, [0, 1, 0, 1, 0]),
        (3, 3, [0, 1, 2]),
        (3, 6, [0, 1, 2, 1, 0, 1]),
        (4, 9, [0, 1, 2, 3, 2, 1, 0, 1, 2]),
    ],
)
def test_frames_are_reflected(count, wanted, order):
    assert reflect_frames(count, wanted) == order
