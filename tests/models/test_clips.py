"""Several clips in one run: each gets what it would get alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import tiny_models
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.models.interface import RefinerStage, SampleJob, of_one_clip
from segs_detailer.models.sd.network import DiffusersModel
from segs_detailer.models.sd.sampler import DiffusersSampler
from segs_detailer.models.sd.vae import FrameVAE
from segs_detailer.models.stages import SamplingOptions
from segs_detailer.models.windows import ContextWindows

FRAMES = 5
CLIPS = 3


def embedding(seed, tokens=7):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, tokens, tiny_models.CROSS, generator=generator)


POSITIVE = [[embedding(1), {}], [embedding(3), {"strength": 0.5}]]
NEGATIVE = [[embedding(2), {}]]


@pytest.fixture(scope="module")
def vae():
    return FrameVAE(tiny_models.make_vae())


@pytest.fixture(scope="module")
def motion_unet():
    return tiny_models.make_motion_unet()


@pytest.fixture(scope="module")
def frames():
    return torch.rand(CLIPS * FRAMES, 32, 32, 3, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def masks():
    return torch.rand(CLIPS * FRAMES, 32, 32, generator=torch.Generator().manual_seed(6)).round()


def job_for(frames, masks, **changes):
    settings = {
        "pixels": frames,
        "positive": POSITIVE,
        "negative": NEGATIVE,
        "seed": 11,
        "steps": 3,
        "cfg": 4.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 0.6,
        "noise_mask": masks,
        "clips": CLIPS,
    }
    return SampleJob(**(settings | changes))


def clip_by_clip(sampler, latents, job):
    parts = []
    for index in range(job.clips):
        part = slice(index * FRAMES, (index + 1) * FRAMES)
        alone = replace(job, pixels=job.pixels[part], noise_mask=job.noise_mask[part], clips=1)
        parts.append(sampler.sample(latents[part], alone))
    return torch.cat(parts)


WAYS = {
    "euler": {},
    "ancestral noise": {"sampler_name": "euler_ancestral"},
    "brownian noise": {"sampler_name": "dpmpp_2m_sde"},
    "guidance rescaled": {"sampler_name": "euler_cfg_pp", "cfg": 1.5},
    "pinned noise": {"sampler_name": "ddim"},
    "differential": {"differential": True},
}


@pytest.mark.parametrize("way", WAYS)
def test_each_clip_gets_what_it_would_get_alone(motion_unet, vae, frames, masks, way):
    sampler = DiffusersSampler(DiffusersModel(motion_unet), vae)
    latents = sampler.encode(frames)
    job = job_for(frames, masks, **WAYS[way])
    together = sampler.sample(latents, job)
    torch.testing.assert_close(together, clip_by_clip(sampler, latents, job), rtol=1e-3, atol=1e-3)
    # The motion module must not see one clip as the other's continuation.
    mixed = sampler.sample(latents, replace(job, clips=1))
    assert (together - mixed).abs().mean() > 1e-2


@pytest.mark.parametrize("free_noise", [False, True])
def test_clips_are_seen_in_windows_each(motion_unet, vae, frames, masks, free_noise):
    windows = ContextWindows(length=3, overlap=1, free_noise=free_noise)
    sampler = DiffusersSampler(DiffusersModel(motion_unet, windows=windows), vae)
    latents = sampler.encode(frames)
    job = job_for(frames, masks)
    together = sampler.sample(latents, job)
    torch.testing.assert_close(together, clip_by_clip(sampler, latents, job), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("inpaint_model", [False, True])
def test_inpainting_checkpoint_frame_by_frame(vae, frames, masks, inpaint_model):
    unet = tiny_models.make_unet(in_channels=9)
    sampler = DiffusersSampler(DiffusersModel(unet, frame_batch=4), vae)
    latents = sampler.encode(frames)
    job = job_for(frames, masks, inpaint_model=inpaint_model)
    together = sampler.sample(latents, job)
    torch.testing.assert_close(together, clip_by_clip(sampler, latents, job), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("refiner", ["continue", "recomposite"])
def test_refiner_finishes_all_clips(motion_unet, vae, frames, masks, refiner):
    base = DiffusersSampler(DiffusersModel(motion_unet, options=SamplingOptions(refiner=refiner)), vae)
    other = DiffusersSampler(DiffusersModel(tiny_models.make_motion_unet(seed=9)), vae)
    latents = base.encode(frames)
    stage = RefinerStage(sampler=other, positive=POSITIVE, negative=NEGATIVE, ratio=0.4)
    job = job_for(frames, masks, refiner=stage, steps=4)
    together = base.sample(latents, job)
    torch.testing.assert_close(together, clip_by_clip(base, latents, job), rtol=1e-3, atol=1e-3)


def test_all_clips_go_through_the_network_together(motion_unet, vae, frames, masks):
    sampler = DiffusersSampler(DiffusersModel(motion_unet), vae)
    latents = sampler.encode(frames)
    batches = []
    handle = motion_unet.register_forward_pre_hook(lambda _, inputs: batches.append(len(inputs[0])))
    try:
        sampler.sample(latents, job_for(frames, masks, cfg=1.0, positive=POSITIVE[:1]))
    finally:
        handle.remove()
    assert batches == [CLIPS] * 3


def test_out_of_memory_takes_them_one_by_one(motion_unet, vae, frames, masks):
    sampler = DiffusersSampler(DiffusersModel(motion_unet), vae)
    latents = sampler.encode(frames)
    job = job_for(frames, masks, cfg=1.0, positive=POSITIVE[:1])
    expected = sampler.sample(latents, job)

    def refuse(_, inputs):
        if len(inputs[0]) > 1:
            raise torch.cuda.OutOfMemoryError("made up")

    handle = motion_unet.register_forward_pre_hook(refuse)
    try:
        with pytest.warns(UserWarning, match="out of memory while sampling: going on with one segment at a time"):
            result = sampler.sample(latents, job)
    finally:
        handle.remove()
    torch.testing.assert_close(result, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampler_name": "dpm_adaptive"}, "clips: expected 1 with the sampler dpm_adaptive, got 3"),
        ({"clips": 4}, "clips: expected a divisor of the 15 frames, got 4"),
        ({"positive": [[embedding(1), {"mask": torch.ones(1, 32, 32)}]]}, "clips: expected 1 with masks"),
    ],
)
def test_what_cannot_be_sampled_together_is_refused(motion_unet, vae, frames, masks, changes, message):
    sampler = DiffusersSampler(DiffusersModel(motion_unet), vae)
    with pytest.raises(InvalidArgumentError, match=message):
        sampler.sample(sampler.encode(frames), job_for(frames, masks, **changes))


def test_conditioning_of_one_clip_is_known_by_its_parts():
    assert not of_one_clip(POSITIVE)
    assert not of_one_clip([])
    assert not of_one_clip([3, [embedding(1), None]])
    assert of_one_clip([*POSITIVE, [embedding(1), {"control": object()}]])
