"""The pass that reads the clip again, pastes what was sampled, and hands the frames on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from segs_detailer.errors import MediaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from segs_detailer.jobs.compositing import Compositor
    from segs_detailer.jobs.progress import Work
    from segs_detailer.video.clip import ClipInfo, Picture, Sink, Source

__all__ = ["FrameTaker", "NewFrame", "SinkTaker", "write_clip_frames"]


@dataclass(frozen=True, slots=True)
class NewFrame:
    """One frame of the output.

    Parameters
    ----------
    number : int
        Its number, from 0.
    before, after : ndarray
        `(H, W, 3)` float32, as it was and as it is now. The memory is used again for the next frame.
    start, end : int
        When it is shown, in units of the clip's time base.
    alpha : ndarray or None
        `(H, W)` uint8, or uint16, where it is partly transparent.
    """

    number: int
    before: NDArray[np.float32]
    after: NDArray[np.float32]
    start: int
    end: int
    alpha: NDArray[Any] | None


class FrameTaker(Protocol):
    """Takes the frames of the output, in their order."""

    def take(self, frame: NewFrame) -> None:
        """Take the next frame."""
        ...


@dataclass(frozen=True, slots=True)
class SinkTaker:
    """Hands frames to a sink.

    Parameters
    ----------
    sink : Sink
        Where they go.
    """

    sink: Sink

    def take(self, frame: NewFrame) -> None:
        """Write the next frame."""
        self.sink.write(frame.after, frame.start, frame.end, frame.alpha)


def write_clip_frames(
    source: Source,
    info: ClipInfo,
    compositor: Compositor,
    takers: list[FrameTaker],
    work: Work,
    progress: Callable[[int, int], None],
) -> None:
    """Read the clip, paste each frame as soon as its pieces are sampled, and hand it on.

    Parameters
    ----------
    source : Source
        The clip.
    info : ClipInfo
        Its description.
    compositor : Compositor
        Pastes.
    takers : list of FrameTaker
        Who gets the frames.
    work : Work
        Says what is sampled.
    progress : callable
        Called with `(frames done, frames in all)`.

    Raises
    ------
    MediaError
        The clip is damaged, or an output cannot be written.
    """
    shape = (*info.size, 3)
    before, after = np.empty(shape, np.float32), np.empty(shape, np.float32)
    count = 0
    for number, (picture, start, end) in enumerate(_timed(source.pictures(), info)):
        work.check()
        picture.copy_to(before)
        np.copyto(after, before)
        work.wait_for_results(compositor.pieces_at(number))
        compositor.paint(number, after)
        frame = NewFrame(number, before, after, start, end, picture.alpha)
        for taker in takers:
            taker.take(frame)
        count = number + 1
        progress(count, max(count, info.frames))
    if count == 0:
        raise MediaError(f"{info.path}: not one frame of it could be decoded")


def _timed(pictures: Iterator[Picture], info: ClipInfo) -> Iterator[tuple[Picture, int, int]]:
    """Tell of each picture when it begins and ends: where the next begins."""
    held: Picture | None = None
    count = 0
    for picture in pictures:
        if held is not None:
            yield held, held.start, picture.start
        held = picture
        count += 1
    if held is None:
        return
    is_as_promised = count == info.frames and held.start == info.times[-2]
    step = round(1 / (info.rate * info.time_base)) or 1
    yield held, held.start, info.times[-1] if is_as_promised else max(info.times[-1], held.start + step)
