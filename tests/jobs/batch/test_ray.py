"""Many clips on a Ray cluster of two workers: parts as tasks, workers that are killed, and the same pixels."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import segs_detailer.jobs.batch.ray_engine
from batch_works import PlainWork, Recorder, pids, tasks_of
from places import TESTS
from segs_detailer.cli.main import main
from segs_detailer.errors import MediaError, MissingDependencyError
from segs_detailer.jobs.batch import RayOptions, run_ray
from segs_detailer.jobs.batch.ray_engine import import_ray
from segs_detailer.video import read_clip

try:
    import_ray()
except MissingDependencyError as missing:
    RAY = str(missing)
else:
    RAY = ""

needs_ray = pytest.mark.skipif(bool(RAY), reason=RAY)
# Ray leaves files open to its own logs, and warns of settings of its own that change.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def cluster():
    """Two workers on this machine; one cluster for all tests, as starting one takes seconds."""
    ray = import_ray()
    paths = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    ray.init(
        num_cpus=2,
        num_gpus=0,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
        object_store_memory=100 << 20,
        runtime_env={"env_vars": {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}},
    )
    yield ray
    ray.shutdown()


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r"segs-detailer\[ray\]"):
        segs_detailer.jobs.batch.ray_engine.import_ray()


def test_an_address_at_which_nobody_listens_is_refused_at_once(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(MediaError, match=f"{address}: cannot be reached"):
            segs_detailer.jobs.batch.ray_engine._check_answers(address)
    for other in ("auto", "ray://head:10001", "local"):
        segs_detailer.jobs.batch.ray_engine._check_answers(other)


@needs_ray
def test_clips_and_their_parts_are_tasks(cluster, tmp_path):
    view = Recorder()
    outcomes = run_ray(tasks_of(tmp_path, {"parts": 3}, {}), PlainWork(), view)
    assert [(item.status, item.tries) for item in outcomes] == [("done", 5), ("done", 2)]
    assert [len(pids(tmp_path, f"clip0.{step}")) for step in ("split", "part0", "part1", "part2", "finish")] == [1] * 5
    finished = (tmp_path / "clip0.finish.begun").stat().st_mtime_ns
    assert all((tmp_path / f"clip0.part{n}.begun").stat().st_mtime_ns < finished for n in range(3))
    assert ("told", 0, "parts", 3, 3) in view.events


@needs_ray
def test_work_says_how_its_clip_ended(cluster, tmp_path):
    tasks = tasks_of(tmp_path, {}, {"status": "copied"}, {"status": "skipped"})
    outcomes = run_ray(tasks, PlainWork(), Recorder())
    assert [outcome.status for outcome in outcomes] == ["done", "copied", "skipped"]


@needs_ray
def test_whole_clips_are_one_task_each(cluster, tmp_path):
    outcomes = run_ray(tasks_of(tmp_path, {"parts": 3}), PlainWork(), Recorder(), RayOptions(split=False))
    assert [(item.status, item.tries) for item in outcomes] == [("done", 1)]
    assert not (tmp_path / "clip0.split.begun").exists()


@needs_ray
def test_a_task_that_never_finds_room_is_refused(cluster, tmp_path):
    with pytest.raises(MediaError, match=r"no room for one task \(64 CPUS, 0 GPUS\)"):
        run_ray(tasks_of(tmp_path, {}), PlainWork(), Recorder(), RayOptions(cpus=64))


@needs_ray
def test_a_worker_that_dies_costs_its_task_and_nothing_else(cluster, tmp_path):
    view = Recorder()
    tasks = tasks_of(tmp_path, {"parts": 3, "die_once": ["part1", "finish"]}, {"parts": 2})
    outcomes = run_ray(tasks, PlainWork(), view)
    assert [(item.status, item.tries) for item in outcomes] == [("done", 7), ("done", 4)]
    assert [len(pids(tmp_path, f"clip0.part{n}")) for n in range(3)] == [1, 2, 1]
    assert view.warnings() == [(0, "its worker died; it is begun again")] * 2
    assert not list(tmp_path.glob(".*partial*"))


@needs_ray
def test_what_fails_and_what_kills_every_worker_fails_its_clip_alone(cluster, tmp_path):
    buggy = {"raise": ["finish"], "warn": ["split"]}
    tasks = tasks_of(tmp_path, {"parts": 4, "die": ["part1"]}, {"fail": ["split"]}, buggy, {"parts": 2})
    view = Recorder()
    outcomes = run_ray(tasks, PlainWork(), view, RayOptions(retries=1))
    assert [item.status for item in outcomes] == ["failed", "failed", "failed", "done"]
    assert outcomes[0].text == "its worker died"
    assert outcomes[1].text == "clip1: cannot be done"
    assert outcomes[2].text == "ValueError: a bug"
    assert (2, "look at this") in view.warnings()
    assert len(pids(tmp_path, "clip0.part1")) == 2
    assert not (tmp_path / "clip0.finish.begun").exists()


@needs_ray
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="the worker to kill is found in /proc")
def test_pieces_sampled_apart_by_workers_of_which_one_is_killed_give_the_same_pixels(cluster, tmp_path, capsys):
    """The whole command, with the preview sampler: two clips in pieces, and as an undisturbed run on one process."""
    clips = tmp_path / "clips"
    clips.mkdir()
    lines = ""
    for name, count in (("one", 40), ("two", 30)):
        save_gif(clips / f"{name}.gif", count)
        write_tracks(tmp_path / f"{name}.npz", count)
        lines += f"{clips}/{name}.gif -o {{out}}/{name}/ --segs {tmp_path}/{name}.npz\n"
    for engine in ("local", "ray"):
        (tmp_path / f"{engine}.txt").write_text(lines.format(out=tmp_path / engine))
    common = ["-o", str(tmp_path / "rest"), "--guide-size", "96", "--max-size", "160", "--crop-factor", "1.5"]
    cache = ["--cache", str(tmp_path / "cache"), "--report", str(tmp_path / "report.json")]
    # The folder of the cluster's results is empty when it begins.
    assert main(["batch", str(tmp_path / "local.txt"), *common, "--no-cache", "-q"]) == 0
    stop, killed = threading.Event(), []
    killer = threading.Thread(target=kill_one, args=(stop, killed))
    killer.start()
    try:
        code = main(["batch", str(tmp_path / "ray.txt"), *common, *cache, "--engine", "ray", "--retries", "3"])
    finally:
        stop.set()
        killer.join()
    captured = capsys.readouterr()
    assert code == 0, captured
    assert killed
    assert "its worker died; it is begun again" in captured.err
    assert "2 clips: 2 done" in captured.out
    # Two subjects each: two pieces, sampled by tasks of their own. One task was begun twice, or more where the worker
    # was shot at the moment at which it took another.
    tries = sum(item["tries"] for item in json.loads((tmp_path / "report.json").read_text())["clips"])
    assert tries >= 2 * 4 + 1
    assert len(list((tmp_path / "cache" / "crops").rglob("*.pixels"))) == 4
    for name in ("one", "two"):
        local, ray = (read_clip(tmp_path / engine / name).frames for engine in ("local", "ray"))
        assert np.array_equal(local, ray)
        assert not np.array_equal(local, read_clip(clips / f"{name}.gif").frames)


def save_gif(path, count):
    y, x = np.mgrid[:72, :96]
    wave = [127 + 60 * np.sin((x + index) / 5) * np.cos(y / 6) for index in range(count)]
    pictures = [Image.fromarray(np.repeat(frame[..., None], 3, axis=2).astype(np.uint8)) for frame in wave]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40)


def write_tracks(path, count):
    from segs_detailer.subjects import Track, Tracks, write_tracks

    left = Track(1, "left", range(10), [(20, 20, 50, 50)] * 10)
    right = Track(2, "right", range(15, count), [(50, 30, 80, 60)] * (count - 15))
    write_tracks(path, Tracks((72, 96), count, (left, right)))


def kill_one(stop, killed):
    """Shoot the first worker that is seen at a task."""
    while not stop.is_set() and not killed:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            # Processes end while they are looked at.
            with contextlib.suppress(OSError):
                if path.read_bytes().startswith(b"ray::_do"):
                    # Its name changes a moment before it begins.
                    time.sleep(0.3)
                    os.kill(int(path.parent.name), signal.SIGKILL)
                    killed.append(path.parent.name)
                    return
        time.sleep(0.02)
