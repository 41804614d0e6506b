"""What can be wrong with decoded crops, and what is done about it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from detailer_run import run_of
from fake_sampler import FakeSampler, clip, constant, segment, segs_of, smooth_clip
from segs_detailer.detailer import SegmentWarning, detail_and_paste
from segs_detailer.detailer.decoding import CropTexture
from segs_detailer.models.info import Geometry

FRAMES = 4
REGION = (8, 8, 40, 40)
FAMILY = "gave one flat color for textured crops"


def brighter(pixels, job):
    return pixels * 0.5 + 0.4


class CollapsingSampler(FakeSampler):
    """Its decoder gives one gray for some frames: in half precision, always or never."""

    def __init__(self, collapses="half", frames=(0, 1, 2, 3), repaint=brighter, layout="F C h w", **options):
        super().__init__(repaint, **options)
        self.collapses = collapses
        self.frames = list(frames)
        self.layout = layout

    def encode(self, frames):
        return self.laid_out(super().encode(frames))

    def sample(self, latents, job):
        return self.laid_out(super().sample(self.plain(latents), job))

    def decode(self, latents, *, full_precision=False):
        pixels = super().decode(self.plain(latents), full_precision=full_precision)
        if self.collapses == "always" or (self.collapses == "half" and not full_precision):
            pixels = pixels.clone()
            pixels[self.frames] = 0.5
        return pixels

    def laid_out(self, latents):
        if self.layout == "F h w C":
            return latents.movedim(1, -1)
        return latents.flatten(1) if self.layout == "opaque" else latents

    def plain(self, latents):
        if self.layout == "F h w C":
            return latents.movedim(-1, 1)
        if self.layout == "opaque":
            return latents.view(len(latents), 3 * 64, *(side // 8 for side in self.encoded[-1].shape[1:3]))
        return latents


def detailed(frames, sampler, seg=None, **settings):
    """The frames after a run over one segment."""
    segs = segs_of(frames, segment(REGION) if seg is None else seg)
    image, (_, [done]), _ = detail_and_paste(frames, segs, run_of(sampler, guide_size=8, **settings))
    return image, done


def painted(frames):
    expected = frames.clone()
    expected[:, 8:40, 8:40] = expected[:, 8:40, 8:40] * 0.5 + 0.4
    return expected


class TestCollapsedVariance:
    @pytest.mark.parametrize("layout", ["F C h w", "F h w C", "opaque"])
    def test_a_decoder_that_collapses_in_half_precision_is_run_in_float32(self, layout):
        frames = smooth_clip(FRAMES)
        sampler = CollapsingSampler(layout=layout)
        image, _ = detailed(frames, sampler)
        assert sampler.decodes == [False, True]
        torch.testing.assert_close(image, painted(frames), atol=1e-5, rtol=0)

    def test_one_frame_of_several_is_enough(self):
        frames = smooth_clip(FRAMES)
        sampler = CollapsingSampler(frames=[2])
        image, _ = detailed(frames, sampler)
        assert sampler.decodes == [False, True]
        torch.testing.assert_close(image, painted(frames), atol=1e-5, rtol=0)

    @pytest.mark.parametrize("layout", ["F C h w", "F h w C", "opaque"])
    @pytest.mark.parametrize(
        ("bad", "named"),
        [([0, 1, 2, 3], "every frame"), ([2], "frame 3 of 4"), ([0, 2, 3], "frames 1, 3-4 of 4")],
    )
    def test_then_the_segment_is_left_and_named_with_its_frames(self, layout, bad, named):
        frames = smooth_clip(FRAMES)
        sampler = CollapsingSampler("always", bad, layout=layout)
        why = rf"was left as it was: decoding {FAMILY} \({named}\), in full precision too$"
        message = rf"^segment 1 of 1 \('face'\) at \(8, 8, 40, 40\) {why}"
        with pytest.warns(SegmentWarning, match=message):
            image, seg = detailed(frames, sampler)
        assert sampler.decodes == [False, True]
        assert image is frames
        np.testing.assert_array_equal(seg.cropped_image, frames[:, 8:40, 8:40].numpy())

    def test_a_decoder_that_works_is_run_once(self):
        sampler = CollapsingSampler("never")
        detailed(smooth_clip(FRAMES), sampler)
        assert sampler.decodes == [False]

    def test_a_flat_input_is_not_accused(self):
        frames = torch.full((FRAMES, 48, 64, 3), 0.3)
        sampler = CollapsingSampler("always")
        image, _ = detailed(frames, sampler)
        assert sampler.decodes == [False]
        assert float(image[0, 20, 20, 0]) == 0.5

    @pytest.mark.parametrize("layout", ["F C h w", "F h w C", "opaque"])
    def test_a_sampler_that_paints_one_color_is_not_accused(self, layout):
        sampler = CollapsingSampler("never", repaint=constant(0.25), layout=layout)
        image, _ = detailed(smooth_clip(FRAMES), sampler)
        assert sampler.decodes == [False]
        torch.testing.assert_close(image[:, 8:40, 8:40], torch.full((FRAMES, 32, 32, 3), 0.25))

    def test_only_what_was_repainted_counts(self):
        # Outside the mask the crops keep their texture; inside, the decoder fails.
        class FailsInside(FakeSampler):
            def decode(self, latents, *, full_precision=False):
                pixels = super().decode(latents, full_precision=full_precision).clone()
                if not full_precision:
                    pixels[:, 16:, 16:] = 0
                return pixels

        mask = np.zeros((32, 32), np.float32)
        mask[16:, 16:] = 1
        frames = smooth_clip(FRAMES)
        sampler = FailsInside(brighter)
        image, _ = detailed(frames, sampler, segment(REGION, mask=mask))
        assert sampler.decodes == [False, True]
        torch.testing.assert_close(image[:, 24:40, 24:40], painted(frames)[:, 24:40, 24:40], atol=1e-5, rtol=0)

    def test_one_color_painted_inside_the_mask_is_not_accused(self):
        def paint(pixels, job):
            return torch.where(job.noise_mask[..., None] > 0.5, 0.25, pixels)

        mask = np.zeros((32, 32), np.float32)
        mask[16:, 16:] = 1
        sampler = FakeSampler(paint)
        detailed(smooth_clip(FRAMES), sampler, segment(REGION, mask=mask))
        assert sampler.decodes == [False]

    def test_masks_count_frame_by_frame(self):
        # The third frame collapses where nothing of it is repainted: it is not used there.
        masks = np.ones((FRAMES, 32, 32), np.float32)
        masks[2] = 0
        sampler = CollapsingSampler(frames=[2])
        frames = smooth_clip(FRAMES)
        image, _ = detailed(frames, sampler, segment(REGION, mask=masks))
        assert sampler.decodes == [False]
        assert torch.equal(image[2], frames[2])

    def test_added_frames_do_not_count(self):
        sampler = CollapsingSampler(frames=[4], geometry=Geometry(size_multiple=8, frame_step=4, frame_offset=1))
        detailed(smooth_clip(FRAMES), sampler)
        assert sampler.decodes == [False]

    def test_large_crops_are_accused_only_where_every_pixel_is_flat(self):
        pixels, latents = torch.rand(1, 256, 256, 3), torch.rand(1, 4, 32, 32)
        texture = CropTexture.of(pixels, latents, torch.ones(1, 256, 256), 1)
        flat = torch.full_like(pixels, 0.5)
        assert texture.fault(flat, latents) == f"decoding {FAMILY} (its one frame)"
        # A regular pattern, of which a regular look might meet nothing.
        flat[:, 1::2, 1::2] = 1
        assert texture.fault(flat, latents) is None

    def test_nothing_as_large_as_the_crops_is_made(self, monkeypatch):
        pixels, latents = torch.rand(40, 160, 160, 3), torch.rand(40, 4, 20, 20)
        texture = CropTexture.of(pixels, latents, torch.ones(1, 160, 160), 40)
        sizes = []
        flatten = torch.Tensor.float

        def watched(values):
            sizes.append(values.numel())
            return flatten(values)

        monkeypatch.setattr(torch.Tensor, "float", watched)
        assert texture.fault(torch.full_like(pixels, 0.5), latents) is not None
        assert max(sizes) <= 16 * 128 * 128 * 3


class TestPackedLatents:
    """Latents of video VAEs: the first frame alone, then four to each."""

    def latents(self, value=None):
        varied = torch.rand(1, 4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        if value is not None:
            varied[:, :, value] = 0.5
        return varied

    def fault(self, flat, painted_flat):
        pixels = torch.rand(9, 64, 64, 3, generator=torch.Generator().manual_seed(1))
        texture = CropTexture.of(pixels, self.latents(), None, 9)
        decoded = pixels.clone()
        decoded[flat] = 0.5
        return texture.fault(decoded, self.latents(painted_flat))

    def test_frames_are_found_in_their_latents(self):
        assert self.fault([3], None) == f"decoding {FAMILY} (frame 4 of 9)"
        assert self.fault([3], 1) is None
        assert self.fault([3], 2) == f"decoding {FAMILY} (frame 4 of 9)"
        assert self.fault([0], 0) is None
        assert self.fault([5, 6, 7, 8], 2) is None


class TestValuesThatAreNotFinite:
    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    def test_frames_are_named(self, value):
        pixels = clip(FRAMES)
        texture = CropTexture.of(pixels, torch.rand(FRAMES, 4, 6, 8), None, FRAMES)
        assert texture.fault(pixels, torch.rand(FRAMES, 4, 6, 8)) is None
        broken = pixels.clone()
        broken[1, 3, 4, 2] = value
        expected = "decoding gave values that are not finite (frame 2 of 4)"
        assert texture.fault(broken, torch.rand(FRAMES, 4, 6, 8)) == expected

    def test_a_float32_decode_that_is_flat_is_refused_too(self):
        class NanThenFlat(FakeSampler):
            def decode(self, latents, *, full_precision=False):
                pixels = super().decode(latents)
                return torch.full_like(pixels, 0.0 if full_precision else float("nan"))

        frames = smooth_clip(FRAMES)
        with pytest.warns(SegmentWarning, match=f"{FAMILY} \\(every frame\\), in full precision too"):
            image, _ = detailed(frames, NanThenFlat(brighter))
        assert image is frames

    @pytest.mark.parametrize("inference", [False, True])
    @pytest.mark.parametrize("in_place", [False, True])
    def test_pixels_that_a_model_hands_through_are_looked_at_where_it_wrote_to_them(self, in_place, inference):
        class OnPixels(FakeSampler):
            def encode(self, frames):
                return frames

            def sample(self, latents, job):
                return latents * 0.5

            def decode(self, latents, *, full_precision=False):
                if in_place:
                    latents[1, 3, 4, 2] = float("nan")
                return latents

        frames = smooth_clip(FRAMES)
        with torch.inference_mode(inference):
            if in_place:
                with pytest.warns(SegmentWarning, match=r"not finite \(frame 2 of 4\), in full precision too"):
                    image, _ = detailed(frames, OnPixels())
                assert image is frames
            else:
                image, _ = detailed(frames, OnPixels())
                assert image.isfinite().all()
                assert image is not frames
