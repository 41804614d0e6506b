"""How the crop of a track is laid through the clip."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from segs_detailer.checks import MAX_COORDINATE, shown
from segs_detailer.errors import InvalidArgumentError

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
    ramp : int
        Frames over which the paste comes and goes where the subject enters, leaves, or is lost for long.
    max_gap : int
        Frames without a detection that are bridged; as close to the cuts that begin and end its shot, a track is
        extended to them.
    size_gate : float or None
        Subjects whose shorter side has this many pixels are left alone, see `size_gate`. None details all.

    Raises
    ------
    InvalidArgumentError
        A value is out of range.
    """

    crop: Literal["follow", "fixed"] = "follow"
    crop_factor: float = 3.0
    aspect: float | None = None
    smoothing: float = 6.0
    subpixel: bool = False
    ramp: int = 4
    max_gap: int = 12
    size_gate: float | None = None

    def __post_init__(self) -> None:
        if self.crop not in ("follow", "fixed"):
            raise InvalidArgumentError("crop", "'follow' or 'fixed'", shown(self.crop))
        _check_number("crop_factor", self.crop_factor, 1, MAX_COORDINATE)
        if self.aspect is not None:
            _check_number("aspect", self.aspect, 0.01, 100)
        _check_number("smoothing", self.smoothing, 0, 1000)
        for name in ("ramp", "max_gap"):
            value = getattr(self, name)
            if type(value) is not int or not 0 <= value <= _MAX_FRAMES:
                raise InvalidArgumentError(name, f"a whole number of frames from 0 to {_MAX_FRAMES}", shown(value))
        if self.size_gate is not None:
            _check_number("size_gate", self.size_gate, 1, MAX_COORDINATE)

    @classmethod
    def as_given(cls, crop_factor: float = 3.0) -> CropSettings:
        """Take tracks by the letter: crops that stand still, and nothing smoothed, bridged or faded.

        Parameters
        ----------
        crop_factor : float
            Size of the crop in sizes of the box around the track on its whole way.
        """
        return cls(crop="fixed", crop_factor=crop_factor, smoothing=0.0, ramp=0, max_gap=0)

    @property
    def is_as_given(self) -> bool:
        """Whether tracks are taken by the letter."""
        return self == CropSettings.as_given(self.crop_factor)

    @property
    def shape_smoothing(self) -> float:
        """Width of the window for shapes: they must stay on the subject where its crop may trail a sudden move."""
        return self.smoothing / 3


def _check_number(name: str, value: float, least: float, most: float) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not (math.isfinite(value) and least <= value <= most)
    ):
        raise InvalidArgumentError(name, f"a number from {least:g} to {most:g}", shown(value))
