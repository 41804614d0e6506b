"""What every family of video models does, on tiny random models that diffusers saved and the real code loads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import tiny_hunyuan
import tiny_ltx
import tiny_models
import tiny_wan
from agreement import assert_agree
from fake_sampler import segment, segs_of
from segs_detailer import BasicPipe, ComputeOptions, detail_clip
from segs_detailer.cli.main import main
from segs_detailer.detailer import detail_frames
from segs_detailer.models.device import execution_device
from segs_detailer.models.interface import SampleJob
from segs_detailer.models.registry import sampler_for
from segs_detailer.nodes import DetailerForEachPipeForAnimateDiff, SEGSDetailerForAnimateDiff

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True)
class Tiny:
    """A family under test.

    `save` writes a checkpoint into a folder; `expected` gives the latents that diffusers' own pipeline makes of a
    prompt, from given noise in the model's space and with classifier-free guidance, in the model's space, and the noise
    levels that it used. `size` is the side of crops of a few latents, in pixels.
    """

    save: Callable[[Path], Path]
    expected: Callable[[Any, BasicPipe, torch.Tensor, int, float], tuple[torch.Tensor, torch.Tensor]]
    size: int = 32


def _of_wan(pipeline, pipe, noise, frames, cfg, size=32, **more):
    import diffusers

    pipeline.scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    # Its own text cleaning fails where ftfy is not installed.
    prompts = {"prompt_embeds": pipe.positive[0][0], "negative_prompt_embeds": pipe.negative[0][0]}
    made = pipeline(**prompts, **_sizes(size), num_frames=frames, guidance_scale=cfg, latents=noise, **more)
    return made.frames, pipeline.scheduler.sigmas


def _of_vace(pipeline, pipe, noise, frames, cfg):
    # VACE also sees the clip that it repaints.
    pixels = (noise_frames(FAMILIES["wan-vace"], frames) * 255).round().byte().numpy()
    clip, mask = [Image.fromarray(frame) for frame in pixels], [Image.new("L", (32, 32), 255)] * frames
    return _of_wan(pipeline, pipe, noise, frames, cfg, video=clip, mask=mask)


def _of_hunyuan(pipeline, pipe, noise, frames, cfg):
    pipeline.guider = pipeline.guider.new(guidance_scale=cfg)
    prompts = {"prompt": pipe.positive[0][1]["prompt"], "negative_prompt": pipe.negative[0][1]["prompt"]}
    made = pipeline(**prompts, **_sizes(32), num_frames=frames, latents=noise)
    return made.frames, pipeline.scheduler.sigmas


def _of_ltx(pipeline, pipe, noise, frames, cfg):
    # The pipeline makes sound as well, of which the picture must not know.
    pipeline.transformer.register_forward_pre_hook(
        lambda module, args, given: (args, {**given, "isolate_modalities": True}), with_kwargs=True
    )
    made = pipeline(
        **{**_sizes(64), "num_frames": frames},
        prompt=pipe.positive[0][1]["prompt"],
        negative_prompt=pipe.negative[0][1]["prompt"],
        guidance_scale=cfg,
        guidance_rescale=0.7,
        stg_scale=0.0,
        modality_scale=1.0,
        audio_guidance_scale=cfg,
        audio_stg_scale=0.0,
        audio_modality_scale=1.0,
        latents=pipeline._pack_latents(noise),
        use_cross_timestep=pipeline.transformer.config.cross_attn_mod,
        generator=torch.Generator().manual_seed(1),
    )
    return pipe.vae.to_model(made.frames), pipeline.scheduler.sigmas


def _sizes(side):
    return {"height": side, "width": side, "num_inference_steps": 4, "output_type": "latent"}


FAMILIES = {
    "wan": Tiny(lambda folder: tiny_wan.save_checkpoint(folder, positions=64), _of_wan),
    "wan-5b": Tiny(
        lambda folder: tiny_wan.save_checkpoint(folder, positions=64, large=True), partial(_of_wan, size=64), 64
    ),
    "wan-vace": Tiny(lambda folder: tiny_wan.save_checkpoint(folder, positions=64, kind="WanVACEPipeline"), _of_vace),
    "hunyuan": Tiny(tiny_hunyuan.save_checkpoint, _of_hunyuan),
    "ltx-2.0": Tiny(lambda folder: tiny_ltx.save_checkpoint(folder, "2.0"), _of_ltx, 64),
    "ltx-2.5": Tiny(lambda folder: tiny_ltx.save_checkpoint(folder, "2.5"), _of_ltx, 64),
}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    return FAMILIES[request.param]


@pytest.fixture(scope="module")
def folder(family, tmp_path_factory):
    return family.save(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def pipe(folder):
    return BasicPipe.from_pretrained(folder, prompt='a face, "hi"', negative_prompt="blurry")


def noise_frames(family, count):
    """Noise of eight bits, which pictures hold as well."""
    shape = (count, family.size, family.size, 3)
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(5)) / 255


def job_for(pipe, frames, **changes):
    settings = {"pixels": frames, "positive": pipe.positive, "negative": pipe.negative, "seed": 3, "steps": 2}
    settings |= {"cfg": 4.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 0.5}
    return SampleJob(**{**settings, **changes})


def test_a_whole_frame_at_full_denoise_is_what_diffusers_makes(family, folder, pipe):
    frames = noise_frames(family, 9)
    sampler = sampler_for(*pipe[:3])
    latents = sampler.encode(frames)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(8))
    theirs = BasicPipe.from_pretrained(folder).diffusers_pipeline()
    theirs.set_progress_bar_config(disable=True)
    expected, sigmas = family.expected(theirs, pipe, noise.clone(), len(frames), 4.0)
    job = job_for(pipe, frames, steps=4, denoise=1.0, noise=noise, scheduler_func=lambda *_: sigmas)
    made = sampler.to_model(sampler.sample(latents, job))
    assert float((made - expected).abs().max()) <= 1e-4 * float(expected.std())
    assert float((made - noise).abs().max()) > 0.1


def test_latents_outside_the_mask_come_back_to_the_bit(family, pipe):
    frames = noise_frames(family, 17)
    half = family.size // 2
    mask = torch.zeros(17, family.size, family.size)
    mask[11, half:, half:] = 1
    sampler = sampler_for(*pipe[:3])
    latents = sampler.encode(frames)
    job = job_for(pipe, frames, noise_mask=mask)
    result = sampler.sample(latents, job)
    # The mask is bilinear: it touches latents that have any part of it.
    touched = (result != latents).any(dim=1)[0]
    held = sampler.geometry.packing.latent_of_frames(latents.shape[2])[11]
    assert touched[held].any()
    assert not touched[[place for place in range(len(touched)) if place != held]].any()
    assert not touched[held, 0, 0]
    assert torch.equal(result, sampler.sample(latents, job))
    assert not torch.equal(result, sampler.sample(latents, job_for(pipe, frames, noise_mask=mask, seed=4)))


def test_prompts_apart_are_prompts_together(family, pipe):
    frames = noise_frames(family, 9)
    sampler = sampler_for(*pipe[:3])
    latents = sampler.encode(frames)
    together = sampler.sample(latents, job_for(pipe, frames))
    sampler.model.guidance_batch = False
    apart = sampler.sample(latents, job_for(pipe, frames))
    torch.testing.assert_close(apart, together, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 7, 82, 100, 147])
def test_clips_of_any_length_come_back(family, pipe, count):
    frames = noise_frames(family, count)
    segs = segs_of(frames, segment((0, 0, family.size, family.size)))
    options = {"guide_size": family.size, "max_size": family.size, "steps": 1, "cfg": 1.0, "denoise": 0.5, "feather": 0}
    result = detail_frames(frames, segs, pipe, scheduler="simple", sampler_name="euler", **options).frames
    assert result.shape == frames.shape
    change = (result - frames).abs().mean(dim=(1, 2, 3))
    assert float(change.min()) > 1e-3
    # What the clip is filled up with is of the clip: its last frames fare as the others do.
    assert float(change[-3:].mean()) < 1.5 * float(change.mean())


def test_weights_in_eight_bits_change_little(family, folder, pipe):
    frames = noise_frames(family, 9)
    compute = ComputeOptions(storage_dtype="float8_e4m3fn")
    small = BasicPipe.from_pretrained(folder, prompt='a face, "hi"', negative_prompt="blurry", compute=compute)
    results = []
    for each in (pipe, small):
        sampler = each.sampler
        results.append(sampler.sample(sampler.encode(frames), job_for(each, frames)))
    stored = {weight.dtype for weight in small.model.transformer.parameters()}
    assert stored == {torch.float8_e4m3fn, torch.float32}
    change = float((results[0] - results[1]).abs().mean() / results[0].std())
    assert 0 < change < 0.05


def test_groups_of_blocks_that_come_and_go_change_nothing(family, folder, pipe):
    frames = noise_frames(family, 9)
    sampler = pipe.sampler
    expected = sampler.sample(sampler.encode(frames), job_for(pipe, frames))
    # A CPU as accelerator: the hooks work as they would with a GPU.
    options = ComputeOptions(offload="group").group
    pipe.diffusers_pipeline().enable_group_offload(torch.device("cpu"), torch.device("cpu"), **options)
    assert execution_device(pipe.model.transformer).type == "cpu"
    pipe = pipe.with_prompt('a face, "hi"', "blurry")
    sampler = pipe.sampler
    assert_agree(sampler.sample(sampler.encode(frames), job_for(pipe, frames)), expected)
    assert sampler.decode(sampler.encode(frames)).shape == frames.shape


def test_pipelines_are_taken_as_they_are(family, pipe):
    frames = noise_frames(family, 9)
    theirs = pipe.diffusers_pipeline()
    taken = BasicPipe.from_pipe(theirs, prompt='a face, "hi"', negative_prompt="blurry")
    assert taken.model.transformer is theirs.transformer
    assert taken.diffusers_pipeline() is theirs

    def sampled(pipe):
        sampler = sampler_for(*pipe[:3])
        return sampler.sample(sampler.encode(frames), job_for(pipe, frames))

    assert_agree(sampled(taken), sampled(pipe))


def test_loras_change_the_result_by_their_weight(family, pipe, tmp_path):
    frames = noise_frames(family, 9)
    weights, generator = {}, torch.Generator().manual_seed(0)
    for name, module in pipe.model.transformer.named_modules():
        if name.endswith(("to_q", "to_v")):
            rows, columns = module.weight.shape
            weights[f"transformer.{name}.lora_A.weight"] = torch.randn(2, columns, generator=generator)
            weights[f"transformer.{name}.lora_B.weight"] = torch.randn(rows, 2, generator=generator)
    save_file(weights, tmp_path / "lora.safetensors")
    sampler = sampler_for(*pipe[:3])
    latents = sampler.encode(frames)
    job = job_for(pipe, frames)
    before = sampler.sample(latents, job)
    silent = pipe.load_lora(tmp_path / "lora.safetensors", weight=0.0)
    torch.testing.assert_close(sampler.sample(latents, job), before, rtol=1e-5, atol=1e-5)
    assert silent.model.lora_weights == {"lora_0": 0.0}
    pipe.load_lora(tmp_path / "lora.safetensors", name="again")
    assert float((sampler.sample(latents, job) - before).abs().max()) > 1e-3


def test_a_refiner_finishes(family, folder, pipe):
    frames = noise_frames(family, 9)
    segs = segs_of(frames, segment((0, 0, family.size, family.size)))
    second = BasicPipe.from_pretrained(folder)
    calls = []
    second.model.transformer.register_forward_pre_hook(lambda *_: calls.append(1))
    options = {
        "guide_size": family.size,
        "max_size": family.size,
        "steps": 4,
        "denoise": 0.5,
        "scheduler": "simple",
        "cfg": 2.0,
    }
    refiner = pipe._replace(model=second.model)
    detail_frames(frames, segs, pipe, refiner_pipe=refiner, refiner_ratio=0.5, **options)
    assert len(calls) == 2


def test_several_subjects_each_inside_its_mask(family, pipe):
    frames = torch.rand(6, 64, 96, 3, generator=torch.Generator().manual_seed(7))
    mask = np.zeros((32, 32), np.float32)
    mask[4:28, 4:28] = 1
    segs = segs_of(frames, segment((0, 0, 32, 32), mask=mask), segment((50, 30, 82, 62), mask=mask))
    side = family.size
    options = {"guide_size": side, "max_size": side, "steps": 1, "cfg": 1.0, "denoise": 0.6, "feather": 0, "seed": 1}
    result = detail_frames(frames, segs, pipe, scheduler="simple", sampler_name="euler", **options).frames
    changed = (result != frames).any(dim=-1)
    inside = torch.zeros(64, 96, dtype=torch.bool)
    inside[4:28, 4:28] = inside[34:58, 54:78] = True
    assert not changed[:, ~inside].any()
    assert float(changed[:, inside].float().mean()) > 0.9


def test_both_nodes_repaint(family, pipe):
    frames = noise_frames(family, 3)
    segs = segs_of(frames, segment((0, 0, family.size, family.size)))
    options = {"guide_size": family.size, "guide_size_for": True, "max_size": family.size, "seed": 1, "steps": 1}
    options |= {"cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 0.5, "basic_pipe": tuple(pipe)}
    options |= {"refiner_ratio": 0.2}
    image, (_, [seg]), _, _ = DetailerForEachPipeForAnimateDiff().doit(frames, segs, feather=0, **options)
    assert image.shape == frames.shape
    assert float((image - frames).abs().mean()) > 1e-3
    (_, [crop]), _ = SEGSDetailerForAnimateDiff().doit(frames, segs, **options)
    assert_agree(torch.as_tensor(np.asarray(crop.cropped_image)), torch.as_tensor(np.asarray(seg.cropped_image)))


def _write_clip(folder):
    folder.mkdir()
    for index in range(3):
        pixels = np.random.default_rng(index).integers(0, 255, (48, 64, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:04d}.png")
    return folder


def _pixels(folder):
    return [np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))]


def test_the_command_line_and_a_script_do_the_same(tmp_path, family, folder):
    source, side = _write_clip(tmp_path / "in"), family.size
    options = {"crop_factor": 1.0, "guide_size": side, "max_size": side, "steps": 2, "feather": 0, "denoise": 0.5}
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    arguments += [f"--model={folder}", "--bbox=8,8,40,40", "--prompt=a face", "--device=cpu", "--scheduler=simple"]
    assert main(["run", str(source), "-o", str(tmp_path / "out"), "--sampler-name=euler", *arguments]) == 0
    detail_clip(
        source,
        tmp_path / "script",
        model=str(folder),
        bbox=[(8, 8, 40, 40)],
        prompt="a face",
        device="cpu",
        scheduler="simple",
        sampler_name="euler",
        **options,
    )
    for before, by_line, by_script in zip(*(_pixels(tmp_path / name) for name in ("in", "out", "script")), strict=True):
        assert np.array_equal(by_line, by_script)
        assert not np.array_equal(before[8:40, 8:40], by_line[8:40, 8:40])
        outside = by_line.copy()
        outside[8:40, 8:40] = before[8:40, 8:40]
        assert np.array_equal(before, outside)


def test_each_frame_is_repainted_as_far_as_it_is_to_be(family, pipe):
    frames = noise_frames(family, 17)
    sampler = sampler_for(*pipe[:3])
    latents = sampler.encode(frames)
    *_, last = sampler.geometry.packing.counts(latents.shape[2])

    def changes(**settings):
        job = job_for(pipe, frames, steps=4, denoise=0.9, noise_mask=torch.ones(1, *frames.shape[1:3]), **settings)
        return (sampler.sample(latents, job) - latents).abs().mean(dim=(0, 1, 3, 4))

    whole = changes()
    for differential in (True, False):
        some = changes(frame_denoise=(0.9,) * (17 - last) + (0.3,) * last, differential=differential)
        assert some[-1] < 0.8 * whole[-1]
        torch.testing.assert_close(some[0], whole[0], rtol=0.02, atol=0)
        # One frame of a latent counts for all that it holds.
        as_one = changes(frame_denoise=(0.9,) * (18 - last) + (0.3,) * (last - 1), differential=differential)
        torch.testing.assert_close(as_one, whole, rtol=1e-6, atol=0)


def test_a_run_starts_at_a_noise_level(family, pipe):
    frames, seen = noise_frames(family, 9), []
    sampler = sampler_for(*pipe[:3])
    note = lambda step, total, x0, x, sigma: seen.append(sigma)  # noqa: E731
    sampler.sample(sampler.encode(frames), job_for(pipe, frames, denoise=1.0, sigma_start=0.6, callback=note))
    assert sampler.is_flow
    assert len(seen) == 2
    assert seen[0] == pytest.approx(0.6)


def test_loras_of_single_subjects_are_in_effect_in_turn(family, pipe, tmp_path):
    frames = noise_frames(family, 9)
    sampler = sampler_for(*pipe[:3])
    latents = sampler.encode(frames)
    before = sampler.sample(latents, job_for(pipe, frames))
    network = pipe.diffusers_pipeline().transformer
    path = tiny_models.save_lora(tmp_path / "lora.safetensors", network, prefix="transformer")
    own = sampler.beside_loras([(str(path), 1.0)])
    changed = own.sample(latents, job_for(pipe, frames))
    assert float((changed - before).abs().max()) > 1e-4
    assert torch.equal(sampler.sample(latents, job_for(pipe, frames)), before)
    assert torch.equal(own.sample(latents, job_for(pipe, frames)), changed)
