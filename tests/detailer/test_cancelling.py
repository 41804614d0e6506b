"""Cancelling a run of a diffusers model, wherever it is: the input keeps its bits, and the models can be used again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import tiny_models
from fake_sampler import segment, segs_of, smooth_clip
from segs_detailer import BasicPipe, CancelledError, detail_frames

STEPS = 2
QUICK = {"guide_size": 32, "steps": STEPS, "feather": 0, "noise_mask_feather": 4}
ENDS = [("crop", 0), ("encode", 0), *(("sample", step) for step in range(STEPS + 1)), ("decode", 0), ("paste", 0)]


@pytest.fixture(scope="module")
def pipe(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    adapter = tiny_models.save_motion_adapter(root / "adapter")
    return BasicPipe.from_pretrained(tiny_models.save_checkpoint(root / "sd"), motion_adapter=adapter, device="cpu")


@pytest.fixture
def frames():
    return smooth_clip(3, 48, 64)


def segs(frames):
    return segs_of(frames, segment((0, 0, 32, 32)), segment((24, 8, 56, 40), label="hand"))


def cancel_at(stage, step, which):
    def observe(progress):
        if (progress.segment, progress.stage, progress.step) == (which, stage, step):
            raise CancelledError("enough")

    return observe


@pytest.mark.parametrize(("stage", "step"), ENDS)
def test_at_every_stage_and_step(pipe, frames, stage, step):
    before = frames.clone()
    expected = detail_frames(frames, segs(frames), pipe, **QUICK).frames
    for which in (0, 1):
        with pytest.raises(CancelledError, match="enough"):
            detail_frames(frames, segs(frames), pipe, progress=cancel_at(stage, step, which), **QUICK)
        assert torch.equal(frames, before)
    assert torch.equal(detail_frames(frames, segs(frames), pipe, **QUICK).frames, expected)
    assert not torch.equal(expected, before)


def test_arrays_and_pictures_keep_their_values(pipe, frames):
    array = frames.numpy().copy()
    pictures = [Image.fromarray(frame) for frame in (array * 255).round().astype(np.uint8)]
    for given in (array, pictures):
        before = np.array(given)
        with pytest.raises(CancelledError):
            detail_frames(given, segs(frames), pipe, progress=cancel_at("paste", 0, 1), **QUICK)
        np.testing.assert_array_equal(np.array(given), before)


def test_in_place_what_is_pasted_stays(pipe, frames):
    before = frames.clone()
    whole = detail_frames(frames, segs(frames), pipe, **QUICK).frames
    with pytest.raises(CancelledError):
        detail_frames(frames, segs(frames), pipe, progress=cancel_at("decode", 0, 1), in_place=True, **QUICK)
    assert torch.equal(frames[:, :8], whole[:, :8])
    assert not torch.equal(frames[:, :8], before[:, :8])
    assert torch.equal(frames[:, 32:], before[:, 32:])


def test_a_decode_in_float32_that_fails_gives_the_networks_their_dtype_back(frames):
    vae = tiny_models.make_vae().to(torch.bfloat16)

    def fail(module, args, output):
        if output.dtype == torch.float32:
            raise KeyboardInterrupt
        return output * float("nan")

    vae.decoder.register_forward_hook(fail)
    before = frames.clone()
    unet, conditioning = tiny_models.make_unet(), [[torch.zeros(1, 77, tiny_models.CROSS), {}]]
    with pytest.raises(KeyboardInterrupt):
        detail_frames(frames, segs(frames), (unet, None, vae, conditioning, conditioning), **QUICK)
    assert vae.dtype == torch.bfloat16
    assert torch.equal(frames, before)
