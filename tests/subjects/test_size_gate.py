"""Subjects that are large enough are left alone, and do not go in and out of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from segs_detailer.crop_path import CropPath
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.subjects import CropSettings, Track, crop_path, gated, size_gate, subject_box, tracks_to_segs

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


def test_segments_that_bring_their_way_are_gated():
    sides = np.arange(60, 140)
    regions = np.stack([sides, sides, sides + 200, sides + 200], axis=1)
    own = CropPath(regions, np.minimum(1, np.arange(80) / 4))
    track = replace(growing(sides), crop_region=own, bbox=(150, 150, 250, 250))
    assert crop_path(track, SIZE, 80) is own
    for crop in ("follow", "fixed"):
        settings = CropSettings(size_gate=100, ramp=3, crop=crop)
        path = crop_path(track, SIZE, 80, settings)
        assert np.array_equal(path.regions, own.regions)
        assert np.array_equal(path.alpha[:30], own.alpha[:30])
        assert (path.alpha[:42] > 0).sum() > 35
        assert not path.alpha[42:].any()
        assert crop_path(track, SIZE, 80, CropSettings(size_gate=300, crop=crop)) is own
        # The box of the subject is one of its size, not one around its way.
        x1, y1, x2, y2 = subject_box(track, path, SIZE, settings)
        assert x2 - x1 < 150
        assert path[0] <= x1 < x2 <= path[2]
        assert path[1] <= y1 < y2 <= path[3]
    assert tracks_to_segs([replace(track, crop_region=CropPath(regions))], SIZE, 80, CropSettings(size_gate=9)) == (
        SIZE,
        [],
    )


def test_where_the_size_is_not_known_a_way_decides_itself():
    own = CropPath(np.tile([0, 0, 40, 40], (9, 1)))
    seen = Track(1, "a", range(3), [(0, 0, 20, 20)] * 3, crop_region=own, bbox=(0, 0, 20, 20))
    alpha = crop_path(seen, SIZE, 9, CropSettings(size_gate=10, max_gap=0)).alpha
    assert np.allclose(alpha, [0, 0, 0, 0.2, 0.4, 0.6, 0.8, 1, 1])


def test_where_it_is_not_there_nothing_is_wanted():
    track = Track(1, "a", [3, 4], [(0, 0, 20, 20)] * 2)
    assert size_gate(track, SIZE, 6, 100).tolist() == [False, False, False, True, True, False]


def test_numbers_are_checked():
    with pytest.raises(InvalidArgumentError, match="least"):
        size_gate(growing([10]), SIZE, 1, 0)
    with pytest.raises(InvalidArgumentError, match="hysteresis"):
        size_gate(growing([10]), SIZE, 1, 10, hysteresis=1)
