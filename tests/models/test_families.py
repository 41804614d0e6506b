"""What a family of models brings, what it says of itself, and one of a test's own from frames to a batch."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import tiny_models
import tiny_wan
import toy_family
from fake_sampler import FakeSampler, segment, segs_of, smooth_clip
from segs_detailer import BasicPipe, DetailerSettings, detail_frames
from segs_detailer.cli.main import main
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, ModelError
from segs_detailer.models import registry
from segs_detailer.models.denoise_mask import clip_mask
from segs_detailer.models.frame_noise import FrameNoise
from segs_detailer.models.info import FramePacking, Geometry, MemoryModel, Recommended
from segs_detailer.models.interface import Sampler
from segs_detailer.models.latent_layout import frame_latents, latent_of_frames
from segs_detailer.models.sd.network import DiffusersModel
from segs_detailer.models.sd.vae import FrameVAE

SIZE, COUNT = (48, 64), 30


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setattr(registry, "_registered", [])
    family = toy_family.Toy()
    registry.register(family)
    return family


# Packing


def test_even_and_uneven_packings():
    wan, toy = FramePacking(lead=(1,), cycle=(4,)), toy_family.PACKING
    assert [wan.latents(frames) for frames in (1, 4, 5, 9)] == [1, None, 2, 3]
    assert [toy.latents(frames) for frames in (5, 6, 17, 22, 39)] == [2, None, 5, 7, 12]
    assert [toy.frames(latents) for latents in (0, 1, 2, 7, 12)] == [0, 1, 5, 22, 39]
    assert toy.latent_of_frames(3) == [0, 1, 1, 1, 1, 2, 2, 2, 2]
    assert FramePacking().counts(3) == (1, 1, 1)
    geometry = toy_family.INFO.geometry
    assert [geometry.frames_for(count) for count in (1, 5, 6, 22, 23)] == [5, 5, 22, 22, 39]


@pytest.mark.parametrize("packing", [((), ()), ((0,), (4,)), ((1,), (-4,))])
def test_latents_hold_frames(packing):
    with pytest.raises(InvalidArgumentError, match="packing: expected latents of at least one frame each"):
        FramePacking(*packing)


def test_a_model_may_want_a_longer_clip_than_its_grid_begins_with():
    """Of clips of `17 n + 5` frames such a decoder takes those from 22 frames on."""
    geometry = Geometry(frame_step=17, frame_offset=5, min_frames=22, packing=toy_family.PACKING)
    assert [geometry.frames_for(count) for count in (1, 5, 22, 23, 124, 125)] == [22, 22, 22, 39, 124, 141]
    assert [geometry.packing.latents(count) for count in (22, 124)] == [7, 37]


def test_pieces_of_an_uneven_packing_begin_where_its_cycles_do(toy, clips, tmp_path, monkeypatch):
    """A group of 17 frames is packed alike in each piece: masks, noise and latents fit those of the whole clip."""
    info = toy_family.INFO
    geometry = replace(info.geometry, min_frames=22, max_frames=56)
    monkeypatch.setattr(toy_family, "INFO", replace(info, geometry=geometry))
    long = tmp_path / "long"
    long.mkdir()
    for index, frame in enumerate(smooth_clip(100, *SIZE).numpy()):
        Image.fromarray((frame * 255).astype(np.uint8)).save(long / f"{index:03d}.png")
    command = [str(long), *QUICK, "--model", str(toy_family.save_checkpoint(tmp_path / "toy")), "--steps", "1"]
    assert main(["plan", *command, "--json", str(tmp_path / "plan.json")]) == 0
    [track] = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))["tracks"]
    assert len(track["pieces"]) > 2
    assert all(piece["low"] % 17 == 0 and piece["high"] - piece["low"] <= 56 for piece in track["pieces"])
    assert main(["run", *command, "-o", f"{tmp_path}/out/"]) == 0
    assert set(toy.loaded[-1].encoded) <= {39, 56}
    assert len(list((tmp_path / "out").glob("*.png"))) == 100


def test_a_packing_fits_the_grid():
    with pytest.raises(InvalidArgumentError, match=r"packing: expected latents that hold 8 n \+ 1 frames"):
        Geometry(frame_step=8, frame_offset=1, packing=FramePacking(lead=(1,), cycle=(3,)))


def test_masks_noise_and_layout_follow_the_packing():
    mask = torch.zeros(22, 1, 1)
    mask[17] = 1
    latents = torch.zeros(1, 3, 7, 1, 1)
    assert clip_mask(mask, latents, toy_family.PACKING).flatten().tolist() == [0, 0, 0, 0, 0, 1, 0]
    assert FrameNoise("shared", 34).for_latents(toy_family.PACKING) == FrameNoise("shared", 10)
    assert frame_latents(latents, (22, 8, 8), toy_family.PACKING).shape == (7, 3, 1, 1)
    # By its shape alone it would be taken for another.
    assert frame_latents(latents, (25, 8, 8), toy_family.PACKING) is None
    assert latent_of_frames(7, 22, toy_family.PACKING)[-5:] == [5, 6, 6, 6, 6]


# What models say of themselves


def test_families_describe_themselves(tmp_path):
    sd = BasicPipe(DiffusersModel(tiny_models.make_unet()), None, tiny_models.make_vae(), [], []).sampler
    wan = BasicPipe.from_pretrained(tiny_wan.save_checkpoint(tmp_path / "wan"), device="cpu").sampler
    assert (sd.info.family, wan.info.family) == ("Stable Diffusion", "Wan")
    assert "control" in sd.info.conditioning
    assert not wan.info.conditioning
    assert "euler_ancestral" in sd.info.sampler_names
    assert "euler_ancestral" not in wan.info.sampler_names
    assert (sd.info.prompts, wan.info.prompts) == (False, True)
    assert sd.info.recommended.settings() == {}
    assert wan.info.recommended.settings()["scheduler"] == "simple"
    assert wan.info.recommended.shift == wan.table.shift
    assert wan.info.geometry.packing == FramePacking(lead=(1,), cycle=(4,))
    assert wan.info.memory.weights > 0
    assert not wan.info.memory.on_accelerator
    # Few frames need what the VAE needs; of many the transformer sees all at once.
    needed = wan.info.memory.activations
    assert needed((32, 32), 1, 1) == needed((32, 32), 5, 1) == needed((16, 16), 1, 1) * 4
    assert 2 * needed((32, 32), 3997, 1) == needed((32, 32), 7997, 1) > needed((32, 32), 5, 1)


def test_recommendations_fill_what_was_left_open():
    recommended = Recommended(steps=30, cfg=5.0, shift=3.0)
    assert recommended.settings() == {"steps": 30, "cfg": 5.0}
    settings = DetailerSettings(cfg=3.0).with_recommended(recommended.settings())
    assert settings.sampling[:2] == (30, 3.0)


def test_memory_of_two_models_counts_shared_networks_once():
    network, other = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
    one = MemoryModel((network,), lambda size, frames, clips: 10 * frames)
    two = MemoryModel((network, other), lambda size, frames, clips: 7 * frames)
    both = one.beside(two)
    assert both.weights == 2 * one.weights == two.weights
    assert both.activations((8, 8), 2, 1) == 20


def test_what_a_network_brings_to_an_accelerator_is_estimated(toy, clips, tmp_path, monkeypatch, capsys):
    network, small = torch.nn.Linear(4, 4), torch.nn.Linear(2, 2)
    assert MemoryModel((network,)).accelerator == 0
    for part in (network, small):
        part._hf_hook = SimpleNamespace(execution_device="cuda")
    # Of those that are brought one after the other, the largest.
    memory = MemoryModel((network, small), lambda size, frames, clips: 10**9)
    assert memory.accelerator == 80
    assert not memory.on_accelerator
    model = str(toy_family.save_checkpoint(tmp_path / "toy"))
    monkeypatch.setattr(MemoryModel, "accelerator", 2 * 10**9)
    assert main(["plan", str(clips / "one"), *QUICK, "--model", model, "--json", str(tmp_path / "plan.json")]) == 0
    assert "  on the GPU: about 2.0 GB, an estimate\n" in capsys.readouterr().out
    assert json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))["memory"]["accelerator"] > 2 * 10**9


def test_a_limit_for_the_vae_leaves_the_pipe_as_it_is():
    vae = FrameVAE(tiny_models.make_vae())
    pipe = BasicPipe(DiffusersModel(tiny_models.make_unet()), None, vae, [], [])
    assert pipe.sampler.with_vae_chunk(3).vae.chunk == 3
    assert vae.chunk is None
    vae.chunk = 5
    assert pipe.sampler.with_vae_chunk(3).vae.chunk == 5
    fake = FakeSampler()
    assert fake.with_vae_chunk(3) is fake


def test_what_a_family_has_not_is_said_by_its_name():
    fake = FakeSampler()
    calls = {
        "prompts": lambda: fake.conditioning("a face"),
        "LoRAs": lambda: fake.with_lora("x", weight=1.0, name=None, weight_name=None),
        "textual inversion": lambda: fake.with_textual_inversion("x", token=None, weight_name=None),
        "IP-Adapter": lambda: fake.encode_image_prompt([]),
        "image prompts": lambda: fake.with_image_prompt(None),
        "pipeline of diffusers": fake.diffusers_pipeline,
    }
    for what, call in calls.items():
        with pytest.raises(ModelError, match=f"a model of the family 'fake' has no {what}"):
            call()
    fake.release()


def test_members_alone_make_no_sampler():
    class Old:
        geometry = Geometry()

        def encode(self, frames):
            return frames

        def sample(self, latents, job):
            return latents

        def decode(self, latents):
            return latents

    with pytest.raises(ModelError, match=r"cannot sample with a Old: .* or a Sampler of your own \(a subclass of"):
        registry.sampler_for(Old(), None, None)

    class Unfinished(Sampler):
        info = toy_family.INFO

    with pytest.raises(TypeError, match="abstract"):
        Unfinished()


# The name of dtype


def test_the_old_name_of_dtype_still_works(tmp_path):
    folder = tiny_models.save_checkpoint(tmp_path / "sd")
    with pytest.warns(DeprecationWarning, match="torch_dtype is deprecated: it is called dtype now"):
        pipe = BasicPipe.from_pretrained(folder, torch_dtype="bfloat16", device="cpu")
    assert pipe.model.dtype == torch.bfloat16
    assert BasicPipe.from_pretrained(folder, dtype=torch.bfloat16, device="cpu").model.dtype == torch.bfloat16
    with pytest.raises(InvalidArgumentError, match="torch_dtype: expected none beside dtype"):
        BasicPipe.from_pretrained(folder, dtype="float32", torch_dtype="float32", device="cpu")


# A family of a test's own


def test_a_family_of_one_s_own_details_frames(toy, tmp_path):
    pipe = BasicPipe.from_pretrained(toy_family.save_checkpoint(tmp_path / "toy"))
    assert pipe.model is toy.loaded[0]
    frames = smooth_clip(COUNT, 48, 64)
    settings = {"sampler_name": "euler", "scheduler": "simple", "steps": 2, "guide_size": 32, "max_size": 64}
    shown = []
    result = detail_frames(
        frames,
        segs_of(frames, segment((8, 8, 40, 40))),
        pipe,
        **settings,
        feather=0,
        progress=lambda state: shown.append(state.preview()),
    )
    # 17 n + 5 frames go through the model, and as many come back as there were.
    assert pipe.model.encoded == [39]
    assert result.frames.shape == frames.shape
    changed = (result.frames != frames).flatten(2).any(dim=-1)
    assert changed[:, 8:40].all()
    assert not changed[:, :8].any()
    assert bool((result.frames[:, 8:40, 8:40].mean(dim=(1, 2, 3)) > frames[:, 8:40, 8:40].mean(dim=(1, 2, 3))).all())
    assert [picture.shape for picture in shown if picture is not None] == [(COUNT, 4, 4, 3)] * 2


def test_prompts_for_a_family_without_are_refused(toy, tmp_path):
    with pytest.raises(InvalidTypeError, match="clip: expected a text encoder"):
        BasicPipe.from_pretrained(toy_family.save_checkpoint(tmp_path / "toy"), prompt="a face")


@pytest.fixture
def clips(tmp_path):
    (tmp_path / "clips").mkdir()
    for name in ("one", "two"):
        folder = tmp_path / "clips" / name
        folder.mkdir()
        for index, frame in enumerate(smooth_clip(COUNT, *SIZE, seed=len(name)).numpy()):
            Image.fromarray((frame * 255).astype(np.uint8)).save(folder / f"{index:02d}.png")
    return tmp_path / "clips"


QUICK = ["--bbox", "16,12,40,36", "--guide-size", "24", "--max-size", "48", "--no-cache", "--device", "cpu"]


def test_a_family_of_one_s_own_runs_from_file_to_file(toy, clips, tmp_path, capsys):
    model = str(toy_family.save_checkpoint(tmp_path / "toy"))
    command = [str(clips / "one"), *QUICK, "--model", model, "--cfg", "2"]
    assert main(["plan", *command]) == 0
    said = "recommended for toy: steps 3, sampler_name euler, scheduler simple, denoise 0.6"
    planned = capsys.readouterr().out
    lines = (said, "given: guide_size 24, max_size 48, cfg 2", "denoise 0.6 at shift 3 starts at sigma 0.82")
    assert "".join(f"  {line}\n" for line in lines) in planned
    assert main(["run", *command, "-o", f"{tmp_path}/out/"]) == 0
    assert f"{said}\n" in capsys.readouterr().out
    assert (toy.loaded[-1].encoded, toy.loaded[-1].steps) == ([39], 3)
    before, after = (
        np.stack([np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))])
        for folder in (clips / "one", tmp_path / "out")
    )
    assert (before != after)[:, 16:32, 20:36].any(axis=(1, 2, 3)).all()
    assert (before == after)[:, :4].all()


def test_a_family_of_one_s_own_goes_through_a_batch(toy, clips, tmp_path, monkeypatch):
    model = str(toy_family.save_checkpoint(tmp_path / "toy"))
    monkeypatch.setattr("segs_detailer.cli.batch_work.RunWork", toy_family.ToyWork)
    (tmp_path / "list.txt").write_text("".join(f"{clips / name}\n" for name in ("one", "two")), encoding="utf-8")
    options = ["--model", model, "--report", str(tmp_path / "report.json")]
    assert main(["batch", str(tmp_path / "list.txt"), "-o", str(tmp_path / "out"), *QUICK, *options]) == 0
    for name in ("one", "two"):
        assert len(list((tmp_path / "out" / name).glob("*.png"))) == COUNT
    # One worker did both clips with the models that it had loaded for the first.
    assert (tmp_path / "report.json").read_text(encoding="utf-8").count("with 1 loaded") == 2
