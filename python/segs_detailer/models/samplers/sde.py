"""Exponential integrators for the diffusion SDE beyond the DPM-Solver++ family."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch

from segs_detailer.models.samplers.step import StepHook, tell

if TYPE_CHECKING:
    from torch import Tensor

    from segs_detailer.models.denoiser import Denoiser
    from segs_detailer.models.noise import NoiseSampler

__all__ = ["sample_er_sde", "sample_exp_heun_2_x0", "sample_exp_heun_2_x0_sde", "sample_seeds_2", "sample_seeds_3"]

_ER_SDE_POINTS = 200
"""Points of the numerical integrals in ER-SDE's coefficients."""


def _er_scale(level: Tensor) -> Tensor:
    """Noise scale function, `x (exp(x^0.3) + 10)`: one of those in Cui et al. 2023, and ComfyUI's."""
    return level * (torch.exp(level**0.3) + 10)


def sample_er_sde(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """ER-SDE of up to third order, a solver of extended reverse-time SDEs: Cui et al. 2023, arXiv 2309.06169."""
    before: Tensor | None = None
    change_before: Tensor | None = None
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        x0 = denoiser(x, sigma)
        tell(callback, i, x0, x, sigma)
        if sigma_next == 0:
            x = x0
            continue
        ratio = _er_scale(sigma_next) / _er_scale(sigma)
        x = ratio * x + (1 - ratio) * x0
        change: Tensor | None = None
        if before is not None:
            step = sigma_next - sigma
            spacing = -step / _ER_SDE_POINTS
            levels = sigma_next + torch.arange(_ER_SDE_POINTS) * spacing
            scales = _er_scale(levels)
            change = (x0 - before) / (sigma - sigmas[i - 1])
            x = x + (step + (1 / scales).sum() * spacing * _er_scale(sigma_next)) * change
            if change_before is not None:
                curvature = (change - change_before) / ((sigma - sigmas[i - 2]) / 2)
                integral = ((levels - sigma) / scales).sum() * spacing
                x = x + (step**2 / 2 + integral * _er_scale(sigma_next)) * curvature
        deviation = (sigma_next**2 - sigma**2 * ratio**2).clamp(min=0).sqrt()
        x = x + noise(sigma, sigma_next) * deviation
        before, change_before = x0, change
    return x


def _between(sigma: Tensor, sigma_next: Tensor, share: float) -> Tensor:
    """Level at a share of the way in log sigma."""
    return sigma.log().lerp(sigma_next.log(), share).exp()


def _joined_noise(parts: list[Tensor], h: Tensor) -> Tensor:
    """Noise over equal parts of a step: each decays over the parts after it; the last part's is the newest."""
    deviation = (-torch.expm1(-2 * h)).sqrt()
    total = parts[0] * deviation
    for part in parts[1:]:
        total = total * torch.exp(-h) + part * deviation
    return total


def sample_seeds_2(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """SEEDS-2, exponential SDE solver with two predictions a step: Gonzalez et al. 2023, arXiv 2305.14267."""
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        x0 = denoiser(x, sigma)
        tell(callback, i, x0, x, sigma)
        if sigma_next == 0:
            x = x0
            continue
        h = (sigma / sigma_next).log()
        middle = _between(sigma, sigma_next, 1 / 2)
        parts = [noise(sigma, middle), noise(middle, sigma_next)]
        trial = (middle / sigma) * torch.exp(-h / 2) * x - torch.expm1(-h) * x0
        trial = trial + middle * _joined_noise(parts[:1], h / 2)
        middle_x0 = denoiser(trial, middle)
        x = (sigma_next / sigma) * torch.exp(-h) * x - torch.expm1(-2 * h) * middle_x0
        x = x + sigma_next * _joined_noise(parts, h / 2)
    return x


def _exponential_heun(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, noise: NoiseSampler, callback: StepHook, *, eta: float
) -> Tensor:
    """Predict at both ends of each step, and integrate the line through the predictions exactly in log sigma.

    This is SEEDS-2 of Gonzalez et al. 2023 with its inner level at the step's end, and with the second coefficient of
    Hochbruck and Ostermann 2010, "Exponential integrators", section 2: `phi_2` in the place of `phi_1 / 2`.
    """
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        x0 = denoiser(x, sigma)
        tell(callback, i, x0, x, sigma)
        if sigma_next == 0:
            x = x0
            continue
        h = (sigma / sigma_next).log()
        rate = (1 + eta) * h
        share = -torch.expm1(-rate)
        later = 1 - share / rate
        start = (sigma_next / sigma) * torch.exp(-eta * h) * x
        if eta:
            start = start + sigma_next * (-torch.expm1(-2 * eta * h)).sqrt() * noise(sigma, sigma_next)
            # SEEDS-2 draws for both parts of a step: the part after the inner level is empty here, but it is drawn.
            noise(sigma_next, sigma_next)
        end_x0 = denoiser(start + share * x0, sigma_next)
        x = start + (share - later) * x0 + later * end_x0
    return x


def sample_exp_heun_2_x0(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """Exponential Heun on the predicted x0, for the probability-flow ODE; two predictions a step."""
    return _exponential_heun(denoiser, x, sigmas, noise, callback, eta=0.0)


def sample_exp_heun_2_x0_sde(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """`sample_exp_heun_2_x0` for the SDE, after Gonzalez et al. 2023."""
    return _exponential_heun(denoiser, x, sigmas, noise, callback, eta=1.0)


def sample_seeds_3(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """SEEDS-3, exponential SDE solver with three predictions a step: Gonzalez et al. 2023, arXiv 2305.14267."""
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        x0 = denoiser(x, sigma)
        tell(callback, i, x0, x, sigma)
        if sigma_next == 0:
            x = x0
            continue
        h = (sigma / sigma_next).log()
        first, second = _between(sigma, sigma_next, 1 / 3), _between(sigma, sigma_next, 2 / 3)
        parts = [noise(sigma, first), noise(first, second), noise(second, sigma_next)]
        decay_1, decay_2, decay_3 = torch.expm1(-2 * h / 3), torch.expm1(-4 * h / 3), torch.expm1(-2 * h)

        trial = (first / sigma) * torch.exp(-h / 3) * x - decay_1 * x0 + first * _joined_noise(parts[:1], h / 3)
        first_x0 = denoiser(trial, first)
        trial = (second / sigma) * torch.exp(-2 * h / 3) * x - decay_2 * x0
        trial = trial + 2 * (decay_2 / (4 * h / 3) + 1) * (first_x0 - x0) + second * _joined_noise(parts[:2], h / 3)
        second_x0 = denoiser(trial, second)
        x = (sigma_next / sigma) * torch.exp(-h) * x - decay_3 * x0
        x = x + 3 / 2 * (decay_3 / (2 * h) + 1) * (second_x0 - x0) + sigma_next * _joined_noise(parts, h / 3)
    return x
