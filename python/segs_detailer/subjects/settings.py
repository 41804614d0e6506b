"""How the crop of a track is laid through the clip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from segs_detailer.checks import MAX_COORDINATE
from segs_detailer.settings import check_settings, setting

__all__ = ["CropSettings"]

_MAX_FRAMES = 10_000


@dataclass(frozen=True, slots=True)
class CropSettings:
    """How the crop of a track is laid through the clip.

    Parameters
    ----------
    crop : {"follow", "fixed"}
        `"follow"`: a crop that moves with the subject, sized by the subject. `"fixed"`: one place for all frames, sized
        by the subject's whole way.
    crop_factor : float
        Size of the crop in sizes of the subject (of its way for a fixed one), at least 1.
    aspect : float or None
        Width of the crop by its height; the shorter side is made longer. None keeps the subject's.
    smoothing : float
        Width in frames, as a standard deviation, of the window over which the way is smoothed; 0 takes the boxes as
        they are. Shapes of frames that have no mask are smoothed with a third of it.
    subpixel : bool
        Places between pixels: no steps of whole pixels, for the price of interpolating the crops.
    upright : bool
        The crop turns with its subject, so that this stands upright in it, where the subject's angle is known: from its
        detections, a file, or the axis of its masks; see `smooth_angles`. Turned crops are interpolated.
    ramp : int
        Frames over which the paste comes and goes where the subject enters, leaves, or is lost for long.
    max_gap : int
        Frames without a detection that are bridged; as close to the cuts that begin and end its shot, a track is
        extended to them.
    paste_gap : int
        In gaps of at most this many frames the crop is pasted as ever; in longer ones nothing is, as something may be
        in front of the subject, and the paste comes and goes on both sides in `ramp` steps.
    size_gate : float or None
        Subjects whose shorter side has this many pixels are left alone, see `size_gate`. None details all.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        A value is out of range, or of another type.
    """

    crop: Literal["follow", "fixed"] = setting(
        "follow", help="follow: a crop that moves with its subject; fixed: one that holds all of its way"
    )
    crop_factor: float = setting(
        3.0,
        help="size of the crop, in sizes of the subject's box",
        minimum=1,
        maximum=MAX_COORDINATE,
    )
    aspect: float | None = setting(
        None,
        help="shape of the crop, width by height, such as 1:1",
        minimum=0.01,
        maximum=100,
        default_text="the subject's",
    )
    smoothing: float = setting(
        6.0, help="smooth a crop's way over about N frames before and after", minimum=0, maximum=1000, unit="frames"
    )
    subpixel: bool = setting(False, help="crops move by parts of pixels, interpolated, not by whole ones")
    upright: bool = setting(
        False,
        help="crops turn with their subjects, so that these stand upright for the model: by the eyes of faces (YuNet), "
        "the axis of long masks, or a file's angles",
    )
    ramp: int = setting(
        4, help="frames in which a subject comes and goes", minimum=0, maximum=_MAX_FRAMES, unit="frames"
    )
    max_gap: int = setting(
        12, help="bridge up to N frames without the subject", minimum=0, maximum=_MAX_FRAMES, unit="frames"
    )
    paste_gap: int = setting(
        2,
        help="paste in gaps of up to N frames; in longer ones the crop goes on and nothing is pasted",
        minimum=0,
        maximum=_MAX_FRAMES,
        unit="frames",
    )
    size_gate: float | None = setting(
        None,
        help="leave subjects alone while they are so large or larger",
        minimum=1,
        maximum=MAX_COORDINATE,
        unit="px",
        default_text="all are detailed",
    )

    def __post_init__(self) -> None:
        check_settings(self)

    @staticmethod
    def as_given(crop_factor: float = 3.0) -> CropSettings:
        """Take tracks by the letter: crops that stand still, and nothing smoothed, bridged or faded.

        Parameters
        ----------
        crop_factor : float
            Size of the crop in sizes of the box around the track on its whole way.
        """
        return _AsGiven(crop="fixed", crop_factor=crop_factor, smoothing=0.0, ramp=0, max_gap=0)

    @property
    def is_as_given(self) -> bool:
        """Whether tracks are taken by the letter, as `as_given` says it; no values of the fields say it."""
        return False

    @property
    def shape_smoothing(self) -> float:
        """Width of the window for shapes: they must stay on the subject where its crop may trail a sudden move."""
        return self.smoothing / 3


class _AsGiven(CropSettings):
    """Tracks are taken by the letter."""

    __slots__ = ()

    @property
    def is_as_given(self) -> bool:
        """They are."""
        return True
