"""The examples of CONTRIBUTING.md, run as they stand."""

from __future__ import annotations

import re
import sys
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from places import ROOT
from segs_detailer.cli.main import main
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.subjects.finders import opening
from segs_detailer.subjects.finders.finder import find_tracks
from segs_detailer.subjects.finders.opening import open_finder

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def example(name, monkeypatch):
    """Execute a block of the page as a module."""
    found = re.search(rf"<!-- example: {name} -->\n```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    module = ModuleType(f"contributing_{name}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(found[1], f"CONTRIBUTING.md: {name}", "exec"), module.__dict__)
    return module


@pytest.fixture
def spots(monkeypatch):
    module = example("finder", monkeypatch)
    monkeypatch.setattr(opening, "FINDERS", (*opening.FINDERS, module.SPOTS))
    return module


def shining(count=8):
    """Frames in which a spot of 16 x 12 moves from left to right."""
    frames = np.full((count, 48, 80, 3), 0.3, np.float32)
    for number, frame in enumerate(frames):
        frame[20:32, 4 + 6 * number : 20 + 6 * number] = 1
    return frames


def test_a_finder_follows_what_it_finds(spots):
    (track,) = find_tracks(shining(), open_finder("spots"))
    assert track.label == "spot"
    assert len(track.frames) == 8
    np.testing.assert_allclose(track.boxes[0], (4, 20, 20, 32))
    np.testing.assert_allclose(track.boxes[-1], (46, 20, 62, 32))


def test_a_finder_takes_the_options_of_all(spots):
    assert find_tracks(shining(), open_finder("spots", min_size=17)) == []
    assert find_tracks(shining() * 0.8, open_finder("spots")) == []
    assert len(find_tracks(shining() * 0.8, open_finder("spots", confidence=0.7))) == 1
    with pytest.raises(InvalidArgumentError, match="labels: expected spot"):
        open_finder("spots", labels=["face"])


def test_a_finder_serves_the_command_line(spots, tmp_path, capsys):
    frames = tmp_path / "frames"
    frames.mkdir()
    for number, pixels in enumerate(shining()):
        Image.fromarray(np.uint8(pixels * 255)).save(frames / f"{number:02d}.png")
    assert main(["plan", str(frames), "--detect", "spots"]) == 0
    assert re.search(r"^ +1 +spot +0-7 ", capsys.readouterr().out, re.MULTILINE)


def test_a_setting(monkeypatch):
    settings = example("setting", monkeypatch).GrainSettings
    assert settings().grain == 0.25
    with pytest.raises(InvalidArgumentError, match="grain: expected a number from 0 to 1, got 2"):
        settings(grain=2)
