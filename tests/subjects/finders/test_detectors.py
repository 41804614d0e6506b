"""Detectors that run a model: what they find, in pixels of the frame, and how they say that they cannot."""

from __future__ import annotations

import builtins
import sys
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from places import ROOT

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import tiny_detectors
from tiny_detectors import picture

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, MissingDependencyError, ModelError
from segs_detailer.subjects import overlap
from segs_detailer.subjects.finders import (
    FaceDetector,
    FollowSettings,
    UltralyticsDetector,
    YoloDetector,
    YuNetDetector,
    open_finder,
)
from segs_detailer.subjects.finders.yolo import _providers

SAMPLE = ROOT / "examples" / "sample.mp4"
SQUARES = [("red", 32, 40, 24), ("blue", 80, 8, 24)]
LAYOUTS = ["v5", "v8", "end2end"]
SURE = 0.5


def summary(detections):
    return [(each.label, tuple(np.round(each.box, 2).tolist())) for each in detections]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("extra", [0, 5])
def test_squares_are_found_in_each_layout(tmp_path, layout, extra):
    task = {"task": "segment", "end2end": str(layout == "end2end")} if extra else {}
    path = tiny_detectors.yolo(tmp_path / "a.onnx", layout=layout, extra_columns=extra, metadata=task)
    detector = open_finder(path, confidence=SURE)
    assert isinstance(detector, YoloDetector)
    assert detector.names == ("red", "green", "blue")
    (found,) = detector.detect([picture(SQUARES)])
    assert sorted(summary(found)) == [("blue", (80, 8, 104, 32)), ("red", (32, 40, 56, 64))]
    assert found[0].score >= found[1].score > SURE
    assert all(each.strong for each in found)


@pytest.mark.parametrize("layout", ["v5", "v8"])
def test_one_subject_is_one_detection(tmp_path, layout):
    # A wider square has many cells that are sure of it: their boxes overlap.
    detector = open_finder(tiny_detectors.yolo(tmp_path / "a.onnx", layout=layout), confidence=0.2)
    (found,) = detector.detect([picture([("red", 32, 40, 28)])])
    assert summary(found)[0] == ("red", (32, 40, 56, 64))
    assert all(overlap(a.box, b.box) <= 0.45 for a, b in combinations(found, 2))


def test_subjects_of_two_labels_may_overlap(tmp_path):
    path = tiny_detectors.yolo(tmp_path / "a.onnx")
    frame = picture([("red", 32, 40, 24), ("blue", 40, 40, 16)])
    assert {each.label for each in open_finder(path, confidence=0.2).detect([frame])[0]} == {"red", "blue"}


@pytest.mark.parametrize("size", [(96, 128), (192, 256), (180, 320), (320, 180), (41, 77)])
def test_boxes_are_in_pixels_of_the_frame(tmp_path, size):
    detector = open_finder(tiny_detectors.yolo(tmp_path / "a.onnx"), confidence=0.3)
    scale = min(96 / size[0], 128 / size[1])
    # A square that has the model's box when it is scaled, on a cell.
    left, top = (128 - round(size[1] * scale)) // 2, (96 - round(size[0] * scale)) // 2
    x, y, side = (40 - left) / scale, (40 - top) / scale, 24 / scale
    frame = picture([("green", round(x), round(y), round(side))], size=size)
    (found,) = detector.detect([frame])
    assert found[0].label == "green"
    assert np.abs(np.array(found[0].box) - [x, y, x + side, y + side]).max() < 2 / scale


def test_boxes_are_cut_at_the_frames_edges_and_those_beside_it_are_dropped(tmp_path):
    detector = open_finder(tiny_detectors.yolo(tmp_path / "a.onnx"), confidence=0.2)
    (found,) = detector.detect([picture([("red", 0, 0, 16)])])
    assert summary(found)[0] == ("red", (0, 0, 16, 16))
    for each in found:
        x1, y1, x2, y2 = each.box
        assert 0 <= x1 < x2 <= 128
        assert 0 <= y1 < y2 <= 96


def test_several_frames_are_the_same_one_by_one(tmp_path):
    detector = open_finder(tiny_detectors.yolo(tmp_path / "a.onnx"), confidence=SURE)
    frames = np.stack([picture([("red", 8 * n, 40, 24)]) for n in range(5)])
    together = detector.detect(frames)
    assert together == [detector.detect([frame])[0] for frame in frames]
    assert [each[0].box[0] for each in together] == [0, 8, 16, 24, 32]


def test_model_of_a_fixed_batch_takes_any_number_of_frames(tmp_path):
    detector = open_finder(tiny_detectors.yolo(tmp_path / "a.onnx", batch=2), confidence=SURE)
    assert detector.batch == 2
    found = detector.detect([picture([("red", 8 * n, 40, 24)]) for n in range(3)])
    assert [each[0].box[0] for each in found] == [0, 8, 16]
    assert detector.detect([]) == []


def test_half_precision_model(tmp_path):
    detector = open_finder(tiny_detectors.yolo(tmp_path / "a.onnx", dtype=np.float16), confidence=SURE)
    assert sorted(summary(detector.detect([picture(SQUARES)])[0])) == [
        ("blue", (80, 8, 104, 32)),
        ("red", (32, 40, 56, 64)),
    ]


@pytest.mark.parametrize(("size", "box"), [((60, 120), (45, 22.5, 75, 37.5)), ((120, 60), (22.5, 45, 37.5, 75))])
def test_model_for_any_size_sees_the_frame_in_its_proportions(tmp_path, size, box):
    path = tiny_detectors.flexible_yolo(tmp_path / "a.onnx", metadata={"imgsz": "[64, 64]", "stride": "32"})
    detector = open_finder(path, confidence=0.3)
    assert detector.batch > 1
    found = detector.detect([picture([("green", 0, 0, 120)], size=size)] * 6)
    assert [summary(each) for each in found] == [[("green", box)]] * 6


def test_classes_without_names_have_numbers(tmp_path):
    path = tiny_detectors.yolo(tmp_path / "a.onnx", named=False)
    detector = open_finder(path, confidence=SURE, labels=["class2"])
    assert detector.names == ()
    assert summary(detector.detect([picture(SQUARES)])[0]) == [("class2", (80, 8, 104, 32))]


def test_labels_confidence_and_size_choose(tmp_path):
    path = tiny_detectors.yolo(tmp_path / "a.onnx", layout="v5")
    frame = [picture(SQUARES)]
    assert [each.label for each in open_finder(path, confidence=SURE, labels=["blue"]).detect(frame)[0]] == ["blue"]
    assert open_finder(path, confidence=0.95).detect(frame) == [[]]
    assert len(open_finder(path, confidence=SURE, min_size=24).detect(frame)[0]) == 2
    assert open_finder(path, confidence=SURE, min_size=25).detect(frame) == [[]]


# Masks


def bar(size=(96, 128)):
    """A red square without its left sixth."""
    frame = picture([("red", 32, 40, 24)], size=size)
    frame[40:64, 32:36] = picture([])[0, 0]
    return frame


@pytest.mark.parametrize("layout", LAYOUTS)
def test_models_that_segment_give_masks(tmp_path, layout):
    detector = open_finder(tiny_detectors.yolo(tmp_path / "a.onnx", layout=layout, segments=True), confidence=0.5)
    ((detection,),) = detector.detect([bar()])
    assert detection.box == (32, 40, 56, 64)
    assert detection.mask is not None
    x1, y1, x2, y2 = detection.mask.place
    assert (x2, y2) == (56, 64)
    assert (x1, y1) == (36, 40)
    assert detection.mask.bits().mean() > 0.95


@pytest.mark.parametrize("size", [(192, 256), (144, 192), (180, 320), (320, 180)])
def test_masks_are_in_pixels_of_the_frame(tmp_path, size):
    detector = open_finder(tiny_detectors.yolo(tmp_path / "a.onnx", segments=True, box=40), confidence=0.1)
    scale = max(size[0] / 96, size[1] / 128)
    frame = picture([], size=size)
    outer, inner = (slice(round(low * scale), round(high * scale)) for low, high in ((15, 45), (26, 36)))
    frame[outer, outer] = tiny_detectors.COLORS[1]
    frame[inner, inner] = picture([])[0, 0]
    (found,) = detector.detect([frame])
    mask = found[0].mask
    shown = np.zeros(size, bool)
    x1, y1, x2, y2 = mask.place
    shown[y1:y2, x1:x2] = mask.bits()
    truth = frame[..., 1] > 0.9
    inside = np.zeros(size, bool)
    left, top, right, bottom = (round(value) for value in found[0].box)
    inside[top:bottom, left:right] = True
    assert not (shown & ~inside).any()
    both = truth & inside
    assert (shown & both).sum() / (shown | both).sum() > 0.85


def test_mask_without_any_pixel_is_none(tmp_path):
    detector = open_finder(tiny_detectors.yolo(tmp_path / "a.onnx", segments=True), confidence=0.01)
    frame = picture([])
    frame[40:64, 32:56] = [0.55, 0.3, 0.3]
    (found,) = detector.detect([frame])
    assert [each.mask for each in found] == [None] * len(found)
    assert found


# Faces


def test_yunet_is_known_by_its_outputs_and_run_by_opencv(tmp_path):
    path = tiny_detectors.yunet(tmp_path / "a.onnx")
    detector = open_finder(path, min_size=20)
    assert isinstance(detector, YuNetDetector)
    assert detector.names == ("face",)
    (found,) = detector.detect([picture([])])
    assert [(each.label, pytest.approx(each.box, abs=1e-3)) for each in found] == [("face", (40, 24, 70, 60))]
    assert found[0].score == pytest.approx(0.95)


def test_yunet_sees_frames_reduced_to_the_smallest_face(tmp_path):
    detector = open_finder(tiny_detectors.yunet(tmp_path / "a.onnx"), min_size=40)
    (found,) = detector.detect([picture([], size=(192, 256))])
    assert found[0].box == pytest.approx((80, 48, 140, 120), abs=1e-3)


def test_yunet_confidence_and_edges(tmp_path):
    faces = (((-10.0, 24.0, 40.0, 36.0), 0.6), ((90.0, 50.0, 30.0, 30.0), 0.9))
    path = tiny_detectors.yunet(tmp_path / "a.onnx", faces=faces)
    sure = open_finder(path, min_size=20).detect([picture([])])[0]
    both = open_finder(path, min_size=20, confidence=0.5).detect([picture([])])[0]
    assert [round(each.score, 2) for each in sure] == [0.9]
    assert [round(each.score, 2) for each in both] == [0.9, 0.6]
    assert both[1].box == pytest.approx((0, 24, 30, 60), abs=1e-3)


def test_yunet_needs_no_onnx_runtime(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert isinstance(open_finder(tiny_detectors.yunet(tmp_path / "a.onnx")), YuNetDetector)


@pytest.mark.parametrize("angle", [-170.0, -30.0, 0.0, 12.0, 90.0])
def test_yunet_gives_the_points_of_a_face_and_how_it_is_turned(tmp_path, angle):
    # Right eye, left eye, nose, right and left corner of the mouth of an upright face, from its middle.
    upright = np.array([(-8, -8), (8, -8), (0, 0), (-6, 8), (6, 8)], float)
    turn = np.deg2rad(angle)
    points = upright @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + [55, 42]
    detector = open_finder(tiny_detectors.yunet(tmp_path / "a.onnx", points=points), min_size=40)
    # The frame is twice as large as what the network sees.
    ((face,),) = detector.detect([picture([], size=(192, 256))])
    assert np.allclose(face.landmarks, 2 * points, atol=1e-3)
    assert face.angle == pytest.approx(angle, abs=0.01)
    (track,) = detector.find([picture([], size=(192, 256))] * 3)
    assert np.allclose(track.landmarks, 2 * points, atol=1e-3)
    assert np.allclose(track.angles, angle, atol=0.01)


def test_a_face_from_the_side_is_turned_as_its_eyes_and_mouth_say(tmp_path):
    # The eyes are a pixel apart: the line through them says nothing.
    points = [(50, 34), (51, 34.5), (44, 42), (49, 50), (50, 50)]
    detector = open_finder(tiny_detectors.yunet(tmp_path / "a.onnx", points=points), min_size=20)
    assert abs(detector.detect([picture([])])[0][0].angle) < 10


def test_points_in_one_place_say_no_angle(tmp_path):
    detector = open_finder(tiny_detectors.yunet(tmp_path / "a.onnx", points=[(50, 40)] * 5), min_size=20)
    assert detector.detect([picture([])])[0][0].angle is None


def test_faces_of_yunet_are_masked_by_ellipses(tmp_path):
    detector = open_finder(tiny_detectors.yunet(tmp_path / "a.onnx"), min_size=20)
    assert [track.shape for track in detector.find([picture([])] * 3)] == ["ellipse"]
    assert [track.shape for track in detector.find([picture([])] * 3, FollowSettings(shape="box"))] == ["box"]


def test_cascades_are_a_detector_too():
    detector = open_finder("cascades", min_size=20)
    assert isinstance(detector, FaceDetector)
    assert detector.detect([picture([]), picture([], size=(48, 64))]) == [[], []]


# Ultralytics


class _Boxes:
    def __init__(self, rows):
        self.data = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)


class _FakeYolo:
    """What the documentation of Ultralytics says of `YOLO`: names by number, and boxes with score and class."""

    names = {0: "red", 1: "green"}
    segments = False
    seen = []

    def __init__(self, path):
        if "broken" in path:
            raise RuntimeError("no model in it")

    def predict(self, source, *, conf, iou, device, retina_masks, verbose):
        type(self).seen.append((len(source), source[0].dtype, conf, device))
        results = []
        for image in source:
            # Blue, green, red.
            rows, columns = np.nonzero(image[..., 2] > 200)
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if len(rows) else [0, 0, 0, 0]
            shapes = torch.from_numpy(
                np.stack([image[..., 2] > 200, np.zeros(image.shape[:2], bool)]).astype(np.float32)
            )
            masks = SimpleNamespace(data=shapes) if self.segments and retina_masks else None
            results.append(SimpleNamespace(boxes=_Boxes([[*box, 0.9, 0], [1, 1, 9, 9, 0.4, 1]]), masks=masks))
        return results


@pytest.fixture
def ultralytics(monkeypatch, tmp_path):
    _FakeYolo.seen = []
    monkeypatch.setitem(sys.modules, "ultralytics", SimpleNamespace(YOLO=_FakeYolo))
    path = tmp_path / "a.pt"
    path.write_bytes(b"weights")
    return path


def test_ultralytics_is_given_bgr_bytes_and_its_boxes_are_taken(ultralytics):
    detector = open_finder(ultralytics, confidence=0.3, labels=["red"])
    assert isinstance(detector, UltralyticsDetector)
    assert detector.names == ("red", "green")
    found = detector.detect([picture([("red", 8 * n, 40, 24)]) for n in range(6)])
    assert [summary(each) for each in found] == [[("red", (8 * n, 40, 8 * n + 24, 64))] for n in range(6)]
    assert _FakeYolo.seen == [(4, np.uint8, 0.3, None), (2, np.uint8, 0.3, None)]


def test_ultralytics_masks_are_taken(ultralytics, monkeypatch):
    monkeypatch.setattr(_FakeYolo, "segments", True)
    ((first, second),) = open_finder(ultralytics).detect([bar()])
    assert first.mask.place == (36, 40, 56, 64)
    assert second.mask.empty


def test_ultralytics_model_that_cannot_be_loaded(ultralytics):
    broken = ultralytics.with_name("broken.pt")
    broken.write_bytes(b"?")
    with pytest.raises(ModelError, match=r"broken\.pt: Ultralytics cannot load it \(no model in it\)"):
        open_finder(broken)


def test_ultralytics_model_without_boxes(ultralytics, monkeypatch):
    monkeypatch.setattr(_FakeYolo, "predict", lambda self, source, **_: [SimpleNamespace(boxes=None)] * len(source))
    with pytest.raises(ModelError, match="finds no boxes"):
        open_finder(ultralytics).detect([picture([])])


# Errors


@pytest.mark.parametrize(
    ("name", "data", "error", "message"),
    [
        ("none.onnx", None, ModelError, "no such file"),
        ("empty.onnx", b"", ModelError, "the file is empty"),
        ("text.onnx", b"not a model\n" * 50, ModelError, "cannot be loaded as an ONNX model"),
        ("empty.pt", b"", ModelError, "the file is empty"),
        ("model.tflite", b"x", InvalidArgumentError, r"face, cascades or a model file \(\.onnx, \.pt\)"),
        ("faces", None, InvalidArgumentError, r"did you mean face"),
    ],
)
def test_files_that_are_no_detector(tmp_path, name, data, error, message):
    source = name if data is None and "." not in name else tmp_path / name
    if data is not None:
        source.write_bytes(data)
    with pytest.raises(error, match=message) as caught:
        open_finder(source)
    assert "\n" not in str(caught.value)


def test_truncated_model(tmp_path):
    data = tiny_detectors.yolo(tmp_path / "a.onnx").read_bytes()
    for share in (0.2, 0.9):
        cut = tmp_path / "cut.onnx"
        cut.write_bytes(data[: int(share * len(data))])
        with pytest.raises(ModelError, match=r"cut\.onnx: "):
            open_finder(cut)
    cut.write_bytes(tiny_detectors.yunet(tmp_path / "b.onnx").read_bytes()[:-200])
    with pytest.raises(ModelError, match=r"cut\.onnx: "):
        open_finder(cut).detect([picture([])])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": ["rid"]}, r"labels: expected one of red, green, blue, got 'rid' \(did you mean red\?\)"),
        ({"labels": []}, "at least one label"),
        ({"confidence": 0}, "confidence: expected above 0, up to 1"),
        ({"confidence": 1.5}, "confidence"),
        ({"min_size": 0}, "min_size"),
        ({"device": "tpu"}, "device: expected auto, cpu, cuda or cuda:1"),
    ],
)
def test_options_of_models_are_checked(tmp_path, options, message):
    with pytest.raises(InvalidArgumentError, match=message):
        open_finder(tiny_detectors.yolo(tmp_path / "a.onnx"), **options)


def test_options_of_the_cascades_are_checked():
    with pytest.raises(InvalidArgumentError, match="confidence: expected none for the face cascades"):
        open_finder("face", confidence=0.5)
    with pytest.raises(InvalidArgumentError, match="labels"):
        open_finder("face", labels=["hand"])
    with pytest.raises(InvalidArgumentError, match="min_size"):
        open_finder("face", min_size=2)
    with pytest.raises(InvalidTypeError, match="a list of labels"):
        open_finder("face", labels="face")


def test_model_that_detects_nothing_known_is_named(tmp_path):
    path = tiny_detectors.yolo(tmp_path / "a.onnx", metadata={"task": "obb"})
    with pytest.raises(ModelError, match=r"a\.onnx: its output .* none of the known ones"):
        open_finder(path).detect([picture([])])


@pytest.mark.parametrize(
    "frame", [np.zeros((96, 128, 3), np.uint8), np.zeros((96, 128), np.float32), np.zeros((96, 128, 4), np.float32)]
)
@pytest.mark.parametrize("kind", ["yolo", "yunet", "face", "ultralytics"])
def test_frames_are_checked(tmp_path, ultralytics, kind, frame):
    maker = {"yolo": tiny_detectors.yolo, "yunet": tiny_detectors.yunet}.get(kind)
    detector = open_finder(maker(tmp_path / "a.onnx") if maker else "face" if kind == "face" else ultralytics)
    with pytest.raises(InvalidTypeError, match=r"frames: expected \(H, W, 3\) float32"):
        detector.detect([frame])


def test_frames_of_two_sizes_are_an_error(tmp_path):
    detector = open_finder(tiny_detectors.yolo(tmp_path / "a.onnx", batch=2))
    with pytest.raises(InvalidArgumentError, match="frames of one size"):
        detector.detect([picture([]), picture([], size=(48, 64))])


@pytest.mark.parametrize(("package", "name"), [("onnxruntime", "a.onnx"), ("ultralytics", "a.pt")])
def test_package_that_is_missing_is_named(tmp_path, monkeypatch, package, name):
    (tmp_path / name).write_bytes(b"model")
    real = builtins.__import__

    def without(wanted, *args, **kwargs):
        if wanted.split(".")[0] == package:
            raise ImportError(wanted)
        return real(wanted, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=rf"{package} is not installed: pip install 'segs-detailer\["):
        open_finder(tmp_path / name)


class _Runtime:
    def __init__(self, *offered):
        self._offered = [f"{name}ExecutionProvider" for name in offered]

    def get_available_providers(self):
        return self._offered


@pytest.mark.parametrize(
    ("device", "providers"),
    [
        ("auto", ["CUDAExecutionProvider", "CPUExecutionProvider"]),
        ("cpu", ["CPUExecutionProvider"]),
        ("cuda", ["CUDAExecutionProvider", "CPUExecutionProvider"]),
        ("cuda:1", [("CUDAExecutionProvider", {"device_id": 1}), "CPUExecutionProvider"]),
    ],
)
def test_a_device_with_a_number_is_that_gpu(device, providers):
    assert _providers(_Runtime("CUDA", "CPU"), device) == providers


@pytest.mark.parametrize("device", ["cuda:", "cuda:x", "cpu:1", "mps", "cuda:0"])
def test_devices_that_are_not_there_are_refused(device):
    with pytest.raises(InvalidArgumentError, match="device"):
        _providers(_Runtime("CPU"), device)
