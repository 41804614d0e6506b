"""Checkpoints on disk, in diffusers' layout, through the real loading code."""

from __future__ import annotations

import builtins
import subprocess
import sys

import pytest
import torch

import tiny_models
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, MissingDependencyError, ModelError
from segs_detailer.models.pipe import BasicPipe
from segs_detailer.models.registry import sampler_for
from segs_detailer.models.sd.network import DiffusersModel
from segs_detailer.models.sd.sampler import DiffusersSampler
from segs_detailer.models.sd.vae import FrameVAE
from segs_detailer.models.stages import SamplingOptions
from segs_detailer.models.windows import ContextWindows


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_models.save_checkpoint(tmp_path_factory.mktemp("sd"))


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    return tiny_models.save_motion_adapter(tmp_path_factory.mktemp("motion"))


def test_checkpoint_with_motion_adapter_is_a_pipe(checkpoint, adapter):
    pipe = BasicPipe.from_pretrained(checkpoint, motion_adapter=adapter, prompt="a face", negative_prompt="blur")
    model, clip, vae, positive, negative = pipe
    assert isinstance(model, DiffusersModel)
    assert model.is_motion
    assert model.max_frames == 32
    assert positive[0][0].shape == (1, 77, tiny_models.CROSS)
    assert positive[0][1]["pooled_output"].shape == (1, tiny_models.CROSS)
    assert not torch.equal(positive[0][0], negative[0][0])
    assert torch.equal(clip.encode("a face")[0][0], positive[0][0])
    assert isinstance(vae, FrameVAE)
    sampler = sampler_for(model, clip, vae)
    assert isinstance(sampler, DiffusersSampler)
    assert sampler.geometry.size_multiple == tiny_models.VAE_FACTOR
    assert not any(parameter.requires_grad for parameter in model.unet.parameters())


def test_loaded_weights_are_the_saved_ones(checkpoint, adapter):
    model = BasicPipe.from_pretrained(checkpoint, motion_adapter=str(adapter)).model
    expected = tiny_models.make_motion_unet().state_dict()
    loaded = model.unet.state_dict()
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[name], expected[name]) for name in expected)


def test_motion_adapter_brings_its_betas(checkpoint, adapter, reference):
    animatediff = torch.from_numpy(reference["model_sigmas/animatediff_sqrt_linear"])
    plain = torch.from_numpy(reference["model_sigmas/sd15"])
    assert torch.equal(BasicPipe.from_pretrained(checkpoint).model.table.sigmas, plain)
    pipe = BasicPipe.from_pretrained(checkpoint, motion_adapter=tiny_models.make_motion_adapter())
    assert torch.equal(pipe.model.table.sigmas, animatediff)
    override = {"beta_schedule": "scaled_linear"}
    pipe = BasicPipe.from_pretrained(checkpoint, motion_adapter=adapter, scheduler_config=override)
    assert torch.equal(pipe.model.table.sigmas, plain)


def test_prediction_type_comes_from_the_checkpoint(tmp_path):
    folder = tiny_models.save_checkpoint(tmp_path, prediction_type="v_prediction")
    assert BasicPipe.from_pretrained(folder).model.prediction_type == "v_prediction"


def test_saved_animatediff_pipeline_is_taken_as_it_is(checkpoint, adapter, tmp_path):
    folder = tiny_models.save_checkpoint(tmp_path)
    for old in (folder / "unet").iterdir():
        old.unlink()
    tiny_models.make_motion_unet().save_pretrained(folder / "unet")
    assert BasicPipe.from_pretrained(folder).model.is_motion
    with pytest.raises(ModelError, match="already holds a motion module"):
        BasicPipe.from_pretrained(folder, motion_adapter=adapter)


def test_sdxl_has_two_encoders_and_keeps_its_size_conditioning(adapter, tmp_path):
    folder = tiny_models.save_checkpoint(tmp_path, sdxl=True)
    plain = BasicPipe.from_pretrained(folder, prompt="a face")
    assert plain.positive[0][0].shape == (1, 77, tiny_models.CROSS + tiny_models.SECOND)
    assert plain.positive[0][1]["pooled_output"].shape == (1, tiny_models.SECOND)
    motion = BasicPipe.from_pretrained(folder, motion_adapter=adapter).model
    expected = plain.model.unet.add_embedding.state_dict()
    loaded = motion.unet.add_embedding.state_dict()
    assert all(torch.equal(loaded[name], expected[name]) for name in expected)
    assert float(motion.table.sigma_max) == pytest.approx(96.98, rel=0.5)
    assert float(motion.table.sigma_max) > float(plain.model.table.sigma_max)


def test_prompts_are_exchanged(checkpoint):
    pipe = BasicPipe.from_pretrained(checkpoint, prompt="one")
    other = pipe.with_prompt("two", "three")
    assert other.model is pipe.model
    assert torch.equal(other.positive[0][0], pipe.clip.encode("two")[0][0])
    assert torch.equal(other.negative[0][0], pipe.clip.encode("three")[0][0])
    with pytest.raises(InvalidTypeError, match="clip: expected a text encoder"):
        BasicPipe.preview().with_prompt("two")


def test_long_prompts_are_encoded_in_parts(checkpoint):
    clip = BasicPipe.from_pretrained(checkpoint).clip
    words = "a " * 75
    embedding = clip.encode(words + "b " * 10)[0][0]
    assert embedding.shape == (1, 154, tiny_models.CROSS)
    torch.testing.assert_close(embedding[:, :77], clip.encode(words)[0][0])


def test_prompts_mean_what_they_mean_in_diffusers(checkpoint, tmp_path):
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

    prompt = "a smiling face, in the rain"
    theirs = StableDiffusionPipeline.from_pretrained(checkpoint, safety_checker=None)
    expected, _ = theirs.encode_prompt(prompt, "cpu", 1, False)
    torch.testing.assert_close(BasicPipe.from_pretrained(checkpoint).clip.encode(prompt)[0][0], expected.detach())

    folder = tiny_models.save_checkpoint(tmp_path, sdxl=True)
    theirs = StableDiffusionXLPipeline.from_pretrained(folder)
    expected, _, pooled, _ = theirs.encode_prompt(prompt, device="cpu", do_classifier_free_guidance=False)
    ((embedding, options),) = BasicPipe.from_pretrained(folder).clip.encode(prompt)
    torch.testing.assert_close(embedding, expected.detach())
    torch.testing.assert_close(options["pooled_output"], pooled.detach())


def test_dtype_and_device_are_chosen(checkpoint):
    pipe = BasicPipe.from_pretrained(checkpoint, dtype="bfloat16", device="cpu")
    assert pipe.model.dtype == pipe.vae.vae.dtype == torch.bfloat16
    assert pipe.positive[0][0].dtype == torch.bfloat16
    with pytest.raises(InvalidArgumentError, match="dtype: expected float32, float16 or bfloat16, got int8"):
        BasicPipe.from_pretrained(checkpoint, dtype="int8")


def test_options_reach_the_model(checkpoint, adapter):
    windows, options = ContextWindows(length=8, overlap=2), SamplingOptions(strict_mask=False)
    pipe = BasicPipe.from_pretrained(checkpoint, motion_adapter=adapter, windows=windows, options=options, vae_chunk=3)
    assert pipe.model.windows is windows
    assert pipe.model.options is options
    assert pipe.vae.chunk == 3


def test_adapter_of_another_family_does_not_fit(checkpoint, tmp_path):
    adapter = tiny_models.save_motion_adapter(tmp_path, channels=(16, 32, 32))
    with pytest.raises(ModelError, match=r"motion adapter does not fit the UNet: its blocks have \[16, 32, 32\]"):
        BasicPipe.from_pretrained(checkpoint, motion_adapter=adapter)


def test_version_1_modules_are_announced(checkpoint):
    with pytest.warns(UserWarning, match="version 1 motion module"):
        BasicPipe.from_pretrained(checkpoint, motion_adapter=tiny_models.make_motion_adapter(max_frames=24))


def test_only_safetensors_are_read(checkpoint, tmp_path):
    folder = tiny_models.save_checkpoint(tmp_path)
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save({}, weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(ModelError, match=r"cannot load the unet of .*safetensors only"):
        BasicPipe.from_pretrained(folder)


def test_missing_folder_is_a_clear_error(tmp_path):
    with pytest.raises(ModelError, match=r"cannot load .*nothing: there is no such folder"):
        BasicPipe.from_pretrained(tmp_path / "nothing")
    with pytest.raises(ModelError, match="cannot read the configuration of unet of"):
        BasicPipe.from_pretrained(tmp_path)


def test_missing_diffusers_names_the_extra(checkpoint, monkeypatch):
    real_import = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "diffusers":
            raise ImportError(name=name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingDependencyError, match=r"pip install 'segs-detailer\[diffusers\]'"):
        BasicPipe.from_pretrained(checkpoint)


def test_raw_unets_get_their_familys_levels(reference):
    vae = tiny_models.make_vae()
    motion = sampler_for(tiny_models.make_motion_unet(), None, vae)
    plain = sampler_for(tiny_models.make_unet(), None, FrameVAE(vae))
    assert torch.equal(motion.model.table.sigmas, torch.from_numpy(reference["model_sigmas/animatediff_sqrt_linear"]))
    assert torch.equal(plain.model.table.sigmas, torch.from_numpy(reference["model_sigmas/sd15"]))


def test_samplers_are_taken_as_they_are():
    sampler = sampler_for(tiny_models.make_unet(), None, tiny_models.make_vae())
    assert sampler_for(sampler, None, None) is sampler


def test_other_models_are_refused():
    with pytest.raises(ModelError, match="cannot sample with a str: expected a DiffusersModel"):
        sampler_for("model", None, None)
    with pytest.raises(ModelError, match="cannot encode with a NoneType: expected a FrameVAE"):
        sampler_for(tiny_models.make_unet(), None, None)
    with pytest.raises(InvalidTypeError, match="unet: expected a UNetMotionModel or UNet2DConditionModel, got"):
        DiffusersModel(torch.nn.Identity())
    with pytest.raises(ModelError, match="unknown prediction_type 'flow'"):
        DiffusersModel(tiny_models.make_unet(), {"prediction_type": "flow"})


def test_resolving_does_not_import_diffusers():
    code = (
        "import sys; from segs_detailer.models.registry import sampler_for; import segs_detailer.models.pipe; "
        "sys.exit('diffusers' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
