"""Decoding a segment's crops, and what can be wrong with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from segs_detailer.errors import ModelError
from segs_detailer.models.latent_layout import frame_latents, latent_of_frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from segs_detailer.detailer.hooks import HookCalls, Latent
    from segs_detailer.models.info import FramePacking
    from segs_detailer.models.interface import Sampler

__all__ = ["CropTexture", "Fault", "decode_crops"]

_TEXTURED = 0.02
"""Standard deviation from which on a crop is said to have texture: five 8-bit steps."""

_FLAT = 0.5 / 255
"""Standard deviation below which a decoded crop is one color: half an 8-bit step."""

_KEPT = 0.25
"""Share of the latents' standard deviation that a sampler keeps unless it painted one color itself."""

_GRID = 64
"""Rows and columns, at most, of the grid of pixels that is looked at: a collapsed crop is flat there too."""

_FEWEST = 2
"""Repainted pixels of the grid without which a crop says nothing."""

_BLOCK = 16
"""Pictures that are looked at at once."""

_GOLDEN = 0.6180339887498949

_REPAINTED = 0.5
"""Noise mask above which a pixel counts as repainted."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why crops cannot be used.

    Parameters
    ----------
    reason : str
        The end of a sentence about the segment.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class CropTexture:
    """What is kept of a segment's crops to tell a decoder that fails from a sampler that paints one color.

    A decoder of half precision that overflows gives frames of one color, black or gray as a rule. So does a sampler
    that was asked for one. They differ in the latents: those of a failed decoder still vary over the picture.

    Parameters
    ----------
    shape : tuple of int
        `(F, H, W)` of what was encoded.
    count : int
        Frames that count; those after them were added to suit the model.
    repainted : Tensor or None
        `(1 or count, rows, columns)` bool over the grid: where the noise mask is above one half; None for everywhere.
    pixels : Tensor
        `(count,)` standard deviation of each crop over the repainted part of the grid.
    latents : Tensor
        `(count,)` likewise of their latents; of all their numbers where only the sampler can read their layout.
    packing : FramePacking or None
        How many frames each latent holds; None: what their shape tells.
    """

    shape: tuple[int, int, int]
    count: int
    repainted: Tensor | None
    pixels: Tensor
    latents: Tensor
    packing: FramePacking | None = None

    @classmethod
    def of(
        cls,
        pixels: Tensor,
        latents: Tensor,
        noise_mask: Tensor | None,
        count: int,
        packing: FramePacking | None = None,
    ) -> CropTexture:
        """Measure crops before they are repainted.

        Parameters
        ----------
        pixels : Tensor
            `(F, H, W, 3)`: what was encoded.
        latents : Tensor
            What it was encoded to.
        noise_mask : Tensor or None
            `(1 or F, H, W)` in [0, 1].
        count : int
            Frames that count.
        packing : FramePacking or None
            How many frames each latent holds; None: what their shape tells.
        """
        shape = (int(pixels.shape[0]), int(pixels.shape[1]), int(pixels.shape[2]))
        repainted = None
        if noise_mask is not None:
            rows, columns = (min(side, _GRID) for side in shape[1:])
            repainted = _sampled(noise_mask[:count, ..., None], rows, columns)[..., 0] > _REPAINTED
        texture = _deviations(pixels[:count], repainted)
        held = _latent_deviations(latents, shape, count, repainted, packing)
        return cls(shape, count, repainted, texture, held, packing)

    def fault(self, crops: Tensor, latents: Tensor, *, is_finite: bool = False) -> str | None:
        """Find out what is wrong with decoded crops.

        Parameters
        ----------
        crops : Tensor
            `(count, H, W, 3)`.
        latents : Tensor
            What they were decoded from.
        is_finite : bool
            Whether all values of the crops are known to be finite: they are not looked at for that.

        Returns
        -------
        str or None
            The end of a sentence, with the frames; None where nothing is wrong.
        """
        broken = [] if is_finite else [index for index, crop in enumerate(crops) if not _is_finite(crop)]
        if broken:
            return f"decoding gave values that are not finite ({_frames(broken, self.count)})"
        flat = (_deviations(crops, self.repainted) < _FLAT) & (self.pixels >= _TEXTURED)
        if bool(flat.any()):
            flat &= self._kept(latents)
        collapsed: list[int] = flat.nonzero().flatten().tolist()
        if collapsed:
            return f"decoding gave one flat color for textured crops ({_frames(collapsed, self.count)})"
        return None

    def _kept(self, latents: Tensor) -> Tensor:
        """Frames whose latents still vary, `(count,)`."""
        now = _latent_deviations(latents, self.shape, self.count, self.repainted, self.packing)
        return (self.latents > 0) & (now >= _KEPT * self.latents)


def decode_crops(
    sampler: Sampler, hook: HookCalls, latent: Latent, texture: CropTexture, correction: Tensor | None = None
) -> Tensor | Fault:
    """Decode a segment's latents; with the VAE in float32 where something is wrong with the first result.

    Parameters
    ----------
    sampler : Sampler
        The model.
    hook : HookCalls
        The caller's hook.
    latent : dict
        `{"samples": latents, ...}` from the sampler.
    texture : CropTexture
        What the crops were before.
    correction : Tensor or None
        `(F, H, W, 3)` that is added to what was decoded, before the hook sees it.

    Returns
    -------
    Tensor or Fault
        `(count, H, W, 3)`, or why there is nothing to use.

    Raises
    ------
    ModelError
        The model decoded to another shape.
    """
    latents = hook.latent("pre_decode", latent)["samples"]
    if not _is_finite(latents):
        return Fault("sampling gave values that are not finite")
    before = _written(latents)
    crops = _decoded(sampler, latents, texture.count, full_precision=False)
    # A model on pixels hands its latents through, which were looked at just now.
    is_finite = _is_part(crops, latents) and before is not None and _written(latents) == before
    fault = texture.fault(crops, latents, is_finite=is_finite)
    if fault is not None:
        del crops
        crops = _decoded(sampler, latents, texture.count, full_precision=True)
        fault = texture.fault(crops, latents)
    if fault is not None:
        return Fault(f"{fault}, in full precision too")
    if correction is not None:
        crops = (crops + correction[: texture.count].to(crops)).clamp_(0, 1)
    if not hook.defines("post_decode"):
        return crops
    crops = hook.decoded(crops)
    if not _is_finite(crops):
        return Fault("detailer_hook.post_decode returned values that are not finite")
    return crops


def _decoded(sampler: Sampler, latents: Tensor, count: int, *, full_precision: bool) -> Tensor:
    pixels = sampler.decode(latents, full_precision=full_precision)
    if pixels.ndim != 4 or pixels.shape[0] < count or pixels.shape[3] != 3:
        raise ModelError(f"the model decoded to shape {tuple(pixels.shape)} where ({count}, H, W, 3) was expected")
    return pixels[:count]


def _written(values: Tensor) -> int | None:
    """Count how often a tensor was written to; None where torch does not count."""
    return None if values.is_inference() else values._version


def _is_part(crops: Tensor, latents: Tensor) -> bool:
    """Whether crops are latents, or the first of them, in the same memory."""
    return (
        crops.data_ptr() == latents.data_ptr()
        and crops.dtype == latents.dtype
        and crops.shape[1:] == latents.shape[1:]
        and crops.stride() == latents.stride()
        and len(crops) <= len(latents)
    )


def _is_finite(values: Tensor) -> bool:
    # One pass without a temporary: NaN and infinities show in the sum. So would an overflow: then look closer.
    return bool(torch.isfinite(values.sum())) or bool(torch.isfinite(values).all())


def _latent_deviations(
    latents: Tensor,
    shape: tuple[int, int, int],
    count: int,
    repainted: Tensor | None,
    packing: FramePacking | None,
) -> Tensor:
    stack = frame_latents(latents, shape, packing)
    if stack is None:
        by_frame = latents.flatten(1) if len(latents) == shape[0] else latents.reshape(1, -1)
        return _deviations(by_frame[:count, None, :, None], None).expand(count)
    stack = stack.movedim(1, -1)
    holders = latent_of_frames(len(stack), shape[0], packing)[:count]
    return _deviations(stack[:count] if len(stack) == shape[0] else stack[holders], repainted)


def _deviations(stack: Tensor, repainted: Tensor | None) -> Tensor:
    """Measure how each picture of `(n, h, w, c)` varies over the repainted part of the grid, on the CPU.

    The result is the channels' root mean square, and 0 where there are too few such pixels. Some pictures are looked at
    after the others, so that nothing as large as the stack is made.
    """
    blocks = []
    for start in range(0, len(stack), _BLOCK):
        part = slice(start, start + _BLOCK)
        mask = repainted if repainted is None or len(repainted) == 1 else repainted[part]
        blocks.append(_block_deviations(stack[part], mask))
    return torch.cat(blocks).cpu()


def _block_deviations(stack: Tensor, repainted: Tensor | None) -> Tensor:
    rows, columns = stack.shape[1:3] if repainted is None else repainted.shape[1:]
    values = _sampled(stack, min(rows, _GRID), min(columns, _GRID)).float()
    if repainted is None:
        return values.flatten(1, 2).var(dim=1, unbiased=False).mean(dim=-1).sqrt()
    inside = _sampled(repainted[..., None], *values.shape[1:3]).to(values.device, values.dtype)
    weights = inside.expand(len(values), -1, -1, -1).flatten(1, 2)
    values, pixels = values.flatten(1, 2), weights.sum(dim=1, keepdim=True)
    means = (values * weights).sum(dim=1, keepdim=True) / pixels.clamp(min=1)
    variances = ((values - means).square() * weights).sum(dim=1) / pixels[:, 0].clamp(min=1)
    return variances.mean(dim=-1).sqrt() * (pixels[:, 0, 0] >= _FEWEST)


def _sampled(stack: Tensor, rows: int, columns: int) -> Tensor:
    """Take at most so many rows and columns of `(n, h, w, c)`: one from each stretch of equal length.

    Where in its stretch follows the golden ratio, so that no regular pattern of the picture is missed.
    """
    height, width = stack.shape[1:3]
    if rows >= height and columns >= width:
        return stack
    down, across = _places(height, rows).to(stack.device), _places(width, columns).to(stack.device)
    return stack[:, down[:, None], across]


def _places(side: int, wanted: int) -> Tensor:
    if wanted >= side:
        return torch.arange(side)
    stretches = torch.arange(wanted, dtype=torch.float64)
    return ((stretches + (stretches * _GOLDEN) % 1) * (side / wanted)).long().clamp_(max=side - 1)


def _frames(indices: Sequence[int], count: int) -> str:
    """Name frames, counted from 1: "frames 2, 4-6 of 16"."""
    if len(indices) == count:
        return "every frame" if count > 1 else "its one frame"
    runs: list[list[int]] = []
    for index in indices:
        if runs and runs[-1][1] == index - 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    names = ", ".join(f"{first + 1}" if first == last else f"{first + 1}-{last + 1}" for first, last in runs)
    return f"{'frame' if len(indices) == 1 else 'frames'} {names} of {count}"
