"""What counts as a fault."""

from __future__ import annotations

from dataclasses import dataclass

from segs_detailer.settings import check_settings, setting

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

    margin: int = setting(16, help="pixels around the masks that may change", minimum=0, unit="px")
    max_flicker: float = setting(1.5, help="flicker in the masks, in that of the input", minimum=1)
    max_pop: float = setting(
        0.5,
        help="share of a change that may come or go from one frame to the next, above 0 to 1",
        above=0,
        maximum=1,
    )
    max_gap: int = setting(12, help="bridge up to N frames without the subject", minimum=0, unit="frames")

    def __post_init__(self) -> None:
        check_settings(self)
