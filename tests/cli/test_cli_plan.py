"""What `plan` says is what `run` then does, and the overlay shows it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from fake_sampler import FakeSampler
from segs_detailer.cli.main import main
from segs_detailer.jobs.clips import count_windows
from segs_detailer.models.info import Geometry
from segs_detailer.models.windows import ContextWindows
from segs_detailer.subjects import Track, Tracks, write_tracks
from segs_detailer.video import open_clip, read_clip

COUNT = 40
SIZES = ["--guide-size", "64", "--max-size", "96", "--crop-factor", "1.5"]


@pytest.fixture
def clip(tmp_path):
    """Gray frames, and a file with a track that crosses them and one that is away for long."""
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(COUNT):
        Image.new("RGB", (160, 96), (90 + index, 100, 110)).save(folder / f"{index:03d}.png")
    crossing = Track(1, "face", range(COUNT), [(5 + 3 * n, 30, 29 + 3 * n, 54) for n in range(COUNT)])
    seen = [*range(6), *range(30, COUNT)]
    away = Track(2, "hand", seen, [(100, 60, 130, 90)] * len(seen))
    write_tracks(tmp_path / "tracks.npz", Tracks((96, 160), COUNT, (crossing, away)))
    return folder


def run(*args):
    return main([str(arg) for arg in args])


def planned(tmp_path, clip, *args):
    cache = ("--cache", tmp_path / "cache")
    assert (
        run("plan", clip, "--segs", tmp_path / "tracks.npz", *SIZES, *cache, *args, "--json", tmp_path / "p.json") == 0
    )
    return json.loads((tmp_path / "p.json").read_text())


def test_tracks_crops_pieces_and_memory_are_told(tmp_path, clip, capsys):
    content = planned(tmp_path, clip)
    out = capsys.readouterr().out
    face, hand = content["tracks"]
    assert (face["number"], face["label"], face["frames"], face["seen"]) == (1, "face", [0, COUNT], COUNT)
    assert face["crop"] == {"width": 36, "height": 36, "kind": "follow"}
    assert face["working_size"] == {"width": 96, "height": 96}
    assert face["scale"] == pytest.approx(96 / 36, abs=0.01)
    assert hand["seen"] == 16
    # Where it is away for long it is not sampled.
    assert [(piece["low"], piece["high"]) for piece in hand["pieces"]] == [(0, 6), (30, COUNT)]
    memory = content["memory"]
    assert memory["total"] == sum(memory[name] for name in ("program", "models", "streams", "sampling", "held"))
    assert memory["sampling"] > 10 * 96 * 96 * 3 * 4
    assert content["pieces_in_cache"] == 0
    for text in (
        "160x96, 40 frames",
        "1  face",
        "16 of 40",
        "36x36 follows",
        "96x96",
        "3 pieces, 56 crops",
        "memory: ",
    ):
        assert text in out


def test_a_fixed_crop_that_is_much_larger_than_the_subject_is_warned_of(tmp_path, clip, capsys):
    content = planned(tmp_path, clip, "--crop", "fixed")
    assert content["tracks"][0]["crop"]["kind"] == "fixed"
    assert content["tracks"][0]["crop"]["width"] > 100
    assert any("face" in warning for warning in content["warnings"])
    assert "warning: " in capsys.readouterr().out


def test_pieces_that_were_sampled_are_counted(tmp_path, clip, capsys):
    cache = ("--cache", tmp_path / "cache")
    args = ("--segs", tmp_path / "tracks.npz", *SIZES, *cache, "--steps", "1", "-q")
    assert run("run", clip, "-o", f"{tmp_path}/out/", *args) == 0
    assert planned(tmp_path, clip, "--steps", "1")["pieces_in_cache"] == 3
    assert "3 pieces are in the cache" in capsys.readouterr().out
    assert planned(tmp_path, clip, "--steps", "2")["pieces_in_cache"] == 0


def test_crops_that_are_larger_than_the_limit_are_scaled_down(tmp_path, clip, capsys):
    box = ("--bbox", "20,10,140,90", "--guide-size", "64", "--max-size", "64", "--crop-factor", "1.1", "--steps", "1")
    cache = ("--cache", tmp_path / "cache", "-q")
    found = {}
    for name, option in (("on", ()), ("off", ("--no-limit-size",))):
        assert run("plan", clip, *box, *option, *cache, "--json", tmp_path / f"{name}.json") == 0
        found[name] = json.loads((tmp_path / f"{name}.json").read_text())
    assert found["on"]["tracks"][0]["working_size"] == {"width": 64, "height": 42}
    assert found["off"]["tracks"][0]["working_size"] == {"width": 132, "height": 88}
    assert found["on"]["memory"]["sampling"] < found["off"]["memory"]["sampling"]
    assert found["off"]["warnings"] == []
    [warning] = found["on"]["warnings"]
    assert "scaled down to 64x42: raise --max-size, or give --no-limit-size" in warning
    # What is in the cache of one is not taken for the other.
    assert run("run", clip, "-o", f"{tmp_path}/out/", *box, *cache) == 0
    assert run("plan", clip, *box, *cache, "--json", tmp_path / "again.json") == 0
    assert json.loads((tmp_path / "again.json").read_text())["pieces_in_cache"] == 1
    assert run("plan", clip, *box, "--no-limit-size", *cache, "--json", tmp_path / "again.json") == 0
    assert json.loads((tmp_path / "again.json").read_text())["pieces_in_cache"] == 0
    before, after = read_clip(clip).frames, read_clip(tmp_path / "out").frames
    outside = np.ones((96, 160), bool)
    outside[4:96, 14:146] = False
    assert np.array_equal(before[:, outside], after[:, outside])


def test_the_overlay_shows_boxes_crops_and_masks(tmp_path, clip, capsys):
    planned(tmp_path, clip, "-o", f"{tmp_path}/overlay/")
    assert "overlay/: boxes, crops and masks" in capsys.readouterr().out
    before, after = read_clip(clip).frames, read_clip(tmp_path / "overlay").frames
    assert open_clip(tmp_path / "overlay").info.frames == COUNT
    changed = (before != after).any(axis=-1)
    x = 5 + 3 * 20
    # The mask is tinted, its box and its crop are outlined, and far from both nothing is drawn.
    assert changed[20, 36:48, x + 6 : x + 18].all()
    assert changed[20, 30, x : x + 24].all()
    assert not changed[20, :24, 130:].any()
    # The second track is away.
    assert changed[2, 66:84, 106:124].all()
    assert not np.array_equal(after[2, 66:84, 106:124], after[20, 66:84, 106:124])


def test_json_on_the_output_is_all_there_is(tmp_path, clip, capsys):
    cache = ("--cache", tmp_path / "cache")
    assert run("plan", clip, "--bbox", "10,10,50,50", *SIZES, *cache, "--json", "-") == 0
    content = json.loads(capsys.readouterr().out)
    assert [track["label"] for track in content["tracks"]] == ["box"]


def test_what_run_refuses_plan_refuses(tmp_path, clip, capsys):
    Image.new("L", (160, 96), 255).save(tmp_path / "m0.png")
    Image.new("L", (160, 96), 255).save(tmp_path / "m1.png")
    assert run("plan", clip, "--mask", f"{tmp_path}/m%d.png") == 2
    assert "holds 2 masks for 40 frames" in capsys.readouterr().err
    assert run("plan", clip, "--bbox", "10,10,50,50", "--max-ram", "0.01") == 2
    assert "max_ram" in capsys.readouterr().err.replace("--max-ram", "max_ram")
    assert run("plan", clip, "--bbox", "10,10,50,50", "-o", clip) == 2
    assert "is the input itself" in capsys.readouterr().err


def test_windows_are_counted_as_they_are_sampled():
    windows = ContextWindows(length=16, overlap=4, stride=3)
    track = SimpleNamespace(pieces=[SimpleNamespace(frames=64), SimpleNamespace(frames=16)])
    sampler = FakeSampler(geometry=Geometry(windows=windows))
    assert count_windows(track, sampler) == len(windows.windows(64, 0)) + 1 > 6
    assert count_windows(track, FakeSampler()) is None
