"""Noise levels that a model was trained on, and the way between noise level and timestep."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from segs_detailer.errors import InvalidArgumentError, ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SigmaTable", "betas_from_config"]

_ZERO_SNR_ALPHA = 4.8973451890853435e-08
"""Cumulative alpha put in place of 0 at the last timestep of a zero-terminal-SNR table: its sigma stays finite."""


@dataclass(frozen=True, slots=True, eq=False)
class SigmaTable:
    """Noise levels of the training timesteps, ascending.

    Parameters
    ----------
    sigmas : Tensor
        `(T,)` float32: `sqrt((1 - a) / a)` of the cumulative alphas.
    log_sigmas : Tensor
        `(T,)` float32: their logarithms, taken in float64 and then rounded.
    stride : int
        Training timesteps from one level to the next; a distilled model knows only every `stride`-th, up to the last.
    """

    sigmas: Tensor
    log_sigmas: Tensor
    stride: int = 1

    @classmethod
    def from_betas(cls, betas: np.ndarray[Any, np.dtype[np.float64]], *, zero_terminal_snr: bool = False) -> SigmaTable:
        """Table of a discrete variance-preserving process (Ho et al. 2020, in the form of Karras et al. 2022).

        Parameters
        ----------
        betas : ndarray
            `(T,)` float64 in (0, 1).
        zero_terminal_snr : bool
            Rescale so that the last timestep holds no signal (Lin et al. 2023, algorithm 1).
        """
        alphas = np.cumprod(1.0 - betas)
        if zero_terminal_snr:
            roots = np.sqrt(alphas)
            roots = (roots - roots[-1]) * (roots[0] / (roots[0] - roots[-1]))
            alphas = roots**2
            alphas[-1] = _ZERO_SNR_ALPHA
        sigmas = np.sqrt((1.0 - alphas) / alphas)
        # The logarithm of a rounded sigma would move the Brownian samplers' times by 1e-2 of a step.
        return cls(torch.from_numpy(sigmas).float(), torch.from_numpy(np.log(sigmas)).float())

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> SigmaTable:
        """Table of a diffusers scheduler's configuration.

        Parameters
        ----------
        config : mapping
            Keys `beta_schedule`, `beta_start`, `beta_end`, `num_train_timesteps`, `trained_betas`,
            `rescale_betas_zero_snr`, as diffusers writes them, and LCMScheduler's `original_inference_steps`.
        """
        table = cls.from_betas(betas_from_config(config), zero_terminal_snr=bool(config.get("rescale_betas_zero_snr")))
        steps = config.get("original_inference_steps")
        return table if steps is None else table.distilled(int(steps))

    def distilled(self, steps: int) -> SigmaTable:
        """Keep the levels of a consistency model's training (Luo et al. 2023): every `T / steps`-th, up to the last.

        Parameters
        ----------
        steps : int
            Levels to keep, 1 to T.
        """
        if not 1 <= steps <= len(self.sigmas):
            raise InvalidArgumentError("original_inference_steps", f"1 to {len(self.sigmas)}", str(steps))
        stride = len(self.sigmas) // steps
        kept = slice(len(self.sigmas) - 1 - (steps - 1) * stride, None, stride)
        return SigmaTable(self.sigmas[kept], self.log_sigmas[kept], stride * self.stride)

    @property
    def sigma_min(self) -> Tensor:
        """Noise level of the first timestep."""
        return self.sigmas[0]

    @property
    def sigma_max(self) -> Tensor:
        """Noise level of the last timestep."""
        return self.sigmas[-1]

    @property
    def highest(self) -> float | None:
        """Highest level that there can be at all; None where there is no end."""
        return None

    def timestep(self, sigma: Tensor) -> Tensor:
        """Training timestep nearest to `sigma` in log sigma, as int64.

        A `sigma` of 0 gives timestep 0.
        """
        nearest = (sigma.float().log() - self.log_sigmas[:, None]).abs().argmin(dim=0).view(sigma.shape)
        return nearest * self.stride + (self.stride - 1)

    def sigma(self, timestep: Tensor) -> Tensor:
        """Noise level of a timestep that may be fractional: linear in log sigma, clamped to the table's ends."""
        t = ((timestep.float() - (self.stride - 1)) / self.stride).clamp(0, len(self.sigmas) - 1)
        low, high, weight = t.floor().long(), t.ceil().long(), t.frac()
        return ((1 - weight) * self.log_sigmas[low] + weight * self.log_sigmas[high]).exp()

    def noised(self, clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        """Clean latents with noise of standard deviation 1 at a noise level: `clean + sigma * noise`."""
        return clean + sigma * noise

    def start(self, clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        """Latents at a run's start: at the model's own maximum the noise gets its training's full variance."""
        maximum = float(self.sigma_max)
        at_maximum = float(sigma) > maximum or math.isclose(float(sigma), maximum, rel_tol=1e-5)
        return clean + noise * ((1 + sigma**2).sqrt() if at_maximum else sigma)

    def percent_to_sigma(self, percent: float) -> float:
        """Noise level at a share of the sampling process: 0 is its start (infinity), 1 its end (0)."""
        if percent <= 0:
            return math.inf
        if percent >= 1:
            return 0.0
        return float(self.sigma(torch.tensor((1 - percent) * (len(self.sigmas) * self.stride - 1))))


def betas_from_config(config: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Betas `(T,)` float64 of a diffusers scheduler's configuration.

    Raises
    ------
    ModelError
        The configuration names a beta schedule that diffusers does not have either.
    """
    trained = config.get("trained_betas")
    if trained is not None:
        betas = np.asarray(trained, dtype=np.float64)
        if betas.ndim != 1 or not ((betas > 0) & (betas < 1)).all():
            raise InvalidArgumentError("trained_betas", "one dimension of values in (0, 1)", f"shape {betas.shape}")
        return betas
    schedule = str(config.get("beta_schedule", "scaled_linear"))
    start, end = float(config.get("beta_start", 0.00085)), float(config.get("beta_end", 0.012))
    count = int(config.get("num_train_timesteps", 1000))
    if schedule == "linear":
        return np.linspace(start, end, count, dtype=np.float64)
    if schedule == "scaled_linear":
        return np.linspace(start**0.5, end**0.5, count, dtype=np.float64) ** 2
    if schedule == "squaredcos_cap_v2":
        # Nichol and Dhariwal 2021, with their offset of 0.008 and the beta capped at 0.999.
        bars = np.cos((np.arange(count + 1) / count + 0.008) / 1.008 * np.pi / 2) ** 2
        return np.asarray(np.minimum(1 - bars[1:] / bars[:-1], 0.999), dtype=np.float64)
    raise ModelError(f"unknown beta_schedule {schedule!r}; known: linear, scaled_linear, squaredcos_cap_v2")
