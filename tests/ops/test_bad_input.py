"""Input that the ops cannot use: the type of the error, its message, and that nothing was changed.

One table, a row for each op, argument and bad value. SEGS and whole runs are in `test_bad_segs.py`; what looks bad and
can be used is in `test_unusual_input.py`.
"""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
import torch
from arrays import to_numpy
from PIL import Image

from bad_values import BEYOND_FLOATS, BEYOND_PRINTING, COUNTS, FINITE, INF, MAX, NAN, read_only, refused, unaligned
from segs_detailer import ops
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError

KINDS = ("numpy", "torch")
FRAMES = "float32, float16 or uint8"


def pixels(seed, *shape):
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def frames():
    return pixels(1, 2, 6, 8, 3)


def masks():
    return pixels(2, 2, 6, 8)


def binary():
    return (pixels(3, 6, 8) > 0.5).astype(np.uint8)


def patch():
    return {
        "frames": frames(),
        "crops": pixels(4, 2, 2, 3, 3),
        "mask": pixels(5, 2, 2, 3),
        "region": (6, 1, 9, 3),
        "alpha": 0.75,
    }


# Arguments that work, and the shape and dtype of `out`.
OPS = {
    "crop_frames": (lambda: {"frames": frames(), "region": (1, -2, 5, 4), "fill": 0.5}, ((2, 6, 4, 3), "float32")),
    "resize_frames": (lambda: {"frames": frames(), "size": (5, 12)}, ((2, 5, 12, 3), "float32")),
    "resize_masks": (lambda: {"masks": masks(), "size": (5, 12)}, ((2, 5, 12), "float32")),
    "feather_mask": (lambda: {"mask": masks(), "feather": 1}, ((2, 6, 8), "float32")),
    "paste": (patch, ((2, 6, 8, 3), "float32")),
    "paste_": (patch, None),
    "threshold": (lambda: {"masks": masks(), "level": 0.5}, ((2, 6, 8), "uint8")),
    "dilate": (lambda: {"masks": masks(), "size": 3}, ((2, 6, 8), "float32")),
    "erode": (lambda: {"masks": masks(), "size": 2}, ((2, 6, 8), "float32")),
    "fill_holes": (lambda: {"mask": binary()}, None),
    "connected_components": (lambda: {"mask": binary()}, None),
}
ARRAYS = {
    op: [name for name, value in make().items() if isinstance(value, np.ndarray)] for op, (make, _) in OPS.items()
}
WITH_OUT = [op for op, (_, out) in OPS.items() if out]


def good(op, kind="numpy"):
    return {name: as_kind(kind, value) for name, value in OPS[op][0]().items()}


def empty_out(op, kind="numpy"):
    return as_kind(kind, np.full(*OPS[op][1][:1], 7, OPS[op][1][1]))


def as_kind(kind, value):
    return torch.from_numpy(value) if kind == "torch" and isinstance(value, np.ndarray) else value


def warned(make, *values):
    """What `make` gives; torch warns that some of its layouts are new."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make(*values)


# Arrays: what comes instead of one that works, made from that.

UNREADABLE = [
    ("None", lambda a: None, InvalidTypeError, "a NumPy array or a torch tensor, got None"),
    ("list", lambda a: a.tolist(), InvalidTypeError, "a NumPy array or a torch tensor, got list"),
    ("str", lambda a: "clip.mp4", InvalidTypeError, "a NumPy array or a torch tensor, got str"),
    ("image", lambda a: Image.new("RGB", (8, 6)), InvalidTypeError, "torch tensor, got PIL.Image.Image"),
    ("scalar", lambda a: np.float32(0.5), InvalidTypeError, "torch tensor, got numpy.float32"),
    ("masked", np.ma.masked_array, InvalidTypeError, "a plain NumPy array, got a masked array"),
    ("float64", lambda a: a.astype(np.float64), InvalidTypeError, "got float64"),
    ("int64", lambda a: a.astype(np.int64), InvalidTypeError, "got int64"),
    ("complex", lambda a: a.astype(np.complex64), InvalidTypeError, "got complex64"),
    ("object", lambda a: a.astype(object), InvalidTypeError, "got object"),
    ("other byte order", lambda a: a.astype(">f4"), InvalidTypeError, "got >f4"),
    ("one axis more", lambda a: a[None, None], InvalidArgumentError, "shape .*, got shape"),
    ("no axis", lambda a: np.zeros((), a.dtype), InvalidArgumentError, r"shape .*, got shape \(\)"),
]
UNREADABLE_TENSORS = [
    ("requires grad", lambda t: t.float().requires_grad_(), InvalidArgumentError, r"require grad \(call .detach\(\)\)"),
    ("meta", lambda t: t.to("meta"), InvalidArgumentError, "a tensor with data, got a meta tensor"),
    ("sparse", lambda t: t.to_sparse(), InvalidArgumentError, "a dense tensor .* got a sparse_coo one"),
    ("sparse rows", lambda t: warned(torch.zeros(6, 8).to_sparse_csr), InvalidArgumentError, "got a sparse_csr one"),
    (
        "nested",
        lambda t: warned(torch.nested.nested_tensor, [torch.zeros(2, 3), torch.zeros(4, 3)]),
        InvalidArgumentError,
        "a dense tensor .* got a nested one",
    ),
    ("negated", lambda t: torch._neg_view(t.float()), InvalidArgumentError, r"resolve_neg\(\)"),
    ("bfloat16", lambda t: t.bfloat16(), InvalidTypeError, "got bfloat16"),
    ("float64", lambda t: t.double(), InvalidTypeError, "got float64"),
    ("complex", lambda t: torch.complex(t.float(), t.float()), InvalidTypeError, "got complex64"),
]


@pytest.mark.parametrize(("op", "argument"), [(op, argument) for op in OPS for argument in ARRAYS[op]])
def test_arrays_that_cannot_be_read(op, argument):
    for table, kind in ((UNREADABLE, "numpy"), (UNREADABLE_TENSORS, "torch")):
        for what, change, error, message in table:
            if what == "None" and argument == "mask" and op.startswith("paste"):
                continue  # that is how a crop is pasted whole
            arguments = good(op, kind)
            arguments[argument] = change(arguments[argument])
            refused(getattr(ops, op), arguments, error, argument, message)


@pytest.mark.parametrize("op", [op for op in OPS if len(ARRAYS[op]) > 1])
def test_numpy_arrays_and_tensors_together(op):
    first, *others = ARRAYS[op]
    for argument, kind in itertools.product(others, KINDS):
        arguments = good(op, kind)
        arguments[argument] = good(op, "torch" if kind == "numpy" else "numpy")[argument]
        expected = "a NumPy array" if kind == "numpy" else "a torch tensor"
        refused(getattr(ops, op), arguments, InvalidTypeError, argument, f"{expected}, as {first} is, got a")


# Everything else: (ops, argument, value, error, message).

REGIONS = [
    ((5, 0, 4, 4), InvalidArgumentError, r"x1 <= x2 and y1 <= y2, got \(5, 0, 4, 4\)"),
    ((0, 5, 4, 4), InvalidArgumentError, "x1 <= x2 and y1 <= y2"),
    ((0, 0, -3, -2), InvalidArgumentError, "x1 <= x2 and y1 <= y2"),
    ((MAX, 0, MAX + 1, 2), InvalidArgumentError, f"[|]coordinate[|] <= {MAX}, got {MAX + 1}"),
    ((0, 0, 2**31, 2), InvalidArgumentError, "coordinate"),
    ((-(2**63), 0, 2**63 - 1, 2), InvalidArgumentError, "coordinate"),
    ((0, 0, 2**63, 2), InvalidArgumentError, "coordinate"),
    ((0, 0, BEYOND_FLOATS, 2), InvalidArgumentError, "coordinate"),
    ((0, 0, BEYOND_PRINTING, 2), InvalidArgumentError, "coordinate.* got int of too many digits"),
    (np.array([0, 0, 2**63, 2], np.uint64), InvalidArgumentError, "coordinate"),
    ((0, 0, 3), InvalidArgumentError, r"\(x1, y1, x2, y2\), or one per frame, got shape \(3,\)"),
    ((), InvalidArgumentError, r"got shape \(0,\)"),
    (7, InvalidArgumentError, r"got shape \(\)"),
    ([[(0, 0, 3, 2)]], InvalidArgumentError, r"got shape \(1, 1, 4\)"),
    ([(0, 0, 3, 2)] * 3, InvalidArgumentError, "1 or 2 regions, got 3"),
    ([(0, 0, 3, 2), (0, 0, 3, 3)], InvalidArgumentError, "regions of one size, 3x2 as the first, got 3x3 in region 1"),
    ([(0, 0, 3, 2), (0, 0)], InvalidTypeError, r"of numbers.*, got \(0, 0, 3, 2\)"),
    ([np.zeros((2, 2)), np.zeros((2, 3))], InvalidArgumentError, "one per frame"),
    ((0.5, 0, 3, 2), InvalidArgumentError, "size is in whole pixels, got 2.5x2"),
    ([(0, 0, 3, 2), (0, 0.25, 3, 2)], InvalidArgumentError, "size is in whole pixels, got 3x1.75"),
    ([(0, 0, 3, 2), (0, 0.25, 3, 3.25)], InvalidArgumentError, "3x2 as the first, got 3x3 in region 1"),
    ((0.5, 0.5, -2.5, 2.5), InvalidArgumentError, r"x1 <= x2 and y1 <= y2, got \(0.5, 0.5, -2.5, 2.5\)"),
    ((MAX, 0.5, MAX + 1.0, 2.5), InvalidArgumentError, f"[|]coordinate[|] <= {MAX}, got {MAX + 1.0}"),
    ((0, 0, NAN, 2), InvalidArgumentError, "finite coordinates, got nan"),
    ((0, 0, INF, 2), InvalidArgumentError, "finite coordinates, got inf"),
    ((0, 0, np.float32(NAN), 2), InvalidArgumentError, "finite coordinates, got .*nan"),
    ((0.5, 0, 3.5, BEYOND_FLOATS), InvalidArgumentError, "coordinate"),
    ((0, 0, 3j, 2), InvalidTypeError, "of numbers, or one per frame, got 3j"),
    (("a", 0, 3, 2), InvalidTypeError, "of numbers, or one per frame, got 'a'"),
    ("abcd", InvalidTypeError, "got 'abcd'"),
    (None, InvalidTypeError, "got None"),
    ((False, False, True, True), InvalidTypeError, "got False"),
    (torch.tensor([0.0, 0.0, 2.5, 2.0]), InvalidArgumentError, "size is in whole pixels, got 2.5x2"),
    (torch.tensor([0, 0, 3, 2], device="meta"), InvalidArgumentError, "a tensor with data"),
    (torch.tensor([0, 0, 3, 2]).to_sparse(), InvalidArgumentError, "a dense tensor"),
]
SIZES = [
    *(((value, 4), error, message) for value, error, message in COUNTS),
    *(((4, value), error, message) for value, error, message in COUNTS),
    ((0, 4), InvalidArgumentError, f"a whole number from 1 to {MAX}, got 0"),
    ((4, 0), InvalidArgumentError, "a whole number from 1"),
    ((MAX, MAX), InvalidArgumentError, "a size that fits memory, got a result of shape"),
    (4, InvalidTypeError, r"\(height, width\), got 4"),
    ((4,), InvalidTypeError, r"\(height, width\), got \(4,\)"),
    ((4, 4, 3), InvalidTypeError, r"\(height, width\), got \(4, 4, 3\)"),
    (None, InvalidTypeError, r"\(height, width\), got None"),
]
UNIT = [
    *FINITE,
    (-0.1, InvalidArgumentError, r"a number in \[0, 1\], got -0.1"),
    (255, InvalidArgumentError, r"a number in \[0, 1\], got 255"),
]
PASTES = ("paste", "paste_")
F32 = np.float32
TABLE = [
    *((("crop_frames", *PASTES), "region", *row) for row in REGIONS),
    (("crop_frames",), "region", (0, 0, MAX, MAX), InvalidArgumentError, "a size that fits memory"),
    (("crop_frames",), "region", (-MAX, -MAX, MAX, MAX), InvalidArgumentError, "a size that fits memory"),
    (PASTES, "region", (0, 0, MAX, MAX), InvalidArgumentError, f"3x2 pixels, as crops is, got {MAX}x{MAX}"),
    (PASTES, "region", (0, 0, 3, 0), InvalidArgumentError, "3x2 pixels, as crops is, got 3x0"),
    *((("crop_frames",), "fill", *row) for row in UNIT),
    *((PASTES, "alpha", *row) for row in (*UNIT, (None, InvalidTypeError, "number.*, got NoneType None"))),
    *((("resize_frames", "resize_masks"), "size", *row) for row in SIZES),
    *((("feather_mask",), "feather", *row) for row in COUNTS),
    *((("dilate", "erode"), "size", *row) for row in COUNTS),
    *((("threshold",), "level", *row) for row in (*FINITE, (None, InvalidTypeError, "number.*, got NoneType None"))),
    *(
        (("crop_frames", "resize_frames", *PASTES), "frames", *row)
        for row in (
            (np.zeros((2, 6, 8, 5), F32), InvalidArgumentError, r"1 to 4 channels, got shape \(2, 6, 8, 5\)"),
            (np.zeros((2, 6, 8, 0), F32), InvalidArgumentError, "1 to 4 channels, got"),
            (np.zeros((2, 3, 6, 8), F32), InvalidArgumentError, r"1 to 4 channels \(channels come last\), got"),
            (np.zeros((6, 8, 3), F32), InvalidArgumentError, r"shape \(B, H, W, C\), got shape \(6, 8, 3\)"),
            (np.zeros((2, 6, 8, 3), bool), InvalidTypeError, f"{FRAMES}, got bool"),
        )
    ),
    (("resize_frames",), "frames", np.zeros((2, 0, 8, 3), F32), InvalidArgumentError, "at least one pixel, got shape"),
    (("resize_frames",), "frames", np.zeros((2, 6, 0, 3), F32), InvalidArgumentError, "at least one pixel, got shape"),
    (("resize_masks",), "masks", np.zeros((0, 8), F32), InvalidArgumentError, "at least one pixel, got shape"),
    (("resize_masks",), "masks", np.zeros((1, 6, 0), F32), InvalidArgumentError, "at least one pixel, got shape"),
    *(
        (PASTES, "crops", *row)
        for row in (
            (np.zeros((3, 2, 3, 3), F32), InvalidArgumentError, "1 or 2 crops, got 3"),
            (np.zeros((0, 2, 3, 3), F32), InvalidArgumentError, "1 or 2 crops, got 0"),
            (np.zeros((1, 2, 3, 1), F32), InvalidArgumentError, "3 or 4 channels, got 1"),
            (np.zeros((1, 2, 3, 5), F32), InvalidArgumentError, "1 to 4 channels.*, got"),
            (np.zeros((1, 2, 3, 3), np.uint8), InvalidTypeError, "float32, as frames is, got uint8"),
            (np.zeros((1, 2, 3, 3), np.float16), InvalidTypeError, "float32, as frames is, got float16"),
        )
    ),
    *(
        (PASTES, "mask", *row)
        for row in (
            (np.zeros((3, 2, 3), F32), InvalidArgumentError, r"\(2, 3\), \(1, 2, 3\) or \(2, 2, 3\), got shape"),
            (np.zeros((0, 2, 3), F32), InvalidArgumentError, "shape"),
            (np.zeros((3, 2), F32), InvalidArgumentError, "shape"),
            (np.zeros((2, 2, 3, 1), F32), InvalidArgumentError, "shape"),
            (np.zeros((2, 3), np.uint8), InvalidTypeError, "float32, got uint8"),
        )
    ),
    (("resize_masks", "threshold", "dilate", "erode"), "masks", np.ones((6, 8), bool), InvalidTypeError, "got bool"),
    (("fill_holes", "connected_components"), "mask", np.ones((6, 8), F32), InvalidTypeError, "uint8 or bool, got"),
    (
        ("fill_holes", "connected_components"),
        "mask",
        np.ones((2, 6, 8), bool),
        InvalidArgumentError,
        r"shape \(h, w\), got shape",
    ),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("op", "argument", "value", "error", "message"),
    # The names must not show the values: Python prints no int of thousands of digits.
    [pytest.param(op, *row, id=f"{op}-{row[0]}-{number}") for number, (ops_, *row) in enumerate(TABLE) for op in ops_],
)
def test_values_that_cannot_be_used(op, argument, value, error, message, kind):
    arguments = good(op, kind)
    arguments[argument] = as_kind(kind, value) if argument in ARRAYS[op] else value
    refused(getattr(ops, op), arguments, error, argument, message)


def test_a_frame_without_pixels_has_none_to_repeat():
    arguments = {"frames": np.zeros((2, 0, 8, 3), F32), "region": (0, 0, 2, 2)}
    refused(ops.crop_frames, arguments, InvalidArgumentError, "frames", "at least one pixel to fill with, or a fill")
    assert (ops.crop_frames(**arguments, fill=0.25) == 0.25).all()


def test_a_size_is_refused_also_where_there_is_nothing_to_resize():
    arguments = {"frames": np.zeros((0, 6, 8, 3), F32), "size": (MAX, MAX)}
    refused(ops.resize_frames, arguments, InvalidArgumentError, "size", "a size that fits memory")


def test_numbers_of_threads():
    before = ops.get_num_threads()
    for value, error, message in COUNTS:
        refused(ops.set_num_threads, {"threads": value}, error, "threads", message)
    assert ops.get_num_threads() == before


# Outputs.


def cut(array, axis):
    """An array of the same shape that is every second element of a larger one along an axis."""
    twice = np.repeat(array, 2, axis)
    return twice[(*[slice(None)] * axis, slice(None, None, 2))]


NOT_PACKED = "a C-contiguous and aligned array, got shape"
UNWRITABLE = [
    ("read-only", read_only, InvalidArgumentError, "a writable array, got a read-only one"),
    (
        "transposed",
        lambda a: a.swapaxes(0, 1).copy().swapaxes(0, 1),
        InvalidArgumentError,
        NOT_PACKED,
    ),
    ("sliced", lambda a: cut(a, a.ndim - 1), InvalidArgumentError, NOT_PACKED),
    ("unaligned", unaligned, InvalidArgumentError, NOT_PACKED),
    ("negative strides", lambda a: a[::-1], InvalidArgumentError, NOT_PACKED),
    (
        "expanded",
        lambda a: np.lib.stride_tricks.as_strided(a, strides=(0,) * a.ndim),
        InvalidArgumentError,
        "elements do not overlap",
    ),
    ("larger", lambda a: a[None], InvalidArgumentError, r"shape \(.*\), got shape \(1, "),
    ("empty", lambda a: a[:0], InvalidArgumentError, r"shape \(.*\), got shape \(0, "),
    ("float64", lambda a: a.astype(np.float64), InvalidTypeError, "got float64"),
    ("list", lambda a: a.tolist(), InvalidTypeError, "a NumPy array or a torch tensor, got list"),
    ("masked", np.ma.masked_array, InvalidTypeError, "a plain NumPy array"),
    ("tensor", torch.from_numpy, InvalidTypeError, r"a NumPy array, as \w+ is, got a torch tensor"),
]
UNWRITABLE_TENSORS = [
    ("transposed", lambda t: t.mT.contiguous().mT, InvalidArgumentError, NOT_PACKED),
    (
        "sliced",
        lambda t: t.repeat_interleave(2, -1)[..., ::2],
        InvalidArgumentError,
        NOT_PACKED,
    ),
    ("expanded", lambda t: t[:1, :1].expand(t.shape), InvalidArgumentError, r"do not overlap \(call .clone"),
    ("requires grad", lambda t: t.float().requires_grad_(), InvalidArgumentError, "does not require grad"),
    ("meta", lambda t: t.to("meta"), InvalidArgumentError, "a tensor with data"),
    ("sparse", lambda t: t.to_sparse(), InvalidArgumentError, "a dense tensor"),
    ("bfloat16", lambda t: t.bfloat16(), InvalidTypeError, "got bfloat16"),
    ("array", lambda t: t.numpy(), InvalidTypeError, r"a torch tensor, as \w+ is, got a NumPy array"),
]


@pytest.mark.parametrize("op", WITH_OUT)
def test_outputs_that_cannot_be_written(op):
    for table, kind in ((UNWRITABLE, "numpy"), (UNWRITABLE_TENSORS, "torch")):
        for what, change, error, message in table:
            if what == "unaligned" and op == "threshold":
                continue  # bytes lie anywhere
            arguments = {**good(op, kind), "out": change(empty_out(op, kind))}
            refused(getattr(ops, op), arguments, error, "out", message)


def test_frames_that_cannot_be_pasted_into():
    for change, message in ((read_only, "a writable array"), (lambda a: np.broadcast_to(a[:1], a.shape), "writable")):
        refused(ops.paste_, {**patch(), "frames": change(frames())}, InvalidArgumentError, "frames", message)
    arguments = good("paste_", "torch")
    arguments["frames"] = arguments["frames"][:1].expand(2, -1, -1, -1)
    refused(ops.paste_, arguments, InvalidArgumentError, "frames", "elements do not overlap")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("op", "written", "read"),
    [(op, "out", read) for op in WITH_OUT for read in ARRAYS[op]]
    + [("paste_", "frames", r) for r in ("crops", "mask")],
)
def test_memory_that_is_read_and_written(op, written, read, kind):
    arguments = good(op)
    if written == "out":
        arguments["out"] = empty_out(op)
    # One piece of memory, in which the input begins where the output has its last byte but some.
    input_, output = arguments[read], arguments[written]
    for overlap in (8, output.nbytes):
        memory = np.zeros(output.nbytes + input_.nbytes - min(overlap, input_.nbytes), np.uint8)
        parts = {
            written: memory[: output.nbytes].view(output.dtype).reshape(output.shape),
            read: memory[-input_.nbytes :].view(input_.dtype).reshape(input_.shape),
        }
        parts[written][...], parts[read][...] = output, input_
        shared = {name: as_kind(kind, value) for name, value in {**arguments, **parts}.items()}
        refused(getattr(ops, op), shared, InvalidArgumentError, written, f"memory apart from that of {read}")
    # Neighbors do not overlap.
    memory = np.zeros(output.nbytes + input_.nbytes, np.uint8)
    parts = {
        written: memory[: output.nbytes].view(output.dtype).reshape(output.shape),
        read: memory[output.nbytes :].view(input_.dtype).reshape(input_.shape),
    }
    parts[written][...], parts[read][...] = output, input_
    expected = getattr(ops, op)(**arguments).copy()
    apart = {name: as_kind(kind, value) for name, value in {**arguments, **parts}.items()}
    np.testing.assert_array_equal(to_numpy(getattr(ops, op)(**apart)), expected)
