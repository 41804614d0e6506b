"""Where subjects overlap, each pixel has one owner, and the same in all frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.checks import shown
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.subjects.boxes import shared_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from segs_detailer.segs import Box
    from segs_detailer.subjects.track import Track

__all__ = ["owned_weights", "owner_order"]


def owner_order(tracks: Sequence[Track]) -> list[int]:
    """Decide once for a clip which subject has the pixels that several cover.

    The one that is larger in the picture is nearer, and in front: the mean area of its boxes decides, and of equal ones
    the place in the list.

    Parameters
    ----------
    tracks : sequence of Track
        Subjects of a clip.

    Returns
    -------
    list of int
        Places in `tracks`, owners first. Pasting them in reverse order, each with its own mask and a crop of the
        original frames, gives the same picture as pasting all at once with `owned_weights`.
    """

    def area(track: Track) -> float:
        sides = track.boxes[:, 2:] - track.boxes[:, :2]
        return float((sides[:, 0] * sides[:, 1]).mean()) if len(sides) else 0.0

    return sorted(range(len(tracks)), key=lambda place: -area(tracks[place]))


def owned_weights(
    masks: Sequence[NDArray[Any]], places: Sequence[Box], order: Sequence[int]
) -> list[NDArray[np.float32]]:
    """Share each pixel of a frame between the masks that cover it.

    Whoever is first in the order has all that its mask says; the next has its mask of what is left, and so on: within
    the owner's mask the others have nothing, and along its soft edge the two cross-fade. The sum is at most 1
    in every pixel.

    Parameters
    ----------
    masks : sequence of ndarray
        `(h, w)` each, float32 in [0, 1] or uint8: how much of each crop is to be seen, feathered and with its alpha.
    places : sequence of (int, int, int, int)
        `(x1, y1, x2, y2)` of each mask in the frame.
    order : sequence of int
        Places in `masks`, owners first, as `owner_order` gives them: the same for all frames of a clip.

    Returns
    -------
    list of ndarray
        `(h, w)` float32 each, in the order of `masks`.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        Lists that do not fit together.
    """
    if len(places) != len(masks) or sorted(order) != list(range(len(masks))):
        got = f"{len(masks)} masks, {len(places)} places, order {shown(list(order))}"
        raise InvalidArgumentError("order", "each mask's place once", got)
    levels = [_levels(mask, place, index) for index, (mask, place) in enumerate(zip(masks, places, strict=True))]
    weights = [level.copy() for level in levels]
    for rank, index in enumerate(order):
        for owner in order[:rank]:
            common = shared_parts(places[index], places[owner])
            if common is not None:
                weights[index][common[0]] *= 1 - levels[owner][common[1]]
    return weights


def _levels(mask: NDArray[Any], place: Box, index: int) -> NDArray[np.float32]:
    x1, y1, x2, y2 = place
    if mask.shape != (y2 - y1, x2 - x1):
        raise InvalidArgumentError(f"masks[{index}]", f"shape {(y2 - y1, x2 - x1)}, as its place", f"{mask.shape}")
    if mask.dtype == np.uint8:
        return mask.astype(np.float32) / np.float32(255)
    if mask.dtype.kind != "f":
        raise InvalidTypeError(f"masks[{index}]", "float32 or uint8", str(mask.dtype))
    return mask.astype(np.float32)
