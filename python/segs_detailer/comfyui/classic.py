"""Classic node classes, for a ComfyUI that has no schemas yet."""

from __future__ import annotations

import types
from typing import Any

from segs_detailer.comfyui.nodes import NODES
from segs_detailer.nodes.declaration import ClassicNode, Node, Shown

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "class_of"]


def class_of(node: Node) -> type[ClassicNode]:
    """Make the class that ComfyUI registers for a node.

    Parameters
    ----------
    node : Node
        The declaration.

    Returns
    -------
    type
        With `INPUT_TYPES`, `RETURN_TYPES`, `FUNCTION` and what else ComfyUI reads.
    """

    def execute(**inputs: Any) -> Any:
        result = node.run(**inputs)
        return {"ui": dict(result.ui), "result": result.results} if isinstance(result, Shown) else result

    body = {"__doc__": node.description, "__module__": __name__, "execute": staticmethod(execute)}
    return types.new_class(
        node.id, (ClassicNode,), {"node": node, "function": "execute"}, lambda names: names.update(body)
    )


NODE_CLASS_MAPPINGS: dict[str, type[ClassicNode]] = {node.id: class_of(node) for node in NODES}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {node.id: node.display_name for node in NODES}
