"""How the noise of a clip's frames is correlated: each its own, one for all, or a part of both."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from segs_detailer._lazy import LazyModule
from segs_detailer.errors import InvalidArgumentError, unknown_name
from segs_detailer.models.noise import SEEDS, seeded_noise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from torch import Tensor

    from segs_detailer.models.info import FramePacking
    from segs_detailer.models.noise import NoiseSampler
else:
    # Settings name a kind of noise long before any is drawn.
    torch = LazyModule("torch")

__all__ = ["NOISES", "FrameNoise", "clip_noise", "step_noise"]

NOISES = ("per-frame", "fixed", "shared")
"""What `FrameNoise.kind` can be."""

_COMMON = 0.5
"""Share of the variance that frames have in common under "shared": the paper's alpha of 1."""

_BLOCK = 16
"""PyTorch draws normal numbers in blocks of so many on the CPU; a draw of another length draws its last block anew."""

_SKIPPED = 1 << 20
"""Numbers that are drawn at once to get past them: 4 MB."""


@dataclass(frozen=True, slots=True)
class FrameNoise:
    """How the noise of a clip's frames is correlated.

    Parameters
    ----------
    kind : {"per-frame", "fixed", "shared"}
        "per-frame": each frame has noise of its own. "fixed": all frames have the noise of one. "shared": the mixed
        noise model of Ge et al. 2023 ("Preserve Your Own Correlation", arXiv 2305.10474): frame i starts from
        `common + own_i` with variances `alpha^2 / (1 + alpha^2)` and `1 / (1 + alpha^2)`, here with alpha 1, so that
        two frames correlate by one half. Noise that is added between steps is correlated alike.
    start : int or None
        Index of the clip's first frame in a longer clip of which it is a piece. Pieces then draw the same noise for the
        same frame, whatever their lengths. None: the clip is whole, and its noise is drawn as ComfyUI draws it; for
        latents of pictures that is also what 0 gives.

    Raises
    ------
    InvalidArgumentError
        Another kind, or a start below 0.
    """

    kind: Literal["per-frame", "fixed", "shared"] = "per-frame"
    start: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in NOISES:
            raise unknown_name("noise", self.kind, NOISES)
        if self.start is not None and self.start < 0:
            raise InvalidArgumentError("noise_start", "an index from 0", str(self.start))

    @property
    def is_plain(self) -> bool:
        """Whether the noise is that of a whole clip without any rule."""
        return self.kind == "per-frame" and self.start is None

    def for_latents(self, packing: FramePacking) -> FrameNoise:
        """Count in latents that hold several frames: pieces must begin where a cycle of the packing does."""
        return self if self.start is None else replace(self, start=packing.latents_before(self.start))


def clip_noise(
    like: Tensor, seed: int, rule: FrameNoise, *, axis: int = 0, order: Sequence[int] | None = None
) -> Tensor:
    """Start noise of a clip.

    Parameters
    ----------
    like : Tensor
        Gives the shape, the dtype and the device.
    seed : int
        Any number; it counts modulo 2^64.
    rule : FrameNoise
        How the noise of the frames is correlated.
    axis : int
        Axis of the frames.
    order : sequence of int or None
        Whose own noise each frame gets, counted as `rule.start` counts; None for its own.

    Returns
    -------
    Tensor
        Normal noise, drawn on the CPU in float32.
    """
    if rule.is_plain:
        noise = seeded_noise(like, seed)
        return noise if order is None else noise.index_select(axis, torch.tensor(order, device=noise.device))
    count, *shape = like.movedim(axis, 0).shape
    first = rule.start or 0
    wanted = range(first, first + count) if order is None else order
    # The frames' own noise is drawn in their order from one seed; what they have in common comes before it.
    common = 0 if rule.kind == "per-frame" else 1
    frames = torch.zeros(count, *shape)
    if rule.kind != "per-frame":
        frames += _weights(rule)[0] * _drawn(shape, seed, range(1))
    if rule.kind != "fixed":
        frames += _weights(rule)[1] * _drawn(shape, seed, [common + frame for frame in wanted])
    return frames.movedim(0, axis).contiguous().to(like.device, like.dtype)


def step_noise(
    make: Callable[[Tensor, int], NoiseSampler], like: Tensor, seed: int, rule: FrameNoise, *, axis: int = 0
) -> NoiseSampler:
    """Noise for the steps of a clip.

    Parameters
    ----------
    make : callable
        `(like, seed) -> NoiseSampler`: makes the noise of anything of some shape.
    like : Tensor
        Gives the shape, the dtype and the device.
    seed : int
        The seed.
    rule : FrameNoise
        How the noise of the frames is correlated.
    axis : int
        Axis of the frames.

    Returns
    -------
    NoiseSampler
        `make`'s own where the rule is plain; else each frame's noise has a seed of its own.
    """
    if rule.is_plain:
        return make(like, seed)
    frame, first = like.narrow(axis, 0, 1), 1 + (rule.start or 0)
    count = like.shape[axis]
    of_all, own_share = _weights(rule)
    common = None if rule.kind == "per-frame" else make(frame, _derived(seed, 0))
    own = [] if rule.kind == "fixed" else [make(frame, _derived(seed, first + index)) for index in range(count)]

    def noise(sigma: Tensor, sigma_next: Tensor) -> Tensor:
        frames = like.new_zeros(like.shape)
        if common is not None:
            frames += of_all * common(sigma, sigma_next)
        if own:
            frames += own_share * torch.cat([sampler(sigma, sigma_next) for sampler in own], dim=axis)
        return frames

    return noise


def _weights(rule: FrameNoise) -> tuple[float, float]:
    """Factors of the common noise and of the frame's own."""
    share = {"per-frame": 0.0, "fixed": 1.0, "shared": _COMMON}[rule.kind]
    return math.sqrt(share), math.sqrt(1 - share)


def _drawn(shape: Sequence[int], seed: int, frames: Sequence[int]) -> Tensor:
    """Draw `(len(frames), *shape)`: those frames of the endless clip whose noise is drawn from a seed."""
    size = math.prod(shape)
    first, last = min(frames), max(frames)
    generator = torch.Generator("cpu").manual_seed(seed % SEEDS)
    # Only whole blocks are skipped and drawn: then each number depends on its place alone.
    begin = first * size // _BLOCK * _BLOCK
    for place in range(0, begin, _SKIPPED):
        torch.randn(min(_SKIPPED, begin - place), generator=generator)
    offset = first * size - begin
    length = offset + (last + 1 - first) * size
    values = torch.randn(-(-length // _BLOCK) * _BLOCK, generator=generator)[offset:length]
    return values.reshape(-1, *shape)[[frame - first for frame in frames]]


def _derived(seed: int, index: int) -> int:
    """Mix a seed and a place to a new seed: the finaliser of SplitMix64 (Steele et al. 2014), whose bits all count."""
    mixed = (seed + (index + 1) * 0x9E3779B97F4A7C15) % SEEDS
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 % SEEDS
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % SEEDS
    return mixed ^ (mixed >> 31)
