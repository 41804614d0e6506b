"""`segs-detailer convert`, and `--segs` of the commands that detail."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from places import ROOT
from segs_detailer.cli.convert import _NAMES
from segs_detailer.cli.main import main
from segs_detailer.subjects import FORMATS, Mask, Track, Tracks, read_tracks, write_tracks
from segs_detailer.video import read_clip

DOCS = ROOT / "docs" / "track-files.md"
SIZE = (48, 64)
QUICK = ["--guide-size", "64", "--max-size", "128", "--steps", "2", "--feather", "0", "--crop-factor", "1.5", "--quiet"]


@pytest.fixture
def clip(tmp_path):
    """Three lossless frames with waves, which the preview sampler sharpens."""
    (tmp_path / "in").mkdir()
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    for index in range(3):
        wave = 127 + 60 * np.sin((x + index) / 5) * np.cos(y / 6)
        Image.fromarray(np.repeat(wave[..., None], 3, axis=2).astype(np.uint8)).save(tmp_path / "in" / f"{index}.png")
    return tmp_path / "in"


def segments(size=SIZE, count=3, frames=(0, 2)):
    places = [(8 * frame, 8, 8 * frame + 16, 24) for frame in frames]
    masks = [Mask.filled(place) for place in places]
    return Tracks(size, count, (Track(1, "face", list(frames), places, 0.5, masks),))


def run(*args):
    return main([str(arg) for arg in args])


# convert


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("b.npz", None),
        ("b.safetensors", None),
        ("b.json", None),
        ("b.json", "coco-polygons"),
        ("b.json", "coco-counts"),
        ("b", None),
        ("b/", "davis"),
        ("b.mkv", None),
    ],
)
def test_convert_there_and_back(tmp_path, capsys, name, form):
    write_tracks(tmp_path / "a.npz", segments())
    assert run("convert", tmp_path / "a.npz", f"{tmp_path}/{name}", *(["--format", form] if form else [])) == 0
    assert f"wrote {tmp_path}/{name}: 64x48, 3 frames, 1 track (1 with masks)" in capsys.readouterr().out
    assert run("convert", tmp_path / name, tmp_path / "c.npz", "--quiet") == 0
    assert capsys.readouterr().out == ""
    back = read_tracks(tmp_path / "c.npz")
    assert back.tracks[0].masks == segments().tracks[0].masks
    assert back.tracks[0].boxes.tolist() == segments().tracks[0].boxes.tolist()


def test_convert_says_what_is_lost(tmp_path, capsys):
    write_tracks(tmp_path / "a.npz", segments())
    run("convert", tmp_path / "a.npz", tmp_path / "b.csv")
    assert f"note: csv does not keep {FORMATS['csv'].loses}" in capsys.readouterr().out
    run("convert", tmp_path / "a.npz", tmp_path / "c.safetensors")
    assert "note" not in capsys.readouterr().out


def test_convert_with_size_and_frames(tmp_path):
    write_tracks(tmp_path / "a.csv", segments())
    assert run("convert", tmp_path / "a.csv", tmp_path / "b.json", "--format", "boxes", "--size", "64x48") == 0
    content = json.loads((tmp_path / "b.json").read_text())
    assert (content["width"], content["height"], content["frames"]) == (64, 48, 3)
    assert run("convert", tmp_path / "a.csv", tmp_path / "c.npz", "--size", "64X48", "--frames", "9") == 0
    assert read_tracks(tmp_path / "c.npz").frame_count == 9


def test_convert_takes_the_format_that_is_named(tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(np.array([[0, 1], [2, 2]], np.uint8)).save(tmp_path / "in" / "0.png")
    assert run("convert", tmp_path / "in", tmp_path / "a.npz", "--input-format", "davis") == 0
    assert [s.id for s in read_tracks(tmp_path / "a.npz").tracks] == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["a.npz", "a.npz"], "a.npz: is the input itself: choose another output"),
        (["a.npz", "b.xml"], "b.xml: files of type .xml cannot be written"),
        (["missing.npz", "b.npz"], "missing.npz: no such file"),
        (["a.csv", "b.npz"], "a.csv: size: expected a width and height, got none"),
        (["a.npz", "b.npz", "--size", "8x8"], "a.npz: expected frames of 8x8, as --size says, got 64x48"),
        (["a.npz", "b.npz", "--frames", "4"], "a.npz: expected 4 frames, as --frames says, got 3"),
        (["a.npz", "missing/b.npz"], "no such folder to write to"),
        (["a.csv", "b.npz", "--input-format", "npz"], "a.csv: expected a NumPy archive of tracks"),
        (["a.npz", "b.json", "--input-format", "coco"], "a.npz: expected text in UTF-8"),
    ],
)
def test_convert_says_in_one_line_what_is_wrong(tmp_path, capsys, monkeypatch, arguments, text):
    write_tracks(tmp_path / "a.npz", segments())
    write_tracks(tmp_path / "a.csv", segments())
    monkeypatch.chdir(tmp_path)
    assert run("convert", *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("segs-detailer: error: ")
    assert text in error
    assert error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.npz"]


@pytest.mark.parametrize(
    "options", [["--size", "64"], ["--size", "0x5"], ["--size", "ax5"], ["--frames", "0"], ["--format", "xml"]]
)
def test_convert_refuses_options(capsys, options):
    with pytest.raises(SystemExit) as caught:
        run("convert", "a.npz", "b.npz", *options)
    assert caught.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_formats_of_the_command_are_those_of_the_package():
    assert set(_NAMES) == set(FORMATS)


def test_the_documentation_says_of_each_format_what_it_loses():
    text = DOCS.read_text(encoding="utf-8")
    for item in FORMATS.values():
        assert f"| `{item.name}` | {item.files} | {item.loses or 'nothing'} |" in text


# run and preview


@pytest.mark.parametrize("name", ["a.npz", "a.json", "a.csv", "masks", "a.mkv"])
def test_run_details_what_a_file_names(tmp_path, clip, name):
    write_tracks(tmp_path / name, segments())
    assert run("run", clip, "-o", f"{tmp_path}/out/", "--segs", tmp_path / name, *QUICK) == 0
    before, after = read_clip(clip).frames, read_clip(tmp_path / "out").frames
    inside = np.zeros((3, *SIZE), bool)
    inside[0, 8:24, 0:16] = inside[2, 8:24, 16:32] = True
    assert np.array_equal(after[~inside], before[~inside])
    assert not np.array_equal(after[0][inside[0]], before[0][inside[0]])
    assert not np.array_equal(after[2][inside[2]], before[2][inside[2]])


def test_run_scales_segments_of_another_size_and_one_frame_serves_for_all(tmp_path, clip):
    write_tracks(tmp_path / "a.npz", segments(size=(24, 32), count=1, frames=[0]))
    assert run("run", clip, "-o", f"{tmp_path}/out/", "--segs", tmp_path / "a.npz", *QUICK) == 0
    before, after = read_clip(clip).frames, read_clip(tmp_path / "out").frames
    inside = np.zeros(SIZE, bool)
    inside[16:48, 0:32] = True
    assert np.array_equal(after[:, ~inside], before[:, ~inside])
    for index in range(3):
        assert not np.array_equal(after[index][inside], before[index][inside])


def test_files_add_up_with_boxes(tmp_path, clip, capsys):
    write_tracks(tmp_path / "a.npz", segments())
    sheet = tmp_path / "sheet.png"
    assert run("preview", clip, "-o", sheet, "--segs", tmp_path / "a.npz", "--bbox", "40,30,60,44") == 0
    out = capsys.readouterr().out
    assert "box" in out
    assert "face" in out
    assert sheet.exists()


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (segments(count=4), "holds segments of 4 frames for 3 frames: give them for one frame, or for each"),
        (Tracks(SIZE, 3), "a.npz: holds no track that is in the frame"),
        (None, "a.npz: no such file"),
    ],
)
def test_run_says_what_is_wrong_with_a_file(tmp_path, clip, capsys, made, text):
    if made is not None:
        write_tracks(tmp_path / "a.npz", made)
    given = ("--segs", tmp_path / "a.npz", "--when-empty", "fail")
    assert run("run", clip, "-o", f"{tmp_path}/out/", *given, *QUICK) == 2
    assert text in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
