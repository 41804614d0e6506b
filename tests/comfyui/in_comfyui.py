"""Runs the sampling backend inside ComfyUI's own modules, and prints what came out as JSON.

It is run by the Python that runs ComfyUI, with COMFYUI_PATH set.
"""

from __future__ import annotations

import copy
import functools
import json
import math
import os
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

HERE = Path(__file__).parent
sys.path[:0] = [os.environ["COMFYUI_PATH"], str(HERE), str(HERE.parent), str(HERE.parent / "models")]

import comfy.cli_args  # noqa: E402

comfy.cli_args.args.cpu = True

import comfy.k_diffusion.sampling  # noqa: E402
import comfy.model_management  # noqa: E402
import comfy.model_patcher  # noqa: E402
import comfy.model_sampling  # noqa: E402
import comfy.patcher_extension  # noqa: E402
import comfy.sample  # noqa: E402
import comfy.samplers  # noqa: E402
import comfy.utils  # noqa: E402
import comfyui_version  # noqa: E402
import torch  # noqa: E402
from closed_form import SD_SCALE, ClosedFormDenoiser, reference_arrays, reference_cases  # noqa: E402
from comfy_extras.nodes_differential_diffusion import DifferentialDiffusion  # noqa: E402
from test_reference_sampling import run_case  # noqa: E402
from tiny_nodes import tiny_clip_vae, tiny_model, tiny_vae  # noqa: E402

import nodes  # noqa: E402
from segs_detailer.comfyui.backend.sampler import ComfySampler  # noqa: E402
from segs_detailer.comfyui.classic import class_of  # noqa: E402
from segs_detailer.comfyui.detailing import paste_segments  # noqa: E402
from segs_detailer.comfyui.nodes import NODES  # noqa: E402
from segs_detailer.detailer import SegmentWarning  # noqa: E402
from segs_detailer.detailer import pasting as detailer_pasting  # noqa: E402
from segs_detailer.errors import SegsDetailerError  # noqa: E402
from segs_detailer.models.frame_noise import FrameNoise  # noqa: E402
from segs_detailer.models.interface import RefinerStage, SampleJob  # noqa: E402
from segs_detailer.models.sigma_table import SigmaTable  # noqa: E402
from segs_detailer.models.stages import SamplingOptions  # noqa: E402
from segs_detailer.subjects.masks import boxes_to_segs  # noqa: E402

comfy.utils.set_progress_bar_enabled(False)
STEPS = 4
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
        "seed": case.get("seed", 42),
        "steps": case["steps"],
        "cfg": case["cfg"],
        "sampler_name": case["sampler"],
        "scheduler": case["scheduler"],
        "denoise": case["denoise"],
        "noise_mask": mask,
        "differential": case["mask"] == "differential",
    }
    return SampleJob(**{**settings, **changes})


def version():
    """Whose numbers this ComfyUI gives: those of 0.8, or those of 0.3."""
    numbers = [int(number) for number in comfyui_version.__version__.split(".")[:2]]
    return "0.3" if numbers < [0, 7] else "0.8"


def cases_here():
    """The reference's cases that have names of this ComfyUI alone."""
    names = comfy.samplers.KSampler.SCHEDULERS
    return [case for case in reference_cases(version()) if case["scheduler"] in names]


class Keeping:
    """A VAE of ComfyUI's that gives latents of the tests' own, and keeps those that it is to decode."""

    def __init__(self, latents):
        self.vae = copy.copy(VAE)
        self.vae.encode = lambda pixels: latents
        self.vae.decode = self.decode
        self.decoded = None

    def decode(self, latents, **options):
        self.decoded = latents
        return torch.rand((len(latents), *(8 * side for side in latents.shape[-2:]), 3))


class GivenMask:
    """A hook: the mask of the reference, which the detailer would have softened."""

    def __init__(self, mask):
        self.mask = mask

    def post_encode(self, samples):
        return {**samples, "noise_mask": self.mask}


def through_the_node(case, arrays, formula, **inputs):
    """Latents that the detailer's node decodes, of one segment as large as the frames."""
    job = job_of(case, arrays)
    keeping = Keeping(torch.from_numpy(arrays["src"]))
    # A rule that the graph brought counts, and not ours.
    model = sampler_over(formula, comfyuis_rule=job.differential).model
    size, [seg] = boxes_to_segs((64, 64), [(0, 0, 64, 64)], crop_factor=1.0)
    mask = None if job.noise_mask is None or job.differential else job.noise_mask.numpy()
    [node] = [node for node in NODES if node.id == "SegsDetailerForVideo"]
    with warnings.catch_warnings():
        warnings.simplefilter("error", SegmentWarning)
        class_of(node).execute(
            image_frames=torch.rand((4, 64, 64, 3)),
            segs=(size, [seg._replace(cropped_mask=mask)]),
            basic_pipe=(model, None, keeping.vae, job.positive, job.negative),
            guide_size=64,
            guide_size_for=True,
            max_size=64,
            feather=0,
            detailer_hook=GivenMask(job.noise_mask) if job.differential else None,
            noise_mask_feather=int(job.differential),
            **{name: getattr(job, name) for name in ("seed", "steps", "cfg", "sampler_name", "scheduler", "denoise")},
            **{"refiner_ratio": 0.2, **inputs},
        )
    return keeping.decoded


def reference():
    """Deviation of each reference case without a refiner, in standard deviations, and its model calls: by the node."""
    arrays = reference_arrays()
    for case in cases_here():
        if case["refiner_ratio"] is not None:
            continue
        formula, bars = Formula(), []
        comfy.utils.set_progress_bar_global_hook(lambda value, total, *_, bars=bars, **__: bars.append((value, total)))
        try:
            result = through_the_node(case, arrays, formula)
        finally:
            comfy.utils.set_progress_bar_global_hook(None)
        expected = torch.from_numpy(arrays[case["key"]])
        yield {
            **case,
            "deviation": float(((result - expected) / expected.std()).abs().max()),
            "called": formula.calls,
            "places": [value for value, _ in bars],
            "totals": sorted({total for _, total in bars}),
        }


def refined():
    """The same of cases with a refiner, but from what scripts give: Impact Pack hands over in another way."""
    arrays = reference_arrays()
    source = torch.from_numpy(arrays["src"]) * SD_SCALE
    table = SigmaTable.from_config({"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012})
    for case in cases_here():
        # With those of longer ends ComfyUI's own `uni_pc` stops a step early.
        if case["refiner_ratio"] != 0.25:
            continue
        formulas = Formula(), Formula()
        refiner = sampler_over(formulas[1]).model
        pipe = (refiner, None, None, *CONDITIONING.values())
        result = through_the_node(
            case, arrays, formulas[0], refiner_ratio=case["refiner_ratio"], refiner_basic_pipe_opt=pipe
        )
        options = SamplingOptions(strict_mask=False, comfyui=version())
        expected, calls = run_case(case, arrays, source, table, options)
        deviation = float(((result - expected) / expected.std()).abs().max())
        yield {**case, "deviation": deviation, "called": sum(formula.calls for formula in formulas), "calls": calls}


def strict_rule():
    """Differential diffusion by our own rule: inside the mask ComfyUI's numbers, outside the source."""
    arrays = reference_arrays()
    source = torch.from_numpy(arrays["src"])
    mask = torch.nn.functional.interpolate(torch.from_numpy(arrays["mask_soft"])[:, None], size=(8, 8), mode="bilinear")
    # The formula takes each element alone, so those that stay masked get the numbers of the whole mask.
    mask[..., :4] = 0
    inside = (mask > 0).expand_as(source)
    for case in cases_here():
        # This one chooses its steps by all elements together.
        if case["mask"] != "differential" or case["refiner_ratio"] is not None or case["sampler"] == "dpm_adaptive":
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
    arrays = reference_arrays()
    source = torch.from_numpy(arrays["src"])
    for case in cases_here():
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
    arrays = reference_arrays()
    source = torch.from_numpy(arrays["src"])
    case = next(case for case in cases_here() if case["sampler"] == "euler" and case["mask"] == "soft")
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


def hooked():
    """A SAMPLER of the graph in place of the named one, and control networks that are patched into the model."""
    arrays = reference_arrays()
    source = torch.from_numpy(arrays["src"])
    case = next(case for case in cases_here() if case["sampler"] == "dpmpp_2m" and case["mask"] == "soft")

    def sampled(name, custom=None, **changes):
        job = job_of(case, arrays, sampler_name=name, custom_sampler=custom, **changes)
        return sampler_over(Formula()).sample(source, job)

    def refused(custom):
        try:
            sampled("euler", custom)
        except SegsDetailerError as error:
            return str(error)
        return ""

    stages = {"refiner": RefinerStage(sampler=sampler_over(Formula()), **CONDITIONING, ratio=0.4)}
    theirs = comfy.samplers.ksampler("dpmpp_2m")
    named, refined = sampled("dpmpp_2m"), sampled("dpmpp_2m", **stages)
    control = SimpleNamespace(model_patch=1, control_video=torch.zeros(1), image=None)
    blocks = SimpleNamespace(control_patch=control, previous=None)
    patched = MODEL.clone()
    patched.set_model_patch(SimpleNamespace(model_patch=1, image=torch.zeros(1)), "double_block")
    patched.set_model_patch(SimpleNamespace(image=torch.zeros(1)), "double_block")
    patched.set_model_patch_replace(blocks, "dit", "double_block", 0)
    patched.set_model_patch_replace(SimpleNamespace(previous=blocks), "dit", "double_block", 1)
    yield {
        "same": float((sampled("euler", theirs) - named).abs().max() / named.std()),
        "other": float((sampled("euler") - named).abs().max() / named.std()),
        "refined": float((sampled("euler", theirs, **stages) - refined).abs().max()),
        "refused": refused("dpmpp_2m"),
        "plain": list(ComfySampler(MODEL, VAE).of_whole_frames),
        "patched": list(ComfySampler(patched, VAE).of_whole_frames),
    }


def frame_noise():
    """Runs under rules for the frames' noise, by every sampler of the reference."""
    arrays = reference_arrays()
    source = torch.from_numpy(arrays["src"])
    cases = {case["sampler"]: case for case in cases_here() if case["mask"] == "none"}

    def sampled(case, latents, *rule):
        return sampler_over(Formula()).sample(latents, job_of(case, arrays, frame_noise=FrameNoise(*rule)))

    for name, case in cases.items():
        equal = source[:1].repeat(3, 1, 1, 1)
        fixed, own = sampled(case, equal, "fixed"), sampled(case, equal)
        pieces = {}
        for kind in ("per-frame", "shared"):
            whole, piece = sampled(case, source, kind, 0), sampled(case, source[2:4], kind, 2)
            pieces[kind] = float((piece - whole[2:4]).abs().max() / whole.std())
        yield {
            "sampler": name,
            "fixed": float((fixed - fixed[:1]).abs().max() / fixed.std()),
            "own": float((own - own[:1]).abs().max() / own.std()),
            **pieces,
        }


def applied():
    """What packs apply to a model, or put in the place of ComfyUI's functions: that it is asked, and counts."""
    arrays = reference_arrays()
    source = torch.from_numpy(arrays["src"])
    case = next(case for case in cases_here() if case["sampler"] == "euler" and case["mask"] == "none")
    positive = torch.randn((1, 7, 32), generator=torch.Generator().manual_seed(4))
    for kind, negative in (("negative", [[-positive, {}]]), ("placeholder", "NegativePlaceholder")):
        job = job_of(case, arrays, positive=[[positive, {}]], negative=negative)
        plain = ComfySampler(MODEL, VAE).sample(source, job)
        asked = []

        def outer(executor, *args, asked=asked, **kwargs):
            asked.append("wrapper")
            return executor(*args, **kwargs)

        wrapped = MODEL.clone()
        wrapped.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.OUTER_SAMPLE, "tests", outer)
        same = ComfySampler(wrapped, VAE).sample(source, job)
        lora = MODEL.clone()
        name = next(name for name in lora.model_state_dict() if name.endswith("attn2.to_v.weight"))
        lora.add_patches({name: ("diff", (torch.ones_like(lora.model_state_dict()[name]),))}, 0.5)
        changed = ComfySampler(lora, VAE).sample(source, job)
        original = comfy.sample.sample_custom

        def packs(*args, original=original, asked=asked, **kwargs):
            asked.append("function")
            return original(*args, **kwargs)

        comfy.sample.sample_custom = packs
        try:
            ComfySampler(MODEL, VAE).sample(source, job)
        finally:
            comfy.sample.sample_custom = original
        again = ComfySampler(MODEL, VAE).sample(source, job)
        yield {
            "kind": kind,
            "asked": asked,
            "wrapper_changes": float((same - plain).abs().max()),
            "lora_changes": float((changed - plain).abs().max() / plain.std()),
            "left_as_it_was": bool(torch.equal(again, plain)),
        }


def every_name():
    """Deviation from ComfyUI's own KSampler, for each of its samplers and schedulers; the model is a real network."""
    generator = torch.Generator().manual_seed(4)
    source = torch.randn((2, 4, 8, 8), generator=generator)
    positive, negative = torch.randn((2, 1, 7, 32), generator=generator)
    settings = {"steps": STEPS, "cfg": 2.0, "seed": 3, "positive": [[positive, {}]], "negative": [[negative, {}]]}
    names = [(name, "normal") for name in comfy.samplers.KSampler.SAMPLERS]
    names += [("euler", name) for name in comfy.samplers.KSampler.SCHEDULERS]
    for sampler, scheduler in names:
        job = SampleJob(
            pixels=torch.zeros((2, 64, 64, 3)), sampler_name=sampler, scheduler=scheduler, denoise=1.0, **settings
        )
        ours = ComfySampler(MODEL, VAE).sample(source, job)
        predicted = []
        comfy.sample.sample(
            MODEL,
            comfy.sample.prepare_noise(source, 3),
            sampler_name=sampler,
            scheduler=scheduler,
            latent_image=source,
            callback=lambda step, x0, x, steps, predicted=predicted: predicted.append(x0),
            disable_pbar=True,
            **settings,
        )
        theirs = MODEL.model.process_latent_out(predicted[-1])
        yield {
            "sampler": sampler,
            "scheduler": scheduler,
            "deviation": float((ours - theirs).abs().max() / theirs.std()),
        }


def scaled_noise():
    """What a model does with its noise beyond ComfyUI's own: that it counts, at the start and outside a mask."""
    arrays = reference_arrays()
    source = torch.from_numpy(arrays["src"])
    kind = type(MODEL.get_model_object("model_sampling"))

    class Half(kind):
        def noise_scaling(self, sigma, noise, latent_image, max_denoise=False):
            return super().noise_scaling(sigma, noise * 0.5, latent_image, max_denoise)

    case = next(case for case in cases_here() if case["sampler"] == "euler_ancestral" and case["mask"] == "soft")
    job = job_of(case, arrays)
    noise = comfy.sample.prepare_noise(source, job.seed)
    results = []
    for halved in (False, True):
        model = MODEL.clone()
        if halved:
            model.add_object_patch("model_sampling", Half(MODEL.model.model_config))
        model.set_model_unet_function_wrapper(Formula())
        predicted = []
        comfy.sample.sample(
            model,
            noise,
            job.steps,
            job.cfg,
            job.sampler_name,
            job.scheduler,
            job.positive,
            job.negative,
            source,
            denoise=job.denoise,
            noise_mask=job.noise_mask,
            seed=job.seed,
            callback=lambda step, x0, x, steps, predicted=predicted: predicted.append(x0),
            disable_pbar=True,
        )
        theirs = MODEL.model.process_latent_out(predicted[-1])
        ours = ComfySampler(model, VAE).sample(source, job)
        results.append(ours)
        yield {"halved": halved, "deviation": float((ours - theirs).abs().max() / theirs.std())}
    yield {"halved": "changes", "deviation": float((results[1] - results[0]).abs().max() / results[0].std())}


def flow(scale):
    """A model of flow matching whose noise is scaled, as those of newer versions say of themselves."""

    class Scaled(comfy.model_sampling.ModelSamplingDiscreteFlow, comfy.model_sampling.CONST):
        noise_scale = scale

        def noise_scaling(self, sigma, noise, latent_image, max_denoise=False):
            return super().noise_scaling(sigma, noise * self.noise_scale, latent_image, max_denoise)

    model = MODEL.clone()
    model.add_object_patch("model_sampling", Scaled(MODEL.model.model_config))
    model.set_model_unet_function_wrapper(Formula())
    return model


def sample_cfgpp_ud10_ab(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """A sampler of a newer ComfyUI, by its formulas for models that are no flows; its end is past its prediction."""
    given = []

    def keep(arguments):
        given.append(arguments["uncond_denoised"])
        return arguments["denoised"]

    extra_args = dict(extra_args or {})
    options = extra_args.get("model_options", {})
    extra_args["model_options"] = comfy.model_patcher.set_model_options_post_cfg_function(
        options, keep, disable_cfg1_optimization=True
    )
    before = None
    for i in range(len(sigmas) - 1):
        sigma, following = sigmas[i], sigmas[i + 1]
        x0 = model(x, sigma * x.new_ones([len(x)]), **extra_args)
        if callback is not None:
            callback({"x": x, "i": i, "sigma": sigma, "sigma_hat": sigma, "denoised": x0})
        slope, step = (x - given[-1]) / sigma, following - sigma
        if before is None:
            used = slope
            move = x0 + following * used - x
            x = x + move
        elif following == 0:
            x = x0 - sigma * (x0 - before["x0"]) / (sigma - before["sigma"])
        else:
            used = slope + 0.1 * (step / before["step"]) * (slope - before["slope"])
            move = x0 + following * used - x
            ratio = step / before["step"]
            second = step * ((1 + ratio / 2) * (move / step) - ratio / 2 * before["move"] / before["step"])
            x = x + 0.75 * move + 0.25 * second
        before = {"slope": slope, "step": step, "move": move, "x0": x0, "sigma": sigma}
    return x


def scaled_steps(function):
    """What newer versions do with the noise between steps."""

    @functools.wraps(function)
    def run(model, x, sigmas, *args, s_noise=1.0, **options):
        scale = getattr(model.inner_model.model_patcher.get_model_object("model_sampling"), "noise_scale", 1.0)
        return function(model, x, sigmas, *args, s_noise=s_noise * scale, **options)

    return run


def newer():
    """What newer versions of ComfyUI sample otherwise, put into this one: ours beside its own KSampler."""
    arrays, sampling = reference_arrays(), comfy.k_diffusion.sampling
    source = torch.from_numpy(arrays["src"])
    case = next(case for case in cases_here() if case["sampler"] == "euler" and case["mask"] == "soft")
    original, names = sampling.sample_euler_ancestral, comfy.samplers.KSampler.SAMPLERS
    sampling.sample_euler_ancestral = scaled_steps(original)
    sampling.sample_cfgpp_ud10_ab = sample_cfgpp_ud10_ab
    comfy.samplers.KSampler.SAMPLERS = [*names, "cfgpp_ud10_ab"]
    try:
        discrete = MODEL.clone()
        discrete.set_model_unet_function_wrapper(Formula())
        runs = [("cfgpp_ud10_ab", discrete, "none"), ("cfgpp_ud10_ab", discrete, "soft")]
        runs += [(name, flow(0.5), "soft") for name in ("euler", "euler_ancestral", "dpmpp_2m")]
        for name, model, mask in runs:
            job = job_of({**case, "mask": mask, "cfg": 2.0}, arrays, sampler_name=name)
            noise, predicted = comfy.sample.prepare_noise(source, job.seed), []
            theirs = comfy.sample.sample(
                model,
                noise,
                job.steps,
                job.cfg,
                name,
                job.scheduler,
                job.positive,
                job.negative,
                source,
                denoise=job.denoise,
                noise_mask=job.noise_mask,
                seed=job.seed,
                callback=lambda step, x0, x, steps, predicted=predicted: predicted.append(x0),
                disable_pbar=True,
            )
            last = MODEL.model.process_latent_out(predicted[-1])
            expected = theirs if name == "cfgpp_ud10_ab" else last
            ours = ComfySampler(model, VAE).sample(source, job)
            stage = RefinerStage(sampler=ComfySampler(model, VAE), **CONDITIONING, ratio=0.4)
            split = ComfySampler(model, VAE).sample(source, replace(job, refiner=stage))
            equal = source[:1].repeat(3, 1, 1, 1)
            fixed = ComfySampler(model, VAE).sample(
                equal, replace(job, frame_noise=FrameNoise("fixed"), noise_mask=None)
            )
            yield {
                "sampler": name,
                "deviation": float((ours - expected).abs().max() / expected.std()),
                "past": float((theirs - last).abs().max() / last.std()),
                "split": float((split - ours).abs().max() / ours.std()),
                "fixed": float((fixed - fixed[:1]).abs().max() / fixed.std()),
            }
        loud, soft = (ComfySampler(flow(scale), VAE).sample(source, job_of(case, arrays)) for scale in (1.0, 0.5))
        yield {"sampler": "scale", "change": float((loud - soft).abs().max() / loud.std())}
    finally:
        sampling.sample_euler_ancestral = original
        del sampling.sample_cfgpp_ud10_ab
        comfy.samplers.KSampler.SAMPLERS = names


class Impact(ModuleType):
    """As much of Impact Pack as schedules need."""

    SCHEDULERS = [*comfy.samplers.KSampler.SCHEDULERS, "OSS Wan", "theirs"]

    def __init__(self, asked):
        super().__init__("impact")
        self.asked = asked

    def calculate_sigmas(self, model, sampler, scheduler, steps):
        self.asked.append([type(model).__name__, sampler, scheduler, steps])
        return comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "karras", steps)


class OptimalSteps:
    """A node of ComfyUI's, of the older kind; newer ones have `execute`."""

    FUNCTION = "get_sigmas"

    def get_sigmas(self, model_type, steps, denoise):
        self.asked.append([model_type, steps, denoise])
        return (torch.linspace(2, 0, steps + 1),)


def schedules():
    """Names that Impact Pack adds, where it is and where it is not."""
    arrays = reference_arrays()
    source = torch.from_numpy(arrays["src"])
    case = next(case for case in cases_here() if case["sampler"] == "euler" and case["mask"] == "soft")
    job = job_of(case, arrays)

    def refused(**changes):
        try:
            sampler_over(Formula()).sample(source, replace(job, **changes))
        except SegsDetailerError as error:
            return str(error)
        return ""

    absent, asked, seen = refused(scheduler="OSS Wan"), [], []
    sys.modules["impact.core"] = sys.modules["impact.impact_sampling"] = Impact(asked)
    lacking = refused(scheduler="OSS Wan")
    OptimalSteps.asked = asked
    nodes.NODE_CLASS_MAPPINGS["OptimalStepsScheduler"] = OptimalSteps
    try:
        names = sampler_over(Formula()).info.scheduler_names
        karras, theirs = (
            sampler_over(Formula()).sample(source, replace(job, scheduler=name)) for name in ("karras", "theirs")
        )
        for sampler in ("euler", "dpm_2"):
            levels = []
            report = lambda *step, levels=levels: levels.append(step[4])  # noqa: E731
            changes = {"steps": 2, "denoise": 0.5, "sampler_name": sampler, "callback": report}
            sampler_over(Formula()).sample(source, replace(job, scheduler="OSS Wan", **changes))
            seen.append(levels)
        yield {
            "absent": absent,
            "lacking": lacking,
            "names": names[-2:],
            "same": bool(torch.equal(theirs, karras)),
            "asked": asked,
            "seen": seen,
            "total": int(job.steps / job.denoise),
        }
    finally:
        del sys.modules["impact.core"], sys.modules["impact.impact_sampling"]
        del nodes.NODE_CLASS_MAPPINGS["OptimalStepsScheduler"]


class Full:
    """A VAE's network on a device that takes some pixels at once and no more; it writes down what it is given."""

    def __init__(self, vae, most):
        self.network, self.most = vae.first_stage_model, most
        self.done, self.refused = [], 0

    def __enter__(self):
        for name in ("encode", "decode"):
            setattr(self.network, name, self.limited(name, getattr(self.network, name)))
        return self

    def __exit__(self, *_):
        for name in ("encode", "decode"):
            delattr(self.network, name)

    def limited(self, name, function):
        def run(x, **options):
            # Two latents of a clip are five frames.
            share = 1 if name == "encode" else 64 if x.ndim == 4 else 64 * 5 // 2
            pixels = x[:, :1].numel() * share
            if pixels > self.most:
                self.refused += 1
                raise comfy.model_management.OOM_EXCEPTION("full")
            self.done.append([name, *x.shape])
            return function(x, **options)

        return run


def memory():
    """All frames at once where there is memory, and in tiles where it runs out: pictures and clips."""
    coarse = torch.rand((5, 3, 40, 40), generator=torch.Generator().manual_seed(6))
    frames = coarse.repeat_interleave(8, 2).repeat_interleave(8, 3).movedim(1, -1)
    for kind, vae, most in (("pictures", tiny_vae(), 320 * 320), ("clip", tiny_clip_vae(), 5 * 256 * 256)):
        sampler = ComfySampler(MODEL, vae)
        with Full(vae, math.inf) as roomy:
            latents = sampler.encode(frames)
            decoded = sampler.decode(latents)
        with Full(vae, most) as full:
            encoded_in_tiles = sampler.encode(frames)
            decoded_in_tiles = sampler.decode(latents)
        yield {
            "kind": kind,
            "at_once": roomy.done,
            "refused": full.refused,
            "tiles": len(full.done),
            "encoded": float((encoded_in_tiles - latents).abs().max() / latents.std()),
            "decoded": float((decoded_in_tiles - decoded).abs().max()),
        }


def pasting():
    """The bar of the node that pastes, and the user's cancel between two frames."""
    frames = torch.rand((4, 48, 64, 3), generator=torch.Generator().manual_seed(7))
    before = frames.clone()
    segs = boxes_to_segs((48, 64), [(8, 8, 24, 24), (32, 16, 56, 40)], crop_factor=1.0)
    segs = segs[0], [seg._replace(cropped_image=torch.zeros((4, *seg.cropped_mask.shape, 3))) for seg in segs[1]]
    bars = []

    def at_third(value, total, preview, node_id=None):
        bars.append((value, total))
        if is_cancelled and value == 3:
            comfy.model_management.interrupt_current_processing(True)

    comfy.utils.set_progress_bar_global_hook(at_third)
    original = detailer_pasting._PART
    detailer_pasting._PART = 1
    try:
        is_cancelled = False
        (whole,) = paste_segments(frames, segs, 0, 255)
        yield {"bars": list(bars), "pasted": float((whole - before).abs().max()), "kept": torch.equal(frames, before)}
        bars.clear()
        is_cancelled = True
        try:
            paste_segments(frames, segs, 0, 255)
            ended = "finished"
        except comfy.model_management.InterruptProcessingException:
            ended = "cancelled"
        yield {"bars": list(bars), "ended": ended, "kept": torch.equal(frames, before)}
    finally:
        detailer_pasting._PART = original
        comfy.utils.set_progress_bar_global_hook(None)


CHECKS = (
    reference,
    refined,
    strict_rule,
    refiner_like_base,
    frame_noise,
    hooked,
    details,
    applied,
    every_name,
    scaled_noise,
    newer,
    schedules,
    memory,
    pasting,
)


if __name__ == "__main__":
    with torch.inference_mode():
        print(json.dumps({check.__name__: list(check()) for check in CHECKS}))
