"""Settings that suit a model: of its family, of what it was distilled with, and of its sizes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import tiny_models
import tiny_wan
from segs_detailer import BasicPipe, DetailerSettings, plan_clip
from segs_detailer.cli.main import main
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.models.distillation import Distillation, suited, told_by
from segs_detailer.models.hunyuan.info import DISTILLED as HUNYUAN
from segs_detailer.models.info import Recommended
from segs_detailer.models.sd.network import DiffusersModel
from segs_detailer.models.wan.info import DISTILLED as WAN

QUICK = ["--bbox", "4,4,24,24", "--crop-factor", "1", "--no-cache", "--device", "cpu"]


@pytest.fixture(scope="module")
def wan(tmp_path_factory):
    return str(tiny_wan.save_checkpoint(tmp_path_factory.mktemp("wan") / "model", flow_shift=5.0))


@pytest.fixture
def clip(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(2):
        pixels = np.random.default_rng(index).integers(0, 255, (48, 64, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return str(folder)


def lora_for(model, path, title=""):
    pipe = BasicPipe.from_pretrained(model, device="cpu")
    tiny_models.save_lora(path, pipe.model.transformer, prefix="transformer")
    if title:
        from safetensors.torch import load_file

        save_file(load_file(path), path, metadata={"modelspec.title": title})
    return str(path)


@pytest.mark.parametrize(
    ("kinds", "name", "found"),
    [
        (
            WAN,
            "Kijai/WanVideo_comfy/Lightx2v/lightx2v_T2V_14B_cfg_step_distill_v2_lora.safetensors",
            "LightX2V",
        ),
        (WAN, "Wan2.2-Lightning_T2V-A14B-4steps-lora_HIGH_fp16.safetensors", "LightX2V"),
        (WAN, "Wan-AI/Wan2.1-T2V-1.3B-Diffusers", None),
        (HUNYUAN, "hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-480p_i2v_step_distilled", "step distillation"),
        (HUNYUAN, "hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-480p_t2v_distilled", None),
    ],
)
def test_distilled_weights_are_told_by_their_names(kinds, name, found):
    base = Recommended(steps=30, cfg=5.0, denoise=0.4)
    suits = suited(base, kinds, ["", name])
    assert (suits == base) == (found is None)
    assert suits.reason("cfg", "the family") == (found or "the family")
    assert suits.reason("denoise", "the family") == "the family"


def test_names_of_folders_say_nothing_and_titles_in_files_do(tmp_path):
    folder = tmp_path / "lcm-loras"
    folder.mkdir()
    save_file({"a": torch.zeros(1)}, folder / "a.safetensors", metadata={"modelspec.title": "My Title"})
    assert told_by(str(folder / "a.safetensors")) == "a.safetensors My Title"
    assert told_by(str(folder), "a.safetensors") == "a.safetensors My Title"
    assert told_by("owner/name", "b/c.safetensors") == "owner/name/b/c.safetensors"
    for content in (b"", b"\x05\0\0\0\0\0\0\0{nope", b"\xff" * 20):
        (folder / "broken.safetensors").write_bytes(content)
        assert told_by(str(folder / "broken.safetensors")) == "broken.safetensors"
    kind = Distillation("X", "my title", Recommended(steps=2))
    assert suited(Recommended(), [kind], [told_by(str(folder / "a.safetensors"))]).steps == 2


def test_a_lora_changes_them_as_long_as_it_counts(wan, tmp_path):
    path = lora_for(wan, tmp_path / "Wan21_T2V_lightx2v_rank32.safetensors")
    pipe = BasicPipe.from_pretrained(wan, device="cpu")
    assert pipe.sampler.info.recommended.steps == 20
    own = pipe.sampler.beside_loras([(path, 1.0)]).info.recommended
    assert (own.steps, own.cfg, own.sampler_name, own.denoise, own.shift) == (4, 1.0, "euler", 0.4, 5.0)
    assert pipe.sampler.info.recommended.steps == 20
    assert pipe.load_lora(path, weight=0.0).sampler.info.recommended.steps == 20
    titled = lora_for(wan, tmp_path / "fast.safetensors", "LightX2V for Wan")
    assert pipe.load_lora(titled).sampler.info.recommended.steps == 4


def test_plan_and_summary_say_what_is_used_and_why(wan, clip, tmp_path, capsys):
    path = lora_for(wan, tmp_path / "lightx2v.safetensors")
    command = [clip, *QUICK, "--model", wan, "--guide-size", "32", "--denoise", "0.5"]
    said = [
        "recommended for LightX2V: steps 4, cfg 1, sampler_name euler, scheduler simple",
        "recommended for Wan: max_size 832",
        "given: guide_size 32, denoise 0.5",
        "denoise 0.5 at shift 5 starts at sigma 0.83",
    ]
    report = tmp_path / "plan.json"
    assert main(["plan", *command, "--lora", path, "--json", str(report)]) == 0
    assert "".join(f"  {line}\n" for line in said) in capsys.readouterr().out
    used = {each["name"]: (each["value"], each["why"]) for each in json.loads(report.read_text())["used"]}
    assert used["steps"] == (4, "recommended for LightX2V")
    assert used["guide_size"] == (32.0, "given")
    subjects = tmp_path / "subjects.json"
    subjects.write_text(json.dumps({"1": {"lora": [[path, 1]], "sigma_start": 0.6}}))
    assert main(["run", *command, "-o", f"{tmp_path}/out/", "--subjects", str(subjects), "--steps", "2"]) == 0
    out = capsys.readouterr().out
    assert (
        f"track 1 (box): lora {path}=1, sigma_start 0.6; recommended for LightX2V: cfg 1, sampler_name euler\n" in out
    )
    assert "recommended for Wan: max_size 832, cfg 5, sampler_name uni_pc, scheduler simple\n" in out


def test_the_working_size_is_the_model_s_own(wan, clip, tmp_path):
    sdxl = tiny_models.save_checkpoint(tmp_path / "sdxl", sdxl=True)
    sd = tiny_models.save_checkpoint(tmp_path / "sd")

    def size(**values):
        plan = plan_clip(clip, bbox=[(4, 4, 24, 24)], crop_factor=1, no_cache=True, max_ram=10**11, **values)
        return plan.tracks[0].size[0], plan.tracks[0].detail.sizes

    preview = size()
    assert preview == (512, DetailerSettings().sizes)
    assert size(model=str(sd), device="cpu") == preview
    assert size(model=str(sdxl), device="cpu") == (768, (768, 1024))
    assert size(model=wan, device="cpu")[1] == (416, 832)
    # What the user gives counts.
    assert size(model=wan, device="cpu", guide_size=64, max_size=96)[1] == (64, 96)


def test_animatelcm_is_told_by_its_noise_levels():
    levels = {**DiffusersModel.default_scheduler_config(tiny_models.make_motion_unet()), "original_inference_steps": 50}
    model = DiffusersModel(tiny_models.make_motion_unet(), levels)
    recommended = BasicPipe(model, None, tiny_models.make_vae(), [], []).sampler.info.recommended
    assert (recommended.sampler_name, recommended.steps, recommended.cfg) == ("lcm", 6, 1.5)
    assert recommended.reason("cfg", "Stable Diffusion") == "AnimateLCM"


def test_a_shift_of_one_s_own(wan, clip, tmp_path, capsys):
    assert main(["plan", clip, *QUICK, "--model", wan, "--shift", "8", "--guide-size", "32"]) == 0
    assert "denoise 0.4 at shift 8 starts at sigma 0.85\n" in capsys.readouterr().out
    sd = str(tiny_models.save_checkpoint(tmp_path / "sd"))
    with pytest.raises(InvalidArgumentError, match="shift: expected none but for models of flow matching, got 8"):
        plan_clip(clip, bbox=[(4, 4, 24, 24)], model=sd, shift=8, device="cpu", no_cache=True)
    assert main(["plan", clip, *QUICK, "--shift", "8"]) == 2
    assert "--shift: expected a model for it: add --model" in capsys.readouterr().err
