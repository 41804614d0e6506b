"""What a sampler asks of a model: the clean latents that it predicts from noisy ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Denoiser"]


class Denoiser(Protocol):
    """A model after guidance, in the variance-exploding form: `x = x0 + sigma * noise`."""

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Predict the clean latents.

        Parameters
        ----------
        x : Tensor
            Noisy latents `(F, C, h, w)`, float32.
        sigma : Tensor
            Noise level of `x`: one float32 number, on the CPU. To a model that sees clean what it knows, also one for
            each latent, `(1, 1, T, h, w)`.

        Returns
        -------
        Tensor
            Prediction of x0, of the shape, dtype and device of `x`.
        """
        ...

    def with_unconditional(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Predict the clean latents, and what the negative prompt alone predicts.

        Samplers of the CFG++ kind need both, also where the guidance scale is 1.

        Returns
        -------
        tuple of Tensor
            The guided prediction of x0 and the negative prompt's prediction.
        """
        ...
