"""Clips looked through at some frames: what is between is followed, and held against what is seen."""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np
import pytest

from crowd import CROWDS, crowd, score
from segs_detailer.crop_path import place_of
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.ops import crop_frames, paste
from segs_detailer.subjects import CropSettings, Detection, Mask, tracks_to_segs
from segs_detailer.subjects.finders import Detector, FollowSettings, ReducedDetector, find_tracks
from segs_detailer.subjects.finders.flow import follow_boxes
from segs_detailer.subjects.finders.pictures import ClipFrames, View, reduced

H, W = 120, 200
SIDE = 30


class Listed(Detector):
    """Says of each frame what stands in a list."""

    names, batch = ("person",), 1

    def __init__(self, detections):
        self._left = iter(detections)

    def detect(self, frames):
        return [next(self._left) for _ in frames]


class Framed(ReducedDetector):
    """Finds what is framed in pure red, in frames of half the size; says which frames it was shown."""

    names, batch = ("card",), 1

    def __init__(self, *, masks=False):
        self.seen = []
        self._masks = masks

    def picture_size(self, frame_size):
        return frame_size[0] // 2, frame_size[1] // 2

    def look(self, pictures, frame_size):
        found = []
        for picture in pictures:
            assert picture.dtype == np.uint8
            assert picture.shape == (frame_size[0] // 2, frame_size[1] // 2, 3)
            # The number of the frame is in its corner.
            self.seen.append(round(float(picture[0, 0, 1]) / 2))
            red = (picture[..., 0] > 200) & (picture[..., 1] < 60) & (picture[..., 2] < 60)
            count, _, stats, _ = cv2.connectedComponentsWithStats(red.astype(np.uint8))
            boxes = [(2.0 * x, 2.0 * y, 2.0 * (x + w), 2.0 * (y + h)) for x, y, w, h, _ in stats[1:count] if w > 10 < h]
            places = [Mask.filled(tuple(int(v) for v in box)) if self._masks else None for box in boxes]
            found.append([Detection(box, 0.9, "card", mask=mask) for box, mask in zip(boxes, places, strict=True)])
        return found


def clip(ways, *, hidden=(), shots=(0,), count=40):
    """Cards with a red frame and a texture of their own on ways over a textured ground; None where one is not there."""
    rng = np.random.default_rng(3)
    grounds = {start: 0.5 * cv2.resize(rng.random((15, 25, 3), np.float32), (W, H)) for start in shots}
    cards = [0.2 + 0.6 * cv2.resize(rng.random((6, 6, 3), np.float32), (SIDE, SIDE)) for _ in ways]
    frames = []
    for number in range(count):
        frame = grounds[max(start for start in shots if start <= number)].copy()
        for card, way in zip(cards, ways, strict=True):
            place = way(number)
            if place is not None:
                x, y = place
                frame[y : y + SIDE, x : x + SIDE] = (0.95, 0, 0)
                frame[y + 4 : y + SIDE - 4, x + 4 : x + SIDE - 4] = card[4:-4, 4:-4]
        for x1, x2, first, end in hidden:
            if first <= number < end:
                frame[:, x1:x2] = (0.1, 0.3, 0.2)
        frame[:4, :4] = (0, 2 * number / 255, 0)
        frames.append(frame)
    return frames


def steady(number):
    return 10 + 3 * number, 20 + number // 2


def still(number):
    return 150, 80


def truth_of(way, frames):
    return np.array([[x, y, x + SIDE, y + SIDE] for x, y in map(way, frames)], float)


def test_between_detections_boxes_are_followed():
    detector = Framed()
    tracks = find_tracks(clip([steady, still]), detector)
    assert sorted(set(detector.seen)) == detector.seen == [0, 6, 12, 18, 24, 30, 36, 39]
    assert [len(track.frames) for track in tracks] == [40, 40]
    for track, way in zip(sorted(tracks, key=lambda track: track.boxes[0, 0]), (steady, still), strict=True):
        error = np.abs(track.boxes - truth_of(way, range(40))).max(axis=1) / SIDE
        assert error.mean() < 0.03
        assert error.max() < 0.08
    every = Framed()
    plain = find_tracks(clip([steady, still]), every, FollowSettings(detect_every=1))
    assert every.seen == list(range(40))
    for one, other in zip(tracks, plain, strict=True):
        assert np.abs(one.boxes - other.boxes).max() < 0.08 * SIDE


def test_who_comes_and_goes_between_is_found_from_the_first_frame_on():
    def shown(number):
        return steady(number) if 9 <= number < 27 else None

    detector = Framed()
    tracks = find_tracks(clip([shown, still]), detector)
    assert sorted(track.span for track in tracks) == [(0, 40), (9, 27)]
    assert len(detector.seen) < 20


@pytest.mark.parametrize("count", [1, 2, 7, 13])
def test_clips_of_any_length_are_looked_at_to_their_end(count):
    (track,) = find_tracks(clip([still], count=count), Framed(), FollowSettings(min_frames=1))
    assert track.frames.tolist() == list(range(count))


def test_frames_around_cuts_are_looked_at():
    detector = Framed()
    frames = clip([lambda n: (20 + n, 30) if n < 17 else (140 - n, 70)], shots=(0, 17))
    tracks = find_tracks(frames, detector)
    assert {16, 17} <= set(detector.seen)
    assert [track.span for track in tracks] == [(0, 17), (17, 40)]
    assert [track.shot for track in tracks] == [(0, 17), (17, 40)]


def test_what_passes_in_front_between_two_detections_is_seen():
    frames = clip([still], hidden=[(140, 190, 20, 23)])
    (track,) = find_tracks(frames, Framed())
    assert sorted(set(range(40)) - set(track.frames.tolist())) == [20, 21, 22]


def test_of_masks_every_frame_is_looked_at():
    detector = Framed(masks=True)
    (track,) = find_tracks(clip([steady], count=20), detector)
    assert len(detector.seen) == 20
    assert all(mask is not None for mask in track.masks)


def test_clips_give_reduced_pictures_and_nothing_else():
    frames = clip([steady])

    def whole():
        raise AssertionError

    def pictures(size):
        return (reduced(frame, size) for frame in frames)

    tracks = find_tracks(ClipFrames((H, W), whole, pictures), Framed())
    assert [track.span for track in tracks] == [(0, 40)]
    both = ClipFrames((H, W), partial(iter, frames), pictures)
    assert len(find_tracks(both, Listed([[]] * 40))) == 0
    assert find_tracks(ClipFrames((H, W), list, lambda _: ()), Framed()) == []


def test_a_subject_that_is_missed_is_followed_where_it_is_to_be_seen():
    frames = clip([steady])
    (places,) = zip(*Framed().detect(frames), strict=True)
    missed = [[] if number in (8, *range(20, 30)) else [each] for number, each in enumerate(places)]
    (track,) = find_tracks(frames, Listed(missed))
    assert track.frames.tolist() == list(range(40))
    assert np.abs(track.boxes - truth_of(steady, range(40))).max() < 0.08 * SIDE
    (blind,) = find_tracks([np.zeros((H, W, 3), np.float32)] * 40, Listed(missed))
    assert len(blind.frames) == 29


def test_what_was_followed_does_not_confirm_a_mistake():
    frames = clip([still])
    place = Framed().detect(frames[:1])[0]
    seldom = [place if number in (4, 5, 6, 16, 17, 18, 30) else [] for number in range(40)]
    assert find_tracks(frames, Listed(seldom)) == []
    assert len(find_tracks(frames, Listed(seldom), FollowSettings(min_share=0.2))) == 1


@pytest.mark.parametrize("detector", ["every frame", "some frames"])
def test_pixels_of_what_is_in_front_stay_as_they_are(detector):
    frames = clip([lambda n: (10 + 4 * n, 40)], hidden=[(84, 114, 0, 40)])
    settings = FollowSettings(detect_every=1 if detector == "every frame" else None)
    tracks = find_tracks(frames, Framed(), settings)
    (track,) = tracks
    hidden = sorted(set(range(40)) - set(track.frames.tolist()))
    # In the frames around these it is seen in part.
    assert set(range(17, 21)) <= set(hidden) <= set(range(14, 24))
    ((seg,), size) = tracks_to_segs(tracks, (H, W), 40, CropSettings(paste_gap=0))[::-1]
    stack = np.stack(frames)
    place = place_of(seg.crop_region)
    mask = seg.cropped_mask.astype(np.float32) / 255 * seg.crop_region.alpha[:, None, None]
    painted = paste(stack, 1 - crop_frames(stack, place), mask, place)
    assert size == (H, W)
    assert np.array_equal(painted[hidden], stack[hidden])
    assert (np.abs(painted - stack).max(axis=(1, 2, 3))[:8] > 0.3).all()
    assert (np.abs(painted - stack).max(axis=(1, 2, 3))[34:] > 0.3).all()


@pytest.mark.parametrize("name", [item.name for item in CROWDS])
def test_in_whole_clips_all_keep_their_numbers(name):
    item = crowd(name)
    seed = 1
    frames = item.scene(seed)[0]
    detections = [[Detection(each.box, each.score, "person") for each in found] for found in item.detections(seed)]
    tracks = find_tracks(frames, Listed(detections))
    boxes = [dict(zip(track.frames.tolist(), map(tuple, track.boxes.tolist()), strict=True)) for track in tracks]
    result = score(item, boxes, item.truth(seed))
    assert result.switches == 0
    # Two who hide each other while the detector sees neither cannot be followed all the way.
    assert result.idf1 > (0.93 if name == "two swap places unseen" else 0.95)


def test_results_do_not_depend_on_threads():
    frames = clip([steady, still])
    before = cv2.getNumThreads()
    found = []
    try:
        for threads in (1, 4):
            cv2.setNumThreads(threads)
            found.append(find_tracks(frames, Framed()))
    finally:
        cv2.setNumThreads(before)
    assert found[0] == found[1]


def test_boxes_move_and_grow_with_the_picture():
    rng = np.random.default_rng(0)
    texture = cv2.resize(rng.random((40, 60, 3), np.float32), (W, H), interpolation=cv2.INTER_CUBIC)
    matrix = np.array([[1.04, 0, 3.0], [0, 1.04, -2.0]])
    moved = cv2.warpAffine(texture, matrix, (W, H), flags=cv2.INTER_CUBIC)
    before, after = View(texture, (H, W)), View(moved, (H, W))
    box = (60.0, 40.0, 110.0, 90.0)
    ((x1, y1, x2, y2),) = follow_boxes(before, after, [box])
    assert np.abs(np.array([x1, y1, x2, y2]) - (65.4, 39.6, 117.4, 91.6)).max() < 0.5
    assert follow_boxes(before, View(np.zeros((H, W, 3), np.float32), (H, W)), [box]) == [None]
    assert follow_boxes(before, after, [(-80.0, -80.0, -40.0, -40.0)]) == [None]
    assert follow_boxes(before, after, []) == []


def test_every_how_many_frames_is_checked():
    with pytest.raises(InvalidArgumentError, match="detect_every"):
        FollowSettings(detect_every=0)
