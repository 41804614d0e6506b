"""Context windows: a clip longer than the motion module takes is seen in overlapping parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["ContextWindows", "WindowOrder", "WindowWeights", "window_weights"]

WindowOrder: TypeAlias = Literal["uniform", "looped", "static"]

WindowWeights: TypeAlias = Literal["pyramid", "linear", "flat"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextWindows:
    """How a long clip is divided, and a short one lengthened.

    Parameters
    ----------
    length : int or None
        Frames of a window. Clips up to this length are seen whole; longer ones in windows. 16 is what AnimateDiff's
        modules were trained on. `None`: always the whole clip, up to the motion module's limit.
    overlap : int
        Frames that neighboring windows share, below `length`.
    stride : int
        1: windows hold neighboring frames. Above, further windows are added at each step that hold every 2nd frame,
        every 4th, up to every `2^(stride - 1)`-th, so that distant frames see each other (MagicAnimate, Xu et al.
        2023). Each adds the work of the first. Strides at which a window would hold the whole clip are left out.
    order : {"uniform", "looped", "static"}
        "static": the same windows at each step. "uniform": the windows move from step to step (by the bit-reversed
        step, as in AnimateDiff's own long-clip sampling), so that no seam stays in one place. "looped": they move, and
        run over the clip's end into its beginning, for clips that are played in a loop.
    weights : {"pyramid", "linear", "flat"}
        Share of a window in its frames: "pyramid" rises to its middle; "linear" rises over `overlap` frames and is
        level between; "flat" is the same everywhere.
    free_noise : bool
        Clips longer than a window start from noise that repeats its first `length` frames, shuffled, instead of
        noise that knows nothing of the frames before: `segs_detailer.models.noise.free_noise`. Not where a run is
        given its noise.
    min_frames : int
        Shorter clips are lengthened to this number by running back and forth over them, and cut back afterwards. 1, as
        in ComfyUI, leaves them alone; motion modules, trained on 16 frames, often do better with 8 or more.

    Raises
    ------
    InvalidArgumentError
        A value is out of range, or unknown.
    """

    length: int | None = 16
    overlap: int = 4
    stride: int = 1
    order: WindowOrder = "uniform"
    weights: WindowWeights = "pyramid"
    free_noise: bool = False
    min_frames: int = 1

    def __post_init__(self) -> None:
        if self.length is not None and self.length < 1:
            raise InvalidArgumentError("length", "at least 1, or None", str(self.length))
        if self.overlap < 0 or (self.length is not None and self.overlap >= self.length):
            raise InvalidArgumentError("overlap", f"0 to {self.length} - 1", str(self.overlap))
        for name in ("stride", "min_frames"):
            if getattr(self, name) < 1:
                raise InvalidArgumentError(name, "at least 1", str(getattr(self, name)))
        for name, known in (("order", get_args(WindowOrder)), ("weights", get_args(WindowWeights))):
            if getattr(self, name) not in known:
                raise unknown_name(name, getattr(self, name), known)
        if not isinstance(self.free_noise, bool):
            raise InvalidTypeError("free_noise", "a bool", type(self.free_noise).__name__)
        if self.free_noise and self.length is None:
            raise InvalidArgumentError("free_noise", "False where there are no windows (length=None)", "True")

    def windows(self, frames: int, step: int) -> list[list[int]]:
        """Frames of each window of one step; together they cover all frames.

        Parameters
        ----------
        frames : int
            Frames of the clip.
        step : int
            The sampler's step, from 0.

        Returns
        -------
        list of list of int
            Indices of frames, in the clip's order but for the window that runs over its end ("looped").
        """
        length = self.length
        if length is None or frames <= length:
            return [list(range(frames))]
        windows = []
        for level in range(self.stride):
            every = 2**level
            if every > 1 and frames // every < length:
                break
            # Every n-th frame makes n clips, which are divided in the same way.
            for first in range(every):
                clip = range(first, frames, every)
                windows += [[clip[index] for index in window] for window in self._divided(len(clip), length, step)]
        return windows

    def blended(self, predict: Callable[[list[int]], Tensor], frames: int, step: int, *, axis: int) -> Tensor:
        """Predict a clip window by window, and average where they overlap.

        Parameters
        ----------
        predict : callable
            The prediction for some frames, whose indices it gets.
        frames : int
            Frames of the clip.
        step : int
            The sampler's step, from 0.
        axis : int
            The predictions' axis of frames.
        """
        windows = self.windows(frames, step)
        if len(windows) == 1:
            return predict(windows[0])
        total: Tensor | None = None
        for window, weight in zip(windows, self.weights_of(windows, frames), strict=True):
            part = predict(window)
            if total is None:
                shape = list(part.shape)
                shape[axis] = frames
                total = part.new_zeros(shape)
            share = weight.view([-1 if axis_of == axis else 1 for axis_of in range(part.ndim)]).to(part.device)
            total.index_add_(axis, torch.tensor(window, device=part.device), part * share)
        if total is None:
            raise InvalidArgumentError("frames", "at least one frame", str(frames))
        return total

    def weights_of(self, windows: Sequence[Sequence[int]], frames: int) -> list[Tensor]:
        """Share of each window in each of its frames; see `window_weights`."""
        return window_weights(windows, frames, shape=self.weights, overlap=self.overlap)

    def _divided(self, frames: int, length: int, step: int) -> list[list[int]]:
        """Windows over a clip of neighboring frames."""
        if frames <= length:
            return [list(range(frames))]
        hop = length - self.overlap
        shift = 0 if self.order == "static" else round(_bit_reversed_fraction(step) * hop)
        if self.order == "looped":
            starts = range(shift, shift + frames, hop)
            return [[frame % frames for frame in range(start, start + length)] for start in starts]
        # A shifted row of windows starts before the clip; windows are moved inside it, never cut or wrapped around.
        last = frames - length
        moved = [min(max(start, 0), last) for start in range(-shift, last + hop, hop)]
        return [list(range(start, start + length)) for start in dict.fromkeys(moved)]


def window_weights(
    windows: Sequence[Sequence[int]], frames: int, *, shape: WindowWeights = "pyramid", overlap: int = 0
) -> list[Tensor]:
    """Share of each window in each of its frames; on every frame they sum to 1.

    Parameters
    ----------
    windows : sequence of sequence of int
        The windows of one step.
    frames : int
        Frames of the clip.
    shape : {"pyramid", "linear", "flat"}
        As in `ContextWindows`.
    overlap : int
        Frames over which "linear" rises.

    Returns
    -------
    list of Tensor
        One `(frames of the window,)` float32 tensor per window, on the CPU.
    """
    total = torch.zeros(frames)
    shares = []
    for window in windows:
        rising = torch.arange(1, len(window) + 1, dtype=torch.float32)
        share = torch.minimum(rising, rising.flip(0))
        if shape != "pyramid":
            share = share.clamp(max=1 if shape == "flat" else overlap + 1)
        total[list(window)] += share
        shares.append(share)
    return [share / total[list(window)] for window, share in zip(windows, shares, strict=True)]


def _bit_reversed_fraction(number: int) -> float:
    """Van der Corput sequence in base 2: 0, 1/2, 1/4, 3/4, 1/8, ..."""
    fraction, place = 0.0, 0.5
    while number:
        fraction += place * (number & 1)
        number >>= 1
        place /= 2
    return fraction
