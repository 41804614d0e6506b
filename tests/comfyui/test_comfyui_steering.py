"""Detectors, ControlNets and hooks of the graph, without a ComfyUI."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
import torch

from fake_sampler import FakeSampler
from places import ROOT
from segs_detailer.comfyui.classic import NODE_CLASS_MAPPINGS
from segs_detailer.comfyui.control import GraphControlNetWrapper
from segs_detailer.comfyui.help_pages import help_page, reference
from segs_detailer.comfyui.hooks import ScheduleHook
from segs_detailer.comfyui.nodes import NODES
from segs_detailer.crop_path import CropPath
from segs_detailer.detailer import SegmentWarning
from segs_detailer.detailer.conditioning import ConditioningWarning
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.subjects.masks import boxes_to_segs

FRAMES = torch.rand((3, 40, 60, 3), generator=torch.Generator().manual_seed(0))
PIPE_SETTINGS = {
    "guide_size": 64,
    "guide_size_for": True,
    "max_size": 96,
    "seed": 1,
    "steps": 4,
    "cfg": 1.0,
    "sampler_name": "euler",
    "scheduler": "normal",
    "denoise": 0.5,
    "refiner_ratio": 0.2,
    "feather": 0,
}


def run(node_id, **inputs):
    node_class = NODE_CLASS_MAPPINGS[node_id]
    return getattr(node_class(), node_class.FUNCTION)(**inputs)


# Detectors


def test_boxes_as_text():
    text = '[[10, 10, 30, 30], {"box": [0, 0, 8, 9.5], "label": "hand", "confidence": 0.25}]'
    (segs,) = run("SegsDetailerBoxes", image_frames=FRAMES, boxes=text, crop_factor=1.0, label="A")
    assert segs[0] == (40, 60)
    assert [(seg.bbox, seg.label, seg.confidence) for seg in segs[1]] == [
        ((10, 10, 30, 30), "A", 1.0),
        ((0, 0, 8, 10), "hand", 0.25),
    ]


@pytest.mark.parametrize(
    ("text", "count"), [("", 0), (" \n", 0), ("[]", 0), ("[1, 2, 3, 4]", 1), ('{"box": [1, 2, 3, 4]}', 1)]
)
def test_one_box_or_none(text, count):
    (segs,) = run("SegsDetailerBoxes", image_frames=FRAMES, boxes=text, crop_factor=1.0, label="A")
    assert len(segs[1]) == count


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10, 10, 30, 30", "boxes: expected JSON"),
        ("7", "boxes: expected a JSON list"),
        ("[[1, 2, 3]]", r"boxes\[0\]: expected"),
        ("[[1, 2, 3, 4], [50, 50, 70, 70]]", r"boxes\[1\]: expected a box that touches"),
        ('[{"bbox": [1, 2, 3, 4]}]', r"boxes\[0\]: expected box.*got bbox"),
        ('[{"box": [1, 2, 3, 4], "confidence": "high"}]', r"boxes\[0\]: confidence: expected a number"),
    ],
)
def test_text_that_is_no_boxes_is_refused_by_name(text, message):
    with pytest.raises((InvalidArgumentError, InvalidTypeError), match=message):
        run("SegsDetailerBoxes", image_frames=FRAMES, boxes=text, crop_factor=1.0, label="A")


FACES = {"min_size": 0, "min_share": 0.3, "max_gap": 12, "crop_factor": 2.0, "drop_size": 4, "mask_shape": "ellipse"}


def test_no_faces_in_noise():
    pytest.importorskip("cv2")
    (segs,) = run("SegsDetailerFaces", image_frames=FRAMES, **FACES)
    assert segs == ((40, 60), [])


def test_a_shape_that_is_not_known_is_refused():
    with pytest.raises(InvalidArgumentError, match="shape"):
        run("SegsDetailerFaces", image_frames=FRAMES, **{**FACES, "mask_shape": "star"})


class Detector:
    """Finds a subject that moves, another one in one frame only, and misses the first in one."""

    def __init__(self):
        self.asked = []

    def detect(self, image, threshold, dilation, crop_factor, drop_size):
        self.asked.append((tuple(image.shape), threshold, drop_size))
        frame = len(self.asked) - 1
        boxes = [(40, 30, 50, 38)] if frame == 3 else []
        if frame != 2:
            boxes.append((5 + frame, 10, 25 + frame, 30))
        return boxes_to_segs((40, 60), boxes, label="subject", confidence=[0.5] * len(boxes))


DETECTION = {"threshold": 0.4, "dilation": 0, "min_frames": 2, "max_gap": 3, "crop_factor": 1.0, "drop_size": 4}


def test_another_packs_detector_is_followed_through_the_clip():
    pytest.importorskip("cv2")
    detector = Detector()
    frames = torch.full((5, 40, 60, 4), 0.5)
    (segs,) = run("SegsDetailerBboxDetector", bbox_detector=detector, image_frames=frames, **DETECTION)
    assert detector.asked == [((1, 40, 60, 3), 0.4, 4)] * 5
    (seg,) = segs[1]
    assert (seg.label, seg.confidence) == ("subject", 0.5)
    # Boxes are smoothed over time, and then widened to whole pixels.
    assert np.abs(np.subtract(seg.bbox, (5, 10, 29, 30))).max() <= 1
    masks = np.asarray(seg.cropped_mask)
    # The mask moves, also through the frame in which nothing was found.
    starts = [int(np.argmax(mask[10] > 0)) for mask in masks]
    assert starts == [0, 1, 2, 3, 4]


def test_settings_of_the_detection_count():
    pytest.importorskip("cv2")
    frames = torch.full((5, 40, 60, 3), 0.5)

    def found(**changes):
        (segs,) = run(
            "SegsDetailerBboxDetector", bbox_detector=Detector(), image_frames=frames, **{**DETECTION, **changes}
        )
        return np.array([seg.bbox for seg in segs[1]])

    def near(boxes, expected):
        return boxes.shape == (len(expected), 4) and np.abs(boxes - expected).max() <= 1

    assert near(found(min_frames=1), [(5, 10, 29, 30), (40, 30, 50, 38)])
    assert len(found(min_frames=5)) == 0
    assert near(found(max_gap=0), [(5, 10, 26, 30), (8, 10, 29, 30)])
    assert near(found(dilation=3), [(2, 7, 32, 33)])


def test_what_is_no_detector_is_refused():
    with pytest.raises(InvalidTypeError, match="bbox_detector: expected an object with a method detect, got str"):
        run("SegsDetailerBboxDetector", bbox_detector="yolo", image_frames=FRAMES, **DETECTION)


# ControlNets


class Network:
    """As much of ComfyUI's ControlBase as a graph touches."""

    def __init__(self):
        self.previous = None

    def copy(self):
        return Network()

    def set_cond_hint(self, hint, strength, percents, vae=None):
        self.hint, self.strength, self.percents, self.vae = hint, strength, percents, vae
        return self

    def set_previous_controlnet(self, previous):
        self.previous = previous


CONTROL = {"strength": 0.5, "start_percent": 0.1, "end_percent": 0.8}


def segs_of(*boxes):
    return boxes_to_segs((40, 60), boxes or [(10, 10, 30, 30)], crop_factor=1.0)


def conditioning(**details):
    return [[torch.zeros((1, 1, 4)), details]]


def test_a_control_net_is_put_into_both_sides():
    (segs,) = run("SegsDetailerControlNet", segs=segs_of(), control_net=Network(), vae="vae", **CONTROL)
    pixels = torch.rand((3, 32, 32, 3))
    given = conditioning(mask="kept")
    positive, negative, images = segs[1][0].control_net_wrapper.apply(given, conditioning(), pixels, None)
    control = positive[0][1]["control"]
    assert control is negative[0][1]["control"]
    assert positive[0][1]["mask"] == "kept"
    assert positive[0][1]["control_apply_to_uncond"] is False
    assert "control" not in given[0][1]
    assert torch.equal(control.hint, pixels.movedim(-1, 1))
    assert (control.strength, control.percents, control.vae) == (0.5, (0.1, 0.8), "vae")
    assert images[0] is pixels


def test_control_nets_chain_and_start_after_those_of_the_graph():
    before = Network()
    (segs,) = run("SegsDetailerControlNet", segs=segs_of(), control_net=Network(), **CONTROL)
    (segs,) = run("SegsDetailerControlNet", segs=segs, control_net=Network(), **{**CONTROL, "strength": 2.0})
    wrapper = segs[1][0].control_net_wrapper
    positive, negative, images = wrapper.apply(conditioning(control=before), "placeholder", torch.rand((1, 8, 8, 3)))
    last = positive[0][1]["control"]
    assert (last.strength, last.previous.strength) == (2.0, 0.5)
    assert last.previous.previous is before
    assert negative == "placeholder"
    assert len(images) == 2


def test_what_acts_on_the_negative_untold_goes_on_doing_so():
    """ComfyUI's older node says so by an option of the positive side."""
    before = Network()
    given = conditioning(control=before, control_apply_to_uncond=True)
    (segs,) = run("SegsDetailerControlNet", segs=segs_of(), control_net=Network(), **CONTROL)
    wrapper = segs[1][0].control_net_wrapper
    positive, negative, _ = wrapper.apply(given, conditioning(), torch.rand((1, 8, 8, 3)))
    assert positive[0][1]["control"] is negative[0][1]["control"]
    assert negative[0][1]["control"].previous is before
    own = Network()
    _, negative, _ = wrapper.apply(given, conditioning(control=own), torch.rand((1, 8, 8, 3)))
    assert negative[0][1]["control"].previous is own


class TheirWrapper:
    """As Impact Pack's: it knows nothing of where segments are, and asks for Advanced-ControlNet."""

    def __init__(self, prev_control_net=None, control_image=None):
        self.prev_control_net, self.control_image = prev_control_net, control_image

    def apply(self, positive, negative, image, mask=None, use_acn=False):
        images = []
        if self.prev_control_net is not None:
            positive, negative, images = self.prev_control_net.apply(positive, negative, image, mask, use_acn=use_acn)
        mark = "advanced" if use_acn else "plain"
        return [[embedding, {**details, "theirs": mark}] for embedding, details in positive], negative, [*images, image]

    def doit_ipadapter(self, model):
        return self.prev_control_net.doit_ipadapter(model) if self.prev_control_net is not None else (model, [])


@pytest.mark.parametrize("ours_first", [True, False])
def test_a_wrapper_of_another_pack_acts_beside_ours(ours_first, monkeypatch):
    segs, theirs = segs_of((8, 8, 24, 24)), {"control_net": Network(), "control_image": FRAMES, **CONTROL}
    if ours_first:
        (segs,) = run("SegsDetailerControlNet", segs=segs, **theirs)
    segs = segs[0], [seg._replace(control_net_wrapper=TheirWrapper(seg.control_net_wrapper)) for seg in segs[1]]
    if not ours_first:
        (segs,) = run("SegsDetailerControlNet", segs=segs, **theirs)

    class Wider:
        def post_crop_region(self, w, h, item_bbox, crop_region):
            return (0, 0, 32, 32)

    for installed in (False, True):
        nodes = types.SimpleNamespace(NODE_CLASS_MAPPINGS={"ACN_AdvancedControlNetApply": 1} if installed else {})
        monkeypatch.setitem(sys.modules, "nodes", nodes)
        sampler = FakeSampler()
        pipe = (sampler, None, None, conditioning(), conditioning())
        inputs = {**PIPE_SETTINGS, "guide_size": 16, "basic_pipe": pipe, "detailer_hook": Wider()}
        *_, images = run("SegsDetailerForVideo", image_frames=FRAMES, segs=segs, **inputs)
        [(_, details)] = sampler.jobs[0].positive
        assert details["theirs"] == ("advanced" if installed else "plain")
        # Ours knows of the region that the hook made.
        assert torch.equal(details["control"].hint, FRAMES[:, :32, :32].movedim(-1, 1))
        assert [tuple(image.shape) for image in images] == [(3, 32, 32, 3)] * 2


def test_a_picture_that_was_cut_for_one_place_is_named_where_the_crop_moves():
    seg = segs_of((0, 0, 16, 16))[1][0]
    path = CropPath([(0, 0, 16, 16), (8, 0, 24, 16), (16, 0, 32, 16)])
    seg = seg._replace(crop_region=path, control_net_wrapper=TheirWrapper(control_image=torch.zeros((1, 16, 16, 3))))
    pipe = (FakeSampler(), None, None, conditioning(), conditioning())
    with pytest.warns(ConditioningWarning, match="control_image of a TheirWrapper is cut for one place"):
        run(
            "SegsDetailerForVideo", image_frames=FRAMES, segs=((40, 60), [seg]), **{**PIPE_SETTINGS, "basic_pipe": pipe}
        )


def test_strength_zero_leaves_the_conditioning():
    (segs,) = run("SegsDetailerControlNet", segs=segs_of(), control_net=Network(), **{**CONTROL, "strength": 0.0})
    given = conditioning()
    positive, _, images = segs[1][0].control_net_wrapper.apply(given, conditioning(), torch.rand((1, 8, 8, 3)))
    assert positive is given
    assert len(images) == 1


def test_an_image_for_the_frame_is_cut_to_the_segment():
    image = torch.zeros((3, 40, 60, 3))
    image[:, 10:30, 10:30] = torch.tensor([0.1, 0.5, 0.9])[:, None, None, None]
    (segs,) = run("SegsDetailerControlNet", segs=segs_of(), control_net=Network(), control_image=image, **CONTROL)
    # A detailer of another pack does not say where the segment is.
    wrapper = segs[1][0].control_net_wrapper
    positive, _, _ = wrapper.apply(conditioning(), conditioning(), torch.zeros((3, 20, 20, 3)), None, use_acn=True)
    hint = positive[0][1]["control"].hint
    assert hint.shape == (3, 3, 20, 20)
    assert torch.allclose(hint.mean((1, 2, 3)), torch.tensor([0.1, 0.5, 0.9]), atol=1e-5)


def test_a_preprocessor_makes_the_picture():
    class Inverted:
        def apply(self, image, mask):
            return 1 - image

    (segs,) = run(
        "SegsDetailerControlNet", segs=segs_of(), control_net=Network(), segs_preprocessor=Inverted(), **CONTROL
    )
    pixels = torch.rand((2, 8, 8, 3))
    _, _, (image,) = segs[1][0].control_net_wrapper.apply(conditioning(), conditioning(), pixels, None)
    assert torch.equal(image, 1 - pixels)


def test_the_detailer_hands_the_conditioning_on():
    class Seen(FakeSampler):
        def sample(self, latents, job):
            self.controls = [details.get("control") for _, details in job.positive]
            return super().sample(latents, job)

    sampler = Seen()
    (segs,) = run("SegsDetailerControlNet", segs=segs_of(), control_net=Network(), control_image=FRAMES[:1], **CONTROL)
    _, detailed, _, images = run(
        "SegsDetailerForVideo",
        image_frames=FRAMES,
        segs=segs,
        basic_pipe=(sampler, None, None, conditioning(), conditioning()),
        **PIPE_SETTINGS,
    )
    assert isinstance(sampler.controls[0], Network)
    assert [tuple(image.shape) for image in images] == [(1, 64, 64, 3)]
    assert detailed[1][0].control_net_wrapper is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"control_net": "a name"}, "control_net: expected a CONTROL_NET"),
        ({"start_percent": 0.9}, "start_percent, end_percent"),
        ({"control_image": FRAMES, "segs_preprocessor": len}, "control_image, preprocessor: expected one of them"),
    ],
)
def test_control_net_that_cannot_be(changes, message):
    inputs = {"segs": segs_of(), "control_net": Network(), **CONTROL, **changes}
    with pytest.raises((InvalidArgumentError, InvalidTypeError), match=message):
        run("SegsDetailerControlNet", **inputs)


def test_wrapper_of_two_segments_know_their_own_place():
    (segs,) = run(
        "SegsDetailerControlNet",
        segs=segs_of((0, 0, 20, 20), (30, 10, 50, 30)),
        control_net=Network(),
        control_image=FRAMES,
        **CONTROL,
    )
    cut = [seg.control_net_wrapper.apply(conditioning(), [], torch.zeros((3, 20, 20, 3)))[2][0] for seg in segs[1]]
    assert isinstance(segs[1][0].control_net_wrapper, GraphControlNetWrapper)
    assert torch.equal(cut[0], FRAMES[:, :20, :20])
    assert torch.equal(cut[1], FRAMES[:, 10:30, 30:50])


# Hooks


def jobs_under(hook, *boxes):
    sampler = FakeSampler()
    inputs = {**PIPE_SETTINGS, "basic_pipe": (sampler, None, None, [], []), "detailer_hook": hook}
    run("SegsDetailerForVideo", image_frames=FRAMES, segs=segs_of(*boxes), **inputs)
    return sampler.jobs


THREE = [(0, 0, 15, 15), (20, 0, 35, 15), (40, 0, 55, 15)]


def test_schedules_go_over_the_segments_and_begin_anew_with_each_run():
    (denoise,) = run("SegsDetailerDenoiseHook", target_denoise=0.1)
    (cfg,) = run("SegsDetailerCfgHook", target_cfg=3.0)
    (steps,) = run("SegsDetailerStepsHook", target_steps=7)
    (pair,) = run("SegsDetailerCombineHooks", hook1=denoise, hook2=cfg)
    (hook,) = run("SegsDetailerCombineHooks", hook1=pair, hook2=steps)
    for _ in range(2):
        jobs = jobs_under(hook, *THREE)
        assert [job.denoise for job in jobs] == pytest.approx([0.5, 0.3, 0.1])
        assert [job.cfg for job in jobs] == pytest.approx([1.0, 2.0, 3.0])
        assert [job.steps for job in jobs] == [4, 5, 7]


def test_a_lone_segment_keeps_its_settings():
    (hook,) = run("SegsDetailerDenoiseHook", target_denoise=0.1)
    assert [job.denoise for job in jobs_under(hook, (0, 0, 15, 15))] == [0.5]


def test_segments_that_are_not_painted_do_not_count():
    (hook,) = run("SegsDetailerDenoiseHook", target_denoise=0.1)

    class Without:
        def post_detection(self, segs):
            return segs[0], segs[1][:-1]

    outside = segs_of(THREE[0])[1][0]._replace(crop_region=(100, 0, 115, 15))
    (size, segments) = segs_of(*THREE)
    segs = size, [segments[0], outside, segments[1], segments[2]]
    (pair,) = run("SegsDetailerCombineHooks", hook1=hook, hook2=Without())
    for given, expected in ((hook, [0.5, 0.3, 0.1]), (pair, [0.5, 0.1])):
        sampler = FakeSampler()
        inputs = {**PIPE_SETTINGS, "basic_pipe": (sampler, None, None, [], []), "detailer_hook": given}
        with pytest.warns(SegmentWarning, match="no pixel of the frames"):
            run("SegsDetailerForVideo", image_frames=FRAMES, segs=segs, **inputs)
        assert [job.denoise for job in sampler.jobs] == pytest.approx(expected)


def test_a_detailer_of_another_pack_counts_by_what_it_detected():
    hook = ScheduleHook(denoise=0.1)
    size, segments = segs_of(*THREE)
    hook.post_detection((size, [*segments, segments[0]._replace(crop_region=(100, 0, 115, 15))]))
    for _ in segments:
        hook.set_steps((0, 1))
    assert hook.progress == 1.0


def test_cycles_of_other_detailers_are_gone_over():
    hook = ScheduleHook(denoise=0.1)
    seen = []
    for cycle in range(3):
        hook.set_steps((cycle, 3))
        seen.append(hook.pre_ksample(None, 0, 4, 1.0, "euler", "normal", [], [], {}, 0.5)[-1])
    assert seen == pytest.approx([0.5, 0.3, 0.1])


# The documentation


def test_the_reference_is_the_declarations():
    page = ROOT / "docs" / "comfyui.md"
    text = page.read_text(encoding="utf-8")
    assert f"<!-- nodes -->\n\n{reference()}\n<!-- /nodes -->" in text, "run scripts/node_reference.py"


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.id)
def test_a_help_page_names_every_socket(node):
    page = help_page(node)
    for item in (*node.inputs, *node.outputs):
        assert f"| `{item.name}` | " in page
    # As many cells in each row as its table has columns.
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {4, 5}
