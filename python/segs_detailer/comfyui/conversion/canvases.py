"""Workflows as the browser saves them: nodes with places and lists of values, links with numbers, and subgraphs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from segs_detailer.comfyui.conversion.ids import IMPACT_IDS, IMPACT_PACKS
from segs_detailer.comfyui.conversion.swap import Written, swap
from segs_detailer.comfyui.conversion.twins import CONTROLS, TWINS, NoTwinError, is_widget, with_control
from segs_detailer.comfyui.folder import FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from segs_detailer.comfyui.conversion.report import Report
    from segs_detailer.comfyui.conversion.swap import Swap
    from segs_detailer.comfyui.conversion.twins import Twin, Widget

__all__ = ["canvas_problems", "convert_canvas", "is_canvas"]

_IN_A_GROUP_NODE = "it is in the group node {}: make a subgraph of it first"
# Keys of a node's properties that say whose it is.
_OWNERS = ("cnr_id", "aux_id", "ver")
_SEARCHED = "Node name for S&R"
# Shape of sockets that may stay empty.
_OPTIONAL = 7
_PRIMITIVE = "PrimitiveNode"
# Of a link's parts in its list.
_PLACES = {"id": 0, "origin_id": 1, "origin_slot": 2, "target_id": 3, "target_slot": 4, "type": 5}


def is_canvas(content: Any) -> bool:
    """Whether this is a workflow that the browser saved."""
    return isinstance(content, dict) and isinstance(content.get("nodes"), list)


@dataclass(slots=True)
class _Link:
    """A link, however the file writes it.

    Parameters
    ----------
    entry : list or dict
        The file's.
    """

    entry: Any

    def __getitem__(self, name: str) -> Any:
        if isinstance(self.entry, dict):
            return self.entry.get(name)
        return self.entry[_PLACES[name]]

    def __setitem__(self, name: str, value: Any) -> None:
        self.entry[name if isinstance(self.entry, dict) else _PLACES[name]] = value


class _Graph:
    """The whole workflow, or one of its subgraphs.

    Parameters
    ----------
    content : dict
        Nodes and links.
    name : str
        The subgraph's name; empty for the whole.
    shown : set of (str, str)
        Numbers of nodes, and names of their widgets, that are shown on the subgraph's own node.
    """

    def __init__(
        self, content: dict[str, Any], name: str = "", shown: frozenset[tuple[str, str]] = frozenset()
    ) -> None:
        self.name = name
        self.shown = shown
        self.nodes: list[dict[str, Any]] = [node for node in content["nodes"] if isinstance(node, dict)]
        links = [_Link(entry) for entry in content.get("links") or () if _is_link(entry)]
        self.links = {link["id"]: link for link in links}
        self.by_id = {str(node.get("id")): node for node in self.nodes}

    def where(self, node: Mapping[str, Any]) -> str:
        """Say where a node is."""
        title = node.get("title")
        number = f"{node.get('id')}" + (f" {title!r}" if title and title != node.get("type") else "")
        return f"{number} in the subgraph {self.name}" if self.name else number


def convert_canvas(workflow: dict[str, Any], report: Report) -> None:
    """Swap the nodes of a workflow that have a twin, in place, in its subgraphs too.

    Parameters
    ----------
    workflow : dict
        The workflow.
    report : Report
        Who is told what was done.
    """
    for graph in _graphs(workflow):
        for node in graph.nodes:
            _convert_node(graph, node, report)
    for name, group in _group_nodes(workflow):
        for node in group:
            if node.get("type") in IMPACT_IDS:
                report.keep(f"{node.get('type')}", str(node["type"]), _IN_A_GROUP_NODE.format(name))


def canvas_problems(workflow: dict[str, Any]) -> set[str]:
    """Say which links do not fit the nodes at their ends."""
    found = set()
    for graph in _graphs(workflow):
        for number, link in graph.links.items():
            ends = (
                (
                    "origin_id",
                    "origin_slot",
                    "outputs",
                    lambda slot, number=number: number in (slot.get("links") or ()),
                ),
                ("target_id", "target_slot", "inputs", lambda slot, number=number: slot.get("link") == number),
            )
            for node_key, slot_key, side, fits in ends:
                node = graph.by_id.get(str(link[node_key]))
                # The ends of a subgraph itself are no nodes of it.
                if node is None:
                    continue
                slots, place = node.get(side) or [], link[slot_key]
                if not (isinstance(place, int) and 0 <= place < len(slots) and fits(slots[place])):
                    found.add(f"link {number}: {side} of {graph.where(node)}")
    return found


def _graphs(workflow: dict[str, Any]) -> list[_Graph]:
    definitions = workflow.get("definitions")
    entries = definitions.get("subgraphs") if isinstance(definitions, dict) else None
    subgraphs = [entry for entry in entries or () if isinstance(entry, dict) and is_canvas(entry)]
    shown = _shown_widgets([workflow, *subgraphs])
    graphs = [_Graph(workflow)]
    for entry in subgraphs:
        own = {
            (str(item.get("id")), str(item.get("name")))
            for item in entry.get("widgets") or ()
            if isinstance(item, dict)
        }
        name = str(entry.get("name") or entry.get("id"))
        graphs.append(_Graph(entry, name, frozenset(own | shown.get(str(entry.get("id")), set()))))
    return graphs


def _shown_widgets(graphs: Sequence[dict[str, Any]]) -> dict[str, set[tuple[str, str]]]:
    """Give the widgets within subgraphs that the subgraphs' own nodes show, by the subgraphs' ids."""
    shown: dict[str, set[tuple[str, str]]] = {}
    for graph in graphs:
        for node in graph["nodes"]:
            properties = node.get("properties") if isinstance(node, dict) else None
            proxies = properties.get("proxyWidgets") if isinstance(properties, dict) else None
            for proxy in proxies or ():
                if isinstance(proxy, list) and len(proxy) >= 2:
                    shown.setdefault(str(node.get("type")), set()).add((str(proxy[0]), str(proxy[1])))
    return shown


def _group_nodes(workflow: Mapping[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Give the nodes within what subgraphs were before."""
    extra = workflow.get("extra")
    groups = extra.get("groupNodes") if isinstance(extra, dict) else None
    for name, group in (groups or {}).items():
        if is_canvas(group):
            yield name, [node for node in group["nodes"] if isinstance(node, dict)]


def _is_link(entry: Any) -> bool:
    return (isinstance(entry, list) and len(entry) >= 6) or (isinstance(entry, dict) and "id" in entry)


def _convert_node(graph: _Graph, node: dict[str, Any], report: Report) -> None:
    kind, where = str(node.get("type")), graph.where(node)
    twin = TWINS.get(kind)
    if twin is None:
        owner = (node.get("properties") or {}).get("cnr_id")
        if kind in IMPACT_IDS or owner in IMPACT_PACKS:
            report.keep(where, kind)
        return
    try:
        done = swap(twin, _written(graph, node, twin))
    except NoTwinError as reason:
        report.keep(where, kind, str(reason))
        return
    report.swap(where, done)
    _rewrite(graph, node, done)


def _entries(node: Mapping[str, Any], side: str) -> list[dict[str, Any]]:
    return [entry for entry in node.get(side) or () if isinstance(entry, dict)]


def _written(graph: _Graph, node: Mapping[str, Any], twin: Twin) -> Written:
    inputs = _entries(node, "inputs")
    values, extra = _read_values(node.get("widgets_values"), twin, _named_widgets(inputs))
    number = str(node.get("id"))
    return Written(
        values=values,
        linked=frozenset(str(entry.get("name")) for entry in inputs if entry.get("link") is not None),
        shown=frozenset(name for owner, name in graph.shown if owner == number),
        extra=tuple(extra),
    )


def _named_widgets(inputs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Give the names of widgets that have a socket: in newer files all, in older ones those that were made one."""
    return [str(entry["widget"].get("name")) for entry in inputs if isinstance(entry.get("widget"), dict)]


def _read_values(values: Any, twin: Twin, named: Sequence[str]) -> tuple[dict[str, Any], list[tuple[str, Any]]]:
    """Tell the values of widgets, which mostly stand in a list without names, and those of which nothing is known."""
    if not isinstance(values, dict):
        values = _with_names(list(values or ()), twin, named)
    known = {widget.name for widget in twin.widgets}
    found = {name: value for name, value in values.items() if name in known}
    return found, [(name, value) for name, value in values.items() if name not in known and value not in CONTROLS]


def _with_names(values: list[Any], twin: Twin, named: Sequence[str]) -> dict[str, Any]:
    plain, _ = _without_control(named, values)
    if len(plain) == len(named):
        return dict(zip(named, plain, strict=True))
    fitting = []
    for version in twin.versions:
        plain, _ = _without_control([widget.name for widget in version], values)
        if len(plain) >= len(version) and all(map(_fits, version, plain)):
            fitting.append((version, plain))
    if not fitting:
        raise NoTwinError(f"its {len(values)} values are not those of a release that is known")
    version, plain = max(fitting, key=lambda pair: len(pair[0]))
    names = [widget.name for widget in version]
    others = [name for name in named if name not in names]
    names += others + [f"value {place + 1}" for place in range(len(names) + len(others), len(plain))]
    return dict(zip(names, plain, strict=False))


def _fits(widget: Widget, value: Any) -> bool:
    try:
        widget.read(value)
    except NoTwinError:
        return False
    return True


def _without_control(names: Sequence[str], values: Sequence[Any]) -> tuple[list[Any], str]:
    """Take away what the browser puts behind a seed; returns it, too."""
    plain, control = list(values), CONTROLS[0]
    for place, name in enumerate(names, start=1):
        if with_control(name) and place < len(plain) and plain[place] in CONTROLS:
            control = plain.pop(place)
    return plain, control


def _rewrite(graph: _Graph, node: dict[str, Any], done: Swap) -> None:
    inputs, outputs = _entries(node, "inputs"), _entries(node, "outputs")
    node["widgets_values"] = _widget_values(node.get("widgets_values"), done)
    node["inputs"] = _inputs(inputs, done)
    node["outputs"] = _outputs(outputs, done)
    for place, entry in enumerate(node["inputs"]):
        link = graph.links.get(entry.get("link"))
        if link is not None:
            link["target_slot"] = place
            _rename_primitive(graph, link, entry)
    for place, entry in enumerate(outputs):
        for number in entry.get("links") or ():
            if number in graph.links:
                graph.links[number]["origin_slot"] = done.place(place)
    node["type"] = done.node.id
    if node.get("title") in (done.twin.theirs, done.node.display_name):
        del node["title"]
    properties = node.get("properties")
    if isinstance(properties, dict):
        if properties.get(_SEARCHED) == done.twin.theirs:
            properties[_SEARCHED] = done.node.id
        if [key for key in _OWNERS if properties.pop(key, None) is not None]:
            properties["cnr_id"] = FOLDER


def _widget_values(old: Any, done: Swap) -> list[Any]:
    given = old.values() if isinstance(old, dict) else old or ()
    control = next((value for value in given if isinstance(value, str) and value in CONTROLS), CONTROLS[0])
    values = []
    for item in done.node.inputs:
        if is_widget(item):
            values += [done.values[item.name], *((control,) if with_control(item.name) else ())]
    return values


def _inputs(old: Sequence[dict[str, Any]], done: Swap) -> list[dict[str, Any]]:
    """Give the sockets of ours, in their order, then those of widgets, as far as the file has them."""
    named = {done.twin.our_name(str(entry.get("name"))): entry for entry in old}
    sockets = [item for item in done.node.inputs if not is_widget(item)]
    made = []
    for item in (*sockets, *(item for item in done.node.inputs if is_widget(item) and item.name in named)):
        entry = dict(named.get(item.name) or {"name": item.name, "type": item.type, "link": None})
        if item.name not in named and item.optional:
            entry["shape"] = _OPTIONAL
        if entry["name"] != item.name:
            entry |= {"name": item.name, **({"localized_name": item.name} if "localized_name" in entry else {})}
        if isinstance(entry.get("widget"), dict):
            entry["widget"] = {**entry["widget"], "name": item.name}
        made.append(entry)
    return made


def _outputs(old: Sequence[dict[str, Any]], done: Swap) -> list[dict[str, Any]]:
    by_place = {done.place(place): entry for place, entry in enumerate(old)}
    made = []
    for place, item in enumerate(done.node.outputs):
        entry = dict(by_place.get(place) or {"type": item.type, "links": None})
        entry["name"] = item.name
        if "localized_name" in entry:
            entry["localized_name"] = item.name
        if "slot_index" in entry:
            entry["slot_index"] = place
        made.append(entry)
    return made


def _rename_primitive(graph: _Graph, link: _Link, entry: Mapping[str, Any]) -> None:
    """Tell a primitive, which bears the name of the widget that it stands for."""
    origin = graph.by_id.get(str(link["origin_id"]))
    if origin is None or origin.get("type") != _PRIMITIVE or "widget" not in entry:
        return
    for output in _entries(origin, "outputs"):
        if isinstance(output.get("widget"), dict):
            output["widget"]["name"] = entry["name"]
