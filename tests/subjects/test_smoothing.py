"""Smoothing without lag: what it keeps, what it takes away."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segs_detailer.subjects.smoothing import noise_of, regress, stand_in_for_outliers, taut_string, to_whole

FRAMES = np.arange(90.0)


def walks(most=60):
    return st.lists(st.floats(-20, 20), min_size=1, max_size=most).map(lambda steps: np.cumsum(steps))


@pytest.mark.parametrize("width", [1.0, 6.0, 15.0])
def test_steady_motion_stays_what_it_is_up_to_the_ends(width):
    line = np.stack([3.3 * FRAMES - 40, 0 * FRAMES + 7], axis=1)
    assert np.allclose(regress(line, np.ones(90), width), line, atol=1e-6)


def test_steady_acceleration_hardly_changes_within():
    fall = 0.4 * FRAMES**2
    smooth = regress(fall[:, None], np.ones(90), 4.0)[:, 0]
    assert np.abs(smooth - fall)[12:-12].max() < 0.5


def test_there_is_no_lag():
    swing = 30 * np.sin(FRAMES / 9)
    smooth = regress(swing[:, None], np.ones(90), 3.0)[:, 0]
    shifts = [np.abs(smooth[20:-20] - swing[20 + lag : 70 + lag]).mean() for lag in (-2, -1, 0, 1, 2)]
    assert int(np.argmin(shifts)) == 2
    backwards = regress(swing[::-1, None], np.ones(90), 3.0)[::-1, 0]
    assert np.allclose(smooth, backwards)


def test_noise_goes():
    noise = np.random.default_rng(0).normal(0, 2, (400, 1))
    smooth = regress(noise, np.ones(400), 6.0)
    assert smooth.std() < 0.35 * 2
    assert np.diff(smooth, 2, axis=0).std() < 0.01 * np.diff(noise, 2, axis=0).std()


def test_rows_of_little_weight_hardly_count():
    values = np.zeros((41, 1))
    values[20] = 100
    weights = np.ones(41)
    weights[20] = 1e-3
    assert np.abs(regress(values, weights, 4.0)).max() < 0.1


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_few_frames_are_no_problem(count):
    values = np.arange(count, dtype=float)[:, None] * 5
    assert np.allclose(regress(values, np.ones(count), 6.0), values, atol=1e-3)


def test_outliers_are_replaced_and_motion_is_not():
    line = np.stack([8 * FRAMES, 100 + 0 * FRAMES], axis=1)
    wrong = line.copy()
    wrong[30] += (40, 25)
    wrong[31] += (45, 0)
    sizes = np.full((90, 2), 50.0)
    mended = stand_in_for_outliers(FRAMES, wrong, sizes)
    assert np.abs(mended - line).max() <= 8
    assert np.array_equal(stand_in_for_outliers(FRAMES, line, sizes), line)
    turning = 8 * np.abs(FRAMES - 45)[:, None]
    assert np.array_equal(stand_in_for_outliers(FRAMES, turning, sizes[:, :1]), turning)


def test_noise_is_measured_without_the_motion():
    rng = np.random.default_rng(1)
    frames = np.flatnonzero(rng.random(600) < 0.8)
    values = 5.0 * frames + 60 * np.sin(frames / 12) + rng.normal(0, 2.0, len(frames))
    assert noise_of(frames, values) == pytest.approx(2.0, rel=0.2)
    assert noise_of(np.arange(2), np.zeros(2)) == 0


@given(walks(), st.floats(0.01, 15))
def test_the_taut_string_stays_in_its_tube_and_goes_the_shortest_way(path, slack):
    string = taut_string(path, slack)
    assert np.abs(string - path).max() <= slack + 1e-6
    assert np.abs(np.diff(string)).sum() <= np.abs(np.diff(path)).sum() + 1e-6


def test_rest_becomes_rest_and_drift_a_straight_line():
    rng = np.random.default_rng(2)
    wander = rng.uniform(-1, 1, 300)
    assert len(np.unique(taut_string(wander, 1.0))) == 1
    drift = taut_string(0.1 * np.arange(300) + wander, 1.2)
    assert np.abs(np.diff(drift, 2)).max() < 0.05
    assert (np.abs(np.diff(drift, 2)) > 1e-9).sum() < 12


@given(walks())
def test_whole_places_are_near_and_do_not_jitter(path):
    whole = to_whole(path)
    assert np.array_equal(whole, np.round(whole))
    assert np.abs(whole - path).max() <= 0.65 + 1e-9


def test_a_place_at_one_half_stays():
    path = 10.5 + 0.1 * np.random.default_rng(0).uniform(-1, 1, 100)
    assert len(np.unique(to_whole(path))) == 1
