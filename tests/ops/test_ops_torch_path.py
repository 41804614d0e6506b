"""The torch kernels for other devices against the Rust kernels: on tensors of the CPU, and on a GPU where one is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from arrays import frames_of
from hypothesis import given, settings
from hypothesis import strategies as st

from segs_detailer import _native, ops
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.ops import _torch

DTYPES = ("float32", "float16", "uint8")

# How far the two may be apart in units of the dtype: products are summed in another order.
TOLERANCE = {"float32": 1e-5, "float16": 1e-3, "uint8": 1}


def both(name, arrays, rest, out_shape, dtype):
    """The results of a kernel's two forms, as float64."""
    rust, tensor = np.full(out_shape, 7, dtype), torch.full(out_shape, 7, dtype=getattr(torch, dtype))
    getattr(_native, name)(*arrays, *rest, rust)
    getattr(_torch, name)(*(torch.from_numpy(a) for a in arrays), *rest, tensor)
    return rust.astype(np.float64), tensor.numpy().astype(np.float64)


def boxes(draw, count, size):
    return np.array([[x, y, x + size[1], y + size[0]] for x, y in (draw(POINT) for _ in range(count))], np.int64)


POINT = st.tuples(st.integers(-25, 25), st.integers(-25, 25))
SIDE = st.integers(1, 24)


@given(data=st.data(), dtype=st.sampled_from(DTYPES), fill=st.sampled_from([None, 0.0, 0.4, 1.0]))
@settings(max_examples=100, deadline=None)
def test_crops(data, dtype, fill):
    count, height, width, channels = 3, data.draw(SIDE), data.draw(SIDE), data.draw(st.integers(1, 4))
    size = data.draw(st.tuples(st.integers(0, 20), st.integers(0, 20)))
    regions = boxes(data.draw, data.draw(st.sampled_from([1, count])), size)
    frames = frames_of(1, (count, height, width, channels), dtype)
    rust, tensor = np.full((count, *size, channels), 7, dtype), torch.full((count, *size, channels), 7)
    tensor = tensor.to(getattr(torch, dtype))
    _native.crop_frames(frames, regions, rust, fill)
    _torch.crop_frames(torch.from_numpy(frames), regions, tensor, fill)
    np.testing.assert_array_equal(tensor.numpy(), rust)


def parts(draw, count):
    part = st.one_of(st.just(0.0), st.floats(0.0, 0.999))
    angle = st.one_of(st.just(0.0), st.floats(-400, 400))
    columns = draw(st.sampled_from([(part, part), (part, part, angle)]))
    return np.array([[draw(column) for column in columns] for _ in range(count)])


@given(data=st.data(), dtype=st.sampled_from(DTYPES), fill=st.sampled_from([None, 0.0, 0.4, 1.0]))
@settings(max_examples=100, deadline=None)
def test_crops_between_pixels(data, dtype, fill):
    count, height, width, channels = 3, data.draw(SIDE), data.draw(SIDE), data.draw(st.integers(1, 4))
    size = data.draw(st.tuples(st.integers(0, 20), st.integers(0, 20)))
    regions = boxes(data.draw, data.draw(st.sampled_from([1, count])), size)
    shifts = parts(data.draw, data.draw(st.sampled_from([1, count])))
    frames = frames_of(1, (count, height, width, channels), dtype)
    shape = (count, *size, channels)
    rust, tensor = np.full(shape, 7, dtype), torch.full(shape, 7, dtype=getattr(torch, dtype))
    _native.crop_frames(frames, regions, rust, fill, shifts)
    _torch.crop_frames(torch.from_numpy(frames), regions, tensor, fill, shifts)
    np.testing.assert_allclose(tensor.numpy().astype(float), rust.astype(float), atol=TOLERANCE[dtype])


@given(data=st.data(), dtype=st.sampled_from(DTYPES))
@settings(max_examples=80, deadline=None)
def test_resized_frames(data, dtype):
    shape = (2, data.draw(SIDE), data.draw(SIDE), data.draw(st.integers(1, 4)))
    out = (2, data.draw(SIDE), data.draw(SIDE), shape[3])
    rust, tensor = both("resize_frames", [frames_of(2, shape, dtype)], [], out, dtype)
    np.testing.assert_allclose(tensor, rust, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("case", [((24, 11), (14, 10)), ((24, 11), (14, 3)), ((16, 22), (5, 19)), ((202, 2), (201, 1))])
def test_bytes_take_the_passes_in_the_same_order(case):
    # Noise overshoots, which is cut off between the passes: another order would be many steps away.
    size, new_size = case
    rust, tensor = both("resize_frames", [frames_of(2, (2, *size, 3), "uint8")], [], (2, *new_size, 3), "uint8")
    np.testing.assert_allclose(tensor, rust, atol=1)


def test_resizing_in_chunks_is_resizing_at_once(monkeypatch):
    frames = torch.from_numpy(frames_of(3, (5, 9, 8, 3)))
    whole, pieces = torch.empty(5, 20, 30, 3), torch.empty(5, 20, 30, 3)
    _torch.resize_frames(frames, whole)
    monkeypatch.setattr(_torch, "_CHUNK_BYTES", 2 * 20 * 30 * 3 * 4)
    _torch.resize_frames(frames, pieces)
    torch.testing.assert_close(pieces, whole, atol=1e-6, rtol=0)


@given(size=st.tuples(SIDE, SIDE), new=st.tuples(SIDE, SIDE))
@settings(max_examples=60, deadline=None)
def test_resized_masks(size, new):
    rust, tensor = both("resize_masks", [frames_of(4, (2, *size))], [], (2, *new), "float32")
    np.testing.assert_allclose(tensor, rust, atol=1e-6)


@given(size=st.tuples(st.integers(1, 60), st.integers(1, 60)), feather=st.integers(0, 70))
@settings(max_examples=80, deadline=None)
def test_feathered_masks(size, feather):
    rust, tensor = both("feather_mask", [frames_of(5, (2, *size))], [feather], (2, *size), "float32")
    np.testing.assert_allclose(tensor, rust, atol=1e-6)


@given(data=st.data(), dtype=st.sampled_from(DTYPES), alpha=st.sampled_from([0.0, 0.3, 1.0]))
@settings(max_examples=150, deadline=None)
def test_pastes(data, dtype, alpha):
    count, size = 3, (data.draw(SIDE), data.draw(SIDE))
    channels, crop_channels = data.draw(st.sampled_from([(1, 1), (2, 2), (3, 3), (3, 4), (4, 3), (4, 4)]))
    crop_count, mask_count = data.draw(st.sampled_from([1, count])), data.draw(st.sampled_from([1, count]))
    regions = boxes(data.draw, data.draw(st.sampled_from([1, count])), size)
    frames = frames_of(6, (count, 15, 17, channels), dtype)
    crops = frames_of(7, (crop_count, *size, crop_channels), dtype)
    masks = frames_of(8, (mask_count, *size)) * 1.6 - 0.3  # zeros and ones, and beyond
    before = frames.copy()
    rust, tensor = np.empty_like(frames), torch.empty(frames.shape, dtype=getattr(torch, dtype))
    _native.copy_paste(frames, crops, masks, regions, alpha, rust)
    inputs = [torch.from_numpy(a) for a in (frames, crops, masks)]
    _torch.copy_paste(*inputs, regions, alpha, tensor)
    if channels < 4 and crop_channels < 4:
        np.testing.assert_array_equal(tensor.numpy(), rust)
    else:
        np.testing.assert_allclose(tensor.numpy().astype(float), rust.astype(float), atol=TOLERANCE[dtype])
    np.testing.assert_array_equal(frames, before)
    _torch.paste(*inputs, regions, alpha)
    np.testing.assert_array_equal(frames, tensor.numpy())


@given(data=st.data(), dtype=st.sampled_from(DTYPES), alpha=st.sampled_from([0.0, 0.3, 1.0]))
@settings(max_examples=100, deadline=None)
def test_pastes_between_pixels(data, dtype, alpha):
    count, size = 3, (data.draw(SIDE), data.draw(SIDE))
    channels, crop_channels = data.draw(st.sampled_from([(1, 1), (2, 2), (3, 3), (3, 4), (4, 3)]))
    crop_count, mask_count = data.draw(st.sampled_from([1, count])), data.draw(st.sampled_from([1, count]))
    regions = boxes(data.draw, data.draw(st.sampled_from([1, count])), size)
    shifts = parts(data.draw, data.draw(st.sampled_from([1, count])))
    frames = frames_of(6, (count, 15, 17, channels), dtype)
    crops = frames_of(7, (crop_count, *size, crop_channels), dtype)
    masks = frames_of(8, (mask_count, *size)) * 1.6 - 0.3  # zeros and ones, and beyond
    masks[:, 0, 0] = np.nan
    rust, tensor = np.empty_like(frames), torch.empty(frames.shape, dtype=getattr(torch, dtype))
    _native.copy_paste(frames, crops, masks, regions, alpha, rust, shifts)
    inputs = [torch.from_numpy(a) for a in (frames, crops, masks)]
    _torch.copy_paste(*inputs, regions, alpha, tensor, shifts)
    np.testing.assert_allclose(tensor.numpy().astype(float), rust.astype(float), atol=TOLERANCE[dtype])
    _torch.paste(*inputs, regions, alpha, shifts)
    np.testing.assert_array_equal(frames, tensor.numpy())


@pytest.mark.parametrize("channels", [3, 4])
def test_pasting_nan_where_the_mask_is_zero_keeps_every_bit(channels):
    frames = torch.from_numpy(frames_of(9, (1, 4, 4, channels)))
    frames[0, 0, 0] = -0.0
    frames[0, 1, 1] = torch.nan
    before = frames.numpy().tobytes()
    crops = torch.full((1, 4, 4, channels), torch.nan)
    _torch.paste(frames, crops, torch.zeros(1, 4, 4), np.array([[0, 0, 4, 4]]), 1.0)
    _torch.paste(frames, crops, torch.full((1, 4, 4), torch.nan), np.array([[0, 0, 4, 4]]), 1.0)
    assert frames.numpy().tobytes() == before


@pytest.mark.parametrize("name", ["dilate", "erode"])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 6, 7, 40, 2**30])
def test_windows(name, size):
    rust, tensor = both(name, [frames_of(10, (2, 13, 16))], [size], (2, 13, 16), "float32")
    np.testing.assert_array_equal(tensor, rust)


def test_threshold():
    masks = frames_of(11, (2, 9, 9))
    masks[0, 0, :2] = np.nan, np.float32(0.1)
    rust, tensor = both("threshold", [masks], [0.1], (2, 9, 9), "uint8")
    np.testing.assert_array_equal(tensor, rust)
    assert rust[0, 0, 1] == 0


@pytest.mark.parametrize("count", [0, 2])
def test_empty_arrays(count):
    frames = torch.zeros(count, 5, 6, 3)
    out = torch.full((count, 0, 4, 3), 7.0)
    _torch.crop_frames(frames, np.array([[1, 1, 5, 1]]), out, None)
    _torch.resize_frames(frames[:0], torch.empty(0, 9, 9, 3))
    _torch.resize_masks(frames[:0, ..., 0], torch.empty(0, 9, 9))
    _torch.feather_mask(frames[:0, ..., 0], 2, torch.empty(0, 5, 6))
    _torch.dilate(frames[:0, ..., 0], 3, torch.empty(0, 5, 6))
    _torch.paste(frames, frames[:1, :0], frames[:1, :0, :, 0], np.array([[0, 0, 6, 0]]), 1.0)
    assert not frames.any()


def test_autocast_does_not_lower_the_precision():
    frames = torch.from_numpy(frames_of(12, (1, 30, 30, 3)))
    plain, under = torch.empty(1, 50, 50, 3), torch.empty(1, 50, 50, 3)
    _torch.resize_frames(frames, plain)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _torch.resize_frames(frames, under)
    assert torch.equal(plain, under)


@pytest.mark.parametrize(("setting", "wanted"), [("high", True), ("highest", False)])
def test_tensor_float_32_is_off_for_our_products_only(setting, wanted):
    matmul = torch.backends.cuda.matmul
    name, exact = ("fp32_precision", "ieee") if hasattr(matmul, "fp32_precision") else ("allow_tf32", False)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(setting)
        with _torch._without_tensor_float_32():
            assert getattr(matmul, name) == exact
        assert torch.get_float32_matmul_precision() == setting
        assert matmul.allow_tf32 == wanted
    finally:
        torch.set_float32_matmul_precision(before)


def test_tensors_on_a_device_without_data_or_on_two_devices_are_refused():
    with pytest.raises(InvalidArgumentError, match="frames: expected a tensor with data"):
        ops.resize_frames(torch.empty(1, 4, 4, 3, device="meta"), (2, 2))


# On a GPU, through the public ops.

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@cuda
@pytest.mark.parametrize("dtype", DTYPES)
def test_frames_on_a_gpu_stay_there_and_agree(dtype):
    frames, crops, mask = (
        frames_of(1, (2, 40, 50, 3), dtype),
        frames_of(2, (2, 20, 24, 3), dtype),
        frames_of(3, (20, 24)),
    )
    region = (-4, 30, 20, 50)
    calls = [
        lambda f, c, m: ops.crop_frames(f, region),
        lambda f, c, m: ops.crop_frames(f, region, fill=0.5),
        lambda f, c, m: ops.resize_frames(c, (70, 31)),
        lambda f, c, m: ops.paste(f, c, ops.feather_mask(m, 3), region, alpha=0.7),
        lambda f, c, m: ops.paste(f, c, None, region),
        lambda f, c, m: ops.resize_masks(m, (33, 9)),
        lambda f, c, m: ops.dilate(m, 4),
        lambda f, c, m: ops.erode(m, 3),
        lambda f, c, m: ops.fill_holes(ops.threshold(m, 0.5)),
        lambda f, c, m: ops.connected_components(ops.threshold(m, 0.5)).labels,
    ]
    on_gpu = [torch.from_numpy(a).cuda() for a in (frames, crops, mask)]
    for call in calls:
        expected, got = call(frames, crops, mask), call(*on_gpu)
        assert got.device == on_gpu[0].device
        np.testing.assert_allclose(got.cpu().numpy().astype(float), expected.astype(float), atol=TOLERANCE[dtype])
    ops.paste_(on_gpu[0], on_gpu[1], on_gpu[2], region)
    np.testing.assert_allclose(
        on_gpu[0].cpu().numpy().astype(float),
        ops.paste(frames, crops, mask, region).astype(float),
        atol=TOLERANCE[dtype],
    )


@cuda
def test_tensor_float_32_does_not_lower_the_precision():
    frames = frames_of(4, (2, 60, 60, 3))
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        got = ops.resize_frames(torch.from_numpy(frames).cuda(), (130, 90)).cpu().numpy()
    finally:
        torch.set_float32_matmul_precision(before)
    np.testing.assert_allclose(got, ops.resize_frames(frames, (130, 90)), atol=1e-5)


@cuda
def test_arrays_on_two_devices_are_refused():
    frames = torch.zeros(1, 8, 8, 3)
    with pytest.raises(InvalidArgumentError, match="crops: expected a tensor on cuda:0, as frames is, got one on cpu"):
        ops.paste(frames.cuda(), frames[:, :2, :2], None, (0, 0, 2, 2))
    with pytest.raises(InvalidTypeError, match="out: expected a torch tensor"):
        ops.crop_frames(frames.cuda(), (0, 0, 2, 2), out=np.empty((1, 2, 2, 3), np.float32))
    memory = frames.cuda()
    with pytest.raises(InvalidArgumentError, match="out: expected memory apart from that of frames"):
        ops.crop_frames(memory, (0, 0, 8, 8), out=memory)
