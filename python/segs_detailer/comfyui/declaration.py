"""What a node is, said once: ComfyUI's classic classes and its schemas are both made from this."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["COMBO", "Input", "Node", "Output", "Shown", "classic_inputs", "classic_outputs"]

COMBO = "COMBO"
"""Type of an input that is chosen from a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A socket or widget.

    Parameters
    ----------
    name : str
        Argument of the node's function.
    type : str
        Type as ComfyUI names it: `"IMAGE"`, `"INT"`, ..., or `COMBO`.
    tooltip : str
        What it does.
    optional : bool
        The function has a default for it.
    widget : mapping
        Options as ComfyUI names them: `default`, `min`, `max`, `step`, `label_on`, `label_off`, `multiline`,
        `control_after_generate`.
    choices : callable or None
        Gives the list of a combo; asked anew each time, as other packs add to ComfyUI's lists.
    """

    name: str
    type: str
    tooltip: str
    optional: bool = False
    widget: Mapping[str, Any] = field(default_factory=dict)
    choices: Callable[[], Sequence[str]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One result.

    Parameters
    ----------
    name : str
        Name on the node.
    type : str
        Type as ComfyUI names it.
    tooltip : str
        What it is.
    is_list : bool
        The result is a list, of which the nodes behind get one item at a time.
    """

    name: str
    type: str
    tooltip: str
    is_list: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """A node's results together with what the browser shows on it.

    Parameters
    ----------
    results : tuple
        The outputs.
    ui : mapping
        What ComfyUI sends to the browser, such as `{"images": [...]}`.
    """

    results: tuple[Any, ...]
    ui: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node.

    Parameters
    ----------
    id : str
        Name in workflows: never changed after a release.
    display_name : str
        Title.
    description : str
        What it does, in a sentence or two.
    inputs, outputs : tuple
        Sockets and widgets, in the order in which they are shown.
    function : callable
        Takes the inputs by name and returns a tuple of the outputs, or `Shown`.
    category : str
        Place in the menu.
    is_output : bool
        The node is run even where nothing hangs on it.
    """

    id: str
    display_name: str
    description: str
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    function: Callable[..., tuple[Any, ...] | Shown]
    category: str = "segs-detailer"
    is_output: bool = False


def classic_inputs(
    node_class: Any, choices: Mapping[str, Callable[[], Sequence[str]]] | None = None
) -> tuple[Input, ...]:
    """Read the inputs of a classic node class.

    Parameters
    ----------
    node_class : type
        A class with `INPUT_TYPES`.
    choices : mapping or None
        Who gives the lists of the combos, by input.

    Returns
    -------
    tuple of Input
        In their order, required ones first.
    """
    return tuple(
        _classic_input(name, spec, optional=group == "optional", choices=(choices or {}).get(name))
        for group, inputs in node_class.INPUT_TYPES().items()
        for name, spec in inputs.items()
    )


def _classic_input(
    name: str, spec: tuple[Any, ...], *, optional: bool, choices: Callable[[], Sequence[str]] | None
) -> Input:
    kind, options = spec[0], dict(spec[1]) if len(spec) > 1 else {}
    tooltip = options.pop("tooltip", "")
    if isinstance(kind, str):
        return Input(name=name, type=kind, tooltip=tooltip, optional=optional, widget=options)
    own = tuple(kind)
    return Input(
        name=name, type=COMBO, tooltip=tooltip, optional=optional, widget=options, choices=choices or (lambda: own)
    )


def classic_outputs(node_class: Any, tooltips: Mapping[str, str]) -> tuple[Output, ...]:
    """Read the outputs of a classic node class.

    Parameters
    ----------
    node_class : type
        A class with `RETURN_TYPES`, and perhaps `RETURN_NAMES` and `OUTPUT_IS_LIST`.
    tooltips : mapping
        What each output is, by its name; one for each.

    Returns
    -------
    tuple of Output
        In their order.
    """
    types = node_class.RETURN_TYPES
    names = getattr(node_class, "RETURN_NAMES", tuple(kind.lower() for kind in types))
    lists = getattr(node_class, "OUTPUT_IS_LIST", (False,) * len(types))
    return tuple(
        Output(name=name, type=kind, tooltip=tooltips[name], is_list=is_list)
        for name, kind, is_list in zip(names, types, lists, strict=True)
    )
