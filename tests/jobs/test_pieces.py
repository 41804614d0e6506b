"""Where tracks are cut into pieces, and how much each counts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segs_detailer.jobs.pieces import BRIDGE, Piece, cut_run, shown_runs


@settings(max_examples=500)
@given(
    first=st.integers(0, 50),
    count=st.integers(1, 400),
    most=st.integers(32, 200),
    reach=st.one_of(st.none(), st.integers(0, 3)),
    step=st.sampled_from([1, 4]),
)
def test_pieces_cover_a_run_and_their_shares_sum_to_one(first, count, most, reach, step):
    origin = first % 5
    pieces = cut_run(3, (first, first + count), most + 2 * step, reach=reach, overlap=16, step=step, origin=origin)
    most += 2 * step
    assert all((piece.low - origin) % step == 0 for piece in pieces[1:])
    assert pieces[0].start == pieces[0].low == first
    assert pieces[-1].stop == pieces[-1].high == first + count
    assert all(a.stop == b.start for a, b in pairwise(pieces))
    assert all(piece.frames <= most and piece.track == 3 for piece in pieces)
    for frame in range(first, first + count):
        weights = [piece.weight(frame) for piece in pieces if piece.low <= frame < piece.high]
        assert sum(weights) == pytest.approx(1)


def test_a_sampler_that_says_how_far_it_looks_gets_just_that():
    pieces = cut_run(0, (10, 34), 10, reach=1, overlap=16)
    assert pieces == [Piece(0, 10, 19, 10, 20), Piece(0, 19, 27, 18, 28), Piece(0, 27, 34, 26, 34)]
    assert [pieces[1].weight(frame) for frame in (18, 19, 26, 27)] == [0, 1, 1, 0]


def test_others_pass_over_to_each_other():
    one, two = cut_run(0, (0, 64), 48, reach=None, overlap=16)
    assert (one, two) == (Piece(0, 0, 32, 0, 40, True), Piece(0, 32, 64, 24, 64, True))
    later = [two.weight(frame) for frame in range(24, 40)]
    assert later == [(index + 0.5) / 16 for index in range(16)]
    assert one.weight(23) == 1
    assert two.weight(40) == 1


def test_short_breaks_are_sampled_and_long_ones_are_not():
    alpha = np.zeros(100, np.float32)
    alpha[3:6] = 0.5
    alpha[6 + BRIDGE : 30] = 1
    alpha[30 + BRIDGE + 1 : 60] = 1
    assert shown_runs(alpha, 1000) == [(1003, 1030), (1047, 1060)]
    assert shown_runs(np.zeros(5, np.float32)) == []


def test_no_piece_passes_the_most_frames():
    for most in range(24, 64):
        for length in range(1, 200):
            pieces = cut_run(0, (3, 3 + length), most, reach=None, overlap=8, step=4, origin=3)
            assert max(piece.frames for piece in pieces) <= most
            assert [piece.start for piece in pieces[1:]] == [piece.stop for piece in pieces[:-1]]
