"""The run: segment by segment, crop, scale up, repaint, scale back, paste."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from segs_detailer.detailer.conditioning import crop_conditioning
from segs_detailer.detailer.crops import change_region, check_frames, crop_stack, is_inside, prepare_segs
from segs_detailer.detailer.pasting import Canvas, paste_mask
from segs_detailer.detailer.plan import WorkingSize, fit_size, plan_size, reflect_frames
from segs_detailer.detailer.progress import SegmentProgress
from segs_detailer.detailer.settings import check_names
from segs_detailer.errors import ModelError
from segs_detailer.ops import feather_mask, resize_frames, resize_masks
from segs_detailer.sampling.protocol import RefinerStage, SampleJob
from segs_detailer.segs import SEG, mask_frames

if TYPE_CHECKING:
    from torch import Tensor

    from segs_detailer.detailer.hooks import HookCalls, Latent
    from segs_detailer.detailer.models import Models
    from segs_detailer.detailer.progress import Observer
    from segs_detailer.detailer.prompts import SegmentPrompts
    from segs_detailer.detailer.settings import DetailerSettings
    from segs_detailer.sampling.protocol import Conditioning, Sampler
    from segs_detailer.segs import SEGS

__all__ = ["DetailedSegment", "Run", "SegmentWarning", "detail_and_paste", "detail_segment", "detail_segs"]


class SegmentWarning(UserWarning):
    """A segment was left as it was; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class Run:
    """What stays the same for all segments.

    Parameters
    ----------
    models : Models
        The models.
    settings : DetailerSettings
        The settings.
    hook : HookCalls
        The caller's hook.
    observer : Observer or None
        Who is told of the progress; what it raises ends the run.
    prompts : SegmentPrompts or None
        Prompts of single segments.
    """

    models: Models
    settings: DetailerSettings
    hook: HookCalls
    observer: Observer | None = None
    prompts: SegmentPrompts | None = None

    def __post_init__(self) -> None:
        check_names(self.settings, self.models.base.sampler)

    def for_segment(self, index: int, seg: SEG) -> Run:
        """Put this run under a segment's own prompt; the run itself comes back where it has none."""
        models = None if self.prompts is None else self.prompts.models(index, seg)
        return self if models is None else replace(self, models=models)


@dataclass(frozen=True, slots=True)
class DetailedSegment:
    """One segment's result.

    Parameters
    ----------
    seg : SEG
        The segment with its crops as `cropped_image`, a float32 array `(B, h, w, 3)`, and no control wrapper.
    crops : Tensor or None
        The same crops as a tensor on the frames' device; None where the segment was left as it was.
    cnet_images : list of Tensor
        Images of the control wrapper.
    """

    seg: SEG
    crops: Tensor | None
    cnet_images: list[Tensor]


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
    for index, seg in enumerate(chosen):
        progress = SegmentProgress(run.observer, index, len(chosen), str(seg.label))
        result = detail_segment(frames, seg, run.for_segment(index, seg), progress)
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
    for index, seg in enumerate(chosen):
        progress = SegmentProgress(run.observer, index, len(chosen), str(seg.label))
        result = detail_segment(canvas.frames, seg, run.for_segment(index, seg), progress)
        detailed.append(result.seg)
        cnet_images.extend(result.cnet_images)
        if result.crops is not None:
            progress.at("paste")
            canvas.paste(result.crops, paste_mask(result.seg, frames, run.settings.feather), result.seg.crop_region)
            canvas.replace(run.hook.pasted(canvas.frames))
    if in_place and canvas.frames is not frames:
        # A hook put its own tensor in place of the caller's.
        return frames.copy_(canvas.frames), (size, detailed), cnet_images
    return canvas.frames, (size, detailed), cnet_images


def detail_segment(frames: Tensor, seg: SEG, run: Run, progress: SegmentProgress) -> DetailedSegment:
    """Repaint the crops of one segment.

    Parameters
    ----------
    frames : Tensor
        `(B, H, W, 3 or 4)`; not changed.
    seg : SEG
        A checked segment in the frames' size.
    run : Run
        Models and settings.
    progress : SegmentProgress
        Who is told.

    Returns
    -------
    DetailedSegment
        The new crops. A segment that lies outside the frames, or whose result is not finite, keeps its own, with a
        `SegmentWarning`.
    """
    seg = change_region(seg, run.hook, frames)
    progress.at("crop")
    crops = crop_stack(frames, seg)
    count, height, width = crops.shape[:3]
    if count == 0 or not is_inside(seg, frames):
        if count:
            _warn(seg, progress, "its crop region holds no pixel of the frames")
        return DetailedSegment(_with_crops(seg, crops), None, [])

    sampler = run.models.base.sampler
    pixels = resize_frames(crops, _working_size((height, width), seg, run))
    del crops
    pixels = run.hook.upscaled(pixels)
    order = reflect_frames(count, sampler.geometry.frames_for(count))
    if len(order) > count:
        pixels = pixels[order]

    progress.at("encode")
    latents = sampler.encode(pixels)
    mask = _noise_mask(seg, order, count, pixels, run.settings)
    repainted, cnet_images = _sample(latents, pixels, mask, seg, frames, run, progress)
    cnet_images = [_without_padding(image, len(order), count) for image in cnet_images]
    del latents, pixels, mask

    progress.at("decode")
    decoded = _decode(repainted, count, run, progress, seg)
    if decoded is None:
        return DetailedSegment(_with_crops(seg, crop_stack(frames, seg)), None, cnet_images)
    decoded = decoded.to(device=frames.device, dtype=torch.float32).contiguous()
    result = resize_frames(decoded, (height, width))
    return DetailedSegment(_with_crops(seg, result), result, cnet_images)


def _choose_segs(frames: Tensor, segs: object, run: Run) -> SEGS:
    prepared = prepare_segs(segs, frames)
    if run.hook.defines("post_detection"):
        prepared = prepare_segs(run.hook.segments(prepared), frames)
    if run.prompts is not None:
        run.prompts.check(prepared[1])
    return prepared


def _working_size(size: tuple[int, int], seg: SEG, run: Run) -> tuple[int, int]:
    settings = run.settings
    planned = plan_size(
        size,
        seg.bbox,
        guide_size=settings.guide_size,
        guide_size_for_bbox=settings.guide_size_for_bbox,
        max_size=settings.max_size,
    )
    multiple = run.models.base.sampler.geometry.size_multiple
    touched = run.hook.scaled_size(planned.height, planned.width)
    if touched == (planned.height, planned.width):
        return fit_size(planned, multiple=multiple, max_size=settings.max_size)
    # A hook's size is its own affair: only the model's multiple still counts.
    return fit_size(WorkingSize(*touched, scaled=True), multiple=multiple, max_size=max(*touched) + multiple)


def _noise_mask(seg: SEG, order: list[int], count: int, pixels: Tensor, settings: DetailerSettings) -> Tensor | None:
    """Where noise goes, `(1 or B, H, W)` at working size; None for everywhere."""
    working = (pixels.shape[1], pixels.shape[2])
    if seg.cropped_mask is None:
        # An inpainting checkpoint takes a mask in any case.
        return torch.ones((1, *working), device=pixels.device) if settings.inpaint_model else None
    x1, y1, x2, y2 = seg.crop_region
    masks: Tensor = mask_frames(seg.cropped_mask, (y2 - y1, x2 - x1), count, like=pixels)
    if settings.noise_mask_feather:
        masks = feather_mask(masks, settings.noise_mask_feather)
    masks = resize_masks(masks, working)
    return masks[order] if len(masks) > 1 and len(order) > count else masks


def _sample(
    latents: Tensor,
    pixels: Tensor,
    mask: Tensor | None,
    seg: SEG,
    frames: Tensor,
    run: Run,
    progress: SegmentProgress,
) -> tuple[Latent, list[Tensor]]:
    base, hook = run.models.base, run.hook
    frame_size = (frames.shape[1], frames.shape[2])
    positive = crop_conditioning(base.positive, seg.crop_region, frame_size)
    negative = crop_conditioning(base.negative, seg.crop_region, frame_size)
    model, positive, negative, cnet_images = _control(
        _bound(seg.control_net_wrapper, seg, frames), base.model, positive, negative, pixels, mask
    )

    latent: Latent = {"samples": latents} if mask is None else {"samples": latents, "noise_mask": mask}
    latent = hook.latent("post_encode", latent)
    hook.begin_cycle()
    latent = hook.latent("cycle_latent", latent)
    model, settings, positive, negative, latent = hook.prepare(model, run.settings, positive, negative, latent)
    noise = hook.noise(settings.seed, latent["samples"])

    sampler = base.sampler_of(model)
    check_names(settings, sampler)
    progress.at("sample", 0, settings.steps)
    job = SampleJob(
        pixels=pixels,
        positive=positive,
        negative=negative,
        seed=settings.seed,
        steps=settings.steps,
        cfg=settings.cfg,
        sampler_name=settings.sampler_name,
        scheduler=settings.scheduler,
        denoise=settings.denoise,
        noise_mask=latent.get("noise_mask"),
        differential=settings.noise_mask_feather > 0,
        inpaint_model=settings.inpaint_model,
        noise=noise,
        scheduler_func=settings.scheduler_func,
        refiner=_refiner(seg, frame_size, run),
        callback=None if run.observer is None else progress.after_step,
    )
    return {**latent, "samples": sampler.sample(latent["samples"], job)}, cnet_images


def _bound(wrapper: Any, seg: SEG, frames: Tensor) -> Any:
    """Tell a control wrapper that asks for it (this package's own do) where the segment is."""
    if not hasattr(wrapper, "for_segment"):
        return wrapper
    return wrapper.for_segment(tuple(seg.crop_region), (frames.shape[0], frames.shape[1], frames.shape[2]))


def _control(
    wrapper: Any,
    model: Any,
    positive: Conditioning,
    negative: Conditioning,
    pixels: Tensor,
    mask: Tensor | None,
) -> tuple[Any, Conditioning, Conditioning, list[Tensor]]:
    """Let a segment's control wrapper change conditioning and model."""
    cnet_images: list[Tensor] = []
    if hasattr(wrapper, "apply"):
        positive, negative, images = wrapper.apply(positive, negative, pixels, mask, use_acn=True)
        cnet_images.extend(images or [])
    if hasattr(wrapper, "doit_ipadapter"):
        model, images = wrapper.doit_ipadapter(model)
        cnet_images.extend(images or [])
    return model, positive, negative, cnet_images


def _refiner(seg: SEG, frame_size: tuple[int, int], run: Run) -> RefinerStage | None:
    refiner, ratio = run.models.refiner, run.settings.refiner_ratio
    if refiner is None or ratio is None:
        return None
    return RefinerStage(
        sampler=refiner.sampler,
        positive=crop_conditioning(refiner.positive, seg.crop_region, frame_size),
        negative=crop_conditioning(refiner.negative, seg.crop_region, frame_size),
        ratio=ratio,
    )


def _decode(latent: Latent, count: int, run: Run, progress: SegmentProgress, seg: SEG) -> Tensor | None:
    """Decode to crops, or to None where they are not finite even in full precision."""
    sampler = run.models.base.sampler
    latents = run.hook.latent("pre_decode", latent)["samples"]
    if not _is_finite(latents):
        _warn(seg, progress, "sampling gave values that are not finite")
        return None
    pixels = _decode_frames(sampler, latents, count, full_precision=False)
    if not _is_finite(pixels):
        pixels = _decode_frames(sampler, latents, count, full_precision=True)
    if not _is_finite(pixels):
        _warn(seg, progress, "decoding gave values that are not finite, in full precision too")
        return None
    pixels = run.hook.decoded(pixels)
    if not _is_finite(pixels):
        _warn(seg, progress, "detailer_hook.post_decode returned values that are not finite")
        return None
    return pixels


def _decode_frames(sampler: Sampler, latents: Tensor, count: int, *, full_precision: bool) -> Tensor:
    pixels = sampler.decode(latents, full_precision=full_precision)
    if pixels.ndim != 4 or pixels.shape[0] < count or pixels.shape[3] != 3:
        raise ModelError(f"the model decoded to shape {tuple(pixels.shape)} where ({count}, H, W, 3) was expected")
    return pixels[:count]


def _is_finite(values: Tensor) -> bool:
    # One pass without a temporary: NaN and infinities show in the extremes.
    return values.numel() == 0 or bool(torch.isfinite(torch.stack(torch.aminmax(values))).all())


def _without_padding(image: Any, padded: int, count: int) -> Any:
    if padded > count and isinstance(image, torch.Tensor) and image.ndim == 4 and image.shape[0] == padded:
        return image[:count]
    return image


def _with_crops(seg: SEG, crops: Tensor) -> SEG:
    return seg._replace(cropped_image=crops.cpu().numpy(), control_net_wrapper=None)


def _warn(seg: SEG, progress: SegmentProgress, reason: str) -> None:
    message = f"{progress.name} at {tuple(seg.crop_region)} was left as it was: {reason}"
    warnings.warn(message, SegmentWarning, stacklevel=2)
