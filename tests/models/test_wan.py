"""Wan video to video on a tiny random model, saved and loaded by diffusers."""

from __future__ import annotations

import json
from dataclasses import replace

import diffusers
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from PIL import Image
from safetensors.torch import save_file

import tiny_models
import tiny_wan
from agreement import assert_agree
from fake_sampler import segment, segs_of
from segs_detailer import BasicPipe
from segs_detailer.cli.main import main
from segs_detailer.detailer import ControlNetWrapper, ImagePromptWrapper, Models, detail_frames, with_control_net
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, ModelError
from segs_detailer.models.denoise_mask import clip_mask
from segs_detailer.models.flow import FLOW_SAMPLERS, FLOW_SCHEDULES, FlowTable
from segs_detailer.models.frame_noise import FrameNoise, clip_noise
from segs_detailer.models.image_prompt import ImagePrompt
from segs_detailer.models.info import FramePacking
from segs_detailer.models.interface import SampleJob
from segs_detailer.models.registry import sampler_for
from segs_detailer.models.schedules import sigmas_for
from segs_detailer.models.wan.network import WanModel
from segs_detailer.models.wan.text import WanTextEncoder
from segs_detailer.models.wan.vae import WanVAE
from segs_detailer.models.windows import ContextWindows
from segs_detailer.segs import SEG

PACKING = FramePacking(lead=(1,), cycle=(4,))
POSITIVE, NEGATIVE = ([[torch.randn(1, 5, 16, generator=torch.Generator().manual_seed(s)), {}]] for s in (1, 2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_wan.save_checkpoint(tmp_path_factory.mktemp("wan"))


@pytest.fixture(scope="module")
def parts(folder):
    transformer = WanTransformer3DModel.from_pretrained(folder / "transformer", use_safetensors=True)
    vae = AutoencoderKLWan.from_pretrained(folder / "vae", use_safetensors=True)
    return transformer.eval().requires_grad_(False), vae.eval().requires_grad_(False)


@pytest.fixture
def pipe(folder):
    return BasicPipe.from_pretrained(folder, prompt="a face", negative_prompt="blurry")


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
    assert clip_mask(mask, torch.zeros(1, 4, 3, 1, 1), PACKING).flatten().tolist() == [0, 0, 1]
    with pytest.raises(InvalidArgumentError, match=r"noise_mask: expected .*\(9, H, W\)"):
        clip_mask(mask[:8], torch.zeros(1, 4, 3, 1, 1), PACKING)


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
    with pytest.raises(ModelError, match="'control' is not supported for Wan: leave out the ControlNet"):
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


# Checkpoints and pipelines


@pytest.mark.parametrize("kind", ["WanPipeline", "WanVideoToVideoPipeline", "WanImageToVideoPipeline"])
def test_checkpoints_are_recognized_by_their_index(tmp_path, kind):
    folder = tiny_wan.save_checkpoint(tmp_path, kind=kind, flow_shift=7.0)
    model, clip, vae, positive, negative = BasicPipe.from_pretrained(folder, prompt="a face", negative_prompt="blur")
    assert isinstance(model, WanModel)
    assert isinstance(clip, WanTextEncoder)
    assert isinstance(vae, WanVAE)
    assert (model.table.shift, model.low_noise, model.boundary) == (7.0, None, None)
    assert positive[0][0].shape == negative[0][0].shape == (1, 512, tiny_wan.TEXT)
    assert not torch.equal(positive[0][0], negative[0][0])
    expected = tiny_wan.make_transformer().state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.transformer.state_dict().items())
    # transformers shares this matrix, and saves it once.
    assert torch.equal(clip.encoder.encoder.embed_tokens.weight, tiny_wan.make_text_encoder().shared.weight)
    assert not any(parameter.requires_grad for parameter in model.transformer.parameters())
    assert sampler_for(model, clip, vae).geometry.size_multiple == tiny_wan.SIZE_MULTIPLE
    assert BasicPipe.from_pretrained(folder, scheduler_config={"flow_shift": 2.0}).model.table.shift == 2.0


def test_pairs_of_transformers_come_with_their_boundary(tmp_path):
    folder = tiny_wan.save_checkpoint(tmp_path, second=True)
    model = BasicPipe.from_pretrained(folder).model
    assert model.boundary == 0.875
    assert not torch.equal(model.low_noise.patch_embedding.weight, model.transformer.patch_embedding.weight)
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    (folder / "model_index.json").write_text(json.dumps({**index, "boundary_ratio": None}), encoding="utf-8")
    with pytest.raises(ModelError, match="give both or neither"):
        BasicPipe.from_pretrained(folder)


def test_half_precision_leaves_the_vae_in_float32(folder, frames):
    pipe = BasicPipe.from_pretrained(folder, dtype="bfloat16", prompt="a face")
    assert pipe.model.transformer.patch_embedding.weight.dtype == torch.bfloat16
    # The network keeps its own norms and time embedding in float32.
    assert pipe.model.transformer.condition_embedder.time_embedder.linear_1.weight.dtype == torch.float32
    assert pipe.vae.vae.dtype == torch.float32
    assert pipe.positive[0][0].dtype == torch.bfloat16
    sampler = sampler_for(*pipe[:3])
    latents = sampler.encode(frames)
    job = job_for(frames, positive=pipe.positive, negative=pipe.negative)
    result = sampler.sample(latents, job)
    exact = BasicPipe.from_pretrained(folder, prompt="a face")
    job = job_for(frames, positive=exact.positive, negative=exact.negative)
    torch.testing.assert_close(result, sampler_for(*exact[:3]).sample(latents, job), rtol=0.05, atol=0.05)
    assert result.dtype == torch.float32


def test_prompts_mean_what_they_mean_in_diffusers(folder, pipe):
    theirs = diffusers.WanPipeline.from_pretrained(folder)
    for prompt in ("a smiling  face, &amp; rain", ""):
        expected, _ = theirs.encode_prompt(prompt, do_classifier_free_guidance=False, max_sequence_length=512)
        torch.testing.assert_close(pipe.clip.encode(prompt)[0][0], expected.detach(), rtol=1e-5, atol=1e-5)


def test_weights_move_embeddings_from_the_empty_prompt(pipe):
    plain, weighted, empty = (pipe.clip.encode(text)[0][0] for text in ("face cat", "face (cat:1.5)", ""))
    words = len(pipe.clip.tokenizer("face", add_special_tokens=False).input_ids)
    # The empty prompt is encoded beside the weighted one, in a batch of two.
    assert_agree(weighted[:, :words], plain[:, :words])
    count = len(pipe.clip.tokenizer("face cat").input_ids)
    moved = (plain - empty) * 1.5 + empty
    torch.testing.assert_close(weighted[:, words : count - 1], moved[:, words : count - 1])
    assert_agree(weighted[:, count - 1 :], plain[:, count - 1 :])
    assert not plain[:, count:].any()


def test_prompts_that_cannot_be_used_are_announced(pipe):
    with pytest.warns(UserWarning, match="the prompt has 600 tokens and Wan takes 511"):
        assert pipe.clip.encode("face " * 600)[0][0].shape == (1, 512, tiny_wan.TEXT)
    with pytest.raises(InvalidTypeError, match="prompt: expected a str, got int"):
        pipe.with_prompt(3)


def test_video_to_video_agrees_with_diffusers(folder, pipe, frames):
    theirs = diffusers.WanVideoToVideoPipeline.from_pretrained(folder)
    theirs.scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    theirs.set_progress_bar_config(disable=True)
    expected = theirs(
        video=[frame.numpy() for frame in frames],
        # Its own text cleaning fails where ftfy is not installed.
        prompt_embeds=pipe.positive[0][0],
        negative_prompt_embeds=pipe.negative[0][0],
        height=32,
        width=32,
        num_inference_steps=6,
        strength=0.5,
        guidance_scale=4.0,
        generator=torch.Generator().manual_seed(3),
        output_type="latent",
    ).frames
    sampler = sampler_for(*pipe[:3])
    job = job_for(
        frames,
        positive=pipe.positive,
        negative=pipe.negative,
        noise_mask=None,
        scheduler_func=lambda model, sampler_name, steps: theirs.scheduler.sigmas,
    )
    result = pipe.vae.to_model(sampler.sample(sampler.encode(frames), job))
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)


def test_pipelines_are_taken_as_they_are(folder, pipe, frames):
    theirs = diffusers.WanPipeline.from_pretrained(folder)
    taken = BasicPipe.from_pipe(theirs, prompt="a face", negative_prompt="blurry")
    assert taken.model.transformer is theirs.transformer
    assert taken.diffusers_pipeline() is theirs
    assert taken.model.table.shift == 3.0

    def sampled(pipe):
        sampler = sampler_for(*pipe[:3])
        job = job_for(frames, positive=pipe.positive, negative=pipe.negative)
        return sampler.sample(sampler.encode(frames), job)

    assert_agree(sampled(taken), sampled(pipe))
    made = pipe.diffusers_pipeline()
    assert isinstance(made, diffusers.WanPipeline)
    assert made.transformer is pipe.model.transformer
    freed = []
    made.maybe_free_model_hooks = lambda: freed.append(1)
    sampler_for(*pipe[:3]).release()
    assert freed == [1]
    theirs.transformer = None
    with pytest.raises(ModelError, match="a WanPipeline cannot be used: it has no transformer"):
        BasicPipe.from_pipe(theirs)


def test_loras_change_the_result_by_their_weight(pipe, tmp_path, frames):
    weights, generator = {}, torch.Generator().manual_seed(0)
    for name, module in pipe.model.transformer.named_modules():
        if name.endswith(("to_q", "to_v")):
            rows, columns = module.weight.shape
            weights[f"transformer.{name}.lora_A.weight"] = torch.randn(2, columns, generator=generator)
            weights[f"transformer.{name}.lora_B.weight"] = torch.randn(rows, 2, generator=generator)
    save_file(weights, tmp_path / "lora.safetensors")
    sampler = sampler_for(*pipe[:3])
    latents = sampler.encode(frames)
    job = job_for(frames, positive=pipe.positive, negative=pipe.negative)
    before = sampler.sample(latents, job)
    silent = pipe.load_lora(tmp_path / "lora.safetensors", weight=0.0)
    torch.testing.assert_close(sampler.sample(latents, job), before, rtol=1e-5, atol=1e-5)
    assert silent.model.lora_weights == {"lora_0": 0.0}
    pipe.load_lora(tmp_path / "lora.safetensors", name="again")
    assert float((sampler.sample(latents, job) - before).abs().max()) > 1e-3


# The whole path


def test_frames_are_repainted_inside_the_mask_alone(pipe):
    frames = torch.rand(6, 40, 56, 3, generator=torch.Generator().manual_seed(7))
    mask = np.zeros((30, 26), np.float32)
    mask[8:22, 6:20] = 1
    segs = segs_of(frames, segment((10, 4, 36, 34), bbox=(16, 12, 30, 26), mask=mask))
    seen = []
    encode = pipe.vae.encode
    pipe.vae.encode = lambda part: seen.append(part) or encode(part)

    def detailed(**changes):
        options = {"guide_size": 32, "max_size": 64, "steps": 2, "cfg": 3.0, "denoise": 0.6, "feather": 2, "seed": 1}
        return detail_frames(frames, segs, pipe, **{**options, "sampler_name": "euler", **changes}).frames

    result = detailed()
    assert result.shape == frames.shape
    # Sizes are multiples of 16; six frames are lengthened to nine by running back.
    assert seen[0].shape[0] == 9
    assert not any(side % tiny_wan.SIZE_MULTIPLE for side in seen[0].shape[1:3])
    assert torch.equal(seen[0][6:], seen[0][[4, 3, 2]])
    outside = torch.ones(40, 56, dtype=torch.bool)
    outside[10:28, 14:32] = False  # the mask, with its feather
    assert torch.equal(result[:, outside], frames[:, outside])
    changed = (result - frames).abs().amax(dim=(1, 2, 3))
    assert bool((changed > 1e-3).all())
    assert torch.equal(result, detailed())
    assert not torch.equal(result, detailed(seed=2))
    other = detail_frames(
        frames, segs, pipe.with_prompt("a cat", "blurry"), guide_size=32, max_size=64, steps=2, seed=1
    )
    assert not torch.equal(other.frames, result)


def test_a_refiner_finishes(folder, pipe, tmp_path):
    frames = torch.rand(5, 32, 32, 3, generator=torch.Generator().manual_seed(7))
    segs = segs_of(frames, segment((0, 0, 32, 32)))
    second = tiny_wan.make_transformer(seed=5)
    calls = []
    second.register_forward_pre_hook(lambda module, args, kwargs: calls.append(1), with_kwargs=True)
    refiner = pipe._replace(model=WanModel(second))
    options = {"guide_size": 32, "max_size": 32, "steps": 4, "denoise": 0.5, "scheduler": "simple"}
    detail_frames(frames, segs, pipe, refiner_pipe=refiner, refiner_ratio=0.5, **options)
    assert len(calls) == 2


def test_the_command_line_repaints_a_clip(tmp_path, folder, capfd):
    source = tmp_path / "in"
    source.mkdir()
    for index in range(3):
        pixels = np.random.default_rng(index).integers(0, 255, (48, 64, 3), np.uint8)
        Image.fromarray(pixels).save(source / f"{index:04d}.png")
    arguments = [
        "run",
        str(source),
        "-o",
        str(tmp_path / "out"),
        "--overwrite",
        "--model",
        str(folder),
        "--bbox",
        "8,8,40,40",
    ]
    arguments += ["--crop-factor", "1", "--guide-size", "32", "--max-size", "32", "--steps", "2", "--prompt", "a face"]
    arguments += ["--sampler-name", "dpmpp_2m", "--scheduler", "simple", "--feather", "0", "--device", "cpu"]
    assert main(arguments) == 0
    for index in range(3):
        before, after = (np.asarray(Image.open(tmp_path / name / f"{index:04d}.png")) for name in ("in", "out"))
        assert not np.array_equal(before[8:40, 8:40], after[8:40, 8:40])
        after = after.copy()
        after[8:40, 8:40] = before[8:40, 8:40]
        assert np.array_equal(before, after)
    capfd.readouterr()
    for more, message in (
        (["--motion-adapter", "x"], "motion-adapter: expected None for Wan, which needs no motion module, got 'x'"),
        (["--sampler-name", "lcm"], "--sampler-name: expected one of euler, ddim, heun"),
        (["--inpaint-model"], "inpaint-model: expected False for Wan"),
    ):
        assert main([*arguments, *more]) != 0
        assert message in capfd.readouterr().err


# Positions: the network knows no more of them in time, and along a side


@pytest.fixture(scope="module")
def short_folder(tmp_path_factory):
    """A checkpoint of 8 positions: 29 frames, and 8 * 2 latents of 8 pixels."""
    return tiny_wan.save_checkpoint(tmp_path_factory.mktemp("short"), positions=8)


def test_the_most_frames_and_the_longest_side_are_told(pipe, short_folder):
    short = BasicPipe.from_pretrained(short_folder)
    geometry = sampler_for(short.model, short.clip, short.vae).geometry
    assert (geometry.max_frames, geometry.max_side) == (29, 128)
    assert geometry.frames_for(geometry.max_frames) == 29
    # Of a pair, and of a refiner, the lower one counts.
    pair = WanModel(tiny_wan.make_transformer(), low_noise=tiny_wan.make_transformer(positions=4), boundary=0.5)
    assert pair.most_latents == (4, 8)
    assert Models.of(pipe, short, names=("pipe", "refiner_pipe")).geometry.max_frames == 29


def test_longer_and_larger_clips_are_one_clear_line(short_folder):
    short = BasicPipe.from_pretrained(short_folder, prompt="a face")
    options = {"guide_size": 32, "max_size": 32, "steps": 1, "scheduler": "simple"}

    def detailed(count, side, **changes):
        frames = torch.rand(count, side, side, 3, generator=torch.Generator().manual_seed(7))
        return detail_frames(frames, segs_of(frames, segment((0, 0, side, side))), short, **{**options, **changes})

    assert detailed(29, 32).frames.shape[0] == 29
    with pytest.raises(ModelError, match=r"^the model takes 29 frames at once and the clip has 30: .* parts$"):
        detailed(30, 32)
    with pytest.raises(
        InvalidArgumentError, match=r"^limit_size: expected True, and a max_size of at most 128, .* 144x"
    ):
        detailed(1, 144)
    with pytest.raises(InvalidArgumentError, match=r"^max_size: expected at most 128, .*worked on at 160x160"):
        detailed(1, 200, limit_size=True, max_size=160)
    assert detailed(1, 144, limit_size=True, max_size=128).segs[1][0].cropped_image.shape == (1, 144, 144, 3)
    model = WanModel(tiny_wan.make_transformer(positions=8))
    for shape in ((1, 4, 9, 4, 4), (1, 4, 1, 18, 4)):
        with pytest.raises(InvalidArgumentError, match=r"^latents: expected T of at most 8, h and w of at most 16"):
            model.check_latents(torch.zeros(shape))


def test_the_command_line_cuts_pieces_that_the_model_takes(tmp_path, short_folder, capfd):
    source = tmp_path / "in"
    source.mkdir()
    for index in range(64):
        pixels = np.random.default_rng(index).integers(0, 255, (48, 64, 3), np.uint8)
        Image.fromarray(pixels).save(source / f"{index:04d}.png")
    options = ["--model", str(short_folder), "--bbox", "8,8,40,40", "--crop-factor", "1", "--guide-size", "32", "-q"]
    options += ["--steps", "1", "--scheduler", "simple", "--feather", "0", "--device", "cpu", "--no-cache"]
    assert main(["plan", str(source), *options, "--max-size", "32", "--json", str(tmp_path / "plan.json")]) == 0
    [track] = json.loads((tmp_path / "plan.json").read_text())["tracks"]
    assert len(track["pieces"]) == 4
    assert max(piece["high"] - piece["low"] for piece in track["pieces"]) <= 29
    assert main(["run", str(source), "-o", f"{tmp_path}/out/", *options, "--max-size", "32"]) == 0
    for index in range(64):
        before, after = (np.asarray(Image.open(tmp_path / name / f"{index:04d}.png")) for name in ("in", "out"))
        assert not np.array_equal(before[8:40, 8:40], after[8:40, 8:40])
    capfd.readouterr()
    large = [*options[:-1], "--no-cache", "--guide-size", "160", "--max-size", "160"]
    assert main(["plan", str(source), *large]) == 2
    assert "--max-size: expected at most 128" in capfd.readouterr().err
    tiny = tiny_wan.save_checkpoint(tmp_path / "tiny", positions=4)
    assert main(["plan", str(source), *options, "--max-size", "32", "--model", str(tiny)]) == 2
    assert "--model: expected one that takes at least 24 frames at once" in capfd.readouterr().err


def test_long_clips_are_cut_in_pieces_of_the_frames_of_training(tmp_path, folder):
    source = tmp_path / "in"
    source.mkdir()
    for index in range(100):
        Image.fromarray(np.full((48, 64, 3), index, np.uint8)).save(source / f"{index:04d}.png")
    options = ["--model", str(folder), "--bbox", "8,8,40,40", "--guide-size", "32", "--device", "cpu", "-q"]
    for count, pieces in ((100, 2), (81, 1)):
        for path in sorted(source.iterdir())[count:]:
            path.unlink()
        assert main(["plan", str(source), *options, "--json", str(tmp_path / "plan.json")]) == 0
        [track] = json.loads((tmp_path / "plan.json").read_text())["tracks"]
        assert len(track["pieces"]) == pieces
        assert max(piece["high"] - piece["low"] for piece in track["pieces"]) <= 81


# What Wan does not take


def test_options_that_mean_nothing_to_wan_are_refused(folder, pipe):
    for name, value in (("motion_adapter", "adapter"), ("windows", ContextWindows()), ("vae_chunk", 4)):
        with pytest.raises(InvalidArgumentError, match=f"{name}: expected None for Wan"):
            BasicPipe.from_pretrained(folder, **{name: value})
    with pytest.raises(InvalidArgumentError, match="windows: expected None for Wan"):
        BasicPipe.from_pipe(pipe.diffusers_pipeline(), windows=ContextWindows())
    with pytest.raises(ModelError, match="family 'Wan' has no IP-Adapter"):
        pipe.load_ip_adapter("adapter", weight_name="ip.safetensors")
    with pytest.raises(ModelError, match="has no IP-Adapter"):
        pipe.with_image_prompt(torch.zeros(8, 8, 3))
    with pytest.raises(ModelError, match="no textual inversion"):
        pipe.load_textual_inversion("word.safetensors")


def test_segments_with_controlnet_or_image_prompt_are_refused(pipe):
    frames = torch.rand(5, 32, 32, 3)
    segs = segs_of(frames, segment((0, 0, 32, 32)))
    options = {"guide_size": 32, "max_size": 32, "steps": 1}
    steered = with_control_net(segs, ControlNetWrapper(controlnet=tiny_models.make_controlnet(tiny_models.make_unet())))
    with pytest.raises(ModelError, match=r"not supported for Wan: leave out the ControlNet \(control_net_wrapper\)"):
        detail_frames(frames, steered, pipe, **options)
    shown = with_control_net(segs, ImagePromptWrapper(image_prompt=ImagePrompt((), ())))
    with pytest.raises(ModelError, match="the family 'Wan' has no image prompts"):
        detail_frames(frames, shown, pipe, **options)


def test_checkpoints_that_cannot_be_used_are_refused(tmp_path):
    folder = tiny_wan.save_checkpoint(tmp_path / "i2v", kind="WanImageToVideoPipeline", in_channels=9)
    with pytest.raises(ModelError, match=r"the transformer of .* also wants an image: only text-to-video"):
        BasicPipe.from_pretrained(folder)
    folder = tiny_wan.save_checkpoint(tmp_path / "animate", kind="WanAnimatePipeline")
    with pytest.raises(
        ModelError, match="is a WanAnimatePipeline: of Wan's pipelines only those for text to video and"
    ):
        BasicPipe.from_pretrained(folder)
    folder = tiny_wan.save_checkpoint(tmp_path / "pickle")
    weights = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    torch.save({}, weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(ModelError, match=r"cannot load the transformer of .*safetensors only"):
        BasicPipe.from_pretrained(folder)


def test_parts_that_do_not_fit_are_refused(parts, frames):
    with pytest.raises(ModelError, match="cannot encode with a AutoencoderKL: Wan expects a WanVAE"):
        sampler_for(parts[0], None, tiny_models.make_vae())
    with pytest.raises(ModelError, match="cannot encode with a AutoencoderKLWan: expected a FrameVAE"):
        sampler_for(tiny_models.make_unet(), None, parts[1])
    transformer = tiny_wan.make_transformer()
    transformer.patch_embedding.to("meta")
    with pytest.raises(ModelError, match="the transformer has weights of several devices, cpu and meta"):
        WanModel(transformer)
    sampler = sampler_for(parts[0], None, parts[1])
    for shape in ((1, 5, 3, 4, 4), (1, 4, 3, 3, 4), (3, 4, 4, 4)):
        with pytest.raises(InvalidArgumentError, match="latents: expected"):
            sampler.sample(torch.zeros(shape), job_for(frames))


def test_the_vae_of_wan_2_2_packs_sixteen_pixels():
    torch.manual_seed(0)
    network = AutoencoderKLWan(
        base_dim=4,
        decoder_base_dim=4,
        z_dim=4,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        latents_mean=[0.1] * 4,
        latents_std=[0.5] * 4,
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=16,
    ).eval()
    sampler = sampler_for(tiny_wan.make_transformer(), None, network)
    assert sampler.geometry.size_multiple == 32
    latents = sampler.encode(torch.rand(5, 64, 96, 3))
    assert latents.shape == (1, 4, 2, 4, 6)
    assert sampler.decode(latents).shape == (5, 64, 96, 3)


# Memory


def out_of_memory(*args, **kwargs):
    raise torch.cuda.OutOfMemoryError("no room")


def test_out_of_memory_in_the_vae_goes_on_in_tiles(pipe, monkeypatch):
    frames = torch.rand(5, 48, 272, 3, generator=torch.Generator().manual_seed(2))
    expected = pipe.vae.encode(frames)
    whole = pipe.vae.decode(expected)
    network = pipe.vae.vae
    forward, widest = network.encoder.forward, []

    def small(x, *args, **kwargs):
        widest.append(x.shape[-1])
        return out_of_memory() if x.shape[-1] > 128 else forward(x, *args, **kwargs)

    monkeypatch.setattr(network.encoder, "forward", small)
    with pytest.warns(UserWarning, match="out of memory while encoding a clip: going on in tiles of") as told:
        latents = pipe.vae.encode(frames)
    assert [int(str(warning.message).split()[-2]) for warning in told] == [256, 128]
    assert latents.shape == expected.shape
    assert widest[:2] == [272, 256]
    assert max(widest[2:]) == 128
    # The tiles' borders are blended, so that the results are close and not the same.
    assert float((latents - expected).abs().mean()) < 0.1 * float(expected.std())
    decoded = pipe.vae.decode(expected)
    assert decoded.shape == whole.shape
    assert float((decoded - whole).abs().mean()) < 0.1
    monkeypatch.setattr(network.encoder, "forward", out_of_memory)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        pipe.vae.encode(frames)


def test_out_of_memory_takes_the_prompts_apart(folder, frames):
    pipe = BasicPipe.from_pretrained(folder)
    sampler = sampler_for(*pipe[:3])
    latents = sampler.encode(frames)
    expected = sampler.sample(latents, job_for(frames))
    forward = pipe.model.transformer.forward
    pipe.model.transformer.forward = lambda **inputs: (
        out_of_memory() if len(inputs["hidden_states"]) > 1 else forward(**inputs)
    )
    with pytest.warns(UserWarning, match="out of memory while sampling: going on with one prompt at a time"):
        result = sampler.sample(latents, job_for(frames))
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)
    assert not pipe.model.guidance_batch


# Schedules


def test_schedules_stay_between_noise_and_clean():
    for name in FLOW_SCHEDULES:
        sigmas = sigmas_for(name, FlowTable.shifted(5.0), 10)
        assert 0.9 < float(sigmas[0]) <= 1.0
        assert float(sigmas[-1]) == 0
        assert bool((sigmas.diff() < 0).all())


def test_noise_that_frames_share(pipe, monkeypatch):
    runs = []

    def recorded(source, base, refiner, run):
        runs.append((source, run))
        return source

    monkeypatch.setattr("segs_detailer.models.latent_sampler.run_stages", recorded)
    sampler = sampler_for(pipe.model, pipe.clip, pipe.vae)
    frames = torch.rand(9, 32, 32, 3, generator=torch.Generator().manual_seed(1))
    sampler.sample(sampler.encode(frames), job_for(frames, frame_noise=FrameNoise("shared", 8)))
    [(source, run)] = runs
    # Four frames lie in a latent after the first.
    assert (run.frame_noise, run.frame_axis) == (FrameNoise("shared", 2), 2)
    noise = clip_noise(source, 3, run.frame_noise, axis=run.frame_axis)
    whole = clip_noise(source.repeat(1, 1, 2, 1, 1), 3, FrameNoise("shared", 0), axis=2)
    assert torch.equal(noise, whole[:, :, 2:5])
