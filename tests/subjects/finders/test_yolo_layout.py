"""How YOLO models see a frame, and what their outputs mean."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")

from tiny_detectors import picture

from segs_detailer.errors import ModelError
from segs_detailer.subjects.finders.letterbox import Letterbox
from segs_detailer.subjects.finders.yolo_layout import ModelNotes, choose_layout, read_candidates, read_notes

# Letterbox


@pytest.mark.parametrize(
    ("box", "inner", "outer"),
    [
        (Letterbox.fixed((100, 200), (64, 64)), (32, 64), (64, 64)),
        (Letterbox.fixed((200, 100), (64, 64)), (64, 32), (64, 64)),
        (Letterbox.fixed((31, 63), (96, 128)), (63, 128), (96, 128)),
        (Letterbox.fixed((1, 4000), (64, 64)), (1, 64), (64, 64)),
        (Letterbox.smallest((1080, 1920), 640, 32), (360, 640), (384, 640)),
        (Letterbox.smallest((640, 640), 640, 32), (640, 640), (640, 640)),
    ],
)
def test_frames_keep_their_proportions(box, inner, outer):
    assert (box.inner, box.outer) == (inner, outer)


def test_letterbox_puts_the_frame_in_the_middle_of_gray_and_boxes_come_back():
    frame = picture([("red", 16, 16, 32)], size=(64, 128))
    box = Letterbox.fixed((64, 128), (128, 128))
    (stacked,) = box.stack([frame])
    assert stacked.shape == (3, 128, 128)
    assert np.allclose(stacked[:, :32], 114 / 255)
    assert np.allclose(stacked[:, 96:], 114 / 255)
    assert np.allclose(np.moveaxis(stacked[:, 32:96], 0, -1), frame, atol=1e-6)
    rows, columns = np.nonzero(stacked[0] > 0.9)
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert box.to_frame(np.array([found], float)).tolist() == [[16, 16, 48, 48]]


# Layouts


@pytest.mark.parametrize(
    ("shape", "notes", "size", "layout"),
    [
        # As real exports have them, with and without names.
        ((1, 25200, 85), ModelNotes(("x",) * 80), (640, 640), "objectness"),
        ((1, 25200, 85), ModelNotes(), (640, 640), "objectness"),
        ((1, 84, 8400), ModelNotes(("x",) * 80, suppressed=False), (640, 640), "scores"),
        ((1, 84, 8400), ModelNotes(), (640, 640), "scores"),
        ((1, 5, 8400), ModelNotes(("face",), suppressed=False), (640, 640), "scores"),
        ((1, 84, 525), ModelNotes(("x",) * 80), (160, 160), "scores"),
        ((1, 300, 6), ModelNotes(("x",) * 80, suppressed=True), (640, 640), "suppressed"),
        ((1, 300, 6), ModelNotes(("x",) * 80), (640, 640), "suppressed"),
        ((1, 300, 6), ModelNotes(), (640, 640), "suppressed"),
        # One class: YOLOv5's rows have six columns too, and its grids tell it.
        ((1, 25200, 6), ModelNotes(("face",)), (640, 640), "objectness"),
        ((1, 25200, 6), ModelNotes(), (640, 640), "objectness"),
        ((1, 300, 6), ModelNotes(("face",)), (640, 640), "suppressed"),
        ((1, 5, 100), ModelNotes(("face",)), (80, 80), "scores"),
        # Mask coefficients and key points lie behind the classes.
        ((1, 116, 8400), ModelNotes(("x",) * 80, task="segment"), (640, 640), "scores"),
        ((1, 56, 8400), ModelNotes(("person",), task="pose"), (640, 640), "scores"),
        ((1, 300, 38), ModelNotes(("x",) * 80, task="segment", suppressed=True), (640, 640), "suppressed"),
        ((1, 300, 38), ModelNotes(("x",), task="segment", suppressed=True), (640, 640), "suppressed"),
        ((1, 25200, 117), ModelNotes(("x",) * 80, task="segment"), (640, 640), "objectness"),
    ],
)
def test_layouts_of_real_exports_are_told_apart(shape, notes, size, layout):
    assert choose_layout(shape, notes, size) == layout


@pytest.mark.parametrize(
    ("shape", "notes"),
    [
        ((1, 1000), ModelNotes(task="classify")),
        ((1, 85, 525), ModelNotes(("x",) * 80, task="obb")),
        ((1, 300, 6), ModelNotes(("x",) * 80, head="RTDETRDecoder")),
        ((1, 90, 8400), ModelNotes(("x",) * 80)),
        ((1, 3, 80, 80, 85), ModelNotes(("x",) * 80)),
        ((1, 116, 8400), ModelNotes(task="segment")),
        ((1, 300, 84), ModelNotes(("x",) * 80, suppressed=True)),
    ],
)
def test_what_is_no_known_layout_is_an_error(shape, notes):
    with pytest.raises(ModelError, match="none of the known ones"):
        choose_layout(shape, notes, (640, 640))


def test_notes_of_an_export_are_read():
    notes = read_notes(
        {
            "names": "{0: 'person', 1: \"bird's eye\"}",
            "imgsz": "[480, 640]",
            "stride": "64",
            "task": "segment",
            "end2end": "False",
            "args": "{'nms': True}",
            "head": "Segment",
        }
    )
    assert notes == ModelNotes(("person", "bird's eye"), 640, 64, "segment", True, "Segment")


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"names": "}{"},
        {"names": "__import__('os').getcwd()", "imgsz": "x", "stride": "-1"},
        {"names": "{0: 'a', 2: 'b'}", "imgsz": "[]", "stride": "None"},
        {"names": "(" * 9000},
        {"names": "1", "imgsz": "{}", "args": "[1"},
    ],
)
def test_notes_that_make_no_sense_are_none(metadata):
    assert read_notes(metadata) == ModelNotes()


def test_candidates_are_the_same_in_each_layout():
    boxes = np.array([[20.0, 30, 8, 12], [60, 40, 10, 10]])
    scores = np.array([[0.1, 0.8], [0.6, 0.2]])
    v8 = read_candidates(np.concatenate([boxes, scores], axis=1).T, "scores", 2, 0.3)
    v5 = read_candidates(np.concatenate([boxes, np.ones((2, 1)), scores], axis=1), "objectness", 2, 0.3)
    rows = [[55, 35, 65, 45, 0.6, 0], [16, 24, 24, 36, 0.8, 1], [0, 0, 0, 0, 0, 0]]
    inside = read_candidates(np.array(rows), "suppressed", 2, 0.3)
    for found in (v8, v5, inside):
        assert found.boxes.tolist() == [[16, 24, 24, 36], [55, 35, 65, 45]]
        assert found.scores.tolist() == [0.8, 0.6]
        assert found.classes.tolist() == [1, 0]


def test_objectness_counts():
    rows = np.array([[20.0, 30, 8, 12, 0.5, 0.9], [60, 40, 10, 10, 1.0, 0.5]])
    assert read_candidates(rows, "objectness", 1, 0.4).scores.tolist() == [0.5, 0.45]


def test_columns_behind_the_classes_are_left_aside():
    rows = np.array([[20.0, 30, 8, 12, 0.2, 0.4, 9.0, 9.0]])
    assert read_candidates(rows.T, "scores", 2, 0.1).classes.tolist() == [1]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_an_error(value):
    rows = np.array([[20.0, 30, 8, 12, value], [60, 40, 10, 10, 0.1]])
    with pytest.raises(ModelError, match="not finite"):
        read_candidates(rows.T, "scores", 1, 0.3)
