"""VACE sees each subject where it is seen best in the clip, unless the user names a picture or wants none."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import tiny_models
import tiny_wan
from segs_detailer import detail_clip
from segs_detailer.cli.main import main
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.models.wan.network import WanModel

COUNT, SIZE = 7, (48, 96)
BOXES = [(8, 8, 40, 40), (56, 8, 88, 40)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_wan.save_checkpoint(tmp_path_factory.mktemp("vace"), kind="WanVACEPipeline", positions=8)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Flat gray, but for one frame in which each subject is to be seen: the first in frame 2, the second in frame 5."""
    where = tmp_path_factory.mktemp("clip")
    noise = np.random.default_rng(1)
    for number in range(COUNT):
        pixels = np.full((*SIZE, 3), 120, np.uint8)
        for (x1, y1, x2, y2), sharp in zip(BOXES, (2, 5), strict=True):
            if number == sharp:
                pixels[y1:y2, x1:x2] = noise.integers(0, 255, (y2 - y1, x2 - x1, 3))
        Image.fromarray(pixels).save(where / f"{number}.png")
    return where


@pytest.fixture
def shown(monkeypatch):
    seen = []
    show = WanModel.with_references
    monkeypatch.setattr(WanModel, "with_references", lambda self, given: seen.append(list(given)) or show(self, given))
    return seen


def repainted(clip, out, folder, **changes):
    options = {"model": str(folder), "bbox": BOXES, "device": "cpu", "crop_factor": 1.0, "guide_size": 32, "steps": 1}
    options |= {"max_size": 32, "feather": 0, "no_cache": True, "denoise": 0.8, "cfg": 1.0}
    detail_clip(clip, out, **{**options, **changes})
    return np.stack([np.asarray(Image.open(path)) for path in sorted(out.glob("*.png"))])


def test_each_subject_is_shown_its_sharpest_frame(clip, folder, tmp_path, shown):
    with_own = repainted(clip, tmp_path / "own", folder)
    assert len(shown) == 2
    for [picture], (x1, y1, x2, y2), sharp in zip(shown, BOXES, (2, 5), strict=True):
        frame = np.asarray(Image.open(clip / f"{sharp}.png"))[y1 - 4 : y2 + 3, x1 - 4 : x2 + 3]
        assert np.abs(picture.numpy() * 255 - frame).max() < 0.01
    shown.clear()
    without = repainted(clip, tmp_path / "none", folder, no_reference=True)
    assert shown == []
    picture = tmp_path / "face.png"
    Image.fromarray(np.random.default_rng(2).integers(0, 255, (32, 32, 3), np.uint8)).save(picture)
    named = repainted(clip, tmp_path / "named", folder, reference=(str(picture),))
    assert [len(each) for each in shown] == [1]
    shown.clear()
    one = repainted(clip, tmp_path / "one", folder, subjects={1: {"reference": (str(picture),)}})
    assert {each[0].shape for each in shown} == {(32, 32, 3), (39, 39, 3)}
    left, right = (slice(None), slice(8, 40), slice(8, 40)), (slice(None), slice(8, 40), slice(56, 88))
    assert np.array_equal(one[left], named[left])
    assert np.array_equal(one[right], with_own[right])
    for part in (left, right):
        assert not np.array_equal(with_own[part], without[part])
        assert not np.array_equal(with_own[part], named[part])


def test_a_model_that_looks_at_nothing_can_spare_no_picture(clip, folder, tmp_path, capsys):
    plain = tiny_models.save_checkpoint(tmp_path / "sd")
    with pytest.raises(
        InvalidArgumentError, match="no_reference: expected a model that keeps to pictures, such as VACE"
    ):
        repainted(clip, tmp_path / "out", plain, no_reference=True)
    command = ["run", str(clip), "-o", f"{tmp_path}/out/", "--model", str(folder), "--no-reference"]
    assert main([*command, "--reference", "face.png"]) == 2
    assert "--no-reference: expected no picture for all: leave out --reference" in capsys.readouterr().err
