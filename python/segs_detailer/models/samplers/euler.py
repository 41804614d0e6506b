"""First-order samplers, and Heun's and the midpoint rule on the probability-flow ODE."""
# ruff: noqa: ARG001 - one signature for all samplers; deterministic ones draw no noise

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from segs_detailer.models.samplers.step import StepHook, ancestral_split, derivative, tell

if TYPE_CHECKING:
    from torch import Tensor

    from segs_detailer.models.denoiser import Denoiser
    from segs_detailer.models.noise import NoiseSampler

__all__ = [
    "sample_ddpm",
    "sample_dpm_2",
    "sample_dpm_2_ancestral",
    "sample_euler",
    "sample_euler_ancestral",
    "sample_euler_ancestral_cfg_pp",
    "sample_euler_cfg_pp",
    "sample_heun",
    "sample_heunpp2",
    "sample_lcm",
]


def sample_euler(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """Euler's method on the probability-flow ODE: Karras et al. 2022, algorithm 2 without churn."""
    for i, (sigma, sigma_next) in enumerate(itertools.pairwise(sigmas)):
        x0 = denoiser(x, sigma)
        tell(callback, i, x0, x, sigma)
        x = x + derivative(x, sigma, x0) * (sigma_next - sigma)
    return x


def sample_euler_ancestral(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """Euler steps below the next level, then fresh noise up to it: ancestral sampling of Ho et al. 2020 in sigma."""
    for i, (sigma, sigma_next) in enumerate(itertools.pairwise(sigmas)):
        x0 = denoiser(x, sigma)
        tell(callback, i, x0, x, sigma)
        down, up = ancestral_split(sigma, sigma_next)
        x = x + derivative(x, sigma, x0) * (down - sigma)
        if sigma_next > 0:
            x = x + noise(sigma, sigma_next) * up
    return x


def _euler_cfg_pp(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, noise: NoiseSampler, callback: StepHook, eta: float
) -> Tensor:
    for i, (sigma, sigma_next) in enumerate(itertools.pairwise(sigmas)):
        x0, negative = denoiser.with_unconditional(x, sigma)
        tell(callback, i, x0, x, sigma)
        down, up = ancestral_split(sigma, sigma_next, eta)
        x = x0 + derivative(x, sigma, negative) * down
        if eta and sigma_next > 0:
            x = x + noise(sigma, sigma_next) * up
    return x


def sample_euler_cfg_pp(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """Euler steps that renoise along the negative prediction: CFG++, Chung et al. 2024."""
    return _euler_cfg_pp(denoiser, x, sigmas, noise, callback, eta=0.0)


def sample_euler_ancestral_cfg_pp(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """CFG++ (Chung et al. 2024) with ancestral steps."""
    return _euler_cfg_pp(denoiser, x, sigmas, noise, callback, eta=1.0)


def sample_heun(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """Heun's method on the probability-flow ODE: Karras et al. 2022, algorithm 1; two predictions a step."""
    for i, (sigma, sigma_next) in enumerate(itertools.pairwise(sigmas)):
        x0 = denoiser(x, sigma)
        tell(callback, i, x0, x, sigma)
        slope, step = derivative(x, sigma, x0), sigma_next - sigma
        if sigma_next > 0:
            trial = x + slope * step
            slope = (slope + derivative(trial, sigma_next, denoiser(trial, sigma_next))) / 2
        x = x + slope * step
    return x


def sample_heunpp2(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """Heun's method with up to three slopes, weighted by their noise levels (Heun++, community work of 2023).

    The slopes at the next two levels weigh `sigma / (n * sigmas[0])` each, the first slope the rest.
    """
    count = len(sigmas) - 1
    for i in range(count):
        sigma, sigma_next = sigmas[i], sigmas[i + 1]
        x0 = denoiser(x, sigma)
        tell(callback, i, x0, x, sigma)
        slopes = [derivative(x, sigma, x0)]
        trial = x
        for ahead in range(i + 1, min(i + 3, count)):
            trial = trial + slopes[-1] * (sigmas[ahead] - sigmas[ahead - 1])
            slopes.append(derivative(trial, sigmas[ahead], denoiser(trial, sigmas[ahead])))
        weights = sigmas[i + 1 : i + len(slopes)] / (len(slopes) * sigmas[0])
        slope = (1 - weights.sum()) * slopes[0]
        for weight, later in zip(weights, slopes[1:], strict=True):
            slope = slope + weight * later
        x = x + slope * (sigma_next - sigma)
    return x


def _midpoint(denoiser: Denoiser, x: Tensor, sigma: Tensor, target: Tensor, x0: Tensor) -> Tensor:
    """One step to `target` by the slope at the geometric mean of the two levels; Euler's where the target is 0."""
    slope = derivative(x, sigma, x0)
    if target == 0:
        return x + slope * (target - sigma)
    middle = sigma.log().lerp(target.log(), 0.5).exp()
    trial = x + slope * (middle - sigma)
    return x + derivative(trial, middle, denoiser(trial, middle)) * (target - sigma)


def sample_dpm_2(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """Midpoint rule in log sigma, after DPM-Solver-2 (Lu et al. 2022) and Karras et al. 2022."""
    for i, (sigma, sigma_next) in enumerate(itertools.pairwise(sigmas)):
        x0 = denoiser(x, sigma)
        tell(callback, i, x0, x, sigma)
        x = _midpoint(denoiser, x, sigma, sigma_next, x0)
    return x


def sample_dpm_2_ancestral(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """`sample_dpm_2` with ancestral steps."""
    for i, (sigma, sigma_next) in enumerate(itertools.pairwise(sigmas)):
        x0 = denoiser(x, sigma)
        tell(callback, i, x0, x, sigma)
        down, up = ancestral_split(sigma, sigma_next)
        x = _midpoint(denoiser, x, sigma, down, x0)
        if sigma_next > 0:
            x = x + noise(sigma, sigma_next) * up
    return x


def sample_ddpm(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """Ancestral sampling in the variance-preserving form: Ho et al. 2020, algorithm 2."""
    for i, (sigma, sigma_next) in enumerate(itertools.pairwise(sigmas)):
        x0 = denoiser(x, sigma)
        tell(callback, i, x0, x, sigma)
        kept, kept_next = 1 / (1 + sigma**2), 1 / (1 + sigma_next**2)
        alpha = kept / kept_next
        scaled = x * kept.sqrt()
        mean = (scaled - derivative(x, sigma, x0) * ((1 - alpha) / (1 - kept).sqrt())) / alpha.sqrt()
        if sigma_next > 0:
            deviation = ((1 - alpha) * (1 - kept_next) / (1 - kept)).sqrt()
            mean = mean + noise(sigma, sigma_next) * deviation
        x = mean / kept_next.sqrt()
    return x


def sample_lcm(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """Multistep consistency sampling: Luo et al. 2023 (latent consistency models)."""
    for i, (sigma, sigma_next) in enumerate(itertools.pairwise(sigmas)):
        x0 = denoiser(x, sigma)
        tell(callback, i, x0, x, sigma)
        x = x0 + sigma_next * noise(sigma, sigma_next) if sigma_next > 0 else x0
    return x
