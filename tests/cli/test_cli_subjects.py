"""`--subjects` and `--batch-segments` on the command line, with a tiny model."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import tiny_models
from segs_detailer.cli.main import main
from segs_detailer.models.sd.sampler import DiffusersSampler
from segs_detailer.models.sd.text import TextEncoder

QUICK = ["--guide-size", "16", "--max-size", "16", "--steps", "1", "--denoise", "0.5", "--quiet", "--device", "cpu"]
BOXES = ["--bbox", "4,4,20,20", "--bbox", "30,30,46,46", "--crop-factor", "1"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny_models.save_checkpoint(tmp_path_factory.mktemp("sd")))


@pytest.fixture
def clip(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(2):
        pixels = np.random.default_rng(index).integers(0, 255, (48, 48, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:04d}.png")
    return str(folder)


def run(tmp_path, clip, prompts, *more):
    path = tmp_path / "subjects.json"
    path.write_text(json.dumps(prompts), encoding="utf-8")
    return main(
        ["run", clip, "-o", str(tmp_path / "out"), "--overwrite", "--subjects", str(path), *BOXES, *QUICK, *more]
    )


def test_each_subject_has_its_prompt(tmp_path, clip, model, monkeypatch):
    encoded = []
    encode = TextEncoder.encode
    monkeypatch.setattr(TextEncoder, "encode", lambda self, prompt: encoded.append(prompt) or encode(self, prompt))
    assert run(tmp_path, clip, {"2": ["second", "not"]}, "--model", model, "--prompt", "all") == 0
    assert encoded == ["all", "", "second", "not"]


@pytest.mark.parametrize(("most", "batches"), [("1", [1, 1]), ("2", [2])])
def test_subjects_are_sampled_together(tmp_path, clip, model, monkeypatch, most, batches):
    clips = []
    sample = DiffusersSampler.sample
    monkeypatch.setattr(
        DiffusersSampler, "sample", lambda self, latents, job: clips.append(job.clips) or sample(self, latents, job)
    )
    options = ["--model", model, "--batch-segments", most]
    assert main(["run", clip, "-o", str(tmp_path / "out"), *BOXES, *QUICK, *options]) == 0
    assert clips == batches


def test_prompts_of_nobody_are_refused(tmp_path, clip, model, capsys):
    assert run(tmp_path, clip, {"5": "fifth"}, "--model", model) == 2
    assert "--subjects: expected subjects that there are (numbers 1, 2; labels box), got 5" in capsys.readouterr().err
    assert run(tmp_path, clip, {"1": "first"}) == 2
    said = "--subjects: expected a model for the prompt of 1: name one with --model, got none"
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
