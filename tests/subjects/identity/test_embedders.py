"""Models that tell subjects apart: loaded as they are, vectors of length 1, and errors that say what is wrong.

The weights are stand-ins: what real ones tell apart is not tested here.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from fake_hub import COMMIT
from places import shared_model
from segs_detailer.errors import ModelError
from segs_detailer.hub import SFACE
from segs_detailer.subjects.association import Detection
from segs_detailer.subjects.identity import SFaceEmbedder, Sighting, VisionEmbedder, open_embedders
from segs_detailer.subjects.identity import sface as sface_module
from tiny_embedders import write_tiny_sface, write_tiny_vision

YUNET = shared_model("face_detection_yunet*.onnx")
# Where the eyes, the nose and the mouth of an aligned face of 112 x 112 pixels are.
ALIGNED = np.array([(38.3, 51.7), (73.5, 51.5), (56.0, 71.7), (41.5, 92.4), (70.7, 92.2)])


def face(seed, size=112):
    """Four by four fields of color."""
    fields = np.random.default_rng(seed).random((4, 4, 3)).astype(np.float32)
    return np.repeat(np.repeat(fields, size // 4, axis=0), size // 4, axis=1)


def sighting(seed, at=(150, 60), scale=1.0, turn=0.0):
    """A face somewhere in a frame, smaller and turned, with its landmarks."""
    import cv2

    c, s = scale * np.cos(turn), scale * np.sin(turn)
    matrix = np.array([(c, -s, at[0]), (s, c, at[1])])
    frame = cv2.warpAffine(face(seed), matrix, (400, 300), flags=cv2.INTER_AREA)
    corners = np.array([(0, 0), (112, 0), (112, 112), (0, 112)]) @ matrix[:, :2].T + matrix[:, 2]
    box = (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())
    return Sighting(frame, box, ALIGNED @ matrix[:, :2].T + matrix[:, 2])


@pytest.fixture(scope="module")
def sface(tmp_path_factory):
    return write_tiny_sface(tmp_path_factory.mktemp("sface") / "sface.onnx")


def test_faces_are_aligned_before_they_are_compared(sface):
    embedder = SFaceEmbedder(sface)
    seen = [sighting(1), sighting(1, (40, 90), 0.5), sighting(1, (200, 30), 0.8, 0.5), sighting(2), sighting(3)]
    vectors = embedder.embed(seen)
    assert all(np.linalg.norm(vector) == pytest.approx(1, abs=1e-5) for vector in vectors)
    same = [float(vectors[0] @ other) for other in vectors[1:3]]
    others = [float(vectors[0] @ other) for other in vectors[3:]]
    assert min(same) > 0.9 > embedder.threshold > max(others)
    assert embedder.serves("Face")
    assert not embedder.serves("hand")
    assert embedder.key[0] == "sface"
    assert embedder.link_threshold > embedder.threshold


def test_faces_without_landmarks_are_looked_for(sface, monkeypatch):
    embedder = SFaceEmbedder(sface)
    asked = []

    def faces(self, pixels):
        asked.append(pixels.shape)
        left = (pixels.shape[1] - 112) / 2
        points = ALIGNED + left
        return [Detection((left, left, left + 112, left + 112), 0.9, landmarks=tuple(map(tuple, points)))]

    known = sighting(1)
    unknown = Sighting(known.frame, known.box)
    monkeypatch.setattr(SFaceEmbedder, "_faces", faces)
    assert all(vector is not None for vector in embedder.embed([known, unknown]))
    # Near the box alone.
    assert asked == [(224, 224, 3)]
    monkeypatch.setattr(SFaceEmbedder, "_faces", lambda *_: [])
    assert embedder.embed([unknown]) == [None]
    assert embedder.embed([Sighting(known.frame, (900, 900, 950, 950))]) == [None]
    assert embedder.embed_picture(known.frame) is None


def test_of_several_faces_in_a_picture_the_largest_counts(sface, monkeypatch):
    embedder = SFaceEmbedder(sface)
    large, small = sighting(1, (10, 20)), sighting(2, (200, 60), 0.8)
    picture = np.maximum(large.frame, small.frame)
    faces = [Detection(each.box, 0.9, landmarks=tuple(map(tuple, each.landmarks))) for each in (small, large)]
    monkeypatch.setattr(SFaceEmbedder, "_faces", lambda *_: faces)
    with pytest.warns(
        UserWarning, match="a picture shows 2 faces of about one size: the largest counts, from 10,20 to"
    ):
        vector = embedder.embed_picture(picture)
    assert float(vector @ embedder.embed([large])[0]) == pytest.approx(1, abs=1e-5)


def test_the_default_is_fetched_once_and_checked(sface, hub, monkeypatch):
    content = sface.read_bytes()
    pinned = replace(SFACE, sha256=hashlib.sha256(content).hexdigest(), size=len(content), revision=COMMIT)
    monkeypatch.setattr(sface_module, "SFACE", pinned)
    hub.files[f"{SFACE.repository}/{SFACE.file}"] = content
    [first] = set(open_embedders(["face", "Face"]).values())
    asked = len(hub.requests)
    assert asked > 0
    assert open_embedders(["face"])["face"].key == first.key == ("sface", pinned.sha256)
    assert len(hub.requests) == asked


@pytest.mark.skipif(YUNET is None, reason="no YuNet beside the repository: shared/models")
def test_real_faces_are_found_in_pictures(sface):
    skimage = pytest.importorskip("skimage")
    astronaut = skimage.data.astronaut().astype(np.float32) / 255
    embedder = SFaceEmbedder(sface, yunet=YUNET)
    picture = embedder.embed_picture(astronaut)
    [near] = embedder.embed([Sighting(astronaut, (170, 60, 280, 200))])
    assert float(picture @ near) > 0.95
    assert embedder.embed([Sighting(astronaut, (20, 380, 120, 480))]) == [None]


def test_files_that_are_no_such_model(tmp_path):
    with pytest.raises(ModelError, match=r"none\.onnx: no such file"):
        SFaceEmbedder(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"bad\.onnx: OpenCV cannot load it as a model of faces"):
        SFaceEmbedder(tmp_path / "bad.onnx")
    # Nothing is fetched in tests.
    with pytest.raises(ModelError, match=r"face_recognition_sface_2021dec\.onnx cannot be fetched"):
        SFaceEmbedder()


@pytest.mark.parametrize("kind", ["dinov2", "clip", "siglip", "vit"])
def test_vision_models_of_transformers(tmp_path, kind):
    embedder = VisionEmbedder(write_tiny_vision(tmp_path, kind), device="cpu")
    frame = np.zeros((120, 160, 3), np.float32)
    frame[20:60, 20:60] = face(1, 40)
    frame[60:100, 100:140] = face(1, 40)
    boxes = [(20, 20, 60, 60), (100, 60, 140, 100), (0, 80, 40, 120), (500, 0, 540, 40)]
    a, b, c, outside = embedder.embed([Sighting(frame, box) for box in boxes])
    assert np.linalg.norm(a) == pytest.approx(1, abs=1e-5)
    assert outside is None
    assert float(a @ b) == pytest.approx(1, abs=1e-4)
    assert float(a @ c) < float(a @ b) - 1e-4
    assert embedder.embed_picture(frame).shape == a.shape
    assert embedder.serves("anything")


def test_folders_that_are_no_such_model(tmp_path):
    import transformers

    layers = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    transformers.BertModel(transformers.BertConfig(vocab_size=9, **layers)).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="cannot be loaded by transformers"):
        VisionEmbedder(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text("{}")
    with pytest.raises(ModelError, match="expected a model that makes a vector of a picture, got bert"):
        VisionEmbedder(tmp_path)
    with pytest.raises(ModelError, match="nothing: expected the folder of a model, or its id on the hub"):
        VisionEmbedder("nothing")
    with pytest.raises(ModelError, match="some/model cannot be fetched"):
        VisionEmbedder("some/model")


def test_faces_have_their_own_embedder(sface, tmp_path):
    opened = open_embedders(["face", "left face"], sface)
    assert opened["face"] is opened["left face"]
    assert isinstance(opened["face"], SFaceEmbedder)
    folder = write_tiny_vision(tmp_path, "dinov2")
    every = open_embedders(["face", "dog"], folder, device="cpu")
    assert isinstance(every["face"], VisionEmbedder)
    assert every["face"] is every["dog"]
