"""Pictures that steer a model, carried by conditioning entries under the key `"control"`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ControlHint", "control_hints", "with_control"]


@dataclass(frozen=True, slots=True, eq=False)
class ControlHint:
    """A ControlNet with its picture, to be put into conditioning entries under `"control"`.

    Parameters
    ----------
    controlnet : module
        A control network of the model's family.
    image : Tensor
        Its input, `(1 or F, H, W, 3)` float32 in [0, 1]; resized to the working size if it has another.
    strength : float
        Factor of its effect.
    start, end : float
        Share of the sampling process, from 0 (all noise) to 1 (clean), between which it acts.
    """

    controlnet: Any
    image: Tensor
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        if self.image.ndim != 4 or self.image.shape[-1] != 3:
            raise InvalidArgumentError("image", "(1 or F, H, W, 3)", f"shape {tuple(self.image.shape)}")
        if not 0 <= self.start <= self.end <= 1:
            raise InvalidArgumentError("start, end", "0 <= start <= end <= 1", f"{self.start}, {self.end}")


def control_hints(value: Any) -> tuple[ControlHint, ...]:
    """List the hints of a conditioning entry: none, one, or a sequence of them."""
    if value is None:
        return ()
    hints = (value,) if isinstance(value, ControlHint) else tuple(value) if isinstance(value, Sequence) else (value,)
    for hint in hints:
        if not isinstance(hint, ControlHint):
            raise InvalidTypeError("control", "ControlHint or a sequence of them", type(hint).__name__)
    return hints


def with_control(conditioning: Sequence[Any], hint: ControlHint) -> list[list[Any]]:
    """Give every entry of a conditioning also `hint`. The input is not changed."""
    return [
        [embedding, {**options, "control": (*control_hints(options.get("control")), hint)}]
        for embedding, options in conditioning
    ]
