"""What a node may be called with, made from its declaration: defaults of its widgets, and something for its sockets."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from face_meshes import landmarks_of, mesh_of
from fake_sampler import FakeSampler
from segs_detailer.nodes.declaration import COMBO
from segs_detailer.subjects.masks import boxes_to_segs

FRAMES, HEIGHT, WIDTH = 3, 40, 60
BOX = (12, 8, 44, 36)
WIDGETS = {"INT", "FLOAT", "BOOLEAN", "STRING", COMBO}
# Beside the clip they would be a choice that contradicts another.
LEFT_OUT = {("SegsDetailerControlNet", "segs_preprocessor")}


def frames_of(dtype=torch.float32):
    """A clip whose values every float holds to the bit."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 129, (FRAMES, HEIGHT, WIDTH, 3), generator=generator).div(128).to(dtype)


def masks_of(dtype=torch.float32):
    masks = torch.zeros((FRAMES, HEIGHT, WIDTH))
    x1, y1, x2, y2 = BOX
    masks[:, y1:y2, x1:x2] = 1
    return masks.to(dtype)


def segs_of(*, empty=False):
    size, segs = boxes_to_segs((HEIGHT, WIDTH), [] if empty else [BOX], crop_factor=1.0)
    crops = np.full((FRAMES, BOX[3] - BOX[1], BOX[2] - BOX[0], 3), 0.25, np.float32)
    return size, [seg._replace(cropped_image=crops) for seg in segs]


def track_of():
    """What ComfyUI's SAM3 Track gives: one object in a picture that is stretched to a square of 1008 pixels."""
    x1, y1, x2, y2 = (np.array(BOX) * 1008) // [WIDTH, HEIGHT, WIDTH, HEIGHT]
    shown = np.zeros((FRAMES, 1, 1008, 1008), bool)
    shown[:, :, y1:y2, x1:x2] = True
    packed = torch.from_numpy(np.packbits(shown, axis=-1, bitorder="little"))
    return {"packed_masks": packed, "n_frames": FRAMES, "orig_size": (HEIGHT, WIDTH), "scores": [0.9]}


class Detector:
    """Another pack's."""

    def detect(self, image, threshold, dilation, crop_factor, drop_size):
        return boxes_to_segs(image.shape[1:3], [BOX], label="subject", confidence=0.9)


class Network:
    """As much of ComfyUI's ControlBase as a graph touches."""

    def copy(self):
        return Network()

    def set_cond_hint(self, hint, strength, percents, vae=None):
        self.hint = hint

    def set_previous_controlnet(self, previous):
        self.previous = previous


def _socket(kind, dtype, empty):
    meshes = [] if empty else [mesh_of((28, 22), (16, 16))]
    makers = {
        "IMAGE": lambda: frames_of(dtype),
        "MASK": lambda: masks_of(dtype),
        "SEGS": lambda: segs_of(empty=empty),
        "BASIC_PIPE": lambda: (FakeSampler(lambda pixels, job: 1 - pixels), None, None, [], []),
        "BBOX_DETECTOR": Detector,
        "CONTROL_NET": Network,
        "DETAILER_HOOK": object,
        "SAM3_TRACK_DATA": track_of,
        "FACE_LANDMARKS": lambda: landmarks_of([meshes] * FRAMES, (HEIGHT, WIDTH)),
    }
    return makers[kind]() if kind in makers else None


def inputs_for(node, dtype=torch.float32, *, empty=False):
    """Inputs of every required socket, and of those for pictures and masks that are not."""
    inputs = {}
    for item in node.inputs:
        if item.type in WIDGETS:
            if item.optional:
                continue
            choices = list(item.choices()) if item.choices is not None else [""]
            inputs[item.name] = item.widget.get("default", choices[0])
        elif not item.optional or (item.type in ("IMAGE", "MASK") and (node.id, item.name) not in LEFT_OUT):
            inputs[item.name] = _socket(item.type, dtype, empty)
            if inputs[item.name] is None:
                pytest.fail(f"{node.id}: say in tests/comfyui/node_inputs.py what an example of {item.type} is")
    own = {
        "SegsDetailerBoxes": {"boxes": json.dumps([BOX])},
        "SegsDetailerMaskToSegs": {"drop_size": 4},
    }
    small = {"guide_size": 64, "max_size": 64, "steps": 1} if "guide_size" in inputs else {}
    return inputs | small | own.get(node.id, {})
