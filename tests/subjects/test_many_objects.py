"""Many objects at once: each is compared with what is near it, and only its own pixels are looked at."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from segs_detailer.subjects import (
    Detection,
    Mask,
    Track,
    Tracks,
    linking,
    overlap,
    read_tracks,
    suppress,
    tracks_from_masks,
    write_tracks,
)
from segs_detailer.subjects.assignment import assign_sparse
from segs_detailer.subjects.boxes import BoxIndex
from segs_detailer.subjects.formats.rle import decode, encode
from segs_detailer.subjects.nearest import Place, nearest_places

CELL = 24
corner = st.integers(-40, 60)
boxes = st.lists(
    st.tuples(corner, corner, st.integers(0, 40), st.integers(0, 40)).map(
        lambda b: (float(b[0]), float(b[1]), float(b[0] + b[2]), float(b[1] + b[3]))
    ),
    max_size=20,
)


def squares(columns, rows, frame, *, joined=False):
    """Squares in a grid that move to the right; joined by lines where they are to touch."""
    mask = np.zeros((rows * CELL, columns * CELL), np.uint8)
    for row in range(rows):
        for column in range(columns):
            y, x = row * CELL + 6, column * CELL + 4 + frame // 2
            mask[y : y + 12, x : x + 12] = 255
    if joined:
        mask[11::CELL] = 255
        mask[:, mask.shape[1] // 2] = 255
    return mask


@given(boxes, boxes)
def test_an_index_finds_the_boxes_that_touch(stored, asked):
    index = BoxIndex(stored)
    for x1, y1, x2, y2 in asked:
        expected = [i for i, b in enumerate(stored) if b[0] <= x2 and x1 <= b[2] and b[1] <= y2 and y1 <= b[3]]
        assert index.touching((x1, y1, x2, y2)) == expected


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_few_possible_pairs_have_the_greatest_sum(rows, columns, seed):
    random = np.random.default_rng(seed)
    table = random.random((rows, columns)) * (random.random((rows, columns)) < 0.4)
    pairs = assign_sparse([{c: row[c] for c in np.flatnonzero(row).tolist()} for row in table])
    best = linear_sum_assignment(-table)
    assert sum(table[pair] for pair in pairs) == pytest.approx(table[best].sum())
    assert len({row for row, _ in pairs}) == len(pairs) == len({column for _, column in pairs})


@given(
    st.lists(
        st.tuples(st.floats(-20, 120), st.floats(-20, 90), st.floats(1, 60), st.floats(1, 60)).map(lambda v: Place(*v)),
        min_size=1,
        max_size=30,
    )
)
def test_the_nearest_place_is_that_of_all_distances(places):
    owner = nearest_places((70, 100), (3, 5), places)
    x, y = np.arange(3, 103) + 0.5, (np.arange(5, 75) + 0.5)[:, None]
    distances = [((x - p.x) / p.width) ** 2 + ((y - p.y) / p.height) ** 2 for p in places]
    assert np.array_equal(owner, np.argmin(distances, axis=0))


@given(boxes, st.sampled_from([0.0, 0.3, 1.0]))
def test_what_overlaps_an_earlier_detection_is_dropped(found, most):
    detections = [Detection(box, 1.0) for box in found]
    kept = []
    for detection in detections:
        if all(overlap(detection.box, other.box) <= most for other in kept):
            kept.append(detection)
    assert suppress(detections, most=most) == kept


def test_each_object_is_compared_with_those_near_it_alone(monkeypatch):
    compared = Counter()
    affinity = linking._affinity

    def counted(*args, **options):
        compared[args[3]] += 1
        return affinity(*args, **options)

    monkeypatch.setattr(linking, "_affinity", counted)
    tracks = tracks_from_masks([squares(20, 15, frame) for frame in range(8)])
    assert len(tracks) == 300
    assert all(track.span == (0, 8) for track in tracks)
    # Itself and the eight around it; all with all would be 90000.
    assert sorted(compared) == list(range(1, 8))
    assert max(compared.values()) <= 9 * 300


def test_many_objects_that_come_to_touch_stay_apart():
    masks = [squares(20, 15, frame, joined=frame >= 6) for frame in range(9)]
    tracks = tracks_from_masks(masks)
    assert len(tracks) == 300
    assert all(track.span == (0, 9) for track in tracks)
    drawn = np.zeros(masks[-1].shape, np.uint8)
    for track in tracks:
        own = np.zeros_like(drawn)
        track.masks[-1].paint(own)
        assert not (own & drawn).any()
        drawn |= own
    assert np.array_equal(drawn, masks[-1])


def test_pictures_of_indices_give_each_object_its_own_pixels(tmp_path):
    rows, columns = 8, 25
    numbers = np.arange(rows * columns).reshape(rows, columns) + 1
    tracks = [
        Track(int(n), "object", [0], [place], 1.0, [Mask.filled(place)])
        for (y, x), n in np.ndenumerate(numbers)
        for place in [(x * CELL + 2, y * CELL + 3, x * CELL + 12, y * CELL + 20)]
    ]
    segments = Tracks((rows * CELL, columns * CELL), 1, tuple(tracks))
    write_tracks(tmp_path / "davis", segments, format="davis")
    read = read_tracks(tmp_path / "davis", format="davis")
    assert [(t.id, t.masks) for t in read.tracks] == [(t.id, t.masks) for t in tracks]
    write_tracks(tmp_path / "union.mkv", segments)
    assert int(np.count_nonzero(read_tracks(tmp_path / "union.mkv").tracks[0].masks[0].bits())) == 200 * 170


@given(st.integers(1, 12), st.integers(1, 12), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_runs_with_and_without_length_give_the_mask_again(height, width, share, seed):
    random = np.random.default_rng(seed)
    mask = Mask.from_pixels(random.random((height, width)) < share)
    counts = encode(mask, (height, width)).tolist()
    place = int(random.integers(0, len(counts) + 1))
    counts[place:place] = [0, 0]
    assert decode(counts, (height, width)) == mask
