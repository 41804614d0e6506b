"""Wan 2.2's pair of transformers, and its 5B, which sees clean what it knows."""

from __future__ import annotations

import diffusers
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from safetensors.torch import save_file

import tiny_wan
from segs_detailer import BasicPipe, ComputeOptions
from segs_detailer.errors import ModelError
from segs_detailer.models.denoise_mask import clip_mask, token_mask
from segs_detailer.models.info import FramePacking
from segs_detailer.models.interface import SampleJob
from segs_detailer.models.wan.experts import Unread
from segs_detailer.models.wan.network import WanModel

PACKING = FramePacking(lead=(1,), cycle=(4,))
LIMIT = 1e-4
"""Of the deviation, to which this package and diffusers must agree."""


@pytest.fixture(scope="module")
def pair_folder(tmp_path_factory):
    return tiny_wan.save_checkpoint(tmp_path_factory.mktemp("pair"), second=True)


@pytest.fixture(scope="module")
def large_folder(tmp_path_factory):
    return tiny_wan.save_checkpoint(tmp_path_factory.mktemp("large"), large=True)


@pytest.fixture
def read(monkeypatch):
    """Which transformers are read, in their order, and those that are brought somewhere."""
    seen = []
    load, move = diffusers.WanTransformer3DModel.from_pretrained.__func__, diffusers.WanTransformer3DModel.to

    def from_pretrained(kind, base, **arguments):
        seen.append(("read", arguments["subfolder"]))
        network = load(kind, base, **arguments)
        network.subfolder = arguments["subfolder"]
        return network

    def to(self, *arguments, **named):
        if hasattr(self, "subfolder"):
            seen.append(("moved", self.subfolder))
        return move(self, *arguments, **named)

    monkeypatch.setattr(diffusers.WanTransformer3DModel, "from_pretrained", classmethod(from_pretrained))
    monkeypatch.setattr(diffusers.WanTransformer3DModel, "to", to)
    return seen


def clip(size, count=9):
    return torch.rand(count, size, size, 3, generator=torch.Generator().manual_seed(5))


def job_for(pipe, frames, **changes):
    settings = {"pixels": frames, "positive": pipe.positive, "negative": pipe.negative, "seed": 3, "steps": 4}
    settings |= {"cfg": 4.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    return SampleJob(**{**settings, **changes})


def sampled(pipe, frames, **changes):
    sampler = pipe.sampler
    return sampler.sample(sampler.encode(frames), job_for(pipe, frames, **changes))


def agrees(pipe, folder, frames, **changes):
    """Whether a run over the whole frame gives what diffusers' own pipeline gives."""
    theirs = diffusers.WanPipeline.from_pretrained(folder)
    theirs.scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    theirs.set_progress_bar_config(disable=True)
    expected = theirs(
        prompt_embeds=pipe.positive[0][0],
        negative_prompt_embeds=pipe.negative[0][0],
        height=frames.shape[1],
        width=frames.shape[2],
        num_frames=len(frames),
        num_inference_steps=4,
        guidance_scale=4.0,
        generator=torch.Generator().manual_seed(3),
        output_type="latent",
    ).frames
    own = pipe.vae.to_model(
        sampled(pipe, frames, scheduler_func=lambda model, name, steps: theirs.scheduler.sigmas, **changes)
    )
    return float((own - expected).abs().max() / expected.std()) < LIMIT


# The pair


def test_below_the_boundary_one_transformer_is_read(pair_folder, read):
    pipe = BasicPipe.from_pretrained(pair_folder, prompt="a face")
    weights = pipe.sampler.info.memory.weights
    assert read == []
    assert pipe.sampler.geometry.size_multiple == 16
    # Shift 3 at denoise 0.5 starts at 0.75, below 0.875.
    first = sampled(pipe, clip(32), denoise=0.5)
    assert read == [("read", "transformer_2"), ("moved", "transformer_2")]
    sampled(pipe, clip(32), denoise=0.5)
    assert len(read) == 2
    # What is not read yet counts for the memory as if it were.
    assert pipe.sampler.info.memory.weights == weights
    whole = BasicPipe.from_pretrained(pair_folder, prompt="a face")
    assert len(read) == 2
    sampled(whole, clip(32), denoise=1.0)
    assert [name for what, name in read[2:] if what == "read"] == ["transformer", "transformer_2"]
    assert torch.equal(sampled(whole, clip(32), denoise=0.5), first)


def test_what_will_lie_on_a_gpu_takes_none_of_the_computers_memory(pair_folder):
    outline = tiny_wan.make_transformer().to("meta")
    size = sum(weight.nbytes for weight in (*outline.parameters(), *outline.buffers()))

    def memory(place):
        unread = [Unread(outline, lambda: None, torch.device("cuda"), torch.device(place)) for _ in range(2)]
        model = WanModel(unread[0], low_noise=unread[1], boundary=0.5)
        assert model.device.type == "cuda"
        return BasicPipe(model, None, tiny_wan.make_vae(), [], []).sampler.info.memory

    vae = memory("cuda").weights
    assert memory("cuda").accelerator == 2 * size
    assert (memory("cpu").weights, memory("cpu").accelerator) == (vae + size, 0)


def test_a_pair_changes_over_where_diffusers_does(pair_folder):
    pipe = BasicPipe.from_pretrained(pair_folder, prompt="a face", negative_prompt="blurry")
    assert agrees(pipe, pair_folder, clip(32))
    calls = []
    for expert in pipe.model.experts:
        expert.network.register_forward_pre_hook(lambda *_, name=expert.name: calls.append(name))
    sampled(pipe, clip(32))
    # Levels of shift 3: 1, 0.9, 0.75 and 0.5.
    assert calls == ["transformer"] * 2 + ["transformer_2"] * 2


def test_loras_go_into_both_of_a_pair(pair_folder, tmp_path, read):
    weights, generator = {}, torch.Generator().manual_seed(0)
    for name, module in tiny_wan.make_transformer().named_modules():
        if name.endswith(("to_q", "to_v")):
            rows, columns = module.weight.shape
            weights[f"transformer.{name}.lora_A.weight"] = torch.randn(2, columns, generator=generator)
            weights[f"transformer.{name}.lora_B.weight"] = torch.randn(rows, 2, generator=generator)
    save_file(weights, tmp_path / "lora.safetensors")
    pipe = BasicPipe.from_pretrained(pair_folder, prompt="a face")
    plain = sampled(pipe, clip(32), denoise=0.5)
    pipe.load_lora(tmp_path / "lora.safetensors", weight=0.5)
    assert [name for what, name in read if what == "read"] == ["transformer_2"]
    assert float((sampled(pipe, clip(32), denoise=0.5) - plain).abs().max()) > 1e-3
    # The other one gets it as soon as it is read.
    assert set(pipe.model.transformer.peft_config) == set(pipe.model.low_noise.peft_config) == {"lora_0"}
    plain = BasicPipe.from_pretrained(pair_folder, prompt="a face")
    high = [sampled(each, clip(32), scheduler_func=lambda *_: torch.tensor([1.0, 0.9, 0.0])) for each in (pipe, plain)]
    assert float((high[0] - high[1]).abs().max()) > 1e-3
    named = pipe.diffusers_pipeline().get_list_adapters()
    assert named == {"transformer": ["lora_0"], "transformer_2": ["lora_0"]}


def test_what_is_asked_of_the_networks_holds_for_those_that_come_later(pair_folder, monkeypatch):
    compiled = []
    monkeypatch.setattr(diffusers.WanTransformer3DModel, "compile", lambda self, **options: compiled.append(options))
    pipe = BasicPipe.from_pretrained(pair_folder, compute=ComputeOptions(compile_unet={"mode": "x"}), device="cpu")
    assert compiled == []
    sampled(pipe, clip(32), denoise=0.5)
    assert compiled == [{"mode": "x"}]
    whole = pipe.diffusers_pipeline()
    assert len(compiled) == 2
    assert (whole.transformer, whole.transformer_2) == (pipe.model.transformer, pipe.model.low_noise)


def test_each_kind_recommends_its_own(pair_folder, large_folder, tmp_path):
    vace = tiny_wan.save_checkpoint(tmp_path / "vace", kind="WanVACEPipeline", flow_shift=7.0)
    kinds = [BasicPipe.from_pretrained(folder).sampler.info.recommended for folder in (pair_folder, large_folder, vace)]
    assert [(kind.cfg, kind.denoise, kind.shift) for kind in kinds] == [
        (3.0, 0.4, 3.0),
        (5.0, 0.4, 3.0),
        (5.0, 0.5, 7.0),
    ]


def test_a_pair_without_weights_is_refused_at_once(tmp_path):
    folder = tiny_wan.save_checkpoint(tmp_path, second=True)
    (folder / "transformer_2" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"cannot load the transformer_2 of .*: it has no weights .*safetensors only"):
        BasicPipe.from_pretrained(folder)


def test_a_pair_is_of_one_kind():
    with pytest.raises(ModelError, match="one of the two transformers is VACE's and the other is not"):
        WanModel(tiny_wan.make_transformer(), low_noise=tiny_wan.make_vace(), boundary=0.5)


# A noise level for each token


def test_the_5b_agrees_with_diffusers(large_folder):
    pipe = BasicPipe.from_pretrained(large_folder, prompt="a face", negative_prompt="blurry")
    assert pipe.sampler.geometry.size_multiple == 32
    assert pipe.sampler.clean_token == (1, 2, 2)
    assert agrees(pipe, large_folder, clip(64))


@pytest.mark.parametrize("feathered", [False, True])
def test_what_the_5b_knows_it_sees_clean_at_every_step(large_folder, feathered):
    pipe = BasicPipe.from_pretrained(large_folder, prompt="a face", negative_prompt="blurry")
    frames = clip(128)
    mask = torch.zeros(9, 128, 128)
    # Latents of 16 pixels, tokens of 2 by 2 of them: the token in the middle is repainted in part.
    mask[3:, 32:80, 32:64] = 0.5 if feathered else 1
    seen, levels = [], []
    pipe.model.transformer.register_forward_pre_hook(lambda module, args, inputs: seen.append(inputs), with_kwargs=True)
    source = pipe.sampler.encode(frames)
    clean = pipe.vae.to_model(source)
    changes = {"denoise": 0.6, "callback": lambda *step: levels.append(step[-1])}
    result = sampled(pipe, frames, noise_mask=mask, **changes)
    small = clip_mask(mask, clean, PACKING)
    tokens = token_mask(small, 3, (1, 2, 2))
    known = (tokens == 0).expand_as(clean)
    assert len(seen) == 4
    assert 0 < known.float().mean() < 1
    for inputs, sigma in zip(seen, levels, strict=True):
        assert torch.equal(inputs["hidden_states"][:1][known], clean[known])
        expected = 1000 * sigma * tokens[0, 0, :, ::2, ::2].flatten()
        torch.testing.assert_close(inputs["timestep"], expected.expand(2, -1))
    outside = (small == 0).expand_as(clean)
    assert torch.equal(result[outside], source[outside])
    assert not torch.equal(result, source)
    if feathered:
        assert not torch.equal(sampled(pipe, frames, noise_mask=mask, differential=True, denoise=0.6), result)


def test_others_see_what_they_know_as_noisy_as_the_rest(tmp_path):
    assert BasicPipe.from_pretrained(tiny_wan.save_checkpoint(tmp_path)).sampler.clean_token is None
    assert WanModel(tiny_wan.make_transformer(in_channels=48, out_channels=48)).expand_timesteps
    given = WanModel(tiny_wan.make_transformer(in_channels=48, out_channels=48), expand_timesteps=False)
    assert not given.expand_timesteps
    taken = diffusers.WanPipeline.from_pretrained(tmp_path, expand_timesteps=True)
    assert BasicPipe.from_pipe(taken).model.expand_timesteps
