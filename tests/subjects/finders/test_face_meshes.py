"""Faces of MediaPipe's meshes: regions, points, angles, and who is who from frame to frame."""

from __future__ import annotations

import numpy as np
import pytest

from face_meshes import IRIS_RADIUS, PARTS, SETS, ellipse, landmarks_of, mesh_of
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.subjects import CropSettings, Detection, crop_path
from segs_detailer.subjects.face_mesh import FACE_REGIONS, face_detections
from segs_detailer.subjects.finders import FollowSettings, follow_detections, follow_face_landmarks

SIZE = (180, 240)
MIDDLE, AXES = (100.0, 90.0), (50.0, 66.0)


def frames_of(count, size=SIZE):
    still = np.random.default_rng(0).random((*size, 3)).astype(np.float32)
    return [still] * count


def detected(region="face", angle=0.0, **changes):
    [[detection]] = face_detections({**landmarks_of([[mesh_of(MIDDLE, AXES, angle)]], SIZE), **changes}, region)
    return detection


def painted(mask):
    out = np.zeros(SIZE, np.uint8)
    mask.paint(out)
    return out > 0


def likeness(a, b):
    return np.count_nonzero(a & b) / np.count_nonzero(a | b)


def at(place, radii):
    middle = (MIDDLE[0] + place[0] * AXES[0], MIDDLE[1] + place[1] * AXES[1])
    return ellipse(SIZE, middle, (radii[0] * AXES[0], radii[1] * AXES[1]))


# Regions


def test_a_face_is_its_oval():
    face = detected()
    assert (face.label, face.score) == ("face", 0.9)
    assert likeness(painted(face.mask), at((0, 0), (1, 1))) > 0.98
    assert np.abs(np.array(face.box) - [50, 24, 150, 156]).max() < 1e-3


@pytest.mark.parametrize(
    ("region", "parts"),
    [("left eye", ["left_eye"]), ("right eye", ["right_eye"]), ("eyes", ["left_eye", "right_eye"]), ("lips", ["lips"])],
)
def test_rings_are_filled_also_within_the_lips(region, parts):
    expected = np.any([at(*PARTS[part]) for part in parts], axis=0)
    detection = detected(region)
    assert detection.label == region
    assert likeness(painted(detection.mask), expected) > 0.9
    # Told apart by the whole face.
    assert detection.box == detected().box


def test_irises_are_circles():
    mesh = mesh_of(MIDDLE, (60.0, 60.0))
    [[detection]] = face_detections(landmarks_of([[mesh]], SIZE), "irises")
    circles = [ellipse(SIZE, (100 + x * 60, 75.0), (60 * IRIS_RADIUS,) * 2) for x in (-0.42, 0.42)]
    assert likeness(painted(detection.mask), circles[0] | circles[1]) > 0.85


def test_eyebrows_lie_between_their_lines_and_a_nose_within_its_hull():
    brows = painted(detected("eyebrows").mask)
    rows, columns = np.nonzero(brows)
    assert (rows.min(), rows.max() + 1) == pytest.approx((90 - 0.55 * 66, 90 - 0.45 * 66), abs=1)
    assert np.count_nonzero(brows) == pytest.approx(2 * 0.55 * 50 * 0.1 * 66, rel=0.1)
    assert not brows[:, 94:106].any(), "there are two"
    nose = painted(detected("nose").mask)
    rows, columns = np.nonzero(nose)
    assert (rows.min(), columns.min()) == pytest.approx((90 - 0.3 * 66, 100 - 0.2 * 50), abs=1.5)
    # The hull of the tip holds all of it, and goes on up the bridge.
    assert not (at((0, 0.1), (0.18, 0.13)) & ~nose).any()


@pytest.mark.parametrize("region", FACE_REGIONS)
def test_every_region_is_there_whatever_holds_the_pairs(region):
    as_lists = {name: [list(pair) for pair in pairs] for name, pairs in SETS.items()}
    as_arrays = {name: np.array(sorted(pairs), np.int32) for name, pairs in SETS.items()}
    own = detected(region)
    assert own == detected(region, connection_sets=as_lists) == detected(region, connection_sets=as_arrays)


# Points and angles


@pytest.mark.parametrize("angle", [0.0, 30.0, -75.0, 160.0])
def test_points_and_angle_are_those_of_the_face(angle):
    face = detected(angle=angle)
    assert face.angle == pytest.approx(angle, abs=1e-3)
    turn = np.deg2rad(angle)
    upright = np.array([(-0.42, -0.25), (0.42, -0.25), (0.0, 0.0), (-0.36, 0.5), (0.36, 0.5)]) * AXES
    turned = upright @ np.array([(np.cos(turn), np.sin(turn)), (-np.sin(turn), np.cos(turn))]) + MIDDLE
    # The tip of the nose lies somewhere on its ridge.
    np.testing.assert_allclose(np.delete(face.landmarks, 2, 0), np.delete(turned, 2, 0), atol=1e-3)


def test_frames_of_another_size():
    landmarks = landmarks_of([[mesh_of(MIDDLE, AXES)]], SIZE)
    [[face]] = face_detections(landmarks, frame_size=(90, 480))
    assert np.abs(np.array(face.box) - [100, 12, 300, 78]).max() < 1e-3
    assert np.abs(np.array(face.landmarks[0]) - [2 * (100 - 21), (90 - 16.5) / 2]).max() < 1e-3


# Through the clip


def crossing(count=24):
    """Two faces that pass each other, whose order in the lists swaps; one is missed for some frames."""
    frames = []
    for frame in range(count):
        first = mesh_of((50 + 4 * frame, 55), (22, 28), 20.0)
        second = mesh_of((180 - 4 * frame, 125), (22, 28))
        meshes = [first] if 8 <= frame < 12 else [first, second]
        frames.append(meshes[::-1] if frame % 2 else meshes)
    return landmarks_of(frames, SIZE)


def test_faces_are_followed_whatever_their_order():
    tracks = follow_face_landmarks(frames_of(24), crossing(), region="lips")
    assert len(tracks) == 2
    first, second = sorted(tracks, key=lambda track: track.boxes[0, 0])
    assert (first.label, len(first.frames), len(second.frames)) == ("lips", 24, 20)
    assert np.diff(first.boxes[:, 0]).min() >= 3
    assert np.diff(second.boxes[:, 0]).max() < 0
    assert first.shot == (0, 24)
    for track in tracks:
        assert track.boxes.tolist() == [list(mask.place) for mask in track.masks]
        assert np.isfinite(track.landmarks).all()
    assert first.angles == pytest.approx(20.0, abs=1e-3)
    path = crop_path(first, SIZE, 24, CropSettings(upright=True))
    assert np.abs(path.angles - 20).max() < 1


def test_which_faces_count():
    landmarks = crossing()
    landmarks["frames"] = [faces if frame == 3 else [] for frame, faces in enumerate(landmarks["frames"])]
    assert follow_face_landmarks(frames_of(24), landmarks) == []
    kept = follow_face_landmarks(frames_of(24), landmarks, FollowSettings(min_frames=1))
    assert len(kept) == 2
    assert follow_face_landmarks(frames_of(24), landmarks, FollowSettings(min_frames=1, drop_size=60)) == []


def test_a_face_outside_the_frame_is_none():
    landmarks = landmarks_of([[mesh_of((400, 90), AXES), mesh_of(MIDDLE, AXES)]], SIZE)
    assert len(face_detections(landmarks)[0]) == 1


# What cannot be used


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": [[{"score": 1.0}]]}, "a face with landmarks_xy"),
        ({"frames": [[{"landmarks_xy": np.zeros((5, 2))}]]}, "at least 468"),
        ({"frames": [[{"landmarks_xy": np.full((478, 2), np.nan)}]]}, "finite points"),
        ({"frames": [{}]}, "a list of faces"),
        ({"connection_sets": {"lips": SETS["lips"]}}, "face_oval, for the region face, got lips"),
        ({"connection_sets": {"face_oval": []}}, "face_oval: expected pairs of points"),
        ({"connection_sets": None}, "connection_sets: expected a dict"),
        ({"image_size": (0, 5)}, "image_size"),
    ],
)
def test_what_cannot_be_used_is_named(changes, message):
    with pytest.raises((InvalidArgumentError, InvalidTypeError), match=message):
        detected(**changes)


def test_what_is_something_else_is_refused():
    with pytest.raises(InvalidTypeError, match="FACE_LANDMARKS of MediaPipe"):
        face_detections([1])
    with pytest.raises(InvalidArgumentError, match="none of image_size, connection_sets"):
        face_detections({"frames": []})
    with pytest.raises(InvalidArgumentError, match=r"did you mean lips"):
        detected("lip")
    with pytest.raises(InvalidArgumentError, match=r"face_landmarks: expected those of each of 20 frames, got of 24"):
        follow_face_landmarks(frames_of(20), crossing())
    with pytest.raises(InvalidArgumentError, match=r"expected those of each of at least 25 frames, got of 24"):
        follow_face_landmarks(frames_of(30), crossing())


def test_detections_of_several_labels_are_followed_apart():
    detections = [
        [
            Detection((10 + 2 * t, 20, 40 + 2 * t, 60), 0.5 + 0.01 * t, "hand"),
            Detection((100, 90, 140, 150), 1.0, "cup"),
        ]
        for t in range(12)
    ]
    tracks = follow_detections(frames_of(12), detections, FollowSettings(detect_every=6))
    assert [(track.label, track.span) for track in tracks] == [("hand", (0, 12)), ("cup", (0, 12))]
    assert tracks[0].confidence.tolist() == pytest.approx([0.5 + 0.01 * t for t in range(12)])
