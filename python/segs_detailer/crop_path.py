"""Crop regions that move: one for every frame, all of one size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer import _native
from segs_detailer.checks import MAX_COORDINATE, shown
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["CropPath", "part_of_frames", "place_of", "region_at"]


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

    Raises
    ------
    InvalidTypeError
        No numbers.
    InvalidArgumentError
        Another shape, no frames, regions that are empty, of several sizes, not finite or huge; an alpha out of range.

    Examples
    --------
    >>> from segs_detailer import CropPath
    >>> path = CropPath([(10 + 2 * frame, 20, 50 + 2 * frame, 60) for frame in range(8)])
    >>> path.frames, path.size, tuple(path)
    (8, (40, 40), (10, 20, 50, 60))
    """

    regions: NDArray[np.float64]
    alpha: NDArray[np.float32]

    def __new__(cls, regions: Any, alpha: Any = None) -> CropPath:  # noqa: D102 - the class says it
        places = _checked_regions(regions)
        weights = _checked_alpha(alpha, len(places))
        shown_frames = np.flatnonzero(weights)
        first = places[shown_frames[0] if len(shown_frames) else 0]
        x, y = np.floor(first[:2] + 0.5).astype(np.int64).tolist()
        width, height = (first[2:] - first[:2]).astype(np.int64).tolist()
        path = super().__new__(cls, (x, y, x + width, y + height))
        for array in (places, weights):
            array.setflags(write=False)
        path.regions = places
        path.alpha = weights
        return path

    def __reduce__(self) -> tuple[Any, ...]:
        return CropPath, (np.array(self.regions), np.array(self.alpha))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CropPath):
            return False
        return np.array_equal(self.regions, other.regions) and np.array_equal(self.alpha, other.alpha)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((self.regions.tobytes(), self.alpha.tobytes()))

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

    def part(self, start: int, stop: int) -> CropPath:
        """Return the path through the frames from `start` up to `stop`."""
        return CropPath(self.regions[start:stop], self.alpha[start:stop])

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
            pixels stay between pixels only where they were.
        """
        whole = np.array([self], np.int64)
        out = np.empty_like(whole)
        _native.rescale_regions(whole, size, new_size, out)
        width, height = (out[0, 2:] - out[0, :2]).tolist()
        corners = self.regions[:, :2] * (new_size[1] / size[1], new_size[0] / size[0])
        if self.is_whole:
            corners = np.trunc(corners)
        ends = corners + np.array([width, height], np.float64)
        return CropPath(np.concatenate([corners, ends], axis=1), self.alpha)


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


def place_of(region: Sequence[int]) -> Any:
    """Return what `crop_frames` and `paste` take as region: the table of a path's regions, else the region itself."""
    if not isinstance(region, CropPath):
        return region
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
    inside = np.maximum(path.regions[:, :2], 0) < np.minimum(path.regions[:, 2:], (width, height))
    held: NDArray[np.bool_] = inside.all(axis=1) & (path.alpha > 0)
    return held
