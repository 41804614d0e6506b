"""Clips in which there is nothing to detail: copied, skipped, or an error, as the user wants."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segs_detailer.cli.main import main
from segs_detailer.subjects import Track, Tracks, write_tracks
from segs_detailer.video import EncoderSettings, read_clip, write_clip
from tiny_models import save_checkpoint

SIZES = ("--guide-size", "48", "--max-size", "64", "--crop-factor", "1.5")
COUNT = 5


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Five frames, and segments: of nobody, of somebody."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    y, x = np.mgrid[:48, :64]
    for index in range(COUNT):
        wave = (127 + 60 * np.sin((x + index) / 2) * np.cos(y / 2)).astype(np.uint8)
        Image.fromarray(np.repeat(wave[..., None], 3, axis=2)).save(tmp_path / "in" / f"{index}.png")
    write_tracks("nobody.npz", Tracks((48, 64), COUNT, ()))
    write_tracks("left.npz", Tracks((48, 64), COUNT, (Track(1, "left", range(COUNT), [(8, 8, 28, 28)] * COUNT),)))
    return tmp_path


def run(*words):
    return main([str(word) for word in ("run", *words, "--no-cache", *SIZES)])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def film(folder):
    pytest.importorskip("av")
    write_clip(folder / "film.mkv", read_clip(folder / "in"), settings=EncoderSettings(codec="ffv1"))
    return folder


@pytest.mark.parametrize("suffix", [".mkv", ".gif"])
def test_a_file_is_copied_to_the_bit(film, suffix, capsys):
    clip = film / f"film{suffix}"
    if suffix == ".gif":
        write_clip(clip, read_clip(film / "in"))
    before = names(film)
    assert run(clip, "-o", f"out{suffix}", "--segs", "nobody.npz") == 0
    assert (film / f"out{suffix}").read_bytes() == clip.read_bytes()
    out = capsys.readouterr().out
    assert f"wrote out{suffix}, the clip as it is: nobody.npz: holds no track" in out
    assert names(film) == sorted([*before, f"out{suffix}"])


@pytest.mark.parametrize(("output", "options"), [("out.avi", ()), ("out.mkv", ("--codec", "mpeg4")), ("out/", ())])
def test_another_format_is_written_with_nothing_changed(film, output, options, capsys):
    assert run("film.mkv", "-o", output, "--segs", "nobody.npz", *options) == 0
    assert f"wrote {output}, the clip as it is: " in capsys.readouterr().out
    written = read_clip(film / output.rstrip("/"))
    source = read_clip(film / "film.mkv")
    assert written.info.frames == COUNT
    assert np.abs(written.frames - source.frames).mean() < 3 / 255
    if output == "out.mkv":
        assert written.info.codec == "mpeg4"


def test_images_stay_as_they_are(folder):
    assert run("in", "-o", "out/", "--segs", "nobody.npz", "-q") == 0
    assert np.array_equal(read_clip(folder / "out").frames, read_clip(folder / "in").frames)


def test_skip_writes_nothing_and_is_no_failure(folder, capsys):
    before = names(folder)
    words = ("in", "-o", "out/", "--segs", "nobody.npz", "--when-empty", "skip", "--compare", "both.png")
    assert run(*words) == 0
    assert capsys.readouterr().out == "wrote nothing: nobody.npz: holds no track that is in the frame\n"
    assert names(folder) == before


def test_fail_is_the_error_that_says_why(folder, capsys):
    before = names(folder)
    assert run("in", "-o", "out/", "--segs", "nobody.npz", "--when-empty", "fail") == 2
    error = capsys.readouterr().err.strip()
    assert error == "segs-detailer: error: nobody.npz: holds no track that is in the frame"
    assert names(folder) == before


@pytest.mark.parametrize("when", ["copy", "skip", "fail"])
def test_clips_with_subjects_are_detailed_all_the_same(folder, when, capsys):
    assert run("in", "-o", "out/", "--segs", "left.npz", "--when-empty", when) == 0
    out = capsys.readouterr().out
    assert "left   8,8,28,28" in out
    assert "the clip as it is" not in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "no face was found: lower --min-share"),
        (("--mask", "black.png"), "black.png: nothing in it is white and larger than --drop-size 10"),
        (("--bbox", "8,8,28,28", "--size-gate", "5"), "--size-gate 5 leaves alone what is so large"),
        (("--segs", "left.npz", "--size-gate", "5"), "--size-gate 5 leaves alone what is so large"),
        (("--segs", "outside.npz"), "no subject is in the frame"),
        (("--mask", "black.png", "--segs", "nobody.npz"), "black.png: nothing in it is white"),
    ],
)
def test_the_reason_is_the_one_that_it_is(folder, capsys, options, said):
    Image.new("L", (64, 48)).save("black.png")
    outside = Track(1, "away", range(COUNT), [(100, 100, 120, 120)] * COUNT)
    write_tracks("outside.npz", Tracks((48, 64), COUNT, (outside,)))
    assert run("in", "-o", "out/", "--when-empty", "fail", *options) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert said in error
    assert "None" not in error


@pytest.mark.parametrize("name", ["both.png", "both.mkv"])
def test_a_comparison_is_written_of_a_clip_without_subjects(film, name, capsys):
    assert run("film.mkv", "-o", "out.mkv", "--segs", "nobody.npz", "--compare", name) == 0
    assert (film / "out.mkv").read_bytes() == (film / "film.mkv").read_bytes()
    assert f"wrote {name}: before and after, which are the same" in capsys.readouterr().out
    if name == "both.mkv":
        both = read_clip(film / name)
        assert both.frames.shape[:3] == (COUNT, 48, 128)
    else:
        with Image.open(film / name) as picture:
            assert picture.size[0] > 64


def test_what_is_to_be_done_again_must_be_there(folder, capsys):
    words = ("run", "in", "-o", "out/", "--segs", "nobody.npz", "--cache", "cache", "--redo", "1")
    assert main([*words, *SIZES]) == 2
    assert "--redo: expected a clip in which something is repainted, got nobody.npz" in capsys.readouterr().err


def test_prompts_of_single_subjects_wait_for_a_clip_that_has_them(folder):
    # Where the subjects are missing, so are those that the prompts name.
    (folder / "prompts.json").write_text('{"left": "a face"}')
    model = save_checkpoint(folder / "model")
    words = ("--model", model, "--prompts", "prompts.json", "--steps", "1", "--device", "cpu", "-q")
    assert run("in", "-o", "out/", "--segs", "nobody.npz", *words) == 0


def test_plan_says_so_and_ends_as_the_run_would(folder, capsys):
    assert main(["plan", "in", "--segs", "nobody.npz", "--no-cache"]) == 0
    assert "nothing to detail: nobody.npz: holds no track" in capsys.readouterr().out
    assert main(["plan", "in", "--segs", "nobody.npz", "--no-cache", "--json", "-"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["tracks"] == []
    assert plan["nothing_found"] == "nobody.npz: holds no track that is in the frame"
    assert main(["plan", "in", "--segs", "left.npz", "--no-cache", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["nothing_found"] is None
    assert main(["plan", "in", "--segs", "nobody.npz", "--no-cache", "--when-empty", "fail"]) == 2


# Many clips


@pytest.fixture
def clips(folder):
    """A list of two clips, of which one shows nobody."""
    for name in ("a.gif", "b.gif"):
        write_clip(folder / name, read_clip(folder / "in"))
    (folder / "list.txt").write_text("a.gif --segs left.npz\nb.gif --segs nobody.npz\n")
    return folder


def batch(*words):
    return main(["batch", "list.txt", "-o", "out", "--cache", "cache", "--report", "report.json", *SIZES, *words])


def statuses():
    clips = json.loads(Path("report.json").read_text(encoding="utf-8"))["clips"]
    return [(item["status"], item["tries"]) for item in clips]


def test_a_batch_copies_what_shows_nobody(clips, capsys):
    assert batch() == 0
    out = capsys.readouterr().out
    assert "2 clips: 1 done, 1 copied, in" in out
    assert "nobody.npz: holds no track" in out
    assert statuses() == [("done", 1), ("copied", 1)]
    assert (clips / "out" / "b.gif").read_bytes() == (clips / "b.gif").read_bytes()
    # The copy is an output like any other.
    assert batch() == 0
    assert statuses() == [("skipped", 0), ("skipped", 0)]


def test_a_batch_skips_what_shows_nobody(clips, capsys):
    assert batch("--when-empty", "skip") == 0
    assert "2 clips: 1 done, 1 skipped, in" in capsys.readouterr().out
    assert statuses() == [("done", 1), ("skipped", 1)]
    assert names(clips / "out") == ["a.gif"]


def test_a_batch_fails_what_shows_nobody_where_that_is_wanted(clips, capsys):
    (clips / "list.txt").write_text("a.gif --segs left.npz\nb.gif --segs nobody.npz --when-empty fail\n")
    assert batch() == 1
    assert statuses() == [("done", 1), ("failed", 1)]
    assert "b.gif: nobody.npz: holds no track" in capsys.readouterr().err
