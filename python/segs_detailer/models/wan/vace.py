"""What VACE sees beside the noisy latents: the clip, parted by its mask, and pictures of the subject.

VACE: All-in-One Video Creation and Editing, Jiang et al. 2025, arXiv 2503.07598, sections 3.1 and 3.2. The layout is
that of diffusers' pipeline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from segs_detailer.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from segs_detailer.models.info import FramePacking
    from segs_detailer.models.video_vae import VideoVAE

__all__ = ["VaceInputs", "grouped_mask"]


def grouped_mask(mask: Tensor, packing: FramePacking, frames: int) -> Tensor:
    """Give all frames that one latent holds the same mask, the maximum of theirs.

    Parameters
    ----------
    mask : Tensor
        `(H, W)` or `(1 or frames, H, W)`.
    packing : FramePacking
        How many frames each latent holds.
    frames : int
        Frames of the clip.

    Returns
    -------
    Tensor
        `(1 or frames, H, W)`.
    """
    stack = mask[None] if mask.ndim == 2 else mask
    if stack.ndim != 3 or len(stack) not in (1, frames):
        raise InvalidArgumentError("noise_mask", f"(H, W), (1, H, W) or ({frames}, H, W)", f"shape {tuple(mask.shape)}")
    if len(stack) == 1:
        return stack
    counts = packing.counts(packing.latents(frames) or 0)
    return torch.cat([group.amax(dim=0, keepdim=True).expand_as(group) for group in torch.split(stack, list(counts))])


@dataclass(frozen=True, slots=True, eq=False)
class VaceInputs:
    """Makes what VACE's control branch sees.

    Parameters
    ----------
    vae : VideoVAE
        The VAE.
    packing : FramePacking
        How many frames each latent holds.
    """

    vae: VideoVAE
    packing: FramePacking

    def references(self, pictures: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Latents of pictures, the last one first, each as long as one latent.

        Parameters
        ----------
        pictures : sequence of Tensor
            `(H, W, 3)` in [0, 1], at least one. Each is fitted into the size, on white.
        size : (int, int)
            Height and width of the clip.

        Returns
        -------
        Tensor
            `(1, C, pictures, h, w)` in the model's space.
        """
        whole = [_of_whole_latents(picture, self.vae.pixels_per_latent) for picture in reversed(pictures)]
        latents = [self._encoded(_on_white(picture, size)[None]) for picture in whole]
        return torch.cat(latents, dim=2)

    def control(self, pixels: Tensor, mask: Tensor | None, references: Tensor | None, *, hide: bool) -> Tensor:
        """Latents for the control branch: what stays, what is repainted, and where.

        Parameters
        ----------
        pixels : Tensor
            `(F, H, W, 3)` in [0, 1].
        mask : Tensor or None
            `(1 or F, H, W)` in [0, 1], as `grouped_mask` gives it; None for everywhere.
        references : Tensor or None
            From `references`.
        hide : bool
            Show gray where the clip is repainted, in place of what was there.

        Returns
        -------
        Tensor
            `(1, 2 C + mask channels, references + T, h, w)`.
        """
        frames, height, width = pixels.shape[:3]
        soft = pixels.new_ones(1, height, width) if mask is None else mask.to(pixels.device, pixels.dtype)
        hard = (soft > 0.5).to(pixels.dtype)[..., None]
        shown = torch.full_like(pixels, 0.5) if hide else pixels
        # What is left out is gray: 0 in the VAE's space.
        stays, repainted = pixels * (1 - hard) + 0.5 * hard, shown * hard + 0.5 * (1 - hard)
        parts = [self._encoded(stays), self._encoded(repainted)]
        parts.append(self._mask_channels(soft, frames).to(parts[0].device))
        control = torch.cat(parts, dim=1)
        if references is None:
            return control
        nothing = references.new_zeros(1, control.shape[1] - references.shape[1], *references.shape[2:])
        return torch.cat([torch.cat([references, nothing], dim=1).to(control.device), control], dim=2)

    def _encoded(self, frames: Tensor) -> Tensor:
        latents: Tensor = self.vae.to_model(self.vae.encode(frames))
        return latents

    def _mask_channels(self, mask: Tensor, frames: int) -> Tensor:
        """Each pixel of a latent's block in a channel of its own, row by row: `(1, side^2, T, h, w)`."""
        counts = self.packing.counts(self.packing.latents(frames) or 0)
        firsts = [sum(counts[:index]) for index in range(len(counts))]
        # All frames of a latent have the same mask.
        of_latents = mask.expand(frames, -1, -1)[firsts]
        return torch.nn.functional.pixel_unshuffle(of_latents[:, None], self.vae.pixels_per_latent).movedim(0, 1)[None]


def _of_whole_latents(picture: Tensor, factor: int) -> Tensor:
    """Scale a picture to whole latents, as diffusers' pipeline does before anything else: with Pillow, in 8 bits."""
    height, width = (max(int(side) // factor, 1) * factor for side in picture.shape[:2])
    if (height, width) == tuple(picture.shape[:2]):
        return picture
    image = Image.fromarray((picture.clamp(0, 1) * 255).round().to("cpu", torch.uint8).numpy())
    scaled = torch.from_numpy(np.array(image.resize((width, height), Image.Resampling.LANCZOS)))
    return scaled.to(picture.device, torch.float32) / 255


def _on_white(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """Fit a picture into a size, in the middle of white: `(H, W, 3)`."""
    height, width = picture.shape[:2]
    scale = min(size[0] / height, size[1] / width)
    fitted = (max(int(height * scale), 1), max(int(width * scale), 1))
    planes = picture.float().movedim(-1, 0)[None]
    scaled = torch.nn.functional.interpolate(planes, fitted, mode="bilinear", align_corners=False)[0]
    canvas = torch.ones(3, *size, device=picture.device)
    top, left = (size[0] - fitted[0]) // 2, (size[1] - fitted[1]) // 2
    canvas[:, top : top + fitted[0], left : left + fitted[1]] = scaled
    return canvas.movedim(0, -1)
