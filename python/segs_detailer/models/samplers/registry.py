"""Every sampler by the name that ComfyUI's KSampler uses, with what it needs beside its function."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Literal, TypeAlias

from segs_detailer.errors import unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from segs_detailer.models.sigma_table import SigmaTable

__all__ = ["SAMPLERS", "SamplerFunction", "SamplerSpec", "sampler_named", "sampler_names"]

SamplerFunction: TypeAlias = "Callable[..., Tensor]"
"""`(denoiser, x, sigmas, *, noise, callback) -> x`."""


@dataclass(frozen=True, slots=True)
class SamplerSpec:
    """A sampler and its needs.

    Parameters
    ----------
    place : str
        Its module in this package and its function: names are wanted where nothing is sampled yet.
    noise : {"gaussian", "brownian", "brownian_device", "brownian_segment", "brownian_segment_device"}
        Kind of the noise between steps. A Brownian path spans the whole schedule, or the steps that are run
        ("segment"); it is drawn on the CPU, or on the latents' device ("device").
    drops_penultimate : bool
        The schedule is made for one step more, and its last positive level left out.
    pinned_seed_offset : int
        Added to the seed of the noise that the model sees outside a noise mask.
    stochastic_percents : tuple of float or None
        Shares of the sampling process between which the sampler injects noise; it takes their noise levels as
        `stochastic`.
    adaptive : bool
        It chooses its steps by the error over all latents: clips that are sampled together would change each other.
    ends_past_prediction : bool
        What it gives is its result; that of all others is their last prediction.
    stops_early : tuple of str
        Versions of ComfyUI whose own leaves a last step out when noise is to be left over; it takes that as
        `stop_early`.
    """

    place: str
    noise: Literal["gaussian", "brownian", "brownian_device", "brownian_segment", "brownian_segment_device"] = (
        "gaussian"
    )
    drops_penultimate: bool = False
    pinned_seed_offset: int = 0
    stochastic_percents: tuple[float, float] | None = None
    adaptive: bool = False
    ends_past_prediction: bool = False
    stops_early: tuple[str, ...] = ()

    @property
    def run(self) -> SamplerFunction:
        """The sampler."""
        module, _, function = self.place.partition(".")
        found: SamplerFunction = getattr(import_module(f"segs_detailer.models.samplers.{module}"), function)
        return found

    def bound(self, table: SigmaTable, *, leave_noise_as: str | None = None) -> SamplerFunction:
        """Give the sampler, with what it needs to know of the model's noise levels.

        `leave_noise_as`: the version of ComfyUI whose state it leaves to another model.
        """
        run = self.run
        if leave_noise_as in self.stops_early:
            run = partial(run, stop_early=True)
        if self.stochastic_percents is None:
            return run
        start, end = self.stochastic_percents
        return partial(run, stochastic=(table.percent_to_sigma(start), table.percent_to_sigma(end)))


_SA_SOLVER_PERCENTS = (0.2, 0.8)
"""Shares of the sampling process between which SA-Solver injects noise; its other steps are ODE steps."""

SAMPLERS: dict[str, SamplerSpec] = {
    "euler": SamplerSpec("euler.sample_euler"),
    "euler_cfg_pp": SamplerSpec("euler.sample_euler_cfg_pp"),
    "euler_ancestral": SamplerSpec("euler.sample_euler_ancestral"),
    "euler_ancestral_cfg_pp": SamplerSpec("euler.sample_euler_ancestral_cfg_pp"),
    "heun": SamplerSpec("euler.sample_heun"),
    "heunpp2": SamplerSpec("euler.sample_heunpp2"),
    "exp_heun_2_x0": SamplerSpec("sde.sample_exp_heun_2_x0"),
    "exp_heun_2_x0_sde": SamplerSpec("sde.sample_exp_heun_2_x0_sde"),
    "dpm_2": SamplerSpec("euler.sample_dpm_2", drops_penultimate=True),
    "dpm_2_ancestral": SamplerSpec("euler.sample_dpm_2_ancestral", drops_penultimate=True),
    "lms": SamplerSpec("multistep.sample_lms"),
    "dpm_fast": SamplerSpec("dpm_solver.sample_dpm_fast"),
    "dpm_adaptive": SamplerSpec("dpm_solver.sample_dpm_adaptive", adaptive=True),
    "dpmpp_2s_ancestral": SamplerSpec("dpmpp.sample_dpmpp_2s_ancestral"),
    "dpmpp_2s_ancestral_cfg_pp": SamplerSpec("dpmpp.sample_dpmpp_2s_ancestral_cfg_pp"),
    "dpmpp_sde": SamplerSpec("dpmpp.sample_dpmpp_sde", noise="brownian"),
    "dpmpp_sde_gpu": SamplerSpec("dpmpp.sample_dpmpp_sde", noise="brownian_device"),
    "dpmpp_2m": SamplerSpec("dpmpp.sample_dpmpp_2m"),
    "dpmpp_2m_cfg_pp": SamplerSpec("dpmpp.sample_dpmpp_2m_cfg_pp"),
    "dpmpp_2m_sde": SamplerSpec("dpmpp.sample_dpmpp_2m_sde", noise="brownian"),
    "dpmpp_2m_sde_gpu": SamplerSpec("dpmpp.sample_dpmpp_2m_sde", noise="brownian_device"),
    "dpmpp_2m_sde_heun": SamplerSpec("dpmpp.sample_dpmpp_2m_sde_heun", noise="brownian_segment"),
    "dpmpp_2m_sde_heun_gpu": SamplerSpec("dpmpp.sample_dpmpp_2m_sde_heun", noise="brownian_segment_device"),
    "dpmpp_3m_sde": SamplerSpec("dpmpp.sample_dpmpp_3m_sde", noise="brownian"),
    "dpmpp_3m_sde_gpu": SamplerSpec("dpmpp.sample_dpmpp_3m_sde", noise="brownian_device"),
    "ddpm": SamplerSpec("euler.sample_ddpm"),
    "lcm": SamplerSpec("euler.sample_lcm"),
    "ipndm": SamplerSpec("multistep.sample_ipndm"),
    "ipndm_v": SamplerSpec("multistep.sample_ipndm_v"),
    "deis": SamplerSpec("multistep.sample_deis"),
    "cfgpp_ud10_ab": SamplerSpec("multistep.sample_cfgpp_ud10_ab", ends_past_prediction=True),
    "res_multistep": SamplerSpec("multistep.sample_res_multistep"),
    "res_multistep_cfg_pp": SamplerSpec("multistep.sample_res_multistep_cfg_pp"),
    "res_multistep_ancestral": SamplerSpec("multistep.sample_res_multistep_ancestral"),
    "res_multistep_ancestral_cfg_pp": SamplerSpec("multistep.sample_res_multistep_ancestral_cfg_pp"),
    "gradient_estimation": SamplerSpec("multistep.sample_gradient_estimation"),
    "gradient_estimation_cfg_pp": SamplerSpec("multistep.sample_gradient_estimation_cfg_pp"),
    "er_sde": SamplerSpec("sde.sample_er_sde"),
    "seeds_2": SamplerSpec("sde.sample_seeds_2"),
    "seeds_3": SamplerSpec("sde.sample_seeds_3"),
    "sa_solver": SamplerSpec(
        "sa_solver.sample_sa_solver", stochastic_percents=_SA_SOLVER_PERCENTS, stops_early=("0.3",)
    ),
    "sa_solver_pece": SamplerSpec(
        "sa_solver.sample_sa_solver_pece", stochastic_percents=_SA_SOLVER_PERCENTS, stops_early=("0.3",)
    ),
    "ddim": SamplerSpec("euler.sample_euler", pinned_seed_offset=1),
    "uni_pc": SamplerSpec("uni_pc.sample_uni_pc", drops_penultimate=True, stops_early=("0.3", "0.8")),
    "uni_pc_bh2": SamplerSpec("uni_pc.sample_uni_pc_bh2", drops_penultimate=True, stops_early=("0.3", "0.8")),
}
"""Every sampler by its name. `ddim` is Euler's method: in sigma space DDIM's step (Song et al. 2020, eta 0) is that."""


def sampler_names() -> list[str]:
    """Names that `sampler_named` knows."""
    return list(SAMPLERS)


def sampler_named(name: str) -> SamplerSpec:
    """Find a sampler by its name.

    Raises
    ------
    InvalidArgumentError
        The name is unknown; the message lists the known ones, and asks about similar ones.
    """
    spec = SAMPLERS.get(name)
    if spec is None:
        raise unknown_name("sampler_name", name, SAMPLERS)
    return spec
