"""Jobs as plain data: equal, pickled, in files, by the names of their fields; and what is done with them."""

from __future__ import annotations

import pickle
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

import processes
from segs_detailer import (
    BasicPipe,
    ClipJob,
    DetailerSettings,
    EncodeSettings,
    FindSettings,
    LimitSettings,
    ModelSettings,
    PathSettings,
    PromptSettings,
    Redo,
    detail_clip,
    plan_clip,
    read_clip,
    read_job,
    verify_clip,
    write_job,
)
from segs_detailer.cli.main import main
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, MediaError

FULL = ClipJob(
    "in/%04d.png",
    "out.mp4",
    find=FindSettings(bbox=[(1, 2, 30.5, 40)], detect_labels=["a", "b"], min_face=40),
    crop=PathSettings(crop="follow", aspect=1.5, ramp=0, mask_median=2),
    detail=DetailerSettings(denoise_by_size="40:0.55,160:0.3", seed=2**63, guide_size_for="crop_region"),
    model=ModelSettings(model="sd", lora=[("a", 1), ("b", 0.5)], attention_slicing="max", context_length=8),
    prompts=PromptSettings(prompt='a "woman"\n\x7f'),
    subjects={
        2: {"prompt": "an old man", "denoise": 0.3},
        "hand": ("five", "six"),
        "Ann B.": {"lora": [("x", 1)], "seed": 3},
    },
    encode=EncodeSettings(codec="vp9", crf=20.5, no_audio=True),
    limits=LimitSettings(max_ram=10**9, cache="cache", threads=2),
    redo=Redo(tracks=(2,), frames=((3, 9),)),
    when_empty="skip",
    overwrite=True,
    compare="c.png",
    fps=Fraction(30000, 1001),
    fill_gaps=True,
)


@pytest.fixture
def clip(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(6):
        pixels = np.random.default_rng(index).integers(0, 255, (48, 64, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:04d}.png")
    return folder


@pytest.mark.parametrize("job", [ClipJob("a.mp4"), FULL], ids=["plain", "full"])
@pytest.mark.parametrize("name", ["job.toml", "job.json"])
def test_what_is_written_to_a_file_comes_back_equal(tmp_path, job, name):
    write_job(tmp_path / name, job)
    assert read_job(tmp_path / name) == job
    assert pickle.loads(pickle.dumps(job)) == job
    assert job != job.changed(seed=5)


def test_a_file_holds_what_differs(tmp_path):
    write_job(tmp_path / "job.toml", ClipJob.of("in.mp4", "out.mp4", find="face", denoise=0.4))
    text = (tmp_path / "job.toml").read_text()
    assert text == 'clip = "in.mp4"\noutput = "out.mp4"\n\n[find]\ndetect = "face"\n\n[detail]\ndenoise = 0.4\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip = ", "is no TOML"),
        ("output = 'a'", "clip: expected the name of the clip, got none"),
        ("clip = 'a'\n[detail]\ndenoise = 2", "denoise: expected a number above 0 and at most 1, got 2"),
        ("clip = 'a'\n[detail]\ndenoize = 0.4", "detail: expected .*denoise.*got 'denoize'"),
        ("clip = 'a'\nfind = 3", "find: expected a table, got 3"),
        ("clip = 'a'\nclips = 'b'", "job: expected .*got 'clips'"),
        ("clip = 'a'\n[redo]\ntracks = [0]", "redo: expected numbers of tracks, from 1"),
    ],
)
def test_files_that_hold_something_else_are_refused(tmp_path, text, message):
    path = tmp_path / "job.toml"
    path.write_text(text)
    with pytest.raises(MediaError, match=message) as caught:
        read_job(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_what_cannot_be_in_a_file_is_refused(tmp_path):
    with pytest.raises(MediaError, match=r"expected a job's file, .toml or .json"):
        write_job(tmp_path / "job.yaml", FULL)
    with pytest.raises(InvalidArgumentError, match="scheduler_func: expected None"):
        write_job(tmp_path / "job.json", ClipJob.of("a.mp4", scheduler_func=lambda *_: None))
    with pytest.raises(InvalidArgumentError, match="refiner_ratio: expected a value, as TOML has no None"):
        write_job(tmp_path / "job.toml", ClipJob.of("a.mp4", refiner_ratio=None))
    assert list(tmp_path.iterdir()) == []


def test_fields_of_parts_by_their_names():
    job = ClipJob.of("a.mp4", find="face", crop="fixed", model="sd", subjects={1: "x"}, min_face=9, seed=3, max_ram=5)
    assert (job.find.detect, job.crop.crop, job.model.model) == ("face", "fixed", "sd")
    assert (job.subjects[1].prompt, job.find.min_face, job.detail.seed, job.limits.max_ram) == ("x", 9, 3, 5)
    assert job.detail.limit_size
    with pytest.raises(InvalidArgumentError, match=r"got 'denoize'.*denoise"):
        ClipJob.of("a.mp4", denoize=0.4)
    with pytest.raises(InvalidTypeError, match="detail: expected a DetailerSettings, got dict"):
        ClipJob("a.mp4", detail={})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"min_share": 2}, "min_share"),
        ({"bbox": [(1, 2, 3)]}, "bbox"),
        ({"crop_factor": 0.5}, "crop_factor"),
        ({"dtype": "int8"}, "dtype"),
        ({"attention_slicing": 0}, "attention_slicing"),
        ({"fps": 0}, "fps"),
        ({"when_empty": "ignore"}, "when_empty"),
        ({"cache": "a", "no_cache": True}, "cache"),
        ({"redo": Redo(tracks=(1,)), "no_cache": True}, "redo"),
        ({"lora": ["a"]}, "lora"),
    ],
)
def test_every_value_is_checked_by_its_name(values, message):
    with pytest.raises((InvalidArgumentError, InvalidTypeError), match=f"^{message}: expected "):
        ClipJob.of("a.mp4", **values)


def test_a_clip_is_planned_detailed_and_verified(tmp_path, clip):
    told = []
    values = {"bbox": [(10, 10, 40, 40)], "guide_size": 48, "max_size": 64, "crop_factor": 1.2, "steps": 1}
    plan = plan_clip(clip, no_cache=True, **values)
    [track] = plan.tracks
    assert (track.number, track.span, plan.done) == (1, (0, 6), 0)
    report = detail_clip(
        clip, f"{tmp_path}/out/", BasicPipe.preview(), progress=lambda *state: told.append(state), **values
    )
    assert (report.status, report.output, report.sampled, report.reused) == ("done", f"{tmp_path}/out/", 1, 0)
    assert [(each.number, each.label, each.first, each.last) for each in report.tracks] == [(1, "box", 0, 5)]
    assert {stage for stage, _, _ in told} == {"decode", "detail", "encode"} == set(report.seconds)
    assert report.note
    assert report.to_json()["clip"]["frames"] == 6
    before, after = read_clip(clip).frames, read_clip(tmp_path / "out").frames
    changed = (before != after).any(axis=(0, 3))
    assert changed[15:35, 15:35].any()
    assert not changed[:, 50:].any()
    assert verify_clip(clip, f"{tmp_path}/out/", no_audio=True, **values).frames == 6


def test_equal_jobs_give_the_same_bytes_and_the_second_samples_nothing(tmp_path, clip):
    job = ClipJob.of(clip, bbox=[(10, 10, 40, 40)], guide_size=48, max_size=64, steps=1, cache=str(tmp_path / "cache"))
    write_job(tmp_path / "job.json", job)
    first = detail_clip(job, f"{tmp_path}/a/")
    second = detail_clip(read_job(tmp_path / "job.json"), f"{tmp_path}/b/")
    assert (first.sampled, second.sampled, second.reused) == (1, 0, 1)
    frames = [{path.name: path.read_bytes() for path in (tmp_path / name).glob("*.png")} for name in "ab"]
    assert frames[0] == frames[1]


def test_a_pipe_of_ones_own_has_no_cache_and_takes_no_models_beside_it(tmp_path, clip):
    for values, name in (
        ({"cache": str(tmp_path)}, "cache"),
        ({"redo": Redo(tracks=(1,))}, "redo"),
        ({"model": "x"}, "pipe"),
    ):
        with pytest.raises(InvalidArgumentError, match=f"^{name}: expected none"):
            detail_clip(clip, f"{tmp_path}/out/", BasicPipe.preview(), bbox=[(10, 10, 40, 40)], **values)
    assert not (tmp_path / "out").exists()


def test_jobs_on_the_command_line(tmp_path, clip, capsys):
    job, again = tmp_path / "job.toml", tmp_path / "again.json"
    sizes = [
        "--bbox",
        "10,10,40,40",
        "--crop-factor",
        "1.2",
        "--guide-size",
        "48",
        "--max-size",
        "64",
        "--steps",
        "1",
        "--no-cache",
        "-q",
    ]
    assert main(["run", str(clip), "-o", f"{tmp_path}/a/", *sizes, "--save-job", str(job)]) == 0
    assert main(["run", "--job", str(job), "-o", f"{tmp_path}/b/", "--seed", "7", "--save-job", str(again), "-q"]) == 0
    first, second = read_job(job), read_job(again)
    assert second == first.changed(seed=7, output=f"{tmp_path}/b/")
    assert not np.array_equal(read_clip(tmp_path / "b").frames, read_clip(clip).frames)
    # What has no effect is refused wherever it was said.
    write_job(job, first.changed(prompt="a face"))
    assert main(["run", "--job", str(job)]) == 2
    assert "--prompt: expected a model for it: add --model" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["run", str(clip)])
    assert "the following arguments are required: -o/--output" in capsys.readouterr().err
    assert main(["run", "--job", str(tmp_path / "none.toml")]) == 2
    assert "none.toml: cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["run", "none.mp4", "-o", "out.mp4"],
        ["plan", "none.mp4"],
        ["verify", "none.mp4", "out.mp4"],
        ["preview", "none.mp4"],
    ],
)
def test_a_clip_that_is_missing_is_said_before_torch_is_imported(tmp_path, words):
    code = (
        "import sys; from segs_detailer.cli.main import main; "
        "print(main(sys.argv[1:]), sorted({'torch', 'diffusers'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        check=True,
        env=processes.environment(),
        cwd=tmp_path,
    )
    assert result.stdout.strip() == "2 []"
    assert result.stderr.strip() == "segs-detailer: error: none.mp4: no such file"
