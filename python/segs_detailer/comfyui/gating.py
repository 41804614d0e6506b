"""The size gate: segments are painted where their subject has a size that is worth the work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segs_detailer.comfyui.inputs import segs_input
from segs_detailer.nodes.declaration import Node, Output, setting_input
from segs_detailer.settings import declared
from segs_detailer.subjects.segs_gating import SizeWindow, gate_segs

if TYPE_CHECKING:
    from segs_detailer.nodes.declaration import Input
    from segs_detailer.segs import SEGS

__all__ = ["GATING_NODES", "gate_by_size"]

_NO_LIMIT = 0.0
"""What the widget of a limit holds where there is none."""


def gate_by_size(segs: SEGS, **window: Any) -> tuple[SEGS, SEGS, bool, str]:
    """Let segments through in the frames in which their subject has a size that is worth the work.

    Parameters
    ----------
    segs : SEGS
        The segments.
    **window : object
        See `segs_detailer.subjects.SizeWindow`; a `max` of 0 is no limit.

    Returns
    -------
    segs, remained : SEGS
        Those that are painted in some frame, and the others.
    any : bool
        Whether there is anything to paint: for lazy switches.
    report : str
        What the gate did, in a line for each segment.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        SEGS or a value that cannot be used.
    """
    if window.get("max") == _NO_LIMIT:
        window["max"] = None
    gate = gate_segs(segs, SizeWindow(**window))
    return gate.segs, gate.remained, bool(gate.segs[1]), gate.text


def _inputs() -> tuple[Input, ...]:
    notes = {"max": "0: no limit."}
    defaults = {"max": _NO_LIMIT}
    return tuple(
        setting_input(each, defaults.get(each.name, each.default), note=notes.get(each.name, ""))
        for each in declared(SizeWindow)
    )


GATING_NODES: tuple[Node, ...] = (
    Node(
        id="SegsDetailerSizeGate",
        display_name="SEGS Size Gate for Video",
        description="Lets segments be painted in the frames in which their subject has a size that is worth the work; "
        "their masks are black in the others. Connect any to a lazy switch, and the branch behind it, with its "
        "loaders, does not run where there is nothing to paint.",
        search_aliases=("face size filter", "small faces", "skip large faces", "hysteresis", "lazy switch"),
        inputs=(segs_input(), *_inputs()),
        outputs=(
            Output(name="segs", type="SEGS", tooltip="The segments that are painted in some frame."),
            Output(name="remained", type="SEGS", tooltip="The segments that are painted in none, as they came."),
            Output(name="any", type="BOOLEAN", tooltip="Whether there is anything to paint: for a lazy switch."),
            Output(name="report", type="STRING", tooltip="What the gate did, in a line for each segment."),
        ),
        function=gate_by_size,
    ),
)
"""The node that leaves subjects alone while they are too small or too large."""
