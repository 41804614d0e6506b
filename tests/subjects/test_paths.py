"""Crops laid through clips: sizes, edges, ramps, gaps, masks in them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segs_detailer.crop_path import CropPath
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.segs import check_segs
from segs_detailer.subjects import (
    CropSettings,
    Mask,
    Track,
    crop_path,
    is_in_frame,
    presence,
    subject_box,
    track_masks,
    tracks_to_segs,
)
from segs_detailer.subjects.boxes import make_crop_region
from segs_detailer.subjects.motion import motion_of

SIZE = (120, 200)


def still(frames, box=(80, 40, 120, 80), **more):
    return Track(1, "face", list(frames), [box] * len(frames), **more)


def moving(frames, step=3.0, **more):
    return Track(1, "face", list(frames), [(20 + step * f, 40, 50 + step * f, 76) for f in frames], **more)


@st.composite
def any_track(draw):
    count = draw(st.integers(1, 40))
    frames = sorted(draw(st.sets(st.integers(0, count - 1), min_size=1)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    corners = rng.uniform(-40, 220, (len(frames), 2)) if draw(st.booleans()) else rng.uniform(0, 60, (len(frames), 2))
    boxes = np.concatenate([corners, corners + rng.uniform(1, 60, (len(frames), 2))], axis=1)
    masks = None
    if draw(st.booleans()):
        masks = []
        for box in np.round(boxes).astype(int):
            place = np.clip(box, 0, [SIZE[1], SIZE[0], SIZE[1], SIZE[0]])
            masks.append(Mask.filled(place.tolist()) if rng.random() < 0.7 else None)
    shot = (0, count) if draw(st.booleans()) else None
    shape = draw(st.sampled_from(["box", "ellipse"]))
    return count, Track(1, "a", frames, boxes, 1.0, masks, shot=shot, shape=shape)


@st.composite
def any_settings(draw):
    return CropSettings(
        crop=draw(st.sampled_from(["follow", "fixed"])),
        crop_factor=draw(st.sampled_from([1.0, 1.5, 3.0, 50.0])),
        aspect=draw(st.sampled_from([None, 1.0, 0.5, 1.78])),
        smoothing=draw(st.sampled_from([0.0, 1.0, 6.0])),
        subpixel=draw(st.booleans()),
        ramp=draw(st.integers(0, 5)),
        max_gap=draw(st.integers(0, 12)),
        paste_gap=draw(st.integers(0, 12)),
    )


@settings(deadline=None)
@given(any_track(), any_settings())
def test_any_crop_is_in_the_frame_and_of_one_size(made, chosen):
    count, track = made
    if not is_in_frame(track, SIZE, count):
        with pytest.raises(InvalidArgumentError, match="track 1: expected a box or mask in the frame of 200x120"):
            crop_path(track, SIZE, count, chosen)
        assert tracks_to_segs([track], SIZE, count, chosen) == (SIZE, [])
        return
    path = crop_path(track, SIZE, count, chosen)
    assert path.frames == count
    assert path.regions.min() >= 0
    assert path.regions[:, 2].max() <= SIZE[1]
    assert path.regions[:, 3].max() <= SIZE[0]
    assert chosen.subpixel or path.is_whole
    assert np.array_equal(path.alpha, presence(track, SIZE, count, chosen))
    seen = [f for f in track.frames.tolist() if path.alpha[f] > 0]
    assert seen
    size, (seg,) = check_segs(tracks_to_segs([track], SIZE, count, chosen))
    assert size == SIZE
    assert seg.cropped_mask.shape == (count, *path.size)
    x1, y1, x2, y2 = seg.bbox
    assert x1 < x2
    assert y1 < y2


@settings(deadline=None)
@given(any_track(), any_settings(), st.data())
def test_masks_of_a_part_are_those_of_the_whole(made, chosen, data):
    count, track = made
    if not is_in_frame(track, SIZE, count):
        return
    path = crop_path(track, SIZE, count, chosen)
    whole = track_masks(track, path, 0, count, SIZE, chosen)
    start = data.draw(st.integers(0, count))
    stop = data.draw(st.integers(start, count))
    assert np.array_equal(track_masks(track, path, start, stop, SIZE, chosen), whole[start:stop])
    assert not whole[path.alpha == 0].any()


@settings(deadline=None)
@given(any_track(), st.sampled_from([1.0, 1.5, 3.0]), st.sampled_from([None, 1.0, 2.0]))
def test_what_is_shown_is_in_the_crop(made, factor, aspect):
    count, track = made
    chosen = CropSettings(crop_factor=factor, aspect=aspect, smoothing=0)
    if not is_in_frame(track, SIZE, count):
        return
    path = crop_path(track, SIZE, count, chosen)
    everywhere = CropPath(np.tile([0, 0, SIZE[1], SIZE[0]], (count, 1)), path.alpha)
    shown = track_masks(track, everywhere, 0, count, SIZE, chosen)
    held = track_masks(track, path, 0, count, SIZE, chosen)
    assert np.array_equal(held.astype(int).sum(axis=(1, 2)), shown.astype(int).sum(axis=(1, 2)))


# Sizes and places


def test_the_crop_is_the_factor_of_the_subject():
    path = crop_path(still(range(9)), (400, 600), 9, CropSettings(crop_factor=2))
    assert path == CropPath(np.tile([60, 20, 140, 100], (9, 1)))


@pytest.mark.parametrize(("aspect", "size"), [(1.0, (80, 80)), (2.0, (80, 160)), (0.5, (160, 80))])
def test_the_crop_has_the_aspect_that_is_asked_for(aspect, size):
    assert crop_path(still(range(9)), (400, 600), 9, CropSettings(crop_factor=2, aspect=aspect)).size == size


def test_a_crop_that_the_frame_has_no_room_for_keeps_its_aspect():
    assert crop_path(still(range(9)), SIZE, 9, CropSettings(crop_factor=9, aspect=1.0)).size == (120, 120)


def test_a_crop_larger_than_the_frame_is_the_frame():
    path = crop_path(moving(range(40)), SIZE, 40, CropSettings(crop_factor=50))
    assert path == CropPath(np.tile([0, 0, 200, 120], (40, 1)))


def test_at_the_edges_the_crop_is_moved_not_cut():
    track = Track(1, "a", range(50), [(4.0 * f - 10, 50, 4.0 * f + 20, 80) for f in range(50)])
    path = crop_path(track, SIZE, 50, CropSettings(crop_factor=2))
    assert path.regions[0].tolist() == [0, 35, 60, 95]
    assert path.regions[-1].tolist() == [140, 35, 200, 95]
    steps = np.diff(path.regions[:, 0])
    assert set(steps.tolist()) <= {0, 1, 2, 3, 4, 5}


def test_a_fixed_crop_holds_the_whole_way():
    track = moving(range(40))
    path = crop_path(track, SIZE, 40, CropSettings(crop="fixed", crop_factor=1.5))
    region = make_crop_region(SIZE, (20, 40, 167, 76), 1.5)
    assert path == CropPath(np.tile(region, (40, 1)))
    seg = tracks_to_segs([track], SIZE, 40, CropSettings(crop="fixed", crop_factor=1.5))[1][0]
    assert type(seg.crop_region) is tuple
    assert (seg.crop_region, seg.bbox) == (region, (20, 40, 167, 76))


def test_the_box_of_a_seg_has_the_mean_size_of_its_subject():
    sides = np.linspace(20, 40, 30)
    boxes = [(50 + 2 * f, 30, 50 + 2 * f + side, 30 + side) for f, side in enumerate(sides)]
    track = Track(1, "a", range(5, 35), boxes)
    path = crop_path(track, (300, 400), 40)
    x1, y1, x2, y2 = subject_box(track, path, (300, 400))
    assert (x2 - x1, y2 - y1) == pytest.approx((30, 30), abs=1)
    assert path[0] <= x1
    assert x2 <= path[2]
    assert 0.5 * (x1 + x2) == pytest.approx(60, abs=2)


def test_between_pixels_the_motion_is_even():
    track = moving(range(40), step=2.3)
    path = crop_path(track, (300, 400), 40, CropSettings(subpixel=True))
    moved = path.regions[path.regions[:, 0] > 1]
    assert not path.is_whole
    assert np.allclose(np.diff(moved[:, 0])[2:], 2.3, atol=0.05)


# Coming and going


def test_what_lasts_all_the_clip_neither_rises_nor_falls():
    assert (presence(still(range(20)), SIZE, 20) == 1).all()


def test_coming_and_going_are_ramps_within_the_track():
    alpha = presence(still(range(5, 20)), SIZE, 30, CropSettings(ramp=3))
    assert alpha[:5].tolist() == [0] * 5
    assert alpha[5:9].tolist() == [0.25, 0.5, 0.75, 1]
    assert alpha[16:20].tolist() == [1, 0.75, 0.5, 0.25]
    assert alpha[20:].tolist() == [0] * 10
    assert presence(still(range(5, 20)), SIZE, 30, CropSettings(ramp=0)).tolist() == [0] * 5 + [1] * 15 + [0] * 10


def test_cuts_are_no_ramps():
    alpha = presence(still(range(5, 20), shot=(5, 20)), SIZE, 30)
    assert alpha.tolist() == [0] * 5 + [1] * 15 + [0] * 10


def test_gaps_are_bridged_up_to_their_limit():
    track = still([*range(10), *range(14, 24), *range(40, 50)])
    alpha = presence(track, SIZE, 50, CropSettings(max_gap=5, paste_gap=4, ramp=1))
    assert (alpha[:23] == 1).all()
    assert alpha[23:25].tolist() == [0.5, 0]
    assert alpha[39:42].tolist() == [0, 0.5, 1]


def test_nothing_is_pasted_in_long_gaps():
    frames = [*range(10), *range(12, 24), *range(27, 50)]
    alpha = presence(still(frames), SIZE, 50, CropSettings(ramp=1))
    assert np.flatnonzero(alpha < 1).tolist() == [23, 24, 25, 26, 27]
    assert alpha[23:28].tolist() == [0.5, 0, 0, 0, 0.5]
    assert (presence(still(frames), SIZE, 50, CropSettings(paste_gap=3)) == 1).all()
    assert np.flatnonzero(presence(still(frames), SIZE, 50, CropSettings(paste_gap=0)) == 0).tolist() == [
        *(10, 11),
        *(24, 25, 26),
    ]
    moving = Track(1, "a", frames, [(3.0 * f, 40, 3.0 * f + 20, 60) for f in frames])
    path = crop_path(moving, SIZE, 50)
    assert (np.diff(path.regions[:, 0])[22:28] == 3).all()
    masks = track_masks(moving, path, 0, 50, SIZE)
    assert np.flatnonzero(~masks.any(axis=(1, 2))).tolist() == [24, 25, 26]


def test_a_ramp_beside_a_gap_ends_at_a_cut():
    # A leap at frame 20, and the first three frames behind it are missed.
    frames = [*range(20), *range(23, 40)]
    track = Track(1, "a", frames, [(20, 40, 40, 60)] * 20 + [(140, 40, 160, 60)] * 17)
    alpha = presence(track, SIZE, 40, CropSettings(ramp=1))
    assert alpha[18:25].tolist() == [1, 0.5, 0, 0, 0, 1, 1]


def test_detectors_start_late_and_stop_early():
    track = still(range(14, 50), shot=(10, 60))
    late = CropSettings(max_gap=5, paste_gap=12)
    assert np.flatnonzero(presence(track, SIZE, 80, late)).tolist() == list(range(10, 50))
    later = CropSettings(max_gap=12, paste_gap=12)
    assert np.flatnonzero(presence(track, SIZE, 80, later)).tolist() == list(range(10, 60))
    assert (presence(track, SIZE, 80, later)[10:60] == 1).all()
    # So long before the first detection anything may be there.
    assert np.flatnonzero(presence(track, SIZE, 80)).tolist() == list(range(14, 50))


def test_who_comes_in_from_the_side_was_not_there_before():
    track = Track(
        1, "a", range(6, 40), [(5.0 * (f - 6), 40, 5.0 * (f - 6) + 30, 70) for f in range(6, 40)], shot=(0, 60)
    )
    assert np.flatnonzero(presence(track, SIZE, 60))[[0, -1]].tolist() == [6, 39]


def test_masks_say_where_they_begin():
    mask = Mask.filled((80, 40, 120, 80))
    track = still(range(5, 20), masks=[mask] * 15, shot=(0, 25))
    assert np.flatnonzero(presence(track, SIZE, 25))[[0, -1]].tolist() == [5, 19]


def test_during_a_long_absence_the_crop_goes_to_where_the_subject_comes_back():
    frames = [*range(10), *range(40, 50)]
    track = Track(1, "a", frames, [(20, 40, 40, 60)] * 10 + [(140, 40, 160, 60)] * 10)
    path = crop_path(track, SIZE, 50)
    assert path.regions[9].tolist() == [0, 20, 60, 80]
    assert path.regions[40].tolist() == [120, 20, 180, 80]
    assert np.diff(path.regions[:, 0]).max() <= 5


def test_a_leap_is_a_cut_that_nobody_named():
    boxes = [(10, 10, 30, 30)] * 20 + [(150, 60, 170, 80)] * 20
    path = crop_path(Track(1, "a", range(40), boxes), SIZE, 40)
    assert (path.alpha == 1).all()
    assert path.regions[:20].min(axis=0).tolist() == path.regions[:20].max(axis=0).tolist() == [0, 0, 60, 60]
    assert path.regions[20:].min(axis=0).tolist() == path.regions[20:].max(axis=0).tolist() == [130, 40, 190, 100]
    near, far = [(40, 40, 60, 60)] * 20, [(20, 20, 80, 80)] * 20
    track = Track(1, "a", range(40), near + far)
    masks = track_masks(track, everywhere(40), 0, 40, SIZE)
    assert (masks[:20] == masks[0]).all()
    assert (masks[20:] == masks[39]).all()


@pytest.mark.parametrize("mirrored", [False, True])
def test_an_end_goes_on_with_the_motion_of_its_own_run(mirrored):
    # A subject that rests, leaps, and rests again, so near to the ends of its shot that it was there all along.
    boxes = [(20, 40, 40, 60)] * 4 + [(140, 40, 160, 60)] * 4
    settings = CropSettings(max_gap=12, paste_gap=12, smoothing=0)
    track = Track(1, "a", range(8, 16), boxes[::-1] if mirrored else boxes, shot=(0, 24))
    motion = motion_of(track, SIZE, 24, settings)
    first, last = (150, 30) if mirrored else (30, 150)
    assert motion.runs == [(0, 12), (12, 24)]
    assert motion.boxes[[0, -1], 0].tolist() == [first, last]
    path = crop_path(track, SIZE, 24, settings)
    assert (path.alpha == 1).all()
    assert (path.regions[:12] == path.regions[8]).all()
    assert (path.regions[12:] == path.regions[15]).all()


def test_an_end_goes_on_with_no_motion_from_before_a_long_absence():
    boxes = [(20, 40, 40, 60)] * 3 + [(150, 40, 170, 60)] * 3
    track = Track(1, "a", [5, 6, 7, 30, 31, 32], boxes, shot=(0, 40))
    motion = motion_of(track, SIZE, 40, CropSettings(max_gap=8))
    assert motion.runs == [(0, 8), (30, 40)]
    assert motion.boxes[[0, -1], 0].tolist() == [30, 160]


def test_a_short_track_is_extended_with_the_same_speed_at_both_ends():
    track = Track(1, "a", [10, 11, 12], [(50 + 2 * n, 40, 70 + 2 * n, 60) for n in range(3)], shot=(4, 19))
    motion = motion_of(track, SIZE, 30, CropSettings(smoothing=0))
    assert motion.frames.tolist() == [4, 10, 11, 12, 18]
    steps = np.diff(motion.boxes[:, 0])
    assert steps[0] == pytest.approx(steps[-1])


def test_fast_motion_is_no_leap():
    track = Track(1, "a", range(0, 40, 2), [(10.0 * f, 40, 10.0 * f + 4, 44) for f in range(0, 40, 2)])
    path = crop_path(track, (100, 500), 39, CropSettings(ramp=9))
    assert (path.alpha == 1).all()
    assert np.abs(np.diff(path.regions[5:-5, 0], 2)).max() <= 1


def test_frames_after_the_clip_do_not_count():
    assert crop_path(moving(range(60)), SIZE, 20) == crop_path(moving(range(20)), SIZE, 20)


def test_a_crop_region_that_moves_is_kept():
    own = CropPath([[0, 0, 10, 10], [1, 0, 11, 10]], [1, 0.5])
    track = still(range(2), box=(2, 2, 6, 6), crop_region=own, bbox=(1, 1, 7, 7))
    assert crop_path(track, SIZE, 2) is own
    assert subject_box(track, own, SIZE) == (1, 1, 7, 7)
    fixed = still(range(2), box=(2, 2, 6, 6), crop_region=(0, 0, 9, 9), bbox=(1, 1, 7, 7))
    assert crop_path(fixed, SIZE, 2, CropSettings(crop="fixed")) == CropPath([[0, 0, 9, 9]] * 2)
    assert crop_path(fixed, SIZE, 2, CropSettings(crop_factor=1)).size == (4, 4)


# Masks in crops


def everywhere(count):
    return CropPath(np.tile([0, 0, SIZE[1], SIZE[0]], (count, 1)))


def test_masks_are_where_they_were():
    rng = np.random.default_rng(0)
    masks = [Mask.from_pixels(rng.integers(0, 256, (30, 20)).astype(np.uint8), (50 + 3 * f, 40)) for f in range(12)]
    track = Track(1, "a", range(12), [mask.place for mask in masks], 1.0, masks)
    path = crop_path(track, SIZE, 12, CropSettings(crop_factor=2))
    drawn = track_masks(track, path, 0, 12, SIZE)
    for frame, mask in enumerate(masks):
        expected = np.zeros(path.size, np.uint8)
        mask.paint(expected, tuple(path.regions[frame, :2].astype(int)))
        assert np.array_equal(drawn[frame], expected)


def test_masks_between_pixels_are_interpolated():
    mask = Mask.filled((10, 10, 14, 14))
    track = Track(1, "a", [0], [mask.place], 1.0, [mask])
    path = CropPath([[8.25, 8.5, 18.25, 18.5]])
    (drawn,) = track_masks(track, path, 0, 1, SIZE)
    assert drawn[4, :8].tolist() == [0, 64, 255, 255, 255, 191, 0, 0]
    assert drawn[:8, 3].tolist() == [0, 128, 255, 255, 255, 128, 0, 0]


def test_in_a_gap_masks_go_over_into_each_other():
    masks = [Mask.filled((20, 40, 40, 60)), Mask.filled((50, 40, 70, 60))]
    track = Track(1, "a", [0, 3], [mask.place for mask in masks], 1.0, masks)
    drawn = track_masks(track, everywhere(4), 0, 4, SIZE, CropSettings(smoothing=0))
    for frame, left in enumerate((20, 30, 40, 50)):
        expected = np.zeros(SIZE, np.uint8)
        expected[40:60, left : left + 20] = 255
        assert np.array_equal(drawn[frame], expected)
    half = [masks[0], Mask.filled((50, 40, 60, 60))]
    track = Track(1, "a", [0, 2], [(20, 40, 40, 60), (50, 40, 70, 60)], 1.0, half)
    (middle,) = track_masks(track, everywhere(3), 1, 2, SIZE, CropSettings(smoothing=0))
    assert middle[50, [34, 36, 44, 46, 54]].tolist() == [0, 255, 255, 128, 128]


def test_masks_that_are_carried_grow_with_their_subject():
    mask = Mask.filled((20, 40, 40, 60))
    track = Track(1, "a", [0, 2], [(20, 40, 40, 60), (20, 40, 60, 80)], 1.0, [mask, None])
    (drawn,) = track_masks(track, everywhere(3), 1, 2, SIZE, CropSettings(smoothing=0))
    rows, columns = np.nonzero(drawn > 127)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (30, 30)


def test_boxes_show_what_they_cover_of_each_pixel():
    track = Track(1, "a", [0], [(10.25, 5, 13, 7.5)])
    (drawn,) = track_masks(track, everywhere(1), 0, 1, SIZE)
    assert drawn[5:9, 9:14].tolist() == [
        [0, 191, 255, 255, 0],
        [0, 191, 255, 255, 0],
        [0, 96, 128, 128, 0],
        [0, 0, 0, 0, 0],
    ]


def test_ellipses_take_in_the_whole_head():
    track = Track(1, "a", [0], [(60, 30, 120, 90)], shape="ellipse")
    (drawn,) = track_masks(track, everywhere(1), 0, 1, SIZE)
    area = drawn.astype(float).sum() / 255
    assert area == pytest.approx(np.pi * 30 * 1.15 * 30 * 1.35, rel=0.005)
    rows, columns = np.nonzero(drawn)
    assert (columns.min(), columns.max() + 1) == pytest.approx((90 - 34.5, 90 + 34.5), abs=1)
    assert (rows.min(), rows.max() + 1) == pytest.approx((60 - 40.5, 60 + 40.5), abs=1)
    tiny = Track(1, "a", [0], [(60, 30, 60.01, 30.01)], shape="ellipse")
    assert track_masks(tiny, everywhere(1), 0, 1, SIZE).max() > 0


def test_shapes_of_jittered_boxes_are_steady():
    rng = np.random.default_rng(3)
    boxes = np.array([80, 40, 120, 80]) + rng.normal(0, 2, (60, 4))
    track = Track(1, "a", range(60), boxes, shape="ellipse")
    smooth = track_masks(track, everywhere(60), 0, 60, SIZE) > 127
    raw = track_masks(track, everywhere(60), 0, 60, SIZE, CropSettings(smoothing=0)) > 127
    changed = [np.logical_xor(masks[1:], masks[:-1]).mean() for masks in (smooth, raw)]
    assert changed[0] < 0.2 * changed[1]


# Settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("crop", "pan"),
        ("crop_factor", 0.5),
        ("crop_factor", float("nan")),
        ("aspect", 0),
        ("aspect", "wide"),
        ("smoothing", -1),
        ("ramp", -1),
        ("ramp", 1.5),
        ("max_gap", True),
        ("paste_gap", -1),
        ("size_gate", 0),
    ],
)
def test_settings_are_checked(name, value):
    error = InvalidTypeError if isinstance(value, (str, bool)) or value == 1.5 else InvalidArgumentError
    with pytest.raises(InvalidArgumentError if name == "crop" else error, match=name):
        CropSettings(**{name: value})
