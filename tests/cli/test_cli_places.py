"""What is written at the end of a command is refused before its work, where it cannot be written."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from PIL import Image

from segs_detailer.cli.main import main

BOX = ["--bbox", "20,14,44,38"]
QUICK = ["--guide-size", "32", "--max-size", "48", "--steps", "2", "-q", *BOX]

# Names of the file within the folder that is tried, and the command around it.
COMMANDS = {
    "run -o": ("x.mp4", "run CLIP -o FILE --bbox 20,14,44,38"),
    "run -o images": ("x_%04d.png", "run CLIP -o FILE --bbox 20,14,44,38"),
    "run --compare": ("x.png", "run CLIP -o TMP/out.mp4 --compare FILE --bbox 20,14,44,38"),
    "run --compare video": ("x.mp4", "run CLIP -o TMP/out.mp4 --compare FILE --bbox 20,14,44,38"),
    "plan -o": ("x.mp4", "plan CLIP -o FILE --bbox 20,14,44,38"),
    "plan --json": ("x.json", "plan CLIP --json FILE --bbox 20,14,44,38"),
    "preview -o": ("x.png", "preview CLIP -o FILE --bbox 20,14,44,38"),
    "verify --json": ("x.json", "verify CLIP CLIP --json FILE"),
    "batch --report": ("x.json", "batch TMP/list.txt -o TMP/out --report FILE --bbox 20,14,44,38"),
    "batch --compare": ("x.png", "batch TMP/compared.txt -o TMP/out --bbox 20,14,44,38"),
    "convert": ("x.npz", "convert CLIP FILE"),
    "convert to pictures": ("x_%04d.png", "convert CLIP FILE --format masks"),
}


@pytest.fixture
def clip(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    y, x = np.mgrid[:48, :64]
    for index in range(4):
        wave = 127 + 60 * np.sin((x + index) / 5) * np.cos(y / 6)
        Image.fromarray(np.repeat(wave[..., None], 3, axis=2).astype(np.uint8)).save(folder / f"{index}.png")
    (tmp_path / "list.txt").write_text(f"{folder}\n")
    return folder


@pytest.fixture
def no_work(monkeypatch):
    """Everything that takes its time."""
    for place in (
        "jobs.loading.load_models",
        "jobs.finding.TrackChooser.choose",
        "cli.batch._run",
        "jobs.checking.verify_clips",
        "subjects.formats.files.read_tracks",
    ):
        monkeypatch.setattr(f"segs_detailer.{place}", lambda *_, **__: pytest.fail("the work was begun"))


def names_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def fails(capsys, *args):
    assert main([str(arg) for arg in args]) == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("segs-detailer: error: ")
    return line


def command_for(name, clip, place):
    text = COMMANDS[name][1].replace("CLIP", str(clip)).replace("FILE", str(place)).replace("TMP", str(clip.parent))
    (clip.parent / "compared.txt").write_text(f"{clip} --compare {place}\n")
    return text.split()


# A folder of images is made where it is missing, and may have any name; a clip of a batch fails alone.
MAKE_FOLDERS = {"run -o images"}
TAKE_FOLDERS = {"run -o", "run -o images", "plan -o", "run --compare video", "batch --compare", "convert to pictures"}


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - MAKE_FOLDERS))
def test_a_folder_that_is_not_there(tmp_path, clip, no_work, capsys, name):
    command = command_for(name, clip, tmp_path / "none" / COMMANDS[name][0])
    before = names_in(tmp_path)
    assert "none: no such folder to write to: create it first" in fails(capsys, *command)
    assert names_in(tmp_path) == before


@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_that_may_not_be_written_to(tmp_path, clip, no_work, capsys, monkeypatch, name):
    folder = tmp_path / "closed"
    folder.mkdir()
    access = os.access
    # The superuser may write everywhere.
    monkeypatch.setattr("os.access", lambda path, mode: access(path, mode) and os.fspath(path) != str(folder))
    command = command_for(name, clip, folder / COMMANDS[name][0])
    before = names_in(tmp_path)
    assert "closed: this folder may not be written to: choose another" in fails(capsys, *command)
    assert names_in(tmp_path) == before


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - TAKE_FOLDERS))
def test_a_folder_of_that_name(tmp_path, clip, no_work, capsys, name):
    place = tmp_path / "there" / COMMANDS[name][0]
    place.mkdir(parents=True)
    command = command_for(name, clip, place)
    before = names_in(tmp_path)
    assert "is a folder: name a file in it" in fails(capsys, *command)
    assert names_in(tmp_path) == before


@pytest.mark.parametrize(("command", "option"), [("plan", "json"), ("verify", "json"), ("batch", "report")])
def test_the_option_is_named_and_the_clip_is_not_written_over(tmp_path, clip, no_work, capsys, command, option):
    others = {
        "plan": [clip, *BOX],
        "verify": [clip, clip],
        "batch": [tmp_path / "list.txt", "-o", tmp_path / "out", *BOX],
    }
    args = [command, *others[command], f"--{option}"]
    assert f"error: --{option}: {tmp_path}/none: no such folder" in fails(capsys, *args, f"{tmp_path}/none/x.json")
    same = tmp_path / "in" / ".." / ("list.txt" if command == "batch" else "in")
    before = names_in(tmp_path)
    assert f"--{option}: expected another file than the clip and the output" in fails(capsys, *args, same)
    assert names_in(tmp_path) == before


def test_outputs_of_a_batch_are_made_with_their_folders_and_refused_where_they_cannot_be(tmp_path, clip, capsys):
    (tmp_path / "list.txt").write_text(f"{clip} --compare {tmp_path}/new/deep/both.png\n")
    command = ["batch", tmp_path / "list.txt", "--no-cache", *QUICK]
    assert main([str(arg) for arg in [*command, "-o", tmp_path / "new" / "deep"]]) == 0
    assert (tmp_path / "new" / "deep" / "both.png").exists()
    line = fails(capsys, *command, "-o", tmp_path / "list.txt" / "out")
    assert "list.txt, line 1" in line
    assert f"{tmp_path}/list.txt: is a file: name a folder" in line


def test_a_report_that_is_not_written_leaves_nothing(tmp_path, clip, monkeypatch, capsys):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("segs_detailer.jobs.finding.TrackChooser.choose", stopped)
        for command in (["plan", clip, "--json"], ["preview", clip, "-o"]):
            name = tmp_path / ("x.json" if command[0] == "plan" else "x.png")
            before = names_in(tmp_path)
            assert main([str(arg) for arg in [*command, name, *BOX]]) == 130
            assert names_in(tmp_path) == before
    capsys.readouterr()
    (tmp_path / "x.json").write_text("older")
    assert main(["plan", str(clip), "--json", str(tmp_path / "x.json"), "-q", *BOX]) == 0
    assert json.loads((tmp_path / "x.json").read_text())["frames"] == 4
    # A report is written also where the clip has a fault, which is another exit code.
    Image.new("RGB", (64, 48)).save(tmp_path / "in" / "3.png")
    other = tmp_path / "other"
    other.mkdir()
    for path in clip.iterdir():
        Image.new("RGB", (64, 48), (200, 0, 0)).save(other / path.name)
    command = ["verify", clip, other, "--json", tmp_path / "x.json", "-q", "--bbox", "1,1,5,5"]
    assert main([str(arg) for arg in command]) == 1
    assert json.loads((tmp_path / "x.json").read_text())["findings"]
