"""Crops and pastes at places between pixels: against an oracle in float64, and as inverses of each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from arrays import frames_of
from hypothesis import given, settings
from hypothesis import strategies as st

from segs_detailer import ops
from segs_detailer.crop_path import CropPath, place_of

DTYPES = ("float32", "float16", "uint8")
FULL = {"float32": 1.0, "float16": 1.0, "uint8": 255.0}
# Rounding of a crop, and of a paste, which rounds the crop on its way.
CROP_TOLERANCE = {"float32": 2e-6, "float16": 6e-4, "uint8": 0.501}
PASTE_TOLERANCE = {"float32": 3e-6, "float16": 1.2e-3, "uint8": 1.001}


def lanczos(x):
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


def linear(x):
    return np.maximum(0.0, 1.0 - np.abs(x))


def matrix(kernel, places, size, outside):
    """Weights of the samples of an axis at places; those outside are folded to the edge, or left out."""
    reach = 3 if kernel is lanczos else 1
    weights = np.zeros((len(places), size))
    for row, place in zip(weights, places, strict=True):
        taps = np.arange(np.floor(place) - reach + 1, np.floor(place) + reach + 1)
        values = kernel(taps - place)
        for tap, value in zip(taps, values / values.sum(), strict=True):
            inside = 0 <= tap < size
            if inside or outside == "edge":
                row[int(np.clip(tap, 0, size - 1))] += value
    return weights


def sampled(images, kernel, rows, columns, outside):
    """Images `(n, h, w, c)` at the places of rows and columns."""
    down = matrix(kernel, rows, images.shape[1], outside)
    across = matrix(kernel, columns, images.shape[2], outside)
    return np.einsum("yh,xw,nhwc->nyxc", down, across, images.astype(np.float64))


def cropped(frames, region, fill=None):
    x1, y1, x2, y2 = region
    rows, columns = y1 + np.arange(round(y2 - y1)), x1 + np.arange(round(x2 - x1))
    full = FULL[str(frames.dtype)]
    # A constant around the frame: what is interpolated of the rest is its distance from the constant.
    base = 0.0 if fill is None else np.floor(fill * full + 0.5) if full > 1 else fill
    values = sampled(frames - float(base), lanczos, rows, columns, "edge" if fill is None else "nothing") + base
    return values.clip(0, full)


def pasted(frames, crops, mask, region, alpha=1.0):
    x1, y1, _, _ = region
    rows, columns = np.arange(frames.shape[1]) - y1, np.arange(frames.shape[2]) - x1
    full = FULL[str(frames.dtype)]
    values = sampled(crops, lanczos, rows, columns, "edge").clip(0, full)
    weights = sampled(mask[..., None], linear, rows, columns, "nothing") * alpha
    return (1 - weights) * frames + weights * values, weights


COORDINATE = st.one_of(st.integers(-20, 25), st.integers(-20 * 16, 25 * 16).map(lambda v: v / 16), st.floats(-20, 25))


def regions_of(places, size):
    return [(x, y, x + size[1], y + size[0]) for x, y in places]


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 20), st.integers(1, 4)),
    size=st.tuples(st.integers(1, 25), st.integers(1, 25)),
    places=st.lists(st.tuples(COORDINATE, COORDINATE), min_size=3, max_size=3),
    dtype=st.sampled_from(DTYPES),
    fill=st.sampled_from([None, 0.0, 0.4, 1.0]),
)
@settings(max_examples=150, deadline=None)
def test_crops_are_interpolated_at_their_own_places(shape, size, places, dtype, fill):
    frames = frames_of(1, shape, dtype)
    if dtype == "float16" and fill == 0.4:
        fill = 0.5  # which both types hold
    regions = regions_of(places[: shape[0]], size)
    got = ops.crop_frames(frames, regions, fill=fill)
    assert got.dtype == frames.dtype
    for index, region in enumerate(regions):
        expected = cropped(frames[index : index + 1], region, fill)
        np.testing.assert_allclose(got[index : index + 1].astype(np.float64), expected, atol=CROP_TOLERANCE[dtype])


@given(
    place=st.tuples(COORDINATE, COORDINATE),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    dtype=st.sampled_from(DTYPES),
    counts=st.tuples(st.sampled_from([1, 2]), st.sampled_from([1, 2])),
    alpha=st.sampled_from([0.0, 0.3, 1.0]),
)
@settings(max_examples=150, deadline=None)
def test_pastes_are_interpolated_and_change_no_bit_outside_the_mask(place, size, dtype, counts, alpha):
    frames = frames_of(2, (2, 15, 17, 3), dtype)
    crops = frames_of(3, (counts[0], *size, 3), dtype)
    mask = (frames_of(4, (counts[1], *size)) * 2 - 0.5).clip(0, 1)
    (region,) = regions_of([place], size)
    got = ops.paste(frames, crops, mask, region, alpha=alpha)
    expected, weights = pasted(frames, crops, mask, region, alpha)
    np.testing.assert_allclose(got.astype(np.float64), expected, atol=PASTE_TOLERANCE[dtype])
    hidden = np.broadcast_to(weights == 0, frames.shape)
    np.testing.assert_array_equal(got[hidden], frames[hidden])
    in_place = frames.copy()
    assert ops.paste_(in_place, crops, mask, region, alpha=alpha) is in_place
    np.testing.assert_array_equal(in_place, got)


@pytest.mark.parametrize("dtype", DTYPES)
def test_whole_numbers_as_floats_are_integers(dtype):
    frames, crops = frames_of(5, (3, 20, 22, 3), dtype), frames_of(6, (3, 7, 8, 3), dtype)
    regions = np.array([[-3, 4, 5, 11], [10, 2, 18, 9], [17, 17, 25, 24]])
    # Sums of tenths come out beside the numbers that they mean.
    near = np.cumsum(np.full((40, 1), 0.1), 0)[29] + regions - 3
    for same in (regions.astype(np.float64), regions.astype(np.float32), torch.from_numpy(regions * 1.0), near):
        np.testing.assert_array_equal(ops.crop_frames(frames, same), ops.crop_frames(frames, regions))
        np.testing.assert_array_equal(ops.paste(frames, crops, None, same), ops.paste(frames, crops, None, regions))


def test_whole_places_among_others_are_copied():
    # Beyond [0, 1], where interpolated values are limited and copied ones are not.
    frames = frames_of(7, (3, 16, 18, 3)) * 3 - 1
    regions = [(2.5, 3, 8.5, 9), (4, 2, 10, 8), (1, 1.25, 7, 7.25)]
    got = ops.crop_frames(frames, regions)
    np.testing.assert_array_equal(got[1], frames[1, 2:8, 4:10])
    assert got[0].min() >= 0
    assert got[0].max() <= 1
    back = ops.paste(frames, got, None, regions)
    np.testing.assert_array_equal(back[1], frames[1])


@pytest.mark.parametrize("fill", [None, 0.25])
@pytest.mark.parametrize("how", ["permuted", "reversed", "columns"])
@given(place=st.tuples(COORDINATE, COORDINATE))
@settings(max_examples=40, deadline=None)
def test_frames_whose_rows_have_gaps(place, how, fill):
    make = {
        "permuted": lambda: frames_of(8, (2, 3, 19, 21)).transpose(0, 2, 3, 1),
        "reversed": lambda: frames_of(8, (2, 19, 21, 3))[::-1, ::-1],
        "columns": lambda: frames_of(8, (2, 19, 42, 3))[:, :, ::2],
    }[how]
    frames = make()
    packed = np.array(frames, order="C")
    (region,) = regions_of([place], (5, 6))
    crops = ops.crop_frames(packed, region, fill=fill)
    np.testing.assert_array_equal(ops.crop_frames(frames, region, fill=fill), crops)
    stamp, mask = frames_of(9, (2, 5, 6, 3)), frames_of(10, (5, 6))
    expected = ops.paste(packed, stamp, mask, region)
    np.testing.assert_array_equal(ops.paste(frames, stamp, mask, region), expected)
    np.testing.assert_array_equal(ops.paste_(frames, stamp, mask, region), expected)


def test_a_nan_stays_within_the_reach_of_the_filter_and_out_of_the_frame():
    frames = np.full((1, 20, 20, 1), 0.5, np.float32)
    frames[0, 10, 10] = np.nan
    spread = np.isnan(ops.crop_frames(frames, (0.5, 0.5, 20.5, 20.5))[0, :, :, 0])
    rows, columns = np.nonzero(spread)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (7, 12, 7, 12)
    crops, mask = np.full((1, 8, 8, 1), np.nan, np.float32), np.zeros((8, 8), np.float32)
    mask[2:5, 2:5] = np.nan
    before = frames.copy()
    np.testing.assert_array_equal(ops.paste(frames, crops, mask, (3.5, 3.5, 11.5, 11.5)), before)


def smooth(shape):
    """Waves of 12 pixels and more, as in soft parts of a picture."""
    height, width, channels = shape[1:]
    y, x = np.mgrid[:height, :width]
    planes = [0.5 + 0.4 * np.sin(2 * np.pi * (x / (12 + c) + y / (17 - c)) + c) for c in range(channels)]
    return np.broadcast_to(np.stack(planes, -1), shape).astype(np.float32).copy()


def round_trip(frames, path):
    """The largest and the root mean square change of a crop that is pasted back untouched, beside its border."""
    regions = place_of(path)
    size = path.size
    mask = np.zeros(size, np.float32)
    mask[6:-6, 6:-6] = 1
    crops = ops.crop_frames(frames, regions)
    back = ops.paste(frames, crops, mask, regions)
    change = np.abs(back.astype(np.float64) - frames.astype(np.float64))
    inside = ops.paste(np.zeros(frames.shape, np.float32), np.ones(crops.shape, np.float32), mask, regions) > 0
    assert not change[~inside].any()
    return change.max(), np.sqrt((change[inside] ** 2).mean())


def moving_path(frames, step):
    x, y = 5.0 + step * np.arange(frames), 5.0 + step / 2 * np.arange(frames)
    return CropPath(np.stack([x, y, x + 48, y + 40], axis=1))


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_untouched_crop_pasted_back_changes_nothing_at_whole_places(dtype):
    frames = frames_of(11, (4, 64, 72, 3), dtype)
    assert round_trip(frames, moving_path(4, 2.0)) == (0, 0)


def test_an_untouched_crop_pasted_back_is_within_the_interpolation_error():
    path = moving_path(16, 0.37)
    largest, mean = round_trip(smooth((16, 64, 72, 3)), path)
    assert largest < 0.003
    assert mean < 0.0012
    # Noise has all frequencies, and the filter takes the highest away.
    _, mean = round_trip(frames_of(12, (16, 64, 72, 3)), path)
    assert 0.01 < mean < 0.15
    # Bytes are rounded twice more.
    largest, _ = round_trip((smooth((16, 64, 72, 3)) * 255).round().astype(np.uint8), path)
    assert largest <= 2


def test_a_plain_area_stays_plain():
    frames = np.full((8, 40, 44, 3), 0.3, np.float32)
    regions = np.array([(3 + i / 8, 5 + i / 7, 23 + i / 8, 25 + i / 7) for i in range(8)])
    crops = ops.crop_frames(frames, regions)
    np.testing.assert_allclose(crops, 0.3, atol=1e-6)
    np.testing.assert_allclose(ops.paste(frames, crops, None, regions), 0.3, atol=1e-6)
