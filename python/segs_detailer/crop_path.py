"""Crop regions that move and turn: one for every frame, all of one size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer import _native
from segs_detailer.checks import MAX_COORDINATE, shown
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.ops.blend import paste_
from segs_detailer.ops.turns import stretched_angles, turned, turned_halves

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["CropPath", "mask_on_frame", "part_of_frames", "place_of", "quad_at", "region_at"]

_MOST_DEGREES = 1e6
"""Full turns count: an angle goes on where its subject does."""


class CropPath(tuple[int, int, int, int]):
    """A crop region with a place of its own in every frame; it stands where a SEG has its `crop_region`.

    As a tuple it is the region `(x1, y1, x2, y2)` of the first frame in which anything is pasted, in whole pixels: what
    knows nothing of paths reads a fixed region of the right size.

    Parameters
    ----------
    regions : array_like
        `(B, 4)`: `(x1, y1, x2, y2)` of every frame in pixels, all of one size in whole pixels. Places between pixels
        are allowed; a crop there is interpolated. They may pass the frame's edges.
    alpha : array_like or None
        `(B,)` in [0, 1]: how much of the crop is pasted in each frame. None is all of it in all frames.
    angles : array_like or None
        `(B,)` degrees by which each region is turned about its middle, clockwise as seen in the picture: what is turned
        as much stands upright in the crop. None is 0 in all frames.

    Raises
    ------
    InvalidTypeError
        No numbers.
    InvalidArgumentError
        Another shape, no frames, regions that are empty, of several sizes, not finite or huge; an alpha or an angle out
        of range.

    Examples
    --------
    >>> from segs_detailer import CropPath
    >>> path = CropPath([(10 + 2 * frame, 20, 50 + 2 * frame, 60) for frame in range(8)])
    >>> path.frames, path.size, tuple(path)
    (8, (40, 40), (10, 20, 50, 60))
    """

    regions: NDArray[np.float64]
    alpha: NDArray[np.float32]
    angles: NDArray[np.float64]

    def __new__(cls, regions: Any, alpha: Any = None, angles: Any = None) -> CropPath:  # noqa: D102 - the class says it
        places = _checked_regions(regions)
        weights = _checked_alpha(alpha, len(places))
        turns = _checked_angles(angles, len(places))
        shown_frames = np.flatnonzero(weights)
        first = places[shown_frames[0] if len(shown_frames) else 0]
        x, y = np.floor(first[:2] + 0.5).astype(np.int64).tolist()
        width, height = np.round(first[2:] - first[:2]).astype(np.int64).tolist()
        path = super().__new__(cls, (x, y, x + width, y + height))
        for array in (places, weights, turns):
            array.setflags(write=False)
        path.regions = places
        path.alpha = weights
        path.angles = turns
        return path

    def __reduce__(self) -> tuple[Any, ...]:
        return CropPath, (np.array(self.regions), np.array(self.alpha), np.array(self.angles))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CropPath):
            return False
        return (
            np.array_equal(self.regions, other.regions)
            and np.array_equal(self.alpha, other.alpha)
            and np.array_equal(self.angles, other.angles)
        )

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((self.regions.tobytes(), self.alpha.tobytes(), self.angles.tobytes()))

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.regions)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, the same in all frames."""
        return self[3] - self[1], self[2] - self[0]

    @property
    def is_whole(self) -> bool:
        """Whether all places are whole pixels."""
        return bool((self.regions == np.floor(self.regions)).all())

    @property
    def is_turned(self) -> bool:
        """Whether any region is turned."""
        return bool(self.angles.any())

    @property
    def middles(self) -> NDArray[np.float64]:
        """`(B, 2)`: x and y of the middle of each region."""
        middles: NDArray[np.float64] = 0.5 * (self.regions[:, :2] + self.regions[:, 2:])
        return middles

    @property
    def quads(self) -> NDArray[np.float64]:
        """`(B, 4, 2)`: the corners of each region as it is turned, from its own top left clockwise."""
        height, width = self.size
        halves = 0.5 * np.array([(-width, -height), (width, -height), (width, height), (-width, height)])
        corners: NDArray[np.float64] = self.middles[:, None] + turned(halves[None], self.angles[:, None])
        return corners

    @property
    def boxes(self) -> NDArray[np.float64]:
        """`(B, 4)`: the upright box around each region; the region itself where that is not turned."""
        if not self.is_turned:
            return self.regions
        height, width = self.size
        reach = turned_halves(0.5 * np.array([width, height], np.float64), self.angles)
        around = np.concatenate([self.middles - reach, self.middles + reach], axis=1)
        return np.where(self.angles[:, None] == 0, self.regions, around)

    def part(self, start: int, stop: int) -> CropPath:
        """Return the path through the frames from `start` up to `stop`."""
        own = slice(start, stop)
        return CropPath(self.regions[own], self.alpha[own], self.angles[own])

    def within(self, inner: Sequence[int]) -> CropPath:
        """Return the path of a part of the crop, or of more than it.

        Parameters
        ----------
        inner : (int, int, int, int)
            `(x1, y1, x2, y2)` in pixels of the crop.
        """
        box = np.array(inner, np.float64)
        if not self.is_turned:
            return CropPath(np.tile(self.regions[:, :2], 2) + box, self.alpha)
        height, width = self.size
        away = 0.5 * (box[:2] + box[2:]) - (0.5 * width, 0.5 * height)
        middles, half = self.middles + turned(away[None], self.angles), 0.5 * (box[2:] - box[:2])
        return CropPath(np.concatenate([middles - half, middles + half], axis=1), self.alpha, self.angles)

    def scaled(self, size: tuple[int, int], new_size: tuple[int, int]) -> CropPath:
        """Fit the path to frames of another size.

        Parameters
        ----------
        size, new_size : (int, int)
            Height and width of the frames that it is for, and of those that it should be for.

        Returns
        -------
        CropPath
            The size of the crop is that of the rescaled first region, as `rescale_regions` truncates it; places between
            pixels stay between pixels only where they were. Angles are those of what was upright in the crop, which
            another shape of the frames leans.
        """
        whole = np.array([self], np.int64)
        out = np.empty_like(whole)
        _native.rescale_regions(whole, size, new_size, out)
        width, height = (out[0, 2:] - out[0, :2]).tolist()
        corners = self.regions[:, :2] * (new_size[1] / size[1], new_size[0] / size[0])
        if self.is_whole and not self.is_turned:
            corners = np.trunc(corners)
        ends = corners + np.array([width, height], np.float64)
        angles = stretched_angles(self.angles, new_size[1] / size[1], new_size[0] / size[0])
        return CropPath(np.concatenate([corners, ends], axis=1), self.alpha, angles)


def _checked_regions(regions: Any) -> NDArray[np.float64]:
    try:
        places = np.array(regions, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InvalidTypeError("regions", "(B, 4) numbers", shown(regions)) from None
    if places.ndim != 2 or places.shape[1] != 4 or len(places) == 0:
        raise InvalidArgumentError("regions", "shape (B, 4), of at least one frame", f"shape {places.shape}")
    # NaN fails every comparison.
    wrong = ~(np.abs(places) <= MAX_COORDINATE).all(axis=1)
    if wrong.any():
        raise InvalidArgumentError("regions", f"finite coordinates of at most {MAX_COORDINATE}", _first(places, wrong))
    sizes = np.round(places[:, 2:] - places[:, :2])
    # A place between pixels has no exact end: the size counts, and the end follows from it.
    between = np.abs(places[:, 2:] - places[:, :2] - sizes) > 1e-6
    wrong = (between | (sizes != sizes[0]) | (sizes < 1)).any(axis=1)
    if wrong.any():
        expected = "regions of one size, of at least one pixel, in whole pixels"
        raise InvalidArgumentError("regions", expected, _first(places, wrong))
    places[:, 2:] = places[:, :2] + sizes
    return places


def _first(places: NDArray[np.float64], wrong: Any) -> str:
    """Return the first wrong region and where it stands, for a message."""
    index = int(wrong.argmax())
    return f"{places[index].tolist()} at {index}"


def _checked_alpha(alpha: Any, count: int) -> NDArray[np.float32]:
    if alpha is None:
        return np.ones(count, np.float32)
    try:
        weights = np.array(alpha, np.float32)
    except (TypeError, ValueError, OverflowError):
        raise InvalidTypeError("alpha", f"({count},) numbers", shown(alpha)) from None
    if weights.shape != (count,):
        raise InvalidArgumentError("alpha", f"shape ({count},)", f"shape {weights.shape}")
    if not ((weights >= 0) & (weights <= 1)).all():
        raise InvalidArgumentError("alpha", "numbers in [0, 1]", shown(weights.tolist()))
    return weights


def _checked_angles(angles: Any, count: int) -> NDArray[np.float64]:
    if angles is None:
        return np.zeros(count)
    try:
        turns = np.array(angles, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InvalidTypeError("angles", f"({count},) numbers", shown(angles)) from None
    if turns.shape != (count,):
        raise InvalidArgumentError("angles", f"shape ({count},)", f"shape {turns.shape}")
    if not (np.abs(turns) <= _MOST_DEGREES).all():
        raise InvalidArgumentError("angles", f"degrees of at most {_MOST_DEGREES:g}", shown(turns.tolist()))
    # Without negative zeros, which equal others and have other bytes.
    return turns + 0.0


def place_of(region: Sequence[int]) -> Any:
    """Return what `crop_frames` and `paste` take as region: the table of a path's places, else the region itself."""
    if not isinstance(region, CropPath):
        return region
    if region.is_turned:
        return np.concatenate([region.regions, region.angles[:, None]], axis=1)
    return region.regions.astype(np.int64) if region.is_whole else region.regions


def region_at(region: Sequence[int], index: int) -> tuple[int, int, int, int]:
    """Return the region of one frame in whole pixels, for drawing and for messages.

    Parameters
    ----------
    region : CropPath or (int, int, int, int)
        A region of all frames, or a path.
    index : int
        The frame, from 0; after a path's last frame that one counts.
    """
    if not isinstance(region, CropPath):
        return (region[0], region[1], region[2], region[3])
    x, y = np.floor(region.regions[min(index, region.frames - 1), :2] + 0.5).astype(np.int64).tolist()
    height, width = region.size
    return (x, y, x + width, y + height)


def quad_at(region: Sequence[int], index: int) -> list[tuple[float, float]]:
    """Return the corners of the region of one frame as it is turned, from its own top left clockwise, for drawing.

    Parameters
    ----------
    region : CropPath or (int, int, int, int)
        A region of all frames, or a path.
    index : int
        The frame, from 0; after a path's last frame that one counts.
    """
    if isinstance(region, CropPath) and region.is_turned:
        at = min(index, region.frames - 1)
        return [(x, y) for x, y in region.part(at, at + 1).quads[0].tolist()]
    x1, y1, x2, y2 = region_at(region, index)
    return [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]


def mask_on_frame(
    mask: NDArray[np.float32], place: Sequence[float], frame_size: tuple[int, int]
) -> tuple[int, int, NDArray[np.float32]]:
    """Bring the mask of a crop onto the pixels of its frame, as it is pasted: linearly between pixels, and turned.

    Parameters
    ----------
    mask : ndarray
        `(h, w)` in [0, 1].
    place : sequence of numbers
        Where the crop lies, as `paste` takes it: `(x1, y1, x2, y2)`, perhaps with an angle.
    frame_size : (int, int)
        Height and width of the frame.

    Returns
    -------
    x, y : int
        Column and row of the frame where the first pixel lies.
    pixels : ndarray
        `(h, w)` of the box around the crop, as far as that is in the frame; it may be empty.
    """
    x1, y1, x2, y2, *angle = (float(value) for value in place)
    half, middle = np.array([0.5 * (x2 - x1), 0.5 * (y2 - y1)]), np.array([0.5 * (x1 + x2), 0.5 * (y1 + y2)])
    reach = turned_halves(half, angle[0]) + 1 if angle and angle[0] else half
    limit = np.array(frame_size[::-1])
    low = np.clip(np.floor(middle - reach), 0, limit).astype(int)
    width, height = np.clip(np.ceil(middle + reach), low, limit).astype(int) - low
    left, top = low.tolist()
    pixels = np.zeros((1, height, width, 1), np.float32)
    white = np.ones((1, *mask.shape, 1), np.float32)
    paste_(pixels, white, np.ascontiguousarray(mask), (x1 - left, y1 - top, x2 - left, y2 - top, *angle))
    return left, top, pixels[0, ..., 0]


def part_of_frames(region: Sequence[int], frame_size: tuple[int, int]) -> NDArray[np.bool_]:
    """Tell in which frames a region holds pixels of the frame of which anything is pasted.

    Parameters
    ----------
    region : CropPath or (int, int, int, int)
        A region of all frames, or a path.
    frame_size : (int, int)
        Height and width of the frames.

    Returns
    -------
    ndarray
        `(1,)` for a region of all frames, else `(B,)`.
    """
    height, width = frame_size
    path = region if isinstance(region, CropPath) else CropPath([region])
    inside = np.maximum(path.boxes[:, :2], 0) < np.minimum(path.boxes[:, 2:], (width, height))
    held: NDArray[np.bool_] = inside.all(axis=1) & (path.alpha > 0)
    if path.is_turned:
        # Two boxes that overlap along the axes of both overlap.
        own = 0.5 * np.array([path.size[1], path.size[0]])
        away = np.abs(turned(0.5 * np.array([width, height]) - path.middles, -path.angles))
        held &= (away < own + turned_halves(0.5 * np.array([width, height]), path.angles)).all(axis=1)
    return held
