"""Tracks from elsewhere, fitted to a clip: to the size of its frames, to its cuts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from segs_detailer.crop_path import CropPath
from segs_detailer.subjects import Mask, Track, crop_path, split_at_cuts
from segs_detailer.subjects.fitting import rescaled_track

BOX = (10, 10, 30, 30)


def track(region=(2, 4, 22, 16)):
    masks = [Mask.filled((4, 6, 12, 10)), None]
    boxes = [(4, 6, 12, 10), (5, 6, 13, 10.5)]
    return Track(3, "face", [1, 4], boxes, 0.5, masks, region, (4, 6, 12, 10), (0, 9), "ellipse")


def test_everything_of_a_track_is_scaled():
    scaled = rescaled_track(track(), (24, 32), (48, 96))
    assert scaled.boxes.tolist() == [[12, 12, 36, 20], [15, 12, 39, 21]]
    assert scaled.masks[0] == Mask.filled((12, 12, 36, 20))
    assert scaled.masks[1] is None
    assert (scaled.crop_region, scaled.bbox) == ((6, 8, 66, 32), (12, 12, 36, 20))
    assert (scaled.id, scaled.label, scaled.shot, scaled.shape) == (3, "face", (0, 9), "ellipse")
    assert scaled.frames.tolist() == [1, 4]
    assert scaled.confidence.tolist() == [0.5, 0.5]


def test_landmarks_and_angles_are_scaled_with_the_frame():
    points = np.arange(20.0).reshape(2, 5, 2)
    angles = [45, 765 - 180]
    face = Track(1, "face", [1, 4], [BOX] * 2, landmarks=points, angles=angles, identity="Ada")
    scaled = rescaled_track(face, (24, 32), (48, 96))
    assert np.array_equal(scaled.landmarks, points * (3, 2))
    tilt = np.degrees(np.arctan2(3, 2))
    assert np.allclose(scaled.angles, [tilt, tilt + 540])
    assert scaled.identity == "Ada"
    same_shape = rescaled_track(replace(face, angles=[90, np.nan]), (24, 32), (48, 64))
    assert np.allclose(same_shape.angles, [90, np.nan], equal_nan=True)


def test_soft_masks_stay_soft_and_paths_stay_paths():
    levels = np.tile(np.array([64, 128, 255, 255], np.uint8), (4, 1))
    path = CropPath([[0, 0, 8, 8], [2, 1, 10, 9]])
    soft = Track(1, "a", [0], [(0, 0, 4, 4)], 1.0, [Mask.from_pixels(levels)], path, (0, 0, 4, 4))
    scaled = rescaled_track(soft, (12, 16), (24, 32))
    assert scaled.masks[0].soft
    assert scaled.masks[0].place == (0, 0, 8, 8)
    assert scaled.crop_region == path.scaled((12, 16), (24, 32))


def test_the_same_size_is_the_same_track():
    one = track()
    assert rescaled_track(one, (24, 32), (24, 32)) is one
    empty = Track(1, "a", [0], [(0, 0, 4, 4)], 1.0, [Mask.filled((0, 0, 0, 0))])
    assert rescaled_track(empty, (24, 32), (12, 16)).masks[0].empty


# Cuts


def test_each_shot_gets_a_track_of_its_own():
    masks = [Mask.filled((10, 10, 11 + f, 30)) for f in range(6)]
    known = {"landmarks": np.arange(60).reshape(6, 5, 2), "angles": np.arange(6), "identity": "Rex"}
    track = Track(4, "dog", [2, 3, 9, 10, 11, 25], [BOX] * 6, np.arange(6) / 8, masks, shape="ellipse", **known)
    other = Track(2, "cat", [12], [BOX])
    first, second, third, fourth = split_at_cuts([track, other], [0, 10, 20], 30)
    assert [part.id for part in (first, second, third)] == [4, 5, 6]
    assert (fourth.id, fourth.shot, fourth.frames.tolist()) == (2, (10, 20), [12])
    assert [part.frames.tolist() for part in (first, second, third)] == [[2, 3, 9], [10, 11], [25]]
    assert [part.shot for part in (first, second, third)] == [(0, 10), (10, 20), (20, 30)]
    assert second.masks == tuple(masks[3:5])
    assert second.confidence.tolist() == [3 / 8, 4 / 8]
    assert (second.angles.tolist(), second.landmarks[0, 0].tolist(), second.identity) == ([3, 4], [30, 31], "Rex")
    assert {(part.label, part.shape) for part in (first, second, third)} == {("dog", "ellipse")}


def test_crops_do_not_sweep_across_a_cut():
    boxes = [(10, 10, 30, 30)] * 10 + [(150, 60, 170, 80)] * 10
    parts = split_at_cuts([Track(1, "a", range(20), boxes)], [0, 10], 20)
    for part, corner in zip(parts, [(0, 0), (130, 40)], strict=True):
        path = crop_path(part, (200, 300), 20)
        shown = path.alpha > 0
        assert (path.alpha[shown] == 1).all()
        assert {tuple(row) for row in path.regions[shown, :2].tolist()} == {corner}
    assert np.flatnonzero(crop_path(parts[0], (200, 300), 20).alpha).tolist() == list(range(10))


def test_what_knows_its_shot_or_has_a_crop_that_moves_stays():
    known = Track(1, "a", range(4), [BOX] * 4, shot=(0, 4))
    moving = Track(2, "a", range(4), [BOX] * 4, crop_region=CropPath([[0, 0, 9, 9]] * 4), bbox=(0, 0, 5, 5))
    empty = Track(3, "a", [], [])
    assert split_at_cuts([known, moving, empty], [0, 2], 4) == [known, moving, empty]


def test_without_cuts_only_the_shot_is_added():
    (track,) = split_at_cuts([Track(7, "a", [1, 2], [BOX] * 2)], [], 5)
    assert (track.id, track.shot, track.frames.tolist()) == (7, (0, 5), [1, 2])
