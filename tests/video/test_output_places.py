"""Where outputs may be written: what is replaced, what is refused, what stays."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segs_detailer.cli.main import main
from segs_detailer.errors import InvalidArgumentError, MediaError
from segs_detailer.jobs.store import PixelFile
from segs_detailer.subjects import Mask, Track, Tracks, write_tracks
from segs_detailer.video import open_output, read_clip, write_clip
from segs_detailer.video.partial import PartialFile, PartialFolder, remove_left_over

QUICK = ["--bbox", "4,4,20,20", "--guide-size", "64", "--max-size", "64", "-q", "--no-cache"]
NOTE = ".segs-detailer.json"


def frames(folder, count=3):
    folder.mkdir(parents=True)
    for number in range(1, count + 1):
        Image.new("RGB", (32, 24), (20 * number, 0, 0)).save(folder / f"{number:04d}.png")
    return folder


@pytest.fixture
def clip(tmp_path):
    return read_clip(frames(tmp_path / "in"))


def run(*args):
    return main([str(arg) for arg in args])


def shown(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.name[0] != ".")


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Names that are none


@pytest.mark.parametrize("name", ["", " ", "-"])
def test_empty_names_and_standard_output_are_refused(tmp_path, clip, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidArgumentError, match="the name of a file or folder"):
        open_output(name, clip.info)
    with pytest.raises(InvalidArgumentError, match="the name of a file or folder"):
        write_tracks(name, Tracks((24, 32), 1, ()))
    for command in (
        ["run", "in", *QUICK, f"-o={name}"],
        ["run", "in", *QUICK, "-o", "out", f"--compare={name}"],
        ["plan", "in", *QUICK, f"-o={name}"],
        ["preview", "in", f"-o={name}"],
        ["batch", "in", f"-o={name}"],
    ):
        with pytest.raises(SystemExit) as stop:
            run(*command)
        assert stop.value.code == 2
        assert "is not the name of a file or folder to write to" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("name", [".", "./", "..", "/", "../here"])
def test_folder_that_one_stands_in_is_filled_only_where_it_is_empty(tmp_path, clip, monkeypatch, capsys, name):
    here = tmp_path / "here"
    here.mkdir()
    (here / "notes.txt").write_text("keep")
    monkeypatch.chdir(here)
    before = contents(tmp_path)
    with pytest.raises(MediaError, match="is the folder that you are in, or above it, and not empty: name a folder"):
        open_output(name, clip.info)
    assert run("run", tmp_path / "in", *QUICK, "-o", name) == 2
    assert "name a folder" in capsys.readouterr().err
    assert contents(tmp_path) == before


def test_empty_current_folder_is_filled_and_filled_again(tmp_path, clip, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    write_clip(".", clip)
    assert shown(Path.cwd()) == ["0001.png", "0002.png", "0003.png"]
    write_clip(".", clip, overwrite=True)
    Path("notes.txt").write_text("mine")
    with pytest.raises(MediaError, match="not empty"):
        write_clip(".", clip, overwrite=True)


# Frames of another run


def test_frames_of_another_run_need_overwrite_which_removes_them_alone(tmp_path, capsys):
    longer, shorter = frames(tmp_path / "long", 5), frames(tmp_path / "short", 2)
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("keep")
    (out / "sub").mkdir()
    Image.new("RGB", (4, 4)).save(out / "sub" / "0001.png")
    assert run("run", longer, *QUICK, "-o", f"{out}/") == 0
    before = contents(out)
    assert run("run", shorter, *QUICK, "-o", f"{out}/") == 2
    error = capsys.readouterr().err
    assert "out: holds 0001.png and 4 more pictures of an earlier run: --overwrite replaces them, or choose" in error
    assert contents(out) == before
    assert run("run", shorter, *QUICK, "-o", f"{out}/", "--overwrite") == 0
    assert shown(out) == ["0001.png", "0002.png", "notes.txt", "sub", "sub/0001.png"]
    assert set(json.loads((out / NOTE).read_text())["files"]) == {"0001.png", "0002.png"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_pictures_of_others_are_never_mixed_with_nor_removed(tmp_path, clip, overwrite):
    out = frames(tmp_path / "out", 4)
    before = contents(out)
    with pytest.raises(MediaError, match=r"out: holds 0001\.png and 3 more pictures that no run wrote"):
        write_clip(f"{out}/", clip, overwrite=overwrite)
    assert contents(out) == before


def test_frame_that_was_changed_by_hand_is_not_removed(tmp_path, clip):
    write_clip(f"{tmp_path}/out/", clip)
    Image.new("RGB", (50, 50)).save(tmp_path / "out" / "0002.png")
    with pytest.raises(MediaError, match=r"holds 0002\.png that no run wrote, or that changed since"):
        write_clip(f"{tmp_path}/out/", clip, overwrite=True)
    (tmp_path / "out" / "0002.png").unlink()
    write_clip(f"{tmp_path}/out/", clip, overwrite=True)
    assert shown(tmp_path / "out") == ["0001.png", "0002.png", "0003.png"]


@pytest.mark.parametrize("note", ["", "{", "[]", '{"format": 1}', '{"format": 1, "files": {"0001.png": "x"}}'])
def test_note_that_is_damaged_lets_nothing_be_removed(tmp_path, clip, note):
    write_clip(f"{tmp_path}/out/", clip)
    (tmp_path / "out" / NOTE).write_text(note)
    with pytest.raises(MediaError, match="that no run wrote"):
        write_clip(f"{tmp_path}/out/", clip, overwrite=True)
    assert len(shown(tmp_path / "out")) == 3


def test_note_cannot_name_files_elsewhere(tmp_path, clip):
    write_clip(f"{tmp_path}/out/", clip)
    note = tmp_path / "out" / NOTE
    content = json.loads(note.read_text())
    state = (tmp_path / "in" / "0001.png").stat()
    content["files"]["../in/0001.png"] = [state.st_size, state.st_mtime_ns]
    note.write_text(json.dumps(content))
    write_clip(f"{tmp_path}/out/", clip, overwrite=True)
    assert (tmp_path / "in" / "0001.png").exists()


def test_numbered_names_share_a_folder(tmp_path, clip):
    for name in ("a_%03d.png", "b_%03d.png"):
        write_clip(tmp_path / "in" / name, clip)
    with pytest.raises(MediaError, match=r"holds a_001\.png and 2 more pictures of an earlier run"):
        write_clip(tmp_path / "in" / "a_%03d.png", clip)
    short = read_clip(frames(tmp_path / "short", 1))
    write_clip(tmp_path / "in" / "a_%03d.png", short, overwrite=True)
    assert shown(tmp_path / "in") == [
        *(f"{n:04d}.png" for n in (1, 2, 3)),
        "a_001.png",
        *(f"b_{n:03d}.png" for n in (1, 2, 3)),
    ]
    # They are still known to be of an earlier run.
    write_clip(tmp_path / "in" / "b_%03d.png", short, overwrite=True)
    assert "b_002.png" not in shown(tmp_path / "in")


def test_single_files_are_replaced(tmp_path, clip):
    single = read_clip(tmp_path / "in" / "0001.png")
    for name, what in (("a.png", single), ("a.gif", clip), ("a.mp4", clip)):
        (tmp_path / name).write_bytes(b"older")
        write_clip(tmp_path / name, what)
        assert read_clip(tmp_path / name).info.frames == what.info.frames
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gif", "a.mp4", "a.png", "in"]


def test_run_that_stops_leaves_the_earlier_frames(tmp_path, clip):
    write_clip(f"{tmp_path}/out/", clip)
    before = contents(tmp_path / "out")

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_clip(f"{tmp_path}/out/", clip, overwrite=True, progress=stop)
    assert contents(tmp_path / "out") == before


def test_batch_replaces_what_it_does_again(tmp_path):
    longer = frames(tmp_path / "long", 4)
    (tmp_path / "list.txt").write_text(str(longer))
    given = ["batch", tmp_path / "list.txt", "-o", tmp_path / "out", *QUICK]
    assert run(*given) == 0
    assert run(*given) == 0
    shutil.rmtree(longer)
    frames(longer, 2)
    assert run(*given, "--overwrite") == 0
    assert shown(tmp_path / "out" / "long") == ["0001.png", "0002.png"]


def test_overlays_and_masks_follow_the_same_rule(tmp_path, capsys):
    source = frames(tmp_path / "in")
    mask = Mask.filled((1, 1, 6, 6))
    box = (1, 1, 6, 6)
    two = Tracks((24, 32), 3, tuple(Track(n, "a", [0], [box], 1.0, [mask]) for n in (1, 2)))
    one = Tracks((24, 32), 2, two.tracks[:1])
    write_tracks(tmp_path / "two.npz", two)
    write_tracks(tmp_path / "one.npz", one)
    for again in ([], ["--overwrite"]):
        assert run("plan", source, *QUICK, "-o", tmp_path / "overlay", *again) == 0
        assert run("convert", tmp_path / "two.npz", f"{tmp_path}/masks/", "-q", *again) == 0
    assert run("plan", source, *QUICK, "-o", tmp_path / "overlay") == 2
    assert run("convert", tmp_path / "one.npz", f"{tmp_path}/masks/", "-q") == 2
    assert capsys.readouterr().err.count("--overwrite replaces them") == 2
    assert run("convert", tmp_path / "one.npz", f"{tmp_path}/masks/", "-q", "--overwrite") == 0
    assert shown(tmp_path / "masks") == ["00000.png", "00001.png"]


@pytest.mark.parametrize(
    ("masks", "output"),
    [("m/", "m/"), ("m/%05d.png", "m/"), ("m/*.png", "m"), ("m/", "m/%05d.png"), ("m/%05d.png", "m/%05d.png")],
)
@pytest.mark.parametrize("option", ["--mask", "--segs"])
def test_masks_that_are_read_are_never_written_over(tmp_path, capsys, monkeypatch, masks, output, option):
    frames(tmp_path / "in", 2)
    monkeypatch.chdir(tmp_path)
    box = (1, 1, 6, 6)
    track = Track(1, "a", [0, 1], [box, box], 1.0, [Mask.filled(box), Mask.filled(box)])
    write_tracks("m/", Tracks((24, 32), 2, (track,)))
    before = contents(tmp_path / "m")
    assert run("run", "in", option, masks, "-o", output, "--overwrite", *QUICK[2:]) == 2
    assert f"--output: expected another place than the masks of {option}" in capsys.readouterr().err
    assert contents(tmp_path / "m") == before


# Mount points and long names


@pytest.fixture
def mounts(monkeypatch):
    """Folders that stand for mount points: nothing is renamed into them or out of them."""
    folders = []

    def device(path):
        real = os.path.realpath(Path(path).parent)
        return [folder for folder in folders if real == folder or real.startswith(folder + os.sep)]

    def checked(call):
        def moved(source, target, **more):
            if device(source) != device(target):
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            return call(source, target, **more)

        return moved

    for name in ("rename", "replace"):
        monkeypatch.setattr(os, name, checked(getattr(os, name)))

    def mount(path):
        path.mkdir()
        folders.append(os.path.realpath(path))
        return path

    return mount


def test_output_to_a_mount_point(tmp_path, clip, mounts):
    out = mounts(tmp_path / "out")
    for overwrite in (False, True):
        write_clip(f"{out}/", clip, overwrite=overwrite)
        write_clip(out / "b_%d.png" if overwrite else out / "new" / "", clip)
        write_clip(out / "a.mp4", clip)
        write_clip(out / "a.gif", clip)
    assert {"0001.png", "new", "b_1.png", "a.mp4", "a.gif"} <= set(shown(out))
    assert [path.name for path in out.iterdir() if "partial" in path.name] == []


def test_file_that_is_mounted_alone_is_filled(tmp_path, clip, monkeypatch):
    (tmp_path / "a.mp4").write_bytes(b"older" * 9999)
    replace = Path.replace

    def busy(self, target):
        if Path(target).name == "a.mp4":
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", busy)
    write_clip(tmp_path / "a.mp4", clip)
    assert read_clip(tmp_path / "a.mp4").info.frames == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "in"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0 or not shutil.which("mount"), reason="needs root")
def test_output_to_a_real_mount_point(tmp_path, clip):
    out = tmp_path / "out"
    out.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "none", out], capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        write_clip(f"{out}/", clip)
        write_clip(out / "a.mp4", clip)
        assert shown(out) == ["0001.png", "0002.png", "0003.png", "a.mp4"]
    finally:
        subprocess.run(["umount", out], check=True)


@pytest.mark.parametrize("letter", ["a", "é", "漢"])
@pytest.mark.parametrize("name", ["{}.mp4", "{}.png", "{}/", "{}.gif"])
def test_names_up_to_the_limit_of_the_file_system(tmp_path, clip, letter, name):
    limit = os.pathconf(tmp_path, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255
    room = limit - len(name.strip("/").format(""))
    stem = letter * (room // len(letter.encode()))
    target = tmp_path / name.format(stem)
    what = read_clip(tmp_path / "in" / "0001.png") if name.endswith(".png") else clip
    write_clip(f"{tmp_path}/{name.format(stem)}", what)
    assert read_clip(target).info.frames == what.info.frames
    with pytest.raises(MediaError, match=rf"expected a name of at most {limit} bytes, got \d+: choose a shorter one"):
        write_clip(f"{tmp_path}/{name.format(stem + letter + 'xxx')}", what)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["in", target.name])


def test_names_that_are_cut_stay_apart(tmp_path):
    first, second = (PartialFile(tmp_path / ("x" * 245 + f"{number}.json")) for number in (1, 2))
    assert first.path != second.path
    assert first.path.suffix == ".json"
    for made in (first, second):
        made.discard()


def test_temporary_names_are_known_as_such(tmp_path):
    """Whoever sweeps what dead processes left finds them, however long the name and wherever they lie."""
    (tmp_path / "out").mkdir()
    long = "é" * 120
    for made in (
        PartialFile(tmp_path / "a.mp4"),
        PartialFile(tmp_path / f"{long}.mp4"),
        PartialFolder(tmp_path / "new"),
        PartialFolder(tmp_path / long),
        PartialFolder(tmp_path / "out"),
    ):
        made._claim.release()
        assert made.path.exists()
        assert len(os.fsencode(made.path.name)) <= 255
        remove_left_over(made.path.parent)
        assert not made.path.exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["out"]


def test_links_are_followed_and_devices_refused(tmp_path, clip):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "a.mp4").symlink_to(tmp_path / "elsewhere" / "real.mp4")
    write_clip(tmp_path / "a.mp4", clip)
    assert (tmp_path / "a.mp4").is_symlink()
    assert read_clip(tmp_path / "elsewhere" / "real.mp4").info.frames == 3
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(MediaError, match="is a device or a pipe"):
        write_clip(tmp_path / "pipe.mp4", clip)


def test_pixels_of_pieces_are_written_under_a_name_of_their_own(tmp_path):
    file = PixelFile(tmp_path / ("f" * 250), 1, (2, 2), np.dtype(np.uint8))
    file.write(np.zeros((1, 2, 2, 3), np.uint8))
    assert file.is_complete
    assert [path.name for path in tmp_path.iterdir()] == ["f" * 250]
