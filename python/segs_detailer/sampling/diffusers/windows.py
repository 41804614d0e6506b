"""Context windows: a clip longer than the motion module takes is seen in overlapping parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from ...errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ContextWindows", "window_weights"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextWindows:
    """How a long clip is divided.

    Parameters
    ----------
    length : int or None
        Frames of a window. Clips up to this length are seen whole; longer ones in windows. 16 is what AnimateDiff's
        modules were trained on. `None`: always the whole clip, up to the motion module's limit.
    overlap : int
        Frames that neighbouring windows share, below `length`.
    order : {"uniform", "static"}
        "static": the same windows at each step. "uniform": the windows move from step to step (by the bit-reversed
        step, as in AnimateDiff's own long-clip sampling), so that no seam stays in one place.
    """

    length: int | None = 16
    overlap: int = 4
    order: Literal["uniform", "static"] = "uniform"

    def __post_init__(self) -> None:
        if self.length is not None and self.length < 1:
            raise InvalidArgumentError("length", "at least 1, or None", str(self.length))
        if self.overlap < 0 or (self.length is not None and self.overlap >= self.length):
            raise InvalidArgumentError("overlap", f"0 to {self.length} - 1", str(self.overlap))
        if self.order not in ("uniform", "static"):
            raise InvalidArgumentError("order", "'uniform' or 'static'", repr(self.order))

    def windows(self, frames: int, step: int) -> list[range]:
        """Frame ranges of one step; together they cover all frames.

        Parameters
        ----------
        frames : int
            Frames of the clip.
        step : int
            The sampler's step, from 0.
        """
        if self.length is None or frames <= self.length:
            return [range(frames)]
        stride = self.length - self.overlap
        shift = round(_bit_reversed_fraction(step) * stride) if self.order == "uniform" else 0
        # A shifted row of windows starts before the clip; windows are moved inside it, never cut or wrapped around.
        last = frames - self.length
        starts = [min(max(start, 0), last) for start in range(-shift, last + stride, stride)]
        return [range(start, start + self.length) for start in dict.fromkeys(starts)]


def window_weights(windows: Sequence[range], like: Tensor) -> list[Tensor]:
    """Share of each window in each of its frames: pyramids, high in the middle, that sum to 1 on every frame.

    Parameters
    ----------
    windows : sequence of range
        The windows of one step.
    like : Tensor
        `(F, C, h, w)`: gives the device.

    Returns
    -------
    list of Tensor
        One `(frames of the window, 1, 1, 1)` float32 tensor per window.
    """
    total = torch.zeros(len(like))
    pyramids = []
    for window in windows:
        rising = torch.arange(1, len(window) + 1, dtype=torch.float32)
        pyramid = torch.minimum(rising, rising.flip(0))
        total[window.start : window.stop] += pyramid
        pyramids.append(pyramid)
    return [
        (pyramid / total[window.start : window.stop]).view(-1, 1, 1, 1).to(like.device)
        for window, pyramid in zip(windows, pyramids, strict=True)
    ]


def _bit_reversed_fraction(number: int) -> float:
    """Van der Corput sequence in base 2: 0, 1/2, 1/4, 3/4, 1/8, ..."""
    fraction, place = 0.0, 0.5
    while number:
        fraction += place * (number & 1)
        number >>= 1
        place /= 2
    return fraction
