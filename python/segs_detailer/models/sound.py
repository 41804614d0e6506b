"""Sound that a model hears while it repaints."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from segs_detailer.checks import shown
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError

__all__ = ["Sound"]


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """A stretch of sound that begins with the first frame of a clip.

    Parameters
    ----------
    samples : Tensor
        `(channels, n)` float32 in [-1, 1].
    rate : int
        Samples per second.

    Raises
    ------
    InvalidTypeError, InvalidArgumentError
        Another shape, dtype or rate.

    Examples
    --------
    >>> import torch
    >>> from segs_detailer.models import Sound
    >>> Sound(torch.zeros(1, 32000), 16000).stretch(0.5, 0.25).samples.shape
    torch.Size([1, 4000])
    """

    samples: Tensor
    rate: int

    def __post_init__(self) -> None:
        if not isinstance(self.samples, Tensor):
            raise InvalidTypeError("samples", "a tensor (channels, n)", shown(self.samples))
        if self.samples.ndim != 2 or not len(self.samples) or self.samples.dtype != torch.float32:
            got = f"shape {tuple(self.samples.shape)} {str(self.samples.dtype).removeprefix('torch.')}"
            raise InvalidArgumentError("samples", "shape (channels, n) float32", got)
        if self.rate < 1:
            raise InvalidArgumentError("rate", "samples per second, at least 1", shown(self.rate))

    def stretch(self, start: float, seconds: float) -> Sound:
        """Return what is heard from `start` on, in seconds; silence where there is no sound."""
        first, count = round(start * self.rate), round(seconds * self.rate)
        known = self.samples[:, max(first, 0) : max(first + count, 0)]
        before = min(max(-first, 0), count)
        return Sound(torch.nn.functional.pad(known, (before, count - before - known.shape[1])), self.rate)

    def stereo(self) -> Tensor:
        """Return samples `(2, n)`: one channel is heard on both sides, of more the first two count."""
        return self.samples.expand(2, -1) if len(self.samples) == 1 else self.samples[:2]
