"""Frames as finders see them: whole, or reduced, which takes a fraction of the time to decode and to look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.subjects.finders.opencv import import_cv2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from segs_detailer.subjects.association import Box
    from segs_detailer.video.clip import Source

__all__ = ["ClipFrames", "View", "clip_frames", "reduced"]

# Motion is followed in pictures of at most this side.
_GRAY_SIDE = 640


class ClipFrames:
    """The frames of a clip, which can also be had as pictures of reduced size; as an iterable it gives whole frames.

    Parameters
    ----------
    size : (int, int)
        Height and width of the frames.
    whole : callable
        Gives an iterator over the frames, `(H, W, 3)` float32 in [0, 1].
    pictures : callable
        Gives an iterator over them as pictures of a size `(h, w)` no larger than theirs, `(h, w, 3)` uint8.
    """

    def __init__(
        self,
        size: tuple[int, int],
        whole: Callable[[], Iterable[NDArray[np.float32]]],
        pictures: Callable[[tuple[int, int]], Iterable[NDArray[np.uint8]]],
    ) -> None:
        self.size = size
        self._whole = whole
        self._pictures = pictures

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return iter(self._whole())

    def pictures(self, size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
        """Frames reduced to a size, one after the other."""
        return iter(self._pictures(size))


def clip_frames(source: Source) -> ClipFrames:
    """Frames of an opened clip for `find_tracks`, which are decoded to the size that the finder looks at.

    Parameters
    ----------
    source : Source
        What `open_clip` gave.

    Examples
    --------
    >>> from segs_detailer import open_clip
    >>> from segs_detailer.subjects.finders import clip_frames
    >>> frames = clip_frames(open_clip("frames/"))
    >>> frames.size, [frame.shape for frame in frames.pictures((24, 32))]
    ((48, 64), [(24, 32, 3), (24, 32, 3), (24, 32, 3)])
    """
    # Frames that are there already, as ComfyUI's are, need nothing that reads files.
    from segs_detailer.video.reading import iter_frames, iter_pictures

    return ClipFrames(source.info.size, partial(iter_frames, source), partial(iter_pictures, source))


def reduced(frame: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Reduce a frame `(H, W, 3)` float32 in [0, 1] to a picture of a size `(h, w)`, uint8."""
    cv2 = import_cv2()
    small = frame
    if frame.shape[:2] != size:
        small = cv2.resize(np.ascontiguousarray(frame), size[::-1], interpolation=cv2.INTER_AREA)
    picture: NDArray[np.uint8] = (small * np.float32(255) + np.float32(0.5)).clip(0, 255).astype(np.uint8)
    return picture


@dataclass(slots=True)
class View:
    """One frame while it is looked at.

    Parameters
    ----------
    picture : ndarray
        `(h, w, 3)`: the frame itself, float32 in [0, 1], or reduced, uint8.
    size : (int, int)
        Height and width of the frame.
    """

    picture: NDArray[Any]
    size: tuple[int, int]
    _gray: NDArray[np.uint8] | None = field(default=None, init=False)

    @property
    def scale(self) -> tuple[float, float]:
        """Width and height of the picture in those of the frame."""
        return self.picture.shape[1] / self.size[1], self.picture.shape[0] / self.size[0]

    def floats(self) -> NDArray[np.float32]:
        """Return the picture as float32 in [0, 1]."""
        pixels: NDArray[np.float32] = self.picture
        if self.picture.dtype == np.uint8:
            pixels = np.multiply(self.picture, np.float32(1 / 255), dtype=np.float32)
        return pixels

    def boxes(self, boxes: Iterable[Box]) -> list[Box]:
        """Boxes of the frame in pixels of the picture."""
        x, y = self.scale
        return [(x1 * x, y1 * y, x2 * x, y2 * y) for x1, y1, x2, y2 in boxes]

    def gray(self) -> NDArray[np.uint8]:
        """Return the gray picture in which motion is followed, no larger than it must be; made once."""
        if self._gray is None:
            cv2 = import_cv2()
            height, width = self.picture.shape[:2]
            scale = min(1.0, _GRAY_SIDE / max(height, width))
            size = (max(1, round(height * scale)), max(1, round(width * scale)))
            bytes_ = self.picture if self.picture.dtype == np.uint8 else reduced(self.picture, size)
            if bytes_.shape[:2] != size:
                bytes_ = cv2.resize(bytes_, size[::-1], interpolation=cv2.INTER_AREA)
            self._gray = cv2.cvtColor(bytes_, cv2.COLOR_RGB2GRAY)
        return self._gray
