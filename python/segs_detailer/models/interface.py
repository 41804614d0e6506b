"""What every part of this package asks of a model, and nothing beside it is asked of any."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeAlias

from segs_detailer.errors import ModelError
from segs_detailer.models.compute import ComputeOptions
from segs_detailer.models.conditioning_keys import SPATIAL
from segs_detailer.models.frame_noise import FrameNoise

if TYPE_CHECKING:
    from os import PathLike

    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from segs_detailer.models.info import Geometry, ModelInfo
    from segs_detailer.models.sound import Sound

__all__ = [
    "Conditioning",
    "Preview",
    "RefinerStage",
    "SampleJob",
    "Sampler",
    "SchedulerFunc",
    "StepCallback",
    "of_one_clip",
]

Conditioning: TypeAlias = Sequence[Any]
"""Entries `[embedding, {"pooled_output": ..., "mask": ..., ...}]`, as ComfyUI's CONDITIONING."""

StepCallback: TypeAlias = "Callable[[int, int, Tensor, Tensor, float], None]"
"""Called after each step with `(step, total, x0, x, sigma)`; step counts from 0. It may raise to cancel."""

SchedulerFunc: TypeAlias = "Callable[[Any, str, int], Tensor]"
"""`(model, sampler_name, steps) -> sigmas`: replaces the named schedule, as ComfyUI's SCHEDULER_FUNC."""


Preview: TypeAlias = "Callable[[Tensor], NDArray[np.uint8] | None]"
"""Makes pictures `(B, h, w, 3)` of what a callback sees as x0; None where it cannot be shown."""


def of_one_clip(conditioning: Conditioning) -> bool:
    """Whether conditioning has parts that belong to a place: masks, areas, latents, ControlNets with their pictures."""
    options = [entry[1] for entry in conditioning if isinstance(entry, (list, tuple)) and len(entry) == 2]
    return any(given.get(key) is not None for given in options if isinstance(given, Mapping) for key in SPATIAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinerStage:
    """The model that finishes the last `ratio` of the steps.

    Parameters
    ----------
    sampler : Sampler
        The refiner, of the same backend as the base model's sampler.
    positive, negative : Conditioning
        The refiner's own conditioning, with masks already cropped.
    ratio : float
        Share of the steps in [0, 1]: the base model runs `floor(steps * (1 - ratio))` of them.
    """

    sampler: Sampler
    positive: Conditioning
    negative: Conditioning
    ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleJob:
    """One sampling run over the crops of one segment, or of several of one size.

    Parameters
    ----------
    pixels : Tensor
        The crops at working size, `(B, H, W, 3)` float32 in [0, 1]: what was encoded.
    positive, negative : Conditioning
        Conditioning with masks already cropped to the segment.
    seed : int
        Seed of the start noise, 0 to 2^64 - 1.
    steps : int
        Steps that are run. The schedule is made for `floor(steps / denoise)` and its last `steps` are run.
    cfg : float
        Classifier-free guidance scale; 1 needs no negative pass.
    sampler_name, scheduler : str
        Names as in ComfyUI's KSampler.
    custom_sampler : object or None
        What steps through the noise levels in place of `sampler_name`, for which the schedule is still made. Only for
        models that take it, see `Sampler.takes_custom_sampler`.
    denoise : float
        In (0, 1].
    frame_denoise : tuple of float or None
        Denoise of each frame of a clip, of which the highest is `denoise`: a frame joins the run at the noise level
        from which a run of its own would start. None: `denoise` for all. Only for models that take it, see
        `Sampler.takes_frame_denoise`.
    sigma_start : float or None
        Noise level in (0, 1] that the run starts from, in place of `denoise`, which is 1 then. Only for flows, see
        `Sampler.is_flow`.
    noise_mask : Tensor or None
        `(1 or B, H, W)` float32 in [0, 1] at working size: 1 is repainted, 0 is left as it was.
    differential : bool
        Differential diffusion: soft mask values join the repainting later.
    inpaint_model : bool
        The model is an inpainting checkpoint and gets the mask and the masked pixels' latents.
    noise : Tensor or None
        Start noise of the latents' shape with standard deviation 1, in place of the seed's.
    frame_noise : FrameNoise
        How the noise of the frames is correlated: the start's, where `noise` does not give it, and that of the steps.
    scheduler_func : SchedulerFunc or None
        Replaces `scheduler`.
    refiner : RefinerStage or None
        A second model for the last steps.
    callback : StepCallback or None
        Progress; it may raise to cancel.
    frame_rate : float or None
        Frames per second of the crops, for models that know time; None is not known.
    sound : Sound or None
        What is to be heard while the crops pass by, for models that hear: mouths follow it.
    clips : int
        Clips of equal length, one after the other in `pixels`, latents and `noise_mask`. Each gets what it would get
        alone, its noise too; more than one only where the sampler's `geometry.takes_clips`.
    """

    pixels: Tensor
    positive: Conditioning
    negative: Conditioning
    seed: int
    steps: int
    cfg: float
    sampler_name: str
    scheduler: str
    denoise: float
    frame_denoise: tuple[float, ...] | None = None
    sigma_start: float | None = None
    noise_mask: Tensor | None = None
    differential: bool = False
    inpaint_model: bool = False
    noise: Tensor | None = None
    frame_noise: FrameNoise = field(default_factory=FrameNoise)
    scheduler_func: SchedulerFunc | None = None
    custom_sampler: Any = None
    refiner: RefinerStage | None = None
    callback: StepCallback | None = None
    frame_rate: float | None = None
    sound: Sound | None = None
    clips: int = 1


class Sampler(ABC):
    """A model as this package sees it: `basic_pipe[0]` is one, or something that a registered family makes one of.

    A model of one's own is a subclass with `info`, `encode`, `sample` and `decode`; all else has a default, and where a
    family has no such thing the default says so. Latents are opaque to callers: only their maker looks inside.

    Examples
    --------
    A model that works on the pixels themselves, and darkens them where the mask allows:

    >>> from segs_detailer.models.info import ModelInfo
    >>> class Darken(Sampler):
    ...     info = ModelInfo(family="darken")
    ...     def encode(self, frames):
    ...         return frames
    ...     def sample(self, latents, job):
    ...         return latents * (1 - 0.5 * job.noise_mask[..., None])
    ...     def decode(self, latents, *, full_precision=False):
    ...         return latents
    >>> Darken().info.geometry.frames_for(7)
    7
    """

    takes_frame_denoise: ClassVar[bool] = False
    """Whether `sample` repaints frames by different denoise, `SampleJob.frame_denoise`."""

    takes_custom_sampler: ClassVar[bool] = False
    """Whether `sample` takes a `SampleJob.custom_sampler`."""

    @property
    @abstractmethod
    def info(self) -> ModelInfo:
        """What the model says of itself. Cheap to ask for; an attribute of the class or the object will do as well."""

    @property
    def geometry(self) -> Geometry:
        """Sizes that the model can take, of its `info`; the detailer pads to them and cuts back."""
        return self.info.geometry

    @property
    def is_flow(self) -> bool:
        """Whether its noise levels are those of flow matching, from 0 to 1: `SampleJob.sigma_start` is one of them."""
        return False

    @property
    def of_whole_frames(self) -> tuple[str, ...]:
        """Names of what was put into the model that shows it pictures of whole frames, which cannot be cut."""
        return ()

    def start_level(self, steps: int, denoise: float, sampler_name: str, scheduler: str) -> float | None:
        """Noise level that a run would start from; None where that says nothing to a user."""
        del steps, denoise, sampler_name, scheduler
        return None

    @property
    def in_pipe(self) -> Any:
        """What stands for this model in a basic_pipe, beside VAE and text encoder; by default the sampler itself."""
        return self

    @abstractmethod
    def encode(self, frames: Tensor) -> Tensor:
        """Latents of `frames` `(B, H, W, 3)` float32 in [0, 1], of sizes that fit `geometry`."""

    @abstractmethod
    def sample(self, latents: Tensor, job: SampleJob) -> Tensor:
        """Repainted latents, of the same shape. The input is not changed."""

    @abstractmethod
    def decode(self, latents: Tensor, *, full_precision: bool = False) -> Tensor:
        """Frames `(B, H, W, 3)` float32 in [0, 1]; `full_precision` decodes in float32 whatever the model's dtype.

        A model that works on pixels may return `latents` themselves, and must not have written to them.
        """

    def to_model(self, latents: Tensor) -> Tensor:
        """Bring latents from the space of `encode` to the one that callbacks see; by default they are the same."""
        return latents

    def preview(self, latents: Tensor, pixels: Tensor) -> Preview | None:
        """Make what shows the predictions of a run, small and fast.

        By default it is a linear map that is fitted to the frames at hand, where the layout of the latents tells it.

        Parameters
        ----------
        latents : Tensor
            What was encoded, as `encode` gave it.
        pixels : Tensor
            What from, `(B, H, W, 3)` in [0, 1].
        """
        from segs_detailer.models.latent_preview import LatentPreview

        return LatentPreview.fit_or_none(self.to_model(latents), pixels, self.geometry.packing)

    def release(self) -> None:  # noqa: B027 - most models hold nothing for a run
        """Let go of what is held only for a run, when it is over: memory of an accelerator to which networks came."""

    def conditioning(self, prompt: str) -> Conditioning:
        """Encode a prompt."""
        self._has_no("prompts", prompt)

    def with_vae_chunk(self, frames: int) -> Sampler:
        """Return the same model, whose VAE takes at most so many frames at once, unless the user has chosen a number.

        By default it is the model itself: one whose VAE is not divided by frames, or that has none.
        """
        del frames
        return self

    def with_lora(
        self, source: str | PathLike[str], *, weight: float, name: str | None, weight_name: str | None
    ) -> Sampler:
        """Return the same model with a LoRA more; see `BasicPipe.load_lora`. The networks themselves get it."""
        self._has_no("LoRAs", source, weight, name, weight_name)

    def beside_loras(self, loras: Sequence[tuple[str, float]]) -> Sampler:
        """Return another model over the same networks, with LoRAs of its own beside those of this one.

        Both can be used in turn: `sample` puts the model's own LoRAs into effect, and `get_ready` does it before
        prompts are encoded, which a LoRA may change.

        Parameters
        ----------
        loras : sequence of (str, float)
            A safetensors file, a folder or a hub id each, and its weight; in place of that of the same LoRA in this
            model.
        """
        self._has_no("LoRAs", loras)

    def get_ready(self) -> None:  # noqa: B027 - most models are always ready
        """Put into effect what other models over the same networks have differently."""

    def with_textual_inversion(
        self, source: str | PathLike[str], *, token: str | None, weight_name: str | None
    ) -> Sampler:
        """Return the same model, whose prompts know a word more; see `BasicPipe.load_textual_inversion`."""
        self._has_no("textual inversion", source, token, weight_name)

    def with_ip_adapter(
        self, source: str | PathLike[str], *, weight_name: str, subfolder: str, image_encoder: Any, scale: float
    ) -> Sampler:
        """Return the same model with an IP-Adapter; see `BasicPipe.load_ip_adapter`."""
        self._has_no("IP-Adapter", source, weight_name, subfolder, image_encoder, scale)

    def encode_image_prompt(self, images: Sequence[Tensor]) -> Any:
        """Encode pictures for IP-Adapters; see `BasicPipe.encode_image_prompt`."""
        self._has_no("IP-Adapter", images)

    def with_image_prompt(self, image_prompt: Any) -> Sampler:
        """Show IP-Adapters what `encode_image_prompt` made: another model over the same networks."""
        self._has_no("image prompts (IP-Adapter)", image_prompt)

    def diffusers_pipeline(self) -> Any:
        """Return the pipeline of diffusers over the model's own networks."""
        self._has_no("pipeline of diffusers")

    def use_compute(self, compute: ComputeOptions, device: torch.device) -> None:
        """Set up the networks as `ComputeOptions` say; the default options leave a model without networks as it is.

        Parameters
        ----------
        compute : ComputeOptions
            The options, checked against the device.
        device : torch.device
            Where the networks compute.
        """
        if compute != ComputeOptions():
            self._has_no("networks to set up (compute)", device)

    def _has_no(self, what: str, *unused: object) -> NoReturn:
        """Refuse what the family does not have."""
        del unused
        raise ModelError(f"a model of the family {self.info.family!r} has no {what}")
