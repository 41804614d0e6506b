"""One piece, or a group of pieces, through the detailer: a clip of nothing but crops."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.detailer.models import Models
from segs_detailer.detailer.settings import DetailerSettings
from segs_detailer.detailer.subject_models import models_under, pipe_with_loras
from segs_detailer.detailer.subject_settings import SubjectName, SubjectSettings, settings_of
from segs_detailer.jobs.store import to_floats, to_samples
from segs_detailer.jobs.threads import one_torch_thread
from segs_detailer.jobs.used_settings import UsedSetting, used_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from segs_detailer.detailer.progress import Progress
    from segs_detailer.detailer.subject_settings import Subjects
    from segs_detailer.jobs.best_frames import BestFrames
    from segs_detailer.jobs.pieces import Piece
    from segs_detailer.jobs.plan import TrackPlan
    from segs_detailer.jobs.sound import ClipSound
    from segs_detailer.segs import SEG

__all__ = ["Detailing", "seg_of"]


@dataclass(frozen=True, slots=True)
class Detailing:
    """How pieces are sampled.

    Parameters
    ----------
    pipe : BasicPipe, tuple or Sampler
        The models.
    settings : DetailerSettings
        How the detailer repaints them; what is left open is what the model recommends.
    refiner_pipe : BasicPipe, tuple, Sampler or None
        The refiner's models.
    subjects : mapping
        What single subjects have otherwise.
    frame_rate : float or None
        Frames per second of the clip.
    sound : ClipSound or None
        What the model hears meanwhile.
    best_frames : BestFrames or None
        What shows it the subjects of which the user names no picture.
    """

    pipe: Any
    settings: DetailerSettings = field(default_factory=DetailerSettings)
    refiner_pipe: Any = None
    subjects: Subjects = field(default_factory=dict)
    frame_rate: float | None = None
    sound: ClipSound | None = None
    best_frames: BestFrames | None = None
    _of_subjects: dict[SubjectSettings, Models] = field(init=False, repr=False, compare=False, default_factory=dict)

    def details_of(self, name: SubjectName) -> tuple[SubjectSettings, DetailerSettings, tuple[UsedSetting, ...]]:
        """Return what a subject has otherwise, all its settings, and which of these its own LoRAs recommend."""
        own, base = settings_of(self.subjects, name), self._models.base
        sampler, given = pipe_with_loras(base, own).sampler, own.applied(self.settings)
        settled = given.with_recommended(sampler.info.recommended.settings())
        usual = {str(each) for each in used_settings(given, base.sampler)}
        used = [each for each in used_settings(given, sampler) if each.is_recommended and str(each) not in usual]
        return own, settled, tuple(used)

    @property
    def _models(self) -> Models:
        return Models.of(self.pipe, self.refiner_pipe, names=("pipe", "refiner_pipe"))

    def _models_for(self, own: SubjectSettings) -> Models:
        """Return the models for a subject; prompts and pictures are encoded once."""
        if own not in self._of_subjects:
            self._of_subjects[own] = models_under(self._models, own)
        return self._of_subjects[own]

    def _shown(self, plan: TrackPlan, tracks: Sequence[TrackPlan]) -> Models:
        """Return the models for a track, shown its best frame where they keep to pictures and there is no other."""
        models = self._models_for(plan.own) if plan.own.of_model else self._models
        if self.best_frames is None or plan.own.reference:
            return models
        sampler = models.base.sampler
        picture = sampler.encode_image_prompt([self.best_frames.picture(plan, tracks)])
        return replace(models, base=models.base.with_sampler(sampler.with_image_prompt(picture)))

    def sample(
        self,
        group: Sequence[Piece],
        tracks: Sequence[TrackPlan],
        crops: Sequence[NDArray[Any]],
        progress: Callable[[Progress], None],
    ) -> list[NDArray[Any]]:
        """Sample pieces of one size, span and settings together.

        Parameters
        ----------
        group : sequence of Piece
            The pieces.
        tracks : sequence of TrackPlan
            All tracks of the plan.
        crops : sequence of ndarray
            Of each piece, `(n, h, w, 3)` uint8 or uint16.
        progress : callable
            Called with the progress; its `segment` is the place in the group.

        Returns
        -------
        list of ndarray
            Of each piece `(n, h, w, 4)` in the dtype of its crops: the new colors, and the mask.
        """
        # A run is planned, and its first frames are decoded, before anything needs torch.
        from segs_detailer.detailer.api import detail_frames

        plans = [tracks[piece.track] for piece in group]
        masks = [plan.masks_of(piece.low, piece.high) for plan, piece in zip(plans, group, strict=True)]
        frames, places = _side_by_side(crops)
        segs = [seg_of(plan, mask, place) for plan, mask, place in zip(plans, masks, places, strict=True)]
        pipe, refiner_pipe = self.pipe, self.refiner_pipe
        if plans[0].own.of_model or self.best_frames is not None:
            models = self._shown(plans[0], tracks)
            pipe, refiner_pipe = models.base.parts, None if models.refiner is None else models.refiner.parts
        with one_torch_thread(only_if=bool(self._models.base.sampler.info.note)):
            result = detail_frames(
                frames,
                (frames.shape[1:3], segs),
                pipe,
                replace(plans[0].detail_of(group[0]), noise_start=_noise_start(plans[0], group[0])),
                refiner_pipe=refiner_pipe,
                frame_rate=self.frame_rate,
                sound=None if self.sound is None else self.sound.between(group[0].low, group[0].high),
                in_place=True,
                progress=progress,
            )
        del frames
        new = list(result.segs[1])
        del result
        return [_with_mask(new.pop(0).cropped_image, mask, own) for mask, own in zip(masks, crops, strict=True)]


def seg_of(plan: TrackPlan, masks: Any, place: tuple[int, int, int, int]) -> SEG:
    """Make the SEG of a track in a clip of its crops.

    Parameters
    ----------
    plan : TrackPlan
        The track.
    masks : ndarray
        `(n, h, w)`.
    place : (int, int, int, int)
        Where its crops lie in the clip's frames.
    """
    left, top = plan.path[:2]
    x1, y1, x2, y2 = plan.bbox
    bbox = (x1 - left + place[0], y1 - top + place[1], x2 - left + place[0], y2 - top + place[1])
    return plan.seg._replace(cropped_mask=masks, crop_region=place, bbox=bbox)


def _side_by_side(crops: Sequence[NDArray[Any]]) -> tuple[NDArray[np.float32], list[tuple[int, int, int, int]]]:
    """Lay the crops of several pieces into one clip, and tell where each is."""
    if len(crops) == 1:
        height, width = crops[0].shape[1:3]
        return to_floats(crops[0]), [(0, 0, width, height)]
    height, width = max(stack.shape[1] for stack in crops), sum(stack.shape[2] for stack in crops)
    frames = np.zeros((len(crops[0]), height, width, 3), np.float32)
    places, left = [], 0
    for stack in crops:
        place = (left, 0, left + stack.shape[2], stack.shape[1])
        frames[:, : place[3], place[0] : place[2]] = to_floats(stack)
        places.append(place)
        left = place[2]
    return frames, places


def _noise_start(plan: TrackPlan, piece: Piece) -> int | None:
    """Let pieces of one track draw the same noise for the same frame; a track of one piece is a whole clip."""
    return piece.low - plan.span[0] if len(plan.pieces) > 1 else None


def _with_mask(pixels: NDArray[np.float32], masks: NDArray[np.uint8], crops: NDArray[Any]) -> NDArray[Any]:
    """Put colors and masks into one array; where a whole frame came back as it was, nothing is to be pasted."""
    dtype = crops.dtype
    out = np.empty((*masks.shape, 4), dtype)
    levels = dtype.type(np.iinfo(dtype).max // np.iinfo(masks.dtype).max)
    for target, frame, mask, crop in zip(out, pixels, masks, crops, strict=True):
        target[..., :3] = to_samples(frame, dtype)
        np.multiply(mask, 0 if np.array_equal(target[..., :3], crop) else levels, out=target[..., 3])
    return out
