"""Denoise by the size of a subject, and from a noise level."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tiny_models
import toy_family
from fake_sampler import FakeSampler, clip, pipe_of, segment, segs_of
from segs_detailer import BasicPipe, ClipJob, DetailerSettings, SubjectSettings, detail_frames
from segs_detailer.detailer.denoise_by_size import FrameDenoise, denoise_at
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.jobs.job import CLIP_DETAIL
from segs_detailer.models import latent_sampler
from segs_detailer.models.interface import SampleJob
from segs_detailer.models.stages import total_sigmas

CURVE = ((10.0, 0.6), (20.0, 0.2))
FRAMES = clip(3, 48, 64)


class Apart(FakeSampler):
    takes_frame_denoise = True


def growing(sides):
    """A SEG whose mask has another size in each frame."""
    mask = np.zeros((len(sides), 32, 32), np.float32)
    for frame, side in enumerate(sides):
        mask[frame, :side, : side + 5] = 1
    return segs_of(FRAMES, segment((8, 8, 40, 40), mask=mask))


def jobs_of(sampler, segs, **settings):
    detail_frames(FRAMES, segs, pipe_of(sampler), guide_size=32, max_size=32, steps=2, **settings)
    return [(job.denoise, job.frame_denoise) for job in sampler.jobs]


def test_it_is_interpolated_and_clamped():
    assert denoise_at(CURVE, np.array([1.0, 10.0, 12.5, 20.0, 99.0])) == (0.6, 0.6, 0.5, 0.2, 0.2)
    assert denoise_at(((30.0, 0.4),), np.array([1.0, 99.0])) == (0.4, 0.4)
    assert FrameDenoise.of((0.4, 0.4)) == FrameDenoise(0.4)
    assert FrameDenoise.of((0.2, 0.6, 0.4)) == FrameDenoise(0.6, (0.2, 0.6, 0.4))
    assert FrameDenoise.of((0.2, 0.6, 0.4), apart=False) == FrameDenoise(0.4)


def test_it_follows_the_mask_frame_by_frame_else_the_box():
    segs = growing((10, 15, 30))
    assert jobs_of(Apart(), segs, denoise_by_size=CURVE) == [(0.6, (0.6, 0.4, 0.2))]
    # A model that cannot tell frames apart has the median.
    assert jobs_of(FakeSampler(), segs, denoise_by_size=CURVE) == [(0.4, None)]
    still = segs_of(FRAMES, segment((8, 8, 40, 40), bbox=(10, 10, 25, 50)))
    assert jobs_of(Apart(), still, denoise_by_size="10:0.6,20:0.2") == [(0.4, None)]
    # Where a frame shows nothing of it, its neighbors say how large it is.
    assert jobs_of(Apart(), growing((10, 0, 20)), denoise_by_size=CURVE) == [(0.6, (0.6, 0.4, 0.2))]


def test_a_subject_may_have_its_own():
    sampler, segs = Apart(), growing((10, 15, 30))
    segs = (segs[0], [*segs[1], segs[1][0]._replace(label="hand")])
    assert jobs_of(sampler, segs, denoise_by_size=CURVE, subjects={"hand": {"denoise": 0.9}})[1] == (0.9, None)
    sampler = Apart()
    assert jobs_of(sampler, segs, subjects={"face": {"denoise_by_size": CURVE}}, denoise=0.5) == [
        (0.6, (0.6, 0.4, 0.2)),
        (0.5, None),
    ]
    both = SubjectSettings(denoise=0.3).within(SubjectSettings(denoise_by_size="10:0.5", seed=3))
    assert both.given == {"denoise": 0.3, "seed": 3}
    assert SubjectSettings(denoise_by_size=CURVE).describe() == "denoise_by_size 10:0.6,20:0.2"


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("", InvalidArgumentError),
        ("40", InvalidArgumentError),
        ("40:x", InvalidArgumentError),
        ("40:0.5,30:0.2", InvalidArgumentError),
        ("40:0.5,40:0.2", InvalidArgumentError),
        ("40:1.5", InvalidArgumentError),
        ("0:0.5", InvalidArgumentError),
        ((), InvalidTypeError),
        (0.5, InvalidTypeError),
        ((40, 0.5), InvalidArgumentError),
    ],
)
def test_other_curves_are_refused(value, error):
    with pytest.raises(error, match="denoise_by_size"):
        DetailerSettings(denoise_by_size=value)


def test_it_is_said_in_one_way():
    for names in (("denoise", "denoise_by_size"), ("denoise", "sigma_start"), ("denoise_by_size", "sigma_start")):
        values = {name: CURVE if name == "denoise_by_size" else 0.5 for name in names}
        with pytest.raises(InvalidArgumentError, match=f"{names[1]}: expected none beside `{names[0]}`, got both"):
            DetailerSettings(**values)
    # What is said later counts.
    assert ClipJob.of("a.mp4", denoise_by_size=CURVE).changed(denoise=0.3).detail == CLIP_DETAIL.with_denoise(0.3)
    # What a model recommends does not come between.
    assert DetailerSettings(sigma_start=0.5).with_recommended({"denoise": 0.4, "steps": 3}).denoise is None


# Networks


@pytest.fixture(scope="module")
def pipe(tmp_path_factory):
    folder = tiny_models.save_checkpoint(tmp_path_factory.mktemp("sd"))
    return BasicPipe.from_pretrained(folder, prompt="a face", device="cpu")


def sampled(pipe, frames, **changes):
    sampler = pipe.sampler
    settings = {"seed": 3, "steps": 6, "cfg": 1.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 0.6}
    job = SampleJob(pixels=frames, positive=pipe.positive, negative=pipe.negative, **{**settings, **changes})
    return sampler.sample(sampler.encode(frames), job)


@pytest.mark.parametrize("feather", [0, 4])
def test_one_size_gives_the_bits_of_one_denoise(pipe, feather):
    def frames(**settings):
        segs = growing((16, 16, 16))
        return detail_frames(
            FRAMES, segs, pipe, guide_size=32, max_size=32, steps=3, noise_mask_feather=feather, **settings
        ).frames

    wanted = frames(denoise=0.36)
    assert torch.equal(frames(denoise_by_size=CURVE), wanted)
    assert torch.equal(frames(denoise_by_size="1:0.8,8:0.36"), wanted)
    assert not torch.equal(frames(denoise=0.6), wanted)


@pytest.mark.parametrize("differential", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_a_frame_starts_at_the_level_that_its_own_denoise_would(pipe, differential, masked):
    frames = torch.rand(2, 32, 32, 3, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(1, 32, 32) if masked else None
    both = sampled(pipe, frames, frame_denoise=(0.6, 0.3), noise_mask=mask, differential=differential)
    assert torch.equal(both[0], sampled(pipe, frames, noise_mask=mask, differential=differential)[0])
    # The levels of the run that are not above the one that 6 steps at 0.3 would start from.
    table = pipe.sampler.table
    levels = total_sigmas("euler", "normal", table, 10)[4:]
    start = total_sigmas("euler", "normal", table, 20)[14]
    left = levels[levels <= start * (1 + 1e-6)]
    assert 2 < len(left) < len(levels)
    alone = sampled(pipe, frames, denoise=1.0, steps=len(left) - 1, scheduler_func=lambda *_: left, noise_mask=mask)
    torch.testing.assert_close(both[1], alone[1], rtol=1e-4, atol=1e-4)


def test_clips_that_are_sampled_together_have_the_same(pipe):
    frames = torch.rand(2, 32, 32, 3, generator=torch.Generator().manual_seed(1))
    one = sampled(pipe, frames, frame_denoise=(0.6, 0.3))
    two = sampled(pipe, frames.repeat(2, 1, 1, 1), frame_denoise=(0.6, 0.3), clips=2)
    torch.testing.assert_close(two, one.repeat(2, 1, 1, 1), rtol=1e-4, atol=1e-4)
    with pytest.raises(InvalidArgumentError, match="frame_denoise: expected one for each of 2 frames, got 3"):
        sampled(pipe, frames, frame_denoise=(0.6, 0.3, 0.3))


def test_packed_frames_are_repainted_as_far_as_any_of_them(monkeypatch):
    sampler, starts = toy_family.ToySampler(toy_family.ToyModel()), []
    original = latent_sampler.run_stages
    monkeypatch.setattr(latent_sampler, "run_stages", lambda *given: starts.append(given[3].starts) or original(*given))
    frames = torch.rand(22, 16, 16, 3)
    denoise = tuple(0.5 if frame in (0, 7) else 0.25 for frame in range(22))
    job = SampleJob(
        pixels=frames,
        positive=[],
        negative=[],
        seed=1,
        steps=4,
        cfg=1.0,
        sampler_name="euler",
        scheduler="simple",
        denoise=0.5,
        frame_denoise=denoise,
    )
    sampler.sample(sampler.encode(frames), job)
    high, low = sampler.start_level(4, 0.5, "euler", "simple"), sampler.start_level(4, 0.25, "euler", "simple")
    assert (round(high, 4), round(low, 4)) == (0.75, 0.5)
    assert starts[0].shape == (1, 1, 7, 1, 1)
    torch.testing.assert_close(starts[0].flatten(), torch.tensor([high, low, high, low, low, low, low]))


def test_the_preview_follows_it_to_the_bit():
    def frames(**settings):
        segs = growing((10, 15, 30))
        return detail_frames(FRAMES, segs, BasicPipe.preview(), guide_size=32, max_size=32, **settings).frames

    by_size = frames(denoise_by_size=CURVE)
    for frame, denoise in enumerate((0.6, 0.4, 0.2)):
        assert torch.equal(by_size[frame], frames(denoise=denoise)[frame])


# From a noise level


def levels_of(**settings):
    pipe, seen = (toy_family.ToyModel(), None, None, [], []), []
    frames = torch.rand(5, 32, 32, 3)
    sample = latent_sampler.LatentSampler.sample

    class Watched(toy_family.ToySampler):
        def sample(self, latents, job):
            def note(step, total, x0, x, sigma):
                seen.append(round(sigma, 3))

            return sample(self, latents, SampleJob(**{n: getattr(job, n) for n in job.__slots__} | {"callback": note}))

    detail_frames(frames, segs_of(frames, segment((0, 0, 32, 32))), Watched(pipe[0]), **settings)
    return seen


@pytest.mark.parametrize("scheduler", ["simple", "karras"])
def test_a_run_starts_at_the_level_that_is_given(scheduler):
    for level in (1.0, 0.7, 0.05):
        seen = levels_of(sigma_start=level, steps=4, scheduler=scheduler)
        assert seen[0] == level
        assert len(seen) == 4
        assert seen == sorted(set(seen), reverse=True)
    # It is where a denoise would have started that says the same.
    assert levels_of(sigma_start=0.75, steps=4) == levels_of(denoise=0.5, steps=4)


def test_other_models_have_no_such_level(pipe):
    segs = segs_of(FRAMES, segment())
    for other in (pipe, BasicPipe.preview(), pipe_of(FakeSampler())):
        with pytest.raises(
            InvalidArgumentError, match="sigma_start: expected `denoise` in its place, but for models of"
        ):
            detail_frames(FRAMES, segs, other, sigma_start=0.5)
