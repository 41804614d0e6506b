"""One sampling run: steps, noise, masks, the refiner; through a model that is a formula."""

from __future__ import annotations

import pytest
import torch
from closed_form import ClosedFormDenoiser

from segs_detailer.errors import CancelledError, InvalidArgumentError
from segs_detailer.models.denoise_mask import DifferentialThreshold, latent_mask
from segs_detailer.models.frame_noise import FrameNoise
from segs_detailer.models.noise import brownian_noise, seeded_noise
from segs_detailer.models.samplers import SAMPLERS
from segs_detailer.models.schedules import sigmas_for
from segs_detailer.models.stages import Run, SamplingOptions, Stage, run_stages, total_sigmas, total_steps


def stage_for(table, sampler="euler", scheduler="normal", total=16, cfg=5.0):
    denoiser = ClosedFormDenoiser(cfg)
    return Stage(lambda _: denoiser, table, total_sigmas(sampler, scheduler, table, total)), denoiser


def run_of(**changes):
    return Run(**{"sampler_name": "euler", "steps": 8, "denoise": 0.5, "seed": 7, **changes})


@pytest.fixture
def soft_mask(reference, source):
    return latent_mask(torch.from_numpy(reference["mask_soft"]), source)


@pytest.mark.parametrize(("steps", "denoise", "total"), [(20, 0.5, 40), (7, 0.33, 21), (1, 0.3, 3), (5, 1.0, 5)])
def test_schedule_is_made_for_steps_over_denoise(steps, denoise, total, source, table):
    assert total_steps(steps, denoise) == total
    stage, denoiser = stage_for(table, total=total)
    seen = []
    run_stages(source, stage, None, run_of(steps=steps, denoise=denoise, callback=lambda *step: seen.append(step)))
    assert denoiser.calls == steps
    assert [(step, of) for step, of, *_ in seen] == [(step, steps) for step in range(steps)]
    assert [sigma for *_, sigma in seen] == stage.sigmas[-steps - 1 : -1].tolist()


@pytest.mark.parametrize(("steps", "denoise"), [(0, 0.5), (5, 0.0), (5, 1.5)])
def test_impossible_steps_are_refused(steps, denoise):
    with pytest.raises(InvalidArgumentError, match="steps" if steps == 0 else "denoise"):
        total_steps(steps, denoise)


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_same_seed_same_latents(sampler, source, table):
    stage, _ = stage_for(table, sampler)
    first, again, other = (run_stages(source, stage, None, run_of(sampler_name=sampler, seed=s)) for s in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert bool(first.isfinite().all())


def test_largest_seed_is_taken(source, table):
    stage, _ = stage_for(table, "ddim")
    run = run_of(sampler_name="ddim", seed=2**64 - 1, mask=torch.ones(1, 1, 8, 8))
    assert bool(run_stages(source, stage, None, run).isfinite().all())


def test_own_noise_replaces_the_seeds(source, table):
    stage, _ = stage_for(table)
    seeded = run_stages(source, stage, None, run_of())
    given = run_stages(source, stage, None, run_of(seed=99, noise=seeded_noise(source, 7)))
    assert torch.equal(seeded, given)
    with pytest.raises(InvalidArgumentError, match="noise: expected shape"):
        run_stages(source, stage, None, run_of(noise=torch.zeros(1)))


class FirstNoise:
    """A model that predicts 0, so that after an `lcm` step there is nothing but that step's noise."""

    def __init__(self):
        self.seen = []

    def __call__(self, x, sigma):
        self.seen.append(x / sigma)
        return torch.zeros_like(x)


@pytest.mark.parametrize(("version", "seed"), [("0.8", 8), ("0.3", 7)])
def test_noise_between_steps_repeats_the_start_noise_before_0_8_alone(version, seed, source, table):
    model = FirstNoise()
    stage = Stage(lambda _: model, table, total_sigmas("lcm", "normal", table, 16))
    run_stages(source, stage, None, run_of(sampler_name="lcm", options=SamplingOptions(comfyui=version)))
    torch.testing.assert_close(model.seen[1], seeded_noise(source, seed))


@pytest.mark.parametrize("rule", [FrameNoise("fixed"), FrameNoise("shared"), FrameNoise(start=2)])
def test_noise_of_frames_under_a_rule_is_of_no_version(rule, source, table):
    stage, _ = stage_for(table, "euler_ancestral")
    one, other = (
        run_stages(source, stage, None, run_of(sampler_name="euler_ancestral", frame_noise=rule, options=options))
        for options in (SamplingOptions(), SamplingOptions(comfyui="0.3"))
    )
    assert torch.equal(one, other)


def test_unknown_version_lists_the_known_ones():
    with pytest.raises(InvalidArgumentError, match=r"comfyui: expected one of 0\.8, 0\.3, got '0\.9'"):
        SamplingOptions(comfyui="0.9")


def test_a_sampler_that_predicts_nothing_gives_what_it_was_given(source, table):
    # From its first level to its last positive one there is no way to go.
    stage, model = stage_for(table, "dpm_adaptive", total=2)
    result = run_stages(source, stage, None, run_of(sampler_name="dpm_adaptive", steps=1, denoise=0.5))
    assert model.calls == 0
    torch.testing.assert_close(result, source + stage.sigmas[1] * seeded_noise(source, 7))


def test_levels_that_lie_very_close_leave_sa_solver_its_digits(source, table):
    sigmas = sigmas_for("normal", table, 1000)[600:700]
    x = source + sigmas[0] * seeded_noise(source, 7)
    rounded, exact = (
        SAMPLERS["sa_solver"].run(ClosedFormDenoiser(5.0), x, levels, noise=None, stochastic=(0.0, 0.0))
        for levels in (sigmas, sigmas.double())
    )
    assert float((rounded - exact).abs().max()) < 0.05 * float(exact.std())


class LinearInLevel:
    """Predictions on straight lines over the noise level: they meet `end` at 0."""

    def __init__(self, end, slope):
        self.end, self.slope = end, slope

    def __call__(self, x, sigma):
        return self.with_unconditional(x, sigma)[0]

    def with_unconditional(self, x, sigma):
        return self.end + self.slope * sigma, torch.zeros_like(x)


@pytest.mark.parametrize("steps", [2, 5])
@pytest.mark.parametrize("options", [SamplingOptions(), SamplingOptions(refiner="recomposite")])
def test_cfgpp_ud10_ab_ends_at_the_extrapolated_prediction(steps, options, source, table):
    model = LinearInLevel(source.flip(0), source.cos())
    stage = Stage(lambda _: model, table, total_sigmas("cfgpp_ud10_ab", "normal", table, 2 * steps))
    run = run_of(sampler_name="cfgpp_ud10_ab", steps=steps, options=options, refiner_ratio=0.9)
    refiner = stage if options.refiner == "recomposite" else None
    torch.testing.assert_close(run_stages(source, stage, refiner, run), model.end, rtol=0, atol=1e-5)


def test_cfgpp_ud10_ab_by_hand():
    class Formula:
        def with_unconditional(self, x, sigma):
            return 0.5 * x + sigma, 0.25 * x

    seen = []
    levels = torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64)
    start = torch.ones((1, 1, 1, 1), dtype=torch.float64)
    end = SAMPLERS["cfgpp_ud10_ab"].run(
        Formula(), start, levels, noise=None, callback=lambda *step: seen.append(float(step[2]))
    )
    # Level 4: predictions 4.5 and 0.25, negative slope 0.75 / 4; the state becomes 4.5 + 2 * 0.1875.
    assert seen == [1.0, 4.875]
    # Level 2: 4.4375 and 1.21875, negative slope 1.828125, whose change by 1.640625 counts a tenth and half of that for
    # the shorter step. Euler's step is 1.47265625; that of Adams and Bashforth has the slopes -1.47265625 and -1.9375.
    slope = 1.828125 + 0.1 * 0.5 * 1.640625
    euler = 4.4375 + slope - 4.875
    assert float(end) == pytest.approx(4.875 + 0.75 * euler + 0.25 * (1.25 * euler - 0.25 * 1.9375))


@pytest.mark.parametrize("scheduler", ["normal", "karras", "simple", "sgm_uniform"])
@pytest.mark.parametrize("differential", [False, True])
def test_nothing_moves_where_the_mask_is_zero(scheduler, differential, source, table, soft_mask):
    mask = soft_mask * (soft_mask > 0.3)
    stage, _ = stage_for(table, scheduler=scheduler)
    result = run_stages(source, stage, None, run_of(mask=mask, differential=differential))
    outside = (mask == 0).expand_as(source)
    assert torch.equal(result[outside], source[outside])
    assert not torch.equal(result[~outside], source[~outside])


def test_comfyuis_differential_rule_leaks_on_the_last_step(source, table, soft_mask):
    mask = soft_mask * (soft_mask > 0.3)
    stage, _ = stage_for(table)
    run = run_of(mask=mask, differential=True, options=SamplingOptions(strict_mask=False))
    outside = (mask == 0).expand_as(source)
    assert float((run_stages(source, stage, None, run) - source)[outside].abs().max()) > 0.1


def test_soft_values_join_later(table):
    sigmas = sigmas_for("normal", table, 20)
    threshold = DifferentialThreshold(table, sigmas)
    mask = torch.tensor([0.0, 0.25, 0.5, 1.0])
    released = torch.stack([threshold(mask, sigma) for sigma in sigmas[:-1]])
    assert released[0].tolist() == [0, 0, 0, 1]
    assert released[-1].tolist() == [0, 1, 1, 1]
    assert bool((released.diff(dim=0) >= 0).all())
    joined = released.argmax(dim=0)
    assert int(joined[2]) < int(joined[1])


def test_schedule_without_steps_returns_the_input(source, table):
    denoiser = ClosedFormDenoiser(5.0)
    stage = Stage(lambda _: denoiser, table, torch.tensor([1.0, 0.0]))
    assert run_stages(source, stage, None, run_of()) is source
    assert denoiser.calls == 0


@pytest.mark.parametrize("sampler", ["euler", "heun", "ddim", "dpm_2", "euler_ancestral", "lcm"])
@pytest.mark.parametrize("ratio", [0.0, 0.25, 0.6, 1.0])
@pytest.mark.parametrize("differential", [False, True])
def test_refiner_equal_to_base_changes_nothing(sampler, ratio, differential, source, table, soft_mask):
    stage, _ = stage_for(table, sampler)
    settings = {"sampler_name": sampler, "mask": soft_mask, "differential": differential}
    single = run_stages(source, stage, None, run_of(**settings))
    assert torch.equal(run_stages(source, stage, stage, run_of(**settings, refiner_ratio=ratio)), single)


@pytest.mark.parametrize("options", [SamplingOptions(), SamplingOptions(refiner="recomposite")])
def test_refiner_runs_its_share_of_the_steps(options, source, table, soft_mask):
    base, base_model = stage_for(table)
    refiner, refiner_model = stage_for(table, cfg=1.0)
    seen = []
    run = run_of(
        steps=10, mask=soft_mask, refiner_ratio=0.25, options=options, callback=lambda *step: seen.append(step[:2])
    )
    base = Stage(base.denoiser, table, total_sigmas("euler", "normal", table, 20))
    refiner = Stage(refiner.denoiser, table, base.sigmas)
    run_stages(source, base, refiner, run)
    assert (base_model.calls, refiner_model.calls) == (7, 3)
    assert seen == [(step, 10) for step in range(10)]


def test_unknown_refiner_option_is_refused():
    with pytest.raises(InvalidArgumentError, match="refiner: expected 'continue' or 'recomposite', got 'blend'"):
        SamplingOptions(refiner="blend")


def test_callback_can_cancel(source, table):
    stage, denoiser = stage_for(table)

    def cancel(step, total, x0, x, sigma):
        if step == 2:
            raise CancelledError("stop")

    with pytest.raises(CancelledError, match="stop"):
        run_stages(source, stage, None, run_of(callback=cancel))
    assert denoiser.calls == 3


def test_callback_sees_the_prediction_and_the_state(source, table):
    stage, _ = stage_for(table)
    seen = []
    result = run_stages(source, stage, None, run_of(callback=lambda *step: seen.append(step)))
    assert torch.equal(seen[-1][2], result)
    noise = seeded_noise(source, 7)
    torch.testing.assert_close(seen[0][3], source + noise * stage.sigmas[8])


def test_mask_is_resized_with_half_pixel_centers(source):
    mask = torch.zeros(64, 64)
    mask[:, :32] = 1
    small = latent_mask(mask, source)
    assert small.shape == (1, 1, 8, 8)
    assert small[0, 0, 0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (64,)])
def test_masks_that_fit_no_frames_are_refused(shape, source):
    with pytest.raises(InvalidArgumentError, match="noise_mask: expected"):
        latent_mask(torch.zeros(shape), source)


def test_brownian_noise_is_one_path(source):
    low, middle, high = torch.tensor(0.03), torch.tensor(1.0), torch.tensor(14.6)
    noise = brownian_noise(source, 5, low, high, on_cpu=True)
    whole = noise(high, low) * (high - low).sqrt()
    parts = noise(high, middle) * (high - middle).sqrt() + noise(middle, low) * (middle - low).sqrt()
    torch.testing.assert_close(whole, parts, rtol=1e-4, atol=1e-4)
