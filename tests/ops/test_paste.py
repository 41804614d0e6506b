from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segs_detailer import _native
from segs_detailer.errors import InvalidArgumentError

DTYPES = (np.float32, np.float16, np.uint8)


def samples(rng, shape, dtype):
    values = rng.random(shape, dtype=np.float32)
    return (values * 255).astype(np.uint8) if dtype == np.uint8 else values.astype(dtype)


def rounded(values, dtype):
    if dtype == torch.uint8:
        return torch.floor(values + 0.5).clamp(0, 255).to(torch.uint8)
    return values.to(dtype)


def torch_paste(frames, crops, masks, region, alpha):
    """The blend as eager torch computes it, frame by frame."""
    out = torch.from_numpy(frames.copy())
    height, width = frames.shape[1:3]
    for index, frame in enumerate(out):
        x1, y1, x2, y2 = (int(v) for v in region[min(index, len(region) - 1)])
        left, top, right, bottom = max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)
        if right <= left or bottom <= top:
            continue
        inside = (slice(top - y1, bottom - y1), slice(left - x1, right - x1))
        s = torch.from_numpy(crops)[min(index, len(crops) - 1)][inside]
        m = torch.from_numpy(masks)[min(index, len(masks) - 1)][inside][..., None] * np.float32(alpha)
        d = frame[top:bottom, left:right]
        d.copy_(rounded((1 - m) * d.float() + m * s.float(), out.dtype))
    return out.numpy()


@st.composite
def cases(draw):
    count = draw(st.integers(0, 3))
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 90))
    h, w = draw(st.integers(0, 14)), draw(st.integers(0, 90))
    channels = draw(st.integers(1, 3))
    dtype = draw(st.sampled_from(DTYPES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    corners = rng.integers(-20, 95, (draw(st.sampled_from((1, count))), 2))
    region = np.concatenate([corners, corners + np.array((w, h))], axis=1).astype(np.int64)
    masks = np.clip(rng.random((draw(st.sampled_from((1, count))), h, w), dtype=np.float32) * 2 - 0.5, 0, 1)
    crops = samples(rng, (draw(st.sampled_from((1, count))), h, w, channels), dtype)
    alpha = draw(st.sampled_from((0.0, 0.3, 1.0)))
    return samples(rng, (count, height, width, channels), dtype), crops, masks, region, alpha


@settings(max_examples=150, deadline=None)
@given(cases())
def test_pixels_equal_eager_torch(case):
    frames, crops, masks, region, alpha = case
    expected = torch_paste(frames, crops, masks, region, alpha)
    out = np.empty_like(frames)
    _native.copy_paste(frames, crops, masks, region, alpha, out)
    np.testing.assert_array_equal(out, expected)
    _native.paste(frames, crops, masks, region, alpha)
    np.testing.assert_array_equal(frames, expected)


def test_bits_equal_eager_torch_inside_a_soft_mask():
    rng = np.random.default_rng(0)
    frames, crops = samples(rng, (2, 33, 70, 3), np.float32), samples(rng, (2, 33, 70, 3), np.float32)
    masks = rng.random((2, 33, 70), dtype=np.float32)
    region = np.array([[0, 0, 70, 33]])
    expected = torch_paste(frames, crops, masks, region, 1.0)
    for level in ("scalar", "avx2"):
        before = _native.cpu_level()
        try:
            _native.set_cpu_level(level)
            out = np.empty_like(frames)
            _native.copy_paste(frames, crops, masks, region, 1.0, out)
        finally:
            _native.set_cpu_level(before)
        np.testing.assert_array_equal(out.view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("dtype", DTYPES)
def test_outside_the_mask_nothing_is_touched(dtype):
    rng = np.random.default_rng(1)
    frames = samples(rng, (2, 20, 30, 3), dtype)
    before = frames.copy()
    crops = samples(rng, (1, 10, 12, 3), dtype)
    masks = np.zeros((1, 10, 12), np.float32)
    masks[0, 2:5, 3:7] = 1
    masks[0, 2, 3] = np.nan
    if dtype != np.uint8:
        crops[masks != 1] = np.nan
        frames[0, 0, 0] = before[0, 0, 0] = np.inf
    _native.paste(frames, crops, masks, np.array([[5, 6, 17, 16]]), 1.0)
    changed = np.zeros(frames.shape[:3], bool)
    changed[:, 6:16, 5:17] = masks == 1
    np.testing.assert_array_equal(frames[~changed], before[~changed])
    np.testing.assert_array_equal(frames[:, 6:16, 5:17][:, masks[0] == 1], np.repeat(crops[masks == 1][None], 2, 0))


def test_mask_values_are_clamped():
    frames, crops = np.zeros((1, 1, 5, 1), np.float32), np.ones((1, 1, 5, 1), np.float32)
    masks = np.array([[[np.nan, -np.inf, -0.5, np.inf, 7]]], np.float32)
    _native.paste(frames, crops, masks, np.array([[0, 0, 5, 1]]), 0.5)
    assert frames.ravel().tolist() == [0, 0, 0, 0.5, 0.5]


def over(frame, crop, mask, alpha, full):
    """Porter and Duff's `over`, straight alpha, in float64."""
    frame, crop = frame.astype(np.float64) / full, crop.astype(np.float64) / full
    m = (mask * alpha * crop[..., 3])[..., None]
    if frame.shape[-1] == 3:
        return ((1 - m) * frame + m * crop[..., :3]) * full
    under = frame[..., 3:] * (1 - m)
    total = m + under
    color = np.divide(crop[..., :3] * m + frame[..., :3] * under, total, where=total > 0, out=frame[..., :3].copy())
    return np.concatenate([np.where(m > 0, color, frame[..., :3]), total], axis=-1) * full


@pytest.mark.parametrize("channels", [(3, 4), (4, 4)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-6), (np.float16, 1e-3), (np.uint8, 0.51)])
def test_alpha_channels_are_composited(channels, dtype, tolerance):
    rng = np.random.default_rng(2)
    frame, crop = samples(rng, (1, 9, 70, channels[0]), dtype), samples(rng, (1, 9, 70, channels[1]), dtype)
    frame[:, :3, :, 3:] = 0
    mask = np.clip(rng.random((1, 9, 70), dtype=np.float32) * 2 - 0.5, 0, 1)
    expected = over(frame, crop, mask, 0.8, 255.0 if dtype == np.uint8 else 1.0)
    before = frame.copy()
    _native.paste(frame, crop, mask, np.array([[0, 0, 70, 9]]), 0.8)
    np.testing.assert_allclose(frame, expected, rtol=0, atol=tolerance)
    np.testing.assert_array_equal(frame[mask == 0], before[mask == 0])


def test_an_opaque_paste_keeps_opaque_frames_opaque():
    frame, crop = np.full((1, 1, 9, 4), 255, np.uint8), np.full((1, 1, 9, 4), 7, np.uint8)
    crop[..., 3] = 255
    mask = np.linspace(0, 1, 9, dtype=np.float32)[None, None]
    _native.paste(frame, crop, mask, np.array([[0, 0, 9, 1]]), 1.0)
    assert (frame[..., 3] == 255).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint8])
def test_crops_without_alpha_leave_the_frames_alpha(dtype):
    rng = np.random.default_rng(3)
    frame, crop = samples(rng, (1, 9, 70, 4), dtype), samples(rng, (1, 9, 70, 3), dtype)
    mask = np.clip(rng.random((1, 9, 70), dtype=np.float32) * 2 - 0.5, 0, 1)
    colors = np.ascontiguousarray(frame[..., :3])
    alpha = frame[..., 3].copy()
    region = np.array([[0, 0, 70, 9]])
    _native.paste(colors, crop, mask, region, 0.8)
    _native.paste(frame, crop, mask, region, 0.8)
    np.testing.assert_array_equal(frame[..., :3], colors)
    np.testing.assert_array_equal(frame[..., 3], alpha)


@pytest.mark.parametrize(("frame_channels", "crop_channels"), [(3, 1), (1, 3), (1, 4), (2, 3), (4, 1), (4, 2)])
def test_other_channels_are_refused(frame_channels, crop_channels):
    frames, crops = np.zeros((1, 4, 4, frame_channels), np.float32), np.zeros((1, 2, 2, crop_channels), np.float32)
    with pytest.raises(InvalidArgumentError, match=rf"crops: expected .* channels.*, got {crop_channels}"):
        _native.paste(frames, crops, np.ones((1, 2, 2), np.float32), np.array([[0, 0, 2, 2]]), 1.0)


def test_strided_inputs_are_read_in_place():
    rng = np.random.default_rng(3)
    big = samples(rng, (2, 20, 30, 3), np.float32)
    crops, masks = big[:, 3:9, 4:14], rng.random((1, 12, 20), dtype=np.float32)[:, ::2, :10]
    frames = samples(rng, (2, 20, 30, 3), np.float32)
    region = np.array([[1, 2, 11, 8]])
    expected = torch_paste(frames, crops, masks, region, 1.0)
    _native.paste(frames, crops, masks, region, 1.0)
    np.testing.assert_array_equal(frames, expected)


def test_one_crop_may_be_expanded_over_the_frames():
    rng = np.random.default_rng(4)
    frames, crop = samples(rng, (3, 8, 9, 3), np.float32), samples(rng, (1, 8, 9, 3), np.float32)
    masks, region = rng.random((1, 8, 9), dtype=np.float32), np.array([[0, 0, 9, 8]])
    expected = torch_paste(frames, crop, masks, region, 1.0)
    _native.paste(frames, np.broadcast_to(crop, frames.shape), np.broadcast_to(masks, (3, 8, 9)), region, 1.0)
    np.testing.assert_array_equal(frames, expected)
