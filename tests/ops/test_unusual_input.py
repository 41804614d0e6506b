"""Input that is unusual and can be used: memory in other layouts, NaN and infinities in pixels, nothing at all."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from test_bad_input import ARRAYS, KINDS, OPS, as_kind, good, to_numpy

from bad_values import read_only, state, unaligned
from segs_detailer import masks_to_segs, ops
from segs_detailer.ops import _backend

NAN, INF = math.nan, math.inf
F32 = np.float32


def called(op, arguments):
    """The result as NumPy, all of it."""
    result = getattr(ops, op)(**arguments)
    parts = result if isinstance(result, tuple) else (result,)
    return [to_numpy(part).copy() for part in parts]


# Layouts. Each gives an array that equals the one it gets.


def sliced(array):
    larger = np.pad(array, [(1, 2)] * array.ndim)
    return larger[tuple(slice(1, 1 + n) for n in array.shape)]


def every_second(array):
    return np.repeat(array, 2, -1)[..., ::2]


def transposed(array):
    return np.ascontiguousarray(array.T).T


def reversed_(array):
    every = (slice(None, None, -1),) * array.ndim
    return np.ascontiguousarray(array[every])[every]


LAYOUTS = {
    "numpy": [unaligned, sliced, every_second, transposed, reversed_, read_only, np.asfortranarray],
    "torch": [
        lambda t: torch.from_numpy(sliced(t.numpy())),
        lambda t: t.repeat_interleave(2, -1)[..., ::2],
        lambda t: t.mT.contiguous().mT,
        lambda t: t.movedim(-1, 0).contiguous().movedim(0, -1),
        lambda t: torch.nn.functional.pad(t, (3, 0))[..., 3:],
        lambda t: t.to_sparse().to_dense(),
        torch.Tensor.share_memory_,
    ],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("op", "argument"), [(op, argument) for op in OPS for argument in ARRAYS[op]])
def test_every_layout_gives_the_bits_of_the_usual_one(op, argument, kind, monkeypatch):
    usual = called(op, good(op))
    # Copies in pieces of few rows, as those of larger arrays are.
    monkeypatch.setattr(_backend, "_COPIED_BYTES", 150)
    for layout in LAYOUTS[kind]:
        arguments = good(op, kind)
        arguments[argument] = layout(arguments[argument])
        if layout is read_only and (op, argument) == ("paste_", "frames"):
            continue  # refused, see test_bad_input
        before = state(arguments)
        for got, expected in zip(called(op, arguments), usual, strict=True):
            np.testing.assert_array_equal(got, expected)
        after = state(arguments)
        if op == "paste_":
            # What was given is what was written.
            np.testing.assert_array_equal(to_numpy(arguments["frames"]), usual[0])
            del before["frames"], after["frames"]
        assert after == before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("op", "argument"),
    [(op, argument) for op in OPS for argument in ARRAYS[op] if (op, argument) != ("paste_", "frames")],
)
def test_expanded_arrays_can_be_read(op, argument, kind):
    arguments = good(op, kind)
    row = arguments[argument][..., :1, :] if arguments[argument].ndim < 4 else arguments[argument][:1]
    wide = np.broadcast_to if kind == "numpy" else torch.broadcast_to
    arguments[argument] = wide(row, arguments[argument].shape)
    usual = {**good(op), argument: to_numpy(arguments[argument]).copy()}
    for got, expected in zip(called(op, arguments), called(op, usual), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_arrays_of_subclasses_and_inference_tensors_can_be_read(tmp_path):
    masks = good("dilate")["masks"]
    mapped = np.memmap(tmp_path / "masks", F32, "w+", shape=masks.shape)
    mapped[...] = masks
    assert type(ops.dilate(mapped, 3)) is np.ndarray
    np.testing.assert_array_equal(ops.dilate(mapped, 3), ops.dilate(masks, 3))
    with torch.inference_mode():
        np.testing.assert_array_equal(ops.dilate(torch.from_numpy(masks) * 1, 3), ops.dilate(masks, 3))


@pytest.mark.parametrize("shape", [(0, 6, 8), (2, 0, 8), (2, 6, 0), (0, 8)])
def test_masks_without_pixels_stay_as_they_are(shape):
    masks = np.zeros(shape, F32)
    for got in (ops.feather_mask(masks, 3), ops.dilate(masks, 3), ops.erode(masks, 3), ops.threshold(masks, 0.5)):
        assert got.shape == shape
    flat = np.zeros(shape[-2:], np.uint8)
    assert ops.fill_holes(flat).shape == flat.shape
    labels, boxes, areas = ops.connected_components(flat)
    assert (labels.shape, boxes.shape, areas.shape) == (flat.shape, (0, 4), (0,))


@pytest.mark.parametrize("size", [2**30, 10**6])
def test_windows_larger_than_the_mask_are_as_large_as_it(size):
    masks = good("dilate")["masks"]
    np.testing.assert_array_equal(ops.dilate(masks, size), np.broadcast_to(masks.max((1, 2), keepdims=True), (2, 6, 8)))
    np.testing.assert_array_equal(ops.erode(masks, size), np.broadcast_to(masks.min((1, 2), keepdims=True), (2, 6, 8)))


# NaN and infinities in pixels.

PLACE = (9, 13)  # row and column of the pixel


def spoiled(value, dtype=F32):
    """Frames (2, 24, 26, 3) in (0, 1), the same with one pixel of the last frame changed."""
    clean = np.random.default_rng(7).uniform(0.1, 0.9, (2, 24, 26, 3)).astype(dtype)
    frames = clean.copy()
    frames[1, PLACE[0], PLACE[1]] = value
    return clean, frames


def reached(size, reach):
    """Which pixels of a result of `size` have their center within `reach` pixels of the place, along both axes."""
    near = []
    for place, before, after in zip(PLACE, (24, 26), size, strict=True):
        center = (np.arange(after) + 0.5) * before / after
        near.append(np.abs(center - place - 0.5) <= reach * max(before / after, 1))
    return np.logical_and.outer(*near)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_crops_keep_every_bit(value):
    for dtype in (F32, np.float16):
        _, frames = spoiled(value, dtype)
        frames.view(np.uint32 if dtype is F32 else np.uint16)[0, 0, 0] += 3  # any bits
        assert ops.crop_frames(frames, (0, 0, 26, 24)).tobytes() == frames.tobytes()


@pytest.mark.parametrize("dtype", [F32, np.float16])
@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("size", [(48, 52), (24, 26), (31, 13), (11, 40)])
def test_a_resized_pixel_reaches_no_further_than_the_filter(size, value, dtype):
    clean, frames = spoiled(value, dtype)
    got, expected = ops.resize_frames(frames, size), ops.resize_frames(clean, size)
    near = reached(size, 3)
    np.testing.assert_array_equal(got[0], expected[0])
    np.testing.assert_array_equal(got[1, ~near], expected[1, ~near])
    if math.isnan(value):
        assert np.isnan(got[1, near]).any()
    elif size != (24, 26):
        numbers = got[1, near][~np.isnan(got[1, near])]
        assert ((numbers >= 0) & (numbers <= 1)).all()
        assert (numbers == (value > 0)).any()


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("size", [(48, 52), (31, 13)])
def test_a_resized_mask_s_pixel_reaches_its_neighbors(size, value):
    clean, masks = (frames[..., 0] for frames in spoiled(value))
    got, expected = ops.resize_masks(masks, size), ops.resize_masks(clean, size)
    changed = ~np.isclose(got, expected, atol=1e-6, equal_nan=True)
    assert changed[1].any()
    assert not changed[0].any()
    assert not changed[1, ~reached(size, 1)].any()
    assert not np.isfinite(got[changed]).any()


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("feather", [1, 3, 5])
def test_a_feathered_pixel_reaches_no_further_than_the_kernel(feather, value):
    clean, masks = (frames[..., 0] for frames in spoiled(value))
    got, expected = ops.feather_mask(masks, feather), ops.feather_mask(clean, feather)
    near = reached((24, 26), feather)
    np.testing.assert_array_equal(got[0], expected[0])
    np.testing.assert_array_equal(got[1, ~near], expected[1, ~near])
    np.testing.assert_array_equal(got[1, near], value)


@pytest.mark.parametrize("op", [ops.dilate, ops.erode])
@pytest.mark.parametrize("size", [3, 5, 8])
def test_nan_is_only_in_the_windows_that_hold_it(op, size):
    clean, masks = (frames[..., 0] for frames in spoiled(NAN))
    far = ~reached((24, 26), size // 2)
    np.testing.assert_array_equal(op(masks, size)[1, far], op(clean, size)[1, far])
    np.testing.assert_array_equal(op(masks, size)[0], op(clean, size)[0])


@pytest.mark.parametrize("size", [3, 5])
def test_infinities_are_the_largest_and_smallest_values(size):
    for value in (INF, -INF):
        _, masks = (frames[..., 0] for frames in spoiled(value))
        near = reached((24, 26), size // 2)
        grown, shrunk = ops.dilate(masks, size)[1], ops.erode(masks, size)[1]
        assert ((grown if value > 0 else shrunk)[near] == value).all()
        assert np.isfinite(shrunk if value > 0 else grown).all()


def test_a_threshold_is_passed_by_what_is_above_it_and_never_by_nan():
    above = np.nextafter(F32(0.5), F32(1))
    masks = np.array([[0.0, 0.5, NAN, -INF], [0.6, 1.0, above, INF]], F32)
    np.testing.assert_array_equal(ops.threshold(masks, 0.5), [[0, 0, 0, 0], [1, 1, 1, 1]])
    largest = float(np.finfo(F32).max)
    np.testing.assert_array_equal(ops.threshold(masks, largest), [[0, 0, 0, 0], [0, 0, 0, 1]])
    np.testing.assert_array_equal(ops.threshold(masks, -largest), [[1, 1, 0, 0], [1, 1, 1, 1]])


@pytest.mark.parametrize("dtype", [F32, np.float16])
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_pastes_show_what_the_mask_says_whatever_it_is(value, dtype):
    frames, crops = np.full((1, 2, 3, 3), 0.25, dtype), np.full((1, 2, 3, 3), 0.75, dtype)
    crops[0, :, 0], frames[0, :, 1] = value, value
    #   crop    frame   neither
    mask = np.array([[0, 1, 1], [1, 0, 0]], F32)
    got = ops.paste(frames, crops, mask, (0, 0, 3, 2))
    np.testing.assert_array_equal(got[0, ..., 0], np.array([[0.25, 0.75, 0.75], [value, value, 0.25]], dtype))
    # Where both show, a mixture with what is no number is none.
    assert not np.isfinite(ops.paste(frames, crops, mask, (0, 0, 3, 2), alpha=0.5)[0, 1, :1]).any()


def test_masks_of_pastes_are_clamped_and_nan_shows_nothing():
    frames, crops = np.full((1, 1, 6, 3), 0.25, F32), np.full((1, 1, 6, 3), 0.75, F32)
    mask = np.array([[NAN, -INF, -0.5, INF, 7, 0.5]], F32)
    got = ops.paste(frames, crops, mask, (0, 0, 6, 1))
    np.testing.assert_array_equal(got[0, 0, :, 0], [0.25, 0.25, 0.25, 0.75, 0.75, 0.5])


def test_an_infinite_mask_becomes_segs_as_ones_do():
    mask = np.zeros((20, 20), F32)
    mask[4:16, 5:18] = INF
    mask[0] = -INF
    ((_, [seg]), (_, [expected])) = masks_to_segs(mask), masks_to_segs(mask.clip(0, 1))
    assert seg.bbox == expected.bbox == (5, 4, 18, 16)
    np.testing.assert_array_equal(seg.cropped_mask, expected.cropped_mask)


@pytest.mark.parametrize("kind", KINDS)
def test_regions_of_any_kind_of_integers(kind):
    frames = good("crop_frames", kind)["frames"]
    expected = to_numpy(frames)[:, 1:4, 2:6]
    region = np.array([2, 1, 6, 4])
    for given in (
        *(region.astype(dtype) for dtype in ("i1", "u1", "i4", "u8", ">i4", object)),
        region.tolist(),
        [np.int16(2), 1, np.uint64(6), 4],
        region[None],
        np.stack([region, region]),
        as_kind("torch", region),
        as_kind("torch", region).to(torch.uint8),
        as_kind("torch", region)[None].expand(2, 4),
    ):
        np.testing.assert_array_equal(to_numpy(ops.crop_frames(frames, given)), expected)
