"""The settings of the detailer: the one place where each is declared."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from segs_detailer.checks import MAX_COORDINATE, integer
from segs_detailer.detailer.denoise_by_size import checked_curve
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, unknown_name
from segs_detailer.settings import check_settings, declared, plain, setting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segs_detailer.models.frame_noise import FrameNoise
    from segs_detailer.models.interface import Sampler, SchedulerFunc

__all__ = [
    "MAX_RESOLUTION",
    "MAX_SEED",
    "MAX_STEPS",
    "STRENGTHS",
    "DetailerSettings",
    "Sampling",
    "Sizes",
    "check_names",
]

STRENGTHS = ("denoise", "denoise_by_size", "sigma_start")
"""Settings that say how much is repainted, of which one may be given."""

MAX_RESOLUTION = 16384
"""Largest guide size and working side in pixels, as ComfyUI's nodes allow."""

MAX_SEED = 2**64 - 1
"""Largest seed that a generator of PyTorch takes."""

MAX_STEPS = 10000
"""Most sampling steps, as ComfyUI's nodes allow."""

_SIZE = "working size"
_REPAINT = "repainting"
_SWITCH = {"label_on": "enabled", "label_off": "disabled"}


def _recommended(fallback: Any) -> dict[str, Any]:
    """Declare that a model may recommend a value, and what holds where none does."""
    return {"fallback": fallback, "default_text": f"the model's own, else {plain(fallback)}"}


class Sizes(NamedTuple):
    """How large crops are while they are repainted.

    Parameters
    ----------
    guide_size, max_size
        See `DetailerSettings`.
    """

    guide_size: float
    max_size: float


class Sampling(NamedTuple):
    """How is sampled: the settings for which models have recommendations.

    Parameters
    ----------
    steps, cfg, sampler_name, scheduler, denoise
        See `DetailerSettings`.
    """

    steps: int
    cfg: float
    sampler_name: str
    scheduler: str
    denoise: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailerSettings:
    """What a run does with each segment. Every value is checked when the object is made.

    The fields are declared with their ranges in `segs_detailer.detailer.settings`; docs/settings.md lists them.

    Parameters
    ----------
    guide_size : float or None
        Length in pixels that the shorter side of the bounding box (or of the crop) is brought to.
    guide_size_for : {"bbox", "crop_region"}
        What `guide_size` counts for.
    max_size : float or None
        Limit in pixels up to which crops are scaled up: of the working size's longer side.
    limit_size : bool
        `max_size` also holds for crops that are larger themselves: they are scaled down to it, repainted and scaled
        back, which saves memory and time; only what is pasted loses detail. Else these are worked on at their own size.
    seed : int
        Seed of the start noise; the same for every segment.
    steps : int or None
        Sampling steps that are run. None, here, for the four that follow and for the sizes, takes what the model
        recommends; `sampling` and `sizes` tell what holds where it recommends nothing.
    cfg : float or None
        Classifier-free guidance scale.
    sampler_name, scheduler : str or None
        Names as in ComfyUI's KSampler; `check_names` holds them against what a model knows.
    denoise : float or None
        Share of the noise.
    denoise_by_size : tuple of (float, float) or None
        In place of `denoise`: pairs of a size in pixels of the frame, ascending, and the denoise of subjects of that
        size, or a text such as "40:0.55,160:0.3". The size is the shorter side of the subject's box; between two sizes
        it is interpolated, beyond the ends it is what they have. Frames of one subject have what suits each, where the
        model takes that, and else the median of a piece.
    sigma_start : float or None
        In place of `denoise`, for models of flow matching: the noise level, above 0 to 1, that the run starts from.
    feather : int
        Blur of the paste's mask in pixels of the frame.
    refiner_ratio : float or None
        Share of the steps that a refiner does; `None` for no refiner.
    inpaint_model : bool
        The model is an inpainting checkpoint.
    noise_mask_feather : int
        Blur of the noise mask in pixels of the crop. Above 0, sampling uses differential diffusion.
    batch_segments : int
        Most segments that are sampled together, where neighbors have one working size and their crop regions do not
        overlap. Fewer, larger steps keep a GPU busier and take more of its memory; the result is the same but for
        rounding. Subjects with settings of their own are sampled with those of the same
        settings, segments under a hook or a ControlNet alone.
    grow : int
        Pixels of the frame by which the edges of the paste's mask are moved outwards before `feather` softens them;
        negative ones go inwards.
    noise_mask_grow : int
        The same for the noise mask, before `noise_mask_feather`.
    color_match : float
        How far the repainted crops are brought to the colors of the frame along the mask's edge: see
        `segs_detailer.detailer.seams.color`.
    vae_correction : bool
        What the VAE alone changes is taken back where nothing is repainted, for one more decoding: see
        `segs_detailer.detailer.seams.round_trip`.
    noise : {"per-frame", "fixed", "shared"}
        How the noise of the frames is correlated: see `segs_detailer.models.frame_noise.FrameNoise`.
    noise_start : int or None
        Index of the first frame in its track, where the clip is a piece of one: pieces then have the same noise in the
        same frame. None for a whole clip. Set by whoever cuts a clip, not by users.
    frame_denoise : tuple of float or None
        Denoise of each frame, the highest of which is `denoise`. Set by whoever knows the sizes, not by users.
    scheduler_func : callable or None
        `(model, sampler_name, steps) -> sigmas`, in place of `scheduler`.

    Raises
    ------
    InvalidArgumentError
        A value is out of its range.
    InvalidTypeError
        A value has another type.

    Examples
    --------
    >>> DetailerSettings(denoise=0.4).sampling
    Sampling(steps=20, cfg=8.0, sampler_name='euler', scheduler='normal', denoise=0.4)
    """

    ALTERNATIVES: ClassVar[tuple[str, ...]] = STRENGTHS

    guide_size: float | None = setting(
        None,
        help="scale the crop up until the subject's shorter side has this size",
        above=0,
        maximum=MAX_RESOLUTION,
        step=8,
        unit="px",
        group=_SIZE,
        widget={"min": 64},
        **_recommended(512.0),
    )
    guide_size_for: Literal["bbox", "crop_region"] = setting(
        "bbox", help="what the guide size counts for: the subject's bounding box, or its crop region", group=_SIZE
    )
    max_size: float | None = setting(
        None,
        help="limit of the crop's longer side while it is repainted",
        minimum=1,
        maximum=MAX_RESOLUTION,
        step=8,
        unit="px",
        group=_SIZE,
        widget={"min": 64},
        **_recommended(1024.0),
    )
    limit_size: bool = setting(
        False,
        help="scale crops that are larger than the max size down to it, and the result up again; else they are "
        "repainted at their own size",
        group=_SIZE,
        widget=_SWITCH,
    )
    seed: int = setting(
        0, help="seed of the noise, the same for every segment", minimum=0, maximum=MAX_SEED, group=_REPAINT
    )
    steps: int | None = setting(
        None,
        help="sampling steps that are run, whatever denoise is",
        minimum=1,
        maximum=MAX_STEPS,
        group=_REPAINT,
        **_recommended(20),
    )
    cfg: float | None = setting(
        None,
        help="classifier-free guidance scale",
        minimum=0,
        group=_REPAINT,
        widget={"min": 0.0, "max": 100.0},
        **_recommended(8.0),
    )
    sampler_name: str | None = setting(
        None,
        help="sampling algorithm, such as euler, dpmpp_2m, ddim or lcm",
        group=_REPAINT,
        **_recommended("euler"),
    )
    scheduler: str | None = setting(
        None,
        help="how the noise falls from step to step, such as normal, karras or simple",
        group=_REPAINT,
        **_recommended("normal"),
    )
    denoise: float | None = setting(
        None,
        help="how much is repainted, above 0 to 1: small values keep the subject, 1 paints a new one",
        above=0,
        maximum=1,
        step=0.01,
        group=_REPAINT,
        widget={"min": 0.0001},
        **_recommended(0.5),
    )
    denoise_by_size: tuple[tuple[float, float], ...] | None = setting(
        None,
        help="in place of denoise: sizes of the subject (its box's shorter side in pixels of the frame) and how much "
        "is repainted there, such as 40:0.55,160:0.3; interpolated, frame by frame",
        group=_REPAINT,
        default_text="off",
        check=checked_curve,
    )
    sigma_start: float | None = setting(
        None,
        help="in place of denoise, for flow matching (Wan, HunyuanVideo): noise level that the run starts from; 1 is "
        "pure noise",
        above=0,
        maximum=1,
        group=_REPAINT,
        default_text="off",
    )
    feather: int = setting(
        5,
        help="blur of the paste's mask, in pixels of the frame",
        minimum=0,
        maximum=MAX_COORDINATE,
        step=1,
        unit="px",
        group=_REPAINT,
        widget={"max": 100},
    )
    grow: int = setting(
        0,
        help="widen the paste's mask, or narrow it below 0",
        minimum=-MAX_RESOLUTION,
        maximum=MAX_RESOLUTION,
        step=1,
        unit="px",
        group=_REPAINT,
        widget={"min": -512, "max": 512},
    )
    noise_mask_feather: int = setting(
        20,
        help="blur of the sampling mask, in pixels of the crop; above 0, differential diffusion",
        minimum=0,
        maximum=MAX_COORDINATE,
        step=1,
        unit="px",
        group=_REPAINT,
        widget={"max": 100},
    )
    noise_mask_grow: int = setting(
        0,
        help="widen the sampling mask, in pixels of the crop, or narrow it below 0",
        minimum=-MAX_RESOLUTION,
        maximum=MAX_RESOLUTION,
        step=1,
        unit="px",
        group=_REPAINT,
        widget={"min": -512, "max": 512},
    )
    color_match: float = setting(
        0.0,
        help="bring repainted crops to the colors around them, 0 to 1; smoothed over time",
        minimum=0,
        maximum=1,
        step=0.05,
        group=_REPAINT,
    )
    vae_correction: bool = setting(
        False,
        help="take back what the VAE alone changes where nothing is repainted, for one more decoding",
        group=_REPAINT,
        widget=_SWITCH,
    )
    noise: Literal["per-frame", "fixed", "shared"] = setting(
        "per-frame",
        help="noise of each frame's own, one for all frames, or half of it (by variance) common to all",
        group=_REPAINT,
    )
    batch_segments: int = setting(
        1, help="sample up to so many segments of one working size together", minimum=1, group=_REPAINT
    )
    refiner_ratio: float | None = setting(
        0.2, help="share of the steps that the refiner does, where there is one", minimum=0, maximum=1, group=_REPAINT
    )
    inpaint_model: bool = setting(
        False,
        help="the model is an inpainting checkpoint: feed it the mask and the masked image",
        group="models",
        widget=_SWITCH,
    )
    noise_start: int | None = None
    frame_denoise: tuple[float, ...] | None = None
    scheduler_func: SchedulerFunc | None = None

    def __post_init__(self) -> None:
        check_settings(self)
        if self.noise_start is not None:
            # The dataclass is frozen: values are normalized here, and never after.
            object.__setattr__(self, "noise_start", integer("noise_start", self.noise_start, least=0))
        given = [name for name in STRENGTHS if getattr(self, name) is not None]
        if len(given) > 1:
            raise InvalidArgumentError(given[1], f"none beside `{given[0]}`", "both")
        if self.scheduler_func is not None and not callable(self.scheduler_func):
            raise InvalidTypeError("scheduler_func", "a callable or None", type(self.scheduler_func).__name__)

    @property
    def sampling(self) -> Sampling:
        """What holds for `steps`, `cfg`, `sampler_name`, `scheduler` and `denoise`, also where they are None."""
        return Sampling(**self._settled(Sampling._fields))

    @property
    def sizes(self) -> Sizes:
        """What holds for `guide_size` and `max_size`, also where they are None."""
        return Sizes(**self._settled(Sizes._fields))

    def _settled(self, names: tuple[str, ...]) -> dict[str, Any]:
        values = {each.name: (getattr(self, each.name), each.fallback) for each in declared(self) if each.name in names}
        return {name: fallback if own is None else own for name, (own, fallback) in values.items()}

    def with_denoise(self, denoise: float, frames: tuple[float, ...] | None = None) -> DetailerSettings:
        """Return the same settings with a denoise, in place of what said it before.

        Parameters
        ----------
        denoise : float
            Of the frames that are repainted most.
        frames : tuple of float or None
            Of each frame; None where all have the same.
        """
        return replace(self, denoise=denoise, denoise_by_size=None, sigma_start=None, frame_denoise=frames)

    def with_recommended(self, values: Mapping[str, Any]) -> DetailerSettings:
        """Take what a model recommends for what was left open.

        Parameters
        ----------
        values : mapping
            Its recommendations, by the settings' names.
        """
        # How much is repainted is said in one of several ways.
        said = STRENGTHS if any(getattr(self, name) is not None for name in STRENGTHS) else ()
        taken = {name: value for name, value in values.items() if getattr(self, name) is None and name not in said}
        return replace(self, **taken)

    @property
    def frame_noise(self) -> FrameNoise:
        """How the noise of the frames is correlated."""
        # The command line reads this module for its help: it waits for no tensors.
        from segs_detailer.models.frame_noise import FrameNoise

        return FrameNoise(self.noise, self.noise_start)


def check_names(settings: DetailerSettings, sampler: Sampler) -> None:
    """Hold `sampler_name` and `scheduler` against the names that are known, and `sigma_start` against the model.

    They are those that the model says it takes; `scheduler` is not checked where `scheduler_func` replaces it.

    Parameters
    ----------
    settings : DetailerSettings
        The settings.
    sampler : Sampler
        The model that will use them.

    Raises
    ------
    InvalidArgumentError
        A name is not known; the message lists those that are. Or the model has no levels from 0 to 1 to start from.
    """
    if settings.sigma_start is not None and not sampler.is_flow:
        expected = "`denoise` in its place, but for models of flow matching (Wan, HunyuanVideo)"
        raise InvalidArgumentError("sigma_start", expected, f"a model of the family {sampler.info.family!r}")
    info = sampler.info
    chosen = settings.with_recommended(info.recommended.settings()).sampling
    if chosen.sampler_name not in info.sampler_names:
        raise unknown_name("sampler_name", chosen.sampler_name, info.sampler_names)
    if settings.scheduler_func is None and chosen.scheduler not in info.scheduler_names:
        raise unknown_name("scheduler", chosen.scheduler, info.scheduler_names)
