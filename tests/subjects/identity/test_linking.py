"""Tracks of one person are linked, and no others: thresholds, tracks at the same time, doubts, names."""

from __future__ import annotations

import numpy as np
import pytest

from segs_detailer.errors import InvalidArgumentError
from segs_detailer.subjects import Track
from segs_detailer.subjects.identity import link_tracks
from segs_detailer.subjects.identity.linking import _names


def track(number, first, last, label="face", **more):
    frames = range(first, last + 1)
    return Track(number, label, frames, [(0, 0, 9, 9)] * len(frames), **more)


def vector(*values):
    return np.array(values, np.float32) / np.linalg.norm(values)


def cosines(*angles):
    """Vectors in a plane, by degrees: their cosines are those of the differences."""
    return {n: vector(np.cos(np.radians(a)), np.sin(np.radians(a))) for n, a in enumerate(angles, start=1)}


def linked(tracks, vectors, threshold, **more):
    return "".join(each.identity or "-" for each in link_tracks(tracks, vectors, threshold, **more))


def test_the_same_people_after_cuts():
    """Three people in four shots, in other orders; each vector is 10 degrees or so from its person's."""
    rng = np.random.default_rng(7)
    people = np.linalg.qr(rng.normal(size=(64, 3)))[0].T
    tracks, vectors, truth = [], {}, ""
    for shot in range(4):
        for who in rng.permutation(3)[: 3 - shot % 2]:
            number = len(tracks) + 1
            tracks.append(track(number, 10 * shot, 10 * shot + 9))
            vectors[number] = vector(*(people[who] + 0.025 * rng.normal(size=64)))
            truth += "xyz"[who]
    found = linked(tracks, vectors, 0.45)
    assert len(set(zip(found, truth, strict=True))) == len(set(found)) == 3
    assert found[:3] == "ABC"


def test_the_threshold_holds_for_every_two_of_a_group():
    tracks = [track(number, 10 * number, 10 * number + 5) for number in (1, 2, 3)]
    # A chain: each is like the next, the ends are not like each other.
    vectors = cosines(0, 40, 85)
    assert linked(tracks, vectors, np.cos(np.radians(50))) == "AAB"
    assert linked(tracks, vectors, np.cos(np.radians(90))) == "AAA"
    assert linked(tracks, vectors, np.cos(np.radians(35))) == "ABC"


def test_two_at_the_same_time_are_never_the_same():
    vectors = cosines(0, 0, 0)
    assert linked([track(1, 0, 9), track(2, 9, 20), track(3, 21, 30)], vectors, 0.4) == "ABC"  # 3: like both
    assert linked([track(1, 0, 9), track(2, 10, 20), track(3, 21, 30)], vectors, 0.4) == "AAA"
    # Nor through a third, nor those of other labels.
    assert linked([track(1, 0, 9), track(2, 10, 20, "hand")], vectors, 0.4) == "AB"


def test_where_it_is_in_doubt_nobody_is_linked():
    pair = [track(1, 0, 9), track(2, 0, 9), track(3, 20, 29)]
    angles = np.degrees(np.arccos((0.80, 0.78)))
    vectors = {**cosines(angles[0], -angles[1]), 3: vector(1, 0)}
    assert linked(pair, vectors, 0.4) == "ABC"
    assert linked(pair, vectors, 0.4, margin=0.01) == "ABA"
    # One below the threshold is no rival.
    assert linked(pair, vectors, 0.79) == "ABA"


def test_what_is_known_stays_and_what_cannot_be_told_has_none():
    tracks = [track(1, 0, 9, identity="B"), track(2, 10, 20), track(3, 30, 40), track(4, 50, 60)]
    vectors = {number: vector(1, 0) for number in (1, 2, 3)}
    assert linked(tracks, vectors, 0.4) == "BAA-"
    again = link_tracks(link_tracks(tracks, vectors, 0.4), vectors, 0.4)
    assert again == link_tracks(tracks, vectors, 0.4)
    assert link_tracks([tracks[3]], {}, 0.4) == [tracks[3]]
    with pytest.raises(InvalidArgumentError, match="threshold: expected a number from -1 to 1, got 2"):
        link_tracks(tracks, vectors, 2)


def test_names():
    names = _names({"B"})
    found = [next(names) for _ in range(53)]
    assert found[:3] == ["A", "C", "D"]
    assert found[24:28] == ["Z", "AA", "AB", "AC"]
    assert found[-1] == "BB"


def plain_groups(tracks, vectors, threshold, margin):
    """Groups by the definition: of all pairs, again and again, the most alike one that may be merged."""

    def alike(one, other):
        pairs = [(a, b) for a in one for b in other]
        if any(a.span[0] < b.span[1] and b.span[0] < a.span[1] for a, b in pairs):
            return None
        return min(float(vectors[a.id].astype(float) @ vectors[b.id].astype(float)) for a, b in pairs)

    groups, closed = [(track,) for track in tracks], set()
    while True:
        pairs = [(x, y) for i, x in enumerate(groups) for y in groups[i + 1 :]]
        known = {pair: alike(*pair) for pair in pairs}
        known |= {(y, x): value for (x, y), value in known.items()}
        may = [
            p
            for p in pairs
            if known[p] is not None and known[p] >= threshold and not any(c <= {*p[0], *p[1]} for c in closed)
        ]
        if not may:
            return {frozenset(track.id for track in group) for group in groups}
        x, y = max(may, key=known.__getitem__)
        least = max(threshold, known[x, y] - margin)
        rivals = [
            z
            for z in groups
            for one, other in ((x, y), (y, x))
            if z not in (x, y) and known[other, z] is None and known[one, z] is not None and known[one, z] >= least
        ]
        if rivals:
            closed.add(frozenset({*x, *y}))
        else:
            groups = [group for group in groups if group not in (x, y)] + [(*x, *y)]


@pytest.mark.parametrize("seed", range(6))
def test_groups_are_those_of_the_definition(seed):
    rng = np.random.default_rng(seed)
    people = rng.normal(size=(4, 6))
    tracks = [track(number, 5 * (number // 3), 5 * (number // 3) + 4) for number in range(1, 15)]
    vectors = {each.id: vector(*(people[rng.integers(4)] + 0.5 * rng.normal(size=6))) for each in tracks}
    for threshold, margin in ((0.5, 0.05), (0.8, 0.0), (-1, 0.3)):
        found = {}
        for each in link_tracks(tracks, vectors, threshold, margin=margin):
            found.setdefault(each.identity, set()).add(each.id)
        assert {frozenset(group) for group in found.values()} == plain_groups(tracks, vectors, threshold, margin)
