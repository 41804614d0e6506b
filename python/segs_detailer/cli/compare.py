"""Before and after: a picture of the subjects, or a video of both side by side."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import MediaError
from ..video import open_output
from ..video.image_files import IMAGE_SUFFIXES, is_pattern
from .drawing import check_picture_path, grid, label, save_picture, to_image

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from numpy.typing import NDArray
    from PIL import Image

    from ..video import Clip, Sink, Source
    from .pieces import Workload
    from .stages import Advance

__all__ = ["Comparison"]

_MAX_SEGMENTS = 3
_COLUMNS = 4
_TILE_HEIGHT = 300
_MAX_TILE_WIDTH = 480
# The picture shows the subject's box and this much around it.
_VIEW = 1.6


@dataclass(frozen=True, slots=True)
class _Tile:
    """One subject in one frame, as it was."""

    frame: int
    view: tuple[int, int, int, int]
    before: NDArray[np.float32]


class Comparison:
    """Keeps what is needed of the frames before they are changed, and writes both. Use it as a context manager.

    Parameters
    ----------
    path : str
        A picture, or a video or GIF.
    source : Source
        The clip; read again for a video.

    Raises
    ------
    MediaError
        `path` cannot be written.
    """

    def __init__(self, path: str, source: Source) -> None:
        self._path = Path(path)
        self._source = source
        self._rows: list[list[_Tile]] = []
        self._sink: Sink | None = None
        self._is_picture = self._path.suffix.lower() in IMAGE_SUFFIXES
        if self._is_picture and is_pattern(self._path):
            raise MediaError(f"{path}: name one picture, or a video such as before_after.mp4")
        if self._is_picture:
            check_picture_path(self._path)

    def __enter__(self) -> Comparison:
        if not self._is_picture:
            height, width = self._source.info.size
            self._sink = open_output(self._path, replace(self._source.info, size=(height, 2 * width))).__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sink is not None:
            self._sink.__exit__(kind, error, trace)

    def before(self, clip: Clip, work: Sequence[Workload]) -> None:
        """Keep what the picture shows: the largest subjects, in a few frames each."""
        if not self._is_picture:
            return

        def area(item: Workload) -> int:
            x1, y1, x2, y2 = item.seg.bbox
            return (x2 - x1) * (y2 - y1) * (item.span[1] - item.span[0])

        chosen = sorted(sorted(work, key=area, reverse=True)[:_MAX_SEGMENTS], key=lambda item: item.span)
        for item in chosen:
            first, end = item.span
            count = min(_COLUMNS, end - first)
            frames = [first + round((i + 0.5) * (end - first) / count - 0.5) for i in range(count)]
            view = _view(item.seg.bbox, clip.info.size)
            self._rows.append([_Tile(frame, view, _cut(clip.frames[frame], view).copy()) for frame in frames])

    def after(self, clip: Clip, advance: Advance) -> None:
        """Write the picture or the video, with the frames as they are now."""
        if self._sink is not None:
            self._write_video(self._sink, clip, advance)
            return
        rows = []
        for tiles in self._rows:
            rows.append([_tile(tile, tile.before, "before") for tile in tiles])
            rows.append([_tile(tile, _cut(clip.frames[tile.frame], tile.view), "after") for tile in tiles])
        save_picture(grid([row for row in rows if row]), self._path)
        advance(1, 1)

    def _write_video(self, sink: Sink, clip: Clip, advance: Advance) -> None:
        height, width = clip.info.size
        both = np.empty((height, 2 * width, 3), np.float32)
        times = clip.info.times
        for index, picture in enumerate(self._source.pictures()):
            # A decoder writes to memory without gaps.
            before = np.empty((height, width, 3), np.float32)
            picture.copy_to(before)
            both[:, :width] = before
            both[:, width:] = clip.frames[index]
            sink.write(both, times[index], times[index + 1])
            advance(index + 1, len(clip.frames))


def _view(bbox: Sequence[int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    height, width = size
    half_width, half_height = (_VIEW * (bbox[2] - bbox[0]) / 2, _VIEW * (bbox[3] - bbox[1]) / 2)
    x, y = (bbox[0] + bbox[2]) / 2, (bbox[1] + bbox[3]) / 2
    return (
        max(0, int(x - half_width)),
        max(0, int(y - half_height)),
        min(width, int(x + half_width) + 1),
        min(height, int(y + half_height) + 1),
    )


def _cut(frame: NDArray[np.float32], view: tuple[int, int, int, int]) -> NDArray[np.float32]:
    x1, y1, x2, y2 = view
    return frame[y1:y2, x1:x2]


def _tile(tile: _Tile, pixels: NDArray[np.float32], title: str) -> Image.Image:
    height, width = pixels.shape[:2]
    scale = min(_TILE_HEIGHT / height, _MAX_TILE_WIDTH / width)
    image = to_image(pixels, (max(1, round(width * scale)), max(1, round(height * scale))))
    label(image, f"{title}, frame {tile.frame}", (0, 0))
    return image
