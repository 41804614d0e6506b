"""Repainting under a mask: the denoiser sees pinned latents outside, and predicts them there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from segs_detailer.errors import InvalidArgumentError

if TYPE_CHECKING:
    from segs_detailer.models.denoiser import Denoiser
    from segs_detailer.models.info import FramePacking
    from segs_detailer.models.sigma_table import SigmaTable

__all__ = [
    "CleanMaskedDenoiser",
    "DifferentialThreshold",
    "FrameStarts",
    "MaskAt",
    "MaskedDenoiser",
    "clip_mask",
    "latent_mask",
    "token_mask",
]

MaskAt: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""`(mask, sigma) -> mask`: what of a mask is repainted at a noise level."""


def latent_mask(mask: Tensor, latents: Tensor, argument: str = "noise_mask") -> Tensor:
    """Bring a mask to the latents' size and frames.

    Parameters
    ----------
    mask : Tensor
        `(H, W)`, or `(1 or F, H, W)`, in [0, 1].
    latents : Tensor
        `(F, C, h, w)`.
    argument : str
        The mask's name, for errors.

    Returns
    -------
    Tensor
        `(1 or F, 1, h, w)` of the latents' dtype and device, resized bilinearly with half-pixel centers.
    """
    return _small_masks(mask, latents, len(latents), argument).to(latents.dtype)


def clip_mask(mask: Tensor, latents: Tensor, packing: FramePacking, argument: str = "noise_mask") -> Tensor:
    """Bring a mask to the size and the frames of packed latents.

    A latent is repainted as far as any of the frames that it holds is.

    Parameters
    ----------
    mask : Tensor
        `(H, W)`, or `(1 or F, H, W)`, in [0, 1].
    latents : Tensor
        `(1, C, T, h, w)`.
    packing : FramePacking
        How many frames each of the T latents holds; F is their sum.
    argument : str
        The mask's name, for errors.

    Returns
    -------
    Tensor
        `(1, 1, 1 or T, h, w)` of the latents' dtype and device, resized bilinearly with half-pixel centers.
    """
    counts = packing.counts(latents.shape[2])
    stack = _small_masks(mask, latents, sum(counts), argument)
    if len(stack) > 1:
        stack = torch.stack([group.amax(dim=0) for group in torch.split(stack, list(counts))])
    return stack.movedim(0, 1)[None].to(latents.dtype)


def token_mask(mask: Tensor, frames: int, token: tuple[int, int, int]) -> Tensor:
    """Make a mask the same throughout each token: the maximum over it.

    Parameters
    ----------
    mask : Tensor
        `(1, 1, 1 or T, h, w)`.
    frames : int
        T.
    token : (int, int, int)
        Latents in a token, along T, h and w.

    Returns
    -------
    Tensor
        `(1, 1, T, h, w)`.
    """
    pooled = torch.nn.functional.max_pool3d(mask.expand(-1, -1, frames, -1, -1), token)
    for axis, side in zip((2, 3, 4), token, strict=True):
        pooled = pooled.repeat_interleave(side, axis)
    return pooled


def _small_masks(mask: Tensor, latents: Tensor, frames: int, argument: str) -> Tensor:
    """Bring masks of one or all frames to the latents' size: `(1 or frames, 1, h, w)` float32."""
    stack = mask[None] if mask.ndim == 2 else mask
    if stack.ndim != 3 or len(stack) not in (1, frames):
        expected = f"(H, W), (1, H, W) or ({frames}, H, W)"
        raise InvalidArgumentError(argument, expected, f"shape {tuple(mask.shape)}")
    stack = stack[:, None].to(latents.device, torch.float32)
    if stack.shape[-2:] != latents.shape[-2:]:
        stack = torch.nn.functional.interpolate(stack, size=latents.shape[-2:], mode="bilinear", align_corners=False)
    return stack


class DifferentialThreshold:
    """Differential diffusion (Levin and Fried 2023): each value of the mask joins at its own noise level.

    Parameters
    ----------
    table : SigmaTable
        Turns noise levels into timesteps, which measure the progress.
    sigmas : Tensor
        The noise levels of the run; their first and their last positive one are the progress's ends.
    strict : bool
        Never release where the mask is 0. ComfyUI's own rule (`False`) compares `mask >= 0` at the last level and so
        repaints everything there once.
    starts : Tensor or None
        Noise levels from which single latents are repainted, of a shape that fits the mask's: there, its 1 stands for
        that level. None: for the run's first.
    """

    def __init__(self, table: SigmaTable, sigmas: Tensor, *, strict: bool = True, starts: Tensor | None = None) -> None:
        self._table = table
        self._strict = strict
        self._start = float(table.timestep(sigmas[0]))
        self._end = float(table.timestep(torch.maximum(sigmas[-1], table.sigma_min)))
        self._shares = None if starts is None else self._progress(starts.flatten()).view(starts.shape).clamp(0, 1)

    def __call__(self, mask: Tensor, sigma: Tensor) -> Tensor:
        """Give the mask, as 0 and 1, that is repainted at `sigma`."""
        reached = mask if self._shares is None else mask * self._shares.to(mask.device, mask.dtype)
        released = reached >= float(self._progress(sigma))
        if self._strict:
            released &= mask > 0
        return released.to(mask.dtype)

    def _progress(self, sigmas: Tensor) -> Tensor:
        """Share of the run that is left at some noise levels."""
        span = self._start - self._end
        left = self._table.timestep(sigmas).double() - self._end
        return left / span if span else torch.zeros_like(left)


class FrameStarts:
    """Latents that are repainted from different noise levels on, under a mask that holds all the time.

    Parameters
    ----------
    starts : Tensor
        Noise levels, of a shape that fits the mask's.
    """

    def __init__(self, starts: Tensor) -> None:
        self._starts = starts

    def __call__(self, mask: Tensor, sigma: Tensor) -> Tensor:
        """Give the mask that is repainted at `sigma`."""
        # A level and itself may differ by their last bit, made in two schedules.
        return mask * (self._starts * (1 + 1e-6) >= float(sigma)).to(mask.device, mask.dtype)


class MaskedDenoiser:
    """A denoiser that repaints inside a mask and knows the answer outside.

    Parameters
    ----------
    denoiser : Denoiser
        The model after guidance.
    mask : Tensor
        `(1 or F, 1, h, w)` in [0, 1]: 1 is repainted.
    source : Tensor
        `(F, C, h, w)`: the clean latents that stay outside.
    noise : Tensor
        Noise of standard deviation 1 that the model sees on them.
    threshold : callable or None
        `(mask, sigma) -> mask`: what is repainted at a noise level, as differential diffusion says. None: all of it.
    noised : callable or None
        `(source, noise, sigma) -> Tensor`: what the model sees outside; `None`: `source + sigma * noise`.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        mask: Tensor,
        source: Tensor,
        noise: Tensor,
        threshold: MaskAt | None = None,
        noised: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        self._noised = noised
        self._denoiser = denoiser
        self._mask = mask
        self._source = source
        self._noise = noise
        self._threshold = threshold

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Predict x0: inside the mask the model's, outside the source."""
        mask = self._mask_at(sigma)
        return _blend(self._denoiser(self._seen(x, mask, sigma), sigma), self._source, mask)

    def with_unconditional(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Predict x0, guided and negative; only the first is pinned, as the second is but a direction."""
        mask = self._mask_at(sigma)
        guided, negative = self._denoiser.with_unconditional(self._seen(x, mask, sigma), sigma)
        return _blend(guided, self._source, mask), negative

    def _mask_at(self, sigma: Tensor) -> Tensor:
        return self._mask if self._threshold is None else self._threshold(self._mask, sigma)

    def _seen(self, x: Tensor, mask: Tensor, sigma: Tensor) -> Tensor:
        if self._noised is None:
            return _blend(x, self._source + sigma * self._noise, mask)
        return _blend(x, self._noised(self._source, self._noise, sigma), mask)


class CleanMaskedDenoiser:
    """A denoiser that repaints inside a mask, and sees clean what it knows outside.

    Parameters
    ----------
    denoiser : Denoiser
        The model after guidance, which takes a noise level for each latent.
    mask : Tensor
        `(1, 1, 1 or T, h, w)` in [0, 1]: 1 is repainted.
    source : Tensor
        `(1, C, T, h, w)`: the clean latents that stay outside.
    token : (int, int, int)
        Latents in a token, along T, h and w. A token of which any latent is repainted is noisy as a whole.
    threshold : DifferentialThreshold or None
        Differential diffusion.

    Notes
    -----
    Of a flow, latents at the noise level `s` that are mixed with clean ones by a soft mask `m` are at the level `s m`,
    which is the one that the model is told.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        mask: Tensor,
        source: Tensor,
        token: tuple[int, int, int],
        threshold: MaskAt | None = None,
    ) -> None:
        self._denoiser = denoiser
        self._mask = mask
        self._source = source
        self._token = token
        self._threshold = threshold

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Predict x0: inside the mask the model's, outside the source."""
        mask = self._mask_at(sigma)
        return _blend(self._denoiser(*self._seen(x, mask, sigma)), self._source, mask)

    def with_unconditional(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Predict x0, guided and negative; only the first is pinned, as the second is but a direction."""
        mask = self._mask_at(sigma)
        guided, negative = self._denoiser.with_unconditional(*self._seen(x, mask, sigma))
        return _blend(guided, self._source, mask), negative

    def _mask_at(self, sigma: Tensor) -> Tensor:
        return self._mask if self._threshold is None else self._threshold(self._mask, sigma)

    def _seen(self, x: Tensor, mask: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the model sees, and at which noise levels."""
        noisy = token_mask(mask, self._source.shape[2], self._token)
        return _blend(x, self._source, noisy), sigma.to(noisy.device) * noisy


def _blend(inside: Tensor, outside: Tensor, mask: Tensor) -> Tensor:
    return inside * mask + outside * (1 - mask)
