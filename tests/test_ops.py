"""The image operations on memory of the CPU: results against independent oracles, kinds, copies and errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segs_detailer import ops
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError

DTYPES = ("float32", "float16", "uint8")
KINDS = ("numpy", "torch")


def frames_of(seed, shape, dtype="float32"):
    values = np.random.default_rng(seed).random(shape, dtype=np.float32)
    return (values * 255).round().astype(np.uint8) if dtype == "uint8" else values.astype(dtype)


def as_kind(kind, array):
    return torch.from_numpy(array) if kind == "torch" else array


def to_numpy(array):
    return array.numpy() if isinstance(array, torch.Tensor) else array


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
    colour = (weight * crops[..., :3] + under * frames[..., :3]) / (weight + under)
    np.testing.assert_allclose(got[..., :3], colour, atol=1e-5)


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


def test_non_contiguous_crops_and_masks_are_pasted_alike():
    frames = frames_of(23, (2, 10, 10, 3))
    crops, mask = frames_of(24, (2, 3, 5, 6)).transpose(0, 2, 3, 1), frames_of(25, (6, 5)).T
    got = ops.paste(frames, crops, mask, (1, 2, 7, 7))
    expected = ops.paste(frames, np.ascontiguousarray(crops), np.ascontiguousarray(mask), (1, 2, 7, 7))
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 7, 50])
def test_dilation_and_erosion_are_opencvs(size):
    cv2 = pytest.importorskip("cv2")
    masks = frames_of(26, (2, 21, 18))
    kernel = np.ones((max(size, 1), max(size, 1)), np.uint8)
    for b in range(2):
        np.testing.assert_array_equal(ops.dilate(masks, size)[b], cv2.dilate(masks[b], kernel))
        np.testing.assert_array_equal(ops.erode(masks, size)[b], cv2.erode(masks[b], kernel))


def test_threshold_is_above_and_never_nan():
    masks = np.array([[0.0, 0.5, np.nan], [0.6, 1.0, np.nextafter(np.float32(0.5), np.float32(1))]], np.float32)
    np.testing.assert_array_equal(ops.threshold(masks, 0.5), [[0, 0, 0], [1, 1, 1]])


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


@pytest.mark.parametrize("name", CASES)
def test_outputs_that_cannot_be_written_are_refused(name):
    make, rest, shape, dtype = CASES[name]
    op, arrays = getattr(ops, name), make()
    tensors = [torch.from_numpy(a) for a in arrays]
    read_only = np.zeros(shape, dtype)
    read_only.flags.writeable = False
    with pytest.raises(InvalidArgumentError, match="out: expected a writable array, got a read-only one"):
        op(*arrays, *rest, out=read_only)
    with pytest.raises(InvalidArgumentError, match="out: expected a C-contiguous array"):
        op(*arrays, *rest, out=np.zeros((*shape, 2), dtype)[..., 0])
    with pytest.raises(InvalidArgumentError, match="out: expected an array whose elements do not overlap"):
        op(*tensors, *rest, out=torch.zeros(1, dtype=getattr(torch, dtype)).expand(shape))
    with pytest.raises(InvalidArgumentError, match=r"out: expected shape \("):
        op(*arrays, *rest, out=np.zeros((*shape, 1), dtype))
    with pytest.raises(InvalidTypeError, match=f"out: expected {dtype}, got float64"):
        op(*arrays, *rest, out=np.zeros(shape, np.float64))
    with pytest.raises(InvalidTypeError, match=r"out: expected a NumPy array, as \w+ is, got a torch tensor"):
        op(*arrays, *rest, out=torch.zeros(shape))
    if dtype == "float32":
        with pytest.raises(InvalidArgumentError, match="out: expected a tensor that does not require grad"):
            op(*tensors, *rest, out=torch.zeros(shape, requires_grad=True))


@pytest.mark.parametrize("kind", KINDS)
def test_overlapping_memory_is_refused(kind):
    memory = as_kind(kind, frames_of(1, (4, 6, 6, 3)))
    with pytest.raises(InvalidArgumentError, match="out: expected memory apart from that of frames"):
        ops.crop_frames(memory[:2], (0, 0, 6, 6), out=memory[1:3])
    with pytest.raises(InvalidArgumentError, match="frames: expected memory apart from that of crops"):
        ops.paste_(memory, memory[:, 2:4, 2:4], None, (0, 0, 2, 2))
    with pytest.raises(InvalidArgumentError, match="out: expected memory apart from that of frames"):
        ops.paste(memory, memory[:, :2, :2], None, (0, 0, 2, 2), out=memory)
    masks = as_kind(kind, frames_of(1, (2, 4, 4)))
    with pytest.raises(InvalidArgumentError, match="out: expected memory apart from that of mask"):
        ops.feather_mask(masks[0], 1, out=masks[0])
    # Neighbours in one piece of memory do not overlap.
    assert ops.feather_mask(masks[0], 1, out=masks[1]) is not None


def bad_tensors():
    good = torch.rand(2, 6, 6, 3)
    return {
        "requires grad": (good.clone().requires_grad_(), InvalidArgumentError, "does not require grad"),
        "meta": (good.to("meta"), InvalidArgumentError, "a tensor with data, got a meta tensor"),
        "sparse": (good.to_sparse(), InvalidArgumentError, "a dense tensor .* got a sparse_coo one"),
        "bfloat16": (good.bfloat16(), InvalidTypeError, "float32, float16 or uint8, got bfloat16"),
        "float64": (good.double(), InvalidTypeError, "float32, float16 or uint8, got float64"),
        "complex": (torch.complex(good, good), InvalidTypeError, "got complex64"),
        "list": (good.tolist(), InvalidTypeError, "a NumPy array or a torch tensor, got list"),
        "None": (None, InvalidTypeError, "a NumPy array or a torch tensor, got None"),
        "masked": (np.ma.masked_array(good.numpy()), InvalidTypeError, "a plain NumPy array, got a masked array"),
        "byte order": (good.numpy().astype(">f4"), InvalidTypeError, "got >f4"),
        "rank": (good[0], InvalidArgumentError, r"shape \(B, H, W, C\), got shape \(6, 6, 3\)"),
        "channels": (torch.rand(2, 6, 6, 5), InvalidArgumentError, "1 to 4 channels, got"),
        "channels first": (torch.rand(2, 3, 6, 6), InvalidArgumentError, "channels come last"),
    }


@pytest.mark.parametrize("what", bad_tensors())
def test_frames_that_cannot_be_read_are_refused(what):
    frames, error, message = bad_tensors()[what]
    for op in (
        lambda: ops.crop_frames(frames, (0, 0, 2, 2)),
        lambda: ops.resize_frames(frames, (3, 3)),
        lambda: ops.paste(frames, torch.rand(1, 2, 2, 3), None, (0, 0, 2, 2)),
        lambda: ops.paste_(frames, torch.rand(1, 2, 2, 3), None, (0, 0, 2, 2)),
    ):
        # NumPy frames meet tensors in the last two, which is refused before the rest.
        mixed = isinstance(frames, np.ndarray) and "masked" not in what
        with pytest.raises(
            (error, InvalidTypeError) if mixed else error, match=f"{message}|as frames is" if mixed else message
        ):
            op()


@pytest.mark.parametrize(
    ("region", "error", "message"),
    [
        ((5, 0, 4, 4), InvalidArgumentError, r"x1 <= x2 and y1 <= y2, got \(5, 0, 4, 4\)"),
        ((0, 5, 4, 4), InvalidArgumentError, "x1 <= x2"),
        ((0, 0, 2**31, 4), InvalidArgumentError, "coordinate"),
        ((-(2**63), 0, 1, 1), InvalidArgumentError, "coordinate"),
        ((0, 0, 2**80, 4), InvalidArgumentError, "coordinate"),
        ((0, 0, 2**30, 2**30), InvalidArgumentError, "a size that fits memory"),
        ((0, 0, 4), InvalidArgumentError, r"\(x1, y1, x2, y2\)"),
        ([(0, 0, 4, 4)] * 3, InvalidArgumentError, "1 or 2 regions, got 3"),
        (
            [(0, 0, 4, 4), (0, 0, 4, 5)],
            InvalidArgumentError,
            "regions of one size, 4x4 as the first, got 4x5 in region 1",
        ),
        ([(0, 0, 4, 4), (0, 0)], InvalidTypeError, "of whole numbers"),
        ((0.5, 0, 4, 4), InvalidTypeError, "whole numbers, or one per frame, got 0.5"),
        ((0, 0, float("nan"), 4), InvalidTypeError, "whole numbers"),
        (("a", 0, 4, 4), InvalidTypeError, "whole numbers"),
        ((), InvalidArgumentError, r"\(x1, y1, x2, y2\)"),
        ([np.zeros((2, 2)), np.zeros((2, 3))], InvalidArgumentError, "one per frame"),
        (7, InvalidArgumentError, r"\(x1, y1, x2, y2\)"),
        (np.array([0, 0, 2**63, 4], np.uint64), InvalidArgumentError, "coordinate"),
    ],
)
def test_regions_that_cannot_be_used_are_refused(region, error, message):
    with pytest.raises(error, match=message):
        ops.crop_frames(np.zeros((2, 6, 6, 3), np.float32), region)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f: ops.crop_frames(f, (0, 0, 2, 2), fill=1.5), InvalidArgumentError, r"fill: expected .* \[0, 1\]"),
        (lambda f: ops.crop_frames(f, (0, 0, 2, 2), fill=math.nan), InvalidArgumentError, "fill"),
        (lambda f: ops.crop_frames(f[:, :0], (0, 0, 2, 2)), InvalidArgumentError, "at least one pixel to fill with"),
        (lambda f: ops.resize_frames(f, (0, 4)), InvalidArgumentError, "size: expected a whole number from 1"),
        (lambda f: ops.resize_frames(f, (4, -1)), InvalidArgumentError, "size"),
        (lambda f: ops.resize_frames(f, (4.0, 4)), InvalidTypeError, "size: expected a whole number, got float 4.0"),
        (lambda f: ops.resize_frames(f, 4), InvalidTypeError, r"size: expected \(height, width\), got 4"),
        (
            lambda f: ops.resize_frames(f, (2**30, 2**30)),
            InvalidArgumentError,
            "size: expected a size that fits memory",
        ),
        (lambda f: ops.resize_frames(f[:, :, :0], (4, 4)), InvalidArgumentError, "frames: expected at least one pixel"),
        (lambda f: ops.resize_masks(f, (4, 4)), InvalidArgumentError, r"masks: expected shape \(h, w\) or"),
        (lambda f: ops.resize_masks(f[0, ..., 0] > 0, (4, 4)), InvalidTypeError, "masks: expected float32, got bool"),
        (
            lambda f: ops.resize_masks(f[0, :0, :, 0], (4, 4)),
            InvalidArgumentError,
            "masks: expected at least one pixel",
        ),
        (lambda f: ops.feather_mask(f[..., 0], -1), InvalidArgumentError, "feather: expected a whole number from 0"),
        (lambda f: ops.feather_mask(f[..., 0], 1.5), InvalidTypeError, "feather: expected a whole number"),
        (
            lambda f: ops.threshold(f[..., 0], math.nan),
            InvalidArgumentError,
            "level: expected a finite number, got nan",
        ),
        (lambda f: ops.threshold(f[..., 0], "x"), InvalidTypeError, "level: expected a finite number"),
        (lambda f: ops.dilate(f[..., 0], -1), InvalidArgumentError, "size: expected a whole number from 0"),
        (lambda f: ops.erode(f[..., 0], 2.0), InvalidTypeError, "size: expected a whole number"),
        (lambda f: ops.fill_holes(f[0, ..., 0]), InvalidTypeError, "mask: expected uint8 or bool, got float32"),
        (lambda f: ops.connected_components(f[..., 0] > 0), InvalidArgumentError, r"mask: expected shape \(h, w\)"),
    ],
)
def test_values_that_cannot_be_used_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(np.zeros((2, 6, 6, 3), np.float32))


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"alpha": math.nan}, InvalidArgumentError, r"alpha: expected a number in \[0, 1\], got nan"),
        ({"alpha": -0.1}, InvalidArgumentError, "alpha"),
        ({"alpha": 255}, InvalidArgumentError, "alpha"),
        ({"alpha": "1px"}, InvalidTypeError, "alpha"),
        ({"region": (0, 0, 3, 2)}, InvalidArgumentError, "region: expected 2x2 pixels, as crops is, got 3x2"),
        ({"crops": np.zeros((2, 2, 2, 3), np.float32)}, InvalidArgumentError, "crops: expected 1 or 3 crops, got 2"),
        ({"crops": np.zeros((1, 2, 2, 1), np.float32)}, InvalidArgumentError, "crops: expected 3 or 4 channels, got 1"),
        (
            {"crops": np.zeros((1, 2, 2, 3), np.uint8)},
            InvalidTypeError,
            "crops: expected float32, as frames is, got uint8",
        ),
        (
            {"mask": np.zeros((2, 2, 2), np.float32)},
            InvalidArgumentError,
            r"mask: expected shape \(2, 2\), \(1, 2, 2\) or",
        ),
        ({"mask": np.zeros((2, 3), np.float32)}, InvalidArgumentError, "mask: expected shape"),
        ({"mask": np.zeros((2, 2), np.uint8)}, InvalidTypeError, "mask: expected float32, got uint8"),
        ({"mask": torch.zeros(2, 2)}, InvalidTypeError, "mask: expected a NumPy array, as frames is"),
    ],
)
def test_pastes_whose_parts_do_not_fit_are_refused(changed, error, message):
    parts = {
        "frames": np.zeros((3, 6, 6, 3), np.float32),
        "crops": np.zeros((1, 2, 2, 3), np.float32),
        "mask": np.zeros((2, 2), np.float32),
        "region": (0, 0, 2, 2),
        **changed,
    }
    for op in (ops.paste, ops.paste_):
        with pytest.raises(error, match=message):
            op(**parts)


def test_frames_that_cannot_be_pasted_into_are_refused():
    crops = np.zeros((1, 2, 2, 3), np.float32)
    frames = np.zeros((1, 4, 4, 3), np.float32)
    frames.flags.writeable = False
    with pytest.raises(InvalidArgumentError, match="frames: expected a writable array"):
        ops.paste_(frames, crops, None, (0, 0, 2, 2))
    expanded = torch.zeros(1, 4, 4, 3).expand(2, 4, 4, 3)
    with pytest.raises(InvalidArgumentError, match="frames: expected an array whose elements do not overlap"):
        ops.paste_(expanded, torch.from_numpy(crops), None, (0, 0, 2, 2))
    # Reading such frames is no problem.
    assert ops.paste(expanded, torch.from_numpy(crops), None, (0, 0, 2, 2)).shape == (2, 4, 4, 3)


@pytest.mark.parametrize("shape", [(0, 4, 5, 3), (2, 4, 5, 3)])
def test_empty_batches_and_regions(shape):
    frames = np.zeros(shape, np.float32)
    assert ops.crop_frames(frames, (1, 1, 1, 3)).shape == (shape[0], 2, 0, 3)
    assert ops.crop_frames(frames, (90, 90, 92, 93)).shape == (shape[0], 3, 2, 3)
    assert ops.resize_frames(frames[:0], (7, 8)).shape == (0, 7, 8, 3)
    crops = np.ones((1, 2, 2, 3), np.float32)
    np.testing.assert_array_equal(ops.paste(frames, crops, None, (50, 0, 52, 2)), frames)
    np.testing.assert_array_equal(ops.paste(frames, crops[:, :0], None, (0, 0, 2, 0)), frames)


def test_an_unaligned_array_is_copied():
    raw = np.zeros(4 * 4 * 4 * 3 + 1, np.uint8)
    frames = raw[1:].view(np.float32).reshape(1, 4, 4, 3)
    frames[...] = frames_of(1, (1, 4, 4, 3))
    np.testing.assert_array_equal(ops.crop_frames(frames, (1, 1, 3, 3)), frames[:, 1:3, 1:3])


def test_read_only_frames_can_be_read():
    frames = frames_of(1, (2, 8, 8, 3))
    frames.flags.writeable = False
    np.testing.assert_array_equal(ops.crop_frames(frames, (2, 2, 5, 6)), frames[:, 2:6, 2:5])


def test_threads_do_not_change_a_bit():
    frames, crops = frames_of(1, (6, 200, 300, 3)), frames_of(2, (6, 150, 150, 3))
    mask = ops.feather_mask(np.pad(np.ones((90, 90), np.float32), 30), 12)
    before = ops.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            ops.set_num_threads(threads)
            assert ops.get_num_threads() == threads
            scaled = ops.resize_frames(crops, (211, 173))
            results.append(ops.paste(frames, crops, mask, (200, -20, 350, 130)).tobytes() + scaled.tobytes())
    finally:
        ops.set_num_threads(0)
    assert results[0] == results[1] == results[2]
    assert ops.get_num_threads() == before
    for wrong, error in ((-1, InvalidArgumentError), (1.5, InvalidTypeError)):
        with pytest.raises(error, match="threads"):
            ops.set_num_threads(wrong)
