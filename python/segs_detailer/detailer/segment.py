"""One segment: crop, scale up, repaint, scale back. Several of one working size may be sampled together."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from segs_detailer.crop_path import CropPath, part_of_frames
from segs_detailer.detailer.canvas import Placed
from segs_detailer.detailer.conditioning import crop_conditioning
from segs_detailer.detailer.crops import change_region, crop_stack, is_inside
from segs_detailer.detailer.decoding import CropTexture, Fault, decode_crops
from segs_detailer.detailer.denoise_by_size import FrameDenoise, denoise_at
from segs_detailer.detailer.paste_masks import grown_masks, paste_mask
from segs_detailer.detailer.plan import WorkingSize, check_side, fit_size, limited_size, plan_size, reflect_frames
from segs_detailer.detailer.previews import DeferredPreview
from segs_detailer.detailer.seams.color import match_colors
from segs_detailer.detailer.seams.round_trip import round_trip_error
from segs_detailer.detailer.settings import check_names
from segs_detailer.detailer.subject_models import models_under
from segs_detailer.detailer.subject_settings import SubjectName, settings_of
from segs_detailer.errors import ModelError
from segs_detailer.models.info import FramePacking
from segs_detailer.models.interface import RefinerStage, SampleJob
from segs_detailer.ops.frames import resize_frames
from segs_detailer.ops.masks import feather_mask, resize_masks
from segs_detailer.segs import SEG, mask_frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from segs_detailer.detailer.hooks import HookCalls, Latent
    from segs_detailer.detailer.models import Models
    from segs_detailer.detailer.progress import Observer, SegmentProgress
    from segs_detailer.detailer.settings import DetailerSettings
    from segs_detailer.detailer.subject_settings import Subjects, SubjectSettings
    from segs_detailer.models.interface import Conditioning, Sampler
    from segs_detailer.models.sound import Sound

__all__ = [
    "DetailedSegment",
    "Run",
    "SegmentWarning",
    "detail_segment",
    "detail_together",
    "frame_denoise",
    "working_size",
]


_SEEDS = 2**64
_ATTEMPTS = 3
"""Results of a segment, by as many seeds, that a hook may see before it is left as it was."""


class SegmentWarning(UserWarning):
    """A segment was left as it was; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class Run:
    """What stays the same for all segments, but for what single subjects have otherwise.

    Parameters
    ----------
    models : Models
        The models.
    settings : DetailerSettings
        The settings; what they leave open is what the model recommends.
    hook : HookCalls
        The caller's hook.
    observer : Observer or None
        Who is told of the progress; what it raises ends the run.
    subjects : mapping
        What single subjects have otherwise: see `segs_detailer.detailer.subject_settings`.
    frame_rate : float or None
        Frames per second.
    sound : Sound or None
        What is heard meanwhile.

    Attributes
    ----------
    given : DetailerSettings
        The settings as they were given.
    """

    models: Models
    settings: DetailerSettings
    hook: HookCalls
    observer: Observer | None = None
    subjects: Subjects = field(default_factory=dict)
    frame_rate: float | None = None
    sound: Sound | None = None
    given: DetailerSettings = field(init=False)
    _of_subjects: dict[SubjectSettings, Run] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        sampler = self.models.base.sampler
        if not self.models.paints_nothing:
            check_names(self.settings, sampler)
        # The dataclass is frozen: this is still its making.
        object.__setattr__(self, "given", self.settings)
        settings = self.settings.with_recommended(sampler.info.recommended.settings())
        object.__setattr__(self, "settings", settings)

    def for_segment(self, index: int, seg: SEG) -> Run:
        """Return the run of a segment, by its place from 0: this one where nothing is otherwise for it.

        Segments for which the same is otherwise get one run.
        """
        own = settings_of(self.subjects, SubjectName(index + 1, str(seg.label)))
        if not own.given:
            return self
        if own not in self._of_subjects:
            models, settings = models_under(self.models, own), own.applied(self.given)
            self._of_subjects[own] = Run(
                models, settings, self.hook, self.observer, frame_rate=self.frame_rate, sound=self.sound
            )
        return self._of_subjects[own]


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


@dataclass(frozen=True, slots=True)
class _OpenSegment:
    """A segment whose crops are encoded and not yet repainted.

    `order` are the crops' indices with the padding that the model asks for; `pixels`, `latents` and `mask` are the
    crops at working size, their latents, and where noise goes (None for everywhere), all with that padding;
    `correction` is what the VAE lost of them.
    """

    seg: SEG
    progress: SegmentProgress
    size: tuple[int, int]
    count: int
    order: list[int]
    pixels: Tensor
    latents: Tensor
    mask: Tensor | None
    texture: CropTexture
    correction: Tensor | None

    def sampled(self) -> _OpenSegment:
        """Let go of the crops, which nobody needs any more: decoding needs the memory."""
        none = self.pixels.new_empty(0)
        return replace(self, pixels=none, latents=none, mask=None)


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
        The new crops. A segment that lies outside the frames, or whose result has a `Fault`, keeps its own, with a
        `SegmentWarning`.
    """
    for attempt in range(_ATTEMPTS):
        segment = _begin(frames, seg, run, progress)
        if isinstance(segment, DetailedSegment):
            return segment
        latent, cnet_images = _sample(segment, frames, run, attempt)
        segment = segment.sampled()
        result = _finish(segment, latent, cnet_images, frames, run)
        if result.crops is None or not run.hook.wants_another(result.crops):
            return result
    return _left(segment.seg, frames, progress, f"the hook found each of {_ATTEMPTS} results bad", result.cnet_images)


def detail_together(
    frames: Tensor, segs: Sequence[SEG], run: Run, progresses: Sequence[SegmentProgress]
) -> list[DetailedSegment]:
    """Repaint the crops of several segments in one sampling run; each gets what it would get alone.

    Parameters
    ----------
    frames : Tensor
        `(B, H, W, 3 or 4)`; not changed.
    segs : sequence of SEG
        Segments that `batches.batch_segments` put together: of one working size, without control wrappers.
    run : Run
        Models and settings, without a hook.
    progresses : sequence of SegmentProgress
        Who is told of each.

    Returns
    -------
    list of DetailedSegment
        One for each segment, as `detail_segment` gives it.
    """
    begun = [_begin(frames, seg, run, progress) for seg, progress in zip(segs, progresses, strict=True)]
    opened = [segment for segment in begun if isinstance(segment, _OpenSegment)]
    latents = iter(_sample_together(opened, frames, run)) if opened else iter(())
    del opened
    begun = [segment if isinstance(segment, DetailedSegment) else segment.sampled() for segment in begun]
    return [
        segment if isinstance(segment, DetailedSegment) else _finish(segment, next(latents), [], frames, run)
        for segment in begun
    ]


def working_size(seg: SEG, run: Run) -> tuple[int, int]:
    """Height and width in pixels at which a segment's crops are repainted."""
    x1, y1, x2, y2 = seg.crop_region
    settings = run.settings
    planned = plan_size(
        (y2 - y1, x2 - x1),
        seg.bbox,
        guide_size=settings.sizes.guide_size,
        guide_size_for=settings.guide_size_for,
        max_size=settings.sizes.max_size,
        limit_size=settings.limit_size,
    )
    size = _fitted_size(planned, run)
    check_side(size, run.models.geometry.max_side, limit_size=settings.limit_size)
    return size


def frame_denoise(seg: SEG, count: int, run: Run) -> FrameDenoise | None:
    """Tell how far each frame of a segment is repainted, where its size says so; None where the settings say it.

    Parameters
    ----------
    seg : SEG
        A checked segment in the frames' size.
    count : int
        Frames.
    run : Run
        Models and settings.
    """
    settings, apart = run.settings, run.models.base.sampler.takes_frame_denoise
    if settings.frame_denoise is not None:
        return FrameDenoise.of(settings.frame_denoise, apart=apart)
    if settings.denoise_by_size is None:
        return None
    return FrameDenoise.of(denoise_at(settings.denoise_by_size, _subject_sizes(seg, count)), apart=apart)


def _subject_sizes(seg: SEG, count: int) -> NDArray[np.float64]:
    """Shorter side of the subject in each frame: of its mask, where each frame has one, else of its `bbox`."""
    x1, y1, x2, y2 = seg.bbox
    usual = np.full(count, float(min(x2 - x1, y2 - y1)))
    masks = seg.cropped_mask
    if masks is None or np.ndim(masks) < 3 or len(masks) != count:
        return usual
    left, top, right, bottom = seg.crop_region
    shown = mask_frames(masks, (bottom - top, right - left), count, like=torch.empty(0)) > 0.5
    sides = np.array([[_extent(shown[frame].any(dim=axis)) for axis in (0, 1)] for frame in range(count)]).min(axis=1)
    seen = np.flatnonzero(sides)
    return np.interp(np.arange(count), seen, sides[seen]) if len(seen) else usual


def _extent(shown: Tensor) -> int:
    places = shown.nonzero()
    return int(places[-1] - places[0]) + 1 if len(places) else 0


def _fitted_size(planned: WorkingSize, run: Run) -> tuple[int, int]:
    settings, max_size = run.settings, run.settings.sizes.max_size
    multiple = run.models.base.sampler.geometry.size_multiple
    touched = run.hook.scaled_size(planned.height, planned.width)
    if touched == (planned.height, planned.width):
        return fit_size(planned, multiple=multiple, max_size=max_size, limit_size=settings.limit_size)
    if settings.limit_size:
        limited = limited_size(touched, max_size)
        return fit_size(limited, multiple=multiple, max_size=max_size, limit_size=True)
    # A hook's size is its own affair: only the model's multiple still counts.
    return fit_size(WorkingSize(*touched, scaled=True), multiple=multiple, max_size=max(*touched) + multiple)


def _begin(frames: Tensor, seg: SEG, run: Run, progress: SegmentProgress) -> _OpenSegment | DetailedSegment:
    """Crop, scale up and encode; or give up where there is nothing to repaint."""
    seg = change_region(seg, run.hook, frames)
    progress.at("crop")
    crops = crop_stack(frames, seg)
    count, height, width = crops.shape[:3]
    if count == 0 or not is_inside(seg, frames):
        if count:
            hidden = isinstance(seg.crop_region, CropPath) and not seg.crop_region.alpha.any()
            _warn(
                seg, progress, "it is shown in no frame" if hidden else "its crop region holds no pixel of the frames"
            )
        return DetailedSegment(_with_crops(seg, crops), None, [])

    if run.models.paints_nothing:
        # Only crops that were brought are anything new to the frames.
        return DetailedSegment(_with_crops(seg, crops), None if seg.cropped_image is None else crops, [])

    sampler, size = run.models.base.sampler, (height, width)
    pixels = resize_frames(crops, working_size(seg, run))
    del crops
    mask = _noise_mask(seg, count, pixels, run.settings)
    pixels = run.hook.upscaled(pixels, mask)
    if run.hook.skips_sampling:
        result = _scaled_back(run.hook.decoded(pixels), seg, size, frames, run)
        return DetailedSegment(_with_crops(seg, result), result, [])
    order = reflect_frames(count, sampler.geometry.frames_for(count))
    if len(order) > count:
        pixels = pixels[order]
        mask = mask if mask is None or len(mask) == 1 else mask[order]

    progress.at("encode")
    latents = sampler.encode(pixels)
    texture = CropTexture.of(pixels, latents, mask, count, sampler.geometry.packing)
    correction = round_trip_error(sampler, pixels, latents, mask) if run.settings.vae_correction else None
    return _OpenSegment(seg, progress, size, count, order, pixels, latents, mask, texture, correction)


def _finish(
    segment: _OpenSegment, latent: Latent, cnet_images: list[Tensor], frames: Tensor, run: Run
) -> DetailedSegment:
    """Decode and scale back; or leave the segment as it was where that went wrong."""
    seg, progress = segment.seg, segment.progress
    cnet_images = [_without_padding(image, len(segment.order), segment.count) for image in cnet_images]
    progress.at("decode")
    decoded = decode_crops(run.models.base.sampler, run.hook, latent, segment.texture, segment.correction)
    if isinstance(decoded, Fault):
        return _left(seg, frames, progress, decoded.reason, cnet_images)
    result = _scaled_back(decoded, seg, segment.size, frames, run)
    return DetailedSegment(_with_crops(seg, result), result, cnet_images)


def _left(
    seg: SEG, frames: Tensor, progress: SegmentProgress, reason: str, cnet_images: list[Tensor]
) -> DetailedSegment:
    """Leave a segment as it was, and say why."""
    _warn(seg, progress, reason)
    return DetailedSegment(_with_crops(seg, crop_stack(frames, seg)), None, cnet_images)


def _scaled_back(decoded: Tensor, seg: SEG, size: tuple[int, int], frames: Tensor, run: Run) -> Tensor:
    """Bring repainted crops to the segment's size, and to the colors around it."""
    decoded = decoded.to(device=frames.device, dtype=torch.float32).contiguous()
    result: Tensor = resize_frames(decoded, size)
    return _matched(result, seg, frames, run.settings) if run.settings.color_match else result


def _matched(crops: Tensor, seg: SEG, frames: Tensor, settings: DetailerSettings) -> Tensor:
    """Bring repainted crops to the colors of the frames around them."""
    repainted = _repainted(seg, len(frames), crops, settings)
    if repainted is None:
        repainted = crops.new_ones((1, *crops.shape[1:3]))
    pasted = paste_mask(seg, frames, 0, settings.grow)
    around = crop_stack(frames, seg._replace(cropped_image=None))
    shown = part_of_frames(seg.crop_region, (frames.shape[1], frames.shape[2]))
    shown_frames = torch.from_numpy(shown).expand(len(frames))
    return match_colors(crops, around, pasted, repainted, settings.color_match, shown=shown_frames)


def _repainted(seg: SEG, count: int, like: Tensor, settings: DetailerSettings) -> Tensor | None:
    """Where noise goes, `(1 or B, h, w)` at the crops' size; None for everywhere."""
    if seg.cropped_mask is None:
        return None
    x1, y1, x2, y2 = seg.crop_region
    masks: Tensor = mask_frames(seg.cropped_mask, (y2 - y1, x2 - x1), count, like=like)
    masks = grown_masks(masks, settings.noise_mask_grow)
    return feather_mask(masks, settings.noise_mask_feather) if settings.noise_mask_feather else masks


def _noise_mask(seg: SEG, count: int, pixels: Tensor, settings: DetailerSettings) -> Tensor | None:
    """Where noise goes, `(1 or B, H, W)` at working size; None for everywhere."""
    working = (pixels.shape[1], pixels.shape[2])
    masks = _repainted(seg, count, pixels, settings)
    if masks is None:
        # An inpainting checkpoint takes a mask in any case.
        return torch.ones((1, *working), device=pixels.device) if settings.inpaint_model else None
    return resize_masks(masks, working)


def _sample(segment: _OpenSegment, frames: Tensor, run: Run, attempt: int) -> tuple[Latent, list[Tensor]]:
    """Repaint one segment's latents, with everything that may change the run; each attempt has a seed of its own."""
    seg, pixels, mask = segment.seg, segment.pixels, segment.mask
    base, hook = run.models.base, run.hook
    placed = _placed(segment, frames, base.sampler)
    positive, negative = crop_conditioning(base.positive, placed), crop_conditioning(base.negative, placed)
    model, positive, negative, cnet_images = _control(
        _bound(seg.control_net_wrapper, seg, frames), base.model, positive, negative, pixels, mask
    )

    latent: Latent = {"samples": segment.latents}
    if mask is not None:
        latent["noise_mask"] = mask
    latent = hook.latent("post_encode", latent)
    hook.begin_cycle()
    latent = hook.latent("cycle_latent", latent)
    denoise = frame_denoise(seg, segment.count, run)
    settings = run.settings if denoise is None else run.settings.with_denoise(*denoise)
    settings = replace(settings, seed=(settings.seed + attempt) % _SEEDS) if attempt else settings
    model, settings, positive, negative, latent = hook.prepare(model, settings, positive, negative, latent)
    noise = hook.noise(settings.seed, latent["samples"])

    sampler, custom = base.sampler_of(model), hook.custom_sampler
    for each in (sampler,) if run.models.refiner is None else (sampler, run.models.refiner.sampler):
        _refuse_whole_frames(each, placed)
    check_names(settings, sampler)
    if custom is not None and not sampler.takes_custom_sampler:
        raise ModelError(f"a model of the family {sampler.info.family!r} takes no sampler from get_custom_sampler")
    _begin_sampling(segment, sampler, settings)
    job = replace(
        _job(pixels, positive, negative, settings, run, segment.order),
        noise_mask=latent.get("noise_mask"),
        noise=noise,
        custom_sampler=custom,
        refiner=_refiner(placed, run),
        callback=None if run.observer is None else segment.progress.after_step,
    )
    return {**latent, "samples": sampler.sample(latent["samples"], job)}, cnet_images


def _sample_together(segments: Sequence[_OpenSegment], frames: Tensor, run: Run) -> list[Latent]:
    """Repaint the latents of several segments, one clip after the other."""
    base, count = run.models.base, len(segments)

    def after_step(step: int, total: int, x0: Tensor, x: Tensor, sigma: float) -> None:
        for segment, own_x0, own_x in zip(segments, x0.tensor_split(count), x.tensor_split(count), strict=True):
            segment.progress.after_step(step, total, own_x0, own_x, sigma)

    for segment in segments:
        _begin_sampling(segment, base.sampler, run.settings)
    # All of them have the same.
    denoise = frame_denoise(segments[0].seg, segments[0].count, run)
    settings = run.settings if denoise is None else run.settings.with_denoise(*denoise)
    order = segments[0].order
    # None of it belongs to a place, so that any region does.
    refiner = _refiner(_placed(segments[0], frames, base.sampler), run)
    job = replace(
        _job(torch.cat([each.pixels for each in segments]), base.positive, base.negative, settings, run, order),
        noise_mask=_joined_masks(segments),
        refiner=refiner,
        callback=None if run.observer is None else after_step,
        clips=count,
    )
    repainted = base.sampler.sample(torch.cat([segment.latents for segment in segments]), job)
    return [{"samples": part} for part in repainted.tensor_split(count)]


def _begin_sampling(segment: _OpenSegment, sampler: Sampler, settings: DetailerSettings) -> None:
    preview = DeferredPreview(sampler, segment.latents, segment.pixels, segment.count)
    segment.progress.begin_sampling(settings.sampling.steps, preview)


def _job(
    pixels: Tensor,
    positive: Conditioning,
    negative: Conditioning,
    settings: DetailerSettings,
    run: Run,
    order: Sequence[int],
) -> SampleJob:
    sampling, frames = settings.sampling._asdict(), settings.frame_denoise
    if settings.sigma_start is not None:
        sampling["denoise"] = 1.0
    return SampleJob(
        pixels=pixels,
        positive=positive,
        negative=negative,
        seed=settings.seed,
        **sampling,
        frame_denoise=None if frames is None else tuple(frames[index] for index in order),
        sigma_start=settings.sigma_start,
        differential=settings.noise_mask_feather > 0,
        inpaint_model=settings.inpaint_model,
        frame_noise=settings.frame_noise,
        scheduler_func=settings.scheduler_func,
        frame_rate=run.frame_rate,
        sound=run.sound,
    )


def _joined_masks(segments: Sequence[_OpenSegment]) -> Tensor | None:
    masks = [segment.mask.expand(len(segment.order), -1, -1) for segment in segments if segment.mask is not None]
    return torch.cat(masks) if masks else None


def _bound(wrapper: Any, seg: SEG, frames: Tensor) -> Any:
    """Tell a control wrapper that asks for it (this package's own do) where the segment is."""
    if not hasattr(wrapper, "for_segment"):
        return wrapper
    return wrapper.for_segment(seg.crop_region, (frames.shape[0], frames.shape[1], frames.shape[2]))


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


def _placed(segment: _OpenSegment, frames: Tensor, sampler: Sampler) -> Placed:
    return Placed(
        segment.seg.crop_region,
        (frames.shape[1], frames.shape[2]),
        segment.order,
        (segment.pixels.shape[1], segment.pixels.shape[2]),
        (segment.latents.shape[-2], segment.latents.shape[-1]),
        sampler.geometry.packing or FramePacking(),
    )


def _refuse_whole_frames(sampler: Sampler, placed: Placed) -> None:
    if sampler.of_whole_frames and not placed.is_whole_frame:
        raise ModelError(
            f"the model has {', '.join(sampler.of_whole_frames)}, with pictures of the whole frame that cannot be cut "
            "to a segment: take it out, or give the segments a ControlNet of their own"
        )


def _refiner(placed: Placed, run: Run) -> RefinerStage | None:
    refiner, ratio = run.models.refiner, run.settings.refiner_ratio
    if refiner is None or ratio is None:
        return None
    return RefinerStage(
        sampler=refiner.sampler,
        positive=crop_conditioning(refiner.positive, placed),
        negative=crop_conditioning(refiner.negative, placed),
        ratio=ratio,
    )


def _without_padding(image: Any, padded: int, count: int) -> Any:
    if padded > count and isinstance(image, torch.Tensor) and image.ndim == 4 and image.shape[0] == padded:
        return image[:count]
    return image


def _with_crops(seg: SEG, crops: Tensor) -> SEG:
    return seg._replace(cropped_image=crops.cpu().numpy(), control_net_wrapper=None)


def _warn(seg: SEG, progress: SegmentProgress, reason: str) -> None:
    message = f"{progress.name} at {tuple(seg.crop_region)} was left as it was: {reason}"
    warnings.warn(message, SegmentWarning, stacklevel=2)
