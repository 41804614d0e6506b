"""Subjects that are large enough are left alone, and do not go in and out of it."""

from __future__ import annotations

import numpy as np
import pytest

from segs_detailer.crop_path import CropPath
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.tracks import CropSettings, Track, crop_path, gated, size_gate, tracks_to_segs

SIZE = (400, 400)


def growing(sides):
    sides = np.asarray(sides, float)
    boxes = np.stack([200 - sides / 2, 200 - sides / 2, 200 + sides / 2, 200 + sides], axis=1)
    return Track(1, "face", range(len(sides)), boxes)


def runs(wanted):
    return int(np.abs(np.diff(wanted.astype(int))).sum())


def test_it_ends_at_the_limit_and_comes_back_below_it():
    track = growing([*range(60, 140), *range(140, 60, -1)])
    wanted = size_gate(track, SIZE, 160, 100, settings=CropSettings(smoothing=1))
    assert runs(wanted) == 2
    assert wanted[:40].all()
    assert not wanted[41:133].any()
    assert wanted[137:].all()


def test_a_subject_about_as_large_as_the_limit_does_not_go_in_and_out():
    rng = np.random.default_rng(0)
    track = growing(100 + rng.normal(0, 4, 300))
    raw = CropSettings(smoothing=0)
    assert runs(size_gate(track, SIZE, 300, 100, hysteresis=0, settings=raw)) > 50
    assert runs(size_gate(track, SIZE, 300, 100, settings=raw)) <= 1
    assert runs(size_gate(track, SIZE, 300, 100)) <= 1


def test_the_paste_goes_out_in_a_ramp():
    path = CropPath(np.tile([0, 0, 10, 10], (12, 1)))
    wanted = np.array([True] * 6 + [False] * 3 + [True] * 3)
    assert np.allclose(gated(path, wanted, 2).alpha, [1, 1, 1, 1, 2 / 3, 1 / 3, 0, 0, 0, 1 / 3, 2 / 3, 1])
    assert gated(path, np.ones(12, bool), 2) is path


def test_crops_are_gated_if_asked():
    track = growing(range(60, 140))
    alpha = crop_path(track, SIZE, 80, CropSettings(size_gate=100, ramp=3)).alpha
    assert (alpha[:35] == 1).all()
    assert not alpha[42:].any()
    assert np.diff(alpha).min() >= -0.2501
    assert (crop_path(track, SIZE, 80).alpha == 1).all()
    assert tracks_to_segs([growing([150] * 9)], SIZE, 9, CropSettings(size_gate=100)) == (SIZE, [])


def test_where_it_is_not_there_nothing_is_wanted():
    track = Track(1, "a", [3, 4], [(0, 0, 20, 20)] * 2)
    assert size_gate(track, SIZE, 6, 100).tolist() == [False, False, False, True, True, False]


def test_numbers_are_checked():
    with pytest.raises(InvalidArgumentError, match="least"):
        size_gate(growing([10]), SIZE, 1, 0)
    with pytest.raises(InvalidArgumentError, match="hysteresis"):
        size_gate(growing([10]), SIZE, 1, 10, hysteresis=1)
