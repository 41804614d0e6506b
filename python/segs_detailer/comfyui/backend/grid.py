"""Sizes and frame counts that a graph's VAE takes, found by trying its own rules."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from segs_detailer.errors import ModelError
from segs_detailer.models.info import FramePacking

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["FrameGrid", "pixels_per_latent"]

_LATENTS_TRIED = 64
"""Counts of latents that are tried: those of twelve chunks, where a chunk has five."""

_STEPS_TRIED = 3
"""Equal steps at the end of what was tried that make a rule."""

_SIDES_TRIED = 256
_MULTIPLES_TRIED = 64


@dataclass(frozen=True, slots=True)
class FrameGrid:
    """Numbers of frames that a VAE packs without loss: `step * n + offset`, from `least` on.

    Parameters
    ----------
    step, offset, least : int
        The numbers.
    packing : FramePacking
        How many frames each latent holds.
    """

    step: int
    offset: int
    least: int
    packing: FramePacking

    @classmethod
    def of(cls, latents_of: object, frames_of: Callable[[int], Any]) -> FrameGrid:
        """Try a VAE's rules.

        Parameters
        ----------
        latents_of : callable or object
            Frames to latents, as a VAE's `downscale_ratio` begins; what is no function is not asked.
        frames_of : callable
            Latents to frames, as its `upscale_ratio` begins.

        Returns
        -------
        FrameGrid
            That of all counts that come back as they went in. Single counts below it are left out, as that of a single
            picture in a VAE of chunks.

        Raises
        ------
        ModelError
            The counts follow no rule.

        Notes
        -----
        The rules tell how many latents a chunk has, not how its frames lie in them. VAEs of clips are causal: the first
        latent of a chunk holds what the others, all alike, leave over.

        Examples
        --------
        >>> grid = FrameGrid.of(lambda f: (f - 5) // 17 * 5 + 2, lambda t: (t - 2) // 5 * 17 + 5)
        >>> grid.step, grid.offset, grid.least, grid.packing.counts(7)
        (17, 5, 5, (1, 4, 4, 4, 4, 1, 4))
        """
        tried = ((int(frames_of(latents)), latents) for latents in range(1, _LATENTS_TRIED + 1))
        kept = {frames: latents for frames, latents in tried if frames > 0 and _comes_back(latents_of, frames, latents)}
        counts = sorted(kept)
        steps = [(large - small, kept[large] - kept[small]) for small, large in pairwise(counts)]
        steady = _equal_at_end(steps)
        if steady < _STEPS_TRIED or min(steps[-1]) < 1:
            raise ModelError(f"the VAE's numbers of frames follow no rule: {', '.join(map(str, counts[:8]))}, ...")
        step, latents = steps[-1]
        least = counts[len(counts) - 1 - steady]
        cycle = _in_latents(step, latents)
        begins_cycle = FramePacking(cycle=cycle).latents(least) == kept[least]
        lead = () if begins_cycle else _in_latents(least, kept[least])
        return cls(step, least % step, least, FramePacking(lead=lead, cycle=cycle))


def pixels_per_latent(down: object, up: object, usual: int) -> int:
    """Return the multiple of pixels that a VAE takes along a side.

    Parameters
    ----------
    down, up : number, callable or None
        What a VAE's `downscale_ratio` and `upscale_ratio` say of a side: a factor, or a function of pixels, of latents.
    usual : int
        Where neither says anything.

    Raises
    ------
    ModelError
        No multiple of pixels comes back as it went in.
    """
    if isinstance(down, (int, float)):
        return max(int(down), 1)
    if not callable(down):
        return usual if not isinstance(up, (int, float)) else max(int(up), 1)

    def comes_back(pixels: int) -> bool:
        latents = int(down(pixels))
        back = up(latents) if callable(up) else latents * up if isinstance(up, (int, float)) else pixels
        return latents > 0 and int(back) == pixels

    for side in range(1, _SIDES_TRIED + 1):
        # Without a way back the first size that gives a latent is the one, where twice as much gives two.
        if all(
            comes_back(side * times) and int(down(side * times)) == times * int(down(side))
            for times in range(1, _MULTIPLES_TRIED + 1)
        ):
            return side
    raise ModelError(f"the VAE gives back no size of up to {_SIDES_TRIED} pixels as it was")


def _comes_back(latents_of: object, frames: int, latents: int) -> bool:
    return int(latents_of(frames)) == latents if callable(latents_of) else True


def _equal_at_end(values: Sequence[object]) -> int:
    """Count how many values at the end are the same."""
    count = 0
    for value in reversed(values):
        if value != values[-1]:
            break
        count += 1
    return count


def _in_latents(frames: int, latents: int) -> tuple[int, ...]:
    """Divide the frames of a chunk: the latents hold alike, the first of them what is left over."""
    each = -(-frames // latents)
    return (frames - each * (latents - 1), *(each,) * (latents - 1))
