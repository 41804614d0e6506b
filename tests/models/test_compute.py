"""Memory and speed: each option does what it says, to every kind of pipe."""

from __future__ import annotations

import importlib.util

import pytest
import torch

import tiny_models
import tiny_wan
from segs_detailer import BasicPipe
from segs_detailer.errors import InvalidArgumentError, MissingDependencyError, ModelError
from segs_detailer.models import loading
from segs_detailer.models.compute import ComputeOptions
from segs_detailer.models.interface import SampleJob
from segs_detailer.models.registry import sampler_for
from segs_detailer.models.wan.network import WanPrompt

FRAMES = torch.rand(3, 64, 64, 3, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("checkpoints")
    return {
        "sd": tiny_models.save_checkpoint(root / "sd"),
        "adapter": tiny_models.save_motion_adapter(root / "adapter"),
    }


@pytest.fixture(scope="module")
def load(folders):
    def load(compute=None, motion=True, **options):
        adapter = folders["adapter"] if motion else None
        return BasicPipe.from_pretrained(
            folders["sd"], motion_adapter=adapter, prompt="a face", device="cpu", compute=compute, **options
        )

    return load


@pytest.fixture(scope="module")
def expected(load):
    return {motion: repainted(load(motion=motion)) for motion in (True, False)}


def repainted(pipe):
    sampler = sampler_for(*pipe[:3])
    settings = {"seed": 3, "steps": 2, "cfg": 4.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 0.6}
    job = SampleJob(pixels=FRAMES, positive=pipe.positive, negative=pipe.negative, **settings)
    return sampler.decode(sampler.sample(sampler.encode(FRAMES), job))


def close(left, right):
    torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-3)


def sizes_seen(module):
    sizes = []
    module.register_forward_pre_hook(lambda _, args: sizes.append(tuple(args[0].shape)))
    return sizes


def test_guidance_apart(load, expected):
    for together, clips in ((True, 2), (False, 1)):
        pipe = load(ComputeOptions(guidance_batch=together))
        seen = sizes_seen(pipe.model.unet)
        close(repainted(pipe), expected[True])
        assert {size[0] for size in seen} == {clips}


def test_frames_at_once(load, expected):
    pipe = load(ComputeOptions(frame_batch=2), motion=False)
    seen = sizes_seen(pipe.model.unet)
    close(repainted(pipe), expected[False])
    assert [size[0] for size in seen[:2]] == [4, 2]
    with pytest.raises(InvalidArgumentError, match="frame_batch: expected None with a motion module"):
        load(ComputeOptions(frame_batch=2))


@pytest.mark.parametrize("motion", [True, False])
def test_channels_last(load, expected, motion):
    pipe = load(ComputeOptions(channels_last=True), motion)
    close(repainted(pipe), expected[motion])
    for convolution in (pipe.model.unet.conv_in, pipe.vae.vae.decoder.conv_in):
        assert convolution.weight.is_contiguous(memory_format=torch.channels_last)


def test_compiled(load, expected):
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    pipe = load(ComputeOptions(compile_unet={"backend": backend, "dynamic": False}), motion=False)
    close(repainted(pipe), expected[False])
    assert graphs


@pytest.mark.parametrize(("slices", "heads"), [("auto", 1), ("max", 1), (2, 2)])
@pytest.mark.parametrize("motion", [True, False])
def test_attention_in_slices(load, expected, slices, heads, motion):
    pipe = load(ComputeOptions(attention_slicing=slices), motion)
    close(repainted(pipe), expected[motion])
    processors = pipe.model.unet.attn_processors
    sliced = {name: getattr(processor, "slice_size", None) for name, processor in processors.items()}
    # Of two heads each; motion modules, which look along the frames, are left alone.
    assert {size for name, size in sliced.items() if "motion_modules" not in name} == {heads}
    assert all(size is None for name, size in sliced.items() if "motion_modules" in name)
    assert any("motion_modules" in name for name in sliced) == motion


@pytest.mark.parametrize("slices", [0, True, "some", 2.5])
def test_other_slices_are_refused(slices):
    with pytest.raises(InvalidArgumentError, match='attention_slicing: expected "auto", "max" or at least 1'):
        ComputeOptions(attention_slicing=slices)


def test_more_slices_than_heads_are_refused(load):
    with pytest.raises(InvalidArgumentError, match="attention_slicing: expected at most 2, the heads of this UNet"):
        load(ComputeOptions(attention_slicing=3))


def test_sliced_attention_and_ip_adapters_exclude_each_other(load, tmp_path):
    pipe = load(ComputeOptions(attention_slicing="auto"))
    with pytest.raises(ModelError, match=r"cannot load the IP-Adapter ip\.safetensors beside sliced attention"):
        pipe.load_ip_adapter(tmp_path, weight_name="ip.safetensors")
    pipe = load(motion=False)
    pipe.model.unet.encoder_hid_proj = torch.nn.Identity()
    with pytest.raises(InvalidArgumentError, match="attention_slicing: expected None beside an IP-Adapter"):
        pipe.sampler.use_compute(ComputeOptions(attention_slicing="auto"), torch.device("cpu"))


def test_the_vae_in_tiles(load):
    pipe = load(ComputeOptions(vae_tile=64))
    seen = sizes_seen(pipe.vae.vae.encoder)
    pipe.vae.encode(torch.rand(1, 96, 128, 3))
    assert max(size[2:] for size in seen) == (64, 64)
    with pytest.raises(InvalidArgumentError, match="vae_tile: expected a multiple of 32 of at least 64, got 50"):
        load(ComputeOptions(vae_tile=50))


def test_the_vae_in_chunks(load, monkeypatch):
    assert load().vae.chunk is None
    pipe = load(vae_chunk=2)
    seen = sizes_seen(pipe.vae.vae.encoder)
    pipe.vae.encode(FRAMES)
    assert [size[0] for size in seen] == [2, 1]


@pytest.mark.parametrize("offload", ["model", "sequential"])
def test_offloading_leaves_the_networks_on_the_cpu(load, monkeypatch, offload):
    import diffusers

    calls = []
    monkeypatch.setattr(loading, "resolve_device", lambda device: torch.device("cuda"))
    for kind in ("model", "sequential"):
        name = f"enable_{kind}_cpu_offload"
        monkeypatch.setattr(
            diffusers.DiffusionPipeline, name, lambda self, device, kind=kind: calls.append((kind, device))
        )
    pipe = load(ComputeOptions(offload=offload), dtype="float32")
    assert calls == [(offload, torch.device("cuda"))]
    assert {module.device.type for module in (pipe.model.unet, pipe.vae.vae, pipe.clip.encoders[0])} == {"cpu"}


def test_offloading_needs_a_gpu_and_accelerate(load, monkeypatch):
    with pytest.raises(InvalidArgumentError, match="offload: expected a GPU to offload from, got the CPU as device"):
        load(ComputeOptions(offload="model"))
    with pytest.raises(InvalidArgumentError, match='offload: expected "model", "sequential" or "group"'):
        ComputeOptions(offload="disk")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="accelerate is not installed"):
        ComputeOptions(offload="model").check(torch.device("cuda"))


def test_groups_are_offloaded_as_diffusers_does(load, monkeypatch):
    import diffusers

    calls = []
    monkeypatch.setattr(loading, "resolve_device", lambda device: torch.device("cuda"))
    monkeypatch.setattr(
        diffusers.DiffusionPipeline, "enable_group_offload", lambda self, **options: calls.append(options)
    )
    load(ComputeOptions(offload="group"), dtype="float32")
    load(ComputeOptions(offload="group", offload_type="leaf_level", use_stream=True), dtype="float32")
    devices = {"onload_device": torch.device("cuda"), "offload_device": torch.device("cpu")}
    assert calls == [
        {**devices, "offload_type": "block_level", "use_stream": False, "num_blocks_per_group": 1},
        {**devices, "offload_type": "leaf_level", "use_stream": True},
    ]


def test_memory_options_that_go_together():
    for options, message in (
        ({"offload_type": "leaf_level"}, 'offload_type: expected offload "group"'),
        ({"use_stream": True, "offload": "model"}, 'use_stream: expected offload "group"'),
        ({"offload": "group", "num_blocks_per_group": 0}, "num_blocks_per_group: expected at least 1"),
        ({"offload": "group", "offload_type": "leaf_level", "num_blocks_per_group": 2}, "num_blocks_per_group"),
        ({"offload": "group", "offload_type": "leaves"}, "offload_type: expected one of block_level, leaf_level"),
        ({"storage_dtype": "int4"}, "storage_dtype: expected one of float8_e4m3fn, float8_e5m2"),
        ({"quantization": "gguf"}, "quantization: expected one of bitsandbytes_4bit"),
        ({"quantization": "torchao", "storage_dtype": "float8_e5m2"}, "storage_dtype: expected None with quantization"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            ComputeOptions(**options)


def test_quantization_needs_its_package_and_a_model_that_is_loaded(load, tmp_path, monkeypatch):
    with pytest.raises(InvalidArgumentError, match="quantization: expected torchao, or a GPU for bitsandbytes"):
        load(ComputeOptions(quantization="bitsandbytes_4bit"))
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torchao" else find(name))
    with pytest.raises(MissingDependencyError, match=r"torchao is not installed: .*\[quantization\]"):
        load(ComputeOptions(quantization="torchao"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    with pytest.raises(InvalidArgumentError, match="quantization: expected None for Stable Diffusion"):
        load(ComputeOptions(quantization="torchao"))
    with pytest.raises(InvalidArgumentError, match="storage_dtype: expected None for Stable Diffusion"):
        load(ComputeOptions(storage_dtype="float8_e4m3fn"))
    wan = BasicPipe.from_pretrained(tiny_wan.save_checkpoint(tmp_path), device="cpu")
    with pytest.raises(InvalidArgumentError, match="quantization: expected None for a pipeline that exists"):
        BasicPipe.from_pipe(wan.diffusers_pipeline(), compute=ComputeOptions(quantization="torchao"))


def test_a_transformer_is_quantized_while_it_is_loaded(tmp_path):
    pytest.importorskip("torchao", reason="torchao is not installed")
    folder = tiny_wan.save_checkpoint(tmp_path)
    plain = BasicPipe.from_pretrained(folder, device="cpu", dtype="bfloat16")
    small = BasicPipe.from_pretrained(
        folder, device="cpu", dtype="bfloat16", compute=ComputeOptions(quantization="torchao")
    )
    assert small.model.transformer.is_quantized
    assert not getattr(small.clip.encoder, "is_quantized", False)
    x, sigma, prompts = torch.randn(1, 4, 3, 4, 4), torch.tensor(0.5), [WanPrompt(torch.randn(1, 8, tiny_wan.TEXT))]
    close = small.model.predict(x, sigma, prompts) - plain.model.predict(x, sigma, prompts)
    assert 0 < float(close.abs().max()) < 0.1


def test_offloaded_networks_give_the_same(load, expected):
    pipe = load()
    # A CPU as accelerator: the hooks work as they would with a GPU.
    pipe.diffusers_pipeline().enable_model_cpu_offload(device="cpu")
    pipe = pipe.with_prompt("a face")
    close(repainted(pipe), expected[True])
    close(pipe.vae.decode(torch.zeros(1, 4, 8, 8), full_precision=True), pipe.vae.decode(torch.zeros(1, 4, 8, 8)))
    sampler_for(*pipe[:3]).release()


def test_layers_that_are_offloaded_one_by_one_compute_on_their_device(load):
    pipe = load()
    pipe.diffusers_pipeline().enable_sequential_cpu_offload(device="cpu")
    assert pipe.model.unet.device.type == "meta"
    assert pipe.model.device.type == "cpu"


def test_pipelines_and_single_files_take_the_options(load, folders, tmp_path):
    compute = ComputeOptions(guidance_batch=False, vae_tile=64)
    theirs = load(motion=False).diffusers_pipeline()
    path = tiny_models.save_single_file(tmp_path / "all.safetensors")
    for pipe in (
        BasicPipe.from_pipe(theirs, compute=compute),
        BasicPipe.from_single_file(path, config=folders["sd"], compute=compute, device="cpu"),
    ):
        assert not pipe.model.guidance_batch
        assert pipe.vae.vae.use_tiling
        assert pipe.vae.vae.tile_sample_min_size == 64


def test_wan_takes_what_it_can(tmp_path):
    folder = tiny_wan.save_checkpoint(tmp_path / "wan")
    pipe = BasicPipe.from_pretrained(folder, device="cpu", compute=ComputeOptions(guidance_batch=False, vae_tile=64))
    assert not pipe.model.guidance_batch
    assert pipe.vae.vae.tile_sample_min_height == pipe.vae.vae.tile_sample_min_width == 64
    for options in ({"frame_batch": 2}, {"channels_last": True}, {"attention_slicing": "max"}):
        with pytest.raises(InvalidArgumentError, match=f"{next(iter(options))}: expected its default for Wan"):
            pipe.sampler.use_compute(ComputeOptions(**options), torch.device("cpu"))
    with pytest.raises(InvalidArgumentError, match="vae_tile: expected a multiple of 32 of at least 64, got 48"):
        pipe.sampler.use_compute(ComputeOptions(vae_tile=48), torch.device("cpu"))


def test_other_pipes_have_no_networks():
    with pytest.raises(ModelError, match="the family 'sharpen' has no networks to set up"):
        BasicPipe.preview().sampler.use_compute(ComputeOptions(vae_tile=64), torch.device("cpu"))


def test_batches_have_a_frame():
    with pytest.raises(InvalidArgumentError, match="frame_batch: expected at least 1, got 0"):
        ComputeOptions(frame_batch=0)
