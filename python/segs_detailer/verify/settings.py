"""What counts as a fault."""

from __future__ import annotations

import math
from dataclasses import dataclass

from segs_detailer.checks import shown, whole_number
from segs_detailer.errors import InvalidArgumentError

__all__ = ["LEVEL", "VerifySettings"]

LEVEL = 1.0 / 255.0
"""One level of 8 bits: what differences are told in."""


@dataclass(frozen=True, slots=True)
class VerifySettings:
    """What counts as a fault.

    Parameters
    ----------
    margin : int
        Pixels around the masks that may change too: at least the run's `grow` and `feather` together. An encoder
        spreads a change over its blocks.
    max_flicker : float
        Flicker inside the masks may be this many times the input's own, at least 1.
    max_pop : float
        A change may grow or shrink from one frame to the next by this share of its usual strength, above 0 to 1.
    max_gap : int
        Frames without a sighting that are bridged, at least 0.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        Numbers out of range.
    """

    margin: int = 16
    max_flicker: float = 1.5
    max_pop: float = 0.5
    max_gap: int = 12

    def __post_init__(self) -> None:
        whole_number("margin", self.margin, minimum=0)
        whole_number("max_gap", self.max_gap, minimum=0)
        if not (math.isfinite(self.max_flicker) and self.max_flicker >= 1):
            raise InvalidArgumentError("max_flicker", "a number of at least 1", shown(self.max_flicker))
        if not 0 < self.max_pop <= 1:
            raise InvalidArgumentError("max_pop", "a number above 0, at most 1", shown(self.max_pop))
