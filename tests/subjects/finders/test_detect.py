"""Faces through a clip: found, followed, bridged, ended by cuts, and put into SEGS."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from places import ROOT
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.subjects import CropSettings, Detection, associate, overlap, suppress, tracks_to_segs
from segs_detailer.subjects.finders import FaceCascade, FaceDetector, FollowSettings, ShotDetector, detect_faces
from segs_detailer.video import read_clip

SAMPLE = ROOT / "examples" / "sample.mp4"
SIZE = (180, 320)


# Smallest face in the tests: theirs have about 57 pixels.
LEAST = 20


@pytest.fixture(scope="module")
def face():
    """A head with its surroundings, cut out of the sample clip, `(112, 100, 3)`."""
    frame = read_clip(SAMPLE).frames[0]
    small = cv2.resize(frame, (200, 150), interpolation=cv2.INTER_AREA)
    return small[:112, 70:170]


def ground(seed=0, size=SIZE):
    """Blurred noise: something to look at in which there is no face."""
    noise = np.random.default_rng(seed).random((*size, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 9)
    return (0.25 + 0.5 * (soft - soft.min()) / (soft.max() - soft.min())).astype(np.float32)


def clip_of(face, places, *, seed=0):
    """One frame for each place of the face's corner; None is no face."""
    frames = np.repeat(ground(seed)[None], len(places), axis=0)
    for frame, place in zip(frames, places, strict=True):
        if place is not None:
            x, y = place
            frame[y : y + face.shape[0], x : x + face.shape[1]] = face
    return frames


def box(x, y, side=20.0):
    return (float(x), float(y), float(x) + side, float(y) + side)


def at(*places):
    return [[Detection(box(*place), 5.0)] if place is not None else [] for place in places]


# Geometry of boxes


def test_overlap():
    assert overlap(box(0, 0), box(0, 0)) == 1
    assert overlap(box(0, 0), box(20, 0)) == 0
    assert overlap(box(0, 0), box(10, 0)) == pytest.approx(1 / 3)


def test_suppress_keeps_the_first_of_two():
    first, same, apart = (Detection(box(x, 0), score) for x, score in ((0, 1.0), (4, 9.0), (100, 1.0)))
    assert suppress([first, same, apart]) == [first, apart]


# Association


def test_one_subject_is_one_track():
    tracks = associate(at((0, 0), (3, 1), (6, 2), (9, 3)), [0], max_gap=2)
    assert [track.frames for track in tracks] == [[0, 1, 2, 3]]
    assert tracks[0].span == (0, 4)
    assert tracks[0].share == 1


def test_gap_is_bridged_up_to_its_limit():
    places = [(0, 0), (2, 0), None, None, (8, 0), (10, 0)]
    assert [t.frames for t in associate(at(*places), [0], max_gap=2)] == [[0, 1, 4, 5]]
    assert [t.frames for t in associate(at(*places), [0], max_gap=1)] == [[0, 1], [4, 5]]


def test_cut_ends_a_track_even_at_the_same_place():
    tracks = associate(at(*[(5, 5)] * 6), [0, 3], max_gap=5)
    assert [(t.shot, t.frames) for t in tracks] == [((0, 3), [0, 1, 2]), ((3, 6), [3, 4, 5])]


def test_two_subjects_do_not_swap():
    detections = [[Detection(box(2 * i, 0), 5.0), Detection(box(60 - 2 * i, 4), 5.0)] for i in range(8)]
    tracks = associate(detections, [0], max_gap=2)
    assert len(tracks) == 2
    assert [t.detections[-1].box[0] for t in tracks] == [14.0, 46.0]


def test_labels_do_not_mix():
    detections = [[Detection(box(0, 0), 5.0, "face")], [Detection(box(0, 0), 5.0, "hand")]]
    assert [t.label for t in associate(detections, [0], max_gap=2)] == ["face", "hand"]


# Shots


def test_cuts_are_found_and_pans_are_not():
    cuts = ShotDetector()
    wide = ground(0, (180, 900))
    frames = [wide[:, x : x + 320] for x in range(0, 300, 20)] + [0.3 * ground(5)] * 6 + [ground(8) * [1, 0.3, 0.3]] * 4
    begins = [i for i, frame in enumerate(frames) if cuts.begins_shot(np.ascontiguousarray(frame, np.float32))]
    assert begins == [0, 15, 21]


# Faces


def test_cascade_finds_the_face_where_it_is(face):
    frame = clip_of(face, [(120, 40)])[0]
    cascade = FaceCascade(SIZE, LEAST)
    found = cascade.search(cascade.reduced(frame))
    assert len(found) == 1
    x1, y1, x2, y2 = found[0].box
    assert (x1, y1, x2, y2) == pytest.approx((138, 45, 198, 105), abs=6)


@pytest.mark.parametrize("gray", [0.0, 0.5, 1.0])
def test_face_before_a_plain_background_is_found(gray):
    # Most of the picture is of one shade, as behind titles and in letterboxes.
    frames = np.full((12, 540, 960, 3), gray, np.float32)
    for frame, picture in zip(frames, read_clip(SAMPLE).frames, strict=False):
        frame[150:450, 450:850] = cv2.resize(picture, (400, 300), interpolation=cv2.INTER_AREA)

    tracks = FaceDetector().find(frames)

    assert [(track.span, track.shot, track.shape) for track in tracks] == [((0, 12), (0, 12), "ellipse")]
    assert len(tracks[0].frames) == 12
    x1, y1, x2, y2 = tracks[0].boxes[0]
    assert 610 <= x1 < x2 <= 760
    assert 155 <= y1 < y2 <= 290


def test_sample_clip_has_one_face_through_all_frames():
    frames = read_clip(SAMPLE).frames
    size, segs = detect_faces(frames)
    assert size == (360, 480)
    (seg,) = segs
    assert seg.label == "face"
    assert seg.cropped_mask.shape[0] == len(frames)
    assert seg.cropped_mask.any(axis=(1, 2)).all()
    x1, y1, x2, y2 = seg.crop_region
    assert seg.cropped_mask.shape[1:] == (y2 - y1, x2 - x1)
    assert 0 <= x1 <= seg.bbox[0] < seg.bbox[2] <= x2 <= 480
    assert 0 <= y1 <= seg.bbox[1] < seg.bbox[3] <= y2 <= 360


def test_moving_face_is_one_seg_whose_masks_move_with_it(face):
    places = [(5 + 6 * i, 30) for i in range(24)]
    _, segs = detect_faces(clip_of(face, places), min_size=LEAST)
    (seg,) = segs
    x1 = seg.crop_region[0]
    centers = [np.nonzero(mask)[1].mean() + x1 for mask in seg.cropped_mask]
    expected = np.array([x + 48 for x, _ in places])
    assert np.abs(np.array(centers) - expected).max() < 12
    assert seg.bbox[2] - seg.bbox[0] > 6 * 23


def test_face_of_a_part_of_the_clip_has_empty_masks_elsewhere(face):
    places = [(100, 40)] * 20 + [None] * 30
    _, segs = detect_faces(clip_of(face, places), FollowSettings(max_gap=4), min_size=LEAST)
    (seg,) = segs
    shown = seg.cropped_mask.any(axis=(1, 2))
    assert shown[:20].all()
    assert not shown[20:].any()


def test_a_face_that_is_away_for_a_moment_is_one_and_not_painted_then(face):
    clip = clip_of(face, [(100, 40)] * 12 + [None] * 5 + [(100, 40)] * 12)
    (seg,) = detect_faces(clip, min_size=LEAST)[1]
    shown = seg.cropped_mask.any(axis=(1, 2))
    assert shown[:12].all()
    assert not shown[12:17].any()
    assert shown[20:].all()
    filled = CropSettings(crop="fixed", paste_gap=12)
    (seg,) = detect_faces(clip, min_size=LEAST, crop=filled)[1]
    assert seg.cropped_mask.any(axis=(1, 2)).all()


def test_cut_makes_two_subjects(face):
    frames = np.concatenate([clip_of(face, [(60, 40)] * 12), 1 - clip_of(1 - face, [(180, 30)] * 12, seed=4)])
    _, segs = detect_faces(frames, min_size=LEAST)
    assert len(segs) == 2
    spans = [np.flatnonzero(seg.cropped_mask.any(axis=(1, 2))) for seg in segs]
    assert [(int(s[0]), int(s[-1])) for s in spans] == [(0, 11), (12, 23)]


def test_what_is_seen_for_a_moment_only_is_dropped(face):
    places = [None] * 20 + [(100, 40)] * 2 + [None] * 20
    assert detect_faces(clip_of(face, places), FollowSettings(max_gap=2), min_size=LEAST)[1] == []


def test_single_image(face):
    assert len(detect_faces(clip_of(face, [(100, 40)]), min_size=LEAST)[1]) == 1
    assert detect_faces(ground()[None])[1] == []


def test_no_frames():
    assert detect_faces(np.empty((0, 90, 120, 3), np.float32)) == ((90, 120), [])


def test_crop_factor_drop_size_and_shape(face):
    frames = clip_of(face, [(100, 40)] * 3)
    tracks = FaceDetector(min_size=LEAST).find(frames)
    wide = tracks_to_segs(tracks, SIZE, 3, CropSettings(crop="fixed", crop_factor=2.5))[1][0]
    tight = tracks_to_segs(tracks, SIZE, 3, CropSettings(crop="fixed", crop_factor=1.2))[1][0]
    assert wide.crop_region[2] - wide.crop_region[0] > 1.9 * (tight.crop_region[2] - tight.crop_region[0])
    assert FaceDetector(min_size=LEAST).find(frames, FollowSettings(drop_size=500)) == []
    square = detect_faces(frames, FollowSettings(shape="box"), min_size=LEAST)[1][0]
    x1, y1, x2, y2 = square.bbox
    assert abs(int((square.cropped_mask[0] > 0).sum()) - (x2 - x1) * (y2 - y1)) < 4 * (x2 - x1)


def test_crops_of_moving_faces_follow_if_asked(face):
    frames = clip_of(face, [(5 + 6 * i, 30) for i in range(24)])
    (fixed,) = detect_faces(frames, min_size=LEAST, crop=CropSettings(crop="fixed", crop_factor=1.5))[1]
    (moving,) = detect_faces(frames, min_size=LEAST, crop=CropSettings(crop_factor=1.5))[1]
    assert type(fixed.crop_region) is tuple
    assert moving.crop_region.regions[-1, 0] - moving.crop_region.regions[0, 0] > 90
    assert moving.cropped_mask.shape[1:] == moving.crop_region.size
    assert moving.crop_region.size[1] < 0.7 * fixed.cropped_mask.shape[2]
    covered = (moving.cropped_mask > 128).mean(axis=(1, 2))
    assert covered.min() > 0.9 * covered.max()


def test_progress_may_cancel(face):
    frames = clip_of(face, [(100, 40)] * 6)
    seen = []
    detect_faces(frames, progress=seen.append)
    assert seen == [1, 2, 3, 4, 5, 6]

    def stop(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        detect_faces(frames, progress=stop)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (FaceDetector, "min_size", 1),
        (FollowSettings, "min_share", 2),
        (FollowSettings, "max_gap", -1),
        (CropSettings, "crop_factor", 0.5),
        (FollowSettings, "shape", "star"),
    ],
)
def test_settings_are_checked(kind, name, value):
    with pytest.raises(InvalidArgumentError, match=name):
        kind(**{name: value})


def test_frames_are_checked():
    with pytest.raises(InvalidArgumentError, match="frames"):
        detect_faces(np.zeros((4, 4, 3), np.float32))
