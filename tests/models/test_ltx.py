"""LTX-2: what is its own, on tiny random models that diffusers saved."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny, FlowMatchEulerDiscreteScheduler
from safetensors.torch import save_file

import tiny_ltx
from agreement import assert_agree
from segs_detailer import BasicPipe
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, ModelError
from segs_detailer.models.interface import SampleJob
from segs_detailer.models.ltx.files import CONFIG, is_ltx_file
from segs_detailer.models.ltx.network import Hearing, LtxModel
from segs_detailer.models.ltx.sound import LtxEars
from segs_detailer.models.ltx.vae import LtxVAE
from segs_detailer.models.registry import sampler_for
from segs_detailer.models.single_files import tensor_shapes
from segs_detailer.models.sound import Sound
from segs_detailer.models.windows import ContextWindows

DISTILLED = {"use_dynamic_shifting": False}


@pytest.fixture(scope="module", params=tiny_ltx.KINDS)
def folder(request, tmp_path_factory):
    return tiny_ltx.save_checkpoint(tmp_path_factory.mktemp("ltx"), request.param)


@pytest.fixture
def pipe(folder):
    return BasicPipe.from_pretrained(folder, prompt="a face", negative_prompt="blurry")


def frames(count=9):
    return torch.rand(count, 64, 96, 3, generator=torch.Generator().manual_seed(5))


def job_for(pipe, **changes):
    sides = {} if pipe is None else {"positive": pipe.positive, "negative": pipe.negative}
    settings = {"pixels": frames(), "positive": [], "negative": [], **sides, "seed": 3, "steps": 2}
    settings |= {"cfg": 3.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 0.5}
    return SampleJob(**{**settings, **changes})


def sampled(pipe, **changes):
    sampler = sampler_for(*pipe[:3])
    job = job_for(pipe, **changes)
    return sampler.sample(sampler.encode(job.pixels), job)


def tone(seconds=1.0, rate=16000, pitch=440.0):
    times = torch.arange(round(seconds * rate)) / rate
    return Sound((0.5 * torch.sin(2 * math.pi * pitch * times))[None], rate)


def calls_of(pipe):
    """Arguments of each call of the transformer from now on."""
    calls = []
    pipe.model.transformer.register_forward_pre_hook(lambda module, args, given: calls.append(given), with_kwargs=True)
    return calls


# Noise levels


@pytest.mark.parametrize("size", [(2, 2, 3), (4, 24, 24)])
def test_the_levels_of_full_checkpoints_are_those_of_their_scheduler(size):
    tokens = math.prod(size)
    scheduler = FlowMatchEulerDiscreteScheduler(**tiny_ltx.FULL)
    scheduler.set_timesteps(sigmas=np.linspace(1, 1 / 8, 8), mu=0.95 + 1.1 * (tokens - 1024) / 3072)
    model = LtxModel(tiny_ltx.make_transformer())
    sampler = sampler_for(model, None, tiny_ltx.make_vae())
    levels = sampler.noise_levels(torch.zeros(1, 8, *size), job_for(None), 8)
    torch.testing.assert_close(levels, scheduler.sigmas, rtol=1e-4, atol=1e-4)
    assert float(levels[-2]) == pytest.approx(0.1)


def test_the_levels_of_distilled_checkpoints_are_those_that_they_know():
    model = LtxModel(tiny_ltx.make_transformer(), scheduler_config=DISTILLED)
    sampler = sampler_for(model, None, tiny_ltx.make_vae())
    levels = sampler.noise_levels(torch.zeros(1, 8, 2, 2, 2), job_for(None), 8)
    known = [1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875, 0.0]
    assert levels.tolist() == pytest.approx(known, abs=1e-5)
    recommended = sampler.info.recommended
    assert (recommended.steps, recommended.cfg, recommended.denoise) == (3, 1.0, 0.375)
    shown = []
    pipe = BasicPipe.from_pipe(tiny_ltx.make_pipeline(schedule=DISTILLED), prompt="a", negative_prompt="b")
    sampled(pipe, steps=3, denoise=0.375, cfg=1.0, callback=lambda *step: shown.append(step[-1]))
    assert shown == pytest.approx([0.909375, 0.725, 0.421875], abs=1e-5)


def test_a_shift_that_is_given_counts():
    for config in ({"shift": 3.0}, {"use_dynamic_shifting": True, "flow_shift": 3.0}):
        model = LtxModel(tiny_ltx.make_transformer(), scheduler_config=config)
        assert not model.is_distilled
        assert model.table_for(10**6).shift == 3.0


# What it hears


def test_without_sound_the_picture_does_not_depend_on_it_to_the_bit(pipe):
    calls = calls_of(pipe)
    before = sampled(pipe)
    assert all(call["isolate_modalities"] for call in calls)
    with torch.no_grad():
        for name, weight in pipe.model.transformer.named_parameters():
            if name.startswith("audio_proj_in"):
                weight.add_(5)
    states, options = pipe.positive[0]
    louder = [[states, {**options, "sound_states": options["sound_states"] + 3}]]
    assert torch.equal(sampled(pipe, positive=louder), before)


def test_sound_is_held_as_it_was_encoded_and_changes_the_picture(pipe):
    sampler = sampler_for(*pipe[:3])
    assert sampler.info.sound_rate == 16000
    expected = pipe.vae.ears.encode(tone(), 9 / 25)
    assert expected.shape == (1, 9, 8)
    silent = sampled(pipe, frame_rate=25.0)
    calls = calls_of(pipe)
    heard = sampled(pipe, frame_rate=25.0, sound=tone())
    assert len(calls) == 2
    for call in calls:
        assert torch.equal(call["audio_hidden_states"], expected.expand(2, -1, -1))
        assert not call["audio_timestep"].any()
        assert not call["audio_sigma"].any()
        assert not call["isolate_modalities"]
        assert call["audio_num_frames"] == 9
        assert call["fps"] == 25.0
    assert not torch.equal(heard, silent)
    assert not torch.equal(heard, sampled(pipe, frame_rate=25.0, sound=tone(pitch=2000.0)))


def test_sound_is_seen_in_time_and_pitch():
    """The bands that the audio VAE is given, of a tone that begins in the middle."""
    ears = LtxEars(tiny_ltx.make_audio_vae())
    seen = []
    ears.audio_vae.encoder.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    late = Sound(torch.cat([torch.zeros(1, 8000), tone(0.5).samples], dim=1), 16000)
    ears.encode(late, 1.0)
    bands = seen[0]
    assert bands.shape == (1, 2, 100, 16)
    assert torch.equal(bands[:, 0], bands[:, 1])
    assert float(bands[0, 0, :45].max()) == pytest.approx(math.log(1e-5))
    loud = bands[0, 0, 60:].mean(dim=0)
    ears.encode(tone(1.0, pitch=3000.0), 1.0)
    assert int(loud.argmax()) < int(seen[1][0, 0, 10:90].mean(dim=0).argmax())
    # What is missing at the end is silence.
    short = ears.encode(tone(0.3), 1.0)
    padded = Sound(torch.nn.functional.pad(tone(0.3).samples, (0, 16000)), 16000)
    assert torch.equal(short, ears.encode(padded, 1.0))
    assert short.shape == (1, 25, 8)


def test_sound_that_cannot_be_heard_is_refused(pipe):
    with pytest.raises(InvalidArgumentError, match=r"sound: expected 16000 samples per second.*got 44100"):
        sampled(pipe, sound=tone(rate=44100))
    deaf = pipe._replace(vae=LtxVAE(pipe.vae.vae))
    assert sampler_for(*deaf[:3]).info.sound_rate is None
    with pytest.raises(ModelError, match="this LTX-2 has no audio VAE to hear with"):
        sampled(deaf, sound=tone())


def test_stretches_of_sound():
    sound = Sound(torch.arange(10.0)[None], 10)
    assert sound.stretch(0.2, 0.3).samples.tolist() == [[2, 3, 4]]
    assert sound.stretch(-0.2, 0.4).samples.tolist() == [[0, 0, 0, 1]]
    assert sound.stretch(0.8, 0.4).samples.tolist() == [[8, 9, 0, 0]]
    assert sound.stretch(2.0, 0.2).samples.tolist() == [[0, 0]]
    assert sound.stretch(-1.0, 0.2).samples.tolist() == [[0, 0]]
    assert Sound(torch.zeros(5, 3), 1).stereo().shape == sound.stereo()[:, :3].shape == (2, 3)
    for samples, rate, text in (
        ([1.0], 3, "samples: expected a tensor"),
        (torch.zeros(3), 3, r"samples: expected shape \(channels, n\) float32, got shape \(3,\)"),
        (torch.zeros(1, 3, dtype=torch.float64), 3, "float64"),
        (torch.zeros(1, 3), 0, "rate: expected samples per second"),
    ):
        with pytest.raises((InvalidArgumentError, InvalidTypeError), match=text):
            Sound(samples, rate)


def test_frame_rates_are_told_as_they_were_trained():
    assert [Hearing(rate).told_rate for rate in (12.0, 24.0, 30.0, 48.0, 60.0, 120.0)] == [12, 24, 30, 60, 60, 60]


def test_the_frame_rate_counts(pipe):
    assert not torch.equal(sampled(pipe, frame_rate=12.0), sampled(pipe, frame_rate=24.0))
    assert torch.equal(sampled(pipe), sampled(pipe, frame_rate=24.0))


# Prompts, checkpoints


@pytest.mark.parametrize("prompt", [" a smiling face, rain", ""])
def test_prompts_mean_what_they_mean_in_diffusers(pipe, prompt):
    theirs = pipe.diffusers_pipeline()
    states, mask, _, _ = theirs.encode_prompt(prompt, do_classifier_free_guidance=False)
    picture, sound, _ = theirs.connectors(states, mask, padding_side="left")
    [[own, options]] = pipe.clip.encode(prompt)
    assert_agree(own, picture.detach())
    assert_agree(options["sound_states"], sound.detach())


def test_prompts_that_cannot_be_used_are_announced(pipe):
    with pytest.warns(UserWarning, match="LTX-2 has no prompt weights: all words count alike"):
        weighted = pipe.clip.encode("a (red:1.3) hat")
    assert torch.equal(weighted[0][0], pipe.clip.encode("a red hat")[0][0])
    with pytest.warns(UserWarning, match=r"\d+ tokens and LTX-2 takes 1024: the rest is left out"):
        assert pipe.clip.encode("face " * 300)[0][0].shape[1] == 1024
    with pytest.raises(InvalidTypeError, match="prompt: expected a str, got int"):
        pipe.with_prompt(3)


def test_what_it_cannot_honor_is_refused(folder, pipe):
    states, options = pipe.positive[0]
    with pytest.raises(ModelError, match="'control' is not supported for LTX-2: leave out the ControlNet"):
        sampled(pipe, positive=[[states, {**options, "control": 1}]])
    with pytest.raises(InvalidArgumentError, match="positive: expected conditioning of LTX-2's own text encoder"):
        sampled(pipe, positive=[[states, {}]])
    for option, value in (("motion_adapter", "x"), ("windows", ContextWindows()), ("vae_chunk", 4)):
        with pytest.raises(InvalidArgumentError, match=f"{option}: expected None for LTX-2"):
            BasicPipe.from_pretrained(folder, **{option: value})
    with pytest.raises(ModelError, match="cannot encode with a AutoencoderTiny: LTX-2 expects an LtxVAE"):
        sampler_for(pipe.model, None, AutoencoderTiny())
    with pytest.raises(InvalidTypeError, match="transformer: expected a LTX2VideoTransformer3DModel"):
        LtxModel(torch.nn.Linear(1, 1))
    theirs = pipe.diffusers_pipeline()
    theirs.connectors = None
    with pytest.raises(ModelError, match="a LTX2Pipeline cannot be used: it has no connectors"):
        BasicPipe.from_pipe(theirs)


def test_out_of_memory_in_the_vae_goes_on_in_tiles(pipe, monkeypatch):
    pictures = torch.rand(1, 320, 288, 3, generator=torch.Generator().manual_seed(2))
    encode, calls = pipe.vae.vae.encode, []

    def fails_once(pixels):
        calls.append(pixels.shape)
        if len(calls) == 1:
            raise torch.cuda.OutOfMemoryError
        return encode(pixels)

    monkeypatch.setattr(pipe.vae.vae, "encode", fails_once)
    with pytest.warns(UserWarning, match="out of memory while encoding a clip: going on in tiles of 256 pixels"):
        tiled = pipe.vae.encode(pictures)
    assert pipe.vae.decode(tiled).shape == pictures.shape
    # Smaller tiles would have fewer than eight latents along a side.
    with pytest.raises(InvalidArgumentError, match="vae_tile: expected a multiple of 128 of at least 256"):
        pipe.vae.work_in_tiles(128)


# Single files


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return tiny_ltx.save_checkpoint(tmp_path_factory.mktemp("full"), "2.0")


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_a_transformer_of_one_file(full, tmp_path, prefix):
    other = tiny_ltx.make_transformer(seed=9)
    weights = tiny_ltx.original_weights(other)
    save_file({prefix + name: value for name, value in weights.items()}, tmp_path / "ltx.safetensors")
    pipe = BasicPipe.from_single_file(tmp_path / "ltx.safetensors", config=full, prompt="a face")
    loaded = pipe.model.transformer.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in other.state_dict().items())
    assert not pipe.model.is_distilled
    # In diffusers' own layout as well.
    save_file(other.state_dict(), tmp_path / "ours.safetensors")
    again = BasicPipe.from_single_file(tmp_path / "ours.safetensors", config=full, prompt="a face")
    assert torch.equal(sampled(again), sampled(pipe))


def test_files_that_diffusers_cannot_read_are_refused(full, tmp_path):
    path = tmp_path / "ltx.safetensors"
    weights = tiny_ltx.original_weights(tiny_ltx.make_transformer())
    save_file({**weights, "prompt_adaln_single.linear.weight": torch.zeros(1)}, path)
    for options in ({}, {"config": full}):
        with pytest.raises(ModelError, match=r"LTX-2\.3 or later in its makers' layout, which diffusers does not read"):
            BasicPipe.from_single_file(path, **options)
    save_file({**weights, "patchify_proj.weight": torch.zeros(16, 99)}, path)
    with pytest.raises(ModelError, match=r"has a first layer of 16x99, and the configuration .* one of 16x8"):
        BasicPipe.from_single_file(path, config=full)
    save_file({"patchify_proj.weight": torch.zeros(16, 8)}, path)
    with pytest.raises(ModelError, match=r"ltx\.safetensors is no transformer of LTX-2"):
        BasicPipe.from_single_file(path, config=full)


def test_the_configuration_is_told_from_the_file(tmp_path):
    path = tmp_path / "ltx.safetensors"
    save_file(tiny_ltx.original_weights(tiny_ltx.make_transformer()), path)
    assert is_ltx_file(tensor_shapes(str(path)), str(path))
    assert not is_ltx_file({"patchify_proj.weight": (1, 1)}, "other")
    assert CONFIG == "Lightricks/LTX-2"


# The mask


def test_what_is_known_is_seen_clean_and_told_so(pipe):
    """Tokens outside the mask are the source at every step, at timestep 0; half a mask is half the noise level."""
    mask = torch.zeros(1, 64, 96)
    mask[:, :, 32:64] = 0.5
    mask[:, :, 64:] = 1
    sampler = sampler_for(*pipe[:3])
    clean = sampler.to_model(sampler.encode(frames()))
    calls, levels = calls_of(pipe), []
    sampled(pipe, noise_mask=mask, cfg=1.0, callback=lambda *step: levels.append(step[-1]))
    assert len(calls) == 2
    for call, level in zip(calls, levels, strict=True):
        times = call["timestep"].reshape(2, 2, 3)
        assert times[..., 0].tolist() == [[0, 0], [0, 0]]
        assert times[..., 2].flatten().tolist() == pytest.approx([1000 * level] * 4)
        assert 0 < float(times[0, 0, 1]) < 1000 * level
        seen = call["hidden_states"].reshape(2, 2, 3, 8).movedim(-1, 0)
        assert torch.equal(seen[..., 0], clean[0, ..., 0])
        assert not torch.equal(seen[..., 2], clean[0, ..., 2])
