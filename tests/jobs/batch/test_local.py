"""Many clips on one machine: what is done, skipped, begun again, and said."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from batch_works import PlainWork, Recorder, pids, tasks_of
from places import TESTS
from processes import ended, environment, start, wait_until
from segs_detailer.cli.main import main
from segs_detailer.errors import MediaError
from segs_detailer.jobs.batch import Entry, read_folder, read_list, run_local
from segs_detailer.jobs.batch.tasks import remove_left_over
from segs_detailer.video import open_clip, read_clip
from segs_detailer.video.claims import Claim, owner

QUICK = ["--guide-size", "96", "--max-size", "160", "--steps", "2", "--crop-factor", "1.5", "--bbox", "20,20,50,50"]


# The engine


def test_workers_live_on_from_task_to_task(tmp_path):
    view = Recorder()
    outcomes = run_local(tasks_of(tmp_path, {}, {}, {}), PlainWork(), view)
    assert [(item.status, item.tries, item.text) for item in outcomes] == [
        ("done", 1, f"clip{number} by worker 0") for number in range(3)
    ]
    assert len({pids(tmp_path, f"clip{number}.finish")[0] for number in range(3)}) == 1
    assert ("told", 1, "finish", 2, 2) in view.events
    assert [event for event in view.events if event[0] == "ended"] == [("ended", n, "done") for n in range(3)]


def test_two_workers_work_at_once(tmp_path):
    tasks = tasks_of(tmp_path, {"wait": 1.0}, {"wait": 1.0})
    outcomes = run_local(tasks, PlainWork(), Recorder(), workers=2)
    assert {item.text[-1] for item in outcomes} == {"0", "1"}
    assert pids(tmp_path, "clip0.finish") != pids(tmp_path, "clip1.finish")


def test_a_worker_that_is_killed_costs_its_task_one_try(tmp_path):
    view = Recorder()
    outcomes = run_local(tasks_of(tmp_path, {"die_once": ["finish"]}, {}), PlainWork(), view, retries=1)
    assert [(item.status, item.tries) for item in outcomes] == [("done", 2), ("done", 1)]
    assert view.warnings() == [(0, "its worker was killed by SIGKILL; it is begun again")]
    first, second = pids(tmp_path, "clip0.finish")
    assert first != second
    assert not list(tmp_path.glob(".*partial*"))


def test_a_task_that_kills_every_worker_is_given_up_and_leaves_nothing(tmp_path):
    outcomes = run_local(tasks_of(tmp_path, {"die": ["finish"]}, {}), PlainWork(), Recorder(), retries=2)
    assert [(item.status, item.tries) for item in outcomes] == [("failed", 3), ("done", 1)]
    assert outcomes[0].text == "its worker was killed by SIGKILL"
    assert not list(tmp_path.glob(".*partial*"))


def test_errors_are_told_in_one_line_and_not_tried_again(tmp_path):
    payloads = {"fail": ["finish"]}, {"raise": ["finish"]}, {"warn": ["finish"]}
    view = Recorder()
    outcomes = run_local(tasks_of(tmp_path, *payloads), PlainWork(), view, retries=3)
    assert [(item.status, item.tries) for item in outcomes] == [("failed", 1), ("failed", 1), ("done", 1)]
    assert outcomes[0].text == "clip0: cannot be done"
    assert outcomes[1].text == "ValueError: a bug"
    assert view.warnings() == [(2, "look at this")]


def test_work_says_how_its_clip_ended(tmp_path):
    outcomes = run_local(tasks_of(tmp_path, {}, {"status": "copied"}, {"status": "skipped"}), PlainWork(), Recorder())
    assert [(outcome.status, outcome.text) for outcome in outcomes] == [
        ("done", "clip0 by worker 0"),
        ("copied", "clip1 by worker 0"),
        ("skipped", "clip2 by worker 0"),
    ]


@pytest.mark.parametrize("output", ["a.mp4", "v1.5/", "images/f_%04d.png"])
def test_what_a_dead_worker_left_of_an_output_is_removed(tmp_path, output):
    names = [f".{name}.partial-{owner()}" for name in ("a", "v1.5", "images")]
    paths = [tmp_path / f"{names[0]}.mp4", tmp_path / names[1], tmp_path / names[2]]
    claims = [Claim(path, is_folder=path.suffix != ".mp4") for path in paths]
    (tmp_path / ".a.partial-mine.mp4").touch()
    remove_left_over(f"{tmp_path}/{output}")
    assert all(path.exists() for path in paths)
    for claim in claims:
        claim.release()
    remove_left_over(f"{tmp_path}/{output}")
    remove_left_over(f"{tmp_path}/none/{output}")
    assert [path.name for path in tmp_path.iterdir()] == [".a.partial-mine.mp4"]


# Lists and folders


def test_a_list_names_clips_and_their_options(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("# all\na.mp4\n\n'b c.mp4' --prompt \"an old man\" --seed 3  # old\n")
    assert read_list(path) == [
        Entry("a.mp4", (), f"{path}, line 2"),
        Entry("b c.mp4", ("--prompt", "an old man", "--seed", "3"), f"{path}, line 4"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no clip"),
        ("'a.mp4\n", "line 1: No closing quotation"),
        ("--seed 3 a.mp4\n", "line 1: expected a clip"),
        (b"\xff\xfe\x00\x80", "not a text"),
    ],
)
def test_lists_that_cannot_be_used_are_refused(tmp_path, text, said):
    path = tmp_path / "list.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(MediaError, match=said):
        read_list(path)
    with pytest.raises(MediaError, match="No such file"):
        read_list(tmp_path / "none.txt")


def test_a_folder_gives_its_clips_by_name(tmp_path):
    for name in ("b.MP4", "a.mkv", ".hidden.mp4", "notes.txt"):
        (tmp_path / name).write_text("")
    assert [Path(entry.clip).name for entry in read_folder(tmp_path)] == ["a.mkv", "b.MP4"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(MediaError, match="holds no clip"):
        read_folder(tmp_path / "empty")


# The command


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    y, x = np.mgrid[:72, :96]
    for number, name in enumerate(("one.gif", "two.gif")):
        wave = [127 + 60 * np.sin((x + index + 9 * number) / 5) * np.cos(y / 6) for index in range(4)]
        pictures = [Image.fromarray(np.repeat(frame[..., None], 3, axis=2).astype(np.uint8)) for frame in wave]
        pictures[0].save(folder / name, save_all=True, append_images=pictures[1:], duration=40)
    return folder


def run(*args):
    return main([str(arg) for arg in args])


def test_a_folder_is_done_and_done_again_only_where_something_is_missing(tmp_path, clips, capsys):
    command = ("batch", clips, "-o", tmp_path / "out", "--cache", tmp_path / "cache", *QUICK)
    assert run(*command, "--report", tmp_path / "report.json") == 0
    out = capsys.readouterr().out
    assert "[1/2]" in out
    assert "2 clips: 2 done, in" in out
    names = ("one.gif", "two.gif")
    for name in names:
        before, after = read_clip(clips / name).frames, read_clip(tmp_path / "out" / name).frames
        assert before.shape == after.shape
        assert not np.array_equal(before[:, 20:50, 20:50], after[:, 20:50, 20:50])
    report = json.loads((tmp_path / "report.json").read_text())
    assert [(item["status"], item["tries"]) for item in report["clips"]] == [("done", 1)] * 2
    stamps = [(tmp_path / "out" / name).stat().st_mtime_ns for name in names]
    (tmp_path / "out" / "two.gif").unlink()
    assert run(*command) == 0
    assert "2 clips: 1 done, 1 skipped, in" in capsys.readouterr().out
    assert (tmp_path / "out" / "one.gif").stat().st_mtime_ns == stamps[0]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == list(names)


def test_an_input_that_is_newer_and_overwrite_are_done_again(tmp_path, clips, capsys):
    command = ("batch", clips, "-o", tmp_path / "out", "--cache", tmp_path / "cache", *QUICK, "-q")
    assert run(*command) == 0
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    later = max(stamps.values()) + 1
    os.utime(clips / "one.gif", ns=(later, later))
    assert run(*command) == 0
    again = {path.name for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp}
    assert again == {"one.gif"}
    assert capsys.readouterr().out == ""
    assert run(*command, "--overwrite") == 0
    assert all(path.stat().st_mtime_ns != stamp for path, stamp in stamps.items())


def test_options_of_a_line_come_before_those_of_the_command(tmp_path, clips):
    (tmp_path / "list.txt").write_text(
        f"{clips}/one.gif -o {tmp_path}/plain/\n{clips}/one.gif -o {tmp_path}/strong/ --feather 0 --bbox 60,5,90,30\n"
    )
    command = ("batch", tmp_path / "list.txt", "-o", tmp_path / "out", "--cache", tmp_path / "cache", *QUICK)
    assert run(*command, "--feather", "3") == 0
    source = read_clip(clips / "one.gif").frames
    plain, strong = (read_clip(tmp_path / name).frames != source for name in ("plain", "strong"))
    # The boxes of the command and of the line add up.
    assert plain[:, 20:50, 20:50].any()
    assert not plain[:, :, 60:].any()
    assert strong[:, 20:50, 20:50].any()
    assert strong[:, 5:30, 60:90].any()


def test_a_clip_that_cannot_be_read_does_not_stop_the_others(tmp_path, clips, capsys):
    (clips / "bad.mp4").write_text("nothing")
    code = run("batch", clips, "-o", tmp_path / "out", "--cache", tmp_path / "cache", *QUICK)
    captured = capsys.readouterr()
    assert code == 1
    assert "bad.mp4: cannot be read as a video" in captured.err
    assert "3 clips: 2 done, 1 failed, in" in captured.out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["one.gif", "two.gif"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{clips}/one.gif --no-such", "line 1: unrecognized arguments: --no-such"),
        ("{clips}/one.gif --steps x", "line 1: argument --steps"),
        ("{clips}/one.gif\n{clips}/one.gif --seed 2", "line 2: has the output of"),
        ("{clips}/one.gif -o {clips}/one.gif", "its output would be the clip itself"),
        ("{clips}/one.gif -o {clips}/two.gif\n{clips}/two.gif", "line 1: its output would be the clip of"),
        ("{clips}/one.gif --compare {clips}/one.gif", "its output would be the clip itself"),
        ("{clips}/one.gif --compare a.gif\n{clips}/two.gif --compare a.gif", "line 2: has the output of"),
        ("{clips}/%04d.png -o {clips}/", "its output would be the clip itself"),
        ("{clips}/one.gif -o {clips}/%04d.png\n{clips}/%04d.png", "line 1: its output would be in the clip of"),
    ],
)
def test_a_list_with_a_fault_is_refused_before_anything_is_begun(tmp_path, clips, capsys, line, said):
    (tmp_path / "list.txt").write_text(line.format(clips=clips))
    assert run("batch", tmp_path / "list.txt", "-o", tmp_path / "out", *QUICK) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "args",
    [
        ("--engine", "ray", "--devices", "cpu"),
        ("--address", "auto"),
        ("--cpus-per-task", "0"),
        ("--whole-clips",),
        ("--devices", "cpu,cpu", "--workers", "1"),
    ],
)
def test_options_of_another_engine_are_refused(tmp_path, clips, capsys, args):
    assert run("batch", clips, "-o", tmp_path / "out", *args) == 2
    assert "expected" in capsys.readouterr().err


def test_marks_in_a_files_own_name_are_no_wildcards(tmp_path, clips):
    for name in ("one [1080p].gif", "100% real.gif"):
        (clips / "one.gif").rename(clips / name)
        (tmp_path / "list.txt").write_text(f'"{clips / name}"\n')
        assert run("batch", tmp_path / "list.txt", "-o", tmp_path / "out", "--no-cache", *QUICK, "-q") == 0
        assert open_clip(tmp_path / "out" / name).info.frames == 4
        (clips / name).rename(clips / "one.gif")


def test_a_line_that_asks_for_redo_is_not_skipped(tmp_path, clips, capsys):
    (tmp_path / "list.txt").write_text(f"{clips}/one.gif\n")
    command = ("batch", tmp_path / "list.txt", "-o", tmp_path / "out", "--cache", tmp_path / "cache", *QUICK)
    assert run(*command) == 0
    (tmp_path / "list.txt").write_text(f"{clips}/one.gif --redo 1\n")
    capsys.readouterr()
    assert run(*command) == 0
    assert "1 done" in capsys.readouterr().out


def test_devices_without_a_name_are_refused(tmp_path, clips, capsys):
    with pytest.raises(SystemExit) as ended:
        run("batch", clips, "-o", tmp_path / "out", "--devices", " , ")
    assert ended.value.code == 2
    assert "--devices: ' , ' holds no name" in capsys.readouterr().err


def test_images_become_folders_of_images(tmp_path, clips):
    folder = tmp_path / "frames"
    folder.mkdir()
    for index, frame in enumerate(read_clip(clips / "one.gif").frames):
        Image.fromarray((frame * 255 + 0.5).astype(np.uint8)).save(folder / f"{index:03d}.png")
    (tmp_path / "list.txt").write_text(f"{folder}\n")
    command = ("batch", tmp_path / "list.txt", "-o", tmp_path / "out", "--cache", tmp_path / "cache", *QUICK, "-q")
    assert run(*command) == 0
    assert open_clip(tmp_path / "out" / "frames").info.frames == 4
    stamp = (tmp_path / "out" / "frames" / "000.png").stat().st_mtime_ns
    assert run(*command) == 0
    assert (tmp_path / "out" / "frames" / "000.png").stat().st_mtime_ns == stamp


BATCH = """
import os, sys
from batch_works import PlainWork, Recorder, tasks_of
from segs_detailer.jobs.batch import run_local
from pathlib import Path
if __name__ == "__main__":
    run_local(tasks_of(Path(sys.argv[1]), {"wait": 1e9}, {"wait": 1e9}), PlainWork(), Recorder(), workers=2)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("is_for_all", [False, True])
def test_a_batch_that_is_stopped_leaves_no_worker_and_no_half_file(tmp_path, is_for_all):
    (tmp_path / "script.py").write_text(BATCH)
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path)]
    process = start(command, env=environment(TESTS), start_new_session=True)
    wait_until(lambda: len(list(tmp_path.glob(".*partial*"))) == 2, process)
    workers = [int(number) for name in ("clip0", "clip1") for number in pids(tmp_path, f"{name}.finish")]
    # A terminal sends Ctrl-C to all processes of a command: the workers leave it to the first one.
    (os.killpg if is_for_all else os.kill)(process.pid, signal.SIGINT)
    code, _, error = ended(process)
    assert code == -signal.SIGINT
    assert error.count("Traceback") == error.count("KeyboardInterrupt") == 1
    assert not list(tmp_path.glob(".*partial*"))
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)
