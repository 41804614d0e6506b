"""Runs the sampling backend inside ComfyUI's own modules, and prints what came out as JSON.

It is run by the Python that runs ComfyUI, with COMFYUI_PATH set.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [os.environ["COMFYUI_PATH"], str(HERE), str(HERE.parent / "sampling")]

import comfy.cli_args  # noqa: E402

comfy.cli_args.args.cpu = True

import comfy.samplers  # noqa: E402
import comfy.utils  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from closed_form import GOLDEN, ClosedFormDenoiser, reference_cases  # noqa: E402
from comfy_extras.nodes_differential_diffusion import DifferentialDiffusion  # noqa: E402
from tiny_nodes import tiny_model, tiny_vae  # noqa: E402

from segs_detailer.comfyui.backend.sampler import ComfySampler  # noqa: E402
from segs_detailer.sampling.protocol import RefinerStage, SampleJob  # noqa: E402

comfy.utils.set_progress_bar_enabled(False)
MODEL, VAE = tiny_model(0), tiny_vae()
TOKENS = torch.zeros((1, 1, 32))
CONDITIONING = {"positive": [[TOKENS, {}]], "negative": [[TOKENS, {}]]}


class Formula:
    """The reference's model in the place of a unet."""

    def __init__(self):
        self.calls = 0
        self.denoiser = ClosedFormDenoiser(1.0)

    def __call__(self, apply_model, arguments):
        self.calls += 1
        x, sigma = arguments["input"], arguments["timestep"]
        positive, negative = self.denoiser.with_unconditional(x, sigma.view(-1, 1, 1, 1))
        sides = torch.tensor(arguments["cond_or_uncond"]).repeat_interleave(len(x) // len(arguments["cond_or_uncond"]))
        return torch.where(sides.view(-1, 1, 1, 1) == 0, positive, negative)


def sampler_over(formula, *, comfyuis_rule=False):
    model = DifferentialDiffusion.execute(MODEL).args[0] if comfyuis_rule else MODEL.clone()
    model.set_model_unet_function_wrapper(formula)
    return ComfySampler(model, VAE)


def job_of(case, arrays, **changes):
    mask = None
    if case["mask"] != "none":
        mask = torch.from_numpy(arrays["mask_hard" if case["mask"] == "hard" else "mask_soft"])
    settings = {
        "pixels": torch.zeros((4, 64, 64, 3)),
        **CONDITIONING,
        "seed": 42,
        "steps": case["steps"],
        "cfg": case["cfg"],
        "sampler_name": case["sampler"],
        "scheduler": case["scheduler"],
        "denoise": case["denoise"],
        "noise_mask": mask,
        "differential": case["mask"] == "differential",
    }
    return SampleJob(**{**settings, **changes})


def arrays_of():
    with np.load(GOLDEN / "comfyui_reference.npz") as arrays:
        return dict(arrays)


def reference():
    """Deviation of each reference case without a refiner, in standard deviations, and its model calls."""
    arrays = arrays_of()
    source = torch.from_numpy(arrays["src"])
    for case in reference_cases():
        if case["refiner_ratio"] is not None:
            continue
        formula, steps = Formula(), []
        job = job_of(case, arrays, callback=lambda *report, steps=steps: steps.append(report))
        # A rule that the graph brought counts, and not ours.
        result = sampler_over(formula, comfyuis_rule=job.differential).sample(source, job)
        expected = torch.from_numpy(arrays[case["key"]])
        yield {
            **case,
            "deviation": float(((result - expected) / expected.std()).abs().max()),
            "called": formula.calls,
            "places": [report[0] for report in steps],
            "totals": sorted({report[1] for report in steps}),
        }


def strict_rule():
    """Differential diffusion by our own rule: inside the mask ComfyUI's numbers, outside the source."""
    arrays = arrays_of()
    source = torch.from_numpy(arrays["src"])
    mask = torch.nn.functional.interpolate(torch.from_numpy(arrays["mask_soft"])[:, None], size=(8, 8), mode="bilinear")
    # The formula takes each element alone, so those that stay masked get the numbers of the whole mask.
    mask[..., :4] = 0
    inside = (mask > 0).expand_as(source)
    for case in reference_cases():
        # This one chooses its steps by all elements together.
        if case["mask"] != "differential" or case["sampler"] == "dpm_adaptive":
            continue
        result = sampler_over(Formula()).sample(source, job_of(case, arrays, noise_mask=mask[:, 0]))
        expected = torch.from_numpy(arrays[case["key"]])
        yield {
            **case,
            "inside": float((result - expected)[inside].abs().max() / expected.std()),
            "outside": float((result - source)[~inside].abs().max() / expected.std()),
        }


def refiner_like_base():
    """How much a refiner that is the base model changes."""
    arrays = arrays_of()
    source = torch.from_numpy(arrays["src"])
    for case in reference_cases():
        if case["mask"] not in ("soft", "differential") or case["refiner_ratio"] is not None:
            continue
        once = sampler_over(Formula()).sample(source, job_of(case, arrays))
        steps = []
        stage = RefinerStage(sampler=sampler_over(Formula()), **CONDITIONING, ratio=0.4)
        job = job_of(case, arrays, refiner=stage, callback=lambda step, *_, steps=steps: steps.append(step))
        twice = sampler_over(Formula()).sample(source, job)
        yield {**case, "change": float((twice - once).abs().max() / once.std()), "places": steps}


def details():
    """Noise of the caller's, a schedule of the caller's, placeholders, and full precision."""
    arrays = arrays_of()
    source = torch.from_numpy(arrays["src"])
    case = next(case for case in reference_cases() if case["sampler"] == "euler" and case["mask"] == "soft")
    job = job_of(case, arrays)
    plain = sampler_over(Formula()).sample(source, job)
    noise = torch.randn(source.shape, generator=torch.Generator().manual_seed(42))

    def same(**changes):
        return bool(torch.equal(sampler_over(Formula()).sample(source, job_of(case, arrays, **changes)), plain))

    asked = []

    def schedule(model, name, steps):
        asked.append((type(model).__name__, name, steps))
        return comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), case["scheduler"], steps)

    guided = Formula()
    placeholder = sampler_over(guided).sample(source, job_of(case, arrays, negative="NegativePlaceholder"))
    at_one = Formula()
    one = sampler_over(at_one).sample(source, job_of(case, arrays, cfg=1.0))
    sampler = sampler_over(Formula())
    frames = torch.rand((3, 64, 48, 3))
    latents = sampler.encode(frames)
    yield {
        "own_noise": same(noise=noise),
        "other_noise": same(noise=noise.flip(0)),
        "own_schedule": same(scheduler_func=schedule, scheduler="none of ComfyUI's"),
        "asked": asked,
        "steps": case["steps"],
        "denoise": case["denoise"],
        "input_kept": bool(torch.equal(source, torch.from_numpy(arrays["src"]))),
        "placeholder_is_positive_alone": bool(torch.equal(placeholder, one)),
        "latents": list(latents.shape),
        "decoded": list(sampler.decode(latents, full_precision=True).shape),
        "multiple": sampler.geometry.size_multiple,
        "to_model": float((sampler.to_model(latents) / latents).mean()),
    }


CHECKS = (reference, strict_rule, refiner_like_base, details)


if __name__ == "__main__":
    with torch.inference_mode():
        print(json.dumps({check.__name__: list(check()) for check in CHECKS}))
