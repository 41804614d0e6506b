"""VACE: the clip and its mask as a conditioning of their own, and pictures of the subject."""

from __future__ import annotations

from dataclasses import replace

import diffusers
import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from PIL import Image

import tiny_wan
from fake_sampler import segment, segs_of
from segs_detailer import BasicPipe
from segs_detailer.detailer import ImagePromptWrapper, detail_frames, with_control_net
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, ModelError
from segs_detailer.models.frame_noise import FrameNoise
from segs_detailer.models.info import FramePacking
from segs_detailer.models.interface import RefinerStage, SampleJob
from segs_detailer.models.wan.network import WanModel
from segs_detailer.models.wan.vace import grouped_mask

PACKING = FramePacking(lead=(1,), cycle=(4,))
LIMIT = 1e-4
"""Of the deviation, to which this package and diffusers must agree."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_wan.save_checkpoint(tmp_path_factory.mktemp("vace"), kind="WanVACEPipeline")


@pytest.fixture(scope="module")
def pipe(folder):
    return BasicPipe.from_pretrained(folder, prompt="a face", negative_prompt="blurry")


def pictures(*sizes):
    generator = torch.Generator().manual_seed(8)
    return [torch.randint(0, 256, (*size, 3), generator=generator, dtype=torch.uint8) / 255 for size in sizes]


def image(picture):
    return Image.fromarray((picture * 255).round().byte().numpy())


FRAMES = torch.stack(pictures(*[(32, 32)] * 9))
BIT_OF_FRAMES = torch.zeros(9, 32, 32)
BIT_OF_FRAMES[3, 8:24, 8:24] = 1


def job_for(pipe, **changes):
    settings = {"pixels": FRAMES, "positive": pipe.positive, "negative": pipe.negative, "seed": 3, "steps": 4}
    settings |= {"cfg": 4.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    return SampleJob(**{**settings, **changes})


def sampled(pipe, **changes):
    sampler = pipe.sampler
    return sampler.sample(sampler.encode(FRAMES), job_for(pipe, **changes))


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("sizes", [(), ((24, 40),), ((24, 40), (50, 21))])
def test_runs_over_the_whole_frame_agree_with_diffusers(tmp_path, sizes, second):
    folder = tiny_wan.save_checkpoint(tmp_path, kind="WanVACEPipeline", second=second)
    shown = pictures(*sizes)
    theirs = diffusers.WanVACEPipeline.from_pretrained(folder)
    theirs.scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    theirs.set_progress_bar_config(disable=True)
    pipe = BasicPipe.from_pretrained(folder, prompt="a face", negative_prompt="blurry")
    expected = theirs(
        video=[image(frame) for frame in FRAMES],
        mask=[Image.new("L", (32, 32), 255)] * 9,
        reference_images=[image(picture) for picture in shown] or None,
        prompt_embeds=pipe.positive[0][0],
        negative_prompt_embeds=pipe.negative[0][0],
        height=32,
        width=32,
        num_frames=9,
        num_inference_steps=4,
        guidance_scale=4.0,
        generator=torch.Generator().manual_seed(3),
        output_type="latent",
    ).frames[:, :, len(shown) :]
    if shown:
        pipe = pipe.with_image_prompt(*shown)
    own = sampled(pipe, scheduler_func=lambda model, name, steps: theirs.scheduler.sigmas)
    assert float((pipe.vae.to_model(own) - expected).abs().max() / expected.std()) < LIMIT


def test_the_mask_channels_are_those_of_diffusers(pipe, folder):
    """A mask that stands still is seen by diffusers as it is here; of one that moves it looks at single frames."""
    theirs = diffusers.WanVACEPipeline.from_pretrained(folder)
    mask = torch.rand(1, 32, 32, generator=torch.Generator().manual_seed(2))
    still = mask[:, None, None].expand(1, 3, 9, 32, 32)
    video = FRAMES.movedim(-1, 0)[None] * 2 - 1
    expected = torch.cat([theirs.prepare_video_latents(video, still, [[]]), theirs.prepare_masks(still, [[]])], dim=1)
    inputs = pipe.sampler._vace
    torch.testing.assert_close(inputs.control(FRAMES, mask, None, hide=False), expected, rtol=1e-4, atol=1e-5)


def test_moving_masks_agree_in_all_their_uses(pipe):
    soft = torch.zeros(9, 32, 32)
    soft[3, 8:24, 8:24] = 0.75
    grouped = grouped_mask(soft, PACKING, 9)
    # Frames 1 to 4 lie in one latent.
    assert torch.equal(grouped[1:5], soft[3].expand(4, -1, -1))
    assert not grouped[[0, 5, 6, 7, 8]].any()
    seen = []
    hook = pipe.model.transformer.register_forward_pre_hook(
        lambda module, args, inputs: seen.append(inputs["control_hidden_states"]), with_kwargs=True
    )
    result = sampled(pipe, noise_mask=soft)
    hook.remove()
    control = seen[0][:1]
    assert control.shape == (1, 72, 3, 4, 4)
    assert torch.equal(control[:, 8:, 1].amax(dim=1)[0], torch.nn.functional.max_pool2d(soft[3:4], 8)[0])
    assert not control[:, 8:, [0, 2]].any()
    source = pipe.sampler.encode(FRAMES)
    outside = torch.ones_like(source, dtype=torch.bool)
    outside[:, :, 1, 1:3, 1:3] = False
    assert torch.equal(result[outside], source[outside])
    assert not torch.equal(result[~outside], source[~outside])
    assert torch.equal(result, sampled(pipe, noise_mask=grouped))
    with pytest.raises(InvalidArgumentError, match=r"noise_mask: expected .*\(9, H, W\)"):
        sampled(pipe, noise_mask=soft[:5])


def test_a_mask_of_zeros_gives_the_clip_back(pipe):
    shown = pipe.with_image_prompt(*pictures((32, 32)))
    for each in (pipe, shown):
        assert torch.equal(sampled(each, noise_mask=torch.zeros(32, 32)), pipe.sampler.encode(FRAMES))


def test_pictures_change_the_result_and_are_no_part_of_it(pipe):
    shown = [pipe.with_image_prompt(picture) for picture in pictures((32, 32), (32, 32))]
    results = [sampled(each, noise_mask=BIT_OF_FRAMES, denoise=0.6) for each in (pipe, *shown)]
    assert len({result.shape for result in results}) == 1
    assert all(not torch.equal(results[index], results[index - 1]) for index in range(3))
    x0 = []
    again = sampled(shown[0], noise_mask=BIT_OF_FRAMES, denoise=0.6, callback=lambda *step: x0.append(step[2]))
    assert torch.equal(again, results[1])
    assert {tuple(latents.shape) for latents in x0} == {tuple(again.shape)}
    # The way to a pipe without pictures is the pipe that had none.
    assert torch.equal(sampled(pipe, noise_mask=BIT_OF_FRAMES, denoise=0.6), results[0])
    # There is always room for one.
    assert shown[0].sampler.geometry.max_frames == pipe.sampler.geometry.max_frames
    two = pipe.with_image_prompt(*pictures((8, 8), (8, 8))).sampler
    assert two.geometry.max_frames == pipe.sampler.geometry.max_frames - 4


def test_noise_that_is_given_is_the_clips(pipe):
    shown = pipe.with_image_prompt(*pictures((32, 32)))
    noise = torch.randn(1, 4, 3, 4, 4, generator=torch.Generator().manual_seed(4))
    one, other = (sampled(shown, noise=noise, seed=seed, denoise=0.7) for seed in (1, 2))
    assert not torch.equal(one, other)
    whole = torch.randn(1, 4, 4, 4, 4, generator=torch.Generator().manual_seed(4))
    assert torch.equal(*(sampled(shown, noise=whole, seed=seed, denoise=0.7) for seed in (1, 2)))
    piece = sampled(shown, frame_noise=FrameNoise(start=8), denoise=0.7)
    assert not torch.equal(piece, sampled(shown, frame_noise=FrameNoise(start=0), denoise=0.7))


def test_what_is_repainted_can_be_hidden(pipe):
    kept, hidden = (sampled(pipe, noise_mask=BIT_OF_FRAMES, inpaint_model=hide) for hide in (False, True))
    assert not torch.equal(kept, hidden)
    # Where it is hidden, what was there has no say but in what starts the run: at denoise 1 that is noise alone.
    other = FRAMES.clone()
    other[1:5, 8:24, 8:24] = 0.25
    sampler = pipe.sampler
    control = [
        sampler._vace.control(frames, grouped_mask(BIT_OF_FRAMES, PACKING, 9), None, hide=True)
        for frames in (FRAMES, other)
    ]
    assert torch.equal(*control)


def test_the_scale_of_the_control_branch(folder, pipe):
    none, half = (
        BasicPipe.from_pretrained(folder, prompt="a face", negative_prompt="blurry", conditioning_scale=scale)
        for scale in (0.0, 0.5)
    )
    results = [sampled(each) for each in (pipe, half, none)]
    assert not torch.equal(results[0], results[1])
    # Without effect the pixels are of none either: only the start of the run knows them.
    noise = sampled(none, pixels=1 - FRAMES)
    torch.testing.assert_close(noise, results[2])
    assert not torch.allclose(sampled(pipe, pixels=1 - FRAMES), results[0])
    for scale, message in ((-1.0, "a number of at least 0, got -1"), (float("nan"), "a number of at least 0")):
        with pytest.raises(InvalidArgumentError, match=f"conditioning_scale: expected {message}"):
            WanModel(tiny_wan.make_vace(), conditioning_scale=scale)
    with pytest.raises(InvalidArgumentError, match="conditioning_scale: expected None for a model without VACE's"):
        WanModel(tiny_wan.make_transformer(), conditioning_scale=0.5)


def test_a_refiner_must_know_the_pictures(pipe):
    shown = pipe.with_image_prompt(*pictures((32, 32)))
    plain = (WanModel(tiny_wan.make_transformer()), pipe.clip, pipe.vae, pipe.positive, pipe.negative)

    def stage(refiner):
        return RefinerStage(sampler=refiner, positive=pipe.positive, negative=pipe.negative, ratio=0.5)

    with pytest.raises(InvalidTypeError, match="refiner: expected a VACE model, as the base model is"):
        sampled(shown, refiner=stage(BasicPipe(*plain).sampler))
    both = sampled(shown, refiner=stage(shown.sampler))
    torch.testing.assert_close(both, sampled(shown))


def test_each_segment_has_its_own_picture(pipe):
    frames = torch.rand(5, 32, 64, 3, generator=torch.Generator().manual_seed(7))
    segs = segs_of(frames, segment((0, 0, 32, 32), label="a"), segment((32, 0, 64, 32), label="b"))
    options = {"guide_size": 32, "max_size": 32, "steps": 1, "denoise": 0.7, "seed": 1, "feather": 0}

    def detailed(segs, pipe=pipe):
        return detail_frames(frames, segs, pipe, **options).frames

    one, other = (pipe.encode_image_prompt(picture) for picture in pictures((16, 16), (24, 24)))
    own = with_control_net(segs, ImagePromptWrapper(image_prompt=one), labels=["a"])
    own = with_control_net(own, ImagePromptWrapper(image_prompt=other), labels=["b"])
    result = detailed(own)
    for picture, columns in ((one, slice(0, 32)), (other, slice(32, 64))):
        both = detailed(segs, pipe.with_image_prompt(picture))
        assert torch.equal(result[:, :, columns], both[:, :, columns])
    assert not torch.equal(result, detailed(with_control_net(segs, ImagePromptWrapper(image_prompt=one))))


def test_what_does_not_fit_vace_is_refused(pipe):
    with pytest.raises(InvalidArgumentError, match=r"images: expected pictures \(n, H, W, 3\)"):
        pipe.with_image_prompt(torch.zeros(8, 8))
    network = tiny_wan.make_vace()
    network.register_to_config(vace_in_channels=96)
    with pytest.raises(ModelError, match="the VAE makes 72 channels of control for a VACE of 96"):
        sampled(pipe._replace(model=WanModel(network)))


def test_pipelines_of_vace_are_taken(folder, pipe):
    theirs = diffusers.WanVACEPipeline.from_pretrained(folder)
    taken = BasicPipe.from_pipe(theirs, prompt="a face", negative_prompt="blurry")
    assert taken.model.is_vace
    torch.testing.assert_close(sampled(taken), sampled(pipe))
    assert isinstance(pipe.diffusers_pipeline(), diffusers.WanVACEPipeline)
    assert replace(job_for(pipe), steps=2).steps == 2
    assert np.isfinite(sampled(taken, steps=1).numpy()).all()
