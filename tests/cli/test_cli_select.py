"""Which of the subjects are meant, on the command line and in jobs; and what is planned, in a file."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from segs_detailer import ClipJob, SelectSettings, detail_clip, plan_clip, read_clip, read_job, write_job
from segs_detailer.cli.main import main
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.jobs import finding
from segs_detailer.models.pipe import BasicPipe
from segs_detailer.subjects import Track, read_tracks

COUNT = 16
QUICK = ["--guide-size", "32", "--max-size", "48", "--crop-factor", "1.5", "--steps", "1", "-q"]


@pytest.fixture
def clip(tmp_path, monkeypatch):
    """Waves, in which three subjects are found; the first is missed for a while."""
    folder = tmp_path / "in"
    folder.mkdir()
    y, x = np.mgrid[:64, :96]
    for index in range(COUNT):
        wave = 127 + 60 * np.sin((x + index) / 5) * np.cos(y / 6)
        Image.fromarray(np.repeat(wave[..., None], 3, axis=2).astype(np.uint8)).save(folder / f"{index:02d}.png")
    seen = [*range(2, 6), *range(9, 14)]
    found = [
        Track(1, "face", seen, [(8 + n, 8, 20 + n, 20) for n in seen], 0.9, shot=(0, COUNT), shape="ellipse"),
        Track(2, "face", range(2, 9), [(60, 10, 80, 34)] * 7, 0.8),
        Track(3, "hand", range(4), [(30, 44, 44, 58)] * 4, 0.7, shot=(0, 8)),
    ]
    monkeypatch.setattr(finding, "find_tracks", lambda *_, **__: found)
    return folder


def run(*args):
    return main([str(arg) for arg in args])


def files_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.png"))}


def planned(clip, tmp_path, *args):
    assert run("plan", clip, *QUICK, "--no-cache", *args, "--json", tmp_path / "plan.json") == 0
    return json.loads((tmp_path / "plan.json").read_text())


def test_the_plan_shows_what_each_leaves(clip, tmp_path, capsys):
    options = ("--labels", "face", "--exclude", "tracks=2", "--largest", "1")
    assert run("plan", clip, *QUICK[:-1], "--no-cache", *options) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert "found: face: 1 to 2; hand: 3" in lines
    assert "--labels face leaves 1 to 2" in lines
    assert "--exclude tracks=2 leaves 1" in lines
    assert "--largest 1 leaves 1" in lines
    content = planned(clip, tmp_path, *options)
    assert [track["number"] for track in content["found"]] == [1, 2, 3]
    about = {"number": 1, "label": "face", "identity": "", "frames": [2, 14], "seen": 9, "size": 12.0, "score": 0.9}
    assert content["found"][0] == about
    assert [step["leaves"] for step in content["selection"]] == [[1, 2], [1], [1]]
    assert [track["number"] for track in content["tracks"]] == [1]


def test_numbers_stay_whatever_is_left(clip, tmp_path, capsys):
    assert [track["number"] for track in planned(clip, tmp_path, "--tracks", "3,2")["tracks"]] == [2, 3]
    assert [track["number"] for track in planned(clip, tmp_path, "--tracks", "3", "--largest", "1")["tracks"]] == [3]
    # A redo and prompts know them by the same numbers.
    cache = ("--cache", tmp_path / "cache")
    command = ("run", clip, "-o", f"{tmp_path}/out/", *QUICK[:-1], *cache, "--tracks", "2,3", "--overwrite")
    assert run(*command) == 0
    assert run(*command, "--redo", "3") == 0
    assert "detail: 1/1 steps" in capsys.readouterr().err
    assert run(*command, "--redo", "1") == 2
    assert "--redo: expected the number of a track, 2 to 3, got 1" in capsys.readouterr().err


def test_only_what_is_meant_is_repainted(clip, tmp_path):
    options = (*QUICK, "--no-cache", "--ramp", "0")
    assert run("run", clip, "-o", f"{tmp_path}/one/", *options, "--at", "10:20,12") == 0
    assert run("run", clip, "-o", f"{tmp_path}/others/", *options, "--exclude", "at=10:20,12") == 0
    before, one, others = (read_clip(tmp_path / name).frames for name in ("in", "one", "others"))
    assert (one != before)[:, :, :50].any()
    assert not (one != before)[:, :, 50:].any()
    assert not (others != before)[:, :40, :44].any()


@pytest.mark.parametrize("name", ["tracks.npz", "tracks.safetensors"])
def test_what_is_planned_is_saved_and_run_to_the_byte(clip, tmp_path, name, capsys):
    options = ("--labels", "face")
    assert run("run", clip, "-o", f"{tmp_path}/found/", *QUICK, "--no-cache", *options) == 0
    content = planned(clip, tmp_path, *options, "--save", tmp_path / name)
    saved = read_tracks(tmp_path / name)
    assert (saved.frame_count, saved.numbers) == (COUNT, (1, 2))
    again = planned(clip, tmp_path, "--segs", tmp_path / name)
    assert again["tracks"] == content["tracks"]
    assert run("run", clip, "-o", f"{tmp_path}/saved/", *QUICK, "--no-cache", "--segs", tmp_path / name) == 0
    assert files_of(tmp_path / "saved") == files_of(tmp_path / "found")
    # Edited, the rest keeps its numbers.
    assert run("plan", clip, *QUICK, "--no-cache", "--segs", tmp_path / name, "--tracks", "2", "--save",
               tmp_path / "less.npz") == 0  # fmt: skip
    assert read_tracks(tmp_path / "less.npz").numbers == (2,)
    assert [track["number"] for track in planned(clip, tmp_path, "--segs", tmp_path / "less.npz")["tracks"]] == [2]
    capsys.readouterr()


def test_files_that_lose_something_are_refused(clip, tmp_path, capsys):
    assert run("plan", clip, "--save", tmp_path / "tracks.csv") == 2
    assert "--save: expected a file that keeps all there is, .npz or .safetensors" in capsys.readouterr().err
    for option in ("--json", "--segs"):
        assert run("plan", clip, option, tmp_path / "a.npz", "--save", tmp_path / "a.npz") == 2
        assert "--save: expected a file of its own" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.npz"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--tracks", "4"), "--tracks: expected numbers among face: 1 to 2; hand: 3, got 4"),
        (("--labels", "foot"), "--labels: expected labels among face, hand, got 'foot'"),
        (("--min-subject", "99"), "--min-subject: expected a size that a track has: 1 (face) 12 px"),
        (("--min-size", "99"), "--min-subject: expected a size that a track has: 1 (face) 12 px"),
        (("--frames", "14-15", "--labels", "hand"), "--frames: expected frames in which a track is seen: 3 (hand) 0-3"),
        (("--at", "0.1s:1,1"), "--at: expected a place of a track in frame 2: 1 (face) 10,8 to 22,20"),
        (("--exclude", "labels=face,hand"), "--exclude: expected what leaves at least one of face: 1 to 2; hand: 3"),
        (("--exclude", "label=face"), "--exclude: expected NAME=VALUE such as tracks=2,5"),
        (("--detect-labels", "x", "--detect", "face"), "--detect-labels: expected"),
    ],
)
def test_errors_say_what_there_was_to_choose_from(clip, tmp_path, options, message, capsys):
    assert run("run", clip, "-o", f"{tmp_path}/out/", *QUICK, "--no-cache", *options) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_clip_in_which_nothing_is_left_may_be_skipped(clip, tmp_path, capsys):
    command = ("run", clip, "-o", f"{tmp_path}/out/", *QUICK[:-1], "--no-cache", "--when-empty", "skip")
    assert run(*command, "--min-subject", "99") == 0
    assert "expected a size that a track has" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    assert run(*command, "--tracks", "9") == 2


def test_other_commands_select_as_well(clip, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    assert run("preview", clip, "-o", sheet, "--frames", "2", "--guide-size", "32", "--labels", "hand") == 0
    out = capsys.readouterr().out
    assert "hand" in out
    assert "face" not in out
    assert run("verify", clip, clip, "--detect", "face", "--tracks", "2,3") == 0
    out = capsys.readouterr().out
    assert "2  face" in out
    assert "1  face" not in out
    assert run("verify", clip, clip, "--tracks", "2") == 2
    assert "--tracks: expected subjects that were detailed" in capsys.readouterr().err


def test_jobs_hold_it(clip, tmp_path):
    job = ClipJob.of(clip, select=(2, "A"), exclude="labels=hand", frames=(3, 9), at=["3:1,2"])
    assert job.select == SelectSettings(tracks=(2, "A"), exclude=("labels=hand",), frames=(3, 9), at=("3:1,2",))
    for name in ("job.toml", "job.json"):
        write_job(tmp_path / name, job)
        assert read_job(tmp_path / name) == job
    plan = plan_clip(clip, tracks=2, no_cache=True)
    assert [track.number for track in plan.tracks] == [2]
    assert [track.id for track in plan.found] == [1, 2, 3]
    assert plan.selected.numbers == (2,)
    # Settings of what is not meant this time stay in a job; those of what there is not are refused.
    plan_clip(clip, tracks=2, no_cache=True, subjects={1: {"seed": 3}, 2: {"seed": 4}})
    plan = plan_clip(clip, tracks=(2, 3), no_cache=True, subjects={1: {"seed": 3}, 3: {"seed": 4}})
    assert [(track.number, track.detail.seed) for track in plan.tracks] == [(2, 0), (3, 4)]
    with pytest.raises(InvalidArgumentError, match="subjects: expected"):
        plan_clip(clip, tracks=2, no_cache=True, subjects={9: {"seed": 3}})
    report = detail_clip(clip, f"{tmp_path}/out/", BasicPipe.preview(), largest=1, steps=1, guide_size=32, max_size=48)
    assert [track.number for track in report.tracks] == [2]
