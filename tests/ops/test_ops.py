"""The image operations on memory of the CPU: results against independent oracles, kinds, copies and errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from arrays import frames_of, to_numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segs_detailer import ops

DTYPES = ("float32", "float16", "uint8")
KINDS = ("numpy", "torch")


def as_kind(kind, array):
    return torch.from_numpy(array) if kind == "torch" else array


def address(array):
    return array.data_ptr() if isinstance(array, torch.Tensor) else array.__array_interface__["data"][0]


# Oracles: plain and slow, in float64.


def cropped(frames, region, fill=None):
    x1, y1, x2, y2 = region
    rows, columns = np.arange(y1, y2), np.arange(x1, x2)
    height, width = frames.shape[1:3]
    out = frames[:, rows.clip(0, height - 1)][:, :, columns.clip(0, width - 1)].copy()
    if fill is not None:
        outside = ((rows < 0) | (rows >= height))[:, None] | ((columns < 0) | (columns >= width))[None]
        out[:, outside] = math.floor(fill * 255 + 0.5) if frames.dtype == np.uint8 else fill
    return out


def pasted(frames, crops, mask, region, alpha=1.0):
    out = frames.astype(np.float64)
    x1, y1, _, _ = region
    for b in range(len(frames)):
        for y in range(crops.shape[1]):
            for x in range(crops.shape[2]):
                if 0 <= y + y1 < frames.shape[1] and 0 <= x + x1 < frames.shape[2]:
                    m = mask[b % len(mask), y, x] * alpha
                    old = out[b, y + y1, x + x1]
                    out[b, y + y1, x + x1] = (1 - m) * old + m * crops[b % len(crops), y, x].astype(np.float64)
    return np.floor(out + 0.5).astype(np.uint8) if frames.dtype == np.uint8 else out


def feathered(mask, feather):
    height, width = mask.shape
    taps = 2 * feather + 1
    if min(height, width) <= taps:
        taps = min(height, width) // 2
        taps += taps % 2 == 0
    if taps < 3:
        return mask.astype(np.float64)
    radius = taps // 2
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / 10.0) ** 2)
    kernel /= kernel.sum()
    padded = np.pad(mask.astype(np.float64), radius, mode="reflect")
    rows = sum(k * padded[:, i : i + width] for i, k in enumerate(kernel))
    return sum(k * rows[i : i + height] for i, k in enumerate(kernel))


REGION = st.tuples(st.integers(-30, 30), st.integers(-30, 30), st.integers(0, 25), st.integers(0, 25)).map(
    lambda r: (r[0], r[1], r[0] + r[2], r[1] + r[3])
)
SHAPE = st.tuples(st.integers(0, 3), st.integers(1, 20), st.integers(1, 20), st.integers(1, 4))


@given(shape=SHAPE, region=REGION, dtype=st.sampled_from(DTYPES), fill=st.sampled_from([None, 0.0, 0.5, 1.0]))
@settings(max_examples=150, deadline=None)
def test_crops_are_exact_inside_and_outside_the_frame(shape, region, dtype, fill):
    frames = frames_of(1, shape, dtype)
    np.testing.assert_array_equal(ops.crop_frames(frames, region, fill=fill), cropped(frames, region, fill))


def test_moving_crops_take_their_own_region():
    frames = frames_of(2, (3, 12, 14, 3))
    regions = np.array([[0, 0, 5, 6], [-2, 3, 3, 9], [11, 8, 16, 14]])
    got = ops.crop_frames(frames, regions)
    for b, region in enumerate(regions):
        np.testing.assert_array_equal(got[b : b + 1], cropped(frames[b : b + 1], region))
    np.testing.assert_array_equal(ops.crop_frames(torch.from_numpy(frames), torch.from_numpy(regions)).numpy(), got)


@given(region=REGION, fill=st.sampled_from([None, 0.25]), how=st.sampled_from(["permuted", "reversed", "columns"]))
@settings(max_examples=80, deadline=None)
def test_crops_of_frames_whose_rows_have_gaps(region, fill, how):
    frames = {
        "permuted": frames_of(3, (2, 3, 9, 11)).transpose(0, 2, 3, 1),
        "reversed": frames_of(3, (2, 9, 11, 3))[::-1, ::-1],
        "columns": frames_of(3, (2, 9, 22, 3))[:, :, ::2],
    }[how]
    np.testing.assert_array_equal(ops.crop_frames(frames, region, fill=fill), cropped(frames, region, fill))


@pytest.mark.parametrize("size", [(40, 66), (9, 7), (20, 50), (31, 33), (1, 1)])
def test_resized_frames_are_pillows_in_float(size):
    frames = frames_of(4, (2, 20, 33, 3))
    got = ops.resize_frames(frames, size)
    for b in range(2):
        for c in range(3):
            plane = Image.fromarray(frames[b, :, :, c]).resize((size[1], size[0]), Image.Resampling.LANCZOS)
            np.testing.assert_allclose(got[b, :, :, c], np.asarray(plane).clip(0, 1), atol=1e-5)


@pytest.mark.parametrize("size", [(40, 66), (9, 7)])
def test_resized_uint8_frames_are_within_a_step_of_pillows(size):
    # Noise overshoots, which Pillow clips after each of its two passes.
    frames = frames_of(5, (1, 20, 33, 3), "uint8")
    got = ops.resize_frames(frames, size)
    theirs = np.asarray(Image.fromarray(frames[0]).resize((size[1], size[0]), Image.Resampling.LANCZOS))
    assert np.abs(got[0].astype(int) - theirs).max() <= 1


def test_resized_half_frames_are_the_float_ones_rounded():
    frames = frames_of(6, (2, 12, 10, 4), "float16")
    expected = ops.resize_frames(frames.astype(np.float32), (25, 7)).astype(np.float16)
    np.testing.assert_allclose(ops.resize_frames(frames, (25, 7)).astype(np.float32), expected, atol=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (5, 40), (23, 17), (60, 60)])
@pytest.mark.parametrize("shape", [(23, 17), (3, 23, 17), (1, 1), (0, 4, 4)])
def test_resized_masks_are_torchs(shape, size):
    masks = torch.from_numpy(frames_of(7, shape))
    got = ops.resize_masks(masks, size)
    assert tuple(got.shape) == (*shape[:-2], *size)
    if masks.numel():
        batch = masks.reshape(-1, 1, *shape[-2:])
        expected = torch.nn.functional.interpolate(batch, size=size, mode="bilinear", align_corners=False)
        torch.testing.assert_close(got.reshape(-1, 1, *size), expected, atol=1e-6, rtol=0)


@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    feather=st.one_of(st.integers(0, 30), st.just(2**20)),
    seed=st.integers(0, 9),
)
@settings(max_examples=100, deadline=None)
def test_feathering_is_a_reflected_gaussian_that_shrinks_for_small_masks(size, feather, seed):
    mask = frames_of(seed, size)
    np.testing.assert_allclose(ops.feather_mask(mask, feather), feathered(mask, feather), atol=1e-5)


@given(
    region=st.tuples(st.integers(-12, 14), st.integers(-12, 14)),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    dtype=st.sampled_from(DTYPES),
    counts=st.tuples(st.sampled_from([1, 2]), st.sampled_from([1, 2])),
    alpha=st.sampled_from([0.0, 0.4, 1.0]),
)
@settings(max_examples=100, deadline=None)
def test_pasting_blends_inside_the_clipped_region_only(region, size, dtype, counts, alpha):
    frames = frames_of(8, (2, 10, 13, 3), dtype)
    crops = frames_of(9, (counts[0], *size, 3), dtype)
    mask = frames_of(10, (counts[1], *size))
    mask[mask < 0.2] = 0.0
    box = (*region, region[0] + size[1], region[1] + size[0])
    got = ops.paste(frames, crops, mask, box, alpha=alpha)
    tolerance = {"float32": 1e-6, "float16": 1e-3, "uint8": 1}[dtype]
    np.testing.assert_allclose(
        got.astype(np.float64), pasted(frames, crops, mask, box, alpha).astype(np.float64), atol=tolerance
    )
    untouched = pasted(np.zeros_like(frames, dtype=np.float32), np.ones(crops.shape), np.ceil(mask), box) == 0
    assert (got == frames)[untouched].all()
    in_place = frames.copy()
    assert ops.paste_(in_place, crops, mask, box, alpha=alpha) is in_place
    np.testing.assert_array_equal(in_place, got)


def test_pasting_without_a_mask_shows_the_whole_crop_and_moves_with_its_regions():
    frames, crops = frames_of(11, (2, 9, 9, 3)), frames_of(12, (2, 3, 4, 3))
    got = ops.paste(frames, crops, None, [(0, 0, 4, 3), (7, 5, 11, 8)])
    expected = frames.copy()
    expected[0, :3, :4] = crops[0]
    expected[1, 5:8, 7:] = crops[1, :, :2]
    np.testing.assert_array_equal(got, expected)


def test_what_a_crop_holds_where_nothing_is_pasted_does_not_matter():
    frames, crops = frames_of(13, (1, 4, 4, 3)), np.full((1, 4, 4, 3), np.nan, np.float32)
    frames[0, 0, 0] = -0.0
    got = ops.paste(frames, crops, np.zeros((4, 4), np.float32), (0, 0, 4, 4))
    assert got.tobytes() == frames.tobytes()


def test_the_alpha_of_rgba_crops_multiplies_the_mask():
    frames, crops = frames_of(14, (1, 5, 6, 3)), frames_of(15, (1, 5, 6, 4))
    mask = frames_of(16, (5, 6))
    got = ops.paste(frames, crops, mask, (0, 0, 6, 5))
    weight = mask[None, ..., None] * crops[..., 3:]
    np.testing.assert_allclose(got, (1 - weight) * frames + weight * crops[..., :3], atol=1e-6)


def test_crops_are_laid_over_rgba_frames():
    frames, crops = frames_of(17, (1, 5, 6, 4)), frames_of(18, (1, 5, 6, 4))
    mask = frames_of(19, (5, 6))
    got = ops.paste(frames, crops, mask, (0, 0, 6, 5))
    weight = mask[None, ..., None] * crops[..., 3:]
    under = frames[..., 3:] * (1 - weight)
    np.testing.assert_allclose(got[..., 3:], weight + under, atol=1e-6)
    color = (weight * crops[..., :3] + under * frames[..., :3]) / (weight + under)
    np.testing.assert_allclose(got[..., :3], color, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["slice", "permuted"])
def test_pasting_into_frames_that_are_not_contiguous(kind, how):
    crops, mask = frames_of(21, (2, 5, 6, 3)), frames_of(22, (5, 6))
    if how == "slice":
        base = as_kind(kind, frames_of(20, (2, 12, 20, 3)))
        frames = base[:, 1:11, 4:17]
    else:
        base = as_kind(kind, frames_of(20, (2, 3, 10, 13)))
        frames = base.permute(0, 2, 3, 1) if kind == "torch" else base.transpose(0, 2, 3, 1)
    region = (-2, 7, 4, 12)
    expected = pasted(to_numpy(frames), crops, mask[None], region)
    before = to_numpy(base).copy()
    # The whole is pasted first: it must not change its input.
    whole = ops.paste(frames, as_kind(kind, crops), as_kind(kind, mask), region)
    np.testing.assert_array_equal(to_numpy(base), before)
    np.testing.assert_allclose(to_numpy(whole), expected, atol=1e-6)
    assert ops.paste_(frames, as_kind(kind, crops), as_kind(kind, mask), region) is frames
    np.testing.assert_array_equal(to_numpy(frames), to_numpy(whole))
    if how == "slice":
        to_numpy(frames)[...] = before[:, 1:11, 4:17]
        np.testing.assert_array_equal(to_numpy(base), before)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 7, 50])
def test_dilation_and_erosion_are_opencvs(size):
    cv2 = pytest.importorskip("cv2")
    masks = frames_of(26, (2, 21, 18))
    kernel = np.ones((max(size, 1), max(size, 1)), np.uint8)
    for b in range(2):
        np.testing.assert_array_equal(ops.dilate(masks, size)[b], cv2.dilate(masks[b], kernel))
        np.testing.assert_array_equal(ops.erode(masks, size)[b], cv2.erode(masks[b], kernel))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["uint8", "bool"])
def test_holes_and_components_are_scipys(kind, dtype):
    ndimage = pytest.importorskip("scipy.ndimage")
    mask = frames_of(27, (40, 50)) < 0.45
    filled = ops.fill_holes(as_kind(kind, mask.astype(dtype)))
    np.testing.assert_array_equal(to_numpy(filled), ndimage.binary_fill_holes(mask))
    labels, boxes, areas = ops.connected_components(as_kind(kind, mask.astype(dtype)))
    expected, count = ndimage.label(mask, np.ones((3, 3)))
    assert (len(boxes), len(areas)) == (count, count)
    np.testing.assert_array_equal(to_numpy(labels), expected)
    for number, (rows, columns) in enumerate(ndimage.find_objects(expected)):
        assert boxes[number].tolist() == [columns.start, rows.start, columns.stop, rows.stop]
        assert areas[number] == (expected == number + 1).sum()


# One call of every op that has `out`: the name, the arrays in order, and what follows.
CASES = {
    "crop_frames": (lambda: [frames_of(1, (2, 9, 8, 3))], [(1, -2, 7, 5)], (2, 7, 6, 3), "float32"),
    "resize_frames": (lambda: [frames_of(1, (2, 9, 8, 3))], [(5, 12)], (2, 5, 12, 3), "float32"),
    "resize_masks": (lambda: [frames_of(1, (2, 9, 8))], [(5, 12)], (2, 5, 12), "float32"),
    "feather_mask": (lambda: [frames_of(1, (9, 8))], [2], (9, 8), "float32"),
    "paste": (
        lambda: [frames_of(1, (2, 9, 8, 3)), frames_of(2, (2, 4, 4, 3)), frames_of(3, (4, 4))],
        [(6, 1, 10, 5)],
        (2, 9, 8, 3),
        "float32",
    ),
    "threshold": (lambda: [frames_of(1, (9, 8))], [0.5], (9, 8), "uint8"),
    "dilate": (lambda: [frames_of(1, (9, 8))], [3], (9, 8), "float32"),
    "erode": (lambda: [frames_of(1, (2, 9, 8))], [4], (2, 9, 8), "float32"),
}


@pytest.mark.parametrize("name", CASES)
def test_every_op_gives_back_the_kind_it_was_given_and_leaves_its_inputs(name):
    make, rest, shape, dtype = CASES[name]
    op, arrays = getattr(ops, name), make()
    from_numpy = op(*arrays, *rest)
    from_torch = op(*(torch.from_numpy(a) for a in arrays), *rest)
    assert type(from_numpy) is np.ndarray
    assert type(from_torch) is torch.Tensor
    assert from_numpy.shape == tuple(from_torch.shape) == shape
    assert from_numpy.dtype == dtype
    np.testing.assert_array_equal(from_numpy, from_torch.numpy())
    for array, again in zip(arrays, make(), strict=True):
        np.testing.assert_array_equal(array, again)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CASES)
def test_results_are_written_to_out(name, kind):
    make, rest, shape, dtype = CASES[name]
    op, arrays = getattr(ops, name), [as_kind(kind, a) for a in make()]
    out = as_kind(kind, np.zeros(shape, dtype))
    where = address(out)
    assert op(*arrays, *rest, out=out) is out
    assert address(out) == where
    np.testing.assert_array_equal(to_numpy(out), to_numpy(op(*arrays, *rest)))


@pytest.mark.parametrize("shape", [(0, 4, 5, 3), (2, 4, 5, 3)])
def test_empty_batches_and_regions(shape):
    frames = np.zeros(shape, np.float32)
    assert ops.crop_frames(frames, (1, 1, 1, 3)).shape == (shape[0], 2, 0, 3)
    assert ops.crop_frames(frames, (90, 90, 92, 93)).shape == (shape[0], 3, 2, 3)
    assert ops.resize_frames(frames[:0], (7, 8)).shape == (0, 7, 8, 3)
    crops = np.ones((1, 2, 2, 3), np.float32)
    np.testing.assert_array_equal(ops.paste(frames, crops, None, (50, 0, 52, 2)), frames)
    np.testing.assert_array_equal(ops.paste(frames, crops[:, :0], None, (0, 0, 2, 0)), frames)
