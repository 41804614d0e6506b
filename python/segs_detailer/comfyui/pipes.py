"""The nodes of pipes: a model and its companions in one value."""

from __future__ import annotations

from typing import Any

from segs_detailer.errors import InvalidTypeError
from segs_detailer.nodes.declaration import Input, Node, Output

__all__ = ["PIPE_NODES", "from_basic_pipe", "to_basic_pipe"]


def to_basic_pipe(model: Any, clip: Any, vae: Any, positive: Any, negative: Any) -> tuple[tuple[Any, ...]]:
    """Bind a model and its companions."""
    # A plain tuple: other packs compare and unpack it.
    return ((model, clip, vae, positive, negative),)


def from_basic_pipe(basic_pipe: Any) -> tuple[Any, ...]:
    """Give a pipe and its five parts.

    Raises
    ------
    InvalidTypeError
        `basic_pipe` is not a tuple of five.
    """
    if not (isinstance(basic_pipe, (tuple, list)) and len(basic_pipe) == 5):
        expected = "(model, clip, vae, positive, negative)"
        raise InvalidTypeError("basic_pipe", expected, f"{type(basic_pipe).__name__}")
    return (basic_pipe, *basic_pipe)


def _pipe_parts() -> tuple[tuple[str, str, str], ...]:
    return (
        ("model", "MODEL", "The diffusion model, with whatever is applied to it: motion modules, LoRA, IP-Adapter."),
        ("clip", "CLIP", "Its text encoder."),
        ("vae", "VAE", "Its VAE."),
        ("positive", "CONDITIONING", "What the subjects show."),
        ("negative", "CONDITIONING", "What they must not show."),
    )


PIPE_NODES: tuple[Node, ...] = (
    Node(
        id="SegsDetailerToBasicPipe",
        display_name="ToBasicPipe (segs-detailer)",
        description="Binds a model, its companions and its conditioning into one BASIC_PIPE.",
        search_aliases=("bundle model", "make pipe"),
        inputs=tuple(Input(name=name, type=kind, tooltip=tooltip) for name, kind, tooltip in _pipe_parts()),
        outputs=(Output(name="basic_pipe", type="BASIC_PIPE", tooltip="All five."),),
        function=to_basic_pipe,
    ),
    Node(
        id="SegsDetailerFromBasicPipe",
        display_name="FromBasicPipe (segs-detailer)",
        description="Gives the parts of a BASIC_PIPE.",
        search_aliases=("unpack pipe", "pipe out"),
        inputs=(Input(name="basic_pipe", type="BASIC_PIPE", tooltip="The pipe to take apart."),),
        outputs=(
            Output(name="basic_pipe", type="BASIC_PIPE", tooltip="The pipe, as it came."),
            *(Output(name=name, type=kind, tooltip=tooltip) for name, kind, tooltip in _pipe_parts()),
        ),
        function=from_basic_pipe,
    ),
)
"""The nodes of pipes."""
