"""Tracks of boxes get masks: where subjects are shown, how far they are followed, and what ends them."""

from __future__ import annotations

import numpy as np
import pytest

from segs_detailer.errors import InvalidArgumentError
from segs_detailer.subjects import Mask, Track
from segs_detailer.subjects.segmenters import (
    FollowedSubject,
    RefineSettings,
    SegmenterSession,
    VideoSegmenter,
    refine_tracks,
)

SIZE = (60, 120)


def scene(count, *, gone=(), seed=0):
    """A bright square of 20 pixels that goes 1 to the right in each frame; hidden where it is gone."""
    ground = np.random.default_rng(seed).random((*SIZE, 3), np.float32) * np.float32(0.5)
    frames = []
    for number in range(count):
        frame = ground.copy()
        if number not in gone:
            frame[20:40, 10 + number : 30 + number] = 1.0
        frames.append(frame)
    return frames


def boxes(numbers):
    return [(10.0 + number, 20.0, 30.0 + number, 40.0) for number in numbers]


class Bright(VideoSegmenter):
    """Masks what is bright within some pixels of where it was, and notes what it is asked."""

    identity = ("bright",)

    def __init__(self, *, strays=()):
        self.strays = strays
        self.shown = []
        self.followed = []
        self.sessions = 0

    def begin(self, frame_size):
        self.sessions += 1
        return _Session(self)


class _Session(SegmenterSession):
    def __init__(self, segmenter):
        self.segmenter = segmenter

    def picture(self, frame):
        return frame[..., 0] > 0.8

    def prompt(self, index, picture, box):
        self.segmenter.shown.append(index)
        subject = _Subject(self.segmenter, box)
        return subject, subject.look(index, picture)


class _Subject(FollowedSubject):
    def __init__(self, segmenter, box, strays=None):
        self.segmenter = segmenter
        self.box = box
        self.at_first = box
        self.strays = segmenter.strays if strays is None else strays

    def look(self, index, picture):
        if index in self.strays:
            return Mask.filled((90, 0, 110, 10))
        x1, y1, x2, y2 = (int(side) for side in self.box)
        left, top = max(x1 - 3, 0), max(y1 - 3, 0)
        mask = Mask.from_pixels(picture[top : y2 + 3, left : x2 + 3], (left, top))
        if not mask.empty:
            self.box = mask.place
        return mask

    def follow(self, index, picture):
        self.segmenter.followed.append(index)
        return self.look(index, picture)

    def turned(self):
        # What is shown anew does not stray.
        return _Subject(self.segmenter, self.at_first, strays=())


def refined(frames, track, segmenter=None, **settings):
    [out] = refine_tracks(frames, [track], segmenter or Bright(), RefineSettings(**settings))
    return out


def test_a_subject_has_a_mask_in_each_frame_from_its_first_to_its_last():
    """In those in which it was missed too; beyond them nobody has seen it."""
    numbers = [2, 3, 4, 7, 8, 9]
    out = refined(scene(12), Track(7, "x", numbers, boxes(numbers), 0.9, shot=(0, 12)))
    assert out.id == 7
    assert out.frames.tolist() == list(range(2, 10))
    assert [mask.place for mask in out.masks] == [tuple(map(int, box)) for box in boxes(range(2, 10))]
    assert out.boxes.tolist() == [list(box) for box in boxes(range(2, 10))]


def test_it_is_shown_where_it_is_sure_and_followed_both_ways():
    scores = [0.3, 0.3, 0.4, 0.9, 0.8, 0.8]
    segmenter = Bright()
    out = refined(scene(8), Track(1, "x", range(6), boxes(range(6)), scores), segmenter)
    assert segmenter.shown == [3]
    assert segmenter.followed == [2, 1, 0, 4, 5]
    assert out.frames.tolist() == list(range(6))


def test_a_box_that_is_cut_off_is_less_sure():
    places = [(-10.0, 20.0, 10.0, 40.0), *boxes(range(1, 4))]
    segmenter = Bright()
    refined(scene(4), Track(1, "x", range(4), places, 0.9), segmenter)
    assert segmenter.shown == [1]


def test_frames_between_looks_are_followed_on_both_ends():
    numbers = [5, 10]
    out = refined(scene(20), Track(1, "x", numbers, boxes(numbers), shot=(0, 20)), lead=4)
    assert out.frames.tolist() == list(range(1, 15))


def test_only_so_many_frames_are_looked_back():
    scores = [0.1] * 9 + [0.9]
    segmenter = Bright()
    refined(scene(10), Track(1, "x", range(10), boxes(range(10)), scores), segmenter, window=4)
    assert segmenter.shown == [0]


def test_frames_in_which_it_cannot_be_seen_are_left_out():
    out = refined(scene(9, gone=(3, 4)), Track(1, "x", range(9), boxes(range(9)), 0.9))
    assert out.frames.tolist() == [0, 1, 2, 5, 6, 7, 8]


def test_it_is_shown_anew_where_its_mask_went_astray():
    """And the frames since mask and sightings agreed are drawn again; a single one that disagrees is let pass."""
    segmenter = Bright(strays=(4, 5, 6))
    out = refined(scene(8), Track(1, "x", range(8), boxes(range(8)), 0.9), segmenter)
    assert segmenter.shown == [0, 5]
    assert out.masks[4].place == (14, 20, 34, 40)
    # 5 is where it is shown, and the subject that strays in 6 is let pass.
    assert out.masks[6].place == (90, 0, 110, 10)


def test_unsure_sightings_do_not_count_against_the_mask():
    segmenter = Bright(strays=(4, 5))
    refined(scene(8), Track(1, "x", range(8), boxes(range(8)), [0.9] * 4 + [0.3] * 4), segmenter)
    assert segmenter.shown == [0]


def test_nothing_is_followed_across_a_cut():
    frames = scene(6) + [1 - frame for frame in scene(6, seed=9)]
    segmenter = Bright()
    out = refined(frames, Track(1, "x", [0, 1, 2, 8], boxes([0, 1, 2, 8]), 0.9), segmenter)
    assert segmenter.sessions == 2
    assert segmenter.shown == [0, 8]
    # The shot ends what is followed, and the next sighting begins anew.
    assert out.frames.tolist() == [*range(6), 8]


def test_a_shot_that_ends_early_is_shown_where_it_was_surest():
    frames = scene(4) + [1 - frame for frame in scene(8, seed=9)]
    scores = [0.2, 0.4, 0.2, 0.2, 0.9, 0.9]
    segmenter = Bright()
    out = refined(frames, Track(1, "x", range(6), boxes(range(6)), scores), segmenter)
    assert segmenter.shown[0] == 1
    assert set(range(4)) <= set(out.frames.tolist())


def test_a_place_is_what_is_there_when_a_shot_begins():
    frames = scene(10)
    out = refined(
        frames, Track(1, "box", range(10), boxes([0]) * 10, crop_region=(0, 0, 60, 60), bbox=(10, 20, 30, 40))
    )
    assert out.crop_region is None
    assert out.bbox is None
    assert out.boxes[-1].tolist() == [19, 20, 39, 40]


def test_boxes_of_frames_without_sighting_are_as_far_from_the_mask_as_those_around():
    around = [(x1 - 4, y1 - 2, x2 + 4, y2 + 2) for x1, y1, x2, y2 in boxes([0, 4])]
    out = refined(scene(5), Track(1, "x", [0, 4], around, 0.9))
    assert out.boxes[2].tolist() == [12 - 4, 18, 32 + 4, 42]


def test_landmarks_and_angles_stay_with_their_frames():
    marks = np.arange(20.0).reshape(2, 5, 2)
    out = refined(scene(3), Track(1, "x", [0, 2], boxes([0, 2]), landmarks=marks, angles=[5, 6], identity="Ann"))
    assert out.landmarks[0].tolist() == marks[0].tolist()
    assert np.isnan(out.landmarks[1]).all()
    assert out.angles[2] == 6
    assert out.identity == "Ann"


def test_tracks_with_masks_are_left_alone_and_those_without_any_result_are_named():
    masked = Track(1, "x", [0], boxes([0]), masks=[Mask.filled((0, 0, 5, 5))])
    lost = Track(2, "y", [0, 1], [(90, 0, 110, 10)] * 2)
    with pytest.warns(UserWarning, match="no mask for track 2: left as found"):
        out = refine_tracks(scene(3), [masked, lost], Bright())
    assert out[0] is masked
    assert out[1] is lost


def test_frames_without_subjects_are_not_encoded():
    segmenter = Bright()
    refined(scene(30), Track(1, "x", [20, 21], boxes([20, 21]), shot=(0, 30)), segmenter)
    assert segmenter.followed == [21]
    done = []
    refine_tracks(scene(4), [Track(1, "x", [0], boxes([0]))], segmenter, progress=done.append)
    assert done == [1, 2, 3, 4]


@pytest.mark.parametrize(("name", "value"), [("window", 0), ("lead", -1), ("sure", 1.5), ("inside", -0.1)])
def test_settings_out_of_range(name, value):
    with pytest.raises(InvalidArgumentError, match=name):
        RefineSettings(**{name: value})
