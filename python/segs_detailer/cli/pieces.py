"""Detailing a long clip segment by segment, each only where its subject is, and in pieces that bound the memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..detailer import detail_frames
from ..detailer.plan import WorkingSize, plan_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from ..detailer import Progress
    from ..segs import SEG

__all__ = ["Workload", "active_span", "detail_group", "group_workloads", "plan_workload", "working_size"]

# Memory that the crops of one piece may take: a share of the frames', and enough for short clips to go in one piece.
_MEMORY_SHARE = 0.25
_LEAST_MEMORY = 128 << 20
# Stacks of the working size and of the crop's size that exist at the same time, in float32 RGB.
_WORKING_STACKS = 3
_CROP_STACKS = 4
_LEAST_FRAMES = 8


def active_span(seg: SEG, frame_count: int) -> tuple[int, int]:
    """First frame in which a segment has any mask, and the frame after the last; `(0, 0)` if there is none."""
    mask = seg.cropped_mask
    if mask is None or mask.ndim == 2 or len(mask) != frame_count:
        return 0, frame_count
    shown = np.flatnonzero([frame.any() for frame in mask])
    return (int(shown[0]), int(shown[-1]) + 1) if len(shown) else (0, 0)


def working_size(seg: SEG, settings: dict[str, Any]) -> WorkingSize:
    """Size at which a segment's crops are worked on, before a model rounds it."""
    x1, y1, x2, y2 = seg.crop_region
    return plan_size(
        (y2 - y1, x2 - x1),
        seg.bbox,
        guide_size=settings["guide_size"],
        guide_size_for_bbox=settings["guide_size_for"] == "bbox",
        max_size=settings["max_size"],
    )


@dataclass(frozen=True, slots=True)
class Workload:
    """One segment and the frames in which it is detailed.

    Parameters
    ----------
    seg : SEG
        The segment, in the size of the frames.
    span : tuple of int
        Its first frame, and the frame after the last.
    size : WorkingSize
        Size of its crops while they are worked on.
    piece : int
        Frames that are worked on at once.
    reach : int
        Frames on each side of a piece that the sampler looks at.
    """

    seg: SEG
    span: tuple[int, int]
    size: WorkingSize
    piece: int
    reach: int

    @property
    def pieces(self) -> int:
        """Number of runs of the sampler."""
        return -(-(self.span[1] - self.span[0]) // self.piece)

    def detail(
        self,
        frames: NDArray[np.float32],
        pipe: Any,
        settings: dict[str, Any],
        progress: Callable[[int, Progress], None],
    ) -> None:
        """Detail the segment in place.

        Parameters
        ----------
        frames : ndarray
            `(B, H, W, 3)` float32: changed where the segment's mask is.
        pipe : BasicPipe
            The model.
        settings : dict
            Keyword arguments of `detail_frames`.
        progress : callable
            Called with the index of the piece and the progress in it.
        """
        first, end = self.span
        x1, y1, x2, y2 = self.seg.crop_region
        before: NDArray[np.float32] | None = None
        for index, start in enumerate(range(first, end, self.piece)):
            stop = min(start + self.piece, end)
            margin = start - max(first, start - self.reach)
            low, high = start - margin, min(stop + self.reach, end)
            lent = frames[low:start, y1:y2, x1:x2]
            done = lent.copy()
            if before is not None and margin:
                # The frames before are detailed already; the sampler must see them as they were.
                lent[...] = before[len(before) - margin :]
            before = frames[max(low, stop - self.reach) : stop, y1:y2, x1:x2].copy()
            seg = self.seg._replace(cropped_mask=self.masks(len(frames), low, start, stop, high))
            detail_frames(
                frames[low:high],
                (frames.shape[1:3], [seg]),
                pipe,
                in_place=True,
                progress=partial(progress, index),
                **settings,
            )
            lent[...] = done

    def masks(self, count: int, low: int, start: int, stop: int, high: int) -> Any:
        """Masks of the frames of one piece, empty for the frames beside it, where nothing is to be pasted."""
        mask = self.seg.cropped_mask
        per_frame = mask is not None and mask.ndim == 3 and len(mask) == count
        if (low, high) == (start, stop):
            return mask[start:stop] if per_frame else mask
        x1, y1, x2, y2 = self.seg.crop_region
        whole = np.ones((y2 - y1, x2 - x1), np.float32) if mask is None else mask
        masks = np.zeros((high - low, y2 - y1, x2 - x1), whole.dtype)
        masks[start - low : stop - low] = whole[start:stop] if per_frame else whole
        return masks


def plan_workload(seg: SEG, frames: NDArray[np.float32], pipe: Any, settings: dict[str, Any]) -> Workload:
    """Where and how a segment is detailed.

    A sampler that says how far it looks in time (`temporal_reach`) is run in pieces; a motion model needs all frames.
    """
    span = active_span(seg, len(frames))
    size = working_size(seg, settings)
    count = max(1, span[1] - span[0])
    reach = getattr(pipe[0], "temporal_reach", None)
    if reach is None:
        return Workload(seg, span, size, count, 0)
    x1, y1, x2, y2 = seg.crop_region
    pixels = _WORKING_STACKS * size.height * size.width + _CROP_STACKS * (y2 - y1) * (x2 - x1)
    memory = max(_LEAST_MEMORY, int(_MEMORY_SHARE * frames.nbytes))
    piece = max(_LEAST_FRAMES, memory // (pixels * 3 * 4))
    return Workload(seg, span, size, min(count, piece), int(reach))


def group_workloads(work: Sequence[Workload], most: int) -> list[list[int]]:
    """Put segments of the same frames together, so that they can be sampled together.

    Parameters
    ----------
    work : sequence of Workload
        The segments.
    most : int
        Segments that are sampled together at most; with 1 each stays alone.

    Returns
    -------
    list of list of int
        Indices of neighbours with one span that are not divided into pieces; all others are alone.
    """
    groups: list[list[int]] = []
    for index, item in enumerate(work):
        before = work[index - 1] if index else item
        joins = index > 0 and most > 1 and item.span == before.span and item.pieces == before.pieces == 1
        if joins:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def detail_group(
    items: Sequence[Workload],
    frames: NDArray[np.float32],
    pipe: Any,
    settings: dict[str, Any],
    progress: Callable[[Progress], None],
) -> None:
    """Detail segments of the same frames in place, in one run.

    Parameters
    ----------
    items : sequence of Workload
        Segments that `group_workloads` put together.
    frames : ndarray
        `(B, H, W, 3)` float32: changed where the segments' masks are.
    pipe : BasicPipe
        The model.
    settings : dict
        Keyword arguments of `detail_frames`.
    progress : callable
        Called with the progress; its `segment` is the place in `items`.
    """
    first, end = items[0].span
    segs = [item.seg._replace(cropped_mask=item.masks(len(frames), first, first, end, end)) for item in items]
    detail_frames(frames[first:end], (frames.shape[1:3], segs), pipe, in_place=True, progress=progress, **settings)
