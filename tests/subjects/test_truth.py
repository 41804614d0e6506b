"""Tracks and crops against the truth of synthetic clips: none broken, none swapped, near, and without jitter."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from synthetic import NOISE, SCENES, scene
from track_truth import MAX_GAP, measure

from segs_detailer.crop_path import place_of
from segs_detailer.ops import crop_frames, paste
from segs_detailer.subjects import CropSettings, associate, crop_path, track_masks, tracks_from_masks, tracks_to_segs
from segs_detailer.subjects.finders import ShotDetector

NAMES = [item.name for item in SCENES]
# Mean error of the crop's middle in pixels; the detector's is 3.1. Where a subject turns round at once, or swings, a
# smooth way cuts the corner.
MEAN_ERROR = {"swinging": 2.5, "turning round at once": 2.5}
# Root mean square of the second differences: of rounding to whole pixels in motion, and of sub-pixel places. Both of
# the subject's own jerk where it turns round, and of the stop where it reaches the end of the crop's way at the edge.
JITTER = {"turning round at once": 1.2}
SUBPIXEL_JITTER = {"turning round at once": 1.0}


def tracks_of(item):
    chains = associate(item.detections(), item.shots, max_gap=MAX_GAP)
    return [chain.track(number) for number, chain in enumerate(chains, start=1) if len(chain.frames) >= 6]


@pytest.mark.parametrize("name", NAMES)
def test_tracks_and_crops_are_true(name):
    truth = measure(scene(name))
    assert (truth.breaks, truth.swaps, truth.across_cuts) == (0, 0, 0)
    assert truth.held == 1.0
    assert truth.sizes == 1
    assert truth.mean_error < MEAN_ERROR.get(name, 1.7)
    assert truth.jitter < JITTER.get(name, 0.9)
    assert truth.largest_step <= 0.2 + 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_crops_between_pixels_hardly_jitter(name):
    truth = measure(scene(name), CropSettings(max_gap=MAX_GAP, subpixel=True))
    assert truth.jitter < SUBPIXEL_JITTER.get(name, 0.2)
    assert truth.held == 1.0


def test_the_crop_jitters_far_less_than_the_detector():
    truth = measure(scene("at rest"))
    assert truth.detector_jitter > 2 * NOISE
    assert truth.jitter < 0.3


@pytest.mark.parametrize("factor", [1.0, 1.2, 2.0])
def test_tight_crops_hold_the_subject_too(factor):
    for name in ("crossing the frame", "swinging", "coming nearer"):
        truth = measure(scene(name), CropSettings(crop_factor=factor, max_gap=MAX_GAP))
        assert truth.held > 0.9
        assert truth.sizes == 1


def test_a_subject_that_crosses_has_the_same_pixels_in_every_frame():
    item = scene("crossing the frame")
    (track,) = tracks_of(item)
    size = (item.size, item.count)
    follows = tracks_to_segs([track], *size, CropSettings(crop_factor=2))[1][0]
    fixed = tracks_to_segs([track], *size, CropSettings(crop="fixed", crop_factor=2))[1][0]
    shares = (follows.cropped_mask > 127).mean(axis=(1, 2))
    assert shares.min() > 0.9 * shares.max()
    # What the fixed crop has to spread over the way.
    assert shares.min() > 4 * (fixed.cropped_mask > 127).mean(axis=(1, 2)).max()


@pytest.mark.parametrize("name", ["crossing the frame", "coming in, going out", "cut, elsewhere"])
def test_crops_pasted_back_unchanged_change_nothing(name):
    item = scene(name)
    frames = np.stack(list(item.frames()))
    for seg in tracks_to_segs(tracks_of(item), item.size, item.count)[1]:
        place = place_of(seg.crop_region)
        crops = crop_frames(frames, place)
        assert crops.shape[1:3] == seg.crop_region.size
        soft = seg.cropped_mask.astype(np.float32) / 255
        # Half of a last digit along soft edges, where two products are added.
        assert np.abs(paste(frames, crops, soft, place) - frames).max() <= 2**-23
        assert np.array_equal(paste(frames, crops, np.round(soft), place), frames)


def test_crops_between_pixels_come_back_within_the_error_of_interpolation():
    item = scene("crossing the frame")
    frames = np.stack([cv2.GaussianBlur(frame, (0, 0), 2) for frame in item.frames()])
    chosen = CropSettings(max_gap=MAX_GAP, subpixel=True)
    (seg,) = tracks_to_segs(tracks_of(item), item.size, item.count, chosen)[1]
    place = place_of(seg.crop_region)
    assert not seg.crop_region.is_whole
    back = paste(frames, crop_frames(frames, place), seg.cropped_mask.astype(np.float32) / 255, place)
    assert np.abs(back - frames).max() < 1 / 255


@pytest.mark.parametrize("name", ["cut, elsewhere", "cut, same place", "three cuts in motion", "crossing the frame"])
def test_the_cuts_are_seen_in_the_pictures(name):
    item = scene(name)
    cuts = ShotDetector()
    assert [frame for frame, picture in enumerate(item.frames()) if cuts.begins_shot(picture)] == list(item.shots)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("crossing the frame", 1),
        ("coming in, going out", 1),
        ("gone for 35 frames", 2),
        ("two crossing", 2),
        ("three cuts in motion", 4),
        ("along the frame's edge", 1),
    ],
)
def test_tracks_of_masks_are_true(name, count):
    item = scene(name)
    tracks = tracks_from_masks(item.masks(), shots=item.shots)
    assert len(tracks) == count
    for track in tracks:
        path = crop_path(track, item.size, item.count)
        subject = min(
            item.subjects,
            key=lambda one: np.abs(one.middles[track.frames[0]] - track.boxes[0].reshape(2, 2).mean(0)).sum(),
        )
        middles = 0.5 * (path.regions[:, :2] + path.regions[:, 2:])
        half = 0.5 * (path.regions[0, 2:] - path.regions[0, :2])
        wanted = np.clip(subject.middles, half, np.array(item.size[::-1]) - half)
        shown = (path.alpha == 1) & subject.visible
        assert np.linalg.norm(middles - wanted, axis=1)[shown].mean() < 2.0
        masks = track_masks(track, path, 0, item.count, item.size)
        assert (masks.any(axis=(1, 2)) == (path.alpha > 0)).all()
