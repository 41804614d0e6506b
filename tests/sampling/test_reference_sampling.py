"""Every sampler against final latents of a running ComfyUI, through a model that is a formula."""

from __future__ import annotations

import pytest
import torch
from closed_form import SD_SCALE, ClosedFormDenoiser, reference_cases

from segs_detailer.errors import InvalidArgumentError
from segs_detailer.sampling.denoise_mask import latent_mask
from segs_detailer.sampling.samplers import SAMPLERS, sampler_named
from segs_detailer.sampling.stages import Run, SamplingOptions, Stage, run_stages, total_sigmas, total_steps

CASES = reference_cases()
AS_COMFYUI = SamplingOptions(strict_mask=False, refiner="recomposite")
TOLERANCE = 1e-4
"""Of the latents' standard deviation, in the largest element. `dpmpp_3m_sde` comes nearest, with 9.1e-5. That is the
reference's own rounding: the same run in float64 throughout differs from it by 8.7e-5."""


def run_case(case, reference, source, table, **changes):
    denoiser = ClosedFormDenoiser(case["cfg"])
    total = total_steps(case["steps"], case["denoise"])
    stage = Stage(lambda _: denoiser, table, total_sigmas(case["sampler"], case["scheduler"], table, total))
    mask = None
    if case["mask"] != "none":
        pixels = reference["mask_hard" if case["mask"] == "hard" else "mask_soft"]
        mask = latent_mask(torch.from_numpy(pixels), source)
    ratio = case["refiner_ratio"]
    settings = {
        "sampler_name": case["sampler"],
        "steps": case["steps"],
        "denoise": case["denoise"],
        "seed": 42,
        "mask": mask,
        "differential": case["mask"] == "differential",
        "refiner_ratio": ratio or 0.0,
        "options": AS_COMFYUI,
    }
    result = run_stages(source, stage, None if ratio is None else stage, Run(**{**settings, **changes}))
    return result / SD_SCALE, denoiser.calls


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['key']}-{case['sampler']}-{case['mask']}")
def test_final_latents_agree_with_comfyui(case, reference, source, table):
    result, calls = run_case(case, reference, source, table)
    expected = torch.from_numpy(reference[case["key"]])
    deviation = (result - expected) / expected.std()
    assert float(deviation.abs().max()) < TOLERANCE
    assert float(deviation.square().mean().sqrt()) < 2e-5
    assert calls == case["calls"]


def test_every_sampler_has_reference_cases():
    assert {case["sampler"] for case in CASES} == set(SAMPLERS)


def test_unknown_sampler_lists_the_known_ones():
    with pytest.raises(InvalidArgumentError, match=r"sampler_name: expected one of euler, .*got 'eular'"):
        sampler_named("eular")
