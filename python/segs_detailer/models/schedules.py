"""Noise schedules by the names that ComfyUI's KSampler uses.

Each is a pure function `(table, steps) -> sigmas`: float32 on the CPU, descending, the last one 0.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from segs_detailer._lazy import LazyModule
from segs_detailer.errors import InvalidArgumentError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from torch import Tensor

    from segs_detailer.models.sigma_table import SigmaTable
else:
    # The names of the schedules are wanted long before one is computed.
    torch = LazyModule("torch")

__all__ = ["SCHEDULES", "Schedule", "schedule_names", "sigmas_for"]

Schedule: TypeAlias = "Callable[[SigmaTable, int], Tensor]"

_Floats: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"

_KARRAS_RHO = 7.0
_BETA_SHAPE = 0.6
_LINEAR_QUADRATIC_THRESHOLD = 0.025
_ZERO_TOLERANCE = 1e-5

_ALIGN_YOUR_STEPS: dict[str, tuple[float, ...]] = {
    "AYS SD1": (
        *(14.6146412293, 6.4745760956, 3.8636745985, 2.6946151520, 1.8841921177, 1.3943805092),
        *(0.9642583904, 0.6523686016, 0.3977456272, 0.1515232662, 0.0291671582),
    ),
    "AYS SDXL": (
        *(14.6146412293, 6.3184485287, 3.7681790315, 2.1811480769, 1.3405244945, 0.8620721141),
        *(0.5550693289, 0.3798540708, 0.2332364134, 0.1114188177, 0.0291671582),
    ),
    "AYS SVD": (700.00, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002),
}
"""Ten-step schedules published with Sabour et al. 2024, "Align Your Steps"; the first two as timesteps of SD 1.5's
table (999, 850, 736, 645, 545, 455, 343, 233, 124, 24, 0, and 999, 845, 730, 587, 443, 310, 193, 116, 53, 13, 0), whose
noise levels these are."""


def _with_zero(sigmas: Sequence[float] | Tensor) -> Tensor:
    return torch.cat([torch.as_tensor(sigmas, dtype=torch.float32).flatten(), torch.zeros(1)])


def normal(table: SigmaTable, steps: int) -> Tensor:
    """Evenly spaced timesteps from the noisiest to the cleanest, both included."""
    first, last = table.timestep(table.sigma_max), table.timestep(table.sigma_min)
    return _with_zero(table.sigma(torch.linspace(float(first), float(last), steps)))


def sgm_uniform(table: SigmaTable, steps: int) -> Tensor:
    """Evenly spaced timesteps that stop one step short of the cleanest, as in Stability's generative-models."""
    first, last = table.timestep(table.sigma_max), table.timestep(table.sigma_min)
    return _with_zero(table.sigma(torch.linspace(float(first), float(last), steps + 1)[:-1]))


def simple(table: SigmaTable, steps: int) -> Tensor:
    """Every `T / steps`-th entry of the table, from its end, without interpolation."""
    stride = len(table.sigmas) / steps
    return _with_zero(table.sigmas[[-(1 + int(step * stride)) for step in range(steps)]])


def ddim_uniform(table: SigmaTable, steps: int) -> Tensor:
    """Every `T // steps`-th entry from the second one on, as DDIM picks its timesteps.

    Where `steps` does not divide the table this gives more levels than asked for; a run takes those that it needs.
    """
    stride = max(len(table.sigmas) // steps, 1)
    return _with_zero(table.sigmas[1::stride].flip(0))


def karras(table: SigmaTable, steps: int) -> Tensor:
    """Equation 5 of Karras et al. 2022, rho 7, between the table's ends."""
    ramp = torch.linspace(0, 1, steps)
    low, high = float(table.sigma_min) ** (1 / _KARRAS_RHO), float(table.sigma_max) ** (1 / _KARRAS_RHO)
    return _with_zero((high + ramp * (low - high)) ** _KARRAS_RHO)


def exponential(table: SigmaTable, steps: int) -> Tensor:
    """Evenly spaced log sigmas between the table's ends."""
    low, high = math.log(float(table.sigma_min)), math.log(float(table.sigma_max))
    return _with_zero(torch.linspace(high, low, steps).exp())


def beta(table: SigmaTable, steps: int) -> Tensor:
    """Timesteps at the quantiles of a beta distribution (0.6, 0.6): Lee et al. 2024, "Beta Sampling is All You Need".

    Neighbors that fall on one timestep are merged, so that many steps can give fewer levels than asked for.
    """
    last = len(table.sigmas) - 1
    quantiles = _beta_quantiles(1 - np.linspace(0, 1, steps, endpoint=False), _BETA_SHAPE)
    timesteps = np.rint(quantiles * last).astype(np.int64).tolist()
    return _with_zero(table.sigmas[list(dict.fromkeys(timesteps))])


def linear_quadratic(table: SigmaTable, steps: int) -> Tensor:
    """Small linear steps first, then quadratically growing ones: the schedule of Genmo's Mochi 1."""
    if steps == 1:
        return _with_zero([float(table.sigma_max)])
    linear_steps = steps // 2
    quadratic_steps = steps - linear_steps
    slope = _LINEAR_QUADRATIC_THRESHOLD / linear_steps
    surplus = linear_steps - _LINEAR_QUADRATIC_THRESHOLD * steps
    square = surplus / (linear_steps * quadratic_steps**2)
    tilt = slope - 2 * surplus / quadratic_steps**2
    offset = square * linear_steps**2
    progress = [slope * step for step in range(linear_steps)]
    progress += [square * step**2 + tilt * step + offset for step in range(linear_steps, steps)]
    return _with_zero((1 - torch.tensor(progress, dtype=torch.float64)).float() * table.sigma_max)


def kl_optimal(table: SigmaTable, steps: int) -> Tensor:
    """Evenly spaced arctangents: the optimum under a KL bound, Sabour et al. 2024, "Align Your Steps"."""
    low, high = math.atan(float(table.sigma_min)), math.atan(float(table.sigma_max))
    share = torch.arange(steps, dtype=torch.float32) / max(steps - 1, 1)
    return _with_zero(torch.tan(share * low + (1 - share) * high))


def _align_your_steps(levels: tuple[float, ...]) -> Schedule:
    def schedule(table: SigmaTable, steps: int) -> Tensor:  # noqa: ARG001 - published for a model family, not a table
        positions = np.linspace(0, 1, steps + 1)
        logs = np.interp(positions, np.linspace(0, 1, len(levels)), np.log(levels))
        return _with_zero(torch.from_numpy(np.exp(logs[:-1])))

    return schedule


SCHEDULES: dict[str, Schedule] = {
    "normal": normal,
    "karras": karras,
    "simple": simple,
    "sgm_uniform": sgm_uniform,
    "exponential": exponential,
    "ddim_uniform": ddim_uniform,
    "beta": beta,
    "linear_quadratic": linear_quadratic,
    "kl_optimal": kl_optimal,
} | {name: _align_your_steps(levels) for name, levels in _ALIGN_YOUR_STEPS.items()}
"""Every schedule by its name."""


def schedule_names() -> list[str]:
    """Names that `sigmas_for` knows."""
    return list(SCHEDULES)


def sigmas_for(name: str, table: SigmaTable, steps: int) -> Tensor:
    """Noise levels of a named schedule.

    Parameters
    ----------
    name : str
        One of `schedule_names()`.
    table : SigmaTable
        The model's noise levels.
    steps : int
        Steps of the whole schedule, at least 1.

    Returns
    -------
    Tensor
        Float32 `(steps + 1,)`, descending to 0. `ddim_uniform` and `beta` may give another count.

    Raises
    ------
    InvalidArgumentError
        The name is unknown, or there are no steps.
    """
    if steps < 1:
        raise InvalidArgumentError("steps", "at least 1", str(steps))
    schedule = SCHEDULES.get(name)
    if schedule is None:
        raise unknown_name("scheduler", name, SCHEDULES)
    return schedule(table, steps)


def _beta_quantiles(shares: _Floats, shape: float) -> _Floats:
    """Quantiles of the symmetric beta distribution, by bisection to the last bit."""
    low, high = np.zeros_like(shares), np.ones_like(shares)
    for _ in range(60):
        middle = (low + high) / 2
        below = _beta_distribution(middle, shape) < shares
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    # The median falls between two timesteps, where a rounding error would choose: it is exact by symmetry.
    return np.asarray(np.where(shares == 0.5, 0.5, (low + high) / 2))


def _beta_distribution(x: _Floats, shape: float) -> _Floats:
    """Regularised incomplete beta function I_x(shape, shape), by its continued fraction (DLMF 8.17.22)."""
    # The fraction converges fast below 1/2; the distribution is symmetric.
    small = np.minimum(x, 1 - x)
    fraction = np.ones_like(small)
    for m in range(60, 0, -1):
        odd = -(shape + m - 1) * (2 * shape + m - 1) * small / ((shape + 2 * m - 2) * (shape + 2 * m - 1))
        even = m * (shape - m) * small / ((shape + 2 * m - 1) * (shape + 2 * m))
        fraction = 1 + odd / (1 + even / fraction)
    scale = math.exp(math.lgamma(2 * shape) - 2 * math.lgamma(shape)) / shape
    lower = scale * (small * (1 - small)) ** shape / fraction
    return np.asarray(np.where(x > 0.5, 1 - lower, lower))
