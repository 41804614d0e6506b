"""Which segments are sampled together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from segs_detailer.crop_path import CropPath
from segs_detailer.detailer.crops import is_inside
from segs_detailer.detailer.segment import frame_denoise, working_size
from segs_detailer.models.interface import of_one_clip
from segs_detailer.models.samplers.registry import SAMPLERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from segs_detailer.detailer.denoise_by_size import FrameDenoise
    from segs_detailer.detailer.segment import Run
    from segs_detailer.segs import SEG

__all__ = ["batch_segments"]


def batch_segments(segs: Sequence[SEG], frames: Tensor, run: Run, *, pasted: bool) -> list[list[int]]:
    """Divide segments into those that are sampled together, in their order.

    At most `batch_segments` neighbors of one working size share a run, and where they are pasted, only those whose
    crop regions do not overlap: the later one must see what the earlier one painted. What single subjects have
    otherwise must be the same for all of a batch. Alone stay segments with a control wrapper, and all of them under a
    hook, under what belongs to a place in the conditioning, with a sampler that chooses its steps by the whole batch
    (dpm_adaptive), or with a model that takes one clip at a time.

    Parameters
    ----------
    segs : sequence of SEG
        Checked segments in the frames' size.
    frames : Tensor
        `(B, H, W, C)`.
    run : Run
        Models and settings.
    pasted : bool
        Each result is pasted before the next segment is cropped.

    Returns
    -------
    list of list of int
        Indices of the segments; every one is in one batch, ascending.
    """
    limit = run.settings.batch_segments
    if limit == 1 or not _takes_batches(run):
        return [[index] for index in range(len(segs))]
    batches: list[list[int]] = []
    open_kind: object = None
    for index, seg in enumerate(segs):
        kind = _kind(index, seg, frames, run)
        joins = (
            kind is not None
            and kind == open_kind
            and len(batches[-1]) < limit
            and not (pasted and any(_overlap(seg, segs[other]) for other in batches[-1]))
        )
        if joins:
            batches[-1].append(index)
        else:
            batches.append([index])
        open_kind = kind
    return batches


def _takes_batches(run: Run) -> bool:
    pipes = [run.models.base] if run.models.refiner is None else [run.models.base, run.models.refiner]
    spec = SAMPLERS.get(run.settings.sampling.sampler_name)
    return (
        not run.hook.is_given
        and (spec is None or not spec.adaptive)
        and all(pipe.sampler.geometry.takes_clips for pipe in pipes)
        and not any(of_one_clip(pipe.positive) or of_one_clip(pipe.negative) for pipe in pipes)
    )


def _kind(
    index: int, seg: SEG, frames: Tensor, run: Run
) -> tuple[int, tuple[int, int], FrameDenoise | None, bool] | None:
    """Tell what segments of one batch have in common; None for one that stays alone."""
    if seg.control_net_wrapper is not None or not is_inside(seg, frames):
        return None
    own = run.for_segment(index, seg)
    return id(own), working_size(seg, own), frame_denoise(seg, len(frames), own), seg.cropped_mask is None


def _overlap(one: SEG, other: SEG) -> bool:
    """Whether the crop regions share a pixel in any frame; places between pixels count as the pixels around them."""
    a, b = _regions(one), _regions(other)
    return bool(((a[:, :2] < b[:, 2:]) & (b[:, :2] < a[:, 2:])).all(axis=1).any())


def _regions(seg: SEG) -> NDArray[np.float64]:
    region = seg.crop_region
    if not isinstance(region, CropPath):
        return np.array([region], np.float64)
    return np.concatenate([np.floor(region.boxes[:, :2]), np.ceil(region.boxes[:, 2:])], axis=1)
