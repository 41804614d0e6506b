"""SEGS out of masks and boxes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.segs import check_segs
from segs_detailer.subjects.boxes import make_crop_region
from segs_detailer.subjects.masks import boxes_to_segs, masks_to_segs

SIZE = (60, 100)


def rectangles(*boxes, value=1.0):
    mask = np.zeros(SIZE, np.float32)
    for x1, y1, x2, y2 in boxes:
        mask[y1:y2, x1:x2] = value
    return mask


def placed(seg):
    """The SEG's mask in the full frame."""
    x1, y1, x2, y2 = seg.crop_region
    full = np.zeros((*seg.cropped_mask.shape[:-2], *SIZE), np.float32)
    full[..., y1:y2, x1:x2] = seg.cropped_mask
    return full


def test_each_object_becomes_a_seg():
    first, second = (5, 30, 25, 50), (60, 4, 80, 18)
    segs = masks_to_segs(rectangles(first, second, value=0.5), crop_factor=2.0, label="hand")
    size, (upper, lower) = segs
    assert check_segs(segs) is segs
    assert size == SIZE
    assert (upper.bbox, lower.bbox) == (second, first)
    assert (upper.crop_region, lower.crop_region) == ((50, 0, 90, 28), (0, 20, 40, 60))
    assert (upper.label, upper.confidence, upper.cropped_image, upper.control_net_wrapper) == ("hand", 1.0, None, None)
    np.testing.assert_array_equal(placed(upper), rectangles(second, value=0.5))
    np.testing.assert_array_equal(placed(lower), rectangles(first, value=0.5))


def test_a_neighbor_in_the_crop_region_is_left_out():
    _, segs = masks_to_segs(rectangles((10, 10, 30, 30), (34, 10, 54, 30)))
    assert segs[0].crop_region[2] > 34
    np.testing.assert_array_equal(placed(segs[0]), rectangles((10, 10, 30, 30)))


@pytest.mark.parametrize(("side", "drop_size", "kept"), [(10, 10, 0), (11, 10, 1), (1, 0, 1), (1, 1, 0)])
def test_small_objects_are_dropped(side, drop_size, kept):
    mask = rectangles((10, 10, 40, 10 + side))
    assert len(masks_to_segs(mask, drop_size=drop_size)[1]) == kept
    assert len(masks_to_segs(mask.T, drop_size=drop_size)[1]) == kept


def test_faint_pixels_count_from_one_step_of_eight_bits_on():
    mask = rectangles((10, 10, 30, 30), value=1 / 255)
    assert len(masks_to_segs(mask)[1]) == 1
    assert len(masks_to_segs(mask * np.float32(0.99))[1]) == 0
    assert len(masks_to_segs((mask > 0).astype(np.uint8))[1]) == 1


def ring():
    mask = rectangles((10, 10, 50, 50), value=0.8)
    mask[15:45, 15:45] = 0
    mask[25:30, 25:30] = 0.6  # an island in the hole
    return mask


def test_what_lies_in_a_hole_belongs_to_the_object_around_it():
    _, [seg] = masks_to_segs(ring(), drop_size=2)
    np.testing.assert_array_equal(placed(seg), ring())


def test_contour_fill_fills_the_outline():
    _, [seg] = masks_to_segs(ring(), contour_fill=True)
    np.testing.assert_array_equal(placed(seg), rectangles((10, 10, 50, 50)))


def test_bbox_fill_fills_the_box():
    mask = rectangles((10, 10, 12, 40), (10, 38, 50, 40), value=0.3)
    _, [seg] = masks_to_segs(mask, bbox_fill=True)
    assert seg.bbox == (10, 10, 50, 40)
    np.testing.assert_array_equal(placed(seg), rectangles((10, 10, 50, 40)))


def test_combined_makes_one_seg_of_everything():
    mask = rectangles((5, 30, 25, 50), (60, 4, 63, 7), value=0.5)
    _, [seg] = masks_to_segs(mask, combined=True)
    assert seg.bbox == (5, 4, 63, 50)
    np.testing.assert_array_equal(placed(seg), mask)
    _, [filled] = masks_to_segs(ring(), combined=True, contour_fill=True)
    np.testing.assert_array_equal(placed(filled), rectangles((10, 10, 50, 50)))
    _, [boxed] = masks_to_segs(mask, combined=True, bbox_fill=True)
    np.testing.assert_array_equal(placed(boxed), rectangles((5, 4, 63, 50)))
    assert masks_to_segs(np.zeros(SIZE, np.float32), combined=True) == (SIZE, [])


def moving():
    """An object that moves to the right, and one that stands still and is absent in the middle."""
    still = (70, 40, 90, 55)
    return np.stack([rectangles((5 + 8 * i, 5, 20 + 8 * i, 25), *([still] if i != 1 else [])) for i in range(3)])


@pytest.mark.parametrize("form", ["numpy", "torch", "channel first", "channel last", "uint8", "bool", "bfloat16"])
def test_a_stack_gives_one_seg_per_subject_with_a_mask_per_frame(form):
    masks = moving()
    given = {
        "numpy": masks,
        "torch": torch.from_numpy(masks),
        "channel first": torch.from_numpy(masks)[:, None],
        "channel last": masks[..., None],
        "uint8": (masks * 255).astype(np.uint8),
        "bool": torch.from_numpy(masks) > 0,
        "bfloat16": torch.from_numpy(masks).bfloat16(),
    }[form]
    size, (mover, still) = masks_to_segs(given, crop_factor=1.5)
    assert size == SIZE
    assert (mover.bbox, still.bbox) == ((5, 5, 36, 25), (70, 40, 90, 55))
    assert mover.cropped_mask.dtype == np.float32
    own = masks.copy()
    own[:, 30:] = 0
    np.testing.assert_array_equal(placed(mover), own)
    np.testing.assert_array_equal(placed(still), masks - own)
    assert not still.cropped_mask[1].any()


def test_a_stack_fills_each_frames_own_holes_and_the_common_box():
    masks = np.stack([ring(), rectangles((10, 10, 30, 30))])
    _, [seg] = masks_to_segs(masks, contour_fill=True)
    np.testing.assert_array_equal(placed(seg), [rectangles((10, 10, 50, 50)), rectangles((10, 10, 30, 30))])
    _, [seg] = masks_to_segs(masks, bbox_fill=True)
    np.testing.assert_array_equal(placed(seg), [rectangles((10, 10, 50, 50))] * 2)


@pytest.mark.parametrize("shape", [(1, *SIZE), (1, 1, *SIZE), (1, *SIZE, 1)])
def test_a_stack_of_one_is_a_single_mask(shape):
    _, [seg] = masks_to_segs(rectangles((10, 10, 30, 30)).reshape(shape))
    assert seg.cropped_mask.ndim == 2


def test_empty_masks_give_no_seg():
    assert masks_to_segs(np.zeros(SIZE, np.float32)) == (SIZE, [])
    assert masks_to_segs(np.zeros((0, *SIZE), np.float32)) == (SIZE, [])
    assert masks_to_segs(np.zeros((3, 0, 0), np.float32)) == ((0, 0), [])


def test_values_beyond_one_are_clamped():
    _, [seg] = masks_to_segs(rectangles((10, 10, 30, 30), value=9.0))
    assert seg.cropped_mask.max() == 1.0


def test_the_caller_s_mask_is_not_shared():
    mask = rectangles((0, 0, 100, 60))
    _, [seg] = masks_to_segs(mask)
    seg.cropped_mask[...] = 0
    assert mask.all()


@pytest.mark.parametrize(
    ("bbox", "factor", "expected"),
    [
        ((40, 20, 50, 30), 3.0, (30, 10, 60, 40)),
        ((40, 20, 51, 31), 1.5, (37, 17, 53, 33)),
        ((0, 0, 10, 10), 3.0, (0, 0, 30, 30)),  # moved in, not cut
        ((95, 50, 100, 60), 3.0, (85, 30, 100, 60)),
        ((10, 10, 90, 50), 3.0, (0, 0, 100, 60)),  # longer than the frame
        ((40, 20, 50, 30), 1.0, (40, 20, 50, 30)),
        ((-10, 20, 10, 30), 1.0, (0, 20, 20, 30)),
        ((40.25, 20, 40.5, 20.25), 1.0, (40, 20, 41, 21)),
    ],
)
def test_crop_regions(bbox, factor, expected):
    assert make_crop_region(SIZE, bbox, factor) == expected


@pytest.mark.parametrize(
    ("bbox", "error", "message"),
    [
        ((5, 5, 5, 9), InvalidArgumentError, "x1 < x2"),
        ((9, 5, 5, 9), InvalidArgumentError, "x1 < x2"),
        ((5, 5, math.inf, 9), InvalidArgumentError, "finite"),
        ((100, 5, 110, 9), InvalidArgumentError, "a box that touches the frame of 100x60 pixels"),
        ((5, 5, 9), InvalidTypeError, r"\(x1, y1, x2, y2\)"),
        (None, InvalidTypeError, r"\(x1, y1, x2, y2\)"),
    ],
)
def test_boxes_that_cannot_be_used_are_refused(bbox, error, message):
    with pytest.raises(error, match=f"bbox: expected .*{message}"):
        make_crop_region(SIZE, bbox, 3.0)
    with pytest.raises(error, match=rf"boxes\[1\]: expected .*{message}"):
        boxes_to_segs(SIZE, [(1, 1, 5, 5), bbox])


@pytest.mark.parametrize("frame_size", [5, (5,), (5, 6, 3), (5.0, 6), (-5, 6)])
def test_frame_sizes_that_cannot_be_used_are_refused(frame_size):
    with pytest.raises((InvalidTypeError, InvalidArgumentError), match="frame_size"):
        boxes_to_segs(frame_size, [])


def test_boxes_become_segs_with_a_mask_of_the_box():
    boxes = np.array([[10.2, 20.0, 29.5, 40.0], [-5, -5, 4, 6]])
    segs = boxes_to_segs(SIZE, boxes, crop_factor=2.0, label=["a", "b"], confidence=np.array([0.5, 0.25]))
    size, (first, second) = segs
    assert check_segs(segs) is segs
    assert size == SIZE
    assert (first.bbox, second.bbox) == ((10, 20, 30, 40), (0, 0, 4, 6))
    assert (first.label, first.confidence, second.label, second.confidence) == ("a", 0.5, "b", 0.25)
    np.testing.assert_array_equal(placed(first), rectangles((10, 20, 30, 40)))
    np.testing.assert_array_equal(placed(second), rectangles((0, 0, 4, 6)))
    assert boxes_to_segs(SIZE, torch.tensor([[1, 1, 9, 9]]))[1][0].label == "A"
    assert boxes_to_segs(SIZE, []) == (SIZE, [])


@pytest.mark.parametrize("argument", ["label", "confidence"])
def test_one_label_and_confidence_per_box(argument):
    with pytest.raises(InvalidArgumentError, match=f"{argument}: expected one for each of 2 boxes, got 1"):
        boxes_to_segs(SIZE, [(0, 0, 5, 5), (1, 1, 6, 6)], **{argument: [0.5]})


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("fill", [False, True])
def test_objects_are_opencvs_outer_contours(seed, fill):
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(seed)
    mask = cv2.GaussianBlur(rng.random(SIZE, dtype=np.float32), (0, 0), 2.5)
    mask = np.where(mask > 0.5, mask, 0).astype(np.float32)
    contours, _ = cv2.findContours((mask > 0).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    expected = {}
    for contour in contours:
        x, y, width, height = cv2.boundingRect(contour)
        if width > 3 and height > 3:
            inside = cv2.drawContours(np.zeros(SIZE, np.uint8), [contour], 0, 1, -1)
            expected[(x, y, x + width, y + height)] = inside if fill else inside * mask
    _, segs = masks_to_segs(mask, drop_size=3, contour_fill=fill)
    assert len(segs) > 1
    assert {seg.bbox for seg in segs} == set(expected)
    for seg in segs:
        np.testing.assert_array_equal(placed(seg), expected[seg.bbox])
