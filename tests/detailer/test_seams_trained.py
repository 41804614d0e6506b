"""Seams and noise with a checkpoint that was trained: what they bring on faces, in numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fixture.moving_faces import degrade, draw_clip
from places import TESTS
from segs_detailer import SEG, BasicPipe
from segs_detailer.detailer import DetailerHook, detail_frames

MODEL = TESTS / "fixture" / "model"
FRAME, REGION = (80, 96), (16, 8, 80, 72)
SETTINGS = {
    "guide_size": 64,
    "max_size": 256,
    "seed": 1,
    "steps": 4,
    "cfg": 1.0,
    "denoise": 0.12,
    "feather": 3,
    "noise_mask_feather": 0,
}


def distance():
    """From the middle of the region: the mask ends at 1."""
    y, x = np.mgrid[:64, :64] - 31.5
    return np.sqrt((x / 26) ** 2 + (y / 29) ** 2)


SEGS = (FRAME, [SEG(None, (distance() < 1).astype(np.float32), 1.0, REGION, REGION, "face", None)])
INSIDE, OUTSIDE = distance() < 1, distance() > 1.2


@pytest.fixture(scope="module")
def pipe():
    return BasicPipe.from_pretrained(
        MODEL,
        motion_adapter=MODEL / "motion_adapter",
        prompt="a face",
        negative_prompt="blurry",
        device="cpu",
        dtype="float32",
    )


@pytest.fixture(scope="module", params=[1_000_002, 1_000_003])
def clips(request):
    """A clip and the same blurred and noisy."""
    rng = np.random.default_rng(request.param)
    truth = draw_clip(rng, 8, FRAME)
    return truth, degrade(rng, truth, factor=4, noise=0.03)


def in_region(frames, where):
    x1, y1, x2, y2 = REGION
    return np.asarray(frames)[:, y1:y2, x1:x2][:, where]


def psnr(frames, truth):
    return -10 * np.log10(np.square(in_region(frames, INSIDE) - in_region(truth, INSIDE)).mean())


class Tint(DetailerHook):
    """A model that has learned from reddish pictures."""

    def post_decode(self, pixels):
        return (pixels + torch.tensor([0.06, 0.0, -0.05])).clamp(0, 1)


def test_a_real_vaes_round_trip_is_taken_back_outside_the_mask(pipe, clips):
    frames = torch.from_numpy(clips[1])
    errors = []
    for corrected in (False, True):
        result = detail_frames(frames, SEGS, pipe, vae_correction=corrected, **SETTINGS)
        x1, y1, x2, y2 = REGION
        crops = result.segs[1][0].cropped_image
        errors.append(float(np.abs(crops - clips[1][:, y1:y2, x1:x2])[:, OUTSIDE].mean()))
    assert errors[0] > 0.015
    assert errors[1] < 0.2 * errors[0]


@pytest.mark.parametrize("feather", [0, 20])
def test_a_tint_is_taken_back_and_what_was_restored_stays(pipe, clips, feather):
    truth, degraded = clips
    frames = torch.from_numpy(degraded)

    def restored(**changes):
        return detail_frames(frames, SEGS, pipe, **{**SETTINGS, "noise_mask_feather": feather, **changes}).frames

    plain, tinted = restored(), restored(hook=Tint())
    matched = restored(hook=Tint(), color_match=1.0)
    assert psnr(tinted, truth) < psnr(plain, truth) - 0.8
    assert psnr(matched, truth) > psnr(plain, truth) - 0.15
    # Colors that fit already are hardly touched.
    assert abs(psnr(restored(color_match=1.0), truth) - psnr(plain, truth)) < 0.15


def test_the_more_noise_the_frames_share_the_less_they_flicker(pipe, clips):
    frames = torch.from_numpy(clips[1])
    flicker = [
        float(np.abs(np.diff(in_region(result.frames, INSIDE), axis=0)).mean())
        for result in (
            detail_frames(frames, SEGS, pipe, noise=noise, **{**SETTINGS, "denoise": 0.3})
            for noise in ("per-frame", "shared", "fixed")
        )
    ]
    assert flicker[0] > 1.03 * flicker[1] > 1.06 * flicker[2]
