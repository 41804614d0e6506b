"""Settings of seams, noise and memory as one value of a graph, so that the detailing nodes stay as they are."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from segs_detailer.detailer.settings import DetailerSettings
from segs_detailer.errors import InvalidTypeError
from segs_detailer.models.frame_noise import NOISES

__all__ = ["NOISES", "SEAMS", "Seams", "make_seams", "seam_settings"]

SEAMS = "SEGS_DETAILER_SEAMS"
"""Type of the sockets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seams:
    """What `segs_detailer.detailer.DetailerSettings` says of seams, noise and memory: the same names and meanings."""

    grow: int = 0
    noise_mask_grow: int = 0
    color_match: float = 0.0
    vae_correction: bool = False
    noise: str = "per-frame"
    limit_size: bool = False

    def __post_init__(self) -> None:
        DetailerSettings(**self.settings())  # refuses values that cannot be used

    def settings(self) -> dict[str, Any]:
        """Return the settings by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def make_seams(
    grow: int,
    noise_mask_grow: int,
    color_match: float,
    vae_correction: bool,
    noise: str,
    limit_size: bool = False,
) -> tuple[Seams]:
    """Bind the settings.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        A value that cannot be used.
    """
    return (
        Seams(
            grow=grow,
            noise_mask_grow=noise_mask_grow,
            color_match=color_match,
            vae_correction=vae_correction,
            noise=noise,
            limit_size=limit_size,
        ),
    )


def seam_settings(seams: object) -> Seams:
    """Return what an optional socket holds; where nothing is connected, seams as they come.

    Raises
    ------
    InvalidTypeError
        It is something else.
    """
    if seams is None:
        return Seams()
    if not isinstance(seams, Seams):
        raise InvalidTypeError("seams_opt", "what Seams and Noise for Video gives", type(seams).__name__)
    return seams
