"""Frames in planes, against their definitions per pixel in float64."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segs_detailer import _native
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.ops import PlaneFormat, blend_planes, planes_to_rgb

MATRICES = {"BT.601": (0.299, 0.114), "BT.709": (0.2126, 0.0722), "BT.2020": (0.2627, 0.0593)}
VIDEO = PlaneFormat(8, False, MATRICES["BT.709"], 2, 2)
STEPS = (1, 2, 4)
SITES = (0.0, 0.25, 0.5, 1.0, 1.5)


def ranges(form):
    """The code of black, and the codes from black to white and of all chroma."""
    unit, top = 2 ** (form.bits - 8), 2**form.bits - 1
    return (0, top, top) if form.full_range else (16 * unit, 219 * unit, 224 * unit)


def values(plane, form):
    return (plane >> form.shift).astype(np.float64)


def site(step, first):
    return 0.0 if step == 1 else first


def interpolated(line, places):
    """Read between the samples along the first axis; beyond the ends is the last sample."""
    places = np.clip(places, 0, len(line) - 1)
    before = np.floor(places).astype(int)
    after = np.minimum(before + 1, len(line) - 1)
    part = (places - before).reshape(-1, *[1] * (line.ndim - 1))
    return line[before] * (1 - part) + line[after] * part


def rgb_by_definition(planes, form):
    """Convert a whole frame."""
    low, span, chroma_span = ranges(form)
    if form.matrix is None:
        return np.stack([(values(plane, form) - low) / span for plane in planes], axis=-1)
    luma = (values(planes[0], form) - low) / span
    if len(planes) == 1:
        return np.stack([luma] * 3, axis=-1)
    y = (np.arange(luma.shape[0]) - site(form.step_y, form.chroma_y)) / form.step_y
    x = (np.arange(luma.shape[1]) - site(form.step_x, form.chroma_x)) / form.step_x
    cb, cr = ((values(plane, form) - 2 ** (form.bits - 1)) / chroma_span for plane in planes[1:])
    cb, cr = (interpolated(interpolated(plane, y).T, x).T for plane in (cb, cr))
    kr, kb = form.matrix
    red, blue = luma + 2 * (1 - kr) * cr, luma + 2 * (1 - kb) * cb
    return np.stack([red, (luma - kr * red - kb * blue) / (1 - kr - kb), blue], axis=-1)


def taps(step, first, size):
    """Shares of all pixels in each sample of chroma: how much of the area of the sample they cover."""
    first = site(step, first)
    samples = -(-size // step)
    shares = np.zeros((samples, size))
    for sample, pixel in itertools.product(range(samples), range(-3 * step, size + 3 * step)):
        middle = sample * step + first
        covered = min(middle + step / 2, pixel + 0.5) - max(middle - step / 2, pixel - 0.5)
        shares[sample, np.clip(pixel, 0, size - 1)] += max(covered, 0) / step
    return shares


def blend_by_definition(planes, form, overlay, window):
    """Return the new codes of all planes, not rounded, and the weights of the overlay in them."""
    height, width = planes[0].shape
    whole = np.zeros((height, width, 4))
    x1, y1, x2, y2 = window
    for y, x in itertools.product(range(max(y1, 0), min(y2, height)), range(max(x1, 0), min(x2, width))):
        whole[y, x] = overlay[y - y1, x - x1]
    low, span, chroma_span = ranges(form)
    red, green, blue, alpha = np.moveaxis(whole, -1, 0)
    if form.matrix is None:
        layers = [(value * span + low * alpha, alpha) for value in (red, green, blue)]
    else:
        kr, kb = form.matrix
        luma = kr * red + (1 - kr - kb) * green + kb * blue
        down, across = taps(form.step_y, form.chroma_y, height), taps(form.step_x, form.chroma_x, width)
        middle = 2 ** (form.bits - 1)
        chroma = [
            (down @ (difference / scale * chroma_span + middle * alpha) @ across.T, down @ alpha @ across.T)
            for difference, scale in ((blue - luma, 2 * (1 - kb)), (red - luma, 2 * (1 - kr)))
        ]
        layers = [(luma * span + low * alpha, alpha), *chroma]
    return [
        ((1 - weight) * values(plane, form) + value, weight)
        for plane, (value, weight) in zip(planes, layers, strict=False)
    ]


def random_planes(rng, form, size, count=3):
    """Planes of random codes, in arrays of their own."""
    dtype = np.uint8 if form.bits + form.shift == 8 else np.uint16
    chroma = (-(-size[0] // form.step_y), -(-size[1] // form.step_x))
    sizes = [size, chroma, chroma][:count]
    return [(rng.integers(0, 2**form.bits, each) << form.shift).astype(dtype) for each in sizes]


def laid_out(planes, layout):
    """Return the same planes elsewhere in memory."""
    if layout == "padded":
        wider = [np.full((plane.shape[0] + 2, plane.shape[1] + 5), 7, plane.dtype) for plane in planes]
        views = [memory[1:-1, 3:-2] for memory in wider]
    elif layout == "flipped":
        views = [np.empty_like(plane)[::-1, ::-1] for plane in planes]
    elif layout == "turned":
        views = [np.empty(plane.shape[::-1], plane.dtype).T for plane in planes]
    elif layout == "woven":
        # As NV12 has its chroma, and packed formats all: rows of samples by turns, in one memory.
        height, width = planes[-1].shape
        memory = np.empty((height, width + 3, 3), planes[0].dtype)
        same = planes[0].shape == planes[-1].shape
        views = [memory[:, :width, i] if same or i else np.empty_like(planes[0]) for i in range(len(planes))]
    else:
        views = [np.empty_like(plane) for plane in planes]
    for view, plane in zip(views, planes, strict=True):
        view[...] = plane
    return views


@st.composite
def formats(draw):
    bits = draw(st.sampled_from((8, 9, 10, 12, 16)))
    shift = 0 if bits == 8 else draw(st.sampled_from((0, 16 - bits)))
    full = draw(st.booleans())
    matrix = draw(st.sampled_from((*MATRICES.values(), None)))
    if matrix is None:
        return PlaneFormat(bits, full, None, shift=shift)
    steps, sites = st.sampled_from(STEPS), st.sampled_from(SITES)
    return PlaneFormat(bits, full, matrix, draw(steps), draw(steps), draw(sites), draw(sites), shift)


SIZES = st.tuples(st.integers(1, 21), st.integers(1, 21))
CORNERS = st.tuples(st.integers(-12, 25), st.integers(-12, 25))
LAYOUTS = st.sampled_from(("packed", "padded", "flipped", "turned", "woven"))


@settings(max_examples=250, deadline=None)
@given(formats(), SIZES, CORNERS, SIZES, LAYOUTS, st.booleans(), st.integers(0, 2**32))
def test_rgb_is_that_of_the_definition(form, size, corner, extent, layout, clip, seed):
    rng = np.random.default_rng(seed)
    count = 1 if form.matrix is not None and seed % 5 == 0 else 3
    planes = random_planes(rng, form, size, count)
    expected = rgb_by_definition(planes, form)
    window = (*corner, corner[0] + extent[1], corner[1] + extent[0])
    y = np.clip(np.arange(window[1], window[3]), 0, size[0] - 1)
    x = np.clip(np.arange(window[0], window[2]), 0, size[1] - 1)
    expected = expected[y][:, x]
    rgb = planes_to_rgb(laid_out(planes, layout), form, window, clip=clip)
    assert rgb.dtype == np.float32
    np.testing.assert_allclose(rgb, np.clip(expected, 0, 1) if clip else expected, rtol=0, atol=1e-6)


@settings(max_examples=250, deadline=None)
@given(formats(), SIZES, CORNERS, SIZES, LAYOUTS, st.integers(0, 2**32))
def test_what_is_blended_is_that_of_the_definition(form, size, corner, extent, layout, seed):
    rng = np.random.default_rng(seed)
    count = 1 if form.matrix is not None and seed % 5 == 0 else 3
    planes = laid_out(random_planes(rng, form, size, count), layout)
    before = [plane.copy() for plane in planes]
    window = (*corner, corner[0] + extent[1], corner[1] + extent[0])
    alpha = np.clip(rng.random((*extent, 1)) * 3 - 1, 0, 1)
    overlay = np.concatenate([rng.random((*extent, 3)) * alpha, alpha], axis=-1).astype(np.float32)
    blend_planes(planes, form, overlay, window)
    defined = blend_by_definition(before, form, overlay, window)
    for plane, old, (exact, weight) in zip(planes, before, defined, strict=True):
        np.testing.assert_array_equal(plane[weight == 0], old[weight == 0])
        error = np.abs(values(plane, form) - np.clip(exact, 0, 2**form.bits - 1))
        # Half a step of rounding, and what float32 leaves of the step.
        assert error[weight > 0].max(initial=0) <= 0.5 + 2.0 ** (form.bits - 8) * 1e-4


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [*MATRICES.values(), None])
def test_luma_comes_back_to_the_bit(bits, full, matrix):
    rng = np.random.default_rng(bits)
    form = PlaneFormat(bits, full, matrix, *((1, 1) if matrix is None else (2, 2)))
    planes = random_planes(rng, form, (31, 45))
    before = planes[0].copy()
    rgb = planes_to_rgb(planes, form, clip=False)
    overlay = np.concatenate([rgb, np.ones((31, 45, 1), np.float32)], axis=-1)
    planes[0][...] = 0
    blend_planes(planes, form, overlay, (0, 0, 45, 31))
    np.testing.assert_array_equal(planes[0], before)


@pytest.mark.parametrize("step_x", STEPS)
@pytest.mark.parametrize("step_y", STEPS)
@pytest.mark.parametrize("place", SITES)
def test_flat_color_stays_under_any_mask(step_x, step_y, place):
    form = PlaneFormat(8, False, MATRICES["BT.709"], step_x, step_y, place, place)
    rng = np.random.default_rng(3)
    planes = [plane * 0 + code for plane, code in zip(random_planes(rng, form, (19, 23)), (90, 60, 200), strict=True)]
    before = [plane.copy() for plane in planes]
    rgb = planes_to_rgb(planes, form, (2, 3, 17, 14), clip=False)
    alpha = rng.random((11, 15, 1), dtype=np.float32)
    blend_planes(planes, form, np.concatenate([rgb * alpha, alpha], axis=-1), (2, 3, 17, 14))
    for plane, old in zip(planes, before, strict=True):
        np.testing.assert_array_equal(plane, old)


def test_the_weights_of_chroma_are_those_of_its_place():
    assert taps(2, 0.0, 6)[1].tolist() == [0, 0.25, 0.5, 0.25, 0, 0]
    assert taps(2, 0.5, 6)[1].tolist() == [0, 0, 0.5, 0.5, 0, 0]
    assert taps(2, 0.0, 6)[0].tolist() == [0.75, 0.25, 0, 0, 0, 0]
    assert taps(4, 1.5, 6)[1].tolist() == [0, 0, 0, 0, 0.25, 0.75]


def test_old_chroma_does_not_show_under_an_opaque_overlay():
    rng = np.random.default_rng(5)
    planes = random_planes(rng, VIDEO, (16, 16))
    blend_planes(planes, VIDEO, np.full((8, 8, 4), (0.5, 0.5, 0.5, 1), np.float32), (4, 4, 12, 12))
    assert (planes[0][4:12, 4:12] == 126).all()
    # Left chroma of the first column lies on pixel 4, a quarter of it outside.
    assert all((plane[2:6, 3:6] == 128).all() for plane in planes[1:])


def test_levels_beyond_black_and_white_stay_outside_and_come_in_unclipped():
    ramp = np.arange(256, dtype=np.uint8)[None].repeat(4, axis=0)
    chroma = np.full((2, 128), 128, np.uint8)
    planes = [ramp.copy(), chroma.copy(), chroma.copy()]
    rgb = planes_to_rgb(planes, VIDEO, clip=False)
    assert (rgb[0, 0] < -0.07).all()
    assert (rgb[0, 255] > 1.09).all()
    assert planes_to_rgb(planes, VIDEO).max() == 1
    overlay = np.zeros((4, 256, 4), np.float32)
    overlay[1, 100] = 1
    blend_planes(planes, VIDEO, overlay, (0, 0, 256, 4))
    changed = np.argwhere(planes[0] != ramp)
    assert changed.tolist() == [[1, 100]]


def test_samples_without_weight_keep_bits_that_stand_for_nothing():
    form = PlaneFormat(10, False, MATRICES["BT.709"], 2, 2, shift=6)
    planes = [np.full(shape, 0x8015, np.uint16) for shape in ((8, 8), (4, 4), (4, 4))]
    overlay = np.zeros((8, 8, 4), np.float32)
    overlay[4, 4] = (0.5, 0.5, 0.5, 1)
    blend_planes(planes, form, overlay, (0, 0, 8, 8))
    assert [(plane != 0x8015).sum() for plane in planes] == [1, 1, 1]


def test_colors_without_weight_and_no_numbers_count_as_nothing():
    planes = [np.full(shape, 77, np.uint8) for shape in ((8, 8), (4, 4), (4, 4))]
    overlay = np.full((8, 8, 4), (np.nan, np.inf, 5, 0), np.float32)
    overlay[::2] = np.nan
    blend_planes(planes, VIDEO, overlay, (0, 0, 8, 8))
    assert all((plane == 77).all() for plane in planes)


@pytest.mark.parametrize("function", ["rgb", "blend"])
def test_bits_are_the_same_for_every_cpu_level_and_number_of_threads(function):
    rng = np.random.default_rng(11)
    form = PlaneFormat(10, False, MATRICES["BT.2020"], 2, 2, 0.0, 0.0)
    planes = random_planes(rng, form, (411, 603))
    overlay = rng.random((300, 500, 4), dtype=np.float32)
    results = []
    level, threads = _native.cpu_level(), _native.get_num_threads()
    try:
        for name, count in itertools.product(("scalar", level), (1, 2, 3)):
            _native.set_cpu_level(name)
            _native.set_num_threads(count)
            if function == "rgb":
                results.append(planes_to_rgb(planes, form, (-5, -7, 600, 420)).tobytes())
                continue
            copies = [plane.copy() for plane in planes]
            blend_planes(copies, form, overlay, (71, 33, 571, 333))
            results.append(b"".join(plane.tobytes() for plane in copies))
    finally:
        _native.set_cpu_level(level)
        _native.set_num_threads(threads)
    assert len(set(results)) == 1


def test_a_window_outside_the_frame_is_its_nearest_pixels_and_changes_nothing():
    planes = random_planes(np.random.default_rng(1), VIDEO, (6, 8))
    before = [plane.copy() for plane in planes]
    corner = planes_to_rgb(planes, VIDEO, (7, 5, 8, 6))
    assert (planes_to_rgb(planes, VIDEO, (50, 60, 53, 62)) == corner).all()
    blend_planes(planes, VIDEO, np.ones((2, 3, 4), np.float32), (50, 60, 53, 62))
    assert all((plane == old).all() for plane, old in zip(planes, before, strict=True))
    assert planes_to_rgb(planes, VIDEO, (3, 3, 3, 5)).shape == (2, 0, 3)


def test_the_result_may_have_a_place():
    planes = random_planes(np.random.default_rng(2), VIDEO, (6, 8))
    out = np.zeros((6, 8, 3), np.float32)
    assert planes_to_rgb(planes, VIDEO, out=out) is out
    np.testing.assert_array_equal(out, planes_to_rgb(planes, VIDEO))


def three(*shapes, dtype=np.uint8):
    return [np.zeros(shape, dtype) for shape in shapes]


GOOD = three((6, 8), (3, 4), (3, 4))
MEMORY = np.zeros((8, 8), np.uint8)


def changed(**changes):
    return dataclasses.replace(VIDEO, **changes)


@pytest.mark.parametrize(
    ("planes", "form", "error", "message"),
    [
        (GOOD[:2], VIDEO, InvalidArgumentError, "planes: expected 3 planes, or 1 of luma, got 2"),
        (np.zeros((3, 4, 4), np.uint8), VIDEO, InvalidTypeError, "planes: expected a list or tuple"),
        (three((6, 8), (3, 4), (3, 3)), VIDEO, InvalidArgumentError, "planes of chroma of 4x3 samples, got 3x3"),
        (three((6, 8, 1), (3, 4), (3, 4)), VIDEO, InvalidArgumentError, r"planes of shape \(H, W\)"),
        (three((6, 8), (3, 4), (3, 4, 1)), VIDEO, InvalidArgumentError, r"planes of shape \(H, W\)"),
        (three((0, 8), (0, 4), (0, 4)), VIDEO, InvalidArgumentError, "at least one sample"),
        (three((6, 8), (3, 4), (3, 4), dtype=np.float32), VIDEO, InvalidTypeError, "planes: expected uint8 or uint16"),
        ([*GOOD[:2], GOOD[2].astype(np.uint16)], VIDEO, InvalidTypeError, "planes: expected uint8, got uint16"),
        ([torch.zeros(6, 8, dtype=torch.uint8), *GOOD[1:]], VIDEO, InvalidTypeError, "planes: expected NumPy arrays"),
        (GOOD, changed(bits=10), InvalidArgumentError, "planes: expected samples of 10 bits.*got samples of 8 bits"),
        (GOOD, changed(bits=7), InvalidArgumentError, "format.bits: expected 8 to 16 bits, got 7"),
        (GOOD, changed(bits="8"), InvalidTypeError, "format.bits: expected an int, got '8'"),
        (GOOD, changed(shift=-1), InvalidTypeError, "format.shift"),
        (GOOD, changed(matrix=(0.6, 0.5)), InvalidArgumentError, "format.matrix: .*sum below 1"),
        (GOOD, changed(matrix=(float("nan"), 0.1)), InvalidArgumentError, "format.matrix"),
        (GOOD, changed(matrix=0.3), InvalidTypeError, "format.matrix"),
        (GOOD, changed(step_x=3), InvalidArgumentError, "format.step_x: expected 1, 2 or 4 pixels, got 3"),
        (GOOD, changed(chroma_y=3.0), InvalidArgumentError, "format.chroma_y: expected a number from -2 to 2, got 3"),
        (GOOD, changed(matrix=None), InvalidArgumentError, "format.step_x: expected steps of 1"),
        ([GOOD[0]], changed(matrix=None, step_x=1, step_y=1), InvalidArgumentError, "planes: expected 3 planes, got 1"),
        (GOOD, "yuv420p", InvalidTypeError, "format: expected a PlaneFormat"),
    ],
)
def test_what_cannot_be_read_is_refused(planes, form, error, message):
    with pytest.raises(error, match=message):
        planes_to_rgb(planes, form)
    with pytest.raises(error, match=message):
        blend_planes(planes, form, np.zeros((1, 1, 4), np.float32), (0, 0, 1, 1))


@pytest.mark.parametrize(
    ("planes", "message"),
    [
        ([MEMORY, MEMORY, MEMORY], "planes apart from each other, got planes 0 and 1 over the same memory"),
        ([MEMORY.copy(), MEMORY, MEMORY[::-1]], "planes 1 and 2 over the same memory"),
        ([np.broadcast_to(MEMORY[:1], (8, 8)), MEMORY.copy(), MEMORY.copy()], "a read-only one"),
        (
            [np.lib.stride_tricks.as_strided(MEMORY, (8, 8), (4, 1)), MEMORY.copy(), MEMORY.copy()],
            "a place of its own for every sample",
        ),
    ],
)
def test_memory_that_cannot_be_written_is_refused(planes, message):
    full = PlaneFormat(8, True, MATRICES["BT.601"])
    with pytest.raises(InvalidArgumentError, match=f"planes: .*{message}"):
        blend_planes(planes, full, np.ones((2, 2, 4), np.float32), (0, 0, 2, 2))


@pytest.mark.parametrize(
    ("overlay", "window", "error", "message"),
    [
        (np.zeros((2, 2, 3), np.float32), (0, 0, 2, 2), InvalidArgumentError, "overlay: expected one frame of 2x2 pix"),
        (np.zeros((2, 3, 4), np.float32), (0, 0, 2, 2), InvalidArgumentError, "overlay: expected one frame of 2x2 pix"),
        (np.zeros((2, 2), np.float32), (0, 0, 2, 2), InvalidArgumentError, r"overlay: expected shape \(h, w, 4\)"),
        (np.zeros((2, 2, 4)), (0, 0, 2, 2), InvalidTypeError, "overlay: expected float32, got float64"),
        (torch.zeros(2, 2, 4), (0, 0, 2, 2), InvalidTypeError, "overlay: expected a NumPy array"),
        (np.zeros((2, 2, 4), np.float32), (0, 0.5, 2, 2.5), InvalidArgumentError, "window: expected whole pixels"),
        (np.zeros((2, 2, 4), np.float32), (2, 0, 0, 2), InvalidArgumentError, "window"),
        (np.zeros((2, 2, 4), np.float32), (0, 0, 2, 2, 9), InvalidArgumentError, "window: expected whole pixels"),
    ],
)
def test_overlays_that_do_not_fit_are_refused(overlay, window, error, message):
    with pytest.raises(error, match=message):
        blend_planes([plane.copy() for plane in GOOD], VIDEO, overlay, window)


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (np.zeros((6, 8, 4), np.float32), InvalidArgumentError, r"out: expected shape \(6, 8, 3\)"),
        (np.zeros((6, 8, 3)), InvalidTypeError, "out: expected float32"),
        (np.zeros((6, 16, 3), np.float32)[:, ::2], InvalidArgumentError, "out: expected a C-contiguous"),
        (torch.zeros(6, 8, 3), InvalidTypeError, "out: expected a NumPy array"),
    ],
)
def test_places_that_cannot_take_the_result_are_refused(out, error, message):
    with pytest.raises(error, match=message):
        planes_to_rgb(GOOD, VIDEO, out=out)


def test_memory_of_input_and_output_is_apart():
    memory = np.zeros(6 * 8 * 3, np.float32)
    samples = memory.view(np.uint8)[:48].reshape(6, 8)
    with pytest.raises(InvalidArgumentError, match="shares no memory with an input, got one that"):
        planes_to_rgb([samples, *GOOD[1:]], VIDEO, out=memory.reshape(6, 8, 3))
    with pytest.raises(InvalidArgumentError, match="memory shared with overlay"):
        blend_planes([samples, *GOOD[1:]], VIDEO, memory.reshape(6, 6, 4), (0, 0, 6, 6))


def test_strips_of_an_overlay_need_no_copy_of_it():
    overlay = np.random.default_rng(4).random((8, 8, 4), dtype=np.float32)
    planes, others = (random_planes(np.random.default_rng(6), VIDEO, (8, 8)) for _ in range(2))
    blend_planes(planes, VIDEO, overlay[::2, 2:6], (1, 1, 5, 5))
    blend_planes(others, VIDEO, np.ascontiguousarray(overlay[::2, 2:6]), (1, 1, 5, 5))
    assert all((plane == other).all() for plane, other in zip(planes, others, strict=True))
