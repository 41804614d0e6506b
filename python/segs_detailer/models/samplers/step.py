"""What samplers share: the callback's form and the arithmetic of one step."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["StepHook", "ancestral_split", "derivative", "tell"]

StepHook: TypeAlias = "Callable[[int, Tensor, Tensor, Tensor], None] | None"
"""Called with `(step, x0, x, sigma)` once a step, when its first prediction is there; `x` is the state at `sigma`."""


def tell(callback: StepHook, step: int, x0: Tensor, x: Tensor, sigma: Tensor) -> None:
    """Report a step, where someone listens."""
    if callback is not None:
        callback(step, x0, x, sigma)


def derivative(x: Tensor, sigma: Tensor, x0: Tensor) -> Tensor:
    """Slope dx/dsigma of the probability-flow ODE, in the variance-exploding form: Karras et al. 2022."""
    return (x - x0) / sigma


def ancestral_split(sigma: Tensor, sigma_next: Tensor, eta: float = 1.0) -> tuple[Tensor, Tensor]:
    """Levels `(down, up)` of an ancestral step: go down to the first, add noise of the second.

    `down^2 + up^2 = sigma_next^2`; `eta` 0 is deterministic, 1 the posterior's variance of DDPM.
    """
    if not eta:
        return sigma_next, torch.zeros_like(sigma_next)
    up = eta * (sigma_next**2 * (sigma**2 - sigma_next**2) / sigma**2).sqrt()
    up = torch.minimum(sigma_next, up)
    return (sigma_next**2 - up**2).sqrt(), up
