"""SEG, SEGS, their validation and their fit to frames of another size."""

from __future__ import annotations

import math
from collections import namedtuple

import numpy as np
import pytest
import torch

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.ops import resize_frames
from segs_detailer.segs import SEG, check_segs, image_frames, mask_frames, scale_match

FIELDS = ["cropped_image", "cropped_mask", "confidence", "crop_region", "bbox", "label", "control_net_wrapper"]


def seg_of(**changes):
    seg = SEG(None, np.ones((20, 30), np.float32), 0.9, (10, 20, 40, 40), (15, 22, 30, 38), "face", None)
    return seg._replace(**changes)


def test_a_seg_unpacks_and_indexes_like_the_known_one():
    seg = SEG(None, None, 0.9, (0, 0, 4, 4), (1, 1, 3, 3), "hand")
    assert list(SEG._fields) == FIELDS
    image, mask, confidence, crop_region, bbox, label, wrapper = seg
    assert (image, mask, confidence, crop_region, bbox, label, wrapper) == tuple(seg)
    assert (seg[3], seg[-1], seg._asdict()["label"]) == ((0, 0, 4, 4), None, "hand")


def test_segs_in_our_form_come_back_as_they_are():
    segs = ((60, 80), [seg_of(), seg_of(cropped_mask=None)])
    assert check_segs(segs) is segs
    assert scale_match(segs, (3, 60, 80, 3)) is segs
    empty = ((0, 0), [])
    assert scale_match(empty, (3, 60, 80, 3)) is empty


def test_foreign_segs_are_read_by_attribute():
    foreign = namedtuple("SEG", FIELDS, defaults=[None])
    wrapper = object()
    item = foreign(
        torch.zeros(20, 30, 3),
        torch.ones(2, 1, 20, 30),
        np.float32(0.5),
        [10, 20, 40, 40],
        np.array([15.9, 22.0, 30.2, 38.0]),
        "face",
        wrapper,
    )
    size, [seg] = check_segs([np.array([60, 80]), (item,)])
    assert size == (60, 80)
    assert type(seg) is SEG
    assert seg.crop_region == (10, 20, 40, 40)
    assert seg.bbox == (15, 22, 30, 38)
    assert all(type(v) is int for v in (*seg.crop_region, *seg.bbox, *size))
    assert tuple(seg.cropped_image.shape) == (1, 20, 30, 3)
    assert tuple(seg.cropped_mask.shape) == (2, 20, 30)
    assert seg.cropped_mask.data_ptr() == item.cropped_mask.data_ptr()
    assert seg.control_net_wrapper is wrapper


def test_a_seg_without_a_wrapper_field_is_accepted():
    short = namedtuple("SEG", FIELDS[:-1])
    assert check_segs(((60, 80), [short(*seg_of()[:-1])]))[1][0].control_net_wrapper is None


@pytest.mark.parametrize(
    "mask", [np.zeros((3, 20, 30, 1), np.uint8), torch.zeros(1, 20, 30, dtype=torch.bool), np.zeros((20, 30))]
)
def test_masks_of_other_forms_are_accepted(mask):
    assert check_segs(((60, 80), [seg_of(cropped_mask=mask)]))[1][0].cropped_mask.shape[-2:] == (20, 30)


@pytest.mark.parametrize(
    ("segs", "error", "message"),
    [
        (None, InvalidTypeError, r"segs: expected SEGS, \(\(H, W\), \[SEG, ...\]\), got NoneType"),
        (((60, 80),), InvalidTypeError, "segs: expected SEGS"),
        (([seg_of()], (60, 80)), InvalidTypeError, r"segs\[0\]: expected \(H, W\)"),
        (((60, 80, 3), []), InvalidArgumentError, r"segs\[0\]: expected \(H, W\), got 3 values"),
        (((-1, 80), []), InvalidArgumentError, r"segs\[0\]: expected \(H, W\), each from 0"),
        (((60, 80), [None]), InvalidTypeError, r"segs\[1\]\[0\]: expected a SEG with the fields cropped_image"),
    ],
)
def test_what_is_no_segs_is_refused(segs, error, message):
    with pytest.raises(error, match=message):
        check_segs(segs)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"crop_region": (10, 20, 10, 40)},
            InvalidArgumentError,
            "crop_region: expected a region of at least one pixel",
        ),
        ({"crop_region": (40, 20, 10, 40)}, InvalidArgumentError, "crop_region: expected .* x1 <= x2"),
        ({"crop_region": (0, 0, 2**40, 40)}, InvalidArgumentError, r"crop_region: expected .* \|coordinate\|"),
        ({"crop_region": (10, 20, 40)}, InvalidArgumentError, "crop_region: expected .* got 3 values"),
        ({"crop_region": None}, InvalidTypeError, "crop_region: expected"),
        ({"bbox": (15, 22, math.nan, 38)}, InvalidArgumentError, "bbox: expected finite"),
        ({"bbox": (15, 22, math.inf, 38)}, InvalidArgumentError, "bbox: expected finite"),
        ({"bbox": (15, 38, 30, 22)}, InvalidArgumentError, "bbox: expected .* y1 <= y2"),
        ({"bbox": "abcd"}, InvalidTypeError, "bbox: expected"),
        (
            {"cropped_mask": np.ones((30, 20), np.float32)},
            InvalidArgumentError,
            r"cropped_mask: expected shape \(20, 30\)",
        ),
        ({"cropped_mask": np.ones((0, 20, 30))}, InvalidArgumentError, "cropped_mask: expected shape"),
        ({"cropped_mask": np.ones((20, 30), np.int32)}, InvalidTypeError, "cropped_mask: expected .* got int32"),
        ({"cropped_mask": [[1.0]]}, InvalidTypeError, "cropped_mask: expected a NumPy array or a torch tensor"),
        (
            {"cropped_image": np.ones((3, 20, 31, 3))},
            InvalidArgumentError,
            r"cropped_image: expected shape \(B, 20, 30, C\)",
        ),
        ({"cropped_image": np.ones((3, 20, 30, 5))}, InvalidArgumentError, "cropped_image: .* C from 1 to 4"),
        (
            {"cropped_image": torch.ones(1, 20, 30, 3).requires_grad_()},
            InvalidArgumentError,
            "cropped_image: .* require grad",
        ),
        ({"cropped_image": np.ones((20, 30, 3), np.int64)}, InvalidTypeError, "cropped_image: expected .* got int64"),
    ],
)
def test_segs_that_cannot_be_used_are_refused_with_their_place(changes, error, message):
    with pytest.raises(error, match=rf"^segs\[1\]\[1\].{message}"):
        check_segs(((60, 80), [seg_of(), seg_of(**changes)]))


def test_an_empty_box_is_no_error():
    assert check_segs(((60, 80), [seg_of(bbox=(15, 22, 15, 22))]))


def test_each_axis_scales_by_its_own_ratio():
    image = np.random.default_rng(1).random((2, 20, 30, 3), dtype=np.float32)
    mask = torch.rand(2, 20, 30)
    size, [seg] = scale_match(((60, 80), [seg_of(cropped_image=image, cropped_mask=mask)]), (2, 30, 240, 3))
    assert size == (30, 240)
    assert seg.crop_region == (30, 10, 120, 20)
    assert seg.bbox == (45, 11, 90, 19)
    np.testing.assert_array_equal(seg.cropped_image, resize_frames(image, (10, 90)))
    expected = torch.nn.functional.interpolate(mask[None], size=(10, 90), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(seg.cropped_mask, expected, atol=1e-6, rtol=0)
    assert (seg.confidence, seg.label) == (0.9, "face")


def test_coordinates_are_truncated_and_regions_keep_a_pixel():
    segs = ((100, 100), [seg_of(crop_region=(33, 33, 35, 35), cropped_mask=None, bbox=(33, 33, 34, 34))])
    _, [seg] = scale_match(segs, (1, 10, 55, 3))
    assert seg.crop_region == (18, 3, 19, 4)
    assert seg.bbox == (18, 3, 19, 4)


@pytest.mark.parametrize(("dtype", "scale"), [(np.uint8, 255), (np.bool_, 1), (np.float64, 1), (np.float16, 1)])
def test_masks_of_other_dtypes_are_scaled(dtype, scale):
    mask = (np.random.default_rng(2).random((20, 30)) > 0.5).astype(dtype) * dtype(scale)
    _, [seg] = scale_match(((60, 80), [seg_of(cropped_mask=mask)]), (1, 120, 160, 3))
    assert seg.cropped_mask.dtype == np.float32
    assert seg.cropped_mask.shape == (40, 60)
    assert (seg.cropped_mask.min(), seg.cropped_mask.max()) == (0.0, 1.0)


def test_no_mask_is_a_mask_of_ones():
    np.testing.assert_array_equal(mask_frames(None, (2, 3), 5), np.ones((1, 2, 3), np.float32))
    like = torch.zeros(1)
    assert torch.equal(mask_frames(None, (2, 3), 5, like=like), torch.ones(1, 2, 3))


@pytest.mark.parametrize("as_kind", [np.asarray, torch.from_numpy])
def test_masks_for_frames(as_kind):
    masks = np.zeros((3, 2, 2), np.float32)
    masks[0, 0, 0], masks[1, 0, 1], masks[2, 1, 0] = 0.05, 0.2, 1.0
    given = as_kind(masks)
    assert mask_frames(given, (2, 2), 3) is given
    single = mask_frames(given[1], (2, 2), 3)
    np.testing.assert_array_equal(np.asarray(single), masks[1:2])
    # 4 frames and 3 masks: combined, above 0.1.
    combined = mask_frames(given, (2, 2), 4)
    np.testing.assert_array_equal(np.asarray(combined), [[[0, 1], [1, 0]]])
    assert type(combined) is type(given)
    assert str(combined.dtype).endswith("float32")


def test_mask_values():
    np.testing.assert_allclose(mask_frames(np.array([[0, 51, 255]], np.uint8), (1, 3), 1), [[[0, 0.2, 1]]])
    np.testing.assert_array_equal(mask_frames(np.array([[True, False]]), (1, 2), 1), [[[1, 0]]])
    np.testing.assert_array_equal(mask_frames(torch.tensor([[-0.5, 7.0]]), (1, 2), 1), [[[0, 1]]])
    assert mask_frames(torch.ones(1, 2, dtype=torch.bfloat16), (1, 2), 1, like=np.zeros(1)).dtype == np.float32
    with pytest.raises(InvalidArgumentError, match="cropped_mask: expected numbers, got NaN"):
        mask_frames(np.array([[0.5, np.nan]]), (1, 2), 1)
    with pytest.raises(InvalidArgumentError, match="cropped_mask: expected shape"):
        mask_frames(np.ones((1, 2)), (2, 2), 1)


def test_images_for_frames():
    image = np.full((4, 2, 3, 3), 51, np.uint8)
    np.testing.assert_allclose(image_frames(image, (2, 3), 4), np.full((4, 2, 3, 3), 0.2), rtol=1e-6)
    assert (image == 51).all()
    single = image_frames(torch.zeros(2, 3, 3), (2, 3), 4, like=np.zeros(1))
    assert isinstance(single, np.ndarray)
    assert single.shape == (1, 2, 3, 3)
    with pytest.raises(InvalidArgumentError, match="cropped_image: expected 1 or 3 images, got 4"):
        image_frames(image, (2, 3), 3)
    with pytest.raises(InvalidTypeError, match="cropped_image"):
        image_frames(None, (2, 3), 3)
