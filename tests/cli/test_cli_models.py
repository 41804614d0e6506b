"""Models, LoRA, windows and the refiner's prompts on the command line, with tiny models."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from PIL import Image

import tiny_models
from segs_detailer import BasicPipe
from segs_detailer.cli.main import main
from segs_detailer.cli.options import build_parser
from segs_detailer.models.stages import SamplingOptions
from segs_detailer.models.windows import ContextWindows, WindowOrder, WindowWeights

BOX = ["--bbox", "4,4,20,20", "--crop-factor", "1"]
QUICK = ["--guide-size", "16", "--max-size", "16", "--steps", "1", "--denoise", "0.5", "--quiet", "--device", "cpu"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def model(folder):
    return str(tiny_models.save_checkpoint(folder / "sd"))


@pytest.fixture(scope="module")
def adapter(folder):
    return str(tiny_models.save_motion_adapter(folder / "motion", max_frames=8))


@pytest.fixture
def clip(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(6):
        pixels = np.random.default_rng(index).integers(0, 255, (48, 48, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:04d}.png")
    return str(folder)


@pytest.fixture
def loaded(monkeypatch):
    """Arguments of each model that is loaded."""
    calls = []

    def watched(load):
        return lambda base, **options: calls.append((base, options)) or load(base, **options)

    for name in ("from_pretrained", "from_single_file"):
        monkeypatch.setattr(BasicPipe, name, watched(getattr(BasicPipe, name)))
    return calls


def run(tmp_path, clip, *more):
    return main(["run", clip, "-o", str(tmp_path / "out"), "--overwrite", *BOX, *QUICK, *more])


@pytest.mark.parametrize(
    ("arguments", "windows"),
    [
        ([], None),
        (["--context-length", "4"], ContextWindows(length=4, overlap=1)),
        (["--context-length", "4", "--context-overlap", "2"], ContextWindows(length=4, overlap=2)),
        (
            ["--context-length", "3", "--context-overlap", "0", "--context-stride", "2", "--context-order", "looped"],
            ContextWindows(length=3, overlap=0, stride=2, order="looped"),
        ),
        (
            ["--context-length", "4", "--context-weights", "flat", "--free-noise", "--min-frames", "8"],
            ContextWindows(length=4, overlap=1, weights="flat", free_noise=True, min_frames=8),
        ),
    ],
    ids=["default", "length", "overlap", "stride", "noise"],
)
def test_windows(tmp_path, clip, model, adapter, loaded, arguments, windows):
    assert run(tmp_path, clip, "--model", model, "--motion-adapter", adapter, *arguments) == 0
    assert [options["windows"] for _, options in loaded] == [windows]


def test_windows_decide_what_the_network_sees(tmp_path, clip, model, adapter, monkeypatch):
    from diffusers import UNetMotionModel

    shapes = []
    forward = UNetMotionModel.forward

    def watched(self, sample, *args, **options):
        shapes.append(sample.shape[2])
        return forward(self, sample, *args, **options)

    monkeypatch.setattr(UNetMotionModel, "forward", watched)
    options = ["--model", model, "--motion-adapter", adapter]
    assert run(tmp_path, clip, *options, "--context-length", "4") == 0
    assert shapes == [4, 4]
    shapes.clear()
    assert run(tmp_path, clip, *options, "--min-frames", "7", "--context-length", "8") == 0
    assert shapes == [7]


def test_the_parser_knows_every_order_and_weight():
    for name, known in (("order", WindowOrder), ("weights", WindowWeights)):
        for value in get_args(known):
            args = build_parser().parse_args(["run", "a.mp4", "-o", "b.mp4", f"--context-{name}", value])
            assert getattr(args, f"context_{name}") == value


def test_a_checkpoint_of_one_file(tmp_path, clip, model, folder, loaded):
    path = tiny_models.save_single_file(folder / "one.safetensors")
    assert run(tmp_path, clip, "--model", str(path), "--model-config", model, "--prompt", "a face") == 0
    [(base, options)] = loaded
    assert (base, options["config"], options["prompt"]) == (str(path), model, "a face")


def test_a_checkpoint_of_one_file_needs_its_configuration(tmp_path, clip, folder, model, capsys):
    path = tiny_models.save_single_file(folder / "bare.safetensors")
    assert run(tmp_path, clip, "--model", str(path)) == 2
    assert "config: expected a folder with the configuration" in capsys.readouterr().err
    assert run(tmp_path, clip, "--model", model, "--model-config", model) == 2
    assert "--model-config: expected a --model of one .safetensors or .gguf file" in capsys.readouterr().err


def test_loras_with_their_weights(tmp_path, clip, model, monkeypatch):
    given = []
    monkeypatch.setattr(BasicPipe, "load_lora", lambda self, source, *, weight: given.append((source, weight)) or self)
    arguments = ["--lora", "style.safetensors", "--lora", "folder=a/face.safetensors=0.6"]
    assert run(tmp_path, clip, "--model", model, *arguments) == 0
    assert given == [("style.safetensors", 1.0), ("folder=a/face.safetensors", 0.6)]


def test_a_lora_that_is_not_there_is_one_line(tmp_path, clip, model, capsys):
    missing = tmp_path / "none.safetensors"
    assert run(tmp_path, clip, "--model", model, "--lora", str(missing)) == 2
    assert "none.safetensors" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "prompts"),
    [
        ([], ("base", "not")),
        (["--refiner-prompt", "skin"], ("skin", "not")),
        (["--refiner-prompt", "", "--refiner-negative-prompt", "blurry"], ("", "blurry")),
    ],
)
def test_the_refiner_may_have_its_own_prompts(tmp_path, clip, model, loaded, arguments, prompts):
    options = ["--model", model, "--refiner-model", model, "--prompt", "base", "--negative-prompt", "not"]
    assert run(tmp_path, clip, *options, *arguments) == 0
    seen = [(options["prompt"], options["negative_prompt"]) for _, options in loaded]
    assert seen == [("base", "not"), prompts]


def test_as_comfyui(tmp_path, clip, model, loaded):
    assert run(tmp_path, clip, "--model", model, "--as-comfyui") == 0
    assert run(tmp_path, clip, "--model", model, "--refiner-model", model) == 0
    assert run(tmp_path, clip, "--model", model, "--comfyui-version", "0.3") == 0
    as_comfyui = SamplingOptions(refiner="recomposite", strict_mask=False)
    assert [options["options"] for _, options in loaded] == [as_comfyui, None, None, SamplingOptions(comfyui="0.3")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lora", "a.safetensors"], "--lora: expected a model for it: add --model"),
        (["--context-overlap", "0"], "--context-overlap: expected a model for it: add --model"),
        (["--free-noise"], "--free-noise: expected a model for it: add --model"),
        (["--as-comfyui"], "--as-comfyui: expected a model for it: add --model"),
        (["--model", "x", "--refiner-prompt", "a"], "--refiner-prompt: expected a model for it: add --refiner-model"),
    ],
)
def test_options_without_effect_are_refused(tmp_path, clip, arguments, message, capsys):
    assert run(tmp_path, clip, *arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lora", "a.safetensors=strong"], "'strong' in 'a.safetensors=strong' is not a number"),
        (["--context-overlap", "-1"], "'-1' is not a whole number of at least 0"),
    ],
)
def test_other_values_are_refused(tmp_path, clip, arguments, message, capsys):
    with pytest.raises(SystemExit):
        run(tmp_path, clip, *arguments)
    assert message in capsys.readouterr().err
