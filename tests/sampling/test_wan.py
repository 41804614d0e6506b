"""Wan video to video on a tiny random model, saved and loaded by diffusers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel

from segs_detailer.detailer import detail_frames
from segs_detailer.errors import InvalidArgumentError, ModelError
from segs_detailer.sampling.flow import FLOW_SAMPLERS, FLOW_SCHEDULES, FlowTable
from segs_detailer.sampling.protocol import SampleJob
from segs_detailer.sampling.resolve import sampler_for
from segs_detailer.sampling.schedules import sigmas_for
from segs_detailer.sampling.wan.model import WanModel
from segs_detailer.sampling.wan.sampler import clip_mask
from segs_detailer.segs import SEG

POSITIVE, NEGATIVE = ([[torch.randn(1, 5, 16, generator=torch.Generator().manual_seed(s)), {}]] for s in (1, 2))


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wan")
    torch.manual_seed(0)
    WanTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=4,
        out_channels=4,
        text_dim=16,
        freq_dim=16,
        ffn_dim=32,
        num_layers=1,
        rope_max_seq_len=32,
    ).save_pretrained(folder / "transformer")
    AutoencoderKLWan(
        base_dim=4, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, latents_mean=[0.1] * 4, latents_std=[0.5] * 4
    ).save_pretrained(folder / "vae")
    transformer = WanTransformer3DModel.from_pretrained(folder / "transformer", use_safetensors=True)
    vae = AutoencoderKLWan.from_pretrained(folder / "vae", use_safetensors=True)
    return transformer.eval().requires_grad_(False), vae.eval().requires_grad_(False)


def job_for(frames, **changes):
    mask = torch.zeros(len(frames), 32, 32)
    mask[3, 8:24, 8:24] = 1
    settings = {"pixels": frames, "positive": POSITIVE, "negative": NEGATIVE, "seed": 3, "steps": 3, "cfg": 4.0}
    settings |= {"sampler_name": "euler", "scheduler": "simple", "denoise": 0.5, "noise_mask": mask}
    return SampleJob(**{**settings, **changes})


@pytest.fixture
def frames():
    return torch.rand(9, 32, 32, 3, generator=torch.Generator().manual_seed(5))


def test_masked_sampling_pins_counts_and_repeats(parts, frames):
    sampler = sampler_for(WanModel(parts[0]), None, parts[1])
    latents = sampler.encode(frames)
    assert latents.shape == (1, 4, 3, 4, 4)
    shapes, levels = [], []
    hook = parts[0].register_forward_pre_hook(
        lambda module, args, kwargs: shapes.append(kwargs["hidden_states"].shape), with_kwargs=True
    )
    job = job_for(frames, callback=lambda *step: levels.append(step[-1]))
    result = sampler.sample(latents, job)
    hook.remove()
    assert shapes == [(2, 4, 3, 4, 4)] * 3
    table = sampler.model.table
    assert levels == pytest.approx([float(table.sigmas[index]) for index in (499, 333, 166)], abs=2e-3)
    inside = torch.zeros_like(latents, dtype=torch.bool)
    inside[:, :, 1, 1:3, 1:3] = True
    assert torch.equal(result[~inside], latents[~inside])
    assert not torch.equal(result[inside], latents[inside])
    assert torch.equal(result, sampler.sample(latents, job))
    assert not torch.equal(result, sampler.sample(latents, replace(job, seed=4)))
    apart = sampler_for(WanModel(parts[0], guidance_batch=False), None, parts[1])
    torch.testing.assert_close(apart.sample(latents, job), result, rtol=1e-4, atol=1e-4)
    assert sampler.decode(result).shape == frames.shape


@pytest.mark.parametrize("name", FLOW_SAMPLERS)
def test_ode_samplers_follow_a_known_flow(name, parts, frames):
    """A model that knows the clean latents leads every sampler there."""
    sampler = sampler_for(WanModel(parts[0]), None, parts[1])
    latents = sampler.encode(frames)
    goal = torch.full_like(latents, 0.25)
    sampler.model.predict = lambda x, sigma, prompts: goal.expand(len(prompts), -1, -1, -1, -1)
    result = sampler.sample(latents, job_for(frames, sampler_name=name, noise_mask=None, denoise=1.0))
    torch.testing.assert_close(result, sampler.vae.from_model(goal), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("count", [1, 6, 10])
def test_any_number_of_frames_through_the_detailer(count, parts):
    frames = torch.rand(count, 32, 32, 3, generator=torch.Generator().manual_seed(5))
    box = (0, 0, 32, 32)
    segs = ((32, 32), [SEG(None, torch.ones(32, 32).numpy(), 1.0, box, box, "", None)])
    pipe = (parts[0], None, parts[1], POSITIVE, NEGATIVE)
    seen = []
    hook = parts[0].register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["hidden_states"].shape[2]), with_kwargs=True
    )
    result = detail_frames(frames, segs, pipe, scheduler="simple", guide_size=32, max_size=32, steps=2)
    hook.remove()
    assert result.frames.shape == frames.shape
    assert seen == [-(-(count - 1) // 4) + 1] * 2
    with pytest.raises(InvalidArgumentError, match="sampler_name: expected one of euler, ddim"):
        detail_frames(frames, segs, pipe, scheduler="simple", sampler_name="euler_ancestral")


def test_a_frames_mask_opens_the_latent_that_packs_it():
    mask = torch.zeros(9, 8, 8)
    mask[8] = 1
    assert clip_mask(mask, torch.zeros(1, 4, 3, 1, 1), 4).flatten().tolist() == [0, 0, 1]
    with pytest.raises(InvalidArgumentError, match=r"noise_mask: expected .*\(9, H, W\)"):
        clip_mask(mask[:8], torch.zeros(1, 4, 3, 1, 1), 4)


def test_what_does_not_hold_for_a_flow_is_refused(parts, frames):
    sampler = sampler_for(WanModel(parts[0]), None, parts[1])
    latents = sampler.encode(frames)
    for change, message in (
        ({"sampler_name": "lcm"}, "sampler_name: expected one for flow matching"),
        ({"scheduler": "AYS SD1"}, "scheduler: expected one for flow matching"),
        ({"positive": []}, "positive: expected one conditioning entry"),
        ({"inpaint_model": True}, "inpaint_model"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            sampler.sample(latents, job_for(frames, **change))
    with pytest.raises(ModelError, match="'control' is not supported"):
        sampler.sample(latents, job_for(frames, positive=[[POSITIVE[0][0], {"control": 1}]]))
    with pytest.raises(InvalidArgumentError, match="frames: expected"):
        sampler.encode(frames[:8])


def test_second_transformer_takes_the_low_noise(parts, frames):
    low = WanTransformer3DModel.from_config(parts[0].config).eval()
    calls = []
    low.register_forward_pre_hook(lambda module, args, kwargs: calls.append(1), with_kwargs=True)
    sampler = sampler_for(WanModel(parts[0], low_noise=low, boundary=0.7), None, parts[1])
    levels = []
    sampler.sample(sampler.encode(frames), job_for(frames, callback=lambda *step: levels.append(step[-1])))
    assert 0 < len(calls) == sum(level < 0.7 for level in levels) < 3
    with pytest.raises(ModelError, match="give both or neither"):
        WanModel(parts[0], boundary=0.5)


def test_schedules_stay_between_noise_and_clean():
    for name in FLOW_SCHEDULES:
        sigmas = sigmas_for(name, FlowTable.shifted(5.0), 10)
        assert 0.9 < float(sigmas[0]) <= 1.0
        assert float(sigmas[-1]) == 0
        assert bool((sigmas.diff() < 0).all())
