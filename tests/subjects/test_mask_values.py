"""What the values of masks mean, wherever masks come in."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segs_detailer.comfyui.segments import mask_to_segs
from segs_detailer.detailer.pasting import paste_segs
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.mask_levels import MaskSurvey
from segs_detailer.segs import SEG, mask_frames, scale_match
from segs_detailer.subjects import MaskTracker, as_tracks, tracks_from_masks, tracks_from_segs
from segs_detailer.subjects.mask import label_regions
from segs_detailer.subjects.masks import masks_to_segs

SIZE = (60, 100)
BOX = (30, 20, 60, 44)


def box(value=1, background=0, dtype=np.uint8, place=BOX):
    mask = np.full(SIZE, background, dtype)
    mask[place[1] : place[3], place[0] : place[2]] = value
    return mask


def stack(value=1, dtype=np.uint8):
    """Three masks, of which the middle one is black."""
    return np.stack([box(value, dtype=dtype), box(0, dtype=dtype), box(value, dtype=dtype)])


ON = {
    "uint8": stack(),
    "uint16": stack(dtype=np.uint16),
    "int64": stack(dtype=np.int64),
    "bool": stack(dtype=np.bool_),
    "float32": stack(dtype=np.float32),
    "bytes / 255": stack(dtype=np.float32) / np.float32(255),
    "half of bytes / 255": (stack(dtype=np.float32) / np.float32(255)).astype(np.float16),
}


@pytest.mark.parametrize("form", ON)
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_zero_and_one_are_off_and_on_in_segs(form, kind):
    for filled in (False, True):
        _, [seg] = masks_to_segs(kind(ON[form]), contour_fill=filled)
        assert seg.bbox == BOX
        assert [mask.max() for mask in seg.cropped_mask] == [1, 0, 1]
        assert np.unique(seg.cropped_mask).tolist() == [0, 1]


@pytest.mark.parametrize("form", ON)
def test_zero_and_one_are_off_and_on_in_tracks(form):
    for given in (ON[form], list(ON[form]), iter(ON[form])):
        [track] = tracks_from_masks(given)
        assert track.frames.tolist() == [0, 2]
        assert all(mask.bits().all() and not mask.soft for mask in track.masks)
    [combined] = tracks_from_masks(iter(ON[form]), combined=True)
    assert combined.masks == track.masks


@pytest.mark.parametrize("form", ON)
@pytest.mark.parametrize("crop", ["fixed", "follow"])
@pytest.mark.parametrize("contour_fill", [False, True])
def test_zero_and_one_are_off_and_on_in_the_node(form, crop, contour_fill):
    ((_, [seg]),) = mask_to_segs(torch.from_numpy(ON[form]), False, 2.0, False, 4, contour_fill, crop=crop)
    assert [np.asarray(mask).max() for mask in mask_frames(seg.cropped_mask, seg.cropped_mask.shape[1:], 3)] == [
        1,
        0,
        1,
    ]


@pytest.mark.parametrize("form", ON)
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_zero_and_one_are_off_and_on_in_a_seg(form, kind):
    mask = kind(ON[form])
    seg = SEG(None, mask, 1.0, (0, 0, 100, 60), BOX, "a")
    expected = stack(dtype=np.float32)
    np.testing.assert_array_equal(np.asarray(mask_frames(mask, SIZE, 3)), expected)
    _, [scaled] = scale_match((SIZE, [seg]), (3, 120, 200, 3))
    np.testing.assert_allclose(np.asarray(scaled.cropped_mask).max((1, 2)), [1, 0, 1], atol=1e-6)
    [track] = tracks_from_segs((SIZE, [seg])).tracks
    assert [m.bits().all() for m in track.masks] == [True, True]
    frames = torch.zeros(3, *SIZE, 3)
    painted = paste_segs(frames, (SIZE, [seg._replace(cropped_image=np.ones((3, *SIZE, 3), np.float32))]), feather=0)
    np.testing.assert_array_equal(painted[..., 0].numpy(), expected)


@pytest.mark.parametrize("form", ON)
def test_zero_and_one_are_off_and_on_in_what_trackers_return(form):
    first, black, last = ON[form]
    [track] = as_tracks({0: {4: first}, 1: {4: black}, 2: {4: last[None]}}).tracks
    assert (track.id, track.frames.tolist()) == (4, [0, 2])
    assert all(mask.bits().all() and not mask.soft for mask in track.masks)


def test_one_is_faint_beside_higher_values():
    masks = [box(1), box(255), box(1)]
    for given in (masks, iter(masks), np.stack(masks)):
        [track] = tracks_from_masks(given)
        assert [int(mask.pixels().max()) for mask in track.masks] == [1, 255, 1]
    _, [seg] = masks_to_segs(np.stack(masks))
    np.testing.assert_allclose(seg.cropped_mask.max((1, 2)), [1 / 255, 1, 1 / 255])
    np.testing.assert_allclose(mask_frames(np.stack(masks), SIZE, 3).max((1, 2)), [1 / 255, 1, 1 / 255])


def test_integers_of_64_bits_are_bytes():
    np.testing.assert_allclose(mask_frames(box(51, dtype=np.int64), SIZE, 1).max(), 0.2)
    _, [seg] = masks_to_segs(box(255, dtype=np.int64))
    assert seg.cropped_mask.max() == 1
    for call in (
        masks_to_segs,
        lambda m: mask_frames(m, SIZE, 1),
        MaskTracker().add,
        lambda m: as_tracks({0: {1: m}}),
    ):
        for value in (256, -1):
            with pytest.raises(InvalidArgumentError, match=r"integers from 0 to 255"):
                call(box(value, dtype=np.int64))


@pytest.mark.parametrize("dtype", [np.int32, np.int8, np.complex64, np.uint32])
def test_other_dtypes_are_refused(dtype):
    mask = box(1, dtype=dtype)
    for call in (
        masks_to_segs,
        lambda m: mask_frames(m, SIZE, 1),
        MaskTracker().add,
        lambda m: as_tracks({0: {1: m}}),
    ):
        with pytest.raises(InvalidTypeError, match=f"got {np.dtype(dtype)}"):
            call(mask)


# Numbers of subjects

OTHER = (62, 20, 90, 50)  # beside the first


def numbered(first=3, second=7, dtype=np.uint8):
    mask = box(first, dtype=dtype)
    mask[OTHER[1] : OTHER[3], 60 : OTHER[2]] = second
    mask[2:14, 2:14] = first  # apart from the rest of it
    return mask


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64])
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_labels_are_subjects(dtype, kind):
    _, [first, second] = masks_to_segs(kind(numbered(dtype=dtype)), labels=True, crop_factor=1.0)
    assert (first.bbox, second.bbox) == ((2, 2, 60, 44), (60, 20, 90, 50))
    expected = numbered()[2:44, 2:60] == 3
    np.testing.assert_array_equal(first.cropped_mask, expected.astype(np.float32))
    assert (second.cropped_mask == 1).all()
    _, [filled, _] = masks_to_segs(kind(numbered(dtype=dtype)), labels=True, crop_factor=1.0, bbox_fill=True)
    assert (filled.cropped_mask == 1).all()
    assert len(masks_to_segs(kind(numbered(dtype=dtype)), labels=True, drop_size=35)[1]) == 1


def test_labels_of_a_stack_are_followed_by_their_number():
    masks = np.stack([numbered(), np.zeros(SIZE, np.uint8), box(3, place=(0, 0, 20, 20))])
    _, [first, second] = masks_to_segs(masks, labels=True, crop_factor=1.0)
    assert first.bbox == (0, 0, 60, 44)
    assert first.cropped_mask.sum((1, 2)).tolist() == [12 * 12 + 30 * 24, 0, 400]
    assert second.cropped_mask.max((1, 2)).tolist() == [1, 0, 0]
    tracks = tracks_from_masks(masks, labels=True, label="cell")
    assert [(t.id, t.label, t.frames.tolist()) for t in tracks] == [(3, "cell", [0, 2]), (7, "cell", [0])]
    assert tracks[0].masks[0].bits().sum() == 12 * 12 + 30 * 24
    # A cut ends them; numbers that come again cannot be ids.
    tracks = tracks_from_masks(masks, labels=True, shots=(0, 2))
    assert [(t.id, t.shot, t.frames.tolist()) for t in tracks] == [(1, (0, 2), [0]), (2, (0, 2), [0]), (3, (2, 3), [2])]


def test_labels_are_whole_numbers():
    for call in (masks_to_segs, lambda m, labels: tracks_from_masks([m], labels=labels)):
        for dtype in (np.float32, np.bool_):
            with pytest.raises(InvalidTypeError, match="with a number for each subject"):
                call(box(1, dtype=dtype), labels=True)
        with pytest.raises(InvalidArgumentError, match="numbers of subjects from 0, which is none, got -1"):
            call(box(-1, dtype=np.int64), labels=True)
    for call in (masks_to_segs, lambda m, **options: tracks_from_masks([m], **options)):
        with pytest.raises(InvalidArgumentError, match="labels: expected False, as combined makes one subject of all"):
            call(box(3), labels=True, combined=True)
    assert masks_to_segs(np.zeros((2, *SIZE), np.uint8), labels=True) == (SIZE, [])
    assert tracks_from_masks([np.zeros(SIZE, np.int64)], labels=True) == []


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64])
def test_regions_of_labels_are_those_of_each_alone(dtype):
    values = np.random.default_rng(3).integers(0, 9, (17, 23)).astype(dtype)
    values[values == 5] = 200 if dtype == np.uint8 else 60000
    if dtype == np.int64:
        values[values == 6] = 10**12
    found = list(label_regions(values))
    assert [region.label for region in found] == np.unique(values[values > 0]).tolist()
    for label, (x1, y1, x2, y2), inside in found:
        whole = np.zeros(values.shape, bool)
        whole[y1:y2, x1:x2] = inside
        np.testing.assert_array_equal(whole, values == label)
        assert inside.any(0)[[0, -1]].all()
        assert inside.any(1)[[0, -1]].all()


# What is named

CALLS = {
    "masks_to_segs": masks_to_segs,
    "node": lambda masks: mask_to_segs(masks, False, 2.0, False, 4, False, crop="follow"),
    "list": lambda masks: tracks_from_masks(list(masks)),
    "iterator": lambda masks: tracks_from_masks(iter(masks)),
    "SAM": lambda masks: as_tracks({frame: {1: mask} for frame, mask in enumerate(masks)}),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    ("mask", "text"),
    [
        (box(12), "the highest value is 12, where white is 255: .* if the values are numbers of subjects"),
        (box(90, dtype=np.uint16), "the highest value is 90, where white is 65535"),
        (box(90, dtype=np.int64), "the highest value is 90, where white is 255"),
        (box(0.1, dtype=np.float32), "the highest value is 0.1, where white is 1"),
        (box(255, background=40), "the background is 40 of 255 and not black, so that the whole frame counts"),
        (box(20, background=16), "the background is 16 of 255"),
        (box(0, background=255), "white is all around the frame, and is repainted: invert the masks"),
    ],
)
def test_strange_masks_are_named_once(name, mask, text):
    with pytest.warns(UserWarning, match=text) as caught:
        CALLS[name](np.stack([mask] * 3))
    assert len(caught) == 1


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    "mask",
    [
        box(255),
        box(128),
        box(0.5, dtype=np.float32),
        np.full(SIZE, 255, np.uint8),  # all of the frame
        np.zeros(SIZE, np.uint8),
        np.linspace(0, 255, SIZE[1]).astype(np.uint8)[None].repeat(SIZE[0], 0),  # a gradient
    ],
    ids=["white", "half", "half of floats", "all", "none", "gradient"],
)
def test_ordinary_masks_are_not_named(name, mask):
    CALLS[name](np.stack([mask] * 3))


@pytest.mark.parametrize("name", [name for name in CALLS if name != "iterator"])
@pytest.mark.parametrize("scale", [1, np.float32(1 / 255)])
def test_limited_range_is_taken_as_such(name, scale):
    noise = np.random.default_rng(0).integers(-1, 2, (3, *SIZE))
    noise[:, 0, 0] = -9  # what compression does at its worst
    masks = (np.stack([box(235, background=16)] * 3) + noise).astype(np.uint8) * scale
    masks = masks.astype(np.uint8 if scale == 1 else np.float32)
    survey = MaskSurvey()
    for mask in masks:
        survey.look(mask)
    assert survey.levels.limited
    levels = survey.levels.levels(masks[0])
    assert levels[BOX[1] : BOX[3], BOX[0] : BOX[2]].min() >= 254
    assert levels[0, 0] == 0
    assert np.median(levels) == 0
    with pytest.warns(UserWarning, match="black is 16 and white 235, as in video of limited range, and taken so"):
        CALLS[name](masks)


def test_limited_range_that_is_seen_once_is_named():
    with pytest.warns(UserWarning, match="the background is 16 of 255 and not black"):
        tracks_from_masks(iter([box(235, background=16)] * 3))


# Another number of masks than of frames


def of_two_masks(**changes):
    mask = np.stack([box(1.0, dtype=np.float32), box(0.05, dtype=np.float32, place=(0, 0, 9, 9))])
    return (SIZE, [SEG(np.ones((1, *SIZE, 3), np.float32), mask, 1.0, (0, 0, 100, 60), BOX, "a")._replace(**changes)])


def test_masks_of_another_number_are_named_with_both():
    frames = torch.zeros(5, *SIZE, 3)
    text = "a segment has 2 masks for 5 frames: they become one for all of them"
    with pytest.warns(UserWarning, match=text) as caught:
        painted = paste_segs(frames, of_two_masks(), feather=0)
    assert len(caught) == 1
    np.testing.assert_array_equal(painted[..., 0].numpy(), np.stack([box()] * 5))
    for dtype in (np.float32, np.uint8):
        size, [seg] = of_two_masks()
        masks = (seg.cropped_mask * (255 if dtype == np.uint8 else 1)).astype(dtype)
        with pytest.warns(UserWarning, match=text) as caught:
            [track] = tracks_from_segs((size, [seg._replace(cropped_mask=masks)]), frame_count=5).tracks
        assert len(caught) == 1
        assert track.frames.tolist() == [0, 1, 2, 3, 4]
        assert {mask.place for mask in track.masks} == {BOX}


def test_several_segments_are_one_warning():
    size, [seg] = of_two_masks()
    three = seg._replace(cropped_mask=np.ones((3, *SIZE), bool))
    with pytest.warns(UserWarning, match="2 segments have 2 and 3 masks for 1 frame: they become one") as caught:
        tracks_from_segs((size, [seg, three, seg._replace(cropped_mask=None)]), frame_count=1)
    assert len(caught) == 1
