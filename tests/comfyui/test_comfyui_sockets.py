"""What sockets bear: pictures and masks of any float, and segments that are none."""

from __future__ import annotations

from dataclasses import replace

import node_inputs
import numpy as np
import pytest
import torch

from segs_detailer.comfyui.classic import class_of
from segs_detailer.comfyui.nodes import NODES
from segs_detailer.nodes import SEGSPaste
from segs_detailer.nodes.declaration import Shown

PIXELS = ("IMAGE", "MASK")
OF_PIXELS = [node for node in NODES if any(item.type in PIXELS for item in node.inputs)]
OF_SEGS = [node for node in NODES if any(item.type == "SEGS" for item in node.inputs)]


def ids(nodes):
    return pytest.mark.parametrize("node", nodes, ids=lambda node: node.id)


def results_of(node, inputs):
    result = class_of(node).execute(**inputs)
    return result["result"] if isinstance(result, dict) else result


def needs(node):
    if node.id == "SegsDetailerFaces":
        pytest.importorskip("cv2")


def assert_same(one, other, tolerance):
    if isinstance(one, torch.Tensor):
        torch.testing.assert_close(one.float(), other.float(), atol=tolerance, rtol=0)
    elif isinstance(one, np.ndarray):
        np.testing.assert_allclose(one, other, atol=tolerance, rtol=0)
    elif isinstance(one, (tuple, list)):
        assert len(one) == len(other)
        for each, same in zip(one, other, strict=True):
            assert_same(each, same, tolerance)
    elif isinstance(one, (str, int, float)):
        assert one == other


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@ids(OF_PIXELS)
def test_pictures_and_masks_of_half_precision(node, dtype):
    needs(node)
    inputs = node_inputs.inputs_for(node, dtype)
    kept = {name: value.clone() for name, value in inputs.items() if isinstance(value, torch.Tensor)}
    results = results_of(node, inputs)
    expected = results_of(node, node_inputs.inputs_for(node))
    # Of a step of the format, where a crop was pasted.
    tolerance = 2 * torch.finfo(dtype).eps
    for output, value, full in zip(node.outputs, results, expected, strict=True):
        if output.type in PIXELS:
            for each in value if output.is_list else [value]:
                assert each.dtype == dtype
        assert_same(value, full, tolerance)
    assert all(torch.equal(inputs[name], value) for name, value in kept.items())


@ids([node for node in NODES if node.id in ("SegsDetailerForVideo", "SegsDetailerPaste")])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_outside_the_masks_they_keep_their_bits(node, dtype):
    inputs = node_inputs.inputs_for(node, dtype)
    inputs.pop("ref_image_opt", None)
    name = next(item.name for item in node.inputs if item.type == "IMAGE")
    frames = torch.rand(inputs[name].shape).to(dtype)
    pasted = results_of(node, {**inputs, name: frames, "feather": 0})[0]
    changed = (pasted != frames).any(-1)
    assert changed.any()
    x1, y1, x2, y2 = node_inputs.BOX
    changed[:, y1:y2, x1:x2] = False
    assert not changed.any()


def test_float16_is_pasted_as_it_is():
    node = next(node for node in NODES if node.id == "SegsDetailerPaste")
    seen = []

    def paste(image, **inputs):
        seen.append(image.dtype)
        return (image,)

    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        image = node_inputs.frames_of(dtype)
        (same,) = replace(node, function=paste).run(image=image)
        assert same is image
    assert seen == [torch.float16, torch.float32, torch.float32]


def test_pictures_that_the_browser_is_shown_come_with_the_results():
    node = next(node for node in NODES if node.id == "SegsDetailerPreview")
    result = node.run(**node_inputs.inputs_for(node, torch.bfloat16))
    assert isinstance(result, Shown)
    assert result.results[0].dtype == torch.bfloat16


def test_the_classes_for_scripts_take_them_too():
    frames = node_inputs.frames_of(torch.bfloat16)
    (pasted,) = SEGSPaste().doit(frames, node_inputs.segs_of(), 0)
    assert pasted.dtype == torch.bfloat16
    assert float(pasted[0, 20, 20, 0]) == 0.25


class Untouchable:
    """A model, or a part of one, that nobody may look at."""

    def __getattribute__(self, name):
        if name == "__class__":
            return super().__getattribute__(name)
        raise AssertionError(f"{name} was asked for")


@ids(OF_SEGS)
def test_without_segments_frames_are_handed_through(node):
    inputs = node_inputs.inputs_for(node, empty=True)
    pipe = [Untouchable() for _ in range(5)]
    if "basic_pipe" in inputs:
        inputs |= {"basic_pipe": pipe, "refiner_basic_pipe_opt": pipe, "detailer_hook": Untouchable()}
        inputs = {name: value for name, value in inputs.items() if name in {item.name for item in node.inputs}}
    frames = [value for value in inputs.values() if isinstance(value, torch.Tensor)]
    for output, value in zip(node.outputs, results_of(node, inputs), strict=True):
        if output.type == "SEGS":
            assert value == ((node_inputs.HEIGHT, node_inputs.WIDTH), [])
        elif output.name == "cnet_images":
            assert [tuple(image.shape) for image in value] == [(1, 64, 64, 3)]
        elif output.type == "BASIC_PIPE":
            assert value is pipe
        elif output.type == "IMAGE" and node.is_output:
            # Drawings of the frames alone.
            torch.testing.assert_close(value, frames[0], atol=0.5 / 255 + 1e-6, rtol=0)
        elif output.type == "IMAGE":
            assert value is frames[0]


@ids([node for node in OF_SEGS if any(item.type == "BASIC_PIPE" for item in node.inputs)])
def test_no_segments_of_another_size_fit_the_frames(node):
    inputs = {**node_inputs.inputs_for(node), "segs": ((10, 10), [])}
    results = results_of(node, inputs)
    [segs] = [value for output, value in zip(node.outputs, results, strict=True) if output.type == "SEGS"]
    assert segs == ((node_inputs.HEIGHT, node_inputs.WIDTH), [])
