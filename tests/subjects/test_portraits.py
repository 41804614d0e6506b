"""Pictures of segments: a square around the subject, from a frame in which it is to be seen."""

from __future__ import annotations

import numpy as np

from segs_detailer.crop_path import CropPath
from segs_detailer.segs import SEG
from segs_detailer.subjects.portraits import BACKGROUND, segs_portraits, square_around

SIZE = (60, 80)


def frame_at(index):
    """Dark, but for a striped square that moves down; the stripes are faint but in frame 3."""
    frame = np.full((*SIZE, 3), 0.1, np.float32)
    stripes = 0.5 + (0.4 if index == 3 else 0.05) * (np.arange(20) // 2 % 2)
    frame[10 + index : 30 + index, 10:30] = stripes[None, :, None]
    return frame


def masks(frames, shown=lambda index: True):
    stack = np.zeros((frames, *SIZE), np.uint8)
    for index in range(frames):
        if shown(index):
            stack[index, 10 + index : 30 + index, 10:30] = 255
    return stack


def portraits(*segs, frames=6):
    return segs_portraits((SIZE, list(segs)), frames, frame_at)


def seg_of(mask, region=(0, 0, 80, 60), bbox=(10, 10, 30, 30), label="face"):
    return SEG(None, mask, 1.0, region, bbox, label)


def test_the_sharpest_of_the_frames_in_which_it_is_seen_best():
    # All of its frames are as good as another, so that the first three are looked at.
    first, second = portraits(
        seg_of(masks(6, lambda index: index > 1)), seg_of(masks(6, lambda index: index > 3), label=7)
    )
    assert (first.number, first.label, first.frame) == (1, "face", 3)
    assert (second.number, second.label, second.frame) == (2, "7", 4)
    assert first.pixels.shape == (28, 28, 3)
    assert np.array_equal(first.pixels, frame_at(3)[9:37, 6:34])


def test_one_mask_for_all_frames_is_shown_in_the_middle():
    for mask in (None, masks(1)[0], masks(1)):
        [shown] = portraits(seg_of(mask))
        assert shown.frame == 3
        assert np.array_equal(shown.pixels, frame_at(3)[6:34, 6:34])


def test_a_crop_that_moves_takes_its_box_along():
    path = CropPath([(index, 2 * index, index + 40, 2 * index + 40) for index in range(6)], [0, 1, 1, 1, 1, 0])
    # The box is that of frame 1; of the frames that are shown, 3 is in the middle.
    [shown] = portraits(seg_of(None, path, (11, 12, 31, 32)))
    assert shown.frame == 3
    assert np.array_equal(shown.pixels, square_around(frame_at(3), np.array([13.0, 16, 33, 36])))
    moving = np.full((6, 40, 40), 255, np.uint8)
    [shown] = portraits(seg_of(moving, path, (11, 12, 31, 32)))
    assert shown.frame in (1, 2, 3, 4)


def test_what_is_seen_nowhere_has_a_picture_too():
    [shown] = portraits(seg_of(masks(6, lambda index: False), bbox=(10, 10, 10, 10)))
    assert shown.frame == 3
    assert shown.pixels.shape[0] == shown.pixels.shape[1]


def test_outside_the_frame_it_is_dark():
    square = square_around(np.ones((*SIZE, 3), np.float32), np.array([-10.0, -10, 10, 10]))
    assert square.shape == (28, 28, 3)
    assert np.allclose(square[:14], np.array(BACKGROUND) / 255)
    assert (square[14:, 14:] == 1).all()
    assert square_around(np.ones((*SIZE, 3), np.float32), np.array([1e6, 0, 2e6, 9])).shape == (160, 160, 3)


def test_it_holds_its_own_pixels_alone():
    [shown] = portraits(seg_of(masks(6)))
    assert shown.pixels.base is None
