"""How the noise of a clip's frames hangs together: per frame, fixed, shared, and in pieces of a clip."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from closed_form import ClosedFormDenoiser

import tiny_models
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.models.frame_noise import NOISES, FrameNoise, clip_noise, step_noise
from segs_detailer.models.info import FramePacking
from segs_detailer.models.interface import SampleJob
from segs_detailer.models.noise import brownian_noise, gaussian_noise, seeded_noise
from segs_detailer.models.samplers import SAMPLERS
from segs_detailer.models.sd.network import DiffusersModel
from segs_detailer.models.sd.sampler import DiffusersSampler
from segs_detailer.models.sd.vae import FrameVAE
from segs_detailer.models.stages import Run, Stage, run_stages, total_sigmas
from segs_detailer.models.windows import ContextWindows

SHAPES = [((7, 4, 16, 16), 0), ((7, 4, 9, 9), 0), ((1, 4, 7, 9, 9), 2), ((7, 1, 1, 3), 0)]


@pytest.fixture(scope="module")
def vae():
    return FrameVAE(tiny_models.make_vae())


def correlation(noise):
    """Of each pair of neighboring frames."""
    flat = noise.flatten(1)
    return [float(torch.corrcoef(torch.stack(pair))[0, 1]) for pair in pairwise(flat)]


def gaussian(like, seed):
    return gaussian_noise(like, seed)


def brownian(like, seed):
    return brownian_noise(like, seed, torch.tensor(0.5), torch.tensor(8.0), on_cpu=True)


class TestStart:
    def test_fixed_noise_is_the_same_in_all_frames(self):
        noise = clip_noise(torch.empty(5, 4, 8, 8), 3, FrameNoise("fixed"))
        assert all(torch.equal(frame, noise[0]) for frame in noise)
        assert torch.equal(noise[0], seeded_noise(torch.empty(1, 4, 8, 8), 3)[0])

    def test_frames_of_shared_noise_correlate_by_a_half(self):
        noise = clip_noise(torch.empty(6, 4, 64, 64), 3, FrameNoise("shared"))
        assert correlation(noise) == pytest.approx([0.5] * 5, abs=0.03)
        assert float(noise.std()) == pytest.approx(1, abs=0.02)
        assert float(noise.mean()) == pytest.approx(0, abs=0.02)

    def test_frames_of_their_own_noise_do_not_correlate(self):
        noise = clip_noise(torch.empty(6, 4, 64, 64), 3, FrameNoise("per-frame", 0))
        assert correlation(noise) == pytest.approx([0] * 5, abs=0.03)

    @pytest.mark.parametrize("kind", NOISES)
    @pytest.mark.parametrize(("shape", "axis"), SHAPES)
    def test_pieces_have_the_noise_of_the_whole(self, kind, shape, axis):
        whole = clip_noise(torch.empty(shape), 11, FrameNoise(kind, 0), axis=axis)
        assert whole.shape == shape
        for start, count in ((0, 3), (2, 4), (6, 1)):
            piece = torch.empty(shape).narrow(axis, start, count)
            noise = clip_noise(piece, 11, FrameNoise(kind, start), axis=axis)
            assert torch.equal(noise, whole.narrow(axis, start, count))

    def test_a_piece_far_into_the_clip(self):
        # More numbers are passed by than are drawn at once.
        size = (4, 64, 64)
        whole = seeded_noise(torch.empty(80, *size), 5)
        assert torch.equal(clip_noise(torch.empty(3, *size), 5, FrameNoise("per-frame", 77)), whole[77:])

    def test_a_whole_clip_is_as_comfyui_draws_it(self):
        like = torch.empty(5, 4, 8, 8)
        assert torch.equal(clip_noise(like, 9, FrameNoise()), seeded_noise(like, 9))
        assert torch.equal(clip_noise(like, 9, FrameNoise("per-frame", 0)), seeded_noise(like, 9))

    def test_packed_frames_count_in_latents(self):
        assert FrameNoise("shared", 8).for_latents(FramePacking(lead=(1,), cycle=(4,))) == FrameNoise("shared", 2)
        assert FrameNoise("shared").for_latents(FramePacking(lead=(1,), cycle=(4,))) == FrameNoise("shared")

    @pytest.mark.parametrize(("rule", "name"), [({"kind": "same"}, "noise"), ({"start": -1}, "noise_start")])
    def test_other_rules_are_refused(self, rule, name):
        with pytest.raises(InvalidArgumentError, match=f"^{name}: expected"):
            FrameNoise(**rule)


class TestSteps:
    @pytest.mark.parametrize("make", [gaussian, brownian])
    @pytest.mark.parametrize(("kind", "expected"), [("per-frame", 0.0), ("shared", 0.5), ("fixed", 1.0)])
    def test_noise_of_the_steps_hangs_together_alike(self, make, kind, expected):
        noise = step_noise(make, torch.empty(3, 4, 48, 48), 3, FrameNoise(kind, 0))
        drawn = [noise(torch.tensor(high), torch.tensor(low)) for high, low in ((8.0, 4.0), (4.0, 1.0))]
        for step in drawn:
            assert correlation(step) == pytest.approx([expected] * 2, abs=0.05)
            assert float(step.std()) == pytest.approx(1, abs=0.05)
        assert abs(float(torch.corrcoef(torch.stack([step.flatten() for step in drawn]))[0, 1])) < 0.05

    @pytest.mark.parametrize("make", [gaussian, brownian])
    @pytest.mark.parametrize("kind", NOISES)
    def test_pieces_have_the_noise_of_the_whole(self, make, kind):
        levels = torch.tensor(8.0), torch.tensor(2.0)
        whole = step_noise(make, torch.empty(1, 2, 5, 4, 4), 7, FrameNoise(kind, 3), axis=2)(*levels)
        piece = step_noise(make, torch.empty(1, 2, 2, 4, 4), 7, FrameNoise(kind, 5), axis=2)(*levels)
        assert torch.equal(piece, whole[:, :, 2:4])

    def test_a_plain_rule_is_the_samplers_own(self):
        like = torch.empty(3, 4, 8, 8)
        assert torch.equal(step_noise(gaussian, like, 3, FrameNoise())(None, None), gaussian_noise(like, 3)(None, None))


class TestRuns:
    @staticmethod
    def repainted(table, source, name, rule, **changes):
        stage = Stage(lambda _: ClosedFormDenoiser(4.0), table, total_sigmas(name, "normal", table, 8))
        run = Run(sampler_name=name, steps=4, denoise=0.5, seed=7, frame_noise=rule, **changes)
        return run_stages(source, stage, None, run)

    @pytest.mark.parametrize("name", sorted(SAMPLERS))
    def test_with_fixed_noise_equal_frames_stay_equal(self, name, table):
        source = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1)).expand(3, -1, -1, -1)
        mask = torch.ones(1, 1, 8, 8)
        fixed = self.repainted(table, source, name, FrameNoise("fixed"), mask=mask)
        torch.testing.assert_close(fixed, fixed[:1].expand_as(fixed), rtol=0, atol=1e-6)
        own = self.repainted(table, source, name, FrameNoise(), mask=mask)
        assert float((own - own[:1])[1:].abs().max()) > 1e-4

    @pytest.mark.parametrize("name", sorted(set(SAMPLERS) - {"dpm_adaptive"}))
    @pytest.mark.parametrize("kind", ["per-frame", "shared"])
    def test_pieces_come_out_as_in_the_whole(self, name, kind, table):
        source = torch.randn(5, 4, 8, 8, generator=torch.Generator().manual_seed(1))
        whole = self.repainted(table, source, name, FrameNoise(kind, 0))
        piece = self.repainted(table, source[2:4], name, FrameNoise(kind, 2))
        torch.testing.assert_close(piece, whole[2:4], rtol=0, atol=1e-5)


class TestDiffusers:
    @staticmethod
    def job(frames, rule, clips=1):
        entry = torch.randn(1, 7, tiny_models.CROSS, generator=torch.Generator().manual_seed(1))
        return SampleJob(
            pixels=torch.zeros(frames, 32, 32, 3),
            positive=[[entry, {}]],
            negative=[[entry * 0, {}]],
            seed=3,
            steps=2,
            cfg=2.0,
            sampler_name="euler_ancestral",
            scheduler="normal",
            denoise=0.5,
            frame_noise=rule,
            clips=clips,
        )

    def test_a_unet_of_pictures_paints_equal_frames_alike(self, vae):
        sampler = DiffusersSampler(DiffusersModel(tiny_models.make_unet()), vae)
        latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1)).repeat(3, 1, 1, 1)
        fixed = sampler.sample(latents, self.job(3, FrameNoise("fixed")))
        torch.testing.assert_close(fixed[1:], fixed[:1].expand(2, -1, -1, -1), rtol=0, atol=1e-4)
        own = sampler.sample(latents, self.job(3, FrameNoise()))
        assert float((own[1:] - own[:1]).abs().max()) > 0.05

    @pytest.mark.parametrize("kind", NOISES)
    def test_rescheduled_noise_of_pieces_is_that_of_the_whole(self, kind, vae):
        windows = ContextWindows(length=4, overlap=1, free_noise=True)
        sampler = DiffusersSampler(DiffusersModel(tiny_models.make_motion_unet(), windows=windows), vae)
        like = torch.empty(13, 4, 16, 16)
        whole = sampler.start_noise(like, self.job(13, FrameNoise(kind, 0)))
        assert torch.equal(whole[4], whole[0]) or any(torch.equal(whole[4], frame) for frame in whole[:4])
        for start, count in ((0, 3), (2, 6), (9, 2)):
            piece = sampler.start_noise(like[:count], self.job(count, FrameNoise(kind, start)))
            piece = clip_noise(like[:count], 3, FrameNoise(kind, start)) if piece is None else piece
            if kind == "shared":
                torch.testing.assert_close(piece, whole[start : start + count], rtol=0, atol=1e-6)
            else:
                assert torch.equal(piece, whole[start : start + count])

    def test_clips_of_a_batch_each_get_the_noise_of_one(self, vae):
        windows = ContextWindows(length=4, overlap=1, free_noise=True)
        sampler = DiffusersSampler(DiffusersModel(tiny_models.make_motion_unet(), windows=windows), vae)
        both = sampler.start_noise(torch.empty(12, 4, 16, 16), self.job(12, FrameNoise("shared"), clips=2))
        assert torch.equal(both[:6], both[6:])
