"""SEGS, masks and runs that cannot be used: the type of the error, its message, and that nothing was changed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from bad_values import BEYOND_FLOATS, BEYOND_PRINTING, COUNTS, INF, MAX, NAN, read_only, refused
from fake_sampler import FakeSampler, clip, segment
from segs_detailer import detail_frames, masks_to_segs, scale_match
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.segs import SEG

F32 = np.float32
FRAMES = "float32, float16 or uint8"


def seg(**changes):
    return SEG(None, np.ones((4, 4), F32), 1.0, (1, 1, 5, 5), (2, 2, 4, 4), "face")._replace(**changes)


def matching(**changes):
    """`scale_match` of one segment with some fields, or other arguments, replaced."""
    fields = {name: changes.pop(name) for name in SEG._fields if name in changes}
    return {"segs": ((6, 8), [seg(**fields)]), "frames_shape": (2, 12, 16, 3), **changes}


MATCHES = [
    *(
        ("frames_shape", {"frames_shape": (2, *size, 3)}, error, message)
        for row in COUNTS
        for size, error, message in (((row[0], 8), *row[1:]), ((12, row[0]), *row[1:]))
    ),
    ("frames_shape", {"frames_shape": (2, 0, 16, 3)}, InvalidArgumentError, "at least one pixel"),
    ("frames_shape", {"frames_shape": (12, 16)}, InvalidArgumentError, r"\(B, H, W, C\), got \(12, 16\)"),
    ("frames_shape", {"frames_shape": None}, InvalidTypeError, r"\(B, H, W, C\), got None"),
    ("frames_shape", {"frames_shape": 12}, InvalidTypeError, r"\(B, H, W, C\), got 12"),
    ("size", {"frames_shape": (2, MAX, MAX, 3)}, InvalidArgumentError, "a size that fits memory"),
    ("segs", {"segs": None}, InvalidTypeError, "SEGS"),
    ("segs[0]", {"segs": ((2**31, 8), [])}, InvalidArgumentError, f"each from 0 to {MAX}"),
    ("segs[0]", {"segs": ((6, 2**64), [])}, InvalidArgumentError, f"each from 0 to {MAX}"),
    ("segs[0]", {"segs": ((BEYOND_FLOATS, 8), [])}, InvalidArgumentError, f"each from 0 to {MAX}"),
    ("segs[0]", {"segs": ((BEYOND_PRINTING, 8), [])}, InvalidArgumentError, f"each from 0 to {MAX}"),
    ("segs[0]", {"segs": ((NAN, 8), [])}, InvalidArgumentError, "finite"),
    ("segs[0]", {"segs": (torch.ones(2, device="meta"), [])}, InvalidTypeError, r"\(H, W\)"),
    *(
        (f"segs[1][0].{field}", {field: box}, InvalidArgumentError, message)
        for field in ("crop_region", "bbox")
        for box, message in (
            ((5, 1, 1, 5), "x1 <= x2"),
            ((1, 5, 5, 1), "y1 <= y2"),
            ((1, 1, 2**31, 5), "coordinate"),
            ((-(2**63), 1, 5, 5), "coordinate"),
            ((1, 1, 5, BEYOND_FLOATS), "coordinate"),
            ((1, 1, 5, BEYOND_PRINTING), "coordinate"),
            ((1, 1, NAN, 5), "finite"),
            ((1, 1, 5, INF), "finite"),
        )
    ),
    *(
        (f"segs[1][0].{field}", {field: change}, error, message)
        for field, shape in (("cropped_mask", (4, 4)), ("cropped_image", (2, 4, 4, 3)))
        for change, error, message in (
            (torch.ones(shape, device="meta"), InvalidArgumentError, "a tensor with data"),
            (torch.ones(shape).to_sparse(), InvalidArgumentError, "a dense tensor"),
            (torch.ones(shape, requires_grad=True), InvalidArgumentError, "require grad"),
            (np.ones(shape, np.complex64), InvalidTypeError, "got complex64"),
            (np.ones(shape, ">f4"), InvalidTypeError, "got >f4"),
            (np.ma.ones(shape), InvalidTypeError, "a masked array"),
            ("mask.png", InvalidTypeError, "a NumPy array or a torch tensor, got str"),
        )
    ),
]


@pytest.mark.parametrize("row", range(len(MATCHES)), ids=lambda row: f"{MATCHES[row][0]}-{row}")
def test_segs_that_cannot_be_matched(row):
    argument, changes, error, message = MATCHES[row]
    arguments = matching(**changes)
    with pytest.raises(error, match=message) as caught:
        scale_match(**arguments)
    assert caught.value.argument == argument
    assert len(str(caught.value)) < 250


FINDINGS = [
    ("masks", [[1.0]], InvalidTypeError, "a NumPy array or a torch tensor, got list"),
    ("masks", np.zeros((2, 2), np.int32), InvalidTypeError, "got int32"),
    ("masks", np.zeros((2, 2), ">f4"), InvalidTypeError, "got >f4"),
    ("masks", np.zeros((2, 2), np.complex64), InvalidTypeError, "got complex64"),
    ("masks", np.ma.zeros((2, 2)), InvalidTypeError, "a masked array"),
    ("masks", np.zeros(5), InvalidArgumentError, r"shape \(h, w\), .*, got shape \(5,\)"),
    ("masks", np.zeros((2, 3, 5, 5)), InvalidArgumentError, "shape"),
    ("masks", np.full((2, 5, 5), NAN), InvalidArgumentError, "numbers, got NaN in mask 0"),
    ("masks", torch.full((2, 5, 5), NAN, dtype=torch.bfloat16), InvalidArgumentError, "numbers, got NaN in mask 0"),
    ("masks", torch.zeros(5, 5, requires_grad=True), InvalidArgumentError, "require grad"),
    ("masks", torch.zeros(5, 5, device="meta"), InvalidArgumentError, "a tensor with data"),
    ("masks", torch.zeros(5, 5).to_sparse(), InvalidArgumentError, "a dense tensor"),
    ("crop_factor", 0.5, InvalidArgumentError, "a finite number of at least 1 .*, got 0.5"),
    ("crop_factor", NAN, InvalidArgumentError, "got nan"),
    ("crop_factor", INF, InvalidArgumentError, "got inf"),
    ("crop_factor", 1e308, InvalidArgumentError, r"got 1e\+308"),
    ("crop_factor", BEYOND_FLOATS, InvalidArgumentError, "got 1148"),
    ("crop_factor", BEYOND_PRINTING, InvalidArgumentError, "too many digits"),
    ("crop_factor", "3", InvalidTypeError, "a number, got '3'"),
    ("crop_factor", None, InvalidTypeError, "a number, got None"),
    ("crop_factor", True, InvalidTypeError, "a number, got True"),
    *(("drop_size", *row) for row in COUNTS),
]


@pytest.mark.parametrize("row", range(len(FINDINGS)), ids=lambda row: f"{FINDINGS[row][0]}-{row}")
def test_masks_that_become_no_segs(row):
    argument, value, error, message = FINDINGS[row]
    refused(masks_to_segs, {"masks": np.ones((12, 12), F32), argument: value}, error, argument, message)


def images(*sizes, mode="RGB"):
    return [Image.new(mode, size) for size in sizes]


RUNS = [
    ("frames", "clip.mp4", InvalidTypeError, "a tensor, a NumPy array or a list of PIL images, got str"),
    ("frames", None, InvalidTypeError, "a tensor, a NumPy array or a list"),
    ("frames", np.zeros((2, 48, 64, 3)), InvalidTypeError, f"{FRAMES}, got float64"),
    ("frames", torch.zeros(2, 48, 64, 3, dtype=torch.bfloat16), InvalidTypeError, f"{FRAMES}, got bfloat16"),
    ("frames", np.zeros((48, 64, 3), F32), InvalidArgumentError, r"shape \(B, H, W, C\); .*, got \(48, 64, 3\)"),
    ("frames", np.zeros((2, 48, 64, 1), F32), InvalidArgumentError, "RGB or RGBA frames"),
    ("frames", np.zeros((2, 48, 64, 5), F32), InvalidArgumentError, "RGB or RGBA frames"),
    ("frames", np.zeros((2, 3, 48, 64), F32), InvalidArgumentError, "RGB or RGBA frames"),
    ("frames", np.zeros((2, 0, 64, 3), F32), InvalidArgumentError, "frames with pixels"),
    ("frames", torch.zeros(2, 48, 64, 3, requires_grad=True), InvalidArgumentError, "require grad"),
    ("frames", torch.zeros(2, 48, 64, 3, device="meta"), InvalidArgumentError, "a tensor with data"),
    ("frames", torch.zeros(2, 48, 64, 3).to_sparse(), InvalidArgumentError, "a dense tensor"),
    ("frames", [], InvalidArgumentError, "at least one image, got an empty list"),
    ("frames[0]", [np.zeros((48, 64, 3))], InvalidTypeError, "a PIL image, got ndarray"),
    ("frames[0]", images((8, 8), mode="L"), InvalidArgumentError, "mode RGB or RGBA .*, got L"),
    ("frames[1]", images((8, 8), (8, 9)), InvalidArgumentError, r"mode RGB and size \(8, 8\), as the first has"),
    ("segs", None, InvalidTypeError, "SEGS"),
    ("segs[1][0].cropped_mask", (np.full((32, 32), NAN, F32),), InvalidArgumentError, "numbers, got NaN"),
    ("segs[1][0].crop_region", ((8, 8, BEYOND_FLOATS, 40),), InvalidArgumentError, "coordinate"),
    ("segs[1][0].cropped_image", (np.zeros((2, 32, 32, 3), F32),), InvalidArgumentError, "1 or 3 crops"),
    ("pipe", "sd15.safetensors", InvalidTypeError, "a basic_pipe"),
    ("pipe", (1, 2), InvalidArgumentError, r"\(model, clip, vae, positive, negative\)"),
    ("refiner_pipe", (1, 2), InvalidArgumentError, r"\(model, clip, vae, positive, negative\)"),
    ("guide_size_for", "box", InvalidArgumentError, "'bbox' or 'crop_region', got 'box'"),
    ("sampler_name", "nonsense", InvalidArgumentError, "one of euler, .*, got 'nonsense'"),
    ("scheduler", "nonsense", InvalidArgumentError, "one of normal, .*, got 'nonsense'"),
    ("progress", "bar", InvalidTypeError, "a bool or a callable"),
    *(
        (name, value, InvalidArgumentError, "expected a")
        for name in ("guide_size", "max_size", "cfg", "denoise", "refiner_ratio")
        for value in (NAN, INF, -INF, -1, BEYOND_FLOATS, BEYOND_PRINTING)
    ),
    *(
        (name, value, InvalidArgumentError, "expected an int")
        for name in ("seed", "steps", "feather", "noise_mask_feather")
        for value in (-1, BEYOND_FLOATS, BEYOND_PRINTING)
    ),
    *(
        (name, value, InvalidTypeError, "expected a")
        for name in ("guide_size", "max_size", "cfg", "denoise", "seed", "steps", "feather", "noise_mask_feather")
        # None is for the model to say, where it recommends something.
        for value in ("1", True, [1], *([None] if name in ("seed", "feather", "noise_mask_feather") else []))
    ),
    *(
        (name, value, InvalidTypeError, "expected an int")
        for name in ("seed", "steps", "feather", "noise_mask_feather")
        for value in (NAN, INF, 1.0)
    ),
]


@pytest.mark.parametrize("row", range(len(RUNS)), ids=lambda row: f"{RUNS[row][0]}-{row}")
def test_runs_that_cannot_begin(row):
    argument, value, error, message = RUNS[row]
    sampler = FakeSampler()
    arguments = {"frames": clip(), "segs": ((48, 64), [segment((8, 8, 40, 40))]), "pipe": sampler}
    field = argument.rpartition(".")[2]
    if field in SEG._fields:
        arguments["segs"] = ((48, 64), [segment((8, 8, 40, 40))._replace(**{field: value[0]})])
    else:
        arguments[argument.partition("[")[0]] = value
    refused(detail_frames, arguments, error, argument, message)
    assert sampler.encoded == []


def test_a_run_in_place_needs_memory_to_write_to():
    segs = ((48, 64), [segment((8, 8, 40, 40))])
    for argument, frames_, message in (
        ("in_place", images((64, 48)), "False for a list of images, got True"),
        ("frames", read_only(clip().numpy()), "a writable array"),
        ("frames", clip().numpy()[:, ::-1], "without negative strides"),
    ):
        arguments = {"frames": frames_, "segs": segs, "pipe": FakeSampler(), "in_place": True}
        refused(detail_frames, arguments, InvalidArgumentError, argument, message)
