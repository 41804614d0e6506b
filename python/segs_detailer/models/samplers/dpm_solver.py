"""DPM-Solver (Lu et al. 2022, "DPM-Solver") on the predicted noise, with a fixed budget and with adaptive steps."""
# ruff: noqa: ARG001 - one signature for all samplers; deterministic ones draw no noise

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from segs_detailer.models.samplers.step import StepHook, derivative, tell

if TYPE_CHECKING:
    from torch import Tensor

    from segs_detailer.models.denoiser import Denoiser
    from segs_detailer.models.noise import NoiseSampler

__all__ = ["sample_dpm_adaptive", "sample_dpm_fast"]

_RELATIVE_TOLERANCE, _ABSOLUTE_TOLERANCE = 0.05, 0.0078
"""Error bounds of an adaptive step: the paper's values for images in 256 steps of brightness."""

_FIRST_STEP = 0.05
_ACCEPT_ABOVE = 0.81
_TIME_TOLERANCE = 1e-5


def _second_order(denoiser: Denoiser, x: Tensor, t: Tensor, t_next: Tensor, eps: Tensor, share: float) -> Tensor:
    """DPM-Solver-2 from `t` to `t_next` in `t = -log sigma`, with its inner level at `share` of the way."""
    h = t_next - t
    inner = torch.exp(-(t + share * h))
    trial = x - inner * torch.expm1(share * h) * eps
    inner_eps = derivative(trial, inner, denoiser(trial, inner))
    factor = torch.exp(-t_next) * torch.expm1(h)
    return x - factor * eps - factor / (2 * share) * (inner_eps - eps)


def _third_order(denoiser: Denoiser, x: Tensor, t: Tensor, t_next: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
    """DPM-Solver-3 with its inner levels at 1/3 and 2/3, and the second-order result that comes with it."""
    h = t_next - t
    first, second = torch.exp(-(t + h / 3)), torch.exp(-(t + 2 * h / 3))
    end = torch.exp(-t_next)
    trial = x - first * torch.expm1(h / 3) * eps
    first_eps = derivative(trial, first, denoiser(trial, first))
    bend = torch.expm1(2 * h / 3) / (2 * h / 3) - 1
    trial = x - second * torch.expm1(2 * h / 3) * eps - 2 * second * bend * (first_eps - eps)
    second_eps = derivative(trial, second, denoiser(trial, second))
    straight = x - end * torch.expm1(h) * eps
    high = straight - 3 / 2 * end * (torch.expm1(h) / h - 1) * (second_eps - eps)
    low = straight - 3 / 2 * end * torch.expm1(h) * (first_eps - eps)
    return high, low


def _last_positive(sigmas: Tensor) -> Tensor:
    return sigmas[-2] if sigmas[-1] == 0 else sigmas[-1]


def sample_dpm_fast(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """DPM-Solver-fast: as many predictions as steps, spread over third-order steps that are even in log sigma.

    Only the ends of `sigmas` count: its first level and its last positive one.
    """
    start, end = -sigmas[0].log(), -_last_positive(sigmas).log()
    budget = len(sigmas) - 1
    times = torch.linspace(float(start), float(end), budget // 3 + 2)
    orders = [3] * (budget // 3 - 1) + [2, 1] if budget % 3 == 0 else [3] * (budget // 3) + [budget % 3]
    for i, order in enumerate(orders):
        t, t_next = times[i], times[i + 1]
        sigma = torch.exp(-t)
        x0 = denoiser(x, sigma)
        tell(callback, i, x0, x, sigma)
        eps = derivative(x, sigma, x0)
        if order == 1:
            x = x - torch.exp(-t_next) * torch.expm1(t_next - t) * eps
        elif order == 2:
            x = _second_order(denoiser, x, t, t_next, eps, 1 / 2)
        else:
            x = _third_order(denoiser, x, t, t_next, eps)[0]
    return x


def sample_dpm_adaptive(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """DPM-Solver-23: third-order steps whose length follows the error against the second order.

    Only the ends of `sigmas` count: its first level and its last positive one. The step count is the solver's own.
    """
    t, end = -sigmas[0].log(), -_last_positive(sigmas).log()
    h = _FIRST_STEP
    previous, step = x, 0
    while t < end - _TIME_TOLERANCE:
        t_next = torch.minimum(end, t + h)
        sigma = torch.exp(-t)
        x0 = denoiser(x, sigma)
        high, low = _third_order(denoiser, x, t, t_next, derivative(x, sigma, x0))
        bound = torch.clamp(_RELATIVE_TOLERANCE * torch.maximum(low.abs(), previous.abs()), min=_ABSOLUTE_TOLERANCE)
        error = float(torch.linalg.norm((low - high) / bound)) / x.numel() ** 0.5
        # The controller of k-diffusion: integral part alone, limited by an arc tangent.
        growth = 1 + math.atan((1 / (error + 1e-8)) ** (1 / 3) - 1)
        if growth >= _ACCEPT_ABOVE:
            previous, x, t = low, high, t_next
        h *= growth
        tell(callback, step, x0, x, sigma)
        step += 1
    return x
