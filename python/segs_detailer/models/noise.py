"""Noise: the start's, that of ancestral steps, and Brownian paths."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, TypeAlias

from segs_detailer._lazy import LazyModule
from segs_detailer.errors import MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")

__all__ = [
    "SEEDS",
    "NoiseSampler",
    "brownian_noise",
    "free_noise",
    "free_noise_order",
    "gaussian_noise",
    "seeded_noise",
]

NoiseSampler: TypeAlias = "Callable[[Tensor, Tensor], Tensor]"
"""`(sigma, sigma_next) -> noise` of standard deviation 1 for the step between two noise levels."""

SEEDS = 2**64
"""Number of seeds that a generator tells apart."""


def seeded_noise(like: Tensor, seed: int) -> Tensor:
    """Noise of a seed, the same on every device.

    Parameters
    ----------
    like : Tensor
        Gives the shape, the dtype and the device.
    seed : int
        Any number; it counts modulo 2^64.

    Returns
    -------
    Tensor
        Normal noise, drawn on the CPU in float32.
    """
    generator = torch.Generator("cpu").manual_seed(seed % SEEDS)
    return torch.randn(like.shape, generator=generator, dtype=torch.float32).to(like.device, like.dtype)


def free_noise(noise: Tensor, length: int, overlap: int, seed: int) -> Tensor:
    """Start noise of a long clip whose frames after the first window repeat earlier ones in another order.

    FreeNoise, Qiu et al. 2023, arXiv 2310.15169, section 3.3 (noise rescheduling): windows that see the same noise in
    a new order agree on the content, where independent noise makes it change from window to window. Each
    `length - overlap` new frames are a random permutation of as many frames, those `length` before them. The paper's
    second part, the fusion of windows by weights, is `ContextWindows(weights="pyramid")`.

    Parameters
    ----------
    noise : Tensor
        `(F, C, h, w)`: independent noise, of which the first `length` frames are kept.
    length, overlap : int
        Frames of a window, and those that neighbors share.
    seed : int
        Seed of the permutations.

    Returns
    -------
    Tensor
        Noise of the same shape; `noise` itself where it is no longer than a window.
    """
    if len(noise) <= length:
        return noise
    return noise[free_noise_order(len(noise), length, overlap, seed)]


def free_noise_order(frames: int, length: int, overlap: int, seed: int) -> list[int]:
    """Whose noise each frame of a long clip repeats, see `free_noise`.

    Parameters
    ----------
    frames : int
        Frames of the clip.
    length, overlap, seed : int
        See `free_noise`.

    Returns
    -------
    list of int
        One for each frame: frames of the first window. Longer clips begin with the list of shorter ones.
    """
    hop = length - overlap
    generator = torch.Generator("cpu").manual_seed(seed % SEEDS)
    order = list(range(length))
    while len(order) < frames:
        start = len(order) - length
        order += [start + place for place in torch.randperm(hop, generator=generator).tolist()]
    # Indices point at frames of the new clip; those past its first window are permutations themselves.
    sources: list[int] = []
    for place, frame in enumerate(order[:frames]):
        sources.append(frame if place < length else sources[frame])
    return sources


def gaussian_noise(like: Tensor, seed: int) -> NoiseSampler:
    """Fresh noise for each step, from a generator of that seed on the latents' own device, as ComfyUI draws it."""
    generator = torch.Generator(like.device).manual_seed(seed % SEEDS)

    def noise(sigma: Tensor, sigma_next: Tensor) -> Tensor:  # noqa: ARG001 - white noise has no time
        return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)

    return noise


def brownian_noise(like: Tensor, seed: int, sigma_min: Tensor, sigma_max: Tensor, *, on_cpu: bool) -> NoiseSampler:
    """Increments of one Brownian path, so that the noise does not depend on how the steps divide it.

    Parameters
    ----------
    like : Tensor
        Gives the shape, the dtype and the device.
    seed : int
        Seed of the path.
    sigma_min, sigma_max : Tensor
        Ends of the path.
    on_cpu : bool
        Draw on the CPU, the same on every device; else on the latents' device.

    Raises
    ------
    MissingDependencyError
        torchsde is not installed.
    """
    try:
        from torchsde import BrownianTree
    except ImportError as error:
        raise MissingDependencyError("torchsde", "diffusers") from error
    device = torch.device("cpu") if on_cpu else like.device
    zero = torch.zeros(like.shape, dtype=like.dtype, device=device)
    tree: Any = BrownianTree(sigma_min.cpu(), zero, sigma_max.cpu(), entropy=seed % SEEDS)

    def noise(sigma: Tensor, sigma_next: Tensor) -> Tensor:
        low, high = torch.minimum(sigma, sigma_next), torch.maximum(sigma, sigma_next)
        with warnings.catch_warnings():
            # torchsde rounds its ends to six digits, moves times outside them onto them, and warns of it.
            warnings.filterwarnings("ignore", message="Should have t", category=UserWarning)
            increment: Tensor = tree(low, high)
        if sigma_next < sigma:
            increment = -increment
        return (increment / (sigma_next - sigma).abs().sqrt()).to(like.device)

    return noise
