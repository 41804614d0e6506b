"""The run: segment by segment, crop, scale up, repaint, scale back, paste."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch

from segs_detailer.detailer.batches import batch_segments
from segs_detailer.detailer.conditioning import warn_about_conditioning
from segs_detailer.detailer.crops import check_frames, is_inside, prepare_segs
from segs_detailer.detailer.paste_masks import paste_mask
from segs_detailer.detailer.pasting import Canvas
from segs_detailer.detailer.plan import check_count
from segs_detailer.detailer.progress import SegmentProgress
from segs_detailer.detailer.segment import detail_segment, detail_together, working_size
from segs_detailer.detailer.subject_settings import SubjectName, check_subjects
from segs_detailer.segs import warn_about_counts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from segs_detailer.detailer.segment import DetailedSegment, Run
    from segs_detailer.segs import SEG, SEGS

__all__ = ["detail_and_paste", "detail_segs"]


@torch.no_grad()
def detail_segs(frames: Tensor, segs: object, run: Run) -> tuple[SEGS, list[Tensor]]:
    """Detail every segment on the frames as they came.

    Parameters
    ----------
    frames : Tensor
        `(B, H, W, 3 or 4)`; not changed.
    segs : SEGS
        The segments.
    run : Run
        Models and settings.

    Returns
    -------
    segs : SEGS
        The segments, in the frames' size, with their new crops.
    cnet_images : list of Tensor
        Images of the control wrappers.
    """
    check_frames("image_frames", frames)
    size, chosen = _choose_segs(frames, segs, run)
    detailed, cnet_images = [], []
    for batch in batch_segments(chosen, frames, run, pasted=False):
        for result in _detail_batch(frames, chosen, batch, run):
            detailed.append(result.seg)
            cnet_images.extend(result.cnet_images)
    return (size, detailed), cnet_images


@torch.no_grad()
def detail_and_paste(
    frames: Tensor, segs: object, run: Run, *, in_place: bool = False
) -> tuple[Tensor, SEGS, list[Tensor]]:
    """Detail each segment on the frames as the one before left them, and paste it.

    Parameters
    ----------
    frames : Tensor
        `(B, H, W, 3 or 4)`; not changed unless `in_place`.
    segs : SEGS
        The segments.
    run : Run
        Models and settings.
    in_place : bool
        Paste into `frames` instead of a copy.

    Returns
    -------
    frames : Tensor
        The detailed frames; `frames` itself where nothing was pasted, or `in_place`.
    segs : SEGS
        The segments, in the frames' size, with their new crops.
    cnet_images : list of Tensor
        Images of the control wrappers.
    """
    check_frames("image_frames", frames)
    size, chosen = _choose_segs(frames, segs, run)
    canvas = Canvas(frames, owned=in_place)
    detailed, cnet_images = [], []
    for batch in batch_segments(chosen, frames, run, pasted=True):
        for index, result in zip(batch, _detail_batch(canvas.frames, chosen, batch, run), strict=True):
            detailed.append(result.seg)
            cnet_images.extend(result.cnet_images)
            if result.crops is None:
                continue
            progress = _progress(chosen, index, run)
            progress.at("paste")
            mask = paste_mask(result.seg, frames, run.settings.feather, run.settings.grow)
            between = None if run.observer is None else partial(progress.at, "paste", steps=len(frames))
            canvas.paste(result.crops, mask, result.seg.crop_region, between=between)
            canvas.replace(run.hook.pasted(canvas.frames))
    if in_place and canvas.frames is not frames:
        # A hook put its own tensor in place of the caller's.
        return frames.copy_(canvas.frames), (size, detailed), cnet_images
    return canvas.frames, (size, detailed), cnet_images


def _choose_segs(frames: Tensor, segs: object, run: Run) -> SEGS:
    prepared = prepare_segs(segs, frames)
    if run.hook.defines("post_detection"):
        prepared = prepare_segs(run.hook.segments(prepared), frames)
    warn_about_counts(prepared, len(frames))
    check_subjects(run.subjects, [SubjectName(place, str(seg.label)) for place, seg in enumerate(prepared[1], start=1)])
    if prepared[1]:
        check_count(len(frames), run.models.geometry)
        warn_about_conditioning(run.models.conditionings, (frames.shape[1], frames.shape[2]))
    run.hook.announce(sum(is_inside(seg, frames) for seg in prepared[1]) if len(frames) else 0)
    if not (run.hook.is_given or run.models.paints_nothing):
        # A hook is asked once for each segment, when its turn comes.
        for index, seg in enumerate(prepared[1]):
            working_size(seg, run.for_segment(index, seg))
    return prepared


def _detail_batch(frames: Tensor, segs: Sequence[SEG], batch: Sequence[int], run: Run) -> list[DetailedSegment]:
    progresses = [_progress(segs, index, run) for index in batch]
    # Those of a batch have one run.
    own = run.for_segment(batch[0], segs[batch[0]])
    if len(batch) > 1:
        return detail_together(frames, [segs[index] for index in batch], own, progresses)
    return [detail_segment(frames, segs[batch[0]], own, progresses[0])]


def _progress(segs: Sequence[SEG], index: int, run: Run) -> SegmentProgress:
    return SegmentProgress(run.observer, index, len(segs), str(segs[index].label))
