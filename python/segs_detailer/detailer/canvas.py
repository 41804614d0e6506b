"""What lies over whole frames, cut to a segment: latents, masks and control pictures of any size."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
import torch

from segs_detailer.crop_path import CropPath, place_of
from segs_detailer.models.info import FramePacking

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["Canvas", "Placed"]

_PIXEL_SCALE = 2
"""What has more than half of the frame's pixels along a side is no latent."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a segment lies in its frames, and at what size it is worked on.

    Parameters
    ----------
    region : (int, int, int, int) or CropPath
        Its crop region in pixels.
    frame_size : (int, int)
        Height and width of the frames.
    order : sequence of int or None
        Frames that the model gets, by their number, where some were added to suit it.
    size : (int, int) or None
        Height and width of the crops at working size; None for those of the region.
    latent_size : (int, int) or None
        Of their latents; None where they are the pixels themselves.
    packing : FramePacking
        How many frames each latent holds.
    """

    region: Sequence[int]
    frame_size: tuple[int, int]
    order: Sequence[int] | None = None
    size: tuple[int, int] | None = None
    latent_size: tuple[int, int] | None = None
    packing: FramePacking = field(default_factory=FramePacking)

    @property
    def moves(self) -> bool:
        """Whether it has a place of its own in every frame."""
        return isinstance(self.region, CropPath)

    @property
    def is_whole_frame(self) -> bool:
        """Whether the crops are the frames themselves."""
        height, width = self.frame_size
        return not self.moves and tuple(self.region) == (0, 0, width, height)

    @property
    def pixels(self) -> tuple[int, int]:
        """Height and width of the crops at working size."""
        x1, y1, x2, y2 = self.region
        return (y2 - y1, x2 - x1) if self.size is None else self.size

    @property
    def latents(self) -> tuple[int, int]:
        """Height and width of the latents."""
        return self.pixels if self.latent_size is None else self.latent_size

    def places(self, frames: Sequence[int]) -> NDArray[np.float64]:
        """Return `(N, 5)`: x1, y1, x2, y2 and degrees of so many frames, by their number in what the model gets."""
        table = np.atleast_2d(np.asarray(place_of(self.region), np.float64))
        if table.shape[1] == 4:
            table = np.concatenate([table, np.zeros((len(table), 1))], axis=1)
        if not self.moves:
            return np.repeat(table, len(frames), axis=0)
        order = range(len(table)) if self.order is None else self.order
        last = len(order) - 1
        rows: NDArray[np.float64] = table[[order[min(frame, last)] for frame in frames]]
        return rows

    def frames_of_latents(self, count: int) -> list[int]:
        """Return the frame in the middle of each of so many latents; latents past the end have the last one."""
        counts = self.packing.counts(count)
        return [end - 1 - held // 2 for end, held in zip(accumulate(counts), counts, strict=True)]


@dataclass(frozen=True, slots=True)
class Canvas:
    """Pictures, latents or masks of whole frames, `(N, C, h, w)`, and how they lie over these.

    Parameters
    ----------
    values : Tensor
        The values.
    inside : bool
        Of another aspect than the frames, they were made of the middle of these, as ComfyUI's "center" does; else the
        frames' whole lies within them, as where ComfyUI fits a picture to a latent.
    """

    values: Tensor
    inside: bool = True

    def scale(self, frame_size: tuple[int, int]) -> float:
        """Pixels of these per pixel of the frames."""
        height, width = self.values.shape[-2:]
        sides = height / frame_size[0], width / frame_size[1]
        return max(sides) if self.inside else min(sides)

    def holds_pixels(self, frame_size: tuple[int, int]) -> bool:
        """Whether it is as fine as pictures, and not as latents."""
        return self.scale(frame_size) * _PIXEL_SCALE > 1

    def cut(self, places: NDArray[np.float64], frame_size: tuple[int, int], size: tuple[int, int]) -> Tensor:
        """Cut by places in the frames, linearly where they lie between pixels.

        Parameters
        ----------
        places : ndarray
            `(N, 5)`, from `Placed.places`.
        frame_size : (int, int)
            Height and width of the frames.
        size : (int, int)
            Of the result.

        Returns
        -------
        Tensor
            `(N, C, *size)`; parts outside repeat the edge.
        """
        device = self.values.device
        values = self.values.expand(len(places), -1, -1, -1)
        cut = torch.empty((*values.shape[:2], *size), dtype=values.dtype, device=device)
        # Frame by frame: the places of all pixels would be larger than the pictures.
        grid, before = torch.empty(0), None
        for index, place in enumerate(places.tolist()):
            if place != before:
                grid, before = self._grid(place, frame_size, size).to(device), place
            cut[index] = torch.nn.functional.grid_sample(
                values[index : index + 1].to(torch.float32), grid, padding_mode="border", align_corners=False
            )[0]
        return cut

    def _grid(self, place: list[float], frame_size: tuple[int, int], size: tuple[int, int]) -> Tensor:
        """Places of a crop's pixels, `(1, *size, 2)`, from -1 to 1 along the sides of the values."""
        height, width = self.values.shape[-2:]
        scale, (x1, y1, x2, y2, degrees) = self.scale(frame_size), place
        across = ((torch.arange(size[1], dtype=torch.float64) + 0.5) / size[1] - 0.5) * (x2 - x1)
        down = ((torch.arange(size[0], dtype=torch.float64)[:, None] + 0.5) / size[0] - 0.5) * (y2 - y1)
        turn = math.radians(degrees)
        x = (x1 + x2) / 2 + across * math.cos(turn) - down * math.sin(turn)
        y = (y1 + y2) / 2 + across * math.sin(turn) + down * math.cos(turn)
        grid = torch.stack(
            [
                ((x - frame_size[1] / 2) * scale + width / 2) * (2 / width) - 1,
                ((y - frame_size[0] / 2) * scale + height / 2) * (2 / height) - 1,
            ],
            dim=-1,
        )
        return grid[None].to(torch.float32)
