"""Multistep samplers: one prediction a step, earlier ones are kept and combined."""
# ruff: noqa: ARG001 - one signature for all samplers; deterministic ones draw no noise

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch

from segs_detailer.models.samplers.step import StepHook, ancestral_split, derivative, tell

if TYPE_CHECKING:
    from torch import Tensor

    from segs_detailer.models.denoiser import Denoiser
    from segs_detailer.models.noise import NoiseSampler

__all__ = [
    "sample_cfgpp_ud10_ab",
    "sample_deis",
    "sample_gradient_estimation",
    "sample_gradient_estimation_cfg_pp",
    "sample_ipndm",
    "sample_ipndm_v",
    "sample_lms",
    "sample_res_multistep",
    "sample_res_multistep_ancestral",
    "sample_res_multistep_ancestral_cfg_pp",
    "sample_res_multistep_cfg_pp",
]

Coefficients: TypeAlias = Callable[[Sequence[float], int, int], Sequence[float]]
"""`(sigmas, step, order) -> factors` of the newest slope, the one before it, and so on."""

_ADAMS_BASHFORTH = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))

_EDM_SIGMA_MIN, _EDM_SIGMA_MAX, _VP_EPSILON = 0.002, 80.0, 1e-3
"""Ends of the variance-preserving process of Karras et al. 2022 (table 1) that DEIS takes its time from."""

_DEIS_POINTS = 10_000

_GRADIENT_ESTIMATION_GAMMA = 2.0

_UD10_EARLIER_SLOPE, _UD10_ADAMS_BASHFORTH = 0.1, 0.25
"""Weights of what `cfgpp_ud10_ab` takes from the step before: of the negative slope's change, and of the long step."""


def _linear_multistep(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, callback: StepHook, *, order: int, coefficients: Coefficients
) -> Tensor:
    """Step along a combination of the last slopes."""
    levels = [float(sigma) for sigma in sigmas.double()]
    slopes: list[Tensor] = []
    for i, sigma in enumerate(sigmas[:-1]):
        x0 = denoiser(x, sigma)
        tell(callback, i, x0, x, sigma)
        slopes = [derivative(x, sigma, x0), *slopes[: order - 1]]
        for factor, slope in zip(coefficients(levels, i, len(slopes)), slopes, strict=False):
            x = x + slope * factor
    return x


def _lagrange_integrals(nodes: Sequence[float], start: float, end: float) -> list[float]:
    """Integrals over [start, end] of the Lagrange polynomials of the nodes; exact up to degree 7."""
    points, weights = np.polynomial.legendre.leggauss(4)
    places = (end - start) / 2 * points + (end + start) / 2
    integrals = []
    for j, node in enumerate(nodes):
        product = np.ones_like(places)
        for other in (*nodes[:j], *nodes[j + 1 :]):
            product = product * (places - other) / (node - other)
        integrals.append(float((weights * product).sum() * (end - start) / 2))
    return integrals


def _lms_coefficients(levels: Sequence[float], step: int, order: int) -> Sequence[float]:
    return _lagrange_integrals([levels[step - k] for k in range(order)], levels[step], levels[step + 1])


def sample_lms(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """Linear multistep of order 4 for uneven levels: Adams-Bashforth in sigma, as in k-diffusion."""
    return _linear_multistep(denoiser, x, sigmas, callback, order=4, coefficients=_lms_coefficients)


def _ipndm_coefficients(levels: Sequence[float], step: int, order: int) -> Sequence[float]:
    order = 1 if levels[step + 1] == 0 else order
    return [(levels[step + 1] - levels[step]) * factor for factor in _ADAMS_BASHFORTH[order - 1]]


def sample_ipndm(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """Improved pseudo-linear multistep of order 4: Zhang and Chen 2023 (DEIS), who call it iPNDM."""
    return _linear_multistep(denoiser, x, sigmas, callback, order=4, coefficients=_ipndm_coefficients)


def _ipndm_v_coefficients(levels: Sequence[float], step: int, order: int) -> Sequence[float]:
    """Variable-step Adams-Bashforth on modified divided differences, with ComfyUI's weights.

    They differ from the textbook's in two places: the second difference weighs `(1 - a * b) / 2` in place of
    `(1 - a) * b / 2`, and the oldest slope is scaled by the newest step ratio. `sample_lms` has the textbook's.
    """
    if levels[step + 1] == 0 or order == 1:
        return [levels[step + 1] - levels[step]]
    h_0, h_1, h_2, h_3 = (levels[step + 1 - k] - levels[step - k] if k <= order - 1 else 1.0 for k in range(4))
    first = h_0 / (2 * h_1)
    factors = [1 + first, -first, 0.0, 0.0]
    if order >= 3:
        share, growth = h_0 / (3 * (h_0 + h_1)), h_0 * (h_0 + h_1) / (h_1 * (h_1 + h_2))
        second, ratio = (1 - share * growth) / 2, h_1 / h_2
        factors = _added(factors, second, (1, -(1 + ratio), ratio, 0))
    if order == 4:
        bend = (1 - share) / 2 + (1 - h_0 / (2 * (h_0 + h_1))) * h_0 / (6 * (h_0 + h_1 + h_2))
        third = bend * growth * (h_0 + h_1 + h_2) / (h_1 + h_2 + h_3)
        carry = h_1 * (h_1 + h_2) / (h_2 * (h_2 + h_3))
        factors = _added(factors, third, (1, -(1 + ratio + carry), ratio + carry * (1 + h_2 / h_3), -carry * ratio))
    return [h_0 * factor for factor in factors[:order]]


def _added(factors: Sequence[float], weight: float, difference: Sequence[float]) -> list[float]:
    return [factor + weight * part for factor, part in zip(factors, difference, strict=True)]


def sample_ipndm_v(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """`sample_ipndm` with coefficients for uneven steps: Zhang and Chen 2023, as in Zhou et al. 2024."""
    return _linear_multistep(denoiser, x, sigmas, callback, order=4, coefficients=_ipndm_v_coefficients)


def _deis_coefficients(levels: Sequence[float], step: int, order: int) -> Sequence[float]:
    """Integrals over the step of the Lagrange polynomials in the time of the variance-preserving process.

    The process is that of Karras et al. 2022, table 1: `sigma^2 + 1 = exp(slope t^2 / 2 + offset t)`. The sum over
    evenly spaced points, which differs from the integral by about 1e-4, is what ComfyUI's numbers come from.
    """
    if levels[step + 1] == 0 or order == 1:
        return [levels[step + 1] - levels[step]]
    low, high = math.log(_EDM_SIGMA_MIN**2 + 1), math.log(_EDM_SIGMA_MAX**2 + 1)
    slope = 2 * (low / _VP_EPSILON - high) / (_VP_EPSILON - 1)
    offset = high - slope / 2
    squared = np.asarray([levels[step + 1 - k] for k in range(order + 1)]) ** 2
    end, *nodes = (np.sqrt(offset**2 + 2 * slope * np.log(squared + 1)) - offset) / slope
    times = np.linspace(nodes[0], end, _DEIS_POINTS)
    growth = np.exp(slope * times**2 / 2 + offset * times)
    speed = growth * (slope * times + offset) / (2 * np.sqrt(growth - 1))
    spacing = (end - nodes[0]) / _DEIS_POINTS
    factors = []
    for j, node in enumerate(nodes):
        polynomial = np.ones_like(times)
        for other in (*nodes[:j], *nodes[j + 1 :]):
            polynomial = polynomial * (times - other) / (node - other)
        factors.append(float((speed * polynomial).sum() * spacing))
    return factors


def sample_deis(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """Diffusion exponential integrator sampler (tAB, order 3): Zhang and Chen 2023."""
    return _linear_multistep(denoiser, x, sigmas, callback, order=3, coefficients=_deis_coefficients)


def _res_multistep(
    denoiser: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSampler,
    callback: StepHook,
    *,
    eta: float = 0.0,
    cfg_pp: bool = False,
) -> Tensor:
    before: Tensor | None = None
    down_before = sigmas[0]
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        if cfg_pp:
            x0, base = denoiser.with_unconditional(x, sigma)
        else:
            x0 = base = denoiser(x, sigma)
        tell(callback, i, x0, x, sigma)
        down, up = ancestral_split(sigma, sigma_next, eta)
        if before is None or down == 0:
            x = x0 + derivative(x, sigma, base) * down
        else:
            # The two-stage scheme, with the earlier prediction in the place of the inner stage.
            h = (sigma / down).log()
            node = -(sigmas[i - 1] / down_before).log() / h
            phi_1 = -torch.expm1(-h) / h
            phi_2 = (1 - phi_1) / h
            weight = phi_2 / node
            x = x + (x0 - base)
            x = torch.exp(-h) * x + h * ((phi_1 - weight) * base + weight * before)
        if eta and sigma_next > 0:
            x = x + noise(sigma, sigma_next) * up
        before, down_before = base, down
    return x


def sample_res_multistep(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """Refined exponential solver, second order, multistep: Zhang et al. 2023, arXiv 2308.02157."""
    return _res_multistep(denoiser, x, sigmas, noise, callback)


def sample_res_multistep_cfg_pp(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """`sample_res_multistep` that renoises along the negative prediction: CFG++, Chung et al. 2024."""
    return _res_multistep(denoiser, x, sigmas, noise, callback, cfg_pp=True)


def sample_res_multistep_ancestral(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """`sample_res_multistep` with ancestral steps."""
    return _res_multistep(denoiser, x, sigmas, noise, callback, eta=1.0)


def sample_res_multistep_ancestral_cfg_pp(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """`sample_res_multistep_ancestral` that renoises along the negative prediction: CFG++, Chung et al. 2024."""
    return _res_multistep(denoiser, x, sigmas, noise, callback, eta=1.0, cfg_pp=True)


def _gradient_estimation(denoiser: Denoiser, x: Tensor, sigmas: Tensor, callback: StepHook, *, cfg_pp: bool) -> Tensor:
    before: Tensor | None = None
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        if cfg_pp:
            x0, base = denoiser.with_unconditional(x, sigma)
        else:
            x0 = base = denoiser(x, sigma)
        tell(callback, i, x0, x, sigma)
        slope = derivative(x, sigma, base)
        x = x0 + slope * sigma_next
        if before is not None and sigma_next > 0:
            x = x + (_GRADIENT_ESTIMATION_GAMMA - 1) * (slope - before) * (sigma_next - sigma)
        before = slope
    return x


def sample_gradient_estimation(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """Euler steps along an extrapolated slope: Permenter and Yuan 2023, arXiv 2306.04848, gamma 2."""
    return _gradient_estimation(denoiser, x, sigmas, callback, cfg_pp=False)


def sample_gradient_estimation_cfg_pp(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """`sample_gradient_estimation` that renoises along the negative prediction: CFG++, Chung et al. 2024."""
    return _gradient_estimation(denoiser, x, sigmas, callback, cfg_pp=True)


def sample_cfgpp_ud10_ab(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSampler, callback: StepHook = None
) -> Tensor:
    """CFG++ (Chung et al. 2024) with a share of the step before, and predictions extrapolated to sigma 0 at the end.

    The direction in which it renoises is a little extrapolated by its last change; a quarter of each step is one of
    Adams and Bashforth's of order 2. The formulas are those of ComfyUI's sampler of that name, of 2026.
    """
    levels = [float(sigma) for sigma in sigmas.double()]
    before: tuple[Tensor, Tensor, Tensor] | None = None  # of the step before: prediction, negative slope, whole slope
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        x0, negative = denoiser.with_unconditional(x, sigma)
        tell(callback, i, x0, x, sigma)
        away, length = derivative(x, sigma, negative), sigma_next - sigma
        if before is not None and sigma_next == 0:
            x = x0 - sigma * (x0 - before[0]) / (sigma - sigmas[i - 1])
            continue
        direction = away
        if before is not None:
            direction = away + _UD10_EARLIER_SLOPE * length / (sigma - sigmas[i - 1]) * (away - before[1])
        step = x0 + sigma_next * direction - x
        slope = step / length
        if before is not None:
            newest, oldest = _lms_coefficients(levels, i, 2)
            step = torch.lerp(step, newest * slope + oldest * before[2], _UD10_ADAMS_BASHFORTH)
        x = x + step
        before = x0, away, slope
    return x
