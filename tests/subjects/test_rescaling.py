"""Tracks for frames of another size."""

from __future__ import annotations

import numpy as np

from segs_detailer.crop_path import CropPath
from segs_detailer.subjects import Mask, Track
from segs_detailer.subjects.fitting import rescaled_track


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
