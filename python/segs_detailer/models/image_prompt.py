"""Image prompts: pictures that a model is shown beside the text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ImagePrompt"]


@dataclass(frozen=True, slots=True, eq=False)
class ImagePrompt:
    """What IP-Adapters are shown.

    Parameters
    ----------
    positive, negative : tuple of Tensor
        One per IP-Adapter: `(1, pictures, D)`, or `(1, pictures, T, D)` for the "plus" kind.
    images : tuple of Tensor
        The pictures `(n, H, W, 3)` in [0, 1] that they were made from, for a look.
    is_shown : bool
        False: the model works as if it had no IP-Adapter, for subjects of which there is no picture.
    """

    positive: tuple[Tensor, ...]
    negative: tuple[Tensor, ...]
    images: tuple[Tensor, ...] = ()
    is_shown: bool = True
