"""Node classes with a schema, ComfyUI's newer form. Only a running ComfyUI can import this module."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import ComfyExtension, io

from segs_detailer.comfyui.extension import known_options
from segs_detailer.comfyui.nodes import NODES
from segs_detailer.nodes.declaration import COMBO, Input, Node, Output, Shown

__all__ = ["class_of", "comfy_entrypoint"]


def class_of(node: Node) -> type:
    """Make the class that ComfyUI registers for a node.

    Parameters
    ----------
    node : Node
        The declaration.

    Returns
    -------
    type
        A `ComfyNode` with `define_schema` and `execute`.
    """

    def define_schema(cls: type, /) -> Any:
        del cls
        return io.Schema(
            node_id=node.id,
            display_name=node.display_name,
            category=node.category,
            description=node.description,
            inputs=[_input(item) for item in node.inputs],
            outputs=[_output(item, place) for place, item in enumerate(node.outputs)],
            is_output_node=node.is_output,
            **known_options(io.Schema, {"search_aliases": list(node.search_aliases)}),
        )

    def execute(cls: type, /, **inputs: Any) -> Any:
        del cls
        result = node.run(**inputs)
        if isinstance(result, Shown):
            return io.NodeOutput(*result.results, ui=dict(result.ui))
        return io.NodeOutput(*result)

    return type(
        node.id,
        (io.ComfyNode,),
        {
            "__doc__": node.description,
            "__module__": __name__,
            "define_schema": classmethod(define_schema),
            "execute": classmethod(execute),
        },
    )


# Widgets have classes of their own; any other type is a plain socket.
_WIDGETS = {"INT": io.Int, "FLOAT": io.Float, "BOOLEAN": io.Boolean, "STRING": io.String, COMBO: io.Combo}


def _input(item: Input) -> Any:
    options = dict(item.widget)
    if item.choices is not None:
        options["options"] = list(item.choices())
    kind = _WIDGETS.get(item.type) or io.Custom(item.type)
    return kind.Input(item.name, optional=item.optional, tooltip=item.tooltip, **options)


def _output(item: Output, place: int) -> Any:
    # Ids must differ from those of the inputs, and here outputs bear the inputs' names.
    return io.Custom(item.type).Output(
        f"output_{place}_{item.name}", display_name=item.name, tooltip=item.tooltip, is_output_list=item.is_list
    )


async def comfy_entrypoint() -> Any:
    """Hand ComfyUI all nodes.

    Returns
    -------
    ComfyExtension
        The extension.
    """

    async def get_node_list(self: object) -> list[type]:
        del self
        return [class_of(node) for node in NODES]

    return type("SegsDetailerExtension", (ComfyExtension,), {"get_node_list": get_node_list})()
