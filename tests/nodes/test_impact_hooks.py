"""Impact Pack's own hook objects work in our detailer."""

from __future__ import annotations

import importlib
import os

import impact_pack
import pytest
import torch

from detailer_run import run_of
from fake_sampler import FakeSampler, clip, constant, segment, segs_of
from segs_detailer.detailer import CombinedHook, DetailerHook, detail_and_paste

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get(impact_pack.VARIABLE), reason=f"{impact_pack.VARIABLE} does not name an Impact Pack checkout"
    ),
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def hooks():
    with impact_pack.loaded():
        yield importlib.import_module("impact.hooks")


def detail(hook, frames, *segments, **settings):
    sampler = FakeSampler(constant(0.25))
    result = detail_and_paste(frames, segs_of(frames, *segments), run_of(sampler, hook=hook, **settings))
    return *result, sampler


def test_a_hook_that_changes_nothing(hooks):
    frames = clip()
    image, _, _, _ = detail(hooks.DetailerHook(), frames, segment())
    assert torch.equal(image, detail(None, frames, segment())[0])


def test_schedules(hooks):
    # One cycle: the detailer's denoise schedule stays out of it, the others go to their target.
    _, _, _, sampler = detail(hooks.SimpleDetailerDenoiseSchedulerHook(0.9), clip(), segment(), denoise=0.4)
    assert sampler.jobs[0].denoise == 0.4
    _, _, _, sampler = detail(hooks.SimpleStepsScheduleHook(7), clip(), segment(), steps=3)
    assert sampler.jobs[0].steps == 7
    _, _, _, sampler = detail(hooks.SimpleCfgScheduleHook(2.0), clip(), segment(), cfg=6.0)
    assert sampler.jobs[0].cfg == 2.0


def test_core_ml(hooks):
    frames = clip(frames=1, height=96, width=96)
    hook = hooks.CoreMLHook("64x32")
    _, (_, [seg]), _, sampler = detail(hook, frames, segment((16, 16, 80, 80), bbox=(32, 32, 60, 60)))
    assert sampler.encoded[0].shape == (1, 32, 64, 3)
    x1, y1, x2, y2 = seg.crop_region
    assert (x2 - x1, y2 - y1) == (64, 32)
    assert seg.cropped_image.shape == (1, 32, 64, 3)


def test_combined_with_ours_both_ways(hooks):
    class Steps(DetailerHook):
        def pre_ksample(self, model, seed, steps, *rest):
            return model, seed, 7, *rest

    core_ml = hooks.CoreMLHook("64x32")

    for hook in (
        hooks.DetailerHookCombine(core_ml, Steps()),
        CombinedHook(core_ml, Steps()),
        CombinedHook(hooks.SimpleStepsScheduleHook(7), core_ml),
    ):
        _, _, _, sampler = detail(hook, clip(frames=1), segment((4, 4, 60, 44), bbox=(20, 20, 40, 30)))
        assert sampler.jobs[0].steps == 7
        assert sampler.encoded[0].shape == (1, 32, 64, 3)
