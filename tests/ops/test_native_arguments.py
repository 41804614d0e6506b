"""What the binding refuses, and that nothing else than a `ValueError` or a `TypeError` ever comes out of it."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segs_detailer import _native
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError

REGION = np.array([[0, 0, 3, 2]])


def arguments(**changes):
    """Arguments of `copy_paste` that work, with some replaced."""
    good = {
        "frames": np.zeros((2, 6, 8, 3), np.float32),
        "crops": np.zeros((2, 2, 3, 3), np.float32),
        "masks": np.ones((1, 2, 3), np.float32),
        "regions": REGION,
        "alpha": 1.0,
        "out": np.zeros((2, 6, 8, 3), np.float32),
    }
    return {**good, **changes}


def read_only(array):
    array.flags.writeable = False
    return array


def misaligned(shape):
    data = np.zeros(int(np.prod(shape)) * 4 + 1, np.uint8)
    return data[1:].view(np.float32).reshape(shape)


def test_the_arguments_that_the_tests_change_work():
    _native.copy_paste(**arguments())


@pytest.mark.parametrize(
    ("argument", "value", "got"),
    [
        ("frames", np.zeros((2, 6, 8, 3)), "float64"),
        ("frames", np.zeros((2, 6, 8, 3), ">f4"), ">f4"),
        ("frames", np.zeros((2, 6, 8, 3), np.int32), "int32"),
        ("frames", [[0.0]], "list"),
        ("frames", torch.zeros(2, 6, 8, 3), "Tensor"),
        ("frames", None, "NoneType"),
        ("crops", np.zeros((2, 2, 3, 3), np.uint8), "uint8"),
        ("masks", np.ones((1, 2, 3), np.uint8), "uint8"),
        ("masks", np.ones((1, 2, 3), np.float16), "float16"),
        ("regions", REGION.astype(np.int32), "int32"),
        ("regions", REGION.astype(float), "float64"),
        ("regions", (0, 0, 3, 2), "tuple"),
        ("shifts", np.zeros((1, 2), np.float32), "float32"),
        ("shifts", (0.5, 0.5), "tuple"),
        ("out", np.zeros((2, 6, 8, 3), np.float16), "float16"),
    ],
)
def test_wrong_types_are_named(argument, value, got):
    with pytest.raises(InvalidTypeError, match=f"^{argument}: expected .*, got {got}$") as caught:
        _native.copy_paste(**arguments(**{argument: value}))
    assert isinstance(caught.value, TypeError)
    assert caught.value.argument == argument


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("frames", np.zeros((6, 8, 3), np.float32), r"shape \(B, H, W, C\), got \[6, 8, 3\]"),
        ("masks", np.ones((2, 3), np.float32), r"shape \(N, h, w\)"),
        ("masks", np.ones((1, 2, 3, 1), np.float32), r"shape \(N, h, w\)"),
        ("masks", np.ones((1, 2, 4), np.float32), "masks of 3x2 pixels.*got 4x2"),
        ("masks", np.ones((3, 2, 3), np.float32), "1 or 2 frames, got 3"),
        ("crops", np.zeros((3, 2, 3, 3), np.float32), "1 or 2 frames, got 3"),
        ("crops", np.zeros((1, 2, 3, 5), np.float32), "1 to 4 channels, got 5"),
        ("crops", np.zeros((1, 2, 3, 0), np.float32), "1 to 4 channels, got 0"),
        ("regions", np.array([0, 0, 3, 2]), r"shape \(1, 4\) or \(B, 4\)"),
        ("regions", np.zeros((1, 5), np.int64), r"shape \(1, 4\) or \(B, 4\)"),
        ("regions", np.repeat(REGION, 3, 0), "1 or 2 regions, got 3"),
        ("regions", np.array([[0, 0, 4, 2]]), "regions of 3x2 pixels"),
        ("shifts", np.zeros(2), r"shape \(1, 2\) or \(B, 2\)"),
        ("shifts", np.zeros((1, 4)), r"shape \(1, 2\) or \(B, 2\)"),
        ("shifts", np.zeros((3, 2)), "1 or 2 shifts, got 3"),
        ("shifts", np.array([[0.0, 1.0]]), r"in \[0, 1\), got \(0, 1\)"),
        ("shifts", np.array([[-0.5, 0.0]]), r"in \[0, 1\), got \(-0.5, 0\)"),
        ("shifts", np.array([[np.nan, 0.0]]), r"in \[0, 1\), got \(NaN, 0\)"),
        ("region", np.array([[3, 0, 0, 2]]), "x1 <= x2"),
        ("region", np.array([[0, 2, 3, 0]]), "y1 <= y2"),
        ("region", np.array([[2**63 - 4, 0, 2**63 - 1, 2]]), "coordinate"),
        ("region", np.array([[-(2**63), 0, 2**63 - 1, 2]]), "coordinate"),
        ("alpha", 1.5, "a number in"),
        ("alpha", float("nan"), "a number in"),
        ("out", np.zeros((2, 6, 7, 3), np.float32), r"\(2, 6, 8, 3\), got \(2, 6, 7, 3\)"),
        ("out", np.zeros((2, 6, 16, 3), np.float32)[:, :, ::2], "a C-contiguous array"),
        ("out", np.zeros((2, 6, 8, 3), np.float32)[::-1], "a C-contiguous array"),
        ("out", torch.zeros(1, 6, 8, 3).expand(2, -1, -1, -1).numpy(), "a C-contiguous array"),
        ("out", read_only(np.zeros((2, 6, 8, 3), np.float32)), "a writable array, got a read-only one"),
        ("out", misaligned((2, 6, 8, 3)), "an aligned array"),
        ("frames", misaligned((2, 6, 8, 3)), "an aligned array"),
        ("frames", np.zeros((2, 6, 8, 3), np.float32)[::-1], "no negative strides"),
        ("frames", np.zeros((2, 6, 16, 3), np.float32)[:, :, ::2], "rows without gaps"),
        ("frames", np.zeros((2, 6, 3, 8), np.float32).transpose(0, 1, 3, 2), "rows without gaps"),
        ("frames", np.zeros((2, 3, 6, 8), np.float32).transpose(0, 2, 3, 1), "rows without gaps"),
    ],
)
def test_wrong_values_are_named(argument, value, message):
    changed = "regions" if argument == "region" else argument
    with pytest.raises(InvalidArgumentError, match=f"^{argument}: expected .*{message}") as caught:
        _native.copy_paste(**arguments(**{changed: value}))
    assert isinstance(caught.value, ValueError)


def overlap(argument, **changes):
    with pytest.raises(InvalidArgumentError, match=f"out: expected an array that shares no memory.*{argument}"):
        _native.copy_paste(**arguments(**changes))


def test_two_views_of_one_tensor_are_seen_to_overlap():
    tensor = torch.zeros(4, 6, 8, 3)
    overlap("", frames=tensor[:2].numpy(), out=tensor[1:3].numpy())
    overlap("frames", frames=tensor[:2].numpy(), out=tensor[:2].numpy())
    overlap("crops", crops=tensor[2:, 2:4, :3].numpy(), out=tensor[2:].numpy())
    overlap("masks", masks=tensor[3, :2, 0].numpy()[None], out=tensor[2:].numpy())
    _native.copy_paste(**arguments(frames=tensor[:2].numpy(), out=tensor[2:].numpy()))


def test_one_array_as_input_and_output_is_refused():
    array = np.zeros((2, 6, 8, 3), np.float32)
    with pytest.raises(InvalidArgumentError, match="out: expected an array that shares no memory"):
        _native.copy_paste(**arguments(frames=array, out=array))
    with pytest.raises(InvalidArgumentError, match="frames: expected an array that shares no memory"):
        _native.paste(array, array[:, :2, :3], np.ones((1, 2, 3), np.float32), REGION, 1.0)
    masks = np.zeros((1, 4, 4), np.float32)
    with pytest.raises(InvalidArgumentError, match="out: expected an array that shares no memory"):
        _native.dilate(masks, 3, masks)


def test_in_place_frames_must_be_writable_and_contiguous():
    crops, masks = np.zeros((1, 2, 3, 3), np.float32), np.ones((1, 2, 3), np.float32)
    with pytest.raises(InvalidArgumentError, match="frames: expected a writable array"):
        _native.paste(read_only(np.zeros((2, 6, 8, 3), np.float32)), crops, masks, REGION, 1.0)
    with pytest.raises(InvalidArgumentError, match="frames: expected a C-contiguous array"):
        _native.paste(np.zeros((2, 6, 9, 3), np.float32)[:, :, 1:], crops, masks, REGION, 1.0)


def test_gaps_between_rows_and_frames_are_fine():
    _native.copy_paste(**arguments(frames=np.zeros((4, 7, 9, 3), np.float32)[::2, 1:, 1:]))


@pytest.mark.parametrize("value", ["x", None, [1.0]])
def test_alpha_is_a_number(value):
    with pytest.raises(TypeError):
        _native.copy_paste(**arguments(alpha=value))


def test_regions_are_rescaled_by_each_ratio():
    regions, out = np.array([[10, 10, 20, 30], [0, 0, 1, 1], [-10, 5, -5, 5]]), np.zeros((3, 4), np.int64)
    _native.rescale_regions(regions, (100, 200), (50, 400), out)
    assert out.tolist() == [[20, 5, 40, 15], [0, 0, 2, 1], [-20, 2, -10, 2]]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"from_size": (0, 5)}, InvalidArgumentError, "from: expected a frame of at least 1x1"),
        ({"from_size": (-1, 5)}, InvalidArgumentError, "from_size: expected a whole number of pixels"),
        ({"to_size": (2**80, 5)}, InvalidArgumentError, "to_size: expected a whole number of pixels"),
        ({"to_size": (2**40, 5)}, InvalidArgumentError, "region: expected"),
        ({"to_size": (5,)}, InvalidArgumentError, "to_size: expected a .height, width. pair, got 1 values"),
        ({"to_size": (5, 0.5)}, InvalidTypeError, "to_size: expected an int"),
        ({"to_size": 5}, InvalidTypeError, "to_size: expected a .height, width. pair"),
        ({"out": np.zeros((2, 4), np.int64)}, InvalidArgumentError, r"out: expected a C-contiguous array of shape"),
        ({"out": np.zeros((4, 1), np.int64).T}, None, ""),
        ({"out": read_only(np.zeros((1, 4), np.int64))}, InvalidArgumentError, "out: expected a writable array"),
        ({"out": np.zeros((1, 4), np.int32)}, InvalidTypeError, "out: expected int64, got int32"),
    ],
)
def test_rescaling_names_what_is_wrong(changes, error, message):
    good = {"regions": np.array([[1, 1, 9, 9]]), "from_size": (10, 10), "to_size": (5, 5), "out": np.zeros((1, 4), int)}
    if error is None:
        _native.rescale_regions(**{**good, **changes})
        return
    with pytest.raises(error, match=message):
        _native.rescale_regions(**{**good, **changes})


@st.composite
def arrays(draw, ranks=(2, 3, 4)):
    """Arrays of any type, rank and layout, mostly close to what a kernel takes."""
    rank = draw(st.sampled_from(ranks)) if draw(st.integers(0, 9)) else draw(st.integers(0, 5))
    shape = draw(st.lists(st.sampled_from((0, 1, 2, 3, 4, 5, 8)), min_size=rank, max_size=rank))
    dtype = draw(st.sampled_from(("f4", "f4", "f4", "f2", "u1", "u1", "i4", "i8", "f8", ">f4", "?", "O", "S3")))
    array = np.zeros(shape, dtype)
    match draw(st.integers(0, 9)):
        case 0:
            array = array.T
        case 1:
            array = array[::-1] if rank else array
        case 2:
            array = np.broadcast_to(array, (3, *array.shape[1:])) if rank and array.shape[0] == 1 else array
        case 3:
            array.flags.writeable = False
        case 4:
            array = array[..., ::2] if rank else array
        case 5 if dtype == "f4":
            array = misaligned(shape)
    return array


COORDINATES = st.one_of(st.integers(-9, 9), st.sampled_from((-(2**63), -(2**30), 2**30, 2**31, 2**62, 2**63 - 1)))
REGIONS = st.one_of(
    st.lists(st.lists(COORDINATES, min_size=4, max_size=4), max_size=3).map(
        lambda rows: np.array(rows, np.int64).reshape(-1, 4)
    ),
    st.tuples(st.integers(-5, 9), st.integers(-5, 9), st.integers(0, 5), st.integers(0, 5)).map(
        lambda r: np.array([[r[0], r[1], r[0] + r[2], r[1] + r[3]]])
    ),
    arrays(),
)
NUMBERS = st.one_of(st.floats(), st.integers(-(2**70), 2**70), st.sampled_from((0, 1, 0.5, None, "1")))
COUNTS = st.one_of(st.integers(-2, 9), st.integers(-(2**70), 2**70), st.sampled_from((None, 1.5)))
SIZES = st.one_of(st.tuples(COUNTS, COUNTS), COUNTS)
FRAMES, MASKS, MASK = arrays(ranks=(4,)), arrays(ranks=(3,)), arrays(ranks=(2,))
SHIFTS = st.one_of(
    st.none(), st.lists(st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)), max_size=3).map(np.array), arrays(ranks=(2,))
)

SIGNATURES = {
    "crop_frames": (FRAMES, REGIONS, FRAMES, NUMBERS, SHIFTS),
    "paste": (FRAMES, FRAMES, MASKS, REGIONS, NUMBERS, SHIFTS),
    "copy_paste": (FRAMES, FRAMES, MASKS, REGIONS, NUMBERS, FRAMES, SHIFTS),
    "rescale_regions": (REGIONS, SIZES, SIZES, REGIONS),
    "threshold": (MASKS, NUMBERS, MASKS),
    "dilate": (MASKS, COUNTS, MASKS),
    "erode": (MASKS, COUNTS, MASKS),
    "fill_holes": (MASK, MASK),
    "components": (MASK, MASK),
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_nothing_panics(name):
    # PanicException derives from BaseException: it would not be caught here.
    @settings(max_examples=150, deadline=None)
    @given(st.tuples(*SIGNATURES[name]))
    def fuzz(values):
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            getattr(_native, name)(*values)

    fuzz()


@pytest.mark.parametrize("wrong", ["1", [0.5], object()], ids=["str", "list", "object"])
def test_a_number_that_is_none_is_named(wrong):
    frames, masks = np.zeros((1, 4, 4, 3), np.float32), np.zeros((1, 4, 4), np.float32)
    out, region = np.empty_like(frames), np.array([[0, 0, 4, 4]])
    calls = {
        "fill": lambda value: _native.crop_frames(frames, region, out, value),
        "alpha": lambda value: _native.copy_paste(frames, frames, masks, region, value, out),
        "level": lambda value: _native.threshold(masks, value, np.empty(masks.shape, np.uint8)),
        "feather": lambda value: _native.feather_mask(masks, value, np.empty_like(masks)),
    }
    for argument, call in calls.items():
        with pytest.raises(InvalidTypeError, match=f"^{argument}: expected an? (number|int), got"):
            call(wrong)
        with pytest.raises(InvalidArgumentError, match=f"^{argument}: expected"):
            call(10**400)
