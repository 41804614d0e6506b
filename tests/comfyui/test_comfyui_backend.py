"""The sampling backend inside ComfyUI's own modules, against numbers that a running ComfyUI gave before."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import comfy_server
import pytest
import torch

from processes import PATIENCE
from segs_detailer.comfyui.backend.differential import threshold_for, with_threshold
from segs_detailer.comfyui.backend.vae import GraphVAE
from segs_detailer.errors import ModelError
from segs_detailer.models import registry
from segs_detailer.models.family import Family
from segs_detailer.models.info import FramePacking

IN_COMFYUI = pytest.mark.skipif(not os.environ.get(comfy_server.VARIABLE), reason=comfy_server.REASON)

TOLERANCE = 2e-4
"""Of the latents' standard deviation. `dpmpp_3m_sde` comes nearest, with 1.2e-4: the reference's own rounding."""

# Samplers that draw noise between steps, and not along a path over the whole schedule.
DRAWING = {
    "ddpm",
    "dpm_2_ancestral",
    "dpmpp_2m_sde_heun",
    "dpmpp_2m_sde_heun_gpu",
    "dpmpp_2s_ancestral",
    "dpmpp_2s_ancestral_cfg_pp",
    "er_sde",
    "euler_ancestral",
    "euler_ancestral_cfg_pp",
    "exp_heun_2_x0_sde",
    "lcm",
    "res_multistep_ancestral",
    "res_multistep_ancestral_cfg_pp",
    "seeds_2",
    "seeds_3",
}

# Samplers without memory of earlier steps and without fresh noise, or with a Brownian path: a run that is cut in two
# gives what the whole gives.
SPLIT_LIKE_ONE = {
    "ddim",
    "dpm_2",
    "dpmpp_sde",
    "dpmpp_sde_gpu",
    "euler",
    "euler_cfg_pp",
    "heun",
}


@pytest.fixture(scope="module")
def results():
    done = subprocess.run(
        [comfy_server.comfy_python(), str(Path(__file__).parent / "in_comfyui.py")],
        env=comfy_server.comfy_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@IN_COMFYUI
def test_every_sampler_gives_the_reference_numbers_through_the_node(results):
    wrong = [
        (case["key"], case["sampler"], case["mask"], case["deviation"])
        for case in results["reference"]
        if not case["deviation"] < TOLERANCE or case["called"] != case["calls"]
    ]
    assert wrong == []
    assert len({case["sampler"] for case in results["reference"]}) > 40


@IN_COMFYUI
def test_cases_with_a_refiner_through_the_node_are_those_of_scripts(results):
    """Both go on where the first model stopped, which Impact Pack does not; graphs draw noise anew for the second."""
    assert len(results["refined"]) >= 42
    for case in results["refined"]:
        assert case["called"] == case["calls"], case
        if case["sampler"] not in DRAWING:
            assert case["deviation"] < TOLERANCE, case


@IN_COMFYUI
def test_every_step_moves_the_nodes_bar(results):
    for case in results["reference"]:
        # Two choose their own number of steps.
        if case["sampler"] not in ("dpm_adaptive", "dpm_fast"):
            assert case["totals"] == [case["steps"]], case
            assert case["places"] == list(range(case["steps"] + 1)), case
        assert case["places"] == sorted(case["places"]), case


@IN_COMFYUI
def test_differential_diffusion_leaves_what_is_outside_the_mask(results):
    assert len(results["strict_rule"]) > 30
    for case in results["strict_rule"]:
        assert case["inside"] < TOLERANCE, case
        assert case["outside"] < 1e-5, case


@IN_COMFYUI
def test_a_refiner_that_is_the_base_goes_on_where_the_base_stopped(results):
    split = {case["sampler"]: case for case in results["refiner_like_base"]}
    assert split.keys() >= SPLIT_LIKE_ONE
    for case in results["refiner_like_base"]:
        assert case["places"] == list(range(len(case["places"]))), case
        if case["sampler"] in SPLIT_LIKE_ONE:
            assert case["change"] == 0, case


@IN_COMFYUI
def test_noise_schedule_and_placeholder(results):
    (details,) = results["details"]
    assert details["own_noise"]
    assert not details["other_noise"]
    assert details["own_schedule"]
    assert details["asked"] == [["ModelPatcher", "euler", int(details["steps"] / details["denoise"])]]
    assert details["input_kept"]
    assert details["placeholder_is_positive_alone"]
    assert details["latents"] == [3, 4, 8, 6]
    assert details["decoded"] == [3, 64, 48, 3]
    assert details["multiple"] == 8
    assert details["to_model"] == pytest.approx(0.18215, rel=1e-4)


@IN_COMFYUI
def test_a_sampler_of_the_graphs_own_takes_the_place_of_the_named_one(results):
    (hooked,) = results["hooked"]
    # What it gives is the result; of the named ones it is the last prediction.
    assert hooked["same"] < 1e-5
    assert hooked["refined"] < 1e-4
    assert hooked["other"] > 0.01
    assert hooked["refused"] == "custom_sampler: expected a SAMPLER of ComfyUI, or None, got str"


@IN_COMFYUI
def test_control_networks_that_were_shown_whole_frames_are_known(results):
    (hooked,) = results["hooked"]
    assert hooked["plain"] == []
    assert hooked["patched"] == ["SimpleNamespace"]


@IN_COMFYUI
def test_noise_that_frames_share(results):
    assert len(results["frame_noise"]) > 30
    for case in results["frame_noise"]:
        assert case["fixed"] < 1e-4, case
        assert case["own"] > 1e-3, case
        # This one chooses its steps by all frames together.
        if case["sampler"] != "dpm_adaptive":
            assert max(case["per-frame"], case["shared"]) < 1e-4, case


@IN_COMFYUI
def test_what_packs_apply_to_the_model_works(results):
    guided, placeholder = results["applied"]
    # Older packs of motion models replace the function, newer ones wrap the model.
    assert guided["asked"] == ["wrapper", "function"]
    assert placeholder["asked"] == ["wrapper"]
    for case in (guided, placeholder):
        assert case["wrapper_changes"] == 0
        assert case["lora_changes"] > 0.01
        assert case["left_as_it_was"]


@IN_COMFYUI
def test_every_sampler_and_scheduler_does_what_ksampler_does(results):
    checked = results["every_name"]
    assert len({case["sampler"] for case in checked}) > 40
    assert len({case["scheduler"] for case in checked}) > 8
    assert [case for case in checked if not case["deviation"] < 1e-5] == []


@IN_COMFYUI
def test_a_models_own_scale_of_noise_counts(results):
    plain, halved, change = (case["deviation"] for case in results["scaled_noise"])
    assert max(plain, halved) < 1e-5
    assert change > 0.01


@IN_COMFYUI
def test_what_newer_versions_sample_goes_through_as_it_is(results):
    """A sampler that ends past its prediction, and flows with a scale of noise, at the start and between steps."""
    *sampled, scale = results["newer"]
    assert [case["sampler"] for case in sampled] == ["cfgpp_ud10_ab"] * 2 + ["euler", "euler_ancestral", "dpmpp_2m"]
    for case in sampled:
        assert case["deviation"] < 1e-5, case
        assert case["fixed"] < 1e-4, case
        assert (case["past"] > 0.01) == (case["sampler"] == "cfgpp_ud10_ab"), case
        if case["sampler"] in SPLIT_LIKE_ONE:
            assert case["split"] < 1e-5, case
    assert scale["change"] > 0.01


@IN_COMFYUI
def test_schedules_of_impact_pack_are_made_by_it_where_it_is(results):
    (made,) = results["schedules"]
    assert made["absent"].startswith("scheduler: expected one of")
    assert made["absent"].endswith("got 'OSS Wan'")
    assert "needs ComfyUI's node OptimalStepsScheduler" in made["lacking"]
    assert made["names"] == ["OSS Wan", "theirs"]
    # What is known of no node is asked of the pack itself.
    assert made["asked"] == [
        ["ModelPatcher", "euler", "theirs", made["total"]],
        ["Wan", 4, 1.0],
        ["Wan", 5, 1.0],
    ]
    assert made["same"]
    # Some samplers get a step more, and leave out the last level above 0.
    assert made["seen"] == [[1.0, 0.5], pytest.approx([1.2, 0.8])]


@IN_COMFYUI
def test_frames_go_through_the_vae_at_once_and_in_tiles_where_memory_runs_out(results):
    pictures, clip = results["memory"]
    assert pictures["at_once"] == [["encode", 5, 3, 320, 320], ["decode", 5, 4, 40, 40]]
    assert clip["at_once"] == [["encode", 1, 3, 5, 320, 320], ["decode", 1, 16, 2, 40, 40]]
    for case in (pictures, clip):
        assert case["refused"] == 2
        # There and back: single frames, or the corners of all.
        assert case["tiles"] >= 8
        assert case["encoded"] < 1e-5
        assert case["decoded"] < 1e-5


@IN_COMFYUI
def test_a_paste_moves_the_bar_and_is_cancelled_between_frames(results):
    whole, cancelled = results["pasting"]
    assert whole["bars"] == [[value, 8] for value in range(9)]
    assert whole["pasted"] > 0.5
    assert cancelled["ended"] == "cancelled"
    assert cancelled["bars"][-1] == [3, 8]
    assert whole["kept"]
    assert cancelled["kept"]


# Without ComfyUI


class PictureVAE:
    """What of ComfyUI's VAE counts here."""

    downscale_ratio = 8
    upscale_ratio = 8
    vae_dtype = torch.float16

    def __init__(self):
        self.first_stage_model = torch.nn.Linear(1, 1).half()
        self.seen = None

    def encode(self, pixels):
        assert pixels.shape[-1] == 3
        return torch.zeros((len(pixels), 4, pixels.shape[1] // 8, pixels.shape[2] // 8))

    def decode(self, latents):
        self.seen = (self.vae_dtype, self.first_stage_model.weight.dtype)
        return torch.zeros((len(latents), latents.shape[2] * 8, latents.shape[3] * 8, 3), dtype=torch.float16)


class VideoVAE(PictureVAE):
    downscale_ratio = (lambda frames: (frames + 3) // 4, 16, 16)
    upscale_ratio = (lambda latents: max(0, latents * 4 - 3), 16, 16)

    def decode(self, latents):
        return torch.zeros((1, latents.shape[2] * 4 - 3, latents.shape[3] * 16, latents.shape[4] * 16, 3))


def test_pictures_vae():
    vae = GraphVAE(PictureVAE())
    geometry = vae.geometry
    assert (geometry.size_multiple, geometry.frame_step, geometry.frame_offset) == (8, 1, 0)
    assert [geometry.frames_for(count) for count in (1, 4, 5)] == [1, 4, 5]
    assert vae.encode(torch.zeros((2, 16, 24, 4))).shape == (2, 4, 2, 3)
    frames = vae.decode(torch.zeros((2, 4, 2, 3)))
    assert (frames.shape, frames.dtype) == ((2, 16, 24, 3), torch.float32)


def test_full_precision_is_for_one_decoding():
    inner = PictureVAE()
    vae = GraphVAE(inner)
    vae.decode(torch.zeros((1, 4, 2, 2)))
    assert inner.seen == (torch.float16, torch.float16)
    vae.decode(torch.zeros((1, 4, 2, 2)), full_precision=True)
    assert inner.seen == (torch.float32, torch.float32)
    assert inner.vae_dtype == inner.first_stage_model.weight.dtype == torch.float16


def test_video_vae_packs_frames():
    vae = GraphVAE(VideoVAE())
    geometry = vae.geometry
    assert geometry.size_multiple == 16
    assert [geometry.frames_for(count) for count in (1, 2, 5, 6)] == [1, 5, 5, 9]
    assert vae.packing == FramePacking(lead=(1,), cycle=(4,))
    assert vae.decode(torch.zeros((1, 16, 3, 2, 2))).shape == (9, 32, 32, 3)


def test_a_vae_of_pictures_with_an_axis_for_time():
    inner = VideoVAE()
    inner.not_video = True
    assert GraphVAE(inner).geometry.frames_for(6) == 6


@pytest.mark.parametrize("vae", [None, "vae", torch.nn.Linear(1, 1)])
def test_what_is_no_vae_is_refused(vae):
    with pytest.raises(ModelError, match="needs a VAE of ComfyUI"):
        GraphVAE(vae)


class Levels:
    sigma_min = torch.tensor(0.0)

    def timestep(self, sigma):
        return sigma * 1000


class Patcher:
    """As much of ComfyUI's ModelPatcher as masks need."""

    def __init__(self, options=None):
        self.model_options = dict(options or {})

    def get_model_object(self, name):
        assert name == "model_sampling"
        return Levels()

    def clone(self):
        return Patcher(self.model_options)

    def set_model_denoise_mask_function(self, function):
        self.model_options["denoise_mask_function"] = function


def test_mask_values_join_one_after_the_other_and_nothing_never():
    model = Patcher()
    under_rule = with_threshold(model, threshold_for(model, torch.tensor([1.0, 0.6, 0.3, 0.0])))
    assert model.model_options == {}
    rule = under_rule.model_options["denoise_mask_function"]
    mask = torch.tensor([0.0, 0.2, 0.5, 1.0])
    seen = [rule(torch.full((4,), sigma), mask, extra_options={}).tolist() for sigma in (1.0, 0.5, 0.1, 0.0)]
    assert seen == [[0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1]]


def test_the_graphs_own_rule_counts():
    model = Patcher({"denoise_mask_function": "theirs"})
    assert with_threshold(model, threshold_for(model, torch.tensor([1.0, 0.0]))) is model
    other = Patcher()
    assert with_threshold(other, None) is other


def test_a_registered_backend_is_asked_once_and_before_the_others(monkeypatch):
    monkeypatch.setattr(registry, "_registered", [])
    asked = []

    class Mine(Family):
        name, takes = "mine", "a word"

        def owns(self, model):
            return model == "mine"

        def sampler(self, model, clip, vae):
            asked.append((model, clip, vae))
            return "sampler"

    family = Mine()
    registry.register(family)
    registry.register(family)
    assert registry._registered == [family]
    assert registry.sampler_for("mine", 1, 2) == "sampler"
    assert asked == [("mine", 1, 2)]
    with pytest.raises(ModelError, match="cannot sample with a str"):
        registry.sampler_for("other", None, None)
