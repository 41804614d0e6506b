"""What a worker of a batch does with one clip after the other."""

from __future__ import annotations

import argparse

import numpy as np
import pytest
from PIL import Image

from segs_detailer.cli import batch_work
from segs_detailer.cli.batch import _is_finished, _task
from segs_detailer.cli.batch_view import BatchView, describe_outcomes
from segs_detailer.cli.batch_work import RunWork
from segs_detailer.cli.options import build_parser
from segs_detailer.errors import MediaError, SegsDetailerError
from segs_detailer.jobs.batch import Entry
from segs_detailer.subjects import Track, Tracks, write_tracks
from segs_detailer.video import read_clip

COUNT = 30


@pytest.fixture
def clip(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    y, x = np.mgrid[:72, :96]
    for index in range(COUNT):
        wave = 127 + 60 * np.sin((x + index) / 5) * np.cos(y / 6)
        Image.fromarray(np.repeat(wave[..., None], 3, axis=2).astype(np.uint8)).save(folder / f"{index:03d}.png")
    left = Track(1, "left", range(8), [(20, 20, 50, 50)] * 8)
    right = Track(2, "right", range(20, COUNT), [(50, 30, 80, 60)] * 10)
    write_tracks(tmp_path / "tracks.npz", Tracks((72, 96), COUNT, (left, right)))
    return folder


def task(tmp_path, clip, *options):
    command = ["batch", str(clip), "-o", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    sizes = ["--guide-size", "96", "--max-size", "160", "--crop-factor", "1.5", "--segs", str(tmp_path / "tracks.npz")]
    args = build_parser().parse_args([*command, *sizes])
    return _task(Entry(str(clip), tuple(str(option) for option in options), "here"), args)


class Told:
    def __init__(self):
        self.calls = []

    def __call__(self, stage, done, total):
        self.calls.append((stage, done, total))


def test_parts_sampled_apart_and_finished_are_the_clip_at_once(tmp_path, clip):
    whole = task(tmp_path, clip, "-o", f"{tmp_path}/whole/", "--no-cache").payload
    whole.cache = None
    apart = task(tmp_path, clip, "-o", f"{tmp_path}/apart/").payload
    told = Told()
    work = RunWork()
    assert "wrote" in work.finish(whole, 0, told)
    assert {"decode", "detail", "encode"} <= {call[0] for call in told.calls}
    parts = work.split(apart, told)
    assert parts == ((0,), (1,))
    work.sample(apart, parts[1], told)
    # What is there already is no part any more; what is left is one alone, and `finish` does it.
    assert work.split(apart, told) == ()
    work.sample(apart, parts[0], told)
    results = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache" / "crops").rglob("*.pixels")}
    assert len(results) == 2
    work.finish(apart, 0, told)
    assert all(path.stat().st_mtime_ns >= stamp for path, stamp in results.items())
    first, second = (read_clip(tmp_path / name).frames for name in ("whole", "apart"))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, read_clip(clip).frames)


def test_models_are_loaded_once_for_clips_of_the_same_options(tmp_path, clip, monkeypatch):
    loads = []
    original = batch_work.load_pipes

    def load(args, stages):
        loads.append(args.steps)
        return original(args, stages)

    monkeypatch.setattr(batch_work, "load_pipes", load)
    monkeypatch.setattr(batch_work, "_loaded", None)
    work = RunWork()
    for number, steps in enumerate((1, 1, 2)):
        payload = task(tmp_path, clip, "-o", f"{tmp_path}/o{number}/", "--steps", steps).payload
        work.finish(payload, 0, Told())
    assert loads == [1, 2]


def test_each_worker_has_its_device(tmp_path, clip, monkeypatch):
    seen = []
    monkeypatch.setattr(batch_work, "run", lambda args, *_: seen.append(args.device))
    payload = task(tmp_path, clip).payload
    for slot in range(3):
        RunWork(("cuda:0", "cuda:1")).finish(payload, slot, Told())
    RunWork().finish(payload, 0, Told())
    assert seen == ["cuda:0", "cuda:1", "cuda:0", "auto"]
    assert payload.device == "auto"


def test_a_clip_without_a_cache_has_no_parts_and_faults_are_raised(tmp_path, clip):
    payload = task(tmp_path, clip).payload
    for options in ({"no_cache": True, "cache": None}, {"redo": [(1, None)]}):
        assert RunWork().split(argparse.Namespace(**{**vars(payload), **options}), Told()) == ()
    with pytest.raises(SegsDetailerError):
        RunWork().finish(argparse.Namespace(**{**vars(payload), "segs": str(tmp_path / "none.npz")}), 0, Told())


def test_a_payload_has_the_options_of_run_and_no_others(tmp_path, clip):
    run = vars(build_parser().parse_args(["run", "clip", "-o", "out"]))
    assert set(vars(task(tmp_path, clip).payload)) == set(run) - {"command"}
    with pytest.raises(MediaError, match="here: unrecognized arguments: --workers 3"):
        task(tmp_path, clip, "--workers", "3")


def test_numbered_outputs_are_finished_when_a_frame_is_there(tmp_path, clip):
    numbered = task(tmp_path, clip, "-o", f"{tmp_path}/done/f_%04d.png")
    assert not _is_finished(numbered)
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / ".f_0001.partial.png").touch()
    assert not _is_finished(numbered)
    (tmp_path / "done" / "f_0001.png").touch()
    assert _is_finished(numbered)


def test_the_line_that_moves_says_what_is_waited_for(tmp_path, clip, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    view = BatchView([task(tmp_path, clip)], skipped=1)
    view.began(0)
    view._drawn = 0.0
    view.told(0, "decode", 9, 10)
    view._drawn = 0.0
    view.told(0, "detail", 1, 4)
    view.close()
    assert "1/2 clips" in capsys.readouterr().err
    assert describe_outcomes([], 1.0)[-1] == "0 clips: , in 1.0 s"
