"""What a node is, said once: classic classes, signatures and ComfyUI's schemas are made from this."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any, ClassVar

from segs_detailer._interop import dtype_name, is_tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from segs_detailer.settings import Declared

__all__ = ["COMBO", "ClassicNode", "Input", "Node", "Output", "Shown", "setting_input"]

COMBO = "COMBO"
"""Type of an input that is chosen from a list."""

_PIXELS = ("IMAGE", "MASK")


def _is_half(value: object) -> bool:
    return is_tensor(value) and dtype_name(value) in ("float16", "bfloat16")


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
    unsaid : object
        What a call in Python that leaves a required input out means by it; as it comes, it cannot be left out.
    """

    name: str
    type: str
    tooltip: str
    optional: bool = False
    widget: Mapping[str, Any] = field(default_factory=dict)
    choices: Callable[[], Sequence[str]] | None = None
    unsaid: Any = Parameter.empty

    @property
    def parameter(self) -> Parameter:
        """The argument of a function that takes this input."""
        default = self.widget.get("default") if self.optional else self.unsaid
        return Parameter(self.name, Parameter.POSITIONAL_OR_KEYWORD, default=default)

    @property
    def classic(self) -> tuple[Any, ...]:
        """The entry in the `INPUT_TYPES` of a classic class."""
        options = {**self.widget, "tooltip": self.tooltip}
        return (self.type if self.choices is None else list(self.choices()), options)


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
    search_aliases : tuple of str
        Other words by which the search finds it, such as what other packs call it.
    image_dtypes : tuple of str
        Floats in which the function takes pictures. Those of other floats, and masks, reach it in float32; what comes
        out is of the dtype that came in.
    """

    id: str
    display_name: str
    description: str
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    function: Callable[..., tuple[Any, ...] | Shown]
    category: str = "segs-detailer"
    is_output: bool = False
    search_aliases: tuple[str, ...] = ()
    image_dtypes: tuple[str, ...] = ("float32",)

    def run(self, **inputs: Any) -> tuple[Any, ...] | Shown:
        """Call the function with pictures and masks of any float.

        ComfyUI keeps them in float16 or bfloat16 where its user wants that.

        Parameters
        ----------
        **inputs : object
            The inputs by their names.

        Returns
        -------
        tuple or Shown
            What the function gives. Its pictures and masks are of the dtype of the first picture, or mask, that came
            in; one that it hands through is the very one that came.
        """
        # Pictures first: they say what comes out, and masks where there are none.
        halves = [
            item for kind in _PIXELS for item in self.inputs if item.type == kind and _is_half(inputs.get(item.name))
        ]
        if not halves:
            return self.function(**inputs)
        dtype, given = inputs[halves[0].name].dtype, dict(inputs)
        for item in halves:
            if item.type == "MASK" or dtype_name(given[item.name]) not in self.image_dtypes:
                given[item.name] = given[item.name].float()
        result = self.function(**given)
        came = {id(given[name]): value for name, value in inputs.items()}

        def back(value: Any) -> Any:
            if isinstance(value, list):
                return [back(each) for each in value]
            if id(value) in came:
                return came[id(value)]
            return value.to(dtype) if is_tensor(value) and dtype_name(value) == "float32" else value

        results = result.results if isinstance(result, Shown) else result
        changed = tuple(
            back(value) if output.type in _PIXELS else value
            for output, value in zip(self.outputs, results, strict=True)
        )
        return replace(result, results=changed) if isinstance(result, Shown) else changed

    @property
    def signature(self) -> Signature:
        """The arguments of a call in Python: the inputs, in their order."""
        return Signature([item.parameter for item in self.inputs])

    @property
    def method_signature(self) -> Signature:
        """The same of a method."""
        own = Parameter("self", Parameter.POSITIONAL_ONLY)
        return Signature([own, *(item.parameter for item in self.inputs)])

    def called(self) -> Callable[..., Any]:
        """Return `run` for calls in Python: by place or by name, with the defaults of the inputs."""
        signature = self.signature

        @functools.wraps(self.function)
        def call(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            return self.run(**bound.arguments)

        call.__signature__ = signature  # type: ignore[attr-defined]
        return call


class ClassicNode:
    """What ComfyUI reads of a classic node class, made from the declaration that a class is derived with."""

    RETURN_TYPES: ClassVar[tuple[str, ...]]
    RETURN_NAMES: ClassVar[tuple[str, ...]]
    OUTPUT_IS_LIST: ClassVar[tuple[bool, ...]]
    OUTPUT_TOOLTIPS: ClassVar[tuple[str, ...]]
    OUTPUT_NODE: ClassVar[bool]
    FUNCTION: ClassVar[str]
    CATEGORY: ClassVar[str]
    DESCRIPTION: ClassVar[str]
    SEARCH_ALIASES: ClassVar[list[str]]
    node: ClassVar[Node]

    def __init_subclass__(cls, *, node: Node, function: str, **more: Any) -> None:
        super().__init_subclass__(**more)
        cls.node = node
        cls.RETURN_TYPES = tuple(output.type for output in node.outputs)
        cls.RETURN_NAMES = tuple(output.name for output in node.outputs)
        cls.OUTPUT_IS_LIST = tuple(output.is_list for output in node.outputs)
        cls.OUTPUT_TOOLTIPS = tuple(output.tooltip for output in node.outputs)
        cls.OUTPUT_NODE = node.is_output
        cls.FUNCTION = function
        cls.CATEGORY = node.category
        cls.DESCRIPTION = node.description
        cls.SEARCH_ALIASES = list(node.search_aliases)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, tuple[Any, ...]]]:  # noqa: N802
        """Sockets and widgets, in the order in which they are shown.

        Returns
        -------
        dict
            `"required"` and `"optional"` inputs by name.
        """
        types: dict[str, dict[str, tuple[Any, ...]]] = {"required": {}}
        for item in cls.node.inputs:
            types.setdefault("optional" if item.optional else "required", {})[item.name] = item.classic
        return types


def setting_input(
    each: Declared,
    default: Any,
    *,
    note: str = "",
    switch: bool = False,
    choices: Callable[[], Sequence[str]] | None = None,
    optional: bool = False,
    unsaid: Any = Parameter.empty,
) -> Input:
    """Make the widget of a setting.

    Parameters
    ----------
    each : Declared
        The setting.
    default : object
        The node's default.
    note : str
        What the tooltip says beside the setting's help.
    switch : bool
        A setting of two choices is a switch, on for the first.
    choices : callable or None
        Who gives the list of a setting that is a name.
    optional, unsaid
        See `Input`.
    """
    widget = dict(each.widget)
    if each.type is bool:
        kind = "BOOLEAN"
        widget["default"] = default
    elif switch:
        kind = "BOOLEAN"
        on, off = each.choices
        widget |= {"default": default == on, "label_on": on, "label_off": off}
    elif each.type in (int, float):
        kind = "INT" if each.type is int else "FLOAT"
        limits = {"min": each.minimum, "max": each.maximum, "step": each.step}
        widget = {**{name: limit for name, limit in limits.items() if limit is not None}, **widget, "default": default}
    else:
        # A list without a default begins with its first entry, which is ComfyUI's own.
        kind = COMBO
        own = each.choices
        choices = choices or (lambda: own)
    tooltip = " ".join(part for part in (f"{each.help[0].upper()}{each.help[1:]}.", note) if part)
    return Input(
        name=each.name,
        type=kind,
        tooltip=tooltip,
        optional=optional,
        widget=widget,
        choices=choices,
        unsaid=unsaid,
    )
