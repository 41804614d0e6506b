"""How latents lie over the frames that they were encoded from."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from segs_detailer.models.info import FramePacking

__all__ = ["frame_latents", "latent_of_frames"]


def frame_latents(latents: Tensor, frames_shape: Sequence[int], packing: FramePacking | None = None) -> Tensor | None:
    """Latents in the order of the frames, where their shape tells it.

    Parameters
    ----------
    latents : Tensor
        `(F, C, h, w)` or `(F, h, w, C)`; `(1, C, T, h, w)` as video VAEs have it, or `(F, C, 1, h, w)` where they take
        each frame for a picture of its own.
    frames_shape : sequence of int
        `(F, H, W, ...)`: the shape of the frames. Both sides are the same multiple of the latents'.
    packing : FramePacking or None
        How many frames each of `T` latents holds; None: the first frame alone, then `(F - 1) / (T - 1)` each.

    Returns
    -------
    Tensor or None
        A view `(F or T, C, h, w)`; None for latents of another layout, which only their maker can read.
    """
    frames = int(frames_shape[0])
    size = (int(frames_shape[1]), int(frames_shape[2]))
    if latents.ndim == 5 and len(latents) == 1 and _packs(latents.shape[2], frames, packing):
        stack = latents[0].movedim(1, 0)
        return stack if _scales(stack.shape[2:], size) else None
    if latents.ndim == 5 and latents.shape[2] == 1:
        latents = latents[:, :, 0]
    if latents.ndim != 4 or len(latents) != frames:
        return None
    if _scales(latents.shape[2:], size):
        return latents
    return latents.movedim(-1, 1) if _scales(latents.shape[1:3], size) else None


def latent_of_frames(latent_frames: int, frames: int, packing: FramePacking | None = None) -> list[int]:
    """Index of the latent frame that holds each frame.

    Parameters
    ----------
    latent_frames : int
        The first dimension of what `frame_latents` gives.
    frames : int
        Frames that were encoded.
    packing : FramePacking or None
        See `frame_latents`.
    """
    if packing is not None and latent_frames != frames:
        return packing.latent_of_frames(latent_frames)
    step = max((frames - 1) // max(latent_frames - 1, 1), 1)
    return [-(-frame // step) for frame in range(frames)]


def _packs(latent_frames: int, frames: int, packing: FramePacking | None) -> bool:
    if packing is not None:
        return packing.latents(frames) == latent_frames
    return latent_frames == frames if latent_frames < 2 else frames > 1 and (frames - 1) % (latent_frames - 1) == 0


def _scales(small: Sequence[int], large: tuple[int, int]) -> bool:
    """Whether both sides are the same whole multiple."""
    return (
        all(small)
        and not (large[0] % small[0] or large[1] % small[1])
        and (large[0] // small[0] == large[1] // small[1] > 0)
    )
