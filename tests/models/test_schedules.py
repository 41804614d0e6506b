from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from segs_detailer.errors import InvalidArgumentError, ModelError
from segs_detailer.models.schedules import SCHEDULES, schedule_names, sigmas_for
from segs_detailer.models.sigma_table import SigmaTable

REFERENCE_NAMES = [name for name in SCHEDULES if not name.startswith("AYS")]


@pytest.fixture(scope="module")
def tables(table):
    animatediff = SigmaTable.from_config({"beta_schedule": "linear", "beta_start": 0.00085, "beta_end": 0.012})
    return {"sigmas": table, "sigmas_animatediff": animatediff}


def test_training_levels_are_the_references(tables, reference):
    np.testing.assert_array_equal(tables["sigmas"].sigmas.numpy(), reference["model_sigmas/sd15"])
    np.testing.assert_array_equal(
        tables["sigmas_animatediff"].sigmas.numpy(), reference["model_sigmas/animatediff_sqrt_linear"]
    )


@pytest.mark.parametrize("name", REFERENCE_NAMES)
def test_schedules_agree_with_the_reference(name, tables, reference):
    compared = 0
    for key, expected in reference.items():
        kind, _, rest = key.partition("/")
        scheduler, _, steps = rest.partition("/")
        if kind not in tables or scheduler != name or not np.isfinite(expected).all():
            continue
        got = sigmas_for(name, tables[kind], int(steps)).numpy()
        assert got.shape == expected.shape, key
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-7, err_msg=key)
        compared += 1
    assert compared >= 14


@pytest.mark.parametrize("name", schedule_names())
@pytest.mark.parametrize("steps", [1, 2, 13, 300])
def test_every_schedule_falls_to_zero(name, steps, table):
    sigmas = sigmas_for(name, table, steps)
    assert sigmas.dtype == torch.float32
    assert bool((sigmas.diff() <= 0).all())
    assert float(sigmas[-1]) == 0
    assert float(sigmas[-2]) > 0
    if name not in ("beta", "ddim_uniform"):
        assert len(sigmas) == steps + 1


@pytest.mark.parametrize(
    ("name", "timesteps"),
    [
        ("AYS SD1", [999, 850, 736, 645, 545, 455, 343, 233, 124, 24]),
        ("AYS SDXL", [999, 845, 730, 587, 443, 310, 193, 116, 53, 13]),
    ],
)
def test_align_your_steps_gives_the_levels_of_the_published_timesteps(name, timesteps, table):
    sigmas = sigmas_for(name, table, 10)
    np.testing.assert_allclose(sigmas[:-1].numpy(), table.sigmas[timesteps].numpy(), rtol=1e-6)


def test_unknown_schedule_lists_the_known_ones(table):
    with pytest.raises(InvalidArgumentError, match=r"scheduler: expected one of normal, karras.*got 'quick'"):
        sigmas_for("quick", table, 10)


def test_schedule_needs_a_step(table):
    with pytest.raises(InvalidArgumentError, match="steps: expected at least 1, got 0"):
        sigmas_for("normal", table, 0)


def test_timesteps_and_levels_are_inverse(table):
    timesteps = torch.tensor([0, 1, 500, 999])
    torch.testing.assert_close(table.timestep(table.sigmas[timesteps]), timesteps)
    torch.testing.assert_close(table.sigma(timesteps), table.sigmas[timesteps])
    middle = table.sigma(torch.tensor(500.5))
    assert float(middle) == pytest.approx(math.sqrt(float(table.sigmas[500] * table.sigmas[501])), rel=1e-6)
    assert int(table.timestep(torch.tensor(0.0))) == 0


def test_percents_run_from_noise_to_clean(table):
    assert table.percent_to_sigma(0.0) == math.inf
    assert table.percent_to_sigma(1.0) == 0.0
    assert table.percent_to_sigma(0.5) == pytest.approx(float(table.sigma(torch.tensor(499.5))))


def test_zero_terminal_snr_ends_in_almost_pure_noise(table):
    rescaled = SigmaTable.from_config({"beta_schedule": "scaled_linear", "rescale_betas_zero_snr": True})
    assert float(rescaled.sigma_max) == pytest.approx(4518.76, rel=1e-4)
    assert float(rescaled.sigma_min) == pytest.approx(float(table.sigma_min), rel=1e-4)


def test_trained_betas_and_cosine_schedules():
    trained = SigmaTable.from_config({"trained_betas": [0.1, 0.2]})
    np.testing.assert_allclose(trained.sigmas.numpy(), [math.sqrt(0.1 / 0.9), math.sqrt(0.28 / 0.72)], rtol=1e-6)
    assert len(SigmaTable.from_config({"beta_schedule": "squaredcos_cap_v2"}).sigmas) == 1000
    with pytest.raises(ModelError, match="unknown beta_schedule 'cubic'; known: linear"):
        SigmaTable.from_config({"beta_schedule": "cubic"})
    with pytest.raises(InvalidArgumentError, match="trained_betas"):
        SigmaTable.from_config({"trained_betas": [0.0, 2.0]})
