"""The nodes in a ComfyUI that computes on a GPU, with its options for where models and results are kept."""

from __future__ import annotations

import os

import comfy_server
import numpy as np
import pytest
import torch
from comfy_server import ComfyServer, base_folder, end_of
from test_comfyui_server import detailed, keep, node, touched

pytestmark = [
    pytest.mark.skipif(not os.environ.get(comfy_server.VARIABLE), reason=comfy_server.REASON),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU"),
]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Frames as they came, and as the CPU details them."""
    server = ComfyServer(base_folder(tmp_path_factory.mktemp("comfyui")), "--disable-api-nodes")
    try:
        end_of(server.run({"clip": node("TinyClip", frames=4), "keep": keep("frames", image=["clip", 0])}))
        yield server.kept("frames")["image"], detailed(server, "cpu", noise_mask_feather=6)
    finally:
        server.stop()


@pytest.mark.parametrize("option", ["--normalvram", "--highvram", "--gpu-only", "--novram"])
def test_wherever_models_and_results_are_kept(tmp_path, expected, option):
    frames, on_cpu = expected
    server = ComfyServer(base_folder(tmp_path / "comfyui"), "--disable-api-nodes", device=option)
    try:
        image = detailed(server, "gpu", noise_mask_feather=6)
    finally:
        server.stop()
    inside = touched(frames)
    assert np.array_equal(image[~inside], frames[~inside])
    # The noise is the CPU's, the network's sums are not.
    assert np.abs(image - on_cpu).mean() < 2 / 255
