"""The DPM-Solver++ family: exponential integrators over the predicted x0, in `t = -log sigma`."""
# ruff: noqa: ARG001 - one signature for all samplers; deterministic ones draw no noise

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from segs_detailer.models.samplers.step import StepHook, ancestral_split, derivative, tell

if TYPE_CHECKING:
    from segs_detailer.models.denoiser import Denoiser
    from segs_detailer.models.noise import NoiseSampler

__all__ = [
    "sample_dpmpp_2m",
    "sample_dpmpp_2m_cfg_pp",
    "sample_dpmpp_2m_sde",
    "sample_dpmpp_2m_sde_heun",
    "sample_dpmpp_2s_ancestral",
    "sample_dpmpp_2s_ancestral_cfg_pp",
    "sample_dpmpp_3m_sde",
    "sample_dpmpp_sde",
]


def sample_dpmpp_2m(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """DPM-Solver++(2M): Lu et al. 2022, "DPM-Solver++", algorithm 2; one prediction a step, two are combined."""
    before: Tensor | None = None
    for i, (sigma, sigma_next) in enumerate(itertools.pairwise(sigmas)):
        x0 = denoiser(x, sigma)
        tell(callback, i, x0, x, sigma)
        if sigma_next == 0:
            x = x0
        else:
            h = (sigma / sigma_next).log()
            target = x0
            if before is not None:
                ratio = (sigmas[i - 1] / sigma).log() / h
                target = (1 + 1 / (2 * ratio)) * x0 - (1 / (2 * ratio)) * before
            x = (sigma_next / sigma) * x - torch.expm1(-h) * target
        before = x0
    return x


def sample_dpmpp_2m_cfg_pp(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """DPM-Solver++(2M) that renoises along the negative prediction: CFG++, Chung et al. 2024."""
    before: Tensor | None = None
    for i, (sigma, sigma_next) in enumerate(itertools.pairwise(sigmas)):
        x0, negative = denoiser.with_unconditional(x, sigma)
        tell(callback, i, x0, x, sigma)
        shrink = sigma_next / sigma
        x = x0 + shrink * (x - negative)
        if before is not None and sigma_next > 0:
            h = (sigma / sigma_next).log()
            ratio = (sigmas[i - 1] / sigma).log() / h
            x = x - torch.expm1(-h) / (2 * ratio) * (x0 - before)
        before = negative
    return x


def sample_dpmpp_2s_ancestral(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """DPM-Solver++(2S) steps (Lu et al. 2022, "DPM-Solver++", algorithm 1), made ancestral; two predictions a step."""
    for i, (sigma, sigma_next) in enumerate(itertools.pairwise(sigmas)):
        x0 = denoiser(x, sigma)
        tell(callback, i, x0, x, sigma)
        down, up = ancestral_split(sigma, sigma_next)
        if down == 0:
            x = x + derivative(x, sigma, x0) * (down - sigma)
        else:
            h = (sigma / down).log()
            middle = (sigma * down).sqrt()
            trial = (middle / sigma) * x - torch.expm1(-h / 2) * x0
            x = (down / sigma) * x - torch.expm1(-h) * denoiser(trial, middle)
        if sigma_next > 0:
            x = x + noise(sigma, sigma_next) * up
    return x


def sample_dpmpp_2s_ancestral_cfg_pp(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """`sample_dpmpp_2s_ancestral` that renoises along the negative prediction: CFG++, Chung et al. 2024."""
    for i, (sigma, sigma_next) in enumerate(itertools.pairwise(sigmas)):
        x0, negative = denoiser.with_unconditional(x, sigma)
        tell(callback, i, x0, x, sigma)
        down, up = ancestral_split(sigma, sigma_next)
        if down == 0:
            x = x0 + derivative(x, sigma, negative) * down
        else:
            h = (sigma / down).log()
            middle = (sigma * down).sqrt()
            trial = (middle / sigma) * (x + (x0 - negative)) - torch.expm1(-h / 2) * x0
            middle_x0, middle_negative = denoiser.with_unconditional(trial, middle)
            x = (down / sigma) * (x + (x0 - middle_negative)) - torch.expm1(-h) * middle_x0
        if sigma_next > 0:
            x = x + noise(sigma, sigma_next) * up
    return x


def sample_dpmpp_sde(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """DPM-Solver++ for the SDE, two predictions a step: k-diffusion's stochastic 2S (Lu et al. 2022)."""
    for i, (sigma, sigma_next) in enumerate(itertools.pairwise(sigmas)):
        x0 = denoiser(x, sigma)
        tell(callback, i, x0, x, sigma)
        if sigma_next == 0:
            x = x0
            continue
        # A Brownian path changes with the last bit of a time: this is the geometric mean as ComfyUI rounds it.
        middle = (sigma.log() + (sigma_next.log() - sigma.log()) / 2).exp()
        down, up = ancestral_split(sigma, middle)
        trial = (down / sigma) * x - torch.expm1((down / sigma).log()) * x0 + noise(sigma, middle) * up
        middle_x0 = denoiser(trial, middle)
        down, up = ancestral_split(sigma, sigma_next)
        x = (down / sigma) * x - torch.expm1((down / sigma).log()) * middle_x0 + noise(sigma, sigma_next) * up
    return x


def _dpmpp_2m_sde(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, noise: NoiseSampler, callback: StepHook, *, heun: bool
) -> Tensor:
    before: Tensor | None = None
    h_before = torch.zeros(())
    for i, (sigma, sigma_next) in enumerate(itertools.pairwise(sigmas)):
        x0 = denoiser(x, sigma)
        tell(callback, i, x0, x, sigma)
        if sigma_next == 0:
            x = x0
            continue
        h = (sigma / sigma_next).log()
        decay = -torch.expm1(-2 * h)
        x = (sigma_next / sigma) * torch.exp(-h) * x + decay * x0
        if before is not None:
            weight = 1 - decay / (2 * h) if heun else decay / 2
            x = x + weight * (h / h_before) * (x0 - before)
        x = x + noise(sigma, sigma_next) * (sigma_next * decay.sqrt())
        before, h_before = x0, h
    return x


def sample_dpmpp_2m_sde(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """SDE-DPM-Solver++(2M), midpoint form: Lu et al. 2022, "DPM-Solver++", appendix on the SDE."""
    return _dpmpp_2m_sde(denoiser, x, sigmas, noise, callback, heun=False)


def sample_dpmpp_2m_sde_heun(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """SDE-DPM-Solver++(2M) with the exact second coefficient (the "heun" form of k-diffusion)."""
    return _dpmpp_2m_sde(denoiser, x, sigmas, noise, callback, heun=True)


def sample_dpmpp_3m_sde(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """SDE-DPM-Solver++ of third order, multistep: k-diffusion's extension of Lu et al. 2022.

    Differences of differences lift rounding errors by a factor of 1000: in float32, single latents would move by 1e-4
    of the deviation with one unit in the last place. So the state is kept in float64 where the device has it.
    """
    dtype = x.dtype
    x = x if x.device.type == "mps" else x.double()
    past: list[tuple[Tensor, Tensor]] = []  # the latest first: x0 of an earlier step, and that step's length
    for i, (sigma, sigma_next) in enumerate(itertools.pairwise(sigmas)):
        x0 = denoiser(x, sigma)
        tell(callback, i, x0.to(dtype), x.to(dtype), sigma)
        if sigma_next == 0:
            x = x0
            continue
        # Levels are numbers on the CPU, and no dtype of theirs changes that of the latents.
        h = (sigma.double() / sigma_next.double()).log()
        decay = torch.expm1(-2 * h)
        x = (sigma_next / sigma.double()) * torch.exp(-h) * x - decay * x0
        phi_2 = decay / (2 * h) + 1
        if len(past) == 2:
            r_1, r_2 = past[0][1] / h, past[1][1] / h
            near, far = (x0 - past[0][0]) / r_1, (past[0][0] - past[1][0]) / r_2
            curvature = (near - far) / (r_1 + r_2)
            x = x + phi_2 * (near + (near - far) * r_1 / (r_1 + r_2)) - (phi_2 / (2 * h) - 0.5) * curvature
        elif past:
            x = x + phi_2 * (x0 - past[0][0]) / (past[0][1] / h)
        x = x + noise(sigma, sigma_next).to(x.dtype) * (sigma_next * (-decay).sqrt())
        past = [(x0, h), *past[:1]]
    return x.to(dtype)
