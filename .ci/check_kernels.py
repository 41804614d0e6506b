"""Calls each kind of kernel on NumPy arrays: what can be tried of a wheel where PyTorch has none for the platform."""

from __future__ import annotations

import sys

import numpy as np

from segs_detailer import _native, ops


def main() -> None:
    """Try them."""
    frames = np.random.default_rng(0).random((3, 60, 80, 3), dtype=np.float32)
    region = (-4, 5, 36, 45)
    crops = ops.crop_frames(frames, region)
    np.testing.assert_array_equal(crops[:, :, 4:], frames[:, 5:45, :36])
    flat = ops.resize_frames(np.full((1, 40, 40, 3), 0.25, np.float32), (65, 90))
    np.testing.assert_allclose(flat, np.full((1, 65, 90, 3), 0.25), atol=1e-6)
    mask = np.zeros((40, 40), np.float32)
    mask[15:25, 15:25] = 1
    soft = ops.feather_mask(mask, 3)
    assert 0 < soft[14, 20] < 1, "the mask is not feathered"
    painted = ops.paste(frames, np.ones_like(crops), soft, region)
    untouched = np.ones(frames.shape[:3], bool)
    untouched[:, 5:45, :36] = np.broadcast_to(soft[:, 4:] == 0, (3, 40, 36))
    np.testing.assert_array_equal(painted[untouched], frames[untouched])
    np.testing.assert_allclose(painted[:, 25, 16], np.ones((3, 3)), atol=1e-6)
    print(f"Python {sys.version.split()[0]}: the kernels work, at the level {_native.cpu_level()}")


if __name__ == "__main__":
    main()
