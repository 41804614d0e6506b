"""A tiny trained checkpoint restores degraded clips: a wrong noise level, timestep or mask is a loss in decibels.

`fixture/README.md` says how the checkpoint was made. The clips here are drawn from seeds that it was not trained on.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from fixture.moving_faces import degrade, draw_clip
from places import TESTS
from segs_detailer import SEG, BasicPipe
from segs_detailer.cli.main import main
from segs_detailer.detailer import DetailerHook
from segs_detailer.nodes import DetailerForEachPipeForAnimateDiff, SEGSDetailerForAnimateDiff, SEGSPaste
from segs_detailer.video import read_clip

MODEL = TESTS / "fixture" / "model"
FRAME = (80, 96)
REGION = (16, 8, 80, 72)
FEATHER = 3
SEEDS = (1_000_002, 1_000_003, 1_000_004, 1_000_005)
"""The first that draw a face: plain backgrounds are easier by several decibels."""
SETTINGS = {
    "guide_size": 64,
    "max_size": 256,
    "seed": 1,
    "steps": 4,
    "cfg": 1.0,
    "sampler_name": "euler",
    "scheduler": "normal",
    "denoise": 0.12,
}


class Case(NamedTuple):
    """How a clip is degraded, and what is asked of the model."""

    blur: float
    noise: float
    gain: float


FOUR_TIMES = Case(blur=4, noise=0.03, gain=1.5)
TWICE = Case(blur=2, noise=0.06, gain=3.0)
CASES = [pytest.param(FOUR_TIMES, id="4x"), pytest.param(TWICE, id="2x")]


def ellipse():
    """The mask of the region: what it leaves out must stay as it was."""
    y, x = np.mgrid[:64, :64] - 31.5
    return ((x / 26) ** 2 + (y / 29) ** 2 < 1).astype(np.float32)


SEGS = (FRAME, [SEG(None, ellipse(), 1.0, REGION, REGION, "face", None)])


def inside(frames):
    """The pixels under the mask."""
    x1, y1, x2, y2 = REGION
    return np.asarray(frames)[:, y1:y2, x1:x2][:, ellipse() > 0.5]


def psnr(frames, truth):
    return -10 * np.log10(np.square(inside(frames) - inside(truth)).mean())


def pair(case, seed):
    """A clip and the same degraded."""
    rng = np.random.default_rng(seed)
    truth = draw_clip(rng, 8, FRAME)
    return truth, degrade(rng, truth, factor=case.blur, noise=case.noise)


def mean_gain(case, restore):
    """Decibels that `restore` brings degraded clips nearer to the truth, on the average."""
    gains = []
    for seed in SEEDS:
        truth, degraded = pair(case, seed)
        restored = restore(torch.from_numpy(degraded))
        gains.append(psnr(restored, truth) - psnr(degraded, truth))
    return float(np.mean(gains))


def load(**options):
    return BasicPipe.from_pretrained(MODEL, device="cpu", dtype="float32", **options)


@pytest.fixture(scope="module")
def pipe():
    return load(motion_adapter=MODEL / "motion_adapter", prompt="a face", negative_prompt="blurry")


@pytest.fixture(scope="module")
def without_motion():
    pipe = load(motion_adapter=MODEL / "motion_adapter")
    for name, parameter in pipe.model.unet.named_parameters():
        if "motion_modules" in name:
            parameter.zero_()
    return pipe


def in_one_node(pipe, **changes):
    def restore(frames):
        settings = {"guide_size_for": False, "feather": FEATHER, **SETTINGS, **changes}
        return DetailerForEachPipeForAnimateDiff.doit(frames, SEGS, basic_pipe=pipe, **settings)[0]

    return restore


def in_two_nodes(pipe):
    def restore(frames):
        detailed, _ = SEGSDetailerForAnimateDiff().doit(
            frames, SEGS, basic_pipe=pipe, guide_size_for=False, refiner_ratio=0.0, **SETTINGS
        )
        return SEGSPaste.doit(frames, detailed, FEATHER)[0]

    return restore


class TestGain:
    @pytest.mark.parametrize("case", CASES)
    @pytest.mark.parametrize("nodes", [in_one_node, in_two_nodes])
    def test_both_ways_through_the_nodes_restore(self, pipe, nodes, case):
        assert mean_gain(case, nodes(pipe)) > case.gain

    @pytest.mark.parametrize("case", CASES)
    def test_most_of_it_is_the_motion_module(self, pipe, without_motion, case):
        assert mean_gain(case, in_one_node(without_motion)) < 0.5 * mean_gain(case, in_one_node(pipe))


class Louder(DetailerHook):
    """The seed's own noise, too much of it."""

    def get_custom_noise(self, seed, noise, is_touched):
        return 3 * torch.randn(noise.shape, generator=torch.Generator().manual_seed(seed)), True


class TestWhatTheGainDependsOn:
    """With the settings of the other tests, but for one."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"sampler_name": "dpmpp_2m", "scheduler": "karras"},
            {"sampler_name": "ddim", "scheduler": "ddim_uniform"},
            {"noise_mask_feather": 6},
            {"cfg": 8.0},
            {"denoise": 0.2},
        ],
        ids=lambda changes: " ".join(map(str, changes.values())),
    )
    def test_sound_settings_keep_it(self, pipe, changes):
        assert mean_gain(TWICE, in_one_node(pipe, **changes)) > TWICE.gain

    def test_a_refiner_that_is_the_same_model_keeps_it(self, pipe):
        restore = in_one_node(pipe, refiner_basic_pipe_opt=pipe, refiner_ratio=0.5)
        assert mean_gain(TWICE, restore) == pytest.approx(mean_gain(TWICE, in_one_node(pipe)), abs=0.01)

    @pytest.mark.parametrize(
        "wrong",
        [{"beta_end": 0.05}, {"prediction_type": "v_prediction"}, {"prediction_type": "sample"}],
        ids=lambda wrong: " ".join(map(str, wrong.values())),
    )
    def test_wrong_noise_levels_lose_it(self, pipe, wrong):
        misled = load(motion_adapter=MODEL / "motion_adapter", prompt="a face", scheduler_config=wrong)
        right, lost = (mean_gain(TWICE, in_one_node(each, denoise=0.2)) for each in (pipe, misled))
        assert lost < right - 1

    def test_too_much_noise_loses_it(self, pipe):
        assert mean_gain(TWICE, in_one_node(pipe, detailer_hook=Louder())) < mean_gain(TWICE, in_one_node(pipe)) - 1

    def test_the_mask_bounds_it(self, pipe):
        _, degraded = pair(FOUR_TIMES, SEEDS[0])
        restored = in_one_node(pipe, feather=0)(torch.from_numpy(degraded)).numpy()
        changed = (restored != degraded).any(axis=(0, 3))
        expected = np.zeros(FRAME, bool)
        expected[8:72, 16:80] = ellipse() > 0
        np.testing.assert_array_equal(changed, expected)


class TestCommandLine:
    @pytest.mark.parametrize("case", CASES)
    def test_run_restores_a_clip(self, tmp_path, case):
        truth, degraded = pair(case, SEEDS[1])
        source = save(tmp_path / "in", degraded)
        mask = np.zeros(FRAME, np.uint8)
        mask[8:72, 16:80] = 255 * ellipse().astype(np.uint8)
        Image.fromarray(mask).save(tmp_path / "mask.png")
        out = tmp_path / "out"
        options = {
            "--mask": tmp_path / "mask.png",
            "--crop-factor": 1.1,
            "--guide-size": 64,
            "--model": MODEL,
            "--prompt": "a face",
            "--device": "cpu",
            "--steps": 4,
            "--denoise": 0.12,
            "--cfg": 1,
            "--feather": FEATHER,
        }
        arguments = [str(word) for option in options.items() for word in option]
        assert main(["run", str(source), "-o", f"{out}/", *arguments, "-q"]) == 0
        restored, given = (read_clip(folder).frames for folder in (out, source))
        assert psnr(restored, truth) > psnr(given, truth) + case.gain
        far = np.ones(FRAME, bool)
        far[8 - FEATHER : 72 + FEATHER, 16 - FEATHER : 80 + FEATHER] = False
        assert np.array_equal(restored[:, far], given[:, far])


def save(folder, frames):
    """Frames as numbered images."""
    folder.mkdir()
    for index, frame in enumerate(np.rint(frames * 255).astype(np.uint8)):
        Image.fromarray(frame).save(folder / f"{index:04d}.png")
    return folder


class TestFiles:
    def test_they_are_small_and_in_half_precision(self):
        files = [file for file in MODEL.rglob("*") if file.is_file()]
        assert sum(file.stat().st_size for file in files) < 4_000_000
        weights = [file for file in files if file.suffix == ".safetensors"]
        assert len(weights) == 4
        for file in weights:
            with safe_open(file, "pt") as tensors:
                assert {str(tensors.get_slice(name).get_dtype()) for name in tensors.keys()} == {"F16"}  # noqa: SIM118

    def test_diffusers_loads_the_folder_as_a_pipeline(self, pipe):
        from diffusers import AnimateDiffPipeline

        loaded = AnimateDiffPipeline.from_pretrained(MODEL).to(torch.float32)
        same = BasicPipe.from_pipe(loaded, prompt="a face", negative_prompt="blurry")
        _, degraded = pair(FOUR_TIMES, SEEDS[0])
        frames = torch.from_numpy(degraded)
        torch.testing.assert_close(in_one_node(same)(frames), in_one_node(pipe)(frames), rtol=0, atol=1e-6)
