"""Classifier-free guidance over averaged conditionings: a `Denoiser` from a model and prompts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segs_detailer.models.sd.conditioning import PreparedEntry
    from segs_detailer.models.sd.network import DiffusersModel

__all__ = ["GuidedDenoiser"]


class GuidedDenoiser:
    """A model under its prompts.

    Parameters
    ----------
    model : DiffusersModel
        The model.
    positive, negative : sequence of PreparedEntry
        The conditionings.
    cfg : float
        Guidance scale (Ho and Salimans 2022); at 1 the negative prompt is not evaluated.
    concat : Tensor or None
        Further input channels of an inpainting model.
    sigmas : Tensor
        The noise levels of the run, which tell the step from a level.
    clips : int
        Clips of equal length in the latents.
    """

    def __init__(
        self,
        model: DiffusersModel,
        positive: Sequence[PreparedEntry],
        negative: Sequence[PreparedEntry],
        cfg: float,
        concat: Tensor | None,
        sigmas: Tensor,
        clips: int = 1,
    ) -> None:
        self._model = model
        self._positive = list(positive)
        self._negative = list(negative)
        self._cfg = cfg
        self._concat = concat
        self._sigmas = sigmas
        self._clips = clips

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Predict x0 under guidance."""
        if math.isclose(self._cfg, 1.0):
            return self._predict(x, sigma, [self._positive])[0]
        return self.with_unconditional(x, sigma)[0]

    def with_unconditional(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Predict x0, guided and negative, both from one batch."""
        positive, negative = self._predict(x, sigma, [self._positive, self._negative])
        return negative + (positive - negative) * self._cfg, negative

    def _predict(self, x: Tensor, sigma: Tensor, sides: list[list[PreparedEntry]]) -> list[Tensor]:
        level = float(sigma)
        active = [[entry for entry in side if entry.active(level)] for side in sides]
        # Levels between two steps belong to the earlier one.
        step = max(int((self._sigmas >= sigma).sum()) - 1, 0)
        entries = [entry for side in active for entry in side]
        # A refiner may live on another device than the base model, whose latents these are.
        local = x.to(self._model.device)
        outputs = self._model.predict(local, sigma, entries, self._concat, step, self._clips)
        averages = []
        for side in active:
            averages.append(_average(side, outputs[: len(side)], local).to(x.device))
            outputs = outputs[len(side) :]
        return averages


def _average(entries: list[PreparedEntry], outputs: list[Tensor], x: Tensor) -> Tensor:
    """Average by mask and strength; where no entry has weight the prediction is 0, as in ComfyUI."""
    if len(entries) == 1 and not isinstance(entries[0].weight, Tensor) and entries[0].weight > 0:
        return outputs[0]
    total = torch.zeros_like(x)
    weights = torch.full_like(x, 1e-37)  # keeps 0 / 0 at 0
    for entry, output in zip(entries, outputs, strict=True):
        total += output * entry.weight
        weights += entry.weight
    return total / weights
