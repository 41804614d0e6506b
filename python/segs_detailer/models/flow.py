"""Flow matching: noise levels from 0 to 1, and the samplers that hold for them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from segs_detailer.errors import InvalidArgumentError, unknown_name
from segs_detailer.models.sigma_table import SigmaTable

__all__ = ["FLOW_SAMPLERS", "FLOW_SCHEDULES", "FlowTable", "check_flow_sampler"]

FLOW_SAMPLERS = (
    "euler",
    "ddim",
    "heun",
    "heunpp2",
    "dpm_2",
    "lms",
    "dpm_fast",
    "dpm_adaptive",
    "dpmpp_2m",
    "ipndm",
    "ipndm_v",
    "deis",
    "res_multistep",
    "gradient_estimation",
    "uni_pc",
    "uni_pc_bh2",
)
"""Samplers of the probability-flow ODE. With `x = (1 - s) x0 + s noise` the ODE is `dx/ds = (x - x0) / s`, the very
form that they solve; those that add noise, or renoise along another prediction (`_cfg_pp`), assume that the clean part
keeps its full weight, which is not so here."""

FLOW_SCHEDULES = (
    "simple",
    "normal",
    "sgm_uniform",
    "ddim_uniform",
    "beta",
    "karras",
    "exponential",
    "linear_quadratic",
    "kl_optimal",
)
"""Schedules that are made from a model's own noise levels; the published lists of Align Your Steps are not."""

_TIMESTEPS = 1000


@dataclass(frozen=True, slots=True, eq=False)
class FlowTable(SigmaTable):
    """Noise levels of a rectified flow (Lipman et al. 2023, Liu et al. 2023), shifted towards the noisy end.

    Levels are `s = shift t / (1 + (shift - 1) t)` for t evenly spaced in (0, 1] (Esser et al. 2024, section 5.3.2).
    The model's timestep is 1000 s.
    """

    shift: float = 1.0

    @classmethod
    def shifted(cls, shift: float) -> FlowTable:
        """Table of 1000 levels.

        Parameters
        ----------
        shift : float
            Above 0; 3 to 8 for Wan, the larger the larger the picture.
        """
        if not shift > 0:
            raise InvalidArgumentError("shift", "a number above 0", str(shift))
        times = torch.arange(1, _TIMESTEPS + 1, dtype=torch.float64) / _TIMESTEPS
        levels = shift * times / (1 + (shift - 1) * times)
        return cls(levels.float(), levels.log().float(), shift=float(shift))

    @property
    def highest(self) -> float | None:
        """Pure noise."""
        return 1.0

    def timestep(self, sigma: Tensor) -> Tensor:
        """Timestep of a level, in (0, 1000], as float32."""
        return sigma.float() * _TIMESTEPS

    def sigma(self, timestep: Tensor) -> Tensor:
        """Level of an unshifted timestep: what the schedules space evenly is shifted once more, as in ComfyUI."""
        time = timestep.float() / _TIMESTEPS
        return self.shift * time / (1 + (self.shift - 1) * time)

    def noised(self, clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        """Straight line from clean latents to noise: `(1 - sigma) * clean + sigma * noise`."""
        return (1 - sigma) * clean + sigma * noise

    def start(self, clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        """Latents at a run's start."""
        return self.noised(clean, noise, sigma)

    def percent_to_sigma(self, percent: float) -> float:
        """Noise level at a share of the sampling process: 0 is its start, 1 its end."""
        return float(self.sigma(torch.tensor((1 - min(max(percent, 0.0), 1.0)) * _TIMESTEPS)))


def check_flow_sampler(sampler_name: str, scheduler: str | None) -> None:
    """Refuse samplers and schedules that make no sense for a flow-matching model.

    Parameters
    ----------
    sampler_name : str
        The sampler.
    scheduler : str or None
        The schedule; `None` where a function replaces it.

    Raises
    ------
    InvalidArgumentError
        The name is unknown, or does not hold for flow matching.
    """
    for argument, name, known in (
        ("sampler_name", sampler_name, FLOW_SAMPLERS),
        ("scheduler", scheduler, FLOW_SCHEDULES),
    ):
        if name is not None and name not in known:
            raise unknown_name(argument, name, known, expected="one for flow matching ({})")
