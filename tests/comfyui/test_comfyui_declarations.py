"""The nodes as ComfyUI sees them, without a ComfyUI."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from fake_sampler import FakeSampler
from segs_detailer import nodes
from segs_detailer.comfyui.audio import AUDIO
from segs_detailer.comfyui.classic import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
from segs_detailer.comfyui.extension import known_options
from segs_detailer.comfyui.nodes import NODES
from segs_detailer.comfyui.seams import SEAMS
from segs_detailer.comfyui.segments import ORDERS
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.models.samplers import SAMPLERS
from segs_detailer.models.schedules import SCHEDULES
from segs_detailer.nodes.declaration import COMBO
from segs_detailer.segs import SEG
from segs_detailer.subjects.masks import boxes_to_segs

ORIGINALS = {
    "SegsDetailerSegsForVideo": nodes.SEGSDetailerForAnimateDiff,
    "SegsDetailerForVideo": nodes.DetailerForEachPipeForAnimateDiff,
    "SegsDetailerPaste": nodes.SEGSPaste,
}


def run(node_id, **inputs):
    """As ComfyUI calls a classic node."""
    node_class = NODE_CLASS_MAPPINGS[node_id]
    return getattr(node_class(), node_class.FUNCTION)(**inputs)


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.id)
def test_declaration_fits_its_function(node):
    assert node.id.startswith("SegsDetailer")
    assert re.fullmatch(r"[A-Za-z]+", node.id)
    assert node.category == "segs-detailer"
    assert node.description.endswith(".")
    assert all(item.tooltip.endswith(".") for item in (*node.inputs, *node.outputs))
    signature = inspect.signature(node.function)
    # Binding raises where an input has no argument, or an argument no input.
    signature.bind(**{item.name: None for item in node.inputs})
    if not any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
        signature.bind(**{item.name: None for item in node.inputs if not item.optional})
        assert list(signature.parameters) == [item.name for item in node.inputs]
    optional = [item.optional for item in node.inputs]
    assert optional == sorted(optional), "required inputs come first"
    for item in node.inputs:
        assert (item.choices is not None) == (item.type == COMBO)
        if "min" in item.widget:
            assert item.widget["min"] <= item.widget["default"] <= item.widget["max"]


def test_ids_and_names_are_unique():
    assert len({node.id for node in NODES}) == len(NODES)
    assert len({node.display_name for node in NODES}) == len(NODES)
    assert set(NODE_CLASS_MAPPINGS) == set(NODE_DISPLAY_NAME_MAPPINGS) == {node.id for node in NODES}


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.id)
def test_the_search_finds_a_node_by_other_words(node):
    aliases = [alias.lower() for alias in node.search_aliases]
    assert aliases, "say by what other words it is looked for"
    assert len(set(aliases)) == len(aliases)
    assert all(alias == alias.strip() and alias not in node.display_name.lower() for alias in aliases)
    assert list(node.search_aliases) == NODE_CLASS_MAPPINGS[node.id].SEARCH_ALIASES


def test_a_release_gets_the_options_that_it_knows():
    def newer(node_id, search_aliases=(), is_dev_only=False):
        raise AssertionError

    def older(node_id):
        raise AssertionError

    options = {"search_aliases": ["face"]}
    assert known_options(newer, options) == options
    assert known_options(older, options) == {}


@pytest.mark.parametrize(("node_id", "original"), ORIGINALS.items(), ids=ORIGINALS)
def test_detailers_have_the_widgets_of_their_node_classes(node_id, original):
    ours, theirs = NODE_CLASS_MAPPINGS[node_id].INPUT_TYPES(), original.INPUT_TYPES()
    # Sockets more, after all that a workflow may have stored.
    added = {"seams_opt": SEAMS} if original is nodes.SEGSPaste else {"seams_opt": SEAMS, "audio_opt": AUDIO}
    last = list(ours["optional"])[-len(added) :]
    assert {name: ours["optional"].pop(name)[0] for name in last} == added
    assert {group: list(inputs) for group, inputs in ours.items()} == {
        group: list(inputs) for group, inputs in theirs.items()
    }
    assert ours == theirs
    for name in ("RETURN_TYPES", "RETURN_NAMES", "OUTPUT_IS_LIST"):
        if hasattr(original, name):
            assert getattr(NODE_CLASS_MAPPINGS[node_id], name) == getattr(original, name)


def test_the_defaults_of_the_original():
    required = NODE_CLASS_MAPPINGS["SegsDetailerForVideo"].INPUT_TYPES()["required"]
    assert list(required) == [
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
        "feather",
        "basic_pipe",
        "refiner_ratio",
    ]
    assert [required[name][1]["default"] for name in ("guide_size", "max_size", "denoise", "feather")] == [
        384,
        1024,
        0.5,
        5,
    ]
    assert required["sampler_name"][0] == list(SAMPLERS)
    assert required["scheduler"][0] == list(SCHEDULES)


def test_the_lists_are_those_of_a_running_comfyui(monkeypatch):
    class KSampler:
        SAMPLERS = ("euler", "of_another_pack")
        SCHEDULERS = ("simple",)

    monkeypatch.setitem(sys.modules, "comfy.samplers", type(sys)("comfy.samplers"))
    sys.modules["comfy.samplers"].KSampler = KSampler
    required = NODE_CLASS_MAPPINGS["SegsDetailerSegsForVideo"].INPUT_TYPES()["required"]
    assert required["sampler_name"][0] == ["euler", "of_another_pack"]
    assert required["scheduler"][0] == ["simple"]


def test_declarations_import_nothing_of_comfyui():
    code = (
        "import sys, segs_detailer.comfyui.classic, segs_detailer.cli.comfyui\n"
        "names = {name.split('.')[0] for name in sys.modules}\n"
        "print(*sorted(names & {'comfy', 'comfy_api', 'latent_preview', 'folder_paths', 'diffusers', 'cv2', 'av'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_no_id_is_one_of_impact_packs():
    if not os.environ.get("IMPACT_PACK_PATH"):
        pytest.skip("IMPACT_PACK_PATH does not name an Impact Pack checkout")
    text = (Path(os.environ["IMPACT_PACK_PATH"]) / "__init__.py").read_text(encoding="utf-8")
    theirs = set(re.findall(r'^\s+"([^"]+)": ', text, re.MULTILINE))
    assert "SEGSPaste" in theirs
    assert not theirs & set(NODE_CLASS_MAPPINGS)


# The functions


FRAMES = torch.rand((3, 40, 60, 3), generator=torch.Generator().manual_seed(0))
SETTINGS = {
    "guide_size": 64,
    "guide_size_for": True,
    "max_size": 96,
    "seed": 1,
    "steps": 2,
    "cfg": 1.0,
    "sampler_name": "euler",
    "scheduler": "normal",
    "denoise": 0.5,
    "refiner_ratio": 0.2,
}


def segs_of(*boxes, **more):
    return boxes_to_segs((40, 60), boxes or [(10, 10, 30, 30)], crop_factor=1.5, **more)


@pytest.fixture
def pipe():
    return (FakeSampler(), None, None, [], [])


def test_detailer_repaints_and_pastes(pipe):
    image, segs, same, images = run(
        "SegsDetailerForVideo", image_frames=FRAMES, segs=segs_of(), basic_pipe=pipe, feather=0, **SETTINGS
    )
    expected = nodes.DetailerForEachPipeForAnimateDiff.doit(FRAMES, segs_of(), feather=0, basic_pipe=pipe, **SETTINGS)
    assert torch.equal(image, expected[0])
    assert not torch.equal(image, FRAMES)
    assert same is pipe
    assert segs[1][0].cropped_image.shape[0] == 3
    assert [item.shape for item in images] == [(1, 64, 64, 3)]


def test_segs_detailer_and_paste_give_what_the_detailer_gives(pipe):
    segs, images = run("SegsDetailerSegsForVideo", image_frames=FRAMES, segs=segs_of(), basic_pipe=pipe, **SETTINGS)
    (pasted,) = run("SegsDetailerPaste", image=FRAMES, segs=segs, feather=3, alpha=255)
    whole = run("SegsDetailerForVideo", image_frames=FRAMES, segs=segs_of(), basic_pipe=pipe, feather=3, **SETTINGS)
    assert torch.equal(pasted, whole[0])
    assert len(images) == 1


def test_pipe_goes_together_and_apart():
    parts = ("model", "clip", "vae", [1], [2])
    names = ("model", "clip", "vae", "positive", "negative")
    (pipe,) = run("SegsDetailerToBasicPipe", **dict(zip(names, parts, strict=True)))
    assert pipe == parts
    assert run("SegsDetailerFromBasicPipe", basic_pipe=pipe) == (pipe, *parts)
    with pytest.raises(InvalidTypeError, match="basic_pipe: expected"):
        run("SegsDetailerFromBasicPipe", basic_pipe=("model",))


def test_mask_to_segs():
    masks = torch.zeros((3, 40, 60))
    masks[:, 5:25, 5:25] = 1
    masks[1:, 20:38, 40:58] = 1
    widgets = {"crop_factor": 1.5, "bbox_fill": False, "drop_size": 4, "contour_fill": False}
    (segs,) = run("SegsDetailerMaskToSegs", masks=masks, combined=False, label="face", **widgets)
    assert [seg.bbox for seg in segs[1]] == [(5, 5, 25, 25), (40, 20, 58, 38)]
    assert {seg.label for seg in segs[1]} == {"face"}
    (one,) = run("SegsDetailerMaskToSegs", masks=masks, combined=True, **widgets)
    assert [seg.bbox for seg in one[1]] == [(5, 5, 58, 38)]


MIXED = segs_of(
    (0, 0, 10, 10), (10, 10, 30, 30), (30, 0, 60, 40), label=["face", "hand", "face"], confidence=[0.9, 0.5, 0.2]
)


def chosen(segs):
    return [next(place for place, own in enumerate(MIXED[1]) if own is seg) for seg in segs[1]]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, [0, 1, 2]),
        ({"labels": "hand"}, [1]),
        ({"labels": " hand,\nface ,"}, [0, 1, 2]),
        ({"labels": "foot"}, []),
        ({"min_area": 400}, [1, 2]),
        ({"max_area": 400}, [0, 1]),
        ({"min_confidence": 0.5}, [0, 1]),
        ({"labels": "face", "min_confidence": 0.5}, [0]),
    ],
)
def test_filter(conditions, expected):
    widgets = {"labels": "", "min_area": 0, "max_area": 0, "min_confidence": 0.0, **conditions}
    filtered, remained = run("SegsDetailerFilter", segs=MIXED, **widgets)
    assert chosen(filtered) == expected
    assert chosen(remained) == [index for index in range(3) if index not in expected]
    assert filtered[0] == remained[0] == (40, 60)


def test_filter_takes_the_confidence_of_detectors_and_of_masks():
    size, items = MIXED
    odd = (size, [items[0]._replace(confidence=np.array([0.4])), items[1]._replace(confidence=None)])
    widgets = {"labels": "", "min_area": 0, "max_area": 0, "min_confidence": 0.5}
    filtered, _ = run("SegsDetailerFilter", segs=odd, **widgets)
    assert [seg.confidence for seg in filtered[1]] == [None]
    with pytest.raises(InvalidTypeError, match="confidence"):
        run("SegsDetailerFilter", segs=(size, [items[0]._replace(confidence="high")]), **widgets)


@pytest.mark.parametrize(
    ("by", "descending", "start", "count", "expected", "rest"),
    [
        ("area", True, 0, 0, [2, 1, 0], []),
        ("area", False, 0, 2, [0, 1], [2]),
        ("area", True, 1, 1, [1], [2, 0]),
        ("confidence", True, 0, 1, [0], [1, 2]),
        ("x1", False, 0, 0, [0, 1, 2], []),
        ("label", False, 0, 0, [0, 2, 1], []),
        ("height", True, 2, 5, [0], [2, 1]),
        ("y2", True, 9, 1, [], [2, 1, 0]),
    ],
)
def test_order(by, descending, start, count, expected, rest):
    ordered, remained = run(
        "SegsDetailerOrder", segs=MIXED, by=by, descending=descending, take_start=start, take_count=count
    )
    assert chosen(ordered) == expected
    assert chosen(remained) == rest


def test_what_is_measured_is_the_bounding_box_or_the_crop_region():
    size, items = MIXED
    # The regions are ordered the other way round.
    regions = [(0, 0, 40, 60), (0, 0, 60, 50), (0, 0, 61, 40)]
    segs = (
        size,
        [seg._replace(crop_region=region, cropped_mask=None) for seg, region in zip(items, regions, strict=True)],
    )
    order = {"by": "area", "descending": True, "take_start": 0, "take_count": 1}
    area = {"labels": "", "min_area": 2500, "max_area": 0, "min_confidence": 0.0}
    items = segs[1]
    assert run("SegsDetailerOrder", segs=segs, **order)[0][1] == [items[2]]
    assert run("SegsDetailerOrder", segs=segs, **order, box="crop_region")[0][1] == [items[1]]
    assert run("SegsDetailerFilter", segs=segs, **area, box="crop_region")[1][1] == [items[0], items[2]]
    for node, inputs in (("SegsDetailerOrder", order), ("SegsDetailerFilter", area)):
        with pytest.raises(InvalidArgumentError, match="box: expected one of bbox, crop_region"):
            run(node, segs=segs, **inputs, box="region")


def test_order_by_something_unknown_lists_what_is_known():
    with pytest.raises(InvalidArgumentError, match=f"by: expected one of {', '.join(ORDERS)}, got 'size'"):
        run("SegsDetailerOrder", segs=MIXED, by="size", descending=True, take_start=0, take_count=0)


def test_scale_match():
    (segs,) = run("SegsDetailerScaleMatch", segs=segs_of(), image_frames=torch.zeros((1, 80, 120, 3)))
    assert segs[0] == (80, 120)
    assert segs[1][0].bbox == (20, 20, 60, 60)


def test_preview_draws_what_the_detailer_will_see():
    frames = torch.full((6, 80, 120, 3), 0.5)
    result = run("SegsDetailerPreview", image_frames=frames, segs=segs_of(), max_images=2)
    (images,) = result["result"]
    assert images.shape == (2, 80, 120, 3)
    red = images[..., 0] - images[..., 1] > 0.1
    # The mask is the box, at twice the size; the outline goes around it.
    assert red[:, 45:55, 30:50].all()
    # The crop region ends at 70.
    assert not (images[:, 70:, 70:] != images[0, -1, -1]).any()
    assert (images[:, 69, 40:60] != images[0, -1, -1]).any(-1).all()
    # No ComfyUI runs: there is no folder for pictures of the browser.
    assert result["ui"] == {"images": []}


def test_preview_of_masks_beyond_the_frame_and_for_each_frame():
    masks = np.zeros((4, 40, 40), np.float32)
    masks[2:] = 1
    seg = SEG(None, masks, 1.0, (-20, 60, 20, 100), (-10, 70, 10, 90), "a")
    frames = torch.full((4, 80, 120, 3), 0.5)
    (images,) = run("SegsDetailerPreview", image_frames=frames, segs=((80, 120), [seg]), max_images=4)["result"]
    red = (images[..., 0] - images[..., 1] > 0.1)[:, 60:, :20].flatten(1).float().mean(1)
    assert (red[2:] > red[:2] + 0.3).all()


def test_preview_of_no_frames():
    (images,) = run("SegsDetailerPreview", image_frames=torch.zeros((0, 8, 8, 3)), segs=((8, 8), []), max_images=4)[
        "result"
    ]
    assert images.shape == (0, 8, 8, 3)
