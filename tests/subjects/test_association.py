"""Detections put together by where subjects should be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from segs_detailer.subjects import Associator, Chain, Detection, Mask, associate
from segs_detailer.subjects.assignment import assign


def box(x, y, side=20.0):
    return (float(x), float(y), float(x) + side, float(y) + side)


def seen(*places, side=20.0):
    return [Detection(box(x, y, side), 5.0) for x, y in places]


def chains(frames, shots=(0,), max_gap=5):
    return associate(frames, shots, max_gap=max_gap)


@given(
    st.integers(1, 6).flatmap(
        lambda n: st.integers(1, 6).flatmap(
            lambda m: st.lists(
                st.lists(st.one_of(st.just(0.0), st.floats(0, 1)), min_size=m, max_size=m), min_size=n, max_size=n
            )
        )
    )
)
def test_the_sum_of_the_pairs_is_greatest(scores):
    table = np.array(scores)
    pairs = assign(table)
    rows, columns = linear_sum_assignment(-table)
    assert sum(table[pair] for pair in pairs) == pytest.approx(table[rows, columns].sum())
    assert len({row for row, _ in pairs}) == len(pairs) == len({column for _, column in pairs})
    assert all(table[pair] > 0 for pair in pairs)


def test_nothing_is_paired_with_nothing():
    assert assign(np.zeros((0, 3))) == []
    assert assign(np.zeros((2, 3))) == []


def test_subjects_that_cross_keep_their_ways():
    frames = [seen((8 * i, 0), (160 - 8 * i, 6)) for i in range(21)]
    found = chains([list(reversed(boxes)) if i % 2 else boxes for i, boxes in enumerate(frames)])
    assert len(found) == 2
    for chain in found:
        x = [detection.box[0] for detection in chain.detections]
        assert np.allclose(np.diff(x), np.diff(x)[0])


def test_a_subject_behind_another_is_found_again_where_it_comes_out():
    hidden = range(8, 13)
    frames = [seen((100, 0)) if i in hidden else seen((100, 0), (20 + 8 * i, 4)) for i in range(24)]
    found = chains(frames)
    assert sorted(len(chain.frames) for chain in found) == [19, 24]
    moving = min(found, key=lambda chain: len(chain.frames))
    assert np.allclose([d.box[0] for d in moving.detections], [20 + 8 * i for i in moving.frames])


def test_a_subject_faster_than_its_size_is_one():
    assert len(chains([seen((30 * i, 10)) for i in range(12)])) == 1


def test_a_wrong_box_does_not_throw_out_the_next_right_one():
    frames = [seen((4 * i, 50)) for i in range(10)]
    frames += [seen((26, 68))] + [seen((4 * i, 50)) for i in range(11, 20)]
    longest = max(chains(frames), key=lambda chain: len(chain.frames))
    assert longest.span == (0, 20)


def test_another_subject_beside_a_lost_one_is_another():
    frames = [seen((50, 50))] * 10 + [[]] * 2 + [seen((80, 50))] * 10
    assert len(chains(frames)) == 2


def test_one_of_another_size_is_another():
    assert len(chains([seen((50, 50))] * 5 + [seen((72, 50), side=60.0)] * 5)) == 2


def test_ends_of_shots_are_known_once_they_have_passed():
    associator = Associator(3)
    for frame in range(6):
        associator.add(seen((5, 5)), begins_shot=frame in (0, 4))
    assert [(chain.shot, chain.frames) for chain in associator.finish()] == [((0, 4), [0, 1, 2, 3]), ((4, 6), [4, 5])]


def test_chains_become_tracks():
    mask = Mask.filled((1, 2, 3, 4))
    chain = Chain("hand", (2, 9))
    chain.add(3, Detection((1, 2, 3, 4), 0.5, "hand", mask=mask))
    points = tuple((float(x), 2.0) for x in range(5))
    chain.add(5, Detection((1.5, 2, 3, 4), 0.75, "hand", landmarks=points, angle=-12.5))
    track = chain.track(7, shape="ellipse")
    assert (track.id, track.label, track.shot, track.shape) == (7, "hand", (2, 9), "ellipse")
    assert track.frames.tolist() == [3, 5]
    assert track.confidence.tolist() == [0.5, 0.75]
    assert track.masks == (mask, None)
    assert track.boxes[1].tolist() == [1.5, 2, 3, 4]
    assert np.isnan(track.landmarks[0]).all()
    assert track.landmarks[1].tolist() == [list(point) for point in points]
    assert np.array_equal(track.angles, [np.nan, -12.5], equal_nan=True)


def test_of_one_detection_it_is_expected_there():
    chain = Chain("face", (0, 9))
    chain.add(0, Detection(box(3, 4), 1.0))
    assert chain.expected(5) == box(3, 4)
    assert chain.uncertainty(5) == 0
    for frame in range(1, 6):
        chain.add(frame, Detection(box(3 + 10 * frame, 4), 1.0))
    assert chain.expected(8)[0] == pytest.approx(83, abs=3)
