"""Inputs of the benches: clips, crops and masks like those of a real run, made from fixed seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from segs_detailer.models.info import ModelInfo
from segs_detailer.models.interface import SampleJob, Sampler

__all__ = [
    "FULL",
    "QUICK",
    "SIZES_BY_CLIP",
    "Region",
    "Sizes",
    "Untouched",
    "centered_region",
    "ellipse_mask",
    "grown",
    "noise_mask",
    "random_frames",
    "segment_boxes",
]

Region: TypeAlias = tuple[int, int, int, int]

# Pixels, and what brings the blurred noise back to most of the range.
BLUR = 1.5
CONTRAST = 4.0

SIZES_BY_CLIP = {"512 x 768": (768, 512), "1080p": (1080, 1920)}


@dataclass(frozen=True)
class Sizes:
    """How much work the benches do.

    Parameters
    ----------
    frames : int
        Frames of the 1080p clip.
    resize_frames : int
        Frames of a resize.
    masks : int
        Masks of a stack.
    detail_frames : int
        Most frames that a whole detailer run gets.
    seconds : float
        Time to spend on one measurement.
    slow_rounds : int
        Rounds of a way that takes most of that time or more.
    build_peers : bool
        Whether to build peers that are not in Python.
    growth : tuple of int
        Frame counts for the growth of time and memory.
    growth_concat : tuple of int
        The same for ways that grow with the square.
    """

    frames: int
    resize_frames: int
    masks: int
    detail_frames: int
    seconds: float
    slow_rounds: int
    build_peers: bool
    growth: tuple[int, ...]
    growth_concat: tuple[int, ...]


FULL = Sizes(
    frames=64,
    resize_frames=16,
    masks=16,
    detail_frames=16,
    seconds=1.0,
    slow_rounds=3,
    build_peers=True,
    growth=(8, 16, 32, 64, 128, 256),
    growth_concat=(8, 16, 32, 64),
)
QUICK = Sizes(
    frames=16,
    resize_frames=4,
    masks=4,
    detail_frames=2,
    seconds=0.1,
    slow_rounds=1,
    build_peers=False,
    growth=(8, 16, 32),
    growth_concat=(8, 16),
)


def random_frames(count: int, height: int, width: int, channels: int = 3, *, seed: int = 1) -> torch.Tensor:
    """Frames (count, height, width, channels) float32 in [0, 1]: soft noise, in memory that NumPy allocated.

    As in photographs, neighbors are alike, and a sharp filter seldom passes [0, 1]. Where it does, ways that keep
    8 bits between the passes lose much, and would not agree with the others.
    """
    frames = np.empty((count, height, width, channels), np.float32)
    noise = np.random.default_rng(seed).random(frames.shape[1:], dtype=np.float32)
    first = cv2.GaussianBlur(noise, (0, 0), BLUR).reshape(noise.shape)
    first = np.clip(0.5 + (first - 0.5) * CONTRAST, 0.1, 0.9)
    # The frames are one rolled on: making new noise for each would take longer than the benches.
    for index in range(count):
        frames[index] = np.roll(first, 17 * index, axis=0)
    return torch.from_numpy(frames)


def centered_region(frame_size: tuple[int, int], size: tuple[int, int]) -> Region:
    """The region (x1, y1, x2, y2) of `size` (height, width) in the middle of a frame, on odd coordinates."""
    y1 = (frame_size[0] - size[0]) // 2 | 1
    x1 = (frame_size[1] - size[1]) // 2 | 1
    return x1, y1, x1 + size[1], y1 + size[0]


def ellipse_mask(height: int, width: int) -> NDArray[np.float32]:
    """A mask (height, width) that is 1 in the middle and 0 at the rim, as detectors and segmenters give."""
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return (x * x + y * y < 0.64).astype(np.float32)


def noise_mask(height: int, width: int, *, seed: int = 2) -> NDArray[np.float32]:
    """A mask (height, width) without any flat area: the hard case for kernels that skip such."""
    return np.random.default_rng(seed).random((height, width), dtype=np.float32)


def segment_boxes(frame_size: tuple[int, int], side: int) -> list[Region]:
    """Three boxes of `side` x `side` pixels, as of three faces in a row of a frame (height, width)."""
    height, width = frame_size
    centers = [(width * k // 4, height * (2 + k % 2) // 5) for k in (1, 2, 3)]
    return [(x - side // 2, y - side // 2, x - side // 2 + side, y - side // 2 + side) for x, y in centers]


def grown(box: Region, factor: int) -> Region:
    """A box `factor` times as large around the same center; that it stays in the frame is the caller's care."""
    x1, y1, x2, y2 = box
    x, y = (x2 - x1) * (factor - 1) // 2, (y2 - y1) * (factor - 1) // 2
    return x1 - x, y1 - y, x2 + x, y2 + y


class Untouched(Sampler):
    """A `Sampler` that hands back what it gets: what is left is the detailer's own work."""

    info = ModelInfo(family="untouched")

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        return frames

    def sample(self, latents: torch.Tensor, job: SampleJob) -> torch.Tensor:
        return latents

    def decode(self, latents: torch.Tensor, *, full_precision: bool = False) -> torch.Tensor:
        return latents
