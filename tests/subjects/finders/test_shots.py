"""Cuts in pictures: where colors change and where they do not, and what looks like a cut and is none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from segs_detailer.subjects.finders import ShotDetector

SIZE = (180, 320)
RNG = np.random.default_rng(0)


def begins(frames):
    cuts = ShotDetector()
    return [place for place, frame in enumerate(frames) if cuts.begins_shot(np.ascontiguousarray(frame, np.float32))]


def soft(seed, contrast=1.0, size=SIZE, width=9):
    """Blurred noise about gray: any two have the same colors."""
    picture = np.random.default_rng(seed).random((*size, 3)).astype(np.float32)
    picture = cv2.GaussianBlur(picture, (0, 0), width)
    picture = (picture - picture.min()) / (picture.max() - picture.min())
    return 0.5 + contrast * (picture - 0.5)


def fine(seed, step):
    """Noise in squares of so many pixels."""
    small = np.random.default_rng(seed).random((SIZE[0] // step + 1, SIZE[1] // step + 1, 3)).astype(np.float32)
    return np.kron(small, np.ones((step, step, 1), np.float32))[: SIZE[0], : SIZE[1]]


@pytest.mark.parametrize("contrast", [0.1, 0.3, 1.0])
def test_a_cut_to_a_picture_of_the_same_colors_is_a_cut(contrast):
    assert begins([soft(1, contrast)] * 9 + [soft(2, contrast)] * 9) == [0, 9]


@pytest.mark.parametrize("step", [1, 3, 16])
def test_a_cut_between_textures_is_a_cut(step):
    assert begins([fine(1, step)] * 9 + [fine(2, step)] * 9) == [0, 9]


def test_noise_of_the_camera_hides_no_cut_and_makes_none():
    shots = [soft(1, 0.4)] * 12 + [soft(2, 0.4)] * 12
    assert begins([picture + RNG.normal(0, 0.03, picture.shape) for picture in shots]) == [0, 12]
    dark = np.full((*SIZE, 3), 0.02, np.float32)
    assert begins([np.clip(dark + RNG.normal(0, 0.02, dark.shape), 0, 1) for _ in range(20)]) == [0]


@pytest.mark.parametrize("speed", [3, 20, 50])
def test_a_pan_is_no_cut_also_where_it_begins(speed):
    wide = soft(3, size=(180, 1600), width=4)
    places = [0] * 8 + list(range(0, 1200, speed))[:20]
    assert begins([wide[:, x : x + 320] for x in places]) == [0]


def test_a_zoom_is_no_cut():
    still = soft(4, width=4)
    frames = []
    for step in range(15):
        larger = cv2.resize(still, None, fx=1 + 0.02 * step, fy=1 + 0.02 * step)
        frames.append(larger[: SIZE[0], : SIZE[1]])
    assert begins(frames) == [0]


def test_a_lamp_that_is_switched_on_is_no_cut():
    picture = soft(5, 0.5)
    assert begins([0.4 * picture] * 8 + [picture] * 8) == [0]


def test_after_a_white_frame_the_shot_goes_on():
    picture = soft(6, 0.5)
    assert begins([picture] * 8 + [np.ones_like(picture)] + [picture] * 8) in ([0], [0, 8])


def test_what_moves_in_a_shot_is_no_cut():
    ground = soft(7, 0.5)
    frames = []
    for step in range(30):
        frame = ground.copy()
        frame[40:140, 8 * step : 8 * step + 80] = soft(8)[40:140, :80]
        frames.append(frame)
    assert begins(frames) == [0]


def test_a_subject_that_is_gone_at_once_is_no_cut():
    ground = soft(9, 0.5)
    with_it = ground.copy()
    with_it[40:140, 100:200] = fine(1, 4)[40:140, 100:200]
    assert begins([with_it] * 10 + [ground] * 10 + [with_it] * 10) == [0]


def test_flat_pictures_differ_by_their_colors():
    gray, red = np.full((*SIZE, 3), 0.5), np.full((*SIZE, 3), (0.9, 0.1, 0.1))
    assert begins([gray] * 6 + [red] * 6 + [red * 0.99] * 6) == [0, 6]
