"""Help pages of the nodes, written from their declarations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segs_detailer.comfyui.nodes import NODES
from segs_detailer.nodes.declaration import COMBO
from segs_detailer.settings import plain

if TYPE_CHECKING:
    from segs_detailer.nodes.declaration import Input, Node

__all__ = ["help_page", "help_pages", "reference"]

# Longer lists are ComfyUI's own, and differ from one ComfyUI to the next.
_LONGEST_LIST = 9


def help_pages() -> dict[str, str]:
    """Give the pages that ComfyUI shows beside its nodes.

    Returns
    -------
    dict
        Markdown by the nodes' ids.
    """
    return {node.id: help_page(node) for node in NODES}


def reference() -> str:
    """Give all pages as one text, with the nodes' names as headings of the third level.

    Returns
    -------
    str
        Markdown.
    """
    return "\n".join(f"### {node.display_name}\n\n`{node.id}`. {node.description}\n\n{_tables(node)}" for node in NODES)


def help_page(node: Node) -> str:
    """Write one page.

    Parameters
    ----------
    node : Node
        The declaration.

    Returns
    -------
    str
        Markdown: title, description, and tables of the inputs and outputs.
    """
    return f"# {node.display_name}\n\n{node.description}\n\n{_tables(node)}"


def _tables(node: Node) -> str:
    lines = ["| input | type | default | |", "|---|---|---|---|"]
    lines += [f"| `{item.name}` | {_kind(item)} | {_default(item)} | {_cell(item.tooltip)} |" for item in node.inputs]
    lines += ["", "| output | type | |", "|---|---|---|"]
    lines += [
        f"| `{item.name}` | {item.type}{', a list' if item.is_list else ''} | {_cell(item.tooltip)} |"
        for item in node.outputs
    ]
    return "\n".join(lines) + "\n"


def _kind(item: Input) -> str:
    kind = "list" if item.type == COMBO else item.type
    return f"{kind}, optional" if item.optional else kind


def _default(item: Input) -> str:
    if item.choices is not None:
        choices = item.choices()
        return "" if len(choices) > _LONGEST_LIST else " ".join(_code(choice) for choice in choices)
    if "default" not in item.widget:
        return ""
    default = item.widget["default"]
    if item.type == "BOOLEAN":
        return _code(item.widget.get("label_on" if default else "label_off", default))
    if "max" not in item.widget or "min" not in item.widget:
        return _code(default)
    return f"{plain(default)} ({plain(item.widget['min'])} to {plain(item.widget['max'])})"


def _code(value: object) -> str:
    return f"`{_cell(str(value))}`" if str(value) else "empty"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
