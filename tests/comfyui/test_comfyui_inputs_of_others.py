"""Boxes to SEGS and Face Landmarks to SEGS, without a ComfyUI."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from face_meshes import landmarks_of, mesh_of
from segs_detailer.comfyui.boxes import read_boxes
from segs_detailer.comfyui.landmarks import landmark_faces
from segs_detailer.crop_path import CropPath
from segs_detailer.errors import InvalidArgumentError

SIZE = (120, 200)
FRAMES = torch.rand((1, *SIZE, 3), generator=torch.Generator().manual_seed(0)).repeat(8, 1, 1, 1)
MESH_WIDGETS = {"min_share": 0.3, "max_gap": 12, "drop_size": 10, "grow": 0, "crop_factor": 1.5}


def bounding(x, y, width, height, **more):
    return {"x": x, "y": y, "width": width, "height": height, **more}


def boxes_of(value, text="[]", **changes):
    (_, segs), *_ = read_boxes(FRAMES, text, 1.5, "A", value, **changes)
    return segs


def test_boxes_for_all_frames_are_those_of_the_text():
    text = '[{"box": [20, 30, 60, 70], "label": "hand", "confidence": 0.5}, [80, 10, 130, 90]]'
    ((_, written),) = read_boxes(FRAMES, text, 1.5, "A")
    connected = boxes_of(
        [bounding(20, 30, 40, 40, label="hand", score=0.5), bounding(80, 10, 50, 80)], "[[0, 0, 9, 9]]"
    )
    assert len(written) == 2
    for one, other in zip(written, connected, strict=True):
        assert one._replace(cropped_mask=None) == other._replace(cropped_mask=None)
        assert np.array_equal(one.cropped_mask, other.cropped_mask)
    assert [seg.bbox for seg in boxes_of([(80, 10, 50, 80)])] == [(80, 10, 130, 90)]
    assert [seg.bbox for seg in boxes_of([(80, 10, 130, 90)], bbox_format="xyxy")] == [(80, 10, 130, 90)]
    assert boxes_of([]) == []


@pytest.mark.parametrize("crop", ["fixed", "follow"])
def test_boxes_for_each_frame_are_followed(crop):
    pytest.importorskip("cv2")
    frames = [[bounding(10 + 10 * t, 20, 30, 30, score=0.5), bounding(100, 70, 40, 40, label="cup")] for t in range(8)]
    frames[3] = frames[3][1:]
    frames[6] = frames[6][::-1]
    moving, still = boxes_of(frames, crop=crop)
    assert (moving.label, moving.confidence, still.label) == ("A", 0.5, "cup")
    assert still.bbox == (100, 70, 140, 110)
    assert tuple(still.crop_region) == (90, 60, 150, 120)
    assert isinstance(moving.crop_region, CropPath) == (crop == "follow")
    sizes = [int(count) for count in (moving.cropped_mask > 0.5).sum(dim=(1, 2))]
    # The missing one is bridged.
    assert sizes == [900] * 8
    if crop == "fixed":
        assert moving.bbox == (10, 20, 110, 50)


def test_which_boxes_for_each_frame_count():
    pytest.importorskip("cv2")
    frames = [[bounding(10, 20, 30, 30)] if t < 2 else [bounding(100, 70, 8, 40)] for t in range(8)]
    assert len(boxes_of(frames, drop_size=0)) == 2
    assert [seg.bbox[:2] for seg in boxes_of(frames)] == [(10, 20)]
    assert [seg.bbox[:2] for seg in boxes_of(frames, drop_size=0, min_frames=3)] == [(100, 70)]


def test_a_cut_ends_boxes():
    pytest.importorskip("cv2")
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    one = 0.2 + 0.1 * np.stack([np.sin(x / 5), np.cos(y / 7), np.sin((x + y) / 9)], -1)
    other = 0.5 + 0.4 * np.stack([np.cos(y / 3) > 0, np.sin(x / 2) > 0, np.sin(x * y / 99) > 0], -1)
    frames = torch.from_numpy(np.stack([one] * 4 + [other] * 4).astype(np.float32))
    ((_, segs),) = read_boxes(frames, "", 1.5, "A", [[bounding(10, 20, 30, 30)]] * 8)
    assert [seg.cropped_mask.any(dim=1).any(dim=1).tolist() for seg in segs] == [
        [True] * 4 + [False] * 4,
        [False] * 4 + [True] * 4,
    ]


def test_boxes_of_another_number_of_frames_are_refused():
    with pytest.raises(InvalidArgumentError, match="a list for each of 8 frames, got 3 lists"):
        boxes_of([[bounding(1, 2, 30, 40)]] * 3)


@pytest.mark.parametrize("crop", ["fixed", "follow"])
def test_a_segment_for_the_eyes_of_each_face(crop):
    pytest.importorskip("cv2")
    meshes = [[mesh_of((50 + 4 * t, 60), (30, 40)), mesh_of((150, 60), (30, 40))][:: (-1) ** t] for t in range(8)]
    ((size, segs),) = landmark_faces(landmarks_of(meshes, SIZE), FRAMES, "eyes", **MESH_WIDGETS, crop=crop)
    assert size == SIZE
    assert [seg.label for seg in segs] == ["eyes", "eyes"]
    assert [seg.confidence for seg in segs] == pytest.approx([0.9, 0.9])
    first, second = sorted(segs, key=lambda seg: seg.crop_region[0])
    # The eyes, not the face: 0.62 of its half width to both sides.
    assert second.bbox[2] - second.bbox[0] == pytest.approx(2 * 0.62 * 30, abs=2)
    assert second.crop_region[3] - second.crop_region[1] < 25
    assert isinstance(first.crop_region, CropPath) == (crop == "follow")
    areas = (first.cropped_mask > 0.5).sum(dim=(1, 2))
    assert areas.float().std() < 0.1 * areas.float().mean()
    widened = {**MESH_WIDGETS, "grow": 2}
    ((_, grown),) = landmark_faces(landmarks_of(meshes, SIZE), FRAMES, "eyes", **widened, crop=crop)
    assert sum(int(seg.cropped_mask.sum()) for seg in grown) > 1.3 * sum(int(seg.cropped_mask.sum()) for seg in segs)


def test_no_faces_are_no_segments():
    pytest.importorskip("cv2")
    assert landmark_faces(landmarks_of([[]] * 8, SIZE), FRAMES, "face", **MESH_WIDGETS) == ((SIZE, []),)
