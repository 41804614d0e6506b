"""One node of Impact Pack's, and the one that stands in its place: no matter how a file writes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from segs_detailer.comfyui.conversion.twins import NoTwinError, Twin, is_widget

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from segs_detailer.nodes.declaration import Input, Node

__all__ = ["Swap", "Written", "swap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a file says of a node of Impact Pack's.

    Parameters
    ----------
    values : mapping
        Values of its widgets by their names.
    linked : frozenset of str
        Inputs that come from other nodes, those with a widget among them.
    shown : frozenset of str
        Widgets that a subgraph around the node shows as its own.
    extra : tuple of (str, object)
        Values of widgets that no known release has, with their names or places.
    """

    values: Mapping[str, Any]
    linked: frozenset[str] = frozenset()
    shown: frozenset[str] = frozenset()
    extra: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """What stands in a node's place.

    Parameters
    ----------
    twin : Twin
        Both nodes.
    values : dict
        Values of all widgets of ours by name, but those that a link gives and that have none.
    outputs : tuple of int
        Place of each of their outputs among ours; empty where all are the same.
    notes : tuple of str
        What is other than it was.
    """

    twin: Twin
    values: dict[str, Any]
    outputs: tuple[int, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def node(self) -> Node:
        """The declaration of ours."""
        return self.twin.node

    def place(self, output: int) -> int:
        """Return the place among our outputs of one of theirs."""
        return self.outputs[output] if output < len(self.outputs) else output


def swap(twin: Twin, written: Written) -> Swap:
    """Find what stands in the place of a node.

    Parameters
    ----------
    twin : Twin
        Both nodes.
    written : Written
        What the file says of theirs.

    Returns
    -------
    Swap
        Ours.

    Raises
    ------
    NoTwinError
        Ours cannot do what it does as it stands.
    """
    ours = {item.name: item for item in twin.node.inputs}
    _check_links(twin, written, ours)
    known = _known(twin, written)
    values = _values(twin, known, written.linked, ours)
    notes = (
        *((twin.differs,) if twin.differs else ()),
        *twin.notes(known, written.linked),
        *(f"{name} = {value!r} has no counterpart here, and is left out" for name, value in written.extra),
    )
    outputs = twin.outputs if twin.outputs_of is None else twin.outputs_of(known)
    return Swap(twin=twin, values=values, outputs=outputs, notes=notes)


def _check_links(twin: Twin, written: Written, ours: Mapping[str, Input]) -> None:
    """Refuse what comes from elsewhere and is of use here only as a value, or not at all."""
    for name in sorted(written.linked):
        if name in twin.known:
            raise NoTwinError(f"its {name} comes from another node, and is written in another way here")
        if twin.our_name(name) not in ours:
            raise NoTwinError(f"its input {name} has no counterpart here")
    for name in sorted(written.shown):
        if name in twin.known or twin.our_name(name) != name or name not in ours:
            raise NoTwinError(f"its {name} is shown on the subgraph, and has another name or values here")


def _known(twin: Twin, written: Written) -> dict[str, Any]:
    """Return the values as they are meant, with those that its release has no widget for."""
    known = {}
    for widget in twin.widgets:
        if widget.name in written.values:
            known[widget.name] = widget.read(written.values[widget.name])
        elif widget.name in written.linked:
            continue
        elif widget.unsaid is None:
            raise NoTwinError(f"it says no {widget.name}")
        else:
            known[widget.name] = widget.unsaid
    return known


def _values(twin: Twin, known: Mapping[str, Any], linked: Collection[str], ours: Mapping[str, Input]) -> dict[str, Any]:
    made = {twin.our_name(name): value for name, value in twin.values(known).items()}
    from_links = {twin.our_name(name) for name in linked}
    values = {}
    for name, item in ours.items():
        if not is_widget(item):
            continue
        if name in made:
            values[name] = _checked(item, made[name])
        elif name not in from_links:
            values[name] = _default(item)
    return values


def _default(item: Input) -> Any:
    choices: Sequence[str] = () if item.choices is None else item.choices()
    return item.widget.get("default", choices[0] if choices else "")


def _checked(item: Input, value: Any) -> Any:
    """Refuse what the widget of ours would not take. Which samplers and schedules there are, only ComfyUI knows."""
    least, most = item.widget.get("min"), item.widget.get("max")
    if (least is not None and value < least) or (most is not None and value > most):
        raise NoTwinError(f"its {item.name} is {value}, and here from {least} to {most}")
    return value
