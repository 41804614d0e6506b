"""Small pictures of latents, while a model is at work on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from segs_detailer.errors import InvalidArgumentError
from segs_detailer.models.latent_layout import frame_latents, latent_of_frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from segs_detailer.models.info import FramePacking

__all__ = ["LatentPreview"]

_FITTED_FRAMES = 8
"""Latent frames that the fit looks at, spread over the clip: three numbers for each of a few channels need no more."""

_RIDGE = 1e-4
"""Share of the channels' mean energy that is added to each: channels that say the same have one solution then."""


@dataclass(frozen=True, slots=True)
class LatentPreview:
    """A linear map from latents to colors, one pixel for each latent.

    A VAE's latents are nearly a linear image of the picture at their own size. `fit` finds that map by least squares on
    the very frames at hand, so it needs no table and works for every VAE.

    Parameters
    ----------
    weights : Tensor
        `(C, 3)` float32.
    bias : Tensor
        `(3,)` float32.
    frames_shape : tuple of int
        `(F, H, W)` of the frames that the latents stand for.
    packing : FramePacking or None
        How many frames each latent holds; None: what the shape tells.
    """

    weights: Tensor
    bias: Tensor
    frames_shape: tuple[int, int, int]
    packing: FramePacking | None = None

    @classmethod
    def fit(cls, latents: Tensor, pixels: Tensor, packing: FramePacking | None = None) -> LatentPreview:
        """Fit the map to frames and their latents.

        Parameters
        ----------
        latents : Tensor
            `(F, C, h, w)`, `(F, h, w, C)` or `(1, C, T, h, w)`, in the space of what is to be shown.
        pixels : Tensor
            The frames that were encoded, `(F, H, W, 3)` in [0, 1].
        packing : FramePacking or None
            How many frames each latent holds; None: what the shape tells.

        Raises
        ------
        InvalidArgumentError
            The latents do not lie over the frames in one of these ways.
        """
        shape = (int(pixels.shape[0]), int(pixels.shape[1]), int(pixels.shape[2]))
        stack = _checked(latents, shape, packing)
        chosen = sorted({round(index) for index in np.linspace(0, len(stack) - 1, min(len(stack), _FITTED_FRAMES))})
        holders = latent_of_frames(len(stack), len(pixels), packing)
        colors = [_shrunk(pixels[[f for f, held in enumerate(holders) if held == t]], stack) for t in chosen]
        features = stack[chosen].movedim(1, -1).flatten(0, 2).double().cpu()
        targets = torch.stack(colors).flatten(0, 2).double().cpu()
        means = (features.mean(0), targets.mean(0))
        centered = features - means[0]
        energy = centered.T @ centered
        energy += torch.eye(len(energy), dtype=energy.dtype) * (_RIDGE * energy.trace() / len(energy) + 1e-12)
        weights = torch.linalg.solve(energy, centered.T @ (targets - means[1]))
        return cls(weights.float(), (means[1] - means[0] @ weights).float(), shape, packing)

    @classmethod
    @torch.no_grad()
    def fit_or_none(
        cls, latents: Tensor, pixels: Tensor, packing: FramePacking | None
    ) -> Callable[[Tensor], NDArray[np.uint8] | None] | None:
        """Fit the map, where the layout of the latents tells how they lie over the frames; what shows them then."""
        if frame_latents(latents, pixels.shape, packing) is None:
            return None
        return cls.fit(latents, pixels, packing).show

    def show(self, latents: Tensor) -> NDArray[np.uint8] | None:
        """Show latents, or nothing where they are of another layout than those that the map was fitted to."""
        # A hook may have put latents of another shape in the place of those that were encoded.
        return None if frame_latents(latents, self.frames_shape, self.packing) is None else self(latents)

    @torch.no_grad()
    def __call__(self, latents: Tensor) -> NDArray[np.uint8]:
        """Show latents of the shape and space that the map was fitted to.

        Returns
        -------
        ndarray
            `(F, h, w, 3)` uint8, one picture for each frame; values that are not finite are black.
        """
        stack = _checked(latents, self.frames_shape, self.packing)
        colors = torch.einsum("tchw,cd->thwd", stack.float(), self.weights.to(stack.device))
        colors = (colors + self.bias.to(stack.device)).clamp_(0, 1).mul_(255).round_().nan_to_num_(nan=0.0)
        pictures: NDArray[np.uint8] = colors.to("cpu", torch.uint8).numpy()
        if len(pictures) == self.frames_shape[0]:
            return pictures
        return pictures[latent_of_frames(len(pictures), self.frames_shape[0], self.packing)]


def _checked(latents: Tensor, frames_shape: tuple[int, int, int], packing: FramePacking | None) -> Tensor:
    stack = frame_latents(latents, frames_shape, packing)
    if stack is None:
        frames, height, width = frames_shape
        expected = f"(F, C, h, w), (F, h, w, C) or (1, C, T, h, w) over {frames} frames of {width} x {height}"
        raise InvalidArgumentError("latents", expected, f"shape {tuple(latents.shape)}")
    return stack


def _shrunk(pixels: Tensor, like: Tensor) -> Tensor:
    """Average frames, and bring them to the latents' size: `(h, w, 3)`."""
    mean = pixels.mean(dim=0, dtype=torch.float32).movedim(-1, 0)
    return torch.nn.functional.adaptive_avg_pool2d(mean, (like.shape[2], like.shape[3])).movedim(0, -1)
