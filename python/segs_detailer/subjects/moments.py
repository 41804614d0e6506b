"""Where a subject is seen best: moments over a track's life, by size, score, place and face; then by sharpness."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segs_detailer.subjects.track import Track

__all__ = ["best_moments", "qualities", "sharpness", "spread_moments"]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Sharpness is compared at one size: what is large would be smooth beside what is small.
_SIDE = 48
_LEAST = 1e-3


def qualities(track: Track, frame_size: tuple[int, int]) -> NDArray[np.float64]:
    """Say of each sighting how well the subject is seen, above 0: large, sure, within the frame, from the front.

    Parameters
    ----------
    track : Track
        The track.
    frame_size : (int, int)
        Height and width of the frames.
    """
    height, width = frame_size
    boxes = track.boxes
    sides = boxes[:, 2:] - boxes[:, :2]
    inside = np.minimum(boxes[:, 2:], (width, height)) - np.maximum(boxes[:, :2], 0)
    shown = np.clip(inside, 0, None).prod(axis=1) / np.maximum(sides.prod(axis=1), 1e-9)
    size = sides.max(axis=1) / max(float(sides.max(initial=0)), 1e-9)
    score = track.confidence / max(float(track.confidence.max(initial=0)), 1e-9)
    parts = [np.maximum(part, _LEAST) for part in (size, score, shown**2)]
    quality: NDArray[np.float64] = np.prod(parts, axis=0) * _frontality(track)
    return quality


def _frontality(track: Track) -> NDArray[np.float64]:
    """How far faces look at the camera, 0.2 to 1: the nose is in the middle between the eyes; 1 where that is unknown.

    Measured along the line of the eyes, so that a head that is tilted counts as one that is not.
    """
    if track.landmarks is None:
        return np.ones(len(track.frames))
    right, left, nose = (track.landmarks[:, point] for point in range(3))
    eyes = left - right
    distance = np.linalg.norm(eyes, axis=1)
    off = ((nose - (right + left) / 2) * eyes).sum(axis=1) / np.maximum(distance**2, 1e-9)
    front = np.clip(1 - 2 * np.abs(off), 0.2, 1)
    return np.where(np.isnan(front), 0.2, front)


def spread_moments(track: Track, frame_size: tuple[int, int], slots: int, candidates: int = 3) -> list[list[int]]:
    """Choose moments over all of a track's life.

    Parameters
    ----------
    track : Track
        The track.
    frame_size : (int, int)
        Height and width of the frames.
    slots : int
        How many are wanted; there are fewer where the track has fewer frames.
    candidates : int
        How many are named for each, of which the sharpest is to be taken.

    Returns
    -------
    list of list of int
        For each moment places in `track.frames`, the best first.
    """
    quality = qualities(track, frame_size)
    parts = np.array_split(np.arange(len(quality)), min(slots, len(quality))) if len(quality) else []
    # A stable order: of equals the first.
    return [part[np.argsort(-quality[part], kind="stable")][:candidates].tolist() for part in parts]


def best_moments(track: Track, frame_size: tuple[int, int], count: int) -> list[int]:
    """Choose the moments in which a subject is seen best, some frames apart.

    Parameters
    ----------
    track : Track
        The track.
    frame_size : (int, int)
        Height and width of the frames.
    count : int
        How many are wanted.

    Returns
    -------
    list of int
        Places in `track.frames`, ascending.
    """
    # The best of each part of its life, of twice as many: neighbors look alike, and all of a blurred part are no use.
    parts = spread_moments(track, frame_size, 2 * count, 1)
    quality = qualities(track, frame_size)
    chosen = sorted((part[0] for part in parts), key=lambda place: (-quality[place], place))[:count]
    return sorted(chosen)


def sharpness(pixels: NDArray[np.float32]) -> float:
    """Measure how sharp a crop is: the variance of its Laplacian, at one size.

    Parameters
    ----------
    pixels : ndarray
        `(h, w, 3)` float32 in [0, 1].
    """
    height, width = pixels.shape[:2]
    rows = np.linspace(0, height - 1, min(height, _SIDE)).round().astype(int)
    columns = np.linspace(0, width - 1, min(width, _SIDE)).round().astype(int)
    gray = pixels[rows][:, columns] @ _LUMA
    if min(gray.shape) < 3:
        return 0.0
    laplacian = 4 * gray[1:-1, 1:-1] - gray[:-2, 1:-1] - gray[2:, 1:-1] - gray[1:-1, :-2] - gray[1:-1, 2:]
    return float(laplacian.var())
