"""Sizes: how large a crop is sampled, and how many frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from segs_detailer.errors import InvalidArgumentError, ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segs_detailer.models.info import Geometry

__all__ = ["WorkingSize", "check_count", "check_side", "fit_size", "limited_size", "plan_size", "reflect_frames"]


@dataclass(frozen=True, slots=True)
class WorkingSize:
    """Size at which a crop is sampled.

    Parameters
    ----------
    height, width : int
        Pixels.
    scaled : bool
        False where the crop is worked on at its own size.
    """

    height: int
    width: int
    scaled: bool


def plan_size(
    size: tuple[int, int],
    bbox: Sequence[int],
    *,
    guide_size: float,
    guide_size_for: str,
    max_size: float,
    limit_size: bool = False,
) -> WorkingSize:
    """Scale a crop so that its subject has the guide size.

    The scale is `guide_size` over the shorter side of the bounding box, or of the crop. Where that makes the longer
    side pass `max_size`, the scale is reduced to reach it. A scale of 1 or less, or one that leaves a side without
    pixels, means the crop's own size, however large that is; with `limit_size` a crop whose longer side passes
    `max_size` is scaled down to it. A bounding box without area says nothing about the subject: then the crop's
    shorter side counts.

    Parameters
    ----------
    size : tuple of int
        `(height, width)` of the crop in pixels.
    bbox : sequence of int
        `(x1, y1, x2, y2)` of the subject in pixels.
    guide_size, max_size : float
        Pixels.
    guide_size_for : {"bbox", "crop_region"}
        What the guide size counts for.
    limit_size : bool
        Whether `max_size` also counts for crops that are larger themselves.

    Returns
    -------
    WorkingSize
        Sides truncated to whole pixels, not yet fitted to a model.
    """
    height, width = size
    shorter = min(width, height)
    if guide_size_for == "bbox":
        x1, y1, x2, y2 = bbox
        shorter = min(x2 - x1, y2 - y1) or shorter
    scale = guide_size / shorter
    new_width, new_height = int(width * scale), int(height * scale)
    longer = max(new_width, new_height)
    if longer > max_size:
        scale *= max_size / longer
        new_width, new_height = int(width * scale), int(height * scale)
    if scale <= 1.0 or new_width == 0 or new_height == 0:
        return limited_size(size, max_size) if limit_size else WorkingSize(height, width, scaled=False)
    return WorkingSize(new_height, new_width, scaled=True)


def limited_size(size: tuple[int, int], max_size: float) -> WorkingSize:
    """Scale `(height, width)` down where its longer side passes `max_size`; each side keeps at least a pixel."""
    height, width = size
    longer = max(height, width)
    if longer <= max_size:
        return WorkingSize(height, width, scaled=False)
    scale = max_size / longer
    return WorkingSize(max(int(height * scale), 1), max(int(width * scale), 1), scaled=True)


def fit_size(size: WorkingSize, *, multiple: int, max_size: float, limit_size: bool = False) -> tuple[int, int]:
    """Round a working size to what a model takes.

    A scaled size goes to the nearest multiple, without passing `max_size`; a crop at its own size is rounded up, so
    that no detail is lost, with `limit_size` not beyond `max_size` either. No side falls below one multiple.

    Parameters
    ----------
    size : WorkingSize
        The planned size.
    multiple : int
        Both sides are multiples of this many pixels.
    max_size : float
        Limit of a scaled size's sides in pixels.
    limit_size : bool
        Whether it counts for crops at their own size as well.

    Returns
    -------
    tuple of int
        `(height, width)`.
    """
    limit = max(int(max_size) // multiple, 1)

    def fit(side: int) -> int:
        if size.scaled:
            return min(max((side + multiple // 2) // multiple, 1), limit) * multiple
        enough = -(-side // multiple)
        return (min(enough, limit) if limit_size else enough) * multiple

    return fit(size.height), fit(size.width)


def check_side(size: tuple[int, int], most: int | None, *, limit_size: bool) -> None:
    """Refuse a working size that a model has no positions for.

    Parameters
    ----------
    size : tuple of int
        `(height, width)`, fitted to the model.
    most : int or None
        Most pixels along a side; None for any.
    limit_size : bool
        Whether a lower `max_size` makes every crop smaller.

    Raises
    ------
    InvalidArgumentError
        A side is longer.
    """
    if most is None or max(size) <= most:
        return
    got = f"crops that are worked on at {size[1]}x{size[0]}"
    if limit_size:
        raise InvalidArgumentError(
            "max_size", f"at most {most}, the longest side that the model has positions for", got
        )
    expected = f"True, and a max_size of at most {most}, the longest side that the model has positions for"
    raise InvalidArgumentError("limit_size", expected, f"False, and {got}")


def check_count(count: int, geometry: Geometry) -> None:
    """Refuse more frames than a model takes at once.

    Parameters
    ----------
    count : int
        Frames of the clip.
    geometry : Geometry
        The model's.

    Raises
    ------
    ModelError
        There are more.
    """
    most = geometry.max_frames
    if most is not None and geometry.frames_for(count) > most:
        raise ModelError(
            f"the model takes {most} frames at once and the clip has {count}: set context windows, or detail it in "
            "parts"
        )


def reflect_frames(count: int, wanted: int) -> list[int]:
    """Lengthen a clip by running back and forth over it: its frames' indices.

    Parameters
    ----------
    count : int
        Frames in the clip, at least 1.
    wanted : int
        Frames needed, at least `count`.

    Returns
    -------
    list of int
        `wanted` indices, for example `[0, 1, 2, 1, 0, 1]` for 3 frames and 6 wanted: the ends are not doubled.
    """
    period = max(2 * count - 2, 1)
    return [min(i % period, period - i % period) if count > 1 else 0 for i in range(wanted)]
