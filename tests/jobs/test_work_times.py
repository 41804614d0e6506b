"""What is reported as the time of a pass: what it worked, without what it waited for another."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import numpy as np
from PIL import Image

from fake_sampler import FakeSampler
from segs_detailer.cli.report import describe_times
from segs_detailer.jobs.clips import detail_clip
from segs_detailer.jobs.progress import Passes, Stages, Work
from segs_detailer.models.pipe import BasicPipe


class Clock:
    """A clock that stands until it is put forward."""

    def __init__(self):
        self.now = 0.0
        self.read_in_threads = threading.Event()

    def __call__(self):
        if threading.current_thread() is not threading.main_thread():
            self.read_in_threads.set()
        return self.now


def test_waiting_is_not_work():
    clock = Clock()
    passes = Passes(clock=clock)
    with passes.working("detail"):
        clock.now += 3
        with passes.waiting("detail"):
            clock.now += 40
        clock.now += 4
    assert passes.seconds == {"detail": 7}


def test_a_pass_that_waits_for_crops_has_not_worked():
    clock = Clock()
    passes = Passes(clock=clock)
    work = Work((), passes)
    thread = threading.Thread(target=work.wait_for_crops, args=(5,))
    thread.start()
    assert clock.read_in_threads.wait(30)
    clock.now += 100
    work.cropped(5)
    thread.join()
    assert passes.seconds == {"detail": -100}


def test_each_pass_of_a_run_has_the_seconds_that_it_worked(tmp_path, monkeypatch):
    clock, decoded, write_waits = Clock(), threading.Event(), threading.Event()
    waiting, working = Passes.waiting, Passes.working

    @contextmanager
    def watched_waiting(passes, name):
        with waiting(passes, name):
            if name == "encode":
                write_waits.set()
            yield

    @contextmanager
    def watched_working(passes, name):
        with working(passes, name):
            yield
        if name == "decode":
            decoded.set()

    def repaint(pixels, job):
        assert decoded.wait(30)
        assert write_waits.wait(30)
        clock.now += 1000
        return pixels

    monkeypatch.setattr(Passes, "waiting", watched_waiting)
    monkeypatch.setattr(Passes, "working", watched_working)
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(3):
        Image.fromarray(np.full((48, 64, 3), 50 * index, np.uint8)).save(folder / f"{index}.png")
    values = {"bbox": [(10, 10, 40, 40)], "guide_size": 48, "max_size": 64, "steps": 1}
    pipe = BasicPipe(FakeSampler(repaint), None, None, [], [])
    report = detail_clip(folder, f"{tmp_path}/out/", pipe, progress=Stages(clock=clock), **values)
    assert report.seconds == {"decode": 0, "detail": 1000, "encode": 0}
    assert report.total_seconds == 1000


def test_what_an_encoder_still_holds_in_the_end_is_its_work():
    clock = Clock()
    stages = Stages(clock=clock)
    stages.seconds["encode"] = 2.0
    with stages.ending("encode"):
        clock.now += 5
    with stages.ending("draw"):
        clock.now += 5
    assert stages.seconds == {"encode": 7}


def test_the_summary_says_work_and_the_clock():
    assert describe_times({"decode": 1.04, "encode": 3}, 51) == "time: 51.0 s; at work: decode 1.0 s, encode 3.0 s"
    assert describe_times({}, 0.3) == "time: 0.3 s"
