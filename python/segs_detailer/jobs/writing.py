"""The pass that pastes what was sampled, and hands the frames on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from segs_detailer.errors import MediaError
from segs_detailer.video.container_writer import ContainerSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from segs_detailer.jobs.compositing import Compositor
    from segs_detailer.jobs.progress import Work
    from segs_detailer.video.clip import ClipInfo, Picture, Sink
    from segs_detailer.video.planes import CodedFrame

__all__ = ["Canvas", "FrameTaker", "NewFrame", "SinkTaker", "write_clip_frames"]


class NewFrame:
    """One frame of the output, made when it is asked for.

    Parameters
    ----------
    number : int
        Its number, from 0.
    start, end : int
        When it is shown, in units of the clip's time base.
    picture : Picture
        The frame as it was.
    compositor : Compositor
        Pastes.
    canvas : Canvas
        Memory for its pixels, used again for the next frame.
    """

    def __init__(
        self, number: int, start: int, end: int, picture: Picture, compositor: Compositor, canvas: Canvas
    ) -> None:
        self.number = number
        self.start = start
        self.end = end
        self._picture = picture
        self._compositor = compositor
        self._canvas = canvas
        self._has_before = self._has_after = self._is_painted = False

    @property
    def alpha(self) -> NDArray[Any] | None:
        """`(H, W)` uint8, or uint16, where it is partly transparent."""
        return self._picture.alpha

    @property
    def before(self) -> NDArray[np.float32]:
        """`(H, W, 3)` float32, as it was."""
        if not self._has_before:
            self._picture.copy_to(self._canvas.before)
            self._has_before = True
        return self._canvas.before

    @property
    def after(self) -> NDArray[np.float32]:
        """`(H, W, 3)` float32, as it is now."""
        if not self._has_after:
            np.copyto(self._canvas.after, self.before)
            self._compositor.paint(self.number, self._canvas.after)
            self._has_after = True
        return self._canvas.after

    def prepare(self) -> None:
        """Make `before` and `after`."""
        self._has_after = bool(self.after.size)

    @property
    def coded(self) -> CodedFrame | None:
        """The frame as it was coded; None where it cannot be written so."""
        coded = self._picture.coded
        if coded is None or coded.has_regions or not self._compositor.pieces_at(self.number):
            return coded
        return None

    def paint(self, coded: CodedFrame) -> None:
        """Paste what belongs into `coded`, once. Who wants `before` and `after` as well asks for them first."""
        if not self._is_painted:
            self._is_painted = True
            self._compositor.paint_coded(self.number, coded)


class Canvas:
    """Memory for the pixels of one frame, before and after; taken when it is first used.

    Parameters
    ----------
    size : (int, int)
        Height and width of the frames.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._shape = (*size, 3)

    @cached_property
    def before(self) -> NDArray[np.float32]:
        """`(H, W, 3)`."""
        return np.empty(self._shape, np.float32)

    @cached_property
    def after(self) -> NDArray[np.float32]:
        """`(H, W, 3)`."""
        return np.empty(self._shape, np.float32)


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

    def needs(self, frame: int) -> bool:
        """Whether it looks at a frame: not where the clip's own packets go over."""
        return not (isinstance(self.sink, ContainerSink) and self.sink.copies(frame))

    def take(self, frame: NewFrame) -> None:
        """Write the next frame."""
        sink = self.sink
        if isinstance(sink, ContainerSink):
            if sink.copies(frame.number):
                sink.copy(frame.start, frame.end)
                return
            coded = frame.coded
            if coded is not None and sink.takes_coded(coded):
                frame.paint(coded)
                sink.write_coded(coded, frame.start, frame.end)
                return
        sink.write(frame.after, frame.start, frame.end, frame.alpha)


def write_clip_frames(
    pictures: Iterator[Picture],
    info: ClipInfo,
    compositor: Compositor,
    takers: list[FrameTaker],
    work: Work,
    progress: Callable[[int, int], None],
) -> None:
    """Paste each frame as soon as its pieces are sampled, and hand it on.

    Parameters
    ----------
    pictures : iterator of Picture
        The clip's frames.
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
    canvas = Canvas(info.size)
    count = 0
    for number, (picture, start, end) in enumerate(_timed(pictures, info)):
        work.wait_for_results(compositor.pieces_at(number))
        frame = NewFrame(number, start, end, picture, compositor, canvas)
        if len(takers) > 1:
            # Before one of them has the frame painted as it is coded.
            frame.prepare()
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
