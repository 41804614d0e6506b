from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segs_detailer import _native
from segs_detailer.errors import InvalidArgumentError

DTYPES = (np.float32, np.float16, np.uint8)


def crop_by_index(frames, regions, fill):
    """Gathers with NumPy's own indexing."""
    height, width = frames.shape[1:3]
    crops = []
    for index, frame in enumerate(frames):
        x1, y1, x2, y2 = regions[min(index, len(regions) - 1)]
        y, x = np.arange(y1, y2), np.arange(x1, x2)
        crop = frame[np.clip(y, 0, height - 1)][:, np.clip(x, 0, width - 1)].copy()
        if fill is not None:
            crop[(y < 0) | (y >= height)] = fill
            crop[:, (x < 0) | (x >= width)] = fill
        crops.append(crop)
    return np.stack(crops)


@settings(max_examples=150, deadline=None)
@given(
    count=st.integers(1, 3),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    crop=st.tuples(st.integers(0, 20), st.integers(0, 20)),
    channels=st.integers(1, 4),
    dtype=st.sampled_from(DTYPES),
    moving=st.booleans(),
    fill=st.sampled_from((None, 0.0, 1.0)),
    seed=st.integers(0, 2**32),
)
def test_pixels_equal_indexing(count, size, crop, channels, dtype, moving, fill, seed):
    rng = np.random.default_rng(seed)
    frames = (rng.random((count, *size, channels)) * 255).astype(dtype)
    corners = rng.integers(-30, 30, (count if moving else 1, 2))
    regions = np.concatenate([corners, corners + crop[::-1]], axis=1)
    out = np.empty((count, *crop, channels), dtype)
    _native.crop_frames(frames, regions, out, fill)
    full = 255 if dtype == np.uint8 else 1
    np.testing.assert_array_equal(out, crop_by_index(frames, regions, None if fill is None else fill * full))


def test_no_frames_make_no_crops():
    out = np.empty((0, 2, 3, 3), np.float32)
    _native.crop_frames(np.empty((0, 8, 8, 3), np.float32), np.array([[0, 0, 3, 2]]), out)
    _native.crop_frames(np.empty((0, 8, 8, 3), np.float32), np.empty((0, 4), np.int64), out)


def test_a_far_region_is_all_fill():
    frames = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)
    out = np.empty((1, 1, 1, 3), np.float32)
    _native.crop_frames(frames, np.array([[2**30 - 1, -(2**30), 2**30, 1 - 2**30]]), out)
    assert out.ravel().tolist() == [3, 4, 5]


def test_frames_of_no_pixels_need_a_constant():
    frames, out = np.empty((1, 0, 4, 1), np.float32), np.empty((1, 2, 2, 1), np.float32)
    with pytest.raises(InvalidArgumentError, match="frames: expected at least one pixel"):
        _native.crop_frames(frames, np.array([[0, 0, 2, 2]]), out)
    _native.crop_frames(frames, np.array([[0, 0, 2, 2]]), out, 0.25)
    assert (out == 0.25).all()


def test_a_view_of_larger_frames_is_read_in_place():
    tensor = torch.rand(3, 20, 30, 3)
    view = tensor[::2, 2:18, 5:25]
    out = torch.empty(2, 4, 6, 3)
    _native.crop_frames(view.numpy(), np.array([[3, 1, 9, 5]]), out.numpy())
    assert torch.equal(out, view[:, 1:5, 3:9])


def test_one_frame_may_be_expanded():
    tensor = torch.rand(1, 6, 7, 3)
    out = np.empty((4, 6, 7, 3), np.float32)
    _native.crop_frames(tensor.expand(4, -1, -1, -1).numpy(), np.array([[0, 0, 7, 6]]), out)
    np.testing.assert_array_equal(out, np.repeat(tensor.numpy(), 4, axis=0))


@pytest.mark.parametrize("count", [0, 2, 4])
def test_regions_are_one_or_one_per_frame(count):
    frames, out = np.zeros((3, 4, 4, 3), np.float32), np.zeros((3, 2, 2, 3), np.float32)
    with pytest.raises(InvalidArgumentError, match="regions: expected 1 or 3 regions"):
        _native.crop_frames(frames, np.array([[0, 0, 2, 2]] * count, np.int64).reshape(count, 4), out)


def test_the_output_has_the_regions_size():
    frames, out = np.zeros((3, 4, 4, 3), np.float32), np.zeros((3, 2, 2, 3), np.float32)
    with pytest.raises(InvalidArgumentError, match=r"regions: expected regions of 2x2 pixels.*got 3x2"):
        _native.crop_frames(frames, np.array([[0, 0, 3, 2]]), out)
    with pytest.raises(InvalidArgumentError, match="out: expected the frames and channels"):
        _native.crop_frames(frames, np.array([[0, 0, 2, 2]]), out[:2].copy())
