"""The run: crop, scale up, repaint, scale back, for one segment after the other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from detailer_run import run_of
from fake_sampler import FakeSampler, clip, constant, pipe_of, segment, segs_of, smooth_clip
from segs_detailer.detailer import Models, SegmentWarning, detail_and_paste, detail_segs
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, ModelError
from segs_detailer.models.info import Geometry


def detail(frames, *segments, sampler=None, **settings):
    sampler = FakeSampler() if sampler is None else sampler
    (size, segs), cnet_images = detail_segs(frames, segs_of(frames, *segments), run_of(sampler, **settings))
    assert size == tuple(frames.shape[1:3])
    return segs, cnet_images, sampler


class TestOneSegment:
    def test_a_sampler_that_changes_nothing_gives_the_crop_back(self):
        frames = smooth_clip()
        [seg], cnet_images, sampler = detail(frames, segment((8, 8, 40, 40)))
        assert seg.cropped_image.dtype == np.float32
        assert seg.cropped_image.shape == (3, 32, 32, 3)
        np.testing.assert_allclose(seg.cropped_image, frames[:, 8:40, 8:40], atol=6e-3)
        assert cnet_images == []
        assert sampler.encoded[0].shape == (3, 64, 64, 3)

    def test_a_color_comes_back_exactly(self):
        [seg], _, _ = detail(clip(), segment(), sampler=FakeSampler(constant(0.25)))
        np.testing.assert_allclose(seg.cropped_image, 0.25, atol=1e-6)

    def test_the_rest_of_the_seg_is_handed_on(self):
        given = segment(bbox=(10, 10, 30, 30), wrapper=object())
        [seg], _, _ = detail(clip(), given)
        assert seg[1:6] == given[1:6]
        assert seg.control_net_wrapper is None

    def test_sizes_are_rounded_for_the_model_and_mapped_back(self):
        # The crop of 33 x 25 is scaled by 50 / 25 to 66 x 50: the model sees 64 x 48.
        [seg], _, sampler = detail(smooth_clip(), segment((8, 8, 41, 33)), guide_size=50)
        assert sampler.encoded[0].shape == (3, 48, 64, 3)
        assert seg.cropped_image.shape == (3, 25, 33, 3)

    def test_a_large_crop_is_worked_on_at_its_own_size(self):
        _, _, sampler = detail(clip(), segment((0, 0, 33, 25)), guide_size=16)
        assert sampler.encoded[0].shape == (3, 32, 40, 3)

    def test_at_the_own_size_of_a_fitting_crop_not_a_bit_changes(self):
        frames = clip()
        [seg], _, _ = detail(frames, segment((8, 8, 40, 40)), guide_size=8)
        np.testing.assert_array_equal(seg.cropped_image, frames[:, 8:40, 8:40].numpy())

    @pytest.mark.parametrize("for_bbox", [True, False])
    def test_the_guide_size_counts_for_box_or_crop(self, for_bbox):
        seg = segment((8, 8, 40, 40), bbox=(16, 16, 32, 32))
        _, _, sampler = detail(clip(), seg, guide_size=32, guide_size_for="bbox" if for_bbox else "crop_region")
        assert sampler.encoded[0].shape[1] == (64 if for_bbox else 32)

    def test_max_size(self):
        _, _, sampler = detail(clip(), segment((0, 0, 32, 16), bbox=(0, 0, 4, 4)), guide_size=64, max_size=80)
        assert sampler.encoded[0].shape == (3, 40, 80, 3)

    def test_a_box_without_area_works(self):
        _, _, sampler = detail(clip(), segment((8, 8, 40, 40), bbox=(20, 20, 20, 20)))
        assert sampler.encoded[0].shape[1:3] == (64, 64)

    def test_rgba_frames_are_detailed_as_rgb(self):
        frames = smooth_clip(channels=4)
        [seg], _, _ = detail(frames, segment((8, 8, 40, 40)))
        np.testing.assert_allclose(seg.cropped_image, frames[:, 8:40, 8:40, :3], atol=6e-3)

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.float16])
    def test_other_dtypes_become_float32_crops(self, dtype):
        frames = smooth_clip()
        given = (frames * 255).round().to(torch.uint8) if dtype == torch.uint8 else frames.to(dtype)
        [seg], _, _ = detail(given, segment((8, 8, 40, 40)))
        assert seg.cropped_image.dtype == np.float32
        np.testing.assert_allclose(seg.cropped_image, frames[:, 8:40, 8:40], atol=8e-3)


class TestWhatTheModelGets:
    def test_the_job_carries_the_settings(self):
        schedule = lambda model, name, steps: torch.linspace(1, 0, steps + 1)  # noqa: E731
        _, _, sampler = detail(
            clip(),
            segment(),
            seed=2**64 - 1,
            steps=7,
            cfg=3.5,
            sampler_name="dpmpp_2m",
            scheduler="karras",
            denoise=0.3,
            inpaint_model=True,
            scheduler_func=schedule,
            positive=["yes"],
            negative=["no"],
        )
        [job] = sampler.jobs
        assert (job.seed, job.steps, job.cfg, job.denoise) == (2**64 - 1, 7, 3.5, 0.3)
        assert (job.sampler_name, job.scheduler) == ("dpmpp_2m", "karras")
        assert (job.positive, job.negative) == (["yes"], ["no"])
        assert job.inpaint_model is True
        assert job.scheduler_func is schedule
        assert job.noise is None
        assert job.refiner is None
        assert job.callback is None
        assert job.pixels is sampler.encoded[0]

    def test_every_segment_has_the_same_seed(self):
        _, _, sampler = detail(clip(), segment(), segment((0, 0, 16, 16)), seed=5)
        assert [job.seed for job in sampler.jobs] == [5, 5]

    def test_the_noise_mask_is_feathered_at_the_crop_then_scaled(self):
        mask = np.zeros((32, 32), np.float32)
        mask[8:24, 8:24] = 1
        _, _, sampler = detail(clip(), segment((8, 8, 40, 40), mask=mask), noise_mask_feather=3)
        [job] = sampler.jobs
        taps = torch.exp(-(torch.arange(-3.0, 4.0) ** 2) / 200)
        taps /= taps.sum()
        padded = torch.nn.functional.pad(torch.from_numpy(mask)[None, None], (3, 3, 3, 3), mode="reflect")
        blurred = torch.nn.functional.conv2d(padded, torch.outer(taps, taps)[None, None])
        expected = torch.nn.functional.interpolate(blurred, (64, 64), mode="bilinear", align_corners=False)[0]
        torch.testing.assert_close(job.noise_mask, expected, atol=1e-5, rtol=0)
        assert job.differential is True

    def test_without_feather_the_mask_is_hard_and_not_differential(self):
        mask = np.zeros((32, 32), np.float32)
        mask[:, 16:] = 1
        _, _, sampler = detail(clip(), segment((8, 8, 40, 40), mask=mask), guide_size=8)
        [job] = sampler.jobs
        np.testing.assert_array_equal(job.noise_mask.numpy(), mask[None])
        assert job.differential is False

    def test_a_mask_per_frame(self):
        masks = np.random.default_rng(0).random((3, 32, 32), dtype=np.float32)
        _, _, sampler = detail(clip(), segment((8, 8, 40, 40), mask=masks), guide_size=8)
        np.testing.assert_array_equal(sampler.jobs[0].noise_mask.numpy(), masks)

    def test_another_number_of_masks_is_combined(self):
        masks = np.zeros((2, 32, 32), np.float32)
        masks[0, :8], masks[1, 24:], masks[0, 12:16] = 0.2, 1, 0.05
        with pytest.warns(UserWarning, match=f"a segment has 2 masks for {len(clip())} frames") as caught:
            _, _, sampler = detail(clip(), segment((8, 8, 40, 40), mask=masks), guide_size=8)
        assert len(caught) == 1
        expected = np.zeros((1, 32, 32), np.float32)
        expected[:, :8], expected[:, 24:] = 1, 1
        np.testing.assert_array_equal(sampler.jobs[0].noise_mask.numpy(), expected)

    def test_masks_of_bytes(self):
        mask = np.full((32, 32), 51, np.uint8)
        _, _, sampler = detail(clip(), segment((8, 8, 40, 40), mask=mask))
        torch.testing.assert_close(sampler.jobs[0].noise_mask, torch.full((1, 64, 64), 0.2))

    def test_no_mask_repaints_everything(self):
        _, _, sampler = detail(clip(), segment(mask=None))
        assert sampler.jobs[0].noise_mask is None
        # An inpainting checkpoint is always fed a mask.
        _, _, sampler = detail(clip(), segment(mask=None), inpaint_model=True)
        assert torch.equal(sampler.jobs[0].noise_mask, torch.ones((1, *sampler.encoded[0].shape[1:3])))

    def test_conditioning_masks_are_cut_for_base_and_refiner(self):
        mask = torch.rand((1, 48, 64))
        refiner = FakeSampler()
        conditioning = [[None, {"mask": mask}]]
        _, _, sampler = detail(
            clip(),
            segment((8, 4, 40, 36)),
            positive=conditioning,
            negative=conditioning,
            refiner=pipe_of(refiner, conditioning, conditioning),
            refiner_ratio=0.25,
        )
        [job] = sampler.jobs
        assert job.refiner.sampler is refiner
        assert job.refiner.ratio == 0.25
        for entries in (job.positive, job.negative, job.refiner.positive, job.refiner.negative):
            assert torch.equal(entries[0][1]["mask"], mask[:, 4:36, 8:40])

    def test_no_refiner_without_ratio(self):
        _, _, sampler = detail(clip(), segment(), refiner=pipe_of(FakeSampler()), refiner_ratio=None)
        assert sampler.jobs[0].refiner is None

    def test_clips_are_lengthened_by_reflection_and_cut_back(self):
        sampler = FakeSampler(geometry=Geometry(size_multiple=8, frame_step=4, frame_offset=1))
        masks = np.random.default_rng(0).random((3, 32, 32), dtype=np.float32)
        frames = clip()
        [seg], _, _ = detail(frames, segment((8, 8, 40, 40), mask=masks), sampler=sampler, guide_size=8)
        [pixels] = sampler.encoded
        assert torch.equal(pixels, frames[[0, 1, 2, 1, 0], 8:40, 8:40])
        np.testing.assert_array_equal(sampler.jobs[0].noise_mask.numpy(), masks[[0, 1, 2, 1, 0]])
        np.testing.assert_array_equal(seg.cropped_image, frames[:, 8:40, 8:40].numpy())


class TestControl:
    class Wrapper:
        def __init__(self, images):
            self.images = images
            self.call = None

        def apply(self, positive, negative, image, mask, use_acn=False):
            self.call = (image, mask, use_acn)
            return [*positive, "controlled"], [*negative, "controlled"], self.images

    def test_the_wrapper_gets_the_scaled_crops_and_changes_the_conditioning(self):
        images = [torch.zeros((3, 64, 64, 3)), torch.ones((1, 64, 64, 3))]
        wrapper = self.Wrapper(images)
        [seg], cnet_images, sampler = detail(clip(), segment((8, 8, 40, 40), wrapper=wrapper), positive=["yes"])
        image, mask, use_acn = wrapper.call
        assert image is sampler.encoded[0]
        assert mask is sampler.jobs[0].noise_mask
        assert use_acn is True
        assert (sampler.jobs[0].positive, sampler.jobs[0].negative) == (["yes", "controlled"], ["controlled"])
        assert cnet_images[0] is images[0]
        assert cnet_images[1] is images[1]
        assert seg.control_net_wrapper is None

    def test_images_of_several_segments_are_collected_in_order(self):
        images = [[torch.full((1, 8, 8, 3), v)] for v in (0.1, 0.2)]
        segments = [segment(wrapper=self.Wrapper(own)) for own in images]
        _, cnet_images, _ = detail(clip(), *segments)
        assert [float(image[0, 0, 0, 0]) for image in cnet_images] == pytest.approx([0.1, 0.2])

    def test_no_images_at_all(self):
        _, cnet_images, _ = detail(clip(), segment(wrapper=self.Wrapper(None)))
        assert cnet_images == []

    def test_an_ip_adapter_puts_in_its_own_model(self):
        other, image = FakeSampler(constant(0.75)), torch.zeros((1, 8, 8, 3))

        class Adapter:
            def doit_ipadapter(self, model):
                self.model = model
                return other, [image]

        adapter = Adapter()
        [seg], [cnet_image], sampler = detail(clip(), segment(wrapper=adapter))
        assert adapter.model is sampler
        assert cnet_image is image
        assert len(other.jobs) == 1
        assert sampler.jobs == []
        np.testing.assert_allclose(seg.cropped_image, 0.75, atol=1e-6)

    def test_control_images_are_cut_back_with_the_clip(self):
        sampler = FakeSampler(geometry=Geometry(size_multiple=8, min_frames=5))
        wrapper = self.Wrapper([torch.zeros((5, 64, 64, 3)), torch.zeros((1, 64, 64, 3))])
        _, cnet_images, _ = detail(clip(), segment(wrapper=wrapper), sampler=sampler)
        assert [len(image) for image in cnet_images] == [3, 1]


class TestSegsThatBringTheirCrops:
    @pytest.mark.parametrize("count", [1, 3])
    @pytest.mark.parametrize("kind", ["numpy", "torch", "bytes"])
    def test_one_for_all_frames_or_one_for_each(self, count, kind):
        image = torch.randint(0, 256, (count, 32, 32, 3), dtype=torch.uint8)
        floats = image / 255
        given = {"numpy": floats.numpy(), "torch": floats, "bytes": image}[kind]
        [seg], _, sampler = detail(clip(), segment((8, 8, 40, 40), image=given), guide_size=8)
        assert seg.cropped_image.shape == (3, 32, 32, 3)
        torch.testing.assert_close(sampler.encoded[0], floats.expand(3, -1, -1, -1))

    def test_another_count_is_refused(self):
        given = segment((8, 8, 40, 40), image=np.zeros((2, 32, 32, 3), np.float32))
        with pytest.raises(InvalidArgumentError, match=r"segs\[1\]\[0\]\.cropped_image: expected 1 or 3 crops.*got 2"):
            detail(clip(), given)

    def test_gray_crops_are_refused(self):
        given = segment((8, 8, 40, 40), image=np.zeros((1, 32, 32, 1), np.float32))
        with pytest.raises(InvalidArgumentError, match=r"segs\[1\]\[0\]\.cropped_image: expected RGB or RGBA crops"):
            detail(clip(), given)

    def test_the_brought_crops_are_not_changed(self):
        image = np.random.default_rng(0).random((3, 32, 32, 3), dtype=np.float32)
        before = image.copy()
        detail(clip(), segment((8, 8, 40, 40), image=image), sampler=FakeSampler(constant(0.5)), guide_size=8)
        np.testing.assert_array_equal(image, before)


class TestScaleMatch:
    def test_segs_of_another_size_are_rescaled(self):
        frames = smooth_clip(height=96, width=128)
        segs = (48, 64), [segment((8, 8, 40, 32))]
        (size, [seg]), _ = detail_segs(frames, segs, run_of(FakeSampler()))
        assert size == (96, 128)
        assert seg.crop_region == (16, 16, 80, 64)
        np.testing.assert_allclose(seg.cropped_image, frames[:, 16:64, 16:80], atol=6e-3)


class TestEdges:
    def test_no_segments(self):
        frames = clip()
        assert detail_segs(frames, segs_of(frames), run_of(FakeSampler())) == (((48, 64), []), [])

    def test_no_frames(self):
        frames = clip(frames=0)
        [seg], _, sampler = detail(frames, segment((8, 8, 40, 40)))
        assert seg.cropped_image.shape == (0, 32, 32, 3)
        assert sampler.encoded == []

    def test_a_crop_partly_outside_repeats_the_edge(self):
        frames = clip()
        [seg], _, sampler = detail(frames, segment((48, 32, 80, 64)), guide_size=8)
        pixels = sampler.encoded[0]
        assert torch.equal(pixels[:, :16, :16], frames[:, 32:, 48:])
        assert torch.equal(pixels[:, 16:, 16:], frames[:, 47:48, 63:64].expand(3, 16, 16, 3))
        assert seg.cropped_image.shape == (3, 32, 32, 3)

    def test_a_crop_wholly_outside_is_left_with_a_warning(self):
        frames = clip()
        outside = segment((100, 100, 132, 132), label="hand")
        with pytest.warns(
            SegmentWarning, match=r"^segment 1 of 2 \('hand'\) at \(100, 100, 132, 132\) was left as it was"
        ):
            [seg, other], _, sampler = detail(frames, outside, segment())
        assert seg.cropped_image.shape == (3, 32, 32, 3)
        assert len(sampler.jobs) == 1
        assert other.label == "face"

    @pytest.mark.parametrize(
        ("shape", "message"),
        [
            ((48, 64, 3), r"image_frames: expected shape \(B, H, W, C\)"),
            ((2, 48, 64, 1), "image_frames: expected RGB or RGBA frames"),
            ((2, 48, 64, 5), "image_frames: expected RGB or RGBA frames"),
            ((2, 0, 64, 3), "image_frames: expected frames with pixels"),
        ],
    )
    def test_frames_of_another_shape_are_refused(self, shape, message):
        with pytest.raises(InvalidArgumentError, match=message):
            detail_segs(torch.zeros(shape), ((48, 64), []), run_of(FakeSampler()))

    def test_frames_of_another_type_are_refused(self):
        with pytest.raises(InvalidTypeError, match="image_frames: expected a tensor"):
            detail_segs([1], ((48, 64), []), run_of(FakeSampler()))
        with pytest.raises(InvalidTypeError, match=r"image_frames: .*float64"):
            detail_segs(clip().double(), ((48, 64), []), run_of(FakeSampler()))

    def test_frames_that_require_grad_are_refused(self):
        with pytest.raises(InvalidArgumentError, match=r"image_frames: .*require grad"):
            detail_segs(clip().requires_grad_(), ((48, 64), []), run_of(FakeSampler()))

    def test_permuted_frames_work(self):
        frames = smooth_clip().permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
        [seg], _, _ = detail(frames, segment((8, 8, 40, 40)))
        np.testing.assert_allclose(seg.cropped_image, frames[:, 8:40, 8:40], atol=6e-3)

    def test_a_model_that_drops_frames_is_told(self):
        class Dropping(FakeSampler):
            def decode(self, latents, *, full_precision=False):
                return super().decode(latents)[:1]

        with pytest.raises(ModelError, match=r"decoded to shape \(1, 48, 64, 3\) where \(3, H, W, 3\) was expected"):
            detail(clip(), segment((8, 8, 40, 32), bbox=(0, 0, 32, 32)), sampler=Dropping(), guide_size=64)

    def test_a_pipe_of_another_form_is_refused(self):
        with pytest.raises(InvalidArgumentError, match=r"^pipe: expected \(model, clip, vae, positive, negative\)"):
            Models.of((1, 2, 3), None, names=("pipe", "refiner_pipe"))
        with pytest.raises(InvalidTypeError, match=r"^refiner_pipe: expected a basic_pipe"):
            Models.of(FakeSampler(), "model.safetensors", names=("pipe", "refiner_pipe"))
        with pytest.raises(ModelError):
            Models.of((object(), None, None, [], []), None, names=("pipe", "refiner_pipe"))


class TestResultsThatAreNotFinite:
    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
    def test_decoding_is_tried_again_in_full_precision(self, bad):
        sampler = FakeSampler(constant(0.5), bad_decodes=1, bad_value=bad)
        [seg], _, _ = detail(clip(), segment(), sampler=sampler)
        assert sampler.decodes == [False, True]
        np.testing.assert_allclose(seg.cropped_image, 0.5, atol=1e-6)

    def test_then_the_segment_is_left_with_a_warning(self):
        frames = clip()
        sampler = FakeSampler(constant(0.5), bad_decodes=2)
        with pytest.warns(SegmentWarning, match=r"^segment 1 of 1 \('face'\) at \(8, 8, 40, 32\) .*full precision"):
            image, (_, [seg]), _ = detail_and_paste(frames, segs_of(frames, segment()), run_of(sampler))
        assert image is frames
        np.testing.assert_array_equal(seg.cropped_image, frames[:, 8:32, 8:40].numpy())

    def test_the_other_segments_are_still_painted(self):
        frames = clip()
        sampler = FakeSampler(constant(0.5), bad_decodes=2)
        segments = segs_of(frames, segment((0, 0, 16, 16)), segment((32, 16, 48, 32)))
        with pytest.warns(SegmentWarning, match="segment 1 of 2"):
            image, _, _ = detail_and_paste(frames, segments, run_of(sampler))
        assert torch.equal(image[:, :16, :16], frames[:, :16, :16])
        torch.testing.assert_close(image[:, 16:32, 32:48], torch.full((3, 16, 16, 3), 0.5))

    def test_broken_latents_are_not_decoded(self):
        frames = clip()
        sampler = FakeSampler(constant(float("nan")))
        with pytest.warns(SegmentWarning, match="sampling gave values that are not finite"):
            image, _, _ = detail_and_paste(frames, segs_of(frames, segment()), run_of(sampler))
        assert image is frames
        assert sampler.decodes == []


class TestChaining:
    def test_each_segment_is_detailed_on_the_frames_as_the_one_before_left_them(self):
        frames = clip()
        sampler = FakeSampler(lambda pixels, job: pixels * 0.5)
        segments = segs_of(frames, segment((0, 0, 32, 32)), segment((16, 0, 48, 32)))
        image, (_, [first, second]), _ = detail_and_paste(frames, segments, run_of(sampler, guide_size=8))
        assert torch.equal(sampler.encoded[1][:, :, :16], frames[:, :32, 16:32] * 0.5)
        torch.testing.assert_close(image[:, :32, :16], frames[:, :32, :16] * 0.5)
        torch.testing.assert_close(image[:, :32, 16:32], frames[:, :32, 16:32] * 0.25)
        np.testing.assert_array_equal(first.cropped_image, (frames[:, :32, :32] * 0.5).numpy())
        np.testing.assert_allclose(second.cropped_image[:, :, :16], (frames[:, :32, 16:32] * 0.25).numpy())

    def test_the_segments_alone_are_detailed_on_the_frames_as_they_came(self):
        frames = clip()
        sampler = FakeSampler(lambda pixels, job: pixels * 0.5)
        detail_segs(
            frames, segs_of(frames, segment((0, 0, 32, 32)), segment((16, 0, 48, 32))), run_of(sampler, guide_size=8)
        )
        assert torch.equal(sampler.encoded[1], frames[:, :32, 16:48])

    def test_only_the_mask_is_painted_and_the_input_is_kept(self):
        frames = clip()
        before = frames.clone()
        mask = np.zeros((24, 32), np.float32)
        mask[4:20, 6:26] = 1
        sampler = FakeSampler(constant(0.5))
        image, _, _ = detail_and_paste(frames, segs_of(frames, segment(mask=mask)), run_of(sampler, feather=3))
        assert torch.equal(frames, before)
        assert image is not frames
        outside = torch.ones((48, 64), dtype=torch.bool)
        outside[8 + 1 : 8 + 23, 8 + 3 : 8 + 29] = False
        assert torch.equal(image[:, outside], frames[:, outside])
        torch.testing.assert_close(image[:, 8 + 8 : 8 + 16, 8 + 10 : 8 + 22], torch.full((3, 8, 12, 3), 0.5))

    def test_the_frames_are_copied_once(self):
        frames = clip()
        pointers = []

        class Watch:
            def post_paste(self, image):
                pointers.append(image.data_ptr())
                return image

        segments = segs_of(frames, *[segment((8 * i, 8, 8 * i + 16, 24)) for i in range(4)])
        image, _, _ = detail_and_paste(frames, segments, run_of(FakeSampler(), hook=Watch()))
        assert set(pointers) == {image.data_ptr()}
        assert image.data_ptr() != frames.data_ptr()

    def test_in_place(self):
        frames = clip()
        expected, _, _ = detail_and_paste(frames, segs_of(frames, segment()), run_of(FakeSampler(constant(0.5))))
        image, _, _ = detail_and_paste(
            frames, segs_of(frames, segment()), run_of(FakeSampler(constant(0.5))), in_place=True
        )
        assert image is frames
        assert torch.equal(frames, expected)

    def test_uint8_frames_stay_uint8(self):
        frames = torch.randint(0, 256, (2, 48, 64, 3), dtype=torch.uint8)
        image, _, _ = detail_and_paste(frames, segs_of(frames, segment()), run_of(FakeSampler(constant(0.2))))
        assert image.dtype == torch.uint8
        assert (image[:, 8:32, 8:40] == 51).all()
        assert torch.equal(image[:, 32:], frames[:, 32:])

    def test_the_same_inputs_give_the_same_pixels(self):
        def noisy(pixels, job):
            noise = torch.rand(pixels.shape, generator=torch.Generator().manual_seed(job.seed))
            return (pixels + noise) / 2

        frames = clip()
        segments = segs_of(frames, segment(), segment((24, 16, 56, 40)))
        results = [detail_and_paste(frames, segments, run_of(FakeSampler(noisy), seed=seed))[0] for seed in (1, 1, 2)]
        assert torch.equal(results[0], results[1])
        assert not torch.equal(results[0], results[2])

    def test_nothing_records_gradients(self):
        class Learning(FakeSampler):
            weight = torch.nn.Parameter(torch.ones(()))

            def encode(self, frames):
                return super().encode(frames) * self.weight

        frames = clip()
        image, _, _ = detail_and_paste(frames, segs_of(frames, segment()), run_of(Learning()))
        assert not image.requires_grad
