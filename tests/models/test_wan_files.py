"""Wan in single files: transformers in the makers' layout and in GGUF, VAEs, and what is told from a file."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import tiny_models
import tiny_wan
from segs_detailer import BasicPipe
from segs_detailer.cli.main import main
from segs_detailer.errors import InvalidArgumentError, MissingDependencyError, ModelError
from segs_detailer.models.interface import SampleJob
from segs_detailer.models.single_files import tensor_shapes
from segs_detailer.models.wan.kinds import FileKind, config_of, file_kind


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_wan.save_checkpoint(tmp_path_factory.mktemp("wan"))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A transformer of other weights in the makers' layout, with the prefix of ComfyUI's files."""
    path = tmp_path_factory.mktemp("file") / "wan.safetensors"
    weights = tiny_wan.original_weights(tiny_wan.make_transformer(seed=7))
    save_file({f"model.diffusion_model.{name}": value for name, value in weights.items()}, path)
    return path


def sampled(pipe, **changes):
    frames = torch.rand(5, 32, 32, 3, generator=torch.Generator().manual_seed(5))
    settings = {"pixels": frames, "positive": pipe.positive, "negative": pipe.negative, "seed": 3, "steps": 2}
    settings |= {"cfg": 4.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 0.9}
    sampler = pipe.sampler
    return sampler.sample(sampler.encode(frames), SampleJob(**{**settings, **changes}))


def same_weights(network, expected):
    ours, theirs = network.state_dict(), expected.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_a_transformer_in_the_makers_layout(folder, other):
    pipe = BasicPipe.from_single_file(other, config=folder, prompt="a face")
    assert same_weights(pipe.model.transformer, tiny_wan.make_transformer(seed=7))
    assert pipe.model.table.shift == 3.0
    assert not torch.equal(sampled(pipe), sampled(BasicPipe.from_pretrained(folder, prompt="a face")))
    half = BasicPipe.from_single_file(other, config=folder, dtype="bfloat16").model.transformer
    assert half.patch_embedding.weight.dtype == torch.bfloat16
    assert half.condition_embedder.time_embedder.linear_1.weight.dtype == torch.float32


def test_vace_in_the_makers_layout(tmp_path):
    folder = tiny_wan.save_checkpoint(tmp_path / "vace", kind="WanVACEPipeline")
    save_file(tiny_wan.original_weights(tiny_wan.make_vace(seed=7)), tmp_path / "vace.safetensors")
    pipe = BasicPipe.from_single_file(tmp_path / "vace.safetensors", config=folder, conditioning_scale=0.5)
    assert pipe.model.is_vace
    assert pipe.model.conditioning_scale == 0.5
    assert same_weights(pipe.model.transformer, tiny_wan.make_vace(seed=7))


def test_gguf_is_as_good_as_its_eight_bits(folder, other, tmp_path):
    weights = tiny_wan.original_weights(tiny_wan.make_transformer(seed=7))
    path = tiny_wan.save_gguf(weights, tmp_path / "wan.gguf")
    assert tensor_shapes(str(path)) == tensor_shapes(str(other))
    pipe = BasicPipe.from_single_file(path, config=folder, prompt="a face")
    exact = sampled(BasicPipe.from_single_file(other, config=folder, prompt="a face"))
    result = sampled(pipe)
    assert not torch.equal(result, exact)
    torch.testing.assert_close(result, exact, rtol=0.05, atol=0.05)


def test_a_pair_of_files_is_read_when_it_is_needed(tmp_path, other):
    folder = tiny_wan.save_checkpoint(tmp_path / "pair", second=True)
    low = tmp_path / "low.safetensors"
    save_file(tiny_wan.original_weights(tiny_wan.make_transformer(seed=8)), low)
    pipe = BasicPipe.from_single_file(other, config=folder, transformer_2=low, prompt="a face")
    sampled(pipe, denoise=0.5)
    assert [expert.is_read for expert in pipe.model.experts] == [False, True]
    assert same_weights(pipe.model.low_noise, tiny_wan.make_transformer(seed=8))
    assert same_weights(pipe.model.transformer, tiny_wan.make_transformer(seed=7))
    alone = BasicPipe.from_single_file(other, config=folder).model
    assert (alone.low_noise, alone.boundary) == (None, None)


def test_a_vae_of_its_own(folder, other, tmp_path):
    vae = tiny_wan.make_vae(seed=5)
    save_file(vae.state_dict(), tmp_path / "vae.safetensors")
    pipe = BasicPipe.from_single_file(other, config=folder, vae=tmp_path / "vae.safetensors")
    assert same_weights(pipe.vae.vae, vae)
    large = tmp_path / "large.safetensors"
    save_file(tiny_wan.make_large_vae().state_dict(), large)
    for path, message in (
        (large, "has latents of 48 channels, and the configuration .* 4"),
        (other, "is no VAE of Wan"),
        (tmp_path / "none.safetensors", "there is no such file"),
    ):
        with pytest.raises(ModelError, match=message):
            BasicPipe.from_single_file(other, config=folder, vae=path)


def test_files_of_another_kind_are_refused(folder, other, tmp_path):
    def written(network, name, **more):
        save_file({**tiny_wan.original_weights(network), **more}, tmp_path / name)
        return tmp_path / name

    vace = written(tiny_wan.make_vace(), "vace.safetensors")
    pictures = written(tiny_wan.make_transformer(), "i2v.safetensors", **{"img_emb.proj.0.weight": torch.zeros(2)})
    scaled = written(tiny_wan.make_transformer(), "fp8.safetensors", scaled_fp8=torch.zeros(2))
    unet = tmp_path / "unet.safetensors"
    save_file(tiny_models.make_unet().state_dict(), unet)
    (tmp_path / "wrong.safetensors").write_bytes(b"PK\x03\x04" + b"\0" * 20)
    (tmp_path / "wrong.gguf").write_bytes(b"\0" * 64)
    (tmp_path / "wan.ckpt").write_bytes(b"")
    for path, message in (
        (vace, "has 4 blocks of width 24 for 4 channels and 2 blocks of VACE, and the configuration .* 1 blocks of"),
        (pictures, "also takes an image, a face or sound"),
        (scaled, "holds fp8 weights with scales, which diffusers does not read"),
        (unet, "is no transformer of Wan"),
        (tmp_path / "wrong.safetensors", "is no safetensors file, whatever its name says"),
        (tmp_path / "wrong.gguf", "is no GGUF file that can be read"),
        (tmp_path / "wan.ckpt", "weights are read from safetensors and GGUF only"),
        (tmp_path / "missing.gguf", "there is no such file"),
    ):
        with pytest.raises(ModelError, match=message):
            BasicPipe.from_single_file(path, config=folder)
    with pytest.raises(InvalidArgumentError, match="transformer_2: expected None with the configuration"):
        BasicPipe.from_single_file(other, config=folder, transformer_2=other)
    with pytest.raises(
        InvalidArgumentError, match=r"config: expected .*, as .*unet\.safetensors does not tell it, got"
    ):
        BasicPipe.from_single_file(unet)
    with pytest.raises(ModelError, match=r"no configuration is known for .*width 24.*: give config; known are Wan-AI"):
        BasicPipe.from_single_file(other)


@pytest.mark.parametrize(
    ("kind", "pair", "expected"),
    [
        ((1536, 30, 16, 0), False, "Wan-AI/Wan2.1-T2V-1.3B-Diffusers"),
        ((5120, 40, 16, 0), False, "Wan-AI/Wan2.1-T2V-14B-Diffusers"),
        ((5120, 40, 16, 0), True, "Wan-AI/Wan2.2-T2V-A14B-Diffusers"),
        ((3072, 30, 48, 0), False, "Wan-AI/Wan2.2-TI2V-5B-Diffusers"),
        ((1536, 30, 16, 15), False, "Wan-AI/Wan2.1-VACE-1.3B-diffusers"),
        ((5120, 40, 16, 8), False, "Wan-AI/Wan2.1-VACE-14B-diffusers"),
        ((5120, 40, 16, 8), True, "linoyts/Wan2.2-VACE-Fun-14B-diffusers"),
    ],
)
def test_the_configuration_is_told_from_the_file(kind, pair, expected):
    width, layers, channels, control = kind
    shapes = {"patch_embedding.weight": (width, channels, 1, 2, 2)}
    shapes |= {f"blocks.{index}.self_attn.q.weight": (width, width) for index in range(layers)}
    shapes |= {f"vace_blocks.{index}.after_proj.bias": (width,) for index in range(control)}
    found = file_kind(shapes, "wan.gguf")
    assert found == FileKind(*kind)
    assert config_of(found, "wan.gguf", is_pair=pair) == expected
    shapes["patch_embedding.weight"] = (width, 36, 1, 2, 2)
    with pytest.raises(ModelError, match=r"also takes an image, a face or sound \(36 channels\)"):
        file_kind(shapes, "wan.gguf")


def test_gguf_files_need_their_package(folder, tmp_path, monkeypatch):
    path = tiny_wan.save_gguf(tiny_wan.original_weights(tiny_wan.make_transformer()), tmp_path / "wan.gguf")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "gguf" else find(name, *more))
    with pytest.raises(MissingDependencyError, match=r"gguf is not installed: pip install 'segs-detailer\[gguf\]'"):
        BasicPipe.from_single_file(path, config=folder)


def test_other_families_take_no_parts_of_wan(tmp_path):
    folder = tiny_models.save_checkpoint(tmp_path / "sd")
    with pytest.raises(
        InvalidArgumentError, match="conditioning_scale: expected None for Stable Diffusion, which has no"
    ):
        BasicPipe.from_pretrained(folder, conditioning_scale=0.5)
    for name in ("vae", "transformer_2"):
        with pytest.raises(InvalidArgumentError, match=f"{name}: expected None for Stable Diffusion"):
            BasicPipe.from_single_file(tmp_path / "x.safetensors", config=folder, **{name: "x"})


def test_the_command_line_reads_files(folder, other, tmp_path, capfd):
    source = tmp_path / "in"
    source.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    Image.fromarray(pixels).save(source / "0.png")
    gguf = tiny_wan.save_gguf(tiny_wan.original_weights(tiny_wan.make_transformer(seed=7)), tmp_path / "wan.gguf")
    save_file(tiny_wan.make_vae(seed=5).state_dict(), tmp_path / "vae.safetensors")
    options = ["--bbox", "8,8,40,40", "--crop-factor", "1", "--guide-size", "32", "--max-size", "32", "--steps", "1"]
    options += ["--feather", "0", "--device", "cpu", "--no-cache"]
    under = ["--model-config", str(folder)]
    results = []
    for name, model in (
        ("gguf", ["--model", str(gguf)]),
        ("vae", ["--model", str(gguf), "--vae", str(tmp_path / "vae.safetensors")]),
        ("safetensors", ["--model", str(other)]),
    ):
        assert main(["run", str(source), "-o", f"{tmp_path}/{name}/", *options, *under, *model]) == 0
        results.append(np.asarray(Image.open(tmp_path / name / "0.png")))
    assert not np.array_equal(results[0], pixels)
    assert not np.array_equal(results[0], results[1])
    assert "float32" not in capfd.readouterr().err
    for more, message in (
        (["--model", str(folder), "--vae", "x"], "--vae: expected a --model of one .safetensors or .gguf file, got"),
        (
            [*under, "--model", str(gguf), "--transformer-2", str(gguf)],
            "--transformer-2: expected None with the configuration",
        ),
        (
            [*under, "--model", str(gguf), "--conditioning-scale", "0.5"],
            "--conditioning-scale: expected None for a model without",
        ),
    ):
        assert main(["run", str(source), "-o", f"{tmp_path}/no/", *options, *more]) != 0
        assert message in capfd.readouterr().err
