"""Settings of seams, noise and memory as one value of a graph, so that the detailing nodes stay as they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from segs_detailer.detailer.settings import DetailerSettings
from segs_detailer.errors import InvalidTypeError
from segs_detailer.nodes.declaration import Node, Output, setting_input
from segs_detailer.settings import declared

if TYPE_CHECKING:
    from segs_detailer.nodes.declaration import Input

__all__ = ["SEAMS", "SEAMS_NODES", "Seams", "make_seams", "seam_inputs", "seam_settings"]

SEAMS = "SEGS_DETAILER_SEAMS"
"""Type of the sockets."""

_NAMES = ("grow", "noise_mask_grow", "color_match", "vae_correction", "noise", "limit_size")
"""The settings of the detailer that the node has, in its order."""

_LATER = ("limit_size",)
"""Those that came after the first release: workflows from before it stay as they are."""


@dataclass(frozen=True, slots=True)
class Seams:
    """Settings of the detailer that a graph gives beside the detailing nodes.

    Parameters
    ----------
    settings : DetailerSettings
        The settings, of which those of seams, noise and memory count.
    """

    settings: DetailerSettings = field(default_factory=DetailerSettings)

    @property
    def values(self) -> dict[str, Any]:
        """Those that count, by name."""
        return {name: getattr(self.settings, name) for name in _NAMES}


def seam_inputs() -> tuple[Input, ...]:
    """Declare the widgets.

    Returns
    -------
    tuple of Input
        In the node's order.
    """
    settings = {each.name: each for each in declared(DetailerSettings)}
    return tuple(setting_input(settings[name], settings[name].default, optional=name in _LATER) for name in _NAMES)


def make_seams(**values: Any) -> tuple[Seams]:
    """Bind the settings.

    Parameters
    ----------
    **values : object
        The settings by name.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        A value that cannot be used.
    """
    return (Seams(DetailerSettings(**values)),)


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


SEAMS_NODES: tuple[Node, ...] = (
    Node(
        id="SegsDetailerSeams",
        display_name="Seams and Noise for Video",
        description="Settings against seams and flicker, and for memory, for the detailing nodes and SEGS Paste. As "
        "they come, they change nothing.",
        search_aliases=("color match", "flicker", "noise settings", "mask grow", "VRAM limit"),
        inputs=seam_inputs(),
        outputs=(Output(name="seams", type=SEAMS, tooltip="The settings, for seams_opt."),),
        function=make_seams,
    ),
)
"""The node of the settings."""
