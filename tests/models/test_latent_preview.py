"""Previews: small pictures of what a model predicts while it works."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import tiny_models
from fake_sampler import FakeSampler, constant, pipe_of, segment, segs_of, smooth_clip
from segs_detailer import BasicPipe, detail_frames
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.models.info import Geometry
from segs_detailer.models.latent_preview import LatentPreview
from segs_detailer.models.sd.network import DiffusersModel
from segs_detailer.models.sd.sampler import DiffusersSampler
from segs_detailer.models.sd.vae import FrameVAE

QUICK = {"guide_size": 64, "max_size": 64, "noise_mask_feather": 0, "feather": 0}
CONDITIONING = [[torch.zeros(1, 77, tiny_models.CROSS), {}]]


@pytest.fixture
def frames():
    return smooth_clip(3, 64, 64)


def small(frames, size):
    """Frames at the latents' size."""
    pooled = torch.nn.functional.adaptive_avg_pool2d(torch.as_tensor(frames).movedim(-1, 1), size)
    return pooled.movedim(1, -1).numpy()


def correlation(shown, pictures):
    return float(np.corrcoef(shown.astype(np.float64).ravel(), np.asarray(pictures, np.float64).ravel())[0, 1])


class LinearConfig(dict):
    block_out_channels = (1, 1, 1, 1)
    scaling_factor = 0.2


class LinearVAE:
    """A VAE's linear part: means of 8 x 8 pixels, in four mixtures of their colors."""

    dtype, device = torch.float32, torch.device("cpu")

    config = LinearConfig(shift_factor=3.0)
    mixtures = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))

    def encode(self, pixels):
        small = torch.nn.functional.avg_pool2d(pixels, 8)
        return SimpleNamespace(latents=torch.einsum("fchw,cd->fdhw", small, self.mixtures) * 5 + 3)

    def decode(self, latents):
        small = torch.einsum("fdhw,dc->fchw", (latents - 3) / 5, torch.linalg.pinv(self.mixtures))
        return SimpleNamespace(sample=small.repeat_interleave(8, 2).repeat_interleave(8, 3))


def tiny_sampler():
    """A UNet of diffusers with random weights, frame by frame."""
    return DiffusersSampler(DiffusersModel(tiny_models.make_unet()), FrameVAE(LinearVAE()))


class TestTheMap:
    def test_latents_that_are_a_linear_image_come_back_exactly(self, frames):
        matrix = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
        pictures = torch.as_tensor(small(frames, (8, 8)))
        latents = (pictures @ matrix + 0.7).movedim(-1, 1)
        shown = LatentPreview.fit(latents, frames)(latents)
        assert shown.shape == (3, 8, 8, 3)
        assert shown.dtype == np.uint8
        np.testing.assert_allclose(shown / 255, pictures, atol=1.5 / 255)

    def test_channels_may_come_last(self, frames):
        shown = LatentPreview.fit(frames, frames)(frames)
        np.testing.assert_allclose(shown / 255, frames, atol=1.5 / 255)

    def test_packed_latents_give_one_picture_for_each_frame(self):
        clip = smooth_clip(9, 32, 32)
        means = torch.stack([clip[0], clip[1:5].mean(0), clip[5:].mean(0)])
        latents = torch.as_tensor(small(means, (8, 8))).movedim(-1, 0)[None]
        shown = LatentPreview.fit(latents, clip)(latents)
        assert shown.shape == (9, 8, 8, 3)
        np.testing.assert_allclose(shown / 255, small(means[[0, 1, 1, 1, 1, 2, 2, 2, 2]], (8, 8)), atol=1.5 / 255)

    def test_channels_that_say_the_same_have_a_map(self, frames):
        one = torch.as_tensor(small(frames, (8, 8))).movedim(-1, 1)
        latents = torch.cat([one, one, torch.zeros_like(one)], dim=1)
        shown = LatentPreview.fit(latents, frames)(latents)
        np.testing.assert_allclose(shown / 255, one.movedim(1, -1), atol=2 / 255)

    def test_long_clips_are_fitted_on_some_of_their_frames(self):
        clip = smooth_clip(40, 16, 16)
        latents = clip.movedim(-1, 1).clone()
        latents[[1, 2, 21]] = float("nan")
        assert torch.isfinite(LatentPreview.fit(latents, clip).weights).all()

    def test_what_is_not_finite_is_black(self, frames):
        shown = LatentPreview.fit(frames, frames)
        broken = frames.clone()
        broken[1] = float("nan")
        assert not shown(broken)[1].any()
        assert shown(broken)[0].any()

    @pytest.mark.parametrize("shape", [(3, 4, 7, 8), (2, 4, 8, 8), (3, 4, 64), (1, 4, 5, 8, 8)])
    def test_other_latents_are_refused(self, frames, shape):
        with pytest.raises(InvalidArgumentError, match=r"latents: expected \(F, C, h, w\).* over 3 frames of 64 x 64"):
            LatentPreview.fit(torch.zeros(shape), frames)


class TestWhileSampling:
    def run(self, frames, sampler, region=(0, 0, 64, 64), conditioning=(), **settings):
        seen = []
        detail_frames(
            frames,
            segs_of(frames, segment(region)),
            pipe_of(sampler, conditioning, conditioning),
            progress=seen.append,
            **{**QUICK, "steps": 2, **settings},
        )
        return seen

    def test_an_unchanged_latent_shows_the_crop(self, frames):
        seen = self.run(frames, FakeSampler(), (16, 16, 48, 48))
        shown = next(state for state in seen if state.x0 is not None).preview()
        assert shown.shape == (3, 8, 8, 3)
        assert correlation(shown, small(frames[:, 16:48, 16:48], (8, 8))) > 0.99

    def test_only_sampling_has_previews(self, frames):
        seen = self.run(frames, FakeSampler())
        previews = {(state.stage, state.step): state.preview() is not None for state in seen}
        assert [key for key, shown in previews.items() if shown] == [("sample", 1), ("sample", 2)]

    def test_in_the_sampler_s_own_space(self, frames):
        # The model repaints next to nothing at the end of its schedule, so x0 shows the crop.
        levels = lambda model, name, steps: torch.linspace(0.03, 0.0, steps + 1)  # noqa: E731
        seen = self.run(frames, tiny_sampler(), conditioning=CONDITIONING, cfg=1.0, scheduler_func=levels)
        x0, last = [state for state in seen if state.x0 is not None]
        assert last.preview().shape == (3, 8, 8, 3)
        np.testing.assert_allclose(x0.preview() / 255, small(frames, (8, 8)), atol=0.05)

    def test_the_last_preview_resembles_the_result(self, frames):
        class Fading(FakeSampler):
            """Repaints step by step, as a model does."""

            def sample(self, latents, job):
                result = super().sample(latents, job)
                for step in range(job.steps):
                    share = (step + 1) / job.steps
                    job.callback(step, job.steps, latents * (1 - share) + result * share, latents, 1.0)
                return result

        mirrored = lambda pixels, job: pixels.flip(2)  # noqa: E731
        seen = self.run(frames, Fading(mirrored))
        last = [state for state in seen if state.x0 is not None][-1].preview()
        assert correlation(last, small(frames.flip(2), (8, 8))) > 0.99
        assert correlation(last, small(frames, (8, 8))) < 0.9

    def test_added_frames_are_not_shown(self, frames):
        sampler = FakeSampler(geometry=Geometry(size_multiple=8, frame_step=4, frame_offset=1))
        seen = self.run(frames, sampler)
        assert len(sampler.encoded[0]) == 5
        assert len(seen[3].preview()) == 3

    def test_the_weightless_preview_shows_itself_too(self, frames):
        seen = self.run(frames, BasicPipe.preview().model, steps=1)
        shown = next(state for state in seen if state.x0 is not None).preview()
        assert shown.shape == (3, 64, 64, 3)
        assert correlation(shown, frames) > 0.95

    def test_latents_that_only_the_sampler_can_read_have_none(self, frames):
        class Opaque(FakeSampler):
            def encode(self, frames):
                return super().encode(frames).flatten(1)

            def sample(self, latents, job):
                return super().sample(latents.view(len(latents), -1, 8, 8), job)

        seen = self.run(frames, Opaque(constant(0.5)))
        assert [state.preview() for state in seen] == [None] * len(seen)

    def test_nothing_is_fitted_unless_asked(self, frames, monkeypatch):
        fitted = []
        fit = LatentPreview.fit
        monkeypatch.setattr(LatentPreview, "fit", lambda *given: fitted.append(1) or fit(*given))
        seen = self.run(frames, FakeSampler())
        assert not fitted
        for state in seen:
            state.preview()
            state.preview()
        assert fitted == [1]

    def test_crops_are_not_kept_beyond_the_sampling(self, frames):
        held = []

        class Watched(FakeSampler):
            def encode(self, frames):
                held.append(weakref.ref(frames))
                return super().encode(frames).clone()

            def decode(self, latents, *, full_precision=False):
                self.encoded.clear()
                self.jobs.clear()
                gc.collect()
                held.append(held[0]() is None)
                return super().decode(latents, full_precision=full_precision)

        sampler = Watched()
        detail_frames(
            frames, segs_of(frames, segment((0, 0, 64, 48))), sampler, progress=lambda state: state.preview(), **QUICK
        )
        assert held[1:] == [True]
