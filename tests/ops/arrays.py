"""Arrays for the tests of the ops."""

from __future__ import annotations

import numpy as np
import torch


def frames_of(seed, shape, dtype="float32"):
    """Frames of random samples."""
    values = np.random.default_rng(seed).random(shape, dtype=np.float32)
    return (values * 255).round().astype(np.uint8) if dtype == "uint8" else values.astype(dtype)


def to_numpy(array):
    return array.numpy() if isinstance(array, torch.Tensor) else array
