"""Hooks: where each method is called, with what, and what becomes of its result."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from detailer_run import run_of
from fake_sampler import FakeSampler, clip, constant, segment, segs_of
from segs_detailer.detailer import CombinedHook, DetailerHook, SegmentWarning, detail_and_paste
from segs_detailer.detailer.hooks import HOOK_METHODS
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError

# Of a whole run, then of each segment.
OF_THE_RUN = ["post_detection", "set_segments"]
METHODS = [
    *OF_THE_RUN,
    "post_crop_region",
    "touch_scaled_size",
    "post_upscale",
    "get_skip_sampling",
    "post_encode",
    "set_steps",
    "cycle_latent",
    "pre_ksample",
    "get_custom_noise",
    "get_custom_sampler",
    "pre_decode",
    "post_decode",
    *["should_retry_patch"] * 3,
    "post_paste",
]


def test_the_list_of_methods_is_that_of_the_class():
    assert sorted(HOOK_METHODS) == sorted(set(METHODS))
    assert all(vars(CombinedHook)[name] is not vars(DetailerHook)[name] for name in METHODS)


class Recorder(DetailerHook):
    """Records every call, and changes nothing."""

    def __init__(self):
        self.calls = []

    def __getattribute__(self, name):
        value = super().__getattribute__(name)
        if name not in METHODS:
            return value

        def recorded(*args):
            self.calls.append((name, args))
            return value(*args)

        return recorded

    def args_of(self, method):
        [args] = [args for name, args in self.calls if name == method]
        return args


def detail(hook, frames=None, *segments, sampler=None, **settings):
    frames = clip() if frames is None else frames
    sampler = FakeSampler() if sampler is None else sampler
    run = run_of(sampler, hook=hook, **settings)
    return *detail_and_paste(frames, segs_of(frames, *(segments or [segment()])), run), sampler


class TestPlaces:
    def test_every_method_is_called_in_order(self):
        recorder = Recorder()
        detail(recorder, None, segment(), segment((0, 0, 16, 16)))
        assert [name for name, _ in recorder.calls] == [*METHODS, *METHODS[len(OF_THE_RUN) :]]

    def test_the_arguments_are_those_of_impact_packs_hooks(self):
        recorder = Recorder()
        frames = clip()
        _, _, _, sampler = detail(
            recorder, frames, segment((8, 8, 40, 40)), guide_size=64, seed=3, steps=5, cfg=2.0, denoise=0.25
        )
        (size, [seg]) = recorder.args_of("post_detection")[0]
        assert (size, seg.label) == ((48, 64), "face")
        assert recorder.args_of("post_crop_region") == (64, 48, (8, 8, 40, 40), (8, 8, 40, 40))
        assert recorder.args_of("touch_scaled_size") == (64, 64)
        assert recorder.args_of("post_upscale")[0].shape == (3, 64, 64, 3)
        [latent] = recorder.args_of("post_encode")
        assert latent["samples"].shape == (3, 192, 8, 8)
        assert latent["noise_mask"].shape == (1, 64, 64)
        assert recorder.args_of("set_steps") == ((0, 1),)
        assert recorder.args_of("cycle_latent") == (latent,)
        prepared = recorder.args_of("pre_ksample")
        assert prepared[0] is sampler
        assert prepared[1:6] == (3, 5, 2.0, "euler", "normal")
        assert prepared[6:8] == ([], [])
        assert prepared[8] is latent
        assert prepared[9] == 0.25
        seed, noise, is_touched = recorder.args_of("get_custom_noise")
        assert (seed, is_touched) == (3, False)
        assert torch.equal(noise, torch.zeros((3, 192, 8, 8)))
        assert recorder.args_of("pre_decode")[0]["samples"].shape == (3, 192, 8, 8)
        assert recorder.args_of("post_decode")[0].shape == (3, 64, 64, 3)
        assert recorder.args_of("post_paste")[0].shape == frames.shape

    def test_a_hook_needs_only_the_methods_that_it_defines(self):
        class OnlyOne:
            def post_decode(self, pixels):
                return torch.zeros_like(pixels)

        image, _, _, _ = detail(OnlyOne())
        assert torch.equal(image[:, 8:32, 8:40], torch.zeros((3, 24, 32, 3)))

    def test_a_hook_without_any_method(self):
        image, _, _, _ = detail(object(), sampler=FakeSampler(constant(0.5)))
        assert float(image[0, 20, 20, 0]) == pytest.approx(0.5)


class TestResults:
    def test_post_detection_chooses_segments(self):
        class Last(DetailerHook):
            def post_detection(self, segs):
                return segs[0], segs[1][-1:]

        _, (_, segs), _, sampler = detail(Last(), None, segment(), segment((0, 0, 16, 16), label="hand"))
        assert [seg.label for seg in segs] == ["hand"]
        assert len(sampler.jobs) == 1

    def test_post_crop_region_cuts_mask_and_crop_anew(self):
        class Wider(DetailerHook):
            def post_crop_region(self, w, h, item_bbox, crop_region):
                x1, y1, x2, y2 = crop_region
                return [x1 - 8, y1, x2, y2 - 8]

        frames = clip()
        mask = np.random.default_rng(0).random((32, 32), dtype=np.float32)
        _, (_, [seg]), _, sampler = detail(Wider(), frames, segment((8, 8, 40, 40), mask=mask), guide_size=8)
        assert seg.crop_region == (0, 8, 40, 32)
        assert torch.equal(sampler.encoded[0], frames[:, 8:32, 0:40])
        np.testing.assert_array_equal(seg.cropped_mask[0, :, 8:], mask[:24])
        assert not seg.cropped_mask[0, :, :8].any()

    def test_without_a_mask_a_wider_region_is_not_repainted_beyond_the_old_one(self):
        class Wider(DetailerHook):
            def post_crop_region(self, w, h, item_bbox, crop_region):
                return (0, 8, 40, 40)

        _, (_, [seg]), _, _ = detail(Wider(), clip(), segment((8, 8, 40, 40), mask=None), guide_size=8)
        assert seg.cropped_mask[..., 8:].all()
        assert not seg.cropped_mask[..., :8].any()

    def test_post_crop_region_cuts_brought_crops(self):
        class Smaller(DetailerHook):
            def post_crop_region(self, w, h, item_bbox, crop_region):
                return (16, 16, 40, 40)

        image = torch.rand((1, 32, 32, 3))
        _, _, _, sampler = detail(Smaller(), None, segment((8, 8, 40, 40), image=image, mask=None), guide_size=8)
        assert torch.equal(sampler.encoded[0], image[:, 8:, 8:].expand(3, -1, -1, -1))

    def test_touch_scaled_size(self):
        class Fixed(DetailerHook):
            def touch_scaled_size(self, w, h):
                return 100, 72

        _, (_, [seg]), _, sampler = detail(Fixed(), max_size=64)
        assert sampler.encoded[0].shape == (3, 72, 104, 3)
        assert seg.cropped_image.shape == (3, 24, 32, 3)

    def test_post_upscale(self):
        class Dark(DetailerHook):
            def post_upscale(self, pixels):
                return pixels * 0

        _, _, _, sampler = detail(Dark())
        assert not sampler.encoded[0].any()
        assert sampler.jobs[0].pixels is sampler.encoded[0]

    def test_latents_and_mask_may_be_replaced(self):
        mask = torch.zeros((1, 64, 64))

        class Replace(DetailerHook):
            def post_encode(self, samples):
                return {"samples": samples["samples"] * 0, "noise_mask": mask}

            def cycle_latent(self, latent):
                return {**latent, "samples": latent["samples"] + 0.25}

            def pre_decode(self, samples):
                return {**samples, "samples": samples["samples"] * 2}

        image, _, _, sampler = detail(Replace())
        assert sampler.jobs[0].noise_mask is mask
        torch.testing.assert_close(image[:, 8:32, 8:40], torch.full((3, 24, 32, 3), 0.5))

    def test_a_mask_may_be_taken_away(self):
        class NoMask(DetailerHook):
            def post_encode(self, samples):
                return {"samples": samples["samples"]}

        _, _, _, sampler = detail(NoMask())
        assert sampler.jobs[0].noise_mask is None

    def test_pre_ksample_changes_everything(self):
        other = FakeSampler(constant(0.75))

        class Change(DetailerHook):
            def pre_ksample(
                self, model, seed, steps, cfg, sampler_name, scheduler, positive, negative, latent, denoise
            ):
                latent = {"samples": latent["samples"] * 0}
                return other, 11, 3, 1.5, "dpmpp_2m", "karras", ["p"], ["n"], latent, 0.75

        image, _, _, sampler = detail(Change())
        assert sampler.jobs == []
        [job] = other.jobs
        assert (job.seed, job.steps, job.cfg, job.denoise) == (11, 3, 1.5, 0.75)
        assert (job.sampler_name, job.scheduler, job.positive, job.negative) == ("dpmpp_2m", "karras", ["p"], ["n"])
        assert job.noise_mask is None
        assert float(image[0, 20, 20, 0]) == pytest.approx(0.75)

    def test_custom_noise(self):
        class Noise(DetailerHook):
            def __init__(self, is_touched):
                self.is_touched = is_touched

            def get_custom_noise(self, seed, noise, is_touched):
                return noise + seed, self.is_touched

        _, _, _, sampler = detail(Noise(True), None, segment((8, 8, 40, 40)), seed=7)
        assert torch.equal(sampler.jobs[0].noise, torch.full((3, 192, 8, 8), 7.0))
        _, _, _, sampler = detail(Noise(False), seed=7)
        assert sampler.jobs[0].noise is None

    def test_custom_noise_is_asked_for_with_the_seed_of_pre_ksample(self):
        seeds = []

        class Seeded(DetailerHook):
            def pre_ksample(self, model, seed, *rest):
                return model, 99, *rest

            def get_custom_noise(self, seed, noise, is_touched):
                seeds.append(seed)
                return noise, is_touched

        detail(Seeded(), seed=7)
        assert seeds == [99]

    def test_post_decode_may_give_another_size(self):
        class Smaller(DetailerHook):
            def post_decode(self, pixels):
                return pixels[:, ::2, ::2] * 0 + 0.25

        image, _, _, _ = detail(Smaller())
        torch.testing.assert_close(image[:, 8:32, 8:40], torch.full((3, 24, 32, 3), 0.25))

    def test_post_decode_that_is_not_finite(self):
        class Broken(DetailerHook):
            def post_decode(self, pixels):
                return pixels / 0

        frames = clip()
        with pytest.warns(SegmentWarning, match=r"detailer_hook\.post_decode returned values that are not finite"):
            image, _, _, _ = detail(Broken(), frames)
        assert image is frames

    def test_post_paste_goes_on_with_what_it_returns_and_never_writes_to_it(self):
        kept = []

        class Darken(DetailerHook):
            def post_paste(self, image):
                kept.append(image * 0.5)
                return kept[-1]

        frames = clip()
        segments = [segment((0, 0, 16, 16)), segment((32, 16, 48, 32))]
        image, _, _, sampler = detail(Darken(), frames, *segments, guide_size=8)
        assert torch.equal(sampler.encoded[1], frames[:, 16:32, 32:48] * 0.5)
        assert torch.equal(kept[0], frames * 0.5)
        assert image is kept[1]

    def test_post_paste_may_return_nothing(self):
        class Look:
            def post_paste(self, image):
                pass

        image, _, _, _ = detail(Look(), sampler=FakeSampler(constant(0.5)))
        assert float(image[0, 20, 20, 0]) == pytest.approx(0.5)

    def test_in_place_holds_with_a_hook_that_returns_its_own_frames(self):
        class Darken(DetailerHook):
            def post_paste(self, image):
                return image * 0.5

        frames = clip()
        expected, _, _, _ = detail(Darken(), frames.clone())
        run = run_of(FakeSampler(), hook=Darken())
        image, _, _ = detail_and_paste(frames, segs_of(frames, segment()), run, in_place=True)
        assert image is frames
        assert torch.equal(frames, expected)

    def test_a_frame_doubled_for_the_model_and_halved_again(self):
        # As Impact Pack's CoreML hook does with one frame.
        class Doubling(DetailerHook):
            def post_encode(self, samples):
                return {**samples, "samples": samples["samples"].repeat(2, 1, 1, 1)}

            def pre_decode(self, samples):
                return {**samples, "samples": samples["samples"][:1]}

        frames = clip(frames=1)
        image, _, _, _ = detail(Doubling(), frames, sampler=FakeSampler(constant(0.5)))
        assert float(image[0, 20, 20, 0]) == pytest.approx(0.5)


class Returning:
    def __init__(self, method, value):
        setattr(self, method, lambda *args: value)


class TestWrongResults:
    @pytest.mark.parametrize(
        ("method", "value", "error"),
        [
            ("post_detection", None, InvalidTypeError),
            ("post_crop_region", (1, 2, 3), InvalidArgumentError),
            ("post_crop_region", (8, 8, 8, 8), InvalidArgumentError),
            ("touch_scaled_size", (0, 64), InvalidArgumentError),
            ("touch_scaled_size", None, InvalidArgumentError),
            ("post_upscale", torch.zeros((1, 8, 8, 3)), InvalidArgumentError),
            ("post_upscale", None, InvalidTypeError),
            ("post_encode", torch.zeros(1), InvalidTypeError),
            ("post_encode", None, InvalidTypeError),
            ("cycle_latent", {}, InvalidTypeError),
            ("pre_ksample", (1, 2), InvalidArgumentError),
            ("get_custom_noise", None, InvalidArgumentError),
            ("get_custom_noise", (torch.zeros(3), True), InvalidArgumentError),
            ("pre_decode", None, InvalidTypeError),
            ("post_decode", torch.zeros((1, 8, 8, 3)), InvalidArgumentError),
            ("post_paste", torch.zeros((1, 8, 8, 3)), InvalidArgumentError),
            ("post_paste", 3, InvalidTypeError),
        ],
    )
    def test_the_error_names_the_method(self, method, value, error):
        frames = clip()
        before = frames.clone()
        with pytest.raises(error, match="segs" if method == "post_detection" else rf"^detailer_hook\.{method}: "):
            detail(Returning(method, value), frames)
        assert torch.equal(frames, before)

    def test_settings_from_pre_ksample_are_checked(self):
        class Broken(DetailerHook):
            def pre_ksample(self, *args):
                return (*args[:-1], 2.0)

        with pytest.raises(InvalidArgumentError, match=r"^denoise: expected"):
            detail(Broken())

        class Unknown(DetailerHook):
            def pre_ksample(self, model, seed, steps, cfg, sampler_name, *rest):
                return model, seed, steps, cfg, "nonsense", *rest

        with pytest.raises(InvalidArgumentError, match=r"^sampler_name: expected one of"):
            detail(Unknown())


class Step(DetailerHook):
    """Leaves its mark in everything."""

    def __init__(self, mark):
        self.mark = mark
        self.seen = []

    def post_detection(self, segs):
        return segs[0], [seg._replace(label=seg.label + self.mark) for seg in segs[1]]

    def post_crop_region(self, w, h, item_bbox, crop_region):
        self.seen.append((w, h, item_bbox))
        return (*crop_region[:3], crop_region[3] + 8)

    def touch_scaled_size(self, w, h):
        return w + 8, h * 2

    def set_steps(self, info):
        self.seen.append(info)

    def pre_ksample(self, model, seed, steps, cfg, *rest):
        return model, seed + 1, steps * 2, cfg, *rest

    def get_custom_noise(self, seed, noise, is_touched):
        self.seen.append(is_touched)
        return noise + 1, True

    def post_encode(self, samples):
        return {**samples, "marks": samples.get("marks", "") + self.mark}


class TestCombined:
    def test_every_method_is_chained(self):
        first, second = Step("a"), Step("b")

        class Lacking:
            pass

        combined = CombinedHook(first, Lacking(), second)
        segs = ((48, 64), [segment(label="face")])
        assert combined.post_detection(segs)[1][0].label == "faceab"
        assert combined.post_crop_region(64, 48, (0, 0, 8, 8), (0, 0, 16, 16)) == (0, 0, 16, 32)
        assert combined.touch_scaled_size(64, 64) == (80, 256)
        assert combined.post_encode({"samples": torch.zeros(1)})["marks"] == "ab"
        assert combined.pre_ksample(None, 1, 2, 3.0, "euler", "normal", [], [], {}, 0.5)[1:3] == (3, 8)
        noise, is_touched = combined.get_custom_noise(1, torch.zeros(2), False)
        assert (noise.tolist(), is_touched) == ([2, 2], True)
        combined.set_steps((0, 1))
        assert first.seen == [(64, 48, (0, 0, 8, 8)), False, (0, 1)]
        assert second.seen == [(64, 48, (0, 0, 8, 8)), True, (0, 1)]

    @pytest.mark.parametrize("method", ["post_upscale", "cycle_latent", "pre_decode", "post_decode", "post_paste"])
    def test_methods_of_one_value(self, method):
        class Add:
            def __init__(self, mark):
                setattr(self, method, lambda value: value + mark)

        assert getattr(CombinedHook(Add("b"), Add("c")), method)("a") == "abc"

    def test_a_hook_that_returns_nothing_from_post_paste_only_looks(self):
        class Look:
            def post_paste(self, image):
                pass

        image = torch.zeros(1)
        assert CombinedHook(Look(), DetailerHook()).post_paste(image) is image

    def test_recorders_see_the_run_in_turn(self):
        first, second = Recorder(), Recorder()
        detail(CombinedHook(first, second))
        assert [name for name, _ in first.calls] == METHODS
        assert [name for name, _ in second.calls] == METHODS
