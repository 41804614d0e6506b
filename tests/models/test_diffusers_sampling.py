"""Sampling with tiny random models: calls, guidance, masks, windows, ControlNets, inpainting."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import tiny_models
from agreement import assert_agree
from segs_detailer.errors import CancelledError, InvalidArgumentError, InvalidTypeError, ModelError
from segs_detailer.models.control import ControlHint, with_control
from segs_detailer.models.interface import RefinerStage, SampleJob, Sampler
from segs_detailer.models.samplers import SAMPLERS
from segs_detailer.models.sd.network import DiffusersModel
from segs_detailer.models.sd.sampler import DiffusersSampler
from segs_detailer.models.sd.vae import FrameVAE
from segs_detailer.models.stages import SamplingOptions
from segs_detailer.models.windows import ContextWindows

FRAMES = 5


def embedding(seed, tokens=7):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, tokens, tiny_models.CROSS, generator=generator)


POSITIVE = [[embedding(1), {}]]
NEGATIVE = [[embedding(2), {}]]


@pytest.fixture(scope="module")
def vae():
    return FrameVAE(tiny_models.make_vae())


@pytest.fixture(scope="module")
def motion_unet():
    return tiny_models.make_motion_unet()


@pytest.fixture(scope="module")
def plain_unet():
    return tiny_models.make_unet()


@pytest.fixture
def frames():
    return torch.rand(FRAMES, 64, 64, 3, generator=torch.Generator().manual_seed(5))


def sampler_of(unet, vae, **options):
    return DiffusersSampler(DiffusersModel(unet, **options), vae)


def job_for(frames, **changes):
    mask = torch.zeros(1, 64, 64)
    mask[:, 16:48, 16:48] = 1
    settings = {
        "pixels": frames,
        "positive": POSITIVE,
        "negative": NEGATIVE,
        "seed": 3,
        "steps": 4,
        "cfg": 5.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 0.5,
        "noise_mask": mask,
    }
    return SampleJob(**{**settings, **changes})


def test_a_sampler_of_ones_own_in_place_of_the_named_one(plain_unet, vae, frames):
    sampler = sampler_of(plain_unet, vae)
    latents = sampler.encode(frames)

    def sampled(**changes):
        return sampler.sample(latents, job_for(frames, scheduler="karras", **changes))

    named = sampled(sampler_name="dpmpp_2m")
    assert torch.equal(sampled(sampler_name="euler", custom_sampler=SAMPLERS["dpmpp_2m"]), named)
    assert not torch.equal(sampled(sampler_name="euler"), named)
    assert sampler.takes_custom_sampler
    with pytest.raises(InvalidTypeError, match="custom_sampler: expected a SamplerSpec, or None, got str"):
        sampled(custom_sampler="dpmpp_2m")


class CallCount:
    """Shapes of the inputs that a network was called with."""

    def __init__(self, unet):
        self.shapes = []
        self.contexts = []
        self._hook = unet.register_forward_pre_hook(self._record)

    def _record(self, module, args):
        self.shapes.append(tuple(args[0].shape))
        self.contexts.append(tuple(args[2].shape))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._hook.remove()


def test_sampler_speaks_the_protocol(motion_unet, vae):
    assert isinstance(sampler_of(motion_unet, vae), Sampler)


@pytest.mark.parametrize("differential", [False, True])
def test_latents_outside_the_mask_come_back_to_the_bit(motion_unet, vae, frames, differential):
    sampler = sampler_of(motion_unet, vae)
    latents = sampler.encode(frames)
    before = latents.clone()
    result = sampler.sample(latents, job_for(frames, differential=differential))
    assert result.shape == latents.shape
    assert torch.equal(latents, before)
    outside = torch.ones_like(latents, dtype=torch.bool)
    outside[:, :, 2:6, 2:6] = False
    assert torch.equal(result[outside], latents[outside])
    assert not torch.equal(result[~outside], latents[~outside])


def test_motion_model_sees_the_whole_clip_once_a_step(motion_unet, vae, frames):
    sampler = sampler_of(motion_unet, vae)
    with CallCount(motion_unet) as count:
        sampler.sample(sampler.encode(frames), job_for(frames, steps=6))
    assert count.shapes == [(2, 4, FRAMES, 8, 8)] * 6
    assert count.contexts[0] == (2 * FRAMES, 7, tiny_models.CROSS)


def test_guidance_scale_1_leaves_out_the_negative_prompt(motion_unet, vae, frames):
    sampler = sampler_of(motion_unet, vae)
    latents = sampler.encode(frames)
    with CallCount(motion_unet) as count:
        result = sampler.sample(latents, job_for(frames, cfg=1.0))
    assert {shape[0] for shape in count.shapes} == {1}
    other = sampler.sample(latents, job_for(frames, cfg=1.0, negative=[[embedding(9), {}]]))
    assert torch.equal(result, other)
    with CallCount(motion_unet) as count:
        sampler.sample(latents, job_for(frames, cfg=1.0, sampler_name="euler_cfg_pp"))
    assert {shape[0] for shape in count.shapes} == {2}


def test_guidance_apart_gives_the_same(motion_unet, vae, frames):
    together, apart = sampler_of(motion_unet, vae), sampler_of(motion_unet, vae, guidance_batch=False)
    latents = together.encode(frames)
    with CallCount(motion_unet) as count:
        result = apart.sample(latents, job_for(frames))
    assert len(count.shapes) == 8
    torch.testing.assert_close(result, together.sample(latents, job_for(frames)), rtol=1e-3, atol=1e-3)


def test_plain_unet_works_frame_by_frame(plain_unet, vae, frames):
    sampler = sampler_of(plain_unet, vae, frame_batch=2)
    latents = sampler.encode(frames)
    with CallCount(plain_unet) as count:
        result = sampler.sample(latents, job_for(frames))
    assert count.shapes[:3] == [(4, 4, 8, 8), (4, 4, 8, 8), (2, 4, 8, 8)]
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(3))
    alone = sampler.sample(latents[1:2], job_for(frames[1:2], noise=noise[1:2]))
    torch.testing.assert_close(result[1:2], alone, rtol=1e-4, atol=1e-4)


def test_motion_ties_the_frames_together(motion_unet, vae, frames):
    sampler = sampler_of(motion_unet, vae)
    latents = sampler.encode(frames)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(3))
    whole = sampler.sample(latents, job_for(frames))[:2]
    alone = sampler.sample(latents[:2], job_for(frames[:2], noise=noise[:2]))
    assert float((whole - alone).abs().max()) > 1e-2


def test_motion_unet_without_motion_equals_the_plain_one(vae, frames):
    motion = tiny_models.make_motion_unet()
    for name, weight in motion.named_parameters():
        if "motion_modules" in name and "proj_out" in name:
            torch.nn.init.zeros_(weight)
    config = {"beta_schedule": "linear"}
    latents = vae.encode(frames)
    left = sampler_of(motion, vae, scheduler_config=config).sample(latents, job_for(frames))
    right = sampler_of(tiny_models.make_unet(), vae, scheduler_config=config).sample(latents, job_for(frames))
    torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_predictions_are_turned_into_x0(prediction, vae):
    model = DiffusersModel(tiny_models.make_unet(), {"prediction_type": prediction})
    x0, noise = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    sigma = model.table.sigmas[600]
    alpha = 1 / (1 + sigma**2).sqrt()
    deviation = sigma * alpha
    output = {"epsilon": noise, "v_prediction": alpha * noise - deviation * x0, "sample": x0}[prediction]

    class Oracle(torch.nn.Module):
        config = model.unet.config
        device, dtype = torch.device("cpu"), torch.float32

        def forward(self, x, timestep, context, **kwargs):
            assert int(timestep) == 600
            torch.testing.assert_close(x, alpha * x0 + deviation * noise)
            return (output,)

    model.unet = Oracle()
    from segs_detailer.models.sd.conditioning import prepare_conditioning

    entries = prepare_conditioning(
        POSITIVE, "positive", x0, model.table, dtype=torch.float32, needs_pooled=False, pixels_per_latent=8
    )
    (predicted,) = model.predict(x0 + sigma * noise, sigma, entries, None, 0)
    torch.testing.assert_close(predicted, x0, rtol=1e-4, atol=1e-4)


def test_unequal_prompts_are_repeated_to_a_common_length(motion_unet, vae, frames):
    sampler = sampler_of(motion_unet, vae)
    latents = sampler.encode(frames)
    job = job_for(frames, positive=[[embedding(1, tokens=6), {}]], negative=[[embedding(2, tokens=4), {}]])
    with CallCount(motion_unet) as count:
        result = sampler.sample(latents, job)
    assert {shape[1] for shape in count.contexts} == {12}
    apart = sampler_of(motion_unet, vae, guidance_batch=False).sample(latents, job)
    torch.testing.assert_close(result, apart, rtol=1e-3, atol=1e-3)


def test_conditioning_masks_and_strengths_average(plain_unet, vae, frames):
    sampler = sampler_of(plain_unet, vae)
    latents = sampler.encode(frames)
    left = torch.zeros(1, 64, 64)
    left[..., :32] = 1
    one, two = embedding(1), embedding(8)

    def sampled(positive):
        job = job_for(frames, positive=positive, noise_mask=None, cfg=1.0, steps=1, denoise=0.9)
        return sampler.sample(latents, job)

    halves = sampled([[one, {"mask": left}], [two, {"mask": 1 - left}]])
    first, second = sampled([[one, {}]]), sampled([[two, {}]])
    assert_agree(halves[..., :4], first[..., :4])
    assert_agree(halves[..., 4:], second[..., 4:])
    mixed = sampled([[one, {"strength": 3.0}], [two, {}]])
    assert_agree(mixed, 0.75 * first + 0.25 * second)


def test_conditioning_ends_with_its_timestep_range(plain_unet, vae, frames):
    sampler = sampler_of(plain_unet, vae)
    latents = sampler.encode(frames)
    early, late = {"end_percent": 0.7}, {"start_percent": 0.7}
    job = job_for(frames, positive=[[embedding(1), early], [embedding(8), late]])
    both, first = sampler.sample(latents, job), sampler.sample(latents, replace(job, positive=POSITIVE))
    assert not torch.equal(both, first)
    same = replace(job, positive=[[embedding(1), early], [embedding(1), late]])
    torch.testing.assert_close(sampler.sample(latents, same), first)


@pytest.mark.parametrize(
    ("positive", "message"),
    [
        ([], "positive: expected at least one conditioning entry, got none"),
        ([3], "positive: expected entries"),
        ([[embedding(1), {"mask": torch.zeros(3, 8, 8)}]], "positive mask: expected"),
        ([[torch.zeros(2, 3), {}]], r"positive: expected embeddings of shape \(1, tokens, channels\)"),
    ],
)
def test_conditioning_that_cannot_be_used_is_refused(plain_unet, vae, frames, positive, message):
    sampler = sampler_of(plain_unet, vae)
    with pytest.raises(InvalidArgumentError, match=message):
        sampler.sample(sampler.encode(frames), job_for(frames, positive=positive))


def test_scheduler_func_replaces_the_schedule(plain_unet, vae, frames):
    sampler = sampler_of(plain_unet, vae)
    latents = sampler.encode(frames)
    asked = []

    def schedule(model, sampler_name, steps):
        asked.append((model, sampler_name, steps))
        return torch.linspace(4, 0, steps + 1)

    sigmas = []
    job = job_for(frames, scheduler_func=schedule, scheduler="unused", callback=lambda *step: sigmas.append(step[-1]))
    sampler.sample(latents, job)
    assert asked == [(sampler.model, "euler", 8)]
    assert sigmas == [2.0, 1.5, 1.0, 0.5]
    short = replace(job, scheduler_func=lambda *_: torch.tensor([1.0, 0.0]))
    assert torch.equal(sampler.sample(latents, short), latents)
    rising = replace(job, scheduler_func=lambda *_: torch.tensor([0.0, 1.0]))
    with pytest.raises(InvalidArgumentError, match="scheduler_func: expected sigmas"):
        sampler.sample(latents, rising)


def test_refiner_finishes_with_its_own_model_and_prompt(motion_unet, vae, frames):
    base = sampler_of(motion_unet, vae)
    other_unet = tiny_models.make_motion_unet(seed=9)
    other = sampler_of(other_unet, vae)
    latents = base.encode(frames)
    job = job_for(frames, steps=8)

    def refined(sampler, positive=POSITIVE, ratio=0.25):
        stage = RefinerStage(sampler=sampler, positive=positive, negative=NEGATIVE, ratio=ratio)
        return base.sample(latents, replace(job, refiner=stage))

    single = base.sample(latents, job)
    assert torch.equal(refined(base), single)
    with CallCount(motion_unet) as first, CallCount(other_unet) as second:
        assert not torch.equal(refined(other), single)
    assert (len(first.shapes), len(second.shapes)) == (6, 2)
    assert not torch.equal(refined(base, positive=[[embedding(8), {}]]), single)
    with pytest.raises(InvalidTypeError, match="refiner: expected a Stable Diffusion model"):
        refined(object())
    with pytest.raises(InvalidArgumentError, match="refiner_ratio"):
        refined(base, ratio=1.5)


def test_callback_cancels(plain_unet, vae, frames):
    sampler = sampler_of(plain_unet, vae)

    def cancel(*step):
        raise CancelledError("stop")

    with pytest.raises(CancelledError):
        sampler.sample(sampler.encode(frames), job_for(frames, callback=cancel))


def test_latents_of_another_model_are_refused(plain_unet, vae, frames):
    sampler = sampler_of(plain_unet, vae)
    with pytest.raises(InvalidArgumentError, match=r"latents: expected \(F, 4, h, w\)"):
        sampler.sample(torch.zeros(2, 16, 8, 8), job_for(frames))


# Context windows


def test_window_over_the_whole_clip_equals_one_pass(motion_unet, vae, frames):
    latents = vae.encode(frames)
    none = sampler_of(motion_unet, vae, windows=ContextWindows(length=None))
    whole = sampler_of(motion_unet, vae, windows=ContextWindows(length=FRAMES, overlap=2))
    assert torch.equal(none.sample(latents, job_for(frames)), whole.sample(latents, job_for(frames)))


def test_long_clips_are_seen_in_windows(motion_unet, vae, frames):
    sampler = sampler_of(motion_unet, vae, windows=ContextWindows(length=3, overlap=1, order="static"))
    latents = sampler.encode(frames)
    with CallCount(motion_unet) as count:
        result = sampler.sample(latents, job_for(frames))
    assert count.shapes == [(2, 4, 3, 8, 8)] * 8
    assert bool(result.isfinite().all())


def test_windows_average_predictions(motion_unet, vae, frames):
    """Windows of one frame that share none are the frames alone."""
    windows = ContextWindows(length=1, overlap=0)
    sampler = sampler_of(motion_unet, vae, windows=windows)
    latents = sampler.encode(frames)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(3))
    whole = sampler.sample(latents, job_for(frames))
    alone = sampler.sample(latents[2:3], job_for(frames[2:3], noise=noise[2:3]))
    torch.testing.assert_close(whole[2:3], alone, rtol=1e-4, atol=1e-4)


def test_more_frames_than_the_motion_module_takes():
    unet = tiny_models.make_motion_unet(max_frames=4)
    assert DiffusersModel(unet).windows.length == 4
    model = DiffusersModel(unet, windows=ContextWindows(length=None))
    with pytest.raises(ModelError, match="takes 4 frames at once and the clip has 5: set context windows"):
        model.check_latents(torch.zeros(5, 4, 8, 8))
    with pytest.raises(ModelError, match="context windows of 16 frames: the motion module takes 4 at once"):
        DiffusersModel(unet, windows=ContextWindows())


# ControlNets


@pytest.mark.parametrize("kind", ["motion", "plain"])
def test_controlnet_steers_the_model(kind, motion_unet, plain_unet, vae, frames):
    sampler = sampler_of(motion_unet if kind == "motion" else plain_unet, vae)
    controlnet = tiny_models.make_controlnet(plain_unet)
    latents = sampler.encode(frames)

    def sampled(*hints, job=None):
        job = job_for(frames) if job is None else job
        for hint in hints:
            job = replace(job, positive=with_control(job.positive, hint), negative=with_control(job.negative, hint))
        return sampler.sample(latents, job)

    free = sampled()
    hint = ControlHint(controlnet, frames)
    steered = sampled(hint)
    assert float((steered - free).abs().max()) > 1e-2
    assert torch.equal(sampled(replace(hint, strength=0.0)), free)
    assert torch.equal(sampled(replace(hint, end=0.0)), free)
    assert torch.equal(sampled(replace(hint, start=1.0)), free)
    part = sampled(replace(hint, end=0.8))
    assert not torch.equal(part, free)
    assert not torch.equal(part, steered)
    halves = sampled(replace(hint, strength=0.5), replace(hint, strength=0.5))
    torch.testing.assert_close(halves, steered, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(sampled(replace(hint, image=frames[:1])), sampled(replace(hint, image=frames[:1])))


def test_controlnet_on_one_side_only(plain_unet, vae, frames):
    sampler = sampler_of(plain_unet, vae)
    latents = sampler.encode(frames)
    hint = ControlHint(tiny_models.make_controlnet(plain_unet), frames)
    job = job_for(frames)
    positive = sampler.sample(latents, replace(job, positive=with_control(job.positive, hint)))
    both = sampler.sample(
        latents, replace(job, positive=with_control(job.positive, hint), negative=with_control(job.negative, hint))
    )
    assert not torch.equal(positive, both)


def test_controlnet_follows_the_windows(motion_unet, plain_unet, vae, frames):
    hint = ControlHint(tiny_models.make_controlnet(plain_unet), frames)
    job = job_for(frames, positive=with_control(POSITIVE, hint), negative=with_control(NEGATIVE, hint))
    sampler = sampler_of(motion_unet, vae, windows=ContextWindows(length=1, overlap=0))
    latents = sampler.encode(frames)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(3))
    whole = sampler.sample(latents, job)
    last = replace(hint, image=frames[4:])
    alone = replace(
        job,
        pixels=frames[4:],
        noise=noise[4:],
        positive=with_control(POSITIVE, last),
        negative=with_control(NEGATIVE, last),
    )
    torch.testing.assert_close(whole[4:], sampler.sample(latents[4:], alone), rtol=1e-4, atol=1e-4)


def test_control_images_that_do_not_fit_are_refused(plain_unet, vae, frames):
    controlnet = tiny_models.make_controlnet(plain_unet)
    with pytest.raises(InvalidArgumentError, match=r"image: expected \(1 or F, H, W, 3\)"):
        ControlHint(controlnet, frames[0])
    with pytest.raises(InvalidArgumentError, match="0 <= start <= end <= 1"):
        ControlHint(controlnet, frames, start=0.8, end=0.2)
    sampler = sampler_of(plain_unet, vae)
    job = job_for(frames, positive=with_control(POSITIVE, ControlHint(controlnet, frames[:2])))
    with pytest.raises(InvalidArgumentError, match="image: expected 1 or 5 frames, got 2 frames"):
        sampler.sample(sampler.encode(frames), job)
    with pytest.raises(InvalidTypeError, match="control: expected ControlHint"):
        with_control([[embedding(1), {"control": 3}]], ControlHint(controlnet, frames))


# Inpainting checkpoints


def test_inpainting_unet_gets_mask_and_masked_image(vae, frames):
    unet = tiny_models.make_motion_unet(in_channels=9)
    sampler = sampler_of(unet, vae)
    latents = sampler.encode(frames)
    seen = []
    hook = unet.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    result = sampler.sample(latents, job_for(frames, inpaint_model=True))
    hook.remove()
    assert seen[0].shape == (2, 9, FRAMES, 8, 8)
    mask = torch.zeros(8, 8)
    mask[2:6, 2:6] = 1
    assert torch.equal(seen[0][0, 4], mask.expand(FRAMES, 8, 8))
    gray = frames.clone()
    gray[:, 16:48, 16:48] = 0.5
    torch.testing.assert_close(seen[0][1, 5:].transpose(0, 1), vae.to_model(vae.encode(gray)))
    whole = sampler.sample(latents, job_for(frames))
    assert not torch.equal(whole, result)


def test_inpaint_model_on_an_ordinary_checkpoint_is_announced(plain_unet, vae, frames):
    sampler = sampler_of(plain_unet, vae)
    latents = sampler.encode(frames)
    with pytest.warns(UserWarning, match="inpaint_model has no effect"):
        result = sampler.sample(latents, job_for(frames, inpaint_model=True))
    assert torch.equal(result, sampler.sample(latents, job_for(frames)))


def test_other_input_channels_are_refused(vae, frames):
    sampler = sampler_of(tiny_models.make_unet(in_channels=8), vae)
    with pytest.raises(ModelError, match="8 input channels is not supported"):
        sampler.sample(sampler.encode(frames), job_for(frames))


def test_half_precision_models_sample_in_float32(vae, frames):
    sampler = sampler_of(tiny_models.make_unet().to(torch.bfloat16), vae)
    states = []
    result = sampler.sample(vae.encode(frames), job_for(frames, callback=lambda *step: states.append(step[3].dtype)))
    assert set(states) == {torch.float32}
    assert result.dtype == torch.float32


def test_leaking_mask_is_an_option(plain_unet, vae, frames):
    latents = vae.encode(frames)
    job = job_for(frames, differential=True)
    strict = sampler_of(plain_unet, vae).sample(latents, job)
    leaking = sampler_of(plain_unet, vae, options=SamplingOptions(strict_mask=False)).sample(latents, job)
    assert torch.equal(strict[..., 0, 0], latents[..., 0, 0])
    assert not torch.equal(leaking[..., 0, 0], latents[..., 0, 0])
