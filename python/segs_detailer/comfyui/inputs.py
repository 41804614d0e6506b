"""Inputs that several nodes have."""

from __future__ import annotations

from typing import Any

from segs_detailer.nodes.declaration import COMBO, Input

__all__ = [
    "CROPS",
    "MAX_COUNT",
    "bool_input",
    "crop_factor_input",
    "crop_input",
    "float_input",
    "frames_input",
    "grow_input",
    "int_input",
    "segs_input",
]

CROPS = ("fixed", "follow")
"""What crops do. Nodes of other packs know fixed ones only, so that is what our nodes begin with."""

MAX_COUNT = 2**31 - 1
"""The largest number of a widget that has no limit of its own."""


def int_input(name: str, tooltip: str, default: int, minimum: int, maximum: int, **more: Any) -> Input:
    """Return a widget of whole numbers."""
    widget = {"default": default, "min": minimum, "max": maximum, "step": 1}
    return Input(name=name, type="INT", tooltip=tooltip, widget=widget, **more)


def float_input(name: str, tooltip: str, default: float, minimum: float, maximum: float, step: float) -> Input:
    """Return a widget of numbers."""
    widget = {"default": default, "min": minimum, "max": maximum, "step": step}
    return Input(name=name, type="FLOAT", tooltip=tooltip, widget=widget)


def bool_input(name: str, tooltip: str, default: bool, on: str, off: str, **more: Any) -> Input:
    """Return a switch, with its words for on and off."""
    widget = {"default": default, "label_on": on, "label_off": off}
    return Input(name=name, type="BOOLEAN", tooltip=tooltip, widget=widget, **more)


def crop_input() -> Input:
    """Return the choice of what crops do.

    It stands at the end, and with a default: workflows from before it stay as they are.
    """
    return Input(
        name="crop",
        type=COMBO,
        tooltip="fixed: the crop holds the subject's whole way. follow: it moves with the subject, which gets more of "
        "its pixels; nodes of other packs take it for a fixed one.",
        optional=True,
        widget={"default": CROPS[0]},
        choices=lambda: CROPS,
    )


def segs_input() -> Input:
    """Return the socket of segments."""
    return Input(name="segs", type="SEGS", tooltip="The segments.")


def frames_input() -> Input:
    """Return the socket of the clip."""
    return Input(name="image_frames", type="IMAGE", tooltip="The clip.")


def crop_factor_input(of: str) -> Input:
    """Return the widget of the crop factor, in sizes of what is named."""
    return float_input("crop_factor", f"Size of the crop, in sizes of {of}.", 3.0, 1.0, 100.0, 0.1)


def grow_input() -> Input:
    """Return the widget of the pixels by which masks grow."""
    return int_input(
        "grow", "Pixels by which the masks grow, or shrink below 0; as far as the crop goes.", 0, -1000, 1000
    )
