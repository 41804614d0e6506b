"""A detector's model on the command line."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import tiny_detectors
from tiny_detectors import picture

from segs_detailer.cli.main import main
from segs_detailer.video import read_clip


@pytest.fixture
def clip(tmp_path):
    """A red square that moves over noise, and a blue one that stays."""
    folder = tmp_path / "frames"
    folder.mkdir()
    noise = np.random.default_rng(0).random((96, 128, 1), dtype=np.float32) * 0.2 - 0.1
    for number in range(8):
        frame = picture([("red", 8 + 8 * number, 40, 24), ("blue", 80, 8, 24)]) + noise
        Image.fromarray((frame.clip(0, 1) * 255).astype(np.uint8)).save(folder / f"{number}.png")
    return folder


def run(clip, *options):
    out = clip.parent / "out"
    code = main(["run", str(clip), "-o", f"{out}/", "--guide-size", "128", "--no-cache", *map(str, options)])
    return code, out


def test_only_what_is_asked_for_is_detailed(clip, capsys):
    model = tiny_detectors.yolo(clip.parent / "colors.onnx")
    code, out = run(clip, "--detect", model, "--detect-labels", "red", "--detect-confidence", "0.5", "--feather", "0")
    printed = capsys.readouterr()
    assert code == 0, printed.err
    assert "red" in printed.out
    assert "blue" not in printed.out
    before, after = read_clip(clip).frames, read_clip(out).frames
    changed = (before != after).any(axis=-1)
    for number, shown in enumerate(changed):
        rows, columns = np.nonzero(shown)
        if len(rows):
            assert 38 <= rows.min() <= rows.max() < 66
            assert 6 + 8 * number <= columns.min() <= columns.max() < 34 + 8 * number
    assert changed.any(axis=(1, 2)).sum() >= 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--detect", "none.onnx"], "none.onnx: no such file"),
        (["--detect", "hands"], "face, cascades or a model file"),
        (["--detect", "MODEL", "--detect-labels", "rad"], "labels: expected one of red, green, blue, got 'rad'"),
        (
            ["--detect", "MODEL", "--detect-confidence", "2"],
            "--detect-confidence: expected a number above 0 and at most 1, got 2",
        ),
        (["--detect", "MODEL", "--detect-labels", "green", "--when-empty", "fail"], "nothing was found"),
        (["--detect", "face", "--detect-confidence", "0.5"], "confidence: expected none for the face cascades"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_left(clip, capsys, options, message):
    model = str(tiny_detectors.yolo(clip.parent / "colors.onnx"))
    code, out = run(clip, "--quiet", *[model if option == "MODEL" else option for option in options])
    assert code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line
    assert not out.exists()
    assert sorted(path.name for path in clip.parent.iterdir()) == ["colors.onnx", "frames"]
