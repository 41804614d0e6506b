"""The finder of faces that is taken where none is named: YuNet from the hub, or the cascades."""

from __future__ import annotations

import hashlib
import sys
import warnings
from dataclasses import replace

import huggingface_hub.constants as constants
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("onnx")

import tiny_detectors
from tiny_detectors import picture

from segs_detailer.cli.main import main
from segs_detailer.comfyui.detecting import find_faces
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.hub import YUNET
from segs_detailer.subjects.finders import (
    FaceDetector,
    YuNetDetector,
    detect_faces,
    face_finder,
    find_tracks,
    open_finder,
)

CASCADES = (
    "faces are found by OpenCV's cascades, which miss many: face_detection_yunet_2023mar.onnx cannot be fetched: "
)
FRAMES = np.stack([picture([])] * 6)


@pytest.fixture
def served(hub, tmp_path, monkeypatch):
    """A hub that has a YuNet: a tiny one, that sees one face wherever it looks, takes the place of the pinned one."""
    path = tiny_detectors.yunet(tmp_path / "yunet.onnx")
    content = path.read_bytes()
    pinned = replace(YUNET, sha256=hashlib.sha256(content).hexdigest(), size=len(content), revision="c0ffee" + 34 * "0")
    monkeypatch.setattr(face_finder, "YUNET", pinned)
    hub.files[f"{YUNET.repository}/{YUNET.file}"] = content
    return hub


def test_faces_are_found_by_yunet_which_is_fetched_once(served):
    finder = open_finder("face", min_size=20, confidence=0.5)
    assert isinstance(finder, YuNetDetector)
    (track,) = find_tracks(FRAMES, finder)
    assert track.boxes[0] == pytest.approx((40, 24, 70, 60), abs=1e-3)
    served.requests.clear()
    assert isinstance(open_finder("face"), YuNetDetector)
    assert served.requests == []


def test_without_a_network_the_cascades_serve_and_one_line_says_so(served, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.warns(UserWarning, match="Where there is a network, segs-detailer models pull yunet") as said:
        finder = open_finder("face", min_size=20)
    assert isinstance(finder, FaceDetector)
    (line,) = said
    assert str(line.message).startswith(f"{CASCADES}HF_HUB_OFFLINE is set. ")
    assert served.requests == []


def test_another_file_than_the_pinned_one_is_not_used(served):
    served.files[f"{YUNET.repository}/{YUNET.file}"] = b"another model"
    with pytest.warns(UserWarning, match="sent another file .*, which was not kept. Where there is"):
        assert isinstance(open_finder("face"), FaceDetector)
    assert served.kept == []


def test_without_the_hubs_package_the_cascades_serve(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.warns(UserWarning, match=r"huggingface_hub is not installed: pip install 'segs-detailer\[video\]'. Wh"):
        assert isinstance(open_finder("face"), FaceDetector)


def test_a_confidence_is_refused_by_the_cascades_alone(served, monkeypatch):
    open_finder("face", confidence=0.9)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(served.cache / "another"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InvalidArgumentError, match=r"confidence: expected none .*in place of YuNet .*OFFLINE.*got 0.9"):
        open_finder("face", confidence=0.9)


def test_the_cascades_can_be_asked_for(served):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(open_finder("cascades"), FaceDetector)
    assert served.requests == []


def test_scripts_and_nodes_find_faces_by_it(served):
    import torch

    _, segs = detect_faces(FRAMES, min_size=20)
    assert [seg.label for seg in segs] == ["face"]
    _, segs = find_faces(torch.from_numpy(FRAMES), 20, 0.3, 12, 3.0, 10, "ellipse")[0]
    assert len(segs) == 1


def test_a_run_says_it_in_a_line_and_finds_anew_when_there_is_a_network(served, tmp_path, monkeypatch, capsys):
    clip = tmp_path / "clip"
    clip.mkdir()
    for number, frame in enumerate(FRAMES):
        Image.fromarray((frame * 255).astype(np.uint8)).save(clip / f"{number}.png")

    def plan():
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            assert main(["plan", str(clip), "--min-face", "20"]) == 0
        printed = capsys.readouterr()
        return printed.out, [line for line in printed.err.splitlines() if "warning" in line]

    with monkeypatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        out, (line,) = plan()
    assert line.startswith(f"segs-detailer: warning: {CASCADES}HF_HUB_OFFLINE is set. ")
    assert line.endswith("or give its file: --detect FILE")
    assert "no face was found" in out
    out, said = plan()
    assert said == []
    assert "0-5" in out
