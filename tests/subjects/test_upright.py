"""Crops that turn with their subjects: angles found and smoothed, what the crops hold and show, SEGS and files."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segs_detailer.crop_path import CropPath, part_of_frames, place_of, quad_at
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, MediaError
from segs_detailer.ops import crop_frames
from segs_detailer.segs import SEG, scale_match
from segs_detailer.subjects import (
    CropSettings,
    Mask,
    Track,
    Tracks,
    crop_path,
    read_tracks,
    subject_box,
    track_masks,
    tracks_from_segs,
    tracks_to_segs,
    write_tracks,
)
from segs_detailer.subjects.angles import mask_lean, smooth_angles

SIZE = (240, 320)
UPRIGHT = CropSettings(upright=True, ramp=0)


def faces(angles, *, box=(140, 100, 180, 140), **more):
    """A face that stays where it is, turned by these angles; NaN is not known."""
    count = len(angles)
    return Track(1, "face", range(count), [box] * count, angles=angles, shape="ellipse", **more)


def bar(angle, length=80, width=24, middle=(160.0, 120.0)):
    """The mask of a bar that leans by degrees clockwise from the vertical."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    lean = np.deg2rad(angle)
    along = np.sin(lean) * (x - middle[0]) - np.cos(lean) * (y - middle[1])
    across = np.cos(lean) * (x - middle[0]) + np.sin(lean) * (y - middle[1])
    shares = [np.clip(side / 2 - np.abs(places) + 0.5, 0, 1) for side, places in ((length, along), (width, across))]
    return Mask.from_pixels(shares[0] * shares[1])


def bars(angles, **more):
    masks = [bar(angle, **more) for angle in angles]
    return Track(1, "person", range(len(angles)), [mask.place for mask in masks], masks=masks)


def known(track, **more):
    count = int(track.frames[-1]) + 1
    return smooth_angles(track, SIZE, count, CropSettings(upright=True, ramp=0, **more))


# Angles


def test_a_steady_turn_is_followed_without_lag_through_full_turns():
    truth = np.arange(120) * 7.0
    _, angles = known(faces((truth + 180) % 360 - 180))
    np.testing.assert_allclose(angles, truth, atol=1e-3)


@pytest.mark.parametrize("still", [170.0, -180.0, 90.0])
def test_faces_on_their_side_or_upside_down_rest_in_spite_of_noise(still):
    noisy = still + np.random.default_rng(0).normal(0, 1.5, 100)
    _, angles = known(faces((noisy + 180) % 360 - 180))
    assert np.abs((angles - still + 180) % 360 - 180).max() < 1.5
    assert np.abs(np.diff(angles)).max() < 0.3


def test_wrong_and_missing_angles_are_bridged():
    truth = 3.0 * np.arange(60)
    seen = (truth + 180) % 360 - 180
    seen[30] += 140
    seen[[5, 20, 21, 22]] = np.nan
    frames, angles = known(faces(seen))
    assert frames.tolist() == list(range(60))
    np.testing.assert_allclose(angles, truth, atol=0.5)


def test_an_unknown_angle_of_frames_without_detection_is_between_those_around():
    frames = [*range(10), *range(16, 30)]
    track = Track(1, "face", frames, [(140, 100, 180, 140)] * len(frames), angles=np.array(frames, float))
    found, angles = known(track)
    assert found.tolist() == list(range(30))
    np.testing.assert_allclose(angles, np.arange(30), atol=0.3)


@given(st.floats(-89, 89), st.floats(1.3, 4.0))
@settings(max_examples=30, deadline=None)
def test_the_axis_of_a_mask(angle, longer):
    found, elongation = mask_lean(bar(angle, length=40 * longer, width=40))
    assert abs((found - angle + 90) % 180 - 90) < 1.5
    assert elongation == pytest.approx(longer, rel=0.1)


def test_masks_that_are_about_as_long_as_wide_say_nothing():
    frames, angles = known(bars([30.0] * 8, length=40, width=36))
    assert len(frames) == len(angles) == 0
    assert not known(Track(1, "a", [0], [(0, 0, 9, 9)]))[0].size


def test_of_the_axes_of_a_mask_the_one_next_to_the_vertical_is_upright():
    for lean in (0.0, 20.0, -40.0):
        np.testing.assert_allclose(known(bars([lean] * 5))[1], lean, atol=1)
        # A bar that lies has its short axis upright.
        np.testing.assert_allclose(known(bars([lean + 90] * 5))[1], lean, atol=1)


def test_a_mask_that_leans_more_and_more_is_followed_beyond_the_diagonal():
    truth = np.linspace(0, 80, 40)
    np.testing.assert_allclose(known(bars(truth), smoothing=2.0)[1], truth, atol=1.5)


# Paths


@given(st.integers(0, 2**32 - 1), st.sampled_from(["follow", "fixed"]), st.sampled_from([1.0, 1.5, 3.0, 20.0]))
@settings(max_examples=40, deadline=None)
def test_any_turned_crop_is_of_one_size_and_holds_its_subject(seed, crop, factor):
    rng = np.random.default_rng(seed)
    count = 12
    corners = rng.uniform(0, 200, 2) + np.cumsum(rng.normal(0, 4, (count, 2)), axis=0)
    boxes = np.concatenate([corners, corners + rng.uniform(10, 90, 2)], axis=1)
    boxes = np.clip(boxes, -20, [330, 250, 340, 260])
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 5)
    angles = rng.uniform(-180, 180) + np.cumsum(rng.normal(0, 8, count))
    track = Track(1, "a", range(count), boxes, angles=angles)
    if not ((boxes[:, 2:] > 1).all() and (boxes[:, :2] < [SIZE[1] - 1, SIZE[0] - 1]).all()):
        return
    chosen = CropSettings(crop=crop, crop_factor=factor, upright=True, ramp=0, smoothing=0.0)
    path = crop_path(track, SIZE, count, chosen)
    assert path.is_turned
    masks = track_masks(track, path, 0, count, SIZE, chosen)
    height, width = path.size
    for frame in range(count):
        low = np.clip(boxes[frame, :2], 0, SIZE[::-1])
        high = np.clip(boxes[frame, 2:], 0, SIZE[::-1])
        own = np.array([[x, y] for x in (low[0], high[0]) for y in (low[1], high[1])]) - path.middles[frame]
        lean = np.deg2rad(-path.angles[frame])
        own = own @ np.array([[np.cos(lean), np.sin(lean)], [-np.sin(lean), np.cos(lean)]])
        assert (np.abs(own) <= np.array([width, height]) / 2 + 2e-3).all()
        # A subject that is all in the frame is shown with all of its area.
        if (boxes[frame] == [*low, *high]).all():
            area = float(np.prod(high - low))
            assert masks[frame].sum() / 255 == pytest.approx(area, rel=0.02, abs=8)


def test_without_angles_or_with_angles_of_0_the_path_is_the_same_to_the_bit():
    boxes = [(20 + 3 * f, 40 + (f % 3), 60 + 3 * f, 90) for f in range(30)]
    for crop in ("follow", "fixed"):
        plain, upright = (CropSettings(crop=crop, upright=value) for value in (False, True))
        for angles in (None, np.zeros(30), np.full(30, np.nan)):
            track = Track(1, "face", range(30), boxes, angles=angles)
            path = crop_path(track, SIZE, 30, upright)
            assert path == crop_path(track, SIZE, 30, plain)
            assert place_of(path).shape == (30, 4)
            whole = track_masks(track, path, 0, 30, SIZE, upright)
            assert np.array_equal(whole, track_masks(track, path, 0, 30, SIZE, plain))


def test_a_face_on_its_side_has_a_crop_and_an_ellipse_along_its_own_axes():
    # As wide as high is a head in profile: on its side, the box of this one is wider than high.
    track = faces(np.full(9, 90.0), box=(130, 100, 190, 140))
    path = crop_path(track, SIZE, 9, UPRIGHT)
    assert path.size == (180, 120)
    np.testing.assert_allclose(path.boxes[0], [70, 60, 250, 180])
    mask = track_masks(track, path, 4, 5, SIZE, UPRIGHT)[0] > 127
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    # 60 by 40, as much larger as a head is than its face: along its own axes.
    assert abs(len(columns) - 46) <= 1
    assert abs(len(rows) - 81) <= 1
    box = subject_box(track, path, SIZE, UPRIGHT)
    assert (box[2] - box[0], box[3] - box[1]) == (40, 60)
    assert [a - b for a, b in zip(box, path, strict=False)][:2] == [40, 60]


def test_a_crop_at_the_frames_edge_is_moved_into_it_as_far_as_it_turns():
    # As far as it still holds the subject, which is in the corner.
    path = crop_path(faces(np.full(9, 30.0), box=(0, 0, 40, 40)), SIZE, 9, UPRIGHT)
    assert (path.middles > 35).all()
    path = crop_path(
        faces(np.full(9, 30.0), box=(100, 40, 120, 60)), SIZE, 9, CropSettings(upright=True, crop_factor=4)
    )
    assert path.boxes.min() == pytest.approx(0)
    path = crop_path(faces(np.full(9, 30.0), box=(20, 20, 300, 220)), SIZE, 9, UPRIGHT)
    assert (np.abs(path.middles - (160, 120)) < 40).all()


def test_masks_are_seen_from_the_turned_crop():
    angles = np.linspace(0, 60, 13)
    track = bars(angles)
    chosen = CropSettings(upright=True, ramp=0, smoothing=1.0)
    path = crop_path(track, SIZE, 13, chosen)
    masks = track_masks(track, path, 0, 13, SIZE, chosen)
    for mask in masks:
        # Upright as in the crop of the first frame.
        assert mask_lean(Mask.from_pixels(mask))[0] == pytest.approx(0, abs=1.5)
        assert mask.sum() / 255 == pytest.approx(masks[0].sum() / 255, rel=0.05)
    pictures = np.zeros((13, *SIZE, 1), np.float32)
    for picture, mask in zip(pictures, track.masks, strict=True):
        x1, y1, x2, y2 = mask.place
        picture[y1:y2, x1:x2, 0] = mask.pixels() / 255
    crops = crop_frames(pictures, place_of(path))[..., 0]
    assert np.abs(crops - masks / 255).mean() < 0.01
    part = track_masks(track, path, 5, 9, SIZE, chosen)
    assert np.array_equal(part, masks[5:9])


def test_carried_masks_turn_with_their_subject():
    angles = np.linspace(0, 60, 13)
    whole = bars(angles)
    kept = [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12]
    masks = [whole.masks[i] for i in kept]
    track = Track(1, "person", kept, [mask.place for mask in masks], masks=masks)
    chosen = CropSettings(upright=True, ramp=0, smoothing=1.0)
    path = crop_path(track, SIZE, 13, chosen)
    shown = track_masks(track, path, 6, 7, SIZE, chosen)[0]
    assert mask_lean(Mask.from_pixels(shown))[0] == pytest.approx(0, abs=2)


# Paths as values


TURNED = CropPath([(10.5, 20, 50.5, 50)] * 3, [1, 0.5, 0], [0, 30, -200.5])


def test_a_path_carries_its_angles():
    assert TURNED.is_turned
    assert pickle.loads(pickle.dumps(TURNED)) == TURNED
    plain = CropPath(TURNED.regions, TURNED.alpha)
    assert plain != TURNED
    assert hash(plain) != hash(TURNED)
    assert plain == CropPath(TURNED.regions, TURNED.alpha, [0, -0.0, 0])
    assert hash(plain) == hash(CropPath(TURNED.regions, TURNED.alpha, [0, -0.0, 0]))
    assert TURNED.part(1, 3).angles.tolist() == [30, -200.5]
    assert place_of(TURNED)[1].tolist() == [10.5, 20, 50.5, 50, 30]
    twice = TURNED.scaled((100, 100), (200, 200))
    assert twice.angles.tolist() == TURNED.angles.tolist()
    assert twice.regions[0].tolist() == [21, 40, 101, 100]
    wide = CropPath([(0, 0, 10, 10)] * 3, None, [45, 90, -360]).scaled((100, 100), (100, 200))
    np.testing.assert_allclose(wide.angles, [np.degrees(np.arctan(2)), 90, -360])


def test_a_part_of_a_turned_crop_lies_where_the_crop_shows_it():
    frames = np.random.default_rng(0).random((3, 80, 90, 3), dtype=np.float32)
    inner = TURNED.within((4, 3, 30, 20))
    assert inner.size == (17, 26)
    crops, parts = crop_frames(frames, place_of(TURNED)), crop_frames(frames, place_of(inner))
    np.testing.assert_allclose(parts, crops[:, 3:20, 4:30], atol=1e-5)


def test_where_a_turned_crop_lies():
    path = CropPath([(0, 0, 40, 20)] * 2, None, [90, 0])
    np.testing.assert_allclose(path.boxes, [[10, -10, 30, 30], [0, 0, 40, 20]])
    np.testing.assert_allclose(quad_at(path, 0), [(30, -10), (30, 30), (10, 30), (10, -10)], atol=1e-12)
    assert quad_at(path, 1) == [(0, 0), (40, 0), (40, 20), (0, 20)]
    # Turned by 45 degrees it passes the frame's corner, though the boxes overlap.
    corner = CropPath([(-40, -20, 0, 0)] * 2, None, [0, 45])
    assert part_of_frames(corner, (100, 100)).tolist() == [False, False]
    assert part_of_frames(CropPath([(-30, -15, 10, 5)] * 2, None, [0, 45]), (100, 100)).tolist() == [True, True]


@pytest.mark.parametrize(
    ("angles", "error", "message"),
    [
        ([0, 1], InvalidArgumentError, r"angles: expected shape \(3,\), got shape \(2,\)"),
        ([0, 1, np.nan], InvalidArgumentError, "angles: expected degrees of at most 1e.06"),
        ([0, 1, 1e9], InvalidArgumentError, "angles: expected degrees"),
        ("abc", InvalidTypeError, r"angles: expected \(3,\) numbers"),
    ],
)
def test_angles_that_cannot_be_used(angles, error, message):
    with pytest.raises(error, match=message):
        CropPath([(0, 0, 4, 4)] * 3, None, angles)


# SEGS and files


def test_segs_of_turned_crops_become_the_same_tracks_again():
    track = bars(np.linspace(10, 50, 8))
    chosen = CropSettings(upright=True, ramp=0)
    segs = tracks_to_segs([track], SIZE, 8, chosen)
    (seg,) = segs[1]
    assert isinstance(seg, SEG)
    assert seg.crop_region.is_turned
    assert seg.cropped_mask.shape == (8, *seg.crop_region.size)
    (again,) = tracks_from_segs(segs)
    for mask, own in zip(again.masks, track.masks, strict=True):
        a, b = (np.zeros(SIZE, np.uint8) for _ in range(2))
        mask.paint(a)
        own.paint(b)
        assert np.abs(a.astype(int) - b).mean() < 1.5
    assert crop_path(again, SIZE, 8, CropSettings()) == seg.crop_region
    scaled = scale_match(segs, (8, 480, 640, 3))[1][0].crop_region
    np.testing.assert_allclose(scaled.angles, seg.crop_region.angles)


@pytest.mark.parametrize("name", ["t.npz", "t.safetensors"])
def test_archives_keep_turned_paths(tmp_path, name):
    pytest.importorskip("safetensors")
    track = Track(1, "face", [0, 1, 2], [(10, 20, 30, 40)] * 3, crop_region=TURNED, bbox=(10, 20, 30, 40))
    plain = Track(2, "face", [0], [(1, 2, 3, 4)], crop_region=CropPath([(0, 0, 9, 9)] * 3), bbox=(1, 2, 3, 4))
    for tracks in ((track, plain), (plain,)):
        write_tracks(tmp_path / name, Tracks(SIZE, 3, tracks), overwrite=True)
        read = read_tracks(tmp_path / name)
        assert read.tracks == tracks
        assert [t.crop_region for t in read] == [t.crop_region for t in tracks]


@pytest.mark.parametrize("name", ["t.csv", "t.json"])
def test_boxes_have_angles(tmp_path, name):
    track = Track(1, "face", [0, 1, 2], [(10, 20, 30, 40)] * 3, angles=[-12.5, np.nan, 180])
    write_tracks(tmp_path / name, Tracks(SIZE, 3, (track,)), format=None if name == "t.csv" else "boxes")
    (read,) = read_tracks(tmp_path / name, size=SIZE)
    np.testing.assert_array_equal(read.angles, track.angles)


def test_a_table_with_angles(tmp_path):
    (tmp_path / "t.csv").write_text("frame,x1,y1,x2,y2,Angle\n0,1,2,9,9,30\n1,1,2,9,9,\n")
    (track,) = read_tracks(tmp_path / "t.csv", size=SIZE)
    np.testing.assert_array_equal(track.angles, [30, np.nan])
    (tmp_path / "t.csv").write_text("frame,x1,y1,x2,y2,angle\n0,1,2,9,9,steep\n")
    with pytest.raises(MediaError, match="line 2: angle: expected a number, got 'steep'"):
        read_tracks(tmp_path / "t.csv", size=SIZE)
