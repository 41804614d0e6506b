"""What `run` writes passes `verify`, and the pops that it is asked for are found."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from segs_detailer.cli.main import main
from segs_detailer.segments import Segments, write_segments
from segs_detailer.tracks import Track

COUNT, ENTRY, EXIT = 22, 5, 17
SIZE = (112, 160)
FACE = 44


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A blurred subject that moves over a ground, and the file of its track, which begins and ends in the clip."""
    folder = tmp_path_factory.mktemp("clip")
    rng = np.random.default_rng(3)
    ground, face = (_texture(rng, size) for size in (SIZE, (FACE, FACE)))
    (folder / "in").mkdir()
    for index in range(COUNT):
        x, y = _place(index)
        frame = ground.copy()
        frame[y : y + FACE, x : x + FACE] = face
        Image.fromarray(frame).save(folder / "in" / f"{index:03d}.png")
    boxes = [(*_place(index), _place(index)[0] + FACE, _place(index)[1] + FACE) for index in range(ENTRY, EXIT)]
    track = Track(1, "face", range(ENTRY, EXIT), boxes)
    write_segments(folder / "tracks.npz", Segments(SIZE, COUNT, (track,)))
    return folder


def _place(index):
    return 10 + 4 * index, 20 + index


def _texture(rng, size):
    noise = cv2.GaussianBlur(rng.random((*size, 1)).astype(np.float32), (0, 0), 1.6)
    grey = 0.5 + 0.2 * (noise - noise.mean()) / noise.std()
    return np.repeat((255 * grey.clip(0, 1))[..., None], 3, axis=2).astype(np.uint8)


def detail_and_verify(clip, output, *options):
    segs = ("--segs", str(clip / "tracks.npz"))
    sizes = ("--guide-size", "110", "--max-size", "200", "--crop-factor", "1.6", "--no-cache", "-q")
    assert main(["run", str(clip / "in"), "-o", f"{output}/", *segs, *sizes, *options]) == 0
    return main(["verify", str(clip / "in"), str(output), *segs])


@pytest.mark.parametrize(
    "options", [("--ramp", "4"), ("--ramp", "4", "--subpixel"), ("--ramp", "4", "--crop", "fixed")]
)
def test_a_run_with_ramps_passes(clip, tmp_path, capsys, options):
    assert detail_and_verify(clip, tmp_path / "out", *options) == 0, capsys.readouterr().out
    out = capsys.readouterr().out
    assert "outside the masks: not one bit differs" in out
    assert "nothing is wrong" in out
    change = float(next(line for line in out.splitlines() if " face " in line).split()[3])
    assert change > 1


def test_a_run_without_ramps_pops_where_its_subject_comes_and_goes(clip, tmp_path, capsys):
    assert detail_and_verify(clip, tmp_path / "out", "--ramp", "0") == 1
    out = capsys.readouterr().out
    assert f"face 1: appears at frame {ENTRY}" in out
    assert f"face 1: disappears at frame {EXIT}" in out
    assert "2 faults" in out


def test_subjects_are_found_as_run_finds_them(clip, tmp_path, capsys, monkeypatch):
    from segs_detailer.cli import selecting

    asked = []

    def find(frames, detector, following, progress):
        asked.append(sum(1 for _ in frames))
        return [Track(7, "face", range(COUNT), [(30, 20, 90, 80)] * COUNT)]

    monkeypatch.setattr(selecting, "find_tracks", find)
    assert main(["verify", str(clip / "in"), str(clip / "in"), "--detect", "face"]) == 0
    assert asked == [COUNT]
    assert "1  face   0-21" in capsys.readouterr().out
