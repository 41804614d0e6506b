"""Workflows as ComfyUI's API takes them: nodes by their ids, with their inputs by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segs_detailer.comfyui.conversion.ids import IMPACT_IDS
from segs_detailer.comfyui.conversion.swap import Written, swap
from segs_detailer.comfyui.conversion.twins import TWINS, NoTwinError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from segs_detailer.comfyui.conversion.report import Report
    from segs_detailer.comfyui.conversion.swap import Swap
    from segs_detailer.comfyui.conversion.twins import Twin

__all__ = ["convert_prompt", "is_prompt", "prompt_problems"]


def is_prompt(content: Any) -> bool:
    """Whether this is a workflow for the API."""
    return (
        isinstance(content, dict)
        and bool(content)
        and all(isinstance(node, dict) and isinstance(node.get("class_type"), str) for node in content.values())
    )


def convert_prompt(prompt: dict[str, Any], report: Report) -> None:
    """Swap the nodes of a workflow that have a twin, in place.

    Parameters
    ----------
    prompt : dict
        The workflow.
    report : Report
        Who is told what was done.
    """
    swaps: dict[str, Swap] = {}
    for name, node in prompt.items():
        kind, where = node["class_type"], _where(name, node)
        twin = TWINS.get(kind)
        if twin is None:
            if kind in IMPACT_IDS:
                report.keep(where, kind)
            continue
        try:
            swaps[name] = swap(twin, _written(twin, node))
        except NoTwinError as reason:
            report.keep(where, kind, str(reason))
        else:
            report.swap(where, swaps[name])
    for name, done in swaps.items():
        prompt[name] = _rewritten(prompt[name], done)
    for node in prompt.values():
        for key, source, place in _links(node):
            if source in swaps:
                node["inputs"][key] = [node["inputs"][key][0], swaps[source].place(place)]


def prompt_problems(prompt: dict[str, Any]) -> set[str]:
    """Say which inputs come from nodes that are not there."""
    return {
        f"{name}: {key} comes from node {source}, which is not there"
        for name, node in prompt.items()
        for key, source, _ in _links(node)
        if source not in prompt
    }


def _where(name: str, node: dict[str, Any]) -> str:
    meta = node.get("_meta")
    title = meta.get("title") if isinstance(meta, dict) else None
    return f"{name} {title!r}" if title and title != node["class_type"] else name


def _is_link(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], (str, int))
        and isinstance(value[1], int)
        and not isinstance(value[1], bool)
    )


def _inputs(node: dict[str, Any]) -> dict[str, Any]:
    inputs = node.get("inputs")
    return inputs if isinstance(inputs, dict) else {}


def _links(node: dict[str, Any]) -> Iterator[tuple[str, str, int]]:
    """Give the inputs of a node that come from others: name, the other's id, and the place among its outputs."""
    for key, value in list(_inputs(node).items()):
        if _is_link(value):
            yield key, str(value[0]), value[1]


def _written(twin: Twin, node: dict[str, Any]) -> Written:
    inputs = _inputs(node)
    linked = {key for key, _, _ in _links(node)}
    values = {key: value for key, value in inputs.items() if key not in linked}
    known = {widget.name for widget in twin.widgets}
    return Written(
        values={key: value for key, value in values.items() if key in known},
        linked=frozenset(linked),
        extra=tuple((key, value) for key, value in values.items() if key not in known),
    )


def _rewritten(node: dict[str, Any], done: Swap) -> dict[str, Any]:
    links = {done.twin.our_name(key): node["inputs"][key] for key, _, _ in _links(node)}
    given = {**done.values, **links}
    inputs = {item.name: given[item.name] for item in done.node.inputs if item.name in given}
    return {**node, "inputs": inputs, "class_type": done.node.id}
