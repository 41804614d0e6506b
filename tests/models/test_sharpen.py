"""The preview sampler: sharper, within bounds, steady in time, honest about masks and steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segs_detailer.errors import CancelledError, InvalidArgumentError
from segs_detailer.models.interface import RefinerStage, SampleJob, Sampler
from segs_detailer.models.sharpen import SharpenSampler


def job_for(frames, **changes):
    values = {
        "pixels": frames,
        "positive": [],
        "negative": [],
        "seed": 0,
        "steps": 20,
        "cfg": 8.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 0.5,
    }
    return SampleJob(**{**values, **changes})


def soft_picture(height=97, width=131, *, scale=4, seed=0):
    """Overlapping rectangles, enlarged: flat areas and soft edges, as in a crop of a photograph. Odd sides."""
    random = np.random.default_rng(seed)
    rows, columns = height // scale + 2, width // scale + 2
    small = np.full((rows, columns, 3), 0.5, np.float32)
    for _ in range(25):
        y, x = random.integers(0, rows), random.integers(0, columns)
        small[y : y + random.integers(2, 12), x : x + random.integers(2, 12)] = random.random(3)
    image = torch.from_numpy(small).permute(2, 0, 1)[None]
    image = torch.nn.functional.interpolate(image, size=(height, width), mode="bicubic").clamp(0, 1)
    return image[0].permute(1, 2, 0).contiguous()


def gradient_energy(frames):
    down, right = frames.diff(dim=1), frames.diff(dim=2)
    return float(down.square().mean() + right.square().mean())


def window_range(frames, radius):
    image = frames.permute(0, 3, 1, 2)
    pool = torch.nn.functional.max_pool2d
    size = 2 * radius + 1
    padded = torch.nn.functional.pad(image, (radius,) * 4, mode="replicate")
    return [part.permute(0, 2, 3, 1) for part in (-pool(-padded, size, 1), pool(padded, size, 1))]


def test_it_is_a_sampler_that_takes_any_size():
    sampler = SharpenSampler()
    assert isinstance(sampler, Sampler)
    assert sampler.geometry.size_multiple == 1
    frames = torch.rand(2, 5, 7, 3)
    assert sampler.encode(frames) is frames
    assert sampler.decode(frames, full_precision=True) is frames


def test_result_is_sharper_by_a_measured_amount():
    frames = soft_picture()[None].repeat(3, 1, 1, 1)
    result = SharpenSampler().sample(frames, job_for(frames))
    assert gradient_energy(result) > 1.3 * gradient_energy(frames)


@pytest.mark.parametrize("denoise", [0.3, 1.0])
def test_no_value_leaves_the_range_of_its_surroundings(denoise):
    frames = torch.stack([soft_picture(seed=seed) for seed in range(3)])
    result = SharpenSampler(4.0).sample(frames, job_for(frames, denoise=denoise))
    low, high = window_range(frames, 5)
    assert bool((result >= low).all())
    assert bool((result <= high).all())
    assert result.min() >= frames.min()
    assert result.max() <= frames.max()


def test_an_edge_gets_steeper_without_a_halo():
    ramp = torch.linspace(-12, 12, 64).sigmoid() * 0.6 + 0.2
    frames = ramp[None, None, :, None].expand(1, 48, 64, 3).contiguous()
    result = SharpenSampler().sample(frames, job_for(frames, denoise=1.0))
    assert result.diff(dim=2).max() > 1.2 * frames.diff(dim=2).max()
    assert result.min() >= frames.min()
    assert result.max() <= frames.max()
    # Ringing would turn the slope back; less than one 8-bit step is none.
    assert float(result.diff(dim=2).min()) > -1 / 255


def test_noise_is_not_amplified():
    noise = 0.02 * torch.randn(5, 96, 96, 3, generator=torch.Generator().manual_seed(1))
    frames = 0.5 + noise
    result = SharpenSampler().sample(frames, job_for(frames))
    assert float(result.std()) < 1.05 * float(frames.std())


@pytest.mark.parametrize("size", [(64, 64), (37, 53), (97, 131)])
def test_still_clip_gives_a_still_result_bit_for_bit(size):
    frames = soft_picture(*size)[None].repeat(7, 1, 1, 1)
    result = SharpenSampler().sample(frames, job_for(frames))
    assert not torch.equal(result, frames)
    assert all(torch.equal(result[0], frame) for frame in result)


def test_neighbors_that_show_the_same_steady_the_change():
    still = soft_picture()[None].repeat(9, 1, 1, 1)
    frames = still + 0.01 * torch.randn(still.shape, generator=torch.Generator().manual_seed(3))
    together = SharpenSampler().sample(frames, job_for(frames)) - frames
    alone = torch.cat([SharpenSampler().sample(f[None], job_for(f[None])) for f in frames]) - frames
    assert float(together.std(dim=0).mean()) < 0.9 * float(alone.std(dim=0).mean())


def test_frames_of_another_scene_do_not_mix():
    a, b = soft_picture(seed=1), soft_picture(seed=2)
    frames = torch.stack([a, a, b, b])
    result = SharpenSampler().sample(frames, job_for(frames))
    # The second frame has one neighbor like itself and one of another scene, which must not leave a trace.
    assert float((result[1] - result[0]).abs().mean()) < 0.1 * float((result[0] - a).abs().mean())


def test_reach_in_time_is_what_it_says():
    frames = torch.stack([soft_picture(seed=0) + 0.002 * i for i in range(6)])
    sampler = SharpenSampler()
    full = sampler.sample(frames, job_for(frames))
    reach = sampler.geometry.reach
    piece = sampler.sample(frames[2 - reach : 4 + reach], job_for(frames))
    # Measured strength of blur and noise may differ in the last digits between stack and piece, the rest may not.
    assert torch.allclose(full[2:4], piece[reach : reach + 2], atol=2e-3)
    without = sampler.sample(frames[2:4], job_for(frames))
    assert not torch.equal(without, piece[reach : reach + 2])


def test_mask_zero_keeps_every_bit_and_soft_values_blend():
    frames = torch.stack([soft_picture(seed=seed) for seed in range(3)])
    mask = torch.zeros(1, *frames.shape[1:3])
    mask[:, :, 40:80] = 1.0
    mask[:, :, 80:] = 0.5
    whole = SharpenSampler().sample(frames, job_for(frames))
    result = SharpenSampler().sample(frames, job_for(frames, noise_mask=mask))
    assert torch.equal(result[:, :, :40], frames[:, :, :40])
    assert torch.equal(result[:, :, 40:80], frames[:, :, 40:80] + (whole - frames)[:, :, 40:80])
    middle = 0.5 * (frames + whole)
    assert torch.allclose(result[:, :, 80:], middle[:, :, 80:], atol=1e-6)


def test_one_mask_per_frame():
    frames = torch.stack([soft_picture(seed=seed) for seed in range(3)])
    mask = torch.zeros(3, *frames.shape[1:3])
    mask[1] = 1.0
    result = SharpenSampler().sample(frames, job_for(frames, noise_mask=mask))
    assert torch.equal(result[0], frames[0])
    assert torch.equal(result[2], frames[2])
    assert not torch.equal(result[1], frames[1])


def test_strength_follows_denoise_and_steps_bound_the_iterations():
    frames = soft_picture()[None]
    sampler = SharpenSampler()

    def change(**settings):
        return float((sampler.sample(frames, job_for(frames, **settings)) - frames).abs().mean())

    assert change(denoise=0.1) < change(denoise=0.4) < change(denoise=1.0)
    assert change(steps=1) < change(steps=4)
    assert change(steps=4) == change(steps=20)


def test_input_is_unchanged_and_callback_counts_the_steps():
    frames = soft_picture()[None]
    before = frames.clone()
    calls = []
    SharpenSampler().sample(frames, job_for(frames, steps=3, callback=lambda *a: calls.append((a[0], a[1], a[4]))))
    assert torch.equal(frames, before)
    assert [call[:2] for call in calls] == [(0, 3), (1, 3), (2, 3)]
    assert calls[-1][2] == 0


def test_callback_may_cancel():
    frames = soft_picture()[None]

    def cancel(*_):
        raise CancelledError("enough")

    with pytest.raises(CancelledError):
        SharpenSampler().sample(frames, job_for(frames, callback=cancel))


def test_refiner_takes_over_for_its_share():
    frames = soft_picture()[None]

    class Recorder(SharpenSampler):
        def sample(self, latents, job):
            self.seen = (latents.clone(), job)
            return super().sample(latents, job)

    recorder = Recorder()
    stage = RefinerStage(sampler=recorder, positive=["p"], negative=["n"], ratio=0.25)
    result = SharpenSampler().sample(frames, job_for(frames, steps=8, refiner=stage))
    latents, job = recorder.seen
    assert job.steps == 2
    assert (job.positive, job.negative, job.refiner) == (["p"], ["n"], None)
    assert not torch.equal(latents, frames)
    assert not torch.equal(result, latents)


@pytest.mark.parametrize("shape", [(0, 8, 8, 3), (1, 1, 1, 3), (2, 1, 9, 3), (1, 6, 2, 3)])
def test_small_and_empty_stacks(shape):
    frames = torch.rand(shape)
    result = SharpenSampler().sample(frames, job_for(frames))
    assert result.shape == frames.shape
    assert bool(torch.isfinite(result).all())


def test_errors_name_the_argument():
    with pytest.raises(InvalidArgumentError, match="strength"):
        SharpenSampler(9.0)
    with pytest.raises(InvalidArgumentError, match="latents"):
        SharpenSampler().sample(torch.rand(4, 8, 8), job_for(torch.rand(4, 8, 8)))


def test_preview_says_that_it_is_one():
    assert "preview" in SharpenSampler.info.note
    assert np.isfinite(SharpenSampler().strength)
