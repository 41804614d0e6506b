"""The pass that reads the clip and keeps the crops of all pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.errors import MediaError
from segs_detailer.jobs.store import to_samples
from segs_detailer.ops.frames import crop_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from segs_detailer.jobs.pieces import Piece
    from segs_detailer.jobs.plan import ClipPlan
    from segs_detailer.jobs.progress import Work
    from segs_detailer.jobs.store import PixelFile
    from segs_detailer.video.clip import Picture, Source

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

    Raises
    ------
    MediaError
        The clip is damaged, or the disk full.
    """
    pass_ = _Pass(plan, files, work)
    wanted = max((piece.high for piece in files), default=0)
    done = 0
    for picture in source.pictures():
        work.wait_for_room(CROPS_AHEAD)
        pass_.take(done, picture)
        done += 1
        progress(done, max(done, plan.info.frames))
        if done >= wanted:
            break
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
        self._frame: NDArray[np.float32] | None = None
        self._last: dict[int, NDArray[Any]] = {}

    def take(self, number: int, picture: Picture) -> None:
        """Cut a frame; it is converted only where anything of it is needed."""
        self._advance(number)
        if self._open:
            if self._frame is None:
                self._frame = np.empty((*self._plan.info.size, 3), np.float32)
            picture.copy_to(self._frame)
            self._last = {track: self._cut(track, number, self._frame) for track in {p.track for p in self._open}}
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

    def _cut(self, track: int, number: int, frame: NDArray[np.float32]) -> NDArray[Any]:
        dtype = next(file.dtype for file in self._files.values())
        return to_samples(crop_frames(frame[None], self._plan.tracks[track].place(number))[0], dtype)

    def _write(self, number: int) -> None:
        complete = 0
        for piece in self._open:
            self._files[piece].append(self._last[piece.track])
            if piece.high == number + 1:
                complete += self._files[piece].frames * self._files[piece].frame_bytes
        self._open = [piece for piece in self._open if piece.high > number + 1]
        self._work.cropped(number + 1, complete)
