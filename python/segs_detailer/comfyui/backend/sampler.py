"""The detailer's sampler over a graph's model: ComfyUI samples, so whatever is applied to the model works."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, ClassVar

import comfy.sample
import comfy.samplers
import torch

from segs_detailer.comfyui.audio import GraphSound
from segs_detailer.comfyui.backend.differential import threshold_for, with_threshold
from segs_detailer.comfyui.backend.hearing import check_frame_rate, empty_latents, sound_latents
from segs_detailer.comfyui.backend.mask_support import check_masks
from segs_detailer.comfyui.backend.schedules import levels_of
from segs_detailer.comfyui.backend.stages import StagedRun
from segs_detailer.comfyui.backend.streams import is_nested, nested, streams_of
from segs_detailer.comfyui.backend.telling import tell_once
from segs_detailer.comfyui.backend.traits import ModelTraits, check_hears
from segs_detailer.comfyui.backend.vae import GraphVAE
from segs_detailer.comfyui.names import scheduler_names
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, ModelError
from segs_detailer.models.denoise_mask import clip_mask, latent_mask
from segs_detailer.models.frame_noise import clip_noise
from segs_detailer.models.info import ModelInfo
from segs_detailer.models.interface import Sampler
from segs_detailer.models.stages import total_steps

if TYPE_CHECKING:
    from torch import Tensor

    from segs_detailer.comfyui.backend.traits import Hears
    from segs_detailer.models.denoise_mask import DifferentialThreshold
    from segs_detailer.models.frame_noise import FrameNoise
    from segs_detailer.models.interface import Conditioning, RefinerStage, SampleJob

__all__ = ["ComfySampler"]

# Channel value of a masked pixel in what inpainting checkpoints are shown.
_GRAY = 0.5

# Where patches with a control network keep what they show it.
_PICTURES = ("image", "inpaint_image", "control_video", "source_video", "mask")


class ComfySampler(Sampler):
    """A ComfyUI model and VAE behind the detailer's protocol. Latents are those of ComfyUI's LATENT.

    Parameters
    ----------
    model : ModelPatcher
        The model, with whatever is applied to it.
    vae : comfy.sd.VAE
        The VAE.

    Raises
    ------
    ModelError
        `vae` is no VAE of ComfyUI.
    """

    takes_custom_sampler: ClassVar[bool] = True

    def __init__(self, model: Any, vae: Any) -> None:
        self.model = model
        self._traits = ModelTraits.of(model)
        self._vae = GraphVAE(vae, of_pictures=self._traits.of_pictures, token=self._traits.token)
        self._last_heard: tuple[GraphSound, int, Tensor] | None = None

    @property
    def info(self) -> ModelInfo:
        """Sizes and frame counts that the VAE can take; ComfyUI's samplers and schedules, and those of other packs.

        Memory is ComfyUI's own affair: it loads and unloads the networks itself.
        """
        return ModelInfo(
            family="ComfyUI",
            geometry=self._vae.geometry,
            sampler_names=tuple(comfy.samplers.KSampler.SAMPLERS),
            scheduler_names=tuple(scheduler_names()),
        )

    @property
    def in_pipe(self) -> Any:
        """The graph's model."""
        return self.model

    @property
    def of_whole_frames(self) -> tuple[str, ...]:
        """Control networks that are patched into the model, with their pictures."""
        options = self.model.model_options.get("transformer_options", {})
        patches = [patch for each in options.get("patches", {}).values() for patch in each]
        patches += [patch for each in options.get("patches_replace", {}).values() for patch in each.values()]
        return tuple(dict.fromkeys(name for patch in patches for name in _shown_pictures(patch)))

    def encode(self, frames: Tensor) -> Tensor:
        """Encode `(B, H, W, 3)` in [0, 1], see `GraphVAE.encode`."""
        return self._vae.encode(frames)

    def decode(self, latents: Tensor, *, full_precision: bool = False) -> Tensor:
        """Decode to `(B, H, W, 3)` in [0, 1], see `GraphVAE.decode`."""
        return self._vae.decode(latents, full_precision=full_precision)

    def to_model(self, latents: Tensor) -> Tensor:
        """Scale latents of the VAE as the model takes them, and as callbacks see them."""
        scaled: Tensor = self.model.model.process_latent_in(latents)
        return scaled

    def sample(self, latents: Tensor, job: SampleJob) -> Tensor:
        """Repaint latents.

        Parameters
        ----------
        latents : Tensor or NestedTensor
            `(B, C, h, w)`, or `(1, C, T, h, w)` of a video VAE; or those nested with latents of sound. Not changed.
        job : SampleJob
            The job. `negative` may be a placeholder, or empty, for models that take guidance as a number.

        Returns
        -------
        Tensor or NestedTensor
            The last prediction, of the same shape; `latents` itself where the schedule leaves no steps to run.

        Raises
        ------
        ModelError
            The refiner is not a ComfyUI model, or works on other latents; this ComfyUI repaints the model's masked
            latents wrongly.
        InvalidTypeError
            `job.custom_sampler` is no SAMPLER, or `job.sound` not what the node for sound gives.
        InvalidArgumentError
            `inpaint_model` with a model of clips, noise of another shape, a schedule that neither ComfyUI nor Impact
            Pack has, or sound that the model cannot hear.
        """
        if job.custom_sampler is not None and not isinstance(job.custom_sampler, comfy.samplers.Sampler):
            got = type(job.custom_sampler).__name__
            raise InvalidTypeError("custom_sampler", "a SAMPLER of ComfyUI, or None", got)
        total = total_steps(job.steps, job.denoise)
        start = total - job.steps
        schedule = levels_of(self.model, job, total)
        # Some schedules have levels beyond the run's last one.
        schedule[total : total + 1] = 0
        sigmas = schedule[start : total + 1]
        if len(sigmas) < 2:
            return latents
        source = self._source(latents, job)
        mask = self._mask(job, source)
        if mask is not None:
            check_masks(self.model, self._traits)
        run = StagedRun(
            job=job,
            schedule=schedule,
            steps=len(sigmas) - 1,
            source=source,
            noise=self._noise(source, job),
            frame_noise=self._frame_noise(source, job),
            frame_axis=self._frame_axis(source),
            mask=mask,
        )
        positive, negative = self._conditioning(job, source)
        threshold = self._threshold(job, sigmas) if mask is not None else None
        refiner = job.refiner
        split = job.steps if refiner is None else math.floor(job.steps * (1 - refiner.ratio))
        result = source
        if split > 0:
            result = run.stage(with_threshold(self.model, threshold), positive, negative, sigmas[: split + 1])
        if refiner is not None and len(sigmas[split:]) > 1:
            model = with_threshold(_refiner_model(self.model, refiner), threshold)
            positive, negative = self._timed(refiner.positive, job), self._timed(refiner.negative, job)
            result = run.stage(model, positive, negative, sigmas[split:])
        given: Tensor = _as_given(result, latents)
        return given

    def _source(self, latents: Any, job: SampleJob) -> Any:
        """Put sound beside the pictures, where the job or the model wants it."""
        if is_nested(latents):
            if job.sound is not None:
                raise InvalidArgumentError("audio_opt", "no sound beside latents that have their own", "some")
            return latents
        # Models of clips take even single pictures with an axis for time.
        pictures: Tensor = comfy.sample.fix_empty_latent_channels(self.model, latents)
        if job.sound is None and not self._traits.needs_sound:
            return pictures
        check_hears(self._traits)
        hears = self._traits.hears
        frames = self._vae.packing.frames(pictures.shape[2])
        if job.sound is None or hears is None:
            return nested([pictures, empty_latents(frames).to(pictures)])
        if not isinstance(job.sound, GraphSound):
            raise InvalidTypeError("sound", "what Audio for Detailer gives", type(job.sound).__name__)
        return nested([pictures, self._heard(job.sound, frames, hears).to(pictures)])

    def _heard(self, sound: GraphSound, frames: int, hears: Hears) -> Tensor:
        """Encode sound once for all segments: they have the same frames, and its VAE would push the model aside."""
        if self._last_heard is None or self._last_heard[:2] != (sound, frames):
            self._last_heard = (sound, frames, sound_latents(sound, frames, hears))
        return self._last_heard[2]

    def _threshold(self, job: SampleJob, sigmas: Tensor) -> DifferentialThreshold | None:
        if not job.differential:
            return None
        if self._traits.reads_mask:
            # The model would hear of other noise levels than those of what it sees.
            tell_once(
                f"{self._traits.name} reads the noise mask itself: soft edges are repainted in part, not one after the "
                "other",
                logging.INFO,
            )
            return None
        return threshold_for(self.model, sigmas)

    def _frame_axis(self, source: Any) -> int:
        """Latents of clips have an axis for time; so have those of some pictures, with one place on it."""
        return 0 if self._is_of_pictures(source) else 2

    def _is_of_pictures(self, source: Any) -> bool:
        shape = streams_of(source)[0].shape
        return len(shape) == 4 or (not self._vae.is_of_clips and shape[2] == 1)

    def _frame_noise(self, source: Any, job: SampleJob) -> FrameNoise:
        rule = job.frame_noise
        return rule if self._is_of_pictures(source) else rule.for_latents(self._vae.packing)

    def _noise(self, source: Any, job: SampleJob) -> Any:
        pictures, *others = streams_of(source)
        if job.noise is None and job.frame_noise.is_plain:
            return comfy.sample.prepare_noise(source, job.seed)
        if others and is_nested(job.noise):
            return job.noise
        if job.noise is None:
            # A graph's latents are on the CPU, as noise is.
            own = clip_noise(pictures, job.seed, self._frame_noise(source, job), axis=self._frame_axis(source))
        elif job.noise.shape == pictures.shape:
            own = job.noise
        else:
            raise InvalidArgumentError("noise", f"shape {tuple(pictures.shape)}", f"shape {tuple(job.noise.shape)}")
        if not others:
            return own
        # The noise of the sound is what it is without rules for the pictures.
        return nested([own, *streams_of(comfy.sample.prepare_noise(source, job.seed))[1:]])

    def _mask(self, job: SampleJob, source: Any) -> Any:
        pictures, *others = streams_of(source)
        given = [None] if job.noise_mask is None else streams_of(job.noise_mask)
        mask = self._picture_mask(given[0], pictures)
        held = isinstance(job.sound, GraphSound) and job.sound.is_held
        if not others or (mask is None and not held and len(given) == 1):
            return mask
        first = pictures.new_ones(1, 1, *pictures.shape[2:]) if mask is None else mask
        rest = given[1:] or [other.new_full((1, 1, *other.shape[2:]), float(not held)) for other in others]
        return nested([first, *rest])

    def _picture_mask(self, mask: Tensor | None, source: Tensor) -> Tensor | None:
        if mask is None or source.ndim == 4 or mask.ndim == source.ndim:
            # ComfyUI itself brings the masks of pictures to the latents' size.
            return mask
        if self._is_of_pictures(source):
            return latent_mask(mask, source[:, :, 0])[:, :, None]
        return clip_mask(mask, source, self._vae.packing)

    def _conditioning(self, job: SampleJob, source: Any) -> tuple[Conditioning, Conditioning]:
        """Show the mask and the masked picture to an inpainting checkpoint, by the keys that ComfyUI reads."""
        positive, negative = self._timed(job.positive, job), self._timed(job.negative, job)
        if not job.inpaint_model:
            return positive, negative
        if source.ndim != 4:
            raise InvalidArgumentError("inpaint_model", "False for models of clips: the noise mask is enough", "True")
        count, height, width, _ = job.pixels.shape
        mask = job.pixels.new_ones((1, height, width)) if job.noise_mask is None else job.noise_mask.to(job.pixels)
        kept = 1 - mask[..., None].round()
        masked = (job.pixels[..., :3] - _GRAY) * kept + _GRAY
        # One mask for all frames still means a masked picture of each.
        shown = {"concat_latent_image": self.encode(masked.expand(count, -1, -1, -1)), "concat_mask": mask[:, None]}
        return _with_values(positive, shown), _with_values(negative, shown)

    def _timed(self, conditioning: Conditioning, job: SampleJob) -> Conditioning:
        """Tell the model the frame rate, where it asks, so that the sound passes by as fast as the pictures."""
        if job.sound is None or job.frame_rate is None or not self._traits.told_rate:
            return conditioning
        check_frame_rate(conditioning, job.frame_rate)
        timed: Conditioning = _with_values(conditioning, {"frame_rate": job.frame_rate})
        return timed


def _shown_pictures(patch: Any) -> list[str]:
    """Name the control network that a patch of ComfyUI's stands for, and those that it replaced."""
    names = []
    while patch is not None:
        control = getattr(patch, "control_patch", patch)
        if hasattr(control, "model_patch") and any(getattr(control, name, None) is not None for name in _PICTURES):
            names.append(type(control).__name__)
        patch = getattr(patch, "previous", None)
    return names


def _as_given(result: Any, like: Any) -> Any:
    """Bring a result to the layout that was given: its streams, their shapes and their dtype."""
    pairs = zip(streams_of(result), streams_of(like), strict=is_nested(like))
    return nested([torch.as_tensor(stream).reshape(given.shape).to(given) for stream, given in pairs])


def _refiner_model(base: Any, refiner: RefinerStage) -> Any:
    if not isinstance(refiner.sampler, ComfySampler):
        raise ModelError(f"the refiner is a {type(refiner.sampler).__name__}: expected a ComfyUI model as the base is")
    model = refiner.sampler.model
    own, others = base.get_model_object("latent_format"), model.get_model_object("latent_format")
    if type(own) is not type(others):
        raise ModelError(
            f"the refiner works on {type(others).__name__} latents, the base model on {type(own).__name__} latents"
        )
    return model


def _with_values(conditioning: Any, values: dict[str, Any]) -> Any:
    if not isinstance(conditioning, (list, tuple)):
        return conditioning
    return [[embedding, {**details, **values}] for embedding, details in conditioning]
