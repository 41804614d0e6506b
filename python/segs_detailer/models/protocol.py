"""What the detailer asks of a model: encode, sample, decode."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from segs_detailer.models.frame_noise import FrameNoise

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Conditioning",
    "Geometry",
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


def of_one_clip(conditioning: Conditioning) -> bool:
    """Whether conditioning has parts that are made for one clip: masks, and ControlNets with their pictures."""
    options = [entry[1] for entry in conditioning if isinstance(entry, (list, tuple)) and len(entry) == 2]
    return any(
        given.get(key) is not None for given in options if isinstance(given, Mapping) for key in ("mask", "control")
    )


@dataclass(frozen=True, slots=True)
class Geometry:
    """Sizes that a model can take.

    Parameters
    ----------
    size_multiple : int
        Width and height of the frames are multiples of this many pixels.
    frame_step, frame_offset : int
        The number of frames is `frame_step * n + frame_offset`; `4` and `1` for video VAEs that pack four frames.
    min_frames : int
        Fewest frames that the model handles well.
    takes_clips : bool
        Whether `sample` takes several clips of one size at once, `SampleJob.clips`.
    max_frames : int or None
        Most frames that the model takes at once, a number that `frames_for` gives; None for any.
    max_side : int or None
        Most pixels that a side may have; None for any.
    """

    size_multiple: int = 1
    frame_step: int = 1
    frame_offset: int = 0
    min_frames: int = 1
    takes_clips: bool = False
    max_frames: int | None = None
    max_side: int | None = None

    def frames_for(self, frames: int) -> int:
        """Smallest number of frames the model takes that is not below `frames`."""
        wanted = max(frames, self.min_frames) - self.frame_offset
        return -(-wanted // self.frame_step) * self.frame_step + self.frame_offset

    def within(self, other: Geometry) -> Geometry:
        """Return the same geometry for a model that shares its latents with another, within the limits of both."""
        return replace(
            self,
            max_frames=_lower(self.max_frames, other.max_frames),
            max_side=_lower(self.max_side, other.max_side),
        )


def _lower(one: int | None, other: int | None) -> int | None:
    return min((limit for limit in (one, other) if limit is not None), default=None)


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
    denoise : float
        In (0, 1].
    noise_mask : Tensor or None
        `(1 or B, H, W)` float32 in [0, 1] at working size: 1 is repainted, 0 is left as it was.
    differential : bool
        Differential diffusion: soft mask values join the repainting later.
    inpaint_model : bool
        The model is an inpainting checkpoint and gets the mask and the masked pixels' latents.
    noise : Tensor or None
        Start noise of the latents' shape with standard deviation 1, in place of the seed's.
    frame_noise : FrameNoise
        How the noise of the frames hangs together: the start's, where `noise` does not give it, and that of the steps.
    scheduler_func : SchedulerFunc or None
        Replaces `scheduler`.
    refiner : RefinerStage or None
        A second model for the last steps.
    callback : StepCallback or None
        Progress; it may raise to cancel.
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
    noise_mask: Tensor | None = None
    differential: bool = False
    inpaint_model: bool = False
    noise: Tensor | None = None
    frame_noise: FrameNoise = field(default_factory=FrameNoise)
    scheduler_func: SchedulerFunc | None = None
    refiner: RefinerStage | None = None
    callback: StepCallback | None = None
    clips: int = 1


@runtime_checkable
class Sampler(Protocol):
    """A model as the detailer sees it. Latents are opaque to the detailer: only their maker looks inside.

    A sampler whose callbacks see latents in another space than `encode` gives them has a method `to_model(latents)`
    that brings them there; previews need it.
    """

    @property
    def geometry(self) -> Geometry:
        """Sizes that the model can take; the detailer pads to them and cuts back."""
        ...

    def encode(self, frames: Tensor) -> Tensor:
        """Latents of `frames` `(B, H, W, 3)` float32 in [0, 1], of sizes that fit `geometry`."""
        ...

    def sample(self, latents: Tensor, job: SampleJob) -> Tensor:
        """Repainted latents, of the same shape. The input is not changed."""
        ...

    def decode(self, latents: Tensor, *, full_precision: bool = False) -> Tensor:
        """Frames `(B, H, W, 3)` float32 in [0, 1]; `full_precision` decodes in float32 whatever the model's dtype.

        A model that works on pixels may return `latents` themselves, and must not have written to them.
        """
        ...
