"""Pipelines that exist, LoRA, textual inversion, IP-Adapter, offloading, AnimateLCM's levels."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from safetensors.torch import save_file

import tiny_models
import tiny_wan
from agreement import assert_agree
from fake_sampler import segment, segs_of
from segs_detailer import BasicPipe
from segs_detailer.detailer import ImagePromptWrapper, detail_frames, with_control_net
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, MissingDependencyError, ModelError
from segs_detailer.models.interface import SampleJob
from segs_detailer.models.registry import sampler_for
from segs_detailer.models.sd.network import DiffusersModel
from segs_detailer.models.sigma_table import SigmaTable
from segs_detailer.models.windows import ContextWindows

FRAMES = torch.rand(2, 32, 32, 3, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("checkpoints")
    return {
        "sd": tiny_models.save_checkpoint(root / "sd"),
        "sdxl": tiny_models.save_checkpoint(root / "sdxl", sdxl=True),
        "adapter": tiny_models.save_motion_adapter(root / "adapter"),
        "lcm": tiny_models.save_motion_adapter(root / "AnimateLCM"),
    }


@pytest.fixture
def pipe(folders):
    return BasicPipe.from_pretrained(folders["sd"], motion_adapter=folders["adapter"], prompt="a face")


def repainted(pipe, **changes):
    sampler = sampler_for(*pipe[:3])
    settings = {"seed": 3, "steps": 2, "cfg": 4.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 0.6}
    job = SampleJob(pixels=FRAMES, positive=pipe.positive, negative=pipe.negative, **{**settings, **changes})
    return sampler.sample(sampler.encode(FRAMES), job)


def different(left, right):
    return float((left - right).abs().max()) > 1e-3


# Pipelines that exist


@pytest.mark.parametrize("kind", ["AnimateDiffPipeline", "AnimateDiffVideoToVideoPipeline", "AnimateDiffSDXLPipeline"])
def test_motion_pipelines_are_taken_as_they_are(kind, folders):
    import diffusers

    base = folders["sdxl" if "SDXL" in kind else "sd"]
    theirs = getattr(diffusers, kind).from_pretrained(base, motion_adapter=tiny_models.make_motion_adapter())
    if "SDXL" in kind:
        # diffusers leaves these weights of an SDXL motion UNet at random.
        source = tiny_models.make_unet(sdxl=True).add_embedding.state_dict()
        theirs.unet.add_embedding.load_state_dict(source)
        betas = {"beta_schedule": "scaled_linear", "beta_end": 0.020}
    else:
        betas = {"beta_schedule": "linear"}
    theirs.scheduler = diffusers.DDIMScheduler.from_config(theirs.scheduler.config, **betas)
    taken = BasicPipe.from_pipe(theirs, prompt="a face")
    assert taken.model.unet is theirs.unet
    assert taken.diffusers_pipeline() is theirs
    loaded = BasicPipe.from_pretrained(base, motion_adapter=folders["adapter"], prompt="a face")
    assert_agree(repainted(taken), repainted(loaded))


@pytest.mark.parametrize(
    "kind", ["StableDiffusionPipeline", "StableDiffusionInpaintPipeline", "StableDiffusionImg2ImgPipeline"]
)
def test_plain_pipelines_are_taken_as_they_are(kind, folders):
    import diffusers

    theirs = getattr(diffusers, kind).from_pretrained(folders["sd"], safety_checker=None)
    taken = BasicPipe.from_pipe(theirs, prompt="a face")
    loaded = BasicPipe.from_pretrained(folders["sd"], prompt="a face")
    assert_agree(repainted(taken), repainted(loaded))
    assert torch.equal(taken.model.table.sigmas, loaded.model.table.sigmas)
    changed = BasicPipe.from_pipe(theirs, scheduler_config={"prediction_type": "v_prediction"})
    assert changed.model.prediction_type == "v_prediction"


def test_betas_that_are_not_the_motion_modules_are_announced(folders):
    import diffusers

    theirs = diffusers.AnimateDiffPipeline.from_pretrained(
        folders["sd"], motion_adapter=tiny_models.make_motion_adapter()
    )
    with pytest.warns(UserWarning, match="beta_schedule 'scaled_linear', and motion modules of this kind were trained"):
        BasicPipe.from_pipe(theirs)
    BasicPipe.from_pipe(theirs, scheduler_config={"beta_schedule": "linear"})


def test_what_is_no_such_pipeline_is_refused(folders):
    import diffusers

    with pytest.raises(InvalidTypeError, match="pipeline: expected a pipeline of diffusers, got UNet2DConditionModel"):
        BasicPipe.from_pipe(tiny_models.make_unet())
    theirs = diffusers.DDIMPipeline(tiny_models.make_unet(), diffusers.DDIMScheduler())
    with pytest.raises(ModelError, match="a DDIMPipeline cannot be used: it has no vae, text_encoder, tokenizer"):
        BasicPipe.from_pipe(theirs)


def test_offloaded_parts_are_let_go_after_a_run(pipe):
    calls = []
    pipe.diffusers_pipeline().maybe_free_model_hooks = lambda: calls.append(1)
    sampler = sampler_for(*pipe[:3])
    sampler.release()
    assert calls == [1]


def test_attention_slices_and_vae_tiles_change_nothing(pipe):
    before = repainted(pipe)
    theirs = pipe.diffusers_pipeline()
    theirs.enable_attention_slicing(1)
    pipe.vae.vae.enable_slicing()
    torch.testing.assert_close(repainted(pipe), before, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("base", ["sd", "sdxl"])
@pytest.mark.parametrize("motion", [True, False])
def test_loaded_checkpoints_give_a_pipeline_over_the_same_networks(folders, base, motion):
    pipe = BasicPipe.from_pretrained(folders[base], motion_adapter=folders["adapter"] if motion else None)
    theirs = pipe.diffusers_pipeline()
    assert theirs.unet is pipe.model.unet
    assert theirs.vae is pipe.vae.vae
    assert pipe.diffusers_pipeline() is theirs
    assert ("SDXL" in type(theirs).__name__ or "XL" in type(theirs).__name__) == (base == "sdxl")


# AnimateDiff for SDXL


def silenced_adapter():
    """A motion module whose output is 0."""
    adapter = tiny_models.make_motion_adapter()
    for name, weight in adapter.named_parameters():
        if "proj_out" in name:
            torch.nn.init.zeros_(weight)
    return adapter


def test_sdxl_motion_unet_without_motion_equals_the_plain_one_frame_by_frame(folders):
    plain = BasicPipe.from_pretrained(folders["sdxl"]).model.unet
    motion = BasicPipe.from_pretrained(folders["sdxl"], motion_adapter=silenced_adapter()).model.unet
    generator = torch.Generator().manual_seed(1)
    clip = torch.randn(2, 4, 5, 8, 8, generator=generator)
    prompts = torch.randn(2, 77, tiny_models.CROSS + tiny_models.SECOND, generator=generator)
    added = {
        "text_embeds": torch.randn(2, tiny_models.SECOND, generator=generator),
        "time_ids": torch.tensor([[64.0, 64, 0, 0, 64, 64], [32.0, 64, 8, 0, 64, 64]]),
    }
    timestep = torch.tensor(500)
    whole = motion(clip, timestep, prompts.repeat_interleave(5, dim=0), added_cond_kwargs=added).sample
    for frame in range(5):
        alone = plain(clip[:, :, frame], timestep, prompts, added_cond_kwargs=added).sample
        torch.testing.assert_close(whole[:, :, frame], alone, rtol=0, atol=1e-5)
    # The size and the pooled prompt count: diffusers alone would leave their weights at random.
    other = motion(
        clip,
        timestep,
        prompts.repeat_interleave(5, dim=0),
        added_cond_kwargs={**added, "time_ids": added["time_ids"] * 2},
    )
    assert different(other.sample, whole)


def test_sdxl_with_a_silent_motion_module_repaints_each_frame_alone(folders):
    levels = {"beta_schedule": "scaled_linear", "beta_end": 0.012}
    motion = BasicPipe.from_pretrained(
        folders["sdxl"], motion_adapter=silenced_adapter(), prompt="a face", scheduler_config=levels
    )
    plain = BasicPipe.from_pretrained(folders["sdxl"], prompt="a face", scheduler_config=levels)
    torch.testing.assert_close(repainted(motion), repainted(plain), rtol=1e-4, atol=1e-4)


def test_animatediff_for_sdxl_repaints_a_clip(folders):
    frames = torch.rand(5, 48, 48, 3, generator=torch.Generator().manual_seed(6))
    segs = segs_of(frames, segment((8, 8, 40, 40)))
    pipe = BasicPipe.from_pretrained(
        folders["sdxl"], motion_adapter=str(folders["adapter"]), prompt="a face", negative_prompt="blurry"
    )
    assert pipe.model.is_motion
    assert pipe.model.needs_pooled

    def detailed(pipe, **changes):
        return detail_frames(frames, segs, pipe, guide_size=64, max_size=64, steps=2, feather=0, **changes).frames

    result = detailed(pipe)
    inside = torch.zeros(48, 48, dtype=torch.bool)
    inside[8:40, 8:40] = True
    assert torch.equal(result[:, ~inside], frames[:, ~inside])
    assert different(result[:, inside], frames[:, inside])
    assert torch.equal(result, detailed(pipe))
    assert not torch.equal(result, detailed(pipe, seed=1))
    assert not torch.equal(result, detailed(pipe.with_prompt("a cat")))
    # The module ties the frames together.
    silent = BasicPipe.from_pretrained(
        folders["sdxl"], motion_adapter=silenced_adapter(), prompt="a face", negative_prompt="blurry"
    )
    assert different(result, detailed(silent))


def test_sdxl_needs_the_pooled_prompt(folders):
    pipe = BasicPipe.from_pretrained(folders["sdxl"], motion_adapter=folders["adapter"])
    bare = [[pipe.positive[0][0], {}]]
    with pytest.raises(ModelError, match="needs a pooled_output in every conditioning entry"):
        repainted(pipe._replace(positive=bare))


# Checkpoints of one file


@pytest.mark.parametrize("motion", [True, False])
@pytest.mark.parametrize("base", ["sd", "sdxl"])
def test_checkpoints_of_one_file_are_read(folders, tmp_path, base, motion):
    path = tiny_models.save_single_file(tmp_path / "model.safetensors", sdxl=base == "sdxl")
    adapter = folders["adapter"] if motion else None
    # Only the configuration is taken from the folder: its weights are others.
    config = tiny_models.save_checkpoint(tmp_path / "config", seed=9, sdxl=base == "sdxl")
    loaded = BasicPipe.from_single_file(path, config=config, motion_adapter=adapter, prompt="a face")
    expected = BasicPipe.from_pretrained(folders[base], motion_adapter=adapter, prompt="a face")
    torch.testing.assert_close(loaded.positive[0][0], expected.positive[0][0])
    torch.testing.assert_close(loaded.positive[0][1]["pooled_output"], expected.positive[0][1]["pooled_output"])
    assert torch.equal(loaded.model.table.sigmas, expected.model.table.sigmas)
    assert_agree(repainted(loaded), repainted(expected))
    half = BasicPipe.from_single_file(path, config=config, motion_adapter=adapter, dtype="bfloat16")
    assert half.model.dtype == half.vae.vae.dtype == half.positive[0][0].dtype == torch.bfloat16


def test_files_that_cannot_be_used_are_refused(folders, tmp_path):
    path = tmp_path / "model.safetensors"
    with pytest.raises(InvalidArgumentError, match="config: expected a folder with the configuration"):
        BasicPipe.from_single_file(path)
    # Pickles are not even opened, whatever they are called and whether they are there.
    torch.save({}, tmp_path / "model.ckpt")
    for name in ("model.ckpt", "model.pt", "model.bin", "model.pth"):
        with pytest.raises(ModelError, match=f"cannot load .*{name}: weights are read from safetensors only"):
            BasicPipe.from_single_file(tmp_path / name, config=folders["sd"])
    with pytest.raises(ModelError, match="there is no such file"):
        BasicPipe.from_single_file(path, config=folders["sd"])
    torch.save({}, path)
    with pytest.raises(ModelError, match=r"cannot load .* with the configuration"):
        BasicPipe.from_single_file(path, config=folders["sd"])
    save_file({"nothing": torch.zeros(1)}, path)
    with pytest.raises(InvalidArgumentError, match=r"config: expected a folder with model_index\.json"):
        BasicPipe.from_single_file(path, config=tmp_path)
    with pytest.raises(ModelError, match=r"cannot load .* with the configuration"):
        BasicPipe.from_single_file(path, config=folders["sd"])
    wan = tiny_wan.save_checkpoint(tmp_path / "wan")
    with pytest.raises(ModelError, match=r"model\.safetensors is no transformer of Wan"):
        BasicPipe.from_single_file(path, config=wan)


# LoRA, textual inversion


@pytest.mark.parametrize("only", ["", "motion_modules"])
def test_loras_change_the_result_by_their_weight(pipe, tmp_path, only):
    path = tiny_models.save_lora(tmp_path / "lora.safetensors", pipe.model.unet, only=only)
    tiny_models.save_lora(tmp_path / "second.safetensors", pipe.model.unet, only=only, seed=1)
    before = repainted(pipe)
    loaded = pipe.load_lora(path, weight=0.0)
    torch.testing.assert_close(repainted(loaded), before, rtol=1e-4, atol=1e-4)
    assert different(repainted(loaded.load_lora(tmp_path, weight_name="second.safetensors", name="again")), before)
    assert loaded.model.lora_weights == {"lora_0": 0.0, "again": 1.0}


def test_loras_loaded_by_diffusers_count(pipe, folders, tmp_path):
    import diffusers

    path = tiny_models.save_lora(tmp_path / "lora.safetensors", pipe.model.unet)
    theirs = diffusers.AnimateDiffPipeline.from_pretrained(
        folders["sd"], motion_adapter=tiny_models.make_motion_adapter()
    )
    theirs.load_lora_weights(path)
    taken = BasicPipe.from_pipe(theirs, prompt="a face", scheduler_config={"beta_schedule": "linear"})
    torch.testing.assert_close(repainted(taken), repainted(pipe.load_lora(path)), rtol=1e-4, atol=1e-4)


def test_loras_that_cannot_be_used_are_refused(pipe, tmp_path, monkeypatch):
    torch.save({}, tmp_path / "lora.bin")
    with pytest.raises(ModelError, match=r"cannot load lora.bin: weights are read from safetensors only"):
        pipe.load_lora(tmp_path / "lora.bin")
    with pytest.raises(ModelError, match=r"cannot load lora.pt"):
        pipe.load_lora(tmp_path, weight_name="lora.pt")
    save_file({"nothing": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="LoRA"):
        pipe.load_lora(tmp_path / "other.safetensors")
    path = tiny_models.save_lora(tmp_path / "lora.safetensors", pipe.model.unet)
    pipe.load_lora(path, name="mine")
    with pytest.raises(InvalidArgumentError, match="name: expected another than mine"):
        pipe.load_lora(path, name="mine")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="peft is not installed"):
        pipe.load_lora(path)


def test_textual_inversion_teaches_a_word(pipe, tmp_path):
    vectors = torch.randn(2, tiny_models.CROSS, generator=torch.Generator().manual_seed(1))
    save_file({"<cat>": vectors}, tmp_path / "cat.safetensors")
    prompted = pipe.with_prompt("a <cat>")
    learned = prompted.load_textual_inversion(tmp_path / "cat.safetensors")
    assert not torch.equal(learned.positive[0][0], prompted.positive[0][0])
    encoder, tokenizer = learned.clip.encoders[0], learned.clip.tokenizers[0]
    ids = tokenizer("<cat> <cat>_1", add_special_tokens=False).input_ids
    assert torch.equal(encoder.get_input_embeddings().weight[ids], vectors)
    assert torch.equal(learned.positive[0][0], learned.clip.encode("a embedding:cat")[0][0])
    torch.save({}, tmp_path / "cat.bin")
    with pytest.raises(ModelError, match=r"cannot load cat.bin"):
        learned.load_textual_inversion(tmp_path / "cat.bin")


# IP-Adapter


@pytest.mark.parametrize("motion", [True, False])
def test_ip_adapter_shows_pictures_to_the_unet(folders, tmp_path, motion):
    pipe = BasicPipe.from_pretrained(
        folders["sd"], motion_adapter=folders["adapter"] if motion else None, prompt="a face"
    )
    before = repainted(pipe)
    tiny_models.save_ip_adapter(tmp_path, pipe.model.unet)
    with pytest.raises(ModelError, match="the UNet has no IP-Adapter"):
        pipe.with_image_prompt(FRAMES[0])
    pipe = pipe.load_ip_adapter(tmp_path, weight_name="ip.safetensors", image_encoder=tiny_models.make_image_encoder())
    with pytest.raises(ModelError, match="there is no picture for it"):
        repainted(pipe)
    bright, dark = pipe.with_image_prompt(torch.ones(40, 24, 3)), pipe.with_image_prompt(torch.zeros(16, 16, 3))
    one = repainted(bright)
    assert different(one, before)
    assert different(one, repainted(dark))
    # Entries may bring their own, and prompts are exchanged without losing it.
    shown = bright.model.image_prompt
    own = [[pipe.positive[0][0], {**pipe.positive[0][1], "image_embeds": list(shown.positive)}]]
    none = [[pipe.negative[0][0], {**pipe.negative[0][1], "image_embeds": list(shown.negative)}]]
    torch.testing.assert_close(repainted(pipe._replace(positive=own, negative=none)), one)
    torch.testing.assert_close(repainted(bright.with_prompt("a face")), one)
    pipe.diffusers_pipeline().set_ip_adapter_scale(0.0)
    torch.testing.assert_close(repainted(bright), before, rtol=1e-4, atol=1e-4)
    with pytest.raises(InvalidArgumentError, match=r"images: expected 1 stack\(s\)"):
        pipe.with_image_prompt(FRAMES[0], FRAMES[1])
    with pytest.raises(ModelError, match="safetensors only"):
        pipe.load_ip_adapter(tmp_path, weight_name="ip.bin")


def test_image_prompts_of_single_segments(folders, tmp_path):
    pipe = BasicPipe.from_pretrained(folders["sd"], prompt="a face")
    tiny_models.save_ip_adapter(tmp_path, pipe.model.unet)
    pipe = pipe.load_ip_adapter(tmp_path, weight_name="ip.safetensors", image_encoder=tiny_models.make_image_encoder())
    one, two = pipe.encode_image_prompt(torch.ones(16, 16, 3)), pipe.encode_image_prompt(torch.zeros(16, 16, 3))
    frames = FRAMES.repeat(1, 2, 2, 1)

    def detailed(prompt):
        segs = with_control_net(segs_of(frames, segment()), ImagePromptWrapper(image_prompt=prompt))
        return detail_frames(frames, segs, pipe, guide_size=32, max_size=32, steps=2)

    left, right = detailed(one), detailed(two)
    assert different(left.frames, right.frames)
    assert [tuple(image.shape) for image in left.cnet_images] == [(1, 16, 16, 3)]


# Samplers with more digits inside


def test_latents_keep_their_dtype_in_samplers_of_float64(pipe):
    seen = set()
    windows = ContextWindows(length=1, overlap=0)
    pipe = pipe._replace(model=DiffusersModel(pipe.model.unet, windows=windows))
    result = repainted(
        pipe,
        sampler_name="dpmpp_3m_sde",
        steps=4,
        callback=lambda step, total, x0, x, sigma: seen.update({x0.dtype, x.dtype}),
    )
    assert result.dtype == torch.float32
    assert seen == {torch.float32}
    assert bool(result.isfinite().all())


# Levels


def test_animatelcm_brings_the_levels_that_it_was_distilled_on(folders):
    pipe = BasicPipe.from_pretrained(folders["sd"], motion_adapter=folders["lcm"])
    table = pipe.model.table
    whole = SigmaTable.from_config({"beta_schedule": "linear", "beta_start": 0.00085, "beta_end": 0.012})
    assert torch.equal(table.sigmas, whole.sigmas[19::20])
    assert table.timestep(table.sigmas[:3]).tolist() == [19, 39, 59]
    assert int(table.timestep(table.sigma_max)) == 999
    torch.testing.assert_close(table.sigma(torch.tensor([19.0, 999.0])), table.sigmas[[0, -1]])
    assert table.percent_to_sigma(0.5) == pytest.approx(whole.percent_to_sigma(0.5), rel=0.02)
    override = BasicPipe.from_pretrained(
        folders["sd"], motion_adapter=folders["lcm"], scheduler_config={"original_inference_steps": None}
    )
    assert torch.equal(override.model.table.sigmas, whole.sigmas)
    repainted(pipe, sampler_name="lcm", scheduler="sgm_uniform", cfg=1.0)


def test_distilled_tables_have_at_most_all_levels():
    with pytest.raises(InvalidArgumentError, match="original_inference_steps: expected 1 to 1000, got 2000"):
        SigmaTable.from_config({"original_inference_steps": 2000})


# What does not fit


def test_prompts_of_another_family_are_refused(pipe, folders):
    other = BasicPipe.from_pretrained(folders["sdxl"])
    with pytest.raises(
        InvalidArgumentError, match="positive: expected embeddings of 16 channels for this UNet, got 40"
    ):
        repainted(pipe._replace(positive=other.positive))


def test_areas_are_refused(pipe):
    area = [[pipe.positive[0][0], {"area": (4, 4, 0, 0)}]]
    with pytest.raises(InvalidArgumentError, match="masks over the whole frame, in place of areas"):
        repainted(pipe._replace(positive=area))


def test_weights_of_several_dtypes_are_refused():
    unet = tiny_models.make_unet()
    unet.conv_in.to(torch.float16)
    with pytest.raises(ModelError, match=r"the UNet has weights of several dtypes, float16 and float32: use its to\("):
        DiffusersModel(unet)
    unet = tiny_models.make_unet()
    unet.conv_in.to("meta")
    with pytest.raises(ModelError, match="several devices, cpu and meta"):
        DiffusersModel(unet)


def test_loaders_need_a_diffusers_model():
    with pytest.raises(ModelError, match="the family 'sharpen' has no LoRAs"):
        BasicPipe.preview().load_lora("x")
