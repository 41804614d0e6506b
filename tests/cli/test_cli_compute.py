"""Memory and speed on the command line, with a tiny model."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import tiny_models
from segs_detailer import BasicPipe
from segs_detailer.cli.main import main
from segs_detailer.models.compute import ComputeOptions
from segs_detailer.models.sd.sampler import DiffusersSampler

BOX = ["--bbox", "4,4,20,20", "--crop-factor", "1"]
QUICK = ["--guide-size", "16", "--max-size", "16", "--steps", "1", "--denoise", "0.5", "--quiet", "--device", "cpu"]
OPTIONS = [
    (["--vae-chunk", "2"], {}),
    (["--vae-tile", "64"], {"vae_tile": 64}),
    (["--attention-slicing", "max"], {"attention_slicing": "max"}),
    (["--attention-slicing", "1"], {"attention_slicing": 1}),
    (["--no-guidance-batch"], {"guidance_batch": False}),
    (["--frame-batch", "3"], {"frame_batch": 3}),
    (["--channels-last"], {"channels_last": True}),
    (["--offload", "sequential"], {"offload": "sequential"}),
    (["--compile"], {"compile_unet": True}),
]


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


def run(tmp_path, clip, *more):
    return main(["run", clip, "-o", str(tmp_path / "out"), "--overwrite", *BOX, *QUICK, *more])


@pytest.mark.parametrize(
    ("arguments", "fields"), OPTIONS, ids=lambda value: value[0] if isinstance(value, list) else ""
)
def test_options_reach_base_and_refiner(tmp_path, clip, model, arguments, fields, monkeypatch):
    given = []
    load = BasicPipe.from_pretrained

    def loaded(base, **options):
        given.append((options.pop("vae_chunk"), options.pop("compute")))
        return load(base, **options)

    monkeypatch.setattr(BasicPipe, "from_pretrained", loaded)
    assert run(tmp_path, clip, "--model", model, "--refiner-model", model, *arguments) == 0
    chunk = 2 if arguments[0] == "--vae-chunk" else None
    assert given == [(chunk, ComputeOptions(**fields))] * 2


def test_they_do_something(tmp_path, clip, model, monkeypatch):
    applied = []
    use_compute = DiffusersSampler.use_compute
    monkeypatch.setattr(
        DiffusersSampler,
        "use_compute",
        lambda self, *given: applied.append(self) or use_compute(self, *given),
    )
    assert run(tmp_path, clip, "--model", model, "--vae-tile", "64", "--no-guidance-batch", "--vae-chunk", "2") == 0
    [pipe] = applied
    assert pipe.vae.vae.tile_sample_min_size == 64
    assert pipe.vae.chunk == 2
    assert not pipe.model.guidance_batch


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--offload", "model"], "--offload: expected a GPU to offload from"),
        (["--vae-tile", "10"], "--vae-tile: expected a multiple of 32"),
        (["--attention-slicing", "9"], "--attention-slicing: expected at most 2"),
    ],
)
def test_what_the_model_cannot_do_is_one_line(tmp_path, clip, model, arguments, message, capsys):
    assert run(tmp_path, clip, "--model", model, *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [arguments for arguments, _ in OPTIONS], ids=lambda value: value[0])
def test_without_a_model_they_are_refused(tmp_path, clip, arguments, capsys):
    assert run(tmp_path, clip, *arguments) == 2
    assert f"{arguments[0]}: expected a model for it: add --model" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["half", "0", "1.5"])
def test_other_slices_are_refused(tmp_path, clip, text, capsys):
    with pytest.raises(SystemExit):
        run(tmp_path, clip, "--attention-slicing", text)
    assert f"'{text}' is not auto, max or a whole number of at least 1" in capsys.readouterr().err
