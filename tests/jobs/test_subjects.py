"""What single subjects of a clip have otherwise: repainted, kept and told subject by subject."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import tiny_models
from fake_sampler import FakeSampler
from segs_detailer import BasicPipe, ClipJob, SubjectSettings, Track, Tracks, detail_clip, plan_clip, write_tracks
from segs_detailer.cli.main import main
from segs_detailer.errors import InvalidArgumentError, ModelError
from segs_detailer.models import network_sampler

COUNT = 4
BOXES = {"face": (4, 4, 20, 20), "hand": (40, 4, 56, 20), "foot": (40, 40, 56, 56)}
SIZES = {"guide_size": 16, "max_size": 32, "crop_factor": 1, "steps": 1, "ramp": 0}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny_models.save_checkpoint(tmp_path_factory.mktemp("sd")))


@pytest.fixture
def clip(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(COUNT):
        pixels = np.random.default_rng(index).integers(0, 255, (64, 64, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:04d}.png")
    return folder


@pytest.fixture
def tracks(tmp_path):
    frames = list(range(COUNT))
    found = [
        Track(number, label, frames, [box] * COUNT, identity="Ann" if label == "face" else "")
        for number, (label, box) in enumerate(BOXES.items(), start=1)
    ]
    write_tracks(str(tmp_path / "tracks.npz"), Tracks((64, 64), COUNT, found))
    return str(tmp_path / "tracks.npz")


def job_of(clip, tracks, tmp_path, **values):
    return ClipJob.of(clip, f"{tmp_path}/out/", segs=tracks, overwrite=True, **SIZES, **values)


def test_all_subjects_of_a_clip_in_one_run(clip, tracks, tmp_path):
    sampler = FakeSampler()
    subjects = {"Ann": {"denoise": 0.25}, "hand": SubjectSettings(seed=4), 2: {"denoise": 0.75, "guide_size": 32}}
    job = job_of(clip, tracks, tmp_path, subjects=subjects, denoise=0.5, seed=1)
    report = detail_clip(job, pipe=BasicPipe(sampler, None, None, [], []))
    assert [(job.seed, job.denoise) for job in sampler.jobs] == [(1, 0.25), (4, 0.75), (1, 0.5)]
    assert [track.working_size for track in report.tracks] == [(16, 16), (32, 32), (16, 16)]
    assert [track["own"] for track in report.to_json()["tracks"]] == [
        {"denoise": 0.25},
        {"denoise": 0.75, "seed": 4, "guide_size": 32.0},
        {},
    ]
    told = [(track["seed"], *track["denoise"]) for track in report.to_json()["tracks"]]
    assert told == [(1, 0.25, 0.25), (4, 0.75, 0.75), (1, 0.5, 0.5)]
    with pytest.raises(InvalidArgumentError, match=r"numbers 1, 2, 3; identities Ann; labels face, hand, foot.*'Anne'"):
        plan_clip(job.changed(subjects={"Anne": {"seed": 3}}))


def test_only_what_changed_is_repainted(clip, tracks, tmp_path):
    job = job_of(clip, tracks, tmp_path, cache=str(tmp_path / "cache"))
    assert detail_clip(job).sampled == 3
    assert detail_clip(job.changed(subjects={2: {"denoise": 0.3}})).sampled == 1
    assert detail_clip(job.changed(subjects={2: {"denoise": 0.3}, "foot": {"guide_size": 24}})).sampled == 1
    # What it says in other words is the same.
    assert detail_clip(job.changed(subjects={"hand": {"denoise": 0.3}})).sampled == 0
    assert detail_clip(job.changed(denoise=0.3)).sampled == 2


def test_pieces_of_equal_settings_are_sampled_together(clip, tracks, tmp_path):
    def groups(subjects):
        sampler = FakeSampler(geometry=replace(FakeSampler().geometry, takes_clips=True))
        job = job_of(clip, tracks, tmp_path, batch_segments=3, subjects=subjects)
        detail_clip(job, pipe=BasicPipe(sampler, None, None, [], []))
        return sorted(job.clips for job in sampler.jobs)

    assert groups({}) == [3]
    assert groups({2: {"denoise": 0.3}}) == [1, 2]
    assert groups({2: {"guide_size": 24}, 3: {"seed": 4}}) == [1, 1, 1]


def test_denoise_follows_the_size_of_a_subject(clip, tmp_path):
    class Apart(FakeSampler):
        takes_frame_denoise = True

    boxes = {"grows": [(0, 0, 8 + 8 * frame, 60) for frame in range(COUNT)], "rests": [(40, 40, 56, 58)] * COUNT}
    found = [Track(number, label, list(range(COUNT)), each) for number, (label, each) in enumerate(boxes.items(), 1)]
    write_tracks(str(tmp_path / "grows.npz"), Tracks((64, 64), COUNT, found))
    job = job_of(
        clip, str(tmp_path / "grows.npz"), tmp_path, denoise_by_size="8:0.6,32:0.3", guide_size_for="crop_region"
    )
    sampler = Apart()
    report = detail_clip(job, pipe=BasicPipe(sampler, None, None, [], []))
    grows, rests = sampler.jobs
    assert grows.denoise == max(grows.frame_denoise)
    np.testing.assert_allclose(grows.frame_denoise, (0.6, 0.5, 0.4, 0.3), atol=0.02)
    # To the bit what that denoise gives everywhere.
    assert (rests.denoise, rests.frame_denoise) == (0.5, None)
    assert report.tracks[1].denoise == (0.5, 0.5)
    assert report.to_json()["tracks"][0]["denoise"] == (min(grows.frame_denoise), grows.denoise)
    keeping = job.changed(cache=str(tmp_path / "cache"))
    assert [detail_clip(keeping.changed(denoise_by_size=curve)).sampled for curve in ("8:0.6", "8:0.6", "8:0.5")] == [
        2,
        0,
        2,
    ]


def test_loras_and_prompts_from_a_job_s_file(clip, tracks, model, tmp_path, monkeypatch, capsys):
    pipe = BasicPipe.from_pretrained(model, device="cpu")
    lora = tiny_models.save_lora(tmp_path / "old.safetensors", pipe.model.unet)
    loaded, load = [], network_sampler.load_lora
    monkeypatch.setattr(network_sampler, "load_lora", lambda *given: loaded.append(given[2]) or load(*given))
    path, sizes = tmp_path / "job.toml", "guide_size = 16\nmax_size = 32\nsteps = 1\n"
    path.write_text(
        f'clip = "{clip}"\noutput = "{tmp_path}/out/"\noverwrite = true\n[find]\nsegs = "{tracks}"\n[crop]\n'
        f'crop_factor = 1.0\n[detail]\n{sizes}[model]\nmodel = "{model}"\ndevice = "cpu"\n'
        f'[limits]\ncache = "{tmp_path}/cache"\n[subjects.hand]\nlora = [["{lora}", 0.5]]\n'
        f'[subjects.2]\nprompt = "an old hand"\n[subjects.Ann]\ndenoise = 0.3\n',
        encoding="utf-8",
    )
    frames = []
    for _ in range(2):
        assert main(["run", "--job", str(path), "-q"]) == 0
        frames.append(np.stack([np.asarray(Image.open(each)) for each in sorted((tmp_path / "out").glob("*.png"))]))
    assert np.array_equal(*frames)
    # For what is in the cache, too, it must be known what the LoRA recommends.
    assert loaded == [str(lora)] * 2
    assert main(["run", "--job", str(path), "--prompt", "all"]) == 0
    said = capsys.readouterr().out
    assert f"track 2 (hand): prompt 'an old hand', lora {lora}=0.5\n" in said
    assert "track 1 (face Ann): denoise 0.3\n" in said
    path.write_text(path.read_text(encoding="utf-8").replace("[subjects.hand]", "[subjects.nose]"), encoding="utf-8")
    assert main(["run", "--job", str(path)]) == 2
    assert (
        "--subjects: expected subjects that there are (numbers 1, 2, 3; identities Ann; labels face"
        in capsys.readouterr().err
    )


def test_pictures_of_subjects(clip, tracks, model, tmp_path, monkeypatch):
    plain = job_of(clip, tracks, tmp_path, model=model, device="cpu", no_cache=True)
    tiny_models.save_ip_adapter(tmp_path, BasicPipe.from_pretrained(model, device="cpu").model.unet)
    tiny_models.make_image_encoder().save_pretrained(tmp_path / "encoder")
    for name, value in (("white", 255), ("black", 0)):
        Image.new("RGB", (20, 24), (value,) * 3).save(tmp_path / f"{name}.png")
    adapter = plain.changed(ip_adapter=str(tmp_path / "ip.safetensors"), image_encoder=str(tmp_path / "encoder"))

    def frames(job):
        detail_clip(job)
        shown = np.stack([np.asarray(Image.open(each)) for each in sorted((tmp_path / "out").glob("*.png"))])
        return [shown[:, y1:y2, x1:x2] for x1, y1, x2, y2 in BOXES.values()]

    before = frames(plain)
    white, black = (str(tmp_path / f"{name}.png") for name in ("white", "black"))
    own = frames(adapter.changed(subjects={2: {"reference": white}}))
    assert [np.array_equal(one, two) for one, two in zip(before, own, strict=True)] == [True, False, True]
    both = frames(adapter.changed(subjects={2: {"reference": white}}, reference=[black]))
    assert [np.array_equal(one, two) for one, two in zip(own, both, strict=True)] == [False, True, False]
    with pytest.raises(ModelError, match="the UNet has no IP-Adapter"):
        detail_clip(plain.changed(reference=[black]))
    with pytest.raises(InvalidArgumentError, match=r"reference: expected a picture, got none\.png"):
        detail_clip(adapter.changed(subjects={2: {"reference": "none.png"}}))


def test_what_needs_a_model_says_so(clip, tracks, tmp_path, capsys):
    (tmp_path / "subjects.json").write_text(json.dumps({"face": {"lora": [["x", 1]]}}), encoding="utf-8")
    command = [
        "run",
        str(clip),
        "-o",
        f"{tmp_path}/out/",
        "--segs",
        tracks,
        "--prompts",
        str(tmp_path / "subjects.json"),
    ]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "--subjects: expected a model for the lora of 'face': name one with --model, got none" in said
    assert main([*command[:6], "--reference", "x.png"]) == 2
    assert "--reference: expected a model for it: add --model" in capsys.readouterr().err
    assert main([*command[:6], "--model", "x", "--ip-adapter", "x/y/z.safetensors"]) == 2
    assert "--ip-adapter: expected a picture for it: add --reference" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
