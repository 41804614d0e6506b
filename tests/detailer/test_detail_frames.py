"""detail_frames: kinds of frames, progress, cancelling."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr

import numpy as np
import pytest
import torch
from PIL import Image

import segs_detailer
from fake_sampler import FakeSampler, clip, constant, pipe_of, segment, segs_of
from segs_detailer.detailer import DetailerHook, Progress, detail_frames
from segs_detailer.errors import CancelledError, InvalidArgumentError, MissingDependencyError

QUICK = {"guide_size": 32, "steps": 2, "feather": 0, "noise_mask_feather": 0}
SEGS = ((48, 64), [segment((8, 8, 40, 40)), segment((16, 0, 48, 32), label="hand")])


def painted(frames, value):
    expected = np.asarray(frames).copy()
    expected[:, 8:40, 8:40, :3] = value
    expected[:, 0:32, 16:48, :3] = value
    return expected


class TestKinds:
    def test_torch(self):
        frames = clip()
        result = detail_frames(frames, SEGS, FakeSampler(constant(0.25)), **QUICK)
        assert isinstance(result.frames, torch.Tensor)
        np.testing.assert_allclose(result.frames, painted(frames, 0.25), atol=1e-6)
        assert [seg.label for seg in result.segs[1]] == ["face", "hand"]
        assert result.cnet_images == []

    def test_it_is_exported_at_the_top(self):
        assert segs_detailer.detail_frames is detail_frames

    def test_float32_arrays(self):
        frames = clip().numpy()
        before = frames.copy()
        result = detail_frames(frames, SEGS, FakeSampler(constant(0.25)), **QUICK)
        assert type(result.frames) is np.ndarray
        assert result.frames.dtype == np.float32
        np.testing.assert_allclose(result.frames, painted(before, 0.25), atol=1e-6)
        np.testing.assert_array_equal(frames, before)

    @pytest.mark.parametrize("channels", [3, 4])
    def test_uint8_arrays(self, channels):
        frames = (clip(channels=channels).numpy() * 255).astype(np.uint8)
        result = detail_frames(frames, SEGS, FakeSampler(constant(0.2)), **QUICK)
        assert result.frames.dtype == np.uint8
        np.testing.assert_array_equal(result.frames, painted(frames, 51))

    def test_float16_arrays(self):
        frames = clip().numpy().astype(np.float16)
        result = detail_frames(frames, SEGS, FakeSampler(constant(0.25)), **QUICK)
        assert result.frames.dtype == np.float16
        np.testing.assert_allclose(result.frames, painted(frames, 0.25), atol=1e-3)

    def test_read_only_and_reversed_arrays(self):
        frames = clip().numpy()
        expected = detail_frames(frames, SEGS, FakeSampler(constant(0.25)), **QUICK).frames
        frozen = frames.copy()
        frozen.flags.writeable = False
        np.testing.assert_array_equal(
            detail_frames(frozen, SEGS, FakeSampler(constant(0.25)), **QUICK).frames, expected
        )
        backwards = frames[::-1].copy()[::-1]
        np.testing.assert_array_equal(
            detail_frames(backwards, SEGS, FakeSampler(constant(0.25)), **QUICK).frames, expected
        )
        np.testing.assert_array_equal(backwards, frames)

    @pytest.mark.parametrize("mode", ["RGB", "RGBA"])
    def test_lists_of_images(self, mode):
        frames = (clip(channels=len(mode)).numpy() * 255).astype(np.uint8)
        images = [Image.fromarray(frame) for frame in frames]
        result = detail_frames(images, SEGS, FakeSampler(constant(0.2)), **QUICK)
        assert [image.mode for image in result.frames] == [mode] * 3
        np.testing.assert_array_equal(np.stack([np.asarray(image) for image in result.frames]), painted(frames, 51))
        np.testing.assert_array_equal(np.stack([np.asarray(image) for image in images]), frames)

    @pytest.mark.parametrize("kind", ["torch", "numpy"])
    def test_in_place(self, kind):
        frames = clip() if kind == "torch" else clip().numpy()
        expected = detail_frames(frames, SEGS, FakeSampler(constant(0.25)), **QUICK).frames
        result = detail_frames(frames, SEGS, FakeSampler(constant(0.25)), in_place=True, **QUICK)
        assert result.frames is frames
        np.testing.assert_array_equal(np.asarray(frames), np.asarray(expected))

    def test_in_place_needs_memory_that_can_be_written(self):
        frames = clip().numpy()
        with pytest.raises(InvalidArgumentError, match=r"frames: expected a writable .*got strides \(.*-"):
            detail_frames(frames[::-1], SEGS, FakeSampler(), in_place=True, **QUICK)
        frames.flags.writeable = False
        with pytest.raises(InvalidArgumentError, match=r"frames: expected a writable .*got a read-only array"):
            detail_frames(frames, SEGS, FakeSampler(), in_place=True, **QUICK)

    @pytest.mark.parametrize("kind", ["torch", "numpy"])
    def test_without_segments_the_input_comes_back(self, kind):
        frames = clip() if kind == "torch" else clip().numpy()
        assert detail_frames(frames, ((48, 64), []), FakeSampler()).frames is frames

    def test_a_pipe_or_a_sampler(self):
        frames = clip()
        sampler = FakeSampler()
        detail_frames(frames, SEGS, pipe_of(sampler, ["yes"], ["no"]), **QUICK)
        assert (sampler.jobs[0].positive, sampler.jobs[0].negative) == (["yes"], ["no"])
        sampler = FakeSampler()
        refiner = FakeSampler()
        detail_frames(frames, SEGS, sampler, refiner_pipe=refiner, refiner_ratio=0.5, **QUICK)
        assert sampler.jobs[0].refiner.sampler is refiner
        assert sampler.jobs[0].positive == []

    def test_the_guide_size_counts_for_what_is_named(self):
        for name, side in (("bbox", 64), ("crop_region", 32)):
            sampler = FakeSampler()
            segs = ((48, 64), [segment((8, 8, 40, 40), bbox=(16, 16, 32, 32))])
            detail_frames(clip(), segs, sampler, guide_size=32, guide_size_for=name)
            assert sampler.encoded[0].shape[1] == side


class TestProgress:
    def test_every_stage_and_step_is_reported(self):
        seen: list[Progress] = []
        detail_frames(clip(), SEGS, FakeSampler(), progress=seen.append, **QUICK)
        stages = [
            ("crop", 0, 1),
            ("encode", 0, 1),
            ("sample", 0, 2),
            ("sample", 1, 2),
            ("sample", 2, 2),
            ("decode", 0, 1),
            ("paste", 0, 1),
        ]
        assert [(p.stage, p.step, p.steps) for p in seen] == stages * 2
        assert [(p.segment, p.segments, p.label) for p in seen] == [(0, 2, "face")] * 7 + [(1, 2, "hand")] * 7
        assert [p.x0 is not None for p in seen[:7]] == [False, False, False, True, True, False, False]

    def test_long_pastes_are_reported_between_frames(self, monkeypatch):
        monkeypatch.setattr("segs_detailer.detailer.pasting._PART", 1)
        seen: list[Progress] = []
        detail_frames(clip(), SEGS, FakeSampler(), progress=seen.append, **QUICK)
        assert [(p.step, p.steps) for p in seen if p.stage == "paste"] == [(0, 1), (1, 3), (2, 3)] * 2

    @pytest.mark.parametrize("stage", ["crop", "encode", "sample", "decode", "paste"])
    def test_an_exception_cancels_and_leaves_the_input(self, stage):
        frames = clip()
        before = frames.clone()

        def cancel(progress):
            if progress.segment == 1 and progress.stage == stage:
                raise CancelledError("enough")

        with pytest.raises(CancelledError, match="enough"):
            detail_frames(frames, SEGS, FakeSampler(constant(0.5)), progress=cancel, **QUICK)
        assert torch.equal(frames, before)

    def test_a_bar(self):
        shown = io.StringIO()
        with redirect_stderr(shown):
            detail_frames(clip(), SEGS, FakeSampler(), progress=True, **QUICK)
        assert "hand 2/2" in shown.getvalue()
        assert "4/4" in shown.getvalue()

    def test_a_bar_needs_tqdm(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "tqdm", None)
        with pytest.raises(
            MissingDependencyError, match=r"tqdm is not installed: pip install 'segs-detailer\[video\]'"
        ):
            detail_frames(clip(), SEGS, FakeSampler(), progress=True, **QUICK)


def test_a_hook_sees_the_run():
    class Count(DetailerHook):
        pasted = 0

        def post_paste(self, image):
            self.pasted += 1
            return image

    hook = Count()
    detail_frames(clip(), SEGS, FakeSampler(), hook=hook, **QUICK)
    assert hook.pasted == 2


def test_segs_of_a_preview_run():
    frames = clip(frames=4)
    pipe = segs_detailer.BasicPipe.preview()
    result = detail_frames(frames, segs_of(frames, segment()), pipe, guide_size=48, steps=2)
    inside = result.frames[:, 8:32, 8:40]
    assert not torch.equal(inside, frames[:, 8:32, 8:40])
    assert torch.equal(result.frames[:, 32:], frames[:, 32:])
