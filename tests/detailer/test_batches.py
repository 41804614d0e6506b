"""Segments that are sampled together: which, in what order, and that nothing but the speed changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from detailer_run import run_of
from fake_sampler import FakeSampler, clip, constant, identity, pipe_of, segment, segs_of, smooth_clip
from segs_detailer.detailer import DetailerHook, SegmentWarning, detail_and_paste, detail_frames, detail_segs
from segs_detailer.detailer.batches import batch_segments
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.models.info import Geometry

CLIPS = Geometry(size_multiple=8, takes_clips=True)
# Three of 16 x 16 side by side, one of another shape, and one that overlaps the first.
APART = [segment((0, 0, 16, 16)), segment((20, 0, 36, 16)), segment((40, 0, 56, 16))]
WIDE = segment((0, 20, 32, 36))
OVER = segment((4, 4, 20, 20))


def brighter(pixels, job):
    """Repaint by the clip's own first pixel, so that mixed up clips would show."""
    shift = torch.cat([part[:1, :1, :1].expand_as(part) for part in pixels.tensor_split(job.clips)])
    return (pixels * 0.5 + shift * 0.25).clamp(0, 1)


def batches_of(segments, *, limit=8, pasted=True, sampler=None, **changes):
    frames = clip()
    run = run_of(FakeSampler(geometry=CLIPS) if sampler is None else sampler, batch_segments=limit, **changes)
    return batch_segments(segments, frames, run, pasted=pasted)


class TestWhichSegments:
    def test_neighbors_of_one_working_size(self):
        assert batches_of(APART) == [[0, 1, 2]]
        assert batches_of([*APART[:2], WIDE, APART[2]]) == [[0, 1], [2], [3]]

    def test_no_more_than_allowed(self):
        assert batches_of(APART, limit=2) == [[0, 1], [2]]
        assert batches_of(APART, limit=1) == [[0], [1], [2]]

    def test_overlapping_ones_only_where_nothing_is_pasted(self):
        assert batches_of([APART[0], OVER]) == [[0], [1]]
        assert batches_of([APART[0], OVER], pasted=False) == [[0, 1]]
        # Regions that touch share no pixel.
        assert batches_of([segment((0, 0, 16, 16)), segment((16, 0, 32, 16))]) == [[0, 1]]

    def test_segments_with_something_of_their_own_stay_alone(self):
        own = APART[1]._replace(control_net_wrapper=object())
        assert batches_of([APART[0], own, APART[2]]) == [[0], [1], [2]]
        assert batches_of([APART[0], APART[1]._replace(cropped_mask=None)]) == [[0], [1]]
        outside = segment((100, 0, 116, 16))
        assert batches_of([outside, *APART[:2]]) == [[0], [1, 2]]

    @pytest.mark.parametrize(
        "changes",
        [
            {"sampler": FakeSampler()},
            {"hook": DetailerHook()},
            {"sampler_name": "dpm_adaptive"},
            {"positive": [[torch.zeros(1, 1, 1), {"mask": torch.ones(1, 48, 64)}]]},
            {"negative": [[torch.zeros(1, 1, 1), {"control": object()}]]},
            {"refiner": pipe_of(FakeSampler()), "refiner_ratio": 0.5},
        ],
        ids=["model", "hook", "adaptive", "mask", "control", "refiner"],
    )
    def test_nothing_is_put_together_where_one_could_change_another(self, changes):
        assert batches_of(APART, **changes) == [[0], [1], [2]]

    @pytest.mark.parametrize("value", [0, -1])
    def test_bad_numbers(self, value):
        with pytest.raises(InvalidArgumentError, match="batch_segments: expected"):
            detail_frames(clip(), segs_of(clip(), *APART), FakeSampler(), batch_segments=value)


class TestResults:
    @pytest.mark.parametrize("detail", [detail_segs, detail_and_paste])
    def test_same_as_one_by_one(self, detail):
        frames = smooth_clip()
        masks = [np.random.default_rng(i).random((16, 16)).astype(np.float32) for i in range(3)]
        segments = [seg._replace(cropped_mask=mask) for seg, mask in zip(APART, masks, strict=True)] + [OVER, WIDE]
        alone, together = FakeSampler(brighter, geometry=CLIPS), FakeSampler(brighter, geometry=CLIPS)
        expected = detail(frames, segs_of(frames, *segments), run_of(alone))
        result = detail(frames, segs_of(frames, *segments), run_of(together, batch_segments=8))
        for one, other in zip(expected[-2][1], result[-2][1], strict=True):
            np.testing.assert_array_equal(one.cropped_image, other.cropped_image)
        assert [job.clips for job in alone.jobs] == [1] * 5
        assert [job.clips for job in together.jobs] == ([3, 1, 1] if detail is detail_and_paste else [4, 1])
        if detail is detail_and_paste:
            assert torch.equal(expected[0], result[0])

    def test_masks_go_with_their_clips(self):
        frames = smooth_clip()
        still = APART[0]._replace(cropped_mask=np.full((16, 16), 0.25, np.float32))
        moving = APART[1]._replace(cropped_mask=np.stack([np.full((16, 16), v, np.float32) for v in (0, 0.5, 1)]))
        sampler = FakeSampler(geometry=CLIPS)
        detail_segs(frames, segs_of(frames, still, moving), run_of(sampler, batch_segments=2))
        assert sampler.jobs[0].noise_mask[:, 0, 0].tolist() == [0.25, 0.25, 0.25, 0, 0.5, 1]
        assert len(sampler.jobs[0].pixels) == 6

    def test_no_masks_at_all(self):
        frames = smooth_clip()
        bare = [seg._replace(cropped_mask=None) for seg in APART]
        sampler = FakeSampler(geometry=CLIPS)
        detail_segs(frames, segs_of(frames, *bare), run_of(sampler, batch_segments=3))
        assert sampler.jobs[0].noise_mask is None

    def test_short_clips_are_padded_each(self):
        frames = smooth_clip(frames=3)
        geometry = Geometry(size_multiple=8, frame_step=4, frame_offset=1, takes_clips=True)
        sampler = FakeSampler(brighter, geometry=geometry)
        alone = FakeSampler(brighter, geometry=geometry)
        (_, result), _ = detail_segs(frames, segs_of(frames, *APART), run_of(sampler, batch_segments=3))
        (_, expected), _ = detail_segs(frames, segs_of(frames, *APART), run_of(alone))
        assert len(sampler.jobs[0].pixels) == 15
        for one, other in zip(expected, result, strict=True):
            np.testing.assert_array_equal(one.cropped_image, other.cropped_image)

    def test_a_bad_one_does_not_spoil_the_others(self):
        frames = smooth_clip()

        class Breaking(FakeSampler):
            def decode(self, latents, *, full_precision=False):
                crops = super().decode(latents, full_precision=full_precision)
                return crops * float("nan") if len(self.decodes) in (2, 3) else crops

        sampler = Breaking(constant(0.5), geometry=CLIPS)
        with pytest.warns(SegmentWarning, match=r"segment 2 of 3 .* was left as it was"):
            result, _, _ = detail_and_paste(frames, segs_of(frames, *APART), run_of(sampler, batch_segments=3))
        assert torch.equal(result[:, :16, 20:36], frames[:, :16, 20:36])
        for x in (0, 40):
            torch.testing.assert_close(result[:, :16, x : x + 16], torch.full((3, 16, 16, 3), 0.5))


class TestProgress:
    def test_every_segment_reports_its_own_steps(self):
        frames, seen = smooth_clip(), []
        observer = seen.append
        run = run_of(FakeSampler(identity, geometry=CLIPS), batch_segments=3, observer=observer)
        detail_and_paste(frames, segs_of(frames, *APART), run)
        for index in range(3):
            own = [(event.stage, event.step) for event in seen if event.segment == index]
            assert own == [
                ("crop", 0),
                ("encode", 0),
                ("sample", 0),
                ("sample", 1),
                ("sample", 2),
                ("decode", 0),
                ("paste", 0),
            ]
        steps = [event for event in seen if event.stage == "sample" and event.step]
        assert {len(event.x0) for event in steps} == {3}
        previews = [event.preview() for event in steps]
        assert {preview.shape for preview in previews} == {(3, 8, 8, 3)}

    def test_the_bar_ends_full(self, capsys):
        frames = smooth_clip()
        sampler = FakeSampler(geometry=CLIPS)
        settings = {"guide_size": 64, "steps": 2, "batch_segments": 3, "progress": True}
        detail_frames(frames, segs_of(frames, *APART), sampler, **settings)
        assert "6/6" in capsys.readouterr().err
