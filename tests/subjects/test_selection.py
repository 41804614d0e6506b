"""Which tracks are meant: each criterion, what several leave, and what the errors offer."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest

from segs_detailer.checks import number_ranges
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.subjects import Mask, SelectSettings, Similarity, Track, Tracks
from segs_detailer.subjects.criteria import EXCLUDABLE, read_criterion
from segs_detailer.subjects.selection import listed, selected, size_of

COUNT = 40
TIMES = tuple(number / 10 for number in range(COUNT))


def track(number, label, frames, box, **more):
    frames = list(frames)
    return Track(number, label, frames, [box] * len(frames), **more)


MOVING = Track(1, "face", range(COUNT), [(5 + 2 * n, 10, 29 + 2 * n, 34) for n in range(COUNT)], identity="A")
LARGE = track(2, "face", range(10, 30), (100, 40, 140, 90), identity="B")
HAND = track(3, "hand", [0, 1, 2, 6, 7], (60, 60, 72, 66))
AGAIN = track(5, "face", range(34, 40), (10, 50, 20, 60), identity="A")
TRACKS = Tracks((96, 160), COUNT, (MOVING, LARGE, HAND, AGAIN))


class Likeness:
    """Knows how much each track looks like a picture, by the picture's name."""

    def __init__(self, **pictures):
        self.pictures = pictures

    def of(self, picture):
        return {number: Similarity(value, 0.5) for number, value in self.pictures[picture].items()}


LIKENESS = Likeness(anna={1: 0.9, 2: 0.1, 5: 0.6}, bob={1: 0.2, 2: 0.5, 5: 0.1}, nobody={1: 0.1, 2: 0.2})


def chosen(**criteria):
    return TRACKS.select(times=TIMES, likeness=LIKENESS, **criteria).numbers


@pytest.mark.parametrize(
    ("criteria", "numbers"),
    [
        ({}, (1, 2, 3, 5)),
        ({"tracks": (5, 1)}, (1, 5)),
        ({"tracks": 2}, (2,)),
        ({"tracks": "A"}, (1, 5)),
        ({"tracks": ("A", "3")}, (1, 3, 5)),
        ({"labels": "hand"}, (3,)),
        ({"labels": ("face", "hand")}, (1, 2, 3, 5)),
        # The longer side.
        ({"min_subject": 12}, (1, 2, 3)),
        ({"max_subject": 12}, (3, 5)),
        ({"min_subject": 11, "max_subject": 30}, (1, 3)),
        ({"frames": (30, 33)}, (1,)),
        # In a gap it is not seen.
        ({"frames": (3, 5)}, (1,)),
        ({"frames": (6, 10)}, (1, 2, 3)),
        # Between sightings it is where it was.
        ({"at": "4:62,62"}, (3,)),
        ({"at": "0.4s:62,62"}, (3,)),
        ({"at": ("0:6,11", "15:100,40")}, (1, 2)),
        ({"like": "anna"}, (1, 5)),
        ({"like": ("anna", "bob")}, (1, 2, 5)),
        ({"largest": 2}, (1, 2)),
        ({"largest": 9}, (1, 2, 3, 5)),
        # Ranks come last: the largest of what the others leave.
        ({"largest": 1, "labels": "hand"}, (3,)),
        ({"tracks": (3, 5), "largest": 1}, (3,)),
        ({"exclude": "tracks=2,5"}, (1, 3)),
        ({"exclude": ("labels=hand", "like=anna")}, (2,)),
        ({"exclude": "like=nobody"}, (1, 2, 3, 5)),
        ({"exclude": "largest=1"}, (1, 3, 5)),
        ({"exclude": "largest=1", "labels": "face", "largest": 1}, (1,)),
        ({"exclude": "max-subject=12"}, (1, 2)),
        ({"exclude": "at=15:110,50"}, (1, 3, 5)),
        ({"like": "anna", "exclude": "frames=0-3"}, (5,)),
    ],
)
def test_what_is_left(criteria, numbers):
    assert chosen(**criteria) == numbers
    assert TRACKS.numbers == (1, 2, 3, 5)


@pytest.mark.parametrize(
    ("criteria", "message"),
    [
        ({"tracks": 7}, "tracks: expected numbers among face: 1 to 2, 5; hand: 3; A: 1, 5; B: 2, got 7"),
        ({"tracks": "C"}, "tracks: expected numbers among .*; A: 1, 5; B: 2, got C"),
        ({"labels": "fcae"}, r"labels: expected labels among face, hand, got 'fcae' \(did you mean face\?\)"),
        (
            {"min_subject": 60},
            r"min_subject: expected a size that a track has: 1 \(face\) 24 px, 2 \(face\) 50 px, .*60",
        ),
        ({"max_subject": 5}, r"max_subject: expected a size that a track has: .*5 \(face\) 10 px, got 5"),
        ({"frames": (90, 95)}, "frames: expected frames of the clip, 0 to 39, got 90-95"),
        (
            {"frames": (3, 5), "labels": "hand"},
            r"frames: expected frames in which a track is seen: 3 \(hand\) 0-7, got",
        ),
        ({"at": "3:150,5"}, r"at: expected a place of a track in frame 3: 1 \(face\) 11,10 to 35,34, 3 \(hand\) 60,60"),
        ({"at": "90:1,1"}, "at: expected a frame of the clip, 0 to 39, got 90:1,1"),
        ({"at": "5s:1,1"}, "at: expected a second of the clip, 0 to 4, got 5s:1,1"),
        ({"at": "0:6,11", "tracks": 2}, "at: expected a place of what the others leave, face: 2, got 0:6,11"),
        (
            {"like": "nobody"},
            r"like: .*: 1 \(face\) 0.10 of 0.50, 2 \(face\) 0.20 of 0.50, 3 \(hand\) cannot be compared",
        ),
        ({"exclude": "labels=face,hand"}, "exclude: expected what leaves at least one of face: 1 to 2, 5; hand: 3"),
        ({"exclude": "tracks=9"}, "exclude: expected numbers among face: 1 to 2, 5; hand: 3.*, got 9"),
        ({"exclude": "labels=foot"}, "exclude: expected labels among face, hand, got 'foot'"),
        ({"exclude": "track=9"}, r"exclude: expected NAME=VALUE such as tracks=2,5, .*largest, .*did you mean tracks"),
        ({"exclude": "frames=9-4"}, "exclude: expected frames=the first and the last frame, from 0, got 'frames=9-4'"),
    ],
)
def test_errors_say_what_there_was_to_choose_from(criteria, message):
    with pytest.raises(InvalidArgumentError, match=f"^{message}"):
        chosen(**criteria)


def test_what_is_needed_for_a_criterion_is_said():
    with pytest.raises(InvalidArgumentError, match="at: expected a frame's number, as `times` are not given"):
        TRACKS.select(at="1s:1,1")
    with pytest.raises(InvalidArgumentError, match="like: expected `likeness`"):
        TRACKS.select(like="anna")
    with pytest.raises(InvalidArgumentError, match=r"settings: expected one of tracks, labels.*got 'label'"):
        TRACKS.select(label="face")
    assert TRACKS.select(at="10:100,40").numbers == (2,)


@pytest.mark.parametrize(
    ("criteria", "error"),
    [
        ({"tracks": ()}, InvalidTypeError),
        ({"tracks": 0}, InvalidArgumentError),
        ({"tracks": 1.5}, InvalidTypeError),
        ({"labels": ()}, InvalidArgumentError),
        ({"labels": ""}, InvalidArgumentError),
        ({"min_subject": 0}, InvalidArgumentError),
        ({"frames": 3}, InvalidTypeError),
        ({"frames": (-1, 3)}, InvalidArgumentError),
        ({"at": "12,5"}, InvalidArgumentError),
        ({"at": "1:inf,5"}, InvalidArgumentError),
        ({"at": "1:x,5"}, InvalidArgumentError),
        ({"like": 3}, InvalidTypeError),
        ({"largest": 0}, InvalidArgumentError),
        ({"exclude": "tracks"}, InvalidArgumentError),
    ],
)
def test_values_that_cannot_be_used(criteria, error):
    with pytest.raises(error, match=f"^{next(iter(criteria))}: expected "):
        SelectSettings(**criteria)


def test_settings_are_data():
    settings = SelectSettings(tracks=[1, "A"], exclude="like=a.png", like=("b.png", "c.png"))
    assert pickle.loads(pickle.dumps(settings)) == settings
    assert (settings.tracks, settings.exclude, settings.pictures) == (
        (1, "A"),
        ("like=a.png",),
        ("b.png", "c.png", "a.png"),
    )
    assert settings.is_given
    assert not SelectSettings().is_given


def test_texts_are_read_as_on_the_command_line():
    texts = {
        "tracks": "1, A",
        "labels": "a,b c",
        "frames": "3-9",
        "largest": "2",
        "min_subject": "1.5",
        "like": "a,b.png",
    }
    values = [(1, "A"), ("a", "b c"), (3, 9), 2, 1.5, ("a,b.png",)]
    assert [read_criterion(name, text) for name, text in texts.items()] == values
    assert read_criterion("frames", "7") == (7, 7)
    for name in EXCLUDABLE:
        if name not in ("tracks", "labels", "like"):
            with pytest.raises((InvalidArgumentError, InvalidTypeError), match=name):
                read_criterion(name, "x")


def test_steps_tell_what_each_leaves():
    settings = SelectSettings(labels="face", largest=1, exclude="tracks=2")
    steps = selected(TRACKS.tracks, settings)
    assert [(step.name, step.value, step.excludes, step.leaves) for step in steps] == [
        ("labels", "face", False, (1, 2, 5)),
        ("tracks", "2", True, (1, 5)),
        ("largest", "1", False, (1,)),
    ]
    assert selected(TRACKS.tracks, SelectSettings()) == []


def test_numbers_of_ids_from_0_are_kept():
    tracks = Tracks((96, 160), COUNT, [track(number, "a", range(3), (0, 0, 9, 9)) for number in (0, 1, 2)])
    assert tracks.select(tracks=(2, 3)).numbers == (2, 3)
    assert tracks.select(tracks=(2, 3)).select(largest=1).numbers == (2,)
    assert tracks.select().numbers == tracks.numbers == (1, 2, 3)


def test_a_mask_says_where_a_subject_is():
    mask = Mask.from_pixels(np.tri(20, dtype=bool), (50, 20))
    shown = Track(1, "a", [0, 1], [(50, 20, 70, 40)] * 2, masks=[mask, None])
    tracks = Tracks((96, 160), 2, (shown,))
    assert tracks.select(at="0:51,38").numbers == (1,)
    assert tracks.select(at="1:68,21").numbers == (1,)
    for place in ("0:68,21", "0:49,30", "0:51,45"):
        with pytest.raises(InvalidArgumentError, match=re.escape("at: expected a place of a track in frame 0: 1 (a)")):
            tracks.select(at=place)


def test_sizes_and_lists():
    assert [number_ranges(numbers) for numbers in ((), (3,), (2, 1), (7, 1, 3, 2, 9, 8, 11))] == [
        *("none", "3", "1 to 2"),
        "1 to 3, 7 to 9, 11",
    ]
    boxes = [(0, 0, 10, 4), (0, 0, 30, 4), (0, 0, 4, 20)]
    assert size_of(Track(1, "a", range(3), boxes)) == 20
    assert size_of(Track(1, "a", [], [])) == 0
    assert listed(TRACKS) == "face: 1 to 2, 5; hand: 3"
    many = Tracks((96, 160), 1, [track(number, "a", [0], (0, 0, 9, 9)) for number in range(1, 30)])
    with pytest.raises(InvalidArgumentError, match=r"12 \(a\) 9 px, and 17 more, got 50$"):
        many.select(min_subject=50)
