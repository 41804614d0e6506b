"""HunyuanVideo 1.5: what is its own, on a tiny random model that diffusers saved."""

from __future__ import annotations

import json

import pytest
import torch
from diffusers import AutoencoderTiny, ClassifierFreeGuidance

import tiny_hunyuan
from agreement import assert_agree
from segs_detailer import BasicPipe
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, ModelError
from segs_detailer.models.hunyuan.network import HunyuanModel
from segs_detailer.models.interface import SampleJob
from segs_detailer.models.registry import sampler_for
from segs_detailer.models.windows import ContextWindows


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_hunyuan.save_checkpoint(tmp_path_factory.mktemp("hunyuan"), shift=7.0, scale=4.5)


@pytest.fixture
def pipe(folder):
    return BasicPipe.from_pretrained(folder, prompt="a face", negative_prompt="blurry")


def sampled(pipe, **changes):
    frames = torch.rand(5, 32, 48, 3, generator=torch.Generator().manual_seed(5))
    settings = {"pixels": frames, "positive": pipe.positive, "negative": pipe.negative, "seed": 3, "steps": 2}
    settings |= {"cfg": 4.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 0.8, **changes}
    sampler = sampler_for(*pipe[:3])
    return sampler.sample(sampler.encode(frames), SampleJob(**settings))


def test_a_checkpoint_says_shift_and_guidance(pipe, folder, tmp_path):
    info = sampler_for(*pipe[:3]).info
    assert (info.family, info.geometry.size_multiple, info.geometry.packing.counts(3)) == (
        "HunyuanVideo",
        16,
        (1, 4, 4),
    )
    assert (info.recommended.cfg, info.recommended.shift) == (4.5, 7.0)
    assert info.memory.activations((480, 480), 49, 1) > info.memory.activations((480, 480), 5, 1) > 0
    theirs = pipe.diffusers_pipeline()
    for guider, scale in (
        (ClassifierFreeGuidance(guidance_scale=3.0, use_original_formulation=True), 4.0),
        (ClassifierFreeGuidance(guidance_scale=3.0, enabled=False), 1.0),
    ):
        theirs.guider = guider
        assert sampler_for(*BasicPipe.from_pipe(theirs)[:3]).info.recommended.cfg == scale
    theirs.save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    (tmp_path / "model_index.json").write_text(json.dumps({**index, "guider": [None, None]}))
    assert sampler_for(*BasicPipe.from_pretrained(tmp_path)[:3]).info.recommended.cfg == 6.0


@pytest.mark.parametrize("prompt", ["a smiling face, rain", "", 'a sign, "open" and “closed”, "open"'])
def test_prompts_mean_what_they_mean_in_diffusers(pipe, prompt):
    [[states, options]] = pipe.clip.encode(prompt)
    theirs, mask, glyphs, glyph_mask = pipe.diffusers_pipeline().encode_prompt(prompt, device="cpu")
    assert_agree(states, theirs[mask.bool()][None])
    if options["glyphs"] is None:
        assert not glyph_mask.any()
    else:
        assert_agree(options["glyphs"], glyphs[glyph_mask.bool()][None])


def test_text_in_quotes_and_both_prompts_count(pipe):
    plain = sampled(pipe)
    assert not torch.equal(plain, sampled(pipe, positive=pipe.with_prompt('a face "hi"').positive))
    states, options = pipe.with_prompt('a face "hi"').positive[0]
    without = sampled(pipe, positive=[[states, {**options, "glyphs": None}]])
    assert not torch.equal(without, sampled(pipe, positive=[[states, options]]))
    assert not torch.equal(plain, sampled(pipe, negative=pipe.with_prompt("", "a much longer one").negative))


def test_prompts_that_cannot_be_used_are_announced(pipe):
    with pytest.warns(UserWarning, match="HunyuanVideo has no prompt weights: all words count alike"):
        weighted = pipe.clip.encode("a (red:1.3) hat")
    assert_agree(weighted[0][0], pipe.clip.encode("a red hat")[0][0])
    with pytest.warns(
        UserWarning, match=r"the prompt has \d+ tokens and HunyuanVideo takes 1000: the rest is left out"
    ):
        assert pipe.clip.encode("face " * 300)[0][0].shape == (1, 1000, tiny_hunyuan.TEXT)
    with pytest.raises(InvalidTypeError, match="prompt: expected a str, got int"):
        pipe.with_prompt(3)


def test_what_it_cannot_honor_is_refused(folder, pipe):
    states = pipe.positive[0][0]
    with pytest.raises(ModelError, match="'control' is not supported for HunyuanVideo: leave out the ControlNet"):
        sampled(pipe, positive=[[states, {"control": 1}]])
    for change, message in (
        ({"sampler_name": "lcm"}, "sampler_name: expected one for flow matching"),
        ({"positive": []}, "positive: expected one conditioning entry for HunyuanVideo"),
        ({"positive": [[states[0], {}]]}, "an embedding of shape"),
        ({"inpaint_model": True}, "inpaint_model: expected False for HunyuanVideo"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            sampled(pipe, **change)
    for option, value in (("motion_adapter", "x"), ("windows", ContextWindows()), ("vae_chunk", 4)):
        with pytest.raises(InvalidArgumentError, match=f"{option}: expected None for HunyuanVideo"):
            BasicPipe.from_pretrained(folder, **{option: value})
    with pytest.raises(ModelError, match="cannot encode with a AutoencoderTiny: HunyuanVideo expects a HunyuanVAE"):
        sampler_for(pipe.model, None, AutoencoderTiny())


def test_models_that_go_on_from_a_picture_are_refused(tmp_path, folder, pipe):
    other = tiny_hunyuan.save_checkpoint(tmp_path / "i2v", task="i2v")
    with pytest.raises(ModelError, match=r"the transformer of .*i2v wants the first frame of its clip"):
        BasicPipe.from_pretrained(other)
    with pytest.raises(ModelError, match="the transformer wants the first frame"):
        HunyuanModel(tiny_hunyuan.make_transformer(task="i2v"))
    with pytest.raises(InvalidTypeError, match="transformer: expected a HunyuanVideo15Transformer3DModel"):
        HunyuanModel(torch.nn.Linear(1, 1))
    index = tmp_path / "i2v" / "model_index.json"
    index.write_text(index.read_text().replace("HunyuanVideo15Pipeline", "HunyuanVideo15ImageToVideoPipeline"))
    with pytest.raises(ModelError, match=r"is a HunyuanVideo15ImageToVideoPipeline: .* only that for text to video"):
        BasicPipe.from_pretrained(other)
    theirs = pipe.diffusers_pipeline()
    theirs.text_encoder_2 = None
    with pytest.raises(ModelError, match="a HunyuanVideo15Pipeline cannot be used: it has no text_encoder_2"):
        BasicPipe.from_pipe(theirs)


def test_out_of_memory_in_the_vae_goes_on_in_tiles(pipe, monkeypatch):
    frames = torch.rand(1, 288, 272, 3, generator=torch.Generator().manual_seed(2))
    whole = pipe.vae.encode(frames)
    encode, calls = pipe.vae.vae.encode, []

    def fails_once(pixels):
        calls.append(pixels.shape)
        if len(calls) == 1:
            raise torch.cuda.OutOfMemoryError
        return encode(pixels)

    monkeypatch.setattr(pipe.vae.vae, "encode", fails_once)
    with pytest.warns(UserWarning, match="out of memory while encoding a clip: going on in tiles of 256 pixels"):
        tiled = pipe.vae.encode(frames)
    assert pipe.vae.tile == 256
    assert tiled.shape == whole.shape
    with pytest.raises(InvalidArgumentError, match="vae_tile: expected a multiple of 64 of at least 128"):
        pipe.vae.work_in_tiles(64)
    pipe.vae.work_in_tiles(128)
    assert pipe.vae.decode(tiled).shape == frames.shape
