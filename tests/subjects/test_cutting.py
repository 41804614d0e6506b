"""Tracks from elsewhere, ended by cuts."""

from __future__ import annotations

import numpy as np

from segs_detailer.crop_path import CropPath
from segs_detailer.subjects import Mask, Track, crop_path, split_at_cuts

BOX = (10, 10, 30, 30)


def test_each_shot_gets_a_track_of_its_own():
    masks = [Mask.filled((10, 10, 11 + f, 30)) for f in range(6)]
    track = Track(4, "dog", [2, 3, 9, 10, 11, 25], [BOX] * 6, np.arange(6) / 8, masks, shape="ellipse")
    other = Track(2, "cat", [12], [BOX])
    first, second, third, fourth = split_at_cuts([track, other], [0, 10, 20], 30)
    assert [part.id for part in (first, second, third)] == [4, 5, 6]
    assert (fourth.id, fourth.shot, fourth.frames.tolist()) == (2, (10, 20), [12])
    assert [part.frames.tolist() for part in (first, second, third)] == [[2, 3, 9], [10, 11], [25]]
    assert [part.shot for part in (first, second, third)] == [(0, 10), (10, 20), (20, 30)]
    assert second.masks == tuple(masks[3:5])
    assert second.confidence.tolist() == [3 / 8, 4 / 8]
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
