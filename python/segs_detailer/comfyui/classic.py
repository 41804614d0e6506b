"""Classic node classes, for a ComfyUI that has no schemas yet."""

from __future__ import annotations

from typing import Any

from segs_detailer.comfyui.declaration import COMBO, Input, Node, Shown
from segs_detailer.comfyui.nodes import NODES

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "class_of"]


def class_of(node: Node) -> type:
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

    def input_types(cls: type) -> dict[str, dict[str, tuple[Any, ...]]]:
        del cls
        types: dict[str, dict[str, tuple[Any, ...]]] = {"required": {}}
        for item in node.inputs:
            types.setdefault("optional" if item.optional else "required", {})[item.name] = _input_type(item)
        return types

    def execute(**inputs: Any) -> Any:
        result = node.function(**inputs)
        return {"ui": dict(result.ui), "result": result.results} if isinstance(result, Shown) else result

    return type(
        node.id,
        (),
        {
            "__doc__": node.description,
            "__module__": __name__,
            "INPUT_TYPES": classmethod(input_types),
            "RETURN_TYPES": tuple(output.type for output in node.outputs),
            "RETURN_NAMES": tuple(output.name for output in node.outputs),
            "OUTPUT_IS_LIST": tuple(output.is_list for output in node.outputs),
            "OUTPUT_TOOLTIPS": tuple(output.tooltip for output in node.outputs),
            "OUTPUT_NODE": node.is_output,
            "FUNCTION": "execute",
            "CATEGORY": node.category,
            "DESCRIPTION": node.description,
            "execute": staticmethod(execute),
        },
    )


def _input_type(item: Input) -> tuple[Any, ...]:
    options = {**item.widget, "tooltip": item.tooltip}
    if item.type == COMBO and item.choices is not None:
        return (list(item.choices()), options)
    return (item.type, options)


NODE_CLASS_MAPPINGS: dict[str, type] = {node.id: class_of(node) for node in NODES}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {node.id: node.display_name for node in NODES}
