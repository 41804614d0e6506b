"""`limit_size`: crops larger than `max_size` are worked on scaled down; what is not pasted keeps its bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fake_sampler import FakeSampler, constant
from segs_detailer import detail_frames
from segs_detailer.crop_path import CropPath
from segs_detailer.detailer import DetailerHook
from segs_detailer.segs import SEG

FRAMES = torch.from_numpy(np.random.default_rng(3).random((2, 120, 200, 3), dtype=np.float32))
REGION = (10, 10, 170, 110)
OPTIONS = {"guide_size": 32, "max_size": 64, "steps": 1, "feather": 0, "noise_mask_feather": 0}


def segment(region=REGION):
    mask = np.zeros((region[3] - region[1], region[2] - region[0]), np.float32)
    mask[20:60, 30:100] = 1
    return SEG(None, mask, 1.0, region, (40, 30, 110, 70), "face")


def detailed(sampler, seg=None, **options):
    return detail_frames(FRAMES, ((120, 200), [seg or segment()]), sampler, **OPTIONS, **options)


def test_a_large_crop_is_worked_on_at_the_limit_and_pasted_at_its_own_size():
    sampler = FakeSampler(constant(0.25))
    result = detailed(sampler, limit_size=True)
    assert sampler.encoded[0].shape == (2, 40, 64, 3)
    assert result.segs[1][0].cropped_image.shape == (2, 100, 160, 3)
    inside = torch.zeros(120, 200, dtype=torch.bool)
    inside[30:70, 40:110] = True
    assert torch.equal(result.frames[:, ~inside], FRAMES[:, ~inside])
    assert torch.allclose(result.frames[:, inside], torch.tensor(0.25), atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"limit_size": False}])
def test_without_it_the_own_size_counts(options):
    sampler = FakeSampler()
    detailed(sampler, **options)
    # As the model takes it: 100 rounded up to a multiple of 8.
    assert sampler.encoded[0].shape == (2, 104, 160, 3)


def test_what_is_scaled_up_stays_as_it_is():
    small = SEG(None, np.ones((20, 20), np.float32), 1.0, (10, 10, 30, 30), (10, 10, 30, 30), "face")
    frames = [detailed(FakeSampler(), small, limit_size=limit).frames for limit in (True, False)]
    assert torch.equal(*frames)


def test_moving_crops_are_limited_too():
    sampler = FakeSampler(constant(0.5))
    path = CropPath(np.array([[10.0, 10, 170, 110], [14.5, 10, 174.5, 110]]))
    result = detailed(sampler, segment(path), limit_size=True)
    assert sampler.encoded[0].shape == (2, 40, 64, 3)
    assert torch.equal(result.frames[:, :10], FRAMES[:, :10])


def test_a_hook_does_not_pass_the_limit():
    class Larger(DetailerHook):
        def touch_scaled_size(self, w, h):
            self.got = (w, h)
            return w * 4, h * 4

    for limit, expected in ((True, (40, 64)), (False, (400, 640))):
        sampler, hook = FakeSampler(), Larger()
        detailed(sampler, limit_size=limit, hook=hook)
        assert hook.got == ((64, 40) if limit else (160, 100))
        assert sampler.encoded[0].shape[1:3] == expected
