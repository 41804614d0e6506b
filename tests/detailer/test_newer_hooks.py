"""Hook methods of Impact Pack's newer releases: masks, custom samplers, sampling skipped or done again."""

from __future__ import annotations

import pytest
import torch

from detailer_run import run_of
from fake_sampler import FakeSampler, clip, constant, pipe_of, segment, segs_of
from segs_detailer.detailer import (
    CombinedHook,
    DetailerHook,
    DetailerSettings,
    HookCalls,
    Models,
    Run,
    SegmentWarning,
    detail_and_paste,
    detail_frames,
    detail_segs,
)
from segs_detailer.errors import InvalidArgumentError, ModelError


def detail(hook, frames, *segments, sampler=None, **settings):
    sampler = FakeSampler(constant(0.5)) if sampler is None else sampler
    run = run_of(sampler, hook=hook, **settings)
    return *detail_and_paste(frames, segs_of(frames, *(segments or [segment()])), run), sampler


class Upscaled:
    """Sees what `post_upscale` is given."""

    def __init__(self):
        self.seen = []

    def post_upscale(self, pixels, mask=None):
        self.seen.append((pixels, mask))
        return pixels


class PixelsAlone:
    def post_upscale(self, pixels):
        return pixels * 0.5


def test_post_upscale_gets_the_mask_of_the_noise():
    hook, frames = Upscaled(), clip()
    _, _, _, sampler = detail(hook, frames, noise_mask_feather=4)
    [(pixels, mask)] = hook.seen
    assert pixels.shape == (3, *mask.shape[1:], 3)
    assert mask is sampler.jobs[0].noise_mask


def test_post_upscale_gets_no_mask_where_noise_goes_everywhere():
    hook = Upscaled()
    detail(hook, clip(), segment(mask=None))
    assert hook.seen[0][1] is None


@pytest.mark.parametrize("combine", [lambda hook: hook, lambda hook: CombinedHook(hook, Upscaled())])
def test_hooks_that_take_pixels_alone_go_on_working(combine):
    frames = clip()
    _, _, _, sampler = detail(combine(PixelsAlone()), frames, segment((8, 8, 40, 40)), guide_size=32)
    assert torch.equal(sampler.encoded[0], frames[:, 8:40, 8:40] * 0.5)


def test_the_second_of_combined_hooks_gets_the_mask_too():
    last = Upscaled()
    detail(CombinedHook(PixelsAlone(), last), clip())
    assert last.seen[0][1] is not None


class Skipping(DetailerHook):
    def __init__(self, skips=True):
        self.skips = skips

    def post_upscale(self, pixels, mask=None):
        return pixels * 0 + 0.25

    def get_skip_sampling(self):
        return self.skips


def test_crops_that_are_not_sampled_are_pasted_as_the_hook_left_them():
    frames = clip()
    image, (_, [seg]), _, sampler = detail(Skipping(), frames)
    assert sampler.encoded == []
    assert sampler.jobs == []
    assert seg.cropped_image == pytest.approx(0.25)
    torch.testing.assert_close(image[:, 8:32, 8:40], torch.full((3, 24, 32, 3), 0.25))
    assert torch.equal(image[:, 32:], frames[:, 32:])


def test_post_decode_sees_them_as_well():
    class Brighter(Skipping):
        def post_decode(self, pixels):
            return pixels * 2

    _, (_, [seg]), _, _ = detail(Brighter(), clip())
    assert seg.cropped_image == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("hooks", "skipped"),
    [
        ((Skipping(), Skipping()), True),
        ((Skipping(), Skipping(skips=False)), False),
        ((Skipping(), PixelsAlone()), False),
        ((), False),
    ],
)
def test_of_combined_hooks_all_must_skip(hooks, skipped):
    assert CombinedHook(*hooks).get_skip_sampling() is skipped


class Stepping(DetailerHook):
    def __init__(self, sampler):
        self.sampler = sampler

    def get_custom_sampler(self):
        return self.sampler


def test_a_custom_sampler_reaches_the_job_of_models_that_take_one():
    class Taking(FakeSampler):
        takes_custom_sampler = True

    _, _, _, sampler = detail(Stepping("theirs"), clip(), sampler=Taking())
    assert sampler.jobs[0].custom_sampler == "theirs"
    _, _, _, sampler = detail(Stepping(None), clip())
    assert sampler.jobs[0].custom_sampler is None


def test_a_model_that_takes_no_custom_sampler_says_so():
    with pytest.raises(ModelError, match="family 'fake' takes no sampler from get_custom_sampler"):
        detail(Stepping("theirs"), clip())


def test_of_combined_hooks_the_first_custom_sampler_counts():
    assert CombinedHook(PixelsAlone(), Stepping(None), Stepping("b"), Stepping("c")).get_custom_sampler() == "b"
    assert CombinedHook(Stepping(None)).get_custom_sampler() is None


class Retrying(DetailerHook):
    """As hooks for single pictures: it takes one frame at a time."""

    def __init__(self, *bad_seeds):
        self.bad_seeds = bad_seeds
        self.seen = 0

    def pre_ksample(self, model, seed, *rest):
        self.seed = seed
        return model, seed, *rest

    def should_retry_patch(self, patch):
        assert patch.shape == (1, 24, 32, 3)
        self.seen += 1
        return self.seed in self.bad_seeds


def test_a_bad_crop_is_repainted_with_the_next_seed():
    hook = Retrying(7)
    image, _, _, sampler = detail(hook, clip(), seed=7)
    assert [job.seed for job in sampler.jobs] == [7, 8]
    # The first frame was enough; then all were looked at.
    assert hook.seen == 1 + 3
    assert float(image[0, 20, 20, 0]) == pytest.approx(0.5)


def test_seeds_go_round():
    last = 2**64 - 1
    _, _, _, sampler = detail(Retrying(last), clip(), seed=last)
    assert [job.seed for job in sampler.jobs] == [last, 0]


def test_a_segment_that_stays_bad_is_left_as_it_was():
    frames = clip()
    with pytest.warns(SegmentWarning, match="left as it was: the hook found each of 3 results bad"):
        image, (_, [seg]), _, sampler = detail(Retrying(1, 2, 3), frames, seed=1)
    assert len(sampler.jobs) == 3
    assert image is frames
    assert torch.equal(torch.from_numpy(seg.cropped_image), frames[:, 8:32, 8:40])


@pytest.mark.parametrize(("first", "second", "again"), [(1, 9, True), (9, 1, True), (9, 9, False)])
def test_of_combined_hooks_one_is_enough_to_retry(first, second, again):
    _, _, _, sampler = detail(CombinedHook(Retrying(first), PixelsAlone(), Retrying(second)), clip(), seed=1)
    assert len(sampler.jobs) == 1 + again


class Counting(DetailerHook):
    def __init__(self):
        self.counts, self.seen = [], 0

    def set_segments(self, count):
        self.counts.append(count)

    def set_steps(self, info):
        self.seen += 1


def test_segments_are_counted_that_are_painted():
    class Without(DetailerHook):
        def post_detection(self, segs):
            return segs[0], segs[1][1:]

    hook, outside = Counting(), segment((100, 0, 120, 20))
    segments = [segment(), segment((0, 0, 16, 16)), outside, segment((20, 20, 36, 36))]
    with pytest.warns(SegmentWarning, match="no pixel of the frames"):
        detail(CombinedHook(hook, Without()), clip(), *segments)
    assert hook.counts == [2]
    assert hook.seen == 2


# A word in the place of the model


DUMMY = ("DUMMY", "DUMMY", "DUMMY", "DUMMY", "DUMMY")


def test_a_dummy_model_hands_the_crops_on():
    frames = clip()
    result = detail_frames(frames, segs_of(frames, segment(), segment((0, 0, 16, 16))), DUMMY, guide_size=512)
    assert result.frames is frames
    first, second = result.segs[1]
    assert torch.equal(torch.from_numpy(first.cropped_image), frames[:, 8:32, 8:40])
    assert torch.equal(torch.from_numpy(second.cropped_image), frames[:, :16, :16])


def test_crops_that_were_brought_are_pasted():
    frames, image = clip(), torch.rand((1, 24, 32, 3))
    run = Run(Models.of(DUMMY, None, names=("pipe", "refiner")), DetailerSettings(feather=0), HookCalls())
    pasted, _, _ = detail_and_paste(frames, segs_of(frames, segment(image=image)), run)
    assert torch.equal(pasted[:, 8:32, 8:40], image.expand(3, -1, -1, -1))
    (_, [seg]), _ = detail_segs(frames, segs_of(frames, segment(image=image)), run)
    assert torch.equal(torch.from_numpy(seg.cropped_image)[:1], image)


def test_settings_of_no_model_are_not_held_against_one():
    frames = clip()
    settings = {"sampler_name": "of another program", "scheduler": "AYS SD1", "max_size": 8}
    assert detail_frames(frames, segs_of(frames, segment()), DUMMY, **settings).frames is frames


def test_a_refiner_that_is_none_is_refused():
    frames = clip()
    with pytest.raises(InvalidArgumentError, match="refiner_pipe: expected a pipe with a model, or None"):
        detail_frames(frames, segs_of(frames), pipe_of(FakeSampler()), refiner_pipe=DUMMY, refiner_ratio=0.5)
    # Without a base there is nothing to refine either.
    assert detail_frames(frames, segs_of(frames), DUMMY, refiner_pipe=DUMMY, refiner_ratio=0.5).frames is frames
