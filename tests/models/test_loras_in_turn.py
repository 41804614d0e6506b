"""LoRAs of single models over the same networks: loaded once, and in effect in turn."""

from __future__ import annotations

import pytest
import torch

import tiny_models
import tiny_wan
from fake_sampler import segment, segs_of
from segs_detailer import BasicPipe, detail_frames
from segs_detailer.errors import ModelError
from segs_detailer.models import network_sampler
from segs_detailer.models.interface import SampleJob

FRAMES = torch.rand(2, 32, 32, 3, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_models.save_checkpoint(tmp_path_factory.mktemp("sd"))


@pytest.fixture
def pipe(folder):
    return BasicPipe.from_pretrained(folder, prompt="a face", device="cpu")


@pytest.fixture
def loras(tmp_path, pipe):
    return [str(tiny_models.save_lora(tmp_path / f"{seed}.safetensors", pipe.model.unet, seed=seed)) for seed in (1, 2)]


def repainted(sampler, pipe, frames=FRAMES, positive=None):
    job = SampleJob(
        pixels=frames,
        positive=pipe.positive if positive is None else positive,
        negative=pipe.negative,
        seed=3,
        steps=1,
        cfg=2.0,
        sampler_name="euler",
        scheduler="simple",
        denoise=0.6,
    )
    return sampler.sample(sampler.encode(frames), job)


def test_each_model_has_its_own_weights_in_turn(folder, pipe, loras, monkeypatch):
    loaded, load = [], network_sampler.load_lora
    monkeypatch.setattr(network_sampler, "load_lora", lambda *given: loaded.append(given[2]) or load(*given))
    sampler = pipe.sampler
    before = repainted(sampler, pipe)
    first, half = sampler.beside_loras([(loras[0], 1.0)]), sampler.beside_loras([(loras[0], 0.5)])
    both = half.beside_loras([(loras[1], 1.0)])
    assert loaded == loras
    results = [repainted(each, pipe) for each in (first, half, both, first)]
    assert torch.equal(results[0], results[3])
    assert not torch.allclose(results[0], results[1], atol=1e-3)
    assert not torch.allclose(results[1], results[2], atol=1e-3)
    # Nothing of it is left for the model without: not one rounding more.
    assert torch.equal(repainted(sampler, pipe), before)
    alone = BasicPipe.from_pretrained(folder, prompt="a face", device="cpu").load_lora(loras[0], weight=0.5)
    torch.testing.assert_close(results[1], repainted(alone.sampler, alone), rtol=1e-5, atol=1e-5)
    alone.load_lora(loras[1])
    torch.testing.assert_close(results[2], repainted(alone.sampler, alone), rtol=1e-5, atol=1e-5)


def test_what_the_model_has_for_all_stays_unless_its_weight_is_given(pipe, loras):
    plain = repainted(pipe.sampler, pipe)
    pipe = pipe.load_lora(loras[0])
    general = repainted(pipe.sampler, pipe)
    more, without = pipe.sampler.beside_loras([(loras[1], 1.0)]), pipe.sampler.beside_loras([(loras[0], 0.0)])
    assert not torch.allclose(repainted(more, pipe), general, atol=1e-3)
    torch.testing.assert_close(repainted(without, pipe), plain, rtol=1e-6, atol=1e-6)
    assert torch.equal(repainted(pipe.sampler, pipe), general)


def test_what_diffusers_has_loaded_stays(folder, pipe, loras):
    import diffusers

    theirs = diffusers.StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    theirs.load_lora_weights(loras[0], adapter_name="theirs")
    theirs.set_adapters(["theirs"], [0.5])
    taken = BasicPipe.from_pipe(theirs, prompt="a face")
    before = repainted(taken.sampler, taken)
    own = taken.sampler.beside_loras([(loras[1], 1.0)])
    wanted = pipe.load_lora(loras[0], weight=0.5).load_lora(loras[1])
    torch.testing.assert_close(repainted(own, taken), repainted(wanted.sampler, wanted), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(repainted(taken.sampler, taken), before, rtol=1e-6, atol=1e-6)


def test_prompts_of_a_subject_are_encoded_with_its_loras(pipe, tmp_path):
    text = tiny_models.save_lora(
        tmp_path / "text.safetensors", pipe.clip.encoders[0], prefix="text_encoder", layers=("q_proj", "v_proj")
    )
    seen = []
    sample = type(pipe.sampler).sample

    class Watched(type(pipe.sampler)):
        def sample(self, latents, job):
            seen.append((job.positive[0][0], job.negative[0][0]))
            return sample(self, latents, job)

    watched = Watched(pipe.model, pipe.vae, pipe.clip)
    frames = FRAMES.repeat(1, 2, 2, 1)
    segs = segs_of(frames, segment((0, 0, 32, 32)), segment((32, 32, 64, 64)), segment((0, 32, 32, 64)))
    subjects = {2: {"lora": [(str(text), 1.0)]}}
    detail_frames(frames, segs, pipe._replace(model=watched), subjects=subjects, guide_size=32, steps=1)
    assert torch.equal(seen[0][0], pipe.positive[0][0])
    assert torch.equal(seen[2][0], pipe.positive[0][0])
    assert not torch.allclose(seen[1][0], pipe.positive[0][0], atol=1e-3)
    assert not torch.allclose(seen[1][1], pipe.negative[0][0], atol=1e-3)


def test_wan_has_them_too(tmp_path):
    pipe = BasicPipe.from_pretrained(tiny_wan.save_checkpoint(tmp_path / "wan"), prompt="a face", device="cpu")
    path = tiny_models.save_lora(tmp_path / "l.safetensors", pipe.model.transformer, prefix="transformer")
    frames = FRAMES[:1]
    before = repainted(pipe.sampler, pipe, frames)
    own = pipe.sampler.beside_loras([(str(path), 1.0)])
    assert not torch.allclose(repainted(own, pipe, frames), before, atol=1e-4)
    assert torch.equal(repainted(pipe.sampler, pipe, frames), before)


def test_a_lora_that_cannot_be_loaded_leaves_the_others_in_effect(pipe, loras, tmp_path):
    pipe = pipe.load_lora(loras[0])
    before = repainted(pipe.sampler, pipe)
    with pytest.raises(ModelError, match="cannot load the LoRA"):
        pipe.sampler.beside_loras([(str(tmp_path / "none.safetensors"), 1.0)])
    assert torch.equal(repainted(pipe.sampler, pipe), before)
