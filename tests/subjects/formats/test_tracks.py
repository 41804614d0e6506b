"""Segments and tracks: what they refuse, and what SEGS make of them and they of SEGS."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_tracks import arrays, clips

from segs_detailer.crop_path import CropPath
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.segs import SEG, check_segs
from segs_detailer.subjects import CropSettings, Mask, Track, Tracks, tracks_from_segs, tracks_to_segs
from segs_detailer.subjects.masks import masks_to_segs
from segs_detailer.subjects.sightings import Sighting, gather

BOX = [1, 1, 3, 3]


def track(number=1, frames=(0,), boxes=(BOX,), **more):
    return Track(number, "face", list(frames), list(boxes), **more)


# What they hold


def test_a_track_knows_its_span_and_gaps():
    found = track(frames=[2, 3, 7], boxes=[BOX] * 3, confidence=[0.5, 1, 1])
    assert (found.span, found.gaps, found.has_masks) == ((2, 8), 3, False)
    assert found.confidence.tolist() == [0.5, 1, 1]
    assert track(frames=[], boxes=[]).span == (0, 0)
    assert not found.boxes.flags.writeable


def test_what_is_known_of_faces():
    points = np.arange(20.0).reshape(2, 5, 2)
    found = track(frames=[2, 7], boxes=[BOX] * 2, confidence=1.0, landmarks=points, angles=[np.nan, 5], identity="Ada")
    later = found.part(3, 9)
    assert (later.frames.tolist(), later.angles.tolist(), later.identity) == ([7], [5.0], "Ada")
    assert np.array_equal(later.landmarks, points[1:])
    assert found != replace(found, angles=[np.nan, 6])
    assert found != replace(found, landmarks=None)
    assert found != replace(found, identity="Bea")
    assert found == replace(found, angles=[np.nan, 5])
    # Where nothing is known there is nothing.
    assert found.part(2, 3).angles is None


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"landmarks": [[1, 2]]}, r"landmarks: expected shape \(1, 5, 2\), got shape \(1, 2\)"),
        ({"angles": [1, 2]}, r"angles: expected shape \(1,\), got shape \(2,\)"),
        ({"angles": ["a"]}, "angles: expected numbers"),
        ({"angles": [np.inf]}, "angles: expected numbers of at most"),
        ({"identity": 3}, "identity: expected text, got 3"),
    ],
)
def test_what_cannot_be_known(wrong, text):
    with pytest.raises((InvalidArgumentError, InvalidTypeError), match=text):
        track(**wrong)


@given(clips())
def test_equal_segments_are_equal(segments):
    parts = [
        Track(s.id, s.label, s.frames.tolist(), s.boxes.tolist(), s.confidence.tolist(), s.masks)
        for s in segments.tracks
    ]
    same = Tracks(segments.frame_size, segments.frame_count, tuple(parts))
    assert same == segments
    assert hash(same) == hash(segments)
    assert segments != Tracks(segments.frame_size, segments.frame_count + 1, tuple(parts))


def test_describe():
    masked = track(2, masks=[Mask.filled(BOX)])
    assert Tracks((5, 6), 1, (track(), masked)).describe() == "6x5, 1 frame, 2 tracks (1 with masks)"
    assert Tracks((5, 6), 3).describe() == "6x5, 3 frames, 0 tracks (none with masks)"


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"number": -1}, InvalidArgumentError, "id: expected a whole number from 0"),
        ({"number": "1"}, InvalidTypeError, "id: expected a whole number"),
        ({"frames": [1, 1], "boxes": [BOX] * 2}, InvalidArgumentError, "track 1: frames: .*got 1 after 1"),
        ({"frames": [-1]}, InvalidArgumentError, "numbers from 0"),
        ({"frames": [0.5]}, InvalidTypeError, "whole numbers"),
        ({"boxes": [BOX, BOX]}, InvalidArgumentError, r"boxes: expected shape \(1, 4\)"),
        ({"boxes": [[1, 2, "x", 4]]}, InvalidTypeError, "boxes: expected numbers"),
        ({"boxes": [[1, 2, float("nan"), 4]]}, InvalidArgumentError, "finite numbers"),
        ({"boxes": [[3, 1, 1, 3]]}, InvalidArgumentError, "box of frame 0: expected .*x1 <= x2"),
        ({"boxes": [[0, 0, 1e12, 1]]}, InvalidArgumentError, "box of frame 0"),
        ({"shape": "star"}, InvalidArgumentError, "track 1: shape: expected 'box' or 'ellipse', got 'star'"),
        ({"shot": 3}, InvalidTypeError, r"track 1: shot: expected \(first frame, frame after the last\)"),
        ({"shot": (1, 4)}, InvalidArgumentError, "shot: expected one that holds the frames from 0 to 0"),
        ({"shot": (0, 0)}, InvalidArgumentError, "shot: expected a whole number from 1"),
        ({"confidence": [1, 2]}, InvalidArgumentError, r"confidence: expected shape \(1,\)"),
        ({"confidence": float("inf")}, InvalidArgumentError, "finite numbers"),
        ({"masks": []}, InvalidArgumentError, "masks: expected one for each of 1 frames, got 0"),
    ],
)
def test_track_that_cannot_be(arguments, error, text):
    with pytest.raises(error, match=text):
        track(**arguments)


def test_labels_are_text():
    with pytest.raises(InvalidTypeError, match="label: expected text, got 3"):
        Track(1, 3, [0], [BOX])


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (((0, 4), 1), InvalidArgumentError, "frame_size: expected a whole number from 1"),
        (((1 << 15, 1 << 15), 1), InvalidArgumentError, "at most 268435456 pixels, got 32768x32768"),
        ((7, 1), InvalidTypeError, r"\(height, width\)"),
        (((4, 4), -1), InvalidArgumentError, "frame_count"),
        (((4, 4), 1 << 23), InvalidArgumentError, "at most 4194304 frames"),
        (((4, 4), 1, [track(), track()]), InvalidArgumentError, "got 1 twice"),
        (((4, 4), 1, ["face"]), InvalidTypeError, "a sequence of Track"),
        (((4, 4), 1, [track(frames=[1])]), InvalidArgumentError, "numbers below 1, the number of frames, got 1"),
        (((2, 2), 1, [track(masks=[Mask.filled(BOX)])]), InvalidArgumentError, "mask of frame 0: .*2x2 pixels"),
    ],
)
def test_segments_that_cannot_be(arguments, error, text):
    with pytest.raises(error, match=text):
        Tracks(*arguments)


# Sightings


def test_sightings_with_ids_belong_together_whatever_their_label():
    box = (0, 0, 1, 1)
    dog = Sighting(2, box, "dog", 5)
    cats = [Sighting(0, (0, 0, 2, 2), "cat", 5), Sighting(1, box, "cat", 5), Sighting(0, box, "cat", 2, 0.25)]
    first, second = gather([dog, *cats])
    assert (first.id, first.confidence.tolist()) == (2, [0.25])
    assert (second.id, second.label) == (5, "cat")
    assert (second.frames.tolist(), second.boxes[0].tolist()) == ([0, 1, 2], [0, 0, 2, 2])


def test_sightings_without_ids_are_linked_by_overlap_label_by_label():
    moving = [Sighting(frame, (10.0 * frame, 0.0, 10.0 * frame + 40, 40.0), "a") for frame in range(5)]
    still = [Sighting(frame, (10.0, 0.0, 50.0, 40.0), "b") for frame in (0, 1, 4)]
    known = [Sighting(0, (0, 0, 1, 1), "c", 7)]
    found = gather([*still, *moving, *known])
    assert {(s.label, s.id, tuple(s.frames.tolist())) for s in found} == {
        ("c", 7, (0,)),
        ("a", 9, (0, 1, 2, 3, 4)),
        ("b", 8, (0, 1, 4)),
    }


def test_what_shows_nothing_is_left_out_and_masks_have_boxes():
    empty = Mask.from_pixels(np.zeros((2, 2), bool))
    (found,) = gather([Sighting(0, None, id=1, mask=empty), Sighting(1, None, id=1, mask=Mask.filled(BOX))])
    assert found.frames.tolist() == [1]
    assert found.boxes.tolist() == [BOX]


def test_one_id_twice_in_a_frame_is_refused():
    with pytest.raises(InvalidArgumentError, match="here: expected each id once in a frame, got 4 twice in frame 1"):
        gather([Sighting(1, (0, 0, 1, 1), id=4), Sighting(1, (0, 0, 1, 1), id=4, place="here")])


# To SEGS


def test_each_track_is_a_seg_with_a_mask_for_each_frame():
    masks = [Mask.filled((10, 10, 14, 12)), None]
    boxes = [[10, 10, 14, 12], [20.5, 10.0, 24, 14]]
    segments = Tracks((60, 80), 3, (Track(4, "face", [0, 2], boxes, [0.5, 1.0], masks),))
    size, (seg,) = check_segs(tracks_to_segs(segments, settings=CropSettings.as_given(2)))
    assert size == (60, 80)
    assert (seg.bbox, seg.label, seg.confidence) == ((10, 10, 24, 14), "face", 0.75)
    x1, y1, x2, y2 = seg.crop_region
    assert (x2 - x1, y2 - y1) == (28, 8)
    assert seg.cropped_mask.dtype == np.uint8
    whole = np.zeros((3, 60, 80), np.uint8)
    whole[:, y1:y2, x1:x2] = seg.cropped_mask
    expected = np.zeros_like(whole)
    expected[0, 10:12, 10:14] = 255
    expected[2, 10:14, 20:24] = [128, 255, 255, 255]  # half of the first column is covered
    assert np.array_equal(whole, expected)


def test_masks_are_floats_for_other_nodes_and_single_for_one_frame():
    pixels = np.array([[51, 255]], np.uint8)
    segments = Tracks((9, 9), 1, (track(boxes=[[2, 2, 4, 3]], masks=[Mask.from_pixels(pixels, (2, 2))]),))
    (seg,) = tracks_to_segs(segments, settings=CropSettings.as_given(1), dtype="float32")[1]
    assert seg.cropped_mask.dtype == np.float32
    assert np.array_equal(seg.cropped_mask, np.float32([[0.2, 1.0]]))


def test_the_crop_holds_masks_that_pass_their_box():
    segments = Tracks((40, 40), 1, (track(boxes=[[18, 18, 20, 20]], masks=[Mask.filled((5, 5, 35, 35))]),))
    (seg,) = tracks_to_segs(segments, settings=CropSettings.as_given(1))[1]
    assert (seg.bbox, seg.crop_region) == ((18, 18, 20, 20), (5, 5, 35, 35))


def test_track_nowhere_in_the_frame_are_left_out():
    nowhere = [track(boxes=[[50, 50, 60, 60]]), track(2, frames=[], boxes=[]), track(3, boxes=[[1, 1, 1, 1]])]
    assert tracks_to_segs(Tracks((9, 9), 1, nowhere), settings=CropSettings.as_given()) == ((9, 9), [])


def test_settings_of_to_segs_are_checked():
    segments = Tracks((9, 9), 1, (track(),))
    with pytest.raises(InvalidArgumentError, match="crop_factor"):
        tracks_to_segs(segments, settings=CropSettings.as_given(0.5))
    with pytest.raises(InvalidArgumentError, match="dtype: expected uint8, float32 or lazy"):
        tracks_to_segs(segments, settings=CropSettings.as_given(), dtype="int8")


# From SEGS

REGION = (-2, 1, 6, 8)


@st.composite
def seg_stacks(draw):
    """SEGS with uint8 masks, whose crop regions pass the frame: nothing lies beyond it."""
    count = draw(st.integers(1, 3))
    items = []
    for _ in range(draw(st.integers(0, 3))):
        stack = np.stack([draw(arrays((7, 8), soft=draw(st.booleans()))) for _ in range(count)])
        stack[:, :, :2] = 0
        mask = stack[0] if count == 1 or draw(st.booleans()) else stack
        items.append(SEG(None, mask, draw(st.integers(0, 8)) / 8, REGION, (1, 2, 5, 7), "face"))
    return count, ((9, 10), items)


@given(seg_stacks())
def test_segs_come_back(made):
    count, segs = made
    size, back = tracks_to_segs(tracks_from_segs(segs, frame_count=count), settings=CropSettings.as_given())
    assert size == segs[0]
    assert len(back) == len(segs[1])
    for new, old in zip(back, segs[1], strict=True):
        assert new[3:] == old[3:]
        assert new.confidence == (old.confidence if len(old.cropped_mask) == 7 or old.cropped_mask.any() else 1.0)
        mask = old.cropped_mask if old.cropped_mask.ndim == 3 or count == 1 else np.stack([old.cropped_mask] * count)
        assert np.array_equal(new.cropped_mask, mask)


@given(seg_stacks(), st.sampled_from([1, 8]), st.data())
def test_segs_whose_crops_move_come_back(made, parts, data):
    count, (size, items) = made
    moving = []
    for item in items:
        corners = data.draw(st.lists(st.integers(0, parts), min_size=2 * count, max_size=2 * count))
        corners = np.reshape(corners, (count, 2)) / parts
        path = CropPath(np.concatenate([corners, corners + np.array((8, 7))], axis=1))
        mask = np.broadcast_to(item.cropped_mask, (count, 7, 8)).copy()
        mask[:, 6:] = mask[..., 7:] = 0
        moving.append(item._replace(crop_region=path, cropped_mask=mask))
    segments = tracks_from_segs((size, moving))
    back = tracks_to_segs(segments, settings=CropSettings.as_given())[1]
    assert segments.frame_count == (count if moving else 1)
    assert len(back) == len(moving)
    for new, old in zip(back, moving, strict=True):
        assert new.crop_region == old.crop_region
        assert new.bbox == old.bbox
        mask = np.atleast_3d(new.cropped_mask.T).T
        if old.crop_region.is_whole:
            assert np.array_equal(mask, old.cropped_mask)
        elif old.cropped_mask.any():
            # Interpolated there and back.
            assert abs(mask.astype(int).sum() - old.cropped_mask.astype(int).sum()) <= 0.5 * old.cropped_mask.sum(
                dtype=int
            )


def test_a_path_needs_all_frames():
    path = CropPath([[0, 0, 2, 2], [1, 0, 3, 2]])
    seg = SEG(None, np.ones((2, 2), np.uint8), 1.0, path, (0, 0, 2, 2), "A")
    segments = tracks_from_segs(((9, 9), [seg]))
    assert segments.frame_count == 2
    assert segments.tracks[0].boxes.tolist() == [[0, 0, 2, 2], [1, 0, 3, 2]]
    with pytest.raises(InvalidArgumentError, match=r"segs\[1\]\[0\].crop_region: expected a path of 3 frames"):
        tracks_from_segs(((9, 9), [seg]), frame_count=3)
    with pytest.raises(InvalidArgumentError, match="track 1: crop_region: expected a path of 3 frames"):
        tracks_to_segs(Tracks((9, 9), 3, segments.tracks), settings=CropSettings.as_given())


def test_tensors_and_foreign_tuples():
    seg = SimpleNamespace(
        cropped_image=None,
        cropped_mask=torch.tensor([[[0.0, 1.0]], [[0.0, 0.0]], [[0.5, 0.5]]], dtype=torch.bfloat16),
        confidence=np.float32([0.5]),
        crop_region=[3, 4, 5, 5],
        bbox=[3, 4, 5, 5],
        label="A",
    )
    (found,) = tracks_from_segs(((9, 9), [seg])).tracks
    assert found.frames.tolist() == [0, 2]
    assert found.boxes.tolist() == [[4, 4, 5, 5], [3, 4, 5, 5]]
    assert found.masks[1].pixels().tolist() == [[128, 128]]
    assert found.confidence.tolist() == [0.5, 0.5]


def test_a_seg_without_mask_is_all_of_its_crop_region():
    segs = ((9, 9), [SEG(None, None, None, (2, 2, 6, 6), (3, 3, 5, 5), "A")])
    segments = tracks_from_segs(segs, frame_count=2)
    (found,) = segments.tracks
    assert found.masks == (Mask.filled((2, 2, 6, 6)),) * 2
    assert found.boxes.tolist() == [[3, 3, 5, 5]] * 2
    assert tracks_to_segs(segments, settings=CropSettings.as_given())[1][0].cropped_mask.min() == 255


def test_stacks_of_another_length_are_combined_as_the_detailer_does():
    stack = np.zeros((3, 2, 2), np.float32)
    stack[1, 0, 0], stack[2, 0, 1] = 0.11, 0.09
    segs = ((9, 9), [SEG(None, stack, 1.0, (2, 2, 4, 4), (2, 2, 4, 4), "A")])
    with pytest.warns(UserWarning, match="a segment has 3 masks for 2 frames"):
        (found,) = tracks_from_segs(segs, frame_count=2).tracks
    assert found.masks == (Mask.filled((2, 2, 3, 3)),) * 2


def test_masks_to_segs_and_back():
    masks = np.zeros((2, 40, 50), np.uint8)
    masks[0, 5:25, 5:25] = masks[1, 10:30, 9:29] = 200
    segments = tracks_from_segs(masks_to_segs(masks, crop_factor=1.5))
    assert segments.frame_count == 2
    (found,) = segments.tracks
    assert found.boxes.tolist() == [[5, 5, 25, 25], [9, 10, 29, 30]]
    assert found.masks[0].pixels().max() == 200


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"label": 3}, InvalidTypeError, r"segs\[1\]\[0\].label: expected text"),
        ({"confidence": "high"}, InvalidTypeError, "confidence: expected a number"),
        ({"confidence": float("nan")}, InvalidArgumentError, "confidence: expected a finite number"),
        ({"cropped_mask": np.full((2, 2), np.nan, np.float32)}, InvalidArgumentError, "cropped_mask: expected floats"),
    ],
)
def test_segs_that_cannot_be_taken(change, error, text):
    seg = SEG(None, None, 1.0, (2, 2, 4, 4), (2, 2, 4, 4), "A")._replace(**change)
    with pytest.raises(error, match=text):
        tracks_from_segs(((9, 9), [seg]))


def test_stacks_of_several_lengths_need_a_frame_count():
    segs = [SEG(None, np.ones((n, 2, 2), bool), 1.0, (2, 2, 4, 4), (2, 2, 4, 4), "A") for n in (2, 3)]
    with pytest.raises(InvalidArgumentError, match=r"stacks of masks of one length, got \[2, 3\]: give frame_count"):
        tracks_from_segs(((9, 9), segs))


def test_tracks_are_called_from_1_on():
    assert Tracks((9, 9), 3, (track(3), track(1))).numbers == (3, 1)
    assert Tracks((9, 9), 3, (track(0), track(1))).numbers == (1, 2)
    tracks = Tracks((9, 9), 3, (track(3),))
    assert (list(tracks), len(tracks)) == (list(tracks.tracks), 1)


def test_only_what_says_so_is_taken_by_the_letter():
    given = CropSettings.as_given(2.0)
    same = CropSettings(crop="fixed", crop_factor=2.0, smoothing=0.0, ramp=0, max_gap=0)
    assert (given.is_as_given, same.is_as_given, given == same) == (True, False, False)
    tracks = Tracks((9, 9), 1, (track(),))
    assert tracks_to_segs(tracks, settings=given)[1][0].cropped_mask.ndim == 2
    assert tracks_to_segs(tracks, settings=same)[1][0].cropped_mask.ndim == 3
