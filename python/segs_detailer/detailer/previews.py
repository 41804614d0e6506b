"""Previews of a segment while it is sampled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from segs_detailer.models.interface import Preview, Sampler

__all__ = ["DeferredPreview"]


class DeferredPreview:
    """What a sampler shows of its predictions, made when it is first asked for.

    Parameters
    ----------
    sampler : Sampler
        Whose latents they are.
    latents : Tensor
        What it encoded.
    pixels : Tensor
        What from, `(F, H, W, 3)` in [0, 1]. Both are let go with the first preview.
    frames : int
        Show only so many frames: those after them were added to suit the sampler.
    """

    def __init__(self, sampler: Sampler, latents: Tensor, pixels: Tensor, frames: int) -> None:
        self._source: tuple[Sampler, Tensor, Tensor] | None = (sampler, latents, pixels)
        self._frames = frames
        self._shown_by: Preview | None = None

    @torch.no_grad()
    def __call__(self, x0: Tensor) -> NDArray[np.uint8] | None:
        """Show a prediction.

        Parameters
        ----------
        x0 : Tensor
            Latents as a callback got them.

        Returns
        -------
        ndarray or None
            `(frames, h, w, 3)` uint8; None where the sampler cannot show its latents.
        """
        if self._source is not None:
            sampler, latents, pixels = self._source
            self._shown_by, self._source = sampler.preview(latents, pixels), None
        pictures = None if self._shown_by is None else self._shown_by(x0)
        return None if pictures is None else pictures[: self._frames]
