"""What a worker of a batch does with one clip after the other."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import tiny_models
from segs_detailer import BasicPipe
from segs_detailer.cli.batch import _is_finished, _task
from segs_detailer.cli.batch_view import BatchView, describe_outcomes
from segs_detailer.cli.batch_work import RunWork
from segs_detailer.cli.options import build_parser
from segs_detailer.errors import MediaError, SegsDetailerError
from segs_detailer.jobs import ClipJob, LimitSettings, ModelCache, Redo
from segs_detailer.jobs.batch import Entry, clip_work
from segs_detailer.jobs.loading import LoadedModels
from segs_detailer.jobs.progress import Stages
from segs_detailer.jobs.report import ClipReport
from segs_detailer.models.sd.text import TextEncoder
from segs_detailer.subjects import Track, Tracks, write_tracks
from segs_detailer.video import read_clip

COUNT = 30
NOTHING = ClipReport(None, "skipped", None, None, (), 0, 0, {}, 0.0, nothing_found="nothing")


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
    whole = replace(task(tmp_path, clip, "-o", f"{tmp_path}/whole/").payload, limits=LimitSettings(no_cache=True))
    apart = task(tmp_path, clip, "-o", f"{tmp_path}/apart/").payload
    told = Told()
    work = RunWork()
    assert "wrote" in work.finish(whole, 0, told).text
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


def test_models_are_loaded_once_whatever_the_seeds_and_prompts_are(tmp_path, clip, monkeypatch):
    """As in the example of docs/batch.md: lines with a prompt and a seed of their own."""
    loads, prompts = [], []
    model = str(tiny_models.save_checkpoint(tmp_path / "sd"))
    original, encode = BasicPipe.from_pretrained, TextEncoder.encode
    monkeypatch.setattr(
        BasicPipe, "from_pretrained", lambda base, **options: loads.append(base) or original(base, **options)
    )
    monkeypatch.setattr(TextEncoder, "encode", lambda self, prompt: prompts.append(prompt) or encode(self, prompt))
    monkeypatch.setattr(clip_work, "_models", ModelCache())
    work, outputs = RunWork(), []
    common = ["--model", model, "--device", "cpu", "--steps", "1", "--guide-size", "16", "--max-size", "16"]
    lines = ([], ["--prompt", "an old man", "--seed", "7"], ["--prompt", "an old man", "--denoise", "0.9"])
    for number, line in enumerate(lines):
        payload = task(tmp_path, clip, "-o", f"{tmp_path}/o{number}/", *common, *line).payload
        assert work.finish(payload, 0, Told()).status == "done"
        outputs.append(read_clip(f"{tmp_path}/o{number}").frames)
    assert loads == [model]
    assert prompts == ["", "", "an old man", "", "an old man", ""]
    assert not np.array_equal(outputs[0], outputs[1])
    assert not np.array_equal(outputs[1], outputs[2])
    # Another number format is another model.
    work.finish(task(tmp_path, clip, "-o", f"{tmp_path}/o9/", *common, "--vae-chunk", "1").payload, 0, Told())
    assert len(loads) == 2


def test_models_of_a_file_that_has_changed_are_loaded_again(tmp_path, monkeypatch):
    loads = []
    monkeypatch.setattr(
        "segs_detailer.jobs.loading.load_models", lambda *given: loads.append(given) or LoadedModels(given[1], "models")
    )
    (tmp_path / "model.safetensors").write_bytes(b"a")
    job, cache = ClipJob.of("a.mp4", model=str(tmp_path / "model.safetensors")), ModelCache()
    for content in (b"a", b"a", b"changed"):
        if (tmp_path / "model.safetensors").read_bytes() != content:
            (tmp_path / "model.safetensors").write_bytes(content)
        cache.get(job.model, job.prompts, Stages())
    assert len(loads) == 2


def test_a_payload_is_a_job_that_can_be_sent(tmp_path, clip):
    payload = task(tmp_path, clip, "--seed", "7", "--bbox", "1,2,30,40", "--model", "b", "--lora", "a=0.5").payload
    assert isinstance(payload, ClipJob)
    assert pickle.loads(pickle.dumps(payload)) == payload
    assert (payload.detail.seed, payload.find.bbox, payload.model.lora) == (7, ((1, 2, 30, 40),), (("a", 0.5),))
    with pytest.raises(MediaError, match="here: unrecognized arguments: --workers 3"):
        task(tmp_path, clip, "--workers", "3")


def test_each_worker_has_its_device(tmp_path, clip, monkeypatch):
    seen = []
    monkeypatch.setattr(clip_work, "detail_clip", lambda job, **_: seen.append(job.model.device) or NOTHING)
    payload = task(tmp_path, clip).payload
    for slot in range(3):
        RunWork(("cuda:0", "cuda:1")).finish(payload, slot, Told())
    RunWork().finish(payload, 0, Told())
    assert seen == ["cuda:0", "cuda:1", "cuda:0", "auto"]
    assert payload.model.device == "auto"


def test_a_clip_without_a_cache_has_no_parts_and_faults_are_raised(tmp_path, clip):
    payload = task(tmp_path, clip).payload
    for options in ({"limits": LimitSettings(no_cache=True)}, {"redo": Redo(tracks=(1,))}):
        assert RunWork().split(replace(payload, **options), Told()) == ()
    with pytest.raises(SegsDetailerError):
        RunWork().finish(payload.changed(segs=str(tmp_path / "none.npz")), 0, Told())


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
