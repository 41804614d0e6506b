"""The pass that reads the clip and keeps the crops of all pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.errors import MediaError
from segs_detailer.jobs.store import to_samples
from segs_detailer.ops.frames import crop_frames, crop_window, moved_place
from segs_detailer.video.reading import pictures_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from segs_detailer.jobs.pieces import Piece
    from segs_detailer.jobs.plan import ClipPlan
    from segs_detailer.jobs.progress import Work
    from segs_detailer.jobs.store import PixelFile
    from segs_detailer.video.clip import Picture, Source
    from segs_detailer.video.planes import Window

__all__ = ["CROPS_AHEAD", "crop_clip"]

CROPS_AHEAD = 4 << 30
"""Bytes of crops that may wait for being sampled, beside those of pieces that are not complete yet."""

_END = 1 << 62


def crop_clip(
    source: Source,
    plan: ClipPlan,
    files: Mapping[Piece, PixelFile],
    work: Work,
    progress: Callable[[int, int], None],
    hand_on: Callable[[Picture], None] | None = None,
    read: Callable[[], Iterator[Picture]] | None = None,
) -> None:
    """Read the clip once, and write the crops of pieces to their files.

    A clip that ends before its time gives its last crops again; what comes after the plan's end is left alone.

    Parameters
    ----------
    source : Source
        The clip.
    plan : ClipPlan
        The plan.
    files : mapping
        Where the crops of each piece go; other pieces of the plan are not needed.
    work : Work
        Is told how far this is.
    progress : callable
        Called with `(frames done, frames in all)`.
    hand_on : callable or None
        Gets every frame when its crops are there.
    read : callable or None
        Reads the clip's frames for `hand_on`, those of pieces at least. None: nobody else wants them, and what no piece
        is in is not read.

    Raises
    ------
    MediaError
        The clip is damaged, or the disk full.
    """
    pass_ = _Pass(plan, files, work)
    wanted = max((piece.high for piece in files), default=0)
    done = 0
    spans = ((piece.low, piece.high) for piece in files)
    pictures = pictures_in(source, spans) if read is None else enumerate(read())
    for number, picture in pictures:
        work.wait_for_room(CROPS_AHEAD)
        pass_.take(number, picture)
        done = number + 1
        progress(done, max(done, plan.info.frames))
        if hand_on is not None:
            hand_on(picture)
    if done == 0 and wanted:
        raise MediaError(f"{plan.info.path}: not one frame of it could be decoded")
    for frame in range(done, wanted):
        work.check()
        pass_.repeat(frame)
    work.cropped(_END)


class _Pass:
    """Cuts frames, and remembers what was cut last."""

    def __init__(self, plan: ClipPlan, files: Mapping[Piece, PixelFile], work: Work) -> None:
        self._plan = plan
        self._files = files
        self._work = work
        self._coming = sorted(files, key=lambda piece: piece.low, reverse=True)
        self._open: list[Piece] = []
        self._pixels = np.empty(0, np.float32)
        self._last: dict[int, NDArray[Any]] = {}

    def take(self, number: int, picture: Picture) -> None:
        """Cut a frame; it is converted only where anything of it is needed."""
        self._advance(number)
        if self._open:
            dtype = next(file.dtype for file in self._files.values())
            places = {track: self._plan.tracks[track].place(number) for track in {p.track for p in self._open}}
            crops = zip(places, self._cut(picture, list(places.values())), strict=True)
            self._last = {track: to_samples(crop, dtype, in_place=True) for track, crop in crops}
        self._write(number)

    def repeat(self, number: int) -> None:
        """Go on with the last crops where the clip has no more frames."""
        self._advance(number)
        for piece in self._open:
            if piece.track not in self._last:
                height, width = self._files[piece].size
                self._last[piece.track] = np.zeros((height, width, 3), self._files[piece].dtype)
        self._write(number)

    def _advance(self, number: int) -> None:
        while self._coming and self._coming[-1].low <= number:
            self._open.append(self._coming.pop())

    def _cut(self, picture: Picture, places: Sequence[NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
        """Cut a frame at some places, and convert no more of it than they take. Each is good until the next one."""
        coded, (height, width) = picture.coded, self._plan.info.size
        windows = [crop_window(place[0].tolist()) for place in places]
        if coded is None or not coded.has_regions:
            frame = self._memory((0, 0, width, height))
            picture.copy_to(frame)
            yield from (crop_frames(frame[None], place)[0] for place in places)
        elif sum(_area(window) for window in windows) > height * width:
            whole = (0, 0, width, height)
            frame = coded.rgb(whole, self._memory(whole))
            yield from (crop_frames(frame[None], place)[0] for place in places)
        else:
            for place, window in zip(places, windows, strict=True):
                patch = coded.rgb(window, self._memory(window))
                is_crop = window == tuple(place[0].tolist())
                yield patch if is_crop else crop_frames(patch[None], moved_place(place, *window[:2]))[0]

    def _memory(self, window: Window) -> NDArray[np.float32]:
        """Memory for a region, which is used again for the next one: fresh pages take as long as the conversion."""
        x1, y1, x2, y2 = window
        count = (y2 - y1) * (x2 - x1) * 3
        if self._pixels.size < count:
            self._pixels = np.empty(count, np.float32)
        return self._pixels[:count].reshape(y2 - y1, x2 - x1, 3)

    def _write(self, number: int) -> None:
        complete = 0
        for piece in self._open:
            self._files[piece].append(self._last[piece.track])
            if piece.high == number + 1:
                complete += self._files[piece].frames * self._files[piece].frame_bytes
        self._open = [piece for piece in self._open if piece.high > number + 1]
        self._work.cropped(number + 1, complete)


def _area(window: Sequence[int]) -> int:
    return (window[2] - window[0]) * (window[3] - window[1])
