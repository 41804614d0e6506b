"""Before and after: a picture of the subjects, or a video of both side by side."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segs_detailer.errors import MediaError
from segs_detailer.jobs.drawing import grid, label, new_picture, to_image
from segs_detailer.video.encoders import EncoderSettings
from segs_detailer.video.sequences import IMAGE_SUFFIXES, is_pattern
from segs_detailer.video.writing import open_output

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray
    from PIL import Image

    from segs_detailer.jobs.plan import ClipPlan, TrackPlan
    from segs_detailer.jobs.writing import NewFrame
    from segs_detailer.video.clip import ClipInfo, Sink
    from segs_detailer.video.partial import PartialFile

__all__ = ["Comparison"]

_MAX_TRACKS = 3
_COLUMNS = 4
_TILE_HEIGHT = 300
_MAX_TILE_WIDTH = 480
# The picture shows the subject's box and this much around it.
_VIEW = 1.6


@dataclass(slots=True)
class _Tile:
    """One subject in one frame, as it was and as it is now."""

    frame: int
    view: tuple[int, int, int, int]
    before: NDArray[np.float32] | None = None
    after: NDArray[np.float32] | None = None


class Comparison:
    """Keeps what is needed of the frames while they are written. Use it as a context manager.

    Parameters
    ----------
    path : str
        A picture, or a video or GIF.
    info : ClipInfo
        The clip.
    threads : int
        Threads of the encoder; 0 leaves the number to it.
    overwrite : bool
        Replace the pictures of an earlier run in a folder.

    Raises
    ------
    MediaError
        `path` cannot be written.
    """

    def __init__(self, path: str, info: ClipInfo, *, threads: int = 0, overwrite: bool = False) -> None:
        self._path = Path(path)
        self._info = info
        self._overwrite = overwrite
        self._encoder = EncoderSettings(threads=threads)
        self._rows: list[list[_Tile]] = []
        self._sink: Sink | None = None
        self._picture: PartialFile | None = None
        self._both: NDArray[np.float32] | None = None
        self.is_picture = self._path.suffix.lower() in IMAGE_SUFFIXES
        if self.is_picture and is_pattern(self._path):
            raise MediaError(f"{path}: name one picture, or a video such as before_after.mp4")

    def __enter__(self) -> Comparison:
        if self.is_picture:
            self._picture = new_picture(self._path)
        else:
            height, width = self._info.size
            both = replace(self._info, size=(height, 2 * width))
            self._sink = open_output(
                self._path, both, settings=self._encoder, overwrite=self._overwrite, warn=False
            ).__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sink is not None:
            self._sink.__exit__(kind, error, trace)
        elif self._picture is not None:
            if kind is not None:
                self._picture.discard()
                return
            with self._picture as place:
                self._drawn().save(place)

    def prepare(self, plan: ClipPlan) -> None:
        """Choose what the picture shows: the largest subjects in a few frames each; else whole frames."""
        if not self.is_picture:
            return

        def area(track: TrackPlan) -> int:
            x1, y1, x2, y2 = track.bbox
            return (x2 - x1) * (y2 - y1) * (track.span[1] - track.span[0])

        if not plan.tracks:
            height, width = plan.info.size
            self._rows.append([_Tile(frame, (0, 0, width, height)) for frame in _spread(0, plan.info.frames)])
        chosen = sorted(sorted(plan.tracks, key=area, reverse=True)[:_MAX_TRACKS], key=lambda track: track.span)
        for track in chosen:
            frames = _spread(*track.span)
            self._rows.append([_Tile(frame, _view(track, frame, plan.info.size)) for frame in frames])

    def take(self, frame: NewFrame) -> None:
        """Keep the tiles of a frame, or write it."""
        if self._sink is not None:
            if self._both is None:
                height, width = self._info.size
                self._both = np.empty((height, 2 * width, 3), np.float32)
            middle = self._info.size[1]
            self._both[:, :middle] = frame.before
            self._both[:, middle:] = frame.after
            self._sink.write(self._both, frame.start, frame.end)
            return
        for tile in (tile for row in self._rows for tile in row if tile.frame == frame.number):
            x1, y1, x2, y2 = tile.view
            tile.before, tile.after = (pixels[y1:y2, x1:x2].copy() for pixels in (frame.before, frame.after))

    def _drawn(self) -> Image.Image:
        rows = []
        for tiles in self._rows:
            rows.append([_tile_image(tile, tile.before, "before") for tile in tiles if tile.before is not None])
            rows.append([_tile_image(tile, tile.after, "after") for tile in tiles if tile.after is not None])
        return grid([row for row in rows if row])


def _spread(first: int, end: int) -> list[int]:
    """Choose frames spread over a range."""
    count = min(_COLUMNS, end - first)
    return [first + round((i + 0.5) * (end - first) / count - 0.5) for i in range(count)]


def _view(track: TrackPlan, frame: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the part of a frame that shows a subject: around its box, or around all of its way for a fixed crop."""
    height, width = size
    x1, y1, x2, y2 = track.bbox
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    if track.crop.crop == "follow" and len(track.track.frames):
        centers = (track.track.boxes[:, :2] + track.track.boxes[:, 2:]) / 2
        x, y = (float(np.interp(frame, track.track.frames, column)) for column in centers.T)
    half_width, half_height = (_VIEW * (x2 - x1) / 2, _VIEW * (y2 - y1) / 2)
    left, top = min(max(0, int(x - half_width)), width - 1), min(max(0, int(y - half_height)), height - 1)
    right, bottom = min(width, int(x + half_width) + 1), min(height, int(y + half_height) + 1)
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _tile_image(tile: _Tile, pixels: NDArray[np.float32], title: str) -> Image.Image:
    height, width = pixels.shape[:2]
    scale = min(_TILE_HEIGHT / height, _MAX_TILE_WIDTH / width)
    image = to_image(pixels, (max(1, round(width * scale)), max(1, round(height * scale))))
    label(image, f"{title}, frame {tile.frame}", (0, 0))
    return image
