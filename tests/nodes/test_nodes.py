"""The node classes: sockets and widgets to the letter, and what they hand to the detailer."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

from fake_sampler import FakeSampler, clip, constant, pipe_of, segment, segs_of
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.models.samplers import SAMPLERS
from segs_detailer.models.schedules import SCHEDULES
from segs_detailer.nodes import (
    NODE_CLASS_MAPPINGS,
    NODE_DISPLAY_NAME_MAPPINGS,
    DetailerForEachPipeForAnimateDiff,
    SEGSDetailerForAnimateDiff,
    SEGSPaste,
)

FLOAT_SIZE = {"min": 64, "max": 16384, "step": 8}
SAMPLING = {
    "guide_size_for": ("BOOLEAN", {"default": True, "label_on": "bbox", "label_off": "crop_region"}),
    "seed": ("INT", {"default": 0, "min": 0, "max": 0xFFFFFFFFFFFFFFFF}),
    "steps": ("INT", {"default": 20, "min": 1, "max": 10000}),
    "cfg": ("FLOAT", {"default": 8.0, "min": 0.0, "max": 100.0}),
    "sampler_name": (list(SAMPLERS), {}),
    "scheduler": (list(SCHEDULES), {}),
    "denoise": ("FLOAT", {"default": 0.5, "min": 0.0001, "max": 1.0, "step": 0.01}),
    "basic_pipe": ("BASIC_PIPE", {}),
    "refiner_ratio": ("FLOAT", {"default": 0.2, "min": 0.0, "max": 1.0}),
}
OPTIONAL = {
    "refiner_basic_pipe_opt": ("BASIC_PIPE", {}),
    "inpaint_model": ("BOOLEAN", {"default": False, "label_on": "enabled", "label_off": "disabled"}),
    "noise_mask_feather": ("INT", {"default": 0, "min": 0, "max": 100, "step": 1}),
    "scheduler_func_opt": ("SCHEDULER_FUNC", {}),
}
DETAILER_ORDER = [
    "image_frames",
    "segs",
    "guide_size",
    "guide_size_for",
    "max_size",
    "seed",
    "steps",
    "cfg",
    "sampler_name",
    "scheduler",
    "denoise",
    "basic_pipe",
    "refiner_ratio",
]
FOR_EACH_ORDER = [*DETAILER_ORDER[:11], "feather", *DETAILER_ORDER[11:]]
FEATHER = ("INT", {"default": 5, "min": 0, "max": 100, "step": 1})
IMAGE, SEGS_SOCKET = ("IMAGE", {}), ("SEGS", {})


def widgets(node):
    """Inputs without their tooltips; every input must have one."""
    inputs = node.INPUT_TYPES()
    stripped = {}
    for group, entries in inputs.items():
        stripped[group] = {}
        for name, (kind, options) in entries.items():
            assert options["tooltip"]
            stripped[group][name] = (kind, {key: value for key, value in options.items() if key != "tooltip"})
    return stripped


class TestSockets:
    def test_segs_detailer(self):
        inputs = widgets(SEGSDetailerForAnimateDiff)
        assert inputs["required"] == {
            "image_frames": IMAGE,
            "segs": SEGS_SOCKET,
            "guide_size": ("FLOAT", {"default": 256, **FLOAT_SIZE}),
            "max_size": ("FLOAT", {"default": 768, **FLOAT_SIZE}),
            **SAMPLING,
        }
        assert list(inputs["required"]) == DETAILER_ORDER
        assert inputs["optional"] == OPTIONAL
        assert list(inputs["optional"]) == list(OPTIONAL)
        assert SEGSDetailerForAnimateDiff.RETURN_TYPES == ("SEGS", "IMAGE")
        assert SEGSDetailerForAnimateDiff.RETURN_NAMES == ("segs", "cnet_images")
        assert SEGSDetailerForAnimateDiff.OUTPUT_IS_LIST == (False, True)

    def test_detailer_for_each(self):
        inputs = widgets(DetailerForEachPipeForAnimateDiff)
        assert inputs["required"] == {
            "image_frames": IMAGE,
            "segs": SEGS_SOCKET,
            "guide_size": ("FLOAT", {"default": 384, **FLOAT_SIZE}),
            "max_size": ("FLOAT", {"default": 1024, **FLOAT_SIZE}),
            "feather": FEATHER,
            **SAMPLING,
        }
        assert list(inputs["required"]) == FOR_EACH_ORDER
        assert inputs["optional"] == {"detailer_hook": ("DETAILER_HOOK", {}), **OPTIONAL}
        assert next(iter(inputs["optional"])) == "detailer_hook"
        assert DetailerForEachPipeForAnimateDiff.RETURN_TYPES == ("IMAGE", "SEGS", "BASIC_PIPE", "IMAGE")
        assert DetailerForEachPipeForAnimateDiff.RETURN_NAMES == ("image", "segs", "basic_pipe", "cnet_images")
        assert DetailerForEachPipeForAnimateDiff.OUTPUT_IS_LIST == (False, False, False, True)

    def test_segs_paste(self):
        assert widgets(SEGSPaste) == {
            "required": {
                "image": IMAGE,
                "segs": SEGS_SOCKET,
                "feather": FEATHER,
                "alpha": ("INT", {"default": 255, "min": 0, "max": 255, "step": 1}),
            },
            "optional": {"ref_image_opt": IMAGE},
        }
        assert SEGSPaste.RETURN_TYPES == ("IMAGE",)

    @pytest.mark.parametrize("node", NODE_CLASS_MAPPINGS.values())
    def test_all(self, node):
        assert node.FUNCTION == "doit"
        assert node.CATEGORY == "ImpactPack/Detailer"
        assert node.DESCRIPTION
        parameters = inspect.signature(node().doit).parameters
        inputs = node.INPUT_TYPES()
        assert set(parameters) == {*inputs["required"], *inputs["optional"]}

    @pytest.mark.parametrize("node", [SEGSDetailerForAnimateDiff, DetailerForEachPipeForAnimateDiff])
    def test_tooltips_name_the_defaults_of_newer_releases(self, node):
        inputs = node.INPUT_TYPES()
        assert "512" in inputs["required"]["guide_size"][1]["tooltip"]
        assert "20" in inputs["optional"]["noise_mask_feather"][1]["tooltip"]

    def test_mappings(self):
        nodes = (SEGSDetailerForAnimateDiff, DetailerForEachPipeForAnimateDiff, SEGSPaste)
        assert {node.__name__: node for node in nodes} == NODE_CLASS_MAPPINGS
        assert set(NODE_DISPLAY_NAME_MAPPINGS) == set(NODE_CLASS_MAPPINGS)


DO_DETAIL = {
    "image_frames": inspect.Parameter.empty,
    "segs": inspect.Parameter.empty,
    "guide_size": inspect.Parameter.empty,
    "guide_size_for": inspect.Parameter.empty,
    "max_size": inspect.Parameter.empty,
    "seed": inspect.Parameter.empty,
    "steps": inspect.Parameter.empty,
    "cfg": inspect.Parameter.empty,
    "sampler_name": inspect.Parameter.empty,
    "scheduler": inspect.Parameter.empty,
    "denoise": inspect.Parameter.empty,
    "basic_pipe": inspect.Parameter.empty,
    "refiner_ratio": None,
    "refiner_basic_pipe_opt": None,
    "inpaint_model": False,
    "noise_mask_feather": 0,
    "scheduler_func_opt": None,
}


def signature(function):
    return [(name, parameter.default) for name, parameter in inspect.signature(function).parameters.items()]


def test_signatures():
    empty = inspect.Parameter.empty
    assert isinstance(inspect.getattr_static(SEGSDetailerForAnimateDiff, "do_detail"), staticmethod)
    assert isinstance(inspect.getattr_static(DetailerForEachPipeForAnimateDiff, "doit"), staticmethod)
    assert isinstance(inspect.getattr_static(SEGSPaste, "doit"), staticmethod)
    assert signature(SEGSDetailerForAnimateDiff.do_detail) == list(DO_DETAIL.items())
    assert signature(SEGSDetailerForAnimateDiff().doit) == list(DO_DETAIL.items())
    for_each = list(DO_DETAIL.items())
    for_each.insert(11, ("feather", empty))
    for_each.insert(14, ("detailer_hook", None))
    assert signature(DetailerForEachPipeForAnimateDiff.doit) == for_each
    assert signature(SEGSPaste.doit) == [
        ("image", empty),
        ("segs", empty),
        ("feather", 5),
        ("alpha", 255),
        ("ref_image_opt", None),
    ]


SETTINGS = (64, False, 256, 3, 2, 4.0, "euler", "normal", 0.5)


class TestSegsDetailer:
    def test_the_result(self):
        frames = clip()
        sampler = FakeSampler(constant(0.25))
        segs, cnet_images = SEGSDetailerForAnimateDiff.do_detail(
            frames, segs_of(frames, segment()), *SETTINGS, pipe_of(sampler)
        )
        assert segs[0] == (48, 64)
        np.testing.assert_allclose(segs[1][0].cropped_image, np.full((3, 24, 32, 3), 0.25), atol=1e-6)
        assert cnet_images == []

    def test_a_black_image_stands_in_for_no_control_images(self):
        frames = clip()
        _, [image] = SEGSDetailerForAnimateDiff().doit(
            frames, segs_of(frames, segment()), *SETTINGS, pipe_of(FakeSampler())
        )
        assert torch.equal(image, torch.zeros((1, 64, 64, 3)))

    def test_control_images_are_handed_out(self):
        given = torch.ones((1, 8, 8, 3))

        class Wrapper:
            def apply(self, positive, negative, image, mask, use_acn=False):
                return positive, negative, [given]

        frames = clip()
        segs = segs_of(frames, segment(wrapper=Wrapper()))
        _, [image] = SEGSDetailerForAnimateDiff().doit(frames, segs, *SETTINGS, pipe_of(FakeSampler()))
        assert image is given

    def test_every_input_reaches_the_model(self):
        frames = clip()
        sampler, refiner = FakeSampler(), FakeSampler()
        schedule = lambda model, name, steps: torch.linspace(1, 0, steps + 1)  # noqa: E731
        SEGSDetailerForAnimateDiff().doit(
            frames,
            segs_of(frames, segment((8, 8, 40, 40), bbox=(16, 16, 32, 32))),
            guide_size=64.0,
            guide_size_for=True,
            max_size=96.0,
            seed=9,
            steps=4,
            cfg=2.5,
            sampler_name="dpmpp_2m",
            scheduler="karras",
            denoise=0.4,
            basic_pipe=pipe_of(sampler, ["yes"], ["no"]),
            refiner_ratio=0.5,
            refiner_basic_pipe_opt=pipe_of(refiner, ["fine"], ["coarse"]),
            inpaint_model=True,
            noise_mask_feather=4,
            scheduler_func_opt=schedule,
        )
        [job] = sampler.jobs
        assert job.pixels.shape == (3, 96, 96, 3)
        assert (job.seed, job.steps, job.cfg, job.denoise) == (9, 4, 2.5, 0.4)
        assert (job.sampler_name, job.scheduler, job.scheduler_func) == ("dpmpp_2m", "karras", schedule)
        assert (job.positive, job.negative) == (["yes"], ["no"])
        assert (job.inpaint_model, job.differential) == (True, True)
        assert job.refiner.sampler is refiner
        assert (job.refiner.positive, job.refiner.negative, job.refiner.ratio) == (["fine"], ["coarse"], 0.5)


class TestDetailerForEach:
    def test_the_result(self):
        frames = clip()
        pipe = pipe_of(FakeSampler(constant(0.25)))
        segs = segs_of(frames, segment(), segment((40, 0, 64, 16)))
        image, new_segs, same_pipe, cnet_images = DetailerForEachPipeForAnimateDiff.doit(
            frames, segs, *SETTINGS, 0, pipe
        )
        expected = frames.clone()
        expected[:, 8:32, 8:40] = 0.25
        expected[:, 0:16, 40:64] = 0.25
        torch.testing.assert_close(image, expected)
        assert len(new_segs[1]) == 2
        assert same_pipe is pipe
        assert cnet_images == []

    def test_hook_and_feather(self):
        class Darken:
            def post_paste(self, image):
                return image * 0.5

        frames = torch.zeros((2, 48, 64, 3))
        mask = np.zeros((24, 32), np.float32)
        mask[:, 16:] = 1
        image, _, _, _ = DetailerForEachPipeForAnimateDiff().doit(
            frames,
            segs_of(frames, segment(mask=mask)),
            *SETTINGS,
            feather=3,
            basic_pipe=pipe_of(FakeSampler(constant(1.0))),
            detailer_hook=Darken(),
        )
        row = image[0, 20, 8:40, 0]
        assert float(row.max()) == pytest.approx(0.5)
        assert 0 < float(row[14]) < float(row[17]) < 0.5
        assert not frames.any()

    def test_errors_name_the_nodes_inputs(self):
        frames = clip()
        segs = segs_of(frames, segment())
        with pytest.raises(InvalidArgumentError, match=r"^basic_pipe: expected"):
            DetailerForEachPipeForAnimateDiff.doit(frames, segs, *SETTINGS, 5, (1, 2))
        with pytest.raises(InvalidArgumentError, match=r"^image_frames: expected shape"):
            DetailerForEachPipeForAnimateDiff.doit(frames[0], segs, *SETTINGS, 5, pipe_of(FakeSampler()))


class TestSegsPaste:
    def test_the_result(self):
        frames = clip()
        crops = clip(3, 24, 32, seed=2).numpy()
        (image,) = SEGSPaste.doit(frames, segs_of(frames, segment(image=crops)), feather=0, alpha=51)
        torch.testing.assert_close(image[:, 8:32, 8:40], 0.8 * frames[:, 8:32, 8:40] + 0.2 * torch.from_numpy(crops))

    def test_a_reference(self):
        frames, reference = clip(), clip(seed=4)
        (image,) = SEGSPaste().doit(frames, segs_of(frames, segment()), 0, ref_image_opt=reference)
        torch.testing.assert_close(image[:, 8:32, 8:40], reference[:, 8:32, 8:40])

    @pytest.mark.parametrize(("name", "value"), [("feather", -1), ("alpha", 256), ("alpha", -1)])
    def test_wrong_values(self, name, value):
        frames = clip()
        with pytest.raises(InvalidArgumentError, match=f"^{name}: expected"):
            SEGSPaste.doit(frames, segs_of(frames), **{"feather": 5, name: value})

    def test_the_detailers_segs_paste_to_what_detailer_for_each_gives(self):
        frames = clip()
        segs = segs_of(frames, segment())
        pipe = pipe_of(FakeSampler(constant(0.5)))
        detailed, _ = SEGSDetailerForAnimateDiff.do_detail(frames, segs, *SETTINGS, pipe)
        (pasted,) = SEGSPaste.doit(frames, detailed, 5)
        assert torch.equal(pasted, DetailerForEachPipeForAnimateDiff.doit(frames, segs, *SETTINGS, 5, pipe)[0])
