"""Finders of faces on real ones, and on real pictures in which nobody is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from real_faces import clip_of, picture_of, real_yunet
from segs_detailer.subjects import overlap
from segs_detailer.subjects.finders import FaceCascade, FaceDetector, FollowSettings, YuNetDetector

# Where the astronaut's face is, from the hair to the chin.
ASTRONAUT = (179, 63, 269, 175)


@pytest.fixture
def yunet():
    return YuNetDetector(real_yunet())


def moving(picture, count=20, size=(240, 320)):
    """Views that move over a picture, which fills a bit more than the frame."""
    scale = 1.3 * max(size[0] / picture.shape[0], size[1] / picture.shape[1])
    large = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    rest = np.array(large.shape[:2]) - size
    corners = np.linspace((0, 0), rest, count).astype(int)
    return [np.ascontiguousarray(large[y : y + size[0], x : x + size[1]]) for y, x in corners]


def test_a_face_and_its_points(yunet):
    ((face,),) = yunet.detect([picture_of("astronaut")])
    assert overlap(face.box, ASTRONAUT) > 0.8
    assert face.score > 0.9
    right_eye, left_eye, nose, right_corner, left_corner = face.landmarks
    # The eyes are above the nose, the mouth is below, and the person's right is on the left.
    assert right_eye[0] < nose[0] < left_eye[0]
    assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_corner[1], left_corner[1])
    assert abs(face.angle) < 15


@pytest.mark.parametrize("turn", [-20, 20])
def test_the_points_of_a_face_turn_with_it(yunet, turn):
    """By a part of what the picture is turned: YuNet sees faces more upright than they are."""
    picture = picture_of("astronaut")
    (upright,) = yunet.detect([picture])[0]
    # OpenCV turns against the clock.
    matrix = cv2.getRotationMatrix2D((224, 119), -turn, 1)
    turned = cv2.warpAffine(picture, matrix, (512, 512), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    (face,) = yunet.detect([turned])[0]
    assert 2 < (face.angle - upright.angle) / np.sign(turn) < 25


def test_exact_angles_are_those_by_which_a_face_is_turned():
    yunet = YuNetDetector(real_yunet(), exact_angles=True)
    picture = picture_of("astronaut")
    (upright,) = yunet.detect([picture])[0]
    assert abs(upright.angle) < 12
    for turn in (-120, -30, 30, 90):
        matrix = cv2.getRotationMatrix2D((225, 120), -turn, 1)
        matrix[:, 2] += (31, 136)
        turned = cv2.warpAffine(picture, matrix, (512, 512), borderMode=cv2.BORDER_REPLICATE)
        (face,) = yunet.detect([turned])[0]
        assert abs((face.angle - upright.angle - turn + 180) % 360 - 180) < 6


def test_large_frames_are_looked_at_reduced(yunet):
    picture = picture_of("astronaut")
    frame = np.full((1080, 1920, 3), 0.4, np.float32)
    frame[200:968, 500:1268] = cv2.resize(picture, (768, 768), interpolation=cv2.INTER_LINEAR)
    ((face,),) = yunet.detect([frame])
    expected = np.array(ASTRONAUT) * 1.5 + [500, 200, 500, 200]
    assert np.abs(np.array(face.box) - expected).max() < 10


@pytest.mark.parametrize("finder", ["yunet", "cascades"])
def test_a_talking_head_is_one_track(finder):
    finder = FaceDetector() if finder == "cascades" else YuNetDetector(real_yunet())
    (track,) = finder.find(iter(clip_of("carphone_pristine", 20)))
    assert track.span == (0, 20)
    assert len(track.frames) == 20


def test_nobody_is_followed_through_a_cut(yunet):
    head = clip_of("carphone_pristine", 12)
    other = moving(picture_of("astronaut"), 12, size=head.shape[1:3])
    tracks = yunet.find([*head, *other])
    assert tracks[0].span == (0, 12)
    assert [track.span[0] for track in tracks] == [0, 12]


def test_nobody_is_found_where_no_eyes_are(monkeypatch):
    frames = moving(picture_of("clock"), size=(180, 320))
    assert FaceDetector().find(frames) == []
    # The clock would look like a face.
    monkeypatch.setattr(FaceCascade, "_has_eyes", lambda self, picture, face: True)
    assert FaceDetector().find(frames)


def test_yunet_finds_nobody_either(yunet):
    """The cup is a face in some frames."""
    for name in ("gravel", "coffee"):
        frames = moving(picture_of(name), 30)
        assert yunet.find(frames) == [], name
        assert yunet.find(frames, FollowSettings(detect_every=1)) == [], name
    assert any(yunet.detect(frames))
    assert YuNetDetector(real_yunet(), confidence=0.7).find(frames, FollowSettings(detect_every=1))
