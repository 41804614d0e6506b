"""UniPC: a unified predictor-corrector, Zhao et al. 2023, arXiv 2302.04867."""
# ruff: noqa: ARG001 - one signature for all samplers; deterministic ones draw no noise

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from segs_detailer.models.samplers.step import StepHook, tell

if TYPE_CHECKING:
    from torch import Tensor

    from segs_detailer.models.denoiser import Denoiser
    from segs_detailer.models.noise import NoiseSampler

__all__ = ["sample_uni_pc", "sample_uni_pc_bh2"]

_LAST_SIGMA = 0.001
"""Stands in for 0 at the end of the schedule, where log sigma has no value."""

_ORDER = 3


def sample_uni_pc(
    denoiser: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: NoiseSampler,
    callback: StepHook = None,
    stop_early: bool = False,
) -> Tensor:
    """UniPC of order 3 on x0, multistep, with B1(h) = h: Zhao et al. 2023.

    `stop_early`: where there is but one step, give the state before it at the next level's variance, as ComfyUI does.
    """
    return _uni_pc(denoiser, x, sigmas, callback, "bh1", stop_early=stop_early)


def sample_uni_pc_bh2(
    denoiser: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: NoiseSampler,
    callback: StepHook = None,
    stop_early: bool = False,
) -> Tensor:
    """`sample_uni_pc` with B2(h) = exp(h) - 1: Zhao et al. 2023."""
    return _uni_pc(denoiser, x, sigmas, callback, "bh2", stop_early=stop_early)


def _uni_pc(
    denoiser: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    callback: StepHook,
    variant: Literal["bh1", "bh2"],
    *,
    stop_early: bool,
) -> Tensor:
    levels = sigmas.clone()
    if levels[-1] == 0:
        levels[-1] = _LAST_SIGMA
    count = len(levels) - 1
    highest = min(_ORDER, len(levels) - 2)
    past: list[tuple[Tensor, Tensor]] = []  # the newest first: a level and the prediction at it
    x0 = denoiser(x, levels[0])
    if stop_early and count == 1:
        tell(callback, 0, x0, x, levels[0])
        return x * ((1 + levels[1] ** 2) / (1 + levels[0] ** 2)).sqrt()
    for i in range(count):
        tell(callback, i, x0, x, levels[i])
        past = [(levels[i], x0), *past[: _ORDER - 1]]
        order = max(min(len(past), highest, count - i), 1)
        base, differences, nodes, h = _step_terms(x, past[:order], levels[i + 1])
        b_h = -h if variant == "bh1" else torch.expm1(-h)
        matrix, right = _order_conditions(nodes, h, b_h)
        x = base
        if differences:
            # The paper sets the one coefficient of order 2 to 1/2.
            factors = torch.full((1,), 0.5) if order == 2 else torch.linalg.solve(matrix[:-1, :-1], right[:-1])
            x = base - b_h * _combined(factors, differences)
        if i + 1 < count:
            x0 = denoiser(x, levels[i + 1])
            factors = torch.full((1,), 0.5) if order == 1 else torch.linalg.solve(matrix, right)
            correction = factors[-1] * (x0 - past[0][1])
            if differences:
                correction = correction + _combined(factors[:-1], differences)
            x = base - b_h * correction
    return x


def _step_terms(
    x: Tensor, past: list[tuple[Tensor, Tensor]], sigma_next: Tensor
) -> tuple[Tensor, list[Tensor], list[Tensor], Tensor]:
    """First-order step, scaled differences to earlier predictions, their nodes, and the step in log sigma."""
    sigma, x0 = past[0]
    h = (sigma / sigma_next).log()
    base = (sigma_next / sigma) * x - torch.expm1(-h) * x0
    nodes, differences = [], []
    for earlier_sigma, earlier in past[1:]:
        node = -(earlier_sigma / sigma).log() / h
        nodes.append(node)
        differences.append((earlier - x0) / node)
    return base, differences, [*nodes, torch.ones(())], h


def _order_conditions(nodes: list[Tensor], h: Tensor, b_h: Tensor) -> tuple[Tensor, Tensor]:
    """Matrix and right-hand side of the order conditions for the prediction of x0."""
    phi = torch.expm1(-h) / -h - 1
    factorial = 1
    rows, right = [], []
    for power in range(1, len(nodes) + 1):
        rows.append(torch.stack(nodes) ** (power - 1))
        right.append(phi * factorial / b_h)
        factorial *= power + 1
        phi = phi / -h - 1 / factorial
    return torch.stack(rows), torch.stack(right)


def _combined(factors: Tensor, differences: list[Tensor]) -> Tensor:
    total = factors[0] * differences[0]
    for factor, difference in zip(factors[1:], differences[1:], strict=True):
        total = total + factor * difference
    return total
