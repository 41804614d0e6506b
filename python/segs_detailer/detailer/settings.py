"""The settings of a run, checked once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from segs_detailer.checks import MAX_COORDINATE, flag, integer, number
from segs_detailer.errors import InvalidTypeError, unknown_name
from segs_detailer.models.frame_noise import FrameNoise
from segs_detailer.models.samplers import SAMPLERS
from segs_detailer.models.schedules import SCHEDULES

if TYPE_CHECKING:
    from collections.abc import Callable

    from segs_detailer.models.protocol import Sampler, SchedulerFunc

__all__ = ["MAX_RESOLUTION", "MAX_SEED", "MAX_STEPS", "DetailerSettings", "check_names"]

MAX_RESOLUTION = 16384
"""Largest guide size and working side in pixels, as ComfyUI's nodes allow."""

MAX_SEED = 2**64 - 1
"""Largest seed that a generator of PyTorch takes."""

MAX_STEPS = 10000
"""Most sampling steps, as ComfyUI's nodes allow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailerSettings:
    """What a run does with each segment. Every value is checked when the object is made.

    Parameters
    ----------
    guide_size : float
        Length in pixels that the shorter side of the bounding box (or of the crop) is brought to, in
        (0, 16384].
    guide_size_for_bbox : bool
        Whether `guide_size` counts for the bounding box; else for the crop region.
    max_size : float
        Limit in pixels, in [1, 16384], up to which crops are scaled up: of the working size's longer side.
    limit_size : bool
        `max_size` also holds for crops that are larger themselves: they are scaled down to it, repainted and scaled
        back. Else these are worked on at their own size.
    seed : int
        Seed of the start noise, 0 to 2^64 - 1; the same for every segment.
    steps : int
        Sampling steps that are run, 1 to 10000.
    cfg : float
        Classifier-free guidance scale, from 0.
    sampler_name, scheduler : str
        Names as in ComfyUI's KSampler; `check_names` holds them against what a model knows.
    denoise : float
        Share of the noise, in (0, 1].
    feather : int
        Blur of the paste's mask in pixels of the frame, from 0.
    refiner_ratio : float or None
        Share of the steps, in [0, 1], that a refiner does; `None` for no refiner.
    inpaint_model : bool
        The model is an inpainting checkpoint.
    noise_mask_feather : int
        Blur of the noise mask in pixels of the crop, from 0. Above 0, sampling uses differential diffusion.
    scheduler_func : callable or None
        `(model, sampler_name, steps) -> sigmas`, in place of `scheduler`.
    batch_segments : int
        Most segments that are sampled together, from 1: see `segs_detailer.detailer.batches`.
    grow : int
        Pixels of the frame by which the edges of the paste's mask are moved outwards before `feather` softens them;
        negative ones go inwards.
    noise_mask_grow : int
        The same for the noise mask, before `noise_mask_feather`.
    color_match : float
        How far the repainted crops are brought to the colors of the frame along the mask's edge, in [0, 1]: see
        `segs_detailer.detailer.seams.color`.
    vae_correction : bool
        What the VAE alone changes is taken back where nothing is repainted, for one more decoding: see
        `segs_detailer.detailer.seams.round_trip`.
    noise : {"per-frame", "fixed", "shared"}
        How the noise of the frames hangs together: see `segs_detailer.models.frame_noise.FrameNoise`.
    noise_start : int or None
        Index of the first frame in its track, where the clip is a piece of one: pieces then have the same noise in the
        same frame. None for a whole clip.

    Raises
    ------
    InvalidArgumentError
        A value is out of its range.
    InvalidTypeError
        A value has another type.
    """

    guide_size: float = 512.0
    guide_size_for_bbox: bool = True
    max_size: float = 1024.0
    seed: int = 0
    steps: int = 20
    cfg: float = 8.0
    sampler_name: str = "euler"
    scheduler: str = "normal"
    denoise: float = 0.5
    feather: int = 5
    refiner_ratio: float | None = 0.2
    inpaint_model: bool = False
    noise_mask_feather: int = 20
    scheduler_func: SchedulerFunc | None = None
    batch_segments: int = 1
    grow: int = 0
    noise_mask_grow: int = 0
    color_match: float = 0.0
    vae_correction: bool = False
    noise: Literal["per-frame", "fixed", "shared"] = "per-frame"
    noise_start: int | None = None
    limit_size: bool = False

    def __post_init__(self) -> None:
        # The dataclass is frozen: values are normalized here, and never after.
        put: Callable[[str, object], None] = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731
        put("guide_size", number("guide_size", self.guide_size, above=0, most=MAX_RESOLUTION))
        put("guide_size_for_bbox", flag("guide_size_for", self.guide_size_for_bbox))
        put("max_size", number("max_size", self.max_size, least=1, most=MAX_RESOLUTION))
        put("seed", integer("seed", self.seed, least=0, most=MAX_SEED))
        put("steps", integer("steps", self.steps, least=1, most=MAX_STEPS))
        put("cfg", number("cfg", self.cfg, least=0))
        put("denoise", number("denoise", self.denoise, above=0, most=1))
        put("feather", integer("feather", self.feather, least=0, most=MAX_COORDINATE))
        if self.refiner_ratio is not None:
            put("refiner_ratio", number("refiner_ratio", self.refiner_ratio, least=0, most=1))
        put("inpaint_model", flag("inpaint_model", self.inpaint_model))
        put("batch_segments", integer("batch_segments", self.batch_segments, least=1))
        put("noise_mask_feather", integer("noise_mask_feather", self.noise_mask_feather, least=0, most=MAX_COORDINATE))
        for name in ("grow", "noise_mask_grow"):
            put(name, integer(name, getattr(self, name), least=-MAX_RESOLUTION, most=MAX_RESOLUTION))
        put("color_match", number("color_match", self.color_match, least=0, most=1))
        put("vae_correction", flag("vae_correction", self.vae_correction))
        put("limit_size", flag("limit_size", self.limit_size))
        if self.noise_start is not None:
            put("noise_start", integer("noise_start", self.noise_start, least=0))
        for name in ("sampler_name", "scheduler", "noise"):
            value = getattr(self, name)
            if not isinstance(value, str):
                raise InvalidTypeError(name, "a str", type(value).__name__)
        if self.scheduler_func is not None and not callable(self.scheduler_func):
            raise InvalidTypeError("scheduler_func", "a callable or None", type(self.scheduler_func).__name__)
        _ = self.frame_noise  # refuses another kind

    @property
    def frame_noise(self) -> FrameNoise:
        """How the noise of the frames hangs together."""
        return FrameNoise(self.noise, self.noise_start)


def check_names(settings: DetailerSettings, sampler: Sampler) -> None:
    """Hold `sampler_name` and `scheduler` against the names that are known.

    A sampler that brings its own names has them as `sampler_names` and `scheduler_names` (as a host program's
    backend does); otherwise the names are those of `segs_detailer.models`. `scheduler` is not checked where
    `scheduler_func` replaces it.

    Parameters
    ----------
    settings : DetailerSettings
        The settings.
    sampler : Sampler
        The model that will use them.

    Raises
    ------
    InvalidArgumentError
        A name is not known; the message lists those that are.
    """
    samplers = list(getattr(sampler, "sampler_names", SAMPLERS))
    if settings.sampler_name not in samplers:
        raise unknown_name("sampler_name", settings.sampler_name, samplers)
    schedulers = list(getattr(sampler, "scheduler_names", SCHEDULES))
    if settings.scheduler_func is None and settings.scheduler not in schedulers:
        raise unknown_name("scheduler", settings.scheduler, schedulers)
