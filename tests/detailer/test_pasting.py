"""Pasting segments: blending, masks, clipping, RGBA, and the one copy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fake_sampler import clip, segment, segs_of
from segs_detailer.detailer.pasting import Canvas, paste_segs
from segs_detailer.errors import CancelledError, InvalidArgumentError, InvalidTypeError

REGION = (8, 8, 40, 32)
INSIDE = (slice(None), slice(8, 32), slice(8, 40))


def crops_of(frames=3, channels=3, seed=1):
    return clip(frames, 24, 32, channels, seed)


def paste(frames, *segments, feather=0, **options):
    return paste_segs(frames, segs_of(frames, *segments), feather=feather, **options)


class TestBlend:
    def test_a_whole_mask_shows_the_crops_and_nothing_else_changes(self):
        frames, crops = clip(), crops_of()
        before = frames.clone()
        result = paste(frames, segment(REGION, image=crops))
        expected = frames.clone()
        expected[INSIDE] = crops
        assert torch.equal(result, expected)
        assert torch.equal(frames, before)

    @pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
    def test_mask_and_alpha_weigh_the_crops(self, alpha):
        frames, crops = clip(), crops_of()
        mask = torch.rand((24, 32))
        result = paste(frames, segment(REGION, image=crops, mask=mask), alpha=alpha)
        m = (mask * alpha)[None, :, :, None]
        torch.testing.assert_close(result[INSIDE], (1 - m) * frames[INSIDE] + m * crops)

    def test_the_mask_is_feathered(self):
        frames, crops = torch.zeros((1, 48, 64, 3)), torch.ones((1, 24, 32, 3))
        mask = torch.zeros((24, 32))
        mask[:, 16:] = 1
        result = paste(frames, segment(REGION, image=crops, mask=mask), feather=2)
        taps = torch.exp(-(torch.arange(-2.0, 3.0) ** 2) / 200)
        taps /= taps.sum()
        expected = torch.nn.functional.conv1d(mask[:1, None], taps[None, None], padding=2)[0, 0]
        torch.testing.assert_close(result[0, 20, 8:36, 0], expected[:28], atol=1e-6, rtol=0)

    def test_a_mask_for_each_frame(self):
        frames, crops = clip(), crops_of()
        masks = torch.rand((3, 24, 32))
        result = paste(frames, segment(REGION, image=crops, mask=masks))
        m = masks[..., None]
        torch.testing.assert_close(result[INSIDE], (1 - m) * frames[INSIDE] + m * crops)

    def test_another_number_of_masks_is_combined(self):
        frames, crops = clip(), crops_of()
        masks = torch.zeros((2, 24, 32))
        masks[0, :8], masks[1, 16:], masks[0, 10:12] = 0.2, 1.0, 0.05
        with pytest.warns(UserWarning, match=f"a segment has 2 masks for {len(frames)} frames"):
            result = paste(frames, segment(REGION, image=crops, mask=masks))
        assert torch.equal(result[:, 8:16, 8:40], crops[:, :8])
        assert torch.equal(result[:, 24:32, 8:40], crops[:, 16:])
        assert torch.equal(result[:, 16:24], frames[:, 16:24])

    def test_no_mask_shows_the_whole_crop(self):
        frames, crops = clip(), crops_of()
        assert torch.equal(paste(frames, segment(REGION, image=crops, mask=None), feather=5)[INSIDE], crops)

    def test_segments_are_pasted_in_order(self):
        frames = clip()
        first = segment((0, 0, 32, 24), image=torch.zeros((1, 24, 32, 3)))
        second = segment(REGION, image=torch.ones((1, 24, 32, 3)))
        result = paste(frames, first, second)
        assert torch.equal(result[INSIDE], torch.ones((3, 24, 32, 3)))
        assert not result[:, :8, :32].any()

    @pytest.mark.parametrize(
        "region", [(-8, -4, 24, 20), (48, 32, 80, 56), (-16, 8, 80, 32), (8, -16, 40, 64), (0, 0, 64, 48)]
    )
    def test_what_lies_outside_the_frame_is_clipped(self, region):
        x1, y1, x2, y2 = region
        frames, crops = clip(), clip(3, y2 - y1, x2 - x1, seed=2)
        result = paste(frames, segment(region, image=crops))
        canvas = torch.nn.functional.pad(frames, (0, 0, 100, 100, 100, 100))
        canvas[:, 100 + y1 : 100 + y2, 100 + x1 : 100 + x2] = crops
        assert torch.equal(result, canvas[:, 100:-100, 100:-100])

    def test_segs_of_another_size_are_rescaled(self):
        frames = clip(height=96, width=128)
        segs = (48, 64), [segment(REGION, image=torch.full((1, 24, 32, 3), 0.25))]
        result = paste_segs(frames, segs, feather=0)
        torch.testing.assert_close(result[:, 16:64, 16:80], torch.full((3, 48, 64, 3), 0.25))
        assert torch.equal(result[:, 64:], frames[:, 64:])


class TestReference:
    def test_its_regions_are_pasted_and_not_the_crops(self):
        frames, reference = clip(), clip(seed=5)
        result = paste(frames, segment(REGION, image=crops_of()), segment((40, 0, 64, 16)), reference=reference)
        assert torch.equal(result[INSIDE], reference[INSIDE])
        assert torch.equal(result[:, :16, 40:], reference[:, :16, 40:])
        assert torch.equal(result[:, 32:], frames[:, 32:])

    def test_one_frame_serves_all(self):
        frames, reference = clip(), clip(frames=1, seed=5)
        result = paste(frames, segment(REGION), reference=reference)
        assert torch.equal(result[INSIDE], reference[INSIDE].expand(3, -1, -1, -1))

    @pytest.mark.parametrize("shape", [(2, 48, 64, 3), (3, 48, 32, 3)])
    def test_another_count_or_size_is_refused(self, shape):
        with pytest.raises(InvalidArgumentError, match=r"^ref_image_opt: expected 1 or 3 frames of 64 x 48 pixels"):
            paste(clip(), segment(REGION), reference=torch.zeros(shape))


class TestChannels:
    def test_rgb_crops_leave_the_alpha_of_rgba_frames(self):
        frames, crops = clip(channels=4), crops_of()
        mask = torch.rand((24, 32))
        before = frames.clone()
        result = paste(frames, segment(REGION, image=crops, mask=mask))
        m = mask[None, :, :, None]
        torch.testing.assert_close(result[INSIDE][..., :3], (1 - m) * frames[INSIDE][..., :3] + m * crops)
        assert torch.equal(result[..., 3], frames[..., 3])
        assert torch.equal(frames, before)

    @pytest.mark.parametrize("region", [(-8, -4, 24, 20), (48, 32, 80, 56)])
    def test_and_are_clipped(self, region):
        frames, crops = clip(channels=4), crops_of()
        result = paste(frames, segment(region, image=crops))
        expected = paste(frames[..., :3].contiguous(), segment(region, image=crops))
        assert torch.equal(result[..., :3], expected)
        assert torch.equal(result[..., 3], frames[..., 3])

    def test_rgba_crops_are_laid_over_rgba_frames(self):
        frames, crops = clip(channels=4), crops_of(channels=4)
        mask = torch.rand((24, 32))
        result = paste(frames, segment(REGION, image=crops, mask=mask))[INSIDE]
        below, over = frames[INSIDE], crops[..., 3:] * mask[None, :, :, None]
        alpha = over + below[..., 3:] * (1 - over)
        color = (crops[..., :3] * over + below[..., :3] * below[..., 3:] * (1 - over)) / alpha
        torch.testing.assert_close(result, torch.cat((color, alpha), -1), atol=1e-5, rtol=1e-5)

    def test_rgba_crops_on_rgb_frames_weigh_by_their_alpha(self):
        frames, crops = clip(), crops_of(channels=4)
        result = paste(frames, segment(REGION, image=crops))
        m = crops[..., 3:]
        torch.testing.assert_close(result[INSIDE], (1 - m) * frames[INSIDE] + m * crops[..., :3])

    def test_bytes_on_floats_and_floats_on_bytes(self):
        frames = clip()
        crops = torch.randint(0, 256, (3, 24, 32, 3), dtype=torch.uint8)
        torch.testing.assert_close(paste(frames, segment(REGION, image=crops))[INSIDE], crops / 255)
        bytes_ = torch.randint(0, 256, (3, 48, 64, 3), dtype=torch.uint8)
        result = paste(bytes_, segment(REGION, image=crops / 255))
        assert result.dtype == torch.uint8
        assert torch.equal(result[INSIDE], crops)
        assert torch.equal(result[:, 32:], bytes_[:, 32:])


class TestEdges:
    def test_segments_without_crops_are_left_out(self):
        frames = clip()
        assert paste(frames, segment(REGION)) is frames

    def test_no_segments_and_no_frames(self):
        frames = clip()
        assert paste(frames) is frames
        none = clip(frames=0)
        assert paste(none, segment(REGION, image=crops_of(frames=1))).shape == (0, 48, 64, 3)

    def test_a_segment_outside_the_frame(self):
        frames = clip()
        assert paste(frames, segment((64, 0, 96, 24), image=crops_of())) is frames

    def test_another_number_of_crops_is_refused(self):
        with pytest.raises(InvalidArgumentError, match=r"segs\[1\]\[0\]\.cropped_image: expected 1 or 3 crops"):
            paste(clip(), segment(REGION, image=crops_of(frames=2)))

    def test_frames_are_checked_before_anything_else(self):
        with pytest.raises(InvalidArgumentError, match=r"^image: expected shape"):
            paste_segs(torch.zeros((48, 64, 3)), ((48, 64), []), feather=0)
        with pytest.raises(InvalidTypeError, match=r"^image: expected a tensor"):
            paste_segs(np.zeros((1, 48, 64, 3), np.float32), ((48, 64), []), feather=0)

    def test_segs_are_checked(self):
        with pytest.raises(InvalidTypeError, match=r"^segs: expected SEGS"):
            paste_segs(clip(), [1, 2, 3], feather=0)


class TestCanvas:
    def test_owned_frames_are_never_copied(self):
        frames = clip()
        canvas = Canvas(frames, owned=True)
        canvas.paste(crops_of(), torch.ones((1, 24, 32)), REGION)
        assert canvas.frames is frames
        assert torch.equal(frames[INSIDE], crops_of())

    def test_replaced_frames_are_copied_again(self):
        frames, other = clip(), clip(seed=3)
        canvas = Canvas(frames, owned=True)
        canvas.replace(other)
        before = other.clone()
        canvas.paste(crops_of(), torch.ones((1, 24, 32)), REGION)
        assert torch.equal(other, before)
        assert canvas.frames is not other

    def test_the_same_frames_in_another_tensor_are_still_owned(self):
        frames = clip()
        canvas = Canvas(frames, owned=True)
        canvas.replace(frames.view(frames.shape))
        canvas.paste(crops_of(), torch.ones((1, 24, 32)), REGION)
        assert torch.equal(frames[INSIDE], crops_of())


class TestParts:
    """Long clips are pasted in parts, between which a run can be ended."""

    @pytest.fixture(autouse=True)
    def _one_frame_each(self, monkeypatch):
        monkeypatch.setattr("segs_detailer.detailer.pasting._PART", 1)

    @pytest.mark.parametrize("owned", [True, False])
    @pytest.mark.parametrize("masks", [1, 3])
    @pytest.mark.parametrize("crops", [1, 3])
    def test_parts_give_the_same_bits(self, owned, masks, crops):
        mask = torch.rand((masks, 24, 32), generator=torch.Generator().manual_seed(2))
        results = []
        for between in (None, lambda done: None):
            canvas = Canvas(clip(), owned=owned)
            canvas.paste(crops_of(frames=crops), mask, REGION, 0.7, between=between)
            results.append(canvas.frames)
        assert torch.equal(*results)
        assert not torch.equal(results[0], clip())

    def test_frames_that_are_done_are_told(self):
        done = []
        Canvas(clip()).paste(crops_of(), torch.ones((1, 24, 32)), REGION, between=done.append)
        assert done == [1, 2]

    def test_what_is_raised_between_frames_leaves_frames_that_are_not_owned(self):
        frames = clip()
        canvas = Canvas(frames)

        def stop(done):
            raise CancelledError("enough")

        with pytest.raises(CancelledError):
            canvas.paste(crops_of(), torch.ones((1, 24, 32)), REGION, between=stop)
        assert canvas.frames is frames
        assert torch.equal(frames, clip())

    def test_a_paste_of_segments_tells_of_all_of_them(self):
        told = []
        segs = ((48, 64), [segment(REGION, image=crops_of()), segment((64, 0, 96, 24), image=crops_of())])
        paste_segs(clip(), segs, feather=0, progress=lambda *state: told.append(state))
        # The second one lies outside.
        assert told == [(0, 6), (1, 6), (2, 6), (3, 6), (6, 6)]
