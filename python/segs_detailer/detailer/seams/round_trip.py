"""What a VAE alone changes: the error of encoding and decoding without sampling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from segs_detailer.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

    from segs_detailer.models.interface import Sampler

__all__ = ["round_trip_error"]


def round_trip_error(sampler: Sampler, pixels: Tensor, latents: Tensor, mask: Tensor | None) -> Tensor | None:
    """Measure what encoding and decoding lose where nothing is repainted.

    Added to the repainted crops, it gives back what the VAE took: all of it where the noise mask is 0, none in the
    mask's core, where another picture is, and a part in between.

    Parameters
    ----------
    sampler : Sampler
        The model.
    pixels : Tensor
        `(F, H, W, 3)`: what was encoded.
    latents : Tensor
        What it was encoded to.
    mask : Tensor or None
        `(1 or F, H, W)` in [0, 1]: the noise mask; None for everywhere.

    Returns
    -------
    Tensor or None
        `(F, H, W, 3)` on the device of `pixels`. None where everything is repainted, and where decoding gives values
        that are not finite even in float32.

    Raises
    ------
    ModelError
        The model decodes to another size.
    """
    if mask is None or bool((mask >= 1).all()):
        return None
    decoded = _decoded(sampler, pixels, latents, full_precision=False)
    if not bool(torch.isfinite(decoded).all()):
        decoded = _decoded(sampler, pixels, latents, full_precision=True)
        if not bool(torch.isfinite(decoded).all()):
            return None
    error = pixels - decoded.to(pixels)
    return error.mul_((1 - mask.to(pixels).clamp(0, 1))[..., None])


def _decoded(sampler: Sampler, pixels: Tensor, latents: Tensor, *, full_precision: bool) -> Tensor:
    decoded = sampler.decode(latents, full_precision=full_precision)
    if tuple(decoded.shape[1:]) != tuple(pixels.shape[1:]) or len(decoded) < len(pixels):
        expected = tuple(pixels.shape)
        raise ModelError(f"vae_correction: the model decoded to shape {tuple(decoded.shape)}, not to {expected}")
    return decoded[: len(pixels)]
