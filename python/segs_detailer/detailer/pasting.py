"""Pasting crops back: one copy of the frames for a whole run, then in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from segs_detailer._interop import allocate, convert, dtype_name, kind_of, wrap
from segs_detailer.crop_path import CropPath, place_of
from segs_detailer.detailer.crops import brought_stack, check_frames, cut_stack, is_inside, prepare_segs, to_dtype
from segs_detailer.detailer.paste_masks import paste_mask
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.ops.blend import paste, paste_
from segs_detailer.segs import warn_about_counts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from segs_detailer.segs import SEG, SEGS

__all__ = ["Canvas", "paste_segs"]

# Bytes of frames that are pasted between two reports: some tens of milliseconds.
_PART = 2**28


class Canvas:
    """Frames that are copied when the first crop is pasted, and changed in place from then on.

    Parameters
    ----------
    frames : Tensor
        `(B, H, W, C)`, C 3 or 4. Never changed, unless owned.
    owned : bool
        Whether `frames` may be written to.
    """

    def __init__(self, frames: Tensor, *, owned: bool = False) -> None:
        self._frames = frames
        self._owned = owned

    @property
    def frames(self) -> Tensor:
        """The frames as they are now. Later pastes may change them."""
        return self._frames

    def replace(self, frames: Tensor) -> None:
        """Go on with the frames that a hook returned; another tensor than ours is not written to.

        Parameters
        ----------
        frames : Tensor
            Of the same shape, dtype and device.
        """
        same = frames.data_ptr() == self._frames.data_ptr() and frames.stride() == self._frames.stride()
        self._owned = self._owned and same
        self._frames = frames

    def paste(
        self,
        crops: Tensor,
        mask: Tensor,
        region: Sequence[int],
        alpha: float = 1.0,
        *,
        between: Callable[[int], None] | None = None,
    ) -> None:
        """Blend crops into the frames; what lies outside them is clipped. Some pixel must lie inside.

        RGBA crops are laid *over* the frames by their alpha. RGB crops change the colors of RGBA frames and leave
        their alpha as it is.

        Parameters
        ----------
        crops : Tensor
            `(1 or B, h, w, 3 or 4)` float32 in [0, 1].
        mask : Tensor
            `(1 or B, h, w)` float32 in [0, 1].
        region : sequence of int, or CropPath
            `(x1, y1, x2, y2)`, of the crops' size; or a path, whose own alpha weighs the mask in each frame.
        alpha : float
            Factor of the mask in [0, 1].
        between : callable or None
            Called with the frames that are done, now and then before all are. What it raises ends the paste; frames
            that are not owned are then as they were.
        """
        crops, place = to_dtype(crops, self._frames.dtype), place_of(region)
        if isinstance(region, CropPath) and not (region.alpha == 1).all():
            mask = mask * torch.from_numpy(region.alpha.copy()).to(mask)[:, None, None]
        target = self._frames if self._owned else _fresh_like(self._frames)
        for part in _parts(self._frames, between):
            pixels, weights = (stack if len(stack) == 1 else stack[part] for stack in (crops, mask))
            at = place[part] if isinstance(place, np.ndarray) else place
            if self._owned:
                paste_(target[part], pixels, weights, at, alpha=alpha)
            else:
                paste(self._frames[part], pixels, weights, at, alpha=alpha, out=target[part])
        self._frames, self._owned = target, True


def _fresh_like(frames: Tensor) -> Tensor:
    on_device = frames.device.type != "cpu"
    memory = allocate("image", frames.shape, dtype_name(frames), frames if on_device else None)
    fresh: Tensor = wrap(kind_of("image", frames), memory)
    return fresh


def _parts(frames: Tensor, between: Callable[[int], None] | None) -> Iterator[slice]:
    """Cut a clip into parts of `_PART` bytes, and tell of those that are done; into one where nobody is told."""
    count = len(frames)
    size = count if between is None else max(_PART // max(frames[:1].nbytes, 1), 1)
    for start in range(0, count, max(size, 1)):
        if start and between is not None:
            between(start)
        yield slice(start, min(start + size, count))


def paste_segs(
    frames: Tensor,
    segs: SEGS,
    *,
    feather: int,
    alpha: float = 1.0,
    reference: Any = None,
    grow: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Blend the crops of all segments into a copy of the frames.

    Parameters
    ----------
    frames : Tensor
        `(B, H, W, 3 or 4)`; not changed.
    segs : SEGS
        Segments with a `cropped_image` of B frames, or of one for all; those without are left out. Made for another
        frame size, they are rescaled.
    feather : int
        Blur of the masks in pixels of the frame, from 0.
    alpha : float
        Factor of the masks in [0, 1].
    reference : Tensor or None
        `(1 or B, H, W, 3 or 4)`: the crops are taken from its regions, and not from the segments.
    grow : int
        Pixels by which the masks' edges are moved outwards before they are softened; negative ones go inwards.
    progress : callable or None
        Called with the frames of all segments that are done, and how many there are, at each segment and now and then
        between frames. What it raises ends the run.

    Returns
    -------
    Tensor
        New frames, or `frames` itself where nothing is pasted.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        Frames, segments or reference that cannot be used. Nothing is changed before all is checked.
    """
    check_frames("image", frames)
    segs = prepare_segs(segs, frames)
    warn_about_counts(segs, len(frames))
    reference = None if reference is None else _reference(reference, frames)
    canvas = Canvas(frames)
    report = _Report(progress, len(frames), len(segs[1]))
    for seg in report.each(segs[1]):
        if reference is not None:
            crops = to_dtype(cut_stack(reference, seg.crop_region), torch.float32)
        elif seg.cropped_image is not None:
            crops = brought_stack(seg, frames)
        else:
            continue
        if is_inside(seg, frames):
            mask = paste_mask(seg, frames, feather, grow)
            canvas.paste(crops, mask, seg.crop_region, alpha, between=report.between)
    return canvas.frames


class _Report:
    """Counts the frames of all segments."""

    def __init__(self, progress: Callable[[int, int], None] | None, frames: int, segments: int) -> None:
        self._progress, self._frames, self._total = progress, frames, frames * segments
        self._done = 0

    @property
    def between(self) -> Callable[[int], None] | None:
        return None if self._progress is None else self._tell

    def each(self, segs: Sequence[SEG]) -> Iterator[SEG]:
        for index, seg in enumerate(segs):
            self._done = index * self._frames
            self._tell(0)
            yield seg
        self._done = self._total
        self._tell(0)

    def _tell(self, frames: int) -> None:
        if self._progress is not None:
            self._progress(self._done + frames, self._total)


def _reference(reference: Any, frames: Tensor) -> Tensor:
    check_frames("ref_image_opt", reference)
    if reference.shape[1:3] != frames.shape[1:3] or reference.shape[0] not in (1, frames.shape[0]):
        count, height, width = frames.shape[:3]
        expected = f"1 or {count} frames of {width} x {height} pixels"
        got = f"{reference.shape[0]} of {reference.shape[2]} x {reference.shape[1]}"
        raise InvalidArgumentError("ref_image_opt", expected, got)
    moved: Tensor = convert(reference, frames)
    return moved
