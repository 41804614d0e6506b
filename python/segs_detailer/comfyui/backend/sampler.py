"""The detailer's sampler over a graph's model: ComfyUI samples, so whatever is applied to the model works."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import comfy.sample
import comfy.samplers

from segs_detailer.comfyui.backend.differential import threshold_for, with_threshold
from segs_detailer.comfyui.backend.schedules import levels_of
from segs_detailer.comfyui.backend.stages import StagedRun
from segs_detailer.comfyui.backend.vae import GraphVAE
from segs_detailer.comfyui.names import scheduler_names
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, ModelError
from segs_detailer.models.denoise_mask import clip_mask
from segs_detailer.models.frame_noise import clip_noise
from segs_detailer.models.info import ModelInfo
from segs_detailer.models.interface import Sampler
from segs_detailer.models.stages import total_steps

if TYPE_CHECKING:
    from torch import Tensor

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
        self._vae = GraphVAE(vae)

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
        latents : Tensor
            `(B, C, h, w)`, or `(1, C, T, h, w)` of a video VAE; not changed.
        job : SampleJob
            The job. `negative` may be a placeholder, or empty, for models that take guidance as a number.

        Returns
        -------
        Tensor
            The last prediction, of the same shape; `latents` itself where the schedule leaves no steps to run.

        Raises
        ------
        ModelError
            The refiner is not a ComfyUI model, or works on other latents.
        InvalidTypeError
            `job.custom_sampler` is no SAMPLER.
        InvalidArgumentError
            `inpaint_model` with a model of clips, noise of another shape, or a schedule that neither ComfyUI nor Impact
            Pack has.
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
        source: Tensor = comfy.sample.fix_empty_latent_channels(self.model, latents)
        run = StagedRun(
            job=job,
            schedule=schedule,
            steps=len(sigmas) - 1,
            source=source,
            noise=self._noise(source, job),
            frame_noise=self._frame_noise(source, job),
            frame_axis=_frame_axis(source),
            mask=self._mask(job, source),
        )
        positive, negative = self._conditioning(job, source)
        differential = job.differential and run.mask is not None
        threshold = threshold_for(self.model, sigmas) if differential else None
        refiner = job.refiner
        split = job.steps if refiner is None else math.floor(job.steps * (1 - refiner.ratio))
        result: Tensor = source
        if split > 0:
            result = run.stage(with_threshold(self.model, threshold), positive, negative, sigmas[: split + 1])
        if refiner is not None and len(sigmas[split:]) > 1:
            model = with_threshold(_refiner_model(self.model, refiner), threshold)
            result = run.stage(model, refiner.positive, refiner.negative, sigmas[split:])
        # Models of clips take even single pictures with an axis for time.
        return result.reshape(latents.shape).to(latents)

    def _frame_noise(self, source: Tensor, job: SampleJob) -> FrameNoise:
        rule = job.frame_noise
        return rule if source.ndim == 4 else rule.for_latents(self._vae.packing)

    def _noise(self, source: Tensor, job: SampleJob) -> Tensor:
        if job.noise is not None:
            if job.noise.shape != source.shape:
                raise InvalidArgumentError("noise", f"shape {tuple(source.shape)}", f"shape {tuple(job.noise.shape)}")
            return job.noise
        if job.frame_noise.is_plain:
            noise: Tensor = comfy.sample.prepare_noise(source, job.seed)
            return noise
        # A graph's latents are on the CPU, as noise is.
        return clip_noise(source, job.seed, self._frame_noise(source, job), axis=_frame_axis(source))

    def _mask(self, job: SampleJob, source: Tensor) -> Tensor | None:
        if job.noise_mask is None or source.ndim == 4:
            # ComfyUI itself brings the masks of pictures to the latents' size.
            return job.noise_mask
        return clip_mask(job.noise_mask, source, self._vae.packing)

    def _conditioning(self, job: SampleJob, source: Tensor) -> tuple[Conditioning, Conditioning]:
        """Show the mask and the masked picture to an inpainting checkpoint, by the keys that ComfyUI reads."""
        if not job.inpaint_model:
            return job.positive, job.negative
        if source.ndim != 4:
            raise InvalidArgumentError("inpaint_model", "False for models of clips: the noise mask is enough", "True")
        count, height, width, _ = job.pixels.shape
        mask = job.pixels.new_ones((1, height, width)) if job.noise_mask is None else job.noise_mask.to(job.pixels)
        kept = 1 - mask[..., None].round()
        masked = (job.pixels[..., :3] - _GRAY) * kept + _GRAY
        # One mask for all frames still means a masked picture of each.
        shown = {"concat_latent_image": self.encode(masked.expand(count, -1, -1, -1)), "concat_mask": mask[:, None]}
        return _with_values(job.positive, shown), _with_values(job.negative, shown)


def _shown_pictures(patch: Any) -> list[str]:
    """Name the control network that a patch of ComfyUI's stands for, and those that it replaced."""
    names = []
    while patch is not None:
        control = getattr(patch, "control_patch", patch)
        if hasattr(control, "model_patch") and any(getattr(control, name, None) is not None for name in _PICTURES):
            names.append(type(control).__name__)
        patch = getattr(patch, "previous", None)
    return names


def _frame_axis(source: Tensor) -> int:
    """Latents of clips have an axis for time."""
    return 0 if source.ndim == 4 else 2


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
