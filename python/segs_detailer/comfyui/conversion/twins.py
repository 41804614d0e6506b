"""Nodes of Impact Pack that have a twin here: their widgets through the releases, and what becomes of the values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from segs_detailer.comfyui.conversion.ids import IMPACT_SCHEDULERS
from segs_detailer.comfyui.inputs import MAX_COUNT
from segs_detailer.comfyui.nodes import NODES
from segs_detailer.nodes.declaration import COMBO

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from segs_detailer.nodes.declaration import Input, Node

__all__ = ["CONTROLS", "TITLES", "TWINS", "NoTwinError", "Twin", "Widget", "is_widget", "with_control"]

NODE_BY_ID: dict[str, Node] = {node.id: node for node in NODES}
TITLES: dict[str, str] = {node.id: node.display_name for node in NODES}
"""Titles of our nodes by their ids."""

CONTROLS = ("fixed", "increment", "decrement", "randomize")
"""Values of the widget that the browser puts behind a seed."""

_WIDGETS = {"INT", "FLOAT", "BOOLEAN", "STRING", COMBO}
_SEEDS = ("seed", "noise_seed")


class NoTwinError(Exception):
    """A node cannot be swapped as it stands; the message says why."""


def is_widget(item: Input) -> bool:
    """Whether an input of ours has a widget, and a value where nothing is linked to it."""
    return item.type in _WIDGETS


def with_control(name: str) -> bool:
    """Whether the browser puts a widget of its own behind one of this name."""
    return name in _SEEDS


@dataclass(frozen=True, slots=True)
class Widget:
    """A widget of Impact Pack's.

    Parameters
    ----------
    name : str
        Its name.
    type : str
        `"INT"`, `"FLOAT"`, `"BOOLEAN"`, `"STRING"` or `COMBO`.
    unsaid : object
        What the node does where its release has no such widget; None where all have it.
    words : (str, str) or None
        A switch's words for on and off, which its oldest releases wrote in place of booleans.
    """

    name: str
    type: str
    unsaid: Any = None
    words: tuple[str, str] | None = None

    def read(self, value: Any) -> Any:
        """Return a value as it is meant.

        Raises
        ------
        NoTwinError
            It is of another type.
        """
        if self.words and value in self.words:
            return value == self.words[0]
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if self.type == "FLOAT" and is_number:
            return value
        if self.type == "INT" and is_number and float(value).is_integer():
            return int(value)
        if self.type == "BOOLEAN" and isinstance(value, bool):
            return value
        if self.type in ("STRING", COMBO) and isinstance(value, str):
            return value
        raise NoTwinError(f"its {self.name} is {value!r}")


def _nothing(values: Mapping[str, Any], linked: Collection[str]) -> tuple[str, ...]:
    del values, linked
    return ()


def _as_they_are(values: Mapping[str, Any]) -> dict[str, Any]:
    return dict(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """A node of Impact Pack's and ours.

    Parameters
    ----------
    theirs, ours : str
        Ids.
    widgets : tuple of Widget
        Theirs, in their order.
    names : mapping
        Inputs that have another name here.
    outputs : tuple of int
        Place of each of their outputs among ours; empty where all are the same.
    values : callable
        Makes values of ours, by our names, from theirs by their names; what it leaves out is our default. It raises
        `NoTwinError`.
    notes : callable
        Says what is other here, from the values by their names and the names of their inputs that are linked.
    outputs_of : callable or None
        Gives `outputs` where they depend on the values.
    known : frozenset of str
        Their widgets whose values must stand in the workflow, and not come from another node.
    differs : str
        What is other here whatever the values are.
    """

    theirs: str
    ours: str
    widgets: tuple[Widget, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[int, ...] = ()
    values: Callable[[Mapping[str, Any]], dict[str, Any]] = _as_they_are
    notes: Callable[[Mapping[str, Any], Collection[str]], tuple[str, ...]] = _nothing
    outputs_of: Callable[[Mapping[str, Any]], tuple[int, ...]] | None = None
    known: frozenset[str] = frozenset()
    differs: str = ""

    @property
    def node(self) -> Node:
        """The declaration of ours."""
        return NODE_BY_ID[self.ours]

    @property
    def versions(self) -> list[tuple[Widget, ...]]:
        """Their widgets in each release, those with the most first."""
        later = [index for index, widget in enumerate(self.widgets) if widget.unsaid is not None]
        masks = range(1 << len(later))
        gone = [{index for bit, index in enumerate(later) if mask >> bit & 1} for mask in masks]
        return [
            tuple(widget for index, widget in enumerate(self.widgets) if index not in missing)
            for missing in sorted(gone, key=len)
        ]

    def our_name(self, name: str) -> str:
        """Return the name here of an input of theirs."""
        return self.names.get(name, name)


_GUIDE = (
    Widget("guide_size", "FLOAT"),
    Widget("guide_size_for", "BOOLEAN", words=("bbox", "crop_region")),
    Widget("max_size", "FLOAT"),
    Widget("seed", "INT"),
    Widget("steps", "INT"),
    Widget("cfg", "FLOAT"),
    Widget("sampler_name", COMBO),
    Widget("scheduler", COMBO),
    Widget("denoise", "FLOAT"),
)
_AFTER_THE_PIPE = (
    Widget("refiner_ratio", "FLOAT"),
    Widget("inpaint_model", "BOOLEAN", unsaid=False, words=("enabled", "disabled")),
    Widget("noise_mask_feather", "INT", unsaid=0),
)


def _detailer_values(values: Mapping[str, Any]) -> dict[str, Any]:
    # Impact Pack takes it, and does nothing with it for clips.
    return {**values, "inpaint_model": False}


def _detailer_notes(values: Mapping[str, Any], linked: Collection[str]) -> tuple[str, ...]:
    notes = []
    if values.get("inpaint_model"):
        notes.append(
            "inpaint_model is off: Impact Pack does nothing with it for clips, and here it counts: turn it on for an "
            "inpainting checkpoint"
        )
    if values.get("scheduler") in IMPACT_SCHEDULERS:
        notes.append(f"the schedule {values['scheduler']} is there while Impact Pack is installed")
    if "refiner_basic_pipe_opt" in linked:
        notes.append("the refiner goes on from the base model's state, where Impact Pack's begins from noise anew")
    if "detailer_hook" in linked:
        notes.append("every method of the hook is called here, where Impact Pack calls post_paste alone for clips")
    return tuple(notes)


_MASK_TO_SEGS = (
    Widget("combined", "BOOLEAN", words=("True", "False")),
    Widget("crop_factor", "FLOAT"),
    Widget("bbox_fill", "BOOLEAN", words=("enabled", "disabled")),
    Widget("drop_size", "INT"),
    Widget("contour_fill", "BOOLEAN", unsaid=False, words=("enabled", "disabled")),
)
_TOP_DOWN = "objects come from the top down, Impact Pack's from the bottom up"


def _stack_notes(values: Mapping[str, Any], linked: Collection[str]) -> tuple[str, ...]:
    notes = []
    on = [name for name in ("bbox_fill", "contour_fill") if values.get(name) or name in linked]
    if on:
        notes.append(f"{' and '.join(on)} count for one mask a frame, too, where Impact Pack ignores them")
    if values.get("combined") or "combined" in linked:
        notes.append("combined makes one segment of one mask, too, where Impact Pack takes its objects apart again")
    return tuple(notes)


_ORDERED_BY = {
    "area(=w*h)": "area",
    **{name: name for name in ("width", "height", "x1", "y1", "x2", "y2", "confidence")},
}


def _count(value: int) -> int:
    # Theirs go far beyond what there can be.
    return min(value, MAX_COUNT)


def _order_values(values: Mapping[str, Any]) -> dict[str, Any]:
    if values["take_count"] == 0:
        raise NoTwinError("a take_count of 0 takes no segment, and all of them here")
    if values["target"] not in _ORDERED_BY:
        raise NoTwinError(f"nothing here sorts by {values['target']}")
    made = {"by": _ORDERED_BY[values["target"]], "take_count": _count(values["take_count"]), "box": "crop_region"}
    # Where they stand in the workflow, and come from no other node.
    made |= {"descending": values["order"]} if "order" in values else {}
    return made | ({"take_start": _count(values["take_start"])} if "take_start" in values else {})


_RANGED = ("area(=w*h)", "confidence(0-100)")
_WHOLE = 100


def _range_values(values: Mapping[str, Any]) -> dict[str, Any]:
    target, least, most = values["target"], values["min_value"], values["max_value"]
    if target not in _RANGED:
        raise NoTwinError(f"nothing here divides segments by {target}")
    if target == _RANGED[0]:
        if most == 0:
            raise NoTwinError("a max_value of 0 lets nothing through, and everything here")
        return {"min_area": _count(least), "max_area": _count(most), "box": "crop_region"}
    if most < _WHOLE:
        raise NoTwinError(f"nothing here holds a confidence below a limit, such as {most}")
    if least > _WHOLE:
        raise NoTwinError(f"no confidence is above 100, as min_value {least} wants")
    return {"min_confidence": least / _WHOLE}


def _range_outputs(values: Mapping[str, Any]) -> tuple[int, ...]:
    # What is outside a range is what remains of those inside.
    return (0, 1) if values["mode"] else (1, 0)


_GROUPS = {name: (name, f"left_{name[:-1]}", f"right_{name[:-1]}") for name in ("eyes", "eyebrows", "pupils")}


def _label_values(values: Mapping[str, Any]) -> dict[str, Any]:
    labels = [label.strip() for label in values["labels"].split(",")]
    if "all" in labels:
        return {"labels": ""}
    if any("\n" in label for label in labels):
        raise NoTwinError("its labels have lines, which end a label here alone")
    # An empty one is that of segments without a name.
    named = [label for label in labels if label]
    if not named:
        raise NoTwinError("without labels it lets nothing through, and everything here")
    return {"labels": ", ".join(part for label in named for part in _GROUPS.get(label, (label,)))}


_ACN = (
    "ComfyUI's own way applies the network: where the model samples in context windows, load it with "
    "Advanced-ControlNet's loader"
)


def _control_notes(values: Mapping[str, Any], linked: Collection[str]) -> tuple[str, ...]:
    del values
    if {"segs_preprocessor", "control_image"} <= set(linked):
        raise NoTwinError("it has a segs_preprocessor and a control_image: here it is one of them")
    return ()


def _pick_values(values: Mapping[str, Any]) -> dict[str, Any]:
    parts = [part.strip() for part in values["picks"].split(",")]
    # What is no number of a segment, theirs passes over.
    numbers = sorted({int(part) for part in parts if part.isascii() and part.isdigit()} - {0})
    if not numbers:
        raise NoTwinError("without picks it takes no segment, and all of them here")
    return {"picks": ",".join(map(str, numbers))}


def _pick_notes(values: Mapping[str, Any], linked: Collection[str]) -> tuple[str, ...]:
    del values
    if "fallback_image_opt" not in linked:
        raise NoTwinError("it has no fallback_image_opt: here the frames must be there")
    return ()


_STRENGTH = Widget("strength", "FLOAT")

TWINS: dict[str, Twin] = {
    twin.theirs: twin
    for twin in (
        Twin(
            theirs="SEGSDetailerForAnimateDiff",
            ours="SegsDetailerSegsForVideo",
            widgets=(*_GUIDE, *_AFTER_THE_PIPE),
            values=_detailer_values,
            notes=_detailer_notes,
            known=frozenset({"inpaint_model"}),
        ),
        Twin(
            theirs="DetailerForEachPipeForAnimateDiff",
            ours="SegsDetailerForVideo",
            widgets=(*_GUIDE, Widget("feather", "INT"), *_AFTER_THE_PIPE),
            values=_detailer_values,
            notes=_detailer_notes,
            known=frozenset({"inpaint_model"}),
        ),
        Twin(
            theirs="SEGSPaste",
            ours="SegsDetailerPaste",
            widgets=(Widget("feather", "INT"), Widget("alpha", "INT", unsaid=255)),
        ),
        Twin(theirs="ToBasicPipe", ours="SegsDetailerToBasicPipe"),
        Twin(theirs="FromBasicPipe", ours="SegsDetailerFromBasicPipe", outputs=(1, 2, 3, 4, 5)),
        Twin(theirs="FromBasicPipe_v2", ours="SegsDetailerFromBasicPipe"),
        Twin(
            theirs="MaskToSEGS",
            ours="SegsDetailerMaskToSegs",
            widgets=_MASK_TO_SEGS,
            names={"mask": "masks"},
            differs=f"{_TOP_DOWN}; of one mask a frame, an object becomes one segment that follows it",
        ),
        Twin(
            theirs="MaskToSEGS_for_AnimateDiff",
            ours="SegsDetailerMaskToSegs",
            widgets=_MASK_TO_SEGS,
            names={"mask": "masks"},
            notes=_stack_notes,
            differs=_TOP_DOWN,
        ),
        Twin(
            theirs="ImpactSEGSOrderedFilter",
            ours="SegsDetailerOrder",
            widgets=(
                Widget("target", COMBO),
                Widget("order", "BOOLEAN", words=("descending", "ascending")),
                Widget("take_start", "INT"),
                Widget("take_count", "INT"),
            ),
            names={"target": "by", "order": "descending"},
            values=_order_values,
            known=frozenset({"target", "take_count"}),
        ),
        Twin(
            theirs="ImpactSEGSRangeFilter",
            ours="SegsDetailerFilter",
            widgets=(
                Widget("target", COMBO),
                Widget("mode", "BOOLEAN", words=("inside", "outside")),
                Widget("min_value", "INT"),
                Widget("max_value", "INT"),
            ),
            values=_range_values,
            outputs_of=_range_outputs,
            known=frozenset({"target", "mode", "min_value", "max_value"}),
        ),
        Twin(
            theirs="ImpactSEGSLabelFilter",
            ours="SegsDetailerFilter",
            widgets=(Widget("preset", COMBO), Widget("labels", "STRING")),
            values=_label_values,
            # The preset only adds to the labels, in the browser.
            known=frozenset({"preset", "labels"}),
        ),
        Twin(
            theirs="ImpactSEGSPicker",
            ours="SegsDetailerPick",
            widgets=(Widget("picks", "STRING"),),
            names={"fallback_image_opt": "image_frames"},
            values=_pick_values,
            notes=_pick_notes,
            known=frozenset({"picks"}),
            differs="a number that no segment has is an error here",
        ),
        Twin(
            theirs="ImpactControlNetApplySEGS",
            ours="SegsDetailerControlNet",
            widgets=(_STRENGTH,),
            notes=_control_notes,
            differs=_ACN,
        ),
        Twin(
            theirs="ImpactControlNetApplyAdvancedSEGS",
            ours="SegsDetailerControlNet",
            widgets=(_STRENGTH, Widget("start_percent", "FLOAT"), Widget("end_percent", "FLOAT")),
            notes=_control_notes,
            differs=_ACN,
        ),
        Twin(theirs="DetailerHookCombine", ours="SegsDetailerCombineHooks"),
    )
}
"""The twins by the ids of theirs."""
