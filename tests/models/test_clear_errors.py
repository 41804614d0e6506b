"""What is wrong is said in one line: names, packages, parts that do not fit, sizes, devices and dtypes."""

from __future__ import annotations

import builtins
from types import SimpleNamespace

import pytest
import torch
from diffusers import MotionAdapter
from safetensors.torch import save_file

import tiny_models
import tiny_wan
from agreement import assert_agree
from fake_sampler import clip, segment, segs_of
from segs_detailer import BasicPipe, detail_frames
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, MissingDependencyError, ModelError
from segs_detailer.models.control import ControlHint
from segs_detailer.models.files import check_has
from segs_detailer.models.interface import SampleJob
from segs_detailer.models.registry import sampler_for
from segs_detailer.models.samplers import sampler_named
from segs_detailer.models.schedules import sigmas_for
from segs_detailer.models.sd.control import prepare_control
from segs_detailer.models.sd.network import DiffusersModel
from segs_detailer.models.windows import ContextWindows

PROMPT = [[torch.randn(1, 7, tiny_models.CROSS, generator=torch.Generator().manual_seed(1)), {}]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_models.save_checkpoint(tmp_path_factory.mktemp("sd"))


@pytest.fixture(scope="module")
def plain():
    return sampler_for(tiny_models.make_unet(), None, tiny_models.make_vae())


def job_for(frames, **changes):
    settings = {"seed": 1, "steps": 1, "cfg": 2.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 0.5}
    return SampleJob(pixels=frames, positive=PROMPT, negative=PROMPT, **{**settings, **changes})


# Names


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("eular", r"euler"),
        ("DPM++_2M", r"dpmpp_2m"),
        ("dpmpp_2m_karras", r"dpmpp_2m"),
        ("unipc", r"uni_pc"),
        ("heun_pp2", r"heunpp2"),
    ],
)
def test_unknown_samplers_are_told_their_neighbors(name, near):
    with pytest.raises(
        InvalidArgumentError, match=rf"sampler_name: expected one of euler, .*got .* \(did you mean .*{near}"
    ):
        sampler_named(name)


@pytest.mark.parametrize(
    ("name", "near"), [("kerras", "karras"), ("Normal", "normal"), ("ays sd1", "AYS SD1"), ("sgm", "sgm_uniform")]
)
def test_unknown_schedules_are_told_their_neighbors(name, near, table):
    with pytest.raises(InvalidArgumentError, match=rf"scheduler: expected one of normal, .*\(did you mean .*{near}"):
        sigmas_for(name, table, 5)


def test_names_like_no_other_have_no_neighbors(table):
    with pytest.raises(InvalidArgumentError, match=r"kl_optimal, .*got 'zzz'$"):
        sigmas_for("zzz", table, 5)


def test_the_detailer_tells_neighbors_too(plain):
    frames = clip()
    segs = segs_of(frames, segment())
    pipe = (plain, None, None, PROMPT, PROMPT)
    with pytest.raises(InvalidArgumentError, match=r"got 'eulr' \(did you mean euler"):
        detail_frames(frames, segs, pipe, sampler_name="eulr")
    with pytest.raises(InvalidArgumentError, match=r"got 'karas' \(did you mean karras"):
        detail_frames(frames, segs, pipe, scheduler="karas")
    wan = (tiny_wan.make_transformer(), None, tiny_wan.make_vae(), PROMPT, PROMPT)
    with pytest.raises(InvalidArgumentError, match=r"got 'euler_ancestral' \(did you mean .*euler"):
        detail_frames(frames, segs, wan, sampler_name="euler_ancestral")


# Packages


def without(monkeypatch, package):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == package:
            raise ImportError(name=package)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)


@pytest.mark.parametrize("package", ["transformers", "diffusers"])
def test_missing_packages_are_named_with_their_extra(folder, package, monkeypatch):
    without(monkeypatch, package)
    with pytest.raises(
        MissingDependencyError, match=rf"{package} is not installed: pip install 'segs-detailer\[diffusers\]'"
    ):
        BasicPipe.from_pretrained(folder)


@pytest.mark.parametrize("name", ["dpmpp_sde", "dpmpp_2m_sde_gpu", "dpmpp_3m_sde"])
def test_samplers_with_brownian_noise_name_their_package(plain, name, monkeypatch):
    without(monkeypatch, "torchsde")
    frames = clip(2, 32, 32)
    with pytest.raises(MissingDependencyError, match="torchsde is not installed"):
        plain.sample(plain.encode(frames), job_for(frames, sampler_name=name))


# Adapters


def adapter(**changes):
    settings = {
        "block_out_channels": tiny_models.CHANNELS,
        "motion_layers_per_block": 1,
        "motion_num_attention_heads": 2,
        "motion_norm_num_groups": 4,
        "use_motion_mid_block": False,
    }
    return MotionAdapter(**{**settings, **changes})


def test_motion_adapters_that_do_not_fit_are_refused(folder):
    for changes, message in (
        ({"motion_layers_per_block": 2}, "does not fit the UNet: Incompatible Motion Adapter, got different number of"),
        ({"block_out_channels": (16, 32, 32)}, r"does not fit the UNet: its blocks have \[16, 32, 32\] channels"),
        ({"conv_in_channels": 9}, r"also wants a picture and its likeness to each frame \(PIA\)"),
    ):
        with pytest.raises(ModelError, match=message):
            BasicPipe.from_pretrained(folder, motion_adapter=adapter(**changes))


def test_packages_that_are_too_old_are_named():
    old = SimpleNamespace(__name__="diffusers", __version__="0.35.0", WanTransformer3DModel=object)
    check_has(old, "WanTransformer3DModel")
    with pytest.raises(ModelError, match=r"diffusers 0\.35\.0 has no LTX2VideoTransformer3DModel: install a newer one"):
        check_has(old, "WanTransformer3DModel", "LTX2VideoTransformer3DModel")


def test_what_is_no_motion_adapter_is_refused(folder):
    with pytest.raises(
        InvalidTypeError,
        match=r"motion_adapter: expected a folder, a hub id, a \.safetensors file or a MotionAdapter of diff",
    ):
        BasicPipe.from_pretrained(folder, motion_adapter=tiny_models.make_unet())
    with pytest.raises(ModelError, match="it is a UNet2DConditionModel, not a MotionAdapter"):
        BasicPipe.from_pretrained(folder, motion_adapter=folder / "unet")


def test_loras_and_ip_adapters_that_do_not_fit_leave_the_model_usable(folder, tmp_path):
    pipe = BasicPipe.from_pretrained(folder, prompt="a face")
    frames = clip(2, 32, 32)

    def repainted():
        sampler = sampler_for(*pipe[:3])
        return sampler.sample(sampler.encode(frames), job_for(frames))

    before = repainted()
    layer = "down_blocks.0.attentions.0.transformer_blocks.0.attn2"
    weights = {
        f"unet.{layer}.to_k.lora_A.weight": torch.zeros(2, 99),
        f"unet.{layer}.to_k.lora_B.weight": torch.zeros(16, 2),
    }
    save_file(weights, tmp_path / "lora.safetensors")
    with pytest.raises(ModelError, match=r"cannot load the LoRA .*size mismatch for .*to_k\.lora_A"):
        pipe.load_lora(tmp_path / "lora.safetensors")
    assert torch.equal(repainted(), before)
    projection = {"proj.weight": (4 * 99, 16), "proj.bias": (4 * 99,), "norm.weight": (99,), "norm.bias": (99,)}
    weights = {f"image_proj.{name}": torch.zeros(shape) for name, shape in projection.items()}
    save_file({**weights, "ip_adapter.1.to_k_ip.weight": torch.zeros(16, 99)}, tmp_path / "ip.safetensors")
    with pytest.raises(ModelError, match=r"cannot load the IP-Adapter ip\.safetensors: "):
        pipe.load_ip_adapter(tmp_path, weight_name="ip.safetensors")
    pipe = BasicPipe.from_pretrained(folder, prompt="a face")
    assert_agree(repainted(), before)


# Files


def test_a_file_is_not_a_folder(folder):
    with pytest.raises(
        InvalidArgumentError, match=r"base: .*checkpoints of one file are for BasicPipe\.from_single_file"
    ):
        BasicPipe.from_pretrained(folder / "unet" / "diffusion_pytorch_model.safetensors")


# Frames and latents


def test_more_frames_than_the_motion_module_takes_need_windows():
    unet = tiny_models.make_motion_unet(max_frames=4)
    pipe = (DiffusersModel(unet, windows=ContextWindows(length=None)), None, tiny_models.make_vae(), PROMPT, PROMPT)
    frames = clip(6, 32, 32)
    segs = segs_of(frames, segment((0, 0, 32, 32)))
    with pytest.raises(ModelError, match="takes 4 frames at once and the clip has 6: set context windows"):
        detail_frames(frames, segs, pipe, guide_size=32, max_size=32, steps=1)


@pytest.mark.parametrize("shape", [(2, 16, 8, 8), (4, 8, 8), (1, 4, 2, 8, 8)])
def test_latents_of_another_shape_are_refused(plain, shape):
    with pytest.raises(InvalidArgumentError, match=r"latents: expected \(F, 4, h, w\) for this UNet, got shape"):
        plain.sample(torch.zeros(shape), job_for(clip(2, 64, 64)))


def test_latents_are_floats(plain):
    for latents in (torch.zeros(2, 4, 8, 8, dtype=torch.int64), torch.zeros(2, 4, 8, 8, dtype=torch.complex64)):
        with pytest.raises(InvalidTypeError, match="latents: expected a floating-point tensor, got"):
            plain.sample(latents, job_for(clip(2, 64, 64)))


def test_noise_and_masks_of_another_size_are_refused(plain):
    frames = clip(2, 64, 64)
    latents = plain.encode(frames)
    with pytest.raises(InvalidArgumentError, match=r"noise: expected shape \(2, 4, 8, 8\), got shape \(2, 4, 8, 9\)"):
        plain.sample(latents, job_for(frames, noise=torch.zeros(2, 4, 8, 9)))
    with pytest.raises(InvalidArgumentError, match="mask: expected"):
        plain.sample(latents, job_for(frames, noise_mask=torch.ones(3, 64, 64)))
    with pytest.raises(InvalidArgumentError, match=r"frames: expected \(B, H, W, 3\) with H and W multiples of 8"):
        plain.encode(torch.zeros(2, 60, 64, 3))


# Devices and dtypes


def broken(network, part, **to):
    network.get_submodule(part).to(**to)
    return network


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ({"dtype": torch.float16}, "several dtypes, float16 and float32"),
        ({"device": "meta"}, "several devices, cpu and meta"),
    ],
)
def test_networks_of_mixed_devices_or_dtypes_are_refused(to, message):
    unet, vae = tiny_models.make_unet(), tiny_models.make_vae()
    with pytest.raises(ModelError, match=f"the UNet has weights of {message}"):
        sampler_for(broken(tiny_models.make_unet(), "conv_in", **to), None, vae)
    with pytest.raises(ModelError, match=f"the VAE has weights of {message}"):
        sampler_for(unet, None, broken(tiny_models.make_vae(), "encoder.conv_in", **to))
    controlnet = broken(tiny_models.make_controlnet(unet), "conv_in", **to)
    with pytest.raises(ModelError, match=f"the ControlNet has weights of {message}"):
        prepare_control(ControlHint(controlnet, clip(1, 64, 64)), 1, 64, 64)


def test_parts_of_different_dtypes_work_together(plain):
    """Each network computes in its own dtype: half a UNet's precision with a VAE in float32 is no mistake."""
    frames = clip(2, 32, 32)
    mixed = sampler_for(tiny_models.make_unet().bfloat16(), None, tiny_models.make_vae())
    latents = mixed.encode(frames)
    result = mixed.sample(latents, job_for(frames))
    torch.testing.assert_close(result, plain.sample(latents, job_for(frames)), rtol=0.1, atol=0.2)
    assert result.dtype == latents.dtype == torch.float32


def test_devices_that_are_not_there_are_named(folder):
    with pytest.raises(InvalidArgumentError, match=r"device: expected cpu, cuda, .* got 'gpu'"):
        BasicPipe.from_pretrained(folder, device="gpu")
    with pytest.raises(InvalidArgumentError, match=r"device: expected .*cpu.*, got cuda:99"):
        BasicPipe.from_pretrained(folder, device="cuda:99")
