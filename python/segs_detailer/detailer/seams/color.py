"""Colors of repainted crops, matched to the frame in the band along the mask's edge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from segs_detailer.ops.morphology import erode

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["REACH", "edge_band", "match_colors"]

_BAND = 1 / 12
"""Width of the band inside the mask's edge, as a share of the crop's shorter side."""

_LEAST_BAND = 4
"""Least width of the band in pixels."""

_SMOOTHING = 2.0
"""Standard deviation of the smoothing over time, in frames."""

REACH = 8
"""Frames to each side that count in a frame's colors: four standard deviations."""

_FEW = 8.0
"""Blocks of the band from which on a frame counts fully; one with fewer counts less."""

_FLATNESS = (2 / 255) ** 2
"""Variance that is added on both sides: two flat surfaces say nothing about the contrast."""

_CONTRAST = 1.25
"""Most by which the contrast is changed, either way: beyond it is another picture, and no longer another exposure."""

_LEAST_SHARE = 0.25
"""Share of the repainting in the band below which it is taken for this much: little of it says little."""

_LEAST_APART = 0.1
"""How much more the band must be repainted than what lies outside, so that the two can be told apart."""

_CLEARLY = 4
"""Power by which pixels count the more for the tint the less they are repainted."""

_LEAST_WEIGHT = 1e-3
"""Weight from which on a block counts."""


@dataclass(frozen=True, slots=True)
class _Statistics:
    """What is measured in each frame: `weights` `(B,)`, the rest `(B, 3)` float64.

    `tints` are what the whole crop lacks, `shifts` what it lacks beside them where it is repainted in full.
    """

    weights: Tensor
    means: Tensor
    tints: Tensor
    shifts: Tensor
    gains: Tensor


def match_colors(
    crops: Tensor,
    surroundings: Tensor,
    pasted: Tensor,
    repainted: Tensor,
    strength: float,
    *,
    shown: Tensor | None = None,
) -> Tensor:
    """Give repainted crops the colors that the frame has along the edge of the mask.

    In the band inside the edge both are compared at the same pixels, channel by channel: the difference of the means,
    and the ratio of the contrasts, as in Reinhard et al. 2001, "Color Transfer between Images". Contrasts are standard
    deviations over blocks as wide as the band, so that fine detail does not count. What the crop differs by where it is
    not repainted is a tint of the whole crop and moves every pixel; the rest moves each as far as it is repainted. All
    that is measured is smoothed over time by a Gaussian of two frames to both sides, so that it neither lags nor
    flickers.

    Parameters
    ----------
    crops : Tensor
        `(B, h, w, 3)` float32 in [0, 1]; changed in place.
    surroundings : Tensor
        `(B, h, w, 3)`: the same regions of the frames.
    pasted : Tensor
        `(1 or B, h, w)`: what is pasted of the crops; along its edge lies the band.
    repainted : Tensor
        `(1 or B, h, w)`: where, and how far, the crops are repainted.
    strength : float
        How far the crops are moved, in [0, 1].
    shown : Tensor or None
        `(B,)` bool: frames in which anything is pasted; None for all.

    Returns
    -------
    Tensor
        `crops`.
    """
    found = _measured(crops, surroundings, pasted, repainted, shown)
    if not bool(found.weights.any()):
        return crops
    near = _smoothing(found.weights)
    smooth = (near @ found.means, near @ found.tints, near @ found.shifts, torch.exp(near @ found.gains.log()))
    for index, crop in enumerate(crops):
        mean, tint, shift, gain = (values[index].to(crop) for values in smooth)
        change = (crop - mean) * (gain - 1) + shift
        change *= _of_frame(repainted, index)[..., None]
        change += tint
        crop.add_(change, alpha=strength).clamp_(0, 1)
    return crops


def edge_band(pasted: Tensor) -> Tensor:
    """Find the band inside the edge of masks; the crop's own border is an edge too where the mask reaches it.

    Parameters
    ----------
    pasted : Tensor
        `(N, h, w)` float32 in [0, 1].

    Returns
    -------
    Tensor
        The same shape: the mask less its inner part.
    """
    height, width = pasted.shape[1:]
    reach = _band_width(height, width)
    framed = torch.nn.functional.pad(pasted, (reach,) * 4)
    inner: Tensor = erode(framed, 2 * reach + 1)
    return pasted - inner[:, reach : reach + height, reach : reach + width]


def _band_width(height: int, width: int) -> int:
    return max(_LEAST_BAND, round(_BAND * min(height, width)))


def _of_frame(masks: Tensor, index: int) -> Tensor:
    return masks[index if len(masks) > 1 else 0]


def _measured(
    crops: Tensor, surroundings: Tensor, pasted: Tensor, repainted: Tensor, shown: Tensor | None
) -> _Statistics:
    band = edge_band(pasted)
    frames = []
    for index, (crop, around) in enumerate(zip(crops, surroundings, strict=True)):
        if shown is not None and not bool(shown[index]):
            frames.append(_nothing())
            continue
        share = _of_frame(repainted, index)
        kept = (1 - share) ** _CLEARLY * (1 - _of_frame(pasted, index))
        frames.append(_frame_statistics(crop, around, share, _of_frame(band, index) * share, kept))
    return _Statistics(*(torch.stack(values) for values in zip(*frames, strict=True)))


def _nothing() -> tuple[Tensor, ...]:
    zeros = torch.zeros(3, dtype=torch.float64)
    return torch.zeros((), dtype=torch.float64), zeros, zeros, zeros, torch.ones(3, dtype=torch.float64)


def _frame_statistics(crop: Tensor, around: Tensor, share: Tensor, seam: Tensor, kept: Tensor) -> tuple[Tensor, ...]:
    """Measure one frame: the fields of `_Statistics`, on the CPU.

    `seam` and `kept` weigh the pixels along the edge and those that are not repainted.
    """
    side = _band_width(*share.shape)
    layers = torch.cat([torch.ones_like(share)[None], share[None], crop.movedim(-1, 0), around.movedim(-1, 0)])
    # One pooling for the weights, the share of the repainting, the crop and its surroundings.
    pooled = torch.nn.functional.avg_pool2d(layers * seam, side, ceil_mode=True, count_include_pad=False)
    sums = pooled.flatten(1).to("cpu", torch.float64)
    held = sums[0] > _LEAST_WEIGHT
    blocks, weight = sums[1:, held] / sums[0, held], sums[0, held]
    if not len(weight):
        return _nothing()
    total = weight.sum()
    means = (blocks * weight).sum(dim=1) / total
    spread = ((blocks - means[:, None]).square() * weight).sum(dim=1) / total + _FLATNESS
    gain = (spread[4:] / spread[1:4]).sqrt().clamp(1 / _CONTRAST, _CONTRAST)
    outside = (layers * kept).flatten(1).sum(dim=1).to("cpu", torch.float64)
    tint, shift = _parted(means, outside, _FEW * side * side)
    return (total / _FEW).clamp(max=1), means[1:4], tint, shift, gain


def _parted(seam: Tensor, outside: Tensor, least: float) -> tuple[Tensor, Tensor]:
    """Part the difference along the edge into a tint of the whole crop and what the repainting shifts.

    Both places show `tint + share * shift`, with shares of their own.
    """
    difference, share = seam[4:] - seam[1:4], seam[0]
    if outside[0] >= least:
        apart, rest = (outside[5:] - outside[2:5]) / outside[0], outside[1] / outside[0]
        if share - rest >= _LEAST_APART:
            shift = (difference - apart) / (share - rest)
            return apart - rest * shift, shift
    return torch.zeros_like(difference), difference / share.clamp(min=_LEAST_SHARE)


def _smoothing(weights: Tensor) -> Tensor:
    """Weights `(B, B)` of the frames around each frame; rows sum to 1."""
    frames = torch.arange(len(weights), dtype=torch.float64)
    distances = (frames[:, None] - frames).abs().masked_fill(weights[None] == 0, torch.inf)
    # Measured from the nearest frame that counts, so that no row of far ones vanishes.
    nearest = distances.amin(dim=1, keepdim=True)
    exponents = (nearest.square() - distances.square()) / (2 * _SMOOTHING**2)
    near = torch.exp(exponents) * weights * (distances <= nearest.clamp(min=REACH))
    return near / near.sum(dim=1, keepdim=True)
