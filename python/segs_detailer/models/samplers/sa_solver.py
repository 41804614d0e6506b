"""SA-Solver: stochastic Adams predictor-corrector, Xue et al. 2023, arXiv 2309.05019."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from segs_detailer.models.samplers.step import StepHook, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from segs_detailer.models.denoiser import Denoiser
    from segs_detailer.models.noise import NoiseSampler

__all__ = ["sample_sa_solver", "sample_sa_solver_pece"]

_PREDICTOR_ORDER, _CORRECTOR_ORDER = 3, 4

_LOST_DIGITS = 0.5
"""Share by which rounding may change the factors of a step before they mean nothing."""


def sample_sa_solver(
    denoiser: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: NoiseSampler,
    callback: StepHook = None,
    stochastic: tuple[float, float],
    stop_early: bool = False,
) -> Tensor:
    """SA-Solver with a predictor of order 3 and a corrector of order 4: Xue et al. 2023.

    `stochastic`: noise levels from which and to which noise is injected (tau is 1 there and 0 elsewhere).
    `stop_early`: leave out the last step where it does not lead to 0, as ComfyUI before 0.8 did.
    """
    return _sa_solver(denoiser, x, sigmas, noise, callback, stochastic, pece=False, stop_early=stop_early)


def sample_sa_solver_pece(
    denoiser: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: NoiseSampler,
    callback: StepHook = None,
    stochastic: tuple[float, float],
    stop_early: bool = False,
) -> Tensor:
    """`sample_sa_solver` that predicts once more after the corrector: two predictions a step."""
    return _sa_solver(denoiser, x, sigmas, noise, callback, stochastic, pece=True, stop_early=stop_early)


def _sa_solver(
    denoiser: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSampler,
    callback: StepHook,
    stochastic: tuple[float, float],
    *,
    pece: bool,
    stop_early: bool,
) -> Tensor:
    logs = -sigmas.log()
    count = len(sigmas) - 1
    to_zero = bool(sigmas[-1] == 0)
    past: list[Tensor] = []
    start = added = x  # state before the step that led to x, and the noise of that step
    tau = 0.0
    for i in range(count):
        sigma, sigma_next = sigmas[i], sigmas[i + 1]
        x0 = denoiser(x, sigma)
        tell(callback, i, x0, x, sigma)
        past = [*past, x0][-_CORRECTOR_ORDER:]
        # Towards the clean end, where log sigma runs away, the orders go down to 1.
        room = count - i if to_zero else _CORRECTOR_ORDER
        if i and (sigma_next > 0 or pece):
            order = min(_CORRECTOR_ORDER, len(past), room)
            x = _adams(start, past[-order:], logs[i - order + 1 : i + 1], (logs[i - 1], logs[i]), tau) + added
            if pece:
                past[-1] = x0 = denoiser(x, sigma)
        if sigma_next == 0:
            x = x0
            continue
        if stop_early and i == count - 1:
            break
        order = min(_PREDICTOR_ORDER, len(past), room - 1 if to_zero else _PREDICTOR_ORDER)
        tau = 1.0 if stochastic[1] <= sigma_next <= stochastic[0] else 0.0
        start, ends = x, (logs[i], logs[i + 1])
        x = _adams(start, past[-order:], logs[i - order + 1 : i + 1], ends, tau)
        added = torch.zeros_like(x)
        if tau:
            deviation = (-torch.expm1(-2 * tau**2 * (ends[1] - ends[0]))).sqrt()
            added = noise(sigma, sigma_next) * (sigma_next * deviation)
        x = x + added
    return x


def _adams(
    start: Tensor, predictions: Sequence[Tensor], nodes: Tensor, ends: tuple[Tensor, Tensor], tau: float
) -> Tensor:
    """One step without its noise: the exponential integral of the polynomial through the predictions.

    The factors are `(1 + tau^2) * integral of exp((1 + tau^2) (l - l_end)) L_j(l) dl`, with the Lagrange polynomials
    `L_j` of the nodes.
    """
    rate = 1 + tau**2
    factors = _factors(nodes.double(), ends[0].double(), ends[1].double(), rate)
    # ComfyUI computes them in float32. Where levels lie close that moves its latents by up to a hundredth of their
    # deviation, which its numbers have; closer still, the digits are lost altogether.
    rounded = _factors(nodes, *ends, rate)
    if float((rounded - factors).abs().max()) < _LOST_DIGITS * float(factors.abs().max()):
        factors = rounded.double()
    x = start * torch.exp(-rate * (ends[1] - ends[0]))
    for factor, prediction in zip(factors.tolist(), predictions, strict=True):
        x = x + prediction * factor
    return x


def _factors(nodes: Tensor, low: Tensor, high: Tensor, rate: float) -> Tensor:
    """Solve the equations of the moments of 1, l, l^2, ..., in the precision of the arguments."""
    count = len(nodes)
    powers = torch.arange(count, dtype=nodes.dtype)
    boundary = high**powers - low**powers * torch.exp(-rate * (high - low))
    # Integration by parts: each moment is its boundary term minus (power / rate) of the moment before.
    parts = [
        [math.perm(p, p - q) * (-1 / rate) ** (p - q) if q <= p else 0 for q in range(count)] for p in range(count)
    ]
    moments = torch.tensor(parts, dtype=nodes.dtype) @ boundary
    return torch.as_tensor(torch.linalg.solve_ex(torch.vander(nodes, count, increasing=True).T, moments).result)
