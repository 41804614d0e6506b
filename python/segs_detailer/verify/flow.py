"""Flicker: what differs from the frame before along the optical flow of the input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.subjects.finders.opencv import import_cv2
from segs_detailer.verify.settings import LEVEL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segs_detailer.segs import Box
    from segs_detailer.verify.subjects import Area

__all__ = ["Flicker", "measure_flicker"]

# The flow is computed on pictures of at most this side, and of the subject with some surroundings: motion is smooth.
_FLOW_SIDE = 384
_SURROUNDINGS = 0.3
_LEAST_SURROUNDINGS = 16
_LEAST_FLOW_SIDE = 24
# Where the input itself differs by more along its flow, the flow is wrong: something is hidden or a shot begins.
_TRUSTED = 0.08
_LEAST_PIXELS = 48
_LEAST_SHARE = 0.25
# Differences below this are as good as none.
_FLOOR = 0.5 * LEVEL


@dataclass(frozen=True, slots=True)
class Flicker:
    """Sums over the pixels of one subject in one pair of frames, or over many pairs.

    Parameters
    ----------
    pixels : int
        Pixels that could be followed.
    before, after : float
        Sum of the squares of what differs along the flow, in the input and in the output.
    contrast_before, contrast_after : float
        Sum of the squares of the local differences.
    noise : float
        Sum of the squares that the encoder's noise adds to the output's differences.
    """

    pixels: int = 0
    before: float = 0.0
    after: float = 0.0
    contrast_before: float = 0.0
    contrast_after: float = 0.0
    noise: float = 0.0

    def __add__(self, other: Flicker) -> Flicker:
        return Flicker(
            self.pixels + other.pixels,
            self.before + other.before,
            self.after + other.after,
            self.contrast_before + other.contrast_before,
            self.contrast_after + other.contrast_after,
            self.noise + other.noise,
        )

    @property
    def level_before(self) -> float:
        """Root mean square of the input's differences."""
        return float(np.sqrt(self.before / max(self.pixels, 1)))

    @property
    def level_after(self) -> float:
        """Root mean square of the output's differences."""
        return float(np.sqrt(self.after / max(self.pixels, 1)))

    @property
    def detail(self) -> float:
        """Local contrast of the output, in that of the input."""
        return float(np.sqrt(self.contrast_after / self.contrast_before)) if self.contrast_before > 0 else 1.0

    @property
    def expected(self) -> float:
        """Level that a steady output has: errors of the flow show more where there is more contrast, and noise adds."""
        steady = max(self.level_before, _FLOOR) * max(1.0, self.detail)
        return float(np.sqrt(steady**2 + self.noise / max(self.pixels, 1)))

    @property
    def excess(self) -> float:
        """Level of the output in that of a steady output."""
        return self.level_after / self.expected


def measure_flicker(
    before: tuple[NDArray[np.float32], NDArray[np.float32]],
    after: tuple[NDArray[np.float32], NDArray[np.float32]],
    area: Area,
    noise: float = 0.0,
) -> Flicker | None:
    """Compare two consecutive frames.

    Parameters
    ----------
    before, after : (ndarray, ndarray)
        The frame before and the frame itself, `(H, W, 3)` float32, of the input and of the output.
    area : Area
        Where the subject is in the frame.
    noise : float
        Mean square of what the encoder's noise in the output differs by between them.

    Returns
    -------
    Flicker or None
        None where too little can be followed from one frame to the next.
    """
    cv2 = import_cv2()
    x1, y1, x2, y2 = window = _window(area.place, before[0].shape[:2])
    if min(x2 - x1, y2 - y1) < _LEAST_FLOW_SIDE:
        return None
    old, new = (np.ascontiguousarray(frame[y1:y2, x1:x2]) for frame in before)
    old_after, new_after = (np.ascontiguousarray(frame[y1:y2, x1:x2]) for frame in after)
    places = _places(cv2, old, new)
    moved = cv2.remap(old, places, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    moved_after = cv2.remap(old_after, places, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    squares = _mean_squares(cv2, new, moved)
    usable = _in_window(area, window) & _in_picture(places) & (cv2.blur(squares, (3, 3)) < _TRUSTED**2)
    pixels = int(usable.sum())
    if pixels < max(_LEAST_PIXELS, _LEAST_SHARE * int(area.inside.sum())):
        return None
    return Flicker(
        pixels,
        float(squares[usable].sum(dtype=np.float64)),
        float(_mean_squares(cv2, new_after, moved_after)[usable].sum(dtype=np.float64)),
        # Of the mean of both frames: what flickers is not detail.
        _contrast(cv2, new, moved, usable),
        _contrast(cv2, new_after, moved_after, usable),
        noise * pixels,
    )


def _window(place: Box, size: tuple[int, ...]) -> Box:
    x1, y1, x2, y2 = place
    reach = max(_LEAST_SURROUNDINGS, round(_SURROUNDINGS * max(x2 - x1, y2 - y1)))
    return max(x1 - reach, 0), max(y1 - reach, 0), min(x2 + reach, size[1]), min(y2 + reach, size[0])


def _places(cv2: Any, old: NDArray[np.float32], new: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return for each pixel of the new picture where it was in the old one, `(h, w, 2)`."""
    height, width = new.shape[:2]
    scale = min(1.0, _FLOW_SIDE / max(height, width))
    small = (max(_LEAST_FLOW_SIDE, round(width * scale)), max(_LEAST_FLOW_SIDE, round(height * scale)))
    pictures = [_gray_bytes(cv2, picture, small) for picture in (new, old)]
    # A new one each time: small pictures change its settings for good, and results would depend on what came before.
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*pictures, None)
    flow = cv2.resize(flow, (width, height)) * np.array([width / small[0], height / small[1]], np.float32)
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    places: NDArray[np.float32] = flow + np.stack([columns, rows], axis=2)
    return places


def _gray_bytes(cv2: Any, picture: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.uint8]:
    small = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
    levels: NDArray[np.uint8] = (np.nan_to_num(small).clip(0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    return levels


def _mean_squares(cv2: Any, a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    difference = cv2.subtract(a, b)
    squares: NDArray[np.float32] = cv2.transform(
        cv2.multiply(difference, difference), np.full((1, 3), 1 / 3, np.float32)
    )
    return squares


def _in_window(area: Area, window: Box) -> NDArray[np.bool_]:
    left, top = area.place[0] - window[0], area.place[1] - window[1]
    inside = np.zeros((window[3] - window[1], window[2] - window[0]), bool)
    inside[top : top + area.inside.shape[0], left : left + area.inside.shape[1]] = area.inside
    return inside


def _in_picture(places: NDArray[np.float32]) -> NDArray[np.bool_]:
    height, width = places.shape[:2]
    x, y = places[..., 0], places[..., 1]
    inside: NDArray[np.bool_] = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return inside


def _contrast(cv2: Any, a: NDArray[np.float32], b: NDArray[np.float32], usable: NDArray[np.bool_]) -> float:
    gray = cv2.cvtColor(cv2.addWeighted(a, 0.5, b, 0.5, 0.0), cv2.COLOR_RGB2GRAY)
    squares = np.zeros(gray.shape, np.float32)
    squares[:, 1:] += np.diff(gray, axis=1) ** 2
    squares[1:] += np.diff(gray, axis=0) ** 2
    return float(squares[usable].sum(dtype=np.float64))
