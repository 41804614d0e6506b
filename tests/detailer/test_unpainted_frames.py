"""Frames in which a segment's mask is black come out as they went in, whatever softens, moves or matches the edges."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fake_sampler import FakeSampler, clip, constant, pipe_of, segment, segs_of
from segs_detailer.crop_path import CropPath
from segs_detailer.detailer import detail_frames
from segs_detailer.detailer.pasting import paste_segs
from segs_detailer.subjects import SizeWindow, gate_segs

FRAMES = 8
REGION = (4, 4, 44, 40)
MOVING = CropPath([(4 + frame, 4, 44 + frame, 40) for frame in range(FRAMES)])


def growing(region):
    """A subject that is 10 to 24 pixels high."""
    masks = np.zeros((FRAMES, 36, 40), np.float32)
    for frame in range(FRAMES):
        masks[frame, 4 : 14 + 2 * frame, 8:30] = 1
    return segment(region, bbox=(12, 8, 34, 32), mask=masks)


@pytest.mark.parametrize("region", [REGION, MOVING], ids=["still", "moving"])
@pytest.mark.parametrize("ramp", [0, 2])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"feather": 8, "noise_mask_feather": 4},
        {"grow": 5, "noise_mask_grow": 3, "feather": 2},
        {"feather": 3, "color_match": 1.0},
        {"feather": 3, "vae_correction": True, "denoise_by_size": "8:0.6,30:0.2"},
    ],
    ids=lambda settings: " ".join(settings) or "plain",
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8], ids=str)
def test_they_keep_their_bits(region, ramp, settings, dtype):
    frames = clip(FRAMES)
    frames = (frames * 255).to(dtype) if dtype == torch.uint8 else frames
    window = SizeWindow(measure="height px", min=14, max=20, hysteresis=0.0, ramp=ramp)
    gate = gate_segs(segs_of(frames, growing(region)), window)
    result = detail_frames(
        frames, gate.segs, pipe_of(FakeSampler(constant(0.5))), guide_size=16, steps=1, **{"feather": 0, **settings}
    )
    outside = [0, 1, 6, 7]
    assert torch.equal(result.frames[outside], frames[outside])
    changed = (result.frames.float() != frames.float()).flatten(1).any(1)
    assert changed.nonzero().flatten().tolist() == [2, 3, 4, 5]


@pytest.mark.parametrize("region", [REGION, MOVING], ids=["still", "moving"])
def test_a_paste_fades_over_the_ramp(region):
    frames = torch.zeros((FRAMES, 48, 64, 3))
    gate = gate_segs(
        segs_of(frames, growing(region)._replace(cropped_image=np.ones((FRAMES, 36, 40, 3), np.float32))),
        SizeWindow(measure="height px", min=14, hysteresis=0.0, ramp=1),
    )
    pasted = paste_segs(frames, gate.segs, feather=0)
    assert pasted.amax((1, 2, 3)).tolist() == [0, 0, 0.5, 1, 1, 1, 1, 1]
