"""Differential diffusion on a graph's model, with this package's own rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from segs_detailer.models.denoise_mask import DifferentialThreshold

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["threshold_for", "with_threshold"]

_OPTION = "denoise_mask_function"


class _Levels:
    """The noise levels of a graph's model, as far as the threshold asks for them."""

    def __init__(self, model_sampling: Any) -> None:
        self._model_sampling = model_sampling
        self.sigma_min = torch.tensor(float(model_sampling.sigma_min))

    def timestep(self, sigma: Tensor) -> Tensor:
        timestep: Tensor = self._model_sampling.timestep(sigma)
        return timestep


def threshold_for(model: Any, sigmas: Tensor) -> DifferentialThreshold:
    """Make the rule by which mask values join the repainting.

    Parameters
    ----------
    model : ModelPatcher
        Whose timesteps measure the progress.
    sigmas : Tensor
        The noise levels of the whole run, on the CPU.

    Returns
    -------
    DifferentialThreshold
        The rule; nothing outside the mask is ever repainted.
    """
    levels: Any = _Levels(model.get_model_object("model_sampling"))
    return DifferentialThreshold(levels, sigmas.cpu())


def with_threshold(model: Any, threshold: DifferentialThreshold | None) -> Any:
    """Put a model under the rule.

    Parameters
    ----------
    model : ModelPatcher
        Not changed.
    threshold : DifferentialThreshold or None
        None for a soft mask.

    Returns
    -------
    ModelPatcher
        A clone over the same weights; `model` itself where there is no rule, or where the graph brought its own.
    """
    if threshold is None or _OPTION in model.model_options:
        return model

    def joined(sigma: Tensor, denoise_mask: Tensor, extra_options: Any) -> Tensor:
        del extra_options  # the stage's own levels; the rule goes by those of the whole run
        return threshold(denoise_mask, sigma.flatten()[0].cpu())

    clone = model.clone()
    clone.set_model_denoise_mask_function(joined)
    return clone
