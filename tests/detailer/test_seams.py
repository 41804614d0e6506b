"""Seams: edges of masks, colors along them, what the VAE alone changes, and the noise of the frames, by numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fake_sampler import FakeSampler, constant, identity, pipe_of, segment, segs_of, smooth_clip
from segs_detailer.crop_path import CropPath
from segs_detailer.detailer import DetailerSettings, detail_frames
from segs_detailer.detailer.seams import match_colors
from segs_detailer.detailer.seams.color import REACH, edge_band
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, ModelError
from segs_detailer.models.frame_noise import FrameNoise
from segs_detailer.models.info import Geometry

FRAMES = 7
REGION = (8, 8, 72, 72)
SHIFT = torch.tensor([0.12, 0.0, -0.08])


def clip_of(frames=FRAMES):
    return smooth_clip(frames, 80, 96) * 0.5 + 0.25


def square(inner=12, frames=None):
    """A mask with an edge `inner` pixels inside the crop."""
    mask = np.zeros((64, 64), np.float32)
    mask[inner:-inner, inner:-inner] = 1
    return mask if frames is None else np.repeat(mask[None], frames, axis=0)


def detail(frames, seg=None, sampler=None, **settings):
    settings = {"guide_size": 8, "steps": 1, "feather": 0, "noise_mask_feather": 0, **settings}
    sampler = FakeSampler() if sampler is None else sampler
    seg = segment(REGION, mask=square()) if seg is None else seg
    result = detail_frames(frames, segs_of(frames, seg), pipe_of(sampler), **settings)
    return result, sampler


def in_crop(frames):
    return frames[:, 8:72, 8:72]


def step_at_the_edge(painted, frames, inner=12):
    """Mean difference to the frame, just inside the mask's edge: what is seen as a seam."""
    change = (in_crop(painted) - in_crop(frames)).abs().mean(dim=-1)
    ring = torch.zeros(64, 64, dtype=torch.bool)
    ring[inner:-inner, inner:-inner] = True
    ring[inner + 3 : -inner - 3, inner + 3 : -inner - 3] = False
    return float(change[:, ring].mean())


def shifted(pixels, job):
    """Colors that drift, under the mask only, as a diffusion model leaves them."""
    mask = 1 if job.noise_mask is None else job.noise_mask[..., None]
    return (pixels + mask * SHIFT).clamp(0, 1)


class TestEdges:
    @pytest.mark.parametrize("grow", [-4, 0, 6])
    def test_the_pasted_mask_grows_before_it_is_softened(self, grow):
        frames = clip_of()
        result, sampler = detail(frames, sampler=FakeSampler(constant(0.0)), grow=grow)
        painted = (in_crop(result.frames) != in_crop(frames)).any(-1)
        assert torch.equal(painted[0], torch.from_numpy(square(12 - grow) > 0))
        # What is sampled stays.
        assert torch.equal(sampler.jobs[0].noise_mask[0], torch.from_numpy(square(12)))
        soft, _ = detail(frames, sampler=FakeSampler(constant(0.0)), grow=grow, feather=2)
        softened = (in_crop(soft.frames) != in_crop(frames)).any(-1)
        assert torch.equal(softened[0], torch.from_numpy(square(12 - grow - 2) > 0))

    def test_the_sampled_mask_grows_alone(self):
        frames = clip_of()
        result, sampler = detail(frames, sampler=FakeSampler(constant(0.0)), noise_mask_grow=5)
        assert torch.equal(sampler.jobs[0].noise_mask[0], torch.from_numpy(square(7)))
        painted = (in_crop(result.frames) != in_crop(frames)).any(-1)
        assert torch.equal(painted[0], torch.from_numpy(square(12) > 0))

    def test_a_crop_without_mask_has_no_edge_to_move(self):
        frames = clip_of()
        result, sampler = detail(frames, segment(REGION, mask=None), FakeSampler(constant(0.0)), grow=-9)
        assert not in_crop(result.frames).any()
        assert sampler.jobs[0].noise_mask is None


class TestColorMatch:
    @pytest.mark.parametrize("feather", [0, 20])
    def test_the_step_at_the_edge_falls_to_less_than_a_tenth(self, feather):
        frames = clip_of()
        before, _ = detail(frames, sampler=FakeSampler(shifted), noise_mask_feather=feather)
        after, _ = detail(frames, sampler=FakeSampler(shifted), noise_mask_feather=feather, color_match=1.0)
        step = step_at_the_edge(before.frames, frames)
        assert step > 0.03
        assert step_at_the_edge(after.frames, frames) < 0.1 * step
        # The middle has the frame's colors again too, and nothing outside the mask has changed.
        inside = slice(28, 36)
        change = in_crop(after.frames - frames)[:, inside, inside].abs().max()
        assert float(change) < 0.1 * float(in_crop(before.frames - frames)[:, inside, inside].abs().max())
        outside = torch.from_numpy(square() == 0)
        assert torch.equal(in_crop(after.frames)[:, outside], in_crop(frames)[:, outside])

    def test_half_the_strength_is_half_the_way(self):
        frames = clip_of()
        before, _ = detail(frames, sampler=FakeSampler(shifted))
        after, _ = detail(frames, sampler=FakeSampler(shifted), color_match=0.5)
        ratio = step_at_the_edge(after.frames, frames) / step_at_the_edge(before.frames, frames)
        assert ratio == pytest.approx(0.5, abs=0.05)

    @pytest.mark.parametrize("feather", [0, 20])
    def test_a_tint_of_the_whole_crop_is_told_from_what_was_repainted(self, feather):
        frames = clip_of()
        settings = {"noise_mask_feather": feather, "grow": 4, "color_match": 1.0}
        both = FakeSampler(lambda pixels, job: shifted(pixels, job) + torch.tensor([-0.04, 0.05, 0.06]))
        after, _ = detail(frames, sampler=both, **settings)
        assert float(in_crop(after.frames - frames).abs().max()) < 0.012
        crops = torch.from_numpy(after.segs[1][0].cropped_image)
        assert float((crops - in_crop(frames)).abs().max()) < 0.012

    def test_contrast_comes_back(self):
        frames = clip_of()
        flatter = FakeSampler(lambda pixels, job: 0.4 + 0.85 * (pixels - 0.4))
        before, _ = detail(frames, sampler=flatter)
        after, _ = detail(frames, sampler=flatter, color_match=1.0)
        error = [float(in_crop(result.frames - frames)[:, 12:-12, 12:-12].abs().mean()) for result in (before, after)]
        assert error[0] > 0.01
        assert error[1] < 0.35 * error[0]

    def test_new_detail_and_a_new_middle_are_left_as_they_are(self):
        frames = clip_of()
        detail_only = torch.rand(FRAMES, 64, 64, 1, generator=torch.Generator().manual_seed(3)).sub(0.5).mul(0.2)
        center = torch.zeros(64, 64, 1)
        center[28:36, 28:36] = 0.2

        def repaint(pixels, job):
            return (pixels + detail_only + center).clamp(0, 1)

        before, _ = detail(frames, sampler=FakeSampler(repaint))
        after, _ = detail(frames, sampler=FakeSampler(repaint), color_match=1.0)
        assert float((after.frames - before.frames).abs().max()) < 0.015

    def test_a_drift_over_time_is_followed_without_lag(self):
        drift = torch.linspace(0.02, 0.14, 15)[:, None, None, None]
        crops = clip_of(15)[:, :64, :64].contiguous()
        found = match_colors((crops + drift), crops, torch.from_numpy(square()[None]), torch.ones(1, 64, 64), 1.0)
        # Away from the ends a straight drift is its own mean: what is left shows a lag.
        assert float((found - crops)[5:10].abs().max()) < 2e-3

    def test_what_is_measured_does_not_flicker(self):
        generator = torch.Generator().manual_seed(5)
        jitter = (torch.rand(30, 1, 1, 3, generator=generator) - 0.5) * 0.1
        crops = clip_of(30)[:, :64, :64].contiguous()
        mask, everywhere = torch.from_numpy(square()[None]), torch.ones(1, 64, 64)
        given = crops + jitter
        correction = (match_colors(given.clone(), crops, mask, everywhere, 1.0) - given).mean(dim=(1, 2))
        raw = -jitter[:, 0, 0]
        assert float(correction.diff(dim=0).std()) < 0.35 * float(raw.diff(dim=0).std())
        # One bright frame is spread to both sides alike.
        impulse = torch.zeros(15, 1, 1, 1)
        impulse[7] = 0.1
        flat = torch.full((15, 64, 64, 3), 0.5)
        spread = (match_colors(flat + impulse, flat, mask, everywhere, 1.0) - flat - impulse).mean(dim=(1, 2, 3))
        torch.testing.assert_close(spread, spread.flip(0), atol=1e-5, rtol=0)
        assert float(spread[6]) < -0.01

    def test_pieces_with_frames_to_spare_meet(self):
        generator = torch.Generator().manual_seed(5)
        crops = clip_of(40)[:, :64, :64].contiguous()
        given = crops + (torch.rand(40, 1, 1, 3, generator=generator) - 0.5) * 0.1
        mask, everywhere = torch.from_numpy(square()[None]), torch.ones(1, 64, 64)
        whole = match_colors(given.clone(), crops, mask, everywhere, 1.0)
        piece = slice(15 - REACH, 25 + REACH)
        part = match_colors(given[piece].clone(), crops[piece], mask, everywhere, 1.0)
        torch.testing.assert_close(part[REACH:-REACH], whole[15:25], atol=1e-6, rtol=0)

    def test_frames_in_which_nothing_is_seen_do_not_count(self):
        frames = clip_of()
        masks = square(frames=FRAMES)
        masks[:3] = 0
        alpha = np.array([0, 0, 0, 1, 1, 1, 0], np.float32)

        def repaint(pixels, job):
            out = shifted(pixels, job)
            out[6] = 0  # not shown
            return out

        path = CropPath(np.repeat([REGION], FRAMES, axis=0), alpha)
        seg = segment(path, bbox=REGION, mask=masks)
        after, _ = detail(frames, seg, FakeSampler(repaint), color_match=1.0)
        assert float((after.frames - frames)[3:6].abs().max()) < 0.012
        assert torch.equal(after.frames[6], frames[6])

    def test_without_a_mask_the_band_lies_along_the_crops_border(self):
        frames = clip_of()
        after, _ = detail(frames, segment(REGION, mask=None), FakeSampler(shifted), color_match=1.0)
        assert float(in_crop(after.frames - frames).abs().max()) < 0.012
        band = edge_band(torch.ones(1, 64, 64))[0]
        assert bool(band[:5].all() and band[:, -5:].all())
        assert not bool(band[6:-6, 6:-6].any())

    def test_an_empty_mask_changes_nothing(self):
        crops = torch.rand(2, 64, 64, 3)
        given = crops.clone()
        assert match_colors(crops, crops * 0.5, torch.zeros(1, 64, 64), torch.ones(1, 64, 64), 1.0) is crops
        assert torch.equal(crops, given)

    def test_the_frames_count_and_not_the_crops_that_a_segment_brings(self):
        frames = clip_of()
        seg = segment(REGION, mask=square(), image=in_crop(frames) + SHIFT)
        after, _ = detail(frames, seg, FakeSampler(identity), color_match=1.0)
        assert float(in_crop(after.frames - frames).abs().max()) < 0.012


class LossyVAE(FakeSampler):
    """Decoding blurs and darkens."""

    def decode(self, latents, *, full_precision=False):
        pixels = super().decode(latents, full_precision=full_precision)
        blurred = torch.nn.functional.avg_pool2d(
            torch.nn.functional.pad(pixels.permute(0, 3, 1, 2), (1, 1, 1, 1), mode="replicate"), 3, stride=1
        )
        return (blurred.permute(0, 2, 3, 1) - 0.03).clamp(0, 1)


def under_mask(pixels, job):
    return torch.where(job.noise_mask[..., None] > 0.5, 0.7, pixels)


class TestVaeCorrection:
    def test_nothing_is_left_of_the_round_trip_outside_the_masks_core(self):
        frames = clip_of()
        outside = torch.from_numpy(square(10) == 0)
        core = torch.from_numpy(square(14) > 0)
        error = {}
        for corrected in (False, True):
            result, sampler = detail(frames, sampler=LossyVAE(under_mask), vae_correction=corrected)
            crops = torch.from_numpy(result.segs[1][0].cropped_image)
            error[corrected] = float((crops - in_crop(frames))[:, outside].abs().mean())
            assert torch.allclose(crops[:, core], torch.tensor(0.67), atol=1e-6)
            assert len(sampler.decodes) == 1 + corrected
        assert error[False] > 0.025
        assert error[True] < 1e-6

    def test_a_mask_that_grew_shows_the_frame_again(self):
        frames = clip_of()
        plain, _ = detail(frames, sampler=LossyVAE(under_mask), grow=8)
        corrected, _ = detail(frames, sampler=LossyVAE(under_mask), grow=8, vae_correction=True)
        around = torch.from_numpy((square(4) > 0) & (square(11) == 0))
        assert float(in_crop(plain.frames - frames)[:, around].abs().mean()) > 0.025
        assert float(in_crop(corrected.frames - frames)[:, around].abs().mean()) < 1e-6

    def test_a_soft_mask_takes_a_share(self):
        frames = clip_of()
        mask = np.full((64, 64), 0.25, np.float32)
        result, _ = detail(frames, segment(REGION, mask=mask), LossyVAE(identity), vae_correction=True)
        plain, _ = detail(frames, segment(REGION, mask=mask), LossyVAE(identity))
        lost, left = (in_crop(frames) - torch.from_numpy(r.segs[1][0].cropped_image) for r in (plain, result))
        torch.testing.assert_close(left, 0.25 * lost, atol=1e-5, rtol=0)

    def test_where_everything_is_repainted_it_costs_nothing(self):
        for seg in (segment(REGION, mask=None), segment(REGION)):
            _, sampler = detail(clip_of(), seg, LossyVAE(constant(0.5)), vae_correction=True)
            assert len(sampler.decodes) == 1

    def test_clips_that_are_lengthened_and_clips_together(self):
        frames = clip_of(3)
        geometry = Geometry(size_multiple=8, min_frames=5, takes_clips=True)
        sampler = LossyVAE(under_mask, geometry=geometry)
        segs = [segment((0, 0, 32, 32), mask=square()[8:40, 8:40]), segment((40, 40, 72, 72), mask=square()[:32, :32])]
        result = detail_frames(
            frames,
            segs_of(frames, *segs),
            pipe_of(sampler),
            guide_size=8,
            steps=1,
            noise_mask_feather=0,
            vae_correction=True,
            batch_segments=2,
        )
        assert [job.clips for job in sampler.jobs] == [2]
        for seg in result.segs[1]:
            x1, y1, x2, y2 = seg.crop_region
            far = torch.from_numpy(seg.cropped_mask == 0)
            far[1:] &= far[:-1].clone()
            far[:-1] &= far[1:].clone()
            far[:, 1:] &= far[:, :-1].clone()
            far[:, :-1] &= far[:, 1:].clone()
            error = torch.from_numpy(seg.cropped_image) - frames[:, y1:y2, x1:x2]
            assert float(error[:, far].abs().max()) < 1e-5

    def test_a_decoder_that_fails_in_half_precision_is_asked_in_full(self):
        sampler = LossyVAE(under_mask, bad_decodes=1)
        result, _ = detail(clip_of(), sampler=sampler, vae_correction=True)
        assert sampler.decodes == [False, True, False]
        assert np.isfinite(result.segs[1][0].cropped_image).all()

    def test_a_decoder_that_always_fails_takes_no_part(self):
        sampler = FakeSampler(bad_decodes=2)
        result, _ = detail(clip_of(), sampler=sampler, vae_correction=True)
        assert sampler.decodes == [False, True, False]
        assert np.isfinite(result.segs[1][0].cropped_image).all()

    def test_another_size_is_refused(self):
        class Larger(FakeSampler):
            def decode(self, latents, *, full_precision=False):
                return super().decode(latents, full_precision=full_precision).repeat(1, 2, 2, 1)

        with pytest.raises(ModelError, match=r"^vae_correction: the model decoded to shape"):
            detail(clip_of(), sampler=Larger(), vae_correction=True)


class TestNoise:
    def test_the_job_carries_the_rule(self):
        _, sampler = detail(clip_of(), noise="shared", noise_start=16)
        assert sampler.jobs[0].frame_noise == FrameNoise("shared", 16)
        _, sampler = detail(clip_of())
        assert sampler.jobs[0].frame_noise.is_plain

    @pytest.mark.parametrize(
        ("settings", "error", "message"),
        [
            ({"noise": "pink"}, InvalidArgumentError, "noise: expected one of per-frame, fixed, shared"),
            ({"noise": 3}, InvalidTypeError, "noise: expected a str"),
            ({"noise_start": -1}, InvalidArgumentError, "noise_start: expected an int of at least 0"),
            ({"noise_start": 0.5}, InvalidTypeError, "noise_start: expected an int"),
            ({"color_match": 1.5}, InvalidArgumentError, "color_match: expected a number"),
            ({"vae_correction": "yes"}, InvalidTypeError, "vae_correction: expected a bool"),
            ({"grow": 0.5}, InvalidTypeError, "grow: expected an int"),
            ({"noise_mask_grow": 20000}, InvalidArgumentError, "noise_mask_grow: expected an int from"),
        ],
    )
    def test_other_values_are_refused_by_name(self, settings, error, message):
        with pytest.raises(error, match=f"^{message}"):
            DetailerSettings(**settings)
